//! The settings that only online runs have, for forms and help. Apart from what reads them (`online/options.rs`): the page lists
//! them to every visitor, and fetches that when somebody trains online.

use serde_json::{Value, json};

use super::catalogue::{Kind, Setting, setting};
use crate::online::OnlineConfig;

/// All settings of [`OnlineOptions`](super::OnlineOptions).
pub const ONLINE_SETTINGS: [Setting; 16] = [
    setting(
        "rewards",
        Kind::Texts,
        "How completions are judged: the kinds of `--reward`; several are added up.",
    ),
    setting("reward_weights", Kind::Numbers, "The weight of each reward; by default 1."),
    setting(
        "set_aside_failures",
        Kind::Flag,
        "Leave out completions whose reward fails or is not finite, instead of stopping.",
    ),
    setting(
        "rollouts",
        Kind::Count,
        "Completions of each prompt: objectives that compare them need 2 or more.",
    ),
    setting("prompts_per_batch", Kind::Count, "Prompts of one batch of rollouts; by default 32, or all."),
    setting(
        "steps_per_batch",
        Kind::Count,
        "Optimizer steps on each batch of rollouts; by default so many that each rollout is trained on once, and once more for each batch of the replay.",
    ),
    setting("replay", Kind::Count, "Steps draw from so many earlier batches of rollouts too: off-policy."),
    setting("max_new_tokens", Kind::Count, "The longest completion, in tokens."),
    setting(
        "temperature",
        Kind::Number,
        "Divides the logits; by default 1 over the logit scale, the policy that is trained.",
    ),
    setting("top_k", Kind::Count, "Draw from so many of the likeliest tokens; 0 for all."),
    setting(
        "top_p",
        Kind::Number,
        "Draw from the likeliest tokens that together have this probability; 1 for all.",
    ),
    setting("stop", Kind::Texts, "Texts that end a completion."),
    setting(
        "train_on",
        Kind::Choice(&["all", "top"]),
        "Train on all completions, or on those with the highest reward of their batch: with sft, rejection-sampling fine-tuning.",
    ),
    setting(
        "data_share",
        Kind::Number,
        "The share of each step that logged records have, where there are any; by default 0.5.",
    ),
    setting(
        "value_samples",
        Kind::Count,
        "Of a2po: completions by the reference from which V* of each prompt is estimated.",
    ),
    setting("eval_samples", Kind::Count, "Completions of each held-out prompt."),
];

/// The default of one of them; null where the prompts decide.
pub(super) fn default(name: &str) -> Value {
    match name {
        "prompts_per_batch" | "steps_per_batch" | "temperature" | "data_share" => Value::Null,
        _ => json!(OnlineConfig::default())[name].clone(),
    }
}
