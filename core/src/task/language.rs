//! Strings, and whether they belong to a regular language.

use super::{Problem, Random, Task};

/// Whether a string of bits has an odd or an even number of ones: `10110>` is answered by `odd`.
#[derive(Clone, Copy, Debug)]
pub struct Parity {
    /// 1: 6 to 8 bits. 2: 8 to 12. 3: 12 to 20. 4: 20 to 32.
    pub level: usize,
}

impl Parity {
    fn bits(self) -> (usize, usize) {
        [(6, 8), (8, 12), (12, 20), (20, 32)][self.level - 1]
    }
}

impl Task for Parity {
    fn name(&self) -> &'static str {
        "parity"
    }

    fn description(&self) -> String {
        let (least, most) = self.bits();
        format!(
            "say whether {least} to {most} bits have an odd or even number of ones; a wrong demonstration says the other"
        )
    }

    fn problem(&self, random: &mut Random) -> Problem {
        let (least, most) = self.bits();
        let bits = string(b"01", least, most, random);
        let odd = bits.bytes().filter(|b| *b == b'1').count() % 2 == 1;
        Problem { prompt: format!("{bits}>"), answer: if odd { "odd" } else { "even" }.into() }
    }

    fn mistake(&self, problem: &Problem, _: &mut Random) -> String {
        if problem.answer == "odd" { "even" } else { "odd" }.into()
    }
}

/// Whether a string belongs to one of Tomita's languages (1982, "Dynamic construction of finite automata from examples
/// using hill-climbing"): `abba>` is answered by `yes` or `no`, either in half of the problems.
#[derive(Clone, Copy, Debug)]
pub struct Language {
    /// 1: no `aaa` in it. 2: `a*b*a*b*`. 3: an even number of each letter. 4: as many `a` as `b`, modulo 3.
    pub level: usize,
}

impl Language {
    fn has(self, text: &str) -> bool {
        let count = |letter| text.bytes().filter(|b| *b == letter).count();
        match self.level {
            1 => !text.contains("aaa"),
            2 => {
                text.as_bytes().windows(2).filter(|w| w[0] != w[1]).count()
                    <= if text.starts_with('a') { 3 } else { 2 }
            }
            3 => count(b'a').is_multiple_of(2) && count(b'b').is_multiple_of(2),
            _ => count(b'a') % 3 == count(b'b') % 3,
        }
    }
}

impl Task for Language {
    fn name(&self) -> &'static str {
        "language"
    }

    fn description(&self) -> String {
        let what = match self.level {
            1 => "has no aaa",
            2 => "is a*b*a*b*",
            3 => "has an even number of a and of b",
            _ => "has as many a as b, modulo 3",
        };
        format!(
            "say whether a string of 8 to 14 letters a and b {what}; a wrong demonstration says the other"
        )
    }

    fn problem(&self, random: &mut Random) -> Problem {
        let belongs = random.chance(0.5);
        loop {
            let text = string(b"ab", 8, 14, random);
            if self.has(&text) == belongs {
                return Problem {
                    prompt: format!("{text}>"),
                    answer: if belongs { "yes" } else { "no" }.into(),
                };
            }
        }
    }

    fn mistake(&self, problem: &Problem, _: &mut Random) -> String {
        if problem.answer == "yes" { "no" } else { "yes" }.into()
    }
}

/// `least` to `most` letters of `alphabet`.
fn string(alphabet: &[u8], least: usize, most: usize, random: &mut Random) -> String {
    let length = least + random.below(most - least + 1);
    (0..length).map(|_| char::from(alphabet[random.below(alphabet.len())])).collect()
}
