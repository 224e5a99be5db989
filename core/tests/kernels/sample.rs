use tbrm_core::gpu::Gpu;
use tbrm_core::gpu::kernels::sample::{SampleNext, SampleParams, Variant};
use tbrm_core::ops::Variants;
use tbrm_core::reference::head;
use tbrm_core::reference::sample::{Filter, distribution, draw, uniform};
use tbrm_testing::gpu_test;

use crate::harness::{Array, Bench, able, gpu, random, wide};

/// The device's own table, but sampling's `variant`.
pub(crate) fn variants(gpu: &Gpu, variant: Variant) -> Variants {
    Variants { sample: variant, ..Variants::table(gpu.caps(), 64) }
}

const SEED: u32 = 2024;
/// Of the policy whose log-probs are written.
const KAPPA: f64 = 0.75;
/// No token of any vocabulary here.
const UNTOUCHED: u32 = 7777;

/// Sequences in the middle of generation.
struct Rows {
    tokens: Array,
    position: Array,
    state: Array,
    out: Array,
    logp: Array,
    v1: Array,
    capacity: usize,
}

impl Rows {
    /// `state`: done, tokens written, limit, random stream of each row.
    fn new(bench: &Bench<'_>, state: &[[u32; 4]], capacity: usize) -> Rows {
        let rows = state.len();
        Rows {
            tokens: bench.counters(&vec![UNTOUCHED; rows]),
            position: bench.counters(&(100..100 + rows as u32).collect::<Vec<_>>()),
            state: bench.counters(state.as_flattened()),
            out: bench.counters(&vec![UNTOUCHED; rows * capacity]),
            logp: bench.poisoned(rows * capacity),
            v1: bench.poisoned(rows),
            capacity,
        }
    }

    fn step(&self, bench: &mut Bench<'_>, logits: &[f32], filter: Filter, stops: &[u32]) {
        let rows = self.tokens.words(bench.gpu).len();
        let p = SampleParams {
            rows: rows as u32,
            vocab: (logits.len() / rows) as u32,
            stops: stops.len() as u32,
            capacity: self.capacity as u32,
            temperature: filter.temperature as f32,
            top_k: filter.top_k.unwrap_or(0) as u32,
            top_p: filter.top_p.unwrap_or(1.0) as f32,
            seed: SEED,
            kappa: KAPPA as f32,
        };
        let logits = bench.filled(logits);
        // A binding cannot be empty.
        let stop = bench.indices(if stops.is_empty() { &[0] } else { stops });
        let Rows { tokens, position, state, out, logp, v1, .. } = self;
        bench.run(SampleNext { p, logits: &logits, stop: &stop, tokens, position, state, out, logp, v1 });
        bench.go();
    }
}

/// Tokens drawn for rows of `logits`, each by a stream of its own; their log-probs and values are the twin's.
fn drawn(gpu: &Gpu, variant: Variant, logits: &[f32], vocab: usize, filter: Filter) -> Vec<u32> {
    let count = logits.len() / vocab;
    let state: Vec<[u32; 4]> = (0..count as u32).map(|r| [0, r % 3, 9, r]).collect();
    let mut bench = Bench::new(gpu, variants(gpu, variant));
    let rows = Rows::new(&bench, &state, 9);
    rows.step(&mut bench, logits, filter, &[]);
    let tokens = rows.tokens.words(gpu);
    let (logp, v1) = (rows.logp.read(gpu), rows.v1.read(gpu));
    for (r, (row, &token)) in logits.chunks(vocab).zip(&tokens).enumerate() {
        let stats = head::forward(&wide(row), &[token], KAPPA);
        let near = |got: f32, want: f64| (f64::from(got) - want).abs() <= 2e-5;
        let (got, want) = (logp[r * 9 + r % 3], stats.chosen[0] - stats.lse[0]);
        assert!(near(got, want), "{} row {r}: log-prob {got} against {want}", variant.name());
        let value = v1[r];
        assert!(r % 3 != 0 || near(value, stats.lse[0]), "{} row {r}: value {value}", variant.name());
    }
    tokens
}

