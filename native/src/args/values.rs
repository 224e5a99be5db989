//! The values that options take, and how they are read.

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;

/// `--objective`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Objective {
    /// One squared Bellman residual per completion
    #[default]
    Tbrm,
    /// One per token: collapses, kept as the ablation
    Brm,
    /// Cross-entropy on the completions, whatever their reward
    Sft,
    /// The policy gradient; the baseline is the mean of the step's other rewards
    Reinforce,
    /// The same, with the mean of the group's other rewards
    Rloo,
    /// Group-relative policy optimization: needs groups and behaviour log-probs
    Grpo,
    /// Direct preference optimization: needs pairs
    Dpo,
    /// Regression of the optimal advantage: needs groups
    A2po,
    /// Trajectory balance: needs groups
    Tba,
    /// A mean of tbrm and another
    Hybrid,
    /// Proximal policy optimization with a critic: of rollouts only, with `rl`
    Ppo,
}

/// `--kl-estimator`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KlEstimator {
    /// logp - ref_logp
    K1,
    /// Never negative, and of less variance
    K3,
}

/// `--loss-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum LossType {
    /// The mean over each completion's tokens, then over completions
    Grpo,
    /// The mean over the step's tokens
    Dapo,
    /// Each completion's sum over a constant length, and no division by the deviation
    DrGrpo,
}

/// `--calibrate`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Calibrate {
    /// delta = rho + V_1 - R/beta
    #[default]
    None,
    /// delta - V_1 of the reference
    VRef,
}

/// `--truncated`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Truncated {
    /// Train on them like on the others
    #[default]
    Keep,
    /// Give them weight 0
    Mask,
}

/// `--train-on`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TrainOn {
    /// All completions
    #[default]
    All,
    /// Those with the highest reward of their batch of rollouts
    Top,
}

impl From<TrainOn> for tbrm_core::online::TrainOn {
    fn from(on: TrainOn) -> Self {
        match on {
            TrainOn::All => Self::All,
            TrainOn::Top => Self::Top,
        }
    }
}

/// `--schedule`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Schedule {
    /// Stay at the learning rate
    #[default]
    Constant,
    /// Fall to 0 along a half cosine
    Cosine,
    /// Fall to 0 along a line
    Linear,
}

/// `--preset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// 2 layers of 64 channels
    Nano,
    /// 4 layers of 128 channels
    Tiny,
    /// 6 layers of 384 channels
    Small,
    /// 12 layers of 768 channels
    Gpt2,
}

impl Preset {
    /// The core's preset of this name.
    ///
    /// # Errors
    /// When the core knows no such preset.
    pub fn find(self) -> tbrm_core::Result<tbrm_core::model::Preset> {
        let value = self.to_possible_value().expect("no preset is skipped");
        tbrm_core::model::Preset::find(value.get_name())
    }
}

impl From<Objective> for tbrm_core::objective::Objective {
    fn from(objective: Objective) -> Self {
        match objective {
            Objective::Tbrm => Self::Tbrm,
            Objective::Brm => Self::Brm,
            Objective::Sft => Self::Sft,
            Objective::Reinforce => Self::Reinforce,
            Objective::Rloo => Self::Rloo,
            Objective::Grpo => Self::Grpo,
            Objective::Dpo => Self::Dpo,
            Objective::A2po => Self::A2po,
            Objective::Tba => Self::Tba,
            Objective::Hybrid => Self::Hybrid,
            Objective::Ppo => Self::Ppo,
        }
    }
}

impl From<KlEstimator> for tbrm_core::objective::KlEstimator {
    fn from(estimator: KlEstimator) -> Self {
        match estimator {
            KlEstimator::K1 => Self::K1,
            KlEstimator::K3 => Self::K3,
        }
    }
}

impl From<LossType> for tbrm_core::objective::LossType {
    fn from(loss_type: LossType) -> Self {
        match loss_type {
            LossType::Grpo => Self::Grpo,
            LossType::Dapo => Self::Dapo,
            LossType::DrGrpo => Self::DrGrpo,
        }
    }
}

impl From<Calibrate> for tbrm_core::train::Calibrate {
    fn from(calibrate: Calibrate) -> Self {
        match calibrate {
            Calibrate::None => Self::None,
            Calibrate::VRef => Self::VRef,
        }
    }
}

