//! A reward that is asked once for many completions, and answers in its own time.

use std::future::Future;
use std::pin::Pin;

use serde_json::{Map, Value, json};

use super::Reward;
use crate::Result;
use crate::data::Record;

/// A completion that is to be judged.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// What it answers.
    pub record: &'a Record,
    /// Its text without the end token.
    pub completion: &'a str,
}

impl Asked<'_> {
    /// What a reward of a user's own is given: `prompt`, `completion`, `answer`, `id` and all further fields of the record.
    pub fn fields(&self) -> Map<String, Value> {
        let Asked { record, completion } = *self;
        let mut fields = Map::new();
        fields.insert("prompt".into(), json!(record.prompt.plain()));
        fields.insert("completion".into(), json!(completion));
        fields.insert("answer".into(), json!(record.answer));
        fields.insert("id".into(), json!(record.id));
        for (key, value) in &record.extra {
            fields.entry(key).or_insert_with(|| value.clone());
        }
        fields
    }
}

/// How many characters of a text an error shows.
const SHOWN: usize = 200;

/// A text as errors show it: its beginning, where it is long.
pub fn shown(text: &str) -> String {
    let mut out: String = text.chars().take(SHOWN).collect();
    if out.len() < text.len() {
        out.push('…');
    }
    out
}

/// The scores of a batch, once they are there.
pub type Scores<'a> = Pin<Box<dyn Future<Output = Vec<Result<f64>>> + 'a>>;

/// A reward for which the core has to wait: one that runs elsewhere. [`Reward`] is for those that answer at once.
pub trait BatchReward {
    /// As [`Reward::name`].
    fn name(&self) -> &str;

    /// As [`Reward::check`].
    fn check(&self, record: &Record) -> Result<()>;

    /// A score or an error for each of `asked`, in their order; one call a round. Where not `all` are wanted it may end with the
    /// first error, since that ends the run.
    fn score<'a>(&'a self, asked: &'a [Asked<'a>], all: bool) -> Scores<'a>;
}

/// A reward of either kind.
pub enum AnyReward {
    /// Answers at once.
    Each(Box<dyn Reward>),
    /// Answers in its own time.
    Batch(Box<dyn BatchReward>),
}

impl AnyReward {
    pub(crate) fn name(&self) -> &str {
        match self {
            AnyReward::Each(reward) => reward.name(),
            AnyReward::Batch(reward) => reward.name(),
        }
    }

    pub(crate) fn check(&self, record: &Record) -> Result<()> {
        match self {
            AnyReward::Each(reward) => reward.check(record),
            AnyReward::Batch(reward) => reward.check(record),
        }
    }

    pub(crate) fn vote(&self, completion: &str) -> Option<String> {
        match self {
            AnyReward::Each(reward) => reward.vote(completion),
            AnyReward::Batch(_) => Some(completion.trim().to_owned()),
        }
    }
}

impl From<Box<dyn Reward>> for AnyReward {
    fn from(reward: Box<dyn Reward>) -> AnyReward {
        AnyReward::Each(reward)
    }
}