/// Whether the twin could have drawn `token` from `probs` by a uniform within rounding of `u`: a running sum in f32 is
/// off by about the root of the vocabulary times 6e-8.
fn plausible(probs: &[f64], u: f64, token: u32) -> bool {
    let before: f64 = probs[..token as usize].iter().sum();
    let prob = probs[token as usize];
    draw(probs, u) == token || prob > 0.0 && before - 1e-5 <= u && u <= before + prob + 1e-5
}

pub(crate) fn check(gpu: &Gpu, variant: Variant, rows: usize, vocab: usize, filter: Filter) {
    let logits: Vec<f32> = random(5, rows * vocab).iter().map(|x| 6.0 * x).collect();
    let tokens = drawn(gpu, variant, &logits, vocab, filter);
    let mut same = 0;
    for (r, (logits, &token)) in logits.chunks(vocab).zip(&tokens).enumerate() {
        let u = uniform(SEED, r as u32, r as u32 % 3);
        // Whether the token at the edge of top-p stays in may hang on the last digits of a sum.
        let nearly = [0.0, -1e-5, 1e-5].map(|off| {
            let top_p = filter.top_p.map(|p| p + off);
            distribution(&wide(logits), &Filter { top_p, ..filter })
        });
        let says = || format!("sample {} row {r} of {rows}x{vocab} {filter:?}: {token}", variant.name());
        assert!((token as usize) < vocab, "{}", says());
        assert!(nearly.iter().any(|probs| plausible(probs, u, token)), "{} at {u}", says());
        same += usize::from(draw(&nearly[0], u) == token);
    }
    assert!(same * 50 >= tokens.len() * 49, "only {same} of {} rows draw the twin's token", tokens.len());
}

fn filters() -> Vec<Filter> {
    let mut filters = Vec::new();
    for temperature in [1.0, 0.5] {
        for top_k in [None, Some(1), Some(7), Some(5000)] {
            for top_p in [None, Some(0.875), Some(0.25)] {
                filters.push(Filter { temperature, top_k, top_p });
            }
        }
    }
    filters
}

gpu_test!(draws_are_the_twins);
fn draws_are_the_twins() {
    for variant in able::<SampleNext<'_>>(gpu(), Variant::ALL) {
        for filter in filters() {
            check(gpu(), variant, 11, 391, filter);
        }
        check(gpu(), variant, 3, 1, Filter { temperature: 1.0, top_k: None, top_p: None });
        check(gpu(), variant, 3, 2, Filter { temperature: 1.0, top_k: Some(2), top_p: Some(0.5) });
    }
}

gpu_test!(frequencies_are_the_probabilities);
fn frequencies_are_the_probabilities() {
    const ROWS: usize = 600;
    let logits: Vec<f32> = [0.0, 1.0, -1.0, 2.0, 0.5].repeat(ROWS);
    let filter = Filter { temperature: 2.0, top_k: Some(4), top_p: None };
    let probs = distribution(&wide(&logits[..5]), &filter);
    for variant in able::<SampleNext<'_>>(gpu(), Variant::ALL) {
        let tokens = drawn(gpu(), variant, &logits, 5, filter);
        for (token, prob) in probs.iter().enumerate() {
            let count = tokens.iter().filter(|t| **t == token as u32).count() as f64;
            // Five standard deviations of a binomial; none at all where there is no probability.
            let (mean, deviation) = (prob * ROWS as f64, (prob * (1.0 - prob) * ROWS as f64).sqrt());
            assert!((count - mean).abs() <= 5.0 * deviation, "token {token}: {count}, expected {mean}");
        }
    }
}

gpu_test!(greedy_takes_the_first_of_equals);
fn greedy_takes_the_first_of_equals() {
    let filter = Filter { temperature: 0.0, top_k: None, top_p: None };
    for variant in able::<SampleNext<'_>>(gpu(), Variant::ALL) {
        for (rows, vocab) in [(1, 1), (5, 130), (9, 777)] {
            let mut logits = random(6, rows * vocab);
            for (r, row) in logits.chunks_mut(vocab).enumerate() {
                // The largest is below zero in every other row, and there several times in each.
                if r % 2 == 1 {
                    row.iter_mut().for_each(|x| *x -= 10.0);
                }
                let top = row.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
                row[vocab / 2] = top;
                row[vocab - 1] = top;
            }
            let expected: Vec<u32> =
                logits.chunks(vocab).map(|row| draw(&distribution(&wide(row), &filter), 0.0)).collect();
            assert_eq!(drawn(gpu(), variant, &logits, vocab, filter), expected, "{}", variant.name());
        }
    }
}

