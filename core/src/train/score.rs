//! The model's opinion of logged completions against a reference: the records and the summary of `tbrm score`.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::config::Calibrate;
use super::engine::{EngineConfig, Scored};
use super::evaluate::{Outcome, Ranking};
use crate::data::trajectory::Trajectory;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Caps;

/// How trajectories of at most `longest` tokens are scored on a device: in micro-batches of `micro_batch_tokens`, or
/// else of as many as keep it busy, since nothing but a few layers' activations has to fit beside the weights.
pub fn engine_config(
    caps: &Caps,
    longest: usize,
    micro_batch_tokens: Option<usize>,
    logit_scale: f64,
) -> EngineConfig {
    let busy = if caps.software { 2048 } else { 8192 };
    let micro_batch_tokens = micro_batch_tokens.unwrap_or(longest.max(busy));
    EngineConfig {
        micro_batch_tokens,
        // A trajectory has two tokens at least.
        trajectories: (micro_batch_tokens / 2).max(1),
        logit_scale: logit_scale as f32,
        submit_part: None,
    }
}

/// One line of the scores.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecordScore {
    /// The record's own name; its line where it has none.
    pub id: Value,
    /// Sum of the completion's log-probs.
    pub logp: f64,
    /// The same by the reference.
    pub ref_logp: f64,
    /// Value of the prompt: log-sum-exp of the first completion token's logits.
    pub v1: f64,
    /// beta * rho, rho = logp - ref_logp.
    pub implicit_reward: f64,
    /// delta; none without a reward.
    pub residual: Option<f64>,
    /// Tokens of the completion, its end token included.
    pub num_tokens: usize,
}

/// What the scores of a file come to: means over its records.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScoreSummary {
    /// Records.
    pub records: usize,
    /// Tokens of all completions.
    pub num_tokens: usize,
    /// Mean log-prob of a completion.
    pub logp: f64,
    /// The same by the reference.
    pub ref_logp: f64,
    /// Mean value of the prompts.
    pub v1: f64,
    /// Mean implicit reward.
    pub implicit_reward: f64,
    /// Records with a reward, over which the following are taken.
    pub rewarded: usize,
    /// Mean reward.
    pub reward: Option<f64>,
    /// Mean delta.
    pub residual: Option<f64>,
    /// Root of the mean of delta^2.
    pub residual_rms: Option<f64>,
    /// How well `implicit_reward` ranks the records by reward: the share of pairs of unequal rewards that it puts in
    /// order, ties half. None where the rewards do not differ.
    pub auc: Option<f64>,
    /// The same over the pairs whose prompts are the same tokens: the mean over prompts, each weighing as much as it
    /// has pairs.
    pub auc_within_prompt: Option<f64>,
    /// The same of the mean log-prob of a token instead, which needs no reference.
    pub auc_mean_logp: Option<f64>,
    /// And that within each prompt.
    pub auc_mean_logp_within_prompt: Option<f64>,
    /// Prompts whose completions differ in reward.
    pub prompts_with_contrast: usize,
}

/// Scores `records` by what the model (`now`) and the reference say of them, in their order. The residual is
/// `delta = rho + V_1 - R / beta`, less the reference's V_1 under [`Calibrate::VRef`].
///
/// # Errors
/// [`ErrorKind::NotFinite`] names the first record whose scores are not finite.
///
/// # Panics
/// Where `now` or `reference` is not one opinion per record.
pub fn score(
    records: &[Trajectory],
    now: &[Scored],
    reference: &[Scored],
    beta: f64,
    calibrate: Calibrate,
) -> Result<(Vec<RecordScore>, ScoreSummary)> {
    assert!(records.len() == now.len() && records.len() == reference.len());
    let scores: Vec<RecordScore> = records
        .iter()
        .zip(now.iter().zip(reference))
        .map(|(record, (now, reference))| score_one(record, now, reference, beta, calibrate))
        .collect::<Result<_>>()?;
    let summary = summarise(records, &scores);
    Ok((scores, summary))
}

fn score_one(
    record: &Trajectory,
    now: &Scored,
    reference: &Scored,
    beta: f64,
    calibrate: Calibrate,
) -> Result<RecordScore> {
    let v_ref = match calibrate {
        Calibrate::None => 0.0,
        Calibrate::VRef => f64::from(reference.v1),
    };
    let outcome = Outcome::new(now, &reference.logp, v_ref, record.reward, beta);
    if !(outcome.rho.is_finite() && outcome.residual.unwrap_or(outcome.v1).is_finite()) {
        return Err(Error::new(
            ErrorKind::NotFinite,
            format!("the scores of the record on line {} are not finite", record.line),
            "the weights are too large for f32: check the model with records that are known to work",
        ));
    }
    Ok(RecordScore {
        id: record.id.clone().unwrap_or_else(|| json!(record.line)),
        logp: outcome.logp,
        ref_logp: outcome.logp - outcome.rho,
        v1: outcome.v1,
        implicit_reward: beta * outcome.rho,
        residual: outcome.residual,
        num_tokens: record.num_actions(),
    })
}

