//! Completions to look at: what the model now thinks of each token, against the reference.

use super::engine::Scored;
use crate::data::trajectory::Trajectory;

/// One completion, token by token.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The record's line in its file, from 1.
    pub line: usize,
    /// Token ids of the prompt.
    pub prompt: Vec<u32>,
    /// Token ids of the completion, end token included.
    pub completion: Vec<u32>,
    /// The record's reward.
    pub reward: Option<f64>,
    /// delta.
    pub residual: Option<f64>,
    /// beta * (logp - ref_logp) of each completion token.
    pub advantage: Vec<f64>,
    /// What the advantage is made of.
    pub logp: Vec<f32>,
    /// By the reference.
    pub ref_logp: Vec<f32>,
}

impl Sample {
    /// Compares `now` with the reference's log-probs.
    pub(crate) fn new(
        trajectory: &Trajectory,
        now: &Scored,
        ref_logp: &[f32],
        v_ref: f32,
        beta: f64,
    ) -> Sample {
        let advantage =
            now.logp.iter().zip(ref_logp).map(|(l, r)| beta * (f64::from(*l) - f64::from(*r))).collect();
        let (prompt, completion) = trajectory.tokens.split_at(trajectory.prompt_len);
        let mut sample = Sample {
            line: trajectory.line,
            prompt: prompt.to_vec(),
            completion: completion.to_vec(),
            reward: trajectory.reward,
            residual: None,
            advantage,
            logp: now.logp.clone(),
            ref_logp: ref_logp.to_vec(),
        };
        let rho = sample.rho();
        sample.residual =
            trajectory.reward.map(|reward| rho + f64::from(now.v1) - f64::from(v_ref) - reward / beta);
        sample
    }

    /// The completion's log-prob, less that by the reference.
    pub(crate) fn rho(&self) -> f64 {
        self.logp.iter().zip(&self.ref_logp).map(|(l, r)| f64::from(*l) - f64::from(*r)).sum()
    }
}
