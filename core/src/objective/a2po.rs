//! A*-PO, optimal advantage regression (Brantley et al., arXiv 2505.20686): delta = beta * rho - (R - V*), loss = mean
//! delta^2, a = b = 2 beta delta / N. V* = value_beta * log mean exp(R / value_beta) over completions that the reference
//! wrote for the prompt: known beforehand online, and of logs the group's.
//!
//! `beta` is the paper's beta_2, by default 0.001; `value_beta` its beta_1, 0.5.

use super::{Member, Rows, Terms};
use crate::gpu::kernels::objective::{ObjectiveA2po, ObjectiveParams};
use crate::ops::Ops;

/// The paper's beta_2.
pub(super) const BETA: f64 = 1e-3;

/// V* from the rewards of a prompt's completions.
pub(crate) fn value(value_beta: f64, rewards: impl Iterator<Item = f64> + Clone) -> f64 {
    let (n, most) = rewards.clone().fold((0.0, f64::NEG_INFINITY), |(n, most), r| (n + 1.0, r.max(most)));
    let sum: f64 = rewards.map(|r| ((r - most) / value_beta).exp()).sum();
    most + value_beta * (sum / n).ln()
}

/// V* of each of a group's completions.
pub(super) fn values(terms: &Terms, group: &[Member]) -> Vec<f64> {
    let own = value(terms.value_beta, group.iter().map(|member| member.reward));
    group.iter().map(|member| member.v_star.unwrap_or(own)).collect()
}

pub(super) fn record(ops: &mut Ops<'_>, p: ObjectiveParams, rows: &Rows<'_>) {
    let Rows { step, traj_start, traj, stats, a, .. } = *rows;
    ops.run(ObjectiveA2po { p, step, traj_start, traj, stats, a });
    rows.same(ops);
}
