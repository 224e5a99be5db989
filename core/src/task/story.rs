//! Word problems from a small grammar.

use std::borrow::Cow;

use super::{Problem, Random, Task, near};

const NAMES: [&str; 8] = ["Ann", "Ben", "Eva", "Ida", "Jon", "Kim", "Leo", "Mia"];
const THINGS: [&str; 6] = ["pears", "books", "coins", "shells", "cards", "stamps"];

/// What can happen, before and after the number.
const EVENTS: [(&str, &str); 5] = [
    ("finds ", " more"),
    ("gets ", " as a gift"),
    ("loses ", ""),
    ("gives away ", ""),
    ("has ", " times as many now"),
];

/// Follow a story: `Ann has 5 pears. She finds 3 more. How many has she? ` is answered by `8`.
#[derive(Clone, Copy, Debug)]
pub struct Story {
    /// How many things happen, 1 to 4.
    pub level: usize,
}

impl Task for Story {
    fn name(&self) -> &'static str {
        "story"
    }

    fn description(&self) -> String {
        format!(
            "a word problem in which {} things happen; a wrong demonstration is off by 1, 2 or 10",
            self.level
        )
    }

    fn problem(&self, random: &mut Random) -> Problem {
        let (name, thing) = (NAMES[random.below(NAMES.len())], THINGS[random.below(THINGS.len())]);
        let mut total = 2 + random.below(19);
        let mut prompt = format!("{name} has {total} {thing}.");
        for _ in 0..self.level {
            let (before, after, number) = loop {
                let (before, after) = EVENTS[random.below(EVENTS.len())];
                let number = 2 + random.below(18);
                match before {
                    "has " if number <= 3 && total * number < 100 => total *= number,
                    "finds " | "gets " if total + number < 100 => total += number,
                    "loses " | "gives away " if number <= total => total -= number,
                    _ => continue,
                }
                break (before, after, number);
            };
            prompt += &format!(" Then {name} {before}{number}{after}.");
        }
        prompt += &format!(" How many {thing} has {name}? ");
        Problem { prompt, answer: total.to_string() }
    }

    fn mistake(&self, problem: &Problem, random: &mut Random) -> String {
        near(&problem.answer, random)
    }

    /// Another name or thing makes no other problem.
    fn family<'a>(&self, problem: &'a Problem) -> Cow<'a, str> {
        let told = |word: &&str| {
            let word = word.trim_end_matches(['.', '?']);
            !NAMES.contains(&word) && !THINGS.contains(&word)
        };
        Cow::Owned(problem.prompt.split(' ').filter(told).collect::<Vec<_>>().join(" "))
    }
}
