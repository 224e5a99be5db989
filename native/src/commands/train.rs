//! `tbrm train`: from logs to a model.

pub(super) mod memory;
pub(super) mod options;

use std::path::PathBuf;

use pollster::block_on;
use serde_json::{Value, json};
use tbrm_core::Gpu;
use tbrm_core::page::duration;
use tbrm_core::run::{Event, File, Forecast, Inputs, Options, Plan, Point, Run, Setup, Store, Weights};
use tbrm_core::train::{Evaluation, Measured};

use crate::args::{Common, OutputArgs, TrainArgs};
use crate::exit::{Failure, Outcome};
use crate::interrupt;
use crate::model_dir;
use crate::progress::{Progress, step_message};
use crate::store::{OpenRun, RunDir, read_file};
use crate::tensorboard::EventWriter;
use crate::tuning;

/// Steps that `--profile` measures.
const PROFILED: u64 = 3;

pub(super) fn run(args: &TrainArgs, common: &Common) -> Result<Outcome, Failure> {
    tbrm_core::objective::Objective::from(args.objective.objective).offline()?;
    let how = args.earlier.open(&args.out);
    if !args.dry_run {
        RunDir::check(&args.out, how)?;
    }
    let gpu = super::open(common)?;
    let plan = plan(args, common, &gpu)?;
    if let Some(warning) = plan.inputs.model.warning() {
        eprintln!("{warning}");
    }
    if !common.quiet {
        for (what, how) in plan.describe() {
            eprintln!("{what:<10} {how}");
        }
    }
    let weights = model_dir::weights(&args.model)?;
    if args.dry_run {
        dry_run(common, &gpu, plan, weights)
    } else {
        start(args, common, &gpu, plan, weights, how)
    }
}

fn plan(args: &TrainArgs, common: &Common, gpu: &Gpu) -> Result<Plan, Failure> {
    let model = model_dir::read(&args.model)?;
    let TrainArgs { objective, optimizer, records, output, .. } = args;
    let options = Options {
        eval_every: args.eval.eval_every.map(|n| n as u64),
        ..options::options(objective, optimizer, records, output, common)
    };
    let read = |files: &[PathBuf]| -> tbrm_core::Result<Vec<File>> {
        files.iter().map(|path| Ok((path.display().to_string(), read_file(path)?))).collect()
    };
    let data = read(&args.data)?;
    let eval = read(args.eval.eval_data.as_slice())?;
    let inputs = Inputs::read(model, &data, &eval, &options)?;
    Ok(Plan::new(gpu, inputs, options, memory::available(gpu))?)
}

fn dry_run(common: &Common, gpu: &Gpu, plan: Plan, weights: Weights) -> Result<Outcome, Failure> {
    let model = plan.load(gpu, &weights)?;
    let variants = tuning::variants(gpu, &plan.config, &model, &plan.inputs.data.trajectories)?;
    let (config, estimate) = (plan.config.clone(), plan.estimate);
    let Forecast { tokens_per_s, seconds } = block_on(plan.forecast(gpu, model, Some(variants)))?;
    super::print(&if common.json {
        let plan = json!({
            "config": config,
            "estimate": estimate,
            "tokens_per_s": tokens_per_s,
            "seconds": seconds,
        });
        format!("{plan}\n")
    } else {
        format!("time       about {}, at {tokens_per_s:.0} tokens/s\n", duration(seconds))
    })?;
    Ok(Outcome::Done)
}

/// Starts or resumes a run whose inputs are known to be good.
fn start(
    args: &TrainArgs,
    common: &Common,
    gpu: &Gpu,
    plan: Plan,
    weights: Weights,
    how: OpenRun,
) -> Result<Outcome, Failure> {
    let (shape, positions) = (plan.inputs.model.config.clone(), plan.inputs.longest());
    let load = |weights: &Weights| weights.load(gpu, &shape, positions);
    // A model that cannot be loaded must not cost the run that `--overwrite` replaces.
    let fresh = if how == OpenRun::Resume { None } else { Some(load(&weights)?) };
    let setup = Setup::new(gpu, plan, &weights.sha256())?;
    let dir = RunDir::open(&args.out, how)?;
    let point = if how == OpenRun::Resume { block_on(setup.point(&dir))? } else { None };
    if let Some(point) = &point
        && block_on(setup.is_finished(&dir, point))?
    {
        return finish(common, &dir, point.state.step, None);
    }
    let model = match (fresh, &point) {
        (Some(model), _) => model,
        (None, Some(Point { weights, .. })) => load(weights)?,
        (None, None) => load(&weights)?,
    };
    drop(weights);
    let variants = match point {
        Some(_) => None,
        None => Some(tuning::variants(gpu, &setup.config, &model, &setup.data)?),
    };
    let events = args.output.tensorboard.then(|| EventWriter::create(dir.path())).transpose()?;
    let run = block_on(Run::open(gpu, dir, setup, model, None, variants, point))?;
    run.notes().iter().for_each(|note| eprintln!("{note}"));
    drive(&args.output, common, run, events)
}

