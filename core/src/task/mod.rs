//! Tasks whose answers a program can check: problems without end, demonstrations with mistakes in them, and a verifier.

mod arithmetic;
mod countdown;
mod files;
mod language;
mod sort;
mod story;

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::json;

use crate::error::{Error, ErrorKind, Result};
use crate::rng::Stream;

pub use arithmetic::Arithmetic;
pub use countdown::Countdown;
pub use files::TaskFiles;
pub use language::{Language, Parity};
pub use sort::Sort;
pub use story::Story;

/// The tasks that [`by_name`] knows, each with [`LEVELS`].
pub const NAMES: [&str; 6] = ["sort", "arithmetic", "countdown", "parity", "language", "story"];

/// The levels of difficulty: a task's name is followed by one, as in `countdown-2`.
pub const LEVELS: std::ops::RangeInclusive<usize> = 1..=4;

/// The task that a name and a level name, `sort-3`; without a level, level 1.
///
/// # Errors
/// [`ErrorKind::Config`] for a name or level that there is not.
pub fn by_name(name: &str) -> Result<Box<dyn Task>> {
    let (word, level) = match name.rsplit_once('-') {
        Some((word, level)) => (word, level.parse().ok().filter(|level| LEVELS.contains(level))),
        None => (name, Some(1)),
    };
    Ok(match (word, level) {
        ("sort", Some(level)) => Box::new(Sort { digits: [3, 4, 5, 7][level - 1] }),
        ("arithmetic", Some(level)) => Box::new(Arithmetic { level }),
        ("countdown", Some(level)) => Box::new(Countdown { level }),
        ("parity", Some(level)) => Box::new(Parity { level }),
        ("language", Some(level)) => Box::new(Language { level }),
        ("story", Some(level)) => Box::new(Story { level }),
        _ => {
            let what = format!("no task is called `{name}`");
            let help = format!(
                "use one of {} with a level of {} to {}, for instance countdown-2",
                NAMES.join(", "),
                LEVELS.start(),
                LEVELS.end()
            );
            return Err(Error::new(ErrorKind::Config, what, help));
        }
    })
}

/// One family of problems in this many is held out.
const FAMILIES_PER_HELD_OUT: u64 = 8;

/// Draws without a new problem after which a task is taken to have no more.
const MOST_REPEATS: usize = 100_000;

/// A question with its answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Problem {
    /// What the model is given.
    pub prompt: String,
    /// What it should say.
    pub answer: String,
}

impl Problem {
    /// The problem as a record with an answer, one line of JSON without its end.
    pub fn to_json(&self) -> String {
        json!({"prompt": self.prompt, "answer": self.answer}).to_string()
    }
}

/// A completion of a problem's prompt, scored by the task's verifier: a line of a log.
#[derive(Clone, Debug, PartialEq)]
pub struct Demonstration {
    /// What was asked.
    pub prompt: String,
    /// What was said.
    pub completion: String,
    /// What the verifier gave for it.
    pub reward: f64,
}

impl Demonstration {
    /// The record, one line of JSON without its end.
    pub fn to_json(&self) -> String {
        json!({"prompt": self.prompt, "completion": self.completion, "reward": self.reward}).to_string()
    }
}

/// A kind of problem.
pub trait Task: Send + Sync {
    /// Its name, one word.
    fn name(&self) -> &'static str;

    /// What is asked, and what mistakes the demonstrations make: one line.
    fn description(&self) -> String;

    /// A problem.
    fn problem(&self, random: &mut Random) -> Problem;

    /// A plausible wrong completion of a problem.
    fn mistake(&self, problem: &Problem, random: &mut Random) -> String;

    /// What problems have in common that are too much alike to be trained on and tested with: they are held out
    /// together.
    fn family<'a>(&self, problem: &'a Problem) -> Cow<'a, str> {
        Cow::Borrowed(&problem.prompt)
    }

    /// 1 for a right completion, 0 for a wrong one.
    fn reward(&self, problem: &Problem, completion: &str) -> f64 {
        f64::from(u8::from(completion == problem.answer))
    }
}

