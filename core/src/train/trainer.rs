//! The training loop, one event at a time: [`Trainer::next`] does the next piece of work and says what happened.

use std::collections::VecDeque;

use super::checkpoint::{Best, Checkpoint, State, device_name, load_optimizer, save_optimizer};
use super::config::{Calibrate, TrainConfig};
use super::engine::{Engine, SCORED, Scored};
use super::estimate::{check_data, engine_config, largest_shape, order};
use super::evaluate::evaluate;
use super::event::Event;
use super::flight::{Flight, Landed, Landing};
use super::optimizer::{Optimizer, Update};
use super::reference::Reference;
use super::sample::Sample;
use crate::data::Order;
use crate::data::batch::Batch;
use crate::data::trajectory::Trajectory;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::kernels::objective::ObjectiveStep;
use crate::gpu::{Gpu, Plan, Profile, Together, View};
use crate::model::Model;
use crate::ops::{Names, Variants};
use crate::platform::now;

/// How many completions [`Event::Samples`] shows.
const SAMPLES: usize = 8;

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
    gpu: Gpu,
    engine: Engine,
    optimizer: Optimizer,
    objective_step: View, // the uniform ObjectiveStep
    config: TrainConfig,
    order: Order,
    data: Vec<Trajectory>,
    eval: Vec<Trajectory>,
    key: String,
    reference: Reference,
    scored: Vec<Scored>,
    /// Micro-batches that are scored between two events.
    scoring: Together,
    phase: Phase,
    stopping: bool,
    step: u64,
    num_tokens: u64,
    best: Option<Best>,
    flight: Flight,
    events: VecDeque<Event>,
    /// What ended the run, to be told after the events before it.
    failure: Option<Error>,
    profile: Option<Profile>,
}

impl Trainer {
    /// Checks that everything fits, allocates, and gets ready for the first event.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], [`ErrorKind::Data`], [`ErrorKind::TooLarge`] or [`ErrorKind::Checkpoint`].
    pub fn new(gpu: &Gpu, config: &TrainConfig, start: Start) -> Result<Trainer> {
        config.check()?;
        check_data(config, &start.data)?;
        let order = order(config, start.data.len());
        let here = device_name(gpu);
        let own = start.resume.as_ref().filter(|(state, _)| state.device == here);
        let names = own.map(|(state, _)| &state.variants).or(start.variants.as_ref());
        let variants = names.and_then(Variants::parse);
        let mut engine = Engine::new(gpu, start.model, engine_config(config), variants)?;
        let optimizer = Optimizer::new(gpu, &engine.model, engine.variants)?;
        let objective_step = gpu.uniform("objective.step", size_of::<ObjectiveStep>() / 4)?;
        // The largest plan first: later ones fit into its memory.
        let shape = largest_shape(&engine, config, order, &start.data)?;
        engine.train_plan(shape, config.objective, &objective_step, &optimizer.grads)?;
        let flight = Flight::new(gpu, config.batch)?;
        let mut trainer = Trainer {
            gpu: gpu.clone(),
            engine,
            optimizer,
            objective_step,
            config: config.clone(),
            order,
            data: start.data,
            eval: start.eval,
            key: start.key,
            reference: Reference::default(),
            scored: Vec::new(),
            scoring: Together::new(gpu, SCORED),
            phase: Phase::Scoring,
            stopping: false,
            step: 0,
            num_tokens: 0,
            best: None,
            flight,
            events: VecDeque::new(),
            failure: None,
            profile: None,
        };
        if let Some(reference) = start.reference.or_else(|| trainer.no_reference()) {
            trainer.reference = reference;
            trainer.phase = Phase::Training;
        }
        if let Some((state, optimizer)) = start.resume {
            trainer.resume(state, &optimizer)?;
        }
        Ok(trainer)
    }

    /// `sft` needs no reference; the metrics that compare with one are left out.
    fn no_reference(&self) -> Option<Reference> {
        let lengths = self.data.iter().chain(&self.eval).map(Trajectory::num_actions);
        (!self.config.objective.needs_reference()).then(|| Reference::none(lengths))
    }

    fn resume(&mut self, state: State, optimizer: &[u8]) -> Result<()> {
        if state.config != self.config {
            return Err(Error::new(
                ErrorKind::Checkpoint,
                "the settings differ from those of the run to resume",
                "give the same settings, or start again",
            ));
        }
        load_optimizer(&self.gpu, &self.engine.model, &self.optimizer, optimizer)?;
        (self.step, self.num_tokens, self.best) = (state.step, state.num_tokens, state.best);
        Ok(())
    }

    /// Asks the run to end: the next events are what is on its way, a checkpoint and [`Event::Finished`].
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// From now on, measures every dispatch of every step: a pass and a wait for each, so steps take longer.
    pub fn start_profile(&mut self) {
        self.profile = Some(Profile::default());
    }

    /// What was measured since [`Trainer::start_profile`]; ends the measurement.
    pub fn take_profile(&mut self) -> Option<Profile> {
        self.profile.take()
    }

