//! The browser: it polls by itself, and its clock is `performance.now()`.

use wasm_bindgen::JsCast;

/// Where adapters are looked for.
pub(crate) const BACKENDS: wgpu::Backends = wgpu::Backends::BROWSER_WEBGPU;

/// The browser drives the callbacks.
#[derive(Debug)]
pub(crate) struct Poller;

impl Poller {
    pub(crate) fn new(_device: &wgpu::Device) -> Self {
        Poller
    }

    pub(crate) fn wake(&self) {}
}

/// Seconds from some fixed moment, in a window or a worker.
pub fn now() -> f64 {
    let global = js_sys::global();
    let clock = match global.dyn_ref::<web_sys::Window>() {
        Some(window) => window.performance(),
        None => global.dyn_ref::<web_sys::WorkerGlobalScope>().and_then(|worker| worker.performance()),
    };
    clock.map_or(f64::NAN, |clock| clock.now() / 1000.0)
}
