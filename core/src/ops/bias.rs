//! The gradient of a bias.

use super::{Launch, Variants};
use crate::gpu::kernels::bias::{BiasBwd, Variant};

impl Launch for BiasBwd<'_> {
    fn launch(&self, _: &Variants) -> (Variant, usize) {
        (Variant::Base, (self.p.cols as usize).div_ceil(Variant::Base.consts().wg as usize))
    }
}
