//! A Hugging Face `config.json` of `LlamaForCausalLM`, read and written.
//!
//! What happens to the keys that stand in a file but not in [`ModelConfig`]: see `keys.rs`.

use serde_json::{Map, Value, json};

use super::keys;
use super::params::{ParamSpec, param_specs};
use super::rope::Rope;
use crate::{Error, ErrorKind, Result};

/// The shape of a Llama model. Letters are those of the shaders: V, L, C, H, K, D, F.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// V: rows of the embedding and of the head.
    pub vocab_size: usize,
    /// L: decoder layers.
    pub num_hidden_layers: usize,
    /// C: channels of the residual stream.
    pub hidden_size: usize,
    /// H: query heads.
    pub num_attention_heads: usize,
    /// K: key and value heads; divides H.
    pub num_key_value_heads: usize,
    /// D: channels of one head; even.
    pub head_dim: usize,
    /// F: channels inside the MLP.
    pub intermediate_size: usize,
    /// Added to the mean square inside RMSNorm.
    pub rms_norm_eps: f64,
    /// The longest sequence, in tokens, end token included.
    pub max_position_embeddings: usize,
    /// Whether the head is the embedding.
    pub tie_word_embeddings: bool,
    /// Rotary frequencies.
    pub rope: Rope,
    /// Whether q, k, v and o projections have biases.
    pub attention_bias: bool,
    /// Whether gate, up and down projections have biases.
    pub mlp_bias: bool,
    /// The begin-of-sequence token, if the config names one.
    pub bos_token_id: Option<u32>,
    /// End-of-sequence tokens; the first is the one appended to completions. Empty where the config names none:
    /// transformers would assume 2 there, which in most vocabularies is an ordinary token.
    pub eos_token_id: Vec<u32>,
    /// The padding token, only carried along.
    pub pad_token_id: Option<u32>,
    /// Standard deviation of fresh weights.
    pub initializer_range: f64,
    /// The data type that the file says its weights have, as transformers spells it (`bfloat16`); saving writes `float32`.
    pub dtype: Option<String>,
    /// Keys of the file that neither transformers' Llama nor this crate reads; written back unchanged.
    pub extra: Map<String, Value>,
}

/// The largest dimension accepted: products of two stay far inside 64 bits.
const MAX_DIM: u64 = i32::MAX as u64;

impl ModelConfig {
    /// Reads a `config.json`. Sizes must be there; what transformers gives a default keeps that default, except
    /// [`ModelConfig::eos_token_id`]. A key that would change the maths is an error that names it; one that neither
    /// transformers' Llama nor this crate reads is kept in [`ModelConfig::extra`].
    pub fn parse(json: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(json).map_err(|e| {
            Error::new(ErrorKind::Model, format!("malformed JSON: {e}"), "restore the model's config.json")
        })?;
        let Value::Object(map) = value else {
            return Err(Error::new(ErrorKind::Model, "not a JSON object", "restore the model's config.json"));
        };
        check_architecture(&map)?;
        let hidden_size = size(&map, "hidden_size")?;
        let num_attention_heads = size(&map, "num_attention_heads")?;
        let config = ModelConfig {
            vocab_size: size(&map, "vocab_size")?,
            num_hidden_layers: size(&map, "num_hidden_layers")?,
            hidden_size,
            num_attention_heads,
            num_key_value_heads: size_or(&map, "num_key_value_heads", num_attention_heads)?,
            head_dim: size_or(&map, "head_dim", hidden_size / num_attention_heads)?,
            intermediate_size: size(&map, "intermediate_size")?,
            rms_norm_eps: number_or(&map, "rms_norm_eps", 1e-6)?,
            max_position_embeddings: size_or(&map, "max_position_embeddings", 2048)?,
            tie_word_embeddings: flag(&map, "tie_word_embeddings")?,
            rope: Rope::from_config(&map)?,
            attention_bias: flag(&map, "attention_bias")?,
            mlp_bias: flag(&map, "mlp_bias")?,
            bos_token_id: tokens(&map, "bos_token_id")?.first().copied(),
            eos_token_id: tokens(&map, "eos_token_id")?,
            pad_token_id: pad_token(&map)?,
            initializer_range: number_or(&map, "initializer_range", 0.02)?,
            dtype: ["dtype", "torch_dtype"].iter().find_map(|k| map.get(*k)?.as_str().map(str::to_owned)),
            extra: keys::unread(&map)?,
        };
        if !map.get("head_dim").is_some_and(Value::is_number)
            && !hidden_size.is_multiple_of(num_attention_heads)
        {
            return Err(bad_config(
                "num_attention_heads",
                "must divide hidden_size where there is no head_dim",
            ));
        }
        config.check()?;
        Ok(config)
    }

    /// Checks that the sizes fit one another; [`ModelConfig::parse`] has done so.
    pub fn check(&self) -> Result<()> {
        let even = self.head_dim.is_multiple_of(2) && self.head_dim > 0;
        let grouped = self.num_attention_heads.is_multiple_of(self.num_key_value_heads.max(1));
        let last_special = self.eos_token_id.iter().chain(&self.bos_token_id).max();
        match () {
            () if !even => {
                Err(bad_config("head_dim", "must be even and above 0: rotary pairs are (i, i + D/2)"))
            }
            () if !grouped => Err(bad_config("num_key_value_heads", "must divide num_attention_heads")),
            () if self.num_hidden_layers > 10_000 => {
                Err(bad_config("num_hidden_layers", "must be at most 10000"))
            }
            () if last_special.is_some_and(|&t| t as usize >= self.vocab_size) => {
                Err(bad_config("eos_token_id", "and bos_token_id must be below vocab_size"))
            }
            () if self.rms_norm_eps < 0.0 => Err(bad_config("rms_norm_eps", "must not be negative")),
            () => Ok(()),
        }
    }

