use tbrm_core::gpu::kernels::rows::{RowsFwd, RowsParams};
use tbrm_core::gpu::kernels::{matmul, mlp};
use tbrm_core::ops::Variants;
use tbrm_testing::gpu_test;

use crate::harness::{Bench, bits, gpu, random};

gpu_test!(an_elementwise_grid_folds);
/// More workgroups than one dimension of a dispatch may have, and not a multiple of a row of the fold.
fn an_elementwise_grid_folds() {
    let (rows, cols) = (70_003usize, 61);
    assert!(rows > gpu().caps().max_groups as usize, "a workgroup has a row: the case folds");
    let picked: Vec<u32> = (0..rows as u32).map(|r| r * 7 % 11).collect();
    let x = random(1, 11 * cols);
    let mut bench = Bench::new(gpu(), Variants::table(gpu().caps(), 64));
    let (index, x_gpu, out) = (bench.indices(&picked), bench.filled(&x), bench.poisoned(rows * cols));
    let p = RowsParams { rows: rows as u32, cols: cols as u32 };
    bench.run(RowsFwd { p, rows: &index, x: &x_gpu, out: &out });
    bench.go();
    let expected: Vec<f32> =
        picked.iter().flat_map(|&row| &x[row as usize * cols..][..cols]).copied().collect();
    assert!(out.words(gpu()) == bits(&expected), "a group is missing, or ran twice with another's index");
}

gpu_test!(mlp_folds);
/// The same values as a small dispatch gives.
fn mlp_folds() {
    let (rows, cols) = (70_003, 61);
    assert!(rows > gpu().caps().max_groups as usize, "a workgroup has a row: the case folds");
    let period = 11;
    let gate_up: Vec<f32> = random(2, period * 2 * cols).into_iter().cycle().take(rows * 2 * cols).collect();
    let mut bench = Bench::new(gpu(), Variants::table(gpu().caps(), 64));
    let (gate_up, act, small) =
        (bench.filled(&gate_up), bench.poisoned(rows * cols), bench.poisoned(period * cols));
    let p = |rows: usize| mlp::MlpParams { rows: rows as u32, cols: cols as u32 };
    bench.run(mlp::MlpFwd { p: p(rows), gate_up: &gate_up, act: &act });
    bench.run(mlp::MlpFwd { p: p(period), gate_up: &gate_up, act: &small });
    bench.go();
    let small = small.words(gpu());
    assert!(small.iter().eq(act.words(gpu())[..period * cols].iter()));
    assert!(act.words(gpu()).chunks(period * cols).all(|part| part == &small[..part.len()]));
}

gpu_test!(matmul_folds);
/// A product whose blocks are more than one dimension holds.
fn matmul_folds() {
    let variant = Variants::table(gpu().caps(), 64).matmul.vec4;
    let consts = variant.consts();
    let m = consts.block_m as usize * (gpu().caps().max_groups as usize + 1) + 1;
    let (n, k, period) = (4, 4, 8);
    let a: Vec<f32> = random(3, period * k).into_iter().cycle().take(m * k).collect();
    let mut bench = Bench::new(gpu(), Variants::table(gpu().caps(), 64));
    let (a, w, out) = (bench.filled(&a), bench.filled(&random(4, n * k)), bench.poisoned(m * n));
    let p = matmul::MatmulParams {
        m: m as u32,
        n: n as u32,
        k: k as u32,
        lda: k as u32,
        ldo: n as u32,
        ..matmul::MatmulParams::default()
    };
    bench.run(matmul::MatmulNt { p, a: &a, w: &w, out: &out });
    bench.go();
    let words = out.words(gpu());
    let first = &words[..period * n];
    assert!(first.iter().all(|word| f32::from_bits(*word).is_finite()));
    assert!(words.chunks(period * n).all(|part| part == &first[..part.len()]));
}
