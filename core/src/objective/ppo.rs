//! Proximal policy optimization (Schulman et al. 2017, arXiv 1707.06347) with a critic v, a row of weights and a bias on the
//! normed hidden state that the head reads. Of a rollout, once, before the first step on it:
//!
//! ```text
//! r_h     = -kl_coefficient * kl_h, plus R at the last token
//! kl_h    = logp_h - ref_logp_h (k1), or exp(-k1) + k1 - 1 (k3)
//! delta_h = r_h + gamma * v_{h+1} - v_h, 0 for v behind the last token, truncated or not
//! A_h     = delta_h + gamma * gae_lambda * A_{h+1}
//! G_h     = A_h + v_h
//! ```
//!
//! (generalized advantage estimation, Schulman et al. 2016, arXiv 1506.02438); A is then whitened over all tokens of the
//! round, less the mean and divided by the sample's deviation. Per token of a step the loss is
//!
//! ```text
//! -min(ratio A, clip(ratio, 1 - clip, 1 + clip_high) A)
//!   + value_coefficient * 1/2 max((v - G)^2, (v' - G)^2)
//! ```
//!
//! ratio = exp(logp - old_logp), v' = v within `value_clip` of the old one; the mean is over the step's tokens. The KL
//! penalty in the reward, whitening, both clips and the defaults are those of TRL's PPO (kl_coef 0.05 with k1, gamma 1,
//! lam 0.95, cliprange and cliprange_value 0.2, vf_coef 0.1). There the critic is a second model; here it shares the trunk,
//! its gradient flows into it, and it starts at 0. A reference that is reset counts from the next round on.

use super::{Critique, Rows, Terms};
use crate::gpu::kernels::objective::{ObjectiveParams, ObjectivePpo, ObjectivePpoValue};
use crate::objective::KlEstimator;
use crate::ops::Ops;

/// Keeps advantages that are all equal from dividing by 0.
const EPS: f64 = 1e-8;

/// What is known of a rollout before the first step on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Observed<'a> {
    /// Of the whole completion.
    pub reward: f64,
    /// Per token, of the policy that wrote it.
    pub logps: &'a [f32],
    /// Per token.
    pub ref_logp: &'a [f32],
    /// Per token, by the critic as it stands.
    pub values: &'a [f32],
    /// Whether it is trained on: others do not count for the whitening.
    pub counts: bool,
}

/// The penalty of each token, `-kl_coefficient * kl_h`.
pub(crate) fn penalties(terms: &Terms, observed: &Observed<'_>) -> Vec<f64> {
    let one = |(&logp, &ref_logp): (&f32, &f32)| {
        let k1 = f64::from(logp) - f64::from(ref_logp);
        let kl = match terms.kl_estimator {
            KlEstimator::K1 => k1,
            KlEstimator::K3 => (-k1).exp() + k1 - 1.0,
        };
        // Without the term there is no reference, and its 0 would overflow.
        if terms.kl_coefficient > 0.0 { -terms.kl_coefficient * kl } else { 0.0 }
    };
    observed.logps.iter().zip(observed.ref_logp).map(one).collect()
}

/// Advantages before they are whitened, per token.
fn advantages(terms: &Terms, observed: &Observed<'_>) -> Vec<f64> {
    let Terms { gamma, gae_lambda, .. } = *terms;
    let mut all = penalties(terms, observed);
    if let Some(last) = all.last_mut() {
        *last += observed.reward;
    }
    let (mut next_value, mut next) = (0.0, 0.0);
    for (reward, &value) in all.iter_mut().zip(observed.values).rev() {
        let value = f64::from(value);
        next = *reward + gamma * next_value - value + gamma * gae_lambda * next;
        next_value = value;
        *reward = next;
    }
    all
}

