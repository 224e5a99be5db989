//! `report.html`: one file that needs nothing else. Curves, stages, samples coloured token by token, settings.

pub(crate) mod chart;

use std::fmt::Write;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::data::tokenizer::Tokenizer;
use crate::error::Result;
use crate::train;

/// What a report shows.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// The heading: the run's name.
    pub title: &'a str,
    /// The run's config.json: every setting, nested objects included.
    pub settings: &'a Value,
    /// The lines of metrics.jsonl.
    pub metrics: &'a [Value],
    /// Accuracy after each stage; none for a plain run.
    pub stages: &'a [Stage],
    /// Completions, in the order in which they are shown.
    pub samples: &'a [Sample],
}

/// Accuracy after one stage of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// What was done to get here.
    pub name: String,
    /// From 0 to 1.
    pub accuracy: f64,
    /// The standard error of the accuracy.
    pub stderr: f64,
}

/// One completion: a line of `completions/step_NNNNNN.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Optimizer steps done when it was scored.
    pub step: u64,
    /// The prompt, as text.
    pub prompt: String,
    /// The completion, as text.
    pub completion: String,
    /// Its reward.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reward: Option<f64>,
    /// Its Bellman residual delta.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub residual: Option<f64>,
    /// Its tokens, the end token included.
    pub tokens: Vec<SampleToken>,
}

/// One token of a completion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SampleToken {
    /// Its text.
    pub text: String,
    /// Its implicit advantage, beta * (logp - ref_logp).
    pub advantage: f64,
    /// Its log-prob; none in files of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logp: Option<f32>,
    /// The same by the reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ref_logp: Option<f32>,
}

impl SampleToken {
    /// The tokens of a completion, as text.
    pub(crate) fn of(tokenizer: &Tokenizer, sample: &train::Sample) -> Result<Vec<SampleToken>> {
        let texts = tokenizer.token_texts(&sample.completion)?.into_iter();
        let numbers = sample.advantage.iter().zip(sample.logp.iter().zip(&sample.ref_logp));
        let token = |(text, (&advantage, (&logp, &ref_logp)))| SampleToken {
            text,
            advantage,
            logp: Some(logp),
            ref_logp: Some(ref_logp),
        };
        Ok(texts.zip(numbers).map(token).collect())
    }
}

/// The curves: key in metrics.jsonl, heading, what it means, logarithmic.
const CURVES: [(&str, &str, &str, bool); 11] = [
    ("loss", "Loss", "mean over the batch, before the update", true),
    ("residual_rms", "Residual, RMS", "how far the Bellman equation is from holding", true),
    ("residual", "Residual, mean", "mean of delta, whose square is the loss", false),
    ("rho", "rho", "log-prob above the reference, per completion", false),
    ("v1", "V_1", "log-sum-exp of the first logits", false),
    ("reward", "Reward", "mean of the batch", false),
    ("entropy", "Entropy", "nats a token", false),
    ("grad_norm", "Gradient norm", "before clipping", true),
    ("learning_rate", "Learning rate", "", false),
    ("tokens_per_s", "Speed", "tokens/s", false),
    ("completions/mean_length", "Completion length", "tokens", false),
];

/// Advantages beyond this quantile of their sizes get the full colour, so that one outlier does not pale the rest.
const FULL_COLOUR: f64 = 0.95;

/// The colour's opacity at the full advantage: below 1, so that the text stays readable.
const OPACITY: f64 = 0.6;

/// The style of every report.
pub(crate) const STYLE: &str = include_str!("report/style.css");

/// The whole document.
pub fn render(report: &Report<'_>) -> String {
    fill(include_str!("report/report.html"), |name| match name {
        "style" => STYLE.to_owned(),
        "title" => escape(report.title),
        "subtitle" => subtitle(report),
        "tiles" => tiles(report.metrics),
        "stages" => stages(report.stages),
        "charts" => charts(report.metrics),
        "samples" => samples(report.samples),
        "settings" => settings(report.settings),
        other => panic!("the template has no such place: {other}"),
    })
}

