//! Training from logs at one setting, and what the model then makes of logs that it has not seen. Nothing is generated.

use std::collections::HashMap;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::start::Beginning;
use super::stats::{Interval, bootstrap};
use super::{Tell, go_on};
use crate::data::trajectory::Trajectory;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::model::Model;
use crate::rng::Stream;
use crate::run::checkpoints::weights;
use crate::run::files::{WEIGHTS, sha256};
use crate::run::recorder::MODEL;
use crate::run::within::Within;
use crate::run::{Dataset, Options, Run, Setup, Store};
use crate::run::{Inputs, Plan};
use crate::train::evaluate::{Outcome, Ranking};
use crate::train::score::engine_config;
use crate::train::tune::Tuned;
use crate::train::{Calibrate, Engine, Scored, reference};

/// Draws of the bootstrap.
pub(super) const DRAWS: usize = 1000;

/// Of twenty prompts, how many choose settings, and how many are held out; the others are trained on.
const PARTS: (u64, u64, u64) = (20, 3, 3);

/// A setting of TBRM.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// The strength of the pull to the reference.
    pub beta: f64,
    /// kappa.
    pub logit_scale: f64,
    /// What is subtracted from V_1.
    pub calibrate: Calibrate,
    /// The learning rate.
    pub learning_rate: f64,
}

impl Setting {
    /// Its name, as that of a folder.
    pub(super) fn key(&self) -> String {
        let calibrate = match self.calibrate {
            Calibrate::None => "none",
            Calibrate::VRef => "v-ref",
        };
        format!("beta{}_scale{}_{calibrate}_lr{}", self.beta, self.logit_scale, self.learning_rate)
    }
}

/// Logged records by what they are for; no prompt is in two parts.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts {
    pub train: Vec<Trajectory>,
    pub validation: Vec<Trajectory>,
    pub held_out: Vec<Trajectory>,
}

impl Parts {
    /// By a hash of the prompt's tokens and the seed: neither the order nor the number of records decides.
    pub(super) fn split(records: Vec<Trajectory>, seed: u64) -> Parts {
        let (all, validation, held_out) = PARTS;
        let mut parts = Parts::default();
        for record in records {
            let part = match draw(&record, seed, "parts", all) {
                at if at < validation => &mut parts.validation,
                at if at < validation + held_out => &mut parts.held_out,
                _ => &mut parts.train,
            };
            part.push(record);
        }
        parts
    }

    /// Tokens of the longest record.
    pub(super) fn longest(&self) -> usize {
        let all = self.train.iter().chain(&self.validation).chain(&self.held_out);
        all.map(|record| record.tokens.len()).max().unwrap_or(1)
    }
}

/// A number below `n` for a record's prompt.
pub(super) fn draw(record: &Trajectory, seed: u64, what: &str, n: u64) -> u64 {
    let bytes: &[u8] = bytemuck::cast_slice(&record.tokens[..record.prompt_len]);
    Stream::named(seed, &format!("{what} {}", sha256([bytes]))).below(0, n)
}

/// The model that `options` make of `train` in `folder` of `store`, trained now where there is none; `None` where the front end asked to
/// stop.
///
/// # Errors
/// Those of [`Run`].
pub(super) async fn train<S: Store>(
    gpu: &Gpu,
    (store, folder): (&Rc<S>, &str),
    beginning: &Beginning,
    train: &[Trajectory],
    positions: usize,
    options: Options,
    (tuned, tell): (&mut Tuned, &mut Tell<'_>),
) -> Result<Option<Model>> {
    let place = Rc::new(Within::new(store.clone(), folder));
    let shape = &beginning.files.config;
    if store.list(&format!("{folder}/{MODEL}")).await?.iter().any(|name| name == WEIGHTS) {
        return weights(&*place, MODEL).await?.load(gpu, shape, positions).map(Some);
    }
    place.remove("").await?;
    let data = Dataset { trajectories: train.to_vec(), files: vec!["logs".to_owned()], ..Dataset::default() };
    let inputs = Inputs { model: beginning.files.clone(), data, eval: Dataset::default() };
    let plan = Plan::new(gpu, inputs, options, None)?;
    let setup = Setup::new(gpu, plan, &beginning.weights.sha256())?;
    let model = beginning.weights.load(gpu, shape, positions)?;
    let variants = tuned.variants(gpu, &setup.config, &model, &setup.data).await?;
    let mut run = Run::open(gpu, place.clone(), setup, model, None, Some(variants), None).await?;
    if !go_on(&mut run, tell, |_| None).await? {
        return Ok(None);
    }
    for gone in ["checkpoints", "reference.safetensors"] {
        place.remove(gone).await?;
    }
    Ok(Some(run.model().clone()))
}

/// The model's opinion of `records`.
///
/// # Errors
/// As [`Engine::score`].
pub(super) async fn opinion(
    gpu: &Gpu,
    model: &Model,
    records: &[Trajectory],
    logit_scale: f64,
) -> Result<Vec<Scored>> {
    let longest = records.iter().map(|record| record.tokens.len()).max().unwrap_or(1);
    let config = engine_config(gpu.caps(), longest, None, logit_scale);
    let mut engine = Engine::new(gpu, model.clone(), config, None)?;
    engine.score(&records.iter().collect::<Vec<_>>(), |_| {}).await
}

/// A record that a model judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Verdict {
    /// beta * rho: how it ranks the record.
    pub implicit: f64,
    /// beta * (rho + V_1), less what is calibrated away: the reward for which its residual would be 0.
    pub predicted: f64,
    /// The mean log-prob of a token.
    pub mean_logp: f64,
    /// The record's reward.
    pub reward: Option<f64>,
}

