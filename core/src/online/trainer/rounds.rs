//! Rounds of rollouts: completions drawn and judged, and what the steps on them need to know besides.

use std::collections::BTreeMap;

use super::{Fixed, NOT_TRAINED, Online};
use crate::data::Order;
use crate::data::trajectory::{Trajectory, Truncated};
use crate::error::{Error, ErrorKind, Result};
use crate::objective::ppo::{Observed, critiques, penalties};
use crate::objective::{Critique, Objective, Together, value};
use crate::online::pool::{Rolled, Round};
use crate::online::{Judged, Question};
use crate::platform::now;
use crate::reward::Asked;
use crate::rollout::{Completion, Prompt};
use crate::train::TrainConfig;
use crate::train::engine::Scored;
use crate::train::event::{Event, Rollouts, SetAside};

/// What completions are drawn for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Training,
    Values,
    Evaluation,
}

impl Online {
    /// The first question whose V* is still to be estimated, for an objective that needs it.
    pub(super) fn unvalued(&self) -> Option<usize> {
        let TrainConfig { objective, .. } = self.config();
        let other = self.config().mix().1;
        let needed = *objective == Objective::A2po || other == Objective::A2po;
        (needed && self.values.len() < self.start.questions.len()).then_some(self.values.len())
    }

    /// V* of some more prompts, from completions of the reference, which the model still is.
    pub(super) async fn estimate_values(&mut self) -> Result<()> {
        let first = self.unvalued().expect("asked before");
        let samples = self.config.value_samples;
        let most = first + self.config.prompts_per_batch;
        let chosen: Vec<usize> = (first..self.start.questions.len().min(most)).collect();
        let stream = |place: usize| NOT_TRAINED | ((first * samples + place) as u32 & (NOT_TRAINED - 1));
        let (_, judged) = self.draw(Purpose::Values, &chosen, samples, stream).await?;
        let beta = self.config().terms.value_beta;
        for (of, &question) in judged.chunks(samples).zip(&chosen) {
            if of.iter().all(Option::is_none) {
                let Question { file, record, .. } = &self.start.questions[question];
                let what =
                    format!("{file}: line {}: every completion that V* needs was set aside", record.line);
                return Err(Error::new(ErrorKind::Data, what, "correct the reward, or remove the line"));
            }
            self.values.push(value(beta, of.iter().flatten().map(|j| j.total)));
        }
        let (done, total) = (self.values.len(), self.start.questions.len());
        self.events.push_back(Event::Scoring { done, total });
        Ok(())
    }

    /// Draws and judges `each` completions of every chosen question, or held-out one; `None` of what was set aside.
    pub(super) async fn draw(
        &mut self,
        purpose: Purpose,
        chosen: &[usize],
        each: usize,
        stream: impl Fn(usize) -> u32,
    ) -> Result<(Vec<Completion>, Vec<Option<Judged>>)> {
        let Fixed { tokenizer, rewards, questions, eval, .. } = &self.start;
        let from = if purpose == Purpose::Evaluation { eval } else { questions };
        let mut prompts = Vec::with_capacity(chosen.len() * each);
        for &question in chosen {
            for _ in 0..each {
                let tokens = from[question].tokens.clone();
                let stream = stream(prompts.len());
                prompts.push(Prompt { tokens, stream, max_new: self.config.max_new_tokens });
            }
        }
        let completions = self.rollout.generate(&prompts, |_| {}).await?;
        let texts = completions
            .iter()
            .map(|completion| self.rollout.text(tokenizer, completion))
            .collect::<Result<Vec<String>>>()?;
        let question = |i: usize| &from[chosen[i / each]];
        let asked: Vec<Asked<'_>> = texts
            .iter()
            .enumerate()
            .map(|(i, completion)| Asked { record: &question(i).record, completion })
            .collect();
        let scores = rewards.judge(&asked, self.config.set_aside_failures).await;
        let (mut judged, mut aside) = (Vec::with_capacity(completions.len()), Vec::new());
        for (i, scores) in scores.into_iter().enumerate() {
            let Question { file, record, .. } = question(i);
            match scores {
                Ok(scores) => judged.push(Some(scores)),
                Err(error) if self.config.set_aside_failures => {
                    judged.push(None);
                    let (file, line, completion) = (file.to_string(), record.line, texts[i].clone());
                    aside.push(SetAside { file, line, completion, reason: error.what });
                }
                Err(error) => return Err(error.at(file)),
            }
        }
        if let Some(first) = aside.first().filter(|_| aside.len() == completions.len()) {
            let what =
                format!("all {} completions were set aside, the first since {}", aside.len(), first.reason);
            return Err(Error::new(ErrorKind::Data, what, "correct the reward"));
        }
        if !aside.is_empty() {
            let name = match purpose {
                Purpose::Training => format!("round_{:06}", self.round()),
                Purpose::Values => format!("values_{:06}", self.values.len()),
                Purpose::Evaluation => format!("eval_{:06}", self.steps_done()),
            };
            self.events.push_back(Event::SetAside { name, completions: aside });
        }
        Ok((completions, judged))
    }

