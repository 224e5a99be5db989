//! The loop of online training, one event at a time: a round of rollouts, the steps that draw from it, and again.

use std::collections::VecDeque;

use super::config::OnlineConfig;
use super::pool::{Pool, Rolled, Round};
use super::{Judged, Question, Rewards};
use crate::data::Order;
use crate::data::tokenizer::Tokenizer;
use crate::data::trajectory::{Trajectory, Truncated};
use crate::error::{Error, ErrorKind, Result};
use crate::evaluation::Mean;
use crate::gpu::{Gpu, Profile};
use crate::model::{Model, ModelConfig};
use crate::objective::{Objective, Together, value};
use crate::ops::Names;
use crate::platform::now;
use crate::rollout::{Completion, Prompt, Rollout, RolloutConfig, Sampling, slots};
use crate::train::engine::Scored;
use crate::train::estimate::{Logged, largest};
use crate::train::event::{Event, Measured, Rollouts};
use crate::train::learner::{Example, Learner, StepData};
use crate::train::trainer::SAMPLES;
use crate::train::{Best, Estimate, Reference, Sample, State, TrainConfig};

/// Sequences generated at a time, where there is room.
const SLOTS: usize = 64;

/// Random streams of completions that are not trained on; below it are those that are.
const NOT_TRAINED: u32 = 1 << 31;

/// What an online run starts from.
pub(crate) struct OnlineStart {
    /// The model, with the weights to start from: a checkpoint's when `resume` is given.
    pub model: Model,
    /// The reference, where it is another than `model`.
    pub reference: Option<Model>,
    pub tokenizer: Tokenizer,
    pub rewards: Rewards,
    pub questions: Vec<Question>,
    /// Held out; may be empty.
    pub eval: Vec<Question>,
    /// Logged records to mix in; may be empty.
    pub data: Vec<Trajectory>,
    /// Their reference log-probs, where they were computed before.
    pub logged_reference: Option<Reference>,
    /// Marks `reference.safetensors`.
    pub key: String,
    pub variants: Option<Names>,
    /// `state.json`, `optimizer.safetensors` and `rollouts.safetensors` of the checkpoint to go on from.
    pub resume: Option<(State, Vec<u8>, Vec<u8>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Scoring,
    Valuing,
    Training,
    Ended,
}

/// Logged records that are mixed in.
struct Mixed {
    data: Vec<Trajectory>,
    logged: Logged,
    reference: Reference,
}

/// An online run.
pub(crate) struct Online {
    learner: Learner,
    rollout: Rollout,
    config: OnlineConfig,
    start: Fixed,
    mixed: Option<Mixed>,
    pool: Pool,
    values: Vec<f64>, // V* of each question, as far as estimated
    phase: Phase,
    stopping: bool,
    best: Option<Best>,
    events: VecDeque<Event>,
    failure: Option<Error>,
}

/// What does not change.
struct Fixed {
    tokenizer: Tokenizer,
    rewards: Rewards,
    questions: Vec<Question>,
    eval: Vec<Question>,
    key: String,
}

impl Online {
    /// Checks that everything fits, allocates, and gets ready for the first event.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], [`ErrorKind::Data`], [`ErrorKind::TooLarge`] or [`ErrorKind::Checkpoint`].
    pub(crate) fn new(
        gpu: &Gpu,
        train: &TrainConfig,
        config: &OnlineConfig,
        start: OnlineStart,
    ) -> Result<Online> {
        train.check()?;
        config.check(train)?;
        let OnlineStart { model, reference, tokenizer, rewards, questions, eval, data, .. } = start;
        if questions.is_empty() {
            let help = "give a file with at least one prompt";
            return Err(Error::new(ErrorKind::Data, "there are no prompts", help));
        }
        let logged = match data.is_empty() {
            true => None,
            false => {
                let part = TrainConfig { batch: config.logged(train.batch), ..train.clone() };
                Some(Logged::new(&part, &data)?)
            }
        };
        let own = start.resume.as_ref().map(|(state, optimizer, _)| (state.clone(), optimizer.clone()));
        let mut learner = Learner::new(gpu, train, model, start.variants.as_ref(), own.as_ref())?;
        learner.reserve(largest(train))?;
        if train.needs().reference {
            match reference {
                Some(reference) => learner.engine.reference = Some(reference),
                None => learner.engine.freeze_reference()?,
            }
        }
        let rollout = rollout(gpu, &learner, config, questions.iter().chain(&eval))?;
        let (mut pool, mut values) = (Pool::default(), Vec::new());
        let mut best = None;
        if let Some((state, _, rollouts)) = start.resume {
            (pool, values) = Pool::from_bytes(&rollouts)?;
            best = state.best;
        }
        let scored = start.logged_reference;
        let needs_scores = logged.is_some() && train.needs().reference && scored.is_none();
        let mixed = logged.map(|logged| {
            let none = || Reference::none(data.iter().map(Trajectory::num_actions));
            Mixed { logged, reference: scored.unwrap_or_else(none), data }
        });
        Ok(Online {
            learner,
            rollout,
            config: config.clone(),
            start: Fixed { tokenizer, rewards, questions, eval, key: start.key },
            mixed,
            pool,
            values,
            phase: if needs_scores { Phase::Scoring } else { Phase::Valuing },
            stopping: false,
            best,
            events: VecDeque::new(),
            failure: None,
        })
    }

