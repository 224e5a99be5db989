//! A run under way: the trainer's events, with what belongs to each written into the store first.

use serde_json::{Value, json};

use super::checkpoints::{Point, REFERENCE};
use super::event::Event;
use super::files::{ModelFiles, WEIGHTS, Weights};
use super::given::Given;
use super::online::{OnlineInputs, OnlinePlan};
use super::options::Options;
use super::plan::{Inputs, Plan};
use super::recorder::{MODEL, Recorder};
use super::report::Stage;
use super::settings::{
    CONFIG, config_json, must_be_saved, online_config_json, reference_key, same_run, saved,
};
use super::store::Store;
use crate::data::record::Rejection;
use crate::data::trajectory::Trajectory;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Gpu, Profile};
use crate::model::Model;
use crate::online::{Online, OnlineConfig, OnlineStart, Question, Rewards};
use crate::ops::Names;
use crate::train::checkpoint::device_name;
use crate::train::tune::Tuned;
use crate::train::{Event as Trained, Reference, Start, State, TrainConfig, Trainer};

/// A run whose inputs are known to be good, and its config.json.
pub struct Setup {
    /// The files of the model.
    pub model: ModelFiles,
    /// The logged trajectories.
    pub data: Vec<Trajectory>,
    /// Held-out trajectories.
    pub eval: Vec<Trajectory>,
    /// The trainer's settings.
    pub config: TrainConfig,
    /// What config.json will say.
    pub settings: Value,
    /// Lines that were set aside; `None` where they stop a run.
    pub(crate) rejected: Option<Vec<Rejection>>,
    /// Checkpoints to keep besides the best.
    pub(crate) keep: usize,
    /// Marks the reference's log-probs.
    pub(crate) key: String,
    /// Of a run that draws its own completions.
    pub(crate) online: Option<Box<OnlineSetup>>,
}

/// What a run that draws its own completions needs besides.
pub struct OnlineSetup {
    /// The rollouts' settings.
    pub config: OnlineConfig,
    /// What completions are worth.
    pub rewards: Rewards,
    /// To train on.
    pub questions: Vec<Question>,
    /// Held out; may be empty.
    pub eval: Vec<Question>,
}

impl Setup {
    /// The setup of `plan` for a model whose weights have this hash.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where a number is not finite.
    pub fn new(gpu: &Gpu, plan: Plan, model_sha256: &str) -> Result<Setup> {
        let settings = config_json(&plan, gpu, model_sha256)?;
        let key = reference_key(&plan.inputs.model, plan.inputs.all(), &plan.config, model_sha256);
        let Plan { inputs: Inputs { model, data, eval }, options, config, .. } = plan;
        let rejected = data.rejected.into_iter().chain(eval.rejected).collect();
        Ok(Setup {
            model,
            data: data.trajectories,
            eval: eval.trajectories,
            config,
            settings,
            rejected: options.skip_invalid.unwrap_or_default().then_some(rejected),
            keep: options.keep(),
            key,
            online: None,
        })
    }

    /// The setup of an online `plan` for a model whose weights have this hash.
    ///
    /// # Errors
    /// As [`Setup::new`].
    pub fn online(gpu: &Gpu, plan: OnlinePlan, model_sha256: &str) -> Result<Setup> {
        let settings = online_config_json(&plan, gpu, model_sha256)?;
        let OnlinePlan { inputs, options, config, online, .. } = plan;
        let OnlineInputs { model, prompts, eval, data, rewards } = inputs;
        let key = reference_key(&model, data.trajectories.iter(), &config, model_sha256);
        let (questions, eval) = (prompts.questions, eval.questions);
        Ok(Setup {
            model,
            data: data.trajectories,
            eval: Vec::new(),
            config,
            settings,
            rejected: options.skip_invalid.unwrap_or_default().then_some(data.rejected),
            keep: options.keep(),
            key,
            online: Some(Box::new(OnlineSetup { config: online, rewards, questions, eval })),
        })
    }

    /// Where the run in `store` goes on: its newest checkpoint, if any.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`] when a run with other settings lies there, or its checkpoint is damaged.
    pub async fn point(&self, store: &impl Store) -> Result<Option<Point>> {
        if let Some(saved) = saved(store).await? {
            same_run(&saved, &self.settings)?;
        }
        Point::newest(store).await
    }

