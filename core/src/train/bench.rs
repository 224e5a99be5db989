//! The work that `tbrm bench` and the page's benchmark measure: one optimizer step on a preset's batch, repeated.

use super::checkpoint::device_name;
use super::config::TrainConfig;
use super::estimate::Estimate;
use super::event::Event;
use super::metrics::Metrics;
use super::trainer::{Start, Trainer};
use crate::data::trajectory::Trajectory;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;
use crate::model::init::{init_param, peer_param, peer_tokens};
use crate::model::{Model, ModelConfig, Preset};
use crate::objective::{LossType, Objective, Terms};
use crate::rng::Stream;

/// Steps before the measured ones: the first compiles kernels.
const WARM_UP: u64 = 2;

/// Steps behind the measured ones: the last come back together, and a driver that computes while it is handed the work gives
/// them the time of one (two of three measured steps took half of what they took).
const COOL_DOWN: u64 = super::flight::DEPTH as u64;

/// Where a benchmark's weights and token ids come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// Drawn from a seed.
    Random(u64),
    /// A hash of the index, as in the programs that this one is measured against.
    Hash,
}

/// A preset's model with its weights.
///
/// # Errors
/// [`crate::ErrorKind::TooLarge`] when the device has no room.
pub(crate) fn model(gpu: &Gpu, preset: &Preset, weights: Weights) -> Result<Model> {
    let config = ModelConfig::preset(preset.name)?;
    let model = Model::zeros(gpu, &config, preset.tokens)?;
    // A rehearsal keeps no weights, and a large model's take seconds to draw.
    let drawn = if gpu.is_rehearsal() { &[][..] } else { &model.specs[..] };
    for (id, spec) in drawn.iter().enumerate() {
        let data = match weights {
            Weights::Random(seed) => init_param(spec, config.initializer_range, seed),
            Weights::Hash => peer_param(spec)?,
        };
        model.weights.write(gpu, id, &data);
    }
    Ok(model)
}

/// `count` token ids of a preset's vocabulary.
///
/// # Errors
/// As [`ModelConfig::preset`].
pub(crate) fn token_ids(preset: &Preset, weights: Weights, count: usize) -> Result<Vec<u32>> {
    let vocab = ModelConfig::preset(preset.name)?.vocab_size;
    Ok(match weights {
        Weights::Hash => peer_tokens(count, vocab),
        Weights::Random(seed) => {
            let stream = Stream::named(seed, "bench.tokens");
            (0..count as u64).map(|i| stream.below(i, vocab as u64) as u32).collect()
        }
    })
}

/// A preset's model, data and settings for `steps` steps. With [`Weights::Hash`] and `sft` it is the peers' exact
/// work: no prompt (so T - 1 targets), learning rate 1e-3, decay 0.01 on every parameter, no clip. Otherwise the
/// first quarter of each sequence is the prompt, and rewards are 0 or 1.
///
/// # Errors
/// [`crate::ErrorKind::TooLarge`] when the device has no room.
pub fn workload(
    gpu: &Gpu,
    preset: &Preset,
    objective: Objective,
    weights: Weights,
    steps: u64,
) -> Result<(TrainConfig, Start)> {
    let count = preset.tokens * preset.sequences;
    let (model, ids) = (model(gpu, preset, weights)?, token_ids(preset, weights, count)?);
    let peers = objective == Objective::Sft && weights == Weights::Hash;
    let prompt_len = if peers { 1 } else { (preset.tokens / 4).max(1) };
    let sequences = ids.chunks_exact(preset.tokens).enumerate();
    let data = sequences.map(|(i, tokens)| trajectory(i, tokens, prompt_len)).collect();
    let config = TrainConfig {
        objective,
        beta: objective.beta(),
        terms: Terms::published(objective, LossType::default()),
        learning_rate: if peers { 1e-3 } else { 1e-4 },
        weight_decay: if peers { 0.01 } else { 0.0 },
        grad_clip: if peers { 0.0 } else { 1.0 },
        steps,
        batch: preset.sequences,
        shuffle: false,
        micro_batch_tokens: count.min(8192),
        checkpoint_every: 0,
        ..TrainConfig::default()
    };
    let (eval, key) = (Vec::new(), "bench".to_owned());
    Ok((config, Start { model, data, eval, key, reference: None, variants: None, resume: None }))
}

/// A benchmark under way: [`Bench::next`] until it has no more, then [`Bench::report`].
pub struct Bench {
    gpu: Gpu,
    preset: Preset,
    trainer: Trainer,
    steps: u64,
    params: u64,
    peak_bytes: u64,
    losses: Vec<f64>,
    times: Vec<f64>,
}

