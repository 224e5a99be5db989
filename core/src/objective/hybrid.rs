//! lambda * tbrm + (1 - lambda) * `hybrid_with`, which ran before and left its pair, loss and beta's meaning: one beta
//! serves both.

use super::Rows;
use crate::gpu::kernels::objective::{ObjectiveHybrid, ObjectiveParams};
use crate::ops::Ops;

pub(super) fn record(ops: &mut Ops<'_>, p: ObjectiveParams, rows: &Rows<'_>) {
    let Rows { step, traj_start, traj, stats, a, b, .. } = *rows;
    ops.run(ObjectiveHybrid { p, step, traj_start, traj, stats, a, b });
}
