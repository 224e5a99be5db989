//! How good the model is: its answers to the held-out problems, judged.

use super::{Accuracy, Demo, DemoConfig, SLOTS};
use crate::error::Result;
use crate::rollout::{Prompt, Rollout, RolloutConfig, Sampling};
use crate::task::{Problem, Task};

impl Demo {
    pub(super) fn rollout_config(&self) -> RolloutConfig {
        RolloutConfig {
            slots: SLOTS,
            capacity: self.model.max_position_embeddings,
            sampling: Sampling { temperature: 1.0, top_k: 0, top_p: 1.0, seed: self.config.seed },
            stops: self.model.eos_token_id.clone(),
            logit_scale: 1.0,
        }
    }

    /// Samples at temperature 1, the policy that TBRM trains, and asks the verifier.
    pub(super) async fn accuracy(&self, rollout: &mut Rollout) -> Result<Accuracy> {
        let DemoConfig { samples, digits, .. } = self.config;
        let mut prompts = Vec::with_capacity(self.split.held_out.len() * samples);
        for problem in &self.split.held_out {
            let tokens = self.tokenizer.encode_prompt(&problem.prompt)?;
            for _ in 0..samples {
                let stream = prompts.len() as u32;
                // The digits and the end token.
                prompts.push(Prompt { tokens: tokens.clone(), stream, max_new: digits + 1 });
            }
        }
        let completions = rollout.generate(&prompts, |_| {}).await?;
        let mut shares = Vec::with_capacity(self.split.held_out.len());
        for (problem, completions) in self.split.held_out.iter().zip(completions.chunks(samples)) {
            let mut right = 0.0;
            for completion in completions.iter().filter(|completion| completion.finished) {
                right += self.reward(problem, &completion.tokens)?;
            }
            shares.push(right / samples as f64);
        }
        Ok(Accuracy::new(&shares))
    }

    fn reward(&self, problem: &Problem, tokens: &[u32]) -> Result<f64> {
        let text = self.tokenizer.decode(tokens, false)?;
        Ok(self.task.reward(problem, &text))
    }
}