/// What the steps on a round of rollouts hold constant.
pub(crate) fn critiques(terms: &Terms, round: &[Observed<'_>]) -> Vec<Critique> {
    let raw: Vec<Vec<f64>> = round.iter().map(|observed| advantages(terms, observed)).collect();
    let counted =
        || round.iter().zip(&raw).filter(|(observed, _)| observed.counts).flat_map(|(_, raw)| raw.iter());
    let n = counted().count() as f64;
    let mean = counted().sum::<f64>() / n.max(1.0);
    let variance = counted().map(|a| (a - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    let scale = 1.0 / (variance + EPS).sqrt();
    let critique = |(observed, raw): (&Observed<'_>, &Vec<f64>)| Critique {
        value: observed.values.to_vec(),
        advantage: raw.iter().map(|a| ((a - mean) * scale) as f32).collect(),
        returns: raw.iter().zip(observed.values).map(|(a, &v)| (a + f64::from(v)) as f32).collect(),
    };
    round.iter().zip(&raw).map(critique).collect()
}

pub(super) fn record(ops: &mut Ops<'_>, p: ObjectiveParams, rows: &Rows<'_>) {
    let Rows { step, traj_start, traj, lse, chosen, old_logp, stats, a, .. } = *rows;
    let critic = rows.critic.expect("an engine of ppo has a critic");
    let (advantages, old_value, returns) = (&critic.advantage, &critic.old_value, &critic.returns);
    let (value, dvalue) = (&critic.value, &critic.dvalue);
    ops.run(ObjectivePpo { p, step, traj_start, traj, lse, chosen, old_logp, advantages, stats, a });
    ops.run(ObjectivePpoValue { p, step, traj_start, traj, stats, value, old_value, returns, dvalue });
    rows.same(ops);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::{LossType, Objective};

    const ROUND: [Observed<'static>; 3] = [
        Observed {
            reward: 1.0,
            logps: &[-1.0, -2.0],
            ref_logp: &[-1.5, -1.0],
            values: &[0.5, 0.25],
            counts: true,
        },
        Observed { reward: -1.0, logps: &[-0.5], ref_logp: &[-0.5], values: &[-0.25], counts: true },
        Observed { reward: 9.0, logps: &[-0.5], ref_logp: &[-0.5], values: &[0.0], counts: false },
    ];

    fn close(got: &[f32], want: &[f64]) {
        assert_eq!(got.len(), want.len());
        for (got, want) in got.iter().zip(want) {
            assert!((f64::from(*got) - want).abs() <= 1e-6, "{got} for {want}");
        }
    }

    #[test]
    fn advantages_are_the_discounted_sum_of_errors_and_whitened() {
        let terms = Terms {
            kl_coefficient: 0.1,
            gamma: 0.9,
            gae_lambda: 0.5,
            ..Terms::published(Objective::Ppo, LossType::Grpo)
        };
        // Rewards -0.05 and 0.1 + 1; -1; 9.
        let last = 1.1 - 0.25;
        let raw = [-0.05 + 0.9 * 0.25 - 0.5 + 0.45 * last, last, -0.75];
        let mean = raw.iter().sum::<f64>() / 3.0;
        let deviation = (raw.iter().map(|a| (a - mean).powi(2)).sum::<f64>() / 2.0).sqrt();
        let got = critiques(&terms, &ROUND);
        close(&got[0].returns, &[raw[0] + 0.5, raw[1] + 0.25]);
        close(&got[1].returns, &[-1.0]);
        close(&got[2].returns, &[9.0]);
        close(&got[0].advantage, &[(raw[0] - mean) / deviation, (raw[1] - mean) / deviation]);
        close(&got[1].advantage, &[(raw[2] - mean) / deviation]);
        assert_eq!(got[0].value, ROUND[0].values);
    }

    #[test]
    fn with_gamma_and_lambda_1_returns_are_rewards_to_go() {
        let terms = Terms { gae_lambda: 1.0, ..Terms::published(Objective::Ppo, LossType::Grpo) };
        let k3 = |k1: f64| 0.05 * ((-k1).exp() + k1 - 1.0);
        let got = critiques(&terms, &ROUND);
        close(&got[0].returns, &[1.0 - 0.05 * (0.5 - 1.0), 1.0 + 0.05]);
        let got = critiques(&Terms { kl_estimator: KlEstimator::K3, ..terms }, &ROUND);
        close(&got[0].returns, &[1.0 - k3(0.5) - k3(-1.0), 1.0 - k3(-1.0)]);
    }

    #[test]
    fn advantages_that_are_all_equal_are_none() {
        let terms = Terms::published(Objective::Ppo, LossType::Grpo);
        let alone = critiques(&terms, &ROUND[1..2]);
        assert_eq!(alone[0].advantage, [0.0]);
        assert!(critiques(&terms, &[]).is_empty());
        // A reference of an objective without one.
        let far = Observed { ref_logp: &[f32::NEG_INFINITY, 0.0], ..ROUND[0] };
        let got = critiques(&Terms { kl_coefficient: 0.0, ..terms }, &[far, ROUND[1]]);
        assert!(got[0].advantage.iter().all(|a| a.is_finite()), "{got:?}");
    }
}
