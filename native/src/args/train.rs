//! The options of `train`, of which `rl` shares all groups.

use std::path::{Path, PathBuf};

use clap::Args;

use super::values::{
    Calibrate, KlEstimator, LossType, Objective, Schedule, Truncated, not_negative, positive, positive_count,
};
use crate::store::OpenRun;

/// What becomes of a run that is in its directory already.
#[derive(Args, Debug)]
pub struct EarlierRun {
    /// Go on from the run's last checkpoint
    #[arg(long, conflicts_with = "overwrite")]
    resume: bool,
    /// Replace what an earlier run wrote there
    #[arg(long)]
    overwrite: bool,
}

impl EarlierRun {
    /// How to open the run at `out`.
    pub fn open(&self, out: &Path) -> OpenRun {
        OpenRun::of(out, self.resume, self.overwrite)
    }
}

/// Options of `train`.
#[derive(Args, Debug)]
pub struct TrainArgs {
    /// The model to train (a Hugging Face directory); as given, it is also the reference
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Records, as JSONL
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    pub data: Vec<PathBuf>,
    /// The run directory to write
    #[arg(long, value_name = "RUN")]
    pub out: PathBuf,
    /// If a run is there already
    #[command(flatten)]
    pub earlier: EarlierRun,
    /// Print the plan, the memory and the time that it would take, and stop
    #[arg(long)]
    pub dry_run: bool,

    /// What to minimise
    #[command(flatten)]
    pub objective: ObjectiveArgs,
    /// How to minimise it
    #[command(flatten)]
    pub optimizer: OptimizerArgs,
    /// How to read the records
    #[command(flatten)]
    pub records: RecordArgs,
    /// Evaluation during training
    #[command(flatten)]
    pub eval: EvalDuringTraining,
    /// What the run leaves behind
    #[command(flatten)]
    pub output: OutputArgs,
}

/// What `train` minimises.
#[derive(Args, Debug)]
#[command(next_help_heading = "Objective")]
pub struct ObjectiveArgs {
    /// The objective
    #[arg(long, value_enum, default_value_t)]
    pub objective: Objective,
    /// How strongly the reward pulls away from the reference: smaller is stronger (default: 0.05; dpo 0.1, a2po 0.001)
    #[arg(long, value_name = "B", value_parser = positive, allow_negative_numbers = true)]
    pub beta: Option<f64>,
    /// reinforce, rloo, grpo, ppo: weight of the KL term (default: 0.05, grpo 0.04, its other loss types 0)
    #[arg(long, value_name = "C", value_parser = not_negative, allow_negative_numbers = true)]
    pub kl_coefficient: Option<f64>,
    /// grpo, ppo: how far below 1 the ratio to the old policy counts (default: 0.2)
    #[arg(long, value_name = "EPS", value_parser = not_negative, allow_negative_numbers = true)]
    pub clip: Option<f64>,
    /// grpo, ppo: how far above 1 it counts (default: 0.2, dapo 0.28)
    #[arg(long, value_name = "EPS", value_parser = not_negative, allow_negative_numbers = true)]
    pub clip_high: Option<f64>,
    /// grpo: how the mean over tokens is taken (default: grpo)
    #[arg(long, value_enum)]
    pub loss_type: Option<LossType>,
    /// grpo with the loss type dr_grpo: its constant length, in tokens (default: the longest completion's)
    #[arg(long, value_name = "N", value_parser = positive_count)]
    pub loss_length: Option<usize>,
    /// a2po: the beta of V* (default: 0.5)
    #[arg(long, value_name = "B", value_parser = positive, allow_negative_numbers = true)]
    pub value_beta: Option<f64>,
    /// hybrid: the share of tbrm, from 0 to 1 (default: 0.5)
    #[arg(long, value_name = "SHARE", value_parser = not_negative, allow_negative_numbers = true)]
    pub lambda: Option<f64>,
    /// hybrid: the objective that tbrm is mixed with (default: grpo)
    #[arg(long, value_enum)]
    pub hybrid_with: Option<Objective>,
    /// ppo: the discount of a token (default: 1)
    #[arg(long, value_name = "G", value_parser = not_negative, allow_negative_numbers = true)]
    pub gamma: Option<f64>,
    /// ppo: the lambda of generalized advantage estimation (default: 0.95)
    #[arg(long, visible_alias = "lam", value_name = "L", value_parser = not_negative, allow_negative_numbers = true)]
    pub gae_lambda: Option<f64>,
    /// ppo: how the KL penalty of a token is estimated (default: k1)
    #[arg(long, value_enum)]
    pub kl_estimator: Option<KlEstimator>,
    /// ppo: weight of the critic's loss (default: 0.1)
    #[arg(long, visible_alias = "vf-coef", value_name = "C", value_parser = not_negative, allow_negative_numbers = true)]
    pub value_coefficient: Option<f64>,
    /// ppo: how far from the old value a new one counts (default: 0.2)
    #[arg(long, visible_alias = "cliprange-value", value_name = "EPS", value_parser = positive, allow_negative_numbers = true)]
    pub value_clip: Option<f64>,
    /// Factor on the logits: the policy that is trained samples at temperature 1/K
    #[arg(long, value_name = "K", default_value_t = 1.0, value_parser = positive, allow_negative_numbers = true)]
    pub logit_scale: f64,
    /// What is subtracted from V_1: nothing, or its value under the reference
    #[arg(long, value_enum, default_value_t)]
    pub calibrate: Calibrate,
    /// The reference becomes the current model every N steps
    #[arg(long, value_name = "N", value_parser = positive_count)]
    pub reference_reset: Option<usize>,
    /// Records without an end token: keep them, or give them weight 0
    #[arg(long, value_enum, default_value_t)]
    pub truncated: Truncated,
}

