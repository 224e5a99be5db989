//! A run's settings as a user gives them: all of them optional, under the names of config.json.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::data::Order;
use crate::data::trajectory::Truncated;
use crate::error::{Error, ErrorKind, Result};
use crate::objective::Objective;
use crate::train::{Calibrate, Schedule, TrainConfig};

/// Passes over the records where neither their number nor that of the steps is given.
const EPOCHS: u64 = 3;

/// Checkpoints that are kept besides the best.
const KEEP: usize = 2;

/// What a user asks for; `None` for what fits the data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // `SETTINGS` says what each of them is.
pub struct Options {
    pub objective: Option<Objective>,
    pub beta: Option<f64>,
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

/// What a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A number.
    Number,
    /// A whole number from 0 up.
    Count,
    /// True or false.
    Flag,
    /// One of these names.
    Choice(&'static [&'static str]),
}

/// A setting, for forms and help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its name in config.json.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What it is: one sentence.
    pub help: &'static str,
}

const fn setting(name: &'static str, kind: Kind, help: &'static str) -> Setting {
    Setting { name, kind, help }
}

/// All settings.
pub const SETTINGS: [Setting; 22] = [
    setting(
        "objective",
        Kind::Choice(&["tbrm", "brm", "sft"]),
        "What is minimised: the residual of whole completions (tbrm) or of single tokens (brm), or cross-entropy (sft).",
    ),
    setting(
        "beta",
        Kind::Number,
        "How strongly the reward pulls away from the reference: smaller is stronger.",
    ),
    setting("learning_rate", Kind::Number, "The learning rate after the warm-up."),
    setting(
        "schedule",
        Kind::Choice(&["constant", "cosine", "linear"]),
        "How the learning rate changes after the warm-up.",
    ),
    setting("warmup", Kind::Count, "Steps in which the learning rate rises from 0."),
    setting("steps", Kind::Count, "Optimizer steps; by default those of the epochs."),
    setting("epochs", Kind::Count, "Passes over the records, where the number of steps is not given."),
    setting("batch", Kind::Count, "Completions in one optimizer step; by default 32, or all records."),
    setting(
        "shuffle",
        Kind::Flag,
        "Take the records in another order in each epoch, not in that of the file.",
    ),
    setting("seed", Kind::Count, "Seed of everything that is drawn."),
    setting("grad_clip", Kind::Number, "The largest global norm of a step's gradient; 0 for no limit."),
    setting("weight_decay", Kind::Number, "Decoupled weight decay, on every parameter."),
    setting(
        "logit_scale",
        Kind::Number,
        "Factor K on the logits: the policy that is trained samples at temperature 1/K.",
    ),
    setting(
        "calibrate",
        Kind::Choice(&["none", "v-ref"]),
        "What is subtracted from V_1: nothing, or its value under the reference.",
    ),
    setting(
        "reference_reset",
        Kind::Count,
        "The reference becomes the current model every so many steps; 0 for never.",
    ),
    setting(
        "micro_batch_tokens",
        Kind::Count,
        "The most tokens on the GPU at once; by default 2048, or the longest record.",
    ),
    setting(
        "checkpoint_every",
        Kind::Count,
        "Steps between checkpoints; by default a tenth of all, from 10 to 500.",
    ),
    setting("eval_every", Kind::Count, "Steps between evaluations on held-out records; 0 for never."),
    setting("max_length", Kind::Count, "The longest record, in tokens; by default the model's positions."),
    setting(
        "truncated",
        Kind::Choice(&["keep", "mask"]),
        "Records without an end token: keep them, or give them weight 0.",
    ),
    setting("skip_invalid", Kind::Flag, "Set bad records aside instead of stopping."),
    setting("keep", Kind::Count, "How many of the last checkpoints are kept, besides the best."),
];

