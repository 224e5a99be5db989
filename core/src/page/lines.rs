//! Several curves with their intervals in one chart, as SVG without script.

use std::fmt::Write;

use super::chart::Scale;
use super::{escape, number};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 30.0;

/// Colours that the style has for curves.
pub(crate) const COLOURS: usize = 8;

/// A point of a curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spot {
    pub x: f64,
    pub y: f64,
    /// Its interval.
    pub within: Option<(f64, f64)>,
}

/// A curve.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    pub name: String,
    /// By x.
    pub spots: Vec<Spot>,
}

/// How spots are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Join {
    /// By lines, with a band of their intervals.
    Curve,
    /// Not at all: each with a bar of its interval.
    Bars,
}

/// The chart with a legend; `diagonal` draws y = x. `None` where no point is finite.
pub(crate) fn svg(lines: &[Line], x_name: &str, y_name: &str, join: Join, diagonal: bool) -> Option<String> {
    let finite = |spot: &&Spot| spot.x.is_finite() && spot.y.is_finite();
    let all: Vec<&Spot> = lines.iter().flat_map(|line| &line.spots).filter(finite).collect();
    let ends = |of: &dyn Fn(&Spot) -> [f64; 2]| {
        let values = || all.iter().flat_map(|spot| of(spot)).filter(|value| value.is_finite());
        (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max))
    };
    let (left, right) = ends(&|spot| [spot.x; 2]);
    let (low, high) = ends(&|spot| spot.within.map_or([spot.y; 2], |(low, high)| [low, high]));
    if all.is_empty() {
        return None;
    }
    let scale = Scale::between(low, high, false);
    let across = Scale::between(left, right, false);
    let x = |value: f64| LEFT + across.share(value) * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BOTTOM - scale.share(value) * (HEIGHT - TOP - BOTTOM);

    let mut out = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">");
    for tick in scale.ticks() {
        let at = y(tick);
        let _ = write!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 5.0,
            at + 3.5,
            number(tick)
        );
    }
    for tick in across.ticks() {
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            x(tick),
            HEIGHT - BOTTOM + 12.0,
            number(tick)
        );
    }
    let _ = write!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
        WIDTH - RIGHT,
        HEIGHT - 4.0,
        escape(x_name)
    );
    if diagonal {
        let (from, to) = (low.max(left), high.min(right));
        let _ = write!(
            out,
            "<line class=\"diagonal\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>",
            x(from),
            x(to),
            y(from),
            y(to)
        );
    }
    for (i, line) in lines.iter().enumerate() {
        let spots: Vec<&Spot> = line.spots.iter().filter(finite).collect();
        let place = |(a, b): (f64, f64)| format!("{:.1},{:.1}", x(a), y(b));
        let path = |points: Vec<(f64, f64)>| points.into_iter().map(place).collect::<Vec<_>>().join(" ");
        let _ = write!(out, "<g class=\"s{}\">", i % COLOURS);
        if join == Join::Curve {
            let banded: Vec<(f64, (f64, f64))> =
                spots.iter().filter_map(|spot| Some((spot.x, spot.within?))).collect();
            let upper = banded.iter().map(|(x, within)| (*x, within.1));
            let lower = banded.iter().rev().map(|(x, within)| (*x, within.0));
            let _ =
                write!(out, "<polygon class=\"band\" points=\"{}\"/>", path(upper.chain(lower).collect()));
            let curve = spots.iter().map(|spot| (spot.x, spot.y)).collect();
            let _ = write!(out, "<polyline class=\"curve\" points=\"{}\"/>", path(curve));
        }
        for spot in spots {
            let (here, at) = (x(spot.x), y(spot.y));
            if let (Some((low, high)), Join::Bars) = (spot.within, join) {
                let _ = write!(
                    out,
                    "<line class=\"curve\" x1=\"{here:.1}\" x2=\"{here:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>",
                    y(low),
                    y(high)
                );
            }
            let anchor = if here < WIDTH / 2.0 { "start" } else { "end" };
            let within = spot
                .within
                .map_or_else(String::new, |(low, high)| format!(" ({} to {})", number(low), number(high)));
            let _ = write!(
                out,
                "<g class=\"at only\"><rect x=\"{:.1}\" y=\"{:.1}\" width=\"12\" height=\"12\"/><circle cx=\"{here:.1}\" cy=\"{at:.1}\" r=\"2.5\"/><text x=\"{here:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}: {}{within} at {}</text></g>",
                here - 6.0,
                at - 6.0,
                (at - 8.0).max(TOP + 6.0),
                escape(&line.name),
                number(spot.y),
                number(spot.x)
            );
        }
        out.push_str("</g>");
    }
    out.push_str("</svg>");
    let named = |(i, line): (usize, &Line)| {
        format!("<span class=\"s{}\"><i class=\"key\"></i>{}</span>", i % COLOURS, escape(&line.name))
    };
    let legend: String = lines.iter().enumerate().map(named).collect();
    Some(format!(
        "<figure><figcaption>{}<span class=\"keys\">{legend}</span></figcaption>{out}</figure>",
        escape(y_name)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(x: f64, y: f64) -> Spot {
        Spot { x, y, within: Some((y - 0.1, y + 0.1)) }
    }

    #[test]
    fn every_curve_has_its_band_its_points_and_its_name() {
        let lines = [
            Line { name: "a<b".into(), spots: vec![spot(0.0, 0.2), spot(10.0, 0.4)] },
            Line {
                name: "c".into(),
                spots: vec![spot(0.0, 0.1), Spot { x: 10.0, y: f64::NAN, within: None }],
            },
        ];
        let curve = svg(&lines, "tokens", "accuracy", Join::Curve, false).unwrap();
        assert_eq!((curve.matches("<circle").count(), curve.matches("class=\"band\"").count()), (3, 2));
        assert!(curve.contains("a&lt;b") && !curve.contains("a<b") && !curve.contains("NaN"));
        let bars = svg(&lines, "x", "y", Join::Bars, true).unwrap();
        assert!(bars.contains("diagonal") && !bars.contains("band"));
        assert_eq!(svg(&[], "x", "y", Join::Curve, false), None);
        assert_eq!(svg(&[Line { name: "e".into(), spots: vec![] }], "x", "y", Join::Curve, false), None);
    }
}
