//! The runs of a comparison, one after the other.

use std::rc::Rc;

use super::{
    CompareConfig, CompareInputs, Outcome, Outcomes, ParseRewards, Point, RESULTS, SoFar, Start, Work,
    run_key, start_key, tune_key,
};
use crate::error::{Error, ErrorKind, Result};
use crate::evaluation::Mean;
use crate::gpu::Gpu;
use crate::lab::arm::Arm;
use crate::lab::drawing::Drawing;
use crate::lab::start::{Beginning, Drawn, as_prompts, given, not_started, too_few, warm_start};
use crate::lab::{LabEvent, Tell, go_on, keep};
use crate::online::Rewards;
use crate::rng::Stream;
use crate::run::within::Within;
use crate::run::{Event, File, OnlineInputs, OnlineOptions, OnlinePlan, Options, Run, Setup, Store};
use crate::train::Estimate;
use crate::train::tune::Tuned;

/// One prompt in this many is held out where no held-out prompts are given, and another for choosing learning rates.
const PART: u64 = 8;

/// One seed's start and problems.
struct Ground {
    seed: u64,
    beginning: Beginning,
    prompts: File,
    validation: File,
    held_out: File,
    /// Kinds and their weights.
    rewards: (Vec<String>, Vec<f64>),
    parse: ParseRewards,
    max_new: usize,
}

impl Ground {
    fn of_task(task: &str, seed: u64, beginning: Beginning, drawn: &Drawn) -> Ground {
        Ground {
            seed,
            beginning,
            prompts: as_prompts("problems", &drawn.train),
            validation: as_prompts("validation problems", &drawn.validation),
            held_out: as_prompts("held-out problems", &drawn.held_out),
            rewards: (vec![format!("task:{task}")], Vec::new()),
            parse: Rewards::parse,
            max_new: drawn.max_new(),
        }
    }
}

/// A comparison under way.
pub(super) struct Lab<'a, 'b, S> {
    pub(super) gpu: &'a Gpu,
    pub(super) store: Rc<S>,
    pub(super) config: &'a CompareConfig,
    pub(super) inputs: Option<&'a CompareInputs>,
    pub(super) tuned: &'a mut Tuned,
    pub(super) tell: &'a mut Tell<'b>,
    pub(super) outcomes: Outcomes,
}

impl<S: Store> Lab<'_, '_, S> {
    /// The arms with their learning rates; `None` where the front end asked to stop.
    pub(super) async fn tune(&mut self) -> Result<Option<Vec<Arm>>> {
        let CompareConfig { arms, learning_rates, .. } = self.config;
        for seed in self.config.tuning() {
            let mut ground = None;
            for arm in arms.iter().filter(|arm| !arm.fixed) {
                for &rate in learning_rates {
                    let tried = arm.at(rate);
                    let key = tune_key(&tried, seed);
                    if self.outcomes.contains_key(&key) {
                        continue;
                    }
                    if ground.is_none() {
                        ground = self.ground(seed).await?;
                    }
                    let Some(ground) = &ground else { return Ok(None) };
                    if !self.run(&key, &tried, ground, &ground.validation).await? {
                        return Ok(None);
                    }
                }
            }
        }
        let chosen = |arm: &Arm| {
            let tried = learning_rates.iter().map(|&rate| arm.at(rate));
            let judged =
                tried.filter_map(|tried| Some((self.config.validation(&tried, &self.outcomes)?, tried)));
            let best = judged.reduce(|best, next| if next.0 > best.0 { next } else { best });
            best.filter(|_| !arm.fixed).map_or_else(|| arm.clone(), |(_, best)| best)
        };
        Ok(Some(arms.iter().map(chosen).collect()))
    }

