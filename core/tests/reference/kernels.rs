//! Every kernel family's backward against finite differences of its forward, and its forward against closed forms.

use tbrm_core::reference::frequencies::inv_freq;
use tbrm_core::reference::{Heads, attention, embed, head, matmul, mlp, norm, rope, value};

use crate::check::{added, assert_close, assert_gradient, dot, random};

const HEADS: [(&str, Heads); 4] = [
    ("one head", Heads { heads: 1, kv_heads: 1, head_dim: 2 }),
    ("multi-head", Heads { heads: 3, kv_heads: 3, head_dim: 4 }),
    ("grouped-query", Heads { heads: 4, kv_heads: 2, head_dim: 4 }),
    ("multi-query", Heads { heads: 3, kv_heads: 1, head_dim: 2 }),
];
const PACKS: [&[u32]; 4] = [&[1], &[5], &[3, 1, 4], &[1, 1, 2]];

fn seq_start(lengths: &[u32]) -> Vec<u32> {
    let mut starts = Vec::new();
    for &length in lengths {
        let start = starts.len() as u32;
        starts.extend((0..length).map(|_| start));
    }
    starts
}

#[test]
fn embed_gradient() {
    for (tokens, vocab, channels) in [(&[2u32][..], 3, 1), (&[0, 4, 0, 1, 0], 5, 3)] {
        let w = random(1, vocab * channels);
        let dout = random(2, tokens.len() * channels);
        let dw = added(w.len(), |dw| embed::backward(tokens, &dout, channels, dw));
        assert_gradient("dw", |w| dot(&dout, &embed::forward(tokens, w, channels)), &w, &dw);
    }
}

#[test]
fn norm_gradients() {
    for (tokens, channels, eps) in [(1, 1, 0.5), (1, 8, 1e-5), (5, 7, 1e-6)] {
        let (x, w) = (random(1, tokens * channels), random(2, channels));
        let dout = random(3, x.len());
        let loss = |x: &[f64], w: &[f64]| dot(&dout, &norm::forward(x, w, eps).0);
        let rstd = norm::forward(&x, &w, eps).1;
        assert_gradient("dx", |x| loss(x, &w), &x, &norm::backward_x(&x, &w, &rstd, &dout));
        let dw = added(channels, |dw| norm::backward_w(&x, &rstd, &dout, dw));
        assert_gradient("dw", |w| loss(&x, w), &w, &dw);
    }
}

#[test]
fn norm_makes_the_root_mean_square_one() {
    let (out, rstd) = norm::forward(&[3.0, -4.0, 0.0, 0.0], &[1.0, 1.0, 2.0, 2.0], 0.0);
    assert_close("rstd", &rstd, &[0.4], 1e-15);
    assert_close("out", &out, &[1.2, -1.6, 0.0, 0.0], 1e-15);
    let (out, _) = norm::forward(&[1.0, 1.0], &[2.0, 3.0], 3.0);
    assert_close("out with eps", &out, &[1.0, 1.5], 1e-15);
}

#[test]
fn value_gradients() {
    for (rows, channels) in [(1, 1), (1, 5), (4, 3)] {
        let (hidden, w, bias) = (random(1, rows * channels), random(2, channels), random(3, 1));
        let dvalue = random(4, rows);
        let loss =
            |hidden: &[f64], w: &[f64], bias: &[f64]| dot(&dvalue, &value::forward(hidden, w, bias[0]));
        let dhidden = added(hidden.len(), |dx| value::backward_x(&w, &dvalue, dx));
        assert_gradient("dhidden", |x| loss(x, &w, &bias), &hidden, &dhidden);
        let dw = added(channels, |dw| value::backward_w(&hidden, &dvalue, dw, &mut 0.0));
        assert_gradient("dw", |w| loss(&hidden, w, &bias), &w, &dw);
        let dbias =
            added(1, |dbias| value::backward_w(&hidden, &dvalue, &mut vec![0.0; channels], &mut dbias[0]));
        assert_gradient("dbias", |bias| loss(&hidden, &w, bias), &bias, &dbias);
    }
}

