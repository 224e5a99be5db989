//! The lab in a tab: a race to the optimum, the checks of the theory, comparisons on a small budget. The core's, with what
//! it tells as plain objects.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;

use js_sys::{Function, Promise};
use serde::Serialize;
use tbrm_core::lab::compare::{CompareConfig, Trial, compare, so_far, work};
use tbrm_core::lab::{Arm, LabEvent};
use tbrm_core::objective::Objective;
use tbrm_core::task::{LEVELS, NAMES, by_name};
use tbrm_core::theory::race::{RACERS, Race, RaceConfig};
use tbrm_core::theory::{self, CHECKS, TheoryEvent, report};
use tbrm_core::train::tune::Tuned;
use tbrm_core::{Error, ErrorKind};
use wasm_bindgen::prelude::*;

use crate::fault::Result;
use crate::gpu::Gpu;
use crate::macrotask::Macrotasks;
use crate::object::{setting, to_js};
use crate::owned::Owned;
use crate::store::JsStore;

/// One piece of work at a time. `free()` ends it where it stands, and frees the GPU's memory.
#[wasm_bindgen]
pub struct Lab {
    desk: Owned<Desk>,
    stopping: Rc<Cell<bool>>,
}

struct Desk {
    gpu: tbrm_core::Gpu,
    tuned: Rc<RefCell<Tuned>>,
    macrotasks: Macrotasks,
}

#[derive(Serialize)]
pub(crate) struct LabOptions {
    tasks: Vec<Choice>,
    levels: Vec<usize>,
    objectives: Vec<&'static str>,
    racers: Vec<&'static str>,
    race: RaceConfig,
    checks: Vec<Choice>,
    trial: Trial,
}

/// A task or a check.
#[derive(Serialize)]
pub(crate) struct Choice {
    name: &'static str,
    about: String,
}

#[wasm_bindgen]
impl Lab {
    /// A lab on this device.
    #[wasm_bindgen(constructor)]
    pub fn new(gpu: &Gpu) -> Result<Lab> {
        let (tuned, macrotasks) = (gpu.shared_tuned(), Macrotasks::new()?);
        let desk = Desk { gpu: gpu.inner().clone(), tuned, macrotasks };
        Ok(Lab { desk: Owned::new(gpu.inner(), desk), stopping: Rc::default() })
    }

    /// Objectives beside one another on a token tree; `ontold` hears of every step and look. False where it was stopped.
    #[wasm_bindgen(unchecked_return_type = "Promise<boolean>")]
    pub fn race(
        &self,
        #[wasm_bindgen(unchecked_param_type = "Partial<RaceConfig>")] config: JsValue,
        #[wasm_bindgen(unchecked_param_type = "(event: RaceEvent) => void")] ontold: Function,
    ) -> Promise {
        let stopping = self.stopping.clone();
        self.work(async move |Desk { gpu, macrotasks, .. }| {
            let mut race = Race::new(gpu, &setting(&config)?).await?;
            while let Some(event) = race.next().await? {
                tell(&ontold, &event)?;
                // Before the next work, so that a request to stop is heard before the device gets more.
                macrotasks.next().await?;
                if stopping.get() {
                    return Ok(JsValue::FALSE);
                }
            }
            Ok(JsValue::TRUE)
        })
    }

    /// The checks of `tbrm theory` that `only` names, all where it names none; `ontold` hears of each training and result.
    /// Returns the report, one HTML file.
    #[wasm_bindgen(unchecked_return_type = "Promise<string>")]
    pub fn checks(
        &self,
        only: Vec<String>,
        seed: u32,
        #[wasm_bindgen(unchecked_param_type = "(event: TheoryEvent) => void")] ontold: Function,
    ) -> Promise {
        self.work(async move |Desk { gpu, .. }| {
            let told = |event: TheoryEvent| {
                // Who does not want to hear of it any more still gets the report.
                let _ = tell(&ontold, &event);
            };
            let checks = theory::run(gpu, seed.into(), &only, told).await?;
            let subtitle = format!("seed {seed} · {} · tbrm {}", gpu.info().name, env!("CARGO_PKG_VERSION"));
            Ok(JsValue::from(report::render(&checks, &subtitle)))
        })
    }

