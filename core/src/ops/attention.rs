//! Attention.

use super::{Launch, Variants};
use crate::gpu::kernels::attention::{
    AttentionBwdDelta, AttentionBwdKv, AttentionBwdQ, AttentionFwd, AttentionParams, Variant,
};

fn launch(variants: &Variants, p: &AttentionParams, heads: u32) -> (Variant, usize) {
    let items = p.t as usize * heads as usize;
    (variants.attention, items.div_ceil(variants.attention.consts().wg as usize))
}

impl Launch for AttentionFwd<'_> {
    fn launch(&self, variants: &Variants) -> (Variant, usize) {
        launch(variants, &self.p, self.p.h)
    }
}

impl Launch for AttentionBwdDelta<'_> {
    fn launch(&self, variants: &Variants) -> (Variant, usize) {
        launch(variants, &self.p, self.p.h)
    }
}

impl Launch for AttentionBwdQ<'_> {
    fn launch(&self, variants: &Variants) -> (Variant, usize) {
        launch(variants, &self.p, self.p.h)
    }
}

impl Launch for AttentionBwdKv<'_> {
    fn launch(&self, variants: &Variants) -> (Variant, usize) {
        launch(variants, &self.p, self.p.k)
    }
}
