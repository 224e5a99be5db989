//! What a rollout is asked for, and what it can be asked for on a device.

use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;
use crate::gpu::buffer::WORD;
use crate::model::{Model, ModelConfig};

/// How the next token is drawn from the logits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 takes the most likely token.
    pub temperature: f32,
    /// How many of the most likely tokens remain; 0 for all.
    pub top_k: u32,
    /// The smallest set of most likely tokens that has this probability remains; 1 for all.
    pub top_p: f32,
    /// Of the random numbers.
    pub seed: u64,
}

impl Sampling {
    /// The most likely token, always.
    pub const GREEDY: Sampling = Sampling { temperature: 0.0, top_k: 0, top_p: 1.0, seed: 0 };
}

/// What decides the sizes of a rollout's buffers, and its plans.
#[derive(Clone, Debug, PartialEq)]
pub struct RolloutConfig {
    /// Sequences generated at a time.
    pub slots: usize,
    /// Positions of one sequence at most: its prompt's tokens and all but the last of its new ones.
    pub capacity: usize,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// Tokens that end a sequence.
    pub stops: Vec<u32>,
    /// kappa of the policy whose log-probs the completions carry: it samples at temperature 1/kappa.
    pub logit_scale: f32,
}

/// Bytes of keys and values that [`slots`] stays within.
const CACHE_BUDGET: u64 = 1 << 30;

/// How many sequences of up to `capacity` positions to generate at a time when `wanted` would be best: as many of them
/// as the adapter's bindings hold and a cache of 1 GiB, and 1 at least.
pub fn slots(gpu: &Gpu, config: &ModelConfig, capacity: usize, wanted: usize) -> usize {
    let layer = (capacity * config.num_key_value_heads * config.head_dim) as u64 * WORD;
    let all = 2 * config.num_hidden_layers as u64 * layer;
    let caps = gpu.caps();
    let most = (caps.max_binding.min(caps.max_buffer) / layer).min(CACHE_BUDGET / all);
    wanted.clamp(1, most.max(1) as usize)
}

/// Whether `model` can be asked for it at all.
pub(super) fn check(model: &Model, config: &RolloutConfig) -> Result<()> {
    let RolloutConfig { slots, capacity, sampling, .. } = config;
    let error = |what: String, help: &str| Err(Error::new(ErrorKind::Config, what, help));
    if *slots == 0 || *capacity == 0 {
        return error(
            format!("{slots} sequences of {capacity} tokens"),
            "generate at least one of one token",
        );
    }
    if *capacity > model.positions() {
        let what = format!("{capacity} tokens exceed the model's {} positions", model.positions());
        return error(what, "generate fewer tokens, or from shorter prompts");
    }
    let Sampling { temperature, top_p, .. } = sampling;
    if !(temperature.is_finite() && *temperature >= 0.0) {
        return error(
            format!("temperature {temperature}"),
            "use 0 for the most likely token, or a positive number",
        );
    }
    if !(*top_p > 0.0 && *top_p <= 1.0) {
        return error(format!("top-p {top_p}"), "use a probability above 0, 1 for all tokens");
    }
    Ok(())
}