    /// Whether nothing is left to do after `point`.
    ///
    /// # Errors
    /// [`ErrorKind::Store`].
    pub async fn is_finished(&self, store: &impl Store, point: &Point) -> Result<bool> {
        let done = point.state.step >= self.config.steps;
        Ok(done && store.list(MODEL).await?.iter().any(|name| name == WEIGHTS))
    }
}

/// Where a run's completions come from.
enum Training {
    Logged(Box<Trainer>),
    Online(Box<Online>),
}

/// The same call of either.
macro_rules! either {
    ($training:expr, $it:ident => $call:expr) => {
        match $training {
            Training::Logged($it) => $call,
            Training::Online($it) => $call,
        }
    };
}

/// A run under way in `S`.
pub struct Run<S> {
    store: S,
    training: Training,
    recorder: Recorder,
    notes: Vec<String>,
    metrics: Option<Value>,
}

impl<S: Store> Run<S> {
    /// Starts a run in an empty store from the bytes of its files, which are kept there under `inputs/`. Kernels
    /// are those that were `tuned` for the device before, or are now.
    ///
    /// # Errors
    /// Those of reading and planning, before anything is written; [`ErrorKind::Store`]; as [`Trainer::new`].
    pub async fn start(
        gpu: &Gpu,
        store: S,
        given: Given,
        options: &Options,
        tuned: &mut Tuned,
    ) -> Result<Run<S>> {
        let plan = planned(gpu, &given, options)?;
        given.save(&store).await?;
        let weights = Weights::take(&given.name, given.model)?;
        let model = plan.load(gpu, &weights)?;
        let setup = Setup::new(gpu, plan, &weights.sha256())?;
        drop(weights);
        let variants = tuned.variants(gpu, &setup.config, &model, &setup.data).await?;
        Run::open(gpu, store, setup, model, None, Some(variants), None).await
    }

    /// Goes on with the run in `store` from its newest checkpoint, or from the beginning; `None` where it is finished.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`] when there is no run, or it is damaged; else as [`Run::start`].
    pub async fn resume(gpu: &Gpu, store: S, tuned: &mut Tuned) -> Result<Option<Run<S>>> {
        let config = must_be_saved(&store).await?;
        let given = Given::load(&store, &config).await?;
        let plan = planned(gpu, &given, &Options::of_config(&config)?)?;
        let weights = Weights::take(&given.name, given.model)?;
        let shape = plan.inputs.model.config.clone();
        let positions = plan.inputs.longest();
        let setup = Setup::new(gpu, plan, &weights.sha256())?;
        let point = setup.point(&store).await?;
        let model = match &point {
            Some(point) if setup.is_finished(&store, point).await? => return Ok(None),
            Some(point) => point.weights.load(gpu, &shape, positions)?,
            None => weights.load(gpu, &shape, positions)?,
        };
        drop(weights);
        let variants = match &point {
            Some(point) if point.state.device == device_name(gpu) => None,
            _ => Some(tuned.variants(gpu, &setup.config, &model, &setup.data).await?),
        };
        Run::open(gpu, store, setup, model, None, variants, point).await.map(Some)
    }

