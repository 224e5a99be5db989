//! `tbrm train`: from logs to a model.

mod plan;
mod settings;

use std::path::PathBuf;
use std::slice;

use serde_json::{Value, json};
use tbrm_core::data::record::Needs;
use tbrm_core::data::trajectory::Trajectory;
use tbrm_core::objective::Objective;
use tbrm_core::train::checkpoint::device_name;
use tbrm_core::train::{Estimate, Reference, Start, State};
use tbrm_core::{Error, ErrorKind, Event, Gpu, TrainConfig, Trainer};

use self::plan::Forecast;
use self::settings::{config_json, reference_key, same_run, train_config};
use crate::args::{Common, TrainArgs};
use crate::dataset::Dataset;
use crate::exit::{Failure, Outcome};
use crate::interrupt;
use crate::model_dir::{ModelDir, Weights};
use crate::progress::{Progress, step_message};
use crate::recorder::{Recorder, read_state};
use crate::store::{OpenRun, RunDir, read_file, write_file};
use crate::tuning;

const REFERENCE: &str = "reference.safetensors";
const CONFIG: &str = "config.json";

/// Steps that `--profile` measures.
const PROFILED: u64 = 3;

/// What a run is given.
struct Inputs {
    model: ModelDir,
    data: Dataset,
    eval: Dataset,
}

impl Inputs {
    fn read(args: &TrainArgs) -> Result<Inputs, Failure> {
        let model = ModelDir::read(&args.model)?;
        let objective: Objective = args.objective.objective.into();
        let needs = if objective.needs_reward() { Needs::Reward } else { Needs::Completion };
        let encoder = model.encoder(args.records.max_length, args.objective.truncated.into())?;
        let read = |files: &[PathBuf]| Dataset::read(files, &encoder, needs, args.records.skip_invalid);
        let data = read(&args.data)?;
        let eval = match &args.eval.eval_data {
            Some(file) => read(slice::from_ref(file))?,
            None => Dataset::default(),
        };
        Ok(Inputs { model, data, eval })
    }

    /// Every trajectory, those for training first.
    fn all(&self) -> impl Iterator<Item = &Trajectory> {
        self.data.trajectories.iter().chain(&self.eval.trajectories)
    }

    fn longest(&self) -> usize {
        self.data.longest().max(self.eval.longest())
    }

    /// What it takes to train on them, where that is possible.
    fn estimate(&self, gpu: &Gpu, config: &TrainConfig) -> Result<Estimate, Failure> {
        if self.longest() > config.micro_batch_tokens {
            let what = format!(
                "the longest record has {} tokens, above --micro-batch-tokens {}",
                self.longest(),
                config.micro_batch_tokens
            );
            let help =
                "raise --micro-batch-tokens, or set long records aside with --max-length and --skip-invalid";
            return Err(Error::new(ErrorKind::TooLarge, what, help).into());
        }
        let (model, data) = (&self.model.config, &self.data.trajectories);
        let estimate = Estimate::of_run(gpu, config, model, self.longest(), data)?;
        if let Some(available) = plan::available(gpu) {
            estimate.check(available)?;
        }
        Ok(estimate)
    }
}

pub(super) fn run(args: &TrainArgs, common: &Common) -> Result<Outcome, Failure> {
    let resuming = args.resume && RunDir::exists(&args.out);
    let how = match (resuming, args.overwrite) {
        (true, _) => OpenRun::Resume,
        (false, true) => OpenRun::Overwrite,
        (false, false) => OpenRun::New,
    };
    if !args.dry_run {
        RunDir::check(&args.out, how)?;
    }
    let gpu = super::open(common)?;
    let inputs = Inputs::read(args)?;
    let config = train_config(args, common, &inputs);
    let estimate = inputs.estimate(&gpu, &config)?;
    if let Some(warning) = inputs.model.warning() {
        eprintln!("{warning}");
    }
    if !common.quiet {
        eprintln!("{}", plan::describe(&inputs, &config, &estimate));
    }
    let weights = inputs.model.weights()?;
    if args.dry_run {
        let model = weights.load(&gpu, &inputs.model.config, inputs.longest())?;
        let forecast = Forecast::measure(&gpu, &config, model, inputs, &estimate)?;
        if common.json {
            super::print(&format!("{}\n", forecast.json(&config, &estimate)))?;
        } else {
            super::print(&format!("{}\n", forecast.describe()))?;
        }
        return Ok(Outcome::Done);
    }
    let sha256 = weights.sha256();
    let settings = config_json(args, &inputs, &config, &sha256, &gpu)?;
    let key = reference_key(&inputs, &config, &sha256);
    Run { args, common, gpu, config, settings, key }.start(inputs, weights, how)
}

