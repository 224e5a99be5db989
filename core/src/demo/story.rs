//! The demo under way: stage after stage, an event at a time, in a store from which it can go on.

use std::collections::VecDeque;
use std::rc::Rc;

use serde_json::{Value, json};

use super::{Accuracy, Demo, DemoConfig, DemoEvent, Outcome, Stage, as_records};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;
use crate::model::Model;
use crate::online::Rewards;
use crate::ops::Names;
use crate::platform::now;
use crate::rollout::Rollout;
use crate::run::checkpoints::{self, Point};
use crate::run::files::sha256;
use crate::run::recorder::{MODEL, report_again};
use crate::run::within::Within;
use crate::run::{self, Event, ModelFiles, OnlineSetup, Run, Setup, Store, report, settings};
use crate::task::Task;
use crate::train::checkpoint::device_name;
use crate::train::{Event as Trained, Start, Trainer};

/// The folder of the warm start's model, and of its checkpoint until it is over.
const WARM_START: &str = "warm-start";
/// The folder of the online stage's run.
const ONLINE: &str = "online";
/// The demonstrations.
const LOGS: &str = "logs.jsonl";
/// What came of the stages.
const STAGES: &str = "stages.json";

/// A stage under way. The run in the store is TBRM's: the warm start is what it is given, as `train` is given a model.
enum Training<S> {
    WarmStart(Box<Trainer>),
    Tbrm(Box<Run<Rc<S>>>),
    /// A run of its own, in a folder of the store.
    Online(Box<Run<Within<S>>>),
}

/// The story under way in `S`.
pub struct DemoRun<S> {
    gpu: Gpu,
    store: Rc<S>,
    demo: Demo,
    files: ModelFiles,
    settings: Value,
    variants: Option<Names>,
    model: Model,
    rollout: Rollout,
    training: Option<Training<S>>,
    outcomes: Vec<Outcome>,
    events: VecDeque<DemoEvent>,
    stopping: bool,
    ended: bool,
}

impl<S: Store> DemoRun<S> {
    /// Begins the story in an empty store, with these kernels, or the table's.
    ///
    /// # Errors
    /// [`ErrorKind::Store`]; those of [`Trainer`] and [`Rollout`].
    pub async fn start(gpu: &Gpu, store: S, demo: Demo, variants: Option<Names>) -> Result<DemoRun<S>> {
        let settings = json!({
            "objective": demo.config.tbrm.objective,
            "task": demo.task.description(),
            "demo": demo.config,
            "variants": variants,
            "adapter": gpu.info().name,
            "driver": device_name(gpu),
            "tbrm_version": env!("CARGO_PKG_VERSION"),
        });
        store.write(LOGS, as_records(&demo.logs).as_bytes()).await?;
        store.write(STAGES, b"[]").await?;
        store.write(settings::CONFIG, format!("{settings:#}\n").as_bytes()).await?;
        let model = demo.fresh_model(gpu)?;
        DemoRun::open(gpu, Rc::new(store), demo, settings, model, Vec::new(), None).await
    }

    /// Goes on with the story in `store`; `None` where it was told to its end.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`] when there is no story, or it is damaged; else as [`DemoRun::start`].
    pub async fn resume(gpu: &Gpu, store: S) -> Result<Option<DemoRun<S>>> {
        let Some((config, settings)) = saved(&store).await? else {
            let what = format!("{}: there is no demo to resume", store.place(settings::CONFIG));
            return Err(Error::new(ErrorKind::Checkpoint, what, "start one"));
        };
        let outcomes = outcomes(&store).await?;
        let demo = Demo::new(config)?;
        let positions = demo.model.max_position_embeddings;
        let over = |stage| outcomes.iter().any(|o| o.stage == stage && o.accuracy.is_some());
        if over(Stage::Online) {
            return Ok(None);
        }
        let store = Rc::new(store);
        let (point, before) = if over(Stage::Tbrm) {
            (Point::newest(&Within::new(store.clone(), ONLINE)).await?, Some(MODEL))
        } else if over(Stage::WarmStart) {
            (Point::newest(&store).await?, Some(WARM_START))
        } else {
            (Point::read(&store, WARM_START).await?, None)
        };
        let model = match (&point, before) {
            (Some(point), _) => point.weights.load(gpu, &demo.model, positions)?,
            (None, Some(folder)) => {
                checkpoints::weights(&store, folder).await?.load(gpu, &demo.model, positions)?
            }
            (None, None) => demo.fresh_model(gpu)?,
        };
        DemoRun::open(gpu, store, demo, settings, model, outcomes, point).await.map(Some)
    }

