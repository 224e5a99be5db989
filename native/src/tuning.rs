//! The tuner's choices, kept per adapter, driver and model shape in the user's cache directory: a GPU is measured
//! once.

use tbrm_core::data::trajectory::Trajectory;
use tbrm_core::ops::Names;
use tbrm_core::train::tune::Tuned;
use tbrm_core::{Gpu, Model, TrainConfig};

use crate::cache_dir;
use crate::exit::Failure;

const FILE: &str = "variants.json";

/// The choices that were made before.
pub fn load() -> Tuned {
    // A damaged cache costs a measurement, nothing else.
    cache_dir::read(FILE).and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// Keeps them.
pub fn save(tuned: &Tuned) {
    if let Ok(bytes) = serde_json::to_vec_pretty(tuned) {
        cache_dir::write(FILE, &bytes);
    }
}

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
    let mut tuned = load();
    let measures = tuned.measures(gpu, model);
    if measures {
        eprintln!("measuring kernels on {}, once", gpu.info().name);
    }
    let names = pollster::block_on(tuned.variants(gpu, config, model, data))?;
    if measures {
        save(&tuned);
    }
    Ok(names)
}
