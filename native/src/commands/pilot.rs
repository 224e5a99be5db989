//! `tbrm pilot`: what logs are good for.

use pollster::block_on;
use serde_json::json;
use tbrm_core::lab::pilot::{Pilot, PilotConfig, PilotInputs, pilot};

use super::lab;
use crate::args::{Common, PilotArgs};
use crate::exit::{Failure, Outcome};
use crate::store::RunDir;
use crate::{interrupt, model_dir, tuning};

pub(super) fn run(args: &PilotArgs, common: &Common) -> Result<Outcome, Failure> {
    let inputs = PilotInputs { model: model_dir::files(&args.model)?, logs: lab::file(&args.logs)? };
    let config = PilotConfig {
        model: args.model.display().to_string(),
        logs: args.logs.display().to_string(),
        sha256: inputs.sha256(),
        betas: args.beta.clone(),
        learning_rate: args.lr,
        steps: args.steps.map(|n| n as u64),
        batch: args.batch,
        max_prompts: args.max_prompts,
        seed: common.seed,
    };
    let gpu = super::open(common)?;
    let dir = lab::open(&args.place)?;
    interrupt::watch()?;
    let mut tuned = tuning::load();
    let mut tell = lab::tell(common);
    let done = block_on(pilot(&gpu, dir.clone(), &config, &inputs, &mut tuned, &mut tell));
    tuning::save(&tuned);
    let Some(done) = done? else { return Ok(lab::interrupted(&dir)) };
    super::print(&if common.json { format!("{}\n", json!(done)) } else { describe(&done, &dir) })?;
    Ok(Outcome::Done)
}

fn describe(pilot: &Pilot, dir: &RunDir) -> String {
    let mut text = format!("recommendation: {}\n", pilot.advice.decision.name());
    for reason in &pilot.advice.reasons {
        text += &format!("  {reason}\n");
    }
    text + &format!("report in {}\n", dir.join("report.html").display())
}
