//! A run's settings as a user gives them: all of them optional, under the names of config.json.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::catalogue::{SETTINGS, bad, object, read};
use crate::data::trajectory::{Trajectory, Truncated};
use crate::data::{Order, Sets};
use crate::error::Result;
use crate::objective::{KlEstimator, LossType, Objective, Terms};
use crate::train::{Calibrate, Schedule, TrainConfig};

/// Passes over the records where neither their number nor that of the steps is given.
pub(super) const EPOCHS: u64 = 3;

/// Checkpoints that are kept besides the best.
pub(super) const KEEP: usize = 2;

/// What a user asks for; `None` for what fits the data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // `SETTINGS` says what each of them is.
pub struct Options {
    pub objective: Option<Objective>,
    pub beta: Option<f64>,
    pub kl_coefficient: Option<f64>,
    pub clip: Option<f64>,
    pub clip_high: Option<f64>,
    pub loss_type: Option<LossType>,
    pub loss_length: Option<usize>,
    pub value_beta: Option<f64>,
    pub lambda: Option<f64>,
    pub hybrid_with: Option<Objective>,
    pub gamma: Option<f64>,
    pub gae_lambda: Option<f64>,
    pub kl_estimator: Option<KlEstimator>,
    pub value_coefficient: Option<f64>,
    pub value_clip: Option<f64>,
    pub learning_rate: Option<f64>,
    pub schedule: Option<Schedule>,
    pub warmup: Option<u64>,
    pub steps: Option<u64>,
    pub epochs: Option<u64>,
    pub batch: Option<usize>,
    pub shuffle: Option<bool>,
    pub seed: Option<u64>,
    pub grad_clip: Option<f64>,
    pub weight_decay: Option<f64>,
    pub logit_scale: Option<f64>,
    pub calibrate: Option<Calibrate>,
    pub reference_reset: Option<u64>,
    pub micro_batch_tokens: Option<usize>,
    pub checkpoint_every: Option<u64>,
    pub eval_every: Option<u64>,
    pub max_length: Option<usize>,
    pub truncated: Option<Truncated>,
    pub skip_invalid: Option<bool>,
    pub keep: Option<usize>,
}

/// What settings hang on of the data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scale {
    /// Groups, pairs, or else records.
    pub sets: usize,
    /// Records of the largest of them.
    pub largest_set: usize,
    /// Tokens of the one that has most.
    pub set_tokens: usize,
    /// Tokens of the longest record.
    pub longest: usize,
    /// Tokens of the longest completion.
    pub longest_completion: usize,
    /// Whether there are held-out records.
    pub held_out: bool,
}

impl Options {
    /// Reads a JSON object; null stands for the default.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) names the setting that is unknown or of the wrong kind.
    pub fn parse(settings: &Value) -> Result<Options> {
        read(object(settings)?, &SETTINGS)
    }

