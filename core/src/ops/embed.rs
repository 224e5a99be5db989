//! Token embedding.

use super::{Launch, Variants};
use crate::gpu::kernels::embed::{EmbedBwdW, EmbedFwd, EmbedParams, Variant};

fn launch(p: &EmbedParams) -> (Variant, usize) {
    let words = p.positions as usize * p.cols as usize;
    (Variant::Base, words.div_ceil(Variant::Base.consts().wg as usize))
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
