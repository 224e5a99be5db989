//! The one error type of the core. Each error says what happened and where, and what to do about it.

use std::fmt;

/// What kind of thing went wrong; front ends may match on it, users read [`Error::what`] and [`Error::help`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// No adapter, or not the one asked for.
    Adapter,
    /// The device was lost, ran out of memory, or reported a validation error.
    Device,
    /// The work does not fit the adapter's memory or limits.
    TooLarge,
    /// A model directory's files are missing, damaged or not supported.
    Model,
    /// A tokenizer or chat template is missing, damaged or does not fit the model.
    Tokenizer,
    /// A record of a data file is wrong.
    Data,
    /// A setting is wrong, or contradicts another one.
    Config,
    /// Training produced a loss or gradient that is not finite.
    NotFinite,
    /// A checkpoint or run directory is damaged or belongs to other settings.
    Checkpoint,
    /// A `Store` could not read or write.
    Store,
    /// A check did not turn out as expected.
    Check,
}

/// `what` went wrong and where, and `help`: what to do. Displays as `what`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Error {
    /// The kind, for matching.
    pub kind: ErrorKind,
    /// What happened, and where: one line, no trailing full stop.
    pub what: String,
    /// What the user can do about it: one line.
    pub help: String,
}

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Makes an error of `kind`.
    pub fn new(kind: ErrorKind, what: impl Into<String>, help: impl Into<String>) -> Self {
        Error { kind, what: what.into(), help: help.into() }
    }

    /// Puts a place (`file`, `file:line`, a tensor's name) in front of what happened.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.what = format!("{place}: {}", self.what);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Error {}
