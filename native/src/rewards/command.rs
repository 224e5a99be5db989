//! A program as a reward: it reads a line of JSON for each completion and writes its score.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tbrm_core::data::Record;
use tbrm_core::reward::{Asked, Reward, shown};
use tbrm_core::{Error, ErrorKind, Result};

/// How long a program may take for one completion, its start included.
const LIMIT: Duration = Duration::from_secs(30);

/// A program with its arguments, separated by white space. It is started when it is first needed and reads a line
/// `{"prompt", "completion", "answer", ...}` with all further fields of the record, then writes a line: a number, or an
/// object with `score`. One that ends or takes too long is started once more for the same completion.
pub(crate) struct Command {
    words: Vec<String>,
    limit: Duration,
    worker: Mutex<Option<Worker>>,
}

/// A running program.
struct Worker {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Why there is no score.
enum Fault {
    /// Another try may help.
    Broken(String),
    /// The program has answered, but not with a number.
    Answer(String),
}

impl Command {
    pub(crate) fn new(program: &str) -> Result<Command> {
        let words: Vec<String> = program.split_whitespace().map(str::to_owned).collect();
        if words.is_empty() {
            let help = "write the program and its arguments behind the colon";
            return Err(Error::new(ErrorKind::Config, "reward command: has no program", help));
        }
        Ok(Command { words, limit: LIMIT, worker: Mutex::new(None) })
    }

    fn start(&self) -> Result<Worker, String> {
        let mut child = std::process::Command::new(&self.words[0])
            .args(&self.words[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot be started: {error}"))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("has no pipes".into());
        };
        let (sender, lines) = channel();
        // A read cannot be given up in time, a wait for the thread that reads can.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                if line.is_err() || line.is_ok_and(|line| sender.send(line).is_err()) {
                    break;
                }
            }
        });
        Ok(Worker { child, input, lines })
    }

    fn ask(&self, worker: &mut Worker, request: &str) -> Result<f64, Fault> {
        let written = worker.input.write_all(request.as_bytes()).and_then(|()| worker.input.flush());
        // Why it reads no more is told by its end.
        let ended = |worker: &mut Worker| match worker.child.wait() {
            Ok(status) => Fault::Broken(format!("ended ({status}) without a score")),
            Err(error) => Fault::Broken(format!("ended: {error}")),
        };
        if written.is_err() {
            return Err(ended(worker));
        }
        let line = match worker.lines.recv_timeout(self.limit) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => {
                return Err(Fault::Broken(format!("gave no score in {} s", self.limit.as_secs_f64())));
            }
            Err(RecvTimeoutError::Disconnected) => return Err(ended(worker)),
        };
        let value: Option<Value> = serde_json::from_str(&line).ok();
        let score = value.as_ref().and_then(|value| value.get("score").unwrap_or(value).as_f64());
        score.filter(|score| score.is_finite()).ok_or_else(|| {
            Fault::Answer(format!(
                "wrote {:?}, which is neither a number nor an object with a score",
                shown(&line)
            ))
        })
    }

    fn try_score(&self, request: &str) -> Result<f64, String> {
        // A panic elsewhere leaves the program as it was.
        let mut place = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        let mut last = String::new();
        for _ in 0..2 {
            let mut worker = match place.take() {
                Some(worker) => worker,
                None => self.start()?,
            };
            match self.ask(&mut worker, request) {
                Ok(score) => {
                    *place = Some(worker);
                    return Ok(score);
                }
                Err(Fault::Answer(what)) => return Err(what),
                Err(Fault::Broken(what)) => last = format!("{what}, twice"),
            }
        }
        Err(last)
    }
}

impl Reward for Command {
    fn name(&self) -> &str {
        "command"
    }

    fn check(&self, _: &Record) -> Result<()> {
        Ok(())
    }

    fn score(&self, record: &Record, completion: &str) -> Result<f64> {
        let fields = Asked { record, completion }.fields();
        self.try_score(&format!("{}\n", Value::Object(fields))).map_err(|what| {
            let program = self.words.join(" ");
            let what =
                format!("line {}: reward command:{program} {what}, for {:?}", record.line, shown(completion));
            Error::new(ErrorKind::Data, what, "run the program by hand with a line of JSON, and correct it")
        })
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use tbrm_core::data::Needs;

    /// A reward by a shell script, which is a program that every Unix has.
    fn reward(name: &str, script: &str) -> (Command, std::path::PathBuf) {
        let path = std::env::temp_dir().join(format!("tbrm-reward-{}-{name}.sh", std::process::id()));
        std::fs::write(&path, script).unwrap();
        (Command::new(&format!("sh {}", path.display())).unwrap(), path)
    }

    fn scores(name: &str, script: &str, completions: &[&str]) -> Vec<Result<f64>> {
        let (mut command, path) = reward(name, script);
        command.limit = Duration::from_millis(500);
        let line = r#"{"prompt": "p\nq", "answer": "a", "level": 3}"#;
        let record = Record::parse(4, line, Needs::Prompt).unwrap();
        let scores = completions.iter().map(|completion| command.score(&record, completion)).collect();
        drop(command);
        std::fs::remove_file(path).unwrap();
        scores
    }

    #[test]
    fn a_line_in_is_a_score_out() {
        let script = r#"
            while read -r line; do
                case $line in
                    *'"completion":"good"'*'"level":3'*) echo '{"score": 1, "why": "good"}' ;;
                    *'"prompt":"p\nq"'*'"answer":"a"'*) echo -0.25 ;;
                    *) echo 7 ;;
                esac
            done"#;
        let got: Vec<f64> =
            scores("plain", script, &["good", "bad\n", "good"]).into_iter().map(Result::unwrap).collect();
        assert_eq!(got, [1.0, -0.25, 1.0]);
    }

    #[test]
    fn one_that_ends_is_started_again() {
        // Each process answers once.
        let got = scores("once", "read -r line; echo 2", &["a", "b", "c"]);
        assert!(got.iter().all(|score| *score.as_ref().unwrap() == 2.0), "{got:?}");
    }

    #[test]
    fn what_gives_no_score_says_so_and_shows_the_completion() {
        for (name, script, want) in [
            ("ends", "exit 3", "exit status: 3"),
            ("sleeps", "read -r line; exec sleep 60", "no score in 0.5 s, twice"),
            ("talks", "read -r line; echo fine; read -r line", "wrote \"fine\""),
            ("nan", "read -r line; echo NaN; read -r line", "wrote \"NaN\""),
        ] {
            let error = scores(name, script, &["the completion"]).remove(0).unwrap_err();
            assert!(error.what.contains(want) && error.what.contains("the completion"), "{name}: {error}");
            assert!(error.what.contains("line 4"), "{error}");
        }
        let record = Record::parse(1, r#"{"prompt": "p"}"#, Needs::Prompt).unwrap();
        let error = Command::new("no-such-program-here").unwrap().score(&record, "c").unwrap_err();
        assert!(error.what.contains("cannot be started"), "{error}");
        assert!(Command::new(" ").is_err());
    }
}
