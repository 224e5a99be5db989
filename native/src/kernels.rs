//! Which kernels a run uses on a GPU: measured once per adapter, driver and model shape, and remembered in the user's
//! cache directory.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tbrm_core::data::trajectory::Trajectory;
use tbrm_core::ops::Names;
use tbrm_core::train::tune;
use tbrm_core::{Gpu, Model, Result, TrainConfig};

use crate::store::{read_file, write_file};

type Cache = BTreeMap<String, Names>;

/// The kernels for training `model` on `data`; `None` on a software adapter, whose table is fixed.
///
/// # Errors
/// As [`tune::tune`]. A cache that cannot be read or written is no error: the kernels are measured again.
pub fn choose(gpu: &Gpu, config: &TrainConfig, model: &Model, data: &[Trajectory]) -> Result<Option<Names>> {
    if gpu.caps().software {
        return Ok(None);
    }
    let (key, file) = (tune::key(gpu, model), cache_file());
    let mut cache: Cache = file
        .as_ref()
        .and_then(|file| read_file(file).ok())
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    if let Some(names) = cache.get(&key) {
        return Ok(Some(names.clone()));
    }
    let names = pollster::block_on(tune::tune(gpu, config, model, data))?;
    cache.insert(key, names.clone());
    if let (Some(file), Ok(bytes)) = (file, serde_json::to_vec_pretty(&cache)) {
        let made = file.parent().map(std::fs::create_dir_all);
        if matches!(made, Some(Ok(()))) {
            // Only a cache: without it the next run measures again.
            let _ = write_file(&file, &bytes);
        }
    }
    Ok(Some(names))
}

/// `tbrm/kernels.json` where this system's users keep what can be made again.
fn cache_file() -> Option<PathBuf> {
    let var = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let dir = if cfg!(windows) {
        var("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        var("HOME").map(|home| home.join("Library/Caches"))
    } else {
        var("XDG_CACHE_HOME").or_else(|| var("HOME").map(|home| home.join(".cache")))
    };
    dir.map(|dir| dir.join("tbrm").join("kernels.json"))
}