    /// The settings in a run's config.json; its other keys are passed over.
    ///
    /// # Errors
    /// As [`Options::parse`].
    pub fn of_config(config: &Value) -> Result<Options> {
        let known = |(name, _): &(&String, &Value)| SETTINGS.iter().any(|setting| setting.name == *name);
        let settings = config.as_object().into_iter().flatten().filter(known);
        Options::parse(&settings.map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    /// The objective's settings besides beta; `loss_length` is 1 where it is not given.
    pub fn terms(&self) -> Terms {
        let objective = self.objective.unwrap_or_default();
        let defaults = Terms::default();
        let hybrid_with = self.hybrid_with.unwrap_or(defaults.hybrid_with);
        let own = if objective == Objective::Hybrid { hybrid_with } else { objective };
        let published = Terms::published(own, self.loss_type.unwrap_or(defaults.loss_type));
        Terms {
            kl_coefficient: self.kl_coefficient.unwrap_or(published.kl_coefficient),
            clip: self.clip.unwrap_or(published.clip),
            clip_high: self.clip_high.unwrap_or(published.clip_high),
            loss_length: self.loss_length.unwrap_or(published.loss_length),
            value_beta: self.value_beta.unwrap_or(published.value_beta),
            lambda: self.lambda.unwrap_or(published.lambda),
            hybrid_with,
            gamma: self.gamma.unwrap_or(published.gamma),
            gae_lambda: self.gae_lambda.unwrap_or(published.gae_lambda),
            kl_estimator: self.kl_estimator.unwrap_or(published.kl_estimator),
            value_coefficient: self.value_coefficient.unwrap_or(published.value_coefficient),
            value_clip: self.value_clip.unwrap_or(published.value_clip),
            ..published
        }
    }

    /// What of the data the settings hang on.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) where `data` lacks what the objective needs.
    pub fn scale(&self, data: &[Trajectory], eval: &[Trajectory]) -> Result<Scale> {
        let (objective, terms) = (self.objective.unwrap_or_default(), self.terms());
        objective.check(&terms, data)?;
        let sets = Sets::new(objective, objective.needs(&terms).together, data)?;
        let all = || data.iter().chain(eval);
        Ok(Scale {
            sets: sets.len(),
            largest_set: sets.largest(),
            set_tokens: sets.longest(data),
            longest: all().map(|t| t.tokens.len()).max().unwrap_or(0),
            longest_completion: all().map(Trajectory::num_actions).max().unwrap_or(0),
            held_out: !eval.is_empty(),
        })
    }

    /// The trainer's settings for data of this scale.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) names the setting that makes no sense.
    pub fn train_config(&self, scale: &Scale) -> Result<TrainConfig> {
        let defaults = TrainConfig::default();
        for (name, count) in [
            ("steps", self.steps),
            ("epochs", self.epochs),
            ("batch", self.batch.map(|n| n as u64)),
            ("keep", self.keep.map(|n| n as u64)),
        ] {
            if count == Some(0) {
                return Err(bad(format!("`{name}` is 0"), "give a number above 0".into()));
            }
        }
        if let (Some(steps), Some(epochs)) = (self.steps, self.epochs) {
            let what = format!("`steps` is {steps} and `epochs` is {epochs}");
            return Err(bad(what, "give one of them".into()));
        }
        let shuffle = self.shuffle.unwrap_or(defaults.shuffle);
        let seed = self.seed.unwrap_or(defaults.seed);
        let Scale { sets, largest_set, set_tokens, longest, longest_completion, held_out } = *scale;
        let batch = self.batch.unwrap_or(defaults.batch.min(sets * largest_set).max(largest_set));
        let (records, per_step) = (sets, (batch / largest_set).max(1));
        let order = Order { records, batch: per_step, shuffle: shuffle.then_some(seed) };
        let steps = self.steps.unwrap_or_else(|| order.steps_in_epochs(self.epochs.unwrap_or(EPOCHS)));
        let tenth = steps / 10;
        let objective = self.objective.unwrap_or(defaults.objective);
        let loss_length = self.loss_length.unwrap_or(longest_completion.max(1));
        let config = TrainConfig {
            objective,
            beta: self.beta.unwrap_or(objective.beta()),
            terms: Terms { loss_length, ..self.terms() },
            learning_rate: self.learning_rate.unwrap_or(defaults.learning_rate),
            schedule: self.schedule.unwrap_or(defaults.schedule),
            warmup: self.warmup.unwrap_or(defaults.warmup),
            steps,
            batch,
            shuffle,
            seed,
            grad_clip: self.grad_clip.unwrap_or(defaults.grad_clip),
            weight_decay: self.weight_decay.unwrap_or(defaults.weight_decay),
            logit_scale: self.logit_scale.unwrap_or(defaults.logit_scale),
            calibrate: self.calibrate.unwrap_or(defaults.calibrate),
            reference_reset: self.reference_reset.unwrap_or(defaults.reference_reset),
            micro_batch_tokens: self
                .micro_batch_tokens
                .unwrap_or(longest.max(set_tokens).max(defaults.micro_batch_tokens)),
            checkpoint_every: self.checkpoint_every.unwrap_or(tenth.clamp(10, 500)),
            eval_every: self.eval_every.unwrap_or(if held_out { tenth.max(1) } else { 0 }),
        };
        config.check()?;
        Ok(config)
    }

    /// Checkpoints that are kept besides the best.
    pub fn keep(&self) -> usize {
        self.keep.unwrap_or(KEEP)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::run::catalogue::Kind;

    #[test]
    fn every_setting_is_listed_with_what_it_takes() {
        let options = json!(Options::default());
        let names: Vec<&String> = options.as_object().unwrap().keys().collect();
        assert_eq!(names, SETTINGS.map(|setting| setting.name));
        for setting in SETTINGS {
            let good = match setting.kind {
                Kind::Number => vec![json!(0.5), json!(2.0)],
                Kind::Count => vec![json!(7)],
                Kind::Flag => vec![json!(true)],
                Kind::Choice(names) => names.iter().map(|name| json!(name)).collect(),
                Kind::Texts | Kind::Numbers => panic!("{} is none of the trainer's", setting.name),
            };
            for value in good.iter().chain([&Value::Null, &setting.default()]) {
                let read = Options::parse(&json!({setting.name: value})).unwrap();
                assert_eq!(&json!(read)[setting.name], value, "{}", setting.name);
            }
            let error = Options::parse(&json!({setting.name: {"not": "this"}})).unwrap_err();
            assert!(error.what.contains(setting.name) && error.help.contains(&setting.wanted()), "{error:?}");
        }
    }

    fn scale(sets: usize, longest: usize, held_out: bool) -> Scale {
        let (largest_set, set_tokens, longest_completion) = (1, longest, longest - 1);
        Scale { sets, largest_set, set_tokens, longest, longest_completion, held_out }
    }

    #[test]
    fn objectives_bring_their_published_settings() {
        let terms =
            |settings: Value| Options::parse(&settings).unwrap().train_config(&scale(10, 8, false)).unwrap();
        let grpo = terms(json!({"objective": "grpo"}));
        assert_eq!((grpo.terms.kl_coefficient, grpo.terms.clip, grpo.terms.clip_high), (0.04, 0.2, 0.2));
        let dapo = terms(json!({"objective": "grpo", "loss_type": "dapo"})).terms;
        assert_eq!((dapo.kl_coefficient, dapo.clip, dapo.clip_high), (0.0, 0.2, 0.28));
        let dr = terms(json!({"objective": "grpo", "loss_type": "dr_grpo", "kl_coefficient": 0.1})).terms;
        assert_eq!((dr.kl_coefficient, dr.loss_length), (0.1, 7));
        assert_eq!(terms(json!({"objective": "dpo"})).beta, 0.1);
        let a2po = terms(json!({"objective": "a2po"}));
        assert_eq!((a2po.beta, a2po.terms.value_beta), (0.001, 0.5));
        let hybrid = terms(json!({"objective": "hybrid", "hybrid_with": "rloo"}));
        assert_eq!((hybrid.beta, hybrid.terms.kl_coefficient, hybrid.terms.lambda), (0.05, 0.05, 0.5));
        let error =
            Options::parse(&json!({"hybrid_with": "tbrm"})).unwrap().train_config(&scale(9, 9, false));
        assert_eq!(error.unwrap_err().what, "`hybrid_with` is tbrm");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (settings, want) in [
            (json!([]), "the settings are not a JSON object"),
            (json!({"beta": 1, "betta": 1}), "`betta` is no setting"),
            (json!({"schedule": "sine"}), "`schedule` is \"sine\""),
            (json!({"seed": -1}), "`seed` is -1"),
        ] {
            assert_eq!(Options::parse(&settings).unwrap_err().what, want);
        }
        for (settings, want) in [
            (json!({"batch": 0}), "`batch` is 0"),
            (json!({"steps": 2, "epochs": 1}), "`steps` is 2 and `epochs` is 1"),
            (json!({"learning_rate": 0}), "`learning_rate` is 0"),
        ] {
            let config = Options::parse(&settings).unwrap().train_config(&scale(10, 8, false));
            assert_eq!(config.unwrap_err().what, want);
        }
    }

    #[test]
    fn a_config_gives_the_same_settings_again() {
        let given = Options::parse(&json!({"beta": 0.1, "epochs": 2, "calibrate": "v-ref"})).unwrap();
        let config = given.train_config(&scale(100, 5000, true)).unwrap();
        assert_eq!((config.steps, config.batch, config.eval_every), (8, 32, 1));
        assert_eq!((config.micro_batch_tokens, config.checkpoint_every), (5000, 10));
        let mut saved = json!(config);
        (saved["adapter"], saved["max_length"]) = (json!("other keys"), Value::Null);
        let again = Options::of_config(&saved).unwrap();
        // Other data would give other defaults: what the run began with stays.
        assert_eq!(again.train_config(&scale(3, 9, false)).unwrap(), config);
    }
}
