use tbrm_core::gpu::Gpu;
use tbrm_core::gpu::kernels::cache::{CacheAttend, CacheParams, CacheWrite, Variant};
use tbrm_core::ops::Variants;
use tbrm_core::reference::{Heads, attention};
use tbrm_testing::gpu_test;

use crate::harness::{Array, Bench, EPS, POISON, Within, able, bits, close, gpu, random, wide};

/// The device's own table, but the cache's `variant`.
pub(crate) fn variants(gpu: &Gpu, variant: Variant) -> Variants {
    Variants { cache: variant, ..Variants::table(gpu.caps(), 64) }
}

/// The variants that take such heads.
pub(crate) fn fitting(gpu: &Gpu, heads: Heads) -> Vec<Variant> {
    let mut variants = able::<CacheAttend<'_>>(gpu, Variant::ALL);
    let fits = |variant: &Variant| {
        let (most, width) = (4 * variant.consts().quads as usize, variant.consts().width as usize);
        heads.head_dim <= most && heads.head_dim.is_multiple_of(width)
    };
    variants.retain(fits);
    variants
}

/// A cache of NaN.
pub(crate) struct Cache {
    pub(crate) heads: Heads,
    pub(crate) capacity: usize,
    pub(crate) keys: Array,
    pub(crate) values: Array,
}

impl Cache {
    pub(crate) fn new(bench: &Bench<'_>, heads: Heads, slots: usize, capacity: usize) -> Cache {
        let words = slots * capacity * heads.kv_heads * heads.head_dim;
        Cache { heads, capacity, keys: bench.poisoned(words), values: bench.poisoned(words) }
    }

    /// Writes the rows' keys and values and attends; each row is `(slot, position, qkv)`.
    pub(crate) fn step(&self, bench: &mut Bench<'_>, rows: &[(u32, u32, &[f32])]) -> Vec<f32> {
        let heads = self.heads;
        let slot = bench.indices(&rows.iter().map(|row| row.0).collect::<Vec<_>>());
        let position = bench.indices(&rows.iter().map(|row| row.1).collect::<Vec<_>>());
        let qkv = bench.filled(&rows.iter().flat_map(|row| row.2).copied().collect::<Vec<_>>());
        let out = bench.poisoned(rows.len() * heads.out_width());
        let p = CacheParams {
            rows: rows.len() as u32,
            heads: heads.heads as u32,
            kv_heads: heads.kv_heads as u32,
            head_dim: heads.head_dim as u32,
            capacity: self.capacity as u32,
        };
        let Cache { keys, values, .. } = self;
        bench.run(CacheWrite { p, qkv: &qkv, slot: &slot, position: &position, keys, values });
        bench.run(CacheAttend { p, qkv: &qkv, slot: &slot, position: &position, keys, values, out: &out });
        bench.go();
        out.read(bench.gpu)
    }
}

/// Sequences of `(prompt, whole)` tokens: the prompts at once, then a token of each at a time.
pub(crate) fn check(gpu: &Gpu, variant: Variant, heads: Heads, lengths: &[(u32, u32)]) {
    let what = |pass: &str| format!("cache {} {heads:?} {lengths:?} {pass}", variant.name());
    let width = heads.qkv_width();
    let capacity = lengths.iter().map(|(_, whole)| *whole as usize).max().unwrap_or(0) + 2;
    let sequences: Vec<Vec<f32>> =
        lengths.iter().enumerate().map(|(s, (_, whole))| random(s as u32, *whole as usize * width)).collect();
    // Slots in another order than the rows, and one that no sequence has.
    let slot = |s: usize| (lengths.len() - s) as u32;
    let mut bench = Bench::new(gpu, variants(gpu, variant));
    let cache = Cache::new(&bench, heads, lengths.len() + 1, capacity);

    let mut outs = vec![Vec::new(); lengths.len()];
    let steps = lengths.iter().map(|(prompt, whole)| whole - prompt).max().unwrap_or(0);
    for step in 0..=steps {
        let mut rows = Vec::new();
        for (s, &(prompt, whole)) in lengths.iter().enumerate() {
            let tokens = if step == 0 { 0..prompt } else { prompt + step - 1..prompt + step };
            let row = |t: u32| (slot(s), t, &sequences[s][t as usize * width..][..width]);
            rows.extend(tokens.filter(|t| *t < whole).map(|t| (s, row(t))));
        }
        let (owners, mut rows): (Vec<usize>, Vec<_>) = rows.into_iter().unzip();
        rows.push((Variant::Lane.consts().no_slot, 0, &sequences[0][..width]));
        let out = cache.step(&mut bench, &rows);
        for (s, out) in owners.into_iter().zip(out.chunks(heads.out_width())) {
            outs[s].extend_from_slice(out);
        }
    }

    let within = Within { abs: EPS * 16.0, rel: 4.0 * EPS };
    let kv = heads.kv_heads * heads.head_dim;
    let [mut keys, mut values] = [(); 2].map(|()| vec![POISON; (lengths.len() + 1) * capacity * kv]);
    for (s, out) in outs.iter().enumerate() {
        let seq_start = vec![0; out.len() / heads.out_width()];
        let (expected, _) = attention::forward(&wide(&sequences[s]), &seq_start, &heads);
        close(&what("out"), out, &expected, within);
        for (t, row) in sequences[s].chunks(width).enumerate() {
            let at = (slot(s) as usize * capacity + t) * kv;
            keys[at..][..kv].copy_from_slice(&bits(&row[heads.out_width()..][..kv]));
            values[at..][..kv].copy_from_slice(&bits(&row[heads.out_width() + kv..]));
        }
    }
    assert!(cache.keys.words(gpu) == keys, "{}", what("keys: copies, and nothing beside them"));
    assert!(cache.values.words(gpu) == values, "{}", what("values: copies, and nothing beside them"));
}

gpu_test!(cached_decoding_is_full_attention_of_the_prefix);
fn cached_decoding_is_full_attention_of_the_prefix() {
    for (h, k, d) in [(1, 1, 2), (4, 2, 16), (3, 1, 20), (2, 2, 64), (2, 2, 128)] {
        let heads = Heads { heads: h, kv_heads: k, head_dim: d };
        for variant in fitting(gpu(), heads) {
            check(gpu(), variant, heads, &[(1, 1)]);
            check(gpu(), variant, heads, &[(1, 4), (11, 13), (3, 6), (31, 32)]);
            if d <= 16 {
                // More than one chunk of the positions that meet in workgroup memory.
                check(gpu(), variant, heads, &[(258, 260), (2, 4), (515, 516)]);
            }
        }
    }
}
