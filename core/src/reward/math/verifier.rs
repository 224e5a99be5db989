//! The reward `math`.

use super::judge::{is_right, vote};
use crate::data::Record;
use crate::reward::{Reward, answer};
use crate::{Error, ErrorKind, Result};

/// 1 where the completion's final answer equals the record's, else 0. A `tolerance` in the record is how far a number
/// may be from its answer. docs/rewards.md has the conventions.
#[derive(Clone, Copy, Debug)]
pub struct Math;

impl Reward for Math {
    fn name(&self) -> &str {
        "math"
    }

    fn check(&self, record: &Record) -> Result<()> {
        tolerance(record)?;
        answer(record, self.name()).map(drop)
    }

    fn score(&self, record: &Record, completion: &str) -> Result<f64> {
        let right = is_right(&answer(record, self.name())?, completion, tolerance(record)?);
        Ok(f64::from(u8::from(right)))
    }

    fn vote(&self, completion: &str) -> Option<String> {
        vote(completion)
    }
}

fn tolerance(record: &Record) -> Result<Option<f64>> {
    let Some(value) = record.extra.get("tolerance").filter(|value| !value.is_null()) else { return Ok(None) };
    let number = value.as_f64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
    match number.filter(|x: &f64| x.is_finite() && *x >= 0.0) {
        Some(tolerance) => Ok(Some(tolerance)),
        None => Err(Error::new(
            ErrorKind::Data,
            format!("line {}: field \"tolerance\": is {value}, no number of at least 0", record.line),
            "correct the line, or remove the field",
        )),
    }
}
