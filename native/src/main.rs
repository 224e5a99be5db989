//! The command `tbrm`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tbrm::commands::main()
}
