//! Objectives side by side: the same starts, the same prompts, the same number of completions drawn and trained on; accuracy on held-out
//! prompts on the way, with intervals over seeds.

mod report;
mod runs;
mod summary;
mod trial;

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::arm::Arm;
use super::start::TaskStart;
use super::stats::Interval;
use super::{Tell, kept, same_experiment};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;
use crate::online::Rewards;
use crate::run::files::sha256;
use crate::run::settings::saved;
use crate::run::{File, Store};
use crate::train::tune::Tuned;

pub use summary::{ArmSummary, Comparison, CurvePoint, SoFar};
pub use trial::Trial;

/// What is done, by run.
const RESULTS: &str = "results.json";
/// The report.
pub const REPORT: &str = "report.html";
/// What a comparison is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompareConfig {
    /// What every run starts from.
    pub start: Start,
    /// The contenders; differences are to the first.
    pub arms: Vec<Arm>,
    /// The first seed.
    pub seed: u64,
    /// How many seeds.
    pub seeds: u64,
    /// Optimizer steps of a run.
    pub steps: u64,
    /// Completions of a step.
    pub batch: usize,
    /// How often accuracy is measured during a run, the end included.
    pub evaluations: u64,
    /// Completions of each held-out prompt that it is measured on.
    pub samples: usize,
    /// Learning rates from which each objective's is chosen on validation prompts, by a run each with every seed of
    /// [`tuning_seeds`](Self::tuning_seeds); the arms' own where there are none.
    pub learning_rates: Vec<f64>,
    /// How many seeds a learning rate is chosen with, none of which the results have.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub tuning_seeds: u64,
}

// An experiment that was kept before it could be set has one, and goes on.
fn one() -> u64 {
    1
}

fn is_one(count: &u64) -> bool {
    *count == 1
}

impl CompareConfig {
    /// The seeds that learning rates are chosen with.
    fn tuning(&self) -> Range<u64> {
        let first = self.seed + self.seeds;
        first..first + self.tuning_seeds
    }

    /// The accuracy on validation prompts of an arm at its learning rate, meaned over the seeds; none where a run is missing.
    fn validation(&self, arm: &Arm, outcomes: &Outcomes) -> Option<f64> {
        let all: Option<Vec<f64>> =
            self.tuning().map(|seed| Some(outcomes.get(&tune_key(arm, seed))?.last())).collect();
        Some(Interval::of(&all?).mean)
    }
}

/// What every run of a comparison starts from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// An embedded task, with a warm start a seed.
    Task(TaskStart),
    /// A model and prompts as given: only the order and the draws differ from seed to seed.
    Given {
        /// How the model is called.
        model: String,
        /// What completions are worth: the kinds of rewards, which are added up.
        rewards: Vec<String>,
        /// Their weights; none where all are 1.
        reward_weights: Vec<f64>,
        /// Tokens of a completion at most.
        max_new_tokens: usize,
        /// Hash of all files.
        sha256: String,
    },
}

/// Makes rewards of their kinds and weights.
pub type ParseRewards = fn(&[String], &[f64]) -> Result<Rewards>;

/// A model and prompts as bytes.
pub struct CompareInputs {
    /// A Hugging Face model directory: names and bytes.
    pub model: Vec<File>,
    /// Prompts with what the reward needs.
    pub prompts: File,
    /// Held-out prompts; a part of the prompts where there are none.
    pub eval: Option<File>,
    /// The front end's rewards: [`Rewards::parse`], or with kinds of its own.
    pub parse: ParseRewards,
}

impl CompareInputs {
    /// The start that these are, for a comparison's settings.
    pub fn start(
        &self,
        model: &str,
        rewards: &[String],
        reward_weights: &[f64],
        max_new_tokens: usize,
    ) -> Start {
        let files = self.model.iter().chain([&self.prompts]).chain(&self.eval);
        let sha256 = sha256(files.flat_map(|(name, bytes)| [name.as_bytes(), bytes.as_slice()]));
        Start::Given {
            model: model.to_owned(),
            rewards: rewards.to_vec(),
            reward_weights: reward_weights.to_vec(),
            max_new_tokens,
            sha256,
        }
    }
}

/// Accuracy at some point of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Optimizer steps done.
    pub step: u64,
    /// Completion tokens trained on.
    pub tokens: u64,
    /// Mean reward of sampled completions of held-out prompts.
    pub accuracy: f64,
    /// Its standard error over prompts.
    pub standard_error: Option<f64>,
}

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The seed of everything that it drew.
    pub seed: u64,
    /// The learning rate.
    pub learning_rate: f64,
    /// By step.
    pub points: Vec<Point>,
    /// Completions drawn.
    pub completions: usize,
    /// Their tokens.
    pub tokens: usize,
    /// Seconds of rollouts and steps, without measuring.
    pub seconds: f64,
    /// Seconds of rollouts among them, with rewards and the reference's log-probs.
    pub rollout_seconds: f64,
    /// Bytes of GPU memory that the run allocated.
    pub peak_bytes: u64,
    /// Why it ended early: it then counts with accuracy 0 at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

