//! SwiGLU.

use super::{Launch, Variants};
use crate::gpu::kernels::mlp::{MlpBwd, MlpFwd, MlpParams, Variant};

fn launch(p: &MlpParams) -> (Variant, usize) {
    let words = p.rows as usize * p.cols as usize;
    (Variant::Base, words.div_ceil(Variant::Base.consts().wg as usize))
}

impl Launch for MlpFwd<'_> {
    fn launch(&self, _: &Variants) -> (Variant, usize) {
        launch(&self.p)
    }
}

impl Launch for MlpBwd<'_> {
    fn launch(&self, _: &Variants) -> (Variant, usize) {
        launch(&self.p)
    }
}
