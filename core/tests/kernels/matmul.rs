use tbrm_core::gpu::Gpu;
use tbrm_core::gpu::kernels::matmul::{MatmulNn, MatmulNt, MatmulParams, MatmulTn, Variant};
use tbrm_core::gpu::pages::{Matrix, Rows};
use tbrm_core::ops::Variants;
use tbrm_core::ops::matmul::{Addends, MatmulVariants};
use tbrm_core::reference::matmul;
use tbrm_testing::gpu_test;

use crate::harness::{Array, Bench, POISON, Within, able, bits, close, gpu, random, wide};

/// The device's own table, but `variant` for every product.
pub(crate) fn variants(gpu: &Gpu, variant: Variant) -> Variants {
    // Fewer tokens at once than some cases have, so that a weight's gradient is summed in several dispatches.
    let matmul = MatmulVariants { scalar: variant, vec4: variant, tokens_at_once: 48 };
    Variants { matmul, ..Variants::table(gpu.caps(), 64) }
}

/// Whether `variant` takes rows of these lengths.
fn takes(variant: Variant, sizes: &[usize]) -> bool {
    !variant.name().ends_with("vec4") || sizes.iter().all(|size| size.is_multiple_of(4))
}

/// `data (rows, cols)` as a matrix in parts of `most` rows, each an array of its own.
fn split(bench: &Bench<'_>, data: &[f32], cols: usize, most: usize) -> (Matrix, Vec<Array>) {
    let arrays: Vec<Array> = data.chunks(most * cols).map(|part| bench.filled(part)).collect();
    let rows = data.len() / cols;
    let part = |(at, array): (usize, &Array)| {
        let row0 = at * most;
        Rows { row0, rows: most.min(rows - row0), view: (**array).clone() }
    };
    (Matrix { rows, cols, parts: arrays.iter().enumerate().map(part).collect() }, arrays)
}

/// One linear layer, forward with every addend and backward, over a weight in parts of `most` rows.
pub(crate) fn check(gpu: &Gpu, variant: Variant, m: usize, n: usize, k: usize, most: usize) {
    let what = |pass: &str| format!("matmul {} M={m} N={n} K={k} by {most} {pass}", variant.name());
    let (x, w, dout) = (random(1, m * k), random(2, n * k), random(3, m * n));
    let (bias, residual) = (random(4, n), random(5, m * n));
    let (dw0, dbias0) = (random(6, n * k), random(7, n));

    let mut bench = Bench::new(gpu, variants(gpu, variant));
    let (x_gpu, dout_gpu, dx) = (bench.filled(&x), bench.filled(&dout), bench.poisoned(m * k));
    let (bias_gpu, residual_gpu) = (bench.filled(&bias), bench.filled(&residual));
    let (w_gpu, _) = split(&bench, &w, k, most);
    let (dw_gpu, dws) = split(&bench, &dw0, k, most);
    let dbias_gpu = bench.filled(&dbias0);
    let adds = [(false, false), (true, false), (false, true), (true, true)];
    let outs = adds.map(|_| bench.poisoned(m * n));
    for ((biased, residual), out) in adds.into_iter().zip(&outs) {
        let add =
            Addends { bias: biased.then_some(&*bias_gpu), residual: residual.then_some(&*residual_gpu) };
        bench.ops().linear_fwd(m, &x_gpu, &w_gpu, add, out);
    }
    bench.ops().linear_bwd_x(m, &dout_gpu, &w_gpu, &dx);
    bench.ops().linear_bwd_w(m, &dout_gpu, &x_gpu, &dw_gpu, Some(&dbias_gpu));
    bench.go();

    let (x, w, dout) = (wide(&x), wide(&w), wide(&dout));
    let (bias, residual) = (wide(&bias), wide(&residual));
    for ((biased, added), out) in adds.into_iter().zip(&outs) {
        let (bias, residual) = (biased.then_some(bias.as_slice()), added.then_some(residual.as_slice()));
        let expected = matmul::forward(&x, &w, bias, residual, k);
        let pass = format!("fwd, bias {biased}, residual {added}");
        bench.check(&what(&pass), out, &expected, Within::sum(k));
    }
    bench.check(&what("dx"), &dx, &matmul::backward_x(&dout, &w, k), Within::sum(n));
    let mut dw = wide(&dw0);
    matmul::backward_w(&dout, &x, k, &mut dw);
    for (part, expected) in dws.iter().zip(dw.chunks(most * k)) {
        bench.check(&what("dw"), part, expected, Within::sum(m));
    }
    let mut dbias = wide(&dbias0);
    matmul::backward_bias(&dout, &mut dbias);
    bench.check(&what("dbias"), &dbias_gpu, &dbias, Within::sum(m));
}

