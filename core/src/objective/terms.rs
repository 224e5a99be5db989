//! The settings of objectives besides beta.

use serde::{Deserialize, Serialize};

use super::Objective;

/// How grpo takes the mean over tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossType {
    /// Of each completion, then over completions (Shao et al., arXiv 2402.03300).
    #[default]
    Grpo,
    /// Over the step's tokens (Yu et al., arXiv 2503.14476).
    Dapo,
    /// Over completions, each its tokens' sum over a constant length; the advantage is not divided by the deviation (Liu et
    /// al., arXiv 2503.20783).
    DrGrpo,
}

/// How ppo estimates the divergence from the reference (Schulman 2020, "Approximating KL divergence").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KlEstimator {
    /// logp - ref_logp: unbiased.
    #[default]
    K1,
    /// exp(ref_logp - logp) - (ref_logp - logp) - 1: unbiased too, never negative, of less variance.
    K3,
}

/// The settings of objectives besides beta, under their names in config.json; which objective reads which, its file says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// reinforce, rloo, grpo, ppo: weight of the KL term.
    pub kl_coefficient: f64,
    /// grpo, ppo: how far below 1 the ratio may count.
    pub clip: f64,
    /// grpo, ppo: how far above 1 it may.
    pub clip_high: f64,
    /// grpo: how the mean over tokens is taken.
    pub loss_type: LossType,
    /// grpo of type `dr_grpo`: the constant length, in tokens.
    pub loss_length: usize,
    /// a2po: the beta of V*.
    pub value_beta: f64,
    /// hybrid: the share of tbrm.
    pub lambda: f64,
    /// hybrid: the other objective.
    pub hybrid_with: Objective,
    /// ppo: the discount of a token.
    pub gamma: f64,
    /// ppo: the lambda of generalized advantage estimation.
    pub gae_lambda: f64,
    /// ppo: of the KL term.
    pub kl_estimator: KlEstimator,
    /// ppo: weight of the critic's loss.
    pub value_coefficient: f64,
    /// ppo: how far from the old value a new one may count.
    pub value_clip: f64,
}

impl Objective {
    /// Those of the settings that it reads, for people.
    pub fn describe(self, terms: &Terms) -> String {
        let Terms { kl_coefficient, clip, clip_high, loss_type, loss_length, value_beta, lambda, .. } = terms;
        let kind = match loss_type {
            LossType::Grpo => "grpo".to_owned(),
            LossType::Dapo => "dapo".to_owned(),
            LossType::DrGrpo => format!("dr_grpo over {loss_length} tokens"),
        };
        match self {
            Objective::Reinforce | Objective::Rloo => format!(", KL {kl_coefficient}"),
            Objective::Grpo => {
                format!(", loss type {kind}, clip {clip} and {clip_high}, KL {kl_coefficient}")
            }
            Objective::A2po => format!(", {value_beta} for V*"),
            Objective::Ppo => {
                let Terms { gamma, gae_lambda, kl_estimator, value_coefficient, value_clip, .. } = terms;
                let estimator = match kl_estimator {
                    KlEstimator::K1 => "k1",
                    KlEstimator::K3 => "k3",
                };
                format!(
                    ", KL {kl_coefficient} ({estimator}), clip {clip} and {clip_high}, gamma {gamma}, GAE lambda {gae_lambda}, \
                     a critic of weight {value_coefficient} and clip {value_clip}"
                )
            }
            Objective::Hybrid => {
                let other = terms.hybrid_with;
                format!(", {lambda} of tbrm, the rest {}{}", other.name(), other.describe(terms))
            }
            Objective::Tbrm | Objective::Brm | Objective::Sft | Objective::Dpo | Objective::Tba => {
                String::new()
            }
        }
    }
}

impl Default for Terms {
    fn default() -> Self {
        Terms::published(Objective::default(), LossType::default())
    }
}

impl Terms {
    /// What the papers (for the KL term of reinforce and rloo, and all of ppo, TRL) use for `objective`, of a hybrid for the one it mixes
    /// with; `loss_length` is the data's to say.
    ///
    /// grpo: clip 0.2 and KL 0.04; its variants without a KL term, dapo with 0.28 above. a2po: 0.5 for V*.
    pub fn published(objective: Objective, loss_type: LossType) -> Terms {
        let kl_coefficient = match (objective, loss_type) {
            (Objective::Reinforce | Objective::Rloo | Objective::Ppo, _) => 0.05,
            (Objective::Grpo, LossType::Grpo) => 0.04,
            _ => 0.0,
        };
        Terms {
            kl_coefficient,
            clip: 0.2,
            clip_high: if loss_type == LossType::Dapo { 0.28 } else { 0.2 },
            loss_type,
            loss_length: 1,
            value_beta: 0.5,
            lambda: 0.5,
            hybrid_with: Objective::Grpo,
            gamma: 1.0,
            gae_lambda: 0.95,
            kl_estimator: KlEstimator::K1,
            value_coefficient: 0.1,
            value_clip: 0.2,
        }
    }
}
