//! The critic's values.

use super::{Launch, Variants};
use crate::gpu::kernels::norm;
use crate::gpu::kernels::value::{ValueBwdW, ValueBwdX, ValueFwd, ValueParams, Variant};

/// Rows are shared out as in the norm before it: what suits one suits the other.
fn variant(variants: &Variants) -> Variant {
    match variants.norm.scalar {
        norm::Variant::Tile => Variant::Tile,
        norm::Variant::Lane | norm::Variant::LaneVec4 => Variant::Lane,
    }
}

fn by_rows(variants: &Variants, p: &ValueParams) -> (Variant, usize) {
    let variant = variant(variants);
    (variant, (p.rows as usize).div_ceil(variant.consts().rows as usize))
}

impl Launch for ValueFwd<'_> {
    fn launch(&self, variants: &Variants) -> (Variant, usize) {
        by_rows(variants, &self.p)
    }
}

impl Launch for ValueBwdX<'_> {
    fn launch(&self, variants: &Variants) -> (Variant, usize) {
        by_rows(variants, &self.p)
    }
}

impl Launch for ValueBwdW<'_> {
    fn launch(&self, variants: &Variants) -> (Variant, usize) {
        let variant = variant(variants);
        // The bias is one more column.
        (variant, (self.p.cols as usize + 1).div_ceil(variant.consts().cols as usize))
    }
}
