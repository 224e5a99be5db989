//! The work that `tbrm bench` and the page's benchmark measure: one optimizer step on a preset's batch, repeated.

use super::config::TrainConfig;
use super::trainer::Start;
use crate::data::trajectory::Trajectory;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::model::init::{init_param, peer_param, peer_tokens};
use crate::model::{Model, ModelConfig, Preset};
use crate::objective::Objective;
use crate::rng::Stream;

/// Where a benchmark's weights and token ids come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// Drawn from a seed.
    Random(u64),
    /// A hash of the index, as in the programs that this one is measured against.
    Hash,
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
    let model_config = ModelConfig::preset(preset.name)?;
    let model = Model::zeros(gpu, &model_config, preset.tokens)?;
    for (id, spec) in model.specs.iter().enumerate() {
        let data = match weights {
            Weights::Random(seed) => init_param(spec, model_config.initializer_range, seed),
            Weights::Hash => peer_param(spec)?,
        };
        model.weights.write(gpu, id, &data);
    }
    let count = preset.tokens * preset.sequences;
    let vocab = model_config.vocab_size;
    let ids = match weights {
        Weights::Hash => peer_tokens(count, vocab),
        Weights::Random(seed) => {
            let stream = Stream::named(seed, "bench.tokens");
            (0..count as u64).map(|i| stream.below(i, vocab as u64) as u32).collect()
        }
    };
    let peers = objective == Objective::Sft && weights == Weights::Hash;
    let prompt_len = if peers { 1 } else { (preset.tokens / 4).max(1) };
    let sequences = ids.chunks_exact(preset.tokens).enumerate();
    let data = sequences.map(|(i, tokens)| trajectory(i, tokens, prompt_len)).collect();
    let config = TrainConfig {
        objective,
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

fn trajectory(i: usize, tokens: &[u32], prompt_len: usize) -> Trajectory {
    Trajectory {
        file: std::sync::Arc::default(),
        line: i + 1,
        id: None,
        prompt_len,
        tokens: tokens.to_vec(),
        truncated: false,
        reward: Some((i % 2) as f64),
        weight: 1.0,
        group: None,
    }
}
