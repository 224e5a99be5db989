//! What logs are good for: they are checked, split by prompt, trained on at a few betas, and judged on prompts that were held out; then a
//! plain recommendation by a rule that stands in the report. Nothing is generated, and the same logs, model and seed give the same result.

mod decision;
mod look;
mod report;

use std::collections::BTreeMap;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::offline::{Figures, Parts, Setting, draw, groups, opinion, rankings, train, verdicts, within};
use super::start::{Beginning, given, too_few};
use super::stats::{Interval, bootstrap};
use super::sweep::options;
use super::{LabEvent, Tell, keep, kept, same_experiment};
use crate::data::Rejection;
use crate::data::logs::{self, Report};
use crate::data::record::Needs;
use crate::data::trajectory::{Trajectory, Truncated};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;
use crate::run::files::sha256;
use crate::run::report::Sample;
use crate::run::{Dataset, File, Store};
use crate::train::tune::Tuned;
use crate::train::{Calibrate, Scored};

pub use decision::{Advice, Decision};
pub use look::{Bin, Candidate};

/// What is done, by beta.
const RESULTS: &str = "results.json";
/// The report.
const REPORT: &str = "report.html";
/// Steps where none are given: so many passes over the records, but no more than [`MOST_STEPS`].
const PASSES: usize = 3;
/// As [`PASSES`] says.
const MOST_STEPS: usize = 300;

/// What a pilot is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PilotConfig {
    /// How the model is called.
    pub model: String,
    /// How the logs are.
    pub logs: String,
    /// Hash of all files.
    pub sha256: String,
    /// Betas to try.
    pub betas: Vec<f64>,
    /// The learning rate.
    pub learning_rate: f64,
    /// Optimizer steps for each; what fits the records where not given.
    pub steps: Option<u64>,
    /// Completions of a step.
    pub batch: usize,
    /// Prompts at most, all completions of each; all where not given.
    pub max_prompts: Option<usize>,
    /// Of the split, the order and the bootstrap.
    pub seed: u64,
}

/// A model and logs as bytes.
pub struct PilotInputs {
    /// A Hugging Face model directory: names and bytes.
    pub model: Vec<File>,
    /// Records; those without a reward are candidates for labels.
    pub logs: File,
}

impl PilotInputs {
    /// Hash of all files, for a pilot's settings.
    pub fn sha256(&self) -> String {
        let files = self.model.iter().chain([&self.logs]);
        sha256(files.flat_map(|(name, bytes)| [name.as_bytes(), bytes.as_slice()]))
    }
}

/// A pilot that is done.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pilot {
    /// What it is made of.
    pub config: PilotConfig,
    /// What is in the logs.
    pub check: Report,
    /// The first reasons for which lines were set aside.
    pub rejected: Vec<String>,
    /// Records by what they were used for: trained on, for choosing beta, held out, without a reward.
    pub records: [usize; 4],
    /// Optimizer steps for each beta.
    pub steps: u64,
    /// Figures on validation prompts, by beta; none where training failed.
    pub tried: Vec<(f64, Option<Figures>)>,
    /// The beta that was taken.
    pub beta: Option<f64>,
    /// On held-out prompts, with that beta.
    pub figures: Option<Figures>,
    /// How the mean log-prob of a token by the model as given ranks the same records: what is there without any training.
    pub before: Option<Interval>,
    /// How much better than that beta * rho does, prompt by prompt.
    pub gain: Option<Interval>,
    /// Predicted against given rewards on held-out prompts.
    pub calibration: Vec<Bin>,
    /// The most credited held-out completions, then the least credited.
    pub credited: Vec<Sample>,
    /// What to label next.
    pub candidates: Vec<Candidate>,
    /// What to do.
    pub advice: Advice,
}

