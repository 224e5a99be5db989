//! A race to the optimum: objectives beside one another on a token tree that is solved exactly. All start from the same
//! weights and are given equally many trajectories; KL(pi || pi*) is enumerated on the way.
//!
//! reinforce and rloo, with the KL coefficient beta, have pi* as their optimum too. grpo has not: it divides advantages by
//! the group's deviation, and the gradient of its k3 term is that of the forward divergence. It is measured all the same.

mod config;

use std::collections::BTreeMap;

use serde::Serialize;

use super::practice::{Eye, decoder};
use super::tree::{Policy, Solution, Tree};
use crate::data::trajectory::Trajectory;
use crate::error::{ErrorKind, Result};
use crate::gpu::Gpu;
use crate::model::Model;
use crate::objective::Objective;
use crate::rng::Stream;
use crate::train::Scored;
use crate::train::estimate::largest;
use crate::train::learner::{Example, Learner, StepData};

pub use config::{RACERS, RaceConfig, Source};
use config::{set_size, takes_logs};

/// Trajectories that the end shows one by one.
const SHOWN: usize = 6;

/// What a front end is told.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum RaceEvent {
    /// The tree is solved.
    Began {
        /// Sequences of the tree.
        trajectories: usize,
        /// log Z of the prompt: what V_1 should become.
        log_z: f64,
        /// The expected reward of pi*.
        reward: f64,
        /// Who races.
        racers: Vec<RacerInfo>,
    },
    /// A step of one of them is done.
    Step {
        /// Whose.
        objective: Objective,
        /// From 1.
        step: u64,
        /// All of its steps.
        steps: u64,
    },
    /// Where one of them stands.
    Looked(Look),
    /// One of them has no finite loss any more, and is out of the race.
    Out {
        /// Who.
        objective: Objective,
        /// Why.
        why: String,
    },
    /// All are at their end.
    Finished {
        /// By the order of the settings.
        standings: Vec<Standing>,
        /// The likeliest trajectories under pi*, the likeliest first.
        likeliest: Vec<Likely>,
    },
}

/// One of the contenders.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RacerInfo {
    /// Which.
    pub objective: Objective,
    /// Where its trajectories come from.
    pub source: Source,
    /// Whether its V_1 estimates log Z; the V_1 of the others means nothing.
    pub values: bool,
    /// Whether pi* is its optimum.
    pub exact: bool,
}

/// A policy beside the optimum, enumerated.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Look {
    /// Whose.
    pub objective: Objective,
    /// Steps done.
    pub step: u64,
    /// Trajectories trained on.
    pub trajectories: u64,
    /// KL(pi || pi*), in nats.
    pub kl: f64,
    /// V_1 of the prompt.
    pub v1: f64,
    /// The expected reward.
    pub reward: f64,
}

/// Where a contender began and ended.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Standing {
    /// Who.
    pub objective: Objective,
    /// KL(pi || pi*) before the first step.
    pub first_kl: f64,
    /// At its end, or when it was last looked at.
    pub last_kl: f64,
    /// V_1 at its end.
    pub v1: f64,
    /// Its expected reward at its end.
    pub reward: f64,
    /// Whether it ran to the end.
    pub finished: bool,
}

/// A trajectory's probabilities.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Likely {
    /// Its actions.
    pub actions: Vec<u32>,
    /// Its reward.
    pub reward: f64,
    /// Under the reference.
    pub reference: f64,
    /// Under pi*.
    pub optimal: f64,
    /// Under each contender's policy, by the order of the settings.
    pub policies: Vec<f64>,
}

/// A race under way.
pub struct Race {
    config: RaceConfig,
    tree: Tree,
    log: Vec<Trajectory>,
    reference: Policy,
    scored: Vec<Scored>, // the reference's, by trajectory
    solution: Solution,
    racers: Vec<Racer>,
    turn: usize,
    begun: bool,
    ended: bool,
}

struct Racer {
    objective: Objective,
    learner: Learner,
    eye: Eye,
    looks: Vec<Look>,
    policy: Policy,
    out: bool,
}

