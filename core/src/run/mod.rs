//! A run: what it is made of, what it leaves behind, and how it goes on; apart from where its files lie, which is a
//! [`Store`]'s business. Both front ends are this and a screen.
//!
//! ```text
//! config.json               every setting, the seed, the adapter and driver, versions, hashes of model and data
//! metrics.jsonl             one object per optimizer step
//! completions/              step_000100.jsonl: samples, token by token
//! checkpoints/              step_000100/: a model directory plus optimizer.safetensors and state.json, written last
//! reference.safetensors     the reference log-probs of every record
//! rejected.jsonl            lines that were set aside
//! set-aside/                round_000003.jsonl: completions whose reward failed, with the reason
//! model/                    the final model directory
//! report.html               curves, settings, samples
//! inputs/                   where a run is started from bytes: the model's files and the data, so that it can go on
//! ```

mod catalogue;
pub(crate) mod checkpoints;
mod dataset;
mod event;
pub mod files;
mod given;
mod lines;
mod online;
mod online_settings;
mod options;
mod plan;
pub(crate) mod recorder;
pub mod report;
mod session;
pub mod settings;
pub mod store;
#[cfg(test)]
mod tests;
pub(crate) mod within;

pub use catalogue::{Kind, SETTINGS, Setting};
pub use checkpoints::Point;
pub use dataset::Dataset;
pub use event::Event;
pub use files::{ModelFiles, Weights};
pub use given::Given;
pub use online::{OnlineInputs, OnlineOptions, OnlinePlan, Prompts};
pub use online_settings::ONLINE_SETTINGS;
pub use options::{Options, Scale};
pub use plan::{Forecast, Inputs, Plan};
pub use session::{OnlineSetup, Run, Setup};
pub use store::{MemoryStore, Store};

/// A file's name and its bytes.
pub type File = (String, Vec<u8>);