/// Runs what is not done yet of a pilot in `store`, and writes its report; `None` where the front end asked to stop.
///
/// # Errors
/// As [`super::compare::compare`].
pub async fn pilot<S: Store>(
    gpu: &Gpu,
    store: Rc<S>,
    config: &PilotConfig,
    inputs: &PilotInputs,
    tuned: &mut Tuned,
    tell: &mut Tell<'_>,
) -> Result<Option<Pilot>> {
    let settings = same_experiment(gpu, &*store, "pilot", config).await?;
    let beginning = given(&config.model, inputs.model.clone())?;
    let read = read(&beginning, config, &inputs.logs)?;
    let done = match decision::at_once(&read.check, &read.parts) {
        Some(advice) => Some(nothing_trained(config, read, advice)),
        None => judged(gpu, &store, config, &beginning, read, (tuned, tell)).await?,
    };
    if let Some(pilot) = &done {
        store.write(REPORT, report::render(pilot, &settings).as_bytes()).await?;
    }
    Ok(done)
}

/// The logs as they were read.
struct Read {
    check: Report,
    rejected: Vec<String>,
    parts: Parts,
    unlabelled: Vec<Trajectory>,
}

fn read(beginning: &Beginning, config: &PilotConfig, file: &File) -> Result<Read> {
    let encoder = beginning.files.encoder(None, Truncated::Keep)?;
    let mut rejected = Vec::new();
    let note = |rejection: &Rejection| {
        if rejected.len() < 10 {
            rejected.push(rejection.error().what);
        }
    };
    // Rewards may be missing: such records are asked for their labels.
    let check = logs::check(&file.0, &file.1, Needs::Completion, Some(&encoder), note);
    let data = Dataset::read(std::slice::from_ref(file), &encoder, Needs::Completion, true)?;
    let (mut labelled, unlabelled): (Vec<Trajectory>, Vec<Trajectory>) =
        data.trajectories.into_iter().partition(|record| record.reward.is_some());
    if let Some(most) = config.max_prompts {
        let mut prompts: Vec<(u64, usize)> = groups(&labelled)
            .iter()
            .map(|group| (draw(&labelled[group[0]], config.seed, "prompts", u64::MAX), group[0]))
            .collect();
        prompts.sort_unstable();
        let last = prompts.get(most.saturating_sub(1)).map_or(u64::MAX, |(at, _)| *at);
        labelled.retain(|record| draw(record, config.seed, "prompts", u64::MAX) <= last);
    }
    Ok(Read { check, rejected, parts: Parts::split(labelled, config.seed), unlabelled })
}

fn nothing_trained(config: &PilotConfig, read: Read, advice: Advice) -> Pilot {
    let Read { check, rejected, parts, unlabelled } = read;
    Pilot {
        config: config.clone(),
        check,
        rejected,
        records: [parts.train.len(), parts.validation.len(), parts.held_out.len(), unlabelled.len()],
        steps: 0,
        tried: Vec::new(),
        beta: None,
        figures: None,
        before: None,
        gain: None,
        calibration: Vec::new(),
        credited: Vec::new(),
        candidates: Vec::new(),
        advice,
    }
}

/// One of the betas, on validation prompts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Tried {
    beta: f64,
    figures: Option<Figures>, // none where training failed
}

