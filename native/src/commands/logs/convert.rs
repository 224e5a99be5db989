//! `tbrm logs convert`: logs of other tools as records.

use serde_json::json;
use tbrm_core::data::convert::convert;

use crate::args::{Common, LogsConvertArgs};
use crate::commands::print_bytes;
use crate::exit::{Failure, Outcome};
use crate::store::{read_file, write_file};

pub(super) fn run(args: &LogsConvertArgs, common: &Common) -> Result<Outcome, Failure> {
    if common.json && args.out.is_none() {
        return Err(Failure::Usage {
            what: "with `--json` the records cannot go to stdout too".into(),
            help: "give them a file: `--out FILE`".into(),
        });
    }
    let name = args.file.display().to_string();
    // Whole before any of it is written: a bad line leaves no half of a file behind.
    let mut records = Vec::new();
    let count = convert(args.from.into(), &name, &read_file(&args.file)?, |line| {
        records.extend_from_slice(line.as_bytes());
        records.push(b'\n');
        Ok(())
    })?;
    match &args.out {
        None => print_bytes(&records)?,
        Some(out) => {
            write_file(out, &records)?;
            let text = if common.json {
                json!({ "records": count, "out": out }).to_string()
            } else {
                format!("{}: {count} records", out.display())
            };
            print_bytes(format!("{text}\n").as_bytes())?;
        }
    }
    Ok(Outcome::Done)
}
