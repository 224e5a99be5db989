//! Twin of `shaders/rope.wgsl`: rotary position embedding, in place on the query and key heads of `qkv`.
//!
//! Hugging Face's "rotate half": channel `i` of a head turns together with channel `i + D/2`, by the angle
//! `position * inv_freq[i]`. The frequencies come from [`super::frequencies::inv_freq`].

use super::Heads;

/// Turns the q and k parts of `qkv (T, (H+2K)*D)` by `positions (T)` and `inv_freq (D/2)`.
pub fn forward(qkv: &mut [f64], positions: &[u32], inv_freq: &[f64], heads: &Heads) {
    rotate(qkv, positions, inv_freq, heads, 1.0);
}

/// Undoes [`forward`]. A rotation's transpose is its inverse, so this also takes `dqkv` back through the rotation.
pub fn inverse(qkv: &mut [f64], positions: &[u32], inv_freq: &[f64], heads: &Heads) {
    rotate(qkv, positions, inv_freq, heads, -1.0);
}

fn rotate(qkv: &mut [f64], positions: &[u32], inv_freq: &[f64], heads: &Heads, direction: f64) {
    let half = heads.head_dim / 2;
    assert_eq!(qkv.len(), positions.len() * heads.qkv_width());
    assert_eq!(inv_freq.len(), half);
    for (row, &position) in qkv.chunks_exact_mut(heads.qkv_width()).zip(positions) {
        for head in row.chunks_exact_mut(heads.head_dim).take(heads.heads + heads.kv_heads) {
            for i in 0..half {
                let (sin, cos) = (direction * f64::from(position) * inv_freq[i]).sin_cos();
                let (x, y) = (head[i], head[i + half]);
                head[i] = x * cos - y * sin;
                head[i + half] = y * cos + x * sin;
            }
        }
    }
}
