//! Twin of `shaders/matmul.wgsl`: the linear layer, with `[out, in]` weights as Hugging Face stores them.

use super::dot;

/// `y = x w^T + bias + residual`: `y (T, out)` from `x (T, in)`, `w (out, in)`, `bias (out)`, `residual (T, out)`.
pub fn forward(
    x: &[f64],
    w: &[f64],
    bias: Option<&[f64]>,
    residual: Option<&[f64]>,
    inputs: usize,
) -> Vec<f64> {
    let outputs = w.len() / inputs;
    let mut y = Vec::with_capacity(x.len() / inputs * outputs);
    for x in x.chunks_exact(inputs) {
        for (o, w) in w.chunks_exact(inputs).enumerate() {
            y.push(dot(x, w) + bias.map_or(0.0, |bias| bias[o]));
        }
    }
    if let Some(residual) = residual {
        assert_eq!(y.len(), residual.len());
        y.iter_mut().zip(residual).for_each(|(y, residual)| *y += residual);
    }
    y
}

/// `dx = dy w`: `dx (T, in)` from `dy (T, out)` and `w (out, in)`. The residual's gradient is `dy` itself.
pub fn backward_x(dy: &[f64], w: &[f64], inputs: usize) -> Vec<f64> {
    let outputs = w.len() / inputs;
    let mut dx = vec![0.0; dy.len() / outputs * inputs];
    for (dx, dy) in dx.chunks_exact_mut(inputs).zip(dy.chunks_exact(outputs)) {
        for o in 0..outputs {
            for i in 0..inputs {
                dx[i] += dy[o] * w[o * inputs + i];
            }
        }
    }
    dx
}

/// `dw += dy^T x`: `dw (out, in)` from `dy (T, out)` and `x (T, in)`.
pub fn backward_w(dy: &[f64], x: &[f64], inputs: usize, dw: &mut [f64]) {
    let outputs = dw.len() / inputs;
    assert_eq!(dy.len() / outputs, x.len() / inputs);
    for (dy, x) in dy.chunks_exact(outputs).zip(x.chunks_exact(inputs)) {
        for o in 0..outputs {
            for i in 0..inputs {
                dw[o * inputs + i] += dy[o] * x[i];
            }
        }
    }
}

/// `dbias (out) += sum over t of dy (T, out)`.
pub fn backward_bias(dy: &[f64], dbias: &mut [f64]) {
    for dy in dy.chunks_exact(dbias.len()) {
        dbias.iter_mut().zip(dy).for_each(|(dbias, dy)| *dbias += dy);
    }
}
