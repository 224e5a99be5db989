//! The file of records, which grows by whole lines.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind as IoKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tbrm_core::{Error, ErrorKind, Result};

use crate::store::{OpenRun, read_file, store_error};

/// A file that only this process writes. It is made, or emptied, when its first line comes: what stands there is not lost
/// to a server that does not answer.
#[derive(Debug)]
pub(crate) struct Output {
    path: PathBuf,
    file: Option<File>,
    fresh: bool,
    length: u64,
}

/// What was found in a file that is gone on with.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Its lines, as JSON.
    pub(crate) lines: Vec<Value>,
    /// Whether half a line stood at its end, which is cut off.
    pub(crate) cut: bool,
}

impl Output {
    /// Opens the file at `path`, and reads what is to stay in it.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where it is there and `how` is [`OpenRun::New`], or another process writes it;
    /// [`ErrorKind::Data`] for a line that is no JSON and not the last; [`ErrorKind::Store`].
    pub(crate) fn open(path: &Path, how: OpenRun) -> Result<(Output, Found)> {
        let there = path.try_exists().map_err(|error| store_error("cannot read", path, &error))?;
        if there && how == OpenRun::New {
            return Err(Error::new(
                ErrorKind::Config,
                format!("{}: is there already", path.display()),
                "`--resume` goes on with it, `--overwrite` replaces it, another `--out` leaves it alone",
            ));
        }
        let mut output = Output { path: path.to_owned(), file: None, fresh: true, length: 0 };
        if !there || how == OpenRun::Overwrite {
            return Ok((output, Found::default()));
        }
        let file = output.locked(OpenOptions::new().write(true))?;
        let bytes = read_file(path)?;
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let mut found = Found::default();
        for (i, line) in bytes[..whole].split(|&byte| byte == b'\n').enumerate() {
            if line.is_empty() {
                continue;
            }
            let value = serde_json::from_slice(line).map_err(|error| {
                let what = format!("{}:{}: no record: {error}", path.display(), i + 1);
                Error::new(ErrorKind::Data, what, "correct or remove the line, or start again")
            })?;
            found.lines.push(value);
        }
        (output.fresh, output.length) = (false, whole as u64);
        output.file = Some(file);
        let rest = &bytes[whole..];
        match serde_json::from_slice(rest) {
            _ if rest.is_empty() => {}
            // Only its end is missing.
            Ok(value @ Value::Object(_)) => {
                output.length = bytes.len() as u64;
                output.write(b"\n")?;
                found.lines.push(value);
            }
            _ => {
                found.cut = true;
                output.cut()?;
            }
        }
        Ok((output, found))
    }

    /// Adds a line. What a kill leaves of it has no end, and is cut off when the file is opened again.
    ///
    /// # Errors
    /// [`ErrorKind::Store`]; the file then holds the lines before.
    pub(crate) fn add(&mut self, line: &Value) -> Result<()> {
        if self.file.is_none() {
            self.file = Some(self.locked(OpenOptions::new().create(true).truncate(false).write(true))?);
        }
        if self.fresh {
            self.cut()?;
            self.fresh = false;
        }
        self.write(format!("{line}\n").as_bytes())
    }

    /// Brings what was written to the disk.
    ///
    /// # Errors
    /// [`ErrorKind::Store`].
    pub(crate) fn sync(&self) -> Result<()> {
        let synced = self.file.as_ref().map_or(Ok(()), File::sync_all);
        synced.map_err(|error| store_error("cannot write", &self.path, &error))
    }

    fn locked(&self, options: &OpenOptions) -> Result<File> {
        let file =
            options.open(&self.path).map_err(|error| store_error("cannot open", &self.path, &error))?;
        #[cfg(unix)] // Elsewhere a lock would keep readers out too.
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                let what = format!("{}: another process is writing this file", self.path.display());
                let help = "wait for it or stop it, or give another `--out`";
                return Err(Error::new(ErrorKind::Config, what, help));
            }
            Err(std::fs::TryLockError::Error(error)) => {
                return Err(store_error("cannot lock", &self.path, &error));
            }
        }
        Ok(file)
    }

    fn cut(&mut self) -> Result<()> {
        let file = self.file.as_ref().expect("opened before");
        file.set_len(self.length).map_err(|error| store_error("cannot write", &self.path, &error))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let file = self.file.as_mut().expect("opened before");
        let written = file.seek(SeekFrom::Start(self.length)).and_then(|_| file.write_all(bytes));
        written.map_err(|error| {
            // A device has no length to restore.
            if error.kind() != IoKind::InvalidInput {
                let _ = file.set_len(self.length);
            }
            store_error("cannot write", &self.path, &error)
        })?;
        self.length += bytes.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn half_a_line_is_cut_off_and_a_whole_one_is_ended() {
        let dir = TempDir::new();
        let path = dir.join("out.jsonl");
        for (before, lines, cut, kept) in [
            ("{\"a\":1}\n", 1, false, "{\"a\":1}\n"),
            ("{\"a\":1}\n{\"a\":2", 1, true, "{\"a\":1}\n"),
            ("{\"a\":1}\n{\"a\":2}", 2, false, "{\"a\":1}\n{\"a\":2}\n"),
            ("{\"a\":1}\n\n12", 1, true, "{\"a\":1}\n\n"),
            ("{\"a\"", 0, true, ""),
            ("", 0, false, ""),
        ] {
            fs::write(&path, before).unwrap();
            let (mut output, found) = Output::open(&path, OpenRun::Resume).unwrap();
            assert_eq!((found.lines.len(), found.cut), (lines, cut), "{before:?}");
            assert_eq!(fs::read_to_string(&path).unwrap(), kept);
            output.add(&json!({"b": 3})).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{kept}{{\"b\":3}}\n"));
        }
        fs::write(&path, "{\"a\":1}\nnonsense\n{\"a\":2}\n").unwrap();
        let error = Output::open(&path, OpenRun::Resume).unwrap_err();
        assert!(error.what.contains("out.jsonl:2: no record"), "{error}");
    }

    #[test]
    fn what_stands_there_stays_until_there_is_something_better() {
        let dir = TempDir::new();
        let path = dir.join("out.jsonl");
        let (mut output, _) = Output::open(&path, OpenRun::New).unwrap();
        assert!(!path.exists());
        output.add(&json!({"a": 1})).unwrap();
        assert!(Output::open(&path, OpenRun::New).unwrap_err().what.ends_with("is there already"));
        #[cfg(unix)]
        assert!(Output::open(&path, OpenRun::Resume).unwrap_err().what.contains("another process"));
        drop(output);
        let (mut output, _) = Output::open(&path, OpenRun::Overwrite).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"a\":1}\n");
        output.add(&json!({"b": 2})).unwrap();
        output.sync().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"b\":2}\n");
    }

    /// The kernel's own ENOSPC.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_said() {
        let dir = TempDir::new();
        std::os::unix::fs::symlink("/dev/full", dir.join("out.jsonl")).unwrap();
        let (mut output, _) = Output::open(&dir.join("out.jsonl"), OpenRun::Overwrite).unwrap();
        output.length = 0;
        output.fresh = false;
        let error = output.add(&json!({"a": 1})).unwrap_err();
        assert!(error.help.contains("disk is full"), "{error}: {}", error.help);
    }
}
