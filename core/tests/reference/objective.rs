//! The objectives: their gradients by finite differences, and what the paper says about their minima.

use tbrm_core::reference::head::{self, Stats};
use tbrm_core::reference::objective::{
    Critique, LossType,
    Objective::{self, A2po, Brm, Dpo, Grpo, Hybrid, Ppo, Reinforce, Rloo, Sft, Tba, Tbrm},
    Outcome, Records, Settings, Terms, constants, critic, evaluate, evaluate_with, weight_sum,
};

use crate::check::{assert_close, assert_gradient, random};

/// Of tbrm.
fn settings(weight_sum: f64) -> Settings {
    Settings {
        objective: Tbrm,
        terms: Terms::default(),
        beta: 0.5,
        logit_scale: 1.0,
        calibrate: false,
        weight_sum,
        tbrm_weight_sum: weight_sum,
    }
}

fn logsumexp(x: &[f64]) -> f64 {
    x.iter().map(|x| x.exp()).sum::<f64>().ln()
}

fn records(rows: usize, trajectories: usize) -> Records {
    Records {
        ref_logp: random(11, rows).iter().map(|x| x - 1.5).collect(),
        ref_v1: random(12, trajectories),
        reward: random(13, trajectories),
        weight: random(14, trajectories).iter().map(|x| x + 1.25).collect(),
        critique: Critique {
            advantage: random(16, rows),
            value: random(17, rows),
            returns: random(18, rows),
        },
        ..Records::default()
    }
}

/// Every objective, with every kind of settings that its formula tells apart.
fn all() -> Vec<(Objective, Terms)> {
    let grpo = |loss_type| (Grpo, Terms { loss_length: 9, ..Terms::published(Grpo, loss_type) });
    let mut all = vec![grpo(LossType::Grpo), grpo(LossType::Dapo), grpo(LossType::DrGrpo)];
    for objective in [Sft, Tbrm, Brm, Reinforce, Rloo, Dpo, A2po, Tba, Ppo] {
        all.push((objective, Terms::published(objective, LossType::Grpo)));
    }
    for hybrid_with in [Sft, Grpo, Dpo] {
        all.push((
            Hybrid,
            Terms { hybrid_with, lambda: 0.3, ..Terms::published(hybrid_with, LossType::Grpo) },
        ));
    }
    all
}