/// Fills every `{{name}}` of the template in one pass, so that a completion containing `{{title}}` stays as it is.
pub(crate) fn fill(template: &str, content: impl Fn(&str) -> String) -> String {
    let mut parts = template.split("{{");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once("}}").expect("a closed place in the template");
        out.push_str(&content(name));
        out.push_str(rest);
    }
    out
}

/// Makes text harmless in HTML, in elements and in quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Control characters would vanish or, like U+0000, be replaced: show that they are there.
            c if c.is_control() && !matches!(c, '\n' | '\t') => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// A time as people read it: `4s`, `3m05s`, `2h00m`.
pub fn duration(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds:02}s"),
        (hours, minutes, _) => format!("{hours}h{minutes:02}m"),
    }
}

/// A number as people read it: four significant digits.
fn number(value: f64) -> String {
    if !value.is_finite() {
        return "not finite".into();
    }
    let size = value.abs();
    if value == 0.0 {
        "0".into()
    } else if !(1e-3..1e6).contains(&size) {
        let text = format!("{value:.2e}");
        let (digits, exponent) = text.split_once('e').expect("the exponent of `{:e}`");
        format!("{}e{exponent}", digits.trim_end_matches('0').trim_end_matches('.')).replace('-', "−")
    } else {
        let decimals = (3 - size.log10().floor() as i32).max(0) as usize;
        let text = format!("{value:.decimals$}");
        let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
        text.replace('-', "−")
    }
}

fn subtitle(report: &Report<'_>) -> String {
    let known = ["objective", "model", "adapter", "driver"];
    let facts: Vec<_> = known
        .iter()
        .filter_map(|key| report.settings.get(*key)?.as_str())
        .map(escape)
        .chain(report.metrics.last().and_then(|line| Some(format!("{} steps", line["step"].as_u64()?))))
        .collect();
    facts.join(" · ")
}

fn tiles(metrics: &[Value]) -> String {
    let (Some(first), Some(last)) = (metrics.first(), metrics.last()) else {
        return "<p class=\"soft\">No step was taken.</p>".into();
    };
    let mut tiles = Vec::new();
    for (key, name) in [("loss", "loss, first → last"), ("residual_rms", "residual, RMS")] {
        if let (Some(from), Some(to)) = (first[key].as_f64(), last[key].as_f64()) {
            tiles.push((name.to_owned(), format!("{} → {}", number(from), number(to))));
        }
    }
    if let Some(tokens) = last["num_tokens"].as_f64() {
        tiles.push(("tokens".into(), number(tokens)));
    }
    let time: f64 = metrics.iter().filter_map(|line| line["step_time"].as_f64()).sum();
    if time > 0.0 {
        tiles.push(("time in steps".into(), duration(time)));
    }
    let tiles: String = tiles
        .iter()
        .map(|(name, value)| {
            format!("<div class=\"tile\"><span class=\"soft\">{name}</span><b>{value}</b></div>")
        })
        .collect();
    format!("<div class=\"tiles\">{tiles}</div>")
}

fn stages(stages: &[Stage]) -> String {
    if stages.is_empty() {
        return String::new();
    }
    let rows: String = stages
        .iter()
        .map(|stage| {
            let percent = 100.0 * stage.accuracy;
            format!(
                "<tr><td>{}</td><td>{percent:.1}% ± {:.1}</td><td class=\"bar\"><div><i style=\"width:{percent:.1}%\"></i></div></td></tr>",
                escape(&stage.name),
                100.0 * stage.stderr
            )
        })
        .collect();
    format!(
        "<h2>Accuracy on held-out problems</h2><div class=\"scroll\"><table><tr><th>after</th><th>accuracy ± standard error</th><th></th></tr>{rows}</table></div>"
    )
}

