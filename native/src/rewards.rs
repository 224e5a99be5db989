//! The rewards that a command line names: the core's, and programs.

mod command;

use tbrm_core::Result;
use tbrm_core::online::Rewards;
use tbrm_core::reward::{self, Reward};

use command::Command;

/// The rewards that `--reward KIND` and `--reward-weight W` name, each as often as it is given.
pub(crate) fn all(kinds: &[String], weights: &[f64]) -> Result<Rewards> {
    Rewards::parse_with(kinds, weights, parse)
}

/// The reward that `--reward KIND` names: `command:PROGRAM`, or one of the core's.
fn parse(kind: &str) -> Result<Box<dyn Reward>> {
    match kind.strip_prefix("command:") {
        Some(program) => Ok(Box::new(Command::new(program)?)),
        None => reward::parse(kind).map_err(|mut error| {
            error.help = error.help.replace(" or task:NAME", ", task:NAME or command:PROGRAM");
            error
        }),
    }
}