impl Setting {
    /// Its default; null where the data decides.
    pub fn default(&self) -> Value {
        let TrainConfig {
            objective,
            beta,
            learning_rate,
            schedule,
            warmup,
            shuffle,
            seed,
            grad_clip,
            weight_decay,
            logit_scale,
            calibrate,
            reference_reset,
            ..
        } = TrainConfig::default();
        let fixed = Options {
            objective: Some(objective),
            beta: Some(beta),
            learning_rate: Some(learning_rate),
            schedule: Some(schedule),
            warmup: Some(warmup),
            epochs: Some(EPOCHS),
            shuffle: Some(shuffle),
            seed: Some(seed),
            grad_clip: Some(grad_clip),
            weight_decay: Some(weight_decay),
            logit_scale: Some(logit_scale),
            calibrate: Some(calibrate),
            reference_reset: Some(reference_reset),
            truncated: Some(Truncated::Keep),
            skip_invalid: Some(false),
            keep: Some(KEEP),
            ..Options::default()
        };
        json!(fixed)[self.name].clone()
    }

    fn wanted(&self) -> String {
        match self.kind {
            Kind::Number => "a number".into(),
            Kind::Count => "a whole number from 0 up".into(),
            Kind::Flag => "true or false".into(),
            Kind::Choice(names) => format!("one of {}", names.join(", ")),
        }
    }
}

impl Options {
    /// Reads a JSON object; null stands for the default.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] names the setting that is unknown or of the wrong kind.
    pub fn parse(settings: &Value) -> Result<Options> {
        let Value::Object(map) = settings else {
            return Err(bad(
                "the settings are not a JSON object".into(),
                "give an object of settings".into(),
            ));
        };
        for (name, value) in map {
            let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) else {
                let names: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
                return Err(bad(
                    format!("`{name}` is no setting"),
                    format!("there are {}", names.join(", ")),
                ));
            };
            let alone = Value::Object(Map::from_iter([(name.clone(), value.clone())]));
            if serde_json::from_value::<Options>(alone).is_err() {
                return Err(bad(format!("`{name}` is {value}"), format!("give {}", setting.wanted())));
            }
        }
        serde_json::from_value(settings.clone())
            .map_err(|error| bad(format!("the settings: {error}"), "give each setting once".into()))
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

    /// The trainer's settings for this many `records`, the longest of `longest` tokens, `held_out` others among them.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] names the setting that makes no sense.
    pub fn train_config(&self, records: usize, longest: usize, held_out: bool) -> Result<TrainConfig> {
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
        let batch = self.batch.unwrap_or(defaults.batch.min(records));
        let order = Order { records, batch, shuffle: shuffle.then_some(seed) };
        let steps = self.steps.unwrap_or_else(|| order.steps_in_epochs(self.epochs.unwrap_or(EPOCHS)));
        let tenth = steps / 10;
        let config = TrainConfig {
            objective: self.objective.unwrap_or(defaults.objective),
            beta: self.beta.unwrap_or(defaults.beta),
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
            micro_batch_tokens: self.micro_batch_tokens.unwrap_or(longest.max(defaults.micro_batch_tokens)),
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

fn bad(what: String, help: String) -> Error {
    Error::new(ErrorKind::Config, what, help)
}

#[cfg(test)]
mod tests {
    use super::*;

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
            };
            for value in good.iter().chain([&Value::Null, &setting.default()]) {
                let read = Options::parse(&json!({setting.name: value})).unwrap();
                assert_eq!(&json!(read)[setting.name], value, "{}", setting.name);
            }
            let error = Options::parse(&json!({setting.name: {"not": "this"}})).unwrap_err();
            assert!(error.what.contains(setting.name) && error.help.contains(&setting.wanted()), "{error:?}");
        }
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
            let config = Options::parse(&settings).unwrap().train_config(10, 8, false);
            assert_eq!(config.unwrap_err().what, want);
        }
    }

    #[test]
    fn a_config_gives_the_same_settings_again() {
        let given = Options::parse(&json!({"beta": 0.1, "epochs": 2, "calibrate": "v-ref"})).unwrap();
        let config = given.train_config(100, 5000, true).unwrap();
        assert_eq!((config.steps, config.batch, config.eval_every), (8, 32, 1));
        assert_eq!((config.micro_batch_tokens, config.checkpoint_every), (5000, 10));
        let mut saved = json!(config);
        (saved["adapter"], saved["max_length"]) = (json!("other keys"), Value::Null);
        let again = Options::of_config(&saved).unwrap();
        // Other data would give other defaults: what the run began with stays.
        assert_eq!(again.train_config(3, 9, false).unwrap(), config);
    }
}
