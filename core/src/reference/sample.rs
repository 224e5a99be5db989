//! Twin of `shaders/sample.wgsl`: a token from a row of logits, by a random number that only depends on what it is
//! for, so that neither the batch nor the device changes what is drawn.
//!
//! The generator is PCG3D (Jarzynski & Olano, "Hash Functions for GPU Rendering", JCGT 9(3), 2020) of
//! `(seed, stream, counter)`, all in wrapping u32, of which the first word is used: for a rollout `stream` names the
//! sequence and `counter` the position of the token drawn.

/// A random word: PCG3D's x.
///
/// ```text
/// v = (seed, stream, counter) * 1664525 + 1013904223
/// v.x += v.y * v.z;  v.y += v.z * v.x;  v.z += v.x * v.y     (in this order, each seeing the ones before)
/// v ^= v >> 16
/// v.x += v.y * v.z;  v.y += v.z * v.x;  v.z += v.x * v.y
/// ```
pub fn hash(seed: u32, stream: u32, counter: u32) -> u32 {
    let [mut x, mut y, mut z] =
        [seed, stream, counter].map(|word| word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    let mix = |x: &mut u32, y: &mut u32, z: &mut u32| {
        *x = x.wrapping_add(y.wrapping_mul(*z));
        *y = y.wrapping_add(z.wrapping_mul(*x));
        *z = z.wrapping_add(x.wrapping_mul(*y));
    };
    mix(&mut x, &mut y, &mut z);
    x ^= x >> 16;
    y ^= y >> 16;
    z ^= z >> 16;
    mix(&mut x, &mut y, &mut z);
    x
}

/// A random number in `[0, 1)`: the upper 24 bits of [`hash`], which f32 holds exactly.
pub fn uniform(seed: u32, stream: u32, counter: u32) -> f64 {
    f64::from(hash(seed, stream, counter) >> 8) / f64::from(1u32 << 24)
}

/// How a distribution is narrowed before drawing, in the order of the fields.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Filter {
    /// Divides the logits. 0 always takes the largest logit, the first of equals.
    pub temperature: f64,
    /// Keeps the logits that are at least the k-th largest one: more than k where several equal it.
    pub top_k: Option<usize>,
    /// Of what is left, renormalised, keeps the likeliest tokens: the probability at which their sum, taken in
    /// falling order, first reaches `top_p` is the threshold, and every token at least as likely is kept.
    pub top_p: Option<f64>,
}

/// The probabilities `(V)` that `filter` leaves of a row of `logits (V)`; they sum to 1.
pub fn distribution(logits: &[f64], filter: &Filter) -> Vec<f64> {
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if filter.temperature == 0.0 {
        let first = logits.iter().position(|logit| *logit == max);
        return (0..logits.len()).map(|v| if Some(v) == first { 1.0 } else { 0.0 }).collect();
    }
    let mut probs: Vec<f64> = logits.iter().map(|logit| ((logit - max) / filter.temperature).exp()).collect();
    if let Some(k) = filter.top_k {
        let kth = falling(logits)[k.clamp(1, logits.len()) - 1];
        probs.iter_mut().zip(logits).for_each(|(prob, logit)| {
            if *logit < kth {
                *prob = 0.0;
            }
        });
    }
    normalize(&mut probs);
    if let Some(top_p) = filter.top_p {
        let mut sum = 0.0;
        let reaches = |prob: &f64| {
            sum += prob;
            sum >= top_p
        };
        let threshold = falling(&probs).into_iter().find(reaches).unwrap_or(0.0);
        probs.iter_mut().filter(|prob| **prob < threshold).for_each(|prob| *prob = 0.0);
        normalize(&mut probs);
    }
    probs
}

/// The first token, in the order of the vocabulary, at which the running sum of `probs (V)` exceeds `u` in `[0, 1)`.
/// Where rounding leaves the whole sum at or below `u`: the last token with a probability. Never a token without one.
pub fn draw(probs: &[f64], u: f64) -> u32 {
    let mut sum = 0.0;
    let mut token = 0;
    for (v, &prob) in probs.iter().enumerate() {
        if prob > 0.0 {
            token = v as u32;
            sum += prob;
            if sum > u {
                break;
            }
        }
    }
    token
}

fn falling(x: &[f64]) -> Vec<f64> {
    let mut sorted = x.to_vec();
    sorted.sort_by(|x, y| y.total_cmp(x));
    sorted
}

fn normalize(probs: &mut [f64]) {
    let sum: f64 = probs.iter().sum();
    probs.iter_mut().for_each(|prob| *prob /= sum);
}
