//! Optimizer steps on whatever completions they are given: every micro-batch's gradients, the update, and the metrics that
//! come back later. Where the completions come from is the caller's business: logs or rollouts.

use std::collections::BTreeMap;

use super::checkpoint::{Best, Checkpoint, State, device_name, load_optimizer, save_optimizer};
use super::config::TrainConfig;
use super::engine::{Engine, MicroBatch};
use super::estimate::engine_config;
use super::flight::{Flight, Landed, Landing};
use super::metrics::Metrics;
use super::optimizer::{Optimizer, Update};
use crate::data::batch::{Batch, Shape};
use crate::data::trajectory::Trajectory;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::kernels::objective::ObjectiveStep;
use crate::gpu::{Gpu, Plan, Profile, View};
use crate::model::Model;
use crate::model::batch_io::Known;
use crate::objective::{Critique, Member, Objective};
use crate::ops::{Names, Variants};

/// A completion, and what the reference says of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Example<'a> {
    pub trajectory: &'a Trajectory,
    /// Per token; of an objective without a reference zeros.
    pub ref_logp: &'a [f32],
    /// What calibration subtracts: the reference's V_1, or 0.
    pub v_ref: f32,
    /// Of ppo.
    pub critique: Option<&'a Critique>,
}

/// The completions of one optimizer step, in sets that stay together, one set after the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct StepData<'a> {
    pub examples: Vec<Example<'a>>,
    pub sizes: Vec<usize>,
}

/// A model that is trained.
pub(crate) struct Learner {
    pub gpu: Gpu,
    pub engine: Engine,
    pub config: TrainConfig,
    /// Steps submitted so far.
    pub step: u64,
    optimizer: Optimizer,
    objective_step: View, // the uniform ObjectiveStep
    num_tokens: u64,
    flight: Flight,
    profile: Option<Profile>,
}

impl Learner {
    /// Allocates; [`Learner::reserve`] makes room for micro-batches. Kernels are those of the run that `resume` goes on
    /// with, where it was on this device, else `names`, else the table's.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`]; [`ErrorKind::Checkpoint`] where `resume` is another run's, or damaged.
    pub(crate) fn new(
        gpu: &Gpu,
        config: &TrainConfig,
        model: Model,
        names: Option<&Names>,
        resume: Option<&(State, Vec<u8>)>,
    ) -> Result<Learner> {
        let here = device_name(gpu);
        let own = resume.filter(|(state, _)| state.device == here);
        let variants = own.map(|(state, _)| &state.variants).or(names).and_then(Variants::parse);
        let mut engine = Engine::new(gpu, model, engine_config(config), variants)?;
        if config.objective == Objective::Ppo {
            engine.add_critic()?;
        }
        let optimizer = Optimizer::new(gpu, &engine.model, engine.critic.as_ref(), engine.variants)?;
        let mut learner = Learner {
            gpu: gpu.clone(),
            engine,
            config: config.clone(),
            step: 0,
            optimizer,
            objective_step: gpu.uniform("objective.step", size_of::<ObjectiveStep>() / 4)?,
            num_tokens: 0,
            flight: Flight::new(gpu, config.batch),
            profile: None,
        };
        if let Some((state, optimizer)) = resume {
            if state.config != *config {
                return Err(Error::new(
                    ErrorKind::Checkpoint,
                    "the settings differ from those of the run to resume",
                    "give the same settings, or start again",
                ));
            }
            load_optimizer(gpu, &learner.engine, &learner.optimizer, optimizer)?;
            (learner.step, learner.num_tokens) = (state.step, state.num_tokens);
        }
        Ok(learner)
    }

    /// Records the plan of micro-batches of `shape`: the largest first, so that later ones fit into its memory.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`].
    pub(crate) fn reserve(&mut self, shape: Shape) -> Result<&Plan> {
        self.engine.train_plan(shape, self.config.mix(), &self.objective_step, &self.optimizer)
    }

    /// Submits the next optimizer step; `more` goes into its metrics as it is.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] when a set does not fit a micro-batch; [`ErrorKind::Device`].
    pub(crate) async fn submit(
        &mut self,
        data: &StepData<'_>,
        epoch: u64,
        more: BTreeMap<String, f64>,
    ) -> Result<()> {
        let members: Vec<&Trajectory> = data.examples.iter().map(|example| example.trajectory).collect();
        let micro_batches = self.engine.micro_batches(&members, &data.sizes)?;
        let learning_rate = self.config.learning_rate
            * self.config.schedule.factor(self.step, self.config.steps, self.config.warmup);
        self.write_uniforms(&members, learning_rate);
        let signals = signals(&self.config, data);
        let mut landing = Landing::new(self.step, epoch, learning_rate, more);
        for MicroBatch { places, sizes } in micro_batches {
            let examples: Vec<Example<'_>> = places.iter().map(|&place| data.examples[place]).collect();
            let numbered = places.iter().map(|&place| (place, members[place]));
            let mut batch = Batch::new(numbered).with_sets(sizes.iter().copied());
            let shape = self.engine.shape(&batch);
            batch.pad_to(shape)?;
            let known = known(&batch, data, &signals);
            self.engine.upload(&batch, &known);
            let part = self.engine.submit_part();
            let (mix, optimizer) = (self.config.mix(), &self.optimizer);
            let plan = self.engine.train_plan(shape, mix, &self.objective_step, optimizer)?;
            run(&self.gpu, plan, part, self.profile.as_mut()).await?;
            let trained = examples.iter().map(|example| example.trajectory);
            self.flight.take_stats(&self.gpu, &self.engine.io.stats, &mut landing, trained, &sizes)?;
        }
        run(&self.gpu, self.optimizer.plan(), self.engine.submit_part(), self.profile.as_mut()).await?;
        self.flight.depart(&self.gpu, &self.optimizer.norm, landing)?;
        self.step += 1;
        Ok(())
    }

