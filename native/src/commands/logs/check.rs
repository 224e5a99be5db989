//! `tbrm logs check`: what is in a file of records, and what is wrong with it.

use serde_json::json;
use tbrm_core::data::logs::{Bin, Percentiles, Report, check, needs};
use tbrm_core::data::trajectory::Truncated;
use tbrm_core::data::{Needs, Rejection};
use tbrm_core::{Error, ErrorKind};

use crate::args::{Common, LogsCheckArgs};
use crate::commands::print;
use crate::exit::{Failure, Outcome};
use crate::model_dir;
use crate::store::read_file;

/// Rejected lines that are shown one by one; `--json` has them all.
const SHOWN: usize = 50;
/// Width of a histogram's longest bar.
const BAR: usize = 30;

/// Fails where a run on the file would: a script can rely on the exit code.
pub(super) fn run(args: &LogsCheckArgs, common: &Common) -> Result<Outcome, Failure> {
    let name = args.file.display().to_string();
    let bytes = read_file(&args.file)?;
    let model = args.model.as_deref().map(model_dir::read).transpose()?;
    let encoder = model.as_ref().map(|dir| dir.encoder(args.max_length, Truncated::Keep)).transpose()?;
    let needs = needs(&name, &bytes);
    let mut rejections = Vec::new();
    let report =
        check(&name, &bytes, needs, encoder.as_ref(), |rejection| rejections.push(rejection.clone()));
    let text =
        if common.json { as_json(&report, &rejections) } else { describe(&report, needs, &rejections) };
    print(&text)?;
    let (what, help) = match (report.records, report.rejected) {
        (0, 0) => (format!("{name} is empty"), "give a JSONL file with one record a line"),
        (_, 0) => return Ok(Outcome::Done),
        (good, bad) => (
            format!("{name}: {bad} of {} lines rejected", good + bad),
            "correct them, or set them aside with `tbrm train --skip-invalid`",
        ),
    };
    Err(Error::new(ErrorKind::Data, what, help).into())
}

fn as_json(report: &Report, rejections: &[Rejection]) -> String {
    let mut object = json!(report);
    object["rejections"] =
        rejections.iter().map(|r| json!({"line": r.line, "field": r.field, "reason": r.reason})).collect();
    format!("{object}\n")
}

fn describe(report: &Report, needs: Needs, rejections: &[Rejection]) -> String {
    let Report { file, records, rejected, prompts, prompts_with_contrast, .. } = report;
    let mut text = format!("{file}: {records} records, {rejected} rejected\n");
    let mut line = |name: &str, value: String| text += &format!("  {name:<20}{value}\n");
    line("prompts", format!("{prompts}, {prompts_with_contrast} with completions that differ in reward"));
    let (twice, contradicting) = (report.duplicates, report.contradicting_duplicates);
    line("duplicates", format!("{twice}, {contradicting} with another reward"));
    for (name, count) in [
        ("empty completions", report.empty_completions),
        ("truncated", report.truncated),
        ("conversations", report.conversations),
        ("with log-probs", report.with_logps),
    ] {
        line(name, count.to_string());
    }
    for (name, lengths) in [
        ("prompt chars", report.prompt_chars),
        ("completion chars", report.completion_chars),
        ("prompt tokens", report.prompt_tokens),
        ("completion tokens", report.completion_tokens),
    ] {
        if let Some(Percentiles { min, p50, p90, p99, max }) = lengths {
            line(name, format!("min {min}, median {p50}, 90% {p90}, 99% {p99}, max {max}"));
        }
    }
    match &report.reward {
        Some(reward) => {
            line("reward", format!("mean {:.4}, standard deviation {:.4}", reward.mean, reward.std));
            let most = reward.histogram.iter().map(|bin| bin.count).max().unwrap_or(1);
            for bin in &reward.histogram {
                let bar = "█".repeat((bin.count * BAR).div_ceil(most));
                line(&format!("  {}", range(bin)), format!("{:>8} {bar}", bin.count));
            }
        }
        None if needs == Needs::Completion && *records > 0 => {
            line("reward", "none: good for `--objective sft` and `tbrm score`".into());
        }
        None => {}
    }
    for rejection in rejections.iter().take(SHOWN) {
        text += &format!("{}\n", rejection.error().what);
    }
    if rejections.len() > SHOWN {
        text += &format!("and {} more; in all:\n", rejections.len() - SHOWN);
        for reason in &report.reasons {
            let field = reason.field.as_ref().map(|f| format!("field \"{f}\": ")).unwrap_or_default();
            text += &format!("{:>8} {field}{}\n", reason.count, reason.reason);
        }
    }
    text
}

fn range(bin: &Bin) -> String {
    if bin.from == bin.to { short(bin.from) } else { format!("{} to {}", short(bin.from), short(bin.to)) }
}

/// Four decimals at most: rewards are seldom finer, and the bins' edges are not exact anyway.
fn short(number: f64) -> String {
    ((number * 1e4).round() / 1e4).to_string()
}
