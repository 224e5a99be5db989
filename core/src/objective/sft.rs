//! Supervised fine-tuning: cross-entropy, the mean over the step's completion tokens; a = b = -1 / tokens.

use super::Rows;
use crate::gpu::kernels::objective::{ObjectiveParams, ObjectiveSft};
use crate::ops::Ops;

pub(super) fn record(ops: &mut Ops<'_>, p: ObjectiveParams, rows: &Rows<'_>) {
    let Rows { step, traj_start, traj, stats, a, .. } = *rows;
    ops.run(ObjectiveSft { p, step, traj_start, traj, stats, a });
    rows.same(ops);
}
