//! What no twin can say: a row's bits are the same alone and among others, and the same from run to run.

use tbrm_core::gpu::kernels::attention::{
    self as attention_k, AttentionBwdDelta, AttentionBwdKv, AttentionBwdQ, AttentionFwd,
};
use tbrm_core::gpu::kernels::head::{self as head_k, HeadBwd, HeadParams, HeadStats};
use tbrm_core::gpu::kernels::matmul::{self as matmul_k, MatmulNt};
use tbrm_core::gpu::kernels::norm::{self as norm_k, NormBwdW, NormBwdX, NormFwd, NormParams};
use tbrm_core::gpu::pages::{Matrix, Rows};
use tbrm_core::ops::matmul::Addends;
use tbrm_core::reference::Heads;
use tbrm_testing::gpu_test;

use crate::cache::Cache;
use crate::harness::{Array, Bench, able, bits, gpu, pack, random};
use crate::{attention, cache, head, matmul, norm};

const HEADS: Heads = Heads { heads: 4, kv_heads: 2, head_dim: 16 };

/// `alone` with `before` rows of other numbers in front of it and `behind` rows after it.
fn among(alone: &[f32], width: usize, before: usize, behind: usize) -> Vec<f32> {
    let mut all = random(90, before * width);
    all.extend_from_slice(alone);
    all.extend(random(91, behind * width));
    all
}

fn whole(array: &Array, rows: usize, cols: usize) -> Matrix {
    Matrix { rows, cols, parts: vec![Rows { row0: 0, rows, view: (**array).clone() }] }
}

gpu_test!(a_row_of_a_product_does_not_know_its_neighbours);
fn a_row_of_a_product_does_not_know_its_neighbours() {
    let (n, k) = (132, 68);
    let (all, w, bias) = (random(1, 3 * k), random(2, n * k), random(3, n));
    for variant in able::<MatmulNt<'_>>(gpu(), matmul_k::Variant::ALL) {
        let run = |x: &[f32]| {
            let m = x.len() / k;
            let mut bench = Bench::new(gpu(), matmul::variants(gpu(), variant));
            let (x, w, bias) = (bench.filled(x), bench.filled(&w), bench.filled(&bias));
            let (out, biased) = (bench.poisoned(m * n), bench.poisoned(m * n));
            let w = whole(&w, n, k);
            bench.ops().linear_fwd(m, &x, &w, Addends::default(), &out);
            bench.ops().linear_fwd(m, &x, &w, Addends { bias: Some(&bias), residual: None }, &biased);
            bench.go();
            (bits(&out.read(gpu())), bits(&biased.read(gpu())))
        };
        for (rows, before, behind) in [(3, 0, 1), (3, 17, 0), (1, 0, 1), (1, 6, 0), (3, 61, 77), (1, 61, 77)]
        {
            let x = &all[..rows * k];
            let (alone, together) = (run(x), run(&among(x, k, before, behind)));
            let mine = before * n..(before + rows) * n;
            assert!(together.0[mine.clone()] == alone.0, "{} {before} {behind}", variant.name());
            assert!(together.1[mine] == alone.1, "{} with a bias {before} {behind}", variant.name());
        }
    }
}

gpu_test!(a_normalised_row_does_not_know_its_neighbours);
fn a_normalised_row_does_not_know_its_neighbours() {
    let cols = 132;
    let (x, w) = (random(1, 2 * cols), random(2, cols));
    for variant in able::<NormFwd<'_>>(gpu(), norm_k::Variant::ALL) {
        let run = |x: &[f32]| {
            let rows = x.len() / cols;
            let mut bench = Bench::new(gpu(), norm::variants(gpu(), variant));
            let (x, w, out, rstd) =
                (bench.filled(x), bench.filled(&w), bench.poisoned(x.len()), bench.poisoned(rows));
            let p = NormParams { rows: rows as u32, cols: cols as u32, eps: 1e-6 };
            bench.run(NormFwd { p, x: &x, w: &w, out: &out, rstd: &rstd });
            bench.go();
            out.words(gpu())
        };
        let alone = run(&x);
        for (before, behind) in [(0, 1), (7, 0), (13, 29)] {
            let together = run(&among(&x, cols, before, behind));
            assert!(together[before * cols..(before + 2) * cols] == alone, "{} {before}", variant.name());
        }
    }
}

