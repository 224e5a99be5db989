//! Rotation frequencies and the rotation itself.

use tbrm_core::reference::frequencies::{Llama3Scaling, inv_freq};
use tbrm_core::reference::{Heads, rope};

use crate::check::{assert_close, dot, random};

const ONE: Heads = Heads { heads: 1, kv_heads: 1, head_dim: 4 };

#[test]
fn frequencies_fall_geometrically() {
    assert_close("inv_freq", &inv_freq(8, 1e4, None), &[1.0, 0.1, 0.01, 0.001], 1e-15);
}

/// Llama 3.2 1B's settings; the figures are a transcription of `transformers`' own formula, by wavelength.
#[test]
fn llama3_scaling_matches_transformers() {
    let scaling = Llama3Scaling {
        factor: 32.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 8192.0,
    };
    let expected = [
        0.0032114459947525913,
        0.001290547928209264,
        0.00042955679655936815,
        9.70828780262767e-05,
        1.9461638184831125e-05,
    ];
    let freq = inv_freq(64, 5e5, Some(&scaling));
    assert_eq!(freq.len(), 32);
    for (freq, expected) in freq[14..19].iter().zip(expected) {
        assert!((freq - expected).abs() <= 1e-13 * expected, "{freq} instead of {expected}");
    }
    let plain = inv_freq(64, 5e5, None);
    assert_eq!(freq[..15], plain[..15]);
    let slowed: Vec<f64> = plain[18..].iter().map(|freq| freq / 32.0).collect();
    assert_eq!(freq[18..], slowed);
}

/// Channel i turns with channel i + D/2, counter-clockwise; values are left alone.
#[test]
fn rotates_half_against_half() {
    let mut qkv = [1.0, 0.0, 0.0, 2.0, 0.0, 0.0, 1.0, 0.0, 1.0, 2.0, 3.0, 4.0];
    rope::forward(&mut qkv, &[3], &[0.5, 0.1], &ONE);
    let (sin, cos) = 1.5f64.sin_cos();
    let (slow_sin, slow_cos) = 0.3f64.sin_cos();
    let expected = [cos, -2.0 * slow_sin, sin, 2.0 * slow_cos, -sin, 0.0, cos, 0.0, 1.0, 2.0, 3.0, 4.0];
    assert_close("qkv", &qkv, &expected, 1e-15);
}

#[test]
fn scores_depend_on_the_distance_alone() {
    let qkv = random(1, 2 * ONE.qkv_width());
    let score = |positions: [u32; 2]| {
        let mut qkv = qkv.clone();
        rope::forward(&mut qkv, &positions, &[1.0, 0.1], &ONE);
        dot(&qkv[12..16], &qkv[4..8])
    };
    assert_close("score", &[score([100, 105])], &[score([0, 5])], 1e-12);
    assert!((score([0, 5]) - score([0, 6])).abs() > 1e-3);
}
