//! Trajectory balance with the group's estimate of log Z (Bartoldson et al., arXiv 2503.18929, after VarGrad): delta = log Z
//! + rho - R / beta, loss = mean delta^2, a = b = 2 delta / N; log Z is the group's mean of R / beta - rho, held constant.

use super::Rows;
use crate::gpu::kernels::objective::{ObjectiveParams, ObjectiveTba};
use crate::ops::Ops;

pub(super) fn record(ops: &mut Ops<'_>, p: ObjectiveParams, rows: &Rows<'_>) {
    let Rows { step, traj_start, traj, sets, stats, a, .. } = *rows;
    ops.run(ObjectiveTba { p, step, traj_start, traj, sets, stats, a });
    rows.same(ops);
}
