//! The first fault that a device reports on its own: it is the cause, and what follows it only confuses.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use crate::error::{Error, ErrorKind, Result};

/// Where a device's callbacks leave the first fault; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct FirstFault {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    first: Option<Error>,
    waiting: Vec<Waker>,
}

impl FirstFault {
    /// Hears of `device`'s uncaptured errors and of its loss.
    pub(super) fn of(device: &wgpu::Device) -> FirstFault {
        let fault = FirstFault::default();
        let (uncaptured, lost) = (fault.clone(), fault.clone());
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            uncaptured.remember(device_error(&error));
        }));
        device.set_device_lost_callback(move |_, message| lost.remember(lost_error(&message)));
        fault
    }

    fn remember(&self, error: Error) {
        let waiting = {
            let mut shared = self.shared.lock().expect("no panic under the lock");
            shared.first.get_or_insert(error);
            std::mem::take(&mut shared.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    pub(super) fn check(&self) -> Result<()> {
        match &self.shared.lock().expect("no panic under the lock").first {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    pub(super) fn wait(&self) -> Faulted {
        Faulted { fault: self.clone() }
    }
}

/// Resolves to the device's first fault, if there ever is one; does not keep the device open.
#[derive(Debug)]
pub struct Faulted {
    fault: FirstFault,
}

impl Future for Faulted {
    type Output = Error;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Error> {
        let mut shared = self.fault.shared.lock().expect("no panic under the lock");
        match &shared.first {
            Some(error) => Poll::Ready(error.clone()),
            None => {
                if !shared.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                    shared.waiting.push(context.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}

fn device_error(error: &wgpu::Error) -> Error {
    match error {
        wgpu::Error::OutOfMemory { .. } => Error::new(
            ErrorKind::TooLarge,
            "the device is out of memory",
            "use a smaller model, a smaller --micro-batch-tokens, or close other programs that use the GPU",
        ),
        wgpu::Error::Validation { description, .. } | wgpu::Error::Internal { description, .. } => {
            Error::new(
                ErrorKind::Device,
                format!("the device reported an error: {}", one_line(description)),
                "this is a fault of the program or the driver: update the driver, try another --adapter, report it",
            )
        }
    }
}

fn lost_error(message: &str) -> Error {
    Error::new(
        ErrorKind::Device,
        format!("the device was lost: {}", one_line(message)),
        "start again with --resume; if it happens again, update the driver or use a smaller --micro-batch-tokens",
    )
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use pollster::block_on;

    use super::*;
    use crate::Gpu;
    use crate::gpu::GpuOptions;

    fn error(what: &str) -> Error {
        Error::new(ErrorKind::Device, what, "")
    }

    #[test]
    fn the_first_fault_wins_and_wakes_who_waits() {
        let fault = FirstFault::default();
        let waiting = std::thread::spawn({
            let faulted = fault.wait();
            move || block_on(faulted)
        });
        assert_eq!(fault.check(), Ok(()));
        fault.remember(error("the cause"));
        fault.remember(error("a consequence"));
        assert_eq!(waiting.join().unwrap(), error("the cause"));
        assert_eq!(fault.check(), Err(error("the cause")));
        assert_eq!(block_on(fault.wait()), error("the cause"), "also who asks too late");
    }

    #[test]
    fn a_destroyed_device_is_a_lost_one() {
        let gpu = block_on(Gpu::open(&GpuOptions::default())).unwrap();
        let numbers = gpu.upload("numbers", &[1f32, 2.0]).unwrap();
        gpu.destroy();
        let error = block_on(gpu.read::<f32>(&numbers)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Device, "{error:?}");
        let fault = block_on(gpu.faulted());
        assert!(fault.kind == ErrorKind::Device && fault.what.contains("lost"), "{fault:?}");
    }
}
