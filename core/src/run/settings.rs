//! `config.json`: what a run is made of, and whether two runs are the same.

use serde_json::{Map, Value, json};

use super::files::{ModelFiles, sha256};
use super::online::{OnlineInputs, OnlinePlan};
use super::plan::{Inputs, Plan};
use super::store::Store;
use crate::data::trajectory::Trajectory;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;
use crate::online::OnlineConfig;
use crate::train::TrainConfig;
use crate::train::checkpoint::device_name;

/// Every setting of a run.
pub const CONFIG: &str = "config.json";

/// What decides a run's bits besides the trainer's settings: its key in config.json, and what a user calls it.
const BINDING: [(&str, &str); 8] = [
    ("model_sha256", "model"),
    ("data_sha256", "data"),
    ("eval_sha256", "eval_data"),
    ("prompts_sha256", "prompts"),
    ("eval_prompts_sha256", "eval_prompts"),
    ("max_length", "max_length"),
    ("truncated", "truncated"),
    ("skip_invalid", "skip_invalid"),
];

/// The trainer's settings, then everything else that the run is made of.
///
/// # Errors
/// [`ErrorKind::Config`] where a number is not finite.
pub fn config_json(plan: &Plan, gpu: &Gpu, model_sha256: &str) -> Result<Value> {
    let Plan { inputs: Inputs { model, data, eval }, options, config, .. } = plan;
    let info = gpu.info();
    let mut all = object(config)?;
    all.extend(object(&json!({
        "truncated": options.truncated.unwrap_or_default(),
        "max_length": options.max_length,
        "skip_invalid": options.skip_invalid.unwrap_or_default(),
        "model": model.name,
        "model_sha256": model_sha256,
        "data": data.files,
        "data_sha256": data.sha256,
        "records": data.trajectories.len(),
        "rejected": data.rejected.len(),
        "eval_data": eval.files,
        "eval_sha256": eval.sha256,
        "eval_records": eval.trajectories.len(),
        "keep": options.keep(),
        "adapter": info.name,
        "driver": format!("{} {}", info.driver, info.driver_info),
        "device": device_name(gpu),
        "version": env!("CARGO_PKG_VERSION"),
    }))?);
    Ok(Value::Object(all))
}

/// The same of a run that draws its own completions.
///
/// # Errors
/// As [`config_json`].
pub fn online_config_json(plan: &OnlinePlan, gpu: &Gpu, model_sha256: &str) -> Result<Value> {
    let OnlinePlan {
        inputs: OnlineInputs { model, prompts, eval, data, .. }, options, config, online, ..
    } = plan;
    let info = gpu.info();
    let mut all = object(config)?;
    all.extend(object(online)?);
    all.extend(object(&json!({
        "max_length": options.max_length,
        "skip_invalid": options.skip_invalid.unwrap_or_default(),
        "model": model.name,
        "model_sha256": model_sha256,
        "prompts": prompts.file,
        "prompts_sha256": prompts.sha256,
        "prompt_count": prompts.questions.len(),
        "eval_prompts": eval.file,
        "eval_prompts_sha256": eval.sha256,
        "eval_prompt_count": eval.questions.len(),
        "data": data.files,
        "data_sha256": data.sha256,
        "records": data.trajectories.len(),
        "rejected": data.rejected.len(),
        "keep": options.keep(),
        "adapter": info.name,
        "driver": format!("{} {}", info.driver, info.driver_info),
        "device": device_name(gpu),
        "version": env!("CARGO_PKG_VERSION"),
    }))?);
    Ok(Value::Object(all))
}

/// The config.json of the run in `store`, where there is one.
///
/// # Errors
/// [`ErrorKind::Checkpoint`] where it is damaged; [`ErrorKind::Store`].
pub async fn saved(store: &impl Store) -> Result<Option<Value>> {
    let Some(bytes) = store.read(CONFIG).await? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        let what = format!("{} is damaged: {error}", store.place(CONFIG));
        Error::new(ErrorKind::Checkpoint, what, "restore it, or start again")
    })
}

/// The config.json of the run in `store`, which is to go on.
///
/// # Errors
/// [`ErrorKind::Checkpoint`] where there is none, or it is damaged; [`ErrorKind::Store`].
pub async fn must_be_saved(store: &impl Store) -> Result<Value> {
    saved(store).await?.ok_or_else(|| {
        let what = format!("{}: there is no run to resume", store.place(CONFIG));
        Error::new(ErrorKind::Checkpoint, what, "start one")
    })
}

/// Refuses to go on with a run whose settings were others than `now`.
///
/// # Errors
/// [`ErrorKind::Checkpoint`] names the setting.
pub fn same_run(saved: &Value, now: &Value) -> Result<()> {
    // Those that a kind of run has not are null in both.
    let (trainer, online) = (object(&TrainConfig::default())?, object(&OnlineConfig::default())?);
    let keys = trainer.keys().chain(online.keys()).map(|key| (key.as_str(), key.as_str()));
    let Some((key, name)) = BINDING.into_iter().chain(keys).find(|(key, _)| saved[*key] != now[*key]) else {
        return Ok(());
    };
    let what = if key.ends_with("sha256") {
        format!("`{name}`: its contents are not those that the run began with")
    } else {
        format!("`{name}` is {} in the run to resume, and {} now", saved[key], now[key])
    };
    Err(Error::new(ErrorKind::Checkpoint, what, "give the same settings, or start again"))
}

/// Marks the reference's log-probs: everything that they depend on.
pub fn reference_key<'a>(
    model: &ModelFiles,
    records: impl Iterator<Item = &'a Trajectory>,
    config: &TrainConfig,
    model_sha256: &str,
) -> String {
    let model = model.config.to_json();
    let mut parts =
        vec![model_sha256.as_bytes().to_vec(), model.into_bytes(), config.logit_scale.to_le_bytes().to_vec()];
    parts.extend(records.map(tokens));
    sha256(parts.iter().map(Vec::as_slice))
}

/// Lengths and ids, so that no two trajectories give the same bytes.
fn tokens(trajectory: &Trajectory) -> Vec<u8> {
    let lengths = [trajectory.prompt_len as u32, trajectory.tokens.len() as u32];
    lengths.iter().chain(&trajectory.tokens).flat_map(|word| word.to_le_bytes()).collect()
}

fn object(value: &impl serde::Serialize) -> Result<Map<String, Value>> {
    match serde_json::to_value(value) {
        Ok(Value::Object(map)) => Ok(map),
        other => {
            let what = format!("the settings cannot be written: {other:?}");
            Err(Error::new(ErrorKind::Config, what, "report this"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_of_the_trainer_binds_a_resume() {
        let run = json!(TrainConfig::default());
        same_run(&run, &run).unwrap();
        for key in run.as_object().unwrap().keys() {
            let mut other = run.clone();
            other[key] = json!("other");
            let error = same_run(&run, &other).unwrap_err();
            assert!(error.what.starts_with(&format!("`{key}` is {}", run[key])), "{error}");
        }
    }

    #[test]
    fn the_setting_that_differs_is_named() {
        let run = json!({"beta": 0.05, "data_sha256": ["a"]});
        let error = same_run(&run, &json!({"beta": 0.1, "data_sha256": ["a"]})).unwrap_err();
        assert_eq!(error.what, "`beta` is 0.05 in the run to resume, and 0.1 now");
        let error = same_run(&run, &json!({"beta": 0.05, "data_sha256": ["b"]})).unwrap_err();
        assert!(error.what.starts_with("`data`: its contents"), "{error}");
    }
}
