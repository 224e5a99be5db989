//! TBRM from the same logs at many settings: what decides whether a pilot works. The setting to take is chosen on validation records; only
//! then are the held-out ones looked at, and only with it.

mod ground;
mod report;

use std::collections::BTreeMap;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::offline::{Figures, Setting, opinion, train};
use super::start::TaskStart;
use super::stats::Interval;
use super::{LabEvent, Tell, keep, kept, same_experiment};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;
use crate::model::Model;
use crate::objective::Objective;
use crate::run::files::sha256;
use crate::run::{File, Options, Store};
use crate::train::tune::Tuned;
use crate::train::{Calibrate, Scored};

use ground::{Ground, accuracy, ground, judge};

/// What is done, by setting.
const RESULTS: &str = "results.json";
/// The report.
const REPORT: &str = "report.html";
/// What a sweep is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SweepConfig {
    /// Where the logs are from.
    pub logs: Logs,
    /// Strengths of the pull to the reference.
    pub betas: Vec<f64>,
    /// Factors on the logits.
    pub logit_scales: Vec<f64>,
    /// What is subtracted from V_1.
    pub calibrations: Vec<Calibrate>,
    /// Learning rates.
    pub learning_rates: Vec<f64>,
    /// Optimizer steps of each setting.
    pub steps: u64,
    /// Completions of a step.
    pub batch: usize,
    /// Of everything that is drawn.
    pub seed: u64,
    /// Whether bad records are set aside.
    pub skip_invalid: bool,
}

/// Where a sweep's logs are from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Logs {
    /// An embedded task's demonstrations, from which its model was warm-started; its verifier measures accuracy.
    Task(TaskStart),
    /// A model and records as given.
    Given {
        /// How the model is called.
        model: String,
        /// How the records are.
        data: String,
        /// Hash of all files.
        sha256: String,
    },
}

/// A model and records as bytes.
pub struct SweepInputs {
    /// A Hugging Face model directory: names and bytes.
    pub model: Vec<File>,
    /// Records with rewards.
    pub data: File,
}

impl SweepInputs {
    /// The logs that these are, for a sweep's settings.
    pub fn logs(&self, model: &str) -> Logs {
        let files = self.model.iter().chain([&self.data]);
        let sha256 = sha256(files.flat_map(|(name, bytes)| [name.as_bytes(), bytes.as_slice()]));
        Logs::Given { model: model.to_owned(), data: self.data.0.clone(), sha256 }
    }
}

/// What came of a setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The setting.
    pub setting: Setting,
    /// On records; none where training failed.
    pub figures: Option<Figures>,
    /// The mean reward of sampled completions, where a verifier is there.
    pub accuracy: Option<Interval>,
    /// Why training failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

impl Cell {
    /// What settings are chosen by.
    fn score(&self) -> Option<Interval> {
        match self.accuracy {
            Some(accuracy) => Some(accuracy),
            None => self.figures.as_ref().and_then(Figures::ranking),
        }
        .filter(|score| score.mean.is_finite())
    }
}

/// A sweep that is done.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sweep {
    /// What it is made of.
    pub config: SweepConfig,
    /// On validation records, in the order of the settings.
    pub cells: Vec<Cell>,
    /// What the settings were chosen by.
    pub chosen_by: &'static str,
    /// The place of the highest score.
    pub best: Option<usize>,
    /// The place of the setting to take.
    pub recommended: Option<usize>,
    /// Why.
    pub why: String,
    /// The model as it starts, on validation records: its accuracy.
    pub start: Option<Interval>,
    /// The recommended setting on held-out records.
    pub held_out: Option<Cell>,
}

/// Trains what is not trained yet of a sweep in `store`, and writes its report; `None` where the front end asked to stop. `inputs` are what
/// [`Logs::Given`] describes.
///
/// # Errors
/// As [`super::compare::compare`].
pub async fn sweep<S: Store>(
    gpu: &Gpu,
    store: Rc<S>,
    config: &SweepConfig,
    inputs: Option<&SweepInputs>,
    tuned: &mut Tuned,
    tell: &mut Tell<'_>,
) -> Result<Option<Sweep>> {
    let settings = same_experiment(gpu, &*store, "sweep", config).await?;
    let grid = grid(config)?;
    let mut results: BTreeMap<String, Cell> = kept(&*store, RESULTS).await?;
    let Some(ground) = ground(gpu, &store, config, inputs, (tuned, tell)).await? else { return Ok(None) };
    // The reference depends on the logit scale only.
    let mut before: Vec<(f64, Vec<Scored>)> = Vec::new();
    let initial = ground.beginning.weights.load(gpu, &ground.beginning.files.config, ground.positions)?;
    for (i, setting) in grid.iter().enumerate() {
        let key = setting.key();
        if results.contains_key(&key) {
            continue;
        }
        tell(LabEvent::Began { what: key.clone(), done: i, runs: grid.len() });
        if !before.iter().any(|(scale, _)| *scale == setting.logit_scale) {
            let scored = opinion(gpu, &initial, &ground.validation.records, setting.logit_scale).await?;
            before.push((setting.logit_scale, scored));
        }
        let before = before.iter().find(|(scale, _)| *scale == setting.logit_scale).map(|(_, scored)| scored);
        let cell = match trained(gpu, &store, config, &ground, setting, (tuned, tell)).await {
            Ok(None) => return Ok(None),
            Ok(Some(model)) => {
                let before = before.map(Vec::as_slice).unwrap_or_default();
                judge(gpu, &model, &ground, &ground.validation, before, setting, config.seed).await?
            }
            Err(error) if error.kind == ErrorKind::NotFinite => {
                Cell { setting: *setting, figures: None, accuracy: None, failed: Some(error.what) }
            }
            Err(error) => return Err(error),
        };
        let found = cell.score().map_or("nothing to rank".to_owned(), |score| format!("{:.3}", score.mean));
        results.insert(key.clone(), cell);
        keep(&*store, RESULTS, &results).await?;
        tell(LabEvent::Ended { found: format!("{key}: {found}") });
    }
    let cells: Vec<Cell> = grid.iter().filter_map(|setting| results.get(&setting.key()).cloned()).collect();
    let (best, recommended, why) = recommend(&cells);
    let start = accuracy(gpu, &initial, &ground, &ground.validation, 1.0, config.seed).await?;
    let held_out = match recommended {
        None => None,
        Some(place) => {
            let setting = &cells[place].setting;
            let Some(model) = trained(gpu, &store, config, &ground, setting, (tuned, tell)).await? else {
                return Ok(None);
            };
            let before = opinion(gpu, &initial, &ground.held_out.records, setting.logit_scale).await?;
            Some(judge(gpu, &model, &ground, &ground.held_out, &before, setting, config.seed).await?)
        }
    };
    let chosen_by = chosen_by(&cells);
    let sweep = Sweep { config: config.clone(), cells, chosen_by, best, recommended, why, start, held_out };
    store.write(REPORT, report::render(&sweep, &settings).as_bytes()).await?;
    Ok(Some(sweep))
}

