//! Twin of `shaders/embed.wgsl`: rows of a table by index.

/// `out[t] = w[tokens[t]]`: `(T, C)` from `tokens (T)` and `w (V, C)`.
pub fn forward(tokens: &[u32], w: &[f64], channels: usize) -> Vec<f64> {
    let mut out = Vec::with_capacity(tokens.len() * channels);
    for &token in tokens {
        out.extend_from_slice(&w[token as usize * channels..][..channels]);
    }
    out
}

/// `dw[tokens[t]] += dout[t]`: `dw (V, C)`, `dout (T, C)`. A token that occurs more than once collects every
/// occurrence.
pub fn backward(tokens: &[u32], dout: &[f64], channels: usize, dw: &mut [f64]) {
    assert_eq!(dout.len(), tokens.len() * channels);
    for (t, &token) in tokens.iter().enumerate() {
        for c in 0..channels {
            dw[token as usize * channels + c] += dout[t * channels + c];
        }
    }
}
