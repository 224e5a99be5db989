//! How the command ends: exit codes, and what is said on the way out. An error is one line `error:`, then one
//! line `help:`.

use std::ffi::OsString;
use std::fmt;
use std::process::ExitCode;

use clap::error::{ContextKind, ErrorKind as ClapKind};
use clap::{CommandFactory, FromArgMatches};
use tbrm_core::Error;

use crate::args::{self, Cli};

/// The exit code of a command that Ctrl-C ended: 128 and the signal's number.
pub(crate) const INTERRUPTED: u8 = 130;

/// How a command came to its end without an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did what it was asked to.
    Done,
    /// Ctrl-C stopped it after its work was saved.
    Interrupted {
        /// The command line that goes on from there, or another way forward: one line.
        resume: String,
    },
}

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub enum Failure {
    /// The command line itself was wrong.
    Usage {
        /// What is wrong with it: one line.
        what: String,
        /// What to write instead: one line.
        help: String,
    },
    /// The work failed.
    Error(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Error(error)
    }
}

impl fmt::Display for Failure {
    /// `error: …` and, on a line of its own, `help: …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, help) = match self {
            Failure::Usage { what, help } => (what, help),
            Failure::Error(error) => (&error.what, &error.help),
        };
        let help = match help.strip_suffix("start again") {
            Some(_) => &format!("{help} with --overwrite or another --out"),
            None => help,
        };
        let said = |text| args::with_options(&one_line(text));
        write!(f, "error: {}\nhelp: {}", said(what), said(help))
    }
}

impl Failure {
    /// The exit code: 1 for work that failed, 2 for a wrong command line.
    pub fn code(&self) -> u8 {
        match self {
            Failure::Error(_) => 1,
            Failure::Usage { .. } => 2,
        }
    }
}

/// Says on stderr what is to be said of how a command ended, and turns it into the process's exit code: 0 done, 1
/// failed, 2 wrong usage, 130 interrupted.
pub fn report(result: Result<Outcome, Failure>) -> ExitCode {
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Interrupted { resume }) => {
            eprintln!("interrupted: {}", one_line(&resume));
            ExitCode::from(INTERRUPTED)
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.code())
        }
    }
}

/// Reads the command line. `Ok(None)`: it asked for help or the version, which are on stdout now.
///
/// # Errors
/// [`Failure::Usage`] for a command line that is wrong.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Option<Cli>, Failure> {
    let matches = Cli::command().try_get_matches_from(args);
    match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => Ok(Some(cli)),
        Err(asked) if matches!(asked.kind(), ClapKind::DisplayHelp | ClapKind::DisplayVersion) => {
            // A closed pipe (`tbrm --help | head`) is no failure.
            let _ = asked.print();
            Ok(None)
        }
        Err(wrong) => Err(usage(&wrong)),
    }
}

