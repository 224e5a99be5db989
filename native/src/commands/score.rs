//! `tbrm score`: log-probs, implicit rewards and residuals of logged completions.

use serde_json::json;
use tbrm_core::data::record::read_all;
use tbrm_core::data::trajectory::Truncated;
use tbrm_core::data::{Needs, Record, Trajectory};
use tbrm_core::train::score::{ScoreSummary, engine_config, score};
use tbrm_core::train::{Engine, Scored};
use tbrm_core::{Error, ErrorKind, Gpu};

use crate::args::{Common, ScoreArgs};
use crate::exit::{Failure, Outcome};
use crate::model_dir::ModelDir;
use crate::progress::Progress;
use crate::store::{read_file, write_file};

pub(super) fn run(args: &ScoreArgs, common: &Common) -> Result<Outcome, Failure> {
    let file = args.data.display().to_string();
    let (records, _) = read_all(&file, &read_file(&args.data)?, Needs::Completion, false)?;
    let model = ModelDir::read(&args.model)?;
    let trajectories = encode(&model, &file, &records)?;
    let reference = args.reference.as_deref().map(ModelDir::read).transpose()?;
    if let Some(reference) = &reference {
        check_tokens(reference, &file, &records, &trajectories)?;
    }

    let gpu = super::open(common)?;
    let now = score_all(&gpu, &model, &trajectories, args, "model", common)?;
    // The first model's memory is given back before the second is loaded.
    let before = reference
        .map(|reference| score_all(&gpu, &reference, &trajectories, args, "reference", common))
        .transpose()?;
    let against = before.as_deref().unwrap_or(&now);
    let (scores, summary) = score(&trajectories, &now, against, args.beta, args.calibrate.into())
        .map_err(|error| error.at(&file))?;
    if let Some(out) = &args.out {
        let lines: Vec<String> = scores.iter().map(|score| format!("{}\n", json!(score))).collect();
        write_file(out, lines.concat().as_bytes())?;
    }
    let text = if common.json { format!("{}\n", json!(summary)) } else { describe(&summary, args) };
    super::print(&text)?;
    Ok(Outcome::Done)
}

fn encode(model: &ModelDir, file: &str, records: &[Record]) -> Result<Vec<Trajectory>, Error> {
    let encoder = model.encoder(None, Truncated::Keep)?;
    let trajectories = records.iter().map(|record| encoder.trajectory(file, record));
    trajectories.collect::<Result<_, _>>().map_err(|rejection| {
        let mut error = rejection.error();
        error.help = "correct or remove the line; `tbrm logs check --model` lists all such lines".into();
        error
    })
}

/// Log-probs of other tokens cannot be compared.
fn check_tokens(
    reference: &ModelDir,
    file: &str,
    records: &[Record],
    trajectories: &[Trajectory],
) -> Result<(), Error> {
    let others = encode(reference, file, records).map_err(|error| error.at("the reference"))?;
    match trajectories.iter().zip(&others).find(|(a, b)| a.tokens != b.tokens) {
        None => Ok(()),
        Some((record, _)) => Err(Error::new(
            ErrorKind::Tokenizer,
            format!("{file}:{}: the model and the reference tokenize the record differently", record.line),
            "give a reference with the model's tokenizer, chat template and end token",
        )),
    }
}

fn score_all(
    gpu: &Gpu,
    model: &ModelDir,
    trajectories: &[Trajectory],
    args: &ScoreArgs,
    what: &str,
    common: &Common,
) -> Result<Vec<Scored>, Error> {
    let longest = trajectories.iter().map(|t| t.tokens.len()).max().unwrap_or(1);
    let config = engine_config(gpu.caps(), longest, args.micro_batch_tokens, args.logit_scale);
    let weights = model.weights()?.load(gpu, &model.config, longest)?;
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
