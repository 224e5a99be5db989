//! The command line: every command, its options, their defaults and their help. Nothing here acts on them.

mod ask;
mod collect;
mod lab;
mod names;
mod rl;
mod train;
mod values;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use ask::{EvalArgs, GenerateArgs, SamplingArgs, ScoreArgs};
pub use collect::{CollectArgs, RemoteSamplingArgs, ServerArgs};
pub use lab::{CompareArgs, PilotArgs, PlaceArgs, SweepArgs, WarmArgs};
pub use names::with_options;
pub use rl::{EvalPrompts, RlArgs, RolloutArgs};
pub use train::{
    EarlierRun, EvalDuringTraining, ObjectiveArgs, OptimizerArgs, OutputArgs, RecordArgs, TrainArgs,
};
pub use values::{
    BenchWeights, BenchWork, Calibrate, Endpoint, KlEstimator, LogFormat, LossType, Objective, Preset,
    PromptStyle, Schedule, TokenizerSource, Truncated,
};
use values::{not_negative, positive_count};

/// Trains language models by Trajectory Bellman Residual Minimization, on any GPU.
#[derive(Debug, Parser)]
#[command(name = "tbrm", bin_name = "tbrm", version, max_term_width = 110)]
#[command(disable_help_subcommand = true, arg_required_else_help = false)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
}

/// The options of every command.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Options of every command")]
pub struct Common {
    /// Use the adapter whose name contains NAME (default: the best GPU, a software adapter only if nothing else)
    #[arg(long, value_name = "NAME", global = true)]
    pub adapter: Option<String>,
    /// Seed of everything that is drawn
    #[arg(long, value_name = "N", default_value_t = 0, global = true)]
    pub seed: u64,
    /// Print results as one JSON object on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// Show no progress
    #[arg(long, global = true)]
    pub quiet: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The whole story on an embedded task: warm start, TBRM from logs alone, accuracy after each stage
    #[command(after_help = "Example:\n  tbrm demo --out runs/demo")]
    Demo(DemoArgs),
    /// Adapters, backends, the features and limits that matter, and what they unlock
    #[command(after_help = "Example:\n  tbrm devices --json")]
    Devices,
    /// Make a fresh model directory
    #[command(
        after_help = "Example:\n  tbrm init --preset tiny --tokenizer train:corpus.txt --vocab-size 2048 --out models/fresh"
    )]
    Init(InitArgs),
    /// Train a model from logs, without rollouts
    #[command(
        after_help = "Example:\n  tbrm train --model models/base --data logs.jsonl --out runs/first --beta 0.05"
    )]
    Train(Box<TrainArgs>),
    /// Train a model on its own completions of prompts, judged by a reward
    #[command(
        after_help = "Example:\n  tbrm rl --model models/base --prompts problems.jsonl --reward numeric --rollouts 1 --out runs/online"
    )]
    Rl(Box<RlArgs>),
    /// Completions of prompts by any OpenAI-compatible server, judged and written as records to train from
    #[command(
        after_help = "Example:\n  tbrm collect --url http://localhost:8000 --model Qwen/Qwen2.5-1.5B --prompts problems.jsonl --rollouts 4 --reward math --out logs.jsonl"
    )]
    Collect(Box<CollectArgs>),
    /// Log-probs, implicit rewards and Bellman residuals of logged completions
    #[command(
        after_help = "Example:\n  tbrm score --model runs/first/model --reference models/base --data logs.jsonl --beta 0.05 --out scores.jsonl"
    )]
    Score(ScoreArgs),
    /// Accuracy on problems with known answers: avg@K, pass@K, maj@K with standard errors
    #[command(
        after_help = "Example:\n  tbrm eval --model runs/first/model --data problems.jsonl --reward numeric --samples 8"
    )]
    Eval(EvalArgs),
    /// Continue a prompt
    #[command(
        after_help = "Example:\n  tbrm generate --model runs/first/model --prompt 'Once upon' --temperature 0.8"
    )]
    Generate(GenerateArgs),
    /// Look into logs, or turn other formats into records
    #[command(subcommand, arg_required_else_help = false)]
    Logs(LogsCommand),
    /// Problems of an embedded task, or demonstrations of it, as JSONL: to try everything without data of your own
    #[command(
        after_help = "Example:\n  tbrm task countdown-2 --count 2000 --out problems.jsonl\n  tbrm task sort-3 --count 1000 --demonstrations 4 --out logs.jsonl"
    )]
    Task(TaskArgs),
    /// Speed and memory of one optimizer step, or of generation, on random data
    #[command(
        after_help = "Example:\n  tbrm bench --preset tiny --json\n  tbrm bench rollouts --preset tiny --batch 64"
    )]
    Bench(BenchArgs),
    /// What the method promises, checked on problems that are solved exactly
    #[command(after_help = "Example:\n  tbrm theory --out theory.html")]
    Theory(TheoryArgs),
    /// Objectives side by side: same starts, prompts and budget, several seeds, one report
    #[command(
        after_help = "Example:\n  tbrm compare --objectives tbrm,grpo,rloo,reinforce,sft --seeds 5 --task sort-3 --out runs/compare\n  tbrm compare --objectives tbrm,tbrm:n=4,tbrm:logs,grpo --model models/base --prompts problems.jsonl --reward numeric --out runs/compare"
    )]
    Compare(Box<CompareArgs>),
    /// TBRM from logs at many settings: heat maps, and the setting to take
    #[command(
        after_help = "Example:\n  tbrm sweep --beta 0.02,0.05,0.1,0.2 --logit-scale 1,2 --calibrate none,v-ref --out runs/sweep\n  tbrm sweep --beta 0.02,0.1 --model models/base --data logs.jsonl --out runs/sweep"
    )]
    Sweep(Box<SweepArgs>),
    /// What logs are good for: train on them, collect more, or stop; one report for whoever decides
    #[command(after_help = "Example:\n  tbrm pilot logs.jsonl --model models/base --out runs/pilot")]
    Pilot(Box<PilotArgs>),
    /// Serve the page to this machine's browser: training in a tab, and a run beside it
    #[command(after_help = "Example:\n  tbrm serve --run runs/first")]
    Serve(ServeArgs),
}

