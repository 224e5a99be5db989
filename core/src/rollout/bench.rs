//! The work that `tbrm bench rollouts` measures: a batch of prompts, each continued by a fixed number of tokens.

use super::{Prompt, Rollout, RolloutConfig, Sampling};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Gpu, Profile};
use crate::model::Preset;
use crate::platform::now;
use crate::train::bench::{Weights, model, token_ids};
use crate::train::checkpoint::device_name;

/// Decode steps of a profile.
const PROFILED: usize = 20;

/// What is generated, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Model, vocabulary and length: an eighth of a sequence of the preset is its prompt, the rest is generated.
    pub preset: Preset,
    /// Of the model, and of the prompts' tokens.
    pub weights: Weights,
    /// Prompts, all continued at a time.
    pub batch: usize,
    /// The temperature; 0 takes the likeliest token.
    pub temperature: f32,
    /// Measured times, after one that warms up.
    pub times: usize,
}

/// What was found.
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
    /// Prompts continued at a time.
    pub batch: usize,
    /// Tokens of each prompt.
    pub prompt_tokens: usize,
    /// Tokens generated for each.
    pub new_tokens: usize,
    /// All new tokens by the median time's seconds, the prompts' own included.
    pub tokens_per_s: f64,
    /// The median time by the new tokens of one sequence, in milliseconds.
    pub ms_per_token: f64,
    /// Dispatches of a decode step.
    pub dispatches: usize,
    /// Bytes of the cache, activations and state; the weights are the model's.
    pub rollout_bytes: u64,
    /// The first sequence's new tokens: others that do the same work generate the same.
    pub tokens: Vec<u32>,
}

/// Does the work; `told` hears how often it was done so far. With `profile` the last decode step is repeated then, its kernels timed.
///
/// # Errors
/// As [`Rollout::new`] and [`Rollout::generate`]; [`ErrorKind::Config`] for no work.
pub async fn measure(
    gpu: &Gpu,
    work: &Work,
    profile: Option<&mut Profile>,
    mut told: impl FnMut(usize),
) -> Result<Report> {
    let Work { preset, weights, batch, temperature, times } = *work;
    if batch == 0 || times == 0 {
        let what = format!("a benchmark of {batch} prompts, {times} times, measures nothing");
        return Err(Error::new(ErrorKind::Config, what, "measure at least one prompt once"));
    }
    let prompt_tokens = (preset.tokens / 8).max(1);
    let new_tokens = preset.tokens - prompt_tokens;
    let model = model(gpu, &preset, weights)?;
    let ids = token_ids(&preset, weights, batch * prompt_tokens)?;
    let prompt = |(i, tokens): (usize, &[u32])| Prompt {
        tokens: tokens.to_vec(),
        stream: i as u32,
        max_new: new_tokens,
    };
    let prompts: Vec<Prompt> = ids.chunks_exact(prompt_tokens).enumerate().map(prompt).collect();
    let config = RolloutConfig {
        slots: batch,
        capacity: preset.tokens,
        sampling: Sampling { temperature, ..Sampling::GREEDY },
        stops: Vec::new(),
        logit_scale: 1.0,
    };
    let mut rollout = Rollout::new(gpu, &model, config)?;
    let (mut seconds, mut tokens) = (Vec::with_capacity(times), Vec::new());
    for done in 0..=times {
        let began = now();
        let completions = rollout.generate(&prompts, |_| {}).await?;
        if done > 0 {
            seconds.push(now() - began);
        }
        tokens.clone_from(&completions[0].tokens);
        told(done);
    }
    // An error that arrives after the last token still means that the figures are of nothing.
    gpu.check()?;
    if let Some(profile) = profile {
        for _ in 0..PROFILED {
            rollout.decode_plan(rollout.decode_rows(batch)).profile(gpu, profile).await?;
        }
    }
    seconds.sort_by(f64::total_cmp);
    let median = seconds[times / 2];
    Ok(Report {
        preset: preset.name,
        device: gpu.info().name.clone(),
        driver: device_name(gpu),
        dtype: "f32",
        batch,
        prompt_tokens,
        new_tokens,
        tokens_per_s: (batch * new_tokens) as f64 / median,
        ms_per_token: median * 1e3 / new_tokens as f64,
        dispatches: rollout.dispatches(),
        rollout_bytes: rollout.bytes(),
        tokens,
    })
}
