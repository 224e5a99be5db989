// The signatures that are coming; compiled as `run::sketch` until they are there.
#![allow(missing_docs, unused, clippy::todo, unreachable_pub)]
use super::*;
use crate::demo::{Accuracy, DemoConfig, Stage};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::model::{Model, ModelConfig};
use crate::ops::Names;
use crate::train::{Estimate, TrainConfig};
use serde_json::Value;

/// What a run is started from, as bytes. `model`: the files of a Hugging Face directory (weights too). Saved in the
/// store under `inputs/` by `Run::start`, so that `Run::resume` needs nothing else.
#[derive(Clone, Debug, Default)]
pub struct Given { pub model_name: String, pub model: Vec<File>, pub data: Vec<File>, pub eval: Vec<File> }

/// Settings, all optional; the keys are those of config.json.
#[derive(Clone, Debug, Default)]
pub struct Options;
impl Options {
    /// From a JSON object; a setting that is unknown or of the wrong kind is named in the error. null = default.
    pub fn parse(settings: &Value) -> Result<Options> { todo!() }
    /// The settings among the keys of a config.json (others are passed over).
    pub fn of_config(config: &Value) -> Result<Options> { todo!() }
}

/// A setting, for forms: `run::SETTINGS: [Setting; N]`.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Setting { pub name: &'static str, pub kind: Kind, pub help: &'static str }
#[derive(Clone, Copy, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind { Number, Count, Flag, Choice(&'static [&'static str]) }

/// Inputs that fit each other, the resolved settings and what they take; nothing allocated or written yet.
pub struct Plan { pub config: TrainConfig, pub estimate: Estimate }
impl Plan {
    /// `available`: bytes, where known (a browser knows none).
    pub fn new(gpu: &Gpu, given: &Given, options: &Options, available: Option<u64>) -> Result<Plan> { todo!() }
}

pub struct Run<S> { store: S }
impl<S: Store> Run<S> {
    /// Writes config.json, inputs/ and rejected.jsonl, and gets ready. `tune`: measure kernels where worthwhile.
    pub async fn start(gpu: &Gpu, store: S, given: Given, options: &Options, tune: bool) -> Result<Run<S>> { todo!() }
    /// Goes on with what lies in the store; None where the run is finished.
    pub async fn resume(gpu: &Gpu, store: S, tune: bool) -> Result<Option<Run<S>>> { todo!() }
    /// None after Event::Finished. When it returns, the event's files are written.
    pub async fn next(&mut self) -> Result<Option<Event>> { todo!() }
    pub fn stop(&mut self) { todo!() }
    /// What the user should know at the start, one line each.
    pub fn notes(&self) -> &[String] { todo!() }
    pub fn config(&self) -> &TrainConfig { todo!() }
    pub fn steps_done(&self) -> u64 { todo!() }
    pub fn model(&self) -> &Model { todo!() }
    pub fn store(&self) -> &S { &self.store }
}

/// crate::demo
pub struct DemoRun<S> { store: S }
impl<S: Store> DemoRun<S> {
    pub async fn start(gpu: &Gpu, store: S, config: DemoConfig, variants: Option<Names>) -> Result<DemoRun<S>> { todo!() }
    /// None where the story is finished; `outcomes` are then in stages.json.
    pub async fn resume(gpu: &Gpu, store: S) -> Result<Option<DemoRun<S>>> { todo!() }
    pub async fn next(&mut self) -> Result<Option<DemoEvent>> { todo!() }
    pub fn stop(&mut self) { todo!() }
}

#[derive(Clone, Debug, serde::Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum DemoEvent {
    /// A stage begins, or goes on after `done` steps.
    Stage { stage: Stage, done: u64, steps: u64 },
    /// After an optimizer step of TBRM; comes before the step's Evaluated.
    Accuracy { stage: Stage, step: u64, #[serde(flatten)] accuracy: Accuracy },
    /// A stage is over.
    Trained { stage: Stage, #[serde(flatten)] accuracy: Accuracy, seconds: f64 },
    /// The story is over, or was asked to stop: the last event.
    Done { complete: bool },
    /// A stage's training said so (Step, Samples, Evaluated, Checkpoint, Scoring).
    #[serde(untagged)]
    Train { stage: Stage, #[serde(flatten)] event: Event },
}
