//! The completion says something.

use super::Reward;
use crate::data::Record;
use crate::{Error, ErrorKind, Result};

/// 1 where a text occurs in the completion, to the letter, else 0.
#[derive(Clone, Debug)]
pub struct Contains {
    text: String,
}

impl Contains {
    /// Looks for `text`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for no text, which every completion would contain.
    pub fn new(text: &str) -> Result<Contains> {
        if text.is_empty() {
            let help = "write what completions are to contain behind the colon";
            return Err(Error::new(ErrorKind::Config, "reward contains: has no text", help));
        }
        Ok(Contains { text: text.to_owned() })
    }
}

impl Reward for Contains {
    fn name(&self) -> &str {
        "contains"
    }

    fn check(&self, _: &Record) -> Result<()> {
        Ok(())
    }

    fn score(&self, _: &Record, completion: &str) -> Result<f64> {
        Ok(f64::from(u8::from(completion.contains(&self.text))))
    }
}
