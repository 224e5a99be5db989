//! What a user asks of an online run besides the trainer's settings: all of it optional, under the names of config.json.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::Result;
use crate::online::TrainOn;
use crate::run::catalogue::{SETTINGS, Setting, object, read};
use crate::run::online_settings::ONLINE_SETTINGS;
use crate::run::options::Options;

/// What a user asks for besides [`Options`]; `None` for what fits the prompts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // [`OnlineConfig`](crate::online::OnlineConfig) says what each of them is.
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::run::catalogue::Kind;

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
