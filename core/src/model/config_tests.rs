use super::*;
use crate::model::RopeScaling;

/// A small Llama config as transformers 4 writes it.
const OLDER: &str = include_str!("../../tests/fixtures/config_older.json");
/// Llama 3.1's rope scaling as transformers 5 writes it.
const NEWER: &str = include_str!("../../tests/fixtures/config_newer.json");

fn edited(json: &str, key: &str, value: Value) -> Result<ModelConfig> {
    let mut config: Value = serde_json::from_str(json).unwrap();
    config[key] = value;
    ModelConfig::parse(&config.to_string())
}

#[test]
fn both_generations_of_files_are_read() {
    let old = ModelConfig::parse(OLDER).unwrap();
    assert_eq!((old.num_key_value_heads, old.head_dim), (4, 16));
    assert_eq!(old.rope, Rope { theta: 50_000.0, scaling: RopeScaling::None });
    assert_eq!((old.bos_token_id, &old.eos_token_id[..]), (Some(1), &[2][..]));
    assert_eq!((old.tie_word_embeddings, old.dtype.as_deref()), (false, Some("bfloat16")));
    assert!(old.extra.is_empty(), "{:?}", old.extra);
    let new = ModelConfig::parse(NEWER).unwrap();
    assert_eq!((new.num_key_value_heads, new.head_dim), (2, 32));
    assert_eq!(new.eos_token_id, [258, 257]);
    assert_eq!(new.rope.theta, 500_000.0);
    assert!(matches!(new.rope.scaling, RopeScaling::Llama3 { factor: 8.0, .. }));
}

#[test]
fn a_written_config_reads_back_the_same() {
    let mut named = ModelConfig::parse(NEWER).unwrap();
    named.extra.insert("my_note".into(), json!({"a": 1}));
    let all = [ModelConfig::parse(OLDER).unwrap(), named, ModelConfig::preset("gpt2").unwrap()];
    for config in all {
        let again = ModelConfig::parse(&config.to_json()).unwrap();
        assert_eq!(again, ModelConfig { dtype: Some("float32".into()), ..config });
    }
}

#[test]
fn whatever_changes_the_maths_is_refused_by_name() {
    let cases = [
        ("hidden_act", json!("gelu")),
        ("model_type", json!("mistral")),
        ("architectures", json!(["Qwen2ForCausalLM"])),
        ("rope_scaling", json!({"type": "linear", "factor": 2.0})),
        ("rope_scaling", json!({"rope_type": "yarn", "factor": 2.0})),
        ("rope_parameters", json!({"full_attention": {"rope_type": "default"}})),
        ("rope_parameters", json!({"rope_type": "default", "rope_theta": 1.0})),
        ("rope_parameters", json!({"rope_type": "default", "partial_rotary_factor": 0.5})),
        ("sliding_window", json!(4096)),
        ("pretraining_tp", json!(2)),
        ("attention_dropout", json!(0.1)),
        ("quantization_config", json!({"bits": 4})),
        ("partial_rotary_factor", json!(0.5)),
        ("logits_scaling", json!(8.0)),
        ("final_logit_softcapping", json!(30.0)),
        ("head_dim", json!(15)),
        ("num_key_value_heads", json!(3)),
        ("vocab_size", json!(0)),
        ("vocab_size", json!("many")),
        ("hidden_size", Value::Null),
        ("eos_token_id", json!(1_000_000)),
        ("eos_token_id", json!("</s>")),
        ("mlp_bias", json!(1)),
    ];
    for (key, value) in cases {
        let error = edited(OLDER, key, value.clone()).expect_err(&format!("{key} = {value}"));
        assert!(error.what.contains(key), "{key} = {value}: {}", error.what);
    }
}

#[test]
fn neutral_and_unknown_keys_are_accepted() {
    for (key, value) in [
        ("sliding_window", Value::Null),
        ("pretraining_tp", json!(1)),
        ("attention_dropout", json!(0.0)),
        ("partial_rotary_factor", json!(1.0)),
        ("use_cache", json!(true)),
        ("pad_token_id", json!(-1)),
        ("rope_scaling", json!({"rope_type": "default"})),
    ] {
        let config =
            edited(OLDER, key, value.clone()).unwrap_or_else(|e| panic!("{key} = {value}: {}", e.what));
        assert!(config.extra.is_empty(), "{key}: {:?}", config.extra);
    }
    let config = edited(OLDER, "trained_by", json!("me")).unwrap();
    assert_eq!(config.extra["trained_by"], "me");
}

#[test]
fn llama3_frequencies_agree_with_transformers() {
    let config = ModelConfig::parse(NEWER).unwrap();
    let got = config.rope.inv_freq(config.head_dim);
    // `LlamaRotaryEmbedding.inv_freq` of the formula in transformers 5, evaluated in float64 by a separate program.
    assert_eq!(got.len(), INV_FREQ.len());
    for (i, (g, want)) in got.iter().zip(INV_FREQ).enumerate() {
        let diff = (f64::from(*g) - want).abs();
        assert!(diff <= 1e-7 * want, "{i}: {g} {want}");
    }
}

const INV_FREQ: [f64; 16] = [
    1.0,
    0.44036660267178046,
    0.19392274474868576,
    0.08539710028576561,
    0.03760603093086393,
    0.016560440080994446,
    0.0072926647372171085,
    0.0032114459947525913,
    0.0005248461609929547,
    7.78465527393245e-05,
    3.428102195952591e-05,
    1.509621717643313e-05,
    6.647869871181236e-06,
    2.9274998701761677e-06,
    1.2891731721515574e-06,
    5.677088100759837e-07,
];
