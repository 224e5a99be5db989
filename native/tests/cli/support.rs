//! Runs `tbrm` in a directory of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

/// An empty directory in which the command runs, removed at the test's end.
pub(crate) struct Place(PathBuf);

/// How a run ended.
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("tbrm-cli-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        // A process that had this id before may have been killed.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("the temporary directory is writable");
        Place(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("writable");
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The names in it, hidden ones too, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("it is there");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// The command with `line` as its arguments, separated by single spaces.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tbrm"));
        command.args(line.split(' ')).current_dir(&self.0);
        command
    }

    pub(crate) fn run(&self, line: &str) -> Run {
        Run::from(self.command(line).output().expect("the command starts"))
    }

    /// What a run that must succeed prints on stdout.
    pub(crate) fn done(&self, line: &str) -> String {
        let run = self.run(line);
        assert_eq!(run.code, Some(0), "{line}: {}", run.stderr);
        run.stdout
    }

    /// The one JSON object that a run with `--json` prints.
    pub(crate) fn json(&self, line: &str) -> Value {
        let stdout = self.done(&format!("{line} --json"));
        let value: Value = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"));
        assert!(value.is_object() && stdout.ends_with('\n'), "{stdout}");
        value
    }

    /// The lines of a JSONL file.
    pub(crate) fn lines(&self, name: &str) -> Vec<Value> {
        let text = String::from_utf8(self.read(name)).expect("UTF-8");
        text.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect()
    }

    /// The `error:` line of a run that must end with `code`, after which stands one line `help:`.
    pub(crate) fn refused(&self, code: i32, line: &str) -> String {
        self.run(line).refusal(code)
    }
}

impl Run {
    pub(crate) fn refusal(&self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        let lines: Vec<&str> = self.stderr.lines().collect();
        let (what, help) = (lines[lines.len() - 2], lines[lines.len() - 1]);
        assert!(help.strip_prefix("help: ").is_some_and(|help| !help.is_empty()), "{}", self.stderr);
        what.strip_prefix("error: ").unwrap_or_else(|| panic!("{}", self.stderr)).to_owned()
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A file of the core's fixtures.
pub(crate) fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/fixtures").join(name);
    path.to_str().expect("UTF-8").to_owned()
}
