//! Training by TBRM in a browser tab: wasm bindings over `tbrm-core`, for the worker that owns the GPU. No training
//! logic: every call passes what it is given to the core and what the core says back.
//!
//! Built by `cargo run -p tbrm-bundle`, which writes the module `tbrm.js`, its types and its wasm for the page.
//!
//! ```text
//! await init();                                  // the module's default export: fetches the wasm
//! const gpu = await open_gpu(onfault);           // one a worker
//! gpu.info();                                    // DeviceInfo
//! presets();                                     // PresetInfo[]
//! await bench(gpu, "nano", 10, "tbrm", onstep);  // BenchReport, as `tbrm bench --json`
//! gpu.destroy();
//! ```
//!
//! Objects cross as plain objects, described in `types.d.ts`. Every call throws a `Fault` `{kind, what, help}`; what
//! happens by itself (a lost device, an error of the device, a panic) is told to `onfault`. After a panic the module is
//! of no use: its promises stay pending, and only a new worker helps.

#![forbid(unsafe_code)]

mod bench;
mod fault;
mod gpu;
mod macrotask;
mod object;

use wasm_bindgen::prelude::wasm_bindgen;

pub use bench::{bench, presets};
pub use fault::{Fault, Result};
pub use gpu::{Gpu, open_gpu};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = include_str!("types.d.ts");
