//! One file per command: arguments in, events to screen and files.

mod bench;
mod collect;
mod compare;
mod demo;
mod devices;
mod eval;
mod generate;
mod init;
mod lab;
mod logs;
mod pilot;
mod rl;
mod score;
mod serve;
mod sweep;
mod task;
mod theory;
mod train;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use tbrm_core::gpu::{GpuOptions, Profile};
use tbrm_core::{Error, ErrorKind, Gpu};

use crate::args::{Cli, Command, Common};
use crate::exit::{self, Failure, Outcome};
use crate::{pipelines, store};

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
    let outcome = match &cli.command {
        Command::Demo(args) => demo::run(args, common),
        Command::Devices => devices::run(common),
        Command::Init(args) => init::run(args, common),
        Command::Eval(args) => eval::run(args, common),
        Command::Generate(args) => generate::run(args, common),
        Command::Collect(args) => collect::run(args, common),
        Command::Score(args) => score::run(args, common),
        Command::Logs(command) => logs::run(command, common),
        Command::Task(args) => task::run(args, common),
        Command::Bench(args) => bench::run(args, common),
        Command::Train(args) => train::run(args, common),
        Command::Rl(args) => rl::run(args, common),
        Command::Serve(args) => serve::run(args, common),
        Command::Theory(args) => theory::run(args, common),
        Command::Compare(args) => compare::run(args, common),
        Command::Sweep(args) => sweep::run(args, common),
        Command::Pilot(args) => pilot::run(args, common),
    };
    pipelines::save();
    outcome
}

/// Opens the adapter that the command line asks for, and says so when it is only a processor.
fn open(common: &Common) -> Result<Gpu, Failure> {
    let options = GpuOptions { adapter: common.adapter.clone(), ..GpuOptions::default() };
    let gpu = pollster::block_on(Gpu::open(&options))?;
    pipelines::load(&gpu);
    if gpu.caps().software && !common.quiet {
        eprintln!("no GPU is used: {} runs on the processor", gpu.info().name);
    }
    Ok(gpu)
}

/// Prints results on stdout, where a full disk is an error and a reader that has seen enough (`| head`) is none.
fn print(text: &str) -> Result<(), Failure> {
    print_bytes(text.as_bytes())
}

/// As [`print`].
fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let what = format!("cannot write to stdout: {error}");
            Err(Error::new(ErrorKind::Store, what, "check where the output goes").into())
        }
        _ => Ok(()),
    }
}

/// Prints GPU time per kernel on stderr, and writes the trace to `file` (`trace.json` by default).
fn write_profile(profile: &Profile, file: Option<&Path>) -> Result<(), Failure> {
    eprintln!("{:>9} {:>7} {:>10} {:>6}  kernel", "total ms", "calls", "us a call", "share");
    for row in profile.table() {
        let (ms, each, share) = (row.us / 1e3, row.us / row.calls as f64, 100.0 * row.share);
        eprintln!("{ms:>9.1} {:>7} {each:>10.0} {share:>5.1}%  {}", row.calls, row.name);
    }
    let file = file.unwrap_or(Path::new("trace.json"));
    store::write_file(file, profile.trace().as_bytes())?;
    eprintln!("trace in {}: open it in Perfetto or chrome://tracing", file.display());
    Ok(())
}
