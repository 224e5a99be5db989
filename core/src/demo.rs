//! The whole story on a task that a tiny model learns in a minute: a warm start on demonstrations of which many are
//! wrong, then TBRM on the same demonstrations with the verifier's rewards, in which nothing is generated but to measure on
//! held-out problems; and last TBRM on the model's own completions of other problems, one each.

mod event;
mod measure;
mod story;
#[cfg(test)]
mod tests;

use serde_json::json;

use crate::data::record::{Needs, Record};
use crate::data::tokenizer::Tokenizer;
use crate::data::trajectory::{Encoder, Trajectory, Truncated};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;
use crate::model::{Model, ModelConfig};
use crate::objective::Objective;
use crate::online::{OnlineConfig, Question, estimate};
use crate::rollout::Rollout;
use crate::task::{Demonstration, Problem, Sort, Split, demonstrations};
use crate::train::{Calibrate, Estimate, Schedule, TrainConfig};

pub use event::{DemoEvent, Outcome};
pub use story::{DemoRun, outcomes, saved};

/// Sequences generated at a time.
const SLOTS: usize = 128;

/// How long the story is.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct DemoConfig {
    /// Of everything that is drawn.
    pub seed: u64,
    /// Digits to sort.
    pub digits: usize,
    /// Problems with demonstrations.
    pub problems: usize,
    /// Demonstrations of each.
    pub demonstrations: usize,
    /// The share of demonstrations that are wrong.
    pub wrong: f64,
    /// Problems that accuracy is measured on.
    pub held_out: usize,
    /// Completions sampled for each of them.
    pub samples: usize,
    /// Maximum likelihood on the demonstrations, right and wrong.
    pub warm_start: TrainConfig,
    /// TBRM on the same demonstrations, with their rewards.
    pub tbrm: TrainConfig,
    /// TBRM on the model's own completions.
    pub online: TrainConfig,
    /// How they are drawn.
    pub rollouts: OnlineConfig,
}

impl DemoConfig {
    /// What `tbrm demo` runs.
    pub fn new(seed: u64) -> DemoConfig {
        let train =
            TrainConfig { schedule: Schedule::Cosine, warmup: 20, batch: 64, seed, ..TrainConfig::default() };
        DemoConfig {
            seed,
            digits: 5,
            problems: 8000,
            demonstrations: 4,
            wrong: 0.5,
            held_out: 256,
            samples: 4,
            warm_start: TrainConfig {
                objective: Objective::Sft,
                learning_rate: 3e-3,
                steps: 500,
                checkpoint_every: 100,
                ..train.clone()
            },
            tbrm: TrainConfig {
                objective: Objective::Tbrm,
                beta: 0.1,
                calibrate: Calibrate::VRef,
                learning_rate: 1e-3,
                steps: 300,
                checkpoint_every: 50,
                eval_every: 50,
                ..train.clone()
            },
            online: TrainConfig {
                objective: Objective::Tbrm,
                beta: 0.1,
                calibrate: Calibrate::VRef,
                learning_rate: 3e-4,
                steps: 100,
                micro_batch_tokens: 64 * 12,
                checkpoint_every: 50,
                eval_every: 50,
                ..train
            },
            rollouts: OnlineConfig {
                prompts_per_batch: 64,
                max_new_tokens: 6,
                rewards: vec!["exact".to_owned()],
                ..OnlineConfig::default()
            },
        }
    }

    /// The same story told in seconds, for tests: too short for the model to learn the task.
    pub fn shortened(mut self) -> DemoConfig {
        (self.problems, self.held_out, self.samples) = (60, 12, 2);
        (self.warm_start.steps, self.warm_start.checkpoint_every) = (4, 2);
        (self.tbrm.steps, self.tbrm.checkpoint_every, self.tbrm.eval_every) = (4, 2, 2);
        (self.online.steps, self.online.checkpoint_every, self.online.eval_every) = (4, 2, 2);
        self
    }

    /// The task and its problems.
    fn problems(&self) -> Result<(Sort, Split)> {
        let task = Sort { digits: self.digits };
        let split = Split::new(&task, self.seed, self.problems, self.held_out)?;
        Ok((task, split))
    }

    /// What is trained on.
    fn logs(&self, task: &Sort, split: &Split) -> Vec<Demonstration> {
        demonstrations(task, &split.train, self.demonstrations, self.wrong, self.seed)
    }

    /// One completion of each held-out problem.
    fn held_out_logs(&self, task: &Sort, split: &Split) -> Vec<Demonstration> {
        demonstrations(task, &split.held_out, 1, self.wrong, self.seed.wrapping_add(1))
    }

    /// How a stage is trained.
    pub fn of(&self, stage: Stage) -> &TrainConfig {
        match stage {
            Stage::WarmStart => &self.warm_start,
            Stage::Tbrm => &self.tbrm,
            Stage::Online => &self.online,
        }
    }
}

/// Accuracy on held-out problems.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Accuracy {
    /// The mean over problems of the share of sampled completions that are right.
    pub mean: f64,
    /// Its standard error: the spread over problems.
    pub stderr: f64,
}

impl Accuracy {
    /// Of the share of right completions of each problem.
    fn new(shares: &[f64]) -> Accuracy {
        let n = shares.len() as f64;
        let mean = shares.iter().sum::<f64>() / n;
        let variance = shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>() / (n - 1.0);
        Accuracy { mean, stderr: (variance / n).sqrt() }
    }
}

/// A part of the story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Maximum likelihood on all demonstrations, from random weights.
    WarmStart,
    /// TBRM on the same, with their rewards, from there.
    Tbrm,
    /// TBRM on the model's own completions, from there.
    Online,
}

