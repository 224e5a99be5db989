//! Files that are whole or absent: whatever happens while they are written, a reader finds the old content, the new
//! content, or nothing. Everything is written beside its place, synced to the disk, and then renamed.

mod run;

use std::fs::{self, File};
use std::io::{self, ErrorKind as IoKind, Write};
use std::path::{Path, PathBuf};

use tbrm_core::{Error, ErrorKind, Result};

pub use run::{OpenRun, RunDir};

/// Replaces the file at `path` by `bytes`, atomically.
///
/// # Errors
/// [`ErrorKind::Store`]; the file is then as it was.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let aside = sibling(path, "partial");
    let written =
        write_synced(&aside, bytes).and_then(|()| fs::rename(&aside, path)).and_then(|()| sync_parent(path));
    written.map_err(|error| {
        let _ = fs::remove_file(&aside);
        store_error("cannot write", path, &error)
    })
}

/// Reads a whole file.
///
/// # Errors
/// [`ErrorKind::Store`].
pub fn read_file(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| store_error("cannot read", path, &error))
}

/// A directory that is being written beside its place. Dropped before [`publish`](Self::publish), it vanishes.
#[derive(Debug)]
pub struct DirWriter {
    target: PathBuf,
    aside: PathBuf,
}

impl DirWriter {
    /// Begins to write what will be the directory `target`; its parents are made.
    ///
    /// # Errors
    /// [`ErrorKind::Store`].
    pub fn new(target: impl Into<PathBuf>) -> Result<Self> {
        let target = target.into();
        recover(&target)?;
        let aside = sibling(&target, "partial");
        fs::create_dir_all(&aside).map_err(|error| store_error("cannot create", &aside, &error))?;
        Ok(DirWriter { target, aside })
    }

    /// Writes the file `name` (with `/` for folders inside) and syncs it to the disk.
    ///
    /// # Errors
    /// [`ErrorKind::Store`].
    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.aside.join(name);
        let made = path.parent().map_or(Ok(()), fs::create_dir_all);
        made.and_then(|()| write_synced(&path, bytes))
            .map_err(|error| store_error("cannot write", &self.target.join(name), &error))
    }

    /// Puts the directory in its place, and removes what stood there.
    ///
    /// # Errors
    /// [`ErrorKind::Store`]; what stood there before then stands there still, or returns with [`recover`].
    pub fn publish(self) -> Result<()> {
        let replaced = sibling(&self.target, "replaced");
        let swap = || {
            sync_dir(&self.aside)?;
            if self.target.exists() {
                fs::rename(&self.target, &replaced)?;
            }
            fs::rename(&self.aside, &self.target)?;
            sync_parent(&self.target)?;
            remove_if_there(&replaced)
        };
        swap().map_err(|error| store_error("cannot write", &self.target, &error))
    }
}

impl Drop for DirWriter {
    fn drop(&mut self) {
        // After `publish` nothing lies there; after a failure there is nobody left to tell.
        let _ = fs::remove_dir_all(&self.aside);
    }
}

/// Mends what a process left of the directory `target` when it was killed while writing, replacing or removing it.
///
/// # Errors
/// [`ErrorKind::Store`].
pub fn recover(target: &Path) -> Result<()> {
    let mend = || {
        let replaced = sibling(target, "replaced");
        if replaced.exists() && !target.exists() {
            fs::rename(&replaced, target)?;
        }
        remove_if_there(&replaced)?;
        remove_if_there(&sibling(target, "removed"))?;
        remove_if_there(&sibling(target, "partial"))
    };
    mend().map_err(|error| store_error("cannot clean up", target, &error))
}

/// Removes a directory so that no half of it ever stands in its place.
///
/// # Errors
/// [`ErrorKind::Store`].
pub fn remove_dir(target: &Path) -> Result<()> {
    let removed = sibling(target, "removed");
    remove_if_there(&removed)
        .and_then(|()| fs::rename(target, &removed))
        .and_then(|()| fs::remove_dir_all(&removed))
        .map_err(|error| store_error("cannot remove", target, &error))
}

