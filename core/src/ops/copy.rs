//! Copies.

use super::{Launch, Variants};
use crate::gpu::kernels::copy::{CopyFwd, Variant};

impl Launch for CopyFwd<'_> {
    fn launch(&self, _: &Variants) -> (Variant, usize) {
        (Variant::Base, (self.p.count as usize).div_ceil(Variant::Base.consts().wg as usize))
    }
}
