//! `tbrm compare`: objectives side by side.

use pollster::block_on;
use serde_json::json;
use tbrm_core::lab::Arm;
use tbrm_core::lab::compare::{ArmSummary, CompareConfig, CompareInputs, Comparison, Start, compare};
use tbrm_core::lab::stats::Interval;

use super::lab;
use crate::args::{Common, CompareArgs};
use crate::exit::{Failure, Outcome};
use crate::store::RunDir;
use crate::{interrupt, model_dir, rewards, tuning};

/// Tokens of a completion where nothing is said.
const MAX_NEW_TOKENS: usize = 128;

pub(super) fn run(args: &CompareArgs, common: &Common) -> Result<Outcome, Failure> {
    let arms = args.objectives.iter().map(|name| Arm::parse(name.trim())).collect::<Result<_, _>>()?;
    let inputs = inputs(args)?;
    let start = match (&inputs, &args.model) {
        (Some(inputs), Some(model)) => {
            let max_new = args.max_new_tokens.unwrap_or(MAX_NEW_TOKENS);
            inputs.start(&model.display().to_string(), &args.reward, &args.reward_weight, max_new)
        }
        _ => Start::Task(lab::task_start(&args.task, &args.warm)?),
    };
    let config = CompareConfig {
        start,
        arms,
        seed: common.seed,
        seeds: args.seeds as u64,
        steps: args.steps as u64,
        batch: args.batch,
        evaluations: args.evaluations as u64,
        samples: args.eval_samples,
        learning_rates: args.tune_lr.clone(),
        tuning_seeds: args.tune_seeds as u64,
    };
    let gpu = super::open(common)?;
    let dir = lab::open(&args.place)?;
    interrupt::watch()?;
    let mut tuned = tuning::load();
    let mut tell = lab::tell(common);
    let compared = block_on(compare(&gpu, dir.clone(), &config, inputs.as_ref(), &mut tuned, &mut tell));
    tuning::save(&tuned);
    let Some(comparison) = compared? else { return Ok(lab::interrupted(&dir)) };
    super::print(&if common.json {
        format!("{}\n", json!(comparison))
    } else {
        describe(&comparison, &dir)
    })?;
    Ok(Outcome::Done)
}

fn inputs(args: &CompareArgs) -> Result<Option<CompareInputs>, Failure> {
    let (Some(model), Some(prompts)) = (&args.model, &args.prompts) else { return Ok(None) };
    let eval = args.eval_prompts.as_deref().map(lab::file).transpose()?;
    // Before anything runs: a wrong kind is wrong for all runs.
    rewards::all(&args.reward, &args.reward_weight)?;
    let (model, prompts) = (model_dir::files(model)?, lab::file(prompts)?);
    Ok(Some(CompareInputs { model, prompts, eval, parse: rewards::all }))
}

fn describe(comparison: &Comparison, dir: &RunDir) -> String {
    let mut text = format!(
        "accuracy at the start {}\n{:<24} {:>18} {:>16} {:>18} {:>8} {:>11}\n",
        percent(&comparison.start),
        "objective",
        "at equal tokens",
        "less the first's",
        "at the end",
        "seconds",
        "GPU memory"
    );
    for summary in &comparison.arms {
        let ArmSummary { arm, at_common_tokens, difference, accuracy, seconds, peak_bytes, .. } = summary;
        let difference = difference.map_or_else(String::new, |difference| percent(&difference));
        text += &format!(
            "{:<24} {:>18} {difference:>16} {:>18} {:>8.1} {:>11}\n",
            arm.name,
            percent(at_common_tokens),
            percent(accuracy),
            seconds.mean,
            format!("{:.1} MiB", *peak_bytes as f64 / f64::from(1 << 20)),
        );
    }
    text + &format!("95% intervals over seeds; report in {}\n", dir.join("report.html").display())
}

fn percent(interval: &Interval) -> String {
    let half =
        interval.high.map_or_else(String::new, |high| format!(" ± {:.1}", 100.0 * (high - interval.mean)));
    format!("{:.1}%{half}", 100.0 * interval.mean)
}