    /// A round of rollouts by the model as it stands.
    pub(super) async fn roll(&mut self) -> Result<()> {
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
        let (drawn, judged) = self.draw(Purpose::Training, &chosen, each, stream).await?;
        // Where a prompt's completions are compared, one that was set aside takes the others with it.
        let grouped = self.config().needs().together == Together::Group;
        let kept: Vec<usize> = (0..drawn.len())
            .filter(|&i| match grouped {
                true => judged[i / each * each..][..each].iter().all(Option::is_some),
                false => judged[i].is_some(),
            })
            .collect();
        if kept.is_empty() {
            let what = format!("round {round}: of each prompt a completion was set aside, and none is left");
            return Err(Error::new(ErrorKind::Data, what, "correct the reward"));
        }
        let aside = drawn.len() - kept.len();
        let each_kept = if grouped || aside == 0 { each } else { 1 };
        let completions: Vec<&Completion> = kept.iter().map(|&i| &drawn[i]).collect();
        let judged: Vec<&Judged> = kept.iter().filter_map(|&i| judged[i].as_ref()).collect();
        let least = self.config.train_on.least(judged.iter().map(|j| j.total));
        let trajectories: Vec<Trajectory> = kept
            .iter()
            .zip(completions.iter().zip(&judged))
            .map(|(&i, (completion, judged))| {
                self.trajectory((round, i / each), chosen[i / each], completion, judged, least)
            })
            .collect();
        let scored = self.reference_of(&trajectories).await?;
        let mut more = self.start.rewards.metrics(&judged);
        if self.config.set_aside_failures {
            more.insert("completions/set_aside".to_owned(), aside as f64);
        }
        if self.config().needs().reference {
            let sum = |x: &[f32]| x.iter().map(|&x| f64::from(x)).sum::<f64>();
            let rho = completions.iter().zip(&scored).map(|(c, s)| sum(&c.logps) - sum(&s.logp));
            more.insert("kl_sampled".to_owned(), rho.sum::<f64>() / completions.len() as f64);
        }
        let critiques = self.criticise(&trajectories, &scored, &mut more).await?;
        let tokens: usize = completions.iter().map(|c| c.tokens.len()).sum();
        let reward = judged.iter().map(|j| j.total).sum::<f64>() / judged.len() as f64;
        let rollouts = trajectories.into_iter().zip(completions.iter()).zip(scored).zip(critiques);
        let rollouts = rollouts
            .map(|(((trajectory, completion), scored), critique)| Rolled {
                trajectory,
                v1: completion.v1,
                ref_logp: scored.logp,
                ref_v1: scored.v1,
                critique,
            })
            .collect();
        self.pool.push(Round { round, each: each_kept, rollouts, more }, self.config.replay);
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

    /// Of ppo: the critic's values before the first step on a round, and the advantages that follow from them.
    async fn criticise(
        &mut self,
        trajectories: &[Trajectory],
        scored: &[Scored],
        more: &mut BTreeMap<String, f64>,
    ) -> Result<Vec<Option<Critique>>> {
        let TrainConfig { objective, terms, .. } = *self.config();
        if objective != Objective::Ppo {
            return Ok(vec![None; trajectories.len()]);
        }
        let all: Vec<&Trajectory> = trajectories.iter().collect();
        let values = self.learner.engine.values(&all).await?;
        let round: Vec<Observed<'_>> = (0..trajectories.len())
            .map(|i| Observed {
                reward: trajectories[i].reward.unwrap_or(0.0),
                logps: trajectories[i].logps.as_deref().unwrap_or_default(),
                ref_logp: &scored[i].logp,
                values: &values[i],
                counts: trajectories[i].weight > 0.0,
            })
            .collect();
        let penalty = round.iter().flat_map(|observed| penalties(&terms, observed)).sum::<f64>();
        let (n, reward) = (round.len() as f64, round.iter().map(|o| o.reward).sum::<f64>());
        more.insert("objective/non_score_reward".to_owned(), penalty / n);
        more.insert("objective/rlhf_reward".to_owned(), (reward + penalty) / n);
        Ok(critiques(&terms, &round).into_iter().map(Some).collect())
    }
}
