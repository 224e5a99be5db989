//! Statistics of completion rows, and their gradient.

use super::{Launch, Variants};
use crate::gpu::kernels::head::{HeadBwd, HeadParams, HeadStats, Variant};

fn launch(variants: &Variants, p: &HeadParams) -> (Variant, usize) {
    let variant = variants.head.pick(p.stride);
    (variant, (p.rows as usize).div_ceil(variant.consts().rows as usize))
}

impl Launch for HeadStats<'_> {
    fn launch(&self, variants: &Variants) -> (Variant, usize) {
        launch(variants, &self.p)
    }
}

impl Launch for HeadBwd<'_> {
    fn launch(&self, variants: &Variants) -> (Variant, usize) {
        launch(variants, &self.p)
    }
}
