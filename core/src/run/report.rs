//! `report.html`: one file that needs nothing else. Curves, stages, samples coloured token by token, settings.

use std::fmt::Write;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::data::tokenizer::Tokenizer;
use crate::error::Result;
use crate::page::{self, chart, duration, escape, number, settings};
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

/// The whole document.
pub fn render(report: &Report<'_>) -> String {
    let body = [
        tiles(report.metrics),
        stages(report.stages),
        charts(report.metrics),
        samples(report.samples),
        settings(report.settings),
    ];
    page::document(report.title, &subtitle(report), &body.concat())
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
    page::tiles(&tiles)
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

/// Completions, coloured token by token.
pub(crate) fn samples(samples: &[Sample]) -> String {
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

#[cfg(test)]
mod tests;
