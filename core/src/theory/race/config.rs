//! What a race is about: the tree, the contenders, and what they are given.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::objective::{LossType, Objective, Terms, Together};
use crate::theory::trained::additive_tree;
use crate::theory::tree::Tree;
use crate::train::{Schedule, TrainConfig};

/// Who may race: each regularises towards the reference, so that pi* is what it is measured by.
pub const RACERS: [Objective; 6] =
    [Objective::Tbrm, Objective::Brm, Objective::Tba, Objective::Grpo, Objective::Rloo, Objective::Reinforce];

/// Trajectories that a group compares.
const GROUP: usize = 8;

/// The largest tree, in trajectories: each look enumerates it.
const MOST_LEAVES: usize = 1024;

/// What the objectives that can learn from logs are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Trajectories of uniformly drawn actions, written before the first step.
    #[default]
    Logs,
    /// Trajectories drawn anew in every step by the policy that is trained.
    Rollouts,
}

/// A race.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RaceConfig {
    /// The contenders, among [`RACERS`].
    pub objectives: Vec<Objective>,
    /// Where tbrm, brm and tba take trajectories from; the others always draw their own.
    pub source: Source,
    /// Trajectories in the logs.
    pub logs: usize,
    /// Tokens to choose from.
    pub actions: usize,
    /// Actions of a trajectory.
    pub horizon: usize,
    /// The strength of the KL regularisation, which decides pi*.
    pub beta: f64,
    /// Of rewards, weights and draws.
    pub seed: u64,
    /// Optimizer steps.
    pub steps: u64,
    /// Trajectories in one of them.
    pub batch: usize,
    /// At the beginning; it falls to 0 along half a cosine.
    pub learning_rate: f64,
    /// Steps between two looks at a policy.
    pub look_every: u64,
}

impl Default for RaceConfig {
    fn default() -> Self {
        RaceConfig {
            objectives: vec![Objective::Tbrm, Objective::Brm, Objective::Grpo, Objective::Rloo],
            source: Source::Logs,
            logs: 512,
            actions: 3,
            horizon: 4,
            beta: 0.2,
            seed: 0,
            steps: 200,
            batch: 32,
            learning_rate: 5e-3,
            look_every: 5,
        }
    }
}

impl RaceConfig {
    /// Refuses what makes no sense, or is too large to enumerate.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] names the setting.
    pub fn check(&self) -> Result<()> {
        let bad = |what: String, help: &str| Err(Error::new(ErrorKind::Config, what, help));
        if self.objectives.is_empty() {
            return bad("nobody races: `objectives` is empty".into(), "choose at least one objective");
        }
        for (i, objective) in self.objectives.iter().enumerate() {
            let name = objective.name();
            if !RACERS.contains(objective) {
                let names = RACERS.map(Objective::name).join(", ");
                return bad(format!("{name} has another optimum than pi*"), &format!("use {names}"));
            }
            if self.objectives[..i].contains(objective) {
                return bad(format!("{name} is there twice"), "name each objective once");
            }
        }
        let leaves = self.actions.checked_pow(u32::try_from(self.horizon).unwrap_or(u32::MAX));
        if self.actions < 2 || self.horizon == 0 || leaves.is_none_or(|leaves| leaves > MOST_LEAVES) {
            let what = format!(
                "a tree of {} actions in each of {} steps cannot be enumerated here",
                self.actions, self.horizon
            );
            let help = format!(
                "choose at least 2 `actions` and 1 step of `horizon`, and {MOST_LEAVES} sequences at most"
            );
            return bad(what, &help);
        }
        for (name, value) in [("beta", self.beta), ("learning_rate", self.learning_rate)] {
            if !(value.is_finite() && value > 0.0) {
                return bad(format!("`{name}` is {value}"), "give a number above 0");
            }
        }
        if self.steps == 0 || self.look_every == 0 || self.logs == 0 {
            return bad("`steps`, `look_every` or `logs` is 0".into(), "give a number above 0");
        }
        if self.batch == 0 || !self.batch.is_multiple_of(GROUP) {
            let what = format!("`batch` is {}, and a group compares {GROUP} trajectories", self.batch);
            return bad(what, "give a multiple of it");
        }
        Ok(())
    }

    /// One prompt; each action adds its own part to the reward, which lies in [0, 1].
    pub(super) fn tree(&self) -> Tree {
        additive_tree(self.actions, self.horizon, self.seed)
    }

    /// The trainer's settings for one of the contenders. Where the KL term has a coefficient of its own it is beta.
    pub(super) fn train(&self, objective: Objective) -> TrainConfig {
        let terms = Terms { kl_coefficient: self.beta, ..Terms::published(objective, LossType::default()) };
        TrainConfig {
            objective,
            beta: self.beta,
            terms,
            learning_rate: self.learning_rate,
            schedule: Schedule::Cosine,
            steps: self.steps,
            batch: self.batch,
            seed: self.seed,
            grad_clip: 0.0,
            micro_batch_tokens: self.batch * (2 + self.horizon),
            checkpoint_every: 0,
            ..TrainConfig::default()
        }
    }
}

/// Whether `objective` can learn from what another policy has written.
pub(super) fn takes_logs(objective: Objective) -> bool {
    matches!(objective, Objective::Tbrm | Objective::Brm | Objective::Tba)
}

/// Trajectories that stay together in a step.
pub(super) fn set_size(config: &TrainConfig) -> usize {
    if config.needs().together == Together::Group { GROUP } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_raced_is_refused() {
        RaceConfig::default().check().unwrap();
        let what = |config: RaceConfig| config.check().unwrap_err().what;
        let default = RaceConfig::default;
        assert!(what(RaceConfig { objectives: vec![Objective::Sft], ..default() }).contains("sft"));
        assert!(what(RaceConfig { objectives: vec![Objective::Brm; 2], ..default() }).contains("twice"));
        assert!(what(RaceConfig { objectives: Vec::new(), ..default() }).contains("nobody"));
        assert!(what(RaceConfig { actions: 1, ..default() }).contains("1 actions"));
        assert!(what(RaceConfig { actions: 2, horizon: 11, ..default() }).contains("enumerated"));
        assert!(what(RaceConfig { horizon: usize::MAX, ..default() }).contains("enumerated"));
        assert!(what(RaceConfig { beta: f64::NAN, ..default() }).contains("`beta` is NaN"));
        assert!(what(RaceConfig { batch: 12, ..default() }).contains("`batch` is 12"));
        assert!(what(RaceConfig { steps: 0, ..default() }).contains("`steps`"));
    }
}
