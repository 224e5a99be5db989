//! Twin of `shaders/value.wgsl`: the critic's value of each row, `bias + hidden w`.

use super::dot;

/// Returns `value (R)` of `hidden (R, C)`, `w (C)` and `bias`.
pub fn forward(hidden: &[f64], w: &[f64], bias: f64) -> Vec<f64> {
    hidden.chunks_exact(w.len()).map(|row| bias + dot(row, w)).collect()
}

/// `dhidden (R, C) += dvalue w`.
pub fn backward_x(w: &[f64], dvalue: &[f64], dhidden: &mut [f64]) {
    for (row, dvalue) in dhidden.chunks_exact_mut(w.len()).zip(dvalue) {
        row.iter_mut().zip(w).for_each(|(dx, w)| *dx += dvalue * w);
    }
}

/// `dw (C) += sum over rows of dvalue hidden`, `dbias += sum of dvalue`.
pub fn backward_w(hidden: &[f64], dvalue: &[f64], dw: &mut [f64], dbias: &mut f64) {
    for (row, dvalue) in hidden.chunks_exact(dw.len()).zip(dvalue) {
        dw.iter_mut().zip(row).for_each(|(dw, x)| *dw += dvalue * x);
        *dbias += dvalue;
    }
}