fn grid(config: &SweepConfig) -> Result<Vec<Setting>> {
    let SweepConfig { betas, logit_scales, calibrations, learning_rates, .. } = config;
    let mut grid = Vec::new();
    for &logit_scale in logit_scales {
        for &calibrate in calibrations {
            for &learning_rate in learning_rates {
                grid.extend(betas.iter().map(|&beta| Setting {
                    beta,
                    logit_scale,
                    calibrate,
                    learning_rate,
                }));
            }
        }
    }
    for (i, setting) in grid.iter().enumerate() {
        if grid[..i].contains(setting) {
            let what = format!("the setting {} is there twice", setting.key());
            return Err(Error::new(ErrorKind::Config, what, "give each value once"));
        }
    }
    if grid.is_empty() {
        let what = "there is no setting to try".to_owned();
        return Err(Error::new(ErrorKind::Config, what, "give at least one value of each"));
    }
    Ok(grid)
}

async fn trained<S: Store>(
    gpu: &Gpu,
    store: &Rc<S>,
    config: &SweepConfig,
    ground: &Ground,
    setting: &Setting,
    with: (&mut Tuned, &mut Tell<'_>),
) -> Result<Option<Model>> {
    let options = options(setting, config.steps, config.batch, config.seed);
    let folder = format!("runs/{}", setting.key());
    train(gpu, (store, &folder), &ground.beginning, &ground.train, ground.positions, options, with).await
}

/// The settings of a run from logs.
pub(super) fn options(setting: &Setting, steps: u64, batch: usize, seed: u64) -> Options {
    Options {
        objective: Some(Objective::Tbrm),
        beta: Some(setting.beta),
        logit_scale: Some(setting.logit_scale),
        calibrate: Some(setting.calibrate),
        learning_rate: Some(setting.learning_rate),
        steps: Some(steps),
        batch: Some(batch),
        checkpoint_every: Some(steps),
        keep: Some(1),
        seed: Some(seed),
        ..Options::default()
    }
}

fn chosen_by(cells: &[Cell]) -> &'static str {
    let within = |cell: &Cell| cell.figures.as_ref().is_some_and(|f| f.ranking() == f.auc_within);
    if cells.iter().any(|cell| cell.accuracy.is_some()) {
        "accuracy of sampled completions on validation problems"
    } else if cells.iter().all(within) {
        "AUC within validation prompts"
    } else {
        "AUC over validation records"
    }
}

/// The best score's place, the place of the setting to take, and why: of all settings that are as good as the best within one standard error,
/// the one with the largest beta stays nearest to the reference, and is the least likely to be good by chance on these records alone.
fn recommend(cells: &[Cell]) -> (Option<usize>, Option<usize>, String) {
    let scored: Vec<(usize, Interval)> =
        cells.iter().enumerate().filter_map(|(i, cell)| Some((i, cell.score()?))).collect();
    let Some((best, score)) = scored.iter().copied().reduce(|a, b| if b.1.mean > a.1.mean { b } else { a })
    else {
        let why = "no setting can be recommended: the validation records have nothing to rank".to_owned();
        return (None, None, why);
    };
    // Of a normal interval of 95%.
    let error = score.high.map_or(0.0, |high| (high - score.mean).max(0.0) / 1.96);
    let good = scored.iter().filter(|(_, other)| other.mean >= score.mean - error);
    let beta = |place: usize| cells[place].setting.beta;
    let taken = good
        .copied()
        .reduce(|a, b| match beta(b.0).total_cmp(&beta(a.0)) {
            std::cmp::Ordering::Greater => b,
            std::cmp::Ordering::Equal if b.1.mean > a.1.mean => b,
            _ => a,
        })
        .map_or(best, |(place, _)| place);
    let why = if taken == best {
        format!(
            "it has the highest score, {:.3}, and no larger beta comes within one standard error ({error:.3}) of it",
            score.mean
        )
    } else {
        let own = cells[taken].score().map_or(f64::NAN, |own| own.mean);
        format!(
            "its score, {own:.3}, is within one standard error ({error:.3}) of the highest, {:.3} of {}, and of those settings it has the \
             largest beta, so the model stays nearest to where it began",
            score.mean,
            cells[best].setting.key()
        )
    };
    (Some(best), Some(taken), why)
}

#[cfg(test)]
mod tests;
