//! Completion rows into the head, and their gradient back.

use super::{Launch, Variants};
use crate::gpu::kernels::rows::{RowsBwd, RowsFwd, RowsParams, Variant};

/// A workgroup a row.
fn launch(p: &RowsParams) -> (Variant, usize) {
    (Variant::Base, p.rows as usize)
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
