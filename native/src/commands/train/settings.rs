//! What a run is made of: its settings from the command line, `RUN/config.json`, and whether two runs are the same.

use clap::ValueEnum;
use serde_json::{Map, Value, json};
use tbrm_core::data::Order;
use tbrm_core::data::trajectory::Trajectory;
use tbrm_core::train::checkpoint::device_name;
use tbrm_core::{Error, ErrorKind, Gpu, Result, TrainConfig};

use super::Inputs;
use crate::args::{Common, TrainArgs};
use crate::model_dir::sha256;

/// Passes over the records where neither `--steps` nor `--epochs` is given.
const EPOCHS: usize = 3;

/// The trainer's settings: what the command line says, and defaults that fit the data.
pub(super) fn train_config(args: &TrainArgs, common: &Common, inputs: &Inputs) -> TrainConfig {
    let defaults = TrainConfig::default();
    let records = inputs.data.trajectories.len();
    let (objective, optimizer) = (&args.objective, &args.optimizer);
    let batch = optimizer.batch.unwrap_or(defaults.batch.min(records));
    let order = Order { records, batch, shuffle: (!optimizer.no_shuffle).then_some(common.seed) };
    let epochs = optimizer.epochs.unwrap_or(EPOCHS);
    let steps = optimizer.steps.map_or_else(|| order.steps_in_epochs(epochs as u64), |steps| steps as u64);
    TrainConfig {
        objective: objective.objective.into(),
        beta: objective.beta,
        learning_rate: optimizer.lr.unwrap_or(defaults.learning_rate),
        schedule: optimizer.schedule.into(),
        warmup: optimizer.warmup as u64,
        steps,
        batch,
        shuffle: !optimizer.no_shuffle,
        seed: common.seed,
        grad_clip: optimizer.grad_clip,
        weight_decay: optimizer.weight_decay,
        logit_scale: objective.logit_scale,
        calibrate: objective.calibrate.into(),
        reference_reset: objective.reference_reset.unwrap_or(0) as u64,
        micro_batch_tokens: optimizer
            .micro_batch_tokens
            .unwrap_or(inputs.longest().max(defaults.micro_batch_tokens)),
        checkpoint_every: args.output.checkpoint_every.map_or((steps / 10).clamp(10, 500), |n| n as u64),
        eval_every: args.eval.eval_every.unwrap_or(0) as u64,
    }
}

/// `RUN/config.json`: the trainer's settings, then everything else that the run is made of.
pub(super) fn config_json(
    args: &TrainArgs,
    inputs: &Inputs,
    config: &TrainConfig,
    model_sha256: &str,
    gpu: &Gpu,
) -> Result<Value> {
    let name = |value: Option<clap::builder::PossibleValue>| value.map(|value| value.get_name().to_owned());
    let info = gpu.info();
    let mut all = as_object(config)?;
    all.extend(object(json!({
        "truncated": name(args.objective.truncated.to_possible_value()),
        "max_length": args.records.max_length,
        "skip_invalid": args.records.skip_invalid,
        "model": args.model,
        "model_sha256": model_sha256,
        "data": args.data,
        "data_sha256": inputs.data.sha256,
        "records": inputs.data.trajectories.len(),
        "rejected": inputs.data.rejected.len(),
        "eval_data": args.eval.eval_data,
        "eval_sha256": inputs.eval.sha256,
        "eval_records": inputs.eval.trajectories.len(),
        "keep": args.output.keep,
        "adapter": info.name,
        "driver": format!("{} {}", info.driver, info.driver_info),
        "device": device_name(gpu),
        "version": env!("CARGO_PKG_VERSION"),
    })));
    Ok(Value::Object(all))
}

/// What decides a run's bits: in config.json, and what a user calls it.
const BINDING: [(&str, &str); 23] = [
    ("model_sha256", "--model"),
    ("data_sha256", "--data"),
    ("eval_sha256", "--eval-data"),
    ("objective", "--objective"),
    ("beta", "--beta"),
    ("learning_rate", "--lr"),
    ("schedule", "--schedule"),
    ("warmup", "--warmup"),
    ("steps", "--steps or --epochs"),
    ("batch", "--batch"),
    ("shuffle", "--no-shuffle"),
    ("seed", "--seed"),
    ("grad_clip", "--grad-clip"),
    ("weight_decay", "--weight-decay"),
    ("logit_scale", "--logit-scale"),
    ("calibrate", "--calibrate"),
    ("reference_reset", "--reference-reset"),
    ("micro_batch_tokens", "--micro-batch-tokens"),
    ("checkpoint_every", "--checkpoint-every"),
    ("eval_every", "--eval-every"),
    ("max_length", "--max-length"),
    ("truncated", "--truncated"),
    ("skip_invalid", "--skip-invalid"),
];

/// Refuses to go on with a run whose settings were others.
pub(super) fn same_run(saved: &Value, now: &Value) -> Result<()> {
    let Some((key, option)) = BINDING.iter().find(|(key, _)| saved[*key] != now[*key]) else {
        return Ok(());
    };
    let what = if key.ends_with("sha256") {
        format!("{option}: its contents are not those that the run began with")
    } else {
        format!("{option} is {} in the run to resume, and {} now", saved[*key], now[*key])
    };
    let help = "give the same settings, or start again with --overwrite or another --out";
    Err(Error::new(ErrorKind::Checkpoint, what, help))
}

/// Marks the reference's log-probs: everything that they depend on.
pub(super) fn reference_key(inputs: &Inputs, config: &TrainConfig, model_sha256: &str) -> String {
    let model = inputs.model.config.to_json();
    let mut parts =
        vec![model_sha256.as_bytes().to_vec(), model.into_bytes(), config.logit_scale.to_le_bytes().to_vec()];
    parts.extend(inputs.all().map(tokens));
    sha256(parts.iter().map(Vec::as_slice))
}

/// Lengths and ids, so that no two trajectories give the same bytes.
fn tokens(trajectory: &Trajectory) -> Vec<u8> {
    let lengths = [trajectory.prompt_len as u32, trajectory.tokens.len() as u32];
    lengths.iter().chain(&trajectory.tokens).flat_map(|word| word.to_le_bytes()).collect()
}

fn as_object(config: &TrainConfig) -> Result<Map<String, Value>> {
    let value = serde_json::to_value(config).map_err(|error| {
        Error::new(ErrorKind::Config, format!("the settings cannot be written: {error}"), "report this")
    })?;
    Ok(object(value))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_of_the_trainer_binds_a_resume() {
        let config = as_object(&TrainConfig::default()).unwrap();
        for key in config.keys() {
            assert!(BINDING.iter().any(|(bound, _)| bound == key), "{key}");
        }
    }

    #[test]
    fn the_setting_that_differs_is_named() {
        let run = json!({"beta": 0.05, "data_sha256": ["a"]});
        same_run(&run, &run).unwrap();
        let error = same_run(&run, &json!({"beta": 0.1, "data_sha256": ["a"]})).unwrap_err();
        assert_eq!(error.what, "--beta is 0.05 in the run to resume, and 0.1 now");
        let error = same_run(&run, &json!({"beta": 0.05, "data_sha256": ["b"]})).unwrap_err();
        assert!(error.what.starts_with("--data: its contents"), "{error}");
    }
}
