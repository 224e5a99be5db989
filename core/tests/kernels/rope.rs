use tbrm_core::gpu::Gpu;
use tbrm_core::gpu::kernels::rope::{RopeBwd, RopeFwd, RopeParams, Variant};
use tbrm_core::ops::Variants;
use tbrm_core::reference::frequencies::inv_freq;
use tbrm_core::reference::{Heads, rope};
use tbrm_testing::gpu_test;

use crate::harness::{Bench, Within, able, bits, gpu, random, wide};

/// `(positions, D)`: D/2 cosines, then D/2 sines, made in f64.
pub(crate) fn table(positions: u32, inv_freq: &[f64]) -> Vec<f32> {
    let row = |position: u32| {
        let angle = move |freq: &f64| f64::from(position) * freq;
        let cosines = inv_freq.iter().map(move |freq| angle(freq).cos() as f32);
        cosines.chain(inv_freq.iter().map(move |freq| angle(freq).sin() as f32))
    };
    (0..positions).flat_map(row).collect()
}

pub(crate) fn check(gpu: &Gpu, variant: Variant, heads: Heads, positions: &[u32]) {
    let freq = inv_freq(heads.head_dim, 10_000.0, None);
    let table = table(positions.iter().max().map_or(0, |last| last + 1), &freq);
    let qkv = random(1, positions.len() * heads.qkv_width());
    let p = RopeParams {
        positions: positions.len() as u32,
        heads: (heads.heads + heads.kv_heads) as u32,
        head_dim: heads.head_dim as u32,
        stride: heads.qkv_width() as u32,
    };
    let mut bench =
        Bench::new(gpu, Variants { rope: variant, ..Variants::table(gpu.caps(), heads.head_dim) });
    let (position, table) = (bench.indices(positions), bench.filled(&table));
    let (fwd, bwd) = (bench.filled(&qkv), bench.filled(&qkv));
    bench.run(RopeFwd { p, position: &position, table: &table, qkv: &fwd });
    bench.run(RopeBwd { p, position: &position, table: &table, qkv: &bwd });
    bench.go();

    let what = |pass: &str| format!("rope {} {heads:?} T={} {pass}", variant.name(), positions.len());
    // Two products and a sum of numbers up to 1, with cosines and sines rounded once.
    let within = Within::ulps(2.0, 1.0);
    let mut expected = wide(&qkv);
    rope::forward(&mut expected, positions, &freq, &heads);
    bench.check(&what("fwd"), &fwd, &expected, within);
    let mut expected = wide(&qkv);
    rope::inverse(&mut expected, positions, &freq, &heads);
    bench.check(&what("bwd"), &bwd, &expected, within);

    let values = |row: &[f32]| bits(&row[heads.qkv_width() - heads.kv_heads * heads.head_dim..]);
    let turned = fwd.read(gpu);
    for (before, after) in qkv.chunks(heads.qkv_width()).zip(turned.chunks(heads.qkv_width())) {
        assert_eq!(values(before), values(after), "{}: values turned", what("fwd"));
    }
}

gpu_test!(rope_is_its_twin);
fn rope_is_its_twin() {
    for variant in able::<RopeFwd<'_>>(gpu(), Variant::ALL) {
        for (h, k, d) in [(1, 1, 2), (4, 2, 16), (3, 1, 6), (2, 2, 64)] {
            let heads = Heads { heads: h, kv_heads: k, head_dim: d };
            check(gpu(), variant, heads, &[0]);
            check(gpu(), variant, heads, &[0, 1, 2, 0, 0, 1, 2, 3, 1500, 4095]);
            check(gpu(), variant, heads, &(0..67).collect::<Vec<_>>());
        }
    }
}
