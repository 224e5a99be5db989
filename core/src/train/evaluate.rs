//! What the model makes of held-out records, from their scores alone.

use std::ops::AddAssign;

use super::config::{Calibrate, TrainConfig};
use super::engine::Scored;
use super::event::Evaluation;
use super::reference::Reference;
use crate::data::sets::{Sets, ranges};
use crate::data::trajectory::Trajectory;
use crate::error::Result;
use crate::objective::Objective;
use crate::reference::head::Stats;
use crate::reference::objective;

/// One scored record against the reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Sum of the log-probs.
    pub logp: f64,
    /// Sum of log-prob minus reference log-prob.
    pub rho: f64,
    /// Value of the prompt.
    pub v1: f64,
    /// delta, where the record has a reward.
    pub residual: Option<f64>,
}

impl Outcome {
    /// Sums in f64: `delta = rho + V_1 - v_ref - R / beta`.
    pub fn new(now: &Scored, ref_logp: &[f32], v_ref: f64, reward: Option<f64>, beta: f64) -> Outcome {
        let logp: f64 = now.logp.iter().map(|&l| f64::from(l)).sum();
        let rho = logp - ref_logp.iter().map(|&l| f64::from(l)).sum::<f64>();
        let v1 = f64::from(now.v1);
        Outcome { logp, rho, v1, residual: reward.map(|reward| rho + v1 - v_ref - reward / beta) }
    }
}

/// How well `scores` rank `labels`: the share of pairs of unequal labels whose scores are in order, ties half; `None`
/// where all labels are equal.
pub fn auc(pairs: &[(f64, f64)]) -> Option<f64> {
    Ranking::of(pairs).auc()
}

/// Pairs of unequal labels, and how many of them the scores put in order.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Ranking {
    in_order: f64,
    pairs: f64,
}

impl Ranking {
    /// Of (score, label).
    pub(crate) fn of(pairs: &[(f64, f64)]) -> Ranking {
        let mut sorted: Vec<(f64, f64)> = pairs.to_vec();
        sorted.sort_by(|a, b| a.1.total_cmp(&b.1));
        let mut ranking = Ranking::default();
        let mut below: Vec<f64> = Vec::new(); // scores of smaller labels, sorted
        let mut at = 0;
        while at < sorted.len() {
            let end = at + sorted[at..].iter().take_while(|pair| pair.1 == sorted[at].1).count();
            for &(score, _) in &sorted[at..end] {
                let smaller = below.partition_point(|&s| s < score);
                let not_larger = below.partition_point(|&s| s <= score);
                ranking.in_order += smaller as f64 + 0.5 * (not_larger - smaller) as f64;
                ranking.pairs += below.len() as f64;
            }
            below.extend(sorted[at..end].iter().map(|pair| pair.0));
            below.sort_by(f64::total_cmp);
            at = end;
        }
        ranking
    }

    /// The share in order; `None` of none.
    pub(crate) fn auc(self) -> Option<f64> {
        (self.pairs > 0.0).then(|| self.in_order / self.pairs)
    }
}

impl AddAssign for Ranking {
    fn add_assign(&mut self, other: Ranking) {
        self.in_order += other.in_order;
        self.pairs += other.pairs;
    }
}

