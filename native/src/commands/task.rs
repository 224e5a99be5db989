//! `tbrm task`: problems of an embedded task, and demonstrations of them, as records.

use serde_json::json;
use tbrm_core::task::{Split, by_name, demonstrations};
use tbrm_core::{Error, ErrorKind};

use crate::args::{Common, TaskArgs};
use crate::exit::{Failure, Outcome};
use crate::store::write_file;

pub(super) fn run(args: &TaskArgs, common: &Common) -> Result<Outcome, Failure> {
    if common.json && args.out.is_none() {
        return Err(Failure::Usage {
            what: "with `--json` the problems cannot go to stdout too".into(),
            help: "give them a file: `--out FILE`".into(),
        });
    }
    if args.wrong > 1.0 {
        let what = format!("--wrong {} is no share from 0 to 1", args.wrong);
        return Err(Error::new(ErrorKind::Config, what, "give the share of wrong demonstrations").into());
    }
    let task = by_name(&args.name)?;
    let (train, held_out) = if args.held_out { (0, args.count) } else { (args.count, 0) };
    let split = Split::new(&*task, common.seed, train, held_out)?;
    let problems = if args.held_out { split.held_out } else { split.train };
    let lines: Vec<String> = match args.demonstrations {
        None => problems.iter().map(|problem| problem.to_json()).collect(),
        Some(each) => {
            let shown = demonstrations(&*task, &problems, each, args.wrong, common.seed);
            shown.iter().map(|demonstration| demonstration.to_json()).collect()
        }
    };
    let text = lines.join("\n") + "\n";
    let Some(out) = &args.out else {
        super::print(&text)?;
        return Ok(Outcome::Done);
    };
    write_file(out, text.as_bytes())?;
    let told = if common.json {
        json!({"task": args.name, "records": lines.len(), "out": out}).to_string()
    } else {
        format!("{}: {} records; {}", out.display(), lines.len(), task.description())
    };
    super::print(&format!("{told}\n"))?;
    Ok(Outcome::Done)
}
