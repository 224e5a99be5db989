//! The named model sizes of `tbrm init` and `tbrm bench`.

use serde_json::Map;

use super::config::ModelConfig;
use super::rope::{Rope, RopeScaling};
use crate::{Error, ErrorKind, Result};

/// A named model size with the batch that `tbrm bench` runs on it.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// `nano`, `tiny`, `small` or `gpt2`.
    pub name: &'static str,
    /// V, L, C, H, K, F.
    pub shape: [usize; 6],
    /// Tokens in a sequence.
    pub tokens: usize,
    /// Sequences in an optimizer step.
    pub sequences: usize,
}

/// All presets, smallest first.
pub const PRESETS: [Preset; 4] = [
    Preset { name: "nano", shape: [128, 2, 64, 4, 4, 192], tokens: 64, sequences: 16 },
    Preset { name: "tiny", shape: [512, 4, 128, 4, 4, 384], tokens: 128, sequences: 8 },
    Preset { name: "small", shape: [4096, 6, 384, 6, 6, 1024], tokens: 256, sequences: 8 },
    Preset { name: "gpt2", shape: [50304, 12, 768, 12, 12, 2048], tokens: 1024, sequences: 8 },
];

impl Preset {
    /// The preset called `name`. Errors name the ones there are.
    pub fn find(name: &str) -> Result<Preset> {
        PRESETS.into_iter().find(|p| p.name == name).ok_or_else(|| {
            let names = PRESETS.map(|p| p.name).join(", ");
            Error::new(
                ErrorKind::Config,
                format!("no preset is called `{name}`"),
                format!("use one of {names}"),
            )
        })
    }
}

impl ModelConfig {
    /// The config of a preset, with the settings of the benchmark's peers (theta 10,000, eps 1e-5, tied, no biases).
    pub fn preset(name: &str) -> Result<Self> {
        let Preset { shape: [v, l, c, h, k, f], tokens, .. } = Preset::find(name)?;
        Ok(ModelConfig {
            vocab_size: v,
            num_hidden_layers: l,
            hidden_size: c,
            num_attention_heads: h,
            num_key_value_heads: k,
            head_dim: c / h,
            intermediate_size: f,
            rms_norm_eps: 1e-5,
            max_position_embeddings: tokens,
            tie_word_embeddings: true,
            rope: Rope { theta: 10_000.0, scaling: RopeScaling::None },
            attention_bias: false,
            mlp_bias: false,
            bos_token_id: None,
            eos_token_id: Vec::new(),
            pad_token_id: None,
            initializer_range: 0.02,
            dtype: None,
            extra: Map::new(),
        })
    }
}
