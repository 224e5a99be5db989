//! Where a kernel's arrays live: a [`View`] is a byte range of a real buffer, or of a tensor whose place the
//! arena will choose when the plan is finished.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Every tensor starts at a multiple of this many bytes: WebGPU's largest offset alignment for a binding.
pub const ALIGN: u64 = 256;

/// Bytes of one f32 or u32, the only element types of the kernels.
pub const WORD: u64 = 4;

/// A buffer of the device. The last clone gives its memory back: a browser would wait for its garbage collector, which
/// knows nothing of the GPU's.
#[derive(Clone, Debug)]
pub(crate) struct Buffer(Arc<Held>);

#[derive(Debug)]
struct Held {
    buffer: wgpu::Buffer,
    /// Bytes that the device holds for all buffers.
    held: Arc<AtomicU64>,
}

impl Buffer {
    /// Counts its bytes in `held`, as long as it lives.
    pub(super) fn new(buffer: wgpu::Buffer, held: &Arc<AtomicU64>) -> Buffer {
        held.fetch_add(buffer.size(), Ordering::Relaxed);
        Buffer(Arc::new(Held { buffer, held: held.clone() }))
    }
}

impl PartialEq for Buffer {
    fn eq(&self, other: &Buffer) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Deref for Buffer {
    type Target = wgpu::Buffer;

    fn deref(&self) -> &wgpu::Buffer {
        &self.0.buffer
    }
}

impl Drop for Held {
    /// Work that was submitted is done first.
    fn drop(&mut self) {
        self.buffer.destroy();
        self.held.fetch_sub(self.buffer.size(), Ordering::Relaxed);
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Slot {
    /// A tensor of the recorder, by number.
    Planned(u32),
    /// A buffer that outlives the plan.
    Bound(Buffer),
    /// A buffer that a rehearsal did not make, by number.
    Absent(u64),
}

/// A range of memory that kernels read and write as an array of 32-bit words.
#[derive(Clone, Debug)]
pub struct View {
    pub(crate) slot: Slot,
    pub(crate) offset: u64, // bytes
    pub(crate) size: u64,   // bytes
}

impl View {
    /// The whole of `buffer`.
    pub(crate) fn whole(buffer: Buffer) -> Self {
        let size = buffer.size();
        View { slot: Slot::Bound(buffer), offset: 0, size }
    }

    /// A buffer of its own that is only counted.
    pub(crate) fn absent(size: u64) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        View { slot: Slot::Absent(NEXT.fetch_add(1, Ordering::Relaxed)), offset: 0, size }
    }

    /// How many 32-bit words.
    pub fn len(&self) -> usize {
        (self.size / WORD) as usize
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// Bytes.
    pub fn bytes(&self) -> u64 {
        self.size
    }

    /// `len` words from word `start` on.
    ///
    /// # Panics
    /// When the range does not lie inside, or does not start at a multiple of [`ALIGN`] bytes: both are mistakes
    /// in the program, not in its input.
    #[must_use]
    pub fn slice(&self, start: usize, len: usize) -> View {
        let (offset, size) = (start as u64 * WORD, len as u64 * WORD);
        assert!(offset + size <= self.size, "slice {start}+{len} of a view of {} words", self.len());
        assert!(offset.is_multiple_of(ALIGN), "slice at word {start} is not aligned to {ALIGN} bytes");
        View { slot: self.slot.clone(), offset: self.offset + offset, size }
    }

    /// Whether the two ranges share a byte.
    pub(crate) fn overlaps(&self, other: &View) -> bool {
        let same = match (&self.slot, &other.slot) {
            (Slot::Planned(a), Slot::Planned(b)) => a == b,
            (Slot::Bound(a), Slot::Bound(b)) => a == b,
            (Slot::Absent(a), Slot::Absent(b)) => a == b,
            _ => false,
        };
        same && self.offset < other.offset + other.size && other.offset < self.offset + self.size
    }

    /// The real buffer behind it.
    ///
    /// # Panics
    /// When it belongs to a plan that was not finished: such a tensor has no memory yet.
    pub(crate) fn buffer(&self) -> &Buffer {
        match &self.slot {
            Slot::Bound(buffer) => buffer,
            Slot::Planned(id) => panic!("tensor {id} of a plan has no buffer of its own"),
            Slot::Absent(id) => panic!("buffer {id} belongs to a rehearsal"),
        }
    }

    pub(crate) fn into_buffer(self) -> Buffer {
        self.buffer().clone()
    }

    /// Appends a copy of it to `offset` bytes into `to`.
    pub(crate) fn encode_copy(&self, encoder: &mut wgpu::CommandEncoder, to: &wgpu::Buffer, offset: u64) {
        encoder.copy_buffer_to_buffer(self.buffer(), self.offset, to, offset, self.size);
    }

    pub(crate) fn planned(&self) -> Option<u32> {
        match self.slot {
            Slot::Planned(id) => Some(id),
            Slot::Bound(_) | Slot::Absent(_) => None,
        }
    }
}

/// Rounds `bytes` up to the next multiple of [`ALIGN`].
pub fn align_up(bytes: u64) -> u64 {
    bytes.next_multiple_of(ALIGN)
}
