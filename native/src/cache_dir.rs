//! What was found out once and may be found out again: files in the user's cache directory. One that is missing or
//! cannot be written costs time, nothing else, so nothing here is an error.

use std::path::PathBuf;

use crate::store;

/// The content of the cached file `name`, if there is one.
pub fn read(name: &str) -> Option<Vec<u8>> {
    store::read_file(&file(name)?).ok()
}

/// Replaces the cached file `name`, if the system lets us.
pub fn write(name: &str, bytes: &[u8]) {
    let Some(path) = file(name) else { return };
    if path.parent().is_some_and(|dir| std::fs::create_dir_all(dir).is_ok()) {
        let _ = store::write_file(&path, bytes);
    }
}

/// `tbrm/NAME` in the user's cache directory, where the system has one.
fn file(name: &str) -> Option<PathBuf> {
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = if cfg!(windows) {
        var("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        var("HOME").map(|home| home.join("Library/Caches"))
    } else {
        var("XDG_CACHE_HOME").or_else(|| var("HOME").map(|home| home.join(".cache")))
    };
    cache.map(|cache| cache.join("tbrm").join(name))
}
