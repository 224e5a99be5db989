//! Objectives: each turns per-token statistics into the pair (a, b) of which the head's backward makes
//! dloss/dlogits = a * onehot - b * softmax. No objective ever sees logits. One file each, with its formula and source.
//!
//! What depends on rewards alone (advantages, V*) is computed here, once a step, and goes to the device as one number a
//! completion, its signal.

mod a2po;
mod brm;
mod dpo;
mod grpo;
mod hybrid;
mod metrics;
mod needs;
pub(crate) mod ppo;
mod reinforce;
mod rloo;
mod sft;
mod tba;
mod tbrm;
mod terms;

use crate::error::{Error, ErrorKind, Result};
use crate::gpu::View;
use crate::gpu::kernels::copy::CopyParams;
use crate::gpu::kernels::objective::{ObjectiveParams, ObjectiveStep, ObjectiveSums};
use crate::model::critic::Critic;
use crate::ops::Ops;

pub(crate) use a2po::value;
pub(crate) use metrics::Back;
pub use needs::{Needs, Together};
pub use terms::{KlEstimator, LossType, Terms};

/// What is minimised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Objective {
    /// Trajectory Bellman Residual Minimization.
    #[default]
    Tbrm,
    /// Its token-level ablation, which is known to collapse.
    Brm,
    /// Cross-entropy.
    Sft,
    /// The policy gradient, with the mean of the step's other rewards as baseline.
    Reinforce,
    /// The same, with the mean of the group's other rewards.
    Rloo,
    /// Group-relative policy optimization.
    Grpo,
    /// Direct preference optimization.
    Dpo,
    /// Regression of the optimal advantage.
    A2po,
    /// Trajectory balance.
    Tba,
    /// A mean of TBRM and another objective.
    Hybrid,
    /// Proximal policy optimization, with a critic.
    Ppo,
}

/// What an objective reads and writes: S trajectories of R rows in all.
pub(crate) struct Rows<'a> {
    pub step: &'a View,       // the uniform ObjectiveStep
    pub traj_start: &'a View, // (S + 1)
    pub traj: &'a View,       // (S, TRAJ)
    pub sets: &'a View,       // (S, 2)
    pub ref_logp: &'a View,   // (R)
    pub old_logp: &'a View,   // (R)
    pub lse: &'a View,        // (R)
    pub chosen: &'a View,     // (R)
    pub entropy: &'a View,    // (R)
    pub stats: &'a View,      // (S, STATS)
    pub a: &'a View,          // (R)
    pub b: &'a View,          // (R)
    /// Of ppo.
    pub critic: Option<&'a Critic>,
}

/// What ppo holds constant of a completion, or of a micro-batch's rows: a number a token each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Critique {
    /// By the critic, before the first step on it.
    pub value: Vec<f32>,
    /// A, whitened.
    pub advantage: Vec<f32>,
    /// G, which the value is to become.
    pub returns: Vec<f32>,
}

/// What the host knows of a completion of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Member {
    /// Its reward; 0 where it has none.
    pub reward: f64,
    /// V* of its prompt, where that is known beforehand.
    pub v_star: Option<f64>,
}

impl Objective {
    /// All of them.
    pub const ALL: [Objective; 11] = [
        Objective::Tbrm,
        Objective::Brm,
        Objective::Sft,
        Objective::Reinforce,
        Objective::Rloo,
        Objective::Grpo,
        Objective::Dpo,
        Objective::A2po,
        Objective::Tba,
        Objective::Hybrid,
        Objective::Ppo,
    ];

