use tbrm_core::gpu::kernels::cache::{CacheDecode, CacheParams, CacheWrite, Variant};
use tbrm_core::gpu::{Gpu, View};
use tbrm_core::ops::Variants;
use tbrm_core::reference::frequencies::inv_freq;
use tbrm_core::reference::{Heads, attention, rope};
use tbrm_testing::gpu_test;

use crate::harness::{Array, Bench, EPS, POISON, Within, able, bits, close, gpu, narrow, random, wide};
use crate::rope::table;

/// The device's own table, but the cache's `variant`.
pub(crate) fn variants(gpu: &Gpu, variant: Variant) -> Variants {
    Variants { cache: variant, ..Variants::table(gpu.caps(), 64) }
}

/// The variants that take such heads.
pub(crate) fn fitting(gpu: &Gpu, heads: Heads) -> Vec<Variant> {
    let mut variants = able::<CacheDecode<'_>>(gpu, Variant::ALL);
    let fits = |variant: &Variant| {
        let (most, width) = (4 * variant.consts().quads as usize, variant.consts().width as usize);
        heads.head_dim <= most && heads.head_dim.is_multiple_of(2 * width)
    };
    variants.retain(fits);
    variants
}

fn frequencies(heads: Heads) -> Vec<f64> {
    inv_freq(heads.head_dim, 10_000.0, None)
}

/// A row: its slot, its position, and its query, key and value heads.
pub(crate) type Row<'a> = (u32, u32, &'a [f32]);

/// A cache of NaN.
pub(crate) struct Cache {
    heads: Heads,
    capacity: usize,
    keys: Array,
    values: Array,
    table: Array,
}

impl Cache {
    pub(crate) fn new(bench: &Bench<'_>, heads: Heads, slots: usize, capacity: usize) -> Cache {
        let words = slots * capacity * heads.kv_heads * heads.head_dim;
        let table = bench.filled(&table(capacity as u32, &frequencies(heads)));
        Cache { heads, capacity, keys: bench.poisoned(words), values: bench.poisoned(words), table }
    }

    fn params(&self, rows: &[Row<'_>]) -> CacheParams {
        CacheParams {
            rows: rows.len() as u32,
            heads: self.heads.heads as u32,
            kv_heads: self.heads.kv_heads as u32,
            head_dim: self.heads.head_dim as u32,
            capacity: self.capacity as u32,
        }
    }

    /// Keeps the rows' keys, which are turned already, and values.
    pub(crate) fn enter(&self, bench: &mut Bench<'_>, rows: &[Row<'_>]) {
        let (slot, position, qkv) = arrays(bench, rows);
        let (p, Cache { keys, values, .. }) = (self.params(rows), self);
        bench.run(CacheWrite { p, qkv: &qkv, slot: &slot, position: &position, keys, values });
        bench.go();
    }

    /// Decodes the rows, of which none is turned.
    pub(crate) fn decode(&self, bench: &mut Bench<'_>, rows: &[Row<'_>]) -> Vec<f32> {
        let (slot, position, qkv) = arrays(bench, rows);
        let out = bench.poisoned(rows.len() * self.heads.out_width());
        let (p, Cache { keys, values, table, .. }) = (self.params(rows), self);
        let (slot, position) = (&slot, &position);
        bench.run(CacheDecode { p, qkv: &qkv, slot, position, keys, values, out: &out, table });
        bench.go();
        out.read(bench.gpu)
    }
}

fn arrays(bench: &Bench<'_>, rows: &[Row<'_>]) -> (View, View, Array) {
    (
        bench.indices(&rows.iter().map(|row| row.0).collect::<Vec<_>>()),
        bench.indices(&rows.iter().map(|row| row.1).collect::<Vec<_>>()),
        bench.filled(&rows.iter().flat_map(|row| row.2).copied().collect::<Vec<_>>()),
    )
}

