//! Sorting digits.

use std::borrow::Cow;

use super::{Problem, Random, Task};

/// Sort the digits of a number, smallest first. The mistake: two different neighbours of the answer stand the wrong way
/// round.
#[derive(Clone, Copy, Debug)]
pub struct Sort {
    /// How many digits; at least 2.
    pub digits: usize,
}

impl Task for Sort {
    fn name(&self) -> &'static str {
        "sort"
    }

    fn description(&self) -> String {
        format!("sort {} digits; a wrong demonstration has two neighbours the wrong way round", self.digits)
    }

    fn problem(&self, random: &mut Random) -> Problem {
        loop {
            let digits: String =
                (0..self.digits).map(|_| char::from(b'0' + random.below(10) as u8)).collect();
            let mut sorted: Vec<char> = digits.chars().collect();
            sorted.sort_unstable();
            // Equal digits leave no mistake to make.
            if sorted.first() != sorted.last() {
                return Problem { prompt: format!("{digits}>"), answer: sorted.into_iter().collect() };
            }
        }
    }

    fn mistake(&self, problem: &Problem, random: &mut Random) -> String {
        let mut digits: Vec<char> = problem.answer.chars().collect();
        let steps: Vec<usize> = (1..digits.len()).filter(|&i| digits[i - 1] != digits[i]).collect();
        let at = steps[random.below(steps.len())];
        digits.swap(at - 1, at);
        digits.into_iter().collect()
    }

    /// The same digits in another order are the same problem but for its question.
    fn family<'a>(&self, problem: &'a Problem) -> Cow<'a, str> {
        Cow::Borrowed(&problem.answer)
    }
}
