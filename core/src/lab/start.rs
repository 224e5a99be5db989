//! What experiments start from: a model and its problems, given or drawn from an embedded task.

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::{Tell, go_on};
use crate::data::tokenizer::Tokenizer;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;
use crate::model::ModelConfig;
use crate::objective::Objective;
use crate::run::checkpoints::weights;
use crate::run::files::WEIGHTS;
use crate::run::recorder::MODEL;
use crate::run::within::Within;
use crate::run::{File, Given, ModelFiles, Options, Run, Store, Weights};
use crate::task::{Demonstration, Problem, Split, Task, by_name, demonstrations};
use crate::train::Schedule;
use crate::train::tune::Tuned;

/// Positions beyond the longest answer: a model that does not stop where it should is seen not to.
const ROOM: usize = 4;

/// Demonstrations in a step of the warm start.
const WARM_BATCH: usize = 64;

/// An embedded task, and the model that learns it: a byte model of the preset nano, warm-started by cross-entropy on demonstrations,
/// right and wrong ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskStart {
    /// Its name, with a level.
    pub task: String,
    /// Problems to train on, and as many for the demonstrations.
    pub problems: usize,
    /// Demonstrations of each in the warm start.
    pub demonstrations: usize,
    /// The share of demonstrations that are wrong.
    pub wrong: f64,
    /// Steps of the warm start, of 64 demonstrations each.
    pub warm_steps: u64,
    /// Its learning rate.
    pub warm_rate: f64,
    /// Problems for choosing settings.
    pub validation: usize,
    /// Problems that accuracy is measured on.
    pub held_out: usize,
}

impl TaskStart {
    /// The start on `task` that commands have as their default.
    ///
    /// # Errors
    /// As [`by_name`].
    pub fn new(task: &str) -> Result<TaskStart> {
        TaskStart::at_most(task, 2000, 128, 256)
    }

    /// The start on `task` with so many problems to train on, for choosing settings and held out. A task that has fewer gives what it
    /// has, a quarter of what is not held out for choosing settings.
    ///
    /// # Errors
    /// As [`by_name`].
    pub fn at_most(task: &str, problems: usize, validation: usize, held_out: usize) -> Result<TaskStart> {
        let has = Split::at_most(&*by_name(task)?, 0, problems + validation, held_out);
        let validation = validation.min(has.train.len() / 4);
        Ok(TaskStart {
            task: task.to_owned(),
            problems: has.train.len() - validation,
            demonstrations: 4,
            wrong: 0.5,
            warm_steps: 300,
            warm_rate: 3e-3,
            validation,
            held_out: has.held_out.len(),
        })
    }

    /// The task's problems and demonstrations for one seed.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where the task has too few problems.
    pub(super) fn draw(&self, seed: u64) -> Result<Drawn> {
        let task = by_name(&self.task)?;
        let split = Split::new(&*task, seed, self.problems + self.validation, self.held_out);
        let mut split = split.map_err(|mut error| {
            // Nobody asked for the sum.
            if self.validation > 0 {
                let (train, validation) = (self.problems, self.validation);
                error.what += &format!("; {train} to learn from and {validation} to choose settings with");
            }
            error
        })?;
        let validation = split.train.split_off(self.problems);
        Ok(Drawn { task, train: split.train, validation, held_out: split.held_out })
    }
}

/// A task's problems for one seed.
pub(super) struct Drawn {
    task: Box<dyn Task>,
    pub train: Vec<Problem>,
    pub validation: Vec<Problem>,
    pub held_out: Vec<Problem>,
}

impl Drawn {
    /// Logged completions of `problems`, of which the share `wrong` is wrong.
    pub(super) fn logs(
        &self,
        problems: &[Problem],
        each: usize,
        wrong: f64,
        seed: u64,
    ) -> Vec<Demonstration> {
        demonstrations(&*self.task, problems, each, wrong, seed)
    }

    /// Tokens that a completion may have.
    pub(super) fn max_new(&self) -> usize {
        let all = self.train.iter().chain(&self.validation).chain(&self.held_out);
        all.map(|problem| problem.answer.len()).max().unwrap_or(0) + ROOM
    }

    /// The model that learns from `logs`, without weights.
    fn model(&self, logs: &[Demonstration]) -> Result<ModelFiles> {
        let tokenizer = Tokenizer::bytes()?;
        let mut shape = ModelConfig::preset("nano")?.fitted(&tokenizer, None)?;
        shape.max_position_embeddings = self.positions(logs);
        Ok(ModelFiles::fresh("warm start", shape, tokenizer))
    }

    fn positions(&self, logs: &[Demonstration]) -> usize {
        let all = self.train.iter().chain(&self.validation).chain(&self.held_out);
        let prompt = all.map(|problem| problem.prompt.len()).max().unwrap_or(0);
        let logged = logs.iter().map(|shown| shown.prompt.len() + shown.completion.len()).max().unwrap_or(0);
        (prompt + self.max_new()).max(logged) + 2
    }
}

/// A model that experiments start from.
#[derive(Clone)]
pub(super) struct Beginning {
    pub files: ModelFiles,
    pub weights: Rc<Weights>,
}

/// Problems as a file of prompts.
pub(super) fn as_prompts(name: &str, problems: &[Problem]) -> File {
    let lines: String = problems.iter().map(|problem| problem.to_json() + "\n").collect();
    (name.to_owned(), lines.into_bytes())
}

