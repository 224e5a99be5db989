//! Training: settings in, events out.

pub mod config;
pub mod engine;
mod micro;
pub mod metrics;
mod optimizer;
pub mod schedule;

pub use config::{Calibrate, TrainConfig};
pub use engine::{Engine, EngineConfig, Scored};
pub use metrics::Metrics;
pub use schedule::Schedule;
