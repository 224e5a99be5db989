//! A line chart as SVG: no script, the numbers under the pointer by CSS alone.

use std::fmt::Write;

use super::number;

const WIDTH: f64 = 320.0;
const HEIGHT: f64 = 150.0;
const LEFT: f64 = 42.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 18.0;

/// More points than this are drawn as the means of equal stretches, in the band of their least and greatest.
const POINTS: usize = 160;

/// One drawn point: a stretch of steps.
#[derive(Clone, Copy, Debug)]
struct Point {
    step: f64,
    mean: f64,
    least: f64,
    greatest: f64,
}

/// The chart of `values`, (`x`, value) in order; on a logarithmic scale where `log` and every value is above 0.
/// `None` where no value is finite.
pub(crate) fn svg(values: &[(f64, f64)], x_name: &str, log: bool) -> Option<String> {
    let values: Vec<_> = values.iter().copied().filter(|(_, value)| value.is_finite()).collect();
    let points = thin(&values);
    let (first, last) = (points.first()?, points.last()?);
    let log = log && values.iter().all(|(_, value)| *value > 0.0);
    let scale = Scale::new(&points, log);
    let x = |step: f64| {
        let share = if last.step > first.step { (step - first.step) / (last.step - first.step) } else { 0.5 };
        LEFT + share * (WIDTH - LEFT - RIGHT)
    };

    let mut out = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">");
    for tick in scale.ticks() {
        let y = scale.y(tick);
        let _ = write!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 5.0,
            y + 3.5,
            number(tick)
        );
    }
    let ends =
        if last.step > first.step { vec![(first, "start"), (last, "end")] } else { vec![(first, "middle")] };
    for (point, anchor) in ends {
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{x_name} {}</text>",
            x(point.step),
            HEIGHT - 4.0,
            point.step
        );
    }
    if values.len() > points.len() {
        let upper = points.iter().map(|point| (point.step, point.greatest));
        let lower = points.iter().rev().map(|point| (point.step, point.least));
        let _ = write!(out, "<polygon class=\"spread\" points=\"{}\"/>", path(upper.chain(lower), x, &scale));
    }
    let means = points.iter().map(|point| (point.step, point.mean));
    let _ = write!(out, "<polyline class=\"curve\" points=\"{}\"/>", path(means, x, &scale));

    let only = if points.len() == 1 { " only" } else { "" };
    for (i, point) in points.iter().enumerate() {
        let (here, y) = (x(point.step), scale.y(point.mean));
        let before = i.checked_sub(1).map_or(LEFT, |i| (x(points[i].step) + here) / 2.0);
        let after = points.get(i + 1).map_or(WIDTH - RIGHT, |next| (x(next.step) + here) / 2.0);
        let anchor = if here < WIDTH / 2.0 { "start" } else { "end" };
        let _ = write!(
            out,
            "<g class=\"at{only}\"><rect x=\"{before:.1}\" y=\"0\" width=\"{:.1}\" height=\"{HEIGHT}\"/>\
             <circle cx=\"{here:.1}\" cy=\"{y:.1}\" r=\"2.5\"/>\
             <text x=\"{here:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{} · {x_name} {}</text></g>",
            after - before,
            (y - 7.0).max(TOP + 6.0),
            number(point.mean),
            point.step.round()
        );
    }
    out.push_str("</svg>");
    Some(out)
}

fn path(points: impl Iterator<Item = (f64, f64)>, x: impl Fn(f64) -> f64, scale: &Scale) -> String {
    points.map(|(step, value)| format!("{:.1},{:.1}", x(step), scale.y(value))).collect::<Vec<_>>().join(" ")
}

/// At most [`POINTS`] points. The first and the last step keep their places.
fn thin(values: &[(f64, f64)]) -> Vec<Point> {
    let stretch = values.len().div_ceil(POINTS).max(1);
    let chunks = values.chunks(stretch).enumerate();
    let count = values.len().div_ceil(stretch);
    chunks
        .map(|(i, chunk)| {
            let n = chunk.len() as f64;
            let steps = chunk.iter().map(|(step, _)| *step);
            let step = match i {
                0 => chunk[0].0,
                _ if i + 1 == count => chunk[chunk.len() - 1].0,
                _ => steps.sum::<f64>() / n,
            };
            let of = |value: fn(f64, f64) -> f64, start| chunk.iter().fold(start, |a, (_, b)| value(a, *b));
            Point {
                step,
                mean: of(|a, b| a + b, 0.0) / n,
                least: of(f64::min, f64::INFINITY),
                greatest: of(f64::max, f64::NEG_INFINITY),
            }
        })
        .collect()
}

