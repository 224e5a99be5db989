//! REINFORCE (Williams 1992) on whole completions, as Ahmadian et al. ("Back to Basics", arXiv 2402.14740) use it:
//! loss = -mean A logp, A = R - baseline - kl * rho held constant; a = b = -A / N. The baseline is the mean reward of the
//! step's other completions, which leaves the gradient unbiased; alone in a step a completion has none.
//!
//! Reads `kl_coefficient`, by default 0.05 as in TRL; with 0 it needs no reference.

use super::{Member, Rows};
use crate::gpu::kernels::objective::{ObjectiveParams, ObjectiveReinforce};
use crate::ops::Ops;

/// Each reward less the mean of the others.
pub(super) fn advantages(all: &[Member]) -> Vec<f64> {
    let sum: f64 = all.iter().map(|member| member.reward).sum();
    let others = all.len().max(2) as f64 - 1.0;
    all.iter().map(|member| member.reward - (sum - member.reward) / others).collect()
}

pub(super) fn record(ops: &mut Ops<'_>, p: ObjectiveParams, rows: &Rows<'_>) {
    let Rows { step, traj_start, traj, stats, a, .. } = *rows;
    ops.run(ObjectiveReinforce { p, step, traj_start, traj, stats, a });
    rows.same(ops);
}