/// A run whose inputs are known to be good.
struct Run<'a> {
    args: &'a TrainArgs,
    common: &'a Common,
    gpu: Gpu,
    config: TrainConfig,
    settings: Value,
    key: String,
}

impl Run<'_> {
    fn start(&self, inputs: Inputs, weights: Weights, how: OpenRun) -> Result<Outcome, Failure> {
        let positions = inputs.longest();
        let load = |weights: &Weights| weights.load(&self.gpu, &inputs.model.config, positions);
        // A model that cannot be loaded must not cost the run that `--overwrite` replaces.
        let fresh = if how == OpenRun::Resume { None } else { Some(load(&weights)?) };
        let dir = RunDir::open(&self.args.out, how)?;
        let newest = match how {
            OpenRun::Resume => {
                self.check_settings(&dir)?;
                dir.checkpoints()?.pop()
            }
            OpenRun::New | OpenRun::Overwrite => None,
        };
        let resume = newest.as_ref().map(|checkpoint| read_state(&checkpoint.path)).transpose()?;
        if let Some((state, _)) = &resume
            && state.step >= self.config.steps
            && dir.join("model").exists()
        {
            return self.finish(&dir, state.step, None);
        }
        let model = match (fresh, &newest) {
            (Some(model), _) => model,
            (None, Some(checkpoint)) => load(&Weights::read(&checkpoint.path)?)?,
            (None, None) => load(&weights)?,
        };
        drop(weights);
        self.write_inputs(&dir, &inputs)?;
        let Inputs { model: model_dir, data, eval } = inputs;
        let state = resume.as_ref().map(|(state, _)| state.clone());
        let variants = match &state {
            Some(_) => None,
            None => Some(tuning::variants(&self.gpu, &self.config, &model, &data.trajectories)?),
        };
        let start = Start {
            model,
            data: data.trajectories,
            eval: eval.trajectories,
            key: self.key.clone(),
            reference: self.reference(&dir, newest.as_ref().map(|checkpoint| checkpoint.path.as_path()))?,
            variants,
            resume,
        };
        let trainer = Trainer::new(&self.gpu, &self.config, start)?;
        let done = state.as_ref().map(|state| state.step);
        if let Some(state) = &state {
            self.compare_device(state, &trainer);
        }
        let output = &self.args.output;
        let recorder = Recorder::new(
            &dir,
            &model_dir,
            &self.settings,
            &self.config,
            output.keep,
            output.tensorboard,
            done,
        )?;
        self.train(&dir, trainer, recorder)
    }

    /// Takes event after event until the run ends.
    fn train(
        &self,
        dir: &RunDir,
        mut trainer: Trainer,
        mut recorder: Recorder<'_>,
    ) -> Result<Outcome, Failure> {
        interrupt::watch()?;
        let first = trainer.steps_done();
        if self.args.output.profile.is_some() {
            trainer.start_profile();
        }
        let mut scoring: Option<Progress> = None;
        let mut progress: Option<Progress> = None;
        let new_progress =
            |what, total, done| Progress::new(what, total, done, self.common.quiet || self.common.json);
        let mut saved = None;
        let result = loop {
            if interrupt::asked() {
                trainer.stop();
            }
            let event = match pollster::block_on(trainer.next()) {
                Ok(Some(event)) => event,
                Ok(None) => break Ok(false),
                Err(error) => break Err(error),
            };
            self.profile(dir, &mut trainer, first)?;
            match event {
                Event::Scoring { done, total } => {
                    scoring
                        .get_or_insert_with(|| new_progress("reference log-probs", total as u64, 0))
                        .update(done as u64, "");
                }
                Event::Reference(bytes) => {
                    scoring = None;
                    // A later one, of a reset, is in the checkpoints: a run that starts over needs the first.
                    if trainer.steps_done() == 0 {
                        write_file(&dir.join(REFERENCE), &bytes)?;
                    }
                }
                Event::Step(metrics) => {
                    let message = step_message(metrics.loss, metrics.reward, metrics.tokens_per_s);
                    progress
                        .get_or_insert_with(|| new_progress("train", self.config.steps, first))
                        .update(metrics.step, &message);
                    recorder.step(&metrics)?;
                }
                Event::Evaluated(evaluation) => {
                    if let Some(progress) = progress.as_ref().filter(|_| !self.common.quiet) {
                        let auc = evaluation.auc.map_or_else(String::new, |auc| format!(", auc {auc:.3}"));
                        let best = if evaluation.best { ", the best so far" } else { "" };
                        let (step, loss) = (evaluation.step, evaluation.loss);
                        progress.say(&format!("held out after step {step}: loss {loss:.4}{auc}{best}"));
                    }
                    recorder.evaluated(&evaluation)?;
                }
                Event::Samples { step, samples } => recorder.samples(step, &samples)?,
                Event::Checkpoint(checkpoint) => saved = Some(recorder.checkpoint(&checkpoint)?),
                Event::Finished { complete, .. } => break Ok(complete),
            }
        };
        drop((scoring, progress));
        // Also of a run that failed: the curves say how it came to that.
        let last = recorder.report();
        let complete = result?;
        let last = last?;
        if complete {
            return self.finish(dir, self.config.steps, last);
        }
        let saved = saved.map_or_else(
            || "nothing was trained yet".to_owned(),
            |path| format!("saved in {}", path.display()),
        );
        Ok(Outcome::Interrupted { resume: format!("{saved}; go on with: {}", interrupt::resume_command()) })
    }

    /// Says where the model is.
    fn finish(&self, dir: &RunDir, step: u64, metrics: Option<Value>) -> Result<Outcome, Failure> {
        let model = dir.join("model");
        let text = if self.common.json {
            json!({"run": dir.path(), "model": model, "steps": step, "metrics": metrics}).to_string()
        } else {
            let already = if metrics.is_none() { "finished already: " } else { "" };
            format!("{already}model in {}, report in {}", model.display(), dir.join("report.html").display())
        };
        super::print(&format!("{text}\n"))?;
        Ok(Outcome::Done)
    }

    /// Writes what `--profile` measured, once enough steps are.
    fn profile(&self, dir: &RunDir, trainer: &mut Trainer, first: u64) -> Result<(), Failure> {
        let Some(file) = &self.args.output.profile else { return Ok(()) };
        if trainer.steps_done() < self.config.steps.min(first + PROFILED) {
            return Ok(());
        }
        let Some(profile) = trainer.take_profile() else { return Ok(()) };
        let default = dir.join("trace.json");
        super::write_profile(&profile, Some(file.as_deref().unwrap_or(&default)))
    }

    fn check_settings(&self, dir: &RunDir) -> Result<(), Failure> {
        let path = dir.join(CONFIG);
        if !path.exists() {
            return Ok(());
        }
        let saved = serde_json::from_slice(&read_file(&path)?).map_err(|error| {
            let what = format!("{} is damaged: {error}", path.display());
            Error::new(ErrorKind::Checkpoint, what, "restore it, or start again with --overwrite")
        })?;
        Ok(same_run(&saved, &self.settings)?)
    }

    /// Writes what the run is made of, and the lines that were set aside.
    fn write_inputs(&self, dir: &RunDir, inputs: &Inputs) -> Result<(), Failure> {
        let rejected: Vec<_> = inputs.data.rejected.iter().chain(&inputs.eval.rejected).collect();
        if self.args.records.skip_invalid {
            let mut text = String::new();
            for rejection in &rejected {
                text.push_str(&json!(rejection).to_string());
                text.push('\n');
            }
            write_file(&dir.join("rejected.jsonl"), text.as_bytes())?;
        }
        if !rejected.is_empty() {
            let file = dir.join("rejected.jsonl");
            eprintln!("{} invalid lines were set aside in {}", rejected.len(), file.display());
        }
        Ok(write_file(&dir.join(CONFIG), format!("{:#}\n", self.settings).as_bytes())?)
    }

    /// The reference's log-probs, where this run has computed them before.
    fn reference(
        &self,
        dir: &RunDir,
        checkpoint: Option<&std::path::Path>,
    ) -> Result<Option<Reference>, Failure> {
        let of_checkpoint = checkpoint.map(|path| path.join(REFERENCE)).filter(|path| path.exists());
        let path = of_checkpoint.unwrap_or_else(|| dir.join(REFERENCE));
        let found = match path.exists() {
            true => Reference::from_bytes(&read_file(&path)?, &self.key)?,
            false => None,
        };
        if found.is_none() && checkpoint.is_some() && self.config.objective.needs_reference() {
            // The weights at hand are no longer the reference's.
            let what = format!("{} is missing, or of another model or other data", path.display());
            return Err(Error::new(
                ErrorKind::Checkpoint,
                what,
                "restore it, or start again with --overwrite",
            )
            .into());
        }
        Ok(found)
    }

    /// A resumed run has the same bits only on the same device and kernels.
    fn compare_device(&self, state: &State, trainer: &Trainer) {
        let device = device_name(&self.gpu);
        if state.device != device {
            eprintln!("the run began on {}, and goes on on {device}: its bits may differ", state.device);
        } else if state.variants != trainer.variants() {
            eprintln!("the run began with other kernels: its bits may differ");
        }
    }
}