impl Race {
    /// Solves the tree and allocates.
    ///
    /// # Errors
    /// As [`RaceConfig::check`]; [`ErrorKind::TooLarge`] or [`ErrorKind::Device`].
    pub async fn new(gpu: &Gpu, config: &RaceConfig) -> Result<Race> {
        config.check()?;
        let tree = config.tree();
        let fresh = || Model::fresh(gpu, &decoder(&tree)?, 2 + config.horizon, config.seed);
        let scored = Eye::new(gpu, &tree, fresh()?)?.score().await?;
        let reference = tree.policy(&scored);
        let racer = |&objective: &Objective| -> Result<Racer> {
            let (model, train) = (fresh()?, config.train(objective));
            let eye = Eye::new(gpu, &tree, model.clone())?;
            let mut learner = Learner::new(gpu, &train, model, None, None)?;
            learner.reserve(largest(&train))?;
            Ok(Racer { objective, learner, eye, looks: Vec::new(), policy: reference.clone(), out: false })
        };
        Ok(Race {
            racers: config.objectives.iter().map(racer).collect::<Result<_>>()?,
            log: log(&tree, config),
            solution: tree.solve(&reference, config.beta),
            config: config.clone(),
            tree,
            reference,
            scored,
            turn: 0,
            begun: false,
            ended: false,
        })
    }

    /// Does the next piece of work, a step or a look; `None` after [`RaceEvent::Finished`].
    ///
    /// # Errors
    /// [`ErrorKind::Device`].
    pub async fn next(&mut self) -> Result<Option<RaceEvent>> {
        if !self.begun {
            self.begun = true;
            return Ok(Some(self.began()));
        }
        // From one to the next at every look, so that their curves grow beside one another.
        let Some(at) = (0..self.racers.len())
            .map(|i| (self.turn + i) % self.racers.len())
            .find(|&i| !self.racers[i].is_done(self.config.steps))
        else {
            return Ok((!std::mem::replace(&mut self.ended, true)).then(|| self.finished()));
        };
        self.turn = at;
        let worked = match self.racers[at].is_to_be_looked_at(&self.config) {
            true => self.look(at).await,
            false => self.step(at).await,
        };
        match worked {
            Err(error) if error.kind == ErrorKind::NotFinite => {
                let racer = &mut self.racers[at];
                racer.out = true;
                Ok(Some(RaceEvent::Out { objective: racer.objective, why: error.what }))
            }
            worked => worked.map(Some),
        }
    }

    fn began(&self) -> RaceEvent {
        let info = |racer: &Racer| {
            let objective = racer.objective;
            RacerInfo {
                objective,
                source: self.source(objective),
                values: matches!(objective, Objective::Tbrm | Objective::Brm),
                exact: objective != Objective::Grpo,
            }
        };
        RaceEvent::Began {
            trajectories: self.tree.len(),
            log_z: self.solution.log_z[0],
            reward: self.tree.expected_reward(&self.solution.logp),
            racers: self.racers.iter().map(info).collect(),
        }
    }

    fn source(&self, objective: Objective) -> Source {
        if takes_logs(objective) { self.config.source } else { Source::Rollouts }
    }

    /// One optimizer step.
    async fn step(&mut self, at: usize) -> Result<RaceEvent> {
        let source = self.source(self.racers[at].objective);
        let Race { config, tree, log, scored, racers, .. } = self;
        let Racer { learner, eye, .. } = &mut racers[at];
        let step = learner.step;
        let chosen: Vec<Trajectory> = match source {
            Source::Logs => {
                let draws = Stream::named(config.seed, "race.batches");
                let batch = config.batch as u64;
                let at = |place| draws.below(step * batch + place, log.len() as u64) as usize;
                (0..batch).map(|place| log[at(place)].clone()).collect()
            }
            Source::Rollouts => {
                let now = eye.score().await?;
                draw(&tree.policy(&now).logp, config, step)
                    .map(|i| Trajectory {
                        logps: Some(now[i].logp.clone()),
                        ..tree.record(i, tree.rewards[i], 1.0)
                    })
                    .collect()
            }
        };
        let size = set_size(&learner.config);
        // A record's line is its trajectory's number, from 1.
        let example = |trajectory| Example {
            trajectory,
            ref_logp: &scored[trajectory.line - 1].logp,
            v_ref: 0.0,
            critique: None,
        };
        let data = StepData {
            examples: chosen.iter().map(example).collect(),
            sizes: vec![size; chosen.len() / size],
        };
        learner.submit(&data, 0, BTreeMap::new()).await?;
        if learner.is_full() {
            learner.land_some(|_| {}).await?;
        }
        let (step, steps) = (learner.step, config.steps);
        Ok(RaceEvent::Step { objective: learner.config.objective, step, steps })
    }

