//! REINFORCE leave-one-out (Kool et al. 2019; Ahmadian et al., "Back to Basics", arXiv 2402.14740): as reinforce, but the
//! baseline of R - kl * rho is its mean over the other completions of the same group.
//!
//! Reads `kl_coefficient`, by default 0.05 as in TRL; with 0 it needs no reference.

use super::Rows;
use crate::gpu::kernels::objective::{ObjectiveParams, ObjectiveRloo};
use crate::ops::Ops;

pub(super) fn record(ops: &mut Ops<'_>, p: ObjectiveParams, rows: &Rows<'_>) {
    let Rows { step, traj_start, traj, sets, stats, a, .. } = *rows;
    ops.run(ObjectiveRloo { p, step, traj_start, traj, sets, stats, a });
    rows.same(ops);
}
