//! The completion matches a pattern.

use super::{Reward, answer};
use crate::data::Record;
use crate::{Error, ErrorKind, Result};

/// Without a capture group: 1 where the pattern is found in the completion. With one: 1 where the first group of
/// the last match that has it is the answer, white space trimmed. Else 0. Look-around and back-references work as in Python.
#[derive(Clone, Debug)]
pub struct Regex {
    pattern: fancy_regex::Regex,
}

impl Regex {
    /// Compiles a pattern.
    pub fn new(pattern: &str) -> Result<Self> {
        let compiled = fancy_regex::Regex::new(pattern);
        let pattern = compiled.map_err(|e| {
            let what = format!("reward regex:{pattern}: {}", e.to_string().replace('\n', " "));
            Error::new(ErrorKind::Config, what, "correct the pattern")
        })?;
        Ok(Regex { pattern })
    }

    fn has_group(&self) -> bool {
        self.pattern.captures_len() > 1
    }

    /// The first group of the last match that has it, white space trimmed.
    fn last_group<'t>(&self, completion: &'t str) -> fancy_regex::Result<Option<&'t str>> {
        let mut last = None;
        for found in self.pattern.captures_iter(completion) {
            last = found?.get(1).or(last);
        }
        Ok(last.map(|group| group.as_str().trim()))
    }
}

impl Reward for Regex {
    fn name(&self) -> &str {
        "regex"
    }

    fn check(&self, record: &Record) -> Result<()> {
        if self.has_group() { answer(record, self.name()).map(drop) } else { Ok(()) }
    }

    fn score(&self, record: &Record, completion: &str) -> Result<f64> {
        let failed = |e: fancy_regex::Error| {
            let what = format!("line {}: the reward's pattern failed: {e}", record.line);
            Error::new(ErrorKind::Data, what, "use a pattern that backtracks less")
        };
        let right = if self.has_group() {
            let answer = answer(record, self.name())?;
            self.last_group(completion).map_err(failed)?.is_some_and(|found| found == answer.trim())
        } else {
            self.pattern.is_match(completion).map_err(failed)?
        };
        Ok(f64::from(u8::from(right)))
    }

    fn vote(&self, completion: &str) -> Option<String> {
        if self.has_group() {
            self.last_group(completion).ok().flatten().map(str::to_owned)
        } else {
            Some(completion.trim().to_owned())
        }
    }
}
