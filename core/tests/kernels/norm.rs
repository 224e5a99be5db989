use tbrm_core::gpu::Gpu;
use tbrm_core::gpu::kernels::norm::{NormBwdW, NormBwdX, NormFwd, NormParams, Variant};
use tbrm_core::ops::{Variants, Widths};
use tbrm_core::reference::norm;
use tbrm_testing::gpu_test;

use crate::harness::{Bench, EPS, Within, able, gpu, narrow, random, wide};

/// The device's own table, but RMSNorm's `variant`.
pub(crate) fn variants(gpu: &Gpu, variant: Variant) -> Variants {
    let norm = Widths { scalar: variant, vec4: variant };
    Variants { norm, ..Variants::table(gpu.caps(), 64) }
}

/// Whether `variant` takes rows of this length.
fn takes(variant: Variant, cols: usize) -> bool {
    variant != Variant::LaneVec4 || cols.is_multiple_of(4)
}

pub(crate) fn check(gpu: &Gpu, variant: Variant, rows: usize, cols: usize) {
    let what = |pass: &str| format!("norm {} {rows}x{cols} {pass}", variant.name());
    let p = NormParams { rows: rows as u32, cols: cols as u32, eps: 1e-5 };
    let mut x = random(1, rows * cols);
    // A row of zeros lives on eps alone; a small one must not lose its digits to it.
    x[..cols].fill(0.0);
    x[(rows - 1) * cols..].iter_mut().for_each(|x| *x *= 1e-3);
    let (w, dout, dx0, dw0) =
        (random(2, cols), random(3, rows * cols), random(4, rows * cols), random(5, cols));
    let eps = f64::from(p.eps);
    let (out, rstd) = norm::forward(&wide(&x), &wide(&w), eps);
    let scale = narrow(&rstd);

    let mut bench = Bench::new(gpu, variants(gpu, variant));
    let (x_gpu, w_gpu, dout_gpu) = (bench.filled(&x), bench.filled(&w), bench.filled(&dout));
    let (out_gpu, rstd_gpu) = (bench.poisoned(rows * cols), bench.poisoned(rows));
    let (dx_gpu, dw_gpu, scale_gpu) = (bench.filled(&dx0), bench.filled(&dw0), bench.filled(&scale));
    bench.run(NormFwd { p, x: &x_gpu, w: &w_gpu, out: &out_gpu, rstd: &rstd_gpu });
    bench.run(NormBwdX { p, x: &x_gpu, w: &w_gpu, dout: &dout_gpu, scale: &scale_gpu, dx: &dx_gpu });
    bench.run(NormBwdW { p, x: &x_gpu, dout: &dout_gpu, scale: &scale_gpu, dw: &dw_gpu });
    bench.go();

    // The mean of squares has no cancellation: its relative error is a few roundings, and rstd's half of it.
    let row = Within::ulps(8.0, 0.0);
    bench.check(&what("rstd"), &rstd_gpu, &rstd, row);
    bench.check(&what("out"), &out_gpu, &out, Within { abs: EPS * 1e-3, ..row });

    let mut dx = norm::backward_x(&wide(&x), &wide(&w), &wide(&scale), &wide(&dout));
    // Each row's gradient is as large as its rstd, about 300 where the row lives on eps.
    let largest = rstd.iter().fold(0.0, |a: f64, b| a.max(*b));
    dx.iter_mut().zip(&dx0).for_each(|(dx, before)| *dx += f64::from(*before));
    bench.check(&what("dx"), &dx_gpu, &dx, Within::ulps(4.0, largest));

    let mut dw = wide(&dw0);
    norm::backward_w(&wide(&x), &wide(&scale), &wide(&dout), &mut dw);
    // dout * x * rstd is at most about 2: a normalised row's entries are of the order of 1.
    bench.check(&what("dw"), &dw_gpu, &dw, Within::sum(2 * rows));
}

gpu_test!(norm_is_its_twin);
fn norm_is_its_twin() {
    for variant in able::<NormFwd<'_>>(gpu(), Variant::ALL) {
        for (rows, cols) in
            [(1, 1), (1, 4), (1, 64), (2, 3), (8, 64), (13, 97), (13, 100), (67, 131), (130, 256)]
        {
            if takes(variant, cols) {
                check(gpu(), variant, rows, cols);
            }
        }
    }
}