impl Outcome {
    /// The accuracy at its end.
    pub fn last(&self) -> f64 {
        self.points.last().map_or(f64::NAN, |point| point.accuracy)
    }
}

/// Everything that was measured, by run: `start/0`, `tune/ARM/RATE-SEED` and `run/ARM/SEED`.
pub type Outcomes = BTreeMap<String, Outcome>;

/// Runs what is not done yet of a comparison in `store`, and writes its report; `None` where the front end asked to stop. `inputs` are
/// what [`Start::Given`] describes.
///
/// # Errors
/// [`ErrorKind::Checkpoint`] where another experiment lies in `store`; [`ErrorKind::Config`] and [`ErrorKind::Data`] before anything runs;
/// those of [`crate::run::Run`].
pub async fn compare<S: Store>(
    gpu: &Gpu,
    store: Rc<S>,
    config: &CompareConfig,
    inputs: Option<&CompareInputs>,
    tuned: &mut Tuned,
    tell: &mut Tell<'_>,
) -> Result<Option<Comparison>> {
    check(config)?;
    let settings = same_experiment(gpu, &*store, "compare", config).await?;
    let outcomes: Outcomes = kept(&*store, RESULTS).await?;
    let mut lab = runs::Lab { gpu, store, config, inputs, tuned, tell, outcomes };
    let Some(arms) = lab.tune().await? else { return Ok(None) };
    for seed in config.seed..config.seed + config.seeds {
        // Seed after seed, all arms in turn: what the machine does meanwhile falls on all of them.
        if !lab.seed(seed, &arms).await? {
            return Ok(None);
        }
    }
    let comparison = Comparison::new(config, arms, &lab.outcomes);
    lab.store.write(REPORT, report::render(&comparison, &settings).as_bytes()).await?;
    Ok(Some(comparison))
}

/// Where the comparison in `store` stands, without a device; `None` where there is none.
///
/// # Errors
/// [`ErrorKind::Checkpoint`] where something else lies there, or it is damaged.
pub async fn so_far(store: &impl Store) -> Result<Option<SoFar>> {
    let Some(mut saved) = saved(store).await? else { return Ok(None) };
    let config: CompareConfig = serde_json::from_value(saved["settings"].take()).map_err(|error| {
        let what = format!("{} is not a comparison's: {error}", store.place("config.json"));
        Error::new(ErrorKind::Checkpoint, what, "give the folder of a comparison")
    })?;
    let outcomes: Outcomes = kept(store, RESULTS).await?;
    Ok(Some(SoFar::new(&config, &outcomes)))
}

/// What a comparison will take, known before it begins; nothing is allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Work {
    /// Runs, without those that choose learning rates.
    pub runs: usize,
    /// Optimizer steps of all runs and warm starts.
    pub steps: u64,
    /// Tokens that these train on, and that are drawn for them and to measure them, at most.
    pub tokens: u64,
    /// Parameters of the model.
    pub params: u64,
    /// Bytes of GPU memory of the largest run.
    pub total_bytes: u64,
}

/// What the comparison of `config` on an embedded task will take.
///
/// # Errors
/// As [`compare`], before anything runs.
pub fn work(gpu: &Gpu, config: &CompareConfig) -> Result<Work> {
    check(config)?;
    runs::work(gpu, config)
}

fn check(config: &CompareConfig) -> Result<()> {
    let bad = |what: String, help: &str| Err(Error::new(ErrorKind::Config, what, help));
    for (i, arm) in config.arms.iter().enumerate() {
        if config.arms[..i].iter().any(|other| other.name == arm.name) {
            return bad(
                format!("{} is there twice", arm.name),
                "name each objective once, or with other settings",
            );
        }
        if arm.rollouts > config.batch || !config.batch.is_multiple_of(arm.rollouts) {
            let what = format!(
                "{} draws {} completions of a prompt, and a step has {}",
                arm.name, arm.rollouts, config.batch
            );
            return bad(what, "give a `batch` that is a multiple of it");
        }
    }
    for (name, count) in [
        ("objectives", config.arms.len() as u64),
        ("seeds", config.seeds),
        ("steps", config.steps),
        ("batch", config.batch as u64),
        ("evaluations", config.evaluations),
        ("eval_samples", config.samples as u64),
        ("tune_seeds", config.tuning_seeds),
    ] {
        if count == 0 {
            return bad(format!("`{name}` is 0"), "give a number above 0");
        }
    }
    Ok(())
}

fn start_key(seed: u64) -> String {
    format!("start/seed-{seed}")
}

fn tune_key(arm: &Arm, seed: u64) -> String {
    format!("tune/{}/lr-{}-seed-{seed}", folder(arm), arm.learning_rate)
}

fn run_key(arm: &Arm, seed: u64) -> String {
    format!("run/{}/seed-{seed}", folder(arm))
}

/// An arm's name as that of a folder on any system.
fn folder(arm: &Arm) -> String {
    arm.name.replace(':', "_").replace('=', "")
}

#[cfg(test)]
mod tests;
