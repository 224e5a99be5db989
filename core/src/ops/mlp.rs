//! SwiGLU.

use super::{Launch, Variants};
use crate::gpu::kernels::mlp::{MlpBwd, MlpFwd, MlpParams, Variant};

/// A workgroup a row.
fn launch(p: &MlpParams) -> (Variant, usize) {
    (Variant::Base, p.rows as usize)
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
