//! One file per shader family: it alone knows which variant runs and on how large a grid. Everything else fills in a
//! kernel's generated struct, a field per array, and hands it to [`Ops::run`].

pub mod adamw;
pub mod attention;
pub mod cache;
pub mod copy;
pub mod embed;
pub mod head;
pub mod matmul;
pub mod mlp;
pub mod norm;
pub mod objective;
pub mod rope;
pub mod rows;
pub mod sample;
pub mod step;
pub mod value;
mod variants;
mod widths;

pub use variants::{Names, Variants};
pub use widths::Widths;

use crate::gpu::Recorder;
use crate::gpu::kernel::Kernel;

/// A kernel that knows how to be launched.
pub trait Launch: Kernel {
    /// The variant to run, and the number of workgroups: 0 when there is nothing to do.
    fn launch(&self, variants: &Variants) -> (Self::Variant, usize);
}

/// Records kernels with the variants chosen for the device.
pub struct Ops<'r> {
    /// Where they are recorded.
    pub rec: &'r mut Recorder,
    /// The variant of each family.
    pub variants: Variants,
}

impl Ops<'_> {
    /// Records one kernel.
    pub fn run<K: Launch>(&mut self, kernel: K) {
        let (variant, groups) = kernel.launch(&self.variants);
        self.rec.run(kernel, variant, groups);
    }
}
