//! What a step reports, under the names that users know (a line of `RUN/metrics.jsonl`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::batch_io::stats_width;

/// One optimizer step. Means run over the step's trajectories, weighted by the records' weights; what compares with a
/// reference is left out where the objective has none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// From 1.
    pub step: u64,
    /// Epochs done when the step began.
    pub epoch: u64,
    /// Completion tokens trained on since the run began.
    pub num_tokens: u64,
    /// What is minimised, before the update.
    pub loss: f64,
    /// Mean delta.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub residual: Option<f64>,
    /// Root of the mean of delta^2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub residual_rms: Option<f64>,
    /// Mean log-ratio of model and reference, summed over a completion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rho: Option<f64>,
    /// Mean value of the prompt, log-sum-exp of the first completion token's logits.
    pub v1: f64,
    /// Mean reward.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reward: Option<f64>,
    /// Its standard deviation over the step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reward_std: Option<f64>,
    /// Mean rho of the logged completions: not a divergence from the policy's own samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kl: Option<f64>,
    /// Mean entropy of the next-token distribution, in nats a token.
    pub entropy: f64,
    /// The gradient's global norm, before clipping.
    pub grad_norm: f64,
    /// This step's.
    pub learning_rate: f64,
    /// Seconds.
    pub step_time: f64,
    /// Prompt and completion tokens a second.
    pub tokens_per_s: f64,
    /// Mean tokens of a completion, its end token included.
    #[serde(rename = "completions/mean_length")]
    pub mean_length: f64,
    /// Share of truncated completions.
    #[serde(rename = "completions/clipped_ratio")]
    pub clipped_ratio: f64,
    /// What only some objectives, rewards or rollouts have, by name.
    #[serde(flatten)]
    pub more: BTreeMap<String, f64>,
}

/// One trajectory's row of the device's statistics.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrajectoryStats {
    /// Sum of the log-probs.
    pub logp: f64,
    /// Sum of log-prob minus reference log-prob.
    pub rho: f64,
    /// Value of the prompt.
    pub v1: f64,
    /// Sum of the entropies.
    pub entropy: f64,
    /// Its share of the loss.
    pub loss: f64,
    /// delta; for `brm` the sum of the token residuals.
    pub residual: f64,
    /// delta^2; for `brm` the sum of the squares.
    pub squares: f64,
    /// The record's weight.
    pub weight: f64,
    /// Of grpo and ppo: tokens whose ratio was clipped below.
    pub clipped_low: f64,
    /// And above.
    pub clipped_high: f64,
    /// Of ppo: its share of the critic's loss, without the coefficient.
    pub value_loss: f64,
    /// Of ppo: sum of (logp - old_logp)^2 / 2.
    pub approx_kl: f64,
    /// Of ppo: sum of the ratios.
    pub ratio: f64,
    /// Of ppo: tokens whose value was clipped.
    pub value_clipped: f64,
}

impl TrajectoryStats {
    /// The rows of `words`, as the kernels wrote them.
    pub(crate) fn rows(words: &[f32]) -> Vec<TrajectoryStats> {
        words
            .chunks_exact(stats_width())
            .map(|w| TrajectoryStats {
                logp: w[0].into(),
                rho: w[1].into(),
                v1: w[2].into(),
                entropy: w[3].into(),
                loss: w[4].into(),
                residual: w[5].into(),
                squares: w[6].into(),
                weight: w[7].into(),
                clipped_low: w[8].into(),
                clipped_high: w[9].into(),
                value_loss: w[10].into(),
                approx_kl: w[11].into(),
                ratio: w[12].into(),
                value_clipped: w[13].into(),
            })
            .collect()
    }

    /// Whether every number is finite.
    pub fn is_finite(&self) -> bool {
        [self.logp, self.rho, self.v1, self.entropy, self.loss, self.residual].iter().all(|x| x.is_finite())
    }
}

/// Weighted means over the trajectories of a step.
pub(crate) struct Means<'a> {
    rows: &'a [TrajectoryStats],
    weight: f64,
}

impl<'a> Means<'a> {
    pub(crate) fn new(rows: &'a [TrajectoryStats]) -> Self {
        Means { rows, weight: rows.iter().map(|row| row.weight).sum() }
    }

    /// The mean of `of` over the trajectories; 0 where all weights are 0.
    pub(crate) fn of(&self, of: impl Fn(&TrajectoryStats) -> f64) -> f64 {
        if self.weight == 0.0 {
            return 0.0;
        }
        self.rows.iter().map(|row| row.weight * of(row)).sum::<f64>() / self.weight
    }
}
