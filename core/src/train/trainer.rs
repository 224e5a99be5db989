//! The training loop, one event at a time: [`Trainer::next`] does the next piece of work and says what happened.

use std::collections::{BTreeMap, VecDeque};

use super::checkpoint::{Best, State};
use super::config::TrainConfig;
use super::engine::{Kind, SCORED, Scored};
use super::estimate::Logged;
use super::evaluate::evaluate;
use super::event::Event;
use super::learner::{Example, Learner, StepData};
use super::reference::Reference;
use super::sample::Sample;
use crate::data::trajectory::Trajectory;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Profile, Together};
use crate::model::Model;
use crate::ops::Names;
use crate::platform::now;

/// How many completions [`Event::Samples`] shows.
pub(crate) const SAMPLES: usize = 8;

/// What a trainer starts from.
pub struct Start {
    /// The model, with the weights to start from: a checkpoint's when `resume` is given.
    pub model: Model,
    /// The logged trajectories.
    pub data: Vec<Trajectory>,
    /// Held-out trajectories; may be empty.
    pub eval: Vec<Trajectory>,
    /// Marks `reference.safetensors`: hashes of the data and of the initial model.
    pub key: String,
    /// The reference, training records first, where it was computed before.
    pub reference: Option<Reference>,
    /// The kernels that the tuner chose; the table's where there are none. A run that goes on keeps its own, unless it
    /// goes on on another device, which may not have them.
    pub variants: Option<Names>,
    /// `state.json` and `optimizer.safetensors` of the checkpoint to go on from.
    pub resume: Option<(State, Vec<u8>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Scoring,
    Training,
    Ended,
}

/// A run.
pub struct Trainer {
    learner: Learner,
    logged: Logged,
    data: Vec<Trajectory>,
    eval: Vec<Trajectory>,
    key: String,
    reference: Reference,
    scored: Vec<Scored>,
    /// Micro-batches that are scored between two events.
    scoring: Together,
    phase: Phase,
    stopping: bool,
    best: Option<Best>,
    events: VecDeque<Event>,
    /// What ended the run, to be told after the events before it.
    failure: Option<Error>,
}

impl Trainer {
    /// Checks that everything fits, allocates, and gets ready for the first event.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`], [`crate::ErrorKind::Data`], [`crate::ErrorKind::TooLarge`] or [`crate::ErrorKind::Checkpoint`].
    pub fn new(gpu: &Gpu, config: &TrainConfig, start: Start) -> Result<Trainer> {
        config.check()?;
        let logged = Logged::new(config, &start.data)?;
        config.objective.check(&config.terms, &start.eval)?;
        let Start { model, data, eval, key, reference, variants, resume } = start;
        let mut learner = Learner::new(gpu, config, model, variants.as_ref(), resume.as_ref())?;
        let shape = logged.largest_shape(&learner.engine, config, &data)?;
        learner.reserve(shape)?;
        let mut trainer = Trainer {
            learner,
            logged,
            data,
            eval,
            key,
            reference: Reference::default(),
            scored: Vec::new(),
            scoring: Together::new(gpu, SCORED),
            phase: Phase::Scoring,
            stopping: false,
            best: resume.and_then(|(state, _)| state.best),
            events: VecDeque::new(),
            failure: None,
        };
        if let Some(reference) = reference.or_else(|| trainer.no_reference()) {
            trainer.reference = reference;
            trainer.phase = Phase::Training;
        }
        Ok(trainer)
    }

    /// Where the objective needs no reference, the metrics that compare with one are left out.
    fn no_reference(&self) -> Option<Reference> {
        let lengths = self.data.iter().chain(&self.eval).map(Trajectory::num_actions);
        (!self.learner.config.needs().reference).then(|| Reference::none(lengths))
    }

    /// Asks the run to end: the next events are what is on its way, a checkpoint and [`Event::Finished`].
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// From now on, measures every dispatch of every step: a pass and a wait for each, so steps take longer.
    pub fn start_profile(&mut self) {
        self.learner.start_profile();
    }

    /// What was measured since [`Trainer::start_profile`]; ends the measurement.
    pub fn take_profile(&mut self) -> Option<Profile> {
        self.learner.take_profile()
    }

    /// The model as it stands.
    pub fn model(&self) -> &Model {
        &self.learner.engine.model
    }

    /// The settings.
    pub fn config(&self) -> &TrainConfig {
        &self.learner.config
    }

    /// The kernels that run, as a checkpoint's [`State::variants`] names them.
    pub fn variants(&self) -> Names {
        self.learner.variants()
    }

    /// Optimizer steps submitted so far.
    pub fn steps_done(&self) -> u64 {
        self.learner.step
    }

