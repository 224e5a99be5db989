//! Bytes back from the device without blocking: a future per mapped staging buffer.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::buffer::Buffer;
use super::device::Gpu;
use crate::error::{Error, ErrorKind, Result};

#[derive(Debug, Default)]
struct Shared {
    outcome: Option<Result<(), wgpu::BufferAsyncError>>,
    waker: Option<Waker>,
}

/// Resolves to the bytes of a staging buffer, and unmaps it.
#[derive(Debug)]
pub(crate) struct Mapped {
    gpu: Gpu,
    staging: Buffer,
    bytes: u64,
    shared: Arc<Mutex<Shared>>,
}

/// Starts to map the first `bytes` of `staging`.
pub(super) fn map(gpu: Gpu, staging: &Buffer, bytes: u64) -> Mapped {
    let shared = Arc::new(Mutex::new(Shared::default()));
    let theirs = shared.clone();
    staging.map_async(wgpu::MapMode::Read, ..bytes, move |outcome| {
        let mut shared = theirs.lock().expect("no panic under the lock");
        shared.outcome = Some(outcome);
        if let Some(waker) = shared.waker.take() {
            waker.wake();
        }
    });
    Mapped { gpu, staging: staging.clone(), bytes, shared }
}

impl Future for Mapped {
    type Output = Result<Vec<u8>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = {
            let mut shared = self.shared.lock().expect("no panic under the lock");
            match shared.outcome.take() {
                Some(outcome) => outcome,
                None => {
                    shared.waker = Some(context.waker().clone());
                    return Poll::Pending;
                }
            }
        };
        // The device's own fault says more than the failed map that follows from it.
        if let Err(fault) = self.gpu.check() {
            return Poll::Ready(Err(fault));
        }
        let refused = |why: String| {
            Error::new(
                ErrorKind::Device,
                format!("cannot read from the device: {why}"),
                "start again from the last checkpoint",
            )
        };
        let bytes = outcome
            .map_err(|e| refused(e.to_string()))
            .and_then(|()| self.staging.get_mapped_range(..self.bytes).map_err(|e| refused(e.to_string())))
            .map(|range| range.to_vec());
        self.staging.unmap();
        Poll::Ready(bytes)
    }
}

/// How many pieces of work one readback should bring the results of. Where a readback is slow whatever it brings (Firefox
/// looks for finished work ten times a second), as many as take a second; elsewhere each comes by itself, as soon as it
/// is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Together {
    slow: bool,
    most: usize,
    count: usize,
}

/// Seconds of an idle device's readback from which it is slow: ten times what other browsers take.
const SLOW: f64 = 0.05;

/// Seconds between two slow readbacks.
const EVERY: f64 = 1.0;

/// There are at most so many times as many together as were measured.
const GROWTH: usize = 8;

impl Together {
    /// One at first, and never more than `most`.
    pub(crate) fn new(gpu: &Gpu, most: usize) -> Together {
        Together { slow: gpu.readback_seconds() > SLOW, most, count: 1 }
    }

    /// The most pieces that ever come together.
    pub(crate) fn most(&self) -> usize {
        if self.slow { self.most } else { 1 }
    }

    /// How many pieces the next readback should wait for.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The results of `count` pieces came back, `seconds` after those before them.
    pub(crate) fn came(&mut self, count: usize, seconds: f64) {
        if self.slow {
            let fits = (count as f64 * EVERY / seconds) as usize;
            self.count = fits.min(count.saturating_mul(GROWTH)).clamp(1, self.most);
        }
    }
}

/// A few staging buffers in turn, so that results of earlier steps come back while later ones run.
#[derive(Debug)]
pub(crate) struct Ring {
    staging: Vec<Buffer>,
    next: usize,
}

impl Ring {
    /// `depth` buffers of `bytes` each: at most `depth` results may be on their way.
    pub(crate) fn new(gpu: &Gpu, label: &str, depth: usize, bytes: u64) -> Result<Ring> {
        let staging = (0..depth).map(|_| gpu.staging(label, bytes)).collect::<Result<_>>()?;
        Ok(Ring { staging, next: 0 })
    }

    /// The buffer whose turn it is; it must have come back before it is used again.
    pub(crate) fn turn(&mut self) -> Buffer {
        let buffer = self.staging[self.next].clone();
        self.next = (self.next + 1) % self.staging.len();
        buffer
    }
}

#[cfg(test)]
mod tests {
    use super::Together;

    #[test]
    fn only_slow_readbacks_wait_for_a_second_of_work() {
        let mut slow = Together { slow: true, most: 32, count: 1 };
        let mut counts = Vec::new();
        // A piece takes 50 ms.
        for _ in 0..4 {
            counts.push(slow.count());
            slow.came(slow.count(), 0.05 * slow.count() as f64);
        }
        assert_eq!(counts, [1, 8, 20, 20]);
        slow.came(20, 60.0);
        assert_eq!(slow.count(), 1, "of a device that was held up");
        (0..9).for_each(|_| slow.came(slow.count(), 0.0));
        assert_eq!(slow.count(), 32);
        let mut quick = Together { slow: false, most: 32, count: 1 };
        (0..9).for_each(|_| quick.came(1, 1e-4));
        assert_eq!(quick.count(), 1);
    }
}
