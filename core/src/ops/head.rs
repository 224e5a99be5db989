//! Statistics of completion rows, and their gradient.

use super::{Launch, Variants};
use crate::gpu::kernels::head::{HeadBwd, HeadStats, Variant};

impl Launch for HeadStats<'_> {
    fn launch(&self, variants: &Variants) -> (Variant, usize) {
        (variants.head, (self.p.rows as usize).div_ceil(variants.head.consts().rows as usize))
    }
}

impl Launch for HeadBwd<'_> {
    fn launch(&self, variants: &Variants) -> (Variant, usize) {
        (variants.head, (self.p.rows as usize).div_ceil(variants.head.consts().rows as usize))
    }
}
