//! Rotary position embedding.

use super::{Launch, Variants};
use crate::gpu::kernels::rope::{RopeBwd, RopeFwd, RopeParams, Variant};

/// A workgroup a row.
fn launch(variants: &Variants, p: &RopeParams) -> (Variant, usize) {
    (variants.rope, p.positions as usize)
}

impl Launch for RopeFwd<'_> {
    fn launch(&self, variants: &Variants) -> (Variant, usize) {
        launch(variants, &self.p)
    }
}

impl Launch for RopeBwd<'_> {
    fn launch(&self, variants: &Variants) -> (Variant, usize) {
        launch(variants, &self.p)
    }
}