    /// Enumerates a policy; then it is the next one's turn.
    async fn look(&mut self, at: usize) -> Result<RaceEvent> {
        self.turn = at + 1;
        let racer = &mut self.racers[at];
        racer.learner.land_all(|_| {}).await?;
        racer.policy = self.tree.policy(&racer.eye.score().await?);
        let step = racer.learner.step;
        let look = Look {
            objective: racer.objective,
            step,
            trajectories: step * self.config.batch as u64,
            kl: self.solution.divergence(&racer.policy),
            v1: racer.policy.v1[0],
            reward: self.tree.expected_reward(&racer.policy.logp),
        };
        racer.looks.push(look);
        Ok(RaceEvent::Looked(look))
    }

    fn finished(&self) -> RaceEvent {
        let standing = |racer: &Racer| {
            let (first, last) = (racer.looks.first()?, racer.looks.last()?);
            Some(Standing {
                objective: racer.objective,
                first_kl: first.kl,
                last_kl: last.kl,
                v1: last.v1,
                reward: last.reward,
                finished: !racer.out,
            })
        };
        let mut places: Vec<usize> = (0..self.tree.len()).collect();
        places.sort_by(|&a, &b| self.solution.logp[b].total_cmp(&self.solution.logp[a]));
        let likely = |&i: &usize| Likely {
            actions: self.tree.actions_of(i),
            reward: self.tree.rewards[i],
            reference: self.reference.logp[i].exp(),
            optimal: self.solution.logp[i].exp(),
            policies: self.racers.iter().map(|racer| racer.policy.logp[i].exp()).collect(),
        };
        RaceEvent::Finished {
            standings: self.racers.iter().filter_map(standing).collect(),
            likeliest: places.iter().take(SHOWN).map(likely).collect(),
        }
    }
}

impl Racer {
    fn is_done(&self, steps: u64) -> bool {
        self.out || (self.learner.step >= steps && !self.is_unseen())
    }

    fn is_unseen(&self) -> bool {
        self.looks.last().is_none_or(|look| look.step < self.learner.step)
    }

    fn is_to_be_looked_at(&self, config: &RaceConfig) -> bool {
        let step = self.learner.step;
        self.is_unseen() && (step.is_multiple_of(config.look_every) || step >= config.steps)
    }
}

/// Trajectories of uniformly drawn actions.
fn log(tree: &Tree, config: &RaceConfig) -> Vec<Trajectory> {
    let draws = Stream::named(config.seed, "race.logs");
    (0..config.logs as u64)
        .map(|draw| draws.below(draw, tree.len() as u64) as usize)
        .map(|i| tree.record(i, tree.rewards[i], 1.0))
        .collect()
}

/// A step's trajectories, drawn from a policy: log-probs `(trajectories)`.
fn draw(logp: &[f64], config: &RaceConfig, step: u64) -> impl Iterator<Item = usize> {
    let draws = Stream::named(config.seed, "race.rollouts");
    let mut up_to = 0.0;
    let sums: Vec<f64> = logp
        .iter()
        .map(|logp| {
            up_to += logp.exp();
            up_to
        })
        .collect();
    let (batch, last) = (config.batch as u64, logp.len() - 1);
    (0..batch).map(move |place| {
        // Of what float32 log-probs add up to, which is not quite 1.
        let at = draws.uniform(step * batch + place) * up_to;
        sums.partition_point(|&sum| sum < at).min(last)
    })
}

#[cfg(test)]
mod tests;
