//! Whole-model checks on the device: gradients and steps against the f64 twins, bits, resuming, and memory. A missing
//! adapter fails them. The tabular optimum of TBRM is checked in `theory`.

mod bits;
mod memory;
mod twin;

use std::collections::BTreeMap;

use tbrm_testing::block_on;

use crate::data::trajectory::Trajectory;
use crate::gpu::{Gpu, GpuOptions};
use crate::model::{Model, ModelConfig};
use crate::reference::Heads;
use crate::reference::decoder::{Batch, Config, Params};
use crate::rng::Stream;

fn gpu() -> Gpu {
    block_on(Gpu::open(&GpuOptions::default())).expect("these tests need an adapter")
}

/// A model of `shape` [V, L, C, H, K, D, F] with `extra` keys.
fn config(shape: [usize; 7], extra: &str) -> ModelConfig {
    let [v, l, c, h, k, d, f] = shape;
    ModelConfig::parse(&format!(
        r#"{{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "vocab_size": {v},
        "num_hidden_layers": {l}, "hidden_size": {c}, "num_attention_heads": {h}, "num_key_value_heads": {k},
        "head_dim": {d}, "intermediate_size": {f}, "rms_norm_eps": 1e-5, "max_position_embeddings": 64,
        "eos_token_id": 0 {extra}}}"#
    ))
    .expect("a valid config")
}

/// Random weights with a spread that makes every gradient visible, biases and norms included.
fn weights(config: &ModelConfig, seed: u64) -> BTreeMap<String, Vec<f32>> {
    let draw = |spec: &crate::model::ParamSpec| {
        let stream = Stream::named(seed, &spec.name);
        let centre = if spec.name.contains("norm") { 1.0 } else { 0.0 };
        let value = |i| (centre + 0.25 * stream.normal_pair(i).0) as f32;
        (spec.name.clone(), (0..spec.numel() as u64).map(value).collect())
    };
    config.params().iter().map(draw).collect()
}

fn model(gpu: &Gpu, config: &ModelConfig, weights: &BTreeMap<String, Vec<f32>>) -> Model {
    let model = Model::zeros(gpu, config, config.max_position_embeddings).expect("room for a small model");
    for (id, spec) in model.specs.iter().enumerate() {
        model.weights.write(gpu, id, &weights[&spec.name]);
    }
    model
}

fn twin_config(config: &ModelConfig) -> Config {
    Config {
        vocab: config.vocab_size,
        layers: config.num_hidden_layers,
        channels: config.hidden_size,
        heads: Heads {
            heads: config.num_attention_heads,
            kv_heads: config.num_key_value_heads,
            head_dim: config.head_dim,
        },
        ffn: config.intermediate_size,
        norm_eps: config.rms_norm_eps,
        inv_freq: config.rope.inv_freq(config.head_dim).into_iter().map(f64::from).collect(),
        tied: config.tie_word_embeddings,
        qkv_bias: config.attention_bias,
        o_bias: config.attention_bias,
        mlp_bias: config.mlp_bias,
    }
}

fn twin_params(weights: &BTreeMap<String, Vec<f32>>) -> Params {
    weights.iter().map(|(name, data)| (name.clone(), data.iter().map(|&x| f64::from(x)).collect())).collect()
}

/// Trajectories of the given (prompt, completion) lengths with random tokens, rewards and weights.
fn trajectories(lengths: &[(usize, usize)], vocab: usize, seed: u64) -> Vec<Trajectory> {
    let stream = Stream::named(seed, "tokens");
    let mut at = 0;
    let mut draw = |n: u64| {
        at += 1;
        stream.below(at, n)
    };
    lengths
        .iter()
        .enumerate()
        .map(|(i, &(prompt_len, actions))| {
            let tokens = (0..prompt_len + actions).map(|_| draw(vocab as u64) as u32).collect();
            Trajectory {
                line: i + 1,
                reward: Some(draw(1000) as f64 / 1000.0),
                weight: 0.5 + draw(100) as f64 / 100.0,
                ..Trajectory::new(prompt_len, tokens)
            }
        })
        .collect()
}

fn twin_batch(data: &[Trajectory]) -> Batch {
    let pairs: Vec<_> = data.iter().map(|t| t.tokens.split_at(t.prompt_len)).collect();
    Batch::pack(&pairs)
}

/// Fails unless every entry is within `abs + rel * |expected|`; NaN fails.
fn close(what: &str, got: &[f32], expected: &[f64], abs: f64, rel: f64) {
    assert_eq!(got.len(), expected.len(), "{what}: length");
    for (i, (&g, &e)) in got.iter().zip(expected).enumerate() {
        let diff = (f64::from(g) - e).abs();
        assert!(diff <= abs + rel * e.abs(), "{what}[{i}]: {g} against {e}");
    }
}
