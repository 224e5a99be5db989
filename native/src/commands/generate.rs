//! `tbrm generate`: a prompt continued.

use serde_json::json;
use tbrm_core::data::record::Text;
use tbrm_core::data::tokenizer::Tokenizer;
use tbrm_core::data::trajectory::Truncated;
use tbrm_core::rollout::{Prompt, Rollout, RolloutConfig, Sampling, StopText};
use tbrm_core::{Error, ErrorKind};

use crate::args::{Common, GenerateArgs, SamplingArgs};
use crate::exit::{Failure, Outcome};
use crate::model_dir;
use crate::progress::Progress;

/// The longest completion, in tokens, where the command line sets none.
pub(super) const MAX_NEW_TOKENS: usize = 128;

pub(super) fn run(args: &GenerateArgs, common: &Common) -> Result<Outcome, Failure> {
    let model = model_dir::read(&args.model)?;
    let prompt = model.encoder(None, Truncated::Keep)?.prompt(&Text::Plain(args.prompt.clone()));
    let tokens = prompt.map_err(|what| Error::new(ErrorKind::Data, what, "give a --prompt of some text"))?;
    let positions = model.config.max_position_embeddings;
    // The last new token is never an input, so it needs no position.
    let room = (positions + 1).saturating_sub(tokens.len());
    let max_new = args.sampling.max_new_tokens.unwrap_or(MAX_NEW_TOKENS.min(room).max(1));
    let needed = tokens.len() + max_new - 1;
    if needed > positions {
        let what = format!(
            "the prompt's {} tokens and {max_new} new ones exceed the model's {positions} positions",
            tokens.len()
        );
        let help = match room {
            0 => "shorten the prompt".to_owned(),
            room => format!("use --max-new-tokens {room} or fewer, or shorten the prompt"),
        };
        return Err(Error::new(ErrorKind::Data, what, help).into());
    }

    let gpu = super::open(common)?;
    let weights = model_dir::weights(&args.model)?.load(&gpu, &model.config, needed)?;
    let config = RolloutConfig {
        slots: 1,
        capacity: needed,
        sampling: sampling(&args.sampling, common),
        stops: model.config.eos_token_id.clone(),
        logit_scale: 1.0,
    };
    let mut rollout = Rollout::new(&gpu, &weights, config)?;
    stop_at(&mut rollout, &model.tokenizer, &args.sampling)?;
    let mut progress = Progress::new("generate", max_new as u64, 0, common.quiet);
    let prompts = [Prompt { tokens, stream: 0, max_new }];
    let report = |p: tbrm_core::rollout::Progress| progress.update(p.tokens as u64, "tokens");
    let completions = pollster::block_on(rollout.generate(&prompts, report))?;
    drop(progress);
    let completion = &completions[0];
    let text = rollout.text(&model.tokenizer, completion)?;
    super::print(&if common.json {
        let result = json!({
            "prompt": args.prompt,
            "completion": text,
            "prompt_tokens": prompts[0].tokens.len(),
            "num_tokens": completion.tokens.len(),
            "finished": completion.finished,
        });
        format!("{result}\n")
    } else {
        format!("{text}\n")
    })?;
    Ok(Outcome::Done)
}

/// The texts that end a completion, as the command line says.
pub(super) fn stop_at(
    rollout: &mut Rollout,
    tokenizer: &Tokenizer,
    args: &SamplingArgs,
) -> tbrm_core::Result<()> {
    if !args.stop.is_empty() {
        rollout.stop_at(StopText::new(tokenizer, &args.stop)?);
    }
    Ok(())
}

/// How tokens are drawn, as the command line says.
pub(super) fn sampling(args: &SamplingArgs, common: &Common) -> Sampling {
    Sampling {
        temperature: args.temperature as f32,
        // More than there are tokens is the same as all of them.
        top_k: args.top_k.map_or(0, |k| u32::try_from(k).unwrap_or(u32::MAX)),
        top_p: args.top_p as f32,
        seed: common.seed,
    }
}