    /// The name in commands and files.
    pub const fn name(self) -> &'static str {
        match self {
            Objective::Tbrm => "tbrm",
            Objective::Brm => "brm",
            Objective::Sft => "sft",
            Objective::Reinforce => "reinforce",
            Objective::Rloo => "rloo",
            Objective::Grpo => "grpo",
            Objective::Dpo => "dpo",
            Objective::A2po => "a2po",
            Objective::Tba => "tba",
            Objective::Hybrid => "hybrid",
            Objective::Ppo => "ppo",
        }
    }

    /// The published strength of the KL regularisation; of tbrm and its kin the one that suits rewards from 0 to 1.
    pub fn beta(self) -> f64 {
        match self {
            Objective::Dpo => dpo::BETA,
            Objective::A2po => a2po::BETA,
            _ => 0.05,
        }
    }

    /// What it cannot do without.
    pub fn needs(self, terms: &Terms) -> Needs {
        let regularised = terms.kl_coefficient > 0.0;
        let rewarded = Needs { reward: true, ..Needs::default() };
        match self {
            Objective::Sft => Needs::default(),
            Objective::Tbrm | Objective::Brm => Needs { reference: true, ..rewarded },
            Objective::Reinforce => Needs { reference: regularised, ..rewarded },
            Objective::Rloo => Needs { reference: regularised, together: Together::Group, ..rewarded },
            Objective::Grpo => {
                Needs { reference: regularised, logps: true, together: Together::Group, ..rewarded }
            }
            Objective::Dpo => Needs { reference: true, together: Together::Pair, ..Needs::default() },
            Objective::A2po | Objective::Tba => {
                Needs { reference: true, together: Together::Group, ..rewarded }
            }
            Objective::Ppo => Needs { reference: regularised, logps: true, ..rewarded },
            Objective::Hybrid => {
                let other = terms.hybrid_with.needs(terms);
                Needs { reward: true, reference: true, ..other }
            }
        }
    }

    /// Refuses what logs cannot feed.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] of ppo.
    pub fn offline(self) -> Result<()> {
        if self != Objective::Ppo {
            return Ok(());
        }
        let what = "ppo is trained on the model's own rollouts: no log has its critic's values of each token";
        let help = "use `tbrm rl`, or train with `objective` tbrm, which needs no critic";
        Err(Error::new(ErrorKind::Config, what, help))
    }

    /// Whether it has a residual of its own, which metrics then report.
    pub fn has_residual(self) -> bool {
        matches!(
            self,
            Objective::Tbrm | Objective::Brm | Objective::A2po | Objective::Tba | Objective::Hybrid
        )
    }

    /// What a completion of `actions` tokens adds to the sum that the step's loss is divided by: 1, or its tokens where
    /// the loss is a mean over tokens; a half in a pair.
    pub fn share(self, terms: &Terms, actions: usize) -> f64 {
        match self {
            Objective::Sft | Objective::Ppo => actions as f64,
            Objective::Grpo => grpo::share(terms, actions),
            Objective::Dpo => 0.5,
            Objective::Hybrid => terms.hybrid_with.share(terms, actions),
            _ => 1.0,
        }
    }

    /// The signals of a step's completions, which stand in sets of `sizes`, one set after the other.
    ///
    /// # Panics
    /// Where the sizes do not add up to the completions.
    pub fn signals(self, terms: &Terms, step: &[Member], sizes: &[usize]) -> Vec<f64> {
        let of_sets = |of: &dyn Fn(&[Member]) -> Vec<f64>| {
            let mut rest = step;
            let mut all = Vec::with_capacity(step.len());
            for &size in sizes {
                let (set, behind) = rest.split_at(size);
                all.extend(of(set));
                rest = behind;
            }
            all
        };
        match self {
            Objective::Tbrm | Objective::Brm | Objective::Sft | Objective::Tba | Objective::Ppo => {
                vec![0.0; step.len()]
            }
            Objective::Reinforce => reinforce::advantages(step),
            Objective::Rloo => of_sets(&reinforce::advantages),
            Objective::Grpo => of_sets(&|set| grpo::advantages(terms, set)),
            Objective::Dpo => of_sets(&|set| dpo::signs(set.len())),
            Objective::A2po => of_sets(&|set| a2po::values(terms, set)),
            Objective::Hybrid => terms.hybrid_with.signals(terms, step, sizes),
        }
    }

    /// The uniform of a step whose completions have these weights and lengths.
    pub fn step(
        self,
        terms: &Terms,
        beta: f64,
        kappa: f64,
        step: impl Iterator<Item = (f64, usize)> + Clone,
    ) -> ObjectiveStep {
        let inverse = |sum: f64| if sum > 0.0 { (1.0 / sum) as f32 } else { 0.0 };
        let per_completion = terms.loss_type == LossType::Grpo;
        ObjectiveStep {
            inv_weight: inverse(
                step.clone().map(|(weight, actions)| weight * self.share(terms, actions)).sum(),
            ),
            inv_beta: (1.0 / beta) as f32,
            kappa: kappa as f32,
            beta: beta as f32,
            kl: terms.kl_coefficient as f32,
            clip_low: terms.clip as f32,
            clip_high: terms.clip_high as f32,
            per_completion: u32::from(per_completion),
            lambda: terms.lambda as f32,
            tbrm_inv_weight: inverse(step.map(|(weight, _)| weight).sum()),
            value_coefficient: terms.value_coefficient as f32,
            value_clip: terms.value_clip as f32,
        }
    }

    /// Records the trajectory sums and the pair (a, b); `other` is what a hybrid mixes with.
    pub(crate) fn record(self, other: Objective, ops: &mut Ops<'_>, trajectories: usize, rows: &Rows<'_>) {
        let p = ObjectiveParams { trajectories: trajectories as u32 };
        ops.run(ObjectiveSums {
            p,
            traj_start: rows.traj_start,
            lse: rows.lse,
            chosen: rows.chosen,
            ref_logp: rows.ref_logp,
            entropy: rows.entropy,
            stats: rows.stats,
        });
        if self == Objective::Hybrid {
            other.record_pair(ops, p, rows);
        }
        self.record_pair(ops, p, rows);
    }

    fn record_pair(self, ops: &mut Ops<'_>, p: ObjectiveParams, rows: &Rows<'_>) {
        match self {
            Objective::Tbrm => tbrm::record(ops, p, rows),
            Objective::Brm => brm::record(ops, p, rows),
            Objective::Sft => sft::record(ops, p, rows),
            Objective::Reinforce => reinforce::record(ops, p, rows),
            Objective::Rloo => rloo::record(ops, p, rows),
            Objective::Grpo => grpo::record(ops, p, rows),
            Objective::Dpo => dpo::record(ops, p, rows),
            Objective::A2po => a2po::record(ops, p, rows),
            Objective::Tba => tba::record(ops, p, rows),
            Objective::Hybrid => hybrid::record(ops, p, rows),
            Objective::Ppo => ppo::record(ops, p, rows),
        }
    }
}

impl Rows<'_> {
    /// b = a.
    fn same(&self, ops: &mut Ops<'_>) {
        let p = CopyParams { count: self.a.len() as u32 };
        ops.run(crate::gpu::kernels::copy::CopyFwd { p, x: self.a, out: self.b });
    }
}