/// The verdicts on `records`, of which the model thinks `now` and the reference `before`.
pub(super) fn verdicts(
    records: &[Trajectory],
    now: &[Scored],
    before: &[Scored],
    setting: &Setting,
) -> Vec<Verdict> {
    let one = |(record, (now, before)): (&Trajectory, (&Scored, &Scored))| {
        let v_ref = f64::from(reference::origin(setting.calibrate, before.v1));
        let outcome = Outcome::new(now, &before.logp, v_ref, record.reward, setting.beta);
        Verdict {
            implicit: setting.beta * outcome.rho,
            predicted: setting.beta * (outcome.rho + outcome.v1 - v_ref),
            mean_logp: outcome.logp / record.num_actions() as f64,
            reward: record.reward,
        }
    };
    records.iter().zip(now.iter().zip(before)).map(one).collect()
}

/// Which records have the same prompt, by their places; in the order of the prompts' first records.
pub(super) fn groups(records: &[Trajectory]) -> Vec<Vec<usize>> {
    let mut of: HashMap<&[u32], usize> = HashMap::new();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (i, record) in records.iter().enumerate() {
        let group = *of.entry(&record.tokens[..record.prompt_len]).or_insert(groups.len());
        if group == groups.len() {
            groups.push(Vec::new());
        }
        groups[group].push(i);
    }
    groups
}

/// What the verdicts on records with rewards are worth. Intervals are by the bootstrap over prompts, whose records hang together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Records.
    pub records: usize,
    /// Prompts.
    pub prompts: usize,
    /// Prompts whose records differ in reward.
    pub contrasts: usize,
    /// How well beta * rho ranks records by reward: the share of pairs in order, ties half.
    pub auc: Option<Interval>,
    /// The same over pairs of one prompt.
    pub auc_within: Option<Interval>,
    /// Root of the mean of (beta * delta)^2: the residual in units of reward.
    pub residual: Interval,
    /// 1 less the mean of (beta * delta)^2 over the variance of rewards: the share of it that the model explains.
    pub explained: Option<Interval>,
}

impl Figures {
    /// Of `verdicts`, whose records fall into `groups`.
    pub(super) fn new(verdicts: &[Verdict], groups: &[Vec<usize>], seed: u64) -> Figures {
        let rewarded: Vec<Vec<(Verdict, f64)>> = groups
            .iter()
            .map(|group| group.iter().filter_map(|&i| Some((verdicts[i], verdicts[i].reward?))).collect())
            .filter(|group: &Vec<_>| !group.is_empty())
            .collect();
        let interval = |of: &dyn Fn(&[usize]) -> Option<f64>| bootstrap(rewarded.len(), DRAWS, seed, of);
        let all = |drawn: &[usize]| -> Vec<(Verdict, f64)> {
            drawn.iter().flat_map(|&group| rewarded[group].iter().copied()).collect()
        };
        let square = |(verdict, reward): &(Verdict, f64)| (verdict.predicted - reward).powi(2);
        let mean_square = |rows: &[(Verdict, f64)]| rows.iter().map(square).sum::<f64>() / rows.len() as f64;
        let explained = |drawn: &[usize]| {
            let rows = all(drawn);
            let mean = rows.iter().map(|row| row.1).sum::<f64>() / rows.len() as f64;
            let variance = rows.iter().map(|row| (row.1 - mean).powi(2)).sum::<f64>() / rows.len() as f64;
            (variance > 0.0).then(|| 1.0 - mean_square(&rows) / variance)
        };
        let rankings = rankings(&rewarded, |verdict| verdict.implicit);
        let nothing = Interval { mean: f64::NAN, low: None, high: None };
        Figures {
            records: rewarded.iter().map(Vec::len).sum(),
            prompts: rewarded.len(),
            contrasts: rankings.iter().filter(|ranking| ranking.auc().is_some()).count(),
            auc: interval(&|drawn| {
                let pairs: Vec<(f64, f64)> =
                    all(drawn).iter().map(|(v, reward)| (v.implicit, *reward)).collect();
                Ranking::of(&pairs).auc()
            }),
            auc_within: interval(&|drawn| within(&rankings, drawn)),
            residual: interval(&|drawn| Some(mean_square(&all(drawn)).sqrt()).filter(|x| !x.is_nan()))
                .unwrap_or(nothing),
            explained: interval(&explained),
        }
    }

