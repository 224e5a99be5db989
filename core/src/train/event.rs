//! What training tells its front end: both front ends match on this, and never compute.

use super::checkpoint::Checkpoint;
use super::metrics::Metrics;
use super::sample::Sample;

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The reference's log-probs are being computed.
    Scoring {
        /// Records done.
        done: usize,
        /// All records.
        total: usize,
    },
    /// The reference's log-probs are known, or changed by a reset: bytes of `reference.safetensors`.
    Reference(Vec<u8>),
    /// A step's metrics arrived.
    Step(Metrics),
    /// The model wrote completions, which the next steps are trained on.
    Rollouts(Rollouts),
    /// Completions whose reward failed were left out.
    SetAside {
        /// The round, evaluation or estimate that they were drawn for, as a file's name.
        name: String,
        /// They.
        completions: Vec<SetAside>,
    },
    /// The model's completions of held-out prompts were judged.
    Measured(Measured),
    /// The model was evaluated on held-out records.
    Evaluated(Evaluation),
    /// Completions of held-out records, or of the training records where there are none.
    Samples {
        /// The optimizer steps that were done.
        step: u64,
        /// A few.
        samples: Vec<Sample>,
    },
    /// A checkpoint to publish; the metrics of every step in it came before.
    Checkpoint(Box<Checkpoint>),
    /// All steps are done, or the run was asked to stop: the last event.
    Finished {
        /// The optimizer steps that were done.
        step: u64,
        /// Whether all of them are.
        complete: bool,
    },
}

/// A completion that was left out.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct SetAside {
    /// Of its prompt.
    pub file: String,
    /// As [`SetAside::file`].
    pub line: usize,
    /// Its text.
    pub completion: String,
    /// Why.
    pub reason: String,
}

/// A round of rollouts.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Rollouts {
    /// From 0.
    pub round: u64,
    /// The optimizer steps that were done.
    pub step: u64,
    /// Completions.
    pub completions: usize,
    /// Tokens of all of them.
    pub tokens: usize,
    /// Their mean reward.
    pub reward: f64,
    /// Seconds, of generation, rewards and the reference's log-probs.
    pub seconds: f64,
}

/// Rewards of completions of held-out prompts, drawn as in training.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Measured {
    /// The optimizer steps that were done.
    pub step: u64,
    /// The mean over prompts.
    #[serde(rename = "eval/reward")]
    pub reward: f64,
    /// Its standard error; none for a single prompt.
    #[serde(rename = "eval/reward_se", skip_serializing_if = "Option::is_none")]
    pub standard_error: Option<f64>,
    /// Whether no measurement of this run had a higher mean.
    pub best: bool,
}

/// Means over held-out records.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Evaluation {
    /// The optimizer steps that were done.
    pub step: u64,
    /// The objective.
    #[serde(rename = "eval/loss")]
    pub loss: f64,
    /// Mean delta.
    #[serde(rename = "eval/residual")]
    pub residual: f64,
    /// Root of the mean of delta^2.
    #[serde(rename = "eval/residual_rms")]
    pub residual_rms: f64,
    /// Mean rho.
    #[serde(rename = "eval/rho")]
    pub rho: f64,
    /// Mean value of the prompt.
    #[serde(rename = "eval/v1")]
    pub v1: f64,
    /// How well rho ranks records by reward: the share of pairs in order, ties half; none where rewards do not differ.
    #[serde(rename = "eval/auc", skip_serializing_if = "Option::is_none")]
    pub auc: Option<f64>,
    /// Whether no evaluation of this run had a lower loss.
    pub best: bool,
}
