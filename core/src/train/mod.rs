//! Training: settings in, events out.

pub mod bench;
pub mod checkpoint;
pub mod config;
pub mod engine;
pub(crate) mod estimate;
pub mod evaluate;
pub mod event;
mod flight;
pub(crate) mod learner;
pub mod metrics;
mod micro;
mod optimizer;
pub mod reference;
pub mod sample;
pub mod schedule;
pub mod score;
#[cfg(test)]
mod tests;
pub(crate) mod trainer;
pub mod tune;

pub use checkpoint::{Best, Checkpoint, State};
pub use config::{Calibrate, TrainConfig};
pub use engine::{Engine, EngineConfig, Scored};
pub use estimate::Estimate;
pub use event::{Evaluation, Event, Measured, Rollouts, SetAside};
pub use metrics::Metrics;
pub use reference::Reference;
pub use sample::Sample;
pub use schedule::Schedule;
pub use trainer::{Start, Trainer};
