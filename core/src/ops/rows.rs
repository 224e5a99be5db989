//! Completion rows into the head, and their gradient back.

use super::{Launch, Variants};
use crate::gpu::kernels::rows::{RowsBwd, RowsFwd, RowsParams, Variant};

fn launch(p: &RowsParams) -> (Variant, usize) {
    let words = p.rows as usize * p.cols as usize;
    (Variant::Base, words.div_ceil(Variant::Base.consts().wg as usize))
}

impl Launch for RowsFwd<'_> {
    fn launch(&self, _: &Variants) -> (Variant, usize) {
        launch(&self.p)
    }
}

impl Launch for RowsBwd<'_> {
    fn launch(&self, _: &Variants) -> (Variant, usize) {
        launch(&self.p)
    }
}