gpu_test!(a_sequence_does_not_know_what_it_is_packed_with);
fn a_sequence_does_not_know_what_it_is_packed_with() {
    let width = HEADS.qkv_width();
    let mine = 37;
    let qkv = random(1, mine * width);
    for variant in attention::able(gpu()) {
        let run = |qkv: &[f32], lengths: &[u32]| {
            let (seq_start, _, _) = pack(lengths);
            let tokens = seq_start.len();
            let mut bench = Bench::new(gpu(), attention::variants(gpu(), variant));
            let (qkv, start) = (bench.filled(qkv), bench.indices(&seq_start));
            let (out, lse) =
                (bench.poisoned(tokens * HEADS.out_width()), bench.poisoned(tokens * HEADS.heads));
            let p = attention::params(tokens, &HEADS);
            bench.run(AttentionFwd { p, qkv: &qkv, seq_start: &start, out: &out, lse: &lse });
            bench.go();
            (out.words(gpu()), lse.words(gpu()))
        };
        let alone = run(&qkv, &[mine as u32]);
        for (before, behind) in [(0, 3), (1, 0), (29, 50)] {
            let lengths: Vec<u32> =
                [before as u32, mine as u32, behind as u32].into_iter().filter(|l| *l > 0).collect();
            let (out, lse) = run(&among(&qkv, width, before, behind), &lengths);
            let rows = |width: usize| before * width..(before + mine) * width;
            assert!(out[rows(HEADS.out_width())] == alone.0, "{} out {before}", variant.name());
            assert!(lse[rows(HEADS.heads)] == alone.1, "{} lse {before}", variant.name());
        }
        // What follows in the same sequence is no neighbour either: attention is causal.
        let (out, _) = run(&among(&qkv, width, 0, 21), &[mine as u32 + 21]);
        assert!(out[..mine * HEADS.out_width()] == alone.0, "{} looks ahead", variant.name());
    }
}

gpu_test!(statistics_of_a_row_do_not_know_its_tile);
fn statistics_of_a_row_do_not_know_its_tile() {
    let vocab = 304;
    let logits = random(1, 2 * vocab);
    for variant in able::<HeadStats<'_>>(gpu(), head_k::Variant::ALL) {
        let run = |logits: &[f32]| {
            let rows = logits.len() / vocab;
            let mut bench = Bench::new(gpu(), head::variants(gpu(), variant));
            let (targets, logits) = (bench.indices(&vec![5; rows]), bench.filled(logits));
            let (lse, chosen, entropy) = (bench.poisoned(rows), bench.poisoned(rows), bench.poisoned(rows));
            bench.run(HeadStats {
                p: HeadParams {
                    rows: rows as u32,
                    vocabulary: vocab as u32,
                    stride: vocab as u32,
                    row0: 0,
                    kappa: 1.0,
                },
                targets: &targets,
                logits: &logits,
                lse: &lse,
                chosen: &chosen,
                entropy: &entropy,
            });
            bench.go();
            [lse, chosen, entropy].map(|array| array.words(gpu()))
        };
        let alone = run(&logits);
        for (before, behind) in [(0, 1), (7, 0), (13, 29)] {
            let together = run(&among(&logits, vocab, before, behind));
            for (together, alone) in together.iter().zip(&alone) {
                assert!(together[before..before + 2] == *alone, "{} {before}", variant.name());
            }
        }
    }
}

gpu_test!(a_decoded_token_does_not_know_its_batch);
fn a_decoded_token_does_not_know_its_batch() {
    let width = HEADS.qkv_width();
    let sequence = random(1, 9 * width);
    let others = random(2, 21 * width);
    let row = |of: &'static str, slot: u32, t: usize| {
        let data = if of == "mine" { &sequence } else { &others };
        (slot, t as u32, &data[t * width..][..width])
    };
    for variant in cache::fitting(gpu(), HEADS) {
        let mut bench = Bench::new(gpu(), cache::variants(gpu(), variant));
        let alone = {
            let cache = Cache::new(&bench, HEADS, 1, 9);
            let prompt: Vec<_> = (0..8).map(|t| row("mine", 0, t)).collect();
            cache.enter(&mut bench, &prompt);
            cache.decode(&mut bench, &[row("mine", 0, 8)])
        };
        let cache = Cache::new(&bench, HEADS, 3, 32);
        let mut prompt: Vec<_> = (0..20).map(|t| row("others", 0, t)).collect();
        prompt.extend((0..8).map(|t| row("mine", 2, t)));
        cache.enter(&mut bench, &prompt);
        let batch = [row("others", 0, 20), row("others", 1, 0), row("mine", 2, 8)];
        let together = cache.decode(&mut bench, &batch);
        assert_eq!(bits(&together[2 * HEADS.out_width()..]), bits(&alone), "{}", variant.name());
    }
}