    /// Does the next piece of work; `None` after [`Event::Finished`].
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFinite`] names the step and the trajectories whose loss is not finite: the last checkpoint is
    /// good. [`crate::ErrorKind::Device`] when the device reported a fault.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            let work = match self.phase {
                Phase::Ended => return Ok(None),
                Phase::Scoring => self.score_some().await,
                Phase::Training if self.stopping || self.steps_done() >= self.config().steps => {
                    self.end().await
                }
                Phase::Training => self.train_one().await,
            };
            if let Err(failure) = work {
                (self.phase, self.failure) = (Phase::Ended, Some(failure));
            }
        }
    }

    async fn score_some(&mut self) -> Result<()> {
        let all: Vec<&Trajectory> = self.data.iter().chain(&self.eval).collect();
        let mut rest = &all[self.scored.len()..];
        let began = now();
        let mut micro_batches = Vec::new();
        let TrainConfig { batch, micro_batch_tokens, .. } = *self.config();
        while !rest.is_empty() && micro_batches.len() < self.scoring.count() {
            // In file order, as many records as a micro-batch surely holds.
            let mut tokens = 0;
            let fits = rest.iter().take(batch.max(1)).take_while(|t| {
                tokens += t.tokens.len();
                tokens <= micro_batch_tokens
            });
            let (members, after) = rest.split_at(fits.count().clamp(1, rest.len()));
            micro_batches.push(members);
            rest = after;
        }
        let scored = self.learner.engine.score_together(Kind::Score, &micro_batches).await?;
        self.scoring.came(micro_batches.len(), now() - began);
        self.scored.extend(scored.into_iter().flatten());
        let (done, total) = (self.scored.len(), self.data.len() + self.eval.len());
        self.events.push_back(Event::Scoring { done, total });
        if done == total {
            self.reference = Reference::new(std::mem::take(&mut self.scored));
            self.events.push_back(Event::Reference(self.reference.to_bytes(&self.key)?));
            self.phase = Phase::Training;
            self.learner.restart_clock();
        } else if self.stopping {
            self.phase = Phase::Ended;
            self.events.push_back(Event::Finished { step: self.steps_done(), complete: false });
        }
        Ok(())
    }

    /// One optimizer step, and what is due after it.
    async fn train_one(&mut self) -> Result<()> {
        self.submit_step().await?;
        let (step, config) = (self.steps_done(), self.config());
        let due = |every: u64| every > 0 && step.is_multiple_of(every);
        let (reset, eval, checkpoint) =
            (due(config.reference_reset), due(config.eval_every), due(config.checkpoint_every));
        if step == config.steps {
            return Ok(());
        }
        if !(reset || eval || checkpoint) {
            return if self.learner.is_full() { self.land_some().await } else { Ok(()) };
        }
        self.land_all().await?;
        if reset {
            self.reset_reference().await?;
        }
        if eval {
            self.evaluate().await?;
        }
        // The best model is kept: its checkpoint cannot wait for the next one that is due.
        if checkpoint || self.best.is_some_and(|best| best.step == step) {
            self.checkpoint(false).await?;
        }
        self.learner.restart_clock();
        Ok(())
    }

    async fn submit_step(&mut self) -> Result<()> {
        let step = self.learner.step;
        let calibrate = self.learner.config.calibrate;
        let (indices, sizes) = self.logged.step(step);
        let example = |&index: &usize| Example {
            trajectory: &self.data[index],
            ref_logp: &self.reference.logp[index],
            v_ref: self.reference.origin(calibrate, index),
            critique: None,
        };
        let data = StepData { examples: indices.iter().map(example).collect(), sizes };
        self.learner.submit(&data, self.logged.order.epoch(step), BTreeMap::new()).await
    }

    /// Waits for the metrics of the oldest steps.
    async fn land_some(&mut self) -> Result<()> {
        let events = &mut self.events;
        self.learner.land_some(|metrics| events.push_back(Event::Step(metrics))).await
    }

    async fn land_all(&mut self) -> Result<()> {
        let events = &mut self.events;
        self.learner.land_all(|metrics| events.push_back(Event::Step(metrics))).await
    }

    async fn reset_reference(&mut self) -> Result<()> {
        let all: Vec<&Trajectory> = self.data.iter().chain(&self.eval).collect();
        self.reference = Reference::new(self.learner.engine.score(&all, |_| {}).await?);
        self.events.push_back(Event::Reference(self.reference.to_bytes(&self.key)?));
        Ok(())
    }

    /// Scores the held-out records, and a few of them, or of the training records, token by token.
    async fn evaluate(&mut self) -> Result<()> {
        let (first, step) = (self.data.len(), self.steps_done());
        let held_out: Vec<&Trajectory> = self.eval.iter().collect();
        let now = self.learner.engine.score(&held_out, |_| {}).await?;
        if !held_out.is_empty() {
            let mut evaluation = evaluate(self.config(), &self.eval, &now, &self.reference, first)?;
            evaluation.step = step;
            evaluation.best = self.best.is_none_or(|best| evaluation.loss < best.loss);
            if evaluation.best {
                self.best = Some(Best { step, loss: evaluation.loss });
            }
            self.events.push_back(Event::Evaluated(evaluation));
        }
        let (base, shown) = if self.eval.is_empty() { (0, &self.data) } else { (first, &self.eval) };
        let shown: Vec<&Trajectory> = shown.iter().take(SAMPLES).collect();
        let now = self.learner.engine.score(&shown, |_| {}).await?;
        let TrainConfig { calibrate, beta, .. } = *self.config();
        let samples = shown.iter().zip(&now).enumerate().map(|(i, (trajectory, now))| {
            let v_ref = self.reference.origin(calibrate, base + i);
            Sample::new(trajectory, now, &self.reference.logp[base + i], v_ref, beta)
        });
        let samples = samples.collect();
        self.events.push_back(Event::Samples { step, samples });
        Ok(())
    }

    async fn checkpoint(&mut self, last: bool) -> Result<()> {
        let mut checkpoint = self.learner.checkpoint(self.best, last).await?;
        if self.config().reference_reset > 0 {
            checkpoint.reference = Some(self.reference.to_bytes(&self.key)?);
        }
        self.events.push_back(Event::Checkpoint(Box::new(checkpoint)));
        Ok(())
    }

    async fn end(&mut self) -> Result<()> {
        self.land_all().await?;
        let step = self.steps_done();
        let complete = step >= self.config().steps;
        if complete {
            self.evaluate().await?;
        }
        self.checkpoint(complete).await?;
        self.events.push_back(Event::Finished { step, complete });
        self.phase = Phase::Ended;
        Ok(())
    }
}
