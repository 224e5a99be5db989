use tbrm_core::gpu::Gpu;
use tbrm_core::gpu::kernels::norm;
use tbrm_core::gpu::kernels::value::{ValueBwdW, ValueBwdX, ValueFwd, ValueParams};
use tbrm_core::ops::{Variants, Widths};
use tbrm_core::reference::value;
use tbrm_testing::gpu_test;

use crate::harness::{Bench, Within, able, gpu, random, wide};

/// With the variant that goes with the norm's.
pub(crate) fn check(gpu: &Gpu, norm: norm::Variant, rows: usize, cols: usize) {
    let what = |pass: &str| format!("value as norm {} {rows}x{cols} {pass}", norm.name());
    let norm = Widths { scalar: norm, vec4: norm };
    let p = ValueParams { rows: rows as u32, cols: cols as u32 };
    let (hidden, w, bias, dvalue) = (random(1, rows * cols), random(2, cols), random(3, 1), random(4, rows));
    let (dhidden0, dw0, dbias0) = (random(5, rows * cols), random(6, cols), random(7, 1));

    let mut bench = Bench::new(gpu, Variants { norm, ..Variants::table(gpu.caps(), 64) });
    let (hidden_gpu, w_gpu, bias_gpu) = (bench.filled(&hidden), bench.filled(&w), bench.filled(&bias));
    let (value_gpu, dvalue_gpu) = (bench.poisoned(rows), bench.filled(&dvalue));
    let (dhidden_gpu, dw_gpu, dbias_gpu) =
        (bench.filled(&dhidden0), bench.filled(&dw0), bench.filled(&dbias0));
    bench.run(ValueFwd { p, hidden: &hidden_gpu, w: &w_gpu, bias: &bias_gpu, value: &value_gpu });
    bench.run(ValueBwdX { p, w: &w_gpu, dvalue: &dvalue_gpu, dhidden: &dhidden_gpu });
    bench.run(ValueBwdW { p, hidden: &hidden_gpu, dvalue: &dvalue_gpu, dw: &dw_gpu, dbias: &dbias_gpu });
    bench.go();

    let (hidden, w, dvalue) = (wide(&hidden), wide(&w), wide(&dvalue));
    let values = value::forward(&hidden, &w, bias[0].into());
    bench.check(&what("value"), &value_gpu, &values, Within::sum(cols + 1));
    let mut dhidden = wide(&dhidden0);
    value::backward_x(&w, &dvalue, &mut dhidden);
    bench.check(&what("dhidden"), &dhidden_gpu, &dhidden, Within::ulps(2.0, 1.0));
    let (mut dw, mut dbias) = (wide(&dw0), f64::from(dbias0[0]));
    value::backward_w(&hidden, &dvalue, &mut dw, &mut dbias);
    bench.check(&what("dw"), &dw_gpu, &dw, Within::sum(rows + 1));
    bench.check(&what("dbias"), &dbias_gpu, &[dbias], Within::sum(rows + 1));
}

gpu_test!(value_is_its_twin);
fn value_is_its_twin() {
    for norm in able::<norm::NormFwd<'_>>(gpu(), norm::Variant::ALL) {
        for (rows, cols) in [(1, 1), (1, 7), (1, 64), (2, 8), (8, 63), (13, 97), (67, 131), (130, 256)] {
            check(gpu(), norm, rows, cols);
        }
    }
}