    /// What settings are chosen by: the AUC within prompts where enough of them have something to rank, else over all pairs.
    pub(super) fn ranking(&self) -> Option<Interval> {
        if self.contrasts >= ENOUGH { self.auc_within } else { self.auc }
    }
}

/// Prompts with something to rank that make the AUC within prompts worth looking at.
pub(super) const ENOUGH: usize = 20;

/// How each prompt's records are ranked.
pub(super) fn rankings(groups: &[Vec<(Verdict, f64)>], of: impl Fn(&Verdict) -> f64) -> Vec<Ranking> {
    let pairs = |group: &Vec<(Verdict, f64)>| -> Vec<(f64, f64)> {
        group.iter().map(|(verdict, reward)| (of(verdict), *reward)).collect()
    };
    groups.iter().map(|group| Ranking::of(&pairs(group))).collect()
}

/// The AUC within the drawn prompts.
pub(super) fn within(rankings: &[Ranking], drawn: &[usize]) -> Option<f64> {
    let mut sum = Ranking::default();
    drawn.iter().for_each(|&group| sum += rankings[group]);
    sum.auc()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(prompt: u32, reward: f64) -> Trajectory {
        Trajectory { reward: Some(reward), ..Trajectory::new(1, vec![prompt, reward as u32, 2]) }
    }

    #[test]
    fn no_prompt_is_in_two_parts_and_order_does_not_matter() {
        let records: Vec<Trajectory> = (0..600)
            .map(|i| Trajectory { reward: Some(0.0), ..Trajectory::new(1, vec![i % 200, i, 2]) })
            .collect();
        let parts = Parts::split(records.clone(), 1);
        let prompts = |part: &[Trajectory]| -> std::collections::BTreeSet<u32> {
            part.iter().map(|record| record.tokens[0]).collect()
        };
        let all = [&parts.train, &parts.validation, &parts.held_out].map(|part| prompts(part));
        assert_eq!(all.iter().map(|part| part.len()).sum::<usize>(), 200);
        assert!((100..180).contains(&all[0].len()) && all[1].len() > 10 && all[2].len() > 10);
        let reversed = Parts::split(records.into_iter().rev().collect(), 1);
        assert_eq!(prompts(&reversed.held_out), all[2]);
    }

    #[test]
    fn figures_are_those_worked_out_by_hand() {
        // Prompt 1 is ranked rightly, prompt 2 wrongly, prompt 3 has nothing to rank.
        let records = [record(1, 1.0), record(2, 0.0), record(1, 0.0), record(2, 1.0), record(3, 1.0)];
        let groups = groups(&records);
        assert_eq!(groups, [vec![0, 2], vec![1, 3], vec![4]]);
        let verdict = |implicit: f64, predicted: f64, reward: f64| Verdict {
            implicit,
            predicted,
            mean_logp: 0.0,
            reward: Some(reward),
        };
        let verdicts = [
            verdict(0.9, 1.0, 1.0),
            verdict(0.5, 0.5, 0.0),
            verdict(0.1, 0.0, 0.0),
            verdict(0.4, 0.5, 1.0),
            verdict(0.2, 1.0, 1.0),
        ];
        let figures = Figures::new(&verdicts, &groups, 0);
        assert_eq!((figures.records, figures.prompts, figures.contrasts), (5, 3, 2));
        assert_eq!(figures.auc_within.unwrap().mean, 0.5);
        // Rewards 1 at 0.9, 0.4, 0.2 against 0 at 0.5, 0.1: 2 + 1 + 1 of 6.
        assert!((figures.auc.unwrap().mean - 4.0 / 6.0).abs() < 1e-12);
        // Squares 0, 0.25, 0, 0.25, 0 against a variance of 0.24.
        assert!((figures.residual.mean - 0.1f64.sqrt()).abs() < 1e-12);
        assert!((figures.explained.unwrap().mean - (1.0 - 0.1 / 0.24)).abs() < 1e-12);
        assert_eq!(figures.ranking(), figures.auc, "two prompts are not enough");
    }

    #[test]
    fn a_prediction_is_the_reward_that_leaves_no_residual() {
        let records = [record(7, 0.5)];
        let scored = |logp: f32, v1: f32| {
            vec![Scored { logp: vec![logp; 2], entropy: vec![0.0; 2], v1, ..Scored::default() }]
        };
        let setting =
            Setting { beta: 0.25, logit_scale: 1.0, calibrate: Calibrate::VRef, learning_rate: 1.0 };
        let one = verdicts(&records, &scored(-0.5, 4.0), &scored(-1.5, 3.0), &setting)[0];
        // rho = 2, V_1 less the reference's = 1.
        assert_eq!((one.implicit, one.predicted, one.mean_logp), (0.5, 0.75, -0.5));
        let plain = Setting { calibrate: Calibrate::None, ..setting };
        assert_eq!(verdicts(&records, &scored(-0.5, 4.0), &scored(-1.5, 3.0), &plain)[0].predicted, 1.5);
    }
}
