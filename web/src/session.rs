//! A run being trained: the core's, with its events as plain objects and its files in the worker's store.

use std::cell::Cell;
use std::rc::Rc;

use js_sys::Promise;
use serde_json::{Value, json};
use tbrm_core::demo::{Demo, DemoConfig, DemoEvent, DemoRun};
use tbrm_core::run::{Event, Options, Run, settings};
use tbrm_core::{Error, ErrorKind};
use wasm_bindgen::prelude::*;

use crate::fault::Result;
use crate::gpu::Gpu;
use crate::macrotask::Macrotasks;
use crate::object::to_js;
use crate::online::{self, JsJudge};
use crate::owned::{Owned, guarded};
use crate::spec::{RunSpec, Source, Spec};
use crate::store::JsStore;

/// A run under way. `free()` frees the GPU's memory, even while `next()` is pending.
#[wasm_bindgen]
pub struct Session {
    training: Owned<Training>,
    stopping: Rc<Cell<bool>>,
    notes: Vec<String>,
}

/// What is trained, and how the worker hears its messages meanwhile.
struct Training {
    what: What,
    macrotasks: Macrotasks,
}

enum What {
    Run(Box<Run<JsStore>>),
    Demo { story: Box<DemoRun<JsStore>>, step: u64 },
}

#[wasm_bindgen]
impl Session {
    /// Starts a run in an empty store; what it is made of is kept there. `judge` asks the functions that are rewards.
    #[wasm_bindgen(unchecked_return_type = "Session")]
    pub async fn start(gpu: &Gpu, store: JsStore, spec: RunSpec, judge: Option<JsJudge>) -> Result<Session> {
        guarded(gpu.inner(), async {
            let spec = spec.read()?;
            if spec.prompts.is_some() {
                let run = online::start(gpu, store, spec, judge.as_ref()).await?;
                return Session::new(gpu, What::Run(Box::new(run)));
            }
            let mut tuned = gpu.tuned();
            let what = match &spec.model {
                Source::Demo => {
                    let demo = demo(&spec)?;
                    let model = demo.fresh_model(gpu.inner())?;
                    let config = &demo.config.tbrm;
                    let variants = tuned.variants(gpu.inner(), config, &model, demo.data()).await?;
                    drop(model);
                    told(DemoRun::start(gpu.inner(), store, demo, Some(variants)).await?)
                }
                _ => {
                    let options = Options::parse(&spec.settings)?;
                    let given = spec.given(&options)?;
                    What::Run(Box::new(Run::start(gpu.inner(), store, given, &options, &mut tuned).await?))
                }
            };
            gpu.keep_tuned(tuned);
            Session::new(gpu, what)
        })
        .await
    }

    /// Goes on with the run in the store from its newest checkpoint, or from the beginning.
    #[wasm_bindgen(unchecked_return_type = "Session")]
    pub async fn resume(gpu: &Gpu, store: JsStore, judge: Option<JsJudge>) -> Result<Session> {
        guarded(gpu.inner(), async {
            let config = settings::saved(&store).await?;
            let has = |key: &str| config.as_ref().is_some_and(|config| !config[key].is_null());
            let what = if has("prompts") {
                let run = online::resume(gpu, store, judge.as_ref()).await?;
                run.map(|run| What::Run(Box::new(run)))
            } else if has("demo") {
                DemoRun::resume(gpu.inner(), store).await?.map(told)
            } else {
                let mut tuned = gpu.tuned();
                let run = Run::resume(gpu.inner(), store, &mut tuned).await?;
                gpu.keep_tuned(tuned);
                run.map(|run| What::Run(Box::new(run)))
            };
            let what = what.ok_or_else(|| {
                let help = "start another one from its model";
                Error::new(ErrorKind::Checkpoint, "the run is finished: nothing is left to do", help)
            })?;
            Session::new(gpu, what)
        })
        .await
    }

    fn new(gpu: &Gpu, what: What) -> Result<Session> {
        let notes = match &what {
            What::Run(run) => run.notes().to_vec(),
            What::Demo { .. } => Vec::new(),
        };
        let training = Training { what, macrotasks: Macrotasks::new()? };
        Ok(Session { training: Owned::new(gpu.inner(), training), stopping: Rc::default(), notes })
    }

    /// Does the next piece of work; undefined when there is none. What belongs to the event is in the store by then.
    #[wasm_bindgen(unchecked_return_type = "Promise<RunEvent | undefined>")]
    pub fn next(&self) -> Promise {
        let stopping = self.stopping.clone();
        self.training.work(async move |training| {
            if stopping.get() {
                training.what.stop();
            }
            // Before the work, so that what was asked of the worker meanwhile is heard before the device gets more.
            training.macrotasks.next().await?;
            Ok(training.what.next().await?.map_or(JsValue::UNDEFINED, |event| to_js(&event)))
        })
    }

    /// Asks the run to end: the next events are what is on its way, a checkpoint, and the last.
    pub fn stop(&self) {
        self.stopping.set(true);
    }

    /// What a person should know at the beginning, a line each.
    pub fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}

fn told(story: DemoRun<JsStore>) -> What {
    What::Demo { story: Box::new(story), step: 0 }
}

/// The demo that `spec` asks for.
pub(crate) fn demo(spec: &Spec) -> Result<Demo> {
    let (mut seed, mut short) = (0, false);
    for (name, value) in spec.settings.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null())
    {
        let known = match name.as_str() {
            "seed" => value.as_u64().map(|value| seed = value),
            "short" => value.as_bool().map(|value| short = value),
            _ => None,
        };
        if known.is_none() {
            let what = format!("the demo cannot be told with `{name}` {value}");
            let help = "it takes a `seed`, and `short`, true or false";
            return Err(Error::new(ErrorKind::Config, what, help).into());
        }
    }
    let config = DemoConfig::new(seed);
    Ok(Demo::new(if short { config.shortened() } else { config })?)
}

impl What {
    fn stop(&mut self) {
        match self {
            What::Run(run) => run.stop(),
            What::Demo { story, .. } => story.stop(),
        }
    }

    async fn next(&mut self) -> tbrm_core::Result<Option<Value>> {
        match self {
            What::Run(run) => Ok(run.next().await?.map(|event| json!(event))),
            What::Demo { story, step } => {
                let event = story.next().await?;
                Ok(event.map(|event| as_runs_tell_it(&event, &story.demo().config, step)))
            }
        }
    }
}

/// The demo's event, as much like a run's as it can be: `step` is where its stage stands.
fn as_runs_tell_it(event: &DemoEvent, config: &DemoConfig, step: &mut u64) -> Value {
    match event {
        DemoEvent::Stage { stage, done, .. } => {
            *step = *done;
            let mut told = json!(event);
            told["description"] = stage.description().into();
            told
        }
        DemoEvent::Train { event: inner, .. } => {
            if let Event::Step { metrics } = inner {
                *step = metrics.step;
            }
            json!(event)
        }
        DemoEvent::Trained { stage, .. } => {
            let mut told = json!(event);
            told["type"] = "accuracy".into();
            told["step"] = config.of(*stage).steps.into();
            told
        }
        DemoEvent::Done { complete } => json!({"type": "finished", "step": *step, "complete": complete}),
        DemoEvent::Accuracy { .. } => json!(event),
    }
}
