//! Vulkan, Metal and DX12: somebody has to poll the device, so a thread does.

use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

/// Where adapters are looked for.
pub(crate) const BACKENDS: wgpu::Backends = wgpu::Backends::PRIMARY;

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
        let thread = thread::Builder::new()
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
        let sent = self.wake.as_ref().map(|wake| wake.send(()));
        sent.expect("set until drop").expect("the poll thread lives as long as its Poller");
    }
}

impl Drop for Poller {
    /// Waits for the thread to let go of the device: a process that ends while a driver is being torn down in
    /// another thread may crash (lavapipe does).
    fn drop(&mut self) {
        drop(self.wake.take());
        if let Some(thread) = self.thread.take() {
            // It cannot fail, and there is nobody to tell.
            let _ = thread.join();
        }
    }
}

/// Seconds from some fixed moment.
pub fn now() -> f64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64()
}
