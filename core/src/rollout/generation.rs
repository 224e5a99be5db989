//! Prompts on their way through a rollout's slots: which enter, which leave, where their completions end.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::Rollout;
use crate::error::Result;

/// A text to continue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompt {
    /// Its tokens, at least one.
    pub tokens: Vec<u32>,
    /// The number of its random stream: prompts with the same tokens and stream continue alike.
    pub stream: u32,
    /// New tokens at most.
    pub max_new: usize,
}

/// What a prompt was continued with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Completion {
    /// The new tokens, the stop token included, or the token that completes a stop text.
    pub tokens: Vec<u32>,
    /// Their log-probs under the policy, before top-k and top-p.
    pub logps: Vec<f32>,
    /// The value of the prompt: log-sum-exp of the first new token's logits, times kappa.
    pub v1: f32,
    /// Whether it ends with a stop token or text, and not where the most new tokens were reached.
    pub finished: bool,
}

/// How far [`Rollout::generate`] is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Completions that are done.
    pub completions: usize,
    /// New tokens of all completions.
    pub tokens: usize,
}

/// A sequence that is being continued.
pub(super) struct Active {
    pub(super) index: usize, // of the prompt
    pub(super) slot: usize,
    seen: usize, // tokens that complete no stop text
}

/// Prompts that are being continued, a few tokens at a time. To end early, drop it between two calls of
/// [`Generation::next`]; dropped during one, the rollout is of no use any more.
pub struct Generation<'a> {
    rollout: &'a mut Rollout,
    prompts: Cow<'a, [Prompt]>,
    completions: Vec<Completion>,
    waiting: VecDeque<usize>,
    free: Vec<usize>,
    active: Vec<Active>,
    /// Whether a sequence ended, so that the device's rows are others now.
    changed: bool,
    done: Progress,
}

impl<'a> Generation<'a> {
    /// All of `prompts` wait: they were checked.
    pub(super) fn new(rollout: &'a mut Rollout, prompts: Cow<'a, [Prompt]>) -> Generation<'a> {
        let waiting: VecDeque<usize> = (0..prompts.len()).filter(|&i| prompts[i].max_new > 0).collect();
        Generation {
            completions: vec![Completion::default(); prompts.len()],
            done: Progress { completions: prompts.len() - waiting.len(), tokens: 0 },
            waiting,
            free: (0..rollout.config.slots).rev().collect(),
            active: Vec::new(),
            changed: false,
            rollout,
            prompts,
        }
    }

    /// Draws the next few tokens of as many sequences as there are slots; `None` when every prompt is continued.
    ///
    /// # Errors
    /// [`NotFinite`](crate::ErrorKind::NotFinite) when logits are not; [`Device`](crate::ErrorKind::Device) when the device reported a fault.
    pub async fn next(&mut self) -> Result<Option<Progress>> {
        let mut entering = Vec::new();
        while let (Some(&index), Some(&slot)) = (self.waiting.front(), self.free.last()) {
            entering.push((&self.prompts[index], slot));
            self.active.push(Active { index, slot, seen: 0 });
            self.waiting.pop_front();
            self.free.pop();
        }
        if self.active.is_empty() {
            return Ok(None);
        }
        self.rollout.enter(&entering)?;
        if self.changed || !entering.is_empty() {
            self.rollout.upload_rows(&self.active, &self.prompts, &self.completions);
        }
        self.done.tokens += self.rollout.decode(&self.active, &self.prompts, &mut self.completions).await?;
        self.cut()?;
        let before = self.active.len();
        self.active.retain(|sequence| {
            let completion = &mut self.completions[sequence.index];
            let last = completion.tokens.last().expect("a step draws a token");
            completion.finished |= self.rollout.config.stops.contains(last);
            let ended =
                completion.finished || completion.tokens.len() == self.prompts[sequence.index].max_new;
            if ended {
                self.free.push(sequence.slot);
            }
            !ended
        });
        self.changed = self.active.len() < before;
        self.done.completions += before - self.active.len();
        Ok(Some(self.done))
    }

    /// Ends completions at the token that completes a stop text: what the device drew behind it is forgotten.
    fn cut(&mut self) -> Result<()> {
        let Some(stop) = &self.rollout.stop_text else { return Ok(()) };
        for sequence in &mut self.active {
            let Completion { tokens, logps, finished, .. } = &mut self.completions[sequence.index];
            if let Some(end) = stop.end(tokens, sequence.seen)? {
                self.done.tokens -= tokens.len() - end;
                tokens.truncate(end);
                logps.truncate(end);
                *finished = true;
            }
            sequence.seen = tokens.len();
        }
        Ok(())
    }

    /// What has been drawn so far, a completion for each prompt.
    pub fn completions(&self) -> &[Completion] {
        &self.completions
    }

    /// The same, when the work is done.
    pub(super) fn into_completions(self) -> Vec<Completion> {
        self.completions
    }
}
