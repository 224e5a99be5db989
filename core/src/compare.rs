//! The same prompts continued by a model before and after its training, and what the two make of every token.

use serde::{Deserialize, Serialize};

use crate::chat::{Chat, Drawing};
use crate::data::trajectory::Trajectory;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::rollout::Completion;
use crate::run::report::SampleToken;
use crate::run::{ModelFiles, Weights};
use crate::train::score::engine_config;
use crate::train::{Engine, Sample, Scored};

/// What decides the advantages: beta * (logp after - logp before).
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Scale {
    /// beta of the run.
    pub beta: f64,
    /// kappa of the run, which multiplies the logits.
    #[serde(default = "one")]
    pub logit_scale: f64,
}

fn one() -> f64 {
    1.0
}

/// A prompt with both its completions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// As it was given.
    pub prompt: String,
    /// By the model before its training.
    pub before: Continued,
    /// By the model after it.
    pub after: Continued,
}

/// A completion that one of the models drew and both have judged.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Continued {
    /// Without special tokens.
    pub text: String,
    /// Whether the model ended it, and not the limit.
    pub finished: bool,
    /// Its log-prob after the training, less that before it.
    pub rho: f64,
    /// Its tokens, the end token included.
    pub tokens: Vec<SampleToken>,
}

/// A model of which only the files are at hand.
pub type Parts<'a> = (&'a ModelFiles, &'a Weights);

/// Continues `prompts` by both models, each prompt with the same random numbers. Special tokens stand in the prompts as
/// text. One model is on the device at a time; `progress` is told how many of how many times one has done its part.
///
/// # Errors
/// As [`Chat::open`], [`Chat::continue_all`] and [`Engine::score`].
pub async fn compare(
    gpu: &Gpu,
    before: Parts<'_>,
    after: Parts<'_>,
    prompts: &[String],
    drawing: &Drawing,
    scale: Scale,
    mut progress: impl FnMut(usize, usize),
) -> Result<Vec<Pair>> {
    const PARTS: usize = 3;
    let open = |(files, weights): Parts<'_>| Chat::open(gpu, files.clone(), weights);
    let tokenizer = &after.0.tokenizer;
    let tokens: Vec<Vec<u32>> =
        prompts.iter().map(|prompt| tokenizer.encode_continuation(prompt)).collect::<Result<_>>()?;
    let mut drawn = open(before)?.continue_all(&tokens, drawing).await?;
    progress(1, PARTS);
    let mut chat = open(after)?;
    drawn.extend(chat.continue_all(&tokens, drawing).await?);
    let said: Vec<Trajectory> =
        tokens.iter().chain(&tokens).zip(&drawn).map(|(prompt, drawn)| trajectory(prompt, drawn)).collect();
    let now = judge(gpu, chat, &said, scale).await?;
    progress(2, PARTS);
    let reference = judge(gpu, open(before)?, &said, scale).await?;
    progress(PARTS, PARTS);

    let mut continued = Vec::with_capacity(said.len());
    for ((said, drawn), (now, reference)) in said.iter().zip(&drawn).zip(now.iter().zip(&reference)) {
        let sample = Sample::new(said, now, &reference.logp, 0.0, scale.beta);
        continued.push(Continued {
            text: tokenizer.decode(&drawn.tokens, false)?,
            finished: drawn.finished,
            rho: sample.rho(),
            tokens: SampleToken::of(tokenizer, &sample)?,
        });
    }
    let after = continued.split_off(prompts.len());
    let pairs = prompts.iter().zip(continued.into_iter().zip(after));
    Ok(pairs.map(|(prompt, (before, after))| Pair { prompt: prompt.clone(), before, after }).collect())
}

fn trajectory(prompt: &[u32], drawn: &Completion) -> Trajectory {
    Trajectory {
        truncated: !drawn.finished,
        ..Trajectory::new(prompt.len(), [prompt, &drawn.tokens].concat())
    }
}