gpu_test!(ties_with_the_threshold_stay_in);
fn ties_with_the_threshold_stay_in() {
    // The second largest occurs three times: top-2 keeps four tokens, and so does the top-p that ends among them.
    let row = [0.0, 2.0, -3.0, 2.0, 3.0, 2.0, 1.0];
    for variant in able::<SampleNext<'_>>(gpu(), Variant::ALL) {
        let narrowed = [(Some(2), None), (None, Some(0.5)), (Some(2), Some(0.5))];
        for (top_k, top_p) in narrowed {
            let filter = Filter { temperature: 1.0, top_k, top_p };
            let probs = distribution(&row.map(f64::from), &filter);
            let mut seen = drawn(gpu(), variant, &row.repeat(120), row.len(), filter);
            seen.sort_unstable();
            seen.dedup();
            let kept: Vec<u32> = (0..row.len() as u32).filter(|v| probs[*v as usize] > 0.0).collect();
            assert_eq!(kept, [1, 3, 4, 5], "the case is what it says");
            assert_eq!(seen, kept, "{} {filter:?}", variant.name());
        }
    }
}

gpu_test!(a_draw_moves_its_sequence_on_and_no_other);
fn a_draw_moves_its_sequence_on_and_no_other() {
    let greedy = Filter { temperature: 0.0, top_k: None, top_p: None };
    // Every row's largest logit is its number.
    let vocab = 6;
    let logits: Vec<f32> =
        (0..5).flat_map(|r| (0..vocab).map(move |v| f32::from(u8::from(v == r)))).collect();
    // Going on; done before; reaching its limit; drawing a stop token; with no room left.
    let state = [[0, 0, 9, 0], [1, 1, 9, 1], [0, 1, 2, 2], [0, 2, 9, 3], [0, 3, 9, 4]];
    for variant in able::<SampleNext<'_>>(gpu(), Variant::ALL) {
        let mut bench = Bench::new(gpu(), variants(gpu(), variant));
        let rows = Rows::new(&bench, &state, 3);
        rows.step(&mut bench, &logits, greedy, &[5, 3]);
        const U: u32 = UNTOUCHED;
        assert_eq!(rows.tokens.words(gpu()), [0, U, 2, 3, U]);
        assert_eq!(rows.position.words(gpu()), [101, 101, 103, 104, 104]);
        assert_eq!(
            rows.state.words(gpu()),
            [[0, 1, 9, 0], [1, 1, 9, 1], [1, 2, 2, 2], [1, 3, 9, 3], [0, 3, 9, 4]].as_flattened()
        );
        assert_eq!(
            rows.out.words(gpu()),
            [[0, U, U], [U, U, U], [U, 2, U], [U, U, 3], [U, U, U]].as_flattened()
        );
    }
}

gpu_test!(the_largest_number_still_draws);
fn the_largest_number_still_draws() {
    // A number this close to 1 times a total that rounding left above the sum of its parts points behind the last one.
    let seed_row =
        (0..u32::MAX).find(|stream| uniform(SEED, *stream, 0) >= 1.0 - 2.0 / f64::from(1u32 << 24));
    let stream = seed_row.expect("one number in eight million is as large");
    let filter = Filter { temperature: 1.0, top_k: Some(130), top_p: None };
    let (count, vocab) = (40, 391);
    for variant in able::<SampleNext<'_>>(gpu(), Variant::ALL) {
        let logits = random(8, count * vocab);
        let mut bench = Bench::new(gpu(), variants(gpu(), variant));
        let rows = Rows::new(&bench, &vec![[0, 0, 9, stream]; count], 9);
        rows.step(&mut bench, &logits, filter, &[]);
        for (logits, token) in logits.chunks(vocab).zip(rows.tokens.words(gpu())) {
            let probs = distribution(&wide(logits), &filter);
            assert_ne!(token, UNTOUCHED, "{}: nothing drawn", variant.name());
            assert!(plausible(&probs, 1.0, token), "{}: {token}", variant.name());
        }
    }
}
