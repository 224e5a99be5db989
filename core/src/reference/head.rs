//! Twin of `shaders/head.wgsl`: what the objectives need to know of each completion row's logits, and the one
//! backward form that all of them share. The product with the head's weight is [`super::matmul`].

use super::logsumexp;

/// Per completion row, all of `kappa * logits`, where kappa is the logit scale.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// `(R)` log-sum-exp: the value V of the row's state.
    pub lse: Vec<f64>,
    /// `(R)` the target's scaled logit: the Q-value of the action taken. `chosen - lse` is its log-probability.
    pub chosen: Vec<f64>,
    /// `(R)` entropy of the softmax, in nats.
    pub entropy: Vec<f64>,
}

/// The statistics of raw `logits (R, V)` at `targets (R)`.
pub fn forward(logits: &[f64], targets: &[u32], kappa: f64) -> Stats {
    let mut stats = Stats::default();
    for (row, &target) in rows(logits, targets) {
        let lse = logsumexp(row.iter().map(|logit| kappa * logit));
        let mean = row.iter().map(|logit| (kappa * logit - lse).exp() * kappa * logit).sum::<f64>();
        stats.lse.push(lse);
        stats.chosen.push(kappa * row[target as usize]);
        stats.entropy.push(lse - mean);
    }
    stats
}

/// `dlogits[r, v] = a[r] * [v == targets[r]] - b[r] * softmax(kappa * logits[r])[v]`: `(R, V)`, the gradient with
/// respect to the raw logits; the objective's `a` and `b` already hold the factor kappa of the chain rule.
pub fn backward(logits: &[f64], targets: &[u32], kappa: f64, a: &[f64], b: &[f64]) -> Vec<f64> {
    let lse = forward(logits, targets, kappa).lse;
    let mut dlogits = Vec::with_capacity(logits.len());
    for (r, (row, &target)) in rows(logits, targets).enumerate() {
        for (v, logit) in row.iter().enumerate() {
            let taken = if v == target as usize { a[r] } else { 0.0 };
            dlogits.push(taken - b[r] * (kappa * logit - lse[r]).exp());
        }
    }
    dlogits
}

fn rows<'a>(logits: &'a [f64], targets: &'a [u32]) -> impl Iterator<Item = (&'a [f64], &'a u32)> {
    let vocab = logits.len() / targets.len().max(1);
    logits.chunks_exact(vocab.max(1)).zip(targets)
}