async fn judge(gpu: &Gpu, chat: Chat, said: &[Trajectory], scale: Scale) -> Result<Vec<Scored>> {
    let longest = said.iter().map(|trajectory| trajectory.tokens.len()).max().unwrap_or(1);
    let config = engine_config(gpu.caps(), longest, None, scale.logit_scale);
    let model = chat.into_model();
    let all: Vec<&Trajectory> = said.iter().collect();
    Engine::new(gpu, model, config, None)?.score(&all, |_| {}).await
}

#[cfg(test)]
mod tests {
    use pollster::block_on;

    use super::*;
    use crate::chat::tests::model;
    use crate::gpu::GpuOptions;

    const SCALE: Scale = Scale { beta: 0.5, logit_scale: 1.0 };

    fn pairs(before: u64, after: u64, scale: Scale) -> Vec<Pair> {
        let gpu = block_on(Gpu::open(&GpuOptions::default())).expect("these tests need an adapter");
        let parts = |seed| {
            let files = model(32, seed);
            (ModelFiles::parse("m", &files).unwrap(), Weights::take("m", files).unwrap())
        };
        let (before, after) = (parts(before), parts(after));
        let prompts = ["hello".to_owned(), "a".to_owned(), "hello".to_owned()];
        let (drawing, mut told) = (Drawing { max_new_tokens: 12, ..Drawing::default() }, Vec::new());
        let (one, two) = ((&before.0, &before.1), (&after.0, &after.1));
        let compared = compare(&gpu, one, two, &prompts, &drawing, scale, |done, of| told.push((done, of)));
        let pairs = block_on(compared).unwrap();
        assert_eq!(told, [(1, 3), (2, 3), (3, 3)]);
        assert!(pairs.iter().map(|pair| &pair.prompt).eq(&prompts));
        pairs
    }

    #[test]
    fn a_model_that_did_not_change_says_the_same_and_has_no_advantage() {
        for Pair { before, after, .. } in pairs(7, 7, SCALE) {
            assert_eq!(before, after);
            assert!(
                before.rho == 0.0 && before.tokens.iter().all(|token| token.advantage == 0.0),
                "{before:?}"
            );
        }
    }

    #[test]
    fn an_advantage_is_beta_times_what_the_training_changed() {
        let pairs = pairs(7, 8, SCALE);
        assert!(pairs.iter().any(|pair| pair.before.text != pair.after.text));
        // The same prompt at another place has other random numbers.
        assert_ne!(pairs[0].after.text, pairs[2].after.text);
        for said in pairs.iter().flat_map(|pair| [&pair.before, &pair.after]) {
            let mut rho = 0.0;
            for token in &said.tokens {
                let change = f64::from(token.logp.unwrap()) - f64::from(token.ref_logp.unwrap());
                assert!((token.advantage - SCALE.beta * change).abs() < 1e-12, "{token:?}");
                rho += change;
            }
            assert!(rho != 0.0 && (said.rho - rho).abs() < 1e-9, "{rho} in {said:?}");
            let whole: String = said.tokens.iter().map(|token| token.text.as_str()).collect();
            assert!(whole.starts_with(&said.text), "{whole:?} is not {:?} and an end", said.text);
        }
        // What each model drew is, on the whole, likelier under itself.
        let mean = |of: &dyn Fn(&Pair) -> f64| pairs.iter().map(of).sum::<f64>();
        assert!(mean(&|pair| pair.before.rho) < 0.0 && mean(&|pair| pair.after.rho) > 0.0, "{pairs:?}");
    }

    #[test]
    fn the_logit_scale_is_the_runs() {
        let (one, two) = (pairs(7, 8, SCALE), pairs(7, 8, Scale { logit_scale: 2.0, ..SCALE }));
        assert_eq!(one[0].after.text, two[0].after.text);
        assert_ne!(one[0].after.rho, two[0].after.rho);
    }
}