/// A number that misses a whole number by 1, 2 or 10, on either side.
fn near(number: &str, random: &mut Random) -> String {
    let off = [1, 2, 10][random.below(3)];
    let number: i64 = number.parse().unwrap_or(0);
    (if random.chance(0.5) { number + off } else { number - off }).to_string()
}

/// A stream's random numbers, one after the other.
#[derive(Clone, Debug)]
pub struct Random {
    stream: Stream,
    next: u64,
}

impl Random {
    /// The numbers of `stream` from its first on.
    pub fn new(stream: Stream) -> Random {
        Random { stream, next: 0 }
    }

    /// A whole number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        self.next += 1;
        self.stream.below(self.next - 1, n as u64) as usize
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.next += 1;
        self.stream.uniform(self.next - 1) < p
    }
}

/// Problems to train on, and problems to test with: all distinct, and no family on both sides.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// To train on.
    pub train: Vec<Problem>,
    /// To test with.
    pub held_out: Vec<Problem>,
}

impl Split {
    /// Draws problems of `task` until there are as many as asked for. Which families are held out depends on neither the
    /// seed nor the numbers.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where the task has not as many different problems.
    pub fn new(task: &dyn Task, seed: u64, train: usize, held_out: usize) -> Result<Split> {
        let split = Split::at_most(task, seed, train, held_out);
        let sides = [("train on", &split.train, train), ("test with", &split.held_out, held_out)];
        let lacking: Vec<String> = sides
            .iter()
            .filter(|(_, found, wanted)| found.len() < *wanted)
            .map(|(to, found, wanted)| {
                format!("{} problems to {to}, where {wanted} were asked for", found.len())
            })
            .collect();
        if lacking.is_empty() {
            return Ok(split);
        }
        let what = format!("{} of this level has {}", task.name(), lacking.join(", and "));
        Err(Error::new(ErrorKind::Config, what, "ask for fewer, or take a higher level"))
    }

    /// The same, and as many as the task has where it has fewer.
    pub fn at_most(task: &dyn Task, seed: u64, train: usize, held_out: usize) -> Split {
        let mut random = Random::new(Stream::named(seed, "problems"));
        let mut split = Split { train: Vec::new(), held_out: Vec::new() };
        let mut seen = HashSet::new();
        let mut repeats = 0;
        while (split.train.len() < train || split.held_out.len() < held_out) && repeats <= MOST_REPEATS {
            let problem = task.problem(&mut random);
            let (side, wanted) = match is_held_out(task, &problem) {
                true => (&mut split.held_out, held_out),
                false => (&mut split.train, train),
            };
            if side.len() < wanted && seen.insert(problem.prompt.clone()) {
                side.push(problem);
                repeats = 0;
            } else {
                repeats += 1;
            }
        }
        split
    }
}

fn is_held_out(task: &dyn Task, problem: &Problem) -> bool {
    Stream::named(0, &task.family(problem)).below(0, FAMILIES_PER_HELD_OUT) == 0
}

/// `each` completions of every problem, of which the share `wrong` is wrong, scored by the task's verifier.
pub fn demonstrations(
    task: &dyn Task,
    problems: &[Problem],
    each: usize,
    wrong: f64,
    seed: u64,
) -> Vec<Demonstration> {
    let mut random = Random::new(Stream::named(seed, "demonstrations"));
    let mut demonstrations = Vec::with_capacity(problems.len() * each);
    for problem in problems {
        for _ in 0..each {
            let mistaken = random.chance(wrong);
            let completion =
                if mistaken { task.mistake(problem, &mut random) } else { problem.answer.clone() };
            let reward = task.reward(problem, &completion);
            demonstrations.push(Demonstration { prompt: problem.prompt.clone(), completion, reward });
        }
    }
    demonstrations
}

#[cfg(test)]
mod tests;
