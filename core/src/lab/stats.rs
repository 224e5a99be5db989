//! Intervals: of a mean over seeds by Student's t, of anything over groups by the bootstrap.

use serde::{Deserialize, Serialize};

use crate::rng::Stream;

/// The share of intervals that hold what they are for.
pub const LEVEL: f64 = 0.95;

/// An estimate with its interval; no interval where there is too little to tell.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The estimate.
    pub mean: f64,
    /// Lower end.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
}

impl Interval {
    /// The mean of independent values with its interval of [`LEVEL`] by Student's t with n - 1 degrees of freedom: mean ± t s / sqrt(n).
    /// No interval for fewer than two values; NaN of none.
    pub fn of(values: &[f64]) -> Interval {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        if values.len() < 2 {
            return Interval { mean, low: None, high: None };
        }
        let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
        let half = t_quantile(0.5 + LEVEL / 2.0, values.len() - 1) * (squares / (n - 1.0) / n).sqrt();
        Interval { mean, low: Some(mean - half), high: Some(mean + half) }
    }

    /// Whether all of it lies above `x`; false without an interval.
    pub fn above(&self, x: f64) -> bool {
        self.low.is_some_and(|low| low > x)
    }

    /// Whether all of it lies below `x`; false without an interval.
    pub fn below(&self, x: f64) -> bool {
        self.high.is_some_and(|high| high < x)
    }
}

/// The percentile bootstrap (Efron 1979): `of` is told which groups are drawn, with repeats, and says what they give, or that they give
/// nothing. The estimate is that of each group once.
pub fn bootstrap(
    groups: usize,
    draws: usize,
    seed: u64,
    mut of: impl FnMut(&[usize]) -> Option<f64>,
) -> Option<Interval> {
    let mean = of(&(0..groups).collect::<Vec<_>>())?;
    let stream = Stream::named(seed, "bootstrap");
    let mut values: Vec<f64> = (0..draws)
        .filter_map(|draw| {
            let at = |i: usize| stream.below((draw * groups + i) as u64, groups as u64) as usize;
            of(&(0..groups).map(at).collect::<Vec<_>>())
        })
        .collect();
    values.sort_by(f64::total_cmp);
    if groups < 2 || values.len() < 2 {
        return Some(Interval { mean, low: None, high: None });
    }
    let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
    Some(Interval { mean, low: Some(at(0.5 - LEVEL / 2.0)), high: Some(at(0.5 + LEVEL / 2.0)) })
}

/// The value below which a Student t variable with `freedom` degrees of freedom lies with probability `p` in (0.5, 1).
pub fn t_quantile(p: f64, freedom: usize) -> f64 {
    let (mut low, mut high) = (0.0, 1e6);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if t_distribution(middle, freedom as f64) < p { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// P(T <= t) for t >= 0: 1 - I_x(freedom/2, 1/2) / 2 at x = freedom / (freedom + t^2).
fn t_distribution(t: f64, freedom: f64) -> f64 {
    1.0 - 0.5 * incomplete_beta(freedom / (freedom + t * t), freedom / 2.0, 0.5)
}

/// The regularised incomplete beta function I_x(a, b), by its continued fraction (Abramowitz and Stegun 26.5.8), evaluated as Lentz does.
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    // The fraction converges fast on one side only; the other is its mirror image.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(1.0 - x, b, a);
    }
    let front = (a * x.ln() + b * (1.0 - x).ln() + ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b)).exp() / a;
    let tiny = 1e-300;
    let (mut c, mut d, mut value) = (1.0, 0.0, 1.0);
    for i in 0..500 {
        let m = f64::from(i / 2);
        let numerator = match i {
            0 => 1.0,
            _ if i % 2 == 0 => m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m)),
            _ => -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0)),
        };
        let not_zero = |x: f64| if x.abs() < tiny { tiny } else { x };
        d = 1.0 / not_zero(1.0 + numerator * d);
        c = not_zero(1.0 + numerator / c);
        value *= c * d;
        if (1.0 - c * d).abs() < 1e-15 {
            break;
        }
    }
    front * (value - 1.0)
}

