//! Rotary position embedding: which frequencies a config asks for.

use serde_json::{Map, Value, json};

use super::config::bad_config;
use crate::Result;

/// The rotary frequencies of a model: angle = position * `inv_freq[i]` for the pair (i, i + D/2).
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// The base (`rope_theta`).
    pub theta: f64,
    /// Long-context rescaling of the frequencies, if any.
    pub scaling: RopeScaling,
}

/// How the frequencies of a trained model were stretched for longer contexts.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// The plain frequencies (`rope_type: default`).
    None,
    /// `rope_type: llama3` (Llama 3.1): low frequencies divided by `factor`, high ones kept, a smooth ramp between.
    Llama3 {
        /// Division of the low frequencies.
        factor: f64,
        /// Wavelengths above `original_max_position_embeddings / low_freq_factor` are divided.
        low_freq_factor: f64,
        /// Wavelengths below `original_max_position_embeddings / high_freq_factor` are kept.
        high_freq_factor: f64,
        /// The context length of the first training.
        original_max_position_embeddings: f64,
    },
}

impl Rope {
    /// `inv_freq` (D/2) for heads of `head_dim` channels, computed in f64. Source of both formulas: `ROPE_INIT_FUNCTIONS`
    /// in transformers' `modeling_rope_utils.py`.
    pub fn inv_freq(&self, head_dim: usize) -> Vec<f32> {
        let plain = |i: usize| self.theta.powf(-((2 * i) as f64) / head_dim as f64);
        (0..head_dim / 2).map(|i| self.scaling.apply(plain(i)) as f32).collect()
    }

    /// Reads the rope settings of a config.json in any of their spellings: `rope_theta` at the top level,
    /// `rope_scaling` (with `rope_type` or the older `type`), and `rope_parameters` of transformers 5.
    pub(super) fn from_config(config: &Map<String, Value>) -> Result<Self> {
        let mut theta = number(config, "", "rope_theta")?;
        let mut scaling = None;
        for key in ["rope_parameters", "rope_scaling"] {
            let Some(value) = config.get(key).filter(|v| !v.is_null()) else { continue };
            let Some(fields) = value.as_object() else {
                return Err(bad_config(key, "must be an object or null"));
            };
            if let Some(inner) = number(fields, key, "rope_theta")? {
                if theta.is_some_and(|t| t != inner) {
                    return Err(bad_config(&format!("{key}.rope_theta"), "contradicts rope_theta"));
                }
                theta = Some(inner);
            }
            let one = RopeScaling::from_fields(key, fields)?;
            if scaling.as_ref().is_some_and(|other| *other != one) {
                return Err(bad_config(key, "contradicts rope_parameters"));
            }
            scaling = Some(one);
        }
        let theta = theta.unwrap_or(10_000.0);
        if theta <= 0.0 {
            return Err(bad_config("rope_theta", "must be above 0"));
        }
        Ok(Rope { theta, scaling: scaling.unwrap_or(RopeScaling::None) })
    }

    /// `(rope_scaling, rope_parameters)`: the same settings as transformers 4 and transformers 5 spell them.
    pub(super) fn to_config(&self) -> (Value, Value) {
        match self.scaling {
            RopeScaling::None => (Value::Null, json!({"rope_type": "default", "rope_theta": self.theta})),
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings,
            } => {
                let mut fields = json!({
                    "rope_type": "llama3",
                    "factor": factor,
                    "low_freq_factor": low_freq_factor,
                    "high_freq_factor": high_freq_factor,
                    "original_max_position_embeddings": original_max_position_embeddings as u64,
                });
                let scaling = fields.clone();
                fields["rope_theta"] = json!(self.theta);
                (scaling, fields)
            }
        }
    }
}

impl RopeScaling {
    fn from_fields(key: &str, fields: &Map<String, Value>) -> Result<Self> {
        let kind = match (fields.get("rope_type"), fields.get("type")) {
            (Some(v), _) | (None, Some(v)) => v.as_str().unwrap_or("?"),
            (None, None) => "default",
        };
        let used: &[&str] = match kind {
            "default" => &[],
            "llama3" => {
                &["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"]
            }
            other => {
                return Err(bad_config(
                    &format!("{key}.rope_type"),
                    &format!("is `{other}`; only `default` and `llama3` are supported"),
                ));
            }
        };
        for (name, value) in fields {
            let known =
                ["rope_type", "type", "rope_theta"].contains(&name.as_str()) || used.contains(&name.as_str());
            let neutral = value.is_null() || (name == "partial_rotary_factor" && value.as_f64() == Some(1.0));
            if !known && !neutral {
                return Err(bad_config(
                    &format!("{key}.{name}"),
                    &format!("is not supported with rope_type `{kind}`"),
                ));
            }
        }
        if kind == "default" {
            return Ok(RopeScaling::None);
        }
        let need = |name: &str| match number(fields, key, name)? {
            Some(v) if v > 0.0 => Ok(v),
            _ => Err(bad_config(
                &format!("{key}.{name}"),
                "is needed by rope_type `llama3` and must be above 0",
            )),
        };
        let [low_freq_factor, high_freq_factor] = [need("low_freq_factor")?, need("high_freq_factor")?];
        if low_freq_factor >= high_freq_factor {
            return Err(bad_config(&format!("{key}.low_freq_factor"), "must be below high_freq_factor"));
        }
        Ok(RopeScaling::Llama3 {
            factor: need("factor")?,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings: need("original_max_position_embeddings")?,
        })
    }

    fn apply(&self, inv_freq: f64) -> f64 {
        match *self {
            RopeScaling::None => inv_freq,
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings,
            } => {
                let turns = original_max_position_embeddings * inv_freq / std::f64::consts::TAU;
                let kept = ((turns - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0.0, 1.0);
                (1.0 - kept) * inv_freq / factor + kept * inv_freq
            }
        }
    }
}

fn number(fields: &Map<String, Value>, inside: &str, name: &str) -> Result<Option<f64>> {
    let place = || if inside.is_empty() { name.to_owned() } else { format!("{inside}.{name}") };
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(v) => match v.as_f64() {
            Some(x) => Ok(Some(x)),
            None => Err(bad_config(&place(), &format!("must be a number, not {v}"))),
        },
    }
}
