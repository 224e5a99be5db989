//! A run that draws its own completions: what it is given, and what it will take.

mod begin;
mod options;
#[cfg(test)]
mod tests;

use super::dataset::Dataset;
use super::files::{ModelFiles, Weights, sha256};
use super::options::{Options, Scale};
use super::{File, plan};
use crate::data::record::{Needs, read_all};
use crate::data::trajectory::{Trajectory, Truncated};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;
use crate::model::Model;
use crate::objective::Together;
use crate::online::{OnlineConfig, Question, Rewards, capacity, estimate, questions};
use crate::train::{Estimate, TrainConfig};

pub use options::OnlineOptions;

/// The share of logged records in a step where there are any.
const DATA_SHARE: f64 = 0.5;

/// Prompts of one file.
#[derive(Clone, Debug, Default)]
pub struct Prompts {
    /// In the file's order.
    pub questions: Vec<Question>,
    /// The file's name; empty where there is none.
    pub file: String,
    /// Its SHA-256, hexadecimal.
    pub sha256: String,
}

/// What an online run is given.
pub struct OnlineInputs {
    /// The model, without its weights.
    pub model: ModelFiles,
    /// To train on.
    pub prompts: Prompts,
    /// Held out; may be none.
    pub eval: Prompts,
    /// Logged records to mix in; may be none.
    pub data: Dataset,
    /// What completions are worth.
    pub rewards: Rewards,
}

impl OnlineInputs {
    /// Reads prompts, held-out prompts and logged records; `rewards` are what the options name, of which a front end may
    /// have kinds of its own.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] where there are no prompts, else it names file, line and field; [`ErrorKind::Config`] a setting.
    pub fn read(
        model: ModelFiles,
        prompts: Option<&File>,
        eval: Option<&File>,
        data: &[File],
        options: &Options,
        online: &OnlineOptions,
        rewards: Rewards,
    ) -> Result<OnlineInputs> {
        let prompts = prompts.ok_or_else(|| {
            Error::new(ErrorKind::Data, "there are no prompts", "give a file with at least one prompt")
        })?;
        let encoder = model.encoder(options.max_length, options.truncated.unwrap_or_default())?;
        let max_new = online.max_new_tokens.unwrap_or(OnlineConfig::default().max_new_tokens);
        let positions = model.config.max_position_embeddings;
        let read = |(name, bytes): &File| -> Result<Prompts> {
            let (records, _) = read_all(name, bytes, Needs::Prompt, false)?;
            let questions = questions(&encoder, name, records, &rewards, max_new, positions)?;
            Ok(Prompts { questions, file: name.clone(), sha256: sha256([bytes.as_slice()]) })
        };
        let skip_invalid = options.skip_invalid.unwrap_or(false);
        let needs = options.objective.unwrap_or_default().needs(&options.terms()).of_records();
        let (prompts, eval) = (read(prompts)?, eval.map(read).transpose()?.unwrap_or_default());
        let data = match data.is_empty() {
            true => Dataset::default(),
            false => Dataset::read(data, &encoder, needs, skip_invalid)?,
        };
        Ok(OnlineInputs { model, prompts, eval, data, rewards })
    }

    /// Positions that the model is opened for.
    pub fn positions(&self, max_new: usize) -> usize {
        let questions = self.prompts.questions.iter().chain(&self.eval.questions);
        capacity(questions, max_new).max(self.data.longest())
    }
}

/// An online run that is possible: its settings are whole and its memory is known.
pub struct OnlinePlan {
    /// What it is given.
    pub inputs: OnlineInputs,
    /// What was asked for.
    pub options: Options,
    /// What that means: the trainer's settings.
    pub config: TrainConfig,
    /// And the rollouts'.
    pub online: OnlineConfig,
    /// What it takes.
    pub estimate: Estimate,
}

impl OnlinePlan {
    /// Plans a run on `gpu`, of whose memory `available` bytes are free, where that is known.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] names a setting; [`ErrorKind::TooLarge`].
    pub fn new(
        gpu: &Gpu,
        inputs: OnlineInputs,
        options: Options,
        asked: &OnlineOptions,
        available: Option<u64>,
    ) -> Result<OnlinePlan> {
        let online = settings(&inputs, &options, asked);
        let config = train_config(&inputs, &options, &online)?;
        online.check(&config)?;
        if !(online.temperature.is_finite() && online.temperature > 0.0) {
            let what = format!("`temperature` is {}", online.temperature);
            return Err(Error::new(ErrorKind::Config, what, "give a number above 0: training needs variety"));
        }
        let positions = inputs.positions(online.max_new_tokens);
        let questions = inputs.prompts.questions.iter().chain(&inputs.eval.questions);
        let estimate = estimate(gpu, &config, &online, &inputs.model.config, positions, questions)?;
        if let Some(available) = available {
            estimate.check(available)?;
        }
        Ok(OnlinePlan { inputs, options, config, online, estimate })
    }

