//! One file per command: arguments in, events to screen and files.

mod bench;

use std::process::ExitCode;

use tbrm_core::Gpu;
use tbrm_core::gpu::GpuOptions;

use crate::args::{Cli, Command, Common};
use crate::exit::{self, Failure, Outcome};

/// Runs the process's command line.
pub fn main() -> ExitCode {
    exit::report(match exit::parse(std::env::args_os()) {
        Ok(Some(cli)) => run(&cli),
        Ok(None) => Ok(Outcome::Done),
        Err(failure) => Err(failure),
    })
}

fn run(cli: &Cli) -> Result<Outcome, Failure> {
    let common = &cli.common;
    match &cli.command {
        Command::Bench(args) => bench::run(args, common),
        _ => unreachable!("every command above"),
    }
}

/// Opens the adapter that the command line asks for, and says so when it is only a processor.
fn open(common: &Common) -> Result<Gpu, Failure> {
    let options = GpuOptions { adapter: common.adapter.clone(), ..GpuOptions::default() };
    let gpu = pollster::block_on(Gpu::open(&options))?;
    if gpu.caps().software && !common.quiet {
        eprintln!("no GPU is used: {} runs on the processor", gpu.info().name);
    }
    Ok(gpu)
}
