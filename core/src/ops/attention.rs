//! Attention.

use super::{Launch, Variants};
use crate::gpu::kernels::attention::{
    AttentionBwdDelta, AttentionBwdKv, AttentionBwdQ, AttentionFwd, AttentionParams, Variant,
};

/// A workgroup for each head of as many consecutive rows as its invocations own.
fn rows(variants: &Variants, p: &AttentionParams, heads: u32) -> (Variant, usize) {
    let consts = variants.attention.consts();
    let blocks = p.tokens.div_ceil(consts.rows * consts.workgroup);
    (variants.attention, blocks as usize * heads as usize)
}

impl Launch for AttentionFwd<'_> {
    fn launch(&self, variants: &Variants) -> (Variant, usize) {
        rows(variants, &self.p, self.p.heads)
    }
}

impl Launch for AttentionBwdDelta<'_> {
    fn launch(&self, variants: &Variants) -> (Variant, usize) {
        let items = self.p.tokens as usize * self.p.heads as usize;
        (variants.attention, items.div_ceil(variants.attention.consts().workgroup as usize))
    }
}

impl Launch for AttentionBwdQ<'_> {
    fn launch(&self, variants: &Variants) -> (Variant, usize) {
        rows(variants, &self.p, self.p.heads)
    }
}

impl Launch for AttentionBwdKv<'_> {
    fn launch(&self, variants: &Variants) -> (Variant, usize) {
        rows(variants, &self.p, self.p.kv_heads)
    }
}
