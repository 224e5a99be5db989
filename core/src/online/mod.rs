//! Online training: the model writes completions, verifiers score them, and the same steps as from logs follow.

mod config;
mod pool;
mod rewards;
#[cfg(test)]
mod tests;
mod trainer;

use crate::data::Record;
use crate::data::trajectory::Encoder;
use crate::error::Result;
use crate::evaluation::problems;

pub use config::{OnlineConfig, TrainOn};
pub use rewards::{Judged, Rewards};
pub(crate) use trainer::{Online, OnlineStart, capacity, estimate};

/// A prompt that the model is to continue, and what its rewards look at.
#[derive(Clone, Debug)]
pub struct Question {
    /// The record's file.
    pub file: std::sync::Arc<str>,
    /// The record.
    pub record: Record,
    /// The prompt's tokens.
    pub tokens: Vec<u32>,
}

/// The prompts of `records`, which stand in `file`, each with room for `max_new` tokens within `positions`.
///
/// # Errors
/// [`crate::ErrorKind::Data`] names file and line.
pub fn questions(
    encoder: &Encoder<'_>,
    file: &str,
    records: Vec<Record>,
    rewards: &Rewards,
    max_new: usize,
    positions: usize,
) -> Result<Vec<Question>> {
    let name: std::sync::Arc<str> = file.into();
    let check = |record: &Record| rewards.check(record);
    let tokens: Vec<Vec<u32>> = problems(encoder, file, &records, &check, max_new, positions)?
        .into_iter()
        .map(|p| p.tokens)
        .collect();
    let question = |(record, tokens)| Question { file: name.clone(), record, tokens };
    Ok(records.into_iter().zip(tokens).map(question).collect())
}
