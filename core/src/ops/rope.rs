//! Rotary position embedding.

use super::{Launch, Variants};
use crate::gpu::kernels::rope::{RopeBwd, RopeFwd, RopeParams, Variant};

/// A workgroup a row.
fn launch(p: &RopeParams) -> (Variant, usize) {
    (Variant::Base, p.positions as usize)
}

impl Launch for RopeFwd<'_> {
    fn launch(&self, _: &Variants) -> (Variant, usize) {
        launch(&self.p)
    }
}

impl Launch for RopeBwd<'_> {
    fn launch(&self, _: &Variants) -> (Variant, usize) {
        launch(&self.p)
    }
}