impl Stage {
    /// All, in their order.
    pub const ALL: [Stage; 3] = [Stage::WarmStart, Stage::Tbrm, Stage::Online];

    /// Its name in results.
    pub fn name(self) -> &'static str {
        match self {
            Stage::WarmStart => "warm start",
            Stage::Tbrm => "tbrm",
            Stage::Online => "online",
        }
    }

    /// What it does, in a few words.
    pub fn description(self) -> &'static str {
        match self {
            Stage::WarmStart => "warm start: imitate all logged completions",
            Stage::Tbrm => "TBRM on the same logs with their rewards",
            Stage::Online => "TBRM online: on one completion of its own a problem",
        }
    }
}

/// What the story is told with: made from a seed alone.
pub struct Demo {
    /// Its settings.
    pub config: DemoConfig,
    /// The task.
    pub task: Sort,
    /// The problems.
    pub split: Split,
    /// What was demonstrated, as a log: the training data of both stages.
    pub logs: Vec<Demonstration>,
    /// The tokenizer: bytes.
    pub tokenizer: Tokenizer,
    /// The model's shape.
    pub model: ModelConfig,
    data: Vec<Trajectory>,
    eval: Vec<Trajectory>,
}

impl Demo {
    /// Draws problems and demonstrations.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where the task has too few problems.
    pub fn new(config: DemoConfig) -> Result<Demo> {
        let (task, split) = config.problems()?;
        let logs = config.logs(&task, &split);
        let tokenizer = Tokenizer::bytes()?;
        let mut model = ModelConfig::preset("nano")?.fitted(&tokenizer, None)?;
        model.max_position_embeddings = 2 * config.digits + 2;
        let encoder = Encoder::new(&tokenizer, None, &model, None, Truncated::Keep)?;
        let data = encode(&encoder, &logs)?;
        let eval = encode(&encoder, &config.held_out_logs(&task, &split))?;
        Ok(Demo { config, task, split, logs, tokenizer, model, data, eval })
    }

    /// The model that the story begins with: random weights.
    ///
    /// # Errors
    /// As [`Model::fresh`].
    pub fn fresh_model(&self, gpu: &Gpu) -> Result<Model> {
        Model::fresh(gpu, &self.model, self.model.max_position_embeddings, self.config.seed)
    }

    /// What the story takes: the memory of its larger stage and of the rollouts, the steps and tokens of all stages.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] where the adapter has no room.
    pub fn estimate(&self, gpu: &Gpu) -> Result<Estimate> {
        let positions = self.model.max_position_embeddings;
        let of = |stage| Estimate::of_run(gpu, self.config.of(stage), &self.model, positions, &self.data);
        let (warm_start, tbrm) = (of(Stage::WarmStart)?, of(Stage::Tbrm)?);
        let DemoConfig { online, rollouts, .. } = &self.config;
        let asked = self.questions(&self.split.train)?;
        let online = estimate(gpu, online, rollouts, &self.model, positions, asked.iter())?;
        let from_logs = warm_start.total_bytes.max(tbrm.total_bytes);
        let rehearsal = gpu.rehearse();
        let model = Model::zeros(&rehearsal, &self.model, positions)?;
        let weights = rehearsal.rehearsed_bytes();
        Rollout::new(&rehearsal, &model, self.rollout_config())?;
        Ok(Estimate {
            total_bytes: from_logs.max(online.total_bytes) + rehearsal.rehearsed_bytes() - weights,
            steps: warm_start.steps + tbrm.steps + online.steps,
            tokens: warm_start.tokens + tbrm.tokens + online.tokens,
            ..tbrm
        })
    }

    /// Problems as prompts with answers.
    fn questions(&self, problems: &[Problem]) -> Result<Vec<Question>> {
        let file: std::sync::Arc<str> = "problems".into();
        let one = |(i, problem): (usize, &Problem)| {
            let line = json!({"prompt": problem.prompt, "answer": problem.answer}).to_string();
            let record = Record::parse(i + 1, &line, Needs::Prompt)
                .map_err(|(_, reason)| Error::new(ErrorKind::Data, reason, "report this"))?;
            let tokens = self.tokenizer.encode_prompt(&problem.prompt)?;
            Ok(Question { file: file.clone(), record, tokens })
        };
        problems.iter().enumerate().map(one).collect()
    }

    /// What the stages before the last are trained on.
    pub fn data(&self) -> &[Trajectory] {
        &self.data
    }
}

/// Logs that need no file, by name: `sort`, what the demo with seed 0 is trained on, and `sort-held-out`, completions of
/// its held-out problems; as a file of records.
///
/// # Errors
/// As [`Demo::new`].
pub fn embedded_logs(name: &str) -> Result<Option<String>> {
    let config = DemoConfig::new(0);
    let (task, split) = config.problems()?;
    Ok(match name {
        "sort" => Some(as_records(&config.logs(&task, &split))),
        "sort-held-out" => Some(as_records(&config.held_out_logs(&task, &split))),
        _ => None,
    })
}

/// Demonstrations as a file of records.
fn as_records(logs: &[Demonstration]) -> String {
    logs.iter().map(|shown| shown.to_json() + "\n").collect()
}

fn encode(encoder: &Encoder<'_>, logs: &[Demonstration]) -> Result<Vec<Trajectory>> {
    let one = |(i, shown): (usize, &Demonstration)| {
        let record = Record::parse(i + 1, &shown.to_json(), Needs::Reward)
            .map_err(|(_, reason)| Error::new(ErrorKind::Data, reason, "report this"))?;
        encoder.trajectory("logs.jsonl", &record).map_err(|rejection| rejection.error())
    };
    logs.iter().enumerate().map(one).collect()
}
