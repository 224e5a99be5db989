//! The run directory: who may write it, its checkpoints, its line-by-line files, and what in it is ours to remove.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tbrm_core::{Error, ErrorKind, Result};

use super::{recover, remove_dir, store_error, write_file};

/// Says that a directory is a run's; its lock keeps a second process out.
const MARKER: &str = ".tbrm-run";

/// Files of a run that `--overwrite` removes. Its directories are [`MODELS`] and those of [`RunDir::checkpoints`] and
/// `completions`.
const FILES: [&str; 7] = [
    "config.json",
    "logs.jsonl",
    "metrics.jsonl",
    "rejected.jsonl",
    "reference.safetensors",
    "report.html",
    "trace.json",
];

/// Model directories of a run: the final one, and the one that `demo` starts TBRM from.
const MODELS: [&str; 2] = ["model", "warm-start"];

/// How a run directory that may exist is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenRun {
    /// It must not exist, or be empty.
    New,
    /// It may exist; what is in it stays.
    Resume,
    /// It may exist; what a run wrote in it goes, anything else stays.
    Overwrite,
}

/// A run directory that this process alone writes, until the value is dropped.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    // Held for its lock, which the system releases however the process ends.
    _lock: File,
}

/// A published checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Optimizer steps done.
    pub step: u64,
    /// Its directory, `checkpoints/step_NNNNNN`.
    pub path: PathBuf,
}

impl RunDir {
    /// Whether there is a run at `path`.
    pub fn exists(path: &Path) -> bool {
        path.join(MARKER).exists()
    }

    /// Whether [`RunDir::open`] would refuse what is at `path`; nothing is written.
    ///
    /// # Errors
    /// As [`RunDir::open`], but for another process that writes it.
    pub fn check(path: &Path, how: OpenRun) -> Result<()> {
        let empty = list(path)?.is_empty();
        if !empty && !RunDir::exists(path) {
            return Err(Error::new(
                ErrorKind::Config,
                format!("{}: holds files that no run wrote", path.display()),
                "give an empty or new directory as `--out`",
            ));
        }
        if !empty && how == OpenRun::New {
            return Err(Error::new(
                ErrorKind::Config,
                format!("{}: holds a run already", path.display()),
                "`--resume` goes on with it, `--overwrite` replaces it, another `--out` leaves it alone",
            ));
        }
        Ok(())
    }

    /// Opens the run directory at `path`, making it where it is missing.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when it holds a run and `how` is [`OpenRun::New`], when it holds something else, or when
    /// another process writes it; [`ErrorKind::Store`].
    pub fn open(path: impl Into<PathBuf>, how: OpenRun) -> Result<Self> {
        let path = path.into();
        let failed = |error| store_error("cannot open the run directory", &path, &error);
        fs::create_dir_all(&path).map_err(failed)?;
        RunDir::check(&path, how)?;
        let marker = path.join(MARKER);
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).open(&marker).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new(
                    ErrorKind::Config,
                    format!("{}: another process is writing this run", path.display()),
                    "wait for it or stop it, or give another `--out`",
                ));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let run = RunDir { path, _lock: lock };
        run.recover_all()?;
        if how == OpenRun::Overwrite {
            run.clear()?;
        }
        Ok(run)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file or directory in it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// Where the checkpoint after `step` optimizer steps belongs; a [`DirWriter`](super::DirWriter) puts it there.
    pub fn checkpoint_path(&self, step: u64) -> PathBuf {
        self.path.join("checkpoints").join(format!("step_{step:06}"))
    }

    /// Where the sampled completions of `step` belong.
    pub fn completions_path(&self, step: u64) -> PathBuf {
        self.path.join("completions").join(format!("step_{step:06}.jsonl"))
    }

    /// The published checkpoints, oldest first.
    ///
    /// # Errors
    /// [`ErrorKind::Store`].
    pub fn checkpoints(&self) -> Result<Vec<Checkpoint>> {
        let mut found: Vec<_> = list(&self.path.join("checkpoints"))?
            .into_iter()
            .filter_map(|path| Some(Checkpoint { step: step_of(&path, "")?, path }))
            .filter(|checkpoint| checkpoint.path.is_dir())
            .collect();
        found.sort_by_key(|checkpoint| checkpoint.step);
        Ok(found)
    }

    /// Removes all checkpoints but the last `keep` and the one of step `best`.
    ///
    /// # Errors
    /// [`ErrorKind::Store`].
    pub fn prune_checkpoints(&self, keep: usize, best: Option<u64>) -> Result<()> {
        let found = self.checkpoints()?;
        let old = &found[..found.len().saturating_sub(keep)];
        old.iter()
            .filter(|checkpoint| Some(checkpoint.step) != best)
            .try_for_each(|checkpoint| remove_dir(&checkpoint.path))
    }

    /// Mends what a killed process left half-done.
    fn recover_all(&self) -> Result<()> {
        MODELS.iter().try_for_each(|name| recover(&self.path.join(name)))?;
        for path in list(&self.path.join("checkpoints"))? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // `.step_000100.partial` and its like stand for `step_000100`.
            if let Some(target) = name.strip_prefix('.').and_then(|rest| rest.rsplit_once('.')) {
                recover(&path.with_file_name(target.0))?;
            }
        }
        Ok(())
    }

    /// Removes what a run wrote, by name.
    fn clear(&self) -> Result<()> {
        let remove_file =
            |path: &Path| fs::remove_file(path).map_err(|error| store_error("cannot remove", path, &error));
        for path in list(&self.path)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let left_by_a_kill = name.starts_with('.') && name.ends_with(".partial");
            if FILES.contains(&&*name) || name.starts_with("events.out.tfevents.") || left_by_a_kill {
                remove_file(&path)?;
            } else if MODELS.contains(&&*name) {
                remove_dir(&path)?;
            }
        }
        for checkpoint in self.checkpoints()? {
            remove_dir(&checkpoint.path)?;
        }
        let completions = list(&self.path.join("completions"))?;
        completions
            .iter()
            .filter(|path| step_of(path, ".jsonl").is_some())
            .try_for_each(|path| remove_file(path))?;
        for folder in ["checkpoints", "completions"] {
            // Stays if somebody put something of their own into it.
            let _ = fs::remove_dir(self.path.join(folder));
        }
        Ok(())
    }
}

