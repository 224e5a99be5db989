//! Vulkan, Metal and DX12: somebody has to poll the device, so a thread does.

use std::sync::mpsc::{Sender, channel};
use std::time::Instant;

/// Where adapters are looked for.
pub(crate) const BACKENDS: wgpu::Backends = wgpu::Backends::PRIMARY;

/// Drives the callbacks of one device: natively nothing calls back until somebody polls.
#[derive(Debug)]
pub(crate) struct Poller(Sender<()>);

impl Poller {
    pub(crate) fn new(device: &wgpu::Device) -> Self {
        let (wake, woken) = channel();
        let device = device.clone();
        std::thread::Builder::new()
            .name("tbrm-poll".into())
            .spawn(move || {
                while woken.recv().is_ok() {
                    // A lost device fires its callbacks with an error: the waiting future reports it.
                    let _ = device.poll(wgpu::PollType::wait_indefinitely());
                }
            })
            .expect("the system can start a thread");
        Poller(wake)
    }

    /// Makes sure that everything submitted so far calls back.
    pub(crate) fn wake(&self) {
        self.0.send(()).expect("the poll thread lives as long as its Poller");
    }
}

/// Seconds from some fixed moment.
pub fn now() -> f64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64()
}
