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
//! - the others: as their files in `src/objective/` say, in which every source is named.
//!
//! What the gradient does not go through ([`Constants`]) is computed apart, so that finite differences can hold it.

use std::ops::Range;

use super::head::Stats;
pub use crate::objective::{LossType, Objective, Terms};

/// The settings of a step's loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Which loss.
    pub objective: Objective,
    /// Its settings besides beta.
    pub terms: Terms,
    /// Strength of the pull to the reference: rewards are divided by it. Sft ignores it.
    pub beta: f64,
    /// kappa: every logit is multiplied by it before anything else.
    pub logit_scale: f64,
    /// Measures `V_1` from the reference's: subtracts `ref_v1` from tbrm's `delta`, or from brm's first `delta_h`,
    /// the same in their sum.
    pub calibrate: bool,
    /// `W` of the whole optimizer step, all micro-batches together, see [`weight_sum`].
    pub weight_sum: f64,
    /// The same of tbrm: what a hybrid divides its share of tbrm by.
    pub tbrm_weight_sum: f64,
}

/// The logged side of the trajectories.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Records {
    /// `(R)` the reference's log-probability of each action.
    pub ref_logp: Vec<f64>,
    /// `(R)` that of the policy that wrote the completions; only grpo and ppo look at it.
    pub old_logp: Vec<f64>,
    /// `(S)` the reference's `V_1`.
    pub ref_v1: Vec<f64>,
    /// `(S)` the reward R of each trajectory.
    pub reward: Vec<f64>,
    /// `(S)` the weight of each trajectory in the loss.
    pub weight: Vec<f64>,
    /// The groups or pairs, one after the other, as ranges of trajectories; only objectives that need them look.
    pub sets: Vec<Range<usize>>,
    /// `(R)` each: what ppo holds constant.
    pub critique: Critique,
}

/// The critic's side of ppo's rollouts, before the first step on them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Critique {
    /// `(R)` A, whitened.
    pub advantage: Vec<f64>,
    /// `(R)` the critic's value at that time.
    pub value: Vec<f64>,
    /// `(R)` G.
    pub returns: Vec<f64>,
}

/// The critic's loss and its gradient.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CriticOutcome {
    /// `(S)` shares, weighted and divided, without the coefficient.
    pub loss: Vec<f64>,
    /// `(R)` the gradient of the whole loss by the value: with the coefficient.
    pub dvalue: Vec<f64>,
    /// `(S)` tokens whose value was clipped.
    pub clipped: Vec<f64>,
}

/// `(S)` each: what a step's gradient does not go through.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Constants {
    /// The advantage A; for a2po V*.
    pub advantage: Vec<f64>,
    /// The estimate of log Z.
    pub log_z: Vec<f64>,
}

/// The loss of some trajectories and its gradient in the form that [`super::head::backward`] takes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// `(R)` the gradient's coefficient on the action taken, kappa included.
    pub a: Vec<f64>,
    /// `(R)` the gradient's coefficient on `-softmax`, kappa included.
    pub b: Vec<f64>,
    /// `(S)` the Bellman residual of the whole trajectory divided by beta, calibrated where asked; for brm this is
    /// the sum of its `delta_h`; a2po and tba report their own residual, and who has none 0.
    pub delta: Vec<f64>,
    /// `(S)` `sum_h (logp_h - ref_logp_h)`.
    pub rho: Vec<f64>,
    /// `(S)` `V_1`.
    pub v1: Vec<f64>,
    /// `(S)` each trajectory's share of the loss, weighted and divided: the shares add up to the loss.
    pub loss: Vec<f64>,
    /// `(S)` grpo and ppo: tokens whose ratio was clipped below, and above.
    pub clipped: Vec<[f64; 2]>,
    /// `(S)` ppo: sums of `(logp - old_logp)^2 / 2` and of the ratios.
    pub ratios: Vec<[f64; 2]>,
}