    /// Opens a run whose model is on the device: its own, with the weights of `point` where there is one. Writes what
    /// it is made of. `variants` are the kernels to use; after a `point` of this device its own. An online run that goes on
    /// is given its initial model once more, as the `reference`.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`] where the run's reference is missing; [`ErrorKind::Store`]; as [`Trainer::new`].
    pub async fn open(
        gpu: &Gpu,
        store: S,
        setup: Setup,
        model: Model,
        reference_model: Option<Model>,
        variants: Option<Names>,
        point: Option<Point>,
    ) -> Result<Run<S>> {
        let Setup { model: files, data, eval, config, settings, rejected, keep, key, online } = setup;
        let mut notes = Vec::new();
        if let Some(rejected) = rejected {
            let lines: String = rejected.iter().map(|rejection| format!("{}\n", json!(rejection))).collect();
            store.write("rejected.jsonl", lines.as_bytes()).await?;
            if !rejected.is_empty() {
                let file = store.place("rejected.jsonl");
                notes.push(format!("{} invalid lines were set aside in {file}", rejected.len()));
            }
        }
        store.write(CONFIG, format!("{settings:#}\n").as_bytes()).await?;
        let reference = reference(&store, &config, &key, data.len(), point.as_ref()).await?;
        let done = point.as_ref().map(|point| point.state.clone());
        let training = match online {
            None => {
                let resume = point.map(|point| (point.state, point.optimizer));
                let start = Start { model, data, eval, key, reference, variants, resume };
                Training::Logged(Box::new(Trainer::new(gpu, &config, start)?))
            }
            Some(online) => {
                let OnlineSetup { config: own, rewards, questions, eval } = *online;
                let (resume, reference_model) = went_on(gpu, &store, &model, reference_model, point)?;
                let start = OnlineStart {
                    model,
                    reference: reference_model,
                    tokenizer: files.tokenizer.clone(),
                    rewards,
                    questions,
                    eval,
                    data,
                    logged_reference: reference,
                    key,
                    variants,
                    resume,
                };
                Training::Online(Box::new(Online::new(gpu, &config, &own, start)?))
            }
        };
        if let Some(state) = &done {
            let device = device_name(gpu);
            // A resumed run has the same bits only on the same device and kernels.
            if state.device != device {
                notes.push(format!(
                    "the run began on {}, and goes on on {device}: its bits may differ",
                    state.device
                ));
            } else if state.variants != either!(&training, it => it.variants()) {
                notes.push("the run began with other kernels: its bits may differ".to_owned());
            }
        }
        let done = done.map(|state| state.step);
        let recorder = Recorder::new(&store, files, settings, &config, keep, done).await?;
        Ok(Run { store, training, recorder, notes, metrics: None })
    }

    /// Does the next piece of work; `None` after [`Event::Finished`]. What belongs to the event is written.
    ///
    /// # Errors
    /// As [`Trainer::next`]: the report then shows how it came to that. [`ErrorKind::Store`].
    pub async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            let trained = match either!(&mut self.training, it => it.next().await) {
                Ok(Some(trained)) => trained,
                Ok(None) => return Ok(None),
                Err(error) => {
                    // The error that ended the run is the one to tell, whatever becomes of the report.
                    let _ = self.report(&[]).await;
                    return Err(error);
                }
            };
            if let Some(event) = self.record(trained).await? {
                return Ok(Some(event));
            }
        }
    }

    async fn record(&mut self, trained: Trained) -> Result<Option<Event>> {
        let (store, recorder) = (&self.store, &mut self.recorder);
        Ok(Some(match trained {
            Trained::Scoring { done, total } => Event::Scoring { done, total },
            Trained::Reference(bytes) => {
                // A later one, of a reset, is in the checkpoints: a run that starts over needs the first.
                if either!(&self.training, it => it.steps_done()) == 0 {
                    store.write(REFERENCE, &bytes).await?;
                }
                return Ok(None);
            }
            Trained::Step(metrics) => {
                recorder.step(store, &metrics).await?;
                Event::Step { metrics }
            }
            Trained::Evaluated(evaluation) => {
                recorder.evaluated(&evaluation)?;
                Event::Evaluated(evaluation)
            }
            Trained::SetAside { name, completions } => {
                let lines: String = completions.iter().map(|it| format!("{}\n", json!(it))).collect();
                // A file of its own each time: what is done again after a resume replaces it.
                store.write(&format!("set-aside/{name}.jsonl"), lines.as_bytes()).await?;
                return Ok(None);
            }
            Trained::Rollouts(rollouts) => Event::Rollouts(rollouts),
            Trained::Measured(measured) => {
                recorder.evaluated(&measured)?;
                Event::Measured(measured)
            }
            Trained::Samples { step, samples } => {
                let samples = recorder.samples(store, step, &samples).await?;
                Event::Samples { step, samples }
            }
            Trained::Checkpoint(checkpoint) => {
                let step = checkpoint.state.step;
                let path = recorder.checkpoint(store, *checkpoint).await?;
                Event::Checkpoint { step, path }
            }
            Trained::Finished { step, complete } => {
                self.report(&[]).await?;
                Event::Finished { step, complete }
            }
        }))
    }

    /// Adds `eval/` values to the line of the step that was evaluated last.
    pub(crate) fn add(&mut self, values: &Value) -> Result<()> {
        self.recorder.evaluated(values)
    }

    /// Writes the report, with the accuracy after `stages`.
    pub(crate) async fn report(&mut self, stages: &[Stage]) -> Result<()> {
        self.metrics = self.recorder.report(&self.store, stages).await?;
        Ok(())
    }

    /// Asks the run to end: the next events are what is on its way, a checkpoint and [`Event::Finished`].
    pub fn stop(&mut self) {
        either!(&mut self.training, it => it.stop());
    }

    /// What a user should know at the beginning, a line each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The line of the last step, once the run is over.
    pub fn last_metrics(&self) -> Option<&Value> {
        self.metrics.as_ref()
    }

    /// The settings.
    pub fn config(&self) -> &TrainConfig {
        either!(&self.training, it => it.config())
    }

    /// Optimizer steps submitted so far.
    pub fn steps_done(&self) -> u64 {
        either!(&self.training, it => it.steps_done())
    }

    /// The model's files, as given.
    pub fn files(&self) -> &ModelFiles {
        self.recorder.model()
    }

    /// The model as it stands.
    pub fn model(&self) -> &Model {
        either!(&self.training, it => it.model())
    }

    /// Where the files are.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// As [`Trainer::start_profile`].
    pub fn start_profile(&mut self) {
        either!(&mut self.training, it => it.start_profile());
    }

    /// As [`Trainer::take_profile`].
    pub fn take_profile(&mut self) -> Option<Profile> {
        either!(&mut self.training, it => it.take_profile())
    }
}

