use tbrm_core::gpu::Gpu;
use tbrm_core::gpu::kernels::head::{HeadBwd, HeadParams, HeadStats, Variant};
use tbrm_core::ops::{Variants, Widths};
use tbrm_core::reference::head;
use tbrm_testing::gpu_test;

use crate::harness::{Bench, EPS, POISON, Within, able, close, gpu, narrow, random, wide};

/// The device's own table, but the head's `variant`.
pub(crate) fn variants(gpu: &Gpu, variant: Variant) -> Variants {
    let head = Widths { scalar: variant, vec4: variant };
    Variants { head, ..Variants::table(gpu.caps(), 64) }
}

/// A tile of `rows` logits in the middle of more completion rows; logits are of the order of `size`.
/// `(vocab, stride)`: the columns that count, and the length of a stored row, whose padding is NaN.
pub(crate) fn check(
    gpu: &Gpu,
    variant: Variant,
    rows: usize,
    (vocab, stride): (usize, usize),
    kappa: f32,
    size: f32,
) {
    let what = |pass: &str| {
        format!("head {} {rows}x{vocab} of {stride} kappa {kappa} x{size} {pass}", variant.name())
    };
    let stored = |logits: &[f32]| -> Vec<f32> {
        let padding = vec![f32::from_bits(POISON); stride - vocab];
        logits.chunks(vocab).flat_map(|row| [row, &padding].concat()).collect()
    };
    let (row0, all) = (3, rows + 5);
    let logits: Vec<f32> = random(1, rows * vocab).iter().map(|x| x * size).collect();
    let targets: Vec<u32> = (0..all).map(|r| (r * r * 7 % vocab) as u32).collect();
    let (a, b) = (random(2, all), random(3, all));
    let mine = row0..row0 + rows;
    let stats = head::forward(&wide(&logits), &targets[mine.clone()], f64::from(kappa));
    let mut row_lse = vec![f64::NAN; all];
    row_lse[mine.clone()].copy_from_slice(&stats.lse);

    let p = HeadParams {
        rows: rows as u32,
        vocabulary: vocab as u32,
        stride: stride as u32,
        row0: row0 as u32,
        kappa,
    };
    let mut bench = Bench::new(gpu, variants(gpu, variant));
    let (targets_gpu, logits_gpu) = (bench.indices(&targets), bench.filled(&stored(&logits)));
    let (lse, chosen, entropy) = (bench.poisoned(all), bench.poisoned(all), bench.poisoned(all));
    bench.run(HeadStats {
        p,
        targets: &targets_gpu,
        logits: &logits_gpu,
        lse: &lse,
        chosen: &chosen,
        entropy: &entropy,
    });
    let (lse_in, a_gpu, b_gpu) = (bench.filled(&narrow(&row_lse)), bench.filled(&a), bench.filled(&b));
    let dlogits = bench.filled(&stored(&logits));
    bench.run(HeadBwd { p, targets: &targets_gpu, lse: &lse_in, a: &a_gpu, b: &b_gpu, logits: &dlogits });
    bench.go();

    // The exponents are rounded to an EPS of their size, so every probability has that relative error; entropy is a sum
    // of probabilities times exponents, and the number of columns enters through their sums.
    let largest = f64::from(kappa * size);
    let prob = EPS * (8.0 + 4.0 * largest);
    let columns = EPS * (vocab as f64).sqrt();
    let outside =
        |words: &[u32]| words.iter().enumerate().all(|(r, word)| mine.contains(&r) || *word == POISON);
    for (array, name, expected, abs) in [
        (&lse, "lse", &stats.lse, 8.0 * EPS),
        (&chosen, "chosen", &stats.chosen, 0.0),
        (&entropy, "entropy", &stats.entropy, (prob + columns) * largest.max(1.0)),
    ] {
        assert!(outside(&array.words(gpu)), "{}: wrote beside its tile", what(name));
        let within = Within { abs, rel: 4.0 * EPS + columns };
        close(&what(name), &array.read(gpu)[mine.clone()], expected, within);
    }
    let expected = head::backward(
        &wide(&logits),
        &targets[mine.clone()],
        f64::from(kappa),
        &wide(&a[mine.clone()]),
        &wide(&b[mine]),
    );
    let actual: Vec<f32> = dlogits.read(gpu).chunks(stride).flat_map(|row| row[..vocab].to_vec()).collect();
    close(&what("dlogits"), &actual, &expected, Within { abs: 2.0 * EPS, rel: 2.0 * prob });
}

gpu_test!(head_is_its_twin);
fn head_is_its_twin() {
    for variant in able::<HeadStats<'_>>(gpu(), Variant::ALL) {
        let scalar = !variant.name().ends_with("vec4");
        for (rows, vocab) in [(1, 1), (1, 7), (3, 256), (8, 257), (13, 1031usize)] {
            let stride = if scalar { vocab + rows % 2 } else { vocab.next_multiple_of(4) };
            check(gpu(), variant, rows, (vocab, stride), 1.0, 3.0);
            check(gpu(), variant, rows, (vocab, stride), 0.25, 8.0);
        }
        // exp of an unshifted logit overflows.
        check(gpu(), variant, 5, (300, 300), 1.0, 200.0);
    }
}