    /// All arms with one seed; false where the front end asked to stop.
    pub(super) async fn seed(&mut self, seed: u64, arms: &[Arm]) -> Result<bool> {
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
        let tried =
            self.config.arms.iter().filter(|arm| !arm.fixed).count() * self.config.learning_rates.len();
        let runs =
            tried * self.config.tuning_seeds as usize + self.config.arms.len() * self.config.seeds as usize;
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
        let so_far = SoFar::new(self.config, &self.outcomes);
        if so_far.done > 0 {
            (self.tell)(LabEvent::Compared(Box::new(so_far)));
        }
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
                Ok(begun.map(|beginning| Ground::of_task(&start.task, seed, beginning, &drawn)))
            }
            (Start::Given { model, rewards, reward_weights, max_new_tokens, .. }, Some(inputs)) => {
                let [prompts, validation, held_out] = parts(&inputs.prompts, inputs.eval.as_ref());
                Ok(Some(Ground {
                    seed,
                    beginning: given(model, inputs.model.clone())?,
                    prompts,
                    validation,
                    held_out,
                    rewards: (rewards.clone(), reward_weights.clone()),
                    parse: inputs.parse,
                    max_new: *max_new_tokens,
                }))
            }
            (Start::Given { .. }, None) => {
                let what = "the model and the prompts of the comparison are missing".to_owned();
                Err(Error::new(ErrorKind::Config, what, "give them, or a task"))
            }
        }
    }

    /// One run; false where the front end asked to stop.
    async fn run(&mut self, key: &str, arm: &Arm, ground: &Ground, eval: &File) -> Result<bool> {
        self.began(key.to_owned());
        let plan = plan(self.gpu, self.config, arm, ground, eval).map_err(|error| error.at(&arm.name))?;
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
        let ended = go_on(&mut run, self.tell, |event| {
            match event {
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
                Event::Measured(measured) => {
                    let (step, accuracy) = (measured.step, measured.reward);
                    let standard_error = measured.standard_error;
                    outcome.points.push(Point { step, tokens, accuracy, standard_error });
                    let (arm, seed) = (arm.name.clone(), ground.seed);
                    return Some(LabEvent::Measured { arm, seed, tokens, accuracy });
                }
                _ => {}
            }
            None
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
        let plan = plan(self.gpu, self.config, arm, ground, &ground.held_out)?;
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

/// What a run of `arm` on `ground` is, measured on `eval`.
fn plan(gpu: &Gpu, config: &CompareConfig, arm: &Arm, ground: &Ground, eval: &File) -> Result<OnlinePlan> {
    let CompareConfig { steps, batch, evaluations, samples, .. } = *config;
    let base = Options {
        seed: Some(ground.seed),
        checkpoint_every: Some(steps),
        eval_every: Some((steps / evaluations).max(1)),
        keep: Some(1),
        ..Options::default()
    };
    let online = OnlineOptions {
        rewards: ground.rewards.0.clone(),
        reward_weights: ground.rewards.1.clone(),
        max_new_tokens: Some(ground.max_new),
        eval_samples: Some(samples),
        ..OnlineOptions::default()
    };
    // Whole steps: the last one of a pass would have fewer completions, and fewer where there is one of each prompt than where
    // there are four.
    let prompts = whole(&ground.prompts, batch);
    too_few("prompts to train on", count(&ground.prompts), batch)?;
    too_few("held-out prompts", count(eval), 2)?;
    let (options, online) = arm.options((steps, batch), count(&prompts), &base, &online);
    let files = ground.beginning.files.clone();
    let rewards = (ground.parse)(&online.rewards, &online.reward_weights)?;
    let inputs = OnlineInputs::read(files, Some(&prompts), Some(eval), &[], &options, &online, rewards)?;
    OnlinePlan::new(gpu, inputs, options, &online, None)
}

/// See [`super::work`].
pub(super) fn work(gpu: &Gpu, config: &CompareConfig) -> Result<Work> {
    let Start::Task(start) = &config.start else {
        let what = "the work of a comparison is known beforehand on an embedded task only";
        return Err(Error::new(ErrorKind::Config, what, "choose a task"));
    };
    let drawn = start.draw(config.seed)?;
    let (beginning, warm_tokens) = not_started(start, &drawn, config.seed)?;
    let ground = Ground::of_task(&start.task, config.seed, beginning, &drawn);
    let plans = config
        .arms
        .iter()
        .map(|arm| plan(gpu, config, arm, &ground, &ground.held_out).map_err(|error| error.at(&arm.name)));
    let estimates: Vec<Estimate> = plans.map(|plan| Ok(plan?.estimate)).collect::<Result<_>>()?;
    // Each token is drawn and then trained on; measuring draws whole completions too, at the start once for all.
    let trained: u64 = estimates.iter().map(|estimate| estimate.tokens).sum();
    let measurements = config.evaluations * config.arms.len() as u64 + 1;
    let positions = ground.beginning.files.config.max_position_embeddings;
    let measured = measurements * (start.held_out * config.samples * positions) as u64;
    let arms = config.arms.len();
    Ok(Work {
        runs: arms * config.seeds as usize,
        steps: config.seeds * (start.warm_steps + config.steps * arms as u64),
        tokens: config.seeds * (warm_tokens + 2 * trained + measured),
        params: estimates.iter().map(|estimate| estimate.params).max().unwrap_or(0),
        total_bytes: estimates.iter().map(|estimate| estimate.total_bytes).max().unwrap_or(0),
    })
}

/// Lines that are not empty.
fn count((_, bytes): &File) -> usize {
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count()
}

/// The file without the last prompts, so that their number is a multiple of `batch`.
pub(super) fn whole(file: &File, batch: usize) -> File {
    let most = count(file) / batch * batch;
    let mut seen = 0;
    let kept = file.1.split(|byte| *byte == b'\n').take_while(|line| {
        seen += usize::from(!line.trim_ascii().is_empty());
        seen <= most
    });
    (file.0.clone(), kept.collect::<Vec<_>>().join(&b'\n'))
}

/// Prompts to train on, for choosing learning rates, and held out. Lines that belong to another part are empty, so that messages name the
/// file's own lines.
pub(super) fn parts((name, bytes): &File, eval: Option<&File>) -> [File; 3] {
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
