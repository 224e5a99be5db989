//! The settings of a training run, as they stand in `RUN/config.json`.

use serde::{Deserialize, Serialize};

use super::schedule::Schedule;
use crate::error::{Error, ErrorKind, Result};
use crate::objective::{Needs, Objective, Terms};

/// What is subtracted from the residual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Calibrate {
    /// Nothing.
    #[default]
    None,
    /// V_1 of the reference: the loss starts near R / beta whatever offset the initial logits have.
    VRef,
}

/// Everything that decides what a run computes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainConfig {
    /// What is minimised.
    pub objective: Objective,
    /// The strength of the KL regularisation.
    pub beta: f64,
    /// The objective's other settings.
    #[serde(flatten)]
    pub terms: Terms,
    /// The largest learning rate of the schedule.
    pub learning_rate: f64,
    /// How the learning rate moves.
    pub schedule: Schedule,
    /// Steps over which it rises from 0.
    pub warmup: u64,
    /// Optimizer steps.
    pub steps: u64,
    /// Trajectories in one optimizer step.
    pub batch: usize,
    /// A permutation per epoch; otherwise file order.
    pub shuffle: bool,
    /// Decides the permutations.
    pub seed: u64,
    /// The largest global norm of a step's gradient; 0 for no limit.
    pub grad_clip: f64,
    /// Decoupled weight decay, on every parameter.
    pub weight_decay: f64,
    /// kappa: multiplies the logits wherever they stand.
    pub logit_scale: f64,
    /// What is subtracted from the residual.
    pub calibrate: Calibrate,
    /// Steps after which the reference becomes the current model; 0 for never.
    pub reference_reset: u64,
    /// Tokens of one micro-batch at most.
    pub micro_batch_tokens: usize,
    /// Steps between checkpoints; 0 for only the last.
    pub checkpoint_every: u64,
    /// Steps between evaluations on held-out records; 0 for never.
    pub eval_every: u64,
}

impl Default for TrainConfig {
    fn default() -> Self {
        TrainConfig {
            objective: Objective::Tbrm,
            beta: Objective::Tbrm.beta(),
            terms: Terms::default(),
            learning_rate: 3e-4,
            schedule: Schedule::Constant,
            warmup: 0,
            steps: 100,
            batch: 32,
            shuffle: true,
            seed: 0,
            grad_clip: 1.0,
            weight_decay: 0.0,
            logit_scale: 1.0,
            calibrate: Calibrate::None,
            reference_reset: 0,
            micro_batch_tokens: 2048,
            checkpoint_every: 100,
            eval_every: 0,
        }
    }
}

impl TrainConfig {
    /// What the objective cannot do without.
    pub fn needs(&self) -> Needs {
        self.objective.needs(&self.terms)
    }

    /// The objective, and what a hybrid mixes with; of others themselves.
    pub(crate) fn mix(&self) -> (Objective, Objective) {
        let other = if self.objective == Objective::Hybrid { self.terms.hybrid_with } else { self.objective };
        (self.objective, other)
    }

    /// Refuses settings that make no sense.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] names the setting.
    pub fn check(&self) -> Result<()> {
        let positive = |name: &str, value: f64| -> Result<()> {
            if value.is_finite() && value > 0.0 { Ok(()) } else { Err(bad(name, value, "a number above 0")) }
        };
        let not_negative = |name: &str, value: f64| -> Result<()> {
            if value.is_finite() && value >= 0.0 {
                Ok(())
            } else {
                Err(bad(name, value, "a number from 0 up"))
            }
        };
        positive("`beta`", self.beta)?;
        let Terms { kl_coefficient, clip, clip_high, loss_length, value_beta, lambda, hybrid_with, .. } =
            self.terms;
        not_negative("`kl_coefficient`", kl_coefficient)?;
        not_negative("`clip`", clip)?;
        not_negative("`clip_high`", clip_high)?;
        positive("`loss_length`", loss_length as f64)?;
        positive("`value_beta`", value_beta)?;
        if !(0.0..=1.0).contains(&lambda) {
            return Err(bad("`lambda`", lambda, "a number from 0 to 1"));
        }
        let Terms { gamma, gae_lambda, value_coefficient, value_clip, .. } = self.terms;
        for (name, value) in [("`gamma`", gamma), ("`gae_lambda`", gae_lambda)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(bad(name, value, "a number from 0 to 1"));
            }
        }
        not_negative("`value_coefficient`", value_coefficient)?;
        positive("`value_clip`", value_clip)?;
        if matches!(hybrid_with, Objective::Hybrid | Objective::Tbrm | Objective::Ppo) {
            let what = format!("`hybrid_with` is {}", hybrid_with.name());
            return Err(Error::new(ErrorKind::Config, what, "give the objective that TBRM is mixed with"));
        }
        positive("`learning_rate`", self.learning_rate)?;
        positive("`logit_scale`", self.logit_scale)?;
        not_negative("`grad_clip`", self.grad_clip)?;
        not_negative("`weight_decay`", self.weight_decay)?;
        positive("`steps`", self.steps as f64)?;
        positive("`batch`", self.batch as f64)?;
        positive("`micro_batch_tokens`", self.micro_batch_tokens as f64)
    }
}

fn bad(name: &str, value: f64, wanted: &str) -> Error {
    Error::new(ErrorKind::Config, format!("{name} is {value}"), format!("give {wanted}"))
}