/// `W`: the sum of the weights, so that the loss is a weighted mean over trajectories; each weight counts once per token
/// where the loss is a mean over tokens, and half in a pair.
pub fn weight_sum(objective: Objective, terms: &Terms, traj_start: &[u32], weight: &[f64]) -> f64 {
    let tokens: f64 = traj_start.windows(2).zip(weight).map(|(t, w)| f64::from(t[1] - t[0]) * w).sum();
    let plain: f64 = weight.iter().sum();
    match (objective, terms.loss_type) {
        (Objective::Sft | Objective::Ppo, _) | (Objective::Grpo, LossType::Dapo) => tokens,
        (Objective::Grpo, LossType::DrGrpo) => plain * terms.loss_length as f64,
        (Objective::Dpo, _) => plain / 2.0,
        (Objective::Hybrid, _) => weight_sum(terms.hybrid_with, terms, traj_start, weight),
        _ => plain,
    }
}

/// What the loss holds constant.
pub fn constants(stats: &Stats, traj_start: &[u32], records: &Records, settings: &Settings) -> Constants {
    let Terms { kl_coefficient, loss_type, value_beta, hybrid_with, .. } = settings.terms;
    let objective = if settings.objective == Objective::Hybrid { hybrid_with } else { settings.objective };
    let count = traj_start.len() - 1;
    let rho: Vec<f64> = (0..count)
        .map(|s| {
            let rows = traj_start[s] as usize..traj_start[s + 1] as usize;
            rows.map(|r| stats.chosen[r] - stats.lse[r] - records.ref_logp[r]).sum()
        })
        .collect();
    let mut constants = Constants { advantage: vec![0.0; count], log_z: vec![0.0; count] };
    let mean = |of: &dyn Fn(usize) -> f64, over: &[usize]| {
        if over.is_empty() { 0.0 } else { over.iter().map(|&s| of(s)).sum::<f64>() / over.len() as f64 }
    };
    let reward = |s: usize| records.reward[s];
    let penalised = |s: usize| records.reward[s] - kl_coefficient * rho[s];
    if objective == Objective::Reinforce {
        for s in 0..count {
            let others: Vec<usize> = (0..count).filter(|&other| other != s).collect();
            constants.advantage[s] = penalised(s) - mean(&reward, &others);
        }
    }
    for set in &records.sets {
        let all: Vec<usize> = set.clone().collect();
        for s in set.clone() {
            let others: Vec<usize> = all.iter().copied().filter(|&other| other != s).collect();
            let centred = reward(s) - mean(&reward, &all);
            constants.log_z[s] = mean(&|s| reward(s) / settings.beta - rho[s], &all);
            constants.advantage[s] = match objective {
                Objective::Rloo => penalised(s) - mean(&penalised, &others),
                Objective::Grpo if loss_type == LossType::DrGrpo => centred,
                Objective::Grpo => {
                    let squares: f64 = all.iter().map(|&s| (reward(s) - mean(&reward, &all)).powi(2)).sum();
                    centred / ((squares / (all.len() - 1) as f64).sqrt() + 1e-4)
                }
                Objective::A2po => value_beta * mean(&|s| (reward(s) / value_beta).exp(), &all).ln(),
                _ => constants.advantage[s],
            };
        }
    }
    constants
}

/// Evaluates the loss of the trajectories whose rows are `traj_start[s] .. traj_start[s + 1]`, none of them empty.
pub fn evaluate(stats: &Stats, traj_start: &[u32], records: &Records, settings: &Settings) -> Outcome {
    let constants = constants(stats, traj_start, records, settings);
    evaluate_with(stats, traj_start, records, settings, &constants)
}

