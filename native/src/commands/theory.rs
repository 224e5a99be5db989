//! `tbrm theory`: what the method promises, checked on problems that are solved exactly.

use pollster::block_on;
use serde_json::json;
use tbrm_core::theory::race::{Race, RaceConfig, RaceEvent, Standing};
use tbrm_core::theory::{self, Check, TheoryEvent, report};
use tbrm_core::{Error, ErrorKind};

use crate::args::{Common, TheoryArgs};
use crate::exit::{Failure, Outcome};
use crate::progress::Progress;
use crate::store;

pub(super) fn run(args: &TheoryArgs, common: &Common) -> Result<Outcome, Failure> {
    if let Some(settings) = &args.race {
        return race(settings, common);
    }
    let gpu = super::open(common)?;
    let mut progress: Option<Progress> = None;
    let checks = block_on(theory::run(&gpu, common.seed, &args.only, |event| match event {
        TheoryEvent::Checking { name, done: 0, total } => {
            progress = Some(Progress::new(name, total as u64, 0, common.quiet));
        }
        TheoryEvent::Checking { done, .. } => {
            if let Some(progress) = &mut progress {
                progress.update(done as u64, "");
            }
        }
        TheoryEvent::Checked(check) => {
            progress = None;
            if !common.json {
                println!("{}", line(&check));
            }
        }
    }))?;
    if let Some(file) = &args.out {
        let info = gpu.info();
        let subtitle = format!("seed {} · {} · tbrm {}", common.seed, info.name, env!("CARGO_PKG_VERSION"));
        store::write_file(file, report::render(&checks, &subtitle).as_bytes())?;
    }
    if common.json {
        let passed = checks.iter().all(|check| check.passed);
        super::print(&format!("{}\n", json!({"passed": passed, "seed": common.seed, "checks": checks})))?;
    }
    let failed: Vec<&str> = checks.iter().filter(|check| !check.passed).map(|check| check.name).collect();
    if failed.is_empty() {
        return Ok(Outcome::Done);
    }
    let what = format!("not as expected: {}", failed.join(", "));
    let help = "see what was found above; another --seed says whether it is chance";
    Err(Error::new(ErrorKind::Check, what, help).into())
}

fn line(check: &Check) -> String {
    let verdict = if check.passed { "as expected" } else { "NOT AS EXPECTED" };
    format!("{}: {verdict}\n  expected: {}\n  found: {}", check.name, check.claim, check.found)
}

/// Objectives beside one another on a tree.
fn race(settings: &str, common: &Common) -> Result<Outcome, Failure> {
    let asked: RaceConfig = serde_json::from_str(settings).map_err(|error| {
        let what = format!("the settings of --race: {error}");
        Error::new(ErrorKind::Config, what, "give a JSON object of settings")
    })?;
    let config = RaceConfig { seed: common.seed, ..asked };
    let gpu = super::open(common)?;
    let mut race = block_on(Race::new(&gpu, &config))?;
    let total = config.steps * config.objectives.len() as u64;
    let mut progress = Progress::new("race", total, 0, common.quiet);
    let (mut done, mut looks) = (0, Vec::new());
    while let Some(event) = block_on(race.next())? {
        match event {
            RaceEvent::Began { trajectories, log_z, reward, .. } if !common.json => println!(
                "{trajectories} sequences, beta {}: log Z {log_z:.3}, expected reward of pi* {reward:.3}",
                config.beta
            ),
            RaceEvent::Began { .. } => {}
            RaceEvent::Step { .. } => {
                done += 1;
                progress.update(done, "");
            }
            RaceEvent::Looked(look) => looks.push(look),
            RaceEvent::Out { objective, why } => eprintln!("{} is out: {why}", objective.name()),
            RaceEvent::Finished { standings, .. } if common.json => {
                super::print(&format!(
                    "{}\n",
                    json!({"race": config, "standings": standings, "looks": looks})
                ))?;
            }
            RaceEvent::Finished { standings, .. } => standings.iter().for_each(|standing| {
                let Standing { objective, first_kl, last_kl, v1, reward, .. } = standing;
                println!(
                    "{:<10} KL(pi || pi*) {first_kl:.3} to {last_kl:.2e}, V_1 {v1:.3}, reward {reward:.3}",
                    objective.name()
                );
            }),
        }
    }
    Ok(Outcome::Done)
}
