//! What a run will take: memory before anything is allocated, and time.

use serde::Serialize;

use super::File;
use super::dataset::Dataset;
use super::files::{ModelFiles, Weights};
use super::options::Options;
use crate::data::trajectory::Trajectory;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;
use crate::model::Model;
use crate::ops::Names;
use crate::train::{Estimate, Event, Reference, Start, TrainConfig, Trainer};

/// Steps that a forecast measures, after one that compiles the kernels.
const MEASURED: usize = 3;

/// A forward and a backward pass cost about three forward passes.
const PASSES_OF_A_STEP: f64 = 3.0;

/// What a run is given: records that fit the model.
#[derive(Clone)]
pub struct Inputs {
    /// The model, without its weights.
    pub model: ModelFiles,
    /// To train on.
    pub data: Dataset,
    /// Held out; may be empty.
    pub eval: Dataset,
}

impl Inputs {
    /// Reads the records of `data` and `eval`, as `options` says.
    ///
    /// # Errors
    /// As [`Dataset::read`] and [`ModelFiles::encoder`].
    pub fn read(model: ModelFiles, data: &[File], eval: &[File], options: &Options) -> Result<Inputs> {
        let objective = options.objective.unwrap_or_default();
        objective.offline()?;
        let needs = objective.needs(&options.terms()).of_records();
        let encoder = model.encoder(options.max_length, options.truncated.unwrap_or_default())?;
        let read =
            |files: &[File]| Dataset::read(files, &encoder, needs, options.skip_invalid.unwrap_or(false));
        let data = read(data)?;
        let eval = if eval.is_empty() { Dataset::default() } else { read(eval)? };
        Ok(Inputs { model, data, eval })
    }

    /// Every trajectory, those for training first.
    pub fn all(&self) -> impl Iterator<Item = &Trajectory> {
        self.data.trajectories.iter().chain(&self.eval.trajectories)
    }

    /// Tokens of the longest trajectory.
    pub fn longest(&self) -> usize {
        self.data.longest().max(self.eval.longest())
    }
}

/// A run that is possible: its settings are whole and its memory is known. Nothing is allocated or written yet.
#[derive(Clone)]
pub struct Plan {
    /// What it is given.
    pub inputs: Inputs,
    /// What was asked for.
    pub options: Options,
    /// What that means for these inputs.
    pub config: TrainConfig,
    /// What it takes.
    pub estimate: Estimate,
}

impl Plan {
    /// Plans a run on `gpu`, of whose memory `available` bytes are free, where that is known.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] names a setting; [`ErrorKind::TooLarge`].
    pub fn new(gpu: &Gpu, inputs: Inputs, options: Options, available: Option<u64>) -> Result<Plan> {
        let (data, longest) = (&inputs.data.trajectories, inputs.longest());
        let scale = options.scale(data, &inputs.eval.trajectories)?;
        let config = options.train_config(&scale)?;
        if scale.set_tokens.max(longest) > config.micro_batch_tokens {
            let what = if scale.largest_set > 1 {
                format!("the largest group has {} tokens", scale.set_tokens)
            } else {
                format!("the longest record has {longest} tokens")
            };
            let what = format!("{what}, above `micro_batch_tokens` {}", config.micro_batch_tokens);
            let help =
                "raise `micro_batch_tokens`, or set long records aside with `max_length` and `skip_invalid`";
            return Err(Error::new(ErrorKind::TooLarge, what, help));
        }
        let estimate = Estimate::of_run(gpu, &config, &inputs.model.config, longest, data)?;
        if let Some(available) = available {
            estimate.check(available)?;
        }
        Ok(Plan { inputs, options, config, estimate })
    }

    /// Puts the model's weights on the device.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load(&self, gpu: &Gpu, weights: &Weights) -> Result<Model> {
        weights.load(gpu, &self.inputs.model.config, self.inputs.longest())
    }

    /// The plan as people read it: what, and how it will be.
    pub fn describe(&self) -> [(&'static str, String); 5] {
        let Plan { inputs: Inputs { data, eval, .. }, config, estimate, .. } = self;
        let records = format!(
            "{} ({} set aside, {} held out), the longest {} tokens",
            data.trajectories.len(),
            data.rejected.len() + eval.rejected.len(),
            eval.trajectories.len(),
            self.inputs.longest()
        );
        let steps = format!(
            "{} of {} completions, {} tokens in all; a checkpoint every {}",
            config.steps, config.batch, estimate.tokens, config.checkpoint_every
        );
        [
            ("records", records),
            ("objective", objective(config)),
            ("steps", steps),
            ("optimizer", optimizer(config)),
            ("memory", memory(estimate)),
        ]
    }

    /// How long the run will take: runs its first steps and forgets them.
    ///
    /// # Errors
    /// As [`Trainer::next`].
    pub async fn forecast(self, gpu: &Gpu, model: Model, variants: Option<Names>) -> Result<Forecast> {
        let Plan { inputs, config, estimate, .. } = self;
        let lengths: Vec<usize> = inputs.all().map(Trajectory::num_actions).collect();
        let scored: usize = inputs.all().map(|t| t.tokens.len()).sum();
        let start = Start {
            model,
            data: inputs.data.trajectories,
            eval: inputs.eval.trajectories,
            key: String::new(),
            // Its numbers do not change how long a step takes.
            reference: Some(Reference::none(lengths.into_iter())),
            variants,
            resume: None,
        };
        let mut trainer = Trainer::new(gpu, &config, start)?;
        let mut speeds = Vec::new();
        while speeds.len() <= MEASURED {
            match trainer.next().await? {
                Some(Event::Step(metrics)) => speeds.push(metrics.tokens_per_s),
                Some(_) => {}
                None => break,
            }
        }
        if speeds.len() > 1 {
            speeds.remove(0);
        }
        speeds.sort_by(f64::total_cmp);
        let tokens_per_s = speeds[speeds.len() / 2];
        let reference = if config.needs().reference { scored as f64 / PASSES_OF_A_STEP } else { 0.0 };
        Ok(Forecast { tokens_per_s, seconds: (estimate.tokens as f64 + reference) / tokens_per_s })
    }
}

/// The objective and its settings, for people.
pub(super) fn objective(config: &TrainConfig) -> String {
    let TrainConfig { objective, beta, terms, logit_scale, .. } = config;
    format!("{}, beta {beta}{}, logit scale {logit_scale}", objective.name(), objective.describe(terms))
}

/// The optimizer's settings, for people.
pub(super) fn optimizer(config: &TrainConfig) -> String {
    let schedule = serde_json::to_value(config.schedule).unwrap_or_default();
    format!(
        "AdamW, learning rate {} ({}, warm-up {}), clip {}, decay {}",
        config.learning_rate,
        schedule.as_str().unwrap_or_default(),
        config.warmup,
        config.grad_clip,
        config.weight_decay
    )
}

/// What a run takes, for people.
pub(super) fn memory(estimate: &Estimate) -> String {
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    format!(
        "{}: {} parameters, {} each for weights, gradients and two moments, {} of activations for micro-batches of \
         up to {} tokens",
        mib(estimate.total_bytes),
        estimate.params,
        mib(estimate.weight_bytes),
        mib(estimate.arena_bytes),
        estimate.largest.0
    )
}

/// How long a run takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Forecast {
    /// Tokens of prompts and completions a second.
    pub tokens_per_s: f64,
    /// In all.
    pub seconds: f64,
}
