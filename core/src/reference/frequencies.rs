//! Twin of `model/rope.rs`: the rotation frequencies, in f64.

use std::f64::consts::TAU;

/// Llama 3's frequency scaling, the fields of `rope_scaling` in a Hugging Face `config.json` whose `rope_type`
/// is `llama3`. `high_freq_factor` must exceed `low_freq_factor`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Llama3Scaling {
    /// How much slower the low frequencies turn.
    pub factor: f64,
    /// Wavelengths above `original_max_position_embeddings / low_freq_factor` are scaled in full.
    pub low_freq_factor: f64,
    /// Wavelengths below `original_max_position_embeddings / high_freq_factor` are left alone.
    pub high_freq_factor: f64,
    /// The context length, in tokens, that the model was pretrained with before it was extended.
    pub original_max_position_embeddings: f64,
}

/// The angle in radians by which each pair of channels turns per position: `(head_dim / 2)`,
/// `theta^(-2i / head_dim)`, then Llama 3's scaling where given.
///
/// As `transformers` computes it (`modeling_rope_utils`: the default and `llama3`), in f64 instead of f32.
pub fn inv_freq(head_dim: usize, theta: f64, scaling: Option<&Llama3Scaling>) -> Vec<f64> {
    let unscaled = (0..head_dim / 2).map(|i| theta.powf(-((2 * i) as f64) / head_dim as f64));
    match scaling {
        None => unscaled.collect(),
        Some(scaling) => unscaled.map(|freq| scaling.apply(freq)).collect(),
    }
}

impl Llama3Scaling {
    fn apply(&self, freq: f64) -> f64 {
        let turns = self.original_max_position_embeddings * freq / TAU;
        if turns < self.low_freq_factor {
            freq / self.factor
        } else if turns > self.high_freq_factor {
            freq
        } else {
            let smooth = (turns - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor);
            (1.0 - smooth) * freq / self.factor + smooth * freq
        }
    }
}
