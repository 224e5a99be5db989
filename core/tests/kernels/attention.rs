use tbrm_core::gpu::Gpu;
use tbrm_core::gpu::kernel::Kernel;
use tbrm_core::gpu::kernels::attention::{
    AttentionBwdDelta, AttentionBwdKv, AttentionBwdQ, AttentionFwd, AttentionParams, Variant,
};
use tbrm_core::ops::Variants;
use tbrm_core::reference::{Heads, attention};
use tbrm_testing::gpu_test;

use crate::harness::{self, Bench, EPS, Within, gpu, narrow, pack, random, wide};

/// The device's own table, but attention's `variant`.
pub(crate) fn variants(gpu: &Gpu, variant: Variant) -> Variants {
    Variants { attention: variant, ..Variants::table(gpu.caps(), 64) }
}

/// The variants to test on `gpu`. Software adapters compile the large ones for up to a minute each, so there they wait
/// for `TBRM_TEST_SLOW`; the small ones are made from the same lines.
pub(crate) fn able(gpu: &Gpu) -> Vec<Variant> {
    let slow = gpu.caps().software && std::env::var_os("TBRM_TEST_SLOW").is_none();
    let large = |variant: &Variant| {
        let most = if variant.name().starts_with("tile") { 8 } else { 16 };
        variant.consts().quads > most && *variant != Variant::LaneAny
    };
    let (large, small): (Vec<_>, Vec<_>) =
        harness::able::<AttentionFwd<'_>>(gpu, Variant::ALL).into_iter().partition(|v| slow && large(v));
    for variant in large {
        harness::leave_out(AttentionFwd::desc(variant), "slow to compile here, set TBRM_TEST_SLOW");
    }
    small
}

pub(crate) fn params(tokens: usize, heads: &Heads) -> AttentionParams {
    AttentionParams {
        tokens: tokens as u32,
        heads: heads.heads as u32,
        kv_heads: heads.kv_heads as u32,
        head_size: heads.head_dim as u32,
        scale: 1.0 / (heads.head_dim as f32).sqrt(),
    }
}

/// Forward and backward of packed sequences; queries and keys are multiplied by `sharpness`.
pub(crate) fn check(gpu: &Gpu, variant: Variant, heads: Heads, lengths: &[u32], sharpness: f32) {
    let Heads { heads: h, kv_heads: k, head_dim: d } = heads;
    let what = |pass: &str| {
        format!("attention {} H={h} K={k} D={d} {lengths:?} x{sharpness} {pass}", variant.name())
    };
    let (seq_start, seq_end, _) = pack(lengths);
    let tokens = seq_start.len();
    let mut qkv = random(1, tokens * heads.qkv_width());
    for row in qkv.chunks_mut(heads.qkv_width()) {
        row[..(h + k) * d].iter_mut().for_each(|x| *x *= sharpness);
    }
    let dout = random(2, tokens * heads.out_width());
    let (out, lse) = attention::forward(&wide(&qkv), &seq_start, &heads);
    let delta: Vec<f64> = out
        .chunks(d)
        .zip(dout.chunks(d))
        .map(|(out, dout)| out.iter().zip(dout).map(|(out, dout)| out * f64::from(*dout)).sum())
        .collect();

    let mut bench = Bench::new(gpu, variants(gpu, variant));
    let p = params(tokens, &heads);
    let (qkv_gpu, dout_gpu) = (bench.filled(&qkv), bench.filled(&dout));
    let (start, end) = (bench.indices(&seq_start), bench.indices(&seq_end));
    let (out_gpu, lse_gpu) = (bench.poisoned(out.len()), bench.poisoned(lse.len()));
    let (delta_gpu, dqkv_gpu) = (bench.poisoned(delta.len()), bench.poisoned(qkv.len()));
    bench.run(AttentionFwd { p, qkv: &qkv_gpu, seq_start: &start, out: &out_gpu, lse: &lse_gpu });
    bench.run(AttentionBwdDelta { p, out: &out_gpu, dout: &dout_gpu, delta: &delta_gpu });
    let (row_lse, row_delta) = (bench.filled(&narrow(&lse)), bench.filled(&narrow(&delta)));
    bench.run(AttentionBwdQ {
        p,
        qkv: &qkv_gpu,
        seq_start: &start,
        dout: &dout_gpu,
        lse: &row_lse,
        delta: &row_delta,
        dqkv: &dqkv_gpu,
    });
    bench.run(AttentionBwdKv {
        p,
        qkv: &qkv_gpu,
        dout: &dout_gpu,
        seq_end: &end,
        lse: &row_lse,
        delta: &row_delta,
        dqkv: &dqkv_gpu,
    });
    bench.go();

    // A score is a sum of D products of the sharpness squared, over sqrt(D): the roundings of its sum are about an EPS of
    // one product times sqrt(D). It is an exponent, so that is every probability's relative error; exp adds its own.
    let score = EPS * f64::from(sharpness * sharpness);
    let prob = 8.0 * EPS + 4.0 * score;
    bench.check(&what("out"), &out_gpu, &out, Within { abs: prob, rel: 4.0 * EPS });
    bench.check(&what("lse"), &lse_gpu, &lse, Within { abs: 8.0 * EPS + score, rel: 4.0 * EPS });
    let root = (d as f64).sqrt();
    bench.check(&what("delta"), &delta_gpu, &delta, Within { abs: prob * root, rel: 4.0 * EPS });
    // dq and dk are sums over the sequence of dscore * k / sqrt(D): dscore is a difference of two sums over the head.
    let dqkv = attention::backward(
        &wide(&qkv),
        &wide(&narrow(&out)),
        &wide(&narrow(&lse)),
        &wide(&dout),
        &seq_start,
        &heads,
    );
    let scale = f64::from(sharpness) * (h / k) as f64;
    bench.check(&what("dqkv"), &dqkv_gpu, &dqkv, Within { abs: prob * scale * root, rel: 4.0 * EPS });
}

gpu_test!(attention_is_its_twin);
fn attention_is_its_twin() {
    for variant in able(gpu()) {
        let most = 4 * variant.consts().quads as usize;
        // A head that does not fill the registers, and one that is no multiple of 4 where the variant takes it.
        let part = most / 2 + if variant.name().ends_with("any") { 2 } else { 4 };
        let heads = |heads, kv_heads, head_dim| Heads { heads, kv_heads, head_dim };
        // Multi-head, grouped-query and multi-query.
        for heads in [heads(1, 1, most), heads(4, 2, most), heads(3, 3, part), heads(6, 1, part)] {
            for lengths in [&[1][..], &[5], &[3, 1, 4], &[67], &[1, 40, 1, 31, 64]] {
                check(gpu(), variant, heads, lengths, 1.0);
            }
        }
        // Scores in the hundreds: exp of an unshifted one overflows.
        check(gpu(), variant, heads(2, 1, most), &[9, 33], 12.0);
    }
}
