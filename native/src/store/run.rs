//! The run directory: who may write it, how its files are written, and what in it is ours to remove.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind as IoKind, Write};
use std::path::{Path, PathBuf};

use tbrm_core::run::Store;
use tbrm_core::{Error, ErrorKind, Result};

use super::{DirWriter, recover, remove_dir, store_error, write_file};

/// Says that a directory is a run's; its lock keeps a second process out.
const MARKER: &str = ".tbrm-run";

/// Files of a run that `--overwrite` removes. Its directories are [`FOLDERS`] and those in `checkpoints` and
/// `completions`.
const FILES: [&str; 9] = [
    "config.json",
    "logs.jsonl",
    "metrics.jsonl",
    "rejected.jsonl",
    "reference.safetensors",
    "report.html",
    "results.json",
    "stages.json",
    "trace.json",
];

/// Directories that are a run's own: the final model, completions that were set aside, of `demo` the model that TBRM starts from and
/// the online stage's run, and of an experiment of many runs what they start from and what they leave.
const FOLDERS: [&str; 6] = ["model", "warm-start", "online", "set-aside", "starts", "runs"];

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

impl OpenRun {
    /// What the options `--resume` and `--overwrite` ask for: where there is no run to resume, one begins.
    pub fn of(out: &Path, resume: bool, overwrite: bool) -> OpenRun {
        match (resume && (RunDir::exists(out) || brought(out)), overwrite) {
            (true, _) => OpenRun::Resume,
            (false, true) => OpenRun::Overwrite,
            (false, false) => OpenRun::New,
        }
    }
}

/// Whether a run is at `path` that a browser's page trained and a person downloaded: it has no marker.
fn brought(path: &Path) -> bool {
    path.join("config.json").exists() && path.join("metrics.jsonl").exists()
}

/// A run directory that this process alone writes, until the value is dropped.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    // Held for its lock, which the system releases however the process ends.
    _lock: File,
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
        let resumes = how == OpenRun::Resume && brought(path);
        if !empty && !RunDir::exists(path) && !resumes {
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

    /// Mends what a killed process left half-done.
    fn recover_all(&self) -> Result<()> {
        FOLDERS.iter().try_for_each(|name| recover(&self.path.join(name)))?;
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
            } else if FOLDERS.contains(&&*name) {
                remove_dir(&path)?;
            }
        }
        for path in list(&self.path.join("checkpoints"))? {
            if step_of(&path, "").is_some() && path.is_dir() {
                remove_dir(&path)?;
            }
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

impl Store for RunDir {
    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let path = self.join(path);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == IoKind::NotFound => Ok(None),
            Err(error) => Err(store_error("cannot read", &path, &error)),
        }
    }

    async fn write(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let path = self.join(path);
        make_parent(&path)?;
        write_file(&path, bytes)
    }

    async fn append(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let path = self.join(path);
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).open(&path);
        // In one write, so that a reader never sees the half of it.
        file.and_then(|mut file| file.write_all(bytes))
            .map_err(|error| store_error("cannot write", &path, &error))
    }

    async fn list(&self, dir: &str) -> Result<Vec<String>> {
        let paths = list(&self.join(dir))?;
        Ok(paths.iter().filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect())
    }

    async fn remove(&self, path: &str) -> Result<()> {
        let path = self.join(path);
        if path.is_dir() {
            return remove_dir(&path);
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != IoKind::NotFound => {
                Err(store_error("cannot remove", &path, &error))
            }
            _ => Ok(()),
        }
    }

    async fn sync(&self, path: &str) -> Result<()> {
        let path = self.join(path);
        let file = OpenOptions::new().append(true).open(&path);
        file.and_then(|file| file.sync_data()).map_err(|error| store_error("cannot write", &path, &error))
    }

    async fn publish(&self, dir: &str, files: &[(&str, &[u8])]) -> Result<()> {
        let mut writer = DirWriter::new(self.join(dir))?;
        for (name, bytes) in files {
            writer.write(name, bytes)?;
        }
        writer.publish()
    }

    async fn retract(&self, dir: &str, _marker: &str) -> Result<()> {
        remove_dir(&self.join(dir))
    }

    fn place(&self, path: &str) -> String {
        self.join(path).display().to_string()
    }

    fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

fn make_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|error| store_error("cannot create", parent, &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    fn checkpoint(run: &RunDir, step: u64) {
        pollster::block_on(run.publish(&format!("checkpoints/step_{step:06}"), &[("state.json", b"{}")]))
            .unwrap();
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
    fn a_run_that_was_trained_in_a_browser_is_resumed_and_never_overwritten() {
        let dir = TempDir::new();
        for name in ["config.json", "metrics.jsonl"] {
            fs::write(dir.join(name), "{}").unwrap();
        }
        for how in [OpenRun::New, OpenRun::Overwrite] {
            assert_eq!(RunDir::open(&*dir, how).unwrap_err().kind, ErrorKind::Config);
        }
        drop(RunDir::open(&*dir, OpenRun::Resume).unwrap());
        assert!(RunDir::exists(&dir));
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
        for name in FOLDERS {
            fs::create_dir_all(run.join(name)).unwrap();
        }
        fs::create_dir_all(run.join("completions")).unwrap();
        fs::write(run.join("completions/step_000003.jsonl"), "ours").unwrap();
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
    fn a_half_written_checkpoint_does_not_count_and_is_cleared() {
        let dir = TempDir::new();
        let run = RunDir::open(&*dir, OpenRun::New).unwrap();
        checkpoint(&run, 1);
        drop(run);
        for half in [".step_000002.partial", ".step_000000.removed"] {
            fs::create_dir_all(dir.join("checkpoints").join(half)).unwrap();
        }
        let run = RunDir::open(&*dir, OpenRun::Resume).unwrap();
        assert_eq!(pollster::block_on(run.list("checkpoints")).unwrap(), ["step_000001"]);
    }

    #[test]
    fn a_store_s_files_lie_in_the_directory() {
        let dir = TempDir::new();
        let run = RunDir::open(dir.join("run"), OpenRun::New).unwrap();
        pollster::block_on(async {
            assert_eq!(run.read("a/b").await.unwrap(), None);
            run.write("a/b", b"1").await.unwrap();
            run.append("a/b", b"2").await.unwrap();
            run.append("c", b"3").await.unwrap();
            run.sync("c").await.unwrap();
            assert_eq!(run.read("a/b").await.unwrap().as_deref(), Some(&b"12"[..]));
            assert_eq!(run.list("a").await.unwrap(), ["b"]);
            assert!(run.list("nowhere").await.unwrap().is_empty());
            for path in ["a", "c", "nowhere"] {
                run.remove(path).await.unwrap();
            }
            run.publish("model", &[("x", b"old"), ("y", b"")]).await.unwrap();
            run.publish("model", &[("z", b"new")]).await.unwrap();
            assert_eq!(run.list("model").await.unwrap(), ["z"]);
            run.retract("model", "z").await.unwrap();
            assert_eq!(run.list("").await.unwrap(), [MARKER]);
            assert_eq!(
                (run.name(), run.place("c")),
                ("run".to_owned(), dir.join("run/c").display().to_string())
            );
        });
    }
}
