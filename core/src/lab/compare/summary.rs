//! What the runs of a comparison come to.

use serde::Serialize;

use super::{CompareConfig, Outcome, Outcomes, Point, run_key, start_key};
use crate::lab::arm::Arm;
use crate::lab::stats::Interval;

/// A comparison that is done.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// What it is made of.
    pub config: CompareConfig,
    /// The accuracy of the models that it starts from.
    pub start: Interval,
    /// The most tokens that every run was trained on.
    pub common_tokens: f64,
    /// The contenders, in the order in which they were named.
    pub arms: Vec<ArmSummary>,
}

/// What came of an objective, over seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ArmSummary {
    /// It and its settings, with the learning rate that it ran with.
    pub arm: Arm,
    /// The accuracy on validation prompts by learning rate; empty where none were tried.
    pub tuning: Vec<(f64, f64)>,
    /// At the end: after as many completions as every other.
    pub accuracy: Interval,
    /// At [`Comparison::common_tokens`], between the measurements around it.
    pub at_common_tokens: Interval,
    /// `at_common_tokens` less that of the first objective with the same seed; none for the first itself.
    pub difference: Option<Interval>,
    /// At the end, by seed.
    pub each: Vec<f64>,
    /// Completion tokens drawn.
    pub tokens: f64,
    /// Seconds of rollouts and steps.
    pub seconds: Interval,
    /// The share of rollouts in them.
    pub rollout_share: f64,
    /// Bytes of GPU memory, of the largest run.
    pub peak_bytes: u64,
    /// Runs that failed.
    pub failed: usize,
    /// Accuracy on the way.
    pub curve: Vec<CurvePoint>,
}

/// Accuracy after some step, over seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CurvePoint {
    /// Mean tokens trained on.
    pub tokens: f64,
    /// The accuracy.
    pub accuracy: Interval,
}

/// Where a comparison stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SoFar {
    /// What it is made of.
    pub config: CompareConfig,
    /// Runs done.
    pub done: usize,
    /// All of them.
    pub runs: usize,
    /// What they come to, with arms as they were given; numbers are NaN where an arm has no run yet.
    pub comparison: Option<Comparison>,
}

impl SoFar {
    /// Of outcomes that need not be complete.
    pub(super) fn new(config: &CompareConfig, outcomes: &Outcomes) -> SoFar {
        let seeds = config.seed..config.seed + config.seeds;
        let keys: Vec<String> =
            seeds.flat_map(|seed| config.arms.iter().map(move |arm| run_key(arm, seed))).collect();
        let done = keys.iter().filter(|key| outcomes.contains_key(*key)).count();
        let comparison = (done > 0).then(|| Comparison::new(config, config.arms.clone(), outcomes));
        SoFar { config: config.clone(), done, runs: keys.len(), comparison }
    }
}

impl Comparison {
    /// Of outcomes whose seeds are complete from the first on.
    pub(super) fn new(config: &CompareConfig, arms: Vec<Arm>, outcomes: &Outcomes) -> Comparison {
        let seeds = config.seed..config.seed + config.seeds;
        let starts: Vec<Point> = seeds
            .clone()
            .filter_map(|seed| outcomes.get(&start_key(seed))?.points.first().copied())
            .collect();
        let runs = |arm: &Arm| -> Vec<&Outcome> {
            seeds.clone().filter_map(|seed| outcomes.get(&run_key(arm, seed))).collect()
        };
        // Each run with the accuracy that it began with.
        let curves = |arm: &Arm| -> Vec<Vec<Point>> {
            let of = |(run, start): (&Outcome, &Point)| [&[*start][..], &run.points].concat();
            runs(arm).into_iter().zip(&starts).map(of).collect()
        };
        let ends =
            arms.iter().flat_map(&curves).filter_map(|curve| curve.last().map(|point| point.tokens as f64));
        let common = ends.fold(f64::INFINITY, f64::min);
        let at_common =
            |arm: &Arm| -> Vec<f64> { curves(arm).iter().map(|curve| accuracy_at(curve, common)).collect() };
        let first = arms.first().map(at_common).unwrap_or_default();
        let summary = |(i, arm): (usize, &Arm)| {
            let (runs, curves, at_common) = (runs(arm), curves(arm), at_common(arm));
            let values = |of: &dyn Fn(&Outcome) -> f64| runs.iter().map(|run| of(run)).collect::<Vec<f64>>();
            let mean = |of: &dyn Fn(&Outcome) -> f64| values(of).iter().sum::<f64>() / runs.len() as f64;
            let differences: Vec<f64> =
                at_common.iter().zip(&first).map(|(own, first)| own - first).collect();
            let tried = |&rate: &f64| Some((rate, config.validation(&arm.at(rate), outcomes)?));
            let points = curves.iter().map(Vec::len).min().unwrap_or(0);
            let point = |i: usize| {
                let of =
                    |value: &dyn Fn(&Point) -> f64| curves.iter().map(|c| value(&c[i])).collect::<Vec<f64>>();
                CurvePoint {
                    tokens: Interval::of(&of(&|point| point.tokens as f64)).mean,
                    accuracy: Interval::of(&of(&|point| point.accuracy)),
                }
            };
            ArmSummary {
                tuning: if arm.fixed {
                    Vec::new()
                } else {
                    config.learning_rates.iter().filter_map(tried).collect()
                },
                accuracy: Interval::of(&values(&Outcome::last)),
                at_common_tokens: Interval::of(&at_common),
                difference: (i > 0).then(|| Interval::of(&differences)),
                each: values(&Outcome::last),
                tokens: mean(&|run| run.tokens as f64),
                seconds: Interval::of(&values(&|run| run.seconds)),
                rollout_share: mean(&|run| run.rollout_seconds / run.seconds),
                peak_bytes: runs.iter().map(|run| run.peak_bytes).max().unwrap_or(0),
                failed: runs.iter().filter(|run| run.failed.is_some()).count(),
                curve: (0..points).map(point).collect(),
                arm: arm.clone(),
            }
        };
        Comparison {
            config: config.clone(),
            start: Interval::of(&starts.iter().map(|point| point.accuracy).collect::<Vec<_>>()),
            common_tokens: common,
            arms: arms.iter().enumerate().map(summary).collect(),
        }
    }
}

/// Along straight lines between the measurements.
pub(super) fn accuracy_at(curve: &[Point], tokens: f64) -> f64 {
    let after = curve.iter().position(|point| point.tokens as f64 >= tokens);
    match after {
        None => curve.last().map_or(f64::NAN, |point| point.accuracy),
        Some(0) => curve[0].accuracy,
        Some(i) => {
            let (from, to) = (&curve[i - 1], &curve[i]);
            let share = (tokens - from.tokens as f64) / (to.tokens - from.tokens) as f64;
            from.accuracy + share * (to.accuracy - from.accuracy)
        }
    }
}
