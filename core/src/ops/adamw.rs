//! The gradient's norm, and the update.

use super::{Launch, Variants};
use crate::gpu::kernels::adamw::{AdamwNorm, AdamwNormPartial, AdamwUpdate, Variant};

/// How many workgroups cover `count` words.
fn blocks(variant: Variant, count: u32) -> usize {
    (count as usize).div_ceil(variant.consts().block as usize)
}

/// How many partial sums of squares `count` words make.
pub fn partials(variants: &Variants, count: usize) -> usize {
    blocks(variants.adamw, count as u32) * variants.adamw.consts().sums as usize
}

impl Launch for AdamwNormPartial<'_> {
    fn launch(&self, variants: &Variants) -> (Variant, usize) {
        (variants.adamw, blocks(variants.adamw, self.p.count))
    }
}

impl Launch for AdamwNorm<'_> {
    fn launch(&self, variants: &Variants) -> (Variant, usize) {
        (variants.adamw, 1)
    }
}

impl Launch for AdamwUpdate<'_> {
    fn launch(&self, variants: &Variants) -> (Variant, usize) {
        (variants.adamw, blocks(variants.adamw, self.p.count))
    }
}
