//! The options of `rl`.

use std::path::PathBuf;

use clap::Args;

use super::values::{TrainOn, number_below_one, positive, positive_count, probability};
use super::{EarlierRun, ObjectiveArgs, OptimizerArgs, OutputArgs, RecordArgs};

/// Options of `rl`.
#[derive(Args, Debug)]
pub struct RlArgs {
    /// The model to train (a Hugging Face directory); as given, it is also the reference
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Prompts with what the reward needs, as JSONL: `prompt` and `answer`
    #[arg(long, value_name = "FILE")]
    pub prompts: PathBuf,
    /// How completions are judged: the kinds of `eval`; several are added up
    #[arg(long, value_name = "KIND", required = true)]
    pub reward: Vec<String>,
    /// The weight of each reward (default: 1)
    #[arg(long, value_name = "W", allow_negative_numbers = true)]
    pub reward_weight: Vec<f64>,
    /// Leave out completions whose reward fails or is no finite number, in RUN/set-aside, instead of stopping
    #[arg(long)]
    pub set_aside_failures: bool,
    /// The run directory to write
    #[arg(long, value_name = "RUN")]
    pub out: PathBuf,
    /// If a run is there already
    #[command(flatten)]
    pub earlier: EarlierRun,
    /// Print the plan and the memory that it would take, and stop
    #[arg(long)]
    pub dry_run: bool,

    /// How to draw completions
    #[command(flatten)]
    pub rollouts: RolloutArgs,
    /// What to minimise
    #[command(flatten)]
    pub objective: ObjectiveArgs,
    /// How to minimise it
    #[command(flatten)]
    pub optimizer: OptimizerArgs,
    /// How to read logged records
    #[command(flatten)]
    pub records: RecordArgs,
    /// Evaluation during training
    #[command(flatten)]
    pub eval: EvalPrompts,
    /// What the run leaves behind
    #[command(flatten)]
    pub output: OutputArgs,
}

/// How `rl` draws completions, and how long it uses them.
#[derive(Args, Debug)]
#[command(next_help_heading = "Rollouts")]
pub struct RolloutArgs {
    /// Completions of each prompt
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = positive_count)]
    pub rollouts: usize,
    /// Prompts of one batch of rollouts (default: 32, or all)
    #[arg(long, value_name = "N", value_parser = positive_count)]
    pub prompts_per_batch: Option<usize>,
    /// Optimizer steps on each batch of rollouts (default: so many that each rollout is trained on once, and once more
    /// for each batch of --replay)
    #[arg(long, value_name = "N", value_parser = positive_count)]
    pub steps_per_batch: Option<usize>,
    /// Steps draw from the last N batches of rollouts too: off-policy
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub replay: usize,
    /// The longest completion, in tokens (default: 128)
    #[arg(long, value_name = "N", value_parser = positive_count)]
    pub max_new_tokens: Option<usize>,
    /// Divides the logits (default: that of the policy that is trained, 1 over --logit-scale)
    #[arg(long, value_name = "T", value_parser = positive, allow_negative_numbers = true)]
    pub temperature: Option<f64>,
    /// Train on all completions, or on those with the highest reward of their batch (with sft: rejection-sampling fine-tuning)
    #[arg(long, value_enum, default_value_t)]
    pub train_on: TrainOn,
    /// Draw from the likeliest tokens that together have this probability
    #[arg(long, value_name = "P", value_parser = probability)]
    pub top_p: Option<f64>,
    /// Draw from the K likeliest tokens
    #[arg(long, value_name = "K", value_parser = positive_count)]
    pub top_k: Option<usize>,
    /// End a completion where TEXT first appears; may be given several times
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub stop: Vec<String>,
    /// Logged records to mix into every step, as JSONL
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub data: Vec<PathBuf>,
    /// The share of each step that logged records have (default: 0.5)
    #[arg(long, value_name = "SHARE", requires = "data", value_parser = number_below_one, allow_negative_numbers = true)]
    pub data_share: Option<f64>,
    /// a2po: completions by the reference from which V* of each prompt is estimated (default: 8)
    #[arg(long, value_name = "N", value_parser = positive_count)]
    pub value_samples: Option<usize>,
}

/// Evaluation of `rl`.
#[derive(Args, Debug)]
#[command(next_help_heading = "Evaluation during training")]
pub struct EvalPrompts {
    /// Held-out prompts, as JSONL; the checkpoint with the highest mean reward on them is kept
    #[arg(long, value_name = "FILE")]
    pub eval_prompts: Option<PathBuf>,
    /// Evaluate every N steps (default: a tenth of all)
    #[arg(long, value_name = "N", requires = "eval_prompts", value_parser = positive_count)]
    pub eval_every: Option<usize>,
    /// Completions of each held-out prompt
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = positive_count)]
    pub eval_samples: usize,
}
