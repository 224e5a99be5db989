//! An embedded task as the files that a run is made of, for a front end that has no file system.

use super::{Demonstration, Problem, Split, by_name, demonstrations};
use crate::error::Result;

/// Problems to train on and to test with, where the task has as many.
const TRAIN: usize = 2048;
const HELD_OUT: usize = 128;

/// Demonstrations of each problem, and the share that is wrong.
const DEMONSTRATIONS: (usize, f64) = (4, 0.5);

/// Tokens beyond the longest answer of a model that reads bytes: the end token, and one more, so that a model that does not
/// stop where it should is seen not to.
const ROOM: usize = 2;

/// A task's problems as files of records.
pub struct TaskFiles {
    /// What is asked: one line.
    pub description: String,
    /// Problems to train on, as prompts with answers.
    pub prompts: String,
    /// Problems to test with.
    pub held_out: String,
    /// Completions of the former, right and wrong ones, with their rewards: a log.
    pub demonstrations: String,
    /// What a completion may have of tokens.
    pub max_new_tokens: usize,
}

impl TaskFiles {
    /// The problems that `seed` draws of the task that `name` names.
    ///
    /// # Errors
    /// As [`by_name`].
    pub fn new(name: &str, seed: u64) -> Result<TaskFiles> {
        let task = by_name(name)?;
        let split = Split::at_most(&*task, seed, TRAIN, HELD_OUT);
        let (each, wrong) = DEMONSTRATIONS;
        let logs = demonstrations(&*task, &split.train, each, wrong, seed);
        let prompts = |problems: &[Problem]| problems.iter().map(|it| it.to_json() + "\n").collect();
        let all = split.train.iter().chain(&split.held_out);
        let longest = all.map(|problem| problem.answer.len()).max().unwrap_or(0);
        Ok(TaskFiles {
            description: task.description(),
            prompts: prompts(&split.train),
            held_out: prompts(&split.held_out),
            demonstrations: logs.iter().map(|shown: &Demonstration| shown.to_json() + "\n").collect(),
            max_new_tokens: longest + ROOM,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Needs;
    use crate::data::record::read_all;
    use crate::task::{LEVELS, NAMES};

    #[test]
    fn every_task_is_files_that_a_run_reads() {
        for name in NAMES {
            for level in LEVELS {
                let files = TaskFiles::new(&format!("{name}-{level}"), 3).unwrap();
                let read = |text: &str, needs| read_all("f", text.as_bytes(), needs, false).unwrap().0;
                let prompts = read(&files.prompts, Needs::Prompt);
                let held_out = read(&files.held_out, Needs::Prompt);
                let logs = read(&files.demonstrations, Needs::Reward);
                assert!(prompts.len() >= 16 && !held_out.is_empty(), "{name}-{level}: {}", prompts.len());
                assert_eq!(logs.len(), 4 * prompts.len());
                let longest = prompts.iter().chain(&held_out).filter_map(|p| p.answer_text());
                assert!(longest.map(|a| a.len() + 2).max() == Some(files.max_new_tokens), "{name}-{level}");
            }
        }
    }
}
