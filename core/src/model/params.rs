//! The parameter table: every parameter by name and shape, and the Hugging Face tensors it is fused from.

use super::ModelConfig;

/// What a parameter is: decides how it is initialised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// The token embedding, (V, C).
    Embedding,
    /// A weight [out, in], used as y = x W^T.
    Matrix,
    /// The gain of an RMSNorm, (C, 1).
    Norm,
    /// A bias, (out, 1).
    Bias,
}

/// A Hugging Face tensor as a block of rows of a fused parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The tensor's name in a file of `LlamaForCausalLM`, with its `model.` prefix.
    pub name: String,
    /// The first row it fills.
    pub row: usize,
    /// How many rows it fills.
    pub rows: usize,
}

/// One parameter in the fused layout that the shaders use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamSpec {
    /// The name used in this crate: `layers.3.qkv.weight`.
    pub name: String,
    /// Rows and columns; norms and biases have one column.
    pub shape: [usize; 2],
    /// What it is.
    pub kind: ParamKind,
    /// The tensors it is made of, in row order, covering all rows.
    pub sources: Vec<Source>,
}

impl ParamSpec {
    /// Numbers in the parameter.
    pub fn numel(&self) -> usize {
        self.shape[0] * self.shape[1]
    }

    /// The shape of one of its tensors in a file: norms and biases have one dimension there.
    pub fn source_shape(&self, source: &Source) -> Vec<usize> {
        match self.kind {
            ParamKind::Norm | ParamKind::Bias => vec![source.rows],
            ParamKind::Embedding | ParamKind::Matrix => vec![source.rows, self.shape[1]],
        }
    }
}

/// Every parameter of a model, in the order in which a forward pass meets it:
///
/// | name | shape | from |
/// |---|---|---|
/// | `embed.weight` | (V, C) | `embed_tokens` |
/// | `layers.{i}.attn_norm.weight` | (C) | `input_layernorm` |
/// | `layers.{i}.qkv.weight`, `.bias` | ((H+2K)*D, C) | `q_proj`, `k_proj`, `v_proj` |
/// | `layers.{i}.o.weight`, `.bias` | (C, H*D) | `o_proj` |
/// | `layers.{i}.mlp_norm.weight` | (C) | `post_attention_layernorm` |
/// | `layers.{i}.gate_up.weight`, `.bias` | (2F, C) | `gate_proj`, `up_proj` |
/// | `layers.{i}.down.weight`, `.bias` | (C, F) | `down_proj` |
/// | `norm.weight` | (C) | `norm` |
/// | `head.weight` | (V, C) | `lm_head`; only where the head is not the embedding |
pub fn param_specs(config: &ModelConfig) -> Vec<ParamSpec> {
    let (v, c, f) = (config.vocab_size, config.hidden_size, config.intermediate_size);
    let q = config.num_attention_heads * config.head_dim;
    let kv = config.num_key_value_heads * config.head_dim;
    let mut specs = vec![spec("embed.weight", c, ParamKind::Embedding, &[("model.embed_tokens.weight", v)])];
    for i in 0..config.num_hidden_layers {
        let norm = |name: &str, source: &str| {
            let source = format!("model.layers.{i}.{source}.weight");
            spec(&format!("layers.{i}.{name}.weight"), 1, ParamKind::Norm, &[(&source, c)])
        };
        let linear = |name: &str, cols, bias, parts: &[(&str, usize)]| {
            let kinds = [(ParamKind::Matrix, "weight", cols), (ParamKind::Bias, "bias", 1)];
            let one = |(kind, what, cols)| {
                let names: Vec<_> =
                    parts.iter().map(|(p, _)| format!("model.layers.{i}.{p}.{what}")).collect();
                let parts: Vec<_> = names.iter().map(String::as_str).zip(parts.iter().map(|p| p.1)).collect();
                spec(&format!("layers.{i}.{name}.{what}"), cols, kind, &parts)
            };
            kinds.into_iter().take(if bias { 2 } else { 1 }).map(one).collect::<Vec<_>>()
        };
        let (attn, mlp) = (config.attention_bias, config.mlp_bias);
        specs.push(norm("attn_norm", "input_layernorm"));
        let qkv = [("self_attn.q_proj", q), ("self_attn.k_proj", kv), ("self_attn.v_proj", kv)];
        specs.extend(linear("qkv", c, attn, &qkv));
        specs.extend(linear("o", q, attn, &[("self_attn.o_proj", c)]));
        specs.push(norm("mlp_norm", "post_attention_layernorm"));
        specs.extend(linear("gate_up", c, mlp, &[("mlp.gate_proj", f), ("mlp.up_proj", f)]));
        specs.extend(linear("down", f, mlp, &[("mlp.down_proj", c)]));
    }
    specs.push(spec("norm.weight", 1, ParamKind::Norm, &[("model.norm.weight", c)]));
    if !config.tie_word_embeddings {
        specs.push(spec("head.weight", c, ParamKind::Matrix, &[("lm_head.weight", v)]));
    }
    specs
}

fn spec(name: &str, cols: usize, kind: ParamKind, parts: &[(&str, usize)]) -> ParamSpec {
    let mut row = 0;
    let mut sources = Vec::with_capacity(parts.len());
    for &(source, rows) in parts {
        sources.push(Source { name: source.to_owned(), row, rows });
        row += rows;
    }
    ParamSpec { name: name.to_owned(), shape: [row, cols], kind, sources }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_parameter_once_in_forward_order() {
        let mut config = ModelConfig::preset("nano").unwrap();
        (config.num_hidden_layers, config.num_key_value_heads) = (1, 2);
        (config.attention_bias, config.mlp_bias, config.tie_word_embeddings) = (true, true, false);
        let got: Vec<_> = param_specs(&config).iter().map(|s| format!("{} {:?}", s.name, s.shape)).collect();
        let want = [
            "embed.weight [128, 64]",
            "layers.0.attn_norm.weight [64, 1]",
            "layers.0.qkv.weight [128, 64]",
            "layers.0.qkv.bias [128, 1]",
            "layers.0.o.weight [64, 64]",
            "layers.0.o.bias [64, 1]",
            "layers.0.mlp_norm.weight [64, 1]",
            "layers.0.gate_up.weight [384, 64]",
            "layers.0.gate_up.bias [384, 1]",
            "layers.0.down.weight [64, 192]",
            "layers.0.down.bias [64, 1]",
            "norm.weight [64, 1]",
            "head.weight [128, 64]",
        ];
        assert_eq!(got, want);
        let qkv = &param_specs(&config)[2];
        let rows: Vec<_> = qkv.sources.iter().map(|s| (s.name.as_str(), s.row, s.rows)).collect();
        assert_eq!(rows[0], ("model.layers.0.self_attn.q_proj.weight", 0, 64));
        assert_eq!(rows[1], ("model.layers.0.self_attn.k_proj.weight", 64, 32));
        assert_eq!(rows[2], ("model.layers.0.self_attn.v_proj.weight", 96, 32));
    }

    #[test]
    fn counts_agree_with_the_closed_form() {
        for preset in crate::model::PRESETS {
            let config = ModelConfig::preset(preset.name).unwrap();
            let [v, l, c, h, k, f] = preset.shape.map(|x| x as u64);
            let layer = c * c * (2 * h + 2 * k) / h + 3 * c * f + 2 * c;
            assert_eq!(config.param_count(), v * c + l * layer + c, "{}", preset.name);
        }
    }
}
