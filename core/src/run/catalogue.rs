//! Every setting of a run's config.json by name: what it takes, its default, and a sentence of help, from which forms, help and
//! messages are made.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::options::{EPOCHS, KEEP, Options};
use crate::data::trajectory::Truncated;
use crate::error::{Error, ErrorKind, Result};
use crate::objective::{Objective, Terms};
use crate::train::TrainConfig;

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
    /// A list of texts.
    Texts,
    /// A list of numbers.
    Numbers,
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

pub(super) const fn setting(name: &'static str, kind: Kind, help: &'static str) -> Setting {
    Setting { name, kind, help }
}

const OBJECTIVES: [&str; Objective::ALL.len()] = {
    let mut names = [""; Objective::ALL.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = Objective::ALL[i].name();
        i += 1;
    }
    names
};

/// All settings.
pub const SETTINGS: [Setting; 35] = [
    setting("objective", Kind::Choice(&OBJECTIVES), "What is minimised."),
    setting(
        "beta",
        Kind::Number,
        "How strongly the reward pulls away from the reference: smaller is stronger; by default 0.05, of dpo 0.1, of a2po 0.001.",
    ),
    setting(
        "kl_coefficient",
        Kind::Number,
        "Of reinforce, rloo, grpo and ppo: weight of the KL term; by default 0.05, of grpo 0.04, of its other loss types 0.",
    ),
    setting("clip", Kind::Number, "Of grpo and ppo: how far below 1 the ratio to the old policy counts."),
    setting(
        "clip_high",
        Kind::Number,
        "Of grpo and ppo: how far above 1 it counts; by default 0.2, of dapo 0.28.",
    ),
    setting(
        "loss_type",
        Kind::Choice(&["grpo", "dapo", "dr_grpo"]),
        "Of grpo: the mean over tokens is taken in each completion, over all, or over a constant length.",
    ),
    setting(
        "loss_length",
        Kind::Count,
        "Of grpo of type dr_grpo: that length; by default the longest completion's.",
    ),
    setting("value_beta", Kind::Number, "Of a2po: the beta of V*."),
    setting("lambda", Kind::Number, "Of hybrid: the share of tbrm, from 0 to 1."),
    setting("hybrid_with", Kind::Choice(&OBJECTIVES), "Of hybrid: the objective that tbrm is mixed with."),
    setting("gamma", Kind::Number, "Of ppo: the discount of a token, from 0 to 1."),
    setting("gae_lambda", Kind::Number, "Of ppo: the lambda of its advantages, from 0 to 1."),
    setting(
        "kl_estimator",
        Kind::Choice(&["k1", "k3"]),
        "Of ppo: how the KL penalty of a token is estimated.",
    ),
    setting("value_coefficient", Kind::Number, "Of ppo: weight of the critic's loss."),
    setting("value_clip", Kind::Number, "Of ppo: how far from the old value a new one counts."),
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
            terms,
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
        let Terms { clip, loss_type, value_beta, lambda, hybrid_with, .. } = terms;
        let fixed = Options {
            objective: Some(objective),
            clip: Some(clip),
            loss_type: Some(loss_type),
            value_beta: Some(value_beta),
            lambda: Some(lambda),
            hybrid_with: Some(hybrid_with),
            gamma: Some(terms.gamma),
            gae_lambda: Some(terms.gae_lambda),
            kl_estimator: Some(terms.kl_estimator),
            value_coefficient: Some(terms.value_coefficient),
            value_clip: Some(terms.value_clip),
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
        match &json!(fixed)[self.name] {
            Value::Null => super::online_settings::default(self.name),
            value => value.clone(),
        }
    }

    pub(super) fn wanted(&self) -> String {
        match self.kind {
            Kind::Number => "a number".into(),
            Kind::Count => "a whole number from 0 up".into(),
            Kind::Flag => "true or false".into(),
            Kind::Choice(names) => format!("one of {}", names.join(", ")),
            Kind::Texts => "a list of texts".into(),
            Kind::Numbers => "a list of numbers".into(),
        }
    }
}

/// The settings of a JSON object.
pub(super) fn object(settings: &Value) -> Result<&Map<String, Value>> {
    settings
        .as_object()
        .ok_or_else(|| bad("the settings are not a JSON object".into(), "give an object of settings".into()))
}

/// Reads settings, of which there are those that are `known`.
pub(super) fn read<T: DeserializeOwned>(settings: &Map<String, Value>, known: &[Setting]) -> Result<T> {
    for (name, value) in settings {
        let Some(setting) = known.iter().find(|setting| setting.name == name) else {
            let names: Vec<&str> = known.iter().map(|setting| setting.name).collect();
            return Err(bad(format!("`{name}` is no setting"), format!("there are {}", names.join(", "))));
        };
        let alone = Value::Object(Map::from_iter([(name.clone(), value.clone())]));
        if serde_json::from_value::<T>(alone).is_err() {
            return Err(bad(format!("`{name}` is {value}"), format!("give {}", setting.wanted())));
        }
    }
    serde_json::from_value(Value::Object(settings.clone()))
        .map_err(|error| bad(format!("the settings: {error}"), "give each setting once".into()))
}

pub(super) fn bad(what: String, help: String) -> Error {
    Error::new(ErrorKind::Config, what, help)
}
