//! The next token.

use super::{Launch, Variants};
use crate::gpu::kernels::sample::{SampleNext, Variant};

impl Launch for SampleNext<'_> {
    fn launch(&self, variants: &Variants) -> (Variant, usize) {
        (variants.sample, (self.p.rows as usize).div_ceil(variants.sample.consts().rows as usize))
    }
}
