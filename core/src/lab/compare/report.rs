//! A comparison as one HTML file that needs nothing else.

use serde_json::Value;

use super::{ArmSummary, CompareConfig, Comparison, Start};
use crate::lab::stats::Interval;
use crate::objective::Objective;
use crate::page::heat::table;
use crate::page::lines::{self, Join, Line, Spot};
use crate::page::{self, duration, escape, number};
use crate::run::Options;

/// What is measured, and how.
const METHOD: &str = "<h2>How</h2><p>Every run of a seed starts from the same weights, draws from the same prompts, writes and is trained on the \
same number of completions in the same number of optimizer steps; where several completions of a prompt are compared, there are as many fewer \
prompts a step; prompts that would make a last, shorter step are left out. Accuracy is the mean reward of completions sampled at temperature 1 for held-out prompts, so it is that of the policy that is \
trained. <b>At equal tokens</b> is read off between the measurements, at the most tokens that every run was trained on. Intervals are 95% by \
Student's t over seeds; the difference is taken seed by seed, within equal starts and prompts, which removes what the seeds have in common. Seconds \
are of rollouts, rewards, reference and steps, without measuring; on a machine that does other work besides they are no more than a hint. Memory is what \
the run allocates on the device, known before it begins.</p>";

pub(super) fn render(comparison: &Comparison, settings: &Value) -> String {
    let Comparison { config, start, arms, .. } = comparison;
    let on = match &config.start {
        Start::Task(start) => start.task.clone(),
        Start::Given { model, .. } => model.clone(),
    };
    let subtitle = format!(
        "{} · {} seeds · {} steps of {} completions · tbrm {}",
        escape(settings["device"].as_str().unwrap_or_default()),
        config.seeds,
        config.steps,
        config.batch,
        env!("CARGO_PKG_VERSION")
    );
    let best = arms.iter().max_by(|a, b| a.at_common_tokens.mean.total_cmp(&b.at_common_tokens.mean));
    let tiles = [
        ("at the start".to_owned(), percent(start)),
        (
            "highest at equal tokens".to_owned(),
            best.map_or_else(String::new, |best| {
                format!("{} {}", best.arm.name, percent(&best.at_common_tokens))
            }),
        ),
        ("tokens of a run".to_owned(), number(comparison.common_tokens)),
    ];
    let body = [
        page::tiles(&tiles),
        curves(comparison),
        results(comparison),
        seeds(comparison),
        METHOD.to_owned(),
        contenders(comparison),
        page::settings(settings),
    ];
    page::document(&format!("Objectives compared on {on}"), &subtitle, &body.concat())
}

fn curves(comparison: &Comparison) -> String {
    let line = |summary: &ArmSummary| Line {
        name: summary.arm.name.clone(),
        spots: summary
            .curve
            .iter()
            .map(|point| Spot {
                x: point.tokens,
                y: point.accuracy.mean,
                within: point.accuracy.low.zip(point.accuracy.high),
            })
            .collect(),
    };
    let all: Vec<Line> = comparison.arms.iter().map(line).collect();
    let svg =
        lines::svg(&all, "completion tokens trained on", "accuracy on held-out prompts", Join::Curve, false);
    format!("<h2>Accuracy over tokens</h2>{}", svg.unwrap_or_default())
}

fn results(comparison: &Comparison) -> String {
    let row = |summary: &ArmSummary| {
        vec![
            summary.arm.name.clone(),
            percent(&summary.at_common_tokens),
            summary.difference.map_or_else(String::new, |difference| points(&difference)),
            percent(&summary.accuracy),
            number(summary.tokens),
            seconds(&summary.seconds),
            format!("{:.0}%", 100.0 * summary.rollout_share),
            mib(summary.peak_bytes),
            if summary.failed == 0 { String::new() } else { format!("{} failed", summary.failed) },
        ]
    };
    let rows: Vec<Vec<String>> = comparison.arms.iter().map(row).collect();
    let to_first =
        comparison.arms.first().map_or_else(String::new, |first| format!("less that of {}", first.arm.name));
    let head = [
        "objective",
        "accuracy at equal tokens",
        &to_first,
        "at equal completions",
        "tokens",
        "time of a run",
        "rollouts",
        "GPU memory",
        "",
    ];
    format!("<h2>Results</h2>{}", table(&head, &rows))
}

fn seeds(comparison: &Comparison) -> String {
    let seeds = comparison.config.seed..comparison.config.seed + comparison.config.seeds;
    let names: Vec<String> = seeds.map(|seed| format!("seed {seed}")).collect();
    let head: Vec<&str> = ["objective"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let row = |summary: &ArmSummary| {
        let each = summary.each.iter().map(|accuracy| format!("{:.1}%", 100.0 * accuracy));
        [summary.arm.name.clone()].into_iter().chain(each).collect()
    };
    let rows: Vec<Vec<String>> = comparison.arms.iter().map(row).collect();
    format!("<h2>Each seed, at the end</h2>{}", table(&head, &rows))
}

fn contenders(comparison: &Comparison) -> String {
    let row = |summary: &ArmSummary| {
        let arm = &summary.arm;
        let options = Options {
            objective: Some(arm.objective),
            kl_coefficient: arm.kl_coefficient,
            ..Options::default()
        };
        let terms = arm.objective.describe(&options.terms());
        let tried: Vec<String> = summary
            .tuning
            .iter()
            .map(|(rate, accuracy)| format!("{}: {:.1}%", rate, 100.0 * accuracy))
            .collect();
        let own =
            if arm.objective == Objective::Sft && terms.is_empty() { ", cross-entropy" } else { &terms };
        vec![arm.name.clone(), format!("{}{own}", arm.describe()), tried.join(", ")]
    };
    let rows: Vec<Vec<String>> = comparison.arms.iter().map(row).collect();
    let CompareConfig { learning_rates, tuning_seeds, .. } = &comparison.config;
    let tuning = if learning_rates.is_empty() {
        "Learning rates are as given; none was tuned.".to_owned()
    } else {
        let runs = if *tuning_seeds == 1 { "one run".to_owned() } else { format!("{tuning_seeds} runs") };
        format!(
            "Each objective's learning rate is the best of the same few on validation prompts, {runs} each, with seeds and \
             starts that the results do not have; nothing else was tuned."
        )
    };
    format!(
        "<h2>Contenders</h2><p>{tuning}</p>{}",
        table(&["objective", "settings", "validation accuracy by learning rate"], &rows)
    )
}

fn percent(interval: &Interval) -> String {
    format!("{:.1}%{}", 100.0 * interval.mean, half(interval))
}

fn points(interval: &Interval) -> String {
    format!("{:+.1}{}", 100.0 * interval.mean, half(interval)).replace('-', "−")
}

/// Half the width of an interval that lies around its mean, in percent.
fn half(interval: &Interval) -> String {
    interval.high.map_or_else(String::new, |high| format!(" ± {:.1}", 100.0 * (high - interval.mean)))
}

fn seconds(interval: &Interval) -> String {
    let spread =
        interval.high.map_or_else(String::new, |high| format!(" ± {}", duration(high - interval.mean)));
    format!("{}{spread}", duration(interval.mean))
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
