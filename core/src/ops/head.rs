//! Statistics of completion rows, and their gradient.

use super::{Launch, Variants};
use crate::gpu::kernels::head::{HeadBwd, HeadParams, HeadStats, Variant};

/// Which kernels read logits: the scalar one takes every vocabulary, the vec4 one rows that are multiples of 4 words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadVariants {
    /// For any vocabulary.
    pub scalar: Variant,
    /// For rows that are multiples of 4 words.
    pub vec4: Variant,
}

fn launch(variants: &Variants, p: &HeadParams) -> (Variant, usize) {
    let HeadVariants { scalar, vec4 } = variants.head;
    let variant = if p.stride.is_multiple_of(4) { vec4 } else { scalar };
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
