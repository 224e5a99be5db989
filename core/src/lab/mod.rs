//! The lab: experiments of many runs, on an embedded task or on a user's own prompts and logs. [`compare`] trains every objective on the
//! same budget, [`sweep`] one objective at many settings from logs, [`pilot`] says what logs are good for. Each is resumable in its store
//! (what is done is kept) and ends in one report.

mod arm;
pub mod compare;
mod drawing;
pub mod offline;
pub mod pilot;
pub mod start;
pub mod stats;
pub mod sweep;

use serde::Serialize;
use serde_json::{Value, json};

use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;
use crate::run::settings::{CONFIG, saved};
use crate::run::{Event, Run, Store};
use crate::train::checkpoint::device_name;

pub use arm::Arm;

/// What a front end is told while an experiment runs.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum LabEvent {
    /// A run begins.
    Began {
        /// Which, for people.
        what: String,
        /// Runs done before it.
        done: usize,
        /// All runs.
        runs: usize,
    },
    /// A step of it is done.
    Step {
        /// From 1.
        step: u64,
        /// All of its steps.
        steps: u64,
        /// The step's loss.
        loss: f64,
        /// Its mean reward.
        reward: Option<f64>,
        /// Tokens a second.
        tokens_per_s: f64,
    },
    /// A run was measured on its way.
    Measured {
        /// Whose: an objective with its settings.
        arm: String,
        /// Its seed.
        seed: u64,
        /// Completion tokens trained on.
        tokens: u64,
        /// Mean reward of sampled completions of held-out prompts.
        accuracy: f64,
    },
    /// A run is over.
    Ended {
        /// What came of it: one line.
        found: String,
    },
    /// Where a comparison stands, after a run of it.
    Compared(Box<compare::SoFar>),
}

/// Hears what happens; false asks the experiment to stop, which keeps what is done.
pub type Tell<'a> = dyn FnMut(LabEvent) -> bool + 'a;

/// Takes a run to its end, with its events shown to `seen`, which says what is told of them besides; whether it was complete.
async fn go_on<S: Store>(
    run: &mut Run<S>,
    tell: &mut Tell<'_>,
    mut seen: impl FnMut(&Event) -> Option<LabEvent>,
) -> Result<bool> {
    let steps = run.config().steps;
    while let Some(event) = run.next().await? {
        if let Some(told) = seen(&event) {
            tell(told);
        }
        match event {
            Event::Step { metrics } => {
                let (loss, reward, tokens_per_s) = (metrics.loss, metrics.reward, metrics.tokens_per_s);
                if !tell(LabEvent::Step { step: metrics.step, steps, loss, reward, tokens_per_s }) {
                    // What is not finished begins again: a checkpoint of it would be of no use.
                    return Ok(false);
                }
            }
            Event::Finished { complete, .. } => return Ok(complete),
            _ => {}
        }
    }
    Ok(false)
}

/// Writes what an experiment is made of, or checks that the one in the store is made of the same. Times and bits of two devices do not
/// belong into one table: the device counts.
///
/// # Errors
/// [`ErrorKind::Checkpoint`] names the setting that differs.
async fn same_experiment(
    gpu: &Gpu,
    store: &impl Store,
    kind: &str,
    settings: &impl Serialize,
) -> Result<Value> {
    let mut now = json!({"lab": kind, "device": device_name(gpu), "version": env!("CARGO_PKG_VERSION")});
    now["settings"] = json!(settings);
    let Some(before) = saved(store).await? else {
        store.write(CONFIG, format!("{now:#}\n").as_bytes()).await?;
        return Ok(now);
    };
    let differs = |key: &str, before: &Value, now: &Value| {
        let what = format!("{key} is {before} in the experiment to go on with, and {now} now");
        Err(Error::new(ErrorKind::Checkpoint, what, "give the same settings, or start again"))
    };
    for key in ["lab", "device", "version"] {
        if before[key] != now[key] {
            return differs(key, &before[key], &now[key]);
        }
    }
    let [is, was] = [&now["settings"], &before["settings"]];
    for (key, _) in [is, was].into_iter().filter_map(Value::as_object).flatten() {
        if was[key] != is[key] {
            return differs(key, &was[key], &is[key]);
        }
    }
    Ok(now)
}

/// Reads a file of JSON that an experiment keeps; its default where there is none.
async fn kept<T: serde::de::DeserializeOwned + Default>(store: &impl Store, path: &str) -> Result<T> {
    let Some(bytes) = store.read(path).await? else { return Ok(T::default()) };
    serde_json::from_slice(&bytes).map_err(|error| {
        let what = format!("{} is damaged: {error}", store.place(path));
        Error::new(ErrorKind::Checkpoint, what, "restore it, or start again")
    })
}

/// Writes it.
async fn keep(store: &impl Store, path: &str, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|error| {
        Error::new(ErrorKind::Store, format!("{path} cannot be written as JSON: {error}"), "report this")
    })?;
    store.write(path, format!("{text}\n").as_bytes()).await
}