fn summarise(records: &[Trajectory], scores: &[RecordScore]) -> ScoreSummary {
    let mean = |of: &dyn Fn(&RecordScore) -> f64| mean(scores.iter().map(of)).unwrap_or(0.0);
    let residuals = || scores.iter().filter_map(|s| s.residual);
    let rewards = || records.iter().filter_map(|r| r.reward);
    let implicit = Auc::of(records, scores, |s| s.implicit_reward);
    let mean_logp = Auc::of(records, scores, |s| s.logp / s.num_tokens as f64);
    ScoreSummary {
        records: scores.len(),
        num_tokens: scores.iter().map(|s| s.num_tokens).sum(),
        logp: mean(&|s| s.logp),
        ref_logp: mean(&|s| s.ref_logp),
        v1: mean(&|s| s.v1),
        implicit_reward: mean(&|s| s.implicit_reward),
        rewarded: rewards().count(),
        reward: self::mean(rewards()),
        residual: self::mean(residuals()),
        residual_rms: self::mean(residuals().map(|r| r * r)).map(f64::sqrt),
        auc: implicit.pooled,
        auc_within_prompt: implicit.within,
        auc_mean_logp: mean_logp.pooled,
        auc_mean_logp_within_prompt: mean_logp.within,
        prompts_with_contrast: implicit.prompts,
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0u64), |(sum, count), x| (sum + x, count + 1));
    (count > 0).then(|| sum / count as f64)
}

struct Auc {
    pooled: Option<f64>,
    within: Option<f64>,
    prompts: usize,
}

impl Auc {
    /// Of the records that have a reward.
    fn of(records: &[Trajectory], scores: &[RecordScore], of: impl Fn(&RecordScore) -> f64) -> Auc {
        let mut all = Vec::new();
        let mut prompts: HashMap<&[u32], Vec<(f64, f64)>> = HashMap::new();
        for (record, score) in records.iter().zip(scores) {
            if let Some(reward) = record.reward {
                all.push((of(score), reward));
                let prompt = &record.tokens[..record.prompt_len];
                prompts.entry(prompt).or_default().push((of(score), reward));
            }
        }
        let mut within = Ranking::default();
        let mut contrasts = 0;
        for pairs in prompts.values() {
            let ranking = Ranking::of(pairs);
            // Multiples of a half: exact in whatever order the prompts come.
            within += ranking;
            contrasts += usize::from(ranking.auc().is_some());
        }
        Auc { pooled: Ranking::of(&all).auc(), within: within.auc(), prompts: contrasts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(line: usize, prompt: u32, reward: Option<f64>) -> Trajectory {
        let id = (line == 1).then(|| json!("first"));
        Trajectory { line, id, reward, ..Trajectory::new(1, vec![prompt, 1, 2]) }
    }

    fn scored(logp: [f32; 2], v1: f32) -> Scored {
        Scored { logp: logp.to_vec(), entropy: vec![0.0; 2], v1, values: Vec::new() }
    }

    #[test]
    fn a_record_is_scored_by_the_formula() {
        let records = [record(1, 9, Some(0.5)), record(2, 9, None)];
        let now = [scored([-1.0, -2.0], 4.0), scored([-0.5, -0.5], 5.0)];
        let reference = [scored([-2.0, -2.5], 3.0), scored([-1.0, -1.0], 3.5)];
        let (scores, summary) = score(&records, &now, &reference, 0.25, Calibrate::None).unwrap();
        let want = RecordScore {
            id: json!("first"),
            logp: -3.0,
            ref_logp: -4.5,
            v1: 4.0,
            implicit_reward: 0.375,
            residual: Some(1.5 + 4.0 - 2.0),
            num_tokens: 2,
        };
        assert_eq!(scores[0], want);
        assert_eq!((&scores[1].id, scores[1].residual), (&json!(2), None));
        assert_eq!((summary.records, summary.rewarded, summary.num_tokens), (2, 1, 4));
        assert_eq!((summary.logp, summary.ref_logp, summary.v1), (-2.0, -3.25, 4.5));
        assert_eq!((summary.residual, summary.residual_rms, summary.auc), (Some(3.5), Some(3.5), None));
        let (scores, _) = score(&records, &now, &reference, 0.25, Calibrate::VRef).unwrap();
        assert_eq!(scores[0].residual, Some(0.5));
    }

    #[test]
    fn within_a_prompt_only_its_own_pairs_count() {
        // Prompt 7 is ranked rightly, prompt 8 wrongly twice, prompt 9 has nothing to rank.
        let rows =
            [(7, 1.0, -1.0), (7, 0.0, -2.0), (8, 1.0, -9.0), (8, 0.0, -8.0), (8, 0.0, -7.0), (9, 1.0, -3.0)];
        let records: Vec<_> =
            rows.iter().enumerate().map(|(i, row)| record(i + 1, row.0, Some(row.1))).collect();
        let now: Vec<_> = rows.iter().map(|row| scored([row.2 / 2.0; 2], 0.0)).collect();
        let reference = vec![scored([0.0; 2], 0.0); rows.len()];
        let (_, summary) = score(&records, &now, &reference, 1.0, Calibrate::None).unwrap();
        assert_eq!(summary.auc_within_prompt, Some(1.0 / 3.0));
        assert_eq!(summary.prompts_with_contrast, 2);
        // Pairs over all prompts: rewards 1 at -1, -9, -3 against 0 at -2, -8, -7: 3 + 0 + 2 of 9.
        assert_eq!(summary.auc, Some(5.0 / 9.0));
        assert_eq!(summary.auc_mean_logp, summary.auc);
    }

    #[test]
    fn scores_that_are_not_finite_are_an_error() {
        let records = [record(4, 1, Some(1.0))];
        let good = [scored([-1.0; 2], 0.0)];
        for bad in
            [scored([f32::NAN, 0.0], 0.0), scored([f32::NEG_INFINITY, 0.0], 0.0), scored([0.0; 2], f32::NAN)]
        {
            let error = score(&records, &[bad], &good, 1.0, Calibrate::None).unwrap_err();
            assert_eq!(error.kind, ErrorKind::NotFinite);
            assert!(error.what.contains("line 4"), "{error}");
        }
    }
}