    /// Puts the model's weights on the device.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load(&self, gpu: &Gpu, weights: &Weights) -> Result<Model> {
        weights.load(gpu, &self.inputs.model.config, self.inputs.positions(self.online.max_new_tokens))
    }

    /// Completions as long as they may be, for measuring kernels: what the model will write nobody knows.
    pub fn likely(&self) -> Vec<Trajectory> {
        let OnlineConfig { rollouts, prompts_per_batch, max_new_tokens, .. } = self.online;
        let questions = self.inputs.prompts.questions.iter().take(prompts_per_batch);
        let each = |(i, question): (usize, &Question)| {
            let tokens = [&question.tokens[..], &vec![0; max_new_tokens]].concat();
            let trajectory = Trajectory {
                reward: Some(0.0),
                group: Some(i.to_string()),
                logps: Some(vec![0.0; max_new_tokens]),
                v_star: Some(0.0),
                ..Trajectory::new(question.tokens.len(), tokens)
            };
            vec![trajectory; rollouts]
        };
        questions.enumerate().flat_map(each).collect()
    }

    /// The plan as people read it: what, and how it will be.
    pub fn describe(&self) -> [(&'static str, String); 6] {
        let OnlinePlan { inputs, config, online, estimate, .. } = self;
        let prompts = format!(
            "{} ({} held out), {} completions each, of up to {} tokens, at temperature {}",
            inputs.prompts.questions.len(),
            inputs.eval.questions.len(),
            online.rollouts,
            online.max_new_tokens,
            online.temperature
        );
        let logged = match inputs.data.trajectories.len() {
            0 => String::new(),
            records => format!(", {} of them from {records} logged records", online.logged(config.batch)),
        };
        let steps = format!(
            "{} of {} completions{logged}; {} on each batch of {} prompts, and {} earlier batches; a checkpoint every {}",
            config.steps,
            config.batch,
            online.steps_per_batch,
            online.prompts_per_batch,
            online.replay,
            config.checkpoint_every
        );
        let reference = if config.needs().reference { ", and once more for the reference" } else { "" };
        [
            ("prompts", prompts),
            ("rewards", online.rewards.join(", ")),
            ("objective", plan::objective(config)),
            ("steps", steps),
            ("optimizer", plan::optimizer(config)),
            ("memory", format!("{}{reference}, with the KV cache", plan::memory(estimate))),
        ]
    }
}

fn settings(inputs: &OnlineInputs, options: &Options, asked: &OnlineOptions) -> OnlineConfig {
    let defaults = OnlineConfig::default();
    let prompts = inputs.prompts.questions.len().max(1);
    let rollouts = asked.rollouts.unwrap_or(defaults.rollouts);
    let prompts_per_batch = asked.prompts_per_batch.unwrap_or(defaults.prompts_per_batch).min(prompts);
    let replay = asked.replay.unwrap_or(defaults.replay);
    let data_share = match inputs.data.trajectories.is_empty() {
        true => 0.0,
        false => asked.data_share.unwrap_or(DATA_SHARE),
    };
    let mut config = OnlineConfig {
        rollouts,
        prompts_per_batch,
        replay,
        max_new_tokens: asked.max_new_tokens.unwrap_or(defaults.max_new_tokens),
        temperature: asked.temperature.unwrap_or(1.0 / options.logit_scale.unwrap_or(1.0)),
        top_k: asked.top_k.unwrap_or(defaults.top_k),
        top_p: asked.top_p.unwrap_or(defaults.top_p),
        data_share,
        value_samples: asked.value_samples.unwrap_or(defaults.value_samples),
        eval_samples: asked.eval_samples.unwrap_or(defaults.eval_samples),
        truncated: options.truncated.unwrap_or(Truncated::Keep),
        train_on: asked.train_on.unwrap_or(defaults.train_on),
        rewards: asked.rewards.clone(),
        reward_weights: asked.reward_weights.clone(),
        stop: asked.stop.clone(),
        set_aside_failures: asked.set_aside_failures,
        ..defaults
    };
    // So many that each rollout is trained on once, and once more for each round that it is kept.
    let fresh = batch(options, &config) - config.logged(batch(options, &config));
    let passes = (prompts_per_batch * rollouts).div_ceil(fresh.max(1)) * (replay + 1);
    config.steps_per_batch = asked.steps_per_batch.unwrap_or(passes as u64);
    config
}

/// Completions of a step: by default all rollouts of a batch, and the logged records' share.
fn batch(options: &Options, online: &OnlineConfig) -> usize {
    let rollouts = (online.prompts_per_batch * online.rollouts) as f64;
    options.batch.unwrap_or((rollouts / (1.0 - online.data_share.clamp(0.0, 0.99))).round() as usize)
}

fn train_config(inputs: &OnlineInputs, options: &Options, online: &OnlineConfig) -> Result<TrainConfig> {
    let batch = batch(options, online);
    let longest = inputs.positions(online.max_new_tokens);
    let grouped = options.objective.unwrap_or_default().needs(&options.terms()).together == Together::Group;
    let largest_set = if grouped { online.rollouts } else { 1 };
    let scale = Scale {
        sets: online.prompts_per_batch,
        largest_set,
        set_tokens: largest_set * longest,
        longest,
        longest_completion: online.max_new_tokens,
        held_out: !inputs.eval.questions.is_empty(),
    };
    let rounds = inputs.prompts.questions.len().div_ceil(online.prompts_per_batch.max(1)) as u64;
    let passes = rounds * online.steps_per_batch * options.epochs.unwrap_or(1);
    let tokens = options.micro_batch_tokens.unwrap_or_else(|| {
        // Room for more than a step holds would be room for nothing.
        let most = TrainConfig::default().micro_batch_tokens.min(batch * longest);
        most.max(scale.set_tokens)
    });
    let whole = Options {
        batch: Some(batch),
        steps: options.steps.or(Some(passes.max(1))),
        epochs: None,
        micro_batch_tokens: Some(tokens),
        ..options.clone()
    };
    if options.steps.is_some() && options.epochs.is_some() {
        let what = "both `steps` and `epochs` are given".to_owned();
        return Err(Error::new(ErrorKind::Config, what, "give one of them"));
    }
    whole.train_config(&scale)
}
