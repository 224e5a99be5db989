//! `tbrm eval`: accuracy on problems with known answers.

use serde_json::json;
use tbrm_core::data::record::read_all;
use tbrm_core::data::trajectory::Truncated;
use tbrm_core::data::{Needs, PromptStyle};
use tbrm_core::evaluation::{Accuracy, Attempt, Attempting, Mean, Problem, attempt, capacity, problems};
use tbrm_core::rollout::{Rollout, RolloutConfig, slots};
use tbrm_core::{Error, ErrorKind};

use super::generate::{MAX_NEW_TOKENS, sampling, stop_at};
use crate::args::{Common, EvalArgs};
use crate::exit::{Failure, Outcome};
use crate::model_dir;
use crate::progress::Progress;
use crate::rewards;
use crate::store::{read_file, write_file};

/// Sequences generated at a time, where there is room: more of them are no faster on a processor.
const SLOTS: usize = 64;

pub(super) fn run(args: &EvalArgs, common: &Common) -> Result<Outcome, Failure> {
    let rewards = rewards::all(&args.reward, &args.reward_weight)?;
    let file = args.data.display().to_string();
    let (mut records, _) = read_all(&file, &read_file(&args.data)?, Needs::Prompt, false)?;
    for record in &mut records {
        let styled = PromptStyle::from(args.prompt_style).apply(&record.prompt);
        record.prompt = styled.map_err(|error| error.at(format!("{file}:{}", record.line)))?;
    }
    let model = model_dir::read(&args.model)?;
    let encoder = model.encoder(None, Truncated::Keep)?;
    let max_new = args.sampling.max_new_tokens.unwrap_or(MAX_NEW_TOKENS);
    let positions = model.config.max_position_embeddings;
    let problems = problems(&encoder, &file, &records, &|record| rewards.check(record), max_new, positions)?;

    let gpu = super::open(common)?;
    let capacity = capacity(&problems, max_new);
    let weights = model_dir::weights(&args.model)?.load(&gpu, &model.config, capacity)?;
    let total = problems.len() * args.samples;
    let config = RolloutConfig {
        slots: slots(&gpu, &model.config, capacity, SLOTS.min(total)),
        capacity,
        sampling: sampling(&args.sampling, common),
        stops: model.config.eos_token_id.clone(),
        logit_scale: 1.0,
    };
    let mut rollout = Rollout::new(&gpu, &weights, config)?;
    stop_at(&mut rollout, &model.tokenizer, &args.sampling)?;
    let mut progress = Progress::new("eval", total as u64, 0, common.quiet);
    let report = |p: tbrm_core::rollout::Progress| {
        progress.update(p.completions as u64, &format!("completions, {} tokens", p.tokens));
    };
    let how = Attempting { samples: args.samples, max_new, set_aside: args.set_aside_failures };
    let judged = attempt(&mut rollout, &model.tokenizer, &rewards, &problems, how, report);
    let judged = pollster::block_on(judged)?;
    drop(progress);
    let (problems, attempts) = kept(problems, judged, args.set_aside_failures)?;
    let set_aside = total / args.samples - problems.len();
    if let Some(out) = &args.out {
        write_file(out, lines(&problems, &attempts).as_bytes())?;
    }
    let accuracy = Accuracy::new(&attempts).by_reward(rewards.names(), &attempts);
    super::print(&if common.json {
        let mut object = json!(accuracy);
        if args.set_aside_failures {
            object["set_aside"] = json!(set_aside);
        }
        format!("{object}\n")
    } else {
        describe(&accuracy, args)
    })?;
    Ok(Outcome::Done)
}

/// The problems whose completions were judged, with what they got; the first that was not is an error, unless they are
/// set aside.
fn kept<'a>(
    problems: Vec<Problem<'a>>,
    judged: Vec<Result<Vec<Attempt>, Error>>,
    set_aside: bool,
) -> Result<(Vec<Problem<'a>>, Vec<Vec<Attempt>>), Error> {
    let (mut good, mut attempts) = (Vec::new(), Vec::new());
    for (problem, judged) in problems.into_iter().zip(judged) {
        match judged {
            Ok(judged) => {
                good.push(problem);
                attempts.push(judged);
            }
            Err(error) if set_aside => eprintln!("set aside: {}", error.what),
            Err(error) => return Err(error),
        }
    }
    if good.is_empty() {
        let help = "correct the reward: it failed for every problem";
        return Err(Error::new(ErrorKind::Data, "no problem is left to judge", help));
    }
    Ok((good, attempts))
}

/// One object a completion, in the problems' order.
fn lines(problems: &[Problem<'_>], attempts: &[Vec<Attempt>]) -> String {
    let line = |problem: &Problem<'_>, sample: usize, attempt: &Attempt| {
        let mut line = json!({
            "line": problem.record.line,
            "id": problem.record.id,
            "sample": sample,
            "answer": problem.record.answer,
            "completion": attempt.text,
            "num_tokens": attempt.completion.tokens.len(),
            "finished": attempt.completion.finished,
            "vote": attempt.vote,
            "reward": attempt.reward,
        });
        if attempt.rewards.len() > 1 {
            line["rewards"] = json!(attempt.rewards);
        }
        format!("{line}\n")
    };
    let of = |(problem, attempts): (&Problem<'_>, &Vec<Attempt>)| -> String {
        attempts.iter().enumerate().map(|(sample, attempt)| line(problem, sample, attempt)).collect()
    };
    problems.iter().zip(attempts).map(of).collect()
}

fn describe(accuracy: &Accuracy, args: &EvalArgs) -> String {
    let Accuracy { problems, samples, mean_length, finished_ratio, .. } = accuracy;
    let mut text = format!(
        "{problems} problems, {samples} completions each: {mean_length:.1} tokens, {:.1} % of them ended; {} reward\n",
        100.0 * finished_ratio,
        args.reward.join(" + ")
    );
    let mut line = |name: String, mean: &Mean| {
        let error = mean.standard_error.map_or_else(String::new, |error| format!(" ± {error:.4}"));
        text += &format!("  {name:<10}{:.4}{error}\n", mean.mean);
    };
    line(format!("avg@{samples}"), &accuracy.avg);
    accuracy.pass.iter().for_each(|pass| line(format!("pass@{}", pass.k), &pass.mean));
    line(format!("maj@{samples}"), &accuracy.maj);
    accuracy.rewards.iter().for_each(|(name, mean)| line(name.clone(), mean));
    if let Some(out) = &args.out {
        text += &format!("completions in {}\n", out.display());
    }
    text
}
