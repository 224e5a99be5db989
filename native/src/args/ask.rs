//! The options of the commands that ask a model: `score`, `eval`, `generate`.

use std::path::PathBuf;

use clap::Args;

use super::values::{Calibrate, PromptStyle, not_negative, positive, positive_count, probability};

/// Options of `score`.
#[derive(Args, Debug)]
pub struct ScoreArgs {
    /// The model
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// The reference (default: the model itself)
    #[arg(long, value_name = "DIR")]
    pub reference: Option<PathBuf>,
    /// Records, as JSONL
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// Leave bad records out instead of stopping; how many is said
    #[arg(long)]
    pub skip_invalid: bool,
    /// The beta of the residual and of the implicit reward
    #[arg(long, value_name = "B", value_parser = positive, allow_negative_numbers = true)]
    pub beta: f64,
    /// Factor on the logits, as in training
    #[arg(long, value_name = "K", default_value_t = 1.0, value_parser = positive, allow_negative_numbers = true)]
    pub logit_scale: f64,
    /// What is subtracted from V_1, as in training
    #[arg(long, value_enum, default_value_t)]
    pub calibrate: Calibrate,
    /// The most tokens on the GPU at once (default: 8192, on a processor 2048, and always the longest record)
    #[arg(long, value_name = "N", value_parser = positive_count)]
    pub micro_batch_tokens: Option<usize>,
    /// Where the scores go, one record a line
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// How text is drawn.
#[derive(Args, Debug)]
#[command(next_help_heading = "Sampling")]
pub struct SamplingArgs {
    /// The longest completion, in tokens (default: 128; `generate` takes fewer where the model's positions end)
    #[arg(long, value_name = "N", value_parser = positive_count)]
    pub max_new_tokens: Option<usize>,
    /// 0 takes the likeliest token
    #[arg(long, value_name = "T", default_value_t = 1.0, value_parser = not_negative, allow_negative_numbers = true)]
    pub temperature: f64,
    /// Draw from the likeliest tokens that together have this probability
    #[arg(long, value_name = "P", default_value_t = 1.0, value_parser = probability)]
    pub top_p: f64,
    /// Draw from the K likeliest tokens
    #[arg(long, value_name = "K", value_parser = positive_count)]
    pub top_k: Option<usize>,
    /// End the text before TEXT, where that first appears; may be given several times
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub stop: Vec<String>,
}

/// Options of `eval`.
#[derive(Args, Debug)]
pub struct EvalArgs {
    /// The model
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Problems, as JSONL with `prompt` and `answer`, or GSM8K, AIME, AMC, Minerva Math or OlympiadBench as published
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// How an answer is judged: exact, numeric, math, regex:PATTERN, contains:TEXT, length:MIN-MAX, task:NAME or command:PROGRAM;
    /// several are added up, and the first of them counts votes
    #[arg(long, value_name = "KIND", required = true)]
    pub reward: Vec<String>,
    /// The weight of each reward (default: 1)
    #[arg(long, value_name = "W", allow_negative_numbers = true)]
    pub reward_weight: Vec<f64>,
    /// Leave out problems with a completion whose reward fails or is no finite number, instead of stopping; each is said
    #[arg(long)]
    pub set_aside_failures: bool,
    /// What is written around each question
    #[arg(long, value_enum, default_value_t)]
    pub prompt_style: PromptStyle,
    /// Completions a problem
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = positive_count)]
    pub samples: usize,
    /// How completions are drawn
    #[command(flatten)]
    pub sampling: SamplingArgs,
    /// Where the completions go, one a line
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Options of `generate`.
#[derive(Args, Debug)]
pub struct GenerateArgs {
    /// The model
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// The text to continue
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub prompt: String,
    /// How the text is drawn
    #[command(flatten)]
    pub sampling: SamplingArgs,
}
