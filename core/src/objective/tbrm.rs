//! Trajectory Bellman Residual Minimization (arXiv 2505.15311): delta = rho + V_1 - R / beta, loss = mean delta^2,
//! a = 2 delta / N, b = a but 0 at the first completion token, whose raw logit enters. With calibration, delta - V_ref.

use super::Rows;
use crate::gpu::kernels::objective::{ObjectiveParams, ObjectiveTbrm};
use crate::ops::Ops;

pub(super) fn record(ops: &mut Ops<'_>, p: ObjectiveParams, rows: &Rows<'_>) {
    let Rows { step, traj_start, traj, stats, a, b, .. } = *rows;
    ops.run(ObjectiveTbrm { p, step, traj_start, traj, stats, a, b });
}
