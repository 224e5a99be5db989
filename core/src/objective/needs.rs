//! What an objective cannot do without, and data that lacks it.

use super::{Objective, Terms};
use crate::data::record;
use crate::data::trajectory::Trajectory;
use crate::error::{Error, ErrorKind, Result};

/// What an objective cannot do without. TBRM needs no group, no pair and no behaviour log-prob.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Every record must have a reward.
    pub reward: bool,
    /// It compares with a reference's log-probs.
    pub reference: bool,
    /// Every record must have the log-probs of the policy that wrote it.
    pub logps: bool,
    /// What must be in one optimizer step.
    pub together: Together,
}

/// Trajectories that are never split over micro-batches or optimizer steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Together {
    /// Each stands alone.
    #[default]
    Alone,
    /// Those of a group.
    Group,
    /// The two of a pair.
    Pair,
}

impl Needs {
    /// What a line of a data file must have to be read for it.
    pub fn of_records(&self) -> record::Needs {
        match (self.together, self.reward) {
            (Together::Pair, _) => record::Needs::Pair,
            (_, true) => record::Needs::Reward,
            (_, false) => record::Needs::Completion,
        }
    }
}

impl Objective {
    /// Refuses `data` that lacks what the objective needs; groups and pairs are looked at where they are put together.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] names the record and what it lacks; as [`Objective::offline`].
    pub fn check(self, terms: &Terms, data: &[Trajectory]) -> Result<()> {
        self.offline()?;
        let needs = self.needs(terms);
        let lacking = |lacks: &dyn Fn(&Trajectory) -> bool, what: &str, help: &str| {
            let Some(bad) = data.iter().find(|t| lacks(t)) else { return Ok(()) };
            let what = format!("{}: the record has no {what}, which {} needs", bad.place(), self.name());
            Err(Error::new(ErrorKind::Data, what, help))
        };
        if needs.reward {
            let help = "add a reward to it, or train with `objective` sft";
            lacking(&|t| t.reward.is_none(), "reward", help)?;
        }
        if needs.logps {
            let help =
                "log `logps` when completions are drawn, or train with `objective` tbrm, which needs none";
            lacking(&|t| t.logps.is_none(), "`logps`", help)?;
        }
        match needs.together {
            Together::Alone => Ok(()),
            Together::Group => {
                let help = "give rollouts of one prompt the same `group`, or train with `objective` tbrm, which needs none";
                // A prompt whose V* is known needs no other rollouts.
                lacking(&|t| t.group.is_none() && t.v_star.is_none(), "`group`", help)
            }
            Together::Pair => {
                let help = "give `chosen` and `rejected`, or train with `objective` tbrm on rewards";
                lacking(&|t| t.preferred.is_none(), "`chosen` and `rejected`", help)
            }
        }
    }
}
