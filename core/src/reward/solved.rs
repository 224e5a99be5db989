//! The completion solves a problem of an embedded task.

use super::{Reward, answer};
use crate::Result;
use crate::data::Record;
use crate::task::{self, Problem, Task};

/// What a task's own verifier gives: 1 or 0.
pub struct Solved {
    task: Box<dyn Task>,
}

impl Solved {
    /// By the verifier of the task that `name` names, for instance `countdown-2`.
    ///
    /// # Errors
    /// As [`task::by_name`].
    pub fn new(name: &str) -> Result<Solved> {
        Ok(Solved { task: task::by_name(name)? })
    }
}

impl Reward for Solved {
    fn name(&self) -> &str {
        self.task.name()
    }

    fn check(&self, record: &Record) -> Result<()> {
        answer(record, self.name()).map(drop)
    }

    fn score(&self, record: &Record, completion: &str) -> Result<f64> {
        let problem = Problem { prompt: record.prompt.plain(), answer: answer(record, self.name())? };
        Ok(self.task.reward(&problem, completion))
    }
}