/// The step in `step_NNNNNN` + `suffix`.
fn step_of(path: &Path, suffix: &str) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix("step_")?.strip_suffix(suffix)?.parse().ok()
}

/// The paths in a directory; none where it does not exist.
fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let paths = fs::read_dir(dir).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    paths.map_err(|error| store_error("cannot list", dir, &error))
}

/// A file of one JSON object per optimizer step, each with its number in `step`.
#[derive(Debug)]
pub struct JsonLines {
    path: PathBuf,
    file: File,
}

impl JsonLines {
    /// Opens the file for a run that continues after `last_step` (`None`: from the beginning): later lines, and one that
    /// a killed process left half-written, are removed, so that every step ends up with exactly one line.
    ///
    /// # Errors
    /// [`ErrorKind::Store`]; [`ErrorKind::Checkpoint`] when a line that stays is not what a run writes.
    pub fn open(path: impl Into<PathBuf>, last_step: Option<u64>) -> Result<Self> {
        let path = path.into();
        let kept = match last_step {
            Some(last_step) if path.exists() => lines_up_to(&path, last_step)?,
            _ => String::new(),
        };
        write_file(&path, kept.as_bytes())?;
        let file = OpenOptions::new()
            .append(true)
            .open(&path)
            .map_err(|error| store_error("cannot open", &path, &error))?;
        Ok(JsonLines { path, file })
    }

    /// Appends one line, in one write.
    ///
    /// # Errors
    /// [`ErrorKind::Store`].
    pub fn append(&mut self, value: &Value) -> Result<()> {
        let line = format!("{value}\n");
        self.file.write_all(line.as_bytes()).map_err(|error| store_error("cannot write", &self.path, &error))
    }

    /// Makes all lines survive a power cut; to be called before the checkpoint that they lead to is published.
    ///
    /// # Errors
    /// [`ErrorKind::Store`].
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|error| store_error("cannot write", &self.path, &error))
    }
}

