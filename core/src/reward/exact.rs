//! The completion is the answer, to the letter.

use super::{Reward, answer};
use crate::Result;
use crate::data::Record;

/// 1 where completion and answer are equal after white space is trimmed from both ends, else 0.
#[derive(Clone, Copy, Debug)]
pub struct Exact;

impl Reward for Exact {
    fn name(&self) -> &str {
        "exact"
    }

    fn check(&self, record: &Record) -> Result<()> {
        answer(record, self.name()).map(drop)
    }

    fn score(&self, record: &Record, completion: &str) -> Result<f64> {
        let answer = answer(record, self.name())?;
        Ok(f64::from(u8::from(completion.trim() == answer.trim())))
    }
}
