//! What the method promises, checked on problems that are solved exactly: each check has an expectation, and passes or
//! fails. Names and sources: Yuan et al., arXiv 2505.15311, called P.

mod exact;
mod practice;
pub mod race;
pub mod report;
mod trained;
pub mod tree;

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;

/// The checks, in the order in which they run: name, and what is checked.
pub const CHECKS: [(&str, &str); 8] = [
    ("optimum", "the optimum from off-policy logs"),
    ("on-policy", "the optimum from the policy's own trajectories"),
    ("measure", "the change of trajectory measure"),
    ("samples", "the gap over the number of logs"),
    ("horizon", "the gap over the horizon"),
    ("stochastic", "a stochastic environment, where the guarantee ends"),
    ("bandit", "the bandit of appendix F"),
    ("token", "one residual a token against one a trajectory"),
];

/// A check's result.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// Its name in [`CHECKS`].
    pub name: &'static str,
    /// What is expected, with the bound that is put to the test.
    pub claim: &'static str,
    /// What was found.
    pub found: String,
    /// Whether it is as expected.
    pub passed: bool,
    /// Curves behind it.
    pub series: Vec<Series>,
}

/// A curve.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Series {
    /// Whose.
    pub name: String,
    /// What x is.
    pub x: &'static str,
    /// What y is.
    pub y: &'static str,
    /// (x, y), by x.
    pub points: Vec<(f64, f64)>,
}

impl Series {
    fn new(
        name: &str,
        x: &'static str,
        y: &'static str,
        points: impl IntoIterator<Item = (f64, f64)>,
    ) -> Series {
        Series { name: name.to_owned(), x, y, points: points.into_iter().collect() }
    }
}

/// What a front end is told while checks run.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TheoryEvent {
    /// A check is under way.
    Checking {
        /// Its name.
        name: &'static str,
        /// Trainings done.
        done: usize,
        /// All of its trainings.
        total: usize,
    },
    /// A check is done.
    Checked(Check),
}

/// How far a check is: told at its begin, and after each training.
struct Stage<'a> {
    name: &'static str,
    done: usize,
    total: usize,
    tell: &'a mut dyn FnMut(TheoryEvent),
}

impl Stage<'_> {
    fn begin(&mut self, trainings: usize) {
        self.total = trainings;
        self.tell();
    }

    fn advance(&mut self) {
        self.done += 1;
        self.tell();
    }

    fn tell(&mut self) {
        let Stage { name, done, total, .. } = *self;
        (self.tell)(TheoryEvent::Checking { name, done, total });
    }
}

/// Runs the checks that `only` names, all where it names none, and returns their results.
///
/// # Errors
/// [`ErrorKind::Config`] where a name is unknown, before anything runs; those of [`crate::Trainer::next`].
pub async fn run(
    gpu: &Gpu,
    seed: u64,
    only: &[String],
    mut tell: impl FnMut(TheoryEvent),
) -> Result<Vec<Check>> {
    if let Some(unknown) = only.iter().find(|name| !CHECKS.iter().any(|(known, _)| known == name)) {
        let names = CHECKS.map(|(name, _)| name).join(", ");
        let what = format!("no check is called `{unknown}`");
        return Err(Error::new(ErrorKind::Config, what, format!("use one of {names}")));
    }
    let mut checks = Vec::new();
    for (name, _) in CHECKS {
        if !only.is_empty() && !only.iter().any(|wanted| wanted == name) {
            continue;
        }
        let mut stage = Stage { name, done: 0, total: 0, tell: &mut tell };
        let check = match name {
            "optimum" => trained::optimum(gpu, seed, &mut stage).await?,
            "on-policy" => trained::on_policy(gpu, seed, &mut stage).await?,
            "measure" => exact::change_of_measure(seed),
            "samples" => trained::samples(gpu, seed, &mut stage).await?,
            "horizon" => trained::horizon(gpu, seed, &mut stage).await?,
            "stochastic" => exact::stochastic(),
            "bandit" => exact::bandit(),
            "token" => trained::token_level(gpu, seed, &mut stage).await?,
            _ => unreachable!("every name of CHECKS is here"),
        };
        tell(TheoryEvent::Checked(check.clone()));
        checks.push(check);
    }
    Ok(checks)
}
