//! A run's events, as files in its store.

use serde::Serialize;
use serde_json::Value;

use super::checkpoints;
use super::files::ModelFiles;
use super::lines;
use super::report::{self, Report, SampleToken, Stage};
use super::store::Store;
use crate::data::tokenizer::Tokenizer;
use crate::error::{Error, ErrorKind, Result};
use crate::train::{Checkpoint, Metrics, Sample, TrainConfig};

/// The final model.
pub(crate) const MODEL: &str = "model";

/// Writes what a run leaves behind.
pub(super) struct Recorder {
    model: ModelFiles,
    settings: Value,
    keep: usize,
    eval_every: u64,
    steps: u64,
    /// The line of a step that is evaluated too: the evaluation joins it.
    waiting: Option<Value>,
    samples: Vec<report::Sample>,
}

impl Recorder {
    /// For a run that goes on after `done` steps (`None`: from the beginning).
    pub(super) async fn new(
        store: &impl Store,
        model: ModelFiles,
        settings: Value,
        config: &TrainConfig,
        keep: usize,
        done: Option<u64>,
    ) -> Result<Recorder> {
        lines::rewind(store, done).await?;
        Ok(Recorder {
            model,
            settings,
            keep,
            eval_every: config.eval_every,
            steps: config.steps,
            waiting: None,
            samples: Vec::new(),
        })
    }

    pub(super) fn model(&self) -> &ModelFiles {
        &self.model
    }

    pub(super) async fn step(&mut self, store: &impl Store, metrics: &Metrics) -> Result<()> {
        self.flush(store).await?;
        self.waiting = Some(json_of(metrics)?);
        let evaluated = self.eval_every > 0
            && (metrics.step.is_multiple_of(self.eval_every) || metrics.step == self.steps);
        if evaluated { Ok(()) } else { self.flush(store).await }
    }

    /// Adds the `eval/` values of an [`Evaluation`](crate::train::Evaluation), or others, to the line of their step.
    pub(super) fn evaluated(&mut self, evaluation: &impl Serialize) -> Result<()> {
        // Where a finished run is mended, its last line has stood there before.
        let Some(line) = &mut self.waiting else { return Ok(()) };
        for (key, value) in json_of(evaluation)?.as_object().into_iter().flatten() {
            if key.starts_with("eval/") {
                line[key] = value.clone();
            }
        }
        Ok(())
    }

    /// Writes the samples of a step, and returns them as text.
    pub(super) async fn samples(
        &mut self,
        store: &impl Store,
        step: u64,
        samples: &[Sample],
    ) -> Result<Vec<report::Sample>> {
        let tokenizer = &self.model.tokenizer;
        self.samples = samples.iter().map(|s| readable(tokenizer, step, s)).collect::<Result<_>>()?;
        let mut text = String::new();
        for sample in &self.samples {
            text.push_str(&json_of(sample)?.to_string());
            text.push('\n');
        }
        store.write(&completions(step), text.as_bytes()).await?;
        Ok(self.samples.clone())
    }

    /// Publishes a checkpoint, after the metrics that lead to it; the last one becomes the final model too.
    pub(super) async fn checkpoint(&mut self, store: &impl Store, checkpoint: Checkpoint) -> Result<String> {
        self.flush(store).await?;
        store.sync(lines::METRICS).await?;
        let path = checkpoints::path(checkpoint.state.step);
        checkpoints::write(store, &path, &self.model, &checkpoint).await?;
        checkpoints::prune(store, self.keep, checkpoint.state.best.map(|best| best.step)).await?;
        if checkpoint.last {
            checkpoints::write_model(store, MODEL, &self.model, checkpoint.model).await?;
        }
        Ok(path)
    }

    /// Writes `report.html` from what there is, and returns the last step's metrics.
    pub(super) async fn report(&mut self, store: &impl Store, stages: &[Stage]) -> Result<Option<Value>> {
        self.flush(store).await?;
        let metrics = lines::all(store).await?;
        let report = Report {
            title: &store.name(),
            settings: &self.settings,
            metrics: &metrics,
            stages,
            samples: &self.samples,
        };
        store.write("report.html", report::render(&report).as_bytes()).await?;
        Ok(metrics.into_iter().next_back())
    }

    async fn flush(&mut self, store: &impl Store) -> Result<()> {
        match self.waiting.take() {
            Some(line) => lines::append(store, &line).await,
            None => Ok(()),
        }
    }
}

/// Writes the `report.html` of a run that is over anew, with these `stages`; `step` is its last.
pub(crate) async fn report_again(
    store: &impl Store,
    settings: &Value,
    stages: &[Stage],
    step: u64,
) -> Result<()> {
    let metrics = lines::all(store).await?;
    let text = store.read(&completions(step)).await?.unwrap_or_default();
    let lines = text.split(|&byte| byte == b'\n');
    let samples: Vec<report::Sample> = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let title = &store.name();
    let report = Report { title, settings, metrics: &metrics, stages, samples: &samples };
    store.write("report.html", report::render(&report).as_bytes()).await
}

/// The file of the samples after `step` steps.
fn completions(step: u64) -> String {
    format!("completions/step_{step:06}.jsonl")
}

fn readable(tokenizer: &Tokenizer, step: u64, sample: &Sample) -> Result<report::Sample> {
    Ok(report::Sample {
        step,
        prompt: tokenizer.decode(&sample.prompt, true)?,
        completion: tokenizer.decode(&sample.completion, false)?,
        reward: sample.reward,
        residual: sample.residual,
        tokens: SampleToken::of(tokenizer, sample)?,
    })
}

fn json_of(value: &impl Serialize) -> Result<Value> {
    serde_json::to_value(value).map_err(|error| {
        Error::new(ErrorKind::Store, format!("cannot be written as JSON: {error}"), "report this")
    })
}
