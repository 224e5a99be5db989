//! What the commands of many runs share: their directory, their progress, what they start from.

use std::path::Path;
use std::rc::Rc;

use tbrm_core::lab::LabEvent;
use tbrm_core::lab::start::TaskStart;
use tbrm_core::run::File;

use crate::args::{Common, PlaceArgs, WarmArgs};
use crate::exit::{Failure, Outcome};
use crate::interrupt;
use crate::progress::{Progress, step_message};
use crate::store::{OpenRun, RunDir, read_file};

/// The directory of an experiment, which goes on where there is one already.
pub(super) fn open(PlaceArgs { out, overwrite }: &PlaceArgs) -> Result<Rc<RunDir>, Failure> {
    Ok(Rc::new(RunDir::open(out, OpenRun::of(out, !overwrite, *overwrite))?))
}

/// A file with its name.
pub(super) fn file(path: &Path) -> Result<File, Failure> {
    Ok((path.display().to_string(), read_file(path)?))
}

/// The start on `task` that the command line asks for.
pub(super) fn task_start(task: &str, args: &WarmArgs) -> Result<TaskStart, Failure> {
    let start = TaskStart::new(task)?;
    Ok(TaskStart {
        problems: args.problems.unwrap_or(start.problems),
        held_out: args.held_out.unwrap_or(start.held_out),
        wrong: args.wrong.unwrap_or(start.wrong),
        warm_steps: args.warm_steps.map_or(start.warm_steps, |n| n as u64),
        ..start
    })
}

/// Shows what happens, and stops at Ctrl-C.
pub(super) fn tell(common: &Common) -> impl FnMut(LabEvent) -> bool {
    let quiet = common.quiet;
    let mut title = String::new();
    let mut progress: Option<Progress> = None;
    move |event| {
        match event {
            LabEvent::Began { what, done, runs } => {
                progress = None;
                title = if runs == 0 { what } else { format!("{}/{runs} {what}", done + 1) };
            }
            LabEvent::Step { step, steps, loss, reward, tokens_per_s } => progress
                .get_or_insert_with(|| Progress::new(&title, steps, 0, quiet))
                .update(step, &step_message(loss, reward, tokens_per_s)),
            LabEvent::Measured { .. } | LabEvent::Compared(_) => {}
            LabEvent::Ended { found } => {
                progress = None;
                if !quiet {
                    eprintln!("{found}");
                }
            }
        }
        !interrupt::asked()
    }
}

/// What was done stays, and the same command goes on.
pub(super) fn interrupted(dir: &RunDir) -> Outcome {
    let resume = format!("what is done is kept in {}; the same command goes on", dir.path().display());
    Outcome::Interrupted { resume }
}
