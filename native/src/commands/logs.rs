//! `tbrm logs`: what is in a file of records, and other formats as records.

mod check;
mod convert;

use crate::args::{Common, LogsCommand};
use crate::exit::{Failure, Outcome};

pub(super) fn run(command: &LogsCommand, common: &Common) -> Result<Outcome, Failure> {
    match command {
        LogsCommand::Check(args) => check::run(args, common),
        LogsCommand::Convert(args) => convert::run(args, common),
    }
}
