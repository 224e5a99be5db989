//! The random numbers and what is drawn with them.

use tbrm_core::reference::sample::{Filter, distribution, draw, hash, uniform};

use crate::check::{assert_close, random};

const PLAIN: Filter = Filter { temperature: 1.0, top_k: None, top_p: None };

/// A run's samples must not change with a release. The words come from a second implementation, with big integers.
#[test]
fn hash_is_pinned() {
    assert_eq!(hash(0, 0, 0), 0x9baf_d7c6);
    assert_eq!(hash(1, 2, 3), 0xfa9f_79a6);
    assert_eq!(hash(u32::MAX, 0xdead_beef, 7), 0xebdb_f2ee);
}

/// Along each of the three arguments, 4096 numbers in 16 bins: chi-square with 15 degrees of freedom stays below 44
/// but for one case in 10,000.
#[test]
fn uniform_along_every_argument() {
    for axis in 0..3 {
        let mut bins = [0.0f64; 16];
        for i in 0..4096 {
            let mut words = [3, 1, 4];
            words[axis] = i;
            let u = uniform(words[0], words[1], words[2]);
            assert!((0.0..1.0).contains(&u));
            bins[(u * 16.0) as usize] += 1.0;
        }
        let chi2: f64 = bins.iter().map(|n| (n - 256.0).powi(2) / 256.0).sum();
        assert!(chi2 < 44.0, "axis {axis}: chi-square {chi2}");
    }
}

#[test]
fn temperature_divides_the_logits() {
    let probs = distribution(&[0.0, 4.0f64.ln()], &Filter { temperature: 2.0, ..PLAIN });
    assert_close("probs", &probs, &[1.0 / 3.0, 2.0 / 3.0], 1e-14);
    let greedy = distribution(&[1.0, 3.0, 3.0], &Filter { temperature: 0.0, ..PLAIN });
    assert_eq!(greedy, [0.0, 1.0, 0.0]);
}

#[test]
fn filters_keep_the_likeliest_and_all_that_tie_with_the_last() {
    let logits = [0.1, 0.4, 0.1, 0.3, 0.1].map(f64::ln);
    for (name, top_k, top_p, expected) in [
        ("top-k 1", Some(1), None, [0.0, 1.0, 0.0, 0.0, 0.0]),
        ("top-k 2", Some(2), None, [0.0, 4.0 / 7.0, 0.0, 3.0 / 7.0, 0.0]),
        ("top-k 3 ties", Some(3), None, [0.1, 0.4, 0.1, 0.3, 0.1]),
        ("top-k beyond the vocabulary", Some(9), None, [0.1, 0.4, 0.1, 0.3, 0.1]),
        ("top-p in the first", None, Some(0.3), [0.0, 1.0, 0.0, 0.0, 0.0]),
        ("top-p in the second", None, Some(0.6), [0.0, 4.0 / 7.0, 0.0, 3.0 / 7.0, 0.0]),
        ("top-p ties", None, Some(0.75), [0.1, 0.4, 0.1, 0.3, 0.1]),
        ("top-p 1", None, Some(1.0), [0.1, 0.4, 0.1, 0.3, 0.1]),
        ("top-p of what top-k left", Some(2), Some(0.5), [0.0, 1.0, 0.0, 0.0, 0.0]),
    ] {
        let probs = distribution(&logits, &Filter { temperature: 1.0, top_k, top_p });
        assert_close(name, &probs, &expected, 1e-14);
    }
}

#[test]
fn draws_by_the_running_sum() {
    let probs = [0.0, 0.25, 0.0, 0.5, 0.25, 0.0];
    for (u, token) in [(0.0, 1), (0.2499, 1), (0.25, 3), (0.7499, 3), (0.75, 4), (0.999, 4)] {
        assert_eq!(draw(&probs, u), token, "u = {u}");
    }
    assert_eq!(draw(&[0.3, 0.3, 0.0], 0.9), 1, "a sum that rounding left short of u");
}

/// Chi-square of 20,000 draws with 7 degrees of freedom stays below 30 but for one case in 10,000.
#[test]
fn draws_follow_the_distribution() {
    let probs = distribution(&random(1, 8), &Filter { temperature: 0.5, ..PLAIN });
    let mut counts = [0.0f64; 8];
    for i in 0..20_000 {
        counts[draw(&probs, uniform(0, 5, i)) as usize] += 1.0;
    }
    let chi2: f64 = counts.iter().zip(&probs).map(|(n, p)| (n - 2e4 * p).powi(2) / (2e4 * p)).sum();
    assert!(chi2 < 30.0, "chi-square {chi2}");
}
