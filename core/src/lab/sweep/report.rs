//! A sweep as one HTML file that needs nothing else.

use serde_json::Value;

use super::{Cell, Logs, Sweep};
use crate::lab::stats::Interval;
use crate::page::heat::{map, table};
use crate::page::{self, escape, number};
use crate::train::Calibrate;

/// What is measured.
const METHOD: &str = "<h2>How</h2><p>Every setting trains the same model on the same logged completions, in the same order, for the same number \
of steps; nothing is generated in training. Scores are on validation prompts that no setting was trained on. The setting to take is chosen by \
them: of all that come within one standard error of the highest score, the one with the largest beta. Held-out prompts were looked at with that \
setting only, after it was chosen. <b>AUC</b> is the share of pairs of unequal rewards that beta &#183; rho puts in order (chance is 0.5); \
<b>within</b> counts pairs of the same prompt only. <b>Residual</b> is the root mean square of beta &#183; delta, in units of reward; \
<b>explained</b> is 1 less its square over the variance of rewards, and below 0 where a constant would do better. Intervals are 95%, over prompts.</p>";

pub(super) fn render(sweep: &Sweep, settings: &Value) -> String {
    let on = match &sweep.config.logs {
        Logs::Task(start) => format!("logs of {}", start.task),
        Logs::Given { data, .. } => data.clone(),
    };
    let subtitle = format!(
        "{} · {} settings · {} steps of {} completions · tbrm {}",
        escape(settings["device"].as_str().unwrap_or_default()),
        sweep.cells.len(),
        sweep.config.steps,
        sweep.config.batch,
        env!("CARGO_PKG_VERSION")
    );
    let body = [
        recommendation(sweep),
        maps(sweep),
        held_out(sweep),
        METHOD.to_owned(),
        all(sweep),
        page::settings(settings),
    ];
    page::document(&format!("Settings of TBRM on {on}"), &subtitle, &body.concat())
}

fn recommendation(sweep: &Sweep) -> String {
    let taken = sweep.recommended.map_or_else(
        || "No setting is recommended".to_owned(),
        |place| {
            let setting = &sweep.cells[place].setting;
            format!(
                "Take beta {}, logit scale {}, calibration {}, learning rate {}",
                setting.beta,
                setting.logit_scale,
                name(setting.calibrate),
                setting.learning_rate
            )
        },
    );
    let start = sweep.start.map_or_else(String::new, |start| {
        format!(" The model as it starts has an accuracy of {}.", with(&start))
    });
    format!(
        "<div class=\"verdict\"><b>{}</b><p>Because {}. Chosen by: {}.{}</p></div>",
        escape(&taken),
        escape(&sweep.why),
        escape(sweep.chosen_by),
        escape(&start)
    )
}

/// A heat map for each score: rows are calibration, logit scale and learning rate, columns beta.
fn maps(sweep: &Sweep) -> String {
    let config = &sweep.config;
    let columns: Vec<String> = config.betas.iter().map(f64::to_string).collect();
    let width = columns.len();
    let rows: Vec<String> = sweep
        .cells
        .chunks(width)
        .map(|row| {
            let setting = &row[0].setting;
            let mut name = name(setting.calibrate).to_owned();
            if config.logit_scales.len() > 1 {
                name += &format!(", scale {}", setting.logit_scale);
            }
            if config.learning_rates.len() > 1 {
                name += &format!(", lr {}", setting.learning_rate);
            }
            name
        })
        .collect();
    type Of = fn(&Cell) -> Option<f64>;
    let scores: [(&str, Of); 5] = [
        ("Accuracy", |cell| cell.accuracy.map(|x| x.mean)),
        ("AUC", |cell| cell.figures.as_ref()?.auc.map(|x| x.mean)),
        ("AUC within prompts", |cell| cell.figures.as_ref()?.auc_within.map(|x| x.mean)),
        ("Residual", |cell| Some(cell.figures.as_ref()?.residual.mean)),
        ("Explained", |cell| cell.figures.as_ref()?.explained.map(|x| x.mean)),
    ];
    let drawn: String = scores
        .iter()
        .filter(|(_, of)| sweep.cells.iter().any(|cell| of(cell).is_some()))
        .map(|(title, of)| {
            map(
                title,
                ("calibration", &rows),
                ("beta", &columns),
                |i, j| of(&sweep.cells[i * width + j]),
                |i, j| sweep.recommended == Some(i * width + j),
            )
        })
        .collect();
    format!(
        "<h2>On validation prompts</h2><p class=\"soft\">The recommended setting is framed.</p><div class=\"charts\">{drawn}</div>"
    )
}

fn held_out(sweep: &Sweep) -> String {
    let Some(cell) = &sweep.held_out else { return String::new() };
    format!("<h2>The recommended setting on held-out prompts</h2>{}", table(&HEAD, &[row(cell)]))
}

const HEAD: [&str; 9] = [
    "beta",
    "logit scale",
    "calibration",
    "learning rate",
    "accuracy",
    "AUC",
    "AUC within",
    "residual",
    "explained",
];

fn all(sweep: &Sweep) -> String {
    let rows: Vec<Vec<String>> = sweep.cells.iter().map(row).collect();
    format!("<h2>All settings, on validation prompts</h2>{}", table(&HEAD, &rows))
}

fn row(cell: &Cell) -> Vec<String> {
    let setting = &cell.setting;
    let said = |of: Option<Interval>| of.map_or_else(String::new, |interval| with(&interval));
    let figures = cell.figures.as_ref();
    vec![
        setting.beta.to_string(),
        setting.logit_scale.to_string(),
        name(setting.calibrate).to_owned(),
        setting.learning_rate.to_string(),
        cell.failed.as_ref().map_or_else(|| said(cell.accuracy), |why| format!("failed: {why}")),
        said(figures.and_then(|f| f.auc)),
        said(figures.and_then(|f| f.auc_within)),
        said(figures.map(|f| f.residual)),
        said(figures.and_then(|f| f.explained)),
    ]
}

fn name(calibrate: Calibrate) -> &'static str {
    match calibrate {
        Calibrate::None => "none",
        Calibrate::VRef => "v-ref",
    }
}

/// A number with its interval.
fn with(interval: &Interval) -> String {
    match (interval.low, interval.high) {
        (Some(low), Some(high)) => format!("{} ({} to {})", number(interval.mean), number(low), number(high)),
        _ => number(interval.mean),
    }
}
