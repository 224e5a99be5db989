//! The runs of a comparison, one after the other.

use std::rc::Rc;

use super::{
    CompareConfig, CompareInputs, Outcome, Outcomes, ParseRewards, Point, RESULTS, Start, run_key, start_key,
    tune_key,
};
use crate::error::{Error, ErrorKind, Result};
use crate::evaluation::Mean;
use crate::gpu::Gpu;
use crate::lab::arm::Arm;
use crate::lab::drawing::Drawing;
use crate::lab::start::{Beginning, as_prompts, given, too_few, warm_start};
use crate::lab::{LabEvent, Tell, go_on, keep};
use crate::online::Rewards;
use crate::rng::Stream;
use crate::run::within::Within;
use crate::run::{Event, File, OnlineInputs, OnlineOptions, OnlinePlan, Options, Run, Setup, Store};
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
    rewards: (Vec<String>, Vec<f64>), // kinds and their weights
    max_new: usize,
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
    /// The arms with their learning rates.
    pub(super) async fn tune(&mut self) -> Result<Option<Vec<Arm>>> {
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
                    rewards: (vec![format!("task:{}", start.task)], Vec::new()),
                    max_new: drawn.max_new(),
                }))
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
        let parse = self.inputs.map_or(Rewards::parse as ParseRewards, |inputs| inputs.parse);
        let rewards = parse(&online.rewards, &online.reward_weights)?;
        let inputs = OnlineInputs::read(files, &prompts, Some(eval), &[], &options, &online, rewards)?;
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
