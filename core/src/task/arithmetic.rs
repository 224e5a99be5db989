//! Sums, differences and products.

use super::{Problem, Random, Task, near};

/// Work out a term: `17+25=`.
#[derive(Clone, Copy, Debug)]
pub struct Arithmetic {
    /// 1: two numbers below 100, added. 2: below 1000, added or subtracted. 3: three below 100, added or subtracted.
    /// 4: a product of two below 100, and a third number added or subtracted.
    pub level: usize,
}

impl Task for Arithmetic {
    fn name(&self) -> &'static str {
        "arithmetic"
    }

    fn description(&self) -> String {
        let what = match self.level {
            1 => "add two numbers below 100",
            2 => "add or subtract two numbers below 1000",
            3 => "add or subtract three numbers below 100",
            _ => "multiply two numbers below 100, and add or subtract a third",
        };
        format!("{what}; a wrong demonstration is off by 1, 2 or 10")
    }

    fn problem(&self, random: &mut Random) -> Problem {
        let bound = if self.level == 2 { 1000 } else { 100 };
        let mut number = || random.below(bound) as i64;
        let (a, b, c) = (number(), number(), number());
        // The larger number first: the same sum the other way round would be the same problem on both sides.
        let (a, b) = (a.max(b), a.min(b));
        let minus = [random.chance(0.5), random.chance(0.5)];
        let signed = |minus: bool, x: i64| if minus { -x } else { x };
        let sign = |minus: bool| if minus { '-' } else { '+' };
        let (text, value) = match self.level {
            1 => (format!("{a}+{b}"), a + b),
            2 => (format!("{a}{}{b}", sign(minus[0])), a + signed(minus[0], b)),
            3 => {
                let value = a + signed(minus[0], b) + signed(minus[1], c);
                (format!("{a}{}{b}{}{c}", sign(minus[0]), sign(minus[1])), value)
            }
            _ => (format!("{a}*{b}{}{c}", sign(minus[0])), a * b + signed(minus[0], c)),
        };
        Problem { prompt: format!("{text}="), answer: value.to_string() }
    }

    fn mistake(&self, problem: &Problem, random: &mut Random) -> String {
        near(&problem.answer, random)
    }
}
