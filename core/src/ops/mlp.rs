//! SwiGLU.

use super::{Launch, Variants};
use crate::gpu::kernels::mlp::{MlpBwd, MlpFwd, MlpParams, Variant};

/// A workgroup a row.
fn launch(variants: &Variants, p: &MlpParams) -> (Variant, usize) {
    (variants.mlp.pick(p.cols), p.rows as usize)
}

impl Launch for MlpFwd<'_> {
    fn launch(&self, variants: &Variants) -> (Variant, usize) {
        launch(variants, &self.p)
    }
}

impl Launch for MlpBwd<'_> {
    fn launch(&self, variants: &Variants) -> (Variant, usize) {
        launch(variants, &self.p)
    }
}
