//! How a model is measured: by completions of its own.

use crate::data::tokenizer::Tokenizer;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::model::Model;
use crate::online::{Question, Rewards};
use crate::reward::Asked;
use crate::rollout::{Prompt, Rollout, RolloutConfig, Sampling, slots};

/// Completions drawn at a time, where there is room.
const SLOTS: usize = 64;
/// How completions are drawn to measure a model.
pub(super) struct Drawing {
    pub samples: usize,
    pub max_new: usize,
    pub temperature: f64,
    pub seed: u64,
}

impl Drawing {
    /// The mean reward of each question's completions.
    pub(super) async fn means(
        &self,
        gpu: &Gpu,
        model: &Model,
        tokenizer: &Tokenizer,
        rewards: &Rewards,
        questions: &[Question],
    ) -> Result<Vec<f64>> {
        let Drawing { samples, max_new, temperature, seed } = *self;
        let capacity =
            questions.iter().map(|question| question.tokens.len()).max().unwrap_or(1) + max_new - 1;
        let config = RolloutConfig {
            slots: slots(gpu, &model.config, capacity, SLOTS),
            capacity,
            sampling: Sampling { temperature: temperature as f32, top_k: 0, top_p: 1.0, seed },
            stops: model.config.eos_token_id.clone(),
            logit_scale: 1.0,
        };
        let mut rollout = Rollout::new(gpu, model, config)?;
        let prompt =
            |i: usize| Prompt { tokens: questions[i / samples].tokens.clone(), stream: i as u32, max_new };
        let prompts: Vec<Prompt> = (0..questions.len() * samples).map(prompt).collect();
        let completions = rollout.generate(&prompts, |_| {}).await?;
        let texts = completions
            .iter()
            .map(|completion| tokenizer.decode(&completion.tokens, false))
            .collect::<Result<Vec<String>>>()?;
        let asked: Vec<Asked<'_>> = texts
            .iter()
            .enumerate()
            .map(|(i, completion)| Asked { record: &questions[i / samples].record, completion })
            .collect();
        let judged = rewards.judge(&asked, false).await;
        let scores = judged.into_iter().map(|judged| Ok(judged?.total)).collect::<Result<Vec<f64>>>()?;
        Ok(scores.chunks(samples).map(|of| of.iter().sum::<f64>() / samples as f64).collect())
    }
}