gpu_test!(two_runs_give_the_same_bits);
fn two_runs_give_the_same_bits() {
    let (m, n, k) = (67, 132, 68);
    for variant in able::<MatmulNt<'_>>(gpu(), matmul_k::Variant::ALL) {
        let run = || {
            let mut bench = Bench::new(gpu(), matmul::variants(gpu(), variant));
            let (x, w, dout) = (
                bench.filled(&random(1, m * k)),
                bench.filled(&random(2, n * k)),
                bench.filled(&random(3, m * n)),
            );
            let (out, dx) = (bench.poisoned(m * n), bench.poisoned(m * k));
            let (dw, dbias) = (bench.filled(&random(4, n * k)), bench.filled(&random(5, n)));
            let (w, grad) = (whole(&w, n, k), whole(&dw, n, k));
            bench.ops().linear_fwd(m, &x, &w, Addends::default(), &out);
            bench.ops().linear_bwd_x(m, &dout, &w, &dx);
            bench.ops().linear_bwd_w(m, &dout, &x, &grad, Some(&dbias));
            bench.go();
            [out, dx, dw, dbias].map(|array| array.words(gpu()))
        };
        assert!(run() == run(), "matmul {}", variant.name());
    }
    for variant in able::<NormFwd<'_>>(gpu(), norm_k::Variant::ALL) {
        let run = || {
            let p = NormParams { rows: m as u32, cols: k as u32, eps: 1e-6 };
            let mut bench = Bench::new(gpu(), norm::variants(gpu(), variant));
            let (x, dout) = (bench.filled(&random(1, m * k)), bench.filled(&random(2, m * k)));
            let (w, scale) = (bench.filled(&random(3, k)), bench.filled(&random(4, m)));
            let (dx, dw) = (bench.filled(&random(5, m * k)), bench.filled(&random(6, k)));
            bench.run(NormBwdX { p, x: &x, w: &w, dout: &dout, scale: &scale, dx: &dx });
            bench.run(NormBwdW { p, x: &x, dout: &dout, scale: &scale, dw: &dw });
            bench.go();
            [dx, dw].map(|array| array.words(gpu()))
        };
        assert!(run() == run(), "norm {}", variant.name());
    }
    for variant in attention::able(gpu()) {
        let run = || attention_bits(variant);
        assert!(run() == run(), "attention {}", variant.name());
    }
    for variant in able::<HeadStats<'_>>(gpu(), head_k::Variant::ALL) {
        let run = || {
            let mut bench = Bench::new(gpu(), head::variants(gpu(), variant));
            let targets = bench.indices(&vec![3; m]);
            let [row_lse, a, b] = [1, 2, 3].map(|stream| bench.filled(&random(stream, m)));
            let dlogits = bench.filled(&random(4, m * n));
            let p =
                HeadParams { rows: m as u32, vocabulary: n as u32, stride: n as u32, row0: 0, kappa: 1.0 };
            bench.run(HeadBwd { p, targets: &targets, lse: &row_lse, a: &a, b: &b, logits: &dlogits });
            bench.go();
            dlogits.words(gpu())
        };
        assert!(run() == run(), "head {}", variant.name());
    }
}

/// Forward's and backward's outputs of two packed sequences.
fn attention_bits(variant: attention_k::Variant) -> [Vec<u32>; 3] {
    let (seq_start, seq_end, _) = pack(&[40, 27]);
    let tokens = seq_start.len();
    let p = attention::params(tokens, &HEADS);
    let mut bench = Bench::new(gpu(), attention::variants(gpu(), variant));
    let qkv = bench.filled(&random(1, tokens * HEADS.qkv_width()));
    let dout = bench.filled(&random(2, tokens * HEADS.out_width()));
    let (start, end) = (bench.indices(&seq_start), bench.indices(&seq_end));
    let (out, dqkv) =
        (bench.poisoned(tokens * HEADS.out_width()), bench.poisoned(tokens * HEADS.qkv_width()));
    let (lse, delta) = (bench.poisoned(tokens * HEADS.heads), bench.poisoned(tokens * HEADS.heads));
    bench.run(AttentionFwd { p, qkv: &qkv, seq_start: &start, out: &out, lse: &lse });
    bench.run(AttentionBwdDelta { p, out: &out, dout: &dout, delta: &delta });
    bench.run(AttentionBwdQ {
        p,
        qkv: &qkv,
        seq_start: &start,
        dout: &dout,
        lse: &lse,
        delta: &delta,
        dqkv: &dqkv,
    });
    bench.run(AttentionBwdKv {
        p,
        qkv: &qkv,
        dout: &dout,
        seq_end: &end,
        lse: &lse,
        delta: &delta,
        dqkv: &dqkv,
    });
    bench.go();
    [out, lse, dqkv].map(|array| array.words(gpu()))
}