    fn write_uniforms(&self, members: &[&Trajectory], learning_rate: f64) {
        let TrainConfig { objective, terms, beta, logit_scale, .. } = &self.config;
        let weighted = members.iter().map(|t| (t.weight, t.num_actions()));
        self.gpu.write(&self.objective_step, &[objective.step(terms, *beta, *logit_scale, weighted)]);
        let update = Update {
            step: self.step + 1,
            learning_rate,
            weight_decay: self.config.weight_decay,
            clip: self.config.grad_clip,
        };
        self.optimizer.prepare(&self.gpu, &update);
    }

    /// Whether as many steps are under way as may be.
    pub(crate) fn is_full(&self) -> bool {
        self.flight.is_full()
    }

    /// Waits for the metrics of the oldest steps that come back together, where any are under way; those before a failure
    /// are told before it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFinite`] names the trajectories; [`ErrorKind::Device`].
    pub(crate) async fn land_some(&mut self, mut tell: impl FnMut(Metrics)) -> Result<()> {
        for landed in self.flight.land().await? {
            tell(self.metrics(landed)?);
        }
        Ok(())
    }

    /// Waits for all of them; those before a failure are told before it.
    ///
    /// # Errors
    /// As [`Learner::land_some`].
    pub(crate) async fn land_all(&mut self, mut tell: impl FnMut(Metrics)) -> Result<()> {
        for landed in self.flight.land_all(&self.gpu).await? {
            tell(self.metrics(landed)?);
        }
        Ok(())
    }

    fn metrics(&mut self, (landing, stats, grad_norm): Landed) -> Result<Metrics> {
        self.num_tokens += landing.completion_tokens();
        let metrics = landing.metrics(&self.config, &stats, grad_norm, self.num_tokens);
        if !metrics.loss.is_finite() || !metrics.grad_norm.is_finite() {
            return Err(landing.not_finite(&stats, &metrics));
        }
        Ok(metrics)
    }

    /// What follows did not belong to a step.
    pub(crate) fn restart_clock(&mut self) {
        self.flight.restart_clock();
    }

    /// Everything that is the model's and the optimizer's; no step may be under way.
    ///
    /// # Errors
    /// [`ErrorKind::Device`].
    pub(crate) async fn checkpoint(&self, best: Option<Best>, last: bool) -> Result<Checkpoint> {
        let state = State {
            step: self.step,
            num_tokens: self.num_tokens,
            best,
            config: self.config.clone(),
            variants: self.variants(),
            device: device_name(&self.gpu),
        };
        Ok(Checkpoint {
            state,
            model: self.engine.model.save(&self.gpu).await?,
            optimizer: save_optimizer(&self.gpu, &self.engine, &self.optimizer).await?,
            reference: None,
            rollouts: None,
            reference_model: None,
            last,
        })
    }

    /// The kernels that run.
    pub(crate) fn variants(&self) -> Names {
        self.engine.variants.names()
    }

    /// From now on, measures every dispatch of every step.
    pub(crate) fn start_profile(&mut self) {
        self.profile = Some(Profile::default());
    }

    /// What was measured since; ends the measurement.
    pub(crate) fn take_profile(&mut self) -> Option<Profile> {
        self.profile.take()
    }
}

/// What the objective makes of a step's rewards.
pub(crate) fn signals(config: &TrainConfig, data: &StepData<'_>) -> Vec<f32> {
    let member = |example: &Example<'_>| Member {
        reward: example.trajectory.reward.unwrap_or(0.0),
        v_star: example.trajectory.v_star,
    };
    let members: Vec<Member> = data.examples.iter().map(member).collect();
    let signals = config.objective.signals(&config.terms, &members, &data.sizes);
    signals.into_iter().map(|signal| signal as f32).collect()
}

/// What the objective reads besides the batch, whose indices are places in `data`.
pub(crate) fn known(batch: &Batch, data: &StepData<'_>, signals: &[f32]) -> Known {
    let mut known = Known::nothing(batch.shape());
    known.ref_logp = batch.gather_rows(|place| data.examples[place].ref_logp);
    if data.examples.iter().all(|example| example.trajectory.logps.is_some()) {
        known.old_logp =
            batch.gather_rows(|place| data.examples[place].trajectory.logps.as_deref().unwrap_or_default());
    }
    if data.examples.iter().all(|example| example.critique.is_some()) {
        let rows = |of: fn(&Critique) -> &[f32]| {
            batch.gather_rows(|place| data.examples[place].critique.map(of).unwrap_or_default())
        };
        known.critique = Some(Critique {
            value: rows(|critique| &critique.value),
            advantage: rows(|critique| &critique.advantage),
            returns: rows(|critique| &critique.returns),
        });
    }
    for (at, &place) in batch.indices.iter().enumerate() {
        known.v_ref[at] = data.examples[place].v_ref;
        known.signal[at] = signals[place];
    }
    known
}

/// Submits a plan, or measures each of its dispatches.
async fn run(gpu: &Gpu, plan: &Plan, part: Option<usize>, profile: Option<&mut Profile>) -> Result<()> {
    match profile {
        Some(profile) => plan.profile(gpu, profile).await,
        None => plan.submit(gpu, part),
    }
}
