//! Group-relative policy optimization (Shao et al., "DeepSeekMath", arXiv 2402.03300). Per token
//!
//! ```text
//! -min(r A, clip(r, 1 - clip, 1 + clip_high) A) + kl_coefficient * k3
//! ```
//!
//! r = exp(logp - old_logp), old_logp of the policy that wrote the completion; k3 =
//! exp(ref_logp - logp) - (ref_logp - logp) - 1; A = (R - mean) / (deviation + 1e-4) over the group, with the sample's deviation, as in TRL. `loss_type` says how the
//! mean over tokens is taken: within each completion first (`grpo`), over all tokens of the step (`dapo`, Yu et al., arXiv
//! 2503.14476), or each completion's sum over the constant `loss_length`, with A = R - mean (`dr_grpo`, Liu et al., arXiv
//! 2503.20783).

use super::{LossType, Member, Rows, Terms};
use crate::gpu::kernels::objective::{ObjectiveGrpo, ObjectiveParams};
use crate::ops::Ops;

/// Keeps a group whose rewards are equal from dividing by 0.
const EPS: f64 = 1e-4;

/// Of one group.
pub(super) fn advantages(terms: &Terms, group: &[Member]) -> Vec<f64> {
    let n = group.len() as f64;
    let mean = group.iter().map(|member| member.reward).sum::<f64>() / n;
    let squares: f64 = group.iter().map(|member| (member.reward - mean).powi(2)).sum();
    let scale = match terms.loss_type {
        LossType::DrGrpo => 1.0,
        LossType::Grpo | LossType::Dapo => (squares / (n - 1.0).max(1.0)).sqrt() + EPS,
    };
    group.iter().map(|member| (member.reward - mean) / scale).collect()
}

/// See [`super::Objective::share`].
pub(super) fn share(terms: &Terms, actions: usize) -> f64 {
    match terms.loss_type {
        LossType::Grpo => 1.0,
        LossType::Dapo => actions as f64,
        LossType::DrGrpo => terms.loss_length as f64,
    }
}

pub(super) fn record(ops: &mut Ops<'_>, p: ObjectiveParams, rows: &Rows<'_>) {
    let Rows { step, traj_start, traj, lse, chosen, ref_logp, old_logp, stats, a, .. } = *rows;
    ops.run(ObjectiveGrpo { p, step, traj_start, traj, lse, chosen, ref_logp, stats, a, old_logp });
    rows.same(ops);
}
