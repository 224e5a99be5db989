//! The keys of a config.json: which are read, which are harmless, and which are refused.
//!
//! A key that would change the maths in a way this crate does not implement is an error that names it. Keys that
//! are known to change nothing (caching, versions, sampling defaults) are accepted and not kept. Any other key is
//! one that transformers' own `LlamaForCausalLM` does not read either, so it cannot change the maths: it is kept in
//! [`ModelConfig::extra`](super::ModelConfig::extra), written back, and a front end should list it as a warning.

use serde_json::{Map, Value};

use super::config::bad_config;
use crate::Result;

/// Keys that [`ModelConfig`](super::ModelConfig) is read from.
const READ: &[&str] = &[
    "vocab_size",
    "num_hidden_layers",
    "hidden_size",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "intermediate_size",
    "rms_norm_eps",
    "max_position_embeddings",
    "tie_word_embeddings",
    "rope_theta",
    "rope_parameters",
    "rope_scaling",
    "attention_bias",
    "mlp_bias",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "initializer_range",
    "torch_dtype",
    "dtype",
    "architectures",
    "model_type",
    "hidden_act",
];

/// Keys that change no logits: caching, bookkeeping, output format, sampling defaults of older files.
const HARMLESS: &[&str] = &[
    "use_cache",
    "transformers_version",
    "_name_or_path",
    "_attn_implementation",
    "_attn_implementation_autoset",
    "attn_implementation",
    "return_dict",
    "output_attentions",
    "output_hidden_states",
    "chunk_size_feed_forward",
    "is_decoder",
    "is_encoder_decoder",
    "id2label",
    "label2id",
    "problem_type",
    "task_specific_params",
    "finetuning_task",
    "torchscript",
    "use_bfloat16",
    "tf_legacy_loss",
    "decoder_start_token_id",
    "sep_token_id",
    "prefix",
    "tokenizer_class",
    "unk_token_id",
    "do_sample",
    "early_stopping",
    "max_length",
    "min_length",
    "num_beams",
    "num_beam_groups",
    "diversity_penalty",
    "temperature",
    "top_k",
    "top_p",
    "typical_p",
    "repetition_penalty",
    "length_penalty",
    "no_repeat_ngram_size",
    "encoder_no_repeat_ngram_size",
    "num_return_sequences",
    "output_scores",
    "return_dict_in_generate",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "remove_invalid_values",
    "exponential_decay_length_penalty",
    "suppress_tokens",
    "begin_suppress_tokens",
    "bad_words_ids",
    "unsloth_version",
    "unsloth_fixed",
    "original_max_position_embeddings",
];

/// Keys that change the maths unless they have their neutral value (null is neutral for all).
fn changes_maths(key: &str, value: &Value) -> bool {
    let neutral = |x: f64| value.as_f64() != Some(x);
    let off = || value.as_bool() != Some(false);
    match key {
        "attention_dropout"
        | "hidden_dropout"
        | "resid_pdrop"
        | "embd_pdrop"
        | "final_logit_softcapping"
        | "attn_logit_softcapping"
        | "logit_softcapping" => neutral(0.0),
        "pretraining_tp"
        | "partial_rotary_factor"
        | "rotary_pct"
        | "logit_scale"
        | "logits_scaling"
        | "embedding_multiplier"
        | "residual_multiplier"
        | "scale_emb"
        | "scale_depth" => neutral(1.0),
        "use_qk_norm"
        | "qk_norm"
        | "use_sliding_window"
        | "add_cross_attention"
        | "tie_encoder_decoder"
        | "alibi" => off(),
        "layer_types" => !value.as_array().is_some_and(|l| l.iter().all(|t| t == "full_attention")),
        "pruned_heads" => value.as_object().is_none_or(|o| !o.is_empty()),
        "sliding_window"
        | "quantization_config"
        | "auto_map"
        | "num_local_experts"
        | "num_experts"
        | "no_rope_layers"
        | "attention_multiplier"
        | "query_pre_attn_scalar"
        | "cross_attention_hidden_size" => true,
        _ => false,
    }
}

/// Keys whose neutral values [`changes_maths`] knows; such a key is accepted and not kept.
const MATHS: &[&str] = &[
    "attention_dropout",
    "hidden_dropout",
    "resid_pdrop",
    "embd_pdrop",
    "final_logit_softcapping",
    "attn_logit_softcapping",
    "logit_softcapping",
    "pretraining_tp",
    "partial_rotary_factor",
    "rotary_pct",
    "logit_scale",
    "logits_scaling",
    "embedding_multiplier",
    "residual_multiplier",
    "scale_emb",
    "scale_depth",
    "use_qk_norm",
    "qk_norm",
    "use_sliding_window",
    "add_cross_attention",
    "tie_encoder_decoder",
    "alibi",
    "layer_types",
    "pruned_heads",
];

/// The keys that nobody reads; an error where one would change the maths.
pub(super) fn unread(map: &Map<String, Value>) -> Result<Map<String, Value>> {
    let mut extra = Map::new();
    for (key, value) in map {
        let name = key.as_str();
        if READ.contains(&name) || HARMLESS.contains(&name) || value.is_null() {
            continue;
        }
        if changes_maths(name, value) {
            return Err(bad_config(
                name,
                &format!("is {value}, which changes the maths and is not supported"),
            ));
        }
        if !MATHS.contains(&name) {
            extra.insert(key.clone(), value.clone());
        }
    }
    Ok(extra)
}
