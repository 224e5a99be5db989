//! Twin of `shaders/objective.wgsl`: from per-token statistics to a loss and the pair `(a, b)` per token.
//!
//! Write `q_h = kappa * logits_h[a_h]`, `V_h = logsumexp(kappa * logits_h)`, `logp_h = q_h - V_h`, with h from 1 to H
//! in each trajectory, `w` its weight and `W` the sum that the step divides by:
//!
//! - tbrm: `delta = sum_h (logp_h - ref_logp_h) + V_1 - R / beta`, loss `w delta^2 / W`: Yuan et al., "Trajectory
//!   Bellman Residual Minimization", arXiv 2505.15311. `V_1` is differentiated: q_1 enters raw.
//! - brm: `delta_h = q_h - ref_logp_h - V_{h+1}`, the last with `- R / beta` in place of `- V_{H+1}`, loss
//!   `w sum_h delta_h^2 / W`: the token-level ablation of the same paper.
//! - sft: loss `-w sum_h logp_h / W`: cross-entropy.

use super::head::Stats;

/// Which loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objective {
    /// Cross-entropy on the completions.
    Sft,
    /// One squared Bellman residual per trajectory.
    Tbrm,
    /// One squared Bellman residual per token.
    Brm,
}

/// The settings of a step's loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Which loss.
    pub objective: Objective,
    /// Strength of the pull to the reference: rewards are divided by it. Sft ignores it.
    pub beta: f64,
    /// kappa: every logit is multiplied by it before anything else.
    pub logit_scale: f64,
    /// Measures `V_1` from the reference's: subtracts `ref_v1` from tbrm's `delta`, or from brm's first `delta_h`,
    /// the same in their sum.
    pub calibrate: bool,
    /// `W` of the whole optimizer step, all micro-batches together, see [`weight_sum`].
    pub weight_sum: f64,
}

/// The logged side of the trajectories.
#[derive(Clone, Debug, PartialEq)]
pub struct Records {
    /// `(R)` the reference's log-probability of each action.
    pub ref_logp: Vec<f64>,
    /// `(S)` the reference's `V_1`.
    pub ref_v1: Vec<f64>,
    /// `(S)` the reward R of each trajectory.
    pub reward: Vec<f64>,
    /// `(S)` the weight of each trajectory in the loss.
    pub weight: Vec<f64>,
}

/// The loss of some trajectories and its gradient in the form that [`super::head::backward`] takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// `(R)` the gradient's coefficient on the action taken, kappa included.
    pub a: Vec<f64>,
    /// `(R)` the gradient's coefficient on `-softmax`, kappa included.
    pub b: Vec<f64>,
    /// `(S)` the Bellman residual of the whole trajectory divided by beta, calibrated where asked; for brm this is
    /// the sum of its `delta_h`, and sft, which has none, reports 0.
    pub delta: Vec<f64>,
    /// `(S)` `sum_h (logp_h - ref_logp_h)`.
    pub rho: Vec<f64>,
    /// `(S)` `V_1`.
    pub v1: Vec<f64>,
    /// `(S)` each trajectory's share of the loss, weighted and divided: the shares add up to the loss.
    pub loss: Vec<f64>,
}

/// `W`: the sum of the weights, so that the loss is a weighted mean over trajectories; for sft each weight counts
/// once per token, a mean over tokens.
pub fn weight_sum(objective: Objective, traj_start: &[u32], weight: &[f64]) -> f64 {
    match objective {
        Objective::Tbrm | Objective::Brm => weight.iter().sum(),
        Objective::Sft => traj_start.windows(2).zip(weight).map(|(t, w)| f64::from(t[1] - t[0]) * w).sum(),
    }
}

/// Evaluates the loss of the trajectories whose rows are `traj_start[s] .. traj_start[s + 1]`, none of them empty.
pub fn evaluate(stats: &Stats, traj_start: &[u32], records: &Records, settings: &Settings) -> Outcome {
    let Settings { objective, beta, logit_scale: kappa, calibrate, weight_sum } = *settings;
    let rows = stats.lse.len();
    let mut outcome = Outcome {
        a: vec![0.0; rows],
        b: vec![0.0; rows],
        delta: Vec::new(),
        rho: Vec::new(),
        v1: Vec::new(),
        loss: Vec::new(),
    };
    for (s, bounds) in traj_start.windows(2).enumerate() {
        let (first, end) = (bounds[0] as usize, bounds[1] as usize);
        let (a, b) = (&mut outcome.a[first..end], &mut outcome.b[first..end]);
        let (q, v) = (&stats.chosen[first..end], &stats.lse[first..end]);
        let ref_logp = &records.ref_logp[first..end];
        let length = q.len();
        let share = records.weight[s] / weight_sum;

        let logp: f64 = (0..length).map(|h| q[h] - v[h]).sum();
        let rho: f64 = (0..length).map(|h| q[h] - v[h] - ref_logp[h]).sum();
        let origin = if calibrate { records.ref_v1[s] } else { 0.0 };
        let residual = rho + v[0] - origin - records.reward[s] / beta;

        let (delta, loss) = match objective {
            Objective::Sft => {
                a.fill(-kappa * share);
                b.fill(-kappa * share);
                (0.0, -share * logp)
            }
            Objective::Tbrm => {
                a.fill(2.0 * kappa * share * residual);
                b.fill(2.0 * kappa * share * residual);
                b[0] = 0.0;
                (residual, share * residual * residual)
            }
            Objective::Brm => {
                let mut squares = 0.0;
                for h in 0..length {
                    let next = if h + 1 < length { v[h + 1] } else { records.reward[s] / beta };
                    let delta_h = q[h] - ref_logp[h] - next - if h == 0 { origin } else { 0.0 };
                    a[h] = 2.0 * kappa * share * delta_h;
                    if h + 1 < length {
                        b[h + 1] = 2.0 * kappa * share * delta_h;
                    }
                    squares += delta_h * delta_h;
                }
                (residual, share * squares)
            }
        };
        outcome.delta.push(delta);
        outcome.rho.push(rho);
        outcome.v1.push(v[0]);
        outcome.loss.push(loss);
    }
    outcome
}