/// How `train` minimises it.
#[derive(Args, Debug)]
#[command(next_help_heading = "Optimization")]
pub struct OptimizerArgs {
    /// Learning rate (default: the objective's, printed at the start)
    #[arg(long, value_name = "LR", value_parser = positive, allow_negative_numbers = true)]
    pub lr: Option<f64>,
    /// How the learning rate changes after the warm-up
    #[arg(long, value_enum, default_value_t)]
    pub schedule: Schedule,
    /// Steps in which the learning rate rises from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub warmup: usize,
    /// Optimizer steps
    #[arg(long, value_name = "N", conflicts_with = "epochs", value_parser = positive_count)]
    pub steps: Option<usize>,
    /// Passes over the records (default: printed at the start)
    #[arg(long, value_name = "N", value_parser = positive_count)]
    pub epochs: Option<usize>,
    /// Completions in one optimizer step (default: printed at the start)
    #[arg(long, value_name = "N", value_parser = positive_count)]
    pub batch: Option<usize>,
    /// The most tokens on the GPU at once (default: 2048, or the longest record); the batch is accumulated over these
    #[arg(long, value_name = "N", value_parser = positive_count)]
    pub micro_batch_tokens: Option<usize>,
    /// Take the records in file order, and wrap around
    #[arg(long)]
    pub no_shuffle: bool,
    /// The largest global norm of a step's gradient
    #[arg(long, value_name = "NORM", default_value_t = 1.0, value_parser = positive, allow_negative_numbers = true)]
    pub grad_clip: f64,
    /// Decoupled weight decay, on every parameter
    #[arg(long, value_name = "W", default_value_t = 0.0, value_parser = not_negative, allow_negative_numbers = true)]
    pub weight_decay: f64,
}

/// How records are read.
#[derive(Args, Debug)]
#[command(next_help_heading = "Records")]
pub struct RecordArgs {
    /// The longest record, in tokens (default: the model's positions)
    #[arg(long, value_name = "N", value_parser = positive_count)]
    pub max_length: Option<usize>,
    /// Set bad records aside in RUN/rejected.jsonl instead of stopping
    #[arg(long)]
    pub skip_invalid: bool,
}

/// Evaluation during training.
#[derive(Args, Debug)]
#[command(next_help_heading = "Evaluation during training")]
pub struct EvalDuringTraining {
    /// Held-out records, as JSONL; the checkpoint with the lowest loss on them is kept
    #[arg(long, value_name = "FILE", requires = "eval_every")]
    pub eval_data: Option<PathBuf>,
    /// Evaluate every N steps
    #[arg(long, value_name = "N", requires = "eval_data", value_parser = positive_count)]
    pub eval_every: Option<usize>,
}

/// What a run leaves behind.
#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Save a checkpoint every N steps (default: printed at the start)
    #[arg(long, value_name = "N", value_parser = positive_count)]
    pub checkpoint_every: Option<usize>,
    /// Keep the last N checkpoints, and the best
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = positive_count)]
    pub keep: usize,
    /// Write TensorBoard event files beside metrics.jsonl
    #[arg(long)]
    pub tensorboard: bool,
    /// Measure GPU time per kernel: a table, and a trace for Perfetto in FILE (default: RUN/trace.json)
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pub profile: Option<Option<PathBuf>>,
}