impl From<Truncated> for tbrm_core::data::trajectory::Truncated {
    fn from(truncated: Truncated) -> Self {
        match truncated {
            Truncated::Keep => Self::Keep,
            Truncated::Mask => Self::Mask,
        }
    }
}

impl From<Schedule> for tbrm_core::train::Schedule {
    fn from(schedule: Schedule) -> Self {
        match schedule {
            Schedule::Constant => Self::Constant,
            Schedule::Cosine => Self::Cosine,
            Schedule::Linear => Self::Linear,
        }
    }
}

/// What `bench` measures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum BenchWork {
    /// One optimizer step
    #[default]
    Step,
    /// Generation at fixed lengths: an eighth of the preset's length is prompt
    Rollouts,
}

/// `--weights` of `bench`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum BenchWeights {
    /// Drawn from the seed
    #[default]
    Random,
    /// A hash of their index: the peers' exact work
    Hash,
}

/// `--prompt-style`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PromptStyle {
    /// As they stand in the file
    #[default]
    Plain,
    /// Qwen2.5-Math's: ChatML, reason step by step, box the answer
    QwenMath,
}

impl From<PromptStyle> for tbrm_core::data::PromptStyle {
    fn from(style: PromptStyle) -> Self {
        match style {
            PromptStyle::Plain => Self::Plain,
            PromptStyle::QwenMath => Self::QwenMath,
        }
    }
}

/// `--endpoint` of `collect`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Endpoint {
    /// As each prompt is
    #[default]
    Auto,
    /// Text is continued
    Completions,
    /// Messages are answered; a prompt of text becomes the user's message, in the records too
    Chat,
}

/// `--from` of `logs convert`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// GSM8K's example_model_solutions.jsonl: four models' solutions, right and wrong
    Gsm8kSolutions,
    /// GSM8K's train.jsonl and test.jsonl: the worked answers, reward 1
    Gsm8k,
    /// OpenAI chat fine-tuning files: `messages`
    OpenaiChat,
    /// TRL data sets: `prompt` and `completion`, or `chosen` and `rejected`
    Trl,
}

impl From<LogFormat> for tbrm_core::data::convert::Kind {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Gsm8kSolutions => Self::Gsm8kSolutions,
            LogFormat::Gsm8k => Self::Gsm8k,
            LogFormat::OpenaiChat => Self::OpenaiChat,
            LogFormat::Trl => Self::Trl,
        }
    }
}

/// `--tokenizer` of `init`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenizerSource {
    /// One token a byte.
    Bytes,
    /// A tokenizer.json.
    File(PathBuf),
    /// A byte-level BPE to be trained on this text.
    Train(PathBuf),
}

impl FromStr for TokenizerSource {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.strip_prefix("train:") {
            Some(corpus) => TokenizerSource::Train(corpus.into()),
            None if text == "bytes" => TokenizerSource::Bytes,
            None => TokenizerSource::File(text.into()),
        })
    }
}

fn number(text: &str, allowed: impl Fn(f64) -> bool, wanted: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if allowed(x) => Ok(x),
        _ => Err(format!("not {wanted}")),
    }
}

/// Reads a finite number above 0.
pub(super) fn positive(text: &str) -> Result<f64, String> {
    number(text, |x| x.is_finite() && x > 0.0, "a number above 0")
}

/// Reads a finite number that is at least 0.
pub(super) fn not_negative(text: &str) -> Result<f64, String> {
    number(text, |x| x.is_finite() && x >= 0.0, "a number of at least 0")
}

/// Reads a number in [0, 1).
pub(super) fn number_below_one(text: &str) -> Result<f64, String> {
    number(text, |x| (0.0..1.0).contains(&x), "a number from 0 up and below 1")
}

/// Reads a number in (0, 1].
pub(super) fn probability(text: &str) -> Result<f64, String> {
    number(text, |x| x > 0.0 && x <= 1.0, "a number above 0 and at most 1")
}

/// Reads a whole number of at least 1.
pub(super) fn positive_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if n >= 1 => Ok(n),
        _ => Err("not a whole number of at least 1".into()),
    }
}

/// Reads a JSON object.
pub(super) fn json_object(text: &str) -> Result<serde_json::Map<String, serde_json::Value>, String> {
    serde_json::from_str(text).map_err(|error| format!("no JSON object: {error}"))
}