/// As [`evaluate`], with given constants.
pub fn evaluate_with(
    stats: &Stats,
    traj_start: &[u32],
    records: &Records,
    settings: &Settings,
    constants: &Constants,
) -> Outcome {
    let count = traj_start.len() - 1;
    let rows = |s: usize| traj_start[s] as usize..traj_start[s + 1] as usize;
    let logp_of = |s: usize| rows(s).map(|r| stats.chosen[r] - stats.lse[r]).sum::<f64>();
    let rho_of = |s: usize| logp_of(s) - records.ref_logp[rows(s)].iter().sum::<f64>();
    let (all_rows, zeros) = (stats.lse.len(), vec![0.0; count]);
    let mut outcome = Outcome {
        a: vec![0.0; all_rows],
        b: vec![0.0; all_rows],
        delta: zeros.clone(),
        rho: (0..count).map(rho_of).collect(),
        v1: (0..count).map(|s| stats.lse[traj_start[s] as usize]).collect(),
        loss: zeros,
        clipped: vec![[0.0; 2]; count],
        ratios: vec![[0.0; 2]; count],
    };
    let Settings { objective, terms, beta, logit_scale: kappa, .. } = *settings;
    if objective == Objective::Hybrid {
        return hybrid(stats, traj_start, records, settings, constants);
    }
    for s in 0..count {
        let (q, v) = (&stats.chosen[rows(s)], &stats.lse[rows(s)]);
        let ref_logp = &records.ref_logp[rows(s)];
        let length = q.len();
        let share = records.weight[s] / settings.weight_sum;
        let (a, b) = (&mut outcome.a[rows(s)], &mut outcome.b[rows(s)]);
        let (logp, rho, reward) = (logp_of(s), outcome.rho[s], records.reward[s]);
        let origin = if settings.calibrate { records.ref_v1[s] } else { 0.0 };
        let residual = rho + v[0] - origin - reward / beta;
        // Loss and derivative by logp of an objective that treats all tokens alike.
        let (delta, loss, by_logp) = match objective {
            Objective::Sft => (0.0, -share * logp, Some(-share)),
            Objective::Reinforce | Objective::Rloo => {
                let advantage = constants.advantage[s];
                (0.0, -share * advantage * logp, Some(-share * advantage))
            }
            Objective::Dpo => {
                let pair = records.sets.iter().find(|set| set.contains(&s)).expect("dpo is given pairs");
                let margin = beta * (outcome.rho[pair.start] - outcome.rho[pair.start + 1]);
                let sign = if s == pair.start { 1.0 } else { -1.0 };
                let loss = 0.5 * share * (1.0 + (-margin).exp()).ln();
                (0.0, loss, Some(-sign * share * beta / (1.0 + margin.exp())))
            }
            Objective::A2po => {
                let delta = beta * rho - (reward - constants.advantage[s]);
                (delta, share * delta * delta, Some(2.0 * share * beta * delta))
            }
            Objective::Tba => {
                let delta = constants.log_z[s] + rho - reward / beta;
                (delta, share * delta * delta, Some(2.0 * share * delta))
            }
            Objective::Grpo => {
                let advantage = constants.advantage[s];
                let share = if terms.loss_type == LossType::Grpo { share / length as f64 } else { share };
                let mut loss = 0.0;
                for h in 0..length {
                    let logp = q[h] - v[h];
                    let ratio = (logp - records.old_logp[rows(s)][h]).exp();
                    let clipped = ratio.clamp(1.0 - terms.clip, 1.0 + terms.clip_high);
                    let taken = (ratio * advantage).min(clipped * advantage);
                    let is_clipped = clipped * advantage < ratio * advantage;
                    outcome.clipped[s][usize::from(advantage > 0.0)] += f64::from(u8::from(is_clipped));
                    let gap = ref_logp[h] - logp;
                    loss += terms.kl_coefficient * (gap.exp() - gap - 1.0) - taken;
                    let slope = if is_clipped { 0.0 } else { ratio * advantage };
                    a[h] = kappa * share * (terms.kl_coefficient * (1.0 - gap.exp()) - slope);
                    b[h] = a[h];
                }
                (0.0, share * loss, None)
            }
            Objective::Ppo => {
                let mut loss = 0.0;
                for h in 0..length {
                    let advantage = records.critique.advantage[rows(s)][h];
                    let away = q[h] - v[h] - records.old_logp[rows(s)][h];
                    let ratio = away.exp();
                    let clipped = ratio.clamp(1.0 - terms.clip, 1.0 + terms.clip_high);
                    let is_clipped = clipped * advantage < ratio * advantage;
                    outcome.clipped[s][usize::from(advantage > 0.0)] += f64::from(u8::from(is_clipped));
                    outcome.ratios[s][0] += away * away / 2.0;
                    outcome.ratios[s][1] += ratio;
                    loss -= (ratio * advantage).min(clipped * advantage);
                    a[h] = if is_clipped { 0.0 } else { -kappa * share * ratio * advantage };
                    b[h] = a[h];
                }
                (0.0, share * loss, None)
            }
            Objective::Tbrm => {
                a.fill(2.0 * kappa * share * residual);
                b.fill(2.0 * kappa * share * residual);
                b[0] = 0.0;
                (residual, share * residual * residual, None)
            }
            Objective::Brm => {
                let mut squares = 0.0;
                for h in 0..length {
                    let next = if h + 1 < length { v[h + 1] } else { reward / beta };
                    let delta_h = q[h] - ref_logp[h] - next - if h == 0 { origin } else { 0.0 };
                    a[h] = 2.0 * kappa * share * delta_h;
                    if h + 1 < length {
                        b[h + 1] = 2.0 * kappa * share * delta_h;
                    }
                    squares += delta_h * delta_h;
                }
                (residual, share * squares, None)
            }
            Objective::Hybrid => unreachable!("two evaluations, mixed"),
        };
        if let Some(slope) = by_logp {
            a.fill(kappa * slope);
            b.fill(kappa * slope);
        }
        (outcome.delta[s], outcome.loss[s]) = (delta, loss);
    }
    outcome
}