    async fn open(
        gpu: &Gpu,
        store: Rc<S>,
        demo: Demo,
        settings: Value,
        model: Model,
        outcomes: Vec<Outcome>,
        point: Option<Point>,
    ) -> Result<DemoRun<S>> {
        // Another device may not have the kernels of the one where the story began.
        let here = settings["driver"] == device_name(gpu);
        let variants: Option<Names> =
            here.then(|| serde_json::from_value(settings["variants"].clone()).ok().flatten()).flatten();
        let rollout = Rollout::with_variants(gpu, &model, demo.rollout_config(), variants.as_ref())?;
        let mut files = ModelFiles::fresh(WARM_START, demo.model.clone(), demo.tokenizer.clone());
        files.name = store.place(WARM_START);
        let mut story = DemoRun {
            gpu: gpu.clone(),
            store,
            demo,
            files,
            settings,
            variants,
            model,
            rollout,
            training: None,
            outcomes,
            events: VecDeque::new(),
            stopping: false,
            ended: false,
        };
        story.begin(point).await?;
        Ok(story)
    }

    /// Begins the stage that is not over yet, or goes on with it after `point`.
    async fn begin(&mut self, point: Option<Point>) -> Result<()> {
        let Demo { config, data, eval, .. } = &self.demo;
        let over = self.outcomes.iter().filter(|outcome| outcome.accuracy.is_some()).count();
        let stage = Stage::ALL[over];
        if self.outcomes.len() == over {
            self.outcomes.push(Outcome { stage, seconds: 0.0, accuracy: None });
        }
        let done = point.as_ref().map_or(0, |point| point.state.step);
        self.events.push_back(DemoEvent::Stage { stage, done, steps: config.of(stage).steps });
        self.training = Some(match stage {
            Stage::WarmStart => {
                let start = Start {
                    model: self.model.clone(),
                    data: data.clone(),
                    eval: Vec::new(),
                    key: String::new(),
                    reference: None,
                    variants: self.variants.clone(),
                    resume: point.map(|point| (point.state, point.optimizer)),
                };
                Training::WarmStart(Box::new(Trainer::new(&self.gpu, config.of(stage), start)?))
            }
            Stage::Tbrm => {
                let warm = format!("{WARM_START}/{}", run::files::WEIGHTS);
                let weights = self.store.read(&warm).await?.unwrap_or_default();
                let setup = Setup {
                    model: self.files.clone(),
                    data: data.clone(),
                    eval: eval.clone(),
                    config: config.of(stage).clone(),
                    settings: self.settings.clone(),
                    rejected: None,
                    keep: 1,
                    // The data is drawn from the settings, which are the store's own.
                    key: sha256([weights.as_slice()]),
                    online: None,
                };
                let (store, model) = (self.store.clone(), self.model.clone());
                let run =
                    Run::open(&self.gpu, store, setup, model, None, self.variants.clone(), point).await?;
                Training::Tbrm(Box::new(run))
            }
            Stage::Online => Training::Online(Box::new(self.online_run(point).await?)),
        });
        Ok(())
    }

