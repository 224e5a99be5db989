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

impl Shared {
    /// Removes one waker of those that would wake the same.
    fn forget(&mut self, waker: Option<Waker>) {
        let place = waker.and_then(|waker| self.waiting.iter().position(|other| other.will_wake(&waker)));
        place.map(|place| self.waiting.swap_remove(place));
    }
}

impl FirstFault {
    /// Hears of `device`'s uncaptured errors and of its loss.
    pub(super) fn of(device: &wgpu::Device) -> FirstFault {
        let fault = FirstFault::default();
        let (uncaptured, lost) = (fault.clone(), fault.clone());
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            uncaptured.remember(device_error(&error));
        }));
        device.set_device_lost_callback(move |_, message| lost.lose(&message));
        fault
    }

    /// The device is lost, for the reason in `message`.
    pub(super) fn lose(&self, message: &str) {
        self.remember(Error::new(
            ErrorKind::Device,
            format!("the device was lost: {}", one_line(message)),
            "start again from the last checkpoint; if it happens again, update the driver or use a smaller `micro_batch_tokens`",
        ));
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
        Faulted { fault: self.clone(), waker: None }
    }
}

/// Resolves to the device's first fault, if there ever is one; does not keep the device open.
#[derive(Debug)]
pub struct Faulted {
    fault: FirstFault,
    /// What it left to be woken by.
    waker: Option<Waker>,
}

impl Future for Faulted {
    type Output = Error;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Error> {
        let shared = self.fault.shared.clone();
        let mut shared = shared.lock().expect("no panic under the lock");
        if let Some(error) = &shared.first {
            return Poll::Ready(error.clone());
        }
        let waker = context.waker();
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            shared.forget(self.waker.replace(waker.clone()));
            shared.waiting.push(waker.clone());
        }
        Poll::Pending
    }
}

impl Drop for Faulted {
    /// Who waits beside some work does so for each piece of it anew: what it left would pile up.
    fn drop(&mut self) {
        // After a panic under the lock there is nothing to tidy.
        if let Ok(mut shared) = self.fault.shared.lock() {
            shared.forget(self.waker.take());
        }
    }
}

fn device_error(error: &wgpu::Error) -> Error {
    match error {
        // Not `TooLarge`, which is said before anything is allocated: this device lacks a buffer that its owner counts on.
        wgpu::Error::OutOfMemory { .. } => Error::new(
            ErrorKind::Device,
            "the device is out of memory",
            "use a smaller model, a smaller `micro_batch_tokens`, or close other programs that use the GPU",
        ),
        wgpu::Error::Validation { description, .. } | wgpu::Error::Internal { description, .. } => {
            Error::new(
                ErrorKind::Device,
                format!("the device reported an error: {}", one_line(description)),
                "this is a fault of the program or the driver: update the driver, try another adapter, report it",
            )
        }
    }
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
    fn who_no_longer_waits_is_forgotten() {
        let fault = FirstFault::default();
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..3 {
            let mut faulted = fault.wait();
            for _ in 0..2 {
                assert!(Pin::new(&mut faulted).poll(&mut context).is_pending());
            }
            assert_eq!(fault.shared.lock().unwrap().waiting.len(), 1);
        }
        assert!(fault.shared.lock().unwrap().waiting.is_empty());
    }

    #[test]
    fn a_destroyed_device_is_a_lost_one() {
        let gpu = block_on(Gpu::open(&GpuOptions::default())).unwrap();
        let numbers = gpu.upload("numbers", &[1f32, 2.0]).unwrap();
        gpu.destroy();
        let error = block_on(gpu.read::<f32>(&numbers)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Device, "{error:?}");
        assert!(error.what.contains("lost"), "{error:?}");
        assert_eq!(block_on(gpu.faulted()), error);
    }
}
