//! What the demo says while it is under way.

use serde::{Deserialize, Serialize};

use super::{Accuracy, Stage};
use crate::run::Event;

/// Something that happened; the files that belong to it are written.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum DemoEvent {
    /// A stage begins, or goes on.
    Stage {
        /// Which.
        stage: Stage,
        /// Optimizer steps that were done before.
        done: u64,
        /// All of its optimizer steps.
        steps: u64,
    },
    /// The accuracy after an optimizer step of TBRM; comes after the step's evaluation.
    Accuracy {
        /// The stage.
        stage: Stage,
        /// Optimizer steps of the stage.
        step: u64,
        /// What was measured.
        #[serde(flatten)]
        accuracy: Accuracy,
    },
    /// A stage is over.
    Trained {
        /// Which.
        stage: Stage,
        /// What came of it.
        #[serde(flatten)]
        accuracy: Accuracy,
        /// Seconds of training.
        seconds: f64,
    },
    /// The story is over, or was asked to stop: the last event.
    Done {
        /// Whether it was told to its end.
        complete: bool,
    },
    /// The training of a stage said so. The samples among them are logged completions of held-out problems; the last
    /// event of a stage's training is [`DemoEvent::Trained`].
    #[serde(untagged)]
    Train {
        /// Which.
        stage: Stage,
        /// What it said.
        #[serde(flatten)]
        event: Event,
    },
}

/// What came of a stage, as far as it went: an entry of `stages.json`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Which.
    pub stage: Stage,
    /// Seconds of training.
    pub seconds: f64,
    /// The accuracy after it; none before it is over.
    pub accuracy: Option<Accuracy>,
}
