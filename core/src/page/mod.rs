//! What every report is made of: one HTML file that needs nothing else, no script and no font; text of others is harmless in it.

pub(crate) mod chart;
pub(crate) mod heat;
pub(crate) mod lines;

use std::fmt::Write;

use serde_json::Value;

/// The whole document; `subtitle` and `body` are markup, `title` is text.
pub(crate) fn document(title: &str, subtitle: &str, body: &str) -> String {
    fill(include_str!("page.html"), |name| match name {
        "style" => include_str!("style.css").to_owned(),
        "title" => escape(title),
        "subtitle" => subtitle.to_owned(),
        "body" => body.to_owned(),
        other => panic!("the template has no such place: {other}"),
    })
}

/// Fills every `{{name}}` of the template in one pass, so that a completion containing `{{title}}` stays as it is.
fn fill(template: &str, content: impl Fn(&str) -> String) -> String {
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
pub(crate) fn number(value: f64) -> String {
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

/// Figures that are seen first: name and value, both text.
pub(crate) fn tiles(tiles: &[(String, String)]) -> String {
    let tile = |(name, value): &(String, String)| {
        format!(
            "<div class=\"tile\"><span class=\"soft\">{}</span><b>{}</b></div>",
            escape(name),
            escape(value)
        )
    };
    format!("<div class=\"tiles\">{}</div>", tiles.iter().map(tile).collect::<String>())
}

/// All of the settings, nested objects included, to be opened by who wants to see them.
pub(crate) fn settings(settings: &Value) -> String {
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
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_keep_their_sign() {
        let said: Vec<_> = [0.0, 1.0, -12.345, 0.05, 123456.0, 1e-6, -2.5e9, f64::NAN].map(number).into();
        assert_eq!(said, ["0", "1", "−12.35", "0.05", "123456", "1e−6", "−2.5e9", "not finite"]);
    }

    #[test]
    fn durations_are_short() {
        assert_eq!([0.4, 59.0, 60.0, 7205.0].map(duration), ["0s", "59s", "1m00s", "2h00m"]);
    }
}