    /// The config as a `config.json` that transformers 4 and 5 load: rope settings and data type stand in both
    /// spellings, and the data type is `float32`, as [`super::weights::save`] writes.
    pub fn to_json(&self) -> String {
        let (rope_scaling, rope_parameters) = self.rope.to_config();
        let eos = match self.eos_token_id[..] {
            [] => Value::Null,
            [one] => json!(one),
            ref many => json!(many),
        };
        let mut out = json!({
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "max_position_embeddings": self.max_position_embeddings,
            "rms_norm_eps": self.rms_norm_eps,
            "rope_theta": self.rope.theta,
            "rope_scaling": rope_scaling,
            "rope_parameters": rope_parameters,
            "attention_bias": self.attention_bias,
            "mlp_bias": self.mlp_bias,
            "attention_dropout": 0.0,
            "tie_word_embeddings": self.tie_word_embeddings,
            "initializer_range": self.initializer_range,
            "bos_token_id": self.bos_token_id,
            "eos_token_id": eos,
            "pad_token_id": self.pad_token_id,
            "torch_dtype": "float32",
            "dtype": "float32",
        });
        for (key, value) in &self.extra {
            out[key] = value.clone();
        }
        format!("{out:#}\n")
    }

    /// The model's parameter table; see [`param_specs`].
    pub fn params(&self) -> Vec<ParamSpec> {
        param_specs(self)
    }

    /// How many numbers the model has; a tied head counts once.
    pub fn param_count(&self) -> u64 {
        self.params().iter().map(|p| p.shape[0] as u64 * p.shape[1] as u64).sum()
    }
}

/// The error for a key of config.json.
pub(super) fn bad_config(key: &str, what: &str) -> Error {
    Error::new(
        ErrorKind::Model,
        format!("config.json: {key} {what}"),
        "use a LlamaForCausalLM model whose config keeps to what is supported (see the README)",
    )
}

fn check_architecture(map: &Map<String, Value>) -> Result<()> {
    let known = |v: &Value| v == "LlamaForCausalLM";
    match map.get("architectures") {
        None | Some(Value::Null) => {}
        Some(Value::Array(list)) if list.iter().all(known) => {}
        Some(other) => {
            return Err(bad_config(
                "architectures",
                &format!("is {other}; only LlamaForCausalLM is supported"),
            ));
        }
    }
    match map.get("model_type") {
        Some(v) if v == "llama" => {}
        Some(v) => return Err(bad_config("model_type", &format!("is {v}; only llama is supported"))),
        None if map.get("architectures").is_some_and(Value::is_array) => {}
        None => return Err(bad_config("model_type", "is missing")),
    }
    match map.get("hidden_act") {
        None | Some(Value::Null) => Ok(()),
        Some(v) if v == "silu" || v == "swish" => Ok(()),
        Some(v) => Err(bad_config("hidden_act", &format!("is {v}; only silu is supported"))),
    }
}

fn size(map: &Map<String, Value>, key: &str) -> Result<usize> {
    match map.get(key) {
        None | Some(Value::Null) => Err(bad_config(key, "is missing")),
        Some(v) => match v.as_u64() {
            Some(n) if (1..=MAX_DIM).contains(&n) => Ok(n as usize),
            _ => Err(bad_config(key, &format!("must be an integer from 1 to {MAX_DIM}, not {v}"))),
        },
    }
}

fn size_or(map: &Map<String, Value>, key: &str, default: usize) -> Result<usize> {
    if map.get(key).is_none_or(Value::is_null) { Ok(default) } else { size(map, key) }
}

fn number_or(map: &Map<String, Value>, key: &str, default: f64) -> Result<f64> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(default),
        Some(v) => v.as_f64().ok_or_else(|| bad_config(key, &format!("must be a number, not {v}"))),
    }
}

fn flag(map: &Map<String, Value>, key: &str) -> Result<bool> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(false),
        Some(v) => v.as_bool().ok_or_else(|| bad_config(key, &format!("must be true or false, not {v}"))),
    }
}

fn tokens(map: &Map<String, Value>, key: &str) -> Result<Vec<u32>> {
    let one = |v: &Value| {
        let id = v.as_u64().and_then(|n| u32::try_from(n).ok());
        id.ok_or_else(|| bad_config(key, &format!("must be a token id or a list of them, not {v}")))
    };
    match map.get(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => list.iter().map(one).collect(),
        Some(v) => Ok(vec![one(v)?]),
    }
}

/// Older files say -1 for "none".
fn pad_token(map: &Map<String, Value>) -> Result<Option<u32>> {
    if map.get("pad_token_id").and_then(Value::as_i64) == Some(-1) {
        return Ok(None);
    }
    Ok(tokens(map, "pad_token_id")?.first().copied())
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
