//! What single objectives report, under TRL's names.

use super::{Objective, Terms, Together};
use crate::train::metrics::TrajectoryStats;

/// A completion of a step that is back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Back<'a> {
    /// The device's statistics.
    pub stats: &'a TrajectoryStats,
    /// Tokens.
    pub actions: usize,
    /// Its reward.
    pub reward: Option<f64>,
}

impl Objective {
    /// Of completions that stand in sets of `sizes`, one set after the other.
    pub(crate) fn metrics(
        self,
        terms: &Terms,
        beta: f64,
        step: &[Back<'_>],
        sizes: &[usize],
    ) -> Vec<(&'static str, f64)> {
        if self == Objective::Hybrid {
            return terms.hybrid_with.metrics(terms, beta, step, sizes);
        }
        let sets = || {
            let mut rest = step;
            sizes.iter().map(move |&size| {
                let (set, behind) = rest.split_at(size);
                rest = behind;
                set
            })
        };
        let mut all = Vec::new();
        if self.needs(terms).together == Together::Group {
            let equal = |set: &&[Back<'_>]| set.iter().all(|back| back.reward == set[0].reward);
            let share = sets().filter(equal).count() as f64 / sizes.len() as f64;
            all.push(("frac_reward_zero_std", share));
        }
        match self {
            Objective::Grpo => {
                let tokens = step.iter().map(|back| back.actions as f64).sum::<f64>();
                let share =
                    |of: fn(&TrajectoryStats) -> f64| step.iter().map(|b| of(b.stats)).sum::<f64>() / tokens;
                let (low, high) = (share(|s| s.clipped_low), share(|s| s.clipped_high));
                all.extend([
                    ("clip_ratio/low_mean", low),
                    ("clip_ratio/high_mean", high),
                    ("clip_ratio/region_mean", low + high),
                ]);
            }
            Objective::Ppo => {
                let tokens = step.iter().map(|back| back.actions as f64).sum::<f64>();
                let sum =
                    |of: &dyn Fn(&TrajectoryStats) -> f64| step.iter().map(|b| of(b.stats)).sum::<f64>();
                let policy = |s: &TrajectoryStats| s.loss - terms.value_coefficient * s.value_loss;
                all.extend([
                    ("loss/policy_avg", sum(&policy)),
                    ("loss/value_avg", sum(&|s| s.value_loss)),
                    ("policy/approxkl_avg", sum(&|s| s.approx_kl) / tokens),
                    ("policy/clipfrac_avg", sum(&|s| s.clipped_low + s.clipped_high) / tokens),
                    ("val/clipfrac_avg", sum(&|s| s.value_clipped) / tokens),
                    ("val/ratio", sum(&|s| s.ratio) / tokens),
                ]);
            }
            Objective::Dpo => {
                let mean = |of: &dyn Fn(&TrajectoryStats, &TrajectoryStats) -> f64| {
                    sets().map(|pair| of(pair[0].stats, pair[1].stats)).sum::<f64>() / sizes.len() as f64
                };
                all.extend([
                    ("rewards/chosen", mean(&|better, _| beta * better.rho)),
                    ("rewards/rejected", mean(&|_, worse| beta * worse.rho)),
                    ("rewards/margins", mean(&|better, worse| beta * (better.rho - worse.rho))),
                    (
                        "rewards/accuracies",
                        mean(&|better, worse| f64::from(u8::from(better.rho > worse.rho))),
                    ),
                    ("logps/chosen", mean(&|better, _| better.logp)),
                    ("logps/rejected", mean(&|_, worse| worse.logp)),
                ]);
            }
            _ => {}
        }
        all
    }
}
