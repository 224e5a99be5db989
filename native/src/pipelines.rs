//! Compiled kernels, kept per adapter in the user's cache directory: the next process need not compile them again.

use std::sync::Mutex;

use tbrm_core::Gpu;

use crate::cache_dir;

/// The opened device, and what lies in its file.
static KEPT: Mutex<Option<(Gpu, Option<Vec<u8>>)>> = Mutex::new(None);

/// Gives `gpu` what an earlier process kept. Call it before the first kernel is compiled.
pub fn load(gpu: &Gpu) {
    let Some(key) = gpu.pipeline_cache_key() else { return };
    let stored = cache_dir::read(&key);
    let used = gpu.keep_pipelines(stored.as_deref());
    *KEPT.lock().expect("no panic under the lock") = Some((gpu.clone(), stored.filter(|_| used)));
}

/// Keeps what the process compiled, at its end.
pub fn save() {
    let Some((gpu, stored)) = KEPT.lock().expect("no panic under the lock").take() else { return };
    let now = gpu.kept_pipelines();
    if let (Some(key), Some(bytes)) = (gpu.pipeline_cache_key(), &now)
        && now != stored
    {
        cache_dir::write(&key, bytes);
    }
}