/// The whole lines of steps up to `last_step`.
fn lines_up_to(path: &Path, last_step: u64) -> Result<String> {
    let text = fs::read_to_string(path).map_err(|error| store_error("cannot read", path, &error))?;
    let mut kept = String::new();
    let mut previous = None;
    for (i, line) in text.split_inclusive('\n').enumerate().filter(|(_, line)| line.ends_with('\n')) {
        let step = serde_json::from_str::<Value>(line).ok().and_then(|value| value["step"].as_u64());
        match step {
            Some(step) if step > last_step => break,
            Some(step) if previous < Some(step) => kept.push_str(line),
            _ => {
                return Err(Error::new(
                    ErrorKind::Checkpoint,
                    format!("{}:{}: not the line of the next step", path.display(), i + 1),
                    "the file was changed by hand: restore it, or start again with `--overwrite`",
                ));
            }
        }
        previous = step;
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::DirWriter;
    use crate::testing::TempDir;

    fn checkpoint(run: &RunDir, step: u64) {
        let mut writer = DirWriter::new(run.checkpoint_path(step)).unwrap();
        writer.write("state.json", b"{}").unwrap();
        writer.publish().unwrap();
    }

    fn steps(run: &RunDir) -> Vec<u64> {
        run.checkpoints().unwrap().iter().map(|checkpoint| checkpoint.step).collect()
    }

    #[test]
    fn a_run_is_neither_overwritten_nor_shared_by_accident() {
        let dir = TempDir::new();
        let run = RunDir::open(dir.join("run"), OpenRun::New).unwrap();
        for how in [OpenRun::Resume, OpenRun::Overwrite] {
            let error = RunDir::open(dir.join("run"), how).unwrap_err();
            assert!(error.what.contains("another process"), "{error}");
        }
        drop(run);
        let error = RunDir::open(dir.join("run"), OpenRun::New).unwrap_err();
        assert!(error.help.contains("--resume") && error.help.contains("--overwrite"), "{}", error.help);
        RunDir::open(dir.join("run"), OpenRun::Resume).unwrap();
    }

    #[test]
    fn a_directory_of_somebody_else_is_refused() {
        let dir = TempDir::new();
        fs::write(dir.join("config.json"), "mine").unwrap();
        for how in [OpenRun::New, OpenRun::Resume, OpenRun::Overwrite] {
            assert_eq!(RunDir::open(&*dir, how).unwrap_err().kind, ErrorKind::Config);
        }
        assert_eq!(dir.names(), ["config.json"]);
    }

    #[test]
    fn overwrite_removes_only_what_a_run_wrote() {
        let dir = TempDir::new();
        let run = RunDir::open(&*dir, OpenRun::New).unwrap();
        checkpoint(&run, 3);
        for name in FILES {
            fs::write(run.join(name), "ours").unwrap();
        }
        fs::write(run.join(".config.json.partial"), "ours").unwrap();
        for name in MODELS {
            fs::create_dir_all(run.join(name)).unwrap();
        }
        fs::create_dir_all(run.join("completions")).unwrap();
        fs::write(run.completions_path(3), "ours").unwrap();
        fs::write(run.join("completions/notes.txt"), "mine").unwrap();
        fs::write(run.join("notes.txt"), "mine").unwrap();
        drop(run);
        RunDir::open(&*dir, OpenRun::Overwrite).unwrap();
        assert_eq!(dir.names(), [MARKER, "completions", "notes.txt"]);
        assert!(
            dir.join("completions/notes.txt").exists() && !dir.join("completions/step_000003.jsonl").exists()
        );
    }

    #[test]
    fn the_last_checkpoints_and_the_best_are_kept() {
        let dir = TempDir::new();
        let run = RunDir::open(&*dir, OpenRun::New).unwrap();
        for step in [10, 20, 1_000_000, 30] {
            checkpoint(&run, step);
        }
        fs::create_dir_all(dir.join("checkpoints/mine")).unwrap();
        assert_eq!(steps(&run), [10, 20, 30, 1_000_000]);
        run.prune_checkpoints(1, Some(20)).unwrap();
        assert_eq!(steps(&run), [20, 1_000_000]);
        assert!(dir.join("checkpoints/mine").exists());
    }

    #[test]
    fn a_half_written_checkpoint_does_not_count_and_is_cleared() {
        let dir = TempDir::new();
        let run = RunDir::open(&*dir, OpenRun::New).unwrap();
        checkpoint(&run, 1);
        drop(run);
        for half in [".step_000002.partial", ".step_000000.removed"] {
            fs::create_dir_all(dir.join("checkpoints").join(half)).unwrap();
        }
        let run = RunDir::open(&*dir, OpenRun::Resume).unwrap();
        assert_eq!(steps(&run), [1]);
        assert_eq!(fs::read_dir(dir.join("checkpoints")).unwrap().count(), 1);
    }

    #[test]
    fn a_resume_leaves_one_line_per_step() {
        let dir = TempDir::new();
        let path = dir.join("metrics.jsonl");
        let mut lines = JsonLines::open(&path, None).unwrap();
        for step in 1..=5 {
            lines.append(&json!({"step": step, "loss": 0.1})).unwrap();
        }
        drop(lines);
        let mut torn = OpenOptions::new().append(true).open(&path).unwrap();
        torn.write_all(b"{\"step\": 6, \"lo").unwrap();

        for last in [9, 3] {
            let mut lines = JsonLines::open(&path, Some(last)).unwrap();
            lines.append(&json!({"step": last + 1})).unwrap();
            lines.sync().unwrap();
        }
        let text = fs::read_to_string(&path).unwrap();
        let found: Vec<_> =
            text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["step"].clone()).collect();
        assert_eq!(found, [1, 2, 3, 4]);
    }

    #[test]
    fn a_line_that_no_run_writes_is_named() {
        let dir = TempDir::new();
        let path = dir.join("metrics.jsonl");
        for second in ["nonsense", "{\"step\":1}"] {
            fs::write(&path, format!("{{\"step\":1}}\n{second}\n")).unwrap();
            let error = JsonLines::open(&path, Some(7)).unwrap_err();
            assert!(error.what.contains("metrics.jsonl:2"), "{error}");
        }
    }
}