/// clap's answer, which spans paragraphs, as one line of what is wrong and one of what to do.
fn usage(wrong: &clap::Error) -> Failure {
    let context = |kind| wrong.get(kind).map(ToString::to_string);
    let text = wrong.to_string();
    let what = text.split("\n\n").next().unwrap_or_default();
    let help = if let Some(near) = context(ContextKind::SuggestedSubcommand)
        .or(context(ContextKind::SuggestedArg))
        .or(context(ContextKind::SuggestedValue))
    {
        format!("did you mean `{near}`? `--help` lists what there is")
    } else if let Some(line) = context(ContextKind::Usage).map(|usage| one_line(&usage)) {
        format!("{}; `--help` says more", line.replacen("Usage: ", "usage: ", 1))
    } else {
        "`--help` after the command says what it takes".into()
    };
    Failure::Usage { what: what.trim_start_matches("error: ").into(), help }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use tbrm_core::ErrorKind;

    use super::*;
    use crate::args::{Command, TokenizerSource};

    fn parsed(line: &str) -> Result<Option<Cli>, Failure> {
        parse(line.split(' ').map(OsString::from))
    }

    /// The first line and the second of what is said of a wrong command line.
    fn refusal(line: &str) -> (String, String) {
        let failure = parsed(line).expect_err(line);
        assert_eq!(failure.code(), 2, "{line}");
        let said = failure.to_string();
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(lines.len(), 2, "{said}");
        let part = |i: usize, prefix| lines[i].strip_prefix(prefix).expect(prefix).to_owned();
        (part(0, "error: "), part(1, "help: "))
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        fn check(command: &clap::Command, path: &str) {
            for sub in command.get_subcommands() {
                let path = format!("{path} {}", sub.get_name());
                let example = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
                if sub.has_subcommands() {
                    check(sub, &path);
                    continue;
                }
                let line = example.lines().last().unwrap_or_default().trim().replace("'Once upon'", "Once");
                assert!(line.starts_with(&path), "{path}: its example is {line:?}");
                assert!(parsed(&line).is_ok_and(|cli| cli.is_some()), "{path}: the example does not parse");
            }
        }
        let command = Cli::command();
        assert!(command.get_subcommands().count() > 5);
        check(&command, "tbrm");
    }

    #[test]
    fn options_reach_their_fields() {
        let cli = parsed(
            "tbrm train --model m --data a b --out r --objective brm --calibrate v-ref --seed 7 --profile --steps 3",
        );
        let Some(Cli { command: Command::Train(train), common }) = cli.expect("valid") else {
            panic!("not train")
        };
        assert_eq!(train.data.len(), 2);
        assert_eq!(train.optimizer.steps, Some(3));
        assert_eq!(train.output.profile, Some(None));
        assert_eq!(common.seed, 7);

        let cli = parsed("tbrm init --preset nano --tokenizer train:c.txt --out m").expect("valid");
        let Some(Cli { command: Command::Init(init), .. }) = cli else { panic!("not init") };
        assert_eq!(init.tokenizer, TokenizerSource::Train("c.txt".into()));
    }

    #[test]
    fn wrong_usage_is_two_lines() {
        let train = "tbrm train --model m --data d --out r";
        for (line, what) in [
            ("tbrm", "'tbrm' requires a subcommand"),
            ("tbrm logs", "'tbrm logs' requires a subcommand"),
            ("tbrm frain", "unrecognized subcommand 'frain'"),
            ("tbrm train --data d --out r", "--model <DIR>"),
            (&format!("{train} --bta 1"), "unexpected argument '--bta' found"),
            (&format!("{train} --beta 0"), "not a number above 0"),
            (&format!("{train} --beta -1"), "not a number above 0"),
            (&format!("{train} --lr nan"), "not a number above 0"),
            (&format!("{train} --batch 0"), "not a whole number of at least 1"),
            (&format!("{train} --objective td3"), "ppo"),
            (&format!("{train} --resume --overwrite"), "cannot be used with"),
            (&format!("{train} --steps 1 --epochs 1"), "cannot be used with"),
            (&format!("{train} --eval-data f"), "--eval-every <N>"),
            ("tbrm init --tokenizer bytes --out m", "--preset <PRESET>"),
        ] {
            let (said, help) = refusal(line);
            assert!(said.contains(what), "{line}: {said}");
            assert!(!help.is_empty(), "{line}");
        }
        assert!(refusal(&format!("{train} --bta 1")).1.contains("--beta"));
    }

    #[test]
    fn settings_are_called_by_their_options() {
        let error = Error::new(
            ErrorKind::Checkpoint,
            "`learning_rate` is 1, `max_length` is 2, and `save_pretrained` is no setting",
            "give the same `data`, or start again",
        );
        let want = "error: --lr is 1, --max-length is 2, and `save_pretrained` is no setting\n\
                    help: give the same --data, or start again with --overwrite or another --out";
        assert_eq!(Failure::from(error).to_string(), want);
    }

    /// A setting without its option would be a name that the command line does not know.
    #[test]
    fn every_setting_has_its_option() {
        let command = Cli::command();
        let train = command.find_subcommand("train").expect("a command");
        let known = |option: &str| {
            let mut all = train.get_arguments().chain(command.get_arguments());
            all.any(|arg| arg.get_long().is_some_and(|long| option == format!("--{long}")))
        };
        for setting in tbrm_core::run::SETTINGS {
            let option = args::with_options(&format!("`{}`", setting.name));
            assert!(option.split(" or ").all(known), "{option}");
        }
    }

    #[test]
    fn failed_work_exits_with_1_and_says_what_to_do() {
        let failure = Failure::from(Error::new(ErrorKind::Data, "logs.jsonl:3: no\nreward", "add one"));
        assert_eq!(failure.code(), 1);
        assert_eq!(failure.to_string(), "error: logs.jsonl:3: no reward\nhelp: add one");
    }
}
