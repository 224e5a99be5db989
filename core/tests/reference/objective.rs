//! The objectives: their gradients by finite differences, and what the paper says about their minima.

use tbrm_core::reference::head::{self, Stats};
use tbrm_core::reference::objective::{
    Objective::{Brm, Sft, Tbrm},
    Outcome, Records, Settings, evaluate, weight_sum,
};

use crate::check::{assert_close, assert_gradient, random};

const SETTINGS: Settings =
    Settings { objective: Tbrm, beta: 0.5, logit_scale: 1.0, calibrate: false, weight_sum: 1.0 };

fn logsumexp(x: &[f64]) -> f64 {
    x.iter().map(|x| x.exp()).sum::<f64>().ln()
}

fn records(rows: usize, trajectories: usize) -> Records {
    Records {
        ref_logp: random(11, rows).iter().map(|x| x - 1.5).collect(),
        ref_v1: random(12, trajectories),
        reward: random(13, trajectories),
        weight: random(14, trajectories).iter().map(|x| x + 1.25).collect(),
    }
}

#[test]
fn gradients_by_the_logits() {
    let (vocab, traj_start, targets) = (4, [0, 1, 5, 7], [3, 0, 2, 2, 1, 0, 3]);
    let logits: Vec<f64> = random(10, targets.len() * vocab).iter().map(|x| 2.0 * x).collect();
    let records = records(targets.len(), 3);
    for objective in [Sft, Tbrm, Brm] {
        for (logit_scale, calibrate) in [(1.0, false), (0.4, false), (1.7, true)] {
            let weight_sum = weight_sum(objective, &traj_start, &records.weight);
            let settings = Settings { objective, logit_scale, calibrate, weight_sum, ..SETTINGS };
            let outcome = |logits: &[f64]| {
                evaluate(&head::forward(logits, &targets, logit_scale), &traj_start, &records, &settings)
            };
            let Outcome { a, b, .. } = outcome(&logits);
            let dlogits = head::backward(&logits, &targets, logit_scale, &a, &b);
            let loss = |logits: &[f64]| outcome(logits).loss.iter().sum();
            assert_gradient(
                &format!("{objective:?} kappa {logit_scale} calibrate {calibrate}"),
                loss,
                &logits,
                &dlogits,
            );
        }
    }
}

/// Two trajectories, of two tokens and of one, with figures that can be checked by hand.
#[test]
fn losses_by_hand() {
    let stats = Stats { lse: vec![3.0, 2.0, 1.0], chosen: vec![2.0, 1.5, 0.0], entropy: vec![0.0; 3] };
    let records = Records {
        ref_logp: vec![-2.0, -1.0, -3.0],
        ref_v1: vec![0.5, 2.0],
        reward: vec![1.0, 0.5],
        weight: vec![1.0, 3.0],
    };
    let traj_start = [0, 2, 3];
    let run = |objective, calibrate| {
        let weight_sum = weight_sum(objective, &traj_start, &records.weight);
        evaluate(&stats, &traj_start, &records, &Settings { objective, calibrate, weight_sum, ..SETTINGS })
    };

    let tbrm = run(Tbrm, false);
    assert_close("rho", &tbrm.rho, &[1.5, 2.0], 1e-15);
    assert_close("v1", &tbrm.v1, &[3.0, 1.0], 0.0);
    assert_close("delta", &tbrm.delta, &[2.5, 2.0], 1e-15);
    assert_close("loss", &tbrm.loss, &[6.25 / 4.0, 3.0 * 4.0 / 4.0], 1e-15);
    assert_close("a", &tbrm.a, &[1.25, 1.25, 3.0], 1e-15);
    assert_close("b", &tbrm.b, &[0.0, 1.25, 0.0], 1e-15);
    assert_close("calibrated", &run(Tbrm, true).delta, &[2.0, 0.0], 1e-15);

    let brm = run(Brm, false);
    assert_close("delta", &brm.delta, &tbrm.delta, 1e-15);
    assert_close("loss", &brm.loss, &[(2.0f64.powi(2) + 0.5f64.powi(2)) / 4.0, 3.0], 1e-15);
    assert_close("a", &brm.a, &[1.0, 0.25, 3.0], 1e-15);
    assert_close("b", &brm.b, &[0.0, 1.0, 0.0], 1e-15);
    let calibrated = run(Brm, true);
    assert_close("loss", &calibrated.loss, &[(1.5f64.powi(2) + 0.5f64.powi(2)) / 4.0, 0.0], 1e-15);

    let sft = run(Sft, false);
    assert_close("loss", &sft.loss, &[1.5 / 5.0, 3.0 / 5.0], 1e-15);
    assert_close("a", &sft.a, &[-0.2, -0.2, -0.6], 1e-15);
    assert_eq!((&sft.a, &sft.delta), (&sft.b, &vec![0.0, 0.0]));
}