/// What a benchmark found.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Report {
    /// The preset's name.
    pub preset: &'static str,
    /// The adapter's name.
    pub device: String,
    /// The adapter, its backend and driver.
    pub driver: String,
    /// The weights' type.
    pub dtype: &'static str,
    /// Tokens of the batch by the median step's seconds.
    pub tokens_per_s: f64,
    /// The median step, in milliseconds.
    pub step_ms: f64,
    /// The first step, which compiles kernels.
    pub first_step_ms: f64,
    /// Bytes planned.
    pub peak_bytes: u64,
    /// Parameters.
    pub params: u64,
    /// Loss of every step, measured or not: the batch is repeated, so it must fall.
    pub losses: Vec<f64>,
}

impl Bench {
    /// `steps` steps to be measured, between those of the warm-up and the last.
    ///
    /// # Errors
    /// As [`workload`]; [`ErrorKind::Config`] when there is no step.
    pub fn new(
        gpu: &Gpu,
        preset: &Preset,
        objective: Objective,
        weights: Weights,
        steps: u64,
    ) -> Result<Bench> {
        if steps == 0 {
            return Err(Error::new(
                ErrorKind::Config,
                "a benchmark of 0 steps measures nothing",
                "measure at least one step",
            ));
        }
        let steps = WARM_UP + steps + COOL_DOWN;
        let (config, start) = workload(&gpu.rehearse(), preset, objective, weights, steps)?;
        let estimate = Estimate::of_run(gpu, &config, &start.model.config, preset.tokens, &start.data)?;
        let (config, start) = workload(gpu, preset, objective, weights, steps)?;
        Ok(Bench {
            gpu: gpu.clone(),
            preset: *preset,
            trainer: Trainer::new(gpu, &config, start)?,
            steps,
            params: estimate.params,
            peak_bytes: estimate.total_bytes,
            losses: Vec::new(),
            times: Vec::new(),
        })
    }

    /// All steps: those that are not measured too.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Whether the next step is the first that counts.
    pub fn is_warm(&self) -> bool {
        self.losses.len() as u64 == WARM_UP
    }

    /// What runs.
    pub fn trainer(&mut self) -> &mut Trainer {
        &mut self.trainer
    }

    /// Waits for the next step's metrics; `None` after the last.
    ///
    /// # Errors
    /// As [`Trainer::next`].
    pub async fn next(&mut self) -> Result<Option<Metrics>> {
        while (self.losses.len() as u64) < self.steps {
            match self.trainer.next().await? {
                Some(Event::Step(metrics)) => {
                    self.losses.push(metrics.loss);
                    self.times.push(metrics.step_time);
                    return Ok(Some(metrics));
                }
                Some(_) => {}
                None => break,
            }
        }
        Ok(None)
    }

    /// What was found, once [`Bench::next`] has no more.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] when the device reported a fault; [`ErrorKind::Config`] before the last step.
    pub fn report(&self) -> Result<Report> {
        // An error that arrives after the last step still means that the figures are of nothing.
        self.gpu.check()?;
        if (self.losses.len() as u64) < self.steps {
            let what = format!("the benchmark did {} of its {} steps", self.losses.len(), self.steps);
            return Err(Error::new(ErrorKind::Config, what, "run it to its end"));
        }
        let mut measured = self.times[WARM_UP as usize..(self.steps - COOL_DOWN) as usize].to_vec();
        measured.sort_by(f64::total_cmp);
        let seconds = measured[measured.len() / 2];
        Ok(Report {
            preset: self.preset.name,
            device: self.gpu.info().name.clone(),
            driver: device_name(&self.gpu),
            dtype: "f32",
            tokens_per_s: (self.preset.tokens * self.preset.sequences) as f64 / seconds,
            step_ms: seconds * 1e3,
            first_step_ms: self.times[0] * 1e3,
            peak_bytes: self.peak_bytes,
            params: self.params,
            losses: self.losses.clone(),
        })
    }
}

fn trajectory(i: usize, tokens: &[u32], prompt_len: usize) -> Trajectory {
    Trajectory {
        line: i + 1,
        reward: Some((i % 2) as f64),
        // For the objectives that look at them.
        group: Some((i / 2).to_string()),
        preferred: Some(i.is_multiple_of(2)),
        logps: Some(vec![-5.0; tokens.len() - prompt_len]),
        ..Trajectory::new(prompt_len, tokens.to_vec())
    }
}
