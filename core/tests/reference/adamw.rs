//! AdamW against closed forms.

use tbrm_core::reference::adamw::{Settings, State, global_norm, step};
use tbrm_core::reference::decoder::Params;

use crate::check::{assert_close, random};

const SETTINGS: Settings =
    Settings { lr: 0.01, beta1: 0.9, beta2: 0.99, eps: 1e-3, weight_decay: 0.0, grad_clip: None };

fn params(x: &[f64], y: &[f64]) -> Params {
    Params::from([("x".into(), x.to_vec()), ("y".into(), y.to_vec())])
}

/// Under a constant gradient both corrected moments are exact at once: every step moves by `lr * g / (|g| + eps)`,
/// after the decay.
#[test]
fn constant_gradient_moves_by_a_constant() {
    let settings = Settings { weight_decay: 0.5, ..SETTINGS };
    let mut weights = params(&random(1, 3), &random(2, 2));
    let grads = params(&random(3, 3), &random(4, 2));
    let mut state = State::default();
    for _ in 0..5 {
        let mut expected = weights.clone();
        for (name, weight) in &mut expected {
            for (w, g) in weight.iter_mut().zip(&grads[name]) {
                *w = *w * (1.0 - 0.01 * 0.5) - 0.01 * g / (g.abs() + 1e-3);
            }
        }
        assert!(step(&mut weights, &grads, 1.0, &mut state, &settings).applied);
        assert_close("x", &weights["x"], &expected["x"], 1e-14);
        assert_close("y", &weights["y"], &expected["y"], 1e-14);
    }
    assert_eq!(state.step, 5);
}

#[test]
fn moments_forget_at_their_own_rates() {
    let (g1, g2) = (0.7, -0.2);
    let mut weights = params(&[1.0], &[]);
    let mut state = State::default();
    step(&mut weights, &params(&[g1], &[]), 1.0, &mut state, &SETTINGS);
    let before = weights["x"][0];
    step(&mut weights, &params(&[g2], &[]), 1.0, &mut state, &SETTINGS);
    let mean: f64 = (0.9 * g1 + g2) / 1.9;
    let square: f64 = (0.99 * g1 * g1 + g2 * g2) / 1.99;
    assert_close("x", &weights["x"], &[before - 0.01 * mean / (square.sqrt() + 1e-3)], 1e-14);
}

#[test]
fn clips_the_whole_gradient_by_its_global_norm() {
    let grads = params(&[3.0, 0.0], &[0.0, -4.0]);
    assert_eq!(global_norm(&grads), 5.0);
    let scaled = params(&[0.6, 0.0], &[0.0, -0.8]);
    for (limit, equivalent) in [(1.0, &scaled), (5.0, &grads), (6.0, &grads)] {
        let start = params(&[1.0, 2.0], &[3.0, 4.0]);
        let (mut clipped, mut expected) = (start.clone(), start);
        let (mut state, mut expected_state) = (State::default(), State::default());
        let settings = Settings { grad_clip: Some(limit), ..SETTINGS };
        let applied = step(&mut clipped, &grads, 1.0, &mut state, &settings);
        step(&mut expected, equivalent, 1.0, &mut expected_state, &SETTINGS);
        assert_eq!(applied.grad_norm, 5.0, "the norm before clipping");
        for name in ["x", "y"] {
            assert_close(name, &clipped[name], &expected[name], 1e-14);
            assert_close(name, &state.m[name], &expected_state.m[name], 1e-15);
        }
    }
}

#[test]
fn a_step_that_is_not_finite_changes_nothing() {
    for (loss, bad) in [(f64::NAN, 1.0), (f64::INFINITY, 1.0), (1.0, f64::NAN), (1.0, f64::INFINITY)] {
        let mut weights = params(&[1.0, 2.0], &[3.0]);
        let mut state = State::default();
        step(&mut weights, &params(&[0.1, 0.2], &[0.3]), 1.0, &mut state, &SETTINGS);
        let before = (weights.clone(), state.clone());
        assert!(!step(&mut weights, &params(&[0.1, 0.2], &[bad]), loss, &mut state, &SETTINGS).applied);
        assert_eq!((weights, state), before);
    }
}
