//! Per-token statistics to the pair (a, b).

use super::{Launch, Variants};
use crate::gpu::kernels::objective::{
    ObjectiveA2po, ObjectiveBrm, ObjectiveDpo, ObjectiveGrpo, ObjectiveHybrid, ObjectiveParams, ObjectivePpo,
    ObjectivePpoValue, ObjectiveReinforce, ObjectiveRloo, ObjectiveSft, ObjectiveSums, ObjectiveTba,
    ObjectiveTbrm, Variant,
};

fn launch(p: &ObjectiveParams) -> (Variant, usize) {
    (Variant::Base, (p.trajectories as usize).div_ceil(Variant::Base.consts().wg as usize))
}

/// One invocation a trajectory, all of them.
macro_rules! launches {
    ($($kernel:ident)*) => {
        $(impl Launch for $kernel<'_> {
            fn launch(&self, _: &Variants) -> (Variant, usize) {
                launch(&self.p)
            }
        })*
    };
}

launches!(
    ObjectiveSums ObjectiveTbrm ObjectiveBrm ObjectiveSft ObjectiveReinforce ObjectiveRloo ObjectiveGrpo ObjectiveDpo
    ObjectiveA2po ObjectiveTba ObjectiveHybrid ObjectivePpo ObjectivePpoValue
);
