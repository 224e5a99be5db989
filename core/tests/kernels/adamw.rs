use std::collections::BTreeMap;

use tbrm_core::gpu::kernels::adamw::{
    AdamwNorm, AdamwNormPartial, AdamwParams, AdamwStep, AdamwUpdate, Variant,
};
use tbrm_core::gpu::{Gpu, View};
use tbrm_core::ops::Variants;
use tbrm_core::ops::adamw::partials;
use tbrm_core::reference::adamw;
use tbrm_testing::gpu_test;

use crate::harness::{Array, Bench, EPS, Within, able, bits, close, gpu, random, wide};

/// The device's own table, but the optimizer's `variant`.
pub(crate) fn variants(gpu: &Gpu, variant: Variant) -> Variants {
    Variants { adamw: variant, ..Variants::table(gpu.caps(), 64) }
}

/// One page of parameters.
struct Page {
    w: Array,
    m: Array,
    v: Array,
}

/// Norm and update of all pages, `grads` a gradient a page; returns the norm.
fn step(bench: &mut Bench<'_>, variants: &Variants, pages: &[Page], grads: &[Vec<f32>], step: &View) -> f32 {
    let counts: Vec<usize> = grads.iter().map(|g| partials(variants, g.len())).collect();
    let all: usize = counts.iter().sum();
    let (partial, norm) = (bench.poisoned(all), bench.poisoned(1));
    let grads: Vec<Array> = grads.iter().map(|g| bench.filled(g)).collect();
    let params = |page: usize, count: usize| AdamwParams {
        count: count as u32,
        partials: all as u32,
        first: counts[..page].iter().sum::<usize>() as u32,
    };
    let lens: Vec<usize> = pages.iter().map(|page| page.w.read(bench.gpu).len()).collect();
    for (at, g) in grads.iter().enumerate() {
        bench.run(AdamwNormPartial { p: params(at, lens[at]), g, partial: &partial });
    }
    bench.run(AdamwNorm { p: params(0, 0), partial: &partial, norm: &norm });
    for (at, (g, page)) in grads.iter().zip(pages).enumerate() {
        let p = params(at, lens[at]);
        bench.run(AdamwUpdate { p, step, g, norm: &norm, w: &page.w, m: &page.m, v: &page.v });
    }
    bench.go();
    // Poison left in a partial sum would make the norm NaN; a sum outside its place trips the guard.
    partial.read(bench.gpu);
    norm.read(bench.gpu)[0]
}

fn pages(bench: &Bench<'_>, weights: &[Vec<f32>]) -> Vec<Page> {
    let zeros = |w: &Vec<f32>| bench.filled(&vec![0.0; w.len()]);
    weights.iter().map(|w| Page { w: bench.filled(w), m: zeros(w), v: zeros(w) }).collect()
}

pub(crate) fn check(gpu: &Gpu, variant: Variant, lens: &[usize], clip: f32, steps: i32) {
    let what = |pass: &str| format!("adamw {} {lens:?} clip {clip} {pass}", variant.name());
    let (beta1, beta2, eps, weight_decay) = (0.9f32, 0.99f32, 1e-8f32, 0.1f32);
    let weights: Vec<Vec<f32>> = lens.iter().enumerate().map(|(at, len)| random(at as u32, *len)).collect();
    let named = |x: &[Vec<f32>]| -> BTreeMap<String, Vec<f64>> {
        x.iter().enumerate().map(|(at, x)| (at.to_string(), wide(x))).collect()
    };
    let (mut params, mut state) = (named(&weights), adamw::State::default());
    let table = variants(gpu, variant);
    let mut bench = Bench::new(gpu, table);
    let pages = pages(&bench, &weights);
    for at in 1..=steps {
        let lr = 0.01 / at as f32;
        let grads: Vec<Vec<f32>> =
            lens.iter().enumerate().map(|(page, len)| random(100 * at as u32 + page as u32, *len)).collect();
        let uniform = bench.uniform(AdamwStep {
            learning_rate: lr,
            weight_decay,
            beta1,
            beta2,
            inv_bias1: (1.0 / (1.0 - f64::from(beta1).powi(at))) as f32,
            inv_bias2: (1.0 / (1.0 - f64::from(beta2).powi(at))) as f32,
            eps,
            clip,
        });
        let norm = step(&mut bench, &table, &pages, &grads, &uniform);
        let settings = adamw::Settings {
            lr: f64::from(lr),
            beta1: f64::from(beta1),
            beta2: f64::from(beta2),
            eps: f64::from(eps),
            weight_decay: f64::from(weight_decay),
            grad_clip: (clip > 0.0).then_some(f64::from(clip)),
        };
        let applied = adamw::step(&mut params, &named(&grads), 0.0, &mut state, &settings);
        // A sum of squares loses no digits to cancellation, and the root halves its relative error.
        close(&what("norm"), &[norm], &[applied.grad_norm], Within { abs: 0.0, rel: 32.0 * EPS });
    }
    for (at, page) in pages.iter().enumerate() {
        let name = at.to_string();
        // Moments are means of numbers up to 1 and the clip's scale carries the norm's error; a weight, up to 1 itself,
        // moves by a learning rate of 0.01 times a ratio of the moments.
        let moment = Within { abs: 4.0 * EPS, rel: 64.0 * EPS };
        bench.check(&what("m"), &page.m, &state.m[&name], moment);
        bench.check(&what("v"), &page.v, &state.v[&name], moment);
        bench.check(&what("w"), &page.w, &params[&name], Within { abs: 4.0 * EPS, rel: 2.0 * EPS });
    }
}

gpu_test!(adamw_is_its_twin);
fn adamw_is_its_twin() {
    for variant in able::<AdamwNorm<'_>>(gpu(), Variant::ALL) {
        check(gpu(), variant, &[1], 0.0, 3);
        check(gpu(), variant, &[4096, 4133, 7], 0.0, 4);
        check(gpu(), variant, &[67, 9001], 0.5, 4);
        check(gpu(), variant, &[300], 1e6, 2);
    }
}

gpu_test!(a_norm_that_is_not_finite_changes_nothing);
fn a_norm_that_is_not_finite_changes_nothing() {
    for variant in able::<AdamwNorm<'_>>(gpu(), Variant::ALL) {
        // The last one is finite, but its square is not.
        for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30] {
            let table = variants(gpu(), variant);
            let mut bench = Bench::new(gpu(), table);
            let weights = [random(1, 5000), random(2, 33)];
            let pages = pages(&bench, &weights);
            let uniform = bench.uniform(AdamwStep {
                learning_rate: 0.1,
                weight_decay: 0.1,
                beta1: 0.9,
                beta2: 0.99,
                inv_bias1: 10.0,
                inv_bias2: 100.0,
                eps: 1e-8,
                clip: 1.0,
            });
            let mut grads = vec![random(3, 5000), random(4, 33)];
            grads[0][4999] = poison;
            let norm = step(&mut bench, &table, &pages, &grads, &uniform);
            let what = format!("adamw {}, a gradient of {poison}", variant.name());
            assert!(!norm.is_finite(), "{what}: norm {norm}");
            for (page, w) in pages.iter().zip(&weights) {
                assert_eq!(page.w.words(gpu()), bits(w), "{what}: weights changed");
                for moment in [&page.m, &page.v] {
                    assert!(moment.words(gpu()).iter().all(|word| *word == 0), "{what}: moments changed");
                }
            }
        }
    }
}