#[test]
fn matmul_gradients() {
    for (tokens, inputs, outputs) in [(1, 1, 1), (1, 5, 3), (4, 3, 5)] {
        let (x, w) = (random(1, tokens * inputs), random(2, outputs * inputs));
        let (bias, residual) = (random(3, outputs), random(4, tokens * outputs));
        let dy = random(5, tokens * outputs);
        let loss = |x: &[f64], w: &[f64], bias: &[f64], residual: &[f64]| {
            dot(&dy, &matmul::forward(x, w, Some(bias), Some(residual), inputs))
        };
        let dx = matmul::backward_x(&dy, &w, inputs);
        assert_gradient("dx", |x| loss(x, &w, &bias, &residual), &x, &dx);
        let dw = added(w.len(), |dw| matmul::backward_w(&dy, &x, inputs, dw));
        assert_gradient("dw", |w| loss(&x, w, &bias, &residual), &w, &dw);
        let dbias = added(outputs, |dbias| matmul::backward_bias(&dy, dbias));
        assert_gradient("dbias", |bias| loss(&x, &w, bias, &residual), &bias, &dbias);
        assert_gradient("dresidual", |residual| loss(&x, &w, &bias, residual), &residual, &dy);
    }
}

#[test]
fn matmul_weights_are_out_by_in() {
    let y = matmul::forward(&[1.0, 10.0], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], None, None, 2);
    assert_eq!(y, [21.0, 43.0, 65.0]);
}

#[test]
fn rope_gradient_is_the_inverse_rotation() {
    for (name, heads) in HEADS {
        let positions = [0, 1, 2, 0, 300];
        let freq = inv_freq(heads.head_dim, 10.0, None);
        let x = random(1, positions.len() * heads.qkv_width());
        let dout = random(2, x.len());
        let rotated = |x: &[f64]| {
            let mut x = x.to_vec();
            rope::forward(&mut x, &positions, &freq, &heads);
            x
        };
        let mut dx = dout.clone();
        rope::inverse(&mut dx, &positions, &freq, &heads);
        assert_gradient(name, |x| dot(&dout, &rotated(x)), &x, &dx);

        let mut back = rotated(&x);
        rope::inverse(&mut back, &positions, &freq, &heads);
        assert_close(name, &back, &x, 1e-14);
    }
}

#[test]
fn attention_gradient() {
    for (name, heads) in HEADS {
        for lengths in PACKS {
            let starts = seq_start(lengths);
            let qkv: Vec<f64> = random(1, starts.len() * heads.qkv_width()).iter().map(|x| 2.0 * x).collect();
            let dout = random(2, starts.len() * heads.out_width());
            let (out, lse) = attention::forward(&qkv, &starts, &heads);
            let dqkv = attention::backward(&qkv, &out, &lse, &dout, &starts, &heads);
            let loss = |qkv: &[f64]| dot(&dout, &attention::forward(qkv, &starts, &heads).0);
            assert_gradient(&format!("{name} {lengths:?}"), loss, &qkv, &dqkv);
        }
    }
}

#[test]
fn attention_without_preference_averages_the_past_of_its_own_sequence() {
    let heads = Heads { heads: 1, kv_heads: 1, head_dim: 2 };
    let starts = seq_start(&[3, 2]);
    let values = random(1, 10);
    let qkv: Vec<f64> = values.chunks(2).flat_map(|v| [0.0, 0.0, 5.0, -7.0, v[0], v[1]]).collect();
    let (out, lse) = attention::forward(&qkv, &starts, &heads);
    let mean = |tokens: std::ops::Range<usize>, i: usize| {
        tokens.clone().map(|t| values[2 * t + i]).sum::<f64>() / tokens.len() as f64
    };
    let expected: Vec<f64> =
        [0..1, 0..2, 0..3, 3..4, 3..5].into_iter().flat_map(|t| [mean(t.clone(), 0), mean(t, 1)]).collect();
    assert_close("out", &out, &expected, 1e-14);
    assert_close("lse", &lse, &[1.0, 2.0, 3.0, 1.0, 2.0f64].map(f64::ln), 1e-14);
}

