//! A run's events, as files in its directory.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use tbrm_core::data::tokenizer::Tokenizer;
use tbrm_core::train::{Checkpoint, Metrics, Sample, State};
use tbrm_core::{Error, ErrorKind, Result, TrainConfig};

use crate::model_dir::ModelDir;
use crate::report::{self, Report, SampleToken, Stage};
use crate::store::{DirWriter, JsonLines, RunDir, read_file, write_file};
use crate::tensorboard::EventWriter;

/// Writes what a run leaves behind.
pub(crate) struct Recorder<'a> {
    run: &'a RunDir,
    model: &'a ModelDir,
    settings: &'a Value,
    keep: usize,
    eval_every: u64,
    steps: u64,
    metrics: JsonLines,
    tensorboard: Option<EventWriter>,
    /// The line of a step that is evaluated too: the evaluation joins it.
    waiting: Option<Value>,
    samples: Vec<report::Sample>,
    stages: Vec<Stage>,
}

impl<'a> Recorder<'a> {
    /// For a run that goes on after `done` steps (`None`: from the beginning).
    pub(crate) fn new(
        run: &'a RunDir,
        model: &'a ModelDir,
        settings: &'a Value,
        config: &TrainConfig,
        keep: usize,
        tensorboard: bool,
        done: Option<u64>,
    ) -> Result<Recorder<'a>> {
        Ok(Recorder {
            run,
            model,
            settings,
            keep,
            eval_every: config.eval_every,
            steps: config.steps,
            metrics: JsonLines::open(run.join("metrics.jsonl"), done)?,
            tensorboard: tensorboard.then(|| EventWriter::create(run.path())).transpose()?,
            waiting: None,
            samples: Vec::new(),
            stages: Vec::new(),
        })
    }

    pub(crate) fn step(&mut self, metrics: &Metrics) -> Result<()> {
        self.flush()?;
        let line = json_of(metrics)?;
        let evaluated = self.eval_every > 0
            && (metrics.step.is_multiple_of(self.eval_every) || metrics.step == self.steps);
        self.waiting = Some(line);
        if evaluated { Ok(()) } else { self.flush() }
    }

    /// Adds the `eval/` values of an [`Evaluation`](tbrm_core::train::Evaluation), or others, to the line of their step.
    pub(crate) fn evaluated(&mut self, evaluation: &impl Serialize) -> Result<()> {
        // Where a finished run is mended, its last line has stood there before.
        let Some(line) = &mut self.waiting else { return Ok(()) };
        for (key, value) in json_of(evaluation)?.as_object().into_iter().flatten() {
            if key.starts_with("eval/") {
                line[key] = value.clone();
            }
        }
        Ok(())
    }

    /// Adds a row to the report's table of accuracies.
    pub(crate) fn stage(&mut self, stage: Stage) {
        self.stages.push(stage);
    }

    pub(crate) fn samples(&mut self, step: u64, samples: &[Sample]) -> Result<()> {
        let tokenizer = &self.model.tokenizer;
        self.samples = samples.iter().map(|s| readable(tokenizer, step, s)).collect::<Result<_>>()?;
        let mut text = String::new();
        for sample in &self.samples {
            text.push_str(&json_of(sample)?.to_string());
            text.push('\n');
        }
        let path = self.run.completions_path(step);
        make_parent(&path)?;
        write_file(&path, text.as_bytes())
    }

    /// Publishes a checkpoint, after the metrics that lead to it; the last one becomes the final model too.
    pub(crate) fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<PathBuf> {
        self.flush()?;
        self.metrics.sync()?;
        let path = self.run.checkpoint_path(checkpoint.state.step);
        let mut writer = DirWriter::new(&path)?;
        self.model.write(&checkpoint.model, &mut writer)?;
        writer.write("optimizer.safetensors", &checkpoint.optimizer)?;
        if let Some(reference) = &checkpoint.reference {
            writer.write("reference.safetensors", reference)?;
        }
        writer.write("state.json", checkpoint.state.to_json()?.as_bytes())?;
        writer.publish()?;
        self.run.prune_checkpoints(self.keep, checkpoint.state.best.map(|best| best.step))?;
        if checkpoint.last {
            let mut writer = DirWriter::new(self.run.join("model"))?;
            self.model.write(&checkpoint.model, &mut writer)?;
            writer.publish()?;
        }
        Ok(path)
    }

    /// Writes `report.html` from what there is, and returns the last step's metrics.
    pub(crate) fn report(&mut self) -> Result<Option<Value>> {
        self.flush()?;
        let text = read_file(&self.run.join("metrics.jsonl"))?;
        let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        let metrics: Vec<Value> = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
        let title = self.run.path().file_name().unwrap_or_default().to_string_lossy();
        let report = Report {
            title: &title,
            settings: self.settings,
            metrics: &metrics,
            stages: &self.stages,
            samples: &self.samples,
        };
        write_file(&self.run.join("report.html"), report::render(&report).as_bytes())?;
        Ok(metrics.into_iter().next_back())
    }

    fn flush(&mut self) -> Result<()> {
        let Some(line) = self.waiting.take() else { return Ok(()) };
        self.metrics.append(&line)?;
        self.tensorboard.as_mut().map_or(Ok(()), |events| events.scalars(&line))
    }
}

/// Reads a checkpoint's `state.json`, and the bytes of its `optimizer.safetensors`.
pub(crate) fn read_state(checkpoint: &Path) -> Result<(State, Vec<u8>)> {
    let state = State::parse(&read_file(&checkpoint.join("state.json"))?)
        .map_err(|error| error.at(checkpoint.display()))?;
    Ok((state, read_file(&checkpoint.join("optimizer.safetensors"))?))
}

fn readable(tokenizer: &Tokenizer, step: u64, sample: &Sample) -> Result<report::Sample> {
    let texts = tokenizer.token_texts(&sample.completion)?;
    Ok(report::Sample {
        step,
        prompt: tokenizer.decode(&sample.prompt, true)?,
        completion: tokenizer.decode(&sample.completion, false)?,
        reward: sample.reward,
        residual: sample.residual,
        tokens: texts
            .into_iter()
            .zip(&sample.advantage)
            .map(|(text, &advantage)| SampleToken { text, advantage })
            .collect(),
    })
}

fn make_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent)
        .map_err(|error| crate::store::store_error("cannot create", parent, &error))
}

fn json_of(value: &impl Serialize) -> Result<Value> {
    serde_json::to_value(value).map_err(|error| {
        Error::new(ErrorKind::Store, format!("cannot be written as JSON: {error}"), "report this")
    })
}
