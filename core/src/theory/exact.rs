//! Checks that need no training: enumerated, in f64.

use super::{Check, Series};
use crate::objective::{Objective, Terms};
use crate::reference::head;
use crate::reference::objective::{Records, Settings, evaluate};
use crate::rng::Stream;

/// P's change of trajectory measure, on random policies and functions of random trees:
/// (E_pi sum_h f)^2 <= (1 + sum_h chi2(d_pi_h || d_mu_h)) * E_mu[(sum_h f)^2].
pub(super) fn change_of_measure(seed: u64) -> Check {
    const DRAWS: u64 = 2000;
    const ACTIONS: usize = 3;
    const HORIZON: usize = 3;
    let (mut broken, mut tightest) = (0, 0.0f64);
    for draw in 0..DRAWS {
        let stream = Stream::new(seed, draw);
        let mut at = 0;
        let mut uniform = || {
            at += 1;
            stream.uniform(at)
        };
        // The state after h actions is the prefix, so d_h is the distribution of prefixes of h + 1 actions.
        let (mut pi, mut mu, mut sums) = (vec![1.0], vec![1.0], vec![0.0]);
        let mut chi2 = 0.0;
        for _ in 0..HORIZON {
            let next = |before: &[f64], weights: &[f64]| -> Vec<f64> {
                let parts = before.iter().zip(weights.chunks(ACTIONS));
                parts
                    .flat_map(|(p, w)| {
                        let sum: f64 = w.iter().sum();
                        w.iter().map(move |w| p * w / sum)
                    })
                    .collect()
            };
            let mut weights = || (0..pi.len() * ACTIONS).map(|_| uniform()).collect::<Vec<f64>>();
            let (of_pi, of_mu) = (weights(), weights());
            (pi, mu) = (next(&pi, &of_pi), next(&mu, &of_mu));
            sums = (0..pi.len()).map(|i| sums[i / ACTIONS] + 2.0 * uniform() - 1.0).collect();
            chi2 += pi.iter().zip(&mu).map(|(p, m)| p * p / m).sum::<f64>() - 1.0;
        }
        let mean: f64 = pi.iter().zip(&sums).map(|(p, f)| p * f).sum();
        let square: f64 = mu.iter().zip(&sums).map(|(m, f)| m * f * f).sum();
        let ratio = mean * mean / ((1.0 + chi2) * square);
        // NaN does not hold.
        let holds = ratio <= 1.0;
        broken += u64::from(!holds);
        tightest = tightest.max(ratio);
    }
    Check {
        name: "measure",
        claim: "an expectation under one policy is bounded by data of another: (E_pi f)^2 <= (1 + sum of chi2) E_mu f^2",
        found: format!(
            "broken in {broken} of {DRAWS} random cases; the tightest reaches {tightest:.3} of the bound"
        ),
        passed: broken == 0,
        series: Vec::new(),
    }
}

/// P's appendix F: one step, rewards (1, 0), beta 0.1, no reference term, candidates (0, 0) and (10, 0).
pub(super) fn bandit() -> Check {
    let losses = |q: [f64; 2]| {
        let records = Records {
            ref_logp: vec![0.0; 2],
            ref_v1: vec![0.0; 2],
            reward: vec![1.0, 0.0],
            weight: vec![1.0; 2],
            ..Records::default()
        };
        let settings = tbrm(0.1, 2.0);
        let stats = head::forward(&[q, q].concat(), &[0, 1], 1.0);
        let outcome = evaluate(&stats, &[0, 1, 2], &records, &settings);
        let frozen = |s: usize| (outcome.rho[s] + 2f64.ln() - records.reward[s] / 0.1).powi(2) / 2.0;
        (outcome.loss.iter().sum::<f64>(), frozen(0) + frozen(1))
    };
    let (wrong, wrong_frozen) = losses([0.0, 0.0]);
    let (right, right_frozen) = losses([10.0, 0.0]);
    Check {
        name: "bandit",
        claim: "differentiating through V_1 prefers the right candidate; with V frozen the loss prefers the wrong one",
        found: format!(
            "TBRM {wrong:.1} for (0, 0) and {right:.1} for (10, 0); V frozen {wrong_frozen:.1} and {right_frozen:.1}"
        ),
        passed: right < wrong && wrong_frozen < right_frozen,
        series: Vec::new(),
    }
}

