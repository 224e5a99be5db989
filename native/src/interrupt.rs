//! Ctrl-C: the first asks for a good end, the second ends at once.

use std::ffi::OsString;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};

use tbrm_core::{Error, ErrorKind, Result};

use crate::exit::INTERRUPTED;

static ASKED: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C only sets what [`asked`] says; a second one ends the process.
///
/// # Errors
/// [`ErrorKind::Config`] when the system refuses.
pub fn watch() -> Result<()> {
    handle(|| {
        if ASKED.swap(true, Ordering::Relaxed) {
            std::process::exit(INTERRUPTED.into());
        }
    })
}

/// From now on Ctrl-C sends a message, and does nothing else.
///
/// # Errors
/// [`ErrorKind::Config`] when the system refuses.
pub fn messages() -> Result<Receiver<()>> {
    let (sender, messages) = mpsc::channel();
    handle(move || {
        // Pressed again while the process ends: nobody listens any more.
        let _ = sender.send(());
    })?;
    Ok(messages)
}

fn handle(act: impl FnMut() + Send + 'static) -> Result<()> {
    ctrlc::set_handler(act).map_err(|error| {
        Error::new(ErrorKind::Config, format!("cannot watch for Ctrl-C: {error}"), "report this")
    })
}

/// Whether Ctrl-C was pressed.
pub fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// This process's command line with `--resume`, to be pasted into a shell.
pub fn resume_command() -> String {
    with_resume(std::env::args_os())
}

fn with_resume(args: impl Iterator<Item = OsString>) -> String {
    let kept = args
        .map(|arg| arg.to_string_lossy().into_owned())
        .filter(|arg| arg != "--overwrite" && arg != "--resume")
        .map(quoted);
    kept.chain(["--resume".to_owned()]).collect::<Vec<_>>().join(" ")
}

fn quoted(arg: String) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !arg.is_empty() && arg.chars().all(plain) { arg } else { format!("'{}'", arg.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_to_resume_can_be_pasted() {
        let args = ["tbrm", "train", "--data", "it's here.jsonl", "--overwrite", "--out", "r"];
        let command = with_resume(args.iter().map(OsString::from));
        assert_eq!(command, r"tbrm train --data 'it'\''s here.jsonl' --out r --resume");
    }
}
