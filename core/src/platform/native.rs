//! Vulkan, Metal and DX12: somebody has to poll the device, so a thread does.

use std::borrow::Cow;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::gpu::kernel::KernelDesc;

pub(crate) use tbrm_template::Template;

/// Where adapters are looked for.
pub(crate) const BACKENDS: wgpu::Backends = wgpu::Backends::PRIMARY;

/// What to do where there is no adapter.
pub(crate) const NO_ADAPTER: &str = "install a Vulkan, Metal or DX12 driver; on Debian or Ubuntu `apt-get install \
     mesa-vulkan-drivers` brings a software one";

pub(crate) async fn adapters(instance: &wgpu::Instance) -> Vec<wgpu::Adapter> {
    instance.enumerate_adapters(BACKENDS).await
}

/// Adapters here describe themselves in full.
pub(crate) fn describe(_info: &mut wgpu::AdapterInfo, _device: &wgpu::Device) {}

/// wgpu asks for them like for any feature.
pub(crate) fn want_subgroups(_yes: bool) {}

pub(crate) fn has_subgroups(device: &wgpu::Device) -> bool {
    device.features().contains(wgpu::Features::SUBGROUP)
}

/// The kernel's text for naga.
pub(crate) fn source(desc: &KernelDesc) -> Cow<'static, str> {
    desc.source.into()
}

/// Drives the callbacks of one device: natively nothing calls back until somebody polls.
#[derive(Debug)]
pub(crate) struct Poller {
    wake: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Poller {
    pub(crate) fn new(device: &wgpu::Device) -> Self {
        let (wake, woken) = channel();
        let device = device.clone();
        let thread = std::thread::Builder::new()
            .name("tbrm-poll".into())
            .spawn(move || {
                while woken.recv().is_ok() {
                    // A lost device fires its callbacks with an error: the waiting future reports it.
                    let _ = device.poll(wgpu::PollType::wait_indefinitely());
                }
            })
            .expect("the system can start a thread");
        Poller { wake: Some(wake), thread: Some(thread) }
    }

    /// Makes sure that everything submitted so far calls back.
    pub(crate) fn wake(&self) {
        let wake = self.wake.as_ref().expect("only dropping takes it");
        wake.send(()).expect("the poll thread lives as long as its Poller");
    }
}

impl Drop for Poller {
    /// Waits for the thread: a driver that is still at work when the process ends may crash it.
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let own = thread.thread().id() == std::thread::current().id();
            if !own {
                // The thread only polls; if it panicked, there is nothing left to clean up.
                let _ = thread.join();
            }
        }
    }
}

/// Seconds from some fixed moment.
pub fn now() -> f64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64()
}
