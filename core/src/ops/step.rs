//! A decode step in one dispatch.

use std::num::NonZero;
use std::thread::available_parallelism;

use super::{Launch, Variants};
use crate::gpu::kernels::step::{StepDecode, Variant};

/// The variant for `rows` sequences of a model whose heads have `head_dim` channels: the more of them a workgroup takes, the fewer
/// times weights are loaded, as long as every thread of the processor has a workgroup. All give the same bits.
pub(crate) fn variant(rows: usize, head_dim: usize) -> Variant {
    let threads = available_parallelism().map_or(1, NonZero::get);
    let small = head_dim <= 4 * Variant::OneD32.consts().quads as usize;
    let fitting = if small {
        [Variant::OneD32, Variant::Rows8D32, Variant::Rows16D32, Variant::Rows32D32]
    } else {
        [Variant::OneD128, Variant::Rows8D128, Variant::Rows16D128, Variant::Rows32D128]
    };
    let suffices = |variant: &Variant| rows <= threads * variant.consts().sequences as usize;
    let [.., largest] = fitting;
    fitting.into_iter().find(suffices).unwrap_or(largest)
}

impl Launch for StepDecode<'_> {
    fn launch(&self, _: &Variants) -> (Variant, usize) {
        let rows = self.p.rows as usize;
        let variant = variant(rows, self.p.head_dim as usize);
        (variant, rows.div_ceil(variant.consts().sequences as usize))
    }
}