    /// Objectives side by side in `store`, which keeps what is done and, at the end, the report. Goes on with the comparison
    /// that lies there, or begins the one that `trial` describes. False where it was stopped.
    #[wasm_bindgen(unchecked_return_type = "Promise<boolean>")]
    pub fn compare(
        &self,
        store: JsStore,
        #[wasm_bindgen(unchecked_param_type = "(event: LabEvent) => void")] ontold: Function,
        #[wasm_bindgen(unchecked_optional_param_type = "Partial<Trial>")] trial: JsValue,
    ) -> Promise {
        let stopping = self.stopping.clone();
        self.work(async move |Desk { gpu, tuned, .. }| {
            let config = match so_far(&store).await? {
                Some(found) => found.config,
                None if trial.is_undefined() => return Err(missing().into()),
                None => asked(&trial)?,
            };
            let mut found = tuned.borrow().clone();
            let mut told = |event: LabEvent| tell(&ontold, &event).is_ok() && !stopping.get();
            let done = compare(gpu, Rc::new(store), &config, None, &mut found, &mut told).await?;
            tuned.replace(found);
            Ok(JsValue::from(done.is_some()))
        })
    }

    /// Asks a race or a comparison to end: it does within a step.
    pub fn stop(&self) {
        self.stopping.set(true);
    }
}

impl Lab {
    fn work(&self, work: impl AsyncFnOnce(&mut Desk) -> Result<JsValue> + 'static) -> Promise {
        self.desk.work(async move |desk| apart(work(desk)).await)
    }
}

/// A future behind a pointer. The code of one that is awaited as it is becomes part of whoever awaits it, and that is not this module,
/// where the page's wasm is cut.
fn apart<'a, T>(work: impl Future<Output = T> + 'a) -> Pin<Box<dyn Future<Output = T> + 'a>> {
    Box::pin(work)
}

/// What can be chosen in the lab, and what is chosen where nothing is.
#[wasm_bindgen(unchecked_return_type = "LabOptions")]
pub fn lab_options() -> Result<JsValue> {
    Ok(to_js(&options()?))
}

pub(crate) fn options() -> tbrm_core::Result<LabOptions> {
    let task = |name: &'static str| Ok(Choice { name, about: by_name(name)?.description() });
    Ok(LabOptions {
        tasks: NAMES.into_iter().map(task).collect::<tbrm_core::Result<_>>()?,
        levels: LEVELS.collect(),
        objectives: Arm::contenders().map(Objective::name).collect(),
        racers: RACERS.map(Objective::name).into(),
        race: RaceConfig::default(),
        checks: CHECKS.map(|(name, about)| Choice { name, about: about.to_owned() }).into(),
        trial: Trial::default(),
    })
}

/// What a comparison will take. Nothing is allocated for it.
#[wasm_bindgen(unchecked_return_type = "LabWork")]
pub async fn lab_estimate(
    gpu: &Gpu,
    #[wasm_bindgen(unchecked_param_type = "Partial<Trial>")] trial: JsValue,
) -> Result<JsValue> {
    apart(async { Ok(to_js(&work(gpu.inner(), &asked(&trial)?)?)) }).await
}

/// Where the comparison in `store` stands, without a device; undefined where there is none.
#[wasm_bindgen(unchecked_return_type = "SoFar | undefined")]
pub async fn lab_look(store: JsStore) -> Result<JsValue> {
    apart(async { Ok(so_far(&store).await?.map_or(JsValue::UNDEFINED, |found| to_js(&found))) }).await
}

fn asked(trial: &JsValue) -> Result<CompareConfig> {
    let trial: Trial = setting(trial)?;
    Ok(trial.config()?)
}

fn missing() -> Error {
    Error::new(ErrorKind::Checkpoint, "there is no comparison to go on with", "begin another one")
}

fn tell(ontold: &Function, event: &impl Serialize) -> Result<(), JsValue> {
    ontold.call1(&JsValue::NULL, &to_js(event)).map(drop)
}