gpu_test!(linear_layers_are_their_twins);
fn linear_layers_are_their_twins() {
    let sizes = [
        (1, 1, 1),
        (1, 4, 4),
        (3, 5, 7),
        (16, 128, 32),
        (33, 68, 20),
        (17, 131, 31),
        (130, 132, 68),
        (67, 67, 67),
    ];
    for variant in able::<MatmulNt<'_>>(gpu(), Variant::ALL) {
        for (m, n, k) in sizes {
            if takes(variant, &[n, k]) {
                check(gpu(), variant, m, n, k, n);
            }
        }
    }
}

gpu_test!(split_weights_are_one_matrix);
fn split_weights_are_one_matrix() {
    for variant in able::<MatmulNt<'_>>(gpu(), Variant::ALL) {
        for (m, n, k) in [(5, 140, 8), (37, 300, 12), (3, 131, 7)] {
            if takes(variant, &[n, k]) {
                check(gpu(), variant, m, n, k, 64);
            }
        }
    }
}

/// Operands inside larger stored rows: `(lda, ldo, a0, o0)` in the order of the fields.
fn check_strides(gpu: &Gpu, variant: Variant, form: &str, accumulate: bool, pad: usize) {
    let (m, n, k) = (19, 4 * 11 - pad % 4, 4 * 9 - pad % 4);
    let (a_rows, a_cols) = if form == "tn" { (k, m) } else { (m, k) };
    let (lda, ldo, a0, o0) =
        ((a_cols + 2 * pad).next_multiple_of(pad), (n + pad).next_multiple_of(pad), pad, pad);
    let stored = random(1, a0 + a_rows * lda);
    let w = random(2, n * k);
    let before: Vec<u32> =
        if accumulate { bits(&random(3, o0 + m * ldo)) } else { vec![POISON; o0 + m * ldo] };

    let mut bench = Bench::new(gpu, variants(gpu, variant));
    let (a_gpu, w_gpu, out) = (bench.filled(&stored), bench.filled(&w), bench.counters(&before));
    let p = MatmulParams {
        m: m as u32,
        n: n as u32,
        k: k as u32,
        lda: lda as u32,
        ldo: ldo as u32,
        a0: a0 as u32,
        o0: o0 as u32,
        accumulate: u32::from(accumulate),
        ..MatmulParams::default()
    };
    match form {
        "nt" => bench.run(MatmulNt { p, a: &a_gpu, w: &w_gpu, out: &out }),
        "nn" => bench.run(MatmulNn { p, a: &a_gpu, w: &w_gpu, out: &out }),
        _ => bench.run(MatmulTn { p, a: &a_gpu, w: &w_gpu, out: &out }),
    }
    bench.go();

    let a: Vec<f64> = (0..a_rows).flat_map(|row| wide(&stored[a0 + row * lda..][..a_cols])).collect();
    let mut product = vec![0.0; m * n];
    match form {
        "nt" => product = matmul::forward(&a, &wide(&w), None, None, k),
        "nn" => product = matmul::backward_x(&a, &wide(&w), n),
        _ => matmul::backward_w(&a, &wide(&w), n, &mut product),
    }
    let what = format!("matmul_{form} {} pad {pad} accumulate {accumulate}", variant.name());
    let mut words = out.words(gpu);
    for row in 0..m {
        let at = o0 + row * ldo;
        let expected = &mut product[row * n..][..n];
        if accumulate {
            expected.iter_mut().zip(&before[at..]).for_each(|(e, b)| *e += f64::from(f32::from_bits(*b)));
        }
        let actual: Vec<f32> = words[at..][..n].iter().map(|word| f32::from_bits(*word)).collect();
        close(&what, &actual, expected, Within::sum(k));
        words[at..][..n].copy_from_slice(&before[at..][..n]);
    }
    assert!(words == before, "{what}: wrote beside its rows");
}

gpu_test!(products_keep_to_their_rows_of_a_larger_matrix);
fn products_keep_to_their_rows_of_a_larger_matrix() {
    for variant in able::<MatmulNt<'_>>(gpu(), Variant::ALL) {
        for form in ["nt", "nn", "tn"] {
            for accumulate in [false, true] {
                // Where rows are quads, and where nothing is.
                for pad in [4, 3] {
                    if takes(variant, &[pad]) {
                        check_strides(gpu(), variant, form, accumulate, pad);
                    }
                }
            }
        }
    }
}
