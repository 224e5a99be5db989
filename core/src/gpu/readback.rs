//! Bytes back from the device without blocking: a future per mapped staging buffer.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

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
    staging: wgpu::Buffer,
    bytes: u64,
    shared: Arc<Mutex<Shared>>,
}

/// Starts to map the first `bytes` of `staging`.
pub(super) fn map(gpu: Gpu, staging: &wgpu::Buffer, bytes: u64) -> Mapped {
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
                "start again with --resume",
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

/// A few staging buffers in turn, so that results of earlier steps come back while later ones run.
#[derive(Debug)]
pub(crate) struct Ring {
    staging: Vec<wgpu::Buffer>,
    next: usize,
}

impl Ring {
    /// `depth` buffers of `bytes` each: at most `depth` results may be on their way.
    pub(crate) fn new(gpu: &Gpu, label: &str, depth: usize, bytes: u64) -> Result<Ring> {
        let staging = (0..depth).map(|_| gpu.staging(label, bytes)).collect::<Result<_>>()?;
        Ok(Ring { staging, next: 0 })
    }

    /// The buffer whose turn it is; it must have come back before it is used again.
    pub(crate) fn turn(&mut self) -> wgpu::Buffer {
        let buffer = self.staging[self.next].clone();
        self.next = (self.next + 1) % self.staging.len();
        buffer
    }
}
