//! RMSNorm.

use super::{Launch, Variants};
use crate::gpu::kernels::norm::{NormBwdW, NormBwdX, NormFwd, NormParams, Variant};

fn by_rows(variants: &Variants, p: &NormParams) -> (Variant, usize) {
    let variant = variants.norm.pick(p.cols);
    (variant, (p.rows as usize).div_ceil(variant.consts().rows as usize))
}

impl Launch for NormFwd<'_> {
    fn launch(&self, variants: &Variants) -> (Variant, usize) {
        by_rows(variants, &self.p)
    }
}

impl Launch for NormBwdX<'_> {
    fn launch(&self, variants: &Variants) -> (Variant, usize) {
        by_rows(variants, &self.p)
    }
}

impl Launch for NormBwdW<'_> {
    fn launch(&self, variants: &Variants) -> (Variant, usize) {
        let variant = variants.norm.pick(self.p.cols);
        (variant, (self.p.cols as usize).div_ceil(variant.consts().cols as usize))
    }
}