/// Four trajectories in two groups of two, which are pairs as well.
#[test]
fn gradients_by_the_logits() {
    let (vocab, traj_start, targets) = (4, [0, 1, 5, 7, 9], [3, 0, 2, 2, 1, 0, 3, 1, 1]);
    let logits: Vec<f64> = random(10, targets.len() * vocab).iter().map(|x| 2.0 * x).collect();
    for (objective, terms) in all() {
        for (logit_scale, calibrate) in [(1.0, false), (0.4, false), (1.7, true)] {
            let what = format!("{objective:?} {terms:?} kappa {logit_scale} calibrate {calibrate}");
            let stats = |logits: &[f64]| head::forward(logits, &targets, logit_scale);
            let now = stats(&logits);
            let mut records = records(targets.len(), 4);
            // Ratios on both sides of both clips, and none at their corners.
            let away = random(15, targets.len());
            let logp = now.chosen.iter().zip(&now.lse).map(|(chosen, lse)| chosen - lse);
            records.old_logp = logp.zip(&away).map(|(logp, away)| logp + 0.6 * away).collect();
            records.sets = vec![0..2, 2..4];
            if objective == Dpo || terms.hybrid_with == Dpo {
                (records.weight[1], records.weight[3]) = (records.weight[0], records.weight[2]);
            }
            let sum = |objective| weight_sum(objective, &terms, &traj_start, &records.weight);
            let settings = Settings {
                objective,
                terms,
                logit_scale,
                calibrate,
                tbrm_weight_sum: sum(Tbrm),
                ..settings(sum(objective))
            };
            let held = constants(&now, &traj_start, &records, &settings);
            let outcome =
                |logits: &[f64]| evaluate_with(&stats(logits), &traj_start, &records, &settings, &held);
            let Outcome { a, b, clipped, .. } = outcome(&logits);
            if matches!(objective, Grpo | Ppo) {
                let clipped: Vec<f64> = clipped.concat();
                assert!(clipped.iter().any(|&n| n > 0.0), "{what}: nothing is clipped");
            }
            let dlogits = head::backward(&logits, &targets, logit_scale, &a, &b);
            let loss = |logits: &[f64]| outcome(logits).loss.iter().sum();
            assert_gradient(&what, loss, &logits, &dlogits);
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
        old_logp: vec![-1.0, -0.5 - 0.3, -1.0 + 2.0],
        sets: std::iter::once(0..2).collect(),
        critique: Critique {
            advantage: vec![0.5, 2.0, -1.0],
            value: vec![1.0, 0.0, 0.5],
            returns: vec![2.0, -1.0, 0.5],
        },
    };
    let traj_start = [0, 2, 3];
    let of = |objective, terms: Terms, beta, calibrate| {
        let weight_sum = weight_sum(objective, &terms, &traj_start, &records.weight);
        let settings =
            Settings { objective, terms, beta, calibrate, tbrm_weight_sum: 4.0, ..settings(weight_sum) };
        evaluate(&stats, &traj_start, &records, &settings)
    };
    let run = |objective, calibrate| of(objective, Terms::default(), 0.5, calibrate);

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

    // Rewards 1 and 0.5, logp -1.5 and -1, rho 1.5 and 2.
    let reinforce = of(Reinforce, Terms { kl_coefficient: 0.1, ..Terms::default() }, 0.5, false);
    let advantage = [0.5 - 0.15, -0.5 - 0.2];
    assert_close(
        "a",
        &reinforce.a,
        &[-advantage[0] / 4.0, -advantage[0] / 4.0, -3.0 * advantage[1] / 4.0],
        1e-15,
    );
    let loss = [1.5 * advantage[0] / 4.0, 3.0 * advantage[1] / 4.0];
    assert_close("loss", &reinforce.loss, &loss, 1e-15);
    let rloo = of(Rloo, Terms { kl_coefficient: 0.1, ..Terms::default() }, 0.5, false);
    assert_close("a", &rloo.a, &[-0.55 / 4.0, -0.55 / 4.0, 3.0 * 0.55 / 4.0], 1e-15);

    // Deviation of (1, 0.5): sqrt(1/8); ratios 1, e^0.3 (clipped for the better), e^-2 (for the worse).
    let terms = Terms { kl_coefficient: 0.0, ..Terms::default() };
    let grpo = of(Grpo, terms, 0.5, false);
    let advantage = 0.25 / (0.125f64.sqrt() + 1e-4);
    assert_close("a", &grpo.a, &[-advantage / 8.0, 0.0, 0.0], 1e-15);
    assert_close("loss", &grpo.loss, &[-advantage * 2.2 / 8.0, 3.0 * advantage * 0.8 / 4.0], 1e-14);
    assert_eq!(grpo.clipped, [[0.0, 1.0], [1.0, 0.0]]);
    let kl = of(Grpo, Terms { kl_coefficient: 1.0, ..terms }, 0.5, false);
    let k3 = |gap: f64| gap.exp() - gap - 1.0;
    let k3 = [(k3(-1.0) + k3(-0.5)) / 8.0, 3.0 * k3(-2.0) / 4.0];
    assert_close("loss", &kl.loss, &[grpo.loss[0] + k3[0], grpo.loss[1] + k3[1]], 1e-14);
    let dapo = of(Grpo, Terms { loss_type: LossType::Dapo, ..terms }, 0.5, false);
    assert_close("a", &dapo.a, &[-advantage / 5.0, 0.0, 0.0], 1e-15);
    let dr_grpo = of(Grpo, Terms { loss_type: LossType::DrGrpo, loss_length: 10, ..terms }, 0.5, false);
    assert_close("a", &dr_grpo.a, &[-0.25 / 40.0, 0.0, 0.0], 1e-15);

    // Ratios 1, e^0.3 (clipped for the better), e^-2 (clipped for the worse); five weighted tokens.
    let ppo = of(Ppo, Terms::default(), 0.5, false);
    assert_close("a", &ppo.a, &[-0.1, 0.0, 0.0], 1e-15);
    assert_close("loss", &ppo.loss, &[-(0.5 + 2.4) / 5.0, 3.0 * 0.8 / 5.0], 1e-14);
    assert_eq!(ppo.clipped, [[0.0, 1.0], [1.0, 0.0]]);
    // Values: clipped towards the goal, clipped away from it (the larger error counts), and within the clip.
    let terms = Terms { value_coefficient: 0.5, ..Terms::default() };
    let with = Settings { objective: Ppo, terms, ..settings(5.0) };
    let own = critic(&[1.5, 0.5, 0.6], &traj_start, &records, &with);
    assert_close("loss", &own.loss, &[0.5 * (0.64 + 2.25) / 5.0, 3.0 * 0.5 * 0.01 / 5.0], 1e-15);
    assert_close("dvalue", &own.dvalue, &[0.0, 0.5 * 1.5 / 5.0, 0.5 * 3.0 * 0.1 / 5.0], 1e-15);
    assert_eq!(own.clipped, [1.0, 0.0]);

    let dpo = of(Dpo, Terms::default(), 0.4, false);
    let slope = 0.4 / (1.0 + (0.4f64 * -0.5).exp());
    assert_close("a", &dpo.a, &[-slope / 2.0, -slope / 2.0, 3.0 * slope / 2.0], 1e-15);
    let margin = (1.0 + (0.4f64 * 0.5).exp()).ln();
    assert_close("loss", &dpo.loss, &[margin / 4.0, 3.0 * margin / 4.0], 1e-15);

    let a2po = of(A2po, Terms::default(), 0.1, false);
    let value = 0.5 * ((2f64.exp() + 1f64.exp()) / 2.0).ln();
    assert_close("delta", &a2po.delta, &[0.15 - 1.0 + value, 0.2 - 0.5 + value], 1e-14);
    assert_close("a", &a2po.a[2..], &[2.0 * 0.1 * a2po.delta[1] * 3.0 / 4.0], 1e-15);

    let tba = run(Tba, false);
    // R / beta - rho: 0.5 and -1, so log Z is -0.25.
    assert_close("delta", &tba.delta, &[-0.75, 0.75], 1e-15);
    assert_close("a", &tba.a, &[-0.375, -0.375, 1.125], 1e-15);

    let hybrid = of(Hybrid, Terms { hybrid_with: Sft, lambda: 0.25, ..Terms::default() }, 0.5, false);
    assert_close("a", &hybrid.a, &[0.3125 - 0.15, 0.3125 - 0.15, 0.75 - 0.45], 1e-15);
    assert_close("b", &hybrid.b, &[-0.15, 0.3125 - 0.15, -0.45], 1e-15);
    assert_close("loss", &hybrid.loss, &[0.25 * 6.25 / 4.0 + 0.75 * 0.3, 0.75 + 0.75 * 0.6], 1e-15);
}

/// A tree of two tokens, two deep, with its exact solution by dynamic programming: the optimal values are
/// `V(a) = log sum_a' exp(ref_logp + R / beta)`. Both residuals vanish there, on every trajectory; tbrm, which only
/// sees the first state's value, also where later states' logits are shifted.
#[test]
fn residuals_vanish_at_the_optimum() {
    let beta = settings(4.0).beta;
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
        let records = Records {
            ref_logp,
            ref_v1: vec![first_shift; 4],
            reward: reward.clone(),
            weight: vec![1.0; 4],
            ..Records::default()
        };
        let settings = Settings { objective, logit_scale: kappa, calibrate, ..settings(4.0) };
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
            ..Records::default()
        };
        let settings = Settings { beta: 0.1, ..settings(2.0) };
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
