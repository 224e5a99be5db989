//! `tbrm sweep`: TBRM from logs at many settings.

use pollster::block_on;
use serde_json::json;
use tbrm_core::lab::stats::Interval;
use tbrm_core::lab::sweep::{Cell, Logs, Sweep, SweepConfig, SweepInputs, sweep};

use super::lab;
use crate::args::{Common, SweepArgs};
use crate::exit::{Failure, Outcome};
use crate::store::RunDir;
use crate::{interrupt, model_dir, tuning};

pub(super) fn run(args: &SweepArgs, common: &Common) -> Result<Outcome, Failure> {
    let inputs = match (&args.model, &args.data) {
        (Some(model), Some(data)) => {
            Some(SweepInputs { model: model_dir::files(model)?, data: lab::file(data)? })
        }
        _ => None,
    };
    let logs = match (&inputs, &args.model) {
        (Some(inputs), Some(model)) => inputs.logs(&model.display().to_string()),
        _ => Logs::Task(lab::task_start(&args.task, &args.warm)?),
    };
    let config = SweepConfig {
        logs,
        betas: args.beta.clone(),
        logit_scales: args.logit_scale.clone(),
        calibrations: args.calibrate.iter().map(|&calibrate| calibrate.into()).collect(),
        learning_rates: args.lr.clone(),
        steps: args.steps as u64,
        batch: args.batch,
        seed: common.seed,
        skip_invalid: args.skip_invalid,
    };
    let gpu = super::open(common)?;
    let dir = lab::open(&args.place)?;
    interrupt::watch()?;
    let mut tuned = tuning::load();
    let mut tell = lab::tell(common);
    let swept = block_on(sweep(&gpu, dir.clone(), &config, inputs.as_ref(), &mut tuned, &mut tell));
    tuning::save(&tuned);
    let Some(swept) = swept? else { return Ok(lab::interrupted(&dir)) };
    super::print(&if common.json { format!("{}\n", json!(swept)) } else { describe(&swept, &dir) })?;
    Ok(Outcome::Done)
}

fn describe(sweep: &Sweep, dir: &RunDir) -> String {
    let mut text = format!(
        "{:>6} {:>6} {:<7} {:>7} {:>9} {:>7} {:>7} {:>9} {:>10}\n",
        "beta", "scale", "calibr.", "lr", "accuracy", "AUC", "within", "residual", "explained"
    );
    for (i, cell) in sweep.cells.iter().enumerate() {
        let taken = if sweep.recommended == Some(i) { "  <- recommended" } else { "" };
        text += &format!("{}{taken}\n", line(cell));
    }
    text += &format!("recommended because {}\nchosen by {}\n", sweep.why, sweep.chosen_by);
    if let Some(cell) = &sweep.held_out {
        text += &format!("it on held-out prompts:\n{}\n", line(cell));
    }
    text + &format!("report in {}\n", dir.join("report.html").display())
}

fn line(cell: &Cell) -> String {
    let setting = &cell.setting;
    let said =
        |of: Option<Interval>| of.map_or_else(|| "-".to_owned(), |interval| format!("{:.3}", interval.mean));
    let figures = cell.figures.as_ref();
    let calibrate = json!(setting.calibrate);
    format!(
        "{:>6} {:>6} {:<7} {:>7} {:>9} {:>7} {:>7} {:>9} {:>10}",
        setting.beta,
        setting.logit_scale,
        calibrate.as_str().unwrap_or_default(),
        setting.learning_rate,
        if cell.failed.is_some() { "failed".to_owned() } else { said(cell.accuracy) },
        said(figures.and_then(|f| f.auc)),
        said(figures.and_then(|f| f.auc_within)),
        said(figures.map(|f| f.residual)),
        said(figures.and_then(|f| f.explained)),
    )
}