/// Demonstrations as a file of records.
pub(super) fn as_records(name: &str, logs: &[Demonstration]) -> File {
    let lines: String = logs.iter().map(|shown| shown.to_json() + "\n").collect();
    (name.to_owned(), lines.into_bytes())
}

/// The model that was warm-started for `seed` in `folder` of `store`, warm-started now where there is none; `None` where the front end
/// asked to stop.
///
/// # Errors
/// Those of [`Run`].
pub(super) async fn warm_start<S: Store>(
    gpu: &Gpu,
    store: &Rc<S>,
    folder: &str,
    start: &TaskStart,
    drawn: &Drawn,
    seed: u64,
    (tuned, tell): (&mut Tuned, &mut Tell<'_>),
) -> Result<Option<Beginning>> {
    let logs = drawn.logs(&drawn.train, start.demonstrations, start.wrong, seed);
    let files = drawn.model(&logs)?;
    let place = Rc::new(Within::new(store.clone(), folder));
    let there = store.list(&format!("{folder}/{MODEL}")).await?.iter().any(|name| name == WEIGHTS);
    if !there {
        place.remove("").await?;
        let given = Given {
            name: "fresh".to_owned(),
            model: files.with_weights(files.config.fresh_weights(seed)?),
            data: vec![as_records("demonstrations", &logs)],
            ..Given::default()
        };
        let options = Options {
            objective: Some(Objective::Sft),
            learning_rate: Some(start.warm_rate),
            schedule: Some(Schedule::Cosine),
            warmup: Some(20.min(start.warm_steps / 2)),
            steps: Some(start.warm_steps),
            batch: Some(WARM_BATCH),
            checkpoint_every: Some(start.warm_steps),
            seed: Some(seed),
            ..Options::default()
        };
        let mut run = Run::start(gpu, place.clone(), given, &options, tuned).await?;
        if !go_on(&mut run, tell, |_| None).await? {
            return Ok(None);
        }
        for gone in ["checkpoints", "inputs"] {
            place.remove(gone).await?;
        }
    }
    Ok(Some(Beginning { files, weights: Rc::new(weights(&*place, MODEL).await?) }))
}

/// What [`warm_start`] begins with, to plan with: random weights, and the tokens that its steps take.
pub(super) fn not_started(start: &TaskStart, drawn: &Drawn, seed: u64) -> Result<(Beginning, u64)> {
    let logs = drawn.logs(&drawn.train, start.demonstrations, start.wrong, seed);
    let files = drawn.model(&logs)?;
    let model = files.with_weights(files.config.fresh_weights(seed)?);
    let weights = Rc::new(Weights::take(&files.name, model)?);
    // With the end token; a byte is a token.
    let bytes: usize = logs.iter().map(|shown| shown.prompt.len() + shown.completion.len() + 1).sum();
    let tokens = start.warm_steps * (WARM_BATCH * bytes / logs.len().max(1)) as u64;
    Ok((Beginning { files, weights }, tokens))
}

/// A model as given.
///
/// # Errors
/// As [`ModelFiles::parse`] and [`Weights::take`].
pub(super) fn given(name: &str, model: Vec<File>) -> Result<Beginning> {
    let files = ModelFiles::parse(name, &model)?;
    Ok(Beginning { files, weights: Rc::new(Weights::take(name, model)?) })
}

/// Refuses data from which nothing can be held out.
pub(super) fn too_few(what: &str, count: usize, least: usize) -> Result<()> {
    if count >= least {
        return Ok(());
    }
    let what = format!("there are {count} {what}, and {least} are needed at least");
    Err(Error::new(ErrorKind::Data, what, "give more"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{LEVELS, NAMES};

    #[test]
    fn the_default_start_of_every_task_can_be_drawn_with_any_seed() {
        for task in NAMES.iter().flat_map(|name| LEVELS.map(move |level| format!("{name}-{level}"))) {
            let start = TaskStart::new(&task).unwrap();
            for seed in 1..3 {
                let drawn = start.draw(seed).unwrap_or_else(|error| panic!("{task}: {error}"));
                let counts = (drawn.train.len(), drawn.validation.len(), drawn.held_out.len());
                assert_eq!(counts, (start.problems, start.validation, start.held_out), "{task}");
                assert!(start.validation > 0 && start.held_out > 0, "{task}");
            }
        }
    }

    #[test]
    fn a_task_that_has_few_problems_gives_what_it_has() {
        let counts = |task| {
            let start = TaskStart::new(task).unwrap();
            (start.problems, start.validation, start.held_out)
        };
        assert_eq!(counts("sort-3"), (2000, 128, 256));
        // All strings of 6 to 8 bits are 448.
        let (problems, validation, held_out) = counts("parity-1");
        assert_eq!(problems + validation + held_out, 448);
        assert_eq!(validation, (problems + validation) / 4);
        let start = TaskStart::at_most("parity-1", 448, 0, 10).unwrap();
        assert_eq!((start.problems, start.validation, start.held_out), (problems + validation, 0, 10));
        let error = TaskStart { problems: 400, validation: 100, ..start }.draw(0).err().unwrap();
        let told = "where 500 were asked for; 400 to learn from and 100 to choose settings with";
        assert!(error.what.ends_with(told), "{error}");
    }
}
