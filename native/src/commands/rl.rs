//! `tbrm rl`: from prompts with answers to a model that answers them.

use pollster::block_on;
use serde_json::json;
use tbrm_core::Gpu;
use tbrm_core::run::{File, OnlineInputs, OnlineOptions, OnlinePlan, Options, Point, Run, Setup, Weights};

use super::train::{drive, finish, memory, options};
use crate::args::{Common, RlArgs};
use crate::exit::{Failure, Outcome};
use crate::model_dir;
use crate::rewards;
use crate::store::{OpenRun, RunDir, read_file};
use crate::tensorboard::EventWriter;
use crate::tuning;

pub(super) fn run(args: &RlArgs, common: &Common) -> Result<Outcome, Failure> {
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
    if args.dry_run {
        if common.json {
            let plan = json!({"config": plan.config, "online": plan.online, "estimate": plan.estimate});
            super::print(&format!("{plan}\n"))?;
        }
        return Ok(Outcome::Done);
    }
    start(args, common, &gpu, plan, how)
}

fn plan(args: &RlArgs, common: &Common, gpu: &Gpu) -> Result<OnlinePlan, Failure> {
    let rewards = rewards::all(&args.reward, &args.reward_weight)?;
    let model = model_dir::read(&args.model)?;
    let (options, online) = (settings(args, common), rollouts(args));
    let read = |path: &std::path::PathBuf| -> tbrm_core::Result<File> {
        Ok((path.display().to_string(), read_file(path)?))
    };
    let prompts = read(&args.prompts)?;
    let eval = args.eval.eval_prompts.as_ref().map(read).transpose()?;
    let data = args.rollouts.data.iter().map(read).collect::<tbrm_core::Result<Vec<File>>>()?;
    let inputs = OnlineInputs::read(model, Some(&prompts), eval.as_ref(), &data, &options, &online, rewards)?;
    Ok(OnlinePlan::new(gpu, inputs, options, &online, memory::available(gpu))?)
}

fn settings(args: &RlArgs, common: &Common) -> Options {
    let count = |n: Option<usize>| n.map(|n| n as u64);
    Options {
        eval_every: count(args.eval.eval_every),
        ..options::options(&args.objective, &args.optimizer, &args.records, &args.output, common)
    }
}

fn rollouts(args: &RlArgs) -> OnlineOptions {
    let rollouts = &args.rollouts;
    OnlineOptions {
        rollouts: Some(rollouts.rollouts),
        prompts_per_batch: rollouts.prompts_per_batch,
        steps_per_batch: rollouts.steps_per_batch.map(|n| n as u64),
        replay: Some(rollouts.replay),
        max_new_tokens: rollouts.max_new_tokens,
        temperature: rollouts.temperature,
        top_k: rollouts.top_k.map(|k| k as u32),
        top_p: rollouts.top_p,
        data_share: rollouts.data_share,
        value_samples: rollouts.value_samples,
        eval_samples: Some(args.eval.eval_samples),
        train_on: Some(rollouts.train_on.into()),
        rewards: args.reward.clone(),
        reward_weights: args.reward_weight.clone(),
        stop: rollouts.stop.clone(),
        set_aside_failures: args.set_aside_failures,
    }
}

/// Starts or resumes a run whose inputs are known to be good.
fn start(
    args: &RlArgs,
    common: &Common,
    gpu: &Gpu,
    plan: OnlinePlan,
    how: OpenRun,
) -> Result<Outcome, Failure> {
    let weights = model_dir::weights(&args.model)?;
    let (shape, positions) =
        (plan.inputs.model.config.clone(), plan.inputs.positions(plan.online.max_new_tokens));
    let load = |weights: &Weights| weights.load(gpu, &shape, positions);
    // A model that cannot be loaded must not cost the run that `--overwrite` replaces.
    let given = load(&weights)?;
    let likely = plan.likely();
    let setup = Setup::online(gpu, plan, &weights.sha256())?;
    drop(weights);
    let dir = RunDir::open(&args.out, how)?;
    let point = if how == OpenRun::Resume { block_on(setup.point(&dir))? } else { None };
    if let Some(point) = &point
        && block_on(setup.is_finished(&dir, point))?
    {
        return finish(common, &dir, point.state.step, None);
    }
    let (model, reference) = match &point {
        None => (given, None),
        Some(Point { weights, .. }) => (load(weights)?, Some(given)),
    };
    let variants = match point {
        Some(_) => None,
        None => Some(tuning::variants(gpu, &setup.config, &model, &likely)?),
    };
    let events = args.output.tensorboard.then(|| EventWriter::create(dir.path())).transpose()?;
    let run = block_on(Run::open(gpu, dir, setup, model, reference, variants, point))?;
    run.notes().iter().for_each(|note| eprintln!("{note}"));
    drive(&args.output, common, run, events)
}
