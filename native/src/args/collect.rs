//! The options of `collect`.

use std::path::PathBuf;

use clap::Args;

use super::PromptStyle;
use super::values::{Endpoint, json_object, not_negative, positive, positive_count, probability};

/// Options of `collect`.
#[derive(Args, Debug)]
pub struct CollectArgs {
    /// Prompts, as JSONL: text or messages, with what the reward needs; or a benchmark as `eval` reads it
    #[arg(long, value_name = "FILE")]
    pub prompts: PathBuf,
    /// Completions of each prompt; with several, records have a `group`
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = positive_count)]
    pub rollouts: usize,
    /// How completions are judged: the kinds of `eval`; several are added up (default: no reward)
    #[arg(long, value_name = "KIND")]
    pub reward: Vec<String>,
    /// The weight of each reward (default: 1)
    #[arg(long, value_name = "W", requires = "reward", allow_negative_numbers = true)]
    pub reward_weight: Vec<f64>,
    /// What is written around each question
    #[arg(long, value_enum, default_value_t)]
    pub prompt_style: PromptStyle,
    /// The file of records to write: each is in it as soon as it is answered, in the order of the answers
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Go on where the file ends: what is in it is not asked for again
    #[arg(long, conflicts_with = "overwrite")]
    pub resume: bool,
    /// Replace what an earlier `collect` wrote there
    #[arg(long)]
    pub overwrite: bool,
    /// Leave out prompts that the server refuses and completions whose reward fails, in OUT.set-aside, instead of stopping
    #[arg(long)]
    pub set_aside_failures: bool,

    /// Who is asked
    #[command(flatten)]
    pub server: ServerArgs,
    /// How completions are drawn
    #[command(flatten)]
    pub sampling: RemoteSamplingArgs,
}

/// The server that `collect` asks.
#[derive(Args, Debug)]
#[command(next_help_heading = "Server")]
pub struct ServerArgs {
    /// An OpenAI-compatible server (vLLM, llama.cpp, `transformers serve`): http://localhost:8000, or up to its /v1
    #[arg(long, value_name = "URL")]
    pub url: String,
    /// The model, as the server calls it
    #[arg(long, value_name = "NAME")]
    pub model: String,
    /// /v1/completions, /v1/chat/completions, or as each prompt is: text to the one, messages to the other
    #[arg(long, value_enum, default_value_t)]
    pub endpoint: Endpoint,
    /// The environment variable that holds the key, where the server wants one
    #[arg(long, value_name = "VARIABLE", default_value = "TBRM_API_KEY")]
    pub api_key_env: String,
    /// Requests under way at a time
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = positive_count)]
    pub concurrency: usize,
    /// Further tries, with growing pauses or those that the server asks for, after 429, 5xx, a lost connection or a time-out
    #[arg(long, value_name = "N", default_value_t = 6)]
    pub retries: u32,
    /// How long a request may take, in seconds
    #[arg(long, value_name = "S", default_value_t = 600.0, value_parser = positive)]
    pub timeout: f64,
    /// Fields of every request, as a JSON object: {"top_k": 20}; null leaves one out
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = json_object)]
    pub request: serde_json::Map<String, serde_json::Value>,
}

/// How the server draws.
#[derive(Args, Debug)]
#[command(next_help_heading = "Sampling")]
pub struct RemoteSamplingArgs {
    /// The longest completion, in tokens
    #[arg(long, visible_alias = "max-tokens", value_name = "N", default_value_t = 1024, value_parser = positive_count)]
    pub max_new_tokens: usize,
    /// 0 takes the likeliest token
    #[arg(long, value_name = "T", default_value_t = 1.0, value_parser = not_negative, allow_negative_numbers = true)]
    pub temperature: f64,
    /// Draw from the likeliest tokens that together have this probability
    #[arg(long, value_name = "P", default_value_t = 1.0, value_parser = probability)]
    pub top_p: f64,
    /// End the text before TEXT, where that first appears; may be given several times
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub stop: Vec<String>,
    /// Keep the log-probs that the server reports, where the model in DIR, which is to be trained, has the same number of tokens
    #[arg(long, value_name = "DIR")]
    pub logps: Option<PathBuf>,
}