/// Options of `demo`.
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// The run directory to write
    #[arg(long, value_name = "RUN", default_value = "runs/demo")]
    pub out: PathBuf,
    /// If a run is there already
    #[command(flatten)]
    pub earlier: EarlierRun,
    /// Tell the story in seconds, without learning the task: for tests
    #[arg(long, hide = true)]
    pub short: bool,
}

/// Options of `init`.
#[derive(Args, Debug)]
pub struct InitArgs {
    /// The model's size
    #[arg(long, required_unless_present = "config", conflicts_with = "config")]
    pub preset: Option<Preset>,
    /// The model's shape: a Hugging Face config.json (its vocabulary size becomes the tokenizer's)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// `bytes`, a tokenizer.json, or `train:CORPUS` for a byte-level BPE of that text (of the prompts and completions in
    /// a .jsonl)
    #[arg(long, value_name = "bytes|FILE|train:CORPUS")]
    pub tokenizer: TokenizerSource,
    /// Entries of the tokenizer that is trained (default: 2048)
    #[arg(long, value_name = "N", value_parser = positive_count)]
    pub vocab_size: Option<usize>,
    /// The longest sequence, in tokens (default: the config's, or 1024 for a preset)
    #[arg(long, value_name = "N", value_parser = positive_count)]
    pub max_positions: Option<usize>,
    /// The model directory to write
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// The commands under `logs`.
#[derive(Debug, Subcommand)]
pub enum LogsCommand {
    /// What is in a file of records, and what is wrong with it, line by line
    #[command(after_help = "Example:\n  tbrm logs check logs.jsonl --model models/base")]
    Check(LogsCheckArgs),
    /// Turn another format into records
    #[command(
        after_help = "Example:\n  tbrm logs convert --from gsm8k-solutions solutions.jsonl --out logs.jsonl"
    )]
    Convert(LogsConvertArgs),
}