    /// The run of the last stage, which begins with the model that the one before ended with.
    async fn online_run(&self, point: Option<Point>) -> Result<Run<Within<S>>> {
        let Demo { config, split, .. } = &self.demo;
        let DemoConfig { online, rollouts, .. } = config;
        let mut settings = json!(online);
        settings["rollouts"] = json!(rollouts);
        settings["task"] = self.demo.task.description().into();
        let setup = Setup {
            model: self.files.clone(),
            data: Vec::new(),
            eval: Vec::new(),
            config: online.clone(),
            settings,
            rejected: None,
            keep: 1,
            key: String::new(),
            online: Some(Box::new(OnlineSetup {
                config: rollouts.clone(),
                rewards: Rewards::parse(&rollouts.rewards, &rollouts.reward_weights)?,
                questions: self.demo.questions(&split.train)?,
                eval: self.demo.questions(&split.held_out)?,
            })),
        };
        let (model, positions) = (self.model.clone(), self.demo.model.max_position_embeddings);
        let reference = match point {
            None => None,
            Some(_) => {
                let weights = checkpoints::weights(&self.store, MODEL).await?;
                Some(weights.load(&self.gpu, &self.demo.model, positions)?)
            }
        };
        let store = Within::new(self.store.clone(), ONLINE);
        Run::open(&self.gpu, store, setup, model, reference, self.variants.clone(), point).await
    }

    /// Does the next piece of work; `None` after [`DemoEvent::Done`]. What belongs to the event is written.
    ///
    /// # Errors
    /// As [`DemoRun::start`]; the story is then over.
    pub async fn next(&mut self) -> Result<Option<DemoEvent>> {
        while self.events.is_empty() && !self.ended {
            let work = match self.training.take() {
                Some(Training::WarmStart(trainer)) => self.warm_start(trainer).await,
                Some(Training::Tbrm(run)) => self.tbrm(run).await,
                Some(Training::Online(run)) => self.online(run).await,
                None if self.stopping => {
                    self.end(false);
                    Ok(())
                }
                None => self.begin(None).await,
            };
            self.ended |= work.is_err();
            work?;
        }
        Ok(self.events.pop_front())
    }

    async fn warm_start(&mut self, mut trainer: Box<Trainer>) -> Result<()> {
        let stage = Stage::WarmStart;
        if self.stopping {
            trainer.stop();
        }
        let began = now();
        let event = trainer.next().await?;
        self.count(began);
        let event = match event {
            Some(Trained::Step(metrics)) => Event::Step { metrics },
            Some(Trained::Checkpoint(checkpoint)) => {
                checkpoints::write(&*self.store, WARM_START, &self.files, &checkpoint).await?;
                self.save_outcomes().await?;
                Event::Checkpoint { step: checkpoint.state.step, path: WARM_START.to_owned() }
            }
            Some(Trained::Finished { complete: true, .. }) => {
                self.finish(stage).await?;
                // The model stays; nothing goes on from here any more.
                return checkpoints::strip(&*self.store, WARM_START).await;
            }
            Some(Trained::Finished { .. }) | None => {
                self.end(false);
                return Ok(());
            }
            // Of a stage without held-out records nothing else is worth telling.
            Some(_) => {
                self.training = Some(Training::WarmStart(trainer));
                return Ok(());
            }
        };
        self.training = Some(Training::WarmStart(trainer));
        self.events.push_back(DemoEvent::Train { stage, event });
        Ok(())
    }

    async fn tbrm(&mut self, mut run: Box<Run<Rc<S>>>) -> Result<()> {
        match self.go_on(Stage::Tbrm, &mut run).await? {
            Some(Event::Evaluated(evaluation)) => {
                let (stage, step) = (Stage::Tbrm, evaluation.step);
                let accuracy = self.demo.accuracy(&mut self.rollout).await?;
                run.add(&json!({"eval/accuracy": accuracy.mean}))?;
                self.events.push_back(DemoEvent::Accuracy { stage, step, accuracy });
            }
            Some(Event::Finished { complete, .. }) => {
                run.report(&self.rows()).await?;
                if !complete {
                    self.end(false);
                }
                return Ok(());
            }
            Some(_) => {}
            None => {
                self.end(false);
                return Ok(());
            }
        }
        self.training = Some(Training::Tbrm(run));
        Ok(())
    }

    async fn online(&mut self, mut run: Box<Run<Within<S>>>) -> Result<()> {
        match self.go_on(Stage::Online, &mut run).await? {
            Some(Event::Finished { complete, .. }) => {
                if complete {
                    let rows = self.rows();
                    run.report(&rows).await?;
                    let last = self.demo.config.tbrm.steps;
                    report_again(&self.store, &self.settings, &rows, last).await?;
                }
                self.end(complete);
                return Ok(());
            }
            Some(_) => {}
            None => {
                self.end(false);
                return Ok(());
            }
        }
        self.training = Some(Training::Online(run));
        Ok(())
    }