/// Takes event after event until the run ends.
pub(super) fn drive(
    output: &OutputArgs,
    common: &Common,
    mut run: Run<RunDir>,
    mut tensorboard: Option<EventWriter>,
) -> Result<Outcome, Failure> {
    interrupt::watch()?;
    let (first, steps) = (run.steps_done(), run.config().steps);
    if output.profile.is_some() {
        run.start_profile();
    }
    let mut scoring: Option<Progress> = None;
    let mut progress: Option<Progress> = None;
    let new_progress = |what, total, done| Progress::new(what, total, done, common.quiet || common.json);
    let mut saved = None;
    let complete = loop {
        if interrupt::asked() {
            run.stop();
        }
        let Some(event) = block_on(run.next())? else { break false };
        profile(output, &mut run, first)?;
        match event {
            Event::Scoring { done, total } => {
                scoring
                    .get_or_insert_with(|| new_progress("reference log-probs", total as u64, 0))
                    .update(done as u64, "");
            }
            Event::Step { metrics } => {
                scoring = None;
                let message = step_message(metrics.loss, metrics.reward, metrics.tokens_per_s);
                progress
                    .get_or_insert_with(|| new_progress("train", steps, first))
                    .update(metrics.step, &message);
                if let Some(tensorboard) = &mut tensorboard {
                    tensorboard.scalars(&json!(metrics))?;
                }
            }
            Event::Evaluated(evaluation) => {
                if let Some(progress) = progress.as_ref().filter(|_| !common.quiet) {
                    progress.say(&held_out(&evaluation));
                }
                if let Some(tensorboard) = &mut tensorboard {
                    tensorboard.scalars(&json!(evaluation))?;
                }
            }
            Event::Measured(measured) => {
                if let Some(progress) = progress.as_ref().filter(|_| !common.quiet) {
                    progress.say(&on_prompts(&measured));
                }
                if let Some(tensorboard) = &mut tensorboard {
                    tensorboard.scalars(&json!(measured))?;
                }
            }
            Event::Samples { .. } | Event::Rollouts(_) => {}
            Event::Checkpoint { path, .. } => saved = Some(run.store().place(&path)),
            Event::Finished { complete, .. } => break complete,
        }
    };
    drop((scoring, progress));
    if complete {
        return finish(common, run.store(), steps, run.last_metrics());
    }
    let saved =
        saved.map_or_else(|| "nothing was trained yet".to_owned(), |place| format!("saved in {place}"));
    Ok(Outcome::Interrupted { resume: format!("{saved}; go on with: {}", interrupt::resume_command()) })
}

fn held_out(evaluation: &Evaluation) -> String {
    let Evaluation { step, loss, auc, best, .. } = evaluation;
    let auc = auc.map_or_else(String::new, |auc| format!(", auc {auc:.3}"));
    let best = if *best { ", the best so far" } else { "" };
    format!("held out after step {step}: loss {loss:.4}{auc}{best}")
}

fn on_prompts(measured: &Measured) -> String {
    let Measured { step, reward, standard_error, best } = measured;
    let error = standard_error.map_or_else(String::new, |error| format!(" ± {error:.4}"));
    let best = if *best { ", the best so far" } else { "" };
    format!("held out after step {step}: reward {reward:.4}{error}{best}")
}

/// Says where the model is.
pub(super) fn finish(
    common: &Common,
    dir: &RunDir,
    step: u64,
    metrics: Option<&Value>,
) -> Result<Outcome, Failure> {
    let model = dir.join("model");
    let text = if common.json {
        json!({"run": dir.path(), "model": model, "steps": step, "metrics": metrics}).to_string()
    } else {
        let already = if metrics.is_none() { "finished already: " } else { "" };
        format!("{already}model in {}, report in {}", model.display(), dir.join("report.html").display())
    };
    super::print(&format!("{text}\n"))?;
    Ok(Outcome::Done)
}

/// Writes what `--profile` measured, once enough steps are.
fn profile(output: &OutputArgs, run: &mut Run<RunDir>, first: u64) -> Result<(), Failure> {
    let Some(file) = &output.profile else { return Ok(()) };
    if run.steps_done() < run.config().steps.min(first + PROFILED) {
        return Ok(());
    }
    let Some(profile) = run.take_profile() else { return Ok(()) };
    let default = run.store().join("trace.json");
    super::write_profile(&profile, Some(file.as_deref().unwrap_or(&default)))
}
