//! The tuner's choices, kept per adapter, driver and model shape in the user's cache directory: a GPU is measured
//! once.

use std::path::PathBuf;

use tbrm_core::data::trajectory::Trajectory;
use tbrm_core::ops::Names;
use tbrm_core::train::tune::Tuned;
use tbrm_core::{Gpu, Model, TrainConfig};

use crate::exit::Failure;
use crate::store;

/// The kernels to train `model` with: from the cache, or measured now. A software adapter has a fixed table.
///
/// # Errors
/// When the device fails while it is measured.
pub fn variants(
    gpu: &Gpu,
    config: &TrainConfig,
    model: &Model,
    data: &[Trajectory],
) -> Result<Names, Failure> {
    let file = file();
    let mut tuned: Tuned = file
        .as_ref()
        .and_then(|path| store::read_file(path).ok())
        // A damaged cache costs a measurement, nothing else.
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let measures = tuned.measures(gpu, model);
    if measures {
        eprintln!("measuring kernels on {}, once", gpu.info().name);
    }
    let names = pollster::block_on(tuned.variants(gpu, config, model, data))?;
    if let Some(path) = file.filter(|_| measures) {
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        let written = made.is_ok().then(|| serde_json::to_vec_pretty(&tuned).ok()).flatten();
        // A cache that cannot be written costs a measurement next time, nothing else.
        let _ = written.map(|bytes| store::write_file(&path, &bytes));
    }
    Ok(names)
}

/// `tbrm/variants.json` in the user's cache directory, where the system has one.
fn file() -> Option<PathBuf> {
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = if cfg!(windows) {
        var("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        var("HOME").map(|home| home.join("Library/Caches"))
    } else {
        var("XDG_CACHE_HOME").or_else(|| var("HOME").map(|home| home.join(".cache")))
    };
    cache.map(|cache| cache.join("tbrm").join("variants.json"))
}
