//! The rewards that a command line names: the core's, and programs.

mod command;

use tbrm_core::Result;
use tbrm_core::reward::{self, Reward};

use command::Command;

/// The reward that `--reward KIND` names: `command:PROGRAM`, or one of the core's.
pub(crate) fn parse(kind: &str) -> Result<Box<dyn Reward>> {
    match kind.strip_prefix("command:") {
        Some(program) => Ok(Box::new(Command::new(program)?)),
        None => reward::parse(kind).map_err(|mut error| {
            error.help = error.help.replace(" or task:NAME", ", task:NAME or command:PROGRAM");
            error
        }),
    }
}
