//! The device, and what it is.

use std::cell::RefCell;
use std::rc::Rc;

use serde::Serialize;
use tbrm_core::gpu::{Caps, GpuOptions};
use tbrm_core::train::tune::Tuned;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;

use crate::fault::{self, Result};
use crate::object::to_js;

/// An opened GPU. What runs on it borrows it: one is enough for a worker.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Gpu {
    inner: tbrm_core::Gpu,
    tuned: Rc<RefCell<Tuned>>,
}

#[derive(Debug, Serialize)]
pub(crate) struct DeviceInfo<'a> {
    pub(crate) name: &'a str,
    #[serde(flatten)]
    pub(crate) caps: &'a Caps,
}

/// Opens the browser's GPU. `onfault` hears of what happens by itself: a lost device, an error that the device reports,
/// a panic. The first is the cause; what follows may be its consequence. `tuned` is what `Gpu::tuned` said in an
/// earlier visit.
///
/// Throws a `Fault` of kind `adapter` where the browser shows no GPU.
#[wasm_bindgen]
pub async fn open_gpu(
    #[wasm_bindgen(unchecked_param_type = "(fault: Fault) => void")] onfault: js_sys::Function,
    tuned: Option<String>,
) -> Result<Gpu> {
    fault::listen(onfault);
    let inner = tbrm_core::Gpu::open(&GpuOptions::default()).await?;
    let faulted = inner.faulted();
    spawn_local(async move { fault::report(&faulted.await) });
    // What is damaged costs a measurement, nothing else.
    let tuned = tuned.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    Ok(Gpu { inner, tuned: Rc::new(RefCell::new(tuned)) })
}

#[wasm_bindgen]
impl Gpu {
    /// What it is and what it can do.
    #[wasm_bindgen(unchecked_return_type = "DeviceInfo")]
    pub fn info(&self) -> JsValue {
        to_js(&DeviceInfo { name: &self.inner.info().name, caps: self.inner.caps() })
    }

    /// Which kernels were found to be the fastest, as text to give to `open_gpu` in a later visit: measuring takes
    /// seconds.
    #[wasm_bindgen(js_name = tuned)]
    pub fn tuned_text(&self) -> String {
        serde_json::to_string(&*self.tuned.borrow()).expect("names are text")
    }

    /// Frees the GPU with all its memory, even that of a run that is under way. `onfault` hears of it as of a loss.
    pub fn destroy(&self) {
        self.inner.destroy();
    }
}

impl Gpu {
    pub(crate) fn inner(&self) -> &tbrm_core::Gpu {
        &self.inner
    }

    /// A copy: it is held over awaits.
    pub(crate) fn tuned(&self) -> Tuned {
        self.tuned.borrow().clone()
    }

    /// Them, for what works on after the call that began it.
    pub(crate) fn shared_tuned(&self) -> Rc<RefCell<Tuned>> {
        self.tuned.clone()
    }

    pub(crate) fn keep_tuned(&self, tuned: Tuned) {
        self.tuned.replace(tuned);
    }
}