    /// The model as it stands.
    pub fn model(&self) -> &Model {
        &self.engine.model
    }

    /// The settings.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// The kernels that run, as a checkpoint's [`State::variants`] names them.
    pub fn variants(&self) -> Names {
        self.engine.variants.names()
    }

    /// Optimizer steps submitted so far.
    pub fn steps_done(&self) -> u64 {
        self.step
    }

    /// Does the next piece of work; `None` after [`Event::Finished`].
    ///
    /// # Errors
    /// [`ErrorKind::NotFinite`] names the step and the trajectories whose loss is not finite: the last checkpoint is
    /// good. [`ErrorKind::Device`] when the device reported a fault.
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
                Phase::Training if self.stopping || self.step >= self.config.steps => self.end().await,
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
        while !rest.is_empty() && micro_batches.len() < self.scoring.count() {
            // In file order, as many records as a micro-batch surely holds.
            let mut tokens = 0;
            let fits = rest.iter().take(self.config.batch.max(1)).take_while(|t| {
                tokens += t.tokens.len();
                tokens <= self.config.micro_batch_tokens
            });
            let (members, after) = rest.split_at(fits.count().clamp(1, rest.len()));
            micro_batches.push(members);
            rest = after;
        }
        let scored = self.engine.score_together(&micro_batches).await?;
        self.scoring.came(micro_batches.len(), now() - began);
        self.scored.extend(scored.into_iter().flatten());
        let (done, total) = (self.scored.len(), self.data.len() + self.eval.len());
        self.events.push_back(Event::Scoring { done, total });
        if done == total {
            self.reference = Reference::new(std::mem::take(&mut self.scored));
            self.events.push_back(Event::Reference(self.reference.to_bytes(&self.key)?));
            self.phase = Phase::Training;
            self.flight.restart_clock();
        } else if self.stopping {
            self.phase = Phase::Ended;
            self.events.push_back(Event::Finished { step: self.step, complete: false });
        }
        Ok(())
    }

    /// One optimizer step, and what is due after it.
    async fn train_one(&mut self) -> Result<()> {
        self.submit_step().await?;
        self.step += 1;
        let due = |every: u64| every > 0 && self.step.is_multiple_of(every);
        let last = self.step == self.config.steps;
        let (reset, eval, checkpoint) = (
            due(self.config.reference_reset),
            due(self.config.eval_every),
            due(self.config.checkpoint_every),
        );
        if last {
            return Ok(());
        }
        if !(reset || eval || checkpoint) {
            return if self.flight.is_full() { self.land_some().await } else { Ok(()) };
        }
        self.land_all().await?;
        if reset {
            self.reset_reference().await?;
        }
        if eval {
            self.evaluate().await?;
        }
        // The best model is kept: its checkpoint cannot wait for the next one that is due.
        if checkpoint || self.best.is_some_and(|best| best.step == self.step) {
            self.checkpoint(false).await?;
        }
        self.flight.restart_clock();
        Ok(())
    }

    /// Submits one optimizer step: every micro-batch's gradients, then the update.
    async fn submit_step(&mut self) -> Result<()> {
        let indices = self.order.step(self.step);
        let members: Vec<&Trajectory> = indices.iter().map(|&i| &self.data[i]).collect();
        let micro_batches = self.engine.micro_batches(&members)?;
        let learning_rate = self.config.learning_rate
            * self.config.schedule.factor(self.step, self.config.steps, self.config.warmup);
        self.write_uniforms(&members, learning_rate);
        let mut landing = Landing::new(self.step, self.order.epoch(self.step), learning_rate);
        for places in micro_batches {
            let micro: Vec<usize> = places.iter().map(|&place| indices[place]).collect();
            let mut batch = Batch::new(micro.iter().map(|&i| (i, &self.data[i])));
            let shape = self.engine.shape(&batch);
            batch.pad_to(shape)?;
            let (ref_logp, v_ref) = self.reference_of(&batch);
            self.engine.io.upload(&self.gpu, &batch, &ref_logp, &v_ref);
            let part = self.engine.submit_part();
            let objective = self.config.objective;
            let plan =
                self.engine.train_plan(shape, objective, &self.objective_step, &self.optimizer.grads)?;
            run(&self.gpu, plan, part, self.profile.as_mut()).await?;
            self.flight.take_stats(&self.gpu, &self.engine.io.stats, &mut landing, &micro, &self.data)?;
        }
        run(&self.gpu, self.optimizer.plan(), self.engine.submit_part(), self.profile.as_mut()).await?;
        self.flight.depart(&self.gpu, &self.optimizer.norm, landing)
    }

    fn write_uniforms(&self, members: &[&Trajectory], learning_rate: f64) {
        let per_token = self.config.objective.per_token();
        let share = |t: &&Trajectory| t.weight * if per_token { t.num_actions() as f64 } else { 1.0 };
        let weight: f64 = members.iter().map(share).sum();
        let uniform = ObjectiveStep {
            inv_weight: if weight > 0.0 { (1.0 / weight) as f32 } else { 0.0 },
            inv_beta: (1.0 / self.config.beta) as f32,
            kappa: self.config.logit_scale as f32,
        };
        self.gpu.write(&self.objective_step, &[uniform]);
        let update = Update {
            step: self.step + 1,
            learning_rate,
            weight_decay: self.config.weight_decay,
            clip: self.config.grad_clip,
        };
        self.optimizer.prepare(&self.gpu, &update);
    }

    /// Per row the reference's log-prob, per trajectory what calibration subtracts.
    fn reference_of(&self, batch: &Batch) -> (Vec<f32>, Vec<f32>) {
        let ref_logp = batch.gather_rows(|index| self.reference.logp[index].as_slice());
        let mut v_ref = vec![0.0; batch.weights.len()];
        if self.config.calibrate == Calibrate::VRef {
            for (slot, &index) in v_ref.iter_mut().zip(&batch.indices) {
                *slot = self.reference.v1[index];
            }
        }
        (ref_logp, v_ref)
    }

    /// Waits for the metrics of the oldest steps.
    async fn land_some(&mut self) -> Result<()> {
        self.flight.land().await?.into_iter().try_for_each(|landed| self.report(landed))
    }

    async fn land_all(&mut self) -> Result<()> {
        self.flight.land_all(&self.gpu).await?.into_iter().try_for_each(|landed| self.report(landed))
    }

    fn report(&mut self, (landing, stats, grad_norm): Landed) -> Result<()> {
        self.num_tokens += landing.completion_tokens();
        let metrics = landing.metrics(&self.config, &stats, grad_norm, self.num_tokens);
        if !metrics.loss.is_finite() || !metrics.grad_norm.is_finite() {
            return Err(landing.not_finite(&stats, &metrics, &self.data));
        }
        self.events.push_back(Event::Step(metrics));
        Ok(())
    }

    async fn reset_reference(&mut self) -> Result<()> {
        let all: Vec<&Trajectory> = self.data.iter().chain(&self.eval).collect();
        self.reference = Reference::new(self.engine.score(&all, |_| {}).await?);
        self.events.push_back(Event::Reference(self.reference.to_bytes(&self.key)?));
        Ok(())
    }

    /// Scores the held-out records, and a few of them, or of the training records, token by token.
    async fn evaluate(&mut self) -> Result<()> {
        let first = self.data.len();
        let held_out: Vec<&Trajectory> = self.eval.iter().collect();
        let now = self.engine.score(&held_out, |_| {}).await?;
        if !held_out.is_empty() {
            let mut evaluation = evaluate(&self.config, &held_out, &now, &self.reference, first);
            evaluation.step = self.step;
            evaluation.best = self.best.is_none_or(|best| evaluation.loss < best.loss);
            if evaluation.best {
                self.best = Some(Best { step: self.step, loss: evaluation.loss });
            }
            self.events.push_back(Event::Evaluated(evaluation));
        }
        let (base, shown) = if self.eval.is_empty() { (0, &self.data) } else { (first, &self.eval) };
        let shown: Vec<&Trajectory> = shown.iter().take(SAMPLES).collect();
        let now = self.engine.score(&shown, |_| {}).await?;
        let samples = shown.iter().zip(&now).enumerate().map(|(i, (trajectory, now))| {
            let v_ref = match self.config.calibrate {
                Calibrate::VRef => self.reference.v1[base + i],
                Calibrate::None => 0.0,
            };
            Sample::new(trajectory, now, &self.reference.logp[base + i], v_ref, self.config.beta)
        });
        let samples = samples.collect();
        self.events.push_back(Event::Samples { step: self.step, samples });
        Ok(())
    }

    async fn checkpoint(&mut self, last: bool) -> Result<()> {
        let state = State {
            step: self.step,
            num_tokens: self.num_tokens,
            best: self.best,
            config: self.config.clone(),
            variants: self.engine.variants.names(),
            device: device_name(&self.gpu),
        };
        let reset = self.config.reference_reset > 0;
        let checkpoint = Checkpoint {
            state,
            model: self.engine.model.save(&self.gpu).await?,
            optimizer: save_optimizer(&self.gpu, &self.engine.model, &self.optimizer).await?,
            reference: if reset { Some(self.reference.to_bytes(&self.key)?) } else { None },
            last,
        };
        self.events.push_back(Event::Checkpoint(Box::new(checkpoint)));
        Ok(())
    }

    async fn end(&mut self) -> Result<()> {
        self.land_all().await?;
        let complete = self.step >= self.config.steps;
        if complete {
            self.evaluate().await?;
        }
        self.checkpoint(complete).await?;
        self.events.push_back(Event::Finished { step: self.step, complete });
        self.phase = Phase::Ended;
        Ok(())
    }
}

/// Submits a plan, or measures each of its dispatches.
async fn run(gpu: &Gpu, plan: &Plan, part: Option<usize>, profile: Option<&mut Profile>) -> Result<()> {
    match profile {
        Some(profile) => plan.profile(gpu, profile).await,
        None => plan.submit(gpu, part),
    }
}
