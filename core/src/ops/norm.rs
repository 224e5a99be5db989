//! RMSNorm.

use super::{Launch, Variants};
use crate::gpu::kernels::norm::{NormBwdW, NormBwdX, NormFwd, Variant};

impl Launch for NormFwd<'_> {
    fn launch(&self, variants: &Variants) -> (Variant, usize) {
        (variants.norm, (self.p.rows as usize).div_ceil(variants.norm.consts().rows as usize))
    }
}

impl Launch for NormBwdX<'_> {
    fn launch(&self, variants: &Variants) -> (Variant, usize) {
        (variants.norm, (self.p.rows as usize).div_ceil(variants.norm.consts().rows as usize))
    }
}

impl Launch for NormBwdW<'_> {
    fn launch(&self, variants: &Variants) -> (Variant, usize) {
        (variants.norm, (self.p.cols as usize).div_ceil(variants.norm.consts().cols as usize))
    }
}