    /// As [`crate::Trainer::stop`].
    pub(crate) fn stop(&mut self) {
        self.stopping = true;
    }

    /// As [`crate::Trainer::start_profile`].
    pub(crate) fn start_profile(&mut self) {
        self.learner.start_profile();
    }

    /// As [`crate::Trainer::take_profile`].
    pub(crate) fn take_profile(&mut self) -> Option<Profile> {
        self.learner.take_profile()
    }

    pub(crate) fn model(&self) -> &Model {
        &self.learner.engine.model
    }

    pub(crate) fn config(&self) -> &TrainConfig {
        &self.learner.config
    }

    pub(crate) fn variants(&self) -> Names {
        self.learner.variants()
    }

    pub(crate) fn steps_done(&self) -> u64 {
        self.learner.step
    }

    /// Does the next piece of work; `None` after [`Event::Finished`].
    ///
    /// # Errors
    /// As [`crate::Trainer::next`]; those of a reward.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            let over = self.stopping || self.steps_done() >= self.config().steps;
            let work = match self.phase {
                Phase::Ended => return Ok(None),
                Phase::Scoring => self.score_logged().await,
                Phase::Valuing if !self.stopping && self.unvalued().is_some() => self.estimate_values().await,
                Phase::Valuing => {
                    self.phase = Phase::Training;
                    Ok(())
                }
                Phase::Training if over => self.end().await,
                Phase::Training if self.pool.newest().map(|r| r.round) != Some(self.round()) => {
                    self.roll().await
                }
                Phase::Training => self.train_one().await,
            };
            if let Err(failure) = work {
                (self.phase, self.failure) = (Phase::Ended, Some(failure));
            }
        }
    }

    /// The round of rollouts that the next step belongs to.
    fn round(&self) -> u64 {
        self.steps_done() / self.config.steps_per_batch
    }

    /// The reference's log-probs of the logged records.
    async fn score_logged(&mut self) -> Result<()> {
        let mixed = self.mixed.as_mut().expect("there are records to score");
        let all: Vec<&Trajectory> = mixed.data.iter().collect();
        mixed.reference = Reference::new(self.learner.engine.score_reference(&all).await?);
        let total = all.len();
        self.events.push_back(Event::Scoring { done: total, total });
        self.events.push_back(Event::Reference(mixed.reference.to_bytes(&self.start.key)?));
        self.phase = Phase::Valuing;
        Ok(())
    }

    /// The first question whose V* is still to be estimated, for an objective that needs it.
    fn unvalued(&self) -> Option<usize> {
        let TrainConfig { objective, .. } = self.config();
        let other = self.config().mix().1;
        let needed = *objective == Objective::A2po || other == Objective::A2po;
        (needed && self.values.len() < self.start.questions.len()).then_some(self.values.len())
    }

    /// V* of some more prompts, from completions of the reference, which the model still is.
    async fn estimate_values(&mut self) -> Result<()> {
        let first = self.unvalued().expect("asked before");
        let samples = self.config.value_samples;
        let most = first + self.config.prompts_per_batch;
        let chosen: Vec<usize> = (first..self.start.questions.len().min(most)).collect();
        let stream = |place: usize| NOT_TRAINED | ((first * samples + place) as u32 & (NOT_TRAINED - 1));
        let (_, judged) = self.draw(true, &chosen, samples, stream).await?;
        let beta = self.config().terms.value_beta;
        self.values.extend(judged.chunks(samples).map(|of| value(beta, of.iter().map(|j| j.total))));
        let (done, total) = (self.values.len(), self.start.questions.len());
        self.events.push_back(Event::Scoring { done, total });
        Ok(())
    }

    /// Draws and judges `each` completions of every chosen question, or held-out one.
    async fn draw(
        &mut self,
        training: bool,
        chosen: &[usize],
        each: usize,
        stream: impl Fn(usize) -> u32,
    ) -> Result<(Vec<Completion>, Vec<Judged>)> {
        let Fixed { tokenizer, rewards, questions, eval, .. } = &self.start;
        let from = if training { questions } else { eval };
        let mut prompts = Vec::with_capacity(chosen.len() * each);
        for &question in chosen {
            for _ in 0..each {
                let tokens = from[question].tokens.clone();
                let stream = stream(prompts.len());
                prompts.push(Prompt { tokens, stream, max_new: self.config.max_new_tokens });
            }
        }
        let completions = self.rollout.generate(&prompts, |_| {}).await?;
        let judge = |(i, completion): (usize, &Completion)| {
            let question = &from[chosen[i / each]];
            let text = tokenizer.decode(&completion.tokens, false)?;
            rewards.score(&question.record, &text).map_err(|error| error.at(&question.file))
        };
        let judged = completions.iter().enumerate().map(judge).collect::<Result<Vec<_>>>()?;
        Ok((completions, judged))
    }

    /// A round of rollouts by the model as it stands.
    async fn roll(&mut self) -> Result<()> {
        self.land_all().await?;
        let began = now();
        let (round, each) = (self.round(), self.config.rollouts);
        let TrainConfig { shuffle, seed, .. } = *self.config();
        let order = Order {
            records: self.start.questions.len(),
            batch: self.config.prompts_per_batch,
            shuffle: shuffle.then_some(seed),
        };
        let chosen = order.step(round);
        let first = round * (self.config.prompts_per_batch * each) as u64;
        let stream = |place: usize| (first + place as u64) as u32 & (NOT_TRAINED - 1);
        let (completions, judged) = self.draw(true, &chosen, each, stream).await?;
        let least = self.config.train_on.least(judged.iter().map(|j| j.total));
        let trajectories: Vec<Trajectory> = completions
            .iter()
            .zip(&judged)
            .enumerate()
            .map(|(i, (completion, judged))| {
                self.trajectory((round, i / each), chosen[i / each], completion, judged, least)
            })
            .collect();
        let scored = self.reference_of(&trajectories).await?;
        let mut more = self.start.rewards.metrics(&judged);
        if self.config().needs().reference {
            let sum = |x: &[f32]| x.iter().map(|&x| f64::from(x)).sum::<f64>();
            let rho = completions.iter().zip(&scored).map(|(c, s)| sum(&c.logps) - sum(&s.logp));
            more.insert("kl_sampled".to_owned(), rho.sum::<f64>() / completions.len() as f64);
        }
        let tokens: usize = completions.iter().map(|c| c.tokens.len()).sum();
        let reward = judged.iter().map(|j| j.total).sum::<f64>() / judged.len() as f64;
        let rollouts = trajectories.into_iter().zip(&completions).zip(scored);
        let rollouts = rollouts
            .map(|((trajectory, completion), scored)| Rolled {
                trajectory,
                v1: completion.v1,
                ref_logp: scored.logp,
                ref_v1: scored.v1,
            })
            .collect();
        self.pool.push(Round { round, each, rollouts, more }, self.config.replay);
        let (completions, seconds) = (completions.len(), now() - began);
        let event = Rollouts { round, step: self.steps_done(), completions, tokens, reward, seconds };
        self.events.push_back(Event::Rollouts(event));
        self.learner.restart_clock();
        Ok(())
    }

    fn trajectory(
        &self,
        (round, place): (u64, usize),
        question: usize,
        completion: &Completion,
        judged: &Judged,
        least: f64,
    ) -> Trajectory {
        let Question { file, record, tokens } = &self.start.questions[question];
        let truncated = !completion.finished;
        let masked = truncated && self.config.truncated == Truncated::Mask || judged.total < least;
        Trajectory {
            file: file.clone(),
            line: record.line,
            truncated,
            reward: Some(judged.total),
            weight: if masked { 0.0 } else { record.weight },
            group: Some(format!("{round}/{place}")),
            logps: Some(completion.logps.clone()),
            v_star: self.values.get(question).copied(),
            ..Trajectory::new(tokens.len(), [&tokens[..], &completion.tokens].concat())
        }
    }

    /// The reference's opinion; zeros where the objective needs none.
    async fn reference_of(&mut self, trajectories: &[Trajectory]) -> Result<Vec<Scored>> {
        if self.config().needs().reference {
            let all: Vec<&Trajectory> = trajectories.iter().collect();
            return self.learner.engine.score_reference(&all).await;
        }
        let zeros = |t: &Trajectory| Scored { logp: vec![0.0; t.num_actions()], ..Scored::default() };
        Ok(trajectories.iter().map(zeros).collect())
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
            if !self.learner.is_full() {
                return Ok(());
            }
            let events = &mut self.events;
            return self.learner.land_some(|metrics| events.push_back(Event::Step(metrics))).await;
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

    /// Whole sets from the rounds at hand, in an order of the round's own, then the logged records' share.
    async fn submit_step(&mut self) -> Result<()> {
        let step = self.learner.step;
        let (round, place) = (step / self.config.steps_per_batch, step % self.config.steps_per_batch);
        let TrainConfig { batch, shuffle, seed, calibrate, .. } = self.learner.config;
        let grouped = self.learner.config.needs().together == Together::Group;
        let sets = self.pool.sets(grouped);
        let size = if grouped { self.config.rollouts } else { 1 };
        let logged = if self.mixed.is_some() { self.config.logged(batch) } else { 0 };
        let order = Order {
            records: sets.len(),
            batch: (batch - logged) / size,
            // Another permutation each round.
            shuffle: shuffle.then_some(seed ^ (round + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        };
        let all: Vec<&Rolled> = self.pool.all().collect();
        let chosen: Vec<usize> = order.step(place).into_iter().flat_map(|set| sets[set].clone()).collect();
        let v_ref = |v1: f32| crate::train::reference::origin(calibrate, v1);
        let rolled = |&i: &usize| Example {
            trajectory: &all[i].trajectory,
            ref_logp: &all[i].ref_logp,
            v_ref: v_ref(all[i].ref_v1),
        };
        let mut data = StepData {
            examples: chosen.iter().map(rolled).collect(),
            sizes: vec![size; chosen.len() / size],
        };
        if let Some(Mixed { data: records, logged, reference }) = &self.mixed {
            let (indices, sizes) = logged.step(step);
            data.examples.extend(indices.into_iter().map(|i| Example {
                trajectory: &records[i],
                ref_logp: &reference.logp[i],
                v_ref: v_ref(reference.v1[i]),
            }));
            data.sizes.extend(sizes);
        }
        let more = self.pool.newest().map(|round| round.more.clone()).unwrap_or_default();
        self.learner.submit(&data, round, more).await
    }

    async fn land_all(&mut self) -> Result<()> {
        let events = &mut self.events;
        self.learner.land_all(|metrics| events.push_back(Event::Step(metrics))).await
    }

    /// The reference becomes the model as it stands: what is at hand is scored anew.
    async fn reset_reference(&mut self) -> Result<()> {
        if !self.config().needs().reference {
            return Ok(());
        }
        self.learner.engine.freeze_reference()?;
        let all: Vec<&Trajectory> = self.pool.all().map(|rolled| &rolled.trajectory).collect();
        let scored = self.learner.engine.score_reference(&all).await?;
        for (rolled, scored) in self.pool.all_mut().zip(scored) {
            (rolled.ref_logp, rolled.ref_v1) = (scored.logp, scored.v1);
        }
        if let Some(mixed) = &mut self.mixed {
            let all: Vec<&Trajectory> = mixed.data.iter().collect();
            mixed.reference = Reference::new(self.learner.engine.score_reference(&all).await?);
        }
        Ok(())
    }

    /// The mean reward on held-out prompts, and a few of the newest rollouts, token by token.
    async fn evaluate(&mut self) -> Result<()> {
        let (step, samples) = (self.steps_done(), self.config.eval_samples);
        if !self.start.eval.is_empty() {
            let chosen: Vec<usize> = (0..self.start.eval.len()).collect();
            let stream = |place: usize| NOT_TRAINED | place as u32;
            let (_, judged) = self.draw(false, &chosen, samples, stream).await?;
            let means: Vec<f64> = judged
                .chunks(samples)
                .map(|of| of.iter().map(|j| j.total).sum::<f64>() / samples as f64)
                .collect();
            let Mean { mean, standard_error } = Mean::new(&means);
            // What is best has the lowest loss.
            let best = self.best.is_none_or(|best| -mean < best.loss);
            if best {
                self.best = Some(Best { step, loss: -mean });
            }
            self.events.push_back(Event::Measured(Measured { step, reward: mean, standard_error, best }));
        }
        let TrainConfig { beta, calibrate, .. } = *self.config();
        let shown = self.pool.newest().into_iter().flat_map(|round| round.rollouts.iter().take(SAMPLES));
        let samples = shown
            .map(|rolled| {
                let logp = rolled.trajectory.logps.clone().unwrap_or_default();
                let now = Scored { logp, entropy: Vec::new(), v1: rolled.v1 };
                let v_ref = crate::train::reference::origin(calibrate, rolled.ref_v1);
                Sample::new(&rolled.trajectory, &now, &rolled.ref_logp, v_ref, beta)
            })
            .collect();
        self.events.push_back(Event::Samples { step, samples });
        Ok(())
    }

    async fn checkpoint(&mut self, last: bool) -> Result<()> {
        let mut checkpoint = self.learner.checkpoint(self.best, last).await?;
        checkpoint.rollouts = Some(self.pool.to_bytes(&self.values)?);
        if self.config().reference_reset > 0 {
            if let Some(reference) = &self.learner.engine.reference {
                checkpoint.reference_model = Some(reference.save(&self.learner.gpu).await?);
            }
            if let Some(mixed) = &self.mixed {
                checkpoint.reference = Some(mixed.reference.to_bytes(&self.start.key)?);
            }
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

/// Positions of the longest prompt with all of its new tokens.
pub(crate) fn capacity<'a>(questions: impl Iterator<Item = &'a Question>, max_new: usize) -> usize {
    questions.map(|question| question.tokens.len()).max().unwrap_or(1) + max_new
}

/// A generator on the weights that `learner` updates.
pub(crate) fn rollout<'a>(
    gpu: &Gpu,
    learner: &Learner,
    config: &OnlineConfig,
    questions: impl Iterator<Item = &'a Question>,
) -> Result<Rollout> {
    let model = &learner.engine.model;
    let capacity = capacity(questions, config.max_new_tokens) - 1;
    let at_once = SLOTS.min(config.prompts_per_batch * config.rollouts.max(config.value_samples));
    let rollout_config = RolloutConfig {
        slots: slots(gpu, &model.config, capacity, at_once),
        capacity,
        sampling: Sampling {
            temperature: config.temperature as f32,
            top_k: config.top_k,
            top_p: config.top_p as f32,
            seed: learner.config.seed,
        },
        stops: model.config.eos_token_id.clone(),
        logit_scale: learner.config.logit_scale as f32,
    };
    Rollout::with_variants(gpu, model, rollout_config, Some(&learner.variants()))
}

/// What an online run needs; nothing is allocated.
///
/// # Errors
/// As [`Online::new`].
pub(crate) fn estimate<'a>(
    gpu: &Gpu,
    train: &TrainConfig,
    config: &OnlineConfig,
    model: &ModelConfig,
    positions: usize,
    questions: impl Iterator<Item = &'a Question>,
) -> Result<Estimate> {
    let rehearsal = gpu.rehearse();
    let model = Model::zeros(&rehearsal, model, positions)?;
    let (weight_bytes, params) = (model.layout.bytes(), model.config.param_count());
    let mut learner = Learner::new(&rehearsal, train, model, None, None)?;
    let shape = largest(train);
    let live_bytes = learner.reserve(shape)?.layout().peak_live;
    if train.needs().reference {
        learner.engine.freeze_reference()?;
    }
    rollout(&rehearsal, &learner, config, questions)?;
    Ok(Estimate {
        params,
        weight_bytes,
        total_bytes: rehearsal.rehearsed_bytes(),
        arena_bytes: learner.engine.arena().bytes(),
        live_bytes,
        steps: train.steps,
        // At most: how long completions will be is the model's to say.
        tokens: train.steps * (train.batch * positions) as u64,
        largest: (shape.tokens, shape.rows),
    })
}
