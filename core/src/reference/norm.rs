//! Twin of `shaders/norm.wgsl`: RMSNorm, `out = x * rstd * w` with `rstd = 1 / sqrt(mean(x^2) + eps)`.

/// Returns `out (T, C)` and `rstd (T)` of `x (T, C)` and `w (C)`.
pub fn forward(x: &[f64], w: &[f64], eps: f64) -> (Vec<f64>, Vec<f64>) {
    let channels = w.len();
    let mut out = Vec::with_capacity(x.len());
    let mut rstd = Vec::with_capacity(x.len() / channels);
    for row in x.chunks_exact(channels) {
        let mean_square = row.iter().map(|x| x * x).sum::<f64>() / channels as f64;
        let r = 1.0 / (mean_square + eps).sqrt();
        out.extend(row.iter().zip(w).map(|(x, w)| x * r * w));
        rstd.push(r);
    }
    (out, rstd)
}

/// Returns `dx (T, C)`: with `g = dout * w`, `dx = rstd * g - x * rstd^3 * mean(g * x)`.
pub fn backward_x(x: &[f64], w: &[f64], rstd: &[f64], dout: &[f64]) -> Vec<f64> {
    let channels = w.len();
    assert_eq!(x.len(), dout.len());
    let mut dx = vec![0.0; x.len()];
    for (t, &r) in rstd.iter().enumerate() {
        let row = t * channels..(t + 1) * channels;
        let (x, dout, dx) = (&x[row.clone()], &dout[row.clone()], &mut dx[row]);
        let mean_gx = (0..channels).map(|c| dout[c] * w[c] * x[c]).sum::<f64>() / channels as f64;
        for c in 0..channels {
            dx[c] = r * dout[c] * w[c] - x[c] * r.powi(3) * mean_gx;
        }
    }
    dx
}

/// `dw (C) += sum over t of dout * x * rstd`.
pub fn backward_w(x: &[f64], rstd: &[f64], dout: &[f64], dw: &mut [f64]) {
    let channels = dw.len();
    assert_eq!(x.len(), dout.len());
    for (t, &r) in rstd.iter().enumerate() {
        for c in 0..channels {
            dw[c] += dout[t * channels + c] * x[t * channels + c] * r;
        }
    }
}