#[test]
fn attention_scores_are_scaled_by_the_root_of_the_head_dim() {
    let heads = Heads { heads: 1, kv_heads: 1, head_dim: 4 };
    let row = |q: f64, k: f64, v: f64| [q, 0.0, 0.0, 0.0, k, 0.0, 0.0, 0.0, v, 0.0, 0.0, 0.0];
    let qkv = [row(0.0, 0.0, 0.0), row(2.0, 3.0, 1.0)].concat();
    let (out, lse) = attention::forward(&qkv, &[0, 0], &heads);
    let odds = (2.0f64 * 3.0 / 2.0).exp();
    assert_close("out", &[out[4]], &[odds / (1.0 + odds)], 1e-14);
    assert_close("lse", &[lse[1]], &[(1.0 + odds).ln()], 1e-14);
}

/// Consecutive query heads share a kv head, as Hugging Face's `repeat_kv` lays them out.
#[test]
fn grouped_heads_equal_repeated_kv_heads() {
    let grouped = Heads { heads: 6, kv_heads: 2, head_dim: 2 };
    let full = Heads { heads: 6, kv_heads: 6, head_dim: 2 };
    let starts = seq_start(&[4, 2]);
    let qkv = random(1, starts.len() * grouped.qkv_width());
    let mut repeated = Vec::new();
    for row in qkv.chunks_exact(grouped.qkv_width()) {
        let (q, kv) = row.split_at(12);
        repeated.extend_from_slice(q);
        for head in kv.chunks_exact(2) {
            repeated.extend(head.repeat(3));
        }
    }
    let grouped = attention::forward(&qkv, &starts, &grouped);
    let full = attention::forward(&repeated, &starts, &full);
    assert_close("out", &grouped.0, &full.0, 1e-14);
    assert_close("lse", &grouped.1, &full.1, 1e-14);
}

#[test]
fn mlp_gradient() {
    for (tokens, ffn) in [(1, 1), (3, 5)] {
        let gate_up: Vec<f64> = random(1, tokens * 2 * ffn).iter().map(|x| 4.0 * x).collect();
        let dact = random(2, tokens * ffn);
        let loss = |gate_up: &[f64]| dot(&dact, &mlp::forward(gate_up, ffn));
        assert_gradient("dgate_up", loss, &gate_up, &mlp::backward(&gate_up, &dact, ffn));
    }
}

#[test]
fn mlp_gates_the_second_half_by_the_first() {
    let act = mlp::forward(&[0.0, 3.0f64.ln(), 2.0, 4.0], 2);
    assert_close("act", &act, &[0.0, 3.0 * 3.0f64.ln()], 1e-14);
}

#[test]
fn head_gradient() {
    for (rows, vocab, kappa) in [(1, 1, 1.0), (1, 6, 1.0), (4, 5, 0.3), (3, 4, 2.5)] {
        let logits: Vec<f64> = random(1, rows * vocab).iter().map(|x| 3.0 * x).collect();
        let targets: Vec<u32> = (0..rows as u32).map(|r| (3 * r + 1) % vocab as u32).collect();
        let (a, b) = (random(2, rows), random(3, rows));
        let loss = |logits: &[f64]| {
            let stats = head::forward(logits, &targets, kappa);
            (dot(&a, &stats.chosen) - dot(&b, &stats.lse)) / kappa
        };
        let dlogits = head::backward(&logits, &targets, kappa, &a, &b);
        assert_gradient(&format!("{rows} {vocab} {kappa}"), loss, &logits, &dlogits);
    }
}

#[test]
fn head_statistics() {
    let third = 1.0f64 / 3.0;
    let logits = [5.0, 5.0, 5.0, 0.0, 2.0f64.ln(), -1e6, 1e4, -1e4, -1e4];
    let stats = head::forward(&logits, &[2, 1, 0], 1.0);
    assert_close("lse", &stats.lse, &[5.0 + 3.0f64.ln(), 3.0f64.ln(), 1e4], 1e-14);
    assert_close("chosen", &stats.chosen, &[5.0, 2.0f64.ln(), 1e4], 0.0);
    let two_thirds = -third * third.ln() - 2.0 * third * (2.0 * third).ln();
    assert_close("entropy", &stats.entropy, &[3.0f64.ln(), two_thirds, 0.0], 1e-12);

    let scaled = head::forward(&[1.0, 2.0, 3.0], &[1], 2.0);
    let direct = head::forward(&[2.0, 4.0, 6.0], &[1], 1.0);
    assert_eq!(scaled, direct);
}
