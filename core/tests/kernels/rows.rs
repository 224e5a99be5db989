use tbrm_core::gpu::Gpu;
use tbrm_core::gpu::kernels::rows::{RowsBwd, RowsFwd, RowsParams};
use tbrm_core::ops::Variants;
use tbrm_core::reference::embed;
use tbrm_testing::gpu_test;

use crate::harness::{Bench, POISON, bits, gpu, narrow, random, wide};

/// Picks `rows` of `tokens`.
pub(crate) fn check(gpu: &Gpu, tokens: usize, cols: usize, rows: &[u32]) {
    let (x, dout) = (random(1, tokens * cols), random(2, rows.len() * cols));
    let p = RowsParams { rows: rows.len() as u32, cols: cols as u32 };
    let mut bench = Bench::new(gpu, Variants::table(gpu.caps(), 64));
    let (index, x_gpu, dout_gpu) = (bench.indices(rows), bench.filled(&x), bench.filled(&dout));
    let (out, dx) = (bench.poisoned(rows.len() * cols), bench.poisoned(tokens * cols));
    bench.run(RowsFwd { p, rows: &index, x: &x_gpu, out: &out });
    bench.run(RowsBwd { p, rows: &index, dout: &dout_gpu, dx: &dx });
    bench.go();

    // Copies: not a bit may differ from the gather that the twin is.
    let expected = narrow(&embed::forward(rows, &wide(&x), cols));
    assert_eq!(out.words(gpu), bits(&expected), "rows fwd {tokens}x{cols}");
    let mut expected = vec![POISON; tokens * cols];
    for (row, dout) in rows.iter().zip(dout.chunks(cols)) {
        expected[*row as usize * cols..][..cols].copy_from_slice(&bits(dout));
    }
    assert_eq!(dx.words(gpu), expected, "rows bwd {tokens}x{cols}: picked rows, and no others");
}

gpu_test!(rows_is_its_twin);
fn rows_is_its_twin() {
    check(gpu(), 1, 1, &[0]);
    check(gpu(), 3, 64, &[1]);
    check(gpu(), 9, 7, &[8, 2, 3]);
    check(gpu(), 67, 33, &(0..67).rev().collect::<Vec<_>>());
}
