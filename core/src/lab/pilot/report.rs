//! A pilot as one HTML file that needs nothing else: the recommendation first, then what it rests on.

use serde_json::Value;

use super::decision::RULE;
use super::{Candidate, Pilot};
use crate::lab::offline::Figures;
use crate::lab::stats::Interval;
use crate::page::heat::table;
use crate::page::lines::{self, Join, Line, Spot};
use crate::page::{self, escape, number};
use crate::run::report::samples;

pub(super) fn render(pilot: &Pilot, settings: &Value) -> String {
    let subtitle = format!(
        "{} · model {} · seed {} · {} · tbrm {}",
        escape(&pilot.config.logs),
        escape(&pilot.config.model),
        pilot.config.seed,
        escape(settings["device"].as_str().unwrap_or_default()),
        env!("CARGO_PKG_VERSION")
    );
    let body = [
        advice(pilot),
        logs(pilot),
        tried(pilot),
        held_out(pilot),
        calibration(pilot),
        credited(pilot),
        candidates(&pilot.candidates),
        page::settings(settings),
    ];
    page::document("What these logs are good for", &subtitle, &body.concat())
}

fn advice(pilot: &Pilot) -> String {
    let reasons: String = pilot
        .advice
        .reasons
        .iter()
        .map(|reason| format!("<li>{}.</li>", escape(&sentence(reason))))
        .collect();
    format!(
        "<div class=\"verdict\"><span class=\"soft\">Recommendation</span><br><b>{}</b><ul>{reasons}</ul><details><summary>The rule</summary><p>{}</p></details></div>",
        escape(&sentence(pilot.advice.decision.name())),
        escape(RULE)
    )
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn logs(pilot: &Pilot) -> String {
    let check = &pilot.check;
    let [train, validation, held_out, unlabelled] = pilot.records;
    let reward = check.reward.as_ref().map_or_else(
        || "none".to_owned(),
        |reward| {
            format!("mean {}, from {} to {}", number(reward.mean), number(reward.min), number(reward.max))
        },
    );
    let count = |n: usize| n.to_string();
    let rows = [
        ("records", count(check.records)),
        ("rejected", count(check.rejected)),
        (
            "prompts",
            format!(
                "{}, {} with completions that differ in reward",
                check.prompts, check.prompts_with_contrast
            ),
        ),
        ("reward", reward),
        (
            "duplicates",
            format!("{}, {} with another reward", check.duplicates, check.contradicting_duplicates),
        ),
        ("empty or truncated completions", format!("{}, {}", check.empty_completions, check.truncated)),
        ("used to train on, to choose beta, held out", format!("{train}, {validation}, {held_out}")),
        ("without a reward", count(unlabelled)),
    ];
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    let rejected = if pilot.rejected.is_empty() {
        String::new()
    } else {
        let lines: String = pilot.rejected.iter().map(|line| format!("<li>{}</li>", escape(line))).collect();
        format!("<p>Rejected lines, the first of them:</p><ul>{lines}</ul>")
    };
    format!("<h2>What is in the logs</h2>{}{rejected}", table(&["", ""], &rows))
}

const HEAD: [&str; 6] = ["beta", "AUC within prompts", "AUC", "residual", "explained", "prompts, differing"];

fn row(name: String, figures: &Figures) -> Vec<String> {
    let said = |of: Option<Interval>| of.map_or_else(String::new, |interval| with(&interval));
    vec![
        name,
        said(figures.auc_within),
        said(figures.auc),
        with(&figures.residual),
        said(figures.explained),
        format!("{}, {}", figures.prompts, figures.contrasts),
    ]
}

fn tried(pilot: &Pilot) -> String {
    if pilot.tried.is_empty() {
        return String::new();
    }
    let tried = |(beta, figures): &(f64, Option<Figures>)| match figures {
        Some(figures) => row(beta.to_string(), figures),
        None => vec![beta.to_string(), "failed: losses were not finite".to_owned()],
    };
    let rows: Vec<Vec<String>> = pilot.tried.iter().map(tried).collect();
    let taken =
        pilot.beta.map_or_else(String::new, |beta| format!(" Beta {beta} was taken: the highest AUC."));
    format!(
        "<h2>Choosing beta</h2><p>TBRM from the logs alone, {} steps for each beta, judged on prompts that were not trained on and are not the \
         held-out ones.{taken}</p>{}",
        pilot.steps,
        table(&HEAD, &rows)
    )
}

fn held_out(pilot: &Pilot) -> String {
    let Some(figures) = &pilot.figures else { return String::new() };
    let beta = pilot.beta.map_or_else(String::new, |beta| beta.to_string());
    let said = |of: Option<Interval>| of.map_or_else(|| "unknown".to_owned(), |interval| with(&interval));
    format!(
        "<h2>On held-out prompts</h2>{}<p>Before training, the model's mean log-prob of a token ranks them with an AUC of {}; training \
         changes that by {}.</p><p class=\"soft\"><b>AUC</b>: of two completions of unequal reward, how often the better one has the higher \
         beta &#183; rho; a coin has 0.5. <b>Residual</b>: the root mean square of beta &#183; delta, in units of reward: how far predictions \
         of the reward are off. <b>Explained</b>: 1 less its square over the variance of rewards; below 0 the mean reward would predict better. \
         Intervals are 95%, by {} draws of prompts with all their completions.</p>",
        table(&HEAD, &[row(beta, figures)]),
        escape(&said(pilot.before)),
        escape(&said(pilot.gain)),
        crate::lab::offline::DRAWS
    )
}

fn calibration(pilot: &Pilot) -> String {
    let spots = pilot.calibration.iter().map(|bin| Spot {
        x: bin.predicted,
        y: bin.given.mean,
        within: bin.given.low.zip(bin.given.high),
    });
    let line = Line { name: "held-out completions".to_owned(), spots: spots.collect() };
    let chart = lines::svg(
        &[line],
        "predicted reward, beta (rho + V_1 - V_ref)",
        "mean reward that was given",
        Join::Bars,
        true,
    );
    let Some(chart) = chart else { return String::new() };
    format!(
        "<h2>Calibration</h2><p>Held-out completions in {} bins of equal size by predicted reward. On the dashed line predictions would be the \
         rewards themselves; a rising line alone means that they rank.</p>{chart}",
        pilot.calibration.len()
    )
}

fn credited(pilot: &Pilot) -> String {
    if pilot.credited.is_empty() {
        return String::new();
    }
    format!(
        "<h2>What the model credits most, and least</h2><p>Held-out completions: first those whose probability training raised most, then \
         those that it lowered most. Do the colours make sense to somebody who knows the task?</p>{}",
        samples(&pilot.credited)
    )
}

fn candidates(candidates: &[Candidate]) -> String {
    if candidates.is_empty() {
        return String::new();
    }
    let what = if candidates.iter().all(|candidate| candidate.reward.is_none()) {
        "Records without a reward."
    } else {
        "All records have rewards already: these are the ones whose labels are worth a second look, and whose prompts deserve more completions."
    };
    let row = |candidate: &Candidate| {
        vec![
            candidate.place.clone(),
            number(candidate.priority),
            number(candidate.predicted),
            number(candidate.matters),
            candidate.reward.map_or_else(String::new, number),
            candidate.prompt.clone(),
            candidate.completion.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = candidates.iter().map(row).collect();
    format!(
        "<h2>What to label next</h2><p>{what} Priority = 4 p (1 &#8722; p) &#183; exp(mean log-prob of a token): p is the predicted reward on a \
         scale from the least reward of the logs, 0, to the greatest, 1, so the first factor is largest where the model is least sure; the second is how \
         likely the trained model is to write such a completion, so a label there says most about what it will do.</p>{}",
        table(&["place", "priority", "p", "token probability", "reward", "prompt", "completion"], &rows)
    )
}

/// A number with its interval.
fn with(interval: &Interval) -> String {
    match (interval.low, interval.high) {
        (Some(low), Some(high)) => format!("{} ({} to {})", number(interval.mean), number(low), number(high)),
        _ => number(interval.mean),
    }
}
