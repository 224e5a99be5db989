//! A comparison on a small budget: what a front end asks for by a few numbers.

use serde::{Deserialize, Serialize};

use super::{CompareConfig, Start};
use crate::error::Result;
use crate::lab::arm::Arm;
use crate::lab::start::TaskStart;

/// A comparison on an embedded task that takes a minute or two without a GPU, where nothing else is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Trial {
    /// The task, with its level.
    pub task: String,
    /// The contenders, as [`Arm::parse`] reads them.
    pub objectives: Vec<String>,
    /// The first seed.
    pub seed: u64,
    /// How many seeds.
    pub seeds: u64,
    /// Optimizer steps of a run.
    pub steps: u64,
    /// Completions of a step.
    pub batch: usize,
    /// How often accuracy is measured during a run.
    pub evaluations: u64,
    /// Completions of each held-out prompt.
    pub samples: usize,
    /// Problems to train on, where the task has as many.
    pub problems: usize,
    /// Problems that accuracy is measured on, where it has as many.
    pub held_out: usize,
    /// Steps of the warm start.
    pub warm_steps: u64,
}

impl Default for Trial {
    fn default() -> Self {
        Trial {
            task: "sort-1".to_owned(),
            objectives: ["tbrm", "grpo"].map(str::to_owned).into(),
            seed: 0,
            seeds: 3,
            steps: 40,
            batch: 32,
            evaluations: 4,
            samples: 2,
            problems: 400,
            held_out: 64,
            warm_steps: 100,
        }
    }
}

impl Trial {
    /// The comparison that this asks for.
    ///
    /// # Errors
    /// As [`Arm::parse`] and [`TaskStart::at_most`].
    pub fn config(&self) -> Result<CompareConfig> {
        let start = TaskStart {
            warm_steps: self.warm_steps,
            // No learning rate is chosen, so nothing is validated.
            ..TaskStart::at_most(&self.task, self.problems, 0, self.held_out)?
        };
        Ok(CompareConfig {
            start: Start::Task(start),
            arms: self.objectives.iter().map(|name| Arm::parse(name)).collect::<Result<_>>()?,
            seed: self.seed,
            seeds: self.seeds,
            steps: self.steps,
            batch: self.batch,
            evaluations: self.evaluations,
            samples: self.samples,
            learning_rates: Vec::new(),
            tuning_seeds: 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_on_a_task_with_few_problems_takes_what_it_has() {
        let start = |task: &str| {
            let config = Trial { task: task.to_owned(), ..Trial::default() }.config().unwrap();
            let Start::Task(start) = config.start else { panic!("a task") };
            (start.problems, start.validation, start.held_out)
        };
        assert_eq!(start("sort-3"), (400, 0, 64));
        let (problems, validation, held_out) = start("parity-1");
        // All strings of 6 to 8 bits.
        assert_eq!((problems + held_out, validation), (448, 0));
        assert!(problems < 400 && held_out < 64);
    }
}