/// Options of `logs check`.
#[derive(Args, Debug)]
pub struct LogsCheckArgs {
    /// Records, as JSONL
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Count in this model's tokens, and check against its positions
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// The longest record, in tokens (default: the model's positions)
    #[arg(long, value_name = "N", requires = "model", value_parser = positive_count)]
    pub max_length: Option<usize>,
}

/// Options of `logs convert`.
#[derive(Args, Debug)]
pub struct LogsConvertArgs {
    /// The format of FILE
    #[arg(long, value_enum, value_name = "KIND")]
    pub from: LogFormat,
    /// What to convert
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Where the records go (default: stdout)
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Options of `task`.
#[derive(Args, Debug)]
pub struct TaskArgs {
    /// sort, arithmetic, countdown, parity, language or story, with a level from 1 to 4: countdown-2
    #[arg(value_name = "NAME")]
    pub name: String,
    /// How many problems
    #[arg(long, value_name = "N", value_parser = positive_count)]
    pub count: usize,
    /// Problems to test with: none of them is too much like one to train on, whatever the seed and the number
    #[arg(long)]
    pub held_out: bool,
    /// Write K rewarded completions of each problem instead
    #[arg(long, value_name = "K", value_parser = positive_count)]
    pub demonstrations: Option<usize>,
    /// The share of demonstrations that are wrong
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, value_parser = not_negative, requires = "demonstrations")]
    pub wrong: f64,
    /// Where they go (default: stdout)
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Options of `bench`.
#[derive(Args, Debug)]
pub struct BenchArgs {
    /// What is measured
    #[arg(value_enum, value_name = "WORK", default_value_t)]
    pub work: BenchWork,
    /// The model and batch
    #[arg(long, value_enum, default_value = "tiny")]
    pub preset: Preset,
    /// The objective
    #[arg(long, value_enum, default_value_t)]
    pub objective: Objective,
    /// Random weights and data, or those that are a hash of their index, as in the peers' programs
    #[arg(long, value_enum, default_value_t)]
    pub weights: BenchWeights,
    /// rollouts: sequences generated at a time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = positive_count)]
    pub batch: usize,
    /// rollouts: 0 takes the likeliest token
    #[arg(long, value_name = "T", default_value_t = 0.0, value_parser = not_negative, allow_negative_numbers = true)]
    pub temperature: f64,
    /// Measured steps, between two that warm up and two more; of rollouts, measured times after one
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = positive_count)]
    pub steps: usize,
    /// Measure GPU time per kernel: a table, and a trace for Perfetto in FILE (default: trace.json)
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pub profile: Option<Option<PathBuf>>,
}

/// Options of `theory`.
#[derive(Args, Debug)]
pub struct TheoryArgs {
    /// Only these: optimum, measure, samples, horizon, stochastic, bandit, token
    #[arg(long, value_name = "NAME", num_args = 1..)]
    pub only: Vec<String>,
    /// Where the report goes: one HTML file
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Instead of the checks, objectives beside one another on a tree; SETTINGS is a JSON object of what is to differ, for instance
    /// '{"objectives": ["tbrm", "rloo"], "source": "rollouts", "beta": 0.1}'
    #[arg(long, value_name = "SETTINGS", num_args = 0..=1, default_missing_value = "{}", conflicts_with_all = ["only", "out"])]
    pub race: Option<String>,
}

/// Options of `serve`.
#[derive(Args, Debug)]
pub struct ServeArgs {
    /// A run to show, while it is trained or later; its files are only read
    #[arg(long, value_name = "RUN")]
    pub run: Option<PathBuf>,
    /// The port on 127.0.0.1; 0 takes one that is free. A browser keeps its runs by port
    #[arg(long, value_name = "N", default_value_t = 8000)]
    pub port: u16,
    /// Serve the page built in DIR, not the one in this binary
    #[arg(long, value_name = "DIR")]
    pub page: Option<PathBuf>,
}