fn charts(metrics: &[Value]) -> String {
    let mut evals: Vec<&str> = Vec::new();
    for key in metrics.iter().filter_map(Value::as_object).flat_map(|line| line.keys()) {
        if key.starts_with("eval/") && !evals.contains(&key.as_str()) {
            evals.push(key);
        }
    }
    let evals = evals.into_iter().map(|key| (key, key, "", false));
    let charts: String = evals
        .chain(CURVES)
        .filter_map(|(key, heading, note, log)| {
            let values: Vec<_> = metrics
                .iter()
                .filter_map(|line| Some((line["step"].as_f64()?, line[key].as_f64()?)))
                .collect();
            let svg = chart::svg(&values, "step", log)?;
            Some(format!(
                "<figure><figcaption>{}<span>{note}</span></figcaption>{svg}</figure>",
                escape(heading)
            ))
        })
        .collect();
    if charts.is_empty() { charts } else { format!("<h2>Curves</h2><div class=\"charts\">{charts}</div>") }
}

/// The advantage that gets the full colour.
fn full_advantage(samples: &[Sample]) -> f64 {
    let mut sizes: Vec<_> = samples
        .iter()
        .flat_map(|sample| &sample.tokens)
        .map(|token| token.advantage.abs())
        .filter(|size| size.is_finite())
        .collect();
    sizes.sort_by(f64::total_cmp);
    let at = (sizes.len() as f64 * FULL_COLOUR) as usize;
    sizes.get(at).copied().filter(|size| *size > 0.0).unwrap_or(1.0)
}

fn samples(samples: &[Sample]) -> String {
    if samples.is_empty() {
        return String::new();
    }
    let full = full_advantage(samples);
    let shown: String = samples.iter().map(|sample| self::sample(sample, full)).collect();
    format!(
        "<h2>Completions</h2><div class=\"legend soft\"><span>less likely than under the reference</span>\
         <span>−{0}</span><div class=\"ramp\"></div><span>+{0}</span><span>more likely</span></div>\
         <p class=\"soft\">Implicit advantage of each token, beta · (log-prob − reference's log-prob); point at one for its number.</p>{shown}",
        number(full)
    )
}

fn sample(sample: &Sample, full: f64) -> String {
    let mut facts = format!("<span>step <b>{}</b></span>", sample.step);
    let total: f64 = sample.tokens.iter().map(|token| token.advantage).sum();
    for (name, value) in
        [("reward", sample.reward), ("residual", sample.residual), ("implicit reward", Some(total))]
    {
        if let Some(value) = value {
            let _ = write!(facts, "<span>{name} <b>{}</b></span>", number(value));
        }
    }
    let tokens: String = sample.tokens.iter().map(|token| self::token(token, full)).collect();
    format!(
        "<div class=\"sample\"><div class=\"facts\">{facts}</div><div class=\"text\"><span class=\"prompt\">{}</span>{tokens}</div></div>",
        escape(&sample.prompt)
    )
}

fn token(token: &SampleToken, full: f64) -> String {
    let sign = if token.advantage < 0.0 { "n" } else { "p" };
    let plus = if token.advantage > 0.0 { "+" } else { "" };
    // What is not finite has no colour; its number says what it is.
    let share = if token.advantage.is_finite() { (token.advantage.abs() / full).min(1.0) } else { 0.0 };
    let opacity = share * OPACITY;
    format!(
        "<span class=\"t {sign}\" style=\"--a:{opacity:.3}\" data-a=\"{plus}{}\">{}</span>",
        number(token.advantage),
        escape(&token.text)
    )
}

fn settings(settings: &Value) -> String {
    let mut rows = String::new();
    flatten("", settings, &mut rows);
    format!(
        "<h2>Settings</h2><details><summary>All of them</summary><div class=\"scroll\"><table>{rows}</table></div></details>"
    )
}

/// One row per leaf, `outer.inner` as its name.
fn flatten(name: &str, value: &Value, rows: &mut String) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                flatten(&name, value, rows);
            }
        }
        leaf => {
            let text = leaf.as_str().map_or_else(|| leaf.to_string(), str::to_owned);
            let _ =
                write!(rows, "<tr><td>{}</td><td class=\"value\">{}</td></tr>", escape(name), escape(&text));
        }
    }
}

#[cfg(test)]
mod tests;
