use tbrm_core::gpu::Gpu;
use tbrm_core::gpu::kernels::embed::{EmbedBwdW, EmbedFwd, EmbedParams};
use tbrm_core::ops::Variants;
use tbrm_core::reference::embed;
use tbrm_testing::gpu_test;

use crate::harness::{Bench, Within, bits, gpu, narrow, random, wide};

/// The distinct tokens, where each one's positions start in the order, and the positions in the order of their tokens;
/// padded to T and T + 1.
fn sorted(tokens: &[u32]) -> (Vec<u32>, Vec<u32>, Vec<u32>) {
    let mut order: Vec<u32> = (0..tokens.len() as u32).collect();
    order.sort_by_key(|&t| (tokens[t as usize], t));
    let (mut uniq, mut start) = (Vec::new(), Vec::new());
    for (at, &t) in order.iter().enumerate() {
        if uniq.last() != Some(&tokens[t as usize]) {
            uniq.push(tokens[t as usize]);
            start.push(at as u32);
        }
    }
    uniq.resize(tokens.len(), u32::MAX);
    start.resize(tokens.len() + 1, tokens.len() as u32);
    (uniq, start, order)
}

/// A table of `vocab` rows in parts of `most` rows.
pub(crate) fn check(gpu: &Gpu, tokens: &[u32], vocab: usize, cols: usize, most: usize) {
    let what = |pass: &str| format!("embed T={} {vocab}x{cols} by {most} {pass}", tokens.len());
    let (w, dout, before) =
        (random(1, vocab * cols), random(2, tokens.len() * cols), random(3, vocab * cols));
    let (uniq, uniq_start, order) = sorted(tokens);
    let mut bench = Bench::new(gpu, Variants::table(gpu.caps(), 64));
    let (tokens_gpu, dout_gpu) = (bench.indices(tokens), bench.filled(&dout));
    let (uniq, uniq_start, order) = (bench.indices(&uniq), bench.indices(&uniq_start), bench.indices(&order));
    let out = bench.poisoned(tokens.len() * cols);
    let mut dws = Vec::new();
    for (at, (w, before)) in w.chunks(most * cols).zip(before.chunks(most * cols)).enumerate() {
        let p = EmbedParams {
            positions: tokens.len() as u32,
            cols: cols as u32,
            row0: (at * most) as u32,
            rows: (w.len() / cols) as u32,
        };
        let (w, dw) = (bench.filled(w), bench.filled(before));
        bench.run(EmbedFwd { p, tokens: &tokens_gpu, w: &w, out: &out });
        bench.run(EmbedBwdW {
            p,
            uniq: &uniq,
            uniq_start: &uniq_start,
            order: &order,
            dout: &dout_gpu,
            dw: &dw,
        });
        dws.push(dw);
    }
    bench.go();

    let expected = narrow(&embed::forward(tokens, &wide(&w), cols));
    assert_eq!(out.words(gpu), bits(&expected), "{}: a copy", what("fwd"));
    let mut expected = wide(&before);
    embed::backward(tokens, &wide(&dout), cols, &mut expected);
    for (dw, expected) in dws.iter().zip(expected.chunks(most * cols)) {
        bench.check(&what("dw"), dw, expected, Within::sum(tokens.len()));
    }
}

gpu_test!(embed_is_its_twin);
fn embed_is_its_twin() {
    check(gpu(), &[0], 1, 1, 1);
    check(gpu(), &[2], 3, 64, 3);
    check(gpu(), &[4, 0, 4, 4, 1, 0, 9], 10, 5, 10);
    let tokens: Vec<u32> = (0..131).map(|t| t * t % 97).collect();
    check(gpu(), &tokens, 97, 33, 97);
    check(gpu(), &tokens, 97, 33, 40);
}