/// A tree of two tokens, two deep, with its exact solution by dynamic programming: the optimal values are
/// `V(a) = log sum_a' exp(ref_logp + R / beta)`. Both residuals vanish there, on every trajectory; tbrm, which only
/// sees the first state's value, also where later states' logits are shifted.
#[test]
fn residuals_vanish_at_the_optimum() {
    let beta = SETTINGS.beta;
    let normalized = |x: &[f64]| [x[0] - logsumexp(x), x[1] - logsumexp(x)];
    let ref_first = normalized(&random(20, 2));
    let ref_second = [normalized(&random(21, 2)), normalized(&random(22, 2))];
    let reward = random(23, 4);
    let q_second: Vec<[f64; 2]> =
        (0..2).map(|a| [0, 1].map(|b| ref_second[a][b] + reward[2 * a + b] / beta)).collect();
    let q_first = [0, 1].map(|a| ref_first[a] + logsumexp(&q_second[a]));

    let run = |objective, kappa: f64, first_shift: f64, second_shift: f64, calibrate| {
        let (mut logits, mut targets, mut ref_logp) = (Vec::new(), Vec::new(), Vec::new());
        for (a, b) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            logits.extend(q_first.map(|q| (q + first_shift) / kappa));
            logits.extend(q_second[a].map(|q| (q + second_shift) / kappa));
            targets.extend([a as u32, b as u32]);
            ref_logp.extend([ref_first[a], ref_second[a][b]]);
        }
        let records =
            Records { ref_logp, ref_v1: vec![first_shift; 4], reward: reward.clone(), weight: vec![1.0; 4] };
        let settings = Settings { objective, logit_scale: kappa, calibrate, weight_sum: 4.0, ..SETTINGS };
        evaluate(&head::forward(&logits, &targets, kappa), &[0, 2, 4, 6, 8], &records, &settings)
    };
    for (objective, kappa, first_shift, second_shift, calibrate) in [
        (Tbrm, 1.0, 0.0, 0.0, false),
        (Tbrm, 0.7, 0.0, 5.0, false),
        (Tbrm, 1.0, 3.0, 0.0, true),
        (Brm, 1.0, 0.0, 0.0, false),
        (Brm, 0.7, 3.0, 0.0, true),
    ] {
        let outcome = run(objective, kappa, first_shift, second_shift, calibrate);
        assert_close("loss", &outcome.loss, &[0.0; 4], 1e-24);
        assert_close("a", &outcome.a, &[0.0; 8], 1e-13);
        assert_close("b", &outcome.b, &[0.0; 8], 1e-13);
        assert_close("v1", &outcome.v1, &[logsumexp(&q_first) + first_shift; 4], 1e-13);
    }
    // What must not vanish: an offset that nothing calibrates away, and for brm one in a later state.
    assert_close("offset", &run(Tbrm, 1.0, 3.0, 0.0, false).delta, &[3.0; 4], 1e-13);
    assert!(run(Brm, 1.0, 0.0, 5.0, false).loss.iter().all(|loss| *loss > 1.0));
}

/// Appendix F: one step, rewards (1, 0), beta 0.1, no reference term. With V frozen at log 2 the loss prefers the
/// wrong candidate, (0, 0); differentiating through V, as tbrm does, it prefers (10, 0).
#[test]
fn the_bandit_of_appendix_f() {
    let losses = |q: [f64; 2]| {
        let records = Records {
            ref_logp: vec![0.0; 2],
            ref_v1: vec![0.0; 2],
            reward: vec![1.0, 0.0],
            weight: vec![1.0; 2],
        };
        let settings = Settings { beta: 0.1, weight_sum: 2.0, ..SETTINGS };
        let outcome =
            evaluate(&head::forward(&[q, q].concat(), &[0, 1], 1.0), &[0, 1, 2], &records, &settings);
        let iterative = (0..2)
            .map(|s| (outcome.rho[s] + 2.0f64.ln() - records.reward[s] / 0.1).powi(2) / 2.0)
            .sum::<f64>();
        (outcome.loss.iter().sum::<f64>(), iterative)
    };
    let (tbrm_wrong, iterative_wrong) = losses([0.0, 0.0]);
    let (tbrm_right, iterative_right) = losses([10.0, 0.0]);
    assert_close("tbrm", &[tbrm_wrong, tbrm_right], &[50.0, 0.0], 1e-12);
    assert!((iterative_wrong - 50.0).abs() < 0.05 && (iterative_right - 86.6).abs() < 0.05);
}