/// Sequences of `(prompt, whole)` tokens: the prompts are entered at once, then a token of each decoded at a time.
pub(crate) fn check(gpu: &Gpu, variant: Variant, heads: Heads, lengths: &[(u32, u32)]) {
    let what = |pass: &str| format!("cache {} {heads:?} {lengths:?} {pass}", variant.name());
    let width = heads.qkv_width();
    let capacity = lengths.iter().map(|(_, whole)| *whole as usize).max().unwrap_or(0) + 2;
    let sequences: Vec<Vec<f32>> =
        lengths.iter().enumerate().map(|(s, (_, whole))| random(s as u32, *whole as usize * width)).collect();
    let turn = |sequence: &Vec<f32>| {
        let (mut turned, positions) = (wide(sequence), 0..(sequence.len() / width) as u32);
        rope::forward(&mut turned, &positions.collect::<Vec<_>>(), &frequencies(heads), &heads);
        turned
    };
    let turned: Vec<Vec<f64>> = sequences.iter().map(turn).collect();
    let entered: Vec<Vec<f32>> = turned.iter().map(|turned| narrow(turned)).collect();
    // Slots in another order than the rows, and one that no sequence has.
    let slot = |s: usize| (lengths.len() - s) as u32;
    let idle: Row<'_> = (Variant::Lane.consts().no_slot, 0, &sequences[0][..width]);
    let mut bench = Bench::new(gpu, variants(gpu, variant));
    let cache = Cache::new(&bench, heads, lengths.len() + 1, capacity);

    let at = |t: u32| t as usize * width..(t as usize + 1) * width;
    let mut rows: Vec<Row<'_>> = vec![idle];
    for (s, &(prompt, _)) in lengths.iter().enumerate() {
        rows.extend((0..prompt).map(|t| (slot(s), t, &entered[s][at(t)])));
    }
    cache.enter(&mut bench, &rows);
    let mut outs = vec![Vec::new(); lengths.len()];
    let steps = lengths.iter().map(|(prompt, whole)| whole - prompt).max().unwrap_or(0);
    for step in 0..steps {
        let on = |(s, &(prompt, whole)): (usize, &(u32, u32))| {
            let t = prompt + step;
            (t < whole).then(|| (s, (slot(s), t, &sequences[s][at(t)])))
        };
        let (owners, mut rows): (Vec<usize>, Vec<Row<'_>>) =
            lengths.iter().enumerate().filter_map(on).unzip();
        rows.push(idle);
        let out = cache.decode(&mut bench, &rows);
        for (s, out) in owners.into_iter().zip(out.chunks(heads.out_width())) {
            outs[s].extend_from_slice(out);
        }
    }

    let within = Within { abs: EPS * 16.0, rel: 4.0 * EPS };
    let kv = heads.kv_heads * heads.head_dim;
    let [mut keys, mut values] = [(); 2].map(|()| vec![POISON; (lengths.len() + 1) * capacity * kv]);
    let kept = cache.keys.read(gpu);
    for (s, &(prompt, whole)) in lengths.iter().enumerate() {
        let prompt = prompt as usize;
        let (expected, _) = attention::forward(&turned[s], &vec![0; whole as usize], &heads);
        close(&what("out"), &outs[s], &expected[prompt * heads.out_width()..], within);
        for t in 0..whole as usize {
            for head in 0..heads.kv_heads {
                let at = ((slot(s) as usize * heads.kv_heads + head) * capacity + t) * heads.head_dim;
                let d = heads.head_dim;
                let key = t * width + heads.out_width() + head * d;
                if t >= prompt {
                    // As in the test of rope.
                    close(&what("keys"), &kept[at..][..d], &turned[s][key..][..d], Within::ulps(2.0, 1.0));
                }
                let own = if t < prompt { &entered[s][key..][..d] } else { &kept[at..][..d] };
                keys[at..][..d].copy_from_slice(&bits(own));
                values[at..][..d].copy_from_slice(&bits(&sequences[s][key + kv..][..d]));
            }
        }
    }
    assert!(cache.keys.words(gpu) == keys, "{}", what("keys: and nothing beside them"));
    assert!(cache.values.words(gpu) == values, "{}", what("values: copies, and nothing beside them"));
}

gpu_test!(cached_decoding_is_full_attention_of_the_prefix);
fn cached_decoding_is_full_attention_of_the_prefix() {
    for (h, k, d) in [(1, 1, 2), (4, 2, 16), (6, 2, 8), (3, 1, 20), (2, 2, 64), (2, 2, 128)] {
        let heads = Heads { heads: h, kv_heads: k, head_dim: d };
        for variant in fitting(gpu(), heads) {
            check(gpu(), variant, heads, &[(0, 1)]);
            check(gpu(), variant, heads, &[(0, 4), (11, 13), (3, 6), (31, 32), (8, 8)]);
            if d <= 16 {
                // More than one chunk of the positions that meet in workgroup memory.
                check(gpu(), variant, heads, &[(256, 259), (2, 4), (515, 516)]);
            }
        }
    }
}
