//! The settings of online training besides the trainer's, as they stand in `RUN/config.json`.

use serde::{Deserialize, Serialize};

use crate::data::trajectory::Truncated;
use crate::error::{Error, ErrorKind, Result};
use crate::objective::{Objective, Together};
use crate::train::TrainConfig;

/// Which of a round's completions are trained on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrainOn {
    /// All of them.
    #[default]
    All,
    /// Those with the round's highest reward; the others have weight 0, and where all rewards are equal all have. With
    /// cross-entropy this is rejection-sampling fine-tuning.
    Top,
}

impl TrainOn {
    /// Of a round with these rewards: the least reward that is trained on.
    pub(crate) fn least(self, rewards: impl Iterator<Item = f64> + Clone) -> f64 {
        let highest = rewards.clone().fold(f64::NEG_INFINITY, f64::max);
        match self {
            TrainOn::All => f64::NEG_INFINITY,
            TrainOn::Top if rewards.clone().all(|reward| reward == highest) => f64::INFINITY,
            TrainOn::Top => highest,
        }
    }
}

/// What decides which completions an online run draws, and how it uses them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OnlineConfig {
    /// Completions of each prompt.
    pub rollouts: usize,
    /// Prompts of one batch of rollouts.
    pub prompts_per_batch: usize,
    /// Optimizer steps on each batch of rollouts.
    pub steps_per_batch: u64,
    /// Earlier batches of rollouts that steps draw from too.
    pub replay: usize,
    /// Tokens of a completion at most.
    pub max_new_tokens: usize,
    /// Divides the logits.
    pub temperature: f64,
    /// How many of the most likely tokens remain; 0 for all.
    pub top_k: u32,
    /// The smallest set of most likely tokens that has this probability remains; 1 for all.
    pub top_p: f64,
    /// The share of each step that logged records have, where there are any.
    pub data_share: f64,
    /// a2po: completions by the reference from which V* of each prompt is estimated.
    pub value_samples: usize,
    /// Completions of each held-out prompt.
    pub eval_samples: usize,
    /// What happens to completions that reached the most tokens.
    pub truncated: Truncated,
    /// Which completions are trained on.
    #[serde(default)]
    pub train_on: TrainOn,
    /// The rewards, as they were asked for.
    pub rewards: Vec<String>,
    /// The weight of each.
    pub reward_weights: Vec<f64>,
    /// Texts that end a completion.
    pub stop: Vec<String>,
    /// Completions whose reward fails or is not finite are left out, instead of stopping the run.
    pub set_aside_failures: bool,
}

impl Default for OnlineConfig {
    fn default() -> Self {
        OnlineConfig {
            rollouts: 1,
            prompts_per_batch: 32,
            steps_per_batch: 1,
            replay: 0,
            max_new_tokens: 128,
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            data_share: 0.0,
            value_samples: 8,
            eval_samples: 1,
            truncated: Truncated::Keep,
            train_on: TrainOn::All,
            rewards: Vec::new(),
            reward_weights: Vec::new(),
            stop: Vec::new(),
            set_aside_failures: false,
        }
    }
}

impl OnlineConfig {
    /// Refuses settings that make no sense, alone or with the trainer's.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] names the setting.
    pub fn check(&self, train: &TrainConfig) -> Result<()> {
        let bad = |what: String, help: &str| Err(Error::new(ErrorKind::Config, what, help));
        for (name, count) in [
            ("rollouts", self.rollouts),
            ("prompts_per_batch", self.prompts_per_batch),
            ("steps_per_batch", self.steps_per_batch as usize),
            ("max_new_tokens", self.max_new_tokens),
            ("value_samples", self.value_samples),
            ("eval_samples", self.eval_samples),
        ] {
            if count == 0 {
                return bad(format!("`{name}` is 0"), "give a number above 0");
            }
        }
        if !(0.0..1.0).contains(&self.data_share) {
            return bad(
                format!("`data_share` is {}", self.data_share),
                "give a number from 0 up and below 1",
            );
        }
        if train.objective == Objective::Ppo && self.data_share > 0.0 {
            let what = "ppo is trained on rollouts alone: logged records have no values of its critic";
            return bad(
                what.into(),
                "leave the records out, or train with `objective` tbrm, which needs no critic",
            );
        }
        if self.stop.iter().any(String::is_empty) {
            return bad("`stop` is no text".into(), "give the text that ends a completion");
        }
        let objective = train.objective.name();
        match train.needs().together {
            Together::Pair => {
                let what = format!("{objective} is trained on pairs, and rollouts are none");
                bad(what, "use `tbrm train` on records with `chosen` and `rejected`, or another `objective`")
            }
            // V* of a2po comes from completions of its own.
            Together::Group if self.rollouts < 2 && train.objective != Objective::A2po => {
                let what =
                    format!("`rollouts` is 1, and {objective} compares several rollouts of one prompt");
                bad(what, "raise `rollouts` to 2 or more, or train with `objective` tbrm, which needs one")
            }
            Together::Group | Together::Alone if self.rollouts > train.batch - self.logged(train.batch) => {
                let what = format!("`rollouts` is {}, above what a step has for them", self.rollouts);
                bad(what, "raise `batch`, or lower `rollouts` or `data_share`")
            }
            Together::Group | Together::Alone => Ok(()),
        }
    }

    /// Logged records of a step of `batch` completions.
    pub(crate) fn logged(&self, batch: usize) -> usize {
        (batch as f64 * self.data_share).round() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_highest_reward_is_trained_on_where_that_is_asked() {
        let least = |on: TrainOn, rewards: &[f64]| on.least(rewards.iter().copied());
        assert_eq!(least(TrainOn::Top, &[0.0, 1.0, 0.5, 1.0]), 1.0);
        assert_eq!(least(TrainOn::Top, &[0.0, 0.0]), f64::INFINITY);
        assert_eq!(least(TrainOn::All, &[0.0, 1.0]), f64::NEG_INFINITY);
    }
}
