//! The checks as one HTML file that needs nothing else.

use std::fmt::Write;

use super::{CHECKS, Check};
use crate::page::{self, chart, escape};

/// What the figures mean.
const INTRODUCTION: &str = "<p>A token tree is small enough to enumerate, so its optimal policy pi* &#8733; ref &#183; exp(R / beta) and its \
value log Z are known. A small transformer is trained on it by the same trainer and kernels as any model. J(pi*) &#8722; J(pi) = beta &#183; \
KL(pi || pi*) is what its policy loses, in units of reward.</p>";

/// The whole document; `subtitle` says where and with which seed the checks ran.
pub fn render(checks: &[Check], subtitle: &str) -> String {
    let passed = checks.iter().filter(|check| check.passed).count();
    let title =
        format!("What TBRM promises, on problems solved exactly: {passed} of {} as expected", checks.len());
    let sections: String = checks.iter().map(section).collect();
    page::document(&title, &escape(subtitle), &format!("{INTRODUCTION}{sections}"))
}

fn section(check: &Check) -> String {
    let title = CHECKS.iter().find(|(name, _)| *name == check.name).map_or(check.name, |(_, title)| title);
    let verdict = if check.passed { "as expected" } else { "NOT as expected" };
    let mut out = format!(
        "<h2>{}: {verdict}</h2><p>Expected: {}.</p><p>Found: {}.</p>",
        escape(title),
        escape(check.claim),
        escape(&check.found)
    );
    let mut charts = String::new();
    for series in &check.series {
        if let Some(svg) = chart::svg(&series.points, series.x, true) {
            let _ = write!(
                charts,
                "<figure><figcaption>{}<span>{} over {}</span></figcaption>{svg}</figure>",
                escape(&series.name),
                escape(series.y),
                escape(series.x)
            );
        }
    }
    if !charts.is_empty() {
        let _ = write!(out, "<div class=\"charts\">{charts}</div>");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::Series;

    #[test]
    fn a_failed_check_is_said_aloud_and_text_is_harmless() {
        let check = |passed| Check {
            name: "bandit",
            claim: "a < b",
            found: "1 & 2".into(),
            passed,
            series: vec![Series::new("TBRM", "N", "gap", [(1.0, 0.5), (2.0, 0.25)])],
        };
        let page = render(&[check(true), check(false)], "seed 0");
        assert!(page.contains("1 of 2 as expected") && page.contains("NOT as expected"));
        assert!(page.contains("a &lt; b") && page.contains("1 &amp; 2") && page.contains("N 2</text>"));
        assert!(!page.contains("{{"));
    }
}
