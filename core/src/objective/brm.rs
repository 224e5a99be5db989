//! Token-level Bellman residuals, the ablation that the paper shows to collapse:
//! delta_h = logit_h - ref_logp_h - V_{h+1}, the last one - R / beta; a = 2 delta_h / N, b = 2 delta_{h-1} / N.

use super::Rows;
use crate::gpu::kernels::objective::{ObjectiveBrm, ObjectiveParams};
use crate::ops::Ops;

pub(super) fn record(ops: &mut Ops<'_>, p: ObjectiveParams, rows: &Rows<'_>) {
    let Rows { step, traj_start, traj, lse, chosen, ref_logp, stats, a, b, .. } = *rows;
    ops.run(ObjectiveBrm { p, step, traj_start, traj, lse, chosen, ref_logp, stats, a, b });
}
