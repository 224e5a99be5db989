//! Random inputs and comparisons.

use tbrm_core::reference::sample::uniform;

/// Reproducible numbers in `[-1, 1)`: a different `stream`, different numbers.
pub(crate) fn random(stream: u32, length: usize) -> Vec<f64> {
    (0..length as u32).map(|i| 2.0 * uniform(7, stream, i) - 1.0).collect()
}

/// Fails unless every number is within `tolerance * max(1, |expected|)`; NaN fails.
pub(crate) fn assert_close(what: &str, actual: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len(), "{what}: lengths");
    for (i, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        let limit = tolerance * expected.abs().max(1.0);
        assert!((actual - expected).abs() <= limit, "{what}[{i}]: {actual} instead of {expected}");
    }
}

/// The derivative of `f` by `x[i]`: the five-point central difference, whose error is of the order of `step^4`.
pub(crate) fn derivative(f: impl Fn(&[f64]) -> f64, x: &[f64], i: usize) -> f64 {
    let step = 3e-4;
    let at = |steps: f64| {
        let mut moved = x.to_vec();
        moved[i] += steps * step;
        f(&moved)
    };
    (8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / (12.0 * step)
}

/// Fails unless `grad` is the gradient of `f` at `x`, or where that gradient is zero everywhere and so tests nothing.
pub(crate) fn assert_gradient(what: &str, f: impl Fn(&[f64]) -> f64, x: &[f64], grad: &[f64]) {
    let numeric: Vec<f64> = (0..x.len()).map(|i| derivative(&f, x, i)).collect();
    assert!(numeric.iter().any(|g| g.abs() > 1e-4), "{what}: the case has no gradient to test");
    assert_close(what, grad, &numeric, 1e-8);
}

/// What `backward` adds to a gradient that already holds something.
pub(crate) fn added(length: usize, backward: impl FnOnce(&mut [f64])) -> Vec<f64> {
    let before = random(99, length);
    let mut after = before.clone();
    backward(&mut after);
    after.iter().zip(before).map(|(after, before)| after - before).collect()
}

/// `<x, y>`: turns an array into a scalar whose gradient by `y` is `x`.
pub(crate) fn dot(x: &[f64], y: &[f64]) -> f64 {
    assert_eq!(x.len(), y.len());
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}
