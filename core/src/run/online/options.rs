//! What a user asks of an online run besides the trainer's settings: all of it optional, under the names of config.json.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::Result;
use crate::online::{OnlineConfig, TrainOn};
use crate::run::options::{Kind, Options, SETTINGS, Setting, object, read, setting};

/// What a user asks for besides [`Options`]; `None` for what fits the prompts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // [`OnlineConfig`] says what each of them is.
pub struct OnlineOptions {
    pub rewards: Vec<String>,
    pub reward_weights: Vec<f64>,
    pub set_aside_failures: bool,
    pub rollouts: Option<usize>,
    pub prompts_per_batch: Option<usize>,
    pub steps_per_batch: Option<u64>,
    pub replay: Option<usize>,
    pub max_new_tokens: Option<usize>,
    pub temperature: Option<f64>,
    pub top_k: Option<u32>,
    pub top_p: Option<f64>,
    pub stop: Vec<String>,
    pub train_on: Option<TrainOn>,
    pub data_share: Option<f64>,
    pub value_samples: Option<usize>,
    pub eval_samples: Option<usize>,
}

/// All settings of [`OnlineOptions`].
pub const ONLINE_SETTINGS: [Setting; 16] = [
    setting(
        "rewards",
        Kind::Texts,
        "How completions are judged: the kinds of `--reward`; several are added up.",
    ),
    setting("reward_weights", Kind::Numbers, "The weight of each reward; by default 1."),
    setting(
        "set_aside_failures",
        Kind::Flag,
        "Leave out completions whose reward fails or is not finite, instead of stopping.",
    ),
    setting(
        "rollouts",
        Kind::Count,
        "Completions of each prompt: objectives that compare them need 2 or more.",
    ),
    setting("prompts_per_batch", Kind::Count, "Prompts of one batch of rollouts; by default 32, or all."),
    setting(
        "steps_per_batch",
        Kind::Count,
        "Optimizer steps on each batch of rollouts; by default so many that each rollout is trained on once, and once more for each batch of the replay.",
    ),
    setting("replay", Kind::Count, "Steps draw from so many earlier batches of rollouts too: off-policy."),
    setting("max_new_tokens", Kind::Count, "The longest completion, in tokens."),
    setting(
        "temperature",
        Kind::Number,
        "Divides the logits; by default 1 over the logit scale, the policy that is trained.",
    ),
    setting("top_k", Kind::Count, "Draw from so many of the likeliest tokens; 0 for all."),
    setting(
        "top_p",
        Kind::Number,
        "Draw from the likeliest tokens that together have this probability; 1 for all.",
    ),
    setting("stop", Kind::Texts, "Texts that end a completion."),
    setting(
        "train_on",
        Kind::Choice(&["all", "top"]),
        "Train on all completions, or on those with the highest reward of their batch: with sft, rejection-sampling fine-tuning.",
    ),
    setting(
        "data_share",
        Kind::Number,
        "The share of each step that logged records have, where there are any; by default 0.5.",
    ),
    setting(
        "value_samples",
        Kind::Count,
        "Of a2po: completions by the reference from which V* of each prompt is estimated.",
    ),
    setting("eval_samples", Kind::Count, "Completions of each held-out prompt."),
];

impl OnlineOptions {
    /// Reads a JSON object with settings of both kinds; null stands for the default.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) names the setting that is unknown or of the wrong kind.
    pub fn parse(settings: &Value) -> Result<(Options, OnlineOptions)> {
        let given = object(settings)?.iter().filter(|(_, value)| !value.is_null());
        let (online, trainer): (Vec<_>, Vec<_>) =
            given.partition(|(name, _)| ONLINE_SETTINGS.iter().any(|setting| setting.name == *name));
        let map = |of: Vec<(&String, &Value)>| -> Map<String, Value> {
            of.into_iter().map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        let known: Vec<Setting> = SETTINGS.into_iter().chain(ONLINE_SETTINGS).collect();
        Ok((read(&map(trainer), &known)?, read(&map(online), &known)?))
    }

    /// The settings in an online run's config.json; its other keys are passed over.
    ///
    /// # Errors
    /// As [`OnlineOptions::parse`].
    pub fn of_config(config: &Value) -> Result<(Options, OnlineOptions)> {
        let known = |(name, _): &(&String, &Value)| {
            SETTINGS.iter().chain(&ONLINE_SETTINGS).any(|setting| setting.name == *name)
        };
        let settings = config.as_object().into_iter().flatten().filter(known);
        OnlineOptions::parse(&settings.map(|(name, value)| (name.clone(), value.clone())).collect())
    }
}

/// The default of the setting with this name; null where the prompts decide.
pub(in crate::run) fn default(name: &str) -> Value {
    let OnlineConfig {
        rollouts,
        replay,
        max_new_tokens,
        top_k,
        top_p,
        value_samples,
        eval_samples,
        train_on,
        ..
    } = OnlineConfig::default();
    let fixed = OnlineOptions {
        rollouts: Some(rollouts),
        replay: Some(replay),
        max_new_tokens: Some(max_new_tokens),
        top_k: Some(top_k),
        top_p: Some(top_p),
        value_samples: Some(value_samples),
        eval_samples: Some(eval_samples),
        train_on: Some(train_on),
        ..OnlineOptions::default()
    };
    json!(fixed)[name].clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_listed_with_what_it_takes() {
        let options = json!(OnlineOptions::default());
        let names: Vec<&String> = options.as_object().unwrap().keys().collect();
        assert_eq!(names, ONLINE_SETTINGS.map(|setting| setting.name));
        for setting in ONLINE_SETTINGS {
            assert!(SETTINGS.iter().all(|other| other.name != setting.name), "{}", setting.name);
            let good = match setting.kind {
                Kind::Number => vec![json!(0.5)],
                Kind::Count => vec![json!(7)],
                Kind::Flag => vec![json!(true)],
                Kind::Choice(names) => names.iter().map(|name| json!(name)).collect(),
                Kind::Texts => vec![json!(["a", "b"])],
                Kind::Numbers => vec![json!([1.0, -2.5])],
            };
            for value in good.iter().chain([&setting.default()]) {
                let (_, read) = OnlineOptions::parse(&json!({setting.name: value})).unwrap();
                assert_eq!(&json!(read)[setting.name], value, "{}", setting.name);
            }
            let (_, none) = OnlineOptions::parse(&json!({setting.name: null})).unwrap();
            assert_eq!(none, OnlineOptions::default());
            let error = OnlineOptions::parse(&json!({setting.name: {"not": "this"}})).unwrap_err();
            assert!(error.what.contains(setting.name), "{error:?}");
        }
    }

    #[test]
    fn settings_of_both_kinds_come_together() {
        let given = json!({"beta": 0.1, "rollouts": 4, "rewards": ["exact"], "objective": "grpo"});
        let (options, online) = OnlineOptions::parse(&given).unwrap();
        assert_eq!(
            (options.beta, online.rollouts, online.rewards),
            (Some(0.1), Some(4), vec!["exact".into()])
        );
        let error = OnlineOptions::parse(&json!({"rolouts": 4})).unwrap_err();
        assert!(error.what == "`rolouts` is no setting" && error.help.contains("rollouts, "), "{error:?}");
        let config = json!({"model": "m", "beta": 0.2, "stop": ["x"], "prompts": "p.jsonl"});
        let (options, online) = OnlineOptions::of_config(&config).unwrap();
        assert_eq!((options.beta, online.stop), (Some(0.2), vec!["x".to_owned()]));
    }
}
