//! Rotary position embedding.

use super::{Launch, Variants};
use crate::gpu::kernels::rope::{RopeBwd, RopeFwd, RopeParams, Variant};

fn launch(p: &RopeParams) -> (Variant, usize) {
    let pairs = p.positions as usize * p.heads as usize * (p.head_dim / 2) as usize;
    (Variant::Base, pairs.div_ceil(Variant::Base.consts().wg as usize))
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