    /// The next event of a stage that is a run, told; its accuracy once it is complete.
    async fn go_on<T: Store>(&mut self, stage: Stage, run: &mut Run<T>) -> Result<Option<Event>> {
        if self.stopping {
            run.stop();
        }
        let began = now();
        let event = run.next().await?;
        self.count(began);
        let Some(event) = event else { return Ok(None) };
        match &event {
            Event::Finished { complete: true, .. } => self.finish(stage).await?,
            Event::Finished { complete: false, .. } => {}
            Event::Checkpoint { .. } => {
                self.save_outcomes().await?;
                self.events.push_back(DemoEvent::Train { stage, event: event.clone() });
            }
            _ => self.events.push_back(DemoEvent::Train { stage, event: event.clone() }),
        }
        Ok(Some(event))
    }

    /// Measures what came of a stage.
    async fn finish(&mut self, stage: Stage) -> Result<()> {
        let accuracy = self.demo.accuracy(&mut self.rollout).await?;
        let outcome = self.outcome();
        outcome.accuracy = Some(accuracy);
        let seconds = outcome.seconds;
        self.save_outcomes().await?;
        self.events.push_back(DemoEvent::Trained { stage, accuracy, seconds });
        Ok(())
    }

    fn end(&mut self, complete: bool) {
        self.ended = true;
        self.events.push_back(DemoEvent::Done { complete });
    }

    /// Adds the time since `began` to the stage's.
    fn count(&mut self, began: f64) {
        self.outcome().seconds += now() - began;
    }

    fn outcome(&mut self) -> &mut Outcome {
        self.outcomes.last_mut().expect("a stage has begun")
    }

    async fn save_outcomes(&self) -> Result<()> {
        self.store.write(STAGES, format!("{:#}\n", json!(self.outcomes)).as_bytes()).await
    }

    /// The report's table.
    fn rows(&self) -> Vec<report::Stage> {
        let row = |outcome: &Outcome| {
            let Accuracy { mean, stderr } = outcome.accuracy?;
            Some(report::Stage { name: outcome.stage.description().to_owned(), accuracy: mean, stderr })
        };
        self.outcomes.iter().filter_map(row).collect()
    }

    /// Asks the story to end: the next events are what is on its way, a checkpoint and [`DemoEvent::Done`].
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// What the story is told with.
    pub fn demo(&self) -> &Demo {
        &self.demo
    }

    /// What came of the stages so far.
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// The model's files, without weights.
    pub fn files(&self) -> &ModelFiles {
        &self.files
    }

    /// The model as it stands.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Where the files are.
    pub fn store(&self) -> &S {
        &self.store
    }
}

/// The settings of the demo in `store`, and its config.json, where there is one.
///
/// # Errors
/// [`ErrorKind::Checkpoint`] when it is another run's, or damaged; [`ErrorKind::Store`].
pub async fn saved(store: &impl Store) -> Result<Option<(DemoConfig, Value)>> {
    let Some(settings) = settings::saved(store).await? else { return Ok(None) };
    let config = serde_json::from_value(settings["demo"].clone()).map_err(|error| {
        let what = format!("{} is not that of a demo: {error}", store.place(settings::CONFIG));
        Error::new(ErrorKind::Checkpoint, what, "resume it as what it is, or start again")
    })?;
    Ok(Some((config, settings)))
}

/// What came of the stages of the demo in `store`.
///
/// # Errors
/// [`ErrorKind::Checkpoint`] when the file is damaged; [`ErrorKind::Store`].
pub async fn outcomes(store: &impl Store) -> Result<Vec<Outcome>> {
    let bytes = store.read(STAGES).await?.unwrap_or_else(|| b"[]".to_vec());
    serde_json::from_slice(&bytes).map_err(|error| {
        let what = format!("{} is damaged: {error}", store.place(STAGES));
        Error::new(ErrorKind::Checkpoint, what, "restore it, or start again")
    })
}
