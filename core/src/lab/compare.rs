//! Objectives side by side: the same starts, the same prompts, the same number of completions drawn and trained on; accuracy on held-out
//! prompts on the way, with intervals over seeds.

mod report;
mod summary;

use std::collections::BTreeMap;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::arm::Arm;
use super::start::{Beginning, TaskStart, as_prompts, given, too_few, warm_start};
use super::{LabEvent, Tell, go_on, keep, kept, same_experiment};
use crate::data::tokenizer::Tokenizer;
use crate::error::{Error, ErrorKind, Result};
use crate::evaluation::Mean;
use crate::gpu::Gpu;
use crate::model::Model;
use crate::online::{Question, Rewards};
use crate::rng::Stream;
use crate::rollout::{Prompt, Rollout, RolloutConfig, Sampling, slots};
use crate::run::files::sha256;
use crate::run::within::Within;
use crate::run::{Event, File, OnlineInputs, OnlineOptions, OnlinePlan, Options, Run, Setup, Store};
use crate::train::tune::Tuned;

pub use summary::{ArmSummary, Comparison, CurvePoint};

/// What is done, by run.
const RESULTS: &str = "results.json";
/// The report.
const REPORT: &str = "report.html";
/// Completions drawn at a time to measure a model as it starts.
const SLOTS: usize = 64;
/// One prompt in this many is held out where no held-out prompts are given, and another for choosing learning rates.
const PART: u64 = 8;

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
    /// Learning rates from which each objective's is chosen on validation prompts, by one run each with a seed of its own; the arms' own
    /// where there are none.
    pub learning_rates: Vec<f64>,
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
        /// What completions are worth.
        reward: String,
        /// Tokens of a completion at most.
        max_new_tokens: usize,
        /// Hash of all files.
        sha256: String,
    },
}

/// A model and prompts as bytes.
pub struct CompareInputs {
    /// A Hugging Face model directory: names and bytes.
    pub model: Vec<File>,
    /// Prompts with what the reward needs.
    pub prompts: File,
    /// Held-out prompts; a part of the prompts where there are none.
    pub eval: Option<File>,
}

impl CompareInputs {
    /// The start that these are, for a comparison's settings.
    pub fn start(&self, model: &str, reward: &str, max_new_tokens: usize) -> Start {
        let files = self.model.iter().chain([&self.prompts]).chain(&self.eval);
        let sha256 = sha256(files.flat_map(|(name, bytes)| [name.as_bytes(), bytes.as_slice()]));
        Start::Given { model: model.to_owned(), reward: reward.to_owned(), max_new_tokens, sha256 }
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

/// Everything that was measured, by run: `start/0`, `tune/ARM/RATE` and `run/ARM/SEED`.
pub type Outcomes = BTreeMap<String, Outcome>;

/// One seed's start and problems.
struct Ground {
    seed: u64,
    beginning: Beginning,
    prompts: File,
    validation: File,
    held_out: File,
    reward: String,
    max_new: usize,
}

/// Runs what is not done yet of a comparison in `store`, and writes its report; `None` where the front end asked to stop. `inputs` are
/// what [`Start::Given`] describes.
///
/// # Errors
/// [`ErrorKind::Checkpoint`] where another experiment lies in `store`; [`ErrorKind::Config`] and [`ErrorKind::Data`] before anything runs;
/// those of [`Run`].
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
    let mut lab = Lab { gpu, store, config, inputs, tuned, tell, outcomes };
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
    ] {
        if count == 0 {
            return bad(format!("`{name}` is 0"), "give a number above 0");
        }
    }
    Ok(())
}

/// A comparison under way.
struct Lab<'a, 'b, S> {
    gpu: &'a Gpu,
    store: Rc<S>,
    config: &'a CompareConfig,
    inputs: Option<&'a CompareInputs>,
    tuned: &'a mut Tuned,
    tell: &'a mut Tell<'b>,
    outcomes: Outcomes,
}