/// Means over `records`, whose references start at `first`. The loss is the objective's on all of them as one step.
///
/// # Errors
/// As [`Sets::new`].
pub(crate) fn evaluate(
    config: &TrainConfig,
    records: &[Trajectory],
    now: &[Scored],
    reference: &Reference,
    first: usize,
) -> Result<Evaluation> {
    let TrainConfig { objective, beta, calibrate, .. } = *config;
    let sets = Sets::new(objective, config.needs().together, records)?;
    let sets: Vec<Vec<usize>> = (0..sets.len()).map(|set| sets.members(set)).collect();
    let order: Vec<usize> = sets.concat();
    let outcomes: Vec<Outcome> = (0..records.len())
        .map(|i| {
            let v_ref = f64::from(reference.origin(calibrate, first + i));
            Outcome::new(&now[i], &reference.logp[first + i], v_ref, records[i].reward, beta)
        })
        .collect();
    let weight: f64 = records.iter().map(|r| r.weight).sum();
    let mean = |of: &dyn Fn(&Outcome) -> f64| {
        records.iter().zip(&outcomes).map(|(r, o)| r.weight * of(o)).sum::<f64>() / weight
    };
    let residual = |o: &Outcome| o.residual.unwrap_or(0.0);
    let squares = mean(&|o| residual(o).powi(2));
    let loss = match objective {
        // Its residuals within a completion would need the values of all its tokens.
        Objective::Brm => squares,
        _ => loss(config, records, now, reference, first, &order, &sets),
    };
    let labelled: Option<Vec<(f64, f64)>> =
        records.iter().zip(&outcomes).map(|(r, o)| r.reward.map(|reward| (o.rho, reward))).collect();
    Ok(Evaluation {
        step: 0,
        loss,
        residual: mean(&residual),
        residual_rms: squares.sqrt(),
        rho: mean(&|o| o.rho),
        v1: mean(&|o| o.v1),
        auc: labelled.and_then(|pairs| auc(&pairs)),
        best: false,
    })
}

/// The objective's loss in f64, by the formulas that its kernels are tested against.
fn loss(
    config: &TrainConfig,
    records: &[Trajectory],
    now: &[Scored],
    reference: &Reference,
    first: usize,
    order: &[usize],
    sets: &[Vec<usize>],
) -> f64 {
    let TrainConfig { objective, terms, beta, calibrate, .. } = *config;
    let (mut stats, mut traj_start) = (Stats::default(), vec![0]);
    let mut logged = objective::Records::default();
    let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
    for &i in order {
        let (record, scored) = (&records[i], &now[i]);
        // Only V_1 is known of the values; a log-prob is the difference whatever the rest is.
        let lse = (0..scored.logp.len()).map(|h| if h == 0 { f64::from(scored.v1) } else { 0.0 });
        stats.lse.extend(lse.clone());
        stats.chosen.extend(lse.zip(&scored.logp).map(|(lse, &logp)| lse + f64::from(logp)));
        traj_start.push(stats.lse.len() as u32);
        logged.ref_logp.extend(wide(&reference.logp[first + i]));
        logged.old_logp.extend(wide(record.logps.as_deref().unwrap_or(&scored.logp)));
        logged.ref_v1.push(f64::from(reference.v1[first + i]));
        logged.reward.push(record.reward.unwrap_or(0.0));
        logged.weight.push(record.weight);
    }
    logged.sets = ranges(sets.iter().map(Vec::len));
    let weights = |objective| objective::weight_sum(objective, &terms, &traj_start, &logged.weight);
    let settings = objective::Settings {
        objective,
        terms,
        beta,
        logit_scale: config.logit_scale,
        calibrate: calibrate == Calibrate::VRef,
        weight_sum: weights(objective),
        tbrm_weight_sum: weights(Objective::Tbrm),
    };
    objective::evaluate(&stats, &traj_start, &logged, &settings).loss.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::auc;

    #[test]
    fn auc_counts_pairs_and_halves_ties() {
        assert_eq!(auc(&[(0.1, 0.0), (0.9, 1.0)]), Some(1.0));
        assert_eq!(auc(&[(0.9, 0.0), (0.1, 1.0)]), Some(0.0));
        assert_eq!(auc(&[(0.5, 0.0), (0.5, 1.0)]), Some(0.5));
        assert_eq!(auc(&[(0.5, 1.0), (0.7, 1.0)]), None);
        assert_eq!(auc(&[(1.0, 0.0), (2.0, 1.0), (0.0, 1.0), (3.0, 2.0)]), Some(4.0 / 5.0));
    }
}
