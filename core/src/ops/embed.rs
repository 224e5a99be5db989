//! Token embedding.

use super::{Launch, Variants};
use crate::gpu::kernels::embed::{EmbedBwdW, EmbedFwd, EmbedParams, Variant};

/// A workgroup a row.
fn launch(p: &EmbedParams) -> (Variant, usize) {
    (Variant::Base, p.positions as usize)
}

impl Launch for EmbedFwd<'_> {
    fn launch(&self, _: &Variants) -> (Variant, usize) {
        launch(&self.p)
    }
}

impl Launch for EmbedBwdW<'_> {
    fn launch(&self, _: &Variants) -> (Variant, usize) {
        launch(&self.p)
    }
}
