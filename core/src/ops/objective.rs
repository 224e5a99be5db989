//! Per-token statistics to the pair (a, b).

use super::{Launch, Variants};
use crate::gpu::kernels::objective::{
    ObjectiveBrm, ObjectiveParams, ObjectiveSft, ObjectiveSums, ObjectiveTbrm, Variant,
};

fn launch(p: &ObjectiveParams) -> (Variant, usize) {
    (Variant::Base, (p.trajectories as usize).div_ceil(Variant::Base.consts().wg as usize))
}

impl Launch for ObjectiveSums<'_> {
    fn launch(&self, _: &Variants) -> (Variant, usize) {
        launch(&self.p)
    }
}

impl Launch for ObjectiveTbrm<'_> {
    fn launch(&self, _: &Variants) -> (Variant, usize) {
        launch(&self.p)
    }
}

impl Launch for ObjectiveBrm<'_> {
    fn launch(&self, _: &Variants) -> (Variant, usize) {
        launch(&self.p)
    }
}

impl Launch for ObjectiveSft<'_> {
    fn launch(&self, _: &Variants) -> (Variant, usize) {
        launch(&self.p)
    }
}