async fn judged<S: Store>(
    gpu: &Gpu,
    store: &Rc<S>,
    config: &PilotConfig,
    beginning: &Beginning,
    read: Read,
    (tuned, tell): (&mut Tuned, &mut Tell<'_>),
) -> Result<Option<Pilot>> {
    let PilotConfig { seed, batch, learning_rate, .. } = *config;
    let Read { check, rejected, parts, unlabelled } = read;
    too_few("betas", config.betas.len(), 1)?;
    let steps = config
        .steps
        .unwrap_or_else(|| (PASSES * parts.train.len()).div_ceil(batch).clamp(1, MOST_STEPS) as u64);
    let positions =
        unlabelled.iter().map(|record| record.tokens.len()).max().unwrap_or(1).max(parts.longest());
    let initial = beginning.weights.load(gpu, &beginning.files.config, positions)?;
    let setting = |beta: f64| Setting { beta, logit_scale: 1.0, calibrate: Calibrate::VRef, learning_rate };
    let mut results: BTreeMap<String, Tried> = kept(&**store, RESULTS).await?;
    let mut before: Option<Vec<Scored>> = None;
    for (i, &beta) in config.betas.iter().enumerate() {
        let (setting, key) = (setting(beta), setting(beta).key());
        if results.contains_key(&key) {
            continue;
        }
        tell(LabEvent::Began { what: format!("beta {beta}"), done: i, runs: config.betas.len() });
        let (folder, options) = (format!("runs/{key}"), options(&setting, steps, batch, seed));
        let with = (&mut *tuned, &mut *tell);
        let trained = train(gpu, (store, &folder), beginning, &parts.train, positions, options, with).await;
        let figures = match trained {
            Ok(None) => return Ok(None),
            Ok(Some(model)) => {
                if before.is_none() {
                    before = Some(opinion(gpu, &initial, &parts.validation, 1.0).await?);
                }
                let now = opinion(gpu, &model, &parts.validation, 1.0).await?;
                let before = before.as_deref().unwrap_or_default();
                let verdicts = verdicts(&parts.validation, &now, before, &setting);
                Some(Figures::new(&verdicts, &groups(&parts.validation), seed))
            }
            Err(error) if error.kind == ErrorKind::NotFinite => None,
            Err(error) => return Err(error),
        };
        let found = match &figures {
            None => "failed: not finite".to_owned(),
            Some(figures) => {
                figures.ranking().map_or("nothing to rank".to_owned(), |auc| format!("AUC {:.3}", auc.mean))
            }
        };
        results.insert(key.clone(), Tried { beta, figures });
        keep(&**store, RESULTS, &results).await?;
        tell(LabEvent::Ended { found: format!("beta {beta}: {found}") });
    }
    let tried: Vec<(f64, Option<Figures>)> = config
        .betas
        .iter()
        .filter_map(|beta| Some((*beta, results.get(&setting(*beta).key())?.figures.clone())))
        .collect();
    let scored = tried.iter().filter_map(|(beta, figures)| {
        Some((*beta, figures.as_ref()?.ranking().map_or(0.0, |ranking| ranking.mean)))
    });
    // Of equals the larger stays nearer to the model as given.
    let best = scored.max_by(|a, b| a.1.total_cmp(&b.1).then(a.0.total_cmp(&b.0)));
    let Some((beta, _)) = best else {
        let what = "training failed at every beta: losses were not finite".to_owned();
        return Err(Error::new(ErrorKind::NotFinite, what, "lower the learning rate, or raise beta"));
    };

    tell(LabEvent::Began {
        what: "held-out prompts".to_owned(),
        done: config.betas.len(),
        runs: config.betas.len(),
    });
    let (folder, options) =
        (format!("runs/{}", setting(beta).key()), options(&setting(beta), steps, batch, seed));
    let with = (&mut *tuned, &mut *tell);
    let model = train(gpu, (store, &folder), beginning, &parts.train, positions, options, with).await?;
    let Some(model) = model else { return Ok(None) };
    let held_out = Opinions::new(gpu, &initial, &model, &parts.held_out, &setting(beta)).await?;
    let groups = groups(&parts.held_out);
    let figures = Figures::new(&held_out.verdicts, &groups, seed);
    let (untrained, gain) = gain(&held_out, &groups, &figures, seed);
    // Unlabelled records are asked for first; where there are none, those that were not trained on are worth a second look.
    let candidates = if unlabelled.is_empty() {
        let validation = Opinions::new(gpu, &initial, &model, &parts.validation, &setting(beta)).await?;
        let records: Vec<&Trajectory> = parts.held_out.iter().chain(&parts.validation).collect();
        let verdicts = [&held_out.verdicts[..], &validation.verdicts].concat();
        look::candidates(&beginning.files.tokenizer, &records, &verdicts, &check)?
    } else {
        let asked = Opinions::new(gpu, &initial, &model, &unlabelled, &setting(beta)).await?;
        let records: Vec<&Trajectory> = unlabelled.iter().collect();
        look::candidates(&beginning.files.tokenizer, &records, &asked.verdicts, &check)?
    };
    let advice = decision::decide(&figures, gain.as_ref());
    Ok(Some(Pilot {
        config: config.clone(),
        rejected,
        records: [parts.train.len(), parts.validation.len(), parts.held_out.len(), unlabelled.len()],
        steps,
        tried,
        beta: Some(beta),
        before: untrained,
        gain,
        calibration: look::calibration(&held_out.verdicts, &groups, seed),
        credited: look::credited(
            &beginning.files.tokenizer,
            &parts.held_out,
            &held_out,
            &setting(beta),
            steps,
        )?,
        candidates,
        figures: Some(figures),
        advice,
        check,
    }))
}

/// What the model as given and as trained think of records.
struct Opinions {
    before: Vec<Scored>,
    now: Vec<Scored>,
    verdicts: Vec<super::offline::Verdict>,
}

impl Opinions {
    async fn new(
        gpu: &Gpu,
        initial: &crate::model::Model,
        model: &crate::model::Model,
        records: &[Trajectory],
        setting: &Setting,
    ) -> Result<Opinions> {
        let before = opinion(gpu, initial, records, setting.logit_scale).await?;
        let now = opinion(gpu, model, records, setting.logit_scale).await?;
        let verdicts = verdicts(records, &now, &before, setting);
        Ok(Opinions { before, now, verdicts })
    }
}

/// How the model as given ranks the records by mean log-prob, and how much better beta * rho does: on the same prompts, drawn together.
fn gain(
    opinions: &Opinions,
    groups: &[Vec<usize>],
    figures: &Figures,
    seed: u64,
) -> (Option<Interval>, Option<Interval>) {
    use super::offline::{DRAWS, Verdict};
    use crate::train::evaluate::Ranking;
    let mean_logp = |i: usize| {
        let logp = &opinions.before[i].logp;
        logp.iter().map(|&l| f64::from(l)).sum::<f64>() / logp.len() as f64
    };
    let rows: Vec<Vec<(Verdict, f64)>> = groups
        .iter()
        .map(|group| {
            let row = |&i: &usize| {
                let verdict = opinions.verdicts[i];
                Some((Verdict { mean_logp: mean_logp(i), ..verdict }, verdict.reward?))
            };
            group.iter().filter_map(row).collect()
        })
        .collect();
    let (own, other) = (rankings(&rows, |v| v.implicit), rankings(&rows, |v| v.mean_logp));
    let inside = figures.ranking() == figures.auc_within;
    let pooled = |drawn: &[usize], of: &dyn Fn(&Verdict) -> f64| {
        let pairs: Vec<(f64, f64)> = drawn
            .iter()
            .flat_map(|&g| rows[g].iter().map(|(verdict, reward)| (of(verdict), *reward)))
            .collect();
        Ranking::of(&pairs).auc()
    };
    let untrained = |drawn: &[usize]| match inside {
        true => within(&other, drawn),
        false => pooled(drawn, &|verdict| verdict.mean_logp),
    };
    let trained = |drawn: &[usize]| match inside {
        true => within(&own, drawn),
        false => pooled(drawn, &|verdict| verdict.implicit),
    };
    let gained = |drawn: &[usize]| Some(trained(drawn)? - untrained(drawn)?);
    (bootstrap(rows.len(), DRAWS, seed, untrained), bootstrap(rows.len(), DRAWS, seed, gained))
}

#[cfg(test)]
mod tests;