/// Turns what the system said into an [`Error`] that names the file and says what to do.
pub fn store_error(doing: &str, path: &Path, error: &io::Error) -> Error {
    let help = match error.kind() {
        IoKind::StorageFull | IoKind::QuotaExceeded => {
            "the disk is full: free some space, or choose another place; what was complete before is untouched"
        }
        IoKind::PermissionDenied | IoKind::ReadOnlyFilesystem => {
            "choose a place where you may write and read"
        }
        IoKind::NotFound => "check the path",
        IoKind::NotADirectory | IoKind::IsADirectory => "check the path: a file and a directory are mixed up",
        _ => "check the disk and the path",
    };
    Error::new(ErrorKind::Store, format!("{doing} {}: {error}", path.display()), help)
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// `dir/.name.suffix` for `dir/name`: on the same file system, so that a rename is atomic, and hidden from listings.
fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{suffix}"))
}

fn remove_if_there(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == IoKind::NotFound => Ok(()),
        done => done,
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => sync_dir(Path::new(".")),
    }
}

/// Makes renames inside `dir` survive a power cut. Windows has no such call: there the file system's journal does it.
fn sync_dir(dir: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn a_file_is_replaced_whole() {
        let dir = TempDir::new();
        let path = dir.join("config.json");
        write_file(&path, b"one").unwrap();
        write_file(&path, b"two").unwrap();
        assert_eq!(read_file(&path).unwrap(), b"two");
        assert_eq!(dir.names(), ["config.json"]);
    }

    #[test]
    fn a_directory_appears_when_published_and_not_before() {
        let dir = TempDir::new();
        let target = dir.join("model");
        for content in [b"first", b"again"] {
            let mut writer = DirWriter::new(&target).unwrap();
            writer.write("weights", content).unwrap();
            writer.write("deep/er", b"x").unwrap();
            assert!(fs::read(target.join("weights")).map_or(true, |old| old != content));
            writer.publish().unwrap();
            assert_eq!(fs::read(target.join("weights")).unwrap(), content);
        }
        assert_eq!(dir.names(), ["model"]);
    }

    #[test]
    fn an_abandoned_directory_leaves_the_old_one() {
        let dir = TempDir::new();
        let target = dir.join("model");
        let mut writer = DirWriter::new(&target).unwrap();
        writer.write("weights", b"old").unwrap();
        writer.publish().unwrap();
        let mut writer = DirWriter::new(&target).unwrap();
        writer.write("weights", b"half").unwrap();
        drop(writer);
        assert_eq!(fs::read(target.join("weights")).unwrap(), b"old");
        assert_eq!(dir.names(), ["model"]);
    }

    #[test]
    fn a_kill_between_the_two_renames_is_mended() {
        let dir = TempDir::new();
        let target = dir.join("model");
        fs::create_dir_all(dir.join(".model.replaced")).unwrap();
        fs::write(dir.join(".model.replaced/weights"), b"old").unwrap();
        fs::create_dir_all(dir.join(".model.partial")).unwrap();
        fs::create_dir_all(dir.join(".model.removed")).unwrap();
        recover(&target).unwrap();
        assert_eq!(fs::read(target.join("weights")).unwrap(), b"old");
        assert_eq!(dir.names(), ["model"]);
    }

    /// The kernel's own ENOSPC, through the path that a checkpoint takes.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_keeps_the_old_directory_and_says_what_to_do() {
        let dir = TempDir::new();
        let target = dir.join("step_000001");
        let mut writer = DirWriter::new(&target).unwrap();
        writer.write("weights", b"old").unwrap();
        writer.publish().unwrap();

        let mut writer = DirWriter::new(&target).unwrap();
        std::os::unix::fs::symlink("/dev/full", writer.aside.join("weights")).unwrap();
        let error = writer.write("weights", b"new").unwrap_err();
        drop(writer);
        assert!(error.what.contains("step_000001/weights"), "{error}");
        assert!(error.help.contains("disk is full"), "{}", error.help);
        assert_eq!(fs::read(target.join("weights")).unwrap(), b"old");
        assert_eq!(dir.names(), ["step_000001"]);
    }
}
