use tbrm_core::gpu::Gpu;
use tbrm_core::gpu::kernels::mlp::{MlpBwd, MlpFwd, MlpParams, Variant};
use tbrm_core::ops::{Variants, Widths};
use tbrm_core::reference::mlp;
use tbrm_testing::gpu_test;

use crate::harness::{Bench, Within, able, gpu, random, wide};

pub(crate) fn check(gpu: &Gpu, variant: Variant, rows: usize, cols: usize) {
    if variant == Variant::LaneVec4 && !cols.is_multiple_of(4) {
        return;
    }
    let p = MlpParams { rows: rows as u32, cols: cols as u32 };
    let mut gate_up = random(1, rows * 2 * cols);
    gate_up.iter_mut().for_each(|g| *g *= 6.0);
    // Where exp(-gate) overflows, the sigmoid is 0, not NaN.
    gate_up[0] = -100.0;
    gate_up[cols - 1] = if cols > 1 { 100.0 } else { gate_up[0] };
    let dact = random(2, rows * cols);

    let mlp = Widths { scalar: variant, vec4: variant };
    let mut bench = Bench::new(gpu, Variants { mlp, ..Variants::table(gpu.caps(), 64) });
    let (gate_up_gpu, dact_gpu) = (bench.filled(&gate_up), bench.filled(&dact));
    let (act, dgate_up) = (bench.poisoned(rows * cols), bench.poisoned(rows * 2 * cols));
    bench.run(MlpFwd { p, gate_up: &gate_up_gpu, act: &act });
    bench.run(MlpBwd { p, gate_up: &gate_up_gpu, dact: &dact_gpu, dgate_up: &dgate_up });
    bench.go();

    // WGSL gives exp(x) 3 + 2|x| units in the last place: 15 where |gate| is 6; silu's slope cancels near its root.
    let within = Within::ulps(16.0, 1.0);
    let what = |pass: &str| format!("mlp {} {rows}x{cols} {pass}", variant.name());
    bench.check(&what("act"), &act, &mlp::forward(&wide(&gate_up), cols), within);
    let expected = mlp::backward(&wide(&gate_up), &wide(&dact), cols);
    bench.check(&what("dgate_up"), &dgate_up, &expected, within);
}

gpu_test!(mlp_is_its_twin);
fn mlp_is_its_twin() {
    for variant in able::<MlpFwd<'_>>(gpu(), Variant::ALL) {
        for (rows, cols) in [(1, 1), (1, 4), (1, 64), (3, 5), (8, 64), (37, 101), (37, 100)] {
            check(gpu(), variant, rows, cols);
        }
    }
}