/// Where a value lies on the vertical axis.
#[derive(Debug)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    log: bool,
}

impl Scale {
    fn new(points: &[Point], log: bool) -> Self {
        let low = points.iter().map(|point| point.least).fold(f64::INFINITY, f64::min);
        let high = points.iter().map(|point| point.greatest).fold(f64::NEG_INFINITY, f64::max);
        Scale::between(low, high, log)
    }

    /// From `low` to `high`, with some room beyond them.
    pub(super) fn between(low: f64, high: f64, log: bool) -> Self {
        let map = |value: f64| if log { value.log10() } else { value };
        let (low, high) = (map(low), map(high));
        // A constant still needs a height to lie in.
        let room = if high > low { 0.05 * (high - low) } else { (0.1 * high.abs()).max(1e-3) };
        Scale { low: low - room, high: high + room, log }
    }

    /// Where a value lies between the lower end, 0, and the upper one, 1.
    pub(super) fn share(&self, value: f64) -> f64 {
        let value = if self.log { value.log10() } else { value };
        (value - self.low) / (self.high - self.low)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.share(value) * (HEIGHT - TOP - BOTTOM)
    }

    /// Round values inside the axis: multiples of 1, 2 or 5 times a power of ten; on a logarithmic axis those numbers
    /// themselves, or decades where it spans several.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let span = self.high - self.low;
        if self.log && span >= 2.0 {
            let every = (span / 4.0).ceil();
            return multiples(self.low, self.high, every)
                .into_iter()
                .map(|power| 10f64.powf(power))
                .collect();
        }
        let (low, high) =
            if self.log { (10f64.powf(self.low), 10f64.powf(self.high)) } else { (self.low, self.high) };
        if self.log {
            let decades = self.low.floor() as i32..=self.high.floor() as i32;
            let steps = decades.flat_map(|decade| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(decade)));
            let ticks: Vec<_> = steps.filter(|tick| (low..=high).contains(tick)).collect();
            if ticks.len() >= 2 {
                return ticks;
            }
        }
        let rough = (high - low) / 4.0;
        let power = 10f64.powf(rough.log10().floor());
        let every = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|every| *every >= rough);
        multiples(low, high, every.unwrap_or(10.0 * power))
    }
}

fn multiples(low: f64, high: f64, every: f64) -> Vec<f64> {
    let (first, last) = ((low / every).ceil() as i64, (high / every).floor() as i64);
    (first..=last).map(|k| k as f64 * every).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_curves_are_thinned_and_keep_their_ends() {
        let values: Vec<_> = (1..=1001).map(|step| (f64::from(step), f64::from(step % 2))).collect();
        let points = thin(&values);
        assert!(points.len() <= POINTS && points.len() > POINTS / 2, "{}", points.len());
        assert_eq!((points[0].step, points[points.len() - 1].step), (1.0, 1001.0));
        assert!(points.iter().all(|p| p.least <= p.mean && p.mean <= p.greatest));
        assert_eq!((points[3].least, points[3].greatest), (0.0, 1.0));
    }

    #[test]
    fn ticks_are_round_and_inside() {
        for (low, high, log) in [
            (0.0, 1.0, false),
            (-3.7, 912.0, false),
            (0.011, 0.0113, false),
            (1e-6, 40.0, true),
            (2.0, 9.0, true),
            (0.9, 22.0, true),
            (3.1, 3.2, true),
        ] {
            let values = [(0.0, low), (1.0, high)];
            let scale = Scale::new(&thin(&values), log);
            let ticks = scale.ticks();
            assert!((2..=8).contains(&ticks.len()), "{low} {high}: {ticks:?}");
            for tick in ticks {
                let y = scale.y(tick);
                assert!((TOP - 0.1..=HEIGHT - BOTTOM + 0.1).contains(&y), "{low} {high}: {tick} at {y}");
            }
        }
    }

    #[test]
    fn what_cannot_be_drawn_is_not() {
        assert_eq!(svg(&[], "step", false), None);
        assert_eq!(svg(&[(1.0, f64::NAN)], "step", true), None);
        let one = svg(&[(1.0, 0.0)], "step", true).expect("a chart of one point");
        let gap = svg(&[(1.0, 2.0), (2.0, f64::INFINITY), (3.0, 2.0)], "step", true)
            .expect("a constant with a gap");
        assert!(!one.contains("NaN") && !gap.contains("NaN") && !gap.contains("inf"));
    }
}
