//! Objectives: each turns per-token statistics into the pair (a, b) of which the head's backward makes
//! dloss/dlogits = a * onehot - b * softmax. No objective ever sees logits. One file each.

mod brm;
mod sft;
mod tbrm;

use crate::gpu::View;
use crate::gpu::kernels::objective::{ObjectiveParams, ObjectiveSums};
use crate::ops::Ops;

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
}

/// What an objective reads and writes: S trajectories of R rows in all.
pub(crate) struct Rows<'a> {
    pub step: &'a View,       // the uniform ObjectiveStep
    pub traj_start: &'a View, // (S + 1)
    pub traj: &'a View,       // (S, TRAJ)
    pub ref_logp: &'a View,   // (R)
    pub lse: &'a View,        // (R)
    pub chosen: &'a View,     // (R)
    pub entropy: &'a View,    // (R)
    pub stats: &'a View,      // (S, STATS)
    pub a: &'a View,          // (R)
    pub b: &'a View,          // (R)
}

impl Objective {
    /// The name in commands and files.
    pub fn name(self) -> &'static str {
        match self {
            Objective::Tbrm => "tbrm",
            Objective::Brm => "brm",
            Objective::Sft => "sft",
        }
    }

    /// Whether every record must have a reward.
    pub fn needs_reward(self) -> bool {
        match self {
            Objective::Tbrm | Objective::Brm => true,
            Objective::Sft => false,
        }
    }

    /// Whether it compares with a reference's log-probs.
    pub fn needs_reference(self) -> bool {
        self.needs_reward()
    }

    /// Whether the mean runs over tokens rather than over trajectories.
    pub fn per_token(self) -> bool {
        self == Objective::Sft
    }

    /// Records the trajectory sums and the pair (a, b).
    pub(crate) fn record(self, ops: &mut Ops<'_>, trajectories: usize, rows: &Rows<'_>) {
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
        match self {
            Objective::Tbrm => tbrm::record(ops, p, rows),
            Objective::Brm => brm::record(ops, p, rows),
            Objective::Sft => sft::record(ops, p, rows),
        }
    }
}