fn planned(gpu: &Gpu, given: &Given, options: &Options) -> Result<Plan> {
    let model = ModelFiles::parse(&given.name, &given.model)?;
    let inputs = Inputs::read(model, &given.data, &given.eval, options)?;
    Plan::new(gpu, inputs, options.clone(), None)
}

/// What an online run goes on from: `rollouts.safetensors` beside the rest, and the reference's weights.
type WentOn = (Option<(State, Vec<u8>, Vec<u8>)>, Option<Model>);

fn went_on(
    gpu: &Gpu,
    store: &impl Store,
    model: &Model,
    initial: Option<Model>,
    point: Option<Point>,
) -> Result<WentOn> {
    let Some(Point { path, state, optimizer, rollouts, reference_model, .. }) = point else {
        return Ok((None, None));
    };
    let missing = |what: &str| {
        let what = format!("{}: {what} is missing", store.place(&path));
        Error::new(ErrorKind::Checkpoint, what, "restore it, remove the checkpoint, or start again")
    };
    let rollouts = rollouts.ok_or_else(|| missing("rollouts.safetensors"))?;
    let reference = match reference_model {
        Some(bytes) => {
            let files = [(WEIGHTS, bytes.as_slice())];
            Model::load(gpu, &model.config, model.positions(), &files, None)?
        }
        None => initial.ok_or_else(|| missing("the initial model, which is the reference,"))?,
    };
    Ok((Some((state, optimizer, rollouts)), Some(reference)))
}

/// The reference's log-probs, where this run has computed them before.
async fn reference(
    store: &impl Store,
    config: &TrainConfig,
    key: &str,
    records: usize,
    point: Option<&Point>,
) -> Result<Option<Reference>> {
    let moved =
        point.and_then(|point| Some((format!("{}/{REFERENCE}", point.path), point.reference.clone()?)));
    let (path, bytes) = match moved {
        Some((path, bytes)) => (path, Some(bytes)),
        None => (REFERENCE.to_owned(), store.read(REFERENCE).await?),
    };
    let found = match bytes {
        Some(bytes) => Reference::from_bytes(&bytes, key)?,
        None => None,
    };
    if found.is_none() && records > 0 && point.is_some() && config.needs().reference {
        // The weights at hand are no longer the reference's.
        let what = format!("{} is missing, or of another model or other data", store.place(&path));
        return Err(Error::new(ErrorKind::Checkpoint, what, "restore it, or start again"));
    }
    Ok(found)
}