/// The critic's part of ppo, for `values (R)`: per token `1/2 max((v - G)^2, (v' - G)^2)`, v' = v within `value_clip` of the
/// old value.
pub fn critic(values: &[f64], traj_start: &[u32], records: &Records, settings: &Settings) -> CriticOutcome {
    let Terms { value_coefficient, value_clip, .. } = settings.terms;
    let mut outcome = CriticOutcome { dvalue: vec![0.0; values.len()], ..CriticOutcome::default() };
    for (rows, weight) in traj_start.windows(2).zip(&records.weight) {
        let share = weight / settings.weight_sum;
        let (mut loss, mut clipped) = (0.0, 0.0);
        let first = rows[0] as usize;
        for (r, value) in values[..rows[1] as usize].iter().enumerate().skip(first) {
            let (old, goal) = (records.critique.value[r], records.critique.returns[r]);
            let near = value.clamp(old - value_clip, old + value_clip);
            let (error, clipped_error) = ((value - goal).powi(2), (near - goal).powi(2));
            loss += 0.5 * share * error.max(clipped_error);
            if clipped_error > error {
                clipped += 1.0;
            } else {
                outcome.dvalue[r] = value_coefficient * share * (value - goal);
            }
        }
        outcome.loss.push(loss);
        outcome.clipped.push(clipped);
    }
    outcome
}

/// `lambda` of tbrm, the rest of the other.
fn hybrid(
    stats: &Stats,
    traj_start: &[u32],
    records: &Records,
    settings: &Settings,
    constants: &Constants,
) -> Outcome {
    let Terms { lambda, hybrid_with, .. } = settings.terms;
    let of = |objective, weight_sum| {
        let settings = Settings { objective, weight_sum, ..*settings };
        evaluate_with(stats, traj_start, records, &settings, constants)
    };
    let tbrm = of(Objective::Tbrm, settings.tbrm_weight_sum);
    let other = of(hybrid_with, settings.weight_sum);
    let mix = |x: &[f64], y: &[f64]| -> Vec<f64> {
        x.iter().zip(y).map(|(x, y)| lambda * x + (1.0 - lambda) * y).collect()
    };
    Outcome {
        a: mix(&tbrm.a, &other.a),
        b: mix(&tbrm.b, &other.b),
        loss: mix(&tbrm.loss, &other.loss),
        clipped: other.clipped,
        ..tbrm
    }
}