impl<S: Store> Lab<'_, '_, S> {
    /// The arms with their learning rates.
    async fn tune(&mut self) -> Result<Option<Vec<Arm>>> {
        let rates = &self.config.learning_rates;
        let mut arms = self.config.arms.clone();
        let mut ground = None;
        for arm in arms.iter_mut().filter(|arm| !arm.fixed && !rates.is_empty()) {
            let mut best: Option<(f64, f64)> = None; // accuracy, rate
            for &rate in rates {
                let tried = Arm { learning_rate: rate, ..arm.clone() };
                let key = tune_key(&tried);
                if !self.outcomes.contains_key(&key) {
                    if ground.is_none() {
                        // A seed that the results do not have.
                        ground = self.ground(self.config.seed + self.config.seeds).await?;
                    }
                    let Some(ground) = &ground else { return Ok(None) };
                    if !self.run(&key, &tried, ground, &ground.validation).await? {
                        return Ok(None);
                    }
                }
                let accuracy = self.outcomes[&key].last();
                if best.is_none_or(|(highest, _)| accuracy > highest) {
                    best = Some((accuracy, rate));
                }
            }
            if let Some((_, rate)) = best {
                arm.learning_rate = rate;
            }
        }
        Ok(Some(arms))
    }

    /// All arms with one seed; false where the front end asked to stop.
    async fn seed(&mut self, seed: u64, arms: &[Arm]) -> Result<bool> {
        let start = start_key(seed);
        let mut keys = arms.iter().map(|arm| run_key(arm, seed)).chain([start.clone()]);
        if keys.all(|key| self.outcomes.contains_key(&key)) {
            return Ok(true);
        }
        let Some(ground) = self.ground(seed).await? else { return Ok(false) };
        if !self.outcomes.contains_key(&start) {
            let outcome = self.measure(&ground).await?;
            self.done(start, outcome).await?;
        }
        for arm in arms {
            let key = run_key(arm, seed);
            if !self.outcomes.contains_key(&key) && !self.run(&key, arm, &ground, &ground.held_out).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn began(&mut self, what: String) {
        let tuned =
            self.config.arms.iter().filter(|arm| !arm.fixed).count() * self.config.learning_rates.len();
        let runs = tuned + self.config.arms.len() * self.config.seeds as usize;
        let done = self.outcomes.keys().filter(|key| !key.starts_with("start/")).count();
        (self.tell)(LabEvent::Began { what, done, runs });
    }

    async fn done(&mut self, key: String, outcome: Outcome) -> Result<()> {
        let found = match &outcome.failed {
            None => format!("{key}: accuracy {:.3} after {} tokens", outcome.last(), outcome.tokens),
            Some(why) => format!("{key}: failed: {why}"),
        };
        self.outcomes.insert(key, outcome);
        keep(&*self.store, RESULTS, &self.outcomes).await?;
        (self.tell)(LabEvent::Ended { found });
        Ok(())
    }

    /// The model and the problems of a seed; `None` where the front end asked to stop.
    async fn ground(&mut self, seed: u64) -> Result<Option<Ground>> {
        match (&self.config.start, self.inputs) {
            (Start::Task(start), _) => {
                self.began(format!("warm start, seed {seed}"));
                let drawn = start.draw(seed)?;
                let with = (&mut *self.tuned, &mut *self.tell);
                let folder = format!("starts/seed-{seed}");
                let begun = warm_start(self.gpu, &self.store, &folder, start, &drawn, seed, with).await?;
                Ok(begun.map(|beginning| Ground {
                    seed,
                    beginning,
                    prompts: as_prompts("problems", &drawn.train),
                    validation: as_prompts("validation problems", &drawn.validation),
                    held_out: as_prompts("held-out problems", &drawn.held_out),
                    reward: format!("task:{}", start.task),
                    max_new: drawn.max_new(),
                }))
            }
            (Start::Given { model, reward, max_new_tokens, .. }, Some(inputs)) => {
                let [prompts, validation, held_out] = parts(&inputs.prompts, inputs.eval.as_ref());
                Ok(Some(Ground {
                    seed,
                    beginning: given(model, inputs.model.clone())?,
                    prompts,
                    validation,
                    held_out,
                    reward: reward.clone(),
                    max_new: *max_new_tokens,
                }))
            }
            (Start::Given { .. }, None) => {
                let what = "the model and the prompts of the comparison are missing".to_owned();
                Err(Error::new(ErrorKind::Config, what, "give them, or a task"))
            }
        }
    }

    /// What a run of `arm` on `ground` is, measured on `eval`.
    fn plan(&self, arm: &Arm, ground: &Ground, eval: &File) -> Result<OnlinePlan> {
        let CompareConfig { steps, batch, evaluations, samples, .. } = *self.config;
        let base = Options {
            seed: Some(ground.seed),
            checkpoint_every: Some(steps),
            eval_every: Some((steps / evaluations).max(1)),
            keep: Some(1),
            ..Options::default()
        };
        let online = OnlineOptions {
            rewards: vec![ground.reward.clone()],
            max_new_tokens: Some(ground.max_new),
            eval_samples: Some(samples),
            ..OnlineOptions::default()
        };
        let count =
            |file: &File| file.1.split(|byte| *byte == b'\n').filter(|l| !l.trim_ascii().is_empty()).count();
        too_few("prompts to train on", count(&ground.prompts), 2)?;
        too_few("held-out prompts", count(eval), 2)?;
        let (options, online) = arm.options((steps, batch), count(&ground.prompts), &base, &online);
        let files = ground.beginning.files.clone();
        let inputs = OnlineInputs::read(files, &ground.prompts, Some(eval), &[], &options, &online)?;
        OnlinePlan::new(self.gpu, inputs, options, &online, None)
    }

    /// One run; false where the front end asked to stop.
    async fn run(&mut self, key: &str, arm: &Arm, ground: &Ground, eval: &File) -> Result<bool> {
        self.began(key.to_owned());
        let plan = self.plan(arm, ground, eval).map_err(|error| error.at(&arm.name))?;
        let mut outcome = Outcome {
            seed: ground.seed,
            learning_rate: plan.config.learning_rate,
            peak_bytes: plan.estimate.total_bytes,
            ..Outcome::default()
        };
        let place = Within::new(self.store.clone(), format!("runs/{key}"));
        // An interrupted run begins again: its times would be of two parts.
        place.remove("").await?;
        let weights = &ground.beginning.weights;
        let model = plan.load(self.gpu, weights)?;
        let likely = plan.likely();
        let setup = Setup::online(self.gpu, plan, &weights.sha256())?;
        let variants = self.tuned.variants(self.gpu, &setup.config, &model, &likely).await?;
        let mut run = Run::open(self.gpu, place, setup, model, None, Some(variants), None).await?;
        let (mut tokens, mut step) = (0, 0);
        let ended = go_on(&mut run, self.tell, |event| match event {
            Event::Rollouts(rollouts) => {
                outcome.completions += rollouts.completions;
                outcome.tokens += rollouts.tokens;
                outcome.rollout_seconds += rollouts.seconds;
                outcome.seconds += rollouts.seconds;
            }
            Event::Step { metrics } => {
                outcome.seconds += metrics.step_time;
                (tokens, step) = (metrics.num_tokens, metrics.step);
            }
            Event::Measured(measured) => outcome.points.push(Point {
                step: measured.step,
                tokens,
                accuracy: measured.reward,
                standard_error: measured.standard_error,
            }),
            _ => {}
        });
        match ended.await {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(error) if error.kind == ErrorKind::NotFinite => {
                outcome.points.push(Point { step, tokens, accuracy: 0.0, standard_error: None });
                outcome.failed = Some(error.what);
            }
            Err(error) => return Err(error.at(&arm.name)),
        }
        run.store().remove("checkpoints").await?;
        self.done(key.to_owned(), outcome).await?;
        Ok(true)
    }

    /// The accuracy of the model as it starts.
    async fn measure(&self, ground: &Ground) -> Result<Outcome> {
        let arm = &self.config.arms[0];
        let plan = self.plan(arm, ground, &ground.held_out)?;
        let model = plan.load(self.gpu, &ground.beginning.weights)?;
        let OnlinePlan { inputs, online, .. } = plan;
        let OnlineInputs { model: files, eval, rewards, .. } = inputs;
        let (samples, max_new) = (self.config.samples, online.max_new_tokens);
        let drawing = Drawing { samples, max_new, temperature: 1.0, seed: ground.seed };
        let means = drawing.means(self.gpu, &model, &files.tokenizer, &rewards, &eval.questions).await?;
        let Mean { mean, standard_error } = Mean::new(&means);
        let point = Point { step: 0, tokens: 0, accuracy: mean, standard_error };
        Ok(Outcome { seed: ground.seed, points: vec![point], ..Outcome::default() })
    }
}

/// How completions are drawn to measure a model.
pub(super) struct Drawing {
    pub samples: usize,
    pub max_new: usize,
    pub temperature: f64,
    pub seed: u64,
}

impl Drawing {
    /// The mean reward of each question's completions.
    pub(super) async fn means(
        &self,
        gpu: &Gpu,
        model: &Model,
        tokenizer: &Tokenizer,
        rewards: &Rewards,
        questions: &[Question],
    ) -> Result<Vec<f64>> {
        let Drawing { samples, max_new, temperature, seed } = *self;
        let capacity =
            questions.iter().map(|question| question.tokens.len()).max().unwrap_or(1) + max_new - 1;
        let config = RolloutConfig {
            slots: slots(gpu, &model.config, capacity, SLOTS),
            capacity,
            sampling: Sampling { temperature: temperature as f32, top_k: 0, top_p: 1.0, seed },
            stops: model.config.eos_token_id.clone(),
            logit_scale: 1.0,
        };
        let mut rollout = Rollout::new(gpu, model, config)?;
        let prompt =
            |i: usize| Prompt { tokens: questions[i / samples].tokens.clone(), stream: i as u32, max_new };
        let prompts: Vec<Prompt> = (0..questions.len() * samples).map(prompt).collect();
        let completions = rollout.generate(&prompts, |_| {}).await?;
        let score = |i: usize| -> Result<f64> {
            let text = tokenizer.decode(&completions[i].tokens, false)?;
            Ok(rewards.score(&questions[i / samples].record, &text)?.total)
        };
        let scores = (0..completions.len()).map(score).collect::<Result<Vec<f64>>>()?;
        Ok(scores.chunks(samples).map(|of| of.iter().sum::<f64>() / samples as f64).collect())
    }
}

/// Prompts to train on, for choosing learning rates, and held out. Lines that belong to another part are empty, so that messages name the
/// file's own lines.
fn parts((name, bytes): &File, eval: Option<&File>) -> [File; 3] {
    let part = |line: &[u8]| {
        let value: serde_json::Value = serde_json::from_slice(line).unwrap_or_default();
        Stream::named(0, &value["prompt"].to_string()).below(0, PART)
    };
    let lines: Vec<(&[u8], u64)> =
        bytes.split(|byte| *byte == b'\n').map(|line| (line, part(line))).collect();
    let of = |wanted: &dyn Fn(u64) -> bool| -> File {
        let kept = |(line, part): &(&[u8], u64)| if wanted(*part) { line.to_vec() } else { Vec::new() };
        (name.clone(), lines.iter().map(kept).collect::<Vec<_>>().join(&b'\n'))
    };
    match eval {
        Some(eval) => [of(&|part| part != 1), of(&|part| part == 1), eval.clone()],
        None => [of(&|part| part > 1), of(&|part| part == 1), of(&|part| part == 0)],
    }
}

fn start_key(seed: u64) -> String {
    format!("start/seed-{seed}")
}

fn tune_key(arm: &Arm) -> String {
    format!("tune/{}/lr-{}", folder(arm), arm.learning_rate)
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
