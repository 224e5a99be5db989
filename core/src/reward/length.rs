//! The completion is as long as wanted.

use super::Reward;
use crate::data::Record;
use crate::{Error, ErrorKind, Result};

/// 1 for a completion of `min` to `max` characters. A shorter one gets its length over `min`, and a longer one loses
/// what it is too long over `max`, but nothing below 0: a reward with a slope to learn from.
#[derive(Clone, Copy, Debug)]
pub struct Length {
    min: usize,
    max: usize,
}

impl Length {
    /// Reads `MIN-MAX`, or one number for exactly that many.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where that is no range, or one up to 0.
    pub fn new(range: &str) -> Result<Length> {
        let (min, max) = range.split_once('-').unwrap_or((range, range));
        match (min.trim().parse(), max.trim().parse()) {
            (Ok(min), Ok(max)) if min <= max && max > 0 => Ok(Length { min, max }),
            _ => Err(Error::new(
                ErrorKind::Config,
                format!("reward length:{range}: is no range of characters"),
                "write length:MIN-MAX, for instance length:1-200",
            )),
        }
    }
}

impl Reward for Length {
    fn name(&self) -> &str {
        "length"
    }

    fn check(&self, _: &Record) -> Result<()> {
        Ok(())
    }

    fn score(&self, _: &Record, completion: &str) -> Result<f64> {
        let length = completion.chars().count();
        Ok(if length < self.min {
            length as f64 / self.min as f64
        } else {
            (1.0 - length.saturating_sub(self.max) as f64 / self.max as f64).max(0.0)
        })
    }
}
