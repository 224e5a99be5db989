//! The options of `compare`, `sweep` and `pilot`.

use std::path::PathBuf;

use clap::Args;

use super::values::{Calibrate, positive, positive_count};

/// Options of `compare`.
#[derive(Args, Debug)]
pub struct CompareArgs {
    /// Which, differences being to the first: any of `train --objective`, each with settings behind colons:
    /// tbrm:n=4, tbrm:beta=0.05, grpo:kl=0.1, sft:on=all, rloo:lr=3e-4, tbrm:logs (all completions written before the first step)
    #[arg(long, value_name = "NAMES", value_delimiter = ',', required = true)]
    pub objectives: Vec<String>,
    /// How many seeds, from --seed on
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = positive_count)]
    pub seeds: usize,
    /// Problems of an embedded task, with a warm start a seed
    #[arg(long, value_name = "NAME", default_value = "sort-3", conflicts_with = "model")]
    pub task: String,
    /// The model to start from (a Hugging Face directory)
    #[arg(long, value_name = "DIR", requires = "prompts")]
    pub model: Option<PathBuf>,
    /// Prompts with what the reward needs, as JSONL: `prompt` and `answer`
    #[arg(long, value_name = "FILE", requires_all = ["model", "reward"])]
    pub prompts: Option<PathBuf>,
    /// How completions are judged: the kinds of `eval`; several are added up
    #[arg(long, value_name = "KIND", requires = "prompts")]
    pub reward: Vec<String>,
    /// The weight of each reward (default: 1)
    #[arg(long, value_name = "W", requires = "reward", allow_negative_numbers = true)]
    pub reward_weight: Vec<f64>,
    /// Held-out prompts (default: an eighth of the prompts)
    #[arg(long, value_name = "FILE", requires = "prompts")]
    pub eval_prompts: Option<PathBuf>,
    /// The longest completion, in tokens (default: 128, or what the task needs)
    #[arg(long, value_name = "N", requires = "prompts", value_parser = positive_count)]
    pub max_new_tokens: Option<usize>,
    /// Optimizer steps of a run
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = positive_count)]
    pub steps: usize,
    /// Completions of a step, whatever the objective
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = positive_count)]
    pub batch: usize,
    /// How often accuracy is measured during a run
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = positive_count)]
    pub evaluations: usize,
    /// Completions of each held-out prompt
    #[arg(long, value_name = "K", default_value_t = 4, value_parser = positive_count)]
    pub eval_samples: usize,
    /// Choose each objective's learning rate among these, on validation prompts and seeds of its own (default: none is tuned)
    #[arg(long, value_name = "LR", value_delimiter = ',', value_parser = positive)]
    pub tune_lr: Vec<f64>,
    /// How many seeds, each with a start of its own, it is chosen with
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = positive_count)]
    pub tune_seeds: usize,
    /// How the warm start of a task is made
    #[command(flatten)]
    pub warm: WarmArgs,
    /// Where it all goes
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Where an experiment of many runs goes.
#[derive(Args, Debug)]
pub struct PlaceArgs {
    /// The directory for all runs, their results and the report; the same command goes on in it
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Replace what an earlier experiment wrote there
    #[arg(long)]
    pub overwrite: bool,
}

/// How an embedded task's warm start is made.
#[derive(Args, Debug)]
#[command(next_help_heading = "Warm start of a task")]
pub struct WarmArgs {
    /// Problems to train on (default: 2000, or what the task has)
    #[arg(long, value_name = "N", value_parser = positive_count)]
    pub problems: Option<usize>,
    /// Held-out problems (default: 256, or what the task has)
    #[arg(long, value_name = "N", value_parser = positive_count)]
    pub held_out: Option<usize>,
    /// The share of demonstrations that are wrong (default: 0.5)
    #[arg(long, value_name = "SHARE", value_parser = super::values::not_negative)]
    pub wrong: Option<f64>,
    /// Optimizer steps (default: 300)
    #[arg(long, value_name = "N", value_parser = positive_count)]
    pub warm_steps: Option<usize>,
}

/// Options of `sweep`.
#[derive(Args, Debug)]
pub struct SweepArgs {
    /// Betas
    #[arg(long, value_name = "B", value_delimiter = ',', default_value = "0.02,0.05,0.1,0.2,0.5", value_parser = positive)]
    pub beta: Vec<f64>,
    /// Factors on the logits
    #[arg(long, value_name = "K", value_delimiter = ',', default_value = "1", value_parser = positive)]
    pub logit_scale: Vec<f64>,
    /// What is subtracted from V_1
    #[arg(long, value_enum, value_delimiter = ',', default_value = "none,v-ref")]
    pub calibrate: Vec<Calibrate>,
    /// Learning rates
    #[arg(long, value_name = "LR", value_delimiter = ',', default_value = "3e-4", value_parser = positive)]
    pub lr: Vec<f64>,
    /// Logs of an embedded task, and a warm start on them
    #[arg(long, value_name = "NAME", default_value = "sort-3", conflicts_with = "model")]
    pub task: String,
    /// The model to train (a Hugging Face directory); as given, it is also the reference
    #[arg(long, value_name = "DIR", requires = "data")]
    pub model: Option<PathBuf>,
    /// Records with rewards, as JSONL
    #[arg(long, value_name = "FILE", requires = "model")]
    pub data: Option<PathBuf>,
    /// Optimizer steps of each setting
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = positive_count)]
    pub steps: usize,
    /// Completions in one optimizer step
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = positive_count)]
    pub batch: usize,
    /// Set bad records aside instead of stopping
    #[arg(long)]
    pub skip_invalid: bool,
    /// How the warm start of a task is made
    #[command(flatten)]
    pub warm: WarmArgs,
    /// Where it all goes
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Options of `pilot`.
#[derive(Args, Debug)]
pub struct PilotArgs {
    /// Records, as JSONL; those without a reward are candidates for labels
    #[arg(value_name = "LOGS")]
    pub logs: PathBuf,
    /// The model to train (a Hugging Face directory); as given, it is also the reference
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Betas to try
    #[arg(long, value_name = "B", value_delimiter = ',', default_value = "0.02,0.05,0.1,0.2", value_parser = positive)]
    pub beta: Vec<f64>,
    /// The learning rate
    #[arg(long, value_name = "LR", default_value_t = 3e-4, value_parser = positive)]
    pub lr: f64,
    /// Optimizer steps for each beta (default: three passes over the records to train on, 300 at most)
    #[arg(long, value_name = "N", value_parser = positive_count)]
    pub steps: Option<usize>,
    /// Completions in one optimizer step
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = positive_count)]
    pub batch: usize,
    /// Look at no more than N prompts with all their completions, drawn by the seed
    #[arg(long, value_name = "N", value_parser = positive_count)]
    pub max_prompts: Option<usize>,
    /// Where it all goes
    #[command(flatten)]
    pub place: PlaceArgs,
}
