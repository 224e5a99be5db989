//! What a run tells its front end.

use serde::Serialize;

use super::report::Sample;
use crate::train::{Evaluation, Measured, Metrics, Rollouts};

/// Something that happened; the files that belong to it are written.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Event {
    /// The reference's log-probs are being computed.
    Scoring {
        /// Records done.
        done: usize,
        /// All records.
        total: usize,
    },
    /// A step's metrics arrived.
    Step {
        /// What `metrics.jsonl` says of it.
        metrics: Metrics,
    },
    /// The model was evaluated on held-out records.
    Evaluated(Evaluation),
    /// Completions of held-out records, or of the training records where there are none.
    Samples {
        /// The optimizer steps that were done.
        step: u64,
        /// A few, as text.
        samples: Vec<Sample>,
    },
    /// The model wrote completions, which the next steps are trained on.
    Rollouts(Rollouts),
    /// The model's completions of held-out prompts were judged.
    Measured(Measured),
    /// A checkpoint lies in the store; after the last one the final model does too.
    Checkpoint {
        /// The optimizer steps that were done.
        step: u64,
        /// Its folder.
        path: String,
    },
    /// All steps are done, or the run was asked to stop: the last event.
    Finished {
        /// The optimizer steps that were done.
        step: u64,
        /// Whether all of them are.
        complete: bool,
    },
}