/// The logarithm of the gamma function at x > 0 (Lanczos 1964; the coefficients of Godfrey for g = 7, n = 9).
fn ln_gamma(x: f64) -> f64 {
    const G: f64 = 7.0;
    const C: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    if x < 0.5 {
        return (std::f64::consts::PI / (std::f64::consts::PI * x).sin()).ln() - ln_gamma(1.0 - x);
    }
    let x = x - 1.0;
    let sum = C[0] + (1..9).map(|i| C[i] / (x + i as f64)).sum::<f64>();
    let t = x + G + 0.5;
    0.5 * std::f64::consts::TAU.ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_t_are_those_of_the_tables() {
        // Fisher and Yates, to the digits that the tables have.
        for (p, freedom, want) in [
            (0.975, 1, 12.7062),
            (0.975, 2, 4.30265),
            (0.975, 4, 2.77645),
            (0.975, 9, 2.26216),
            (0.975, 30, 2.04227),
            (0.95, 5, 2.01505),
            (0.995, 3, 5.84091),
            (0.975, 100_000, 1.95999),
        ] {
            let diff = (t_quantile(p, freedom) - want).abs();
            assert!(diff <= 1e-4 * want, "{p} at {freedom}: off by {diff}");
        }
    }

    #[test]
    fn the_gamma_function_is_known_at_halves_and_whole_numbers() {
        for (x, want) in
            [(1.0, 1.0f64), (5.0, 24.0), (0.5, std::f64::consts::PI.sqrt()), (0.25, 3.625_609_908_221_908)]
        {
            assert!((ln_gamma(x) - want.ln()).abs() <= 1e-12, "{x}");
        }
    }

    #[test]
    fn an_interval_is_student_s() {
        // Mean 3, s = sqrt(2.5), so 2.77645 sqrt(2.5 / 5).
        let interval = Interval::of(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        let half = 2.776_445_105 * 0.5f64.sqrt();
        assert_eq!(interval.mean, 3.0);
        assert!((interval.low.unwrap() - (3.0 - half)).abs() <= 1e-6, "{interval:?}");
        assert!((interval.high.unwrap() - (3.0 + half)).abs() <= 1e-6, "{interval:?}");
        assert!(interval.above(1.0) && !interval.above(2.0) && interval.below(5.0) && !interval.below(3.5));
        let alone = Interval::of(&[2.0]);
        assert_eq!(alone, Interval { mean: 2.0, low: None, high: None });
        assert!(!alone.above(0.0) && !alone.below(9.0));
    }

    #[test]
    fn the_bootstrap_of_a_mean_agrees_with_the_normal_interval() {
        let normal = Stream::named(5, "values");
        let values: Vec<f64> = (0..200).flat_map(|i| <[f64; 2]>::from(normal.normal_pair(i))).collect();
        let mean = |of: &[usize]| Some(of.iter().map(|i| values[*i]).sum::<f64>() / of.len() as f64);
        let interval = bootstrap(values.len(), 2000, 1, mean).unwrap();
        let exact = Interval::of(&values);
        assert_eq!(interval.mean, exact.mean);
        let (width, want) =
            (interval.high.unwrap() - interval.low.unwrap(), exact.high.unwrap() - exact.low.unwrap());
        assert!((width / want - 1.0).abs() <= 0.1, "{width} for {want}");
        assert_eq!(bootstrap(values.len(), 2000, 1, mean), Some(interval));
        assert_ne!(bootstrap(values.len(), 2000, 2, mean), Some(interval));
        assert_eq!(bootstrap(3, 10, 1, |_| None), None);
        assert_eq!(bootstrap(1, 10, 1, |_| Some(1.0)), Some(Interval { mean: 1.0, low: None, high: None }));
    }
}