/// A second state that the environment draws breaks the guarantee: its value varies, and one residual a trajectory
/// cannot tell that from a bad action. Where the same state follows from the prompt, nothing varies.
///
/// After the first action the environment shows e, 0 or 1; the second action sees it. Data takes the second action 0 nine
/// times in ten. The reference is uniform, beta 1, rewards R(e, a): (0, 2) and (4, 1).
pub(super) fn stochastic() -> Check {
    const REWARD: [[f64; 2]; 2] = [[0.0, 2.0], [4.0, 1.0]];
    const TAKEN: [f64; 2] = [0.9, 0.1];
    const STEPS: usize = 20_000;
    const RATE: f64 = 0.02;
    let half = 0.5f64.ln();
    // pi*(a | e) ~ exp(R(e, a)) in either world.
    let best = REWARD.map(|row| row.map(|r| r.exp() / row.iter().map(|r| r.exp()).sum::<f64>()));
    let divergence_after = |shared_first_state: bool| {
        // Logits of the first state and of the second ones; where the prompt decides e, each prompt has a first state.
        let (mut first, mut second) = ([[0.0f64; 2]; 2], [[0.0f64; 2]; 2]);
        let cases: Vec<(usize, usize, usize)> = (0..8).map(|i| (i / 4, i / 2 % 2, i % 2)).collect(); // e, first action, second action
        let records = Records {
            ref_logp: vec![half; 16],
            ref_v1: vec![0.0; 8],
            reward: cases.iter().map(|&(e, _, a)| REWARD[e][a]).collect(),
            weight: cases.iter().map(|&(_, _, a)| TAKEN[a]).collect(),
            ..Records::default()
        };
        let settings = tbrm(1.0, records.weight.iter().sum());
        let starts: Vec<u32> = (0..=8).map(|i| 2 * i).collect();
        let targets: Vec<u32> = cases.iter().flat_map(|&(_, a1, a2)| [a1 as u32, a2 as u32]).collect();
        for _ in 0..STEPS {
            let state = |e: usize| if shared_first_state { 0 } else { e };
            let logits: Vec<f64> =
                cases.iter().flat_map(|&(e, ..)| first[state(e)].into_iter().chain(second[e])).collect();
            let outcome = evaluate(&head::forward(&logits, &targets, 1.0), &starts, &records, &settings);
            let gradient = head::backward(&logits, &targets, 1.0, &outcome.a, &outcome.b);
            for (&(e, ..), d) in cases.iter().zip(gradient.chunks(4)) {
                for a in 0..2 {
                    first[state(e)][a] -= RATE * d[a];
                    second[e][a] -= RATE * d[2 + a];
                }
            }
        }
        let divergence = |e: usize| -> f64 {
            let sum: f64 = second[e].iter().map(|x| x.exp()).sum();
            (0..2).map(|a| best[e][a] * (best[e][a] / (second[e][a].exp() / sum)).ln()).sum()
        };
        divergence(0) + divergence(1)
    };
    let (random, decided) = (divergence_after(true), divergence_after(false));
    Check {
        name: "stochastic",
        claim: "where the environment draws the next state TBRM misses the optimal policy; where the prompt decides it, it does not",
        found: format!(
            "KL(pi* || pi) of the second action {random:.3} where it is drawn, {decided:.1e} where it is not"
        ),
        passed: random > 0.01 && decided < 1e-6,
        series: Vec::<Series>::new(),
    }
}

fn tbrm(beta: f64, weight_sum: f64) -> Settings {
    Settings {
        objective: Objective::Tbrm,
        terms: Terms::default(),
        beta,
        logit_scale: 1.0,
        calibrate: false,
        weight_sum,
        tbrm_weight_sum: weight_sum,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_hold_holds() {
        for check in [change_of_measure(1), bandit(), stochastic()] {
            assert!(check.passed, "{}: {}", check.name, check.found);
        }
    }
}
