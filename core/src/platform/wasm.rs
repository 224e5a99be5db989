//! The browser: it polls by itself, and its clock is `performance.now()`.

mod template;

use std::borrow::Cow;

use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};

use crate::gpu::kernel::KernelDesc;

pub(crate) use template::Template;

// wgpu's browser backend does not know the feature, so a device would never have it: whoever opens one is made to ask.
#[wasm_bindgen(inline_js = r#"
let wanted = false;
let open;

export function want_subgroups(yes) {
    wanted = yes;
    const adapter = globalThis.GPUAdapter?.prototype;
    if (open || !adapter) return;
    open = adapter.requestDevice;
    adapter.requestDevice = function (descriptor) {
        if (!wanted || !this.features.has("subgroups")) return open.call(this, descriptor);
        const requiredFeatures = [...(descriptor?.requiredFeatures ?? []), "subgroups"];
        return open.call(this, { ...descriptor, requiredFeatures });
    };
}
"#)]
extern "C" {
    /// Whether devices opened from now on have subgroups, where the adapter has them.
    pub(crate) fn want_subgroups(yes: bool);
}

/// Whether `device` has them.
pub(crate) fn has_subgroups(device: &wgpu::Device) -> bool {
    device.as_webgpu().is_some_and(|device| device.features().has("subgroups"))
}

/// The kernel's text for a browser, which insists on a line that naga refuses.
pub(crate) fn source(desc: &KernelDesc) -> Cow<'static, str> {
    if desc.subgroups {
        // A workgroup is one subgroup here, and its branches depend on what all of its lanes have read alike: a browser cannot
        // prove that, and would refuse the kernel.
        format!("enable subgroups;\ndiagnostic(off, subgroup_uniformity);\n{}", desc.source).into()
    } else {
        desc.source.into()
    }
}

/// Where adapters are looked for.
pub(crate) const BACKENDS: wgpu::Backends = wgpu::Backends::BROWSER_WEBGPU;

/// What to do where there is no adapter.
pub(crate) const NO_ADAPTER: &str = "use a browser with WebGPU (Chrome or Edge 113, Firefox 141, Safari 26, or newer) and \
     let it use the GPU: see its page about the GPU or its settings for hardware acceleration";

/// A browser shows one adapter at a time: where a laptop has two, the fast one.
pub(crate) async fn adapters(instance: &wgpu::Instance) -> Vec<wgpu::Adapter> {
    let options = wgpu::RequestAdapterOptions {
        power_preference: wgpu::PowerPreference::HighPerformance,
        ..wgpu::RequestAdapterOptions::default()
    };
    instance.request_adapter(&options).await.into_iter().collect()
}

/// Names the adapter from what the browser tells of it: most say what made it and its family, few describe it.
pub(crate) fn describe(info: &mut wgpu::AdapterInfo, device: &wgpu::Device) {
    let Some(device) = device.as_webgpu() else { return };
    // Safari and older browsers have no `adapterInfo` on the device.
    let told = js_sys::Reflect::get(device, &"adapterInfo".into()).unwrap_or(JsValue::UNDEFINED);
    let tell = |key: &str| {
        js_sys::Reflect::get(&told, &key.into()).ok()?.as_string().filter(|text| !text.is_empty())
    };
    let words: Vec<String> =
        ["vendor", "architecture", "device", "description"].iter().filter_map(|key| tell(key)).collect();
    info.name = if words.is_empty() { "GPU".to_owned() } else { words.join(" ") };
    // No browser says so of every software driver: Chromium's and Mesa's are known by name.
    let name = info.name.to_lowercase();
    if ["swiftshader", "llvmpipe", "lavapipe"].iter().any(|driver| name.contains(driver)) {
        info.device_type = wgpu::DeviceType::Cpu;
    }
}

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
