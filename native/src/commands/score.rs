//! `tbrm score`: log-probs, implicit rewards and residuals of logged completions.

use std::path::Path;

use serde_json::json;
use tbrm_core::data::trajectory::Truncated;
use tbrm_core::data::{Needs, Trajectory};
use tbrm_core::run::{Dataset, ModelFiles};
use tbrm_core::train::score::{ScoreSummary, engine_config, score};
use tbrm_core::train::{Engine, Scored};
use tbrm_core::{Error, ErrorKind, Gpu};

use crate::args::{Common, ScoreArgs};
use crate::exit::{Failure, Outcome};
use crate::model_dir;
use crate::progress::Progress;
use crate::store::{read_file, write_file};

pub(super) fn run(args: &ScoreArgs, common: &Common) -> Result<Outcome, Failure> {
    let file = (args.data.display().to_string(), read_file(&args.data)?);
    let model = model_dir::read(&args.model)?;
    let read = |model: &ModelFiles| {
        let encoder = model.encoder(None, Truncated::Keep)?;
        Dataset::read(std::slice::from_ref(&file), &encoder, Needs::Completion, args.skip_invalid)
    };
    let mut data = read(&model)?;
    let reference = args.reference.as_deref().map(model_dir::read).transpose()?;
    if let Some(reference) = &reference {
        let mut others = read(reference).map_err(|error| error.at("the reference"))?;
        data.keep_common(&mut others)?;
        check_tokens(&data.trajectories, &others.trajectories)?;
    }
    let Dataset { trajectories, rejected, .. } = data;
    if let Some(first) = rejected.first() {
        eprintln!("{} invalid lines were left out, the first: {}", rejected.len(), first.error().what);
    }

    let gpu = super::open(common)?;
    let now = score_all(&gpu, &model, &args.model, &trajectories, args, "model", common)?;
    // The first model's memory is given back before the second is loaded.
    let before = reference
        .zip(args.reference.as_deref())
        .map(|(reference, dir)| score_all(&gpu, &reference, dir, &trajectories, args, "reference", common))
        .transpose()?;
    let against = before.as_deref().unwrap_or(&now);
    let (scores, summary) = score(&trajectories, &now, against, args.beta, args.calibrate.into())
        .map_err(|error| error.at(&file.0))?;
    if let Some(out) = &args.out {
        let lines: Vec<String> = scores.iter().map(|score| format!("{}\n", json!(score))).collect();
        write_file(out, lines.concat().as_bytes())?;
    }
    super::print(&if common.json {
        let mut summary = json!(summary);
        summary["rejected"] = json!(rejected.len());
        format!("{summary}\n")
    } else {
        describe(&summary, args)
    })?;
    Ok(Outcome::Done)
}

/// Log-probs of other tokens cannot be compared.
fn check_tokens(ours: &[Trajectory], theirs: &[Trajectory]) -> Result<(), Error> {
    match ours.iter().zip(theirs).find(|(a, b)| a.tokens != b.tokens) {
        None => Ok(()),
        Some((record, _)) => Err(Error::new(
            ErrorKind::Tokenizer,
            format!("{}: the model and the reference tokenize the record differently", record.place()),
            "give a reference with the model's tokenizer, chat template and end token",
        )),
    }
}

fn score_all(
    gpu: &Gpu,
    model: &ModelFiles,
    dir: &Path,
    trajectories: &[Trajectory],
    args: &ScoreArgs,
    what: &str,
    common: &Common,
) -> Result<Vec<Scored>, Error> {
    let longest = trajectories.iter().map(|t| t.tokens.len()).max().unwrap_or(1);
    let config = engine_config(gpu.caps(), longest, args.micro_batch_tokens, args.logit_scale);
    let weights = model_dir::weights(dir)?.load(gpu, &model.config, longest)?;
    let mut engine = Engine::new(gpu, weights, config, None)?;
    let mut progress =
        Progress::new(&format!("score by the {what}"), trajectories.len() as u64, 0, common.quiet);
    let all: Vec<&Trajectory> = trajectories.iter().collect();
    pollster::block_on(engine.score(&all, |done| progress.update(done as u64, "records")))
}

fn describe(summary: &ScoreSummary, args: &ScoreArgs) -> String {
    let ScoreSummary { records, num_tokens, rewarded, .. } = summary;
    let mut text =
        format!("{records} records, {num_tokens} tokens; means over records, beta {}\n", args.beta);
    let mut line = |name: &str, value: f64| text += &format!("  {name:<18}{value:>14.4}\n");
    line("logp", summary.logp);
    line("ref_logp", summary.ref_logp);
    line("v1", summary.v1);
    line("implicit_reward", summary.implicit_reward);
    for (name, value) in
        [("reward", summary.reward), ("residual", summary.residual), ("residual_rms", summary.residual_rms)]
    {
        if let Some(value) = value {
            line(name, value);
        }
    }
    if let Some(auc) = summary.auc {
        text +=
            &format!("auc: pairs that stand in the reward's order, over {rewarded} records; chance is 0.5\n");
        let within = |auc: Option<f64>| {
            auc.map_or("no prompt has completions that differ in reward".into(), |auc| {
                format!("{auc:.4} within each of {} prompts", summary.prompts_with_contrast)
            })
        };
        for (name, auc, inside) in [
            ("implicit_reward", Some(auc), summary.auc_within_prompt),
            ("logp / num_tokens", summary.auc_mean_logp, summary.auc_mean_logp_within_prompt),
        ] {
            text += &format!("  {name:<18}{:>14.4}, {}\n", auc.unwrap_or(f64::NAN), within(inside));
        }
    }
    if let Some(out) = &args.out {
        text += &format!("scores in {}\n", out.display());
    }
    text
}
