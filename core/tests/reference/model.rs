//! The whole model: every named gradient by finite differences, packing, and training to a residual of zero.

use tbrm_core::reference::adamw::{self, State};
use tbrm_core::reference::decoder::{Batch, Config, Params, forward, loss_and_grads};
use tbrm_core::reference::frequencies::inv_freq;
use tbrm_core::reference::objective::{
    Objective::{self, Brm, Sft, Tbrm},
    Records, Settings, Terms, weight_sum,
};
use tbrm_core::reference::{Heads, sample};

use crate::check::{assert_close, derivative, random};

const SEQUENCES: [(&[u32], &[u32]); 4] =
    [(&[3, 1, 4, 1], &[5, 9, 2]), (&[6], &[5]), (&[8], &[9, 7, 9, 3, 0]), (&[2, 3, 8], &[4])];

fn config(heads: usize, kv_heads: usize, tied: bool, bias: bool) -> Config {
    Config {
        vocab: 10,
        layers: 2,
        channels: 6,
        heads: Heads { heads, kv_heads, head_dim: 4 },
        ffn: 5,
        norm_eps: 1e-5,
        inv_freq: inv_freq(4, 100.0, None),
        tied,
        qkv_bias: bias,
        o_bias: bias,
        mlp_bias: bias,
    }
}

fn params(config: &Config) -> Params {
    let named = config.lengths().into_iter().enumerate();
    named.map(|(i, (name, length))| (name, random(100 + i as u32, length))).collect()
}

fn records(batch: &Batch) -> Records {
    let trajectories = batch.traj_start.len() - 1;
    Records {
        ref_logp: random(1, batch.rows.len()).iter().map(|x| x - 2.0).collect(),
        ref_v1: random(2, trajectories),
        reward: random(3, trajectories),
        weight: random(4, trajectories).iter().map(|x| x + 1.25).collect(),
        ..Records::default()
    }
}

fn settings(objective: Objective, batch: &Batch, records: &Records) -> Settings {
    let terms = Terms::default();
    let sum = |objective| weight_sum(objective, &terms, &batch.traj_start, &records.weight);
    Settings {
        objective,
        terms,
        beta: 0.3,
        logit_scale: 1.0,
        calibrate: false,
        weight_sum: sum(objective),
        tbrm_weight_sum: sum(Tbrm),
    }
}

#[test]
fn packs_without_padding() {
    let batch = Batch::pack(&SEQUENCES[..3]);
    assert_eq!(batch.tokens, [3, 1, 4, 1, 5, 9, 6, 8, 9, 7, 9, 3]);
    assert_eq!(batch.positions, [0, 1, 2, 3, 4, 5, 0, 0, 1, 2, 3, 4]);
    assert_eq!(batch.seq_start, [0, 0, 0, 0, 0, 0, 6, 7, 7, 7, 7, 7]);
    assert_eq!(batch.seq_end, [6, 6, 6, 6, 6, 6, 7, 12, 12, 12, 12, 12]);
    assert_eq!(batch.rows, [3, 4, 5, 6, 7, 8, 9, 10, 11]);
    assert_eq!(batch.targets, [5, 9, 2, 5, 9, 7, 9, 3, 0]);
    assert_eq!(batch.traj_start, [0, 3, 4, 9]);
}

#[test]
fn every_named_gradient() {
    let batch = Batch::pack(&SEQUENCES);
    let records = records(&batch);
    for (name, config) in [
        ("multi-head, tied", config(2, 2, true, false)),
        ("grouped-query, untied", config(4, 2, false, false)),
        ("multi-query, tied, biases", config(3, 1, true, true)),
        ("grouped-query, untied, biases", config(4, 2, false, true)),
    ] {
        let params = params(&config);
        for (objective, logit_scale, calibrate) in
            [(Sft, 1.0, false), (Tbrm, 1.0, false), (Brm, 1.0, false), (Tbrm, 0.6, true), (Brm, 1.3, true)]
        {
            let settings = Settings { logit_scale, calibrate, ..settings(objective, &batch, &records) };
            let step = loss_and_grads(&config, &params, &batch, &records, &settings);
            assert_eq!(step.grads.len(), params.len());
            for (weight, grad) in &step.grads {
                let mut largest = 0.0f64;
                for pick in 0..5 {
                    let i = sample::hash(9, pick, grad.len() as u32) as usize % grad.len();
                    let loss = |moved: &[f64]| {
                        let mut params = params.clone();
                        params.insert(weight.clone(), moved.to_vec());
                        loss_and_grads(&config, &params, &batch, &records, &settings).loss
                    };
                    let numeric = derivative(loss, &params[weight], i);
                    let what = format!("{name}, {objective:?} kappa {logit_scale}: {weight} at {i}");
                    assert_close(&what, &[grad[i]], &[numeric], 1e-7);
                    largest = largest.max(numeric.abs());
                }
                assert!(largest > 1e-5, "{name}, {objective:?}: {weight} has no gradient to test");
            }
        }
    }
}

/// Sequences do not see each other: packed logits are the lone ones to the last bit, and gradients add up.
#[test]
fn packing_changes_nothing() {
    let config = config(4, 2, false, true);
    let params = params(&config);
    let batch = Batch::pack(&SEQUENCES);
    let records = records(&batch);
    let packed_logits = forward(&config, &params, &batch).logits;
    for objective in [Sft, Tbrm, Brm] {
        let settings = settings(objective, &batch, &records);
        let packed = loss_and_grads(&config, &params, &batch, &records, &settings);
        let mut loss = 0.0;
        let mut grads: Params = params.iter().map(|(name, w)| (name.clone(), vec![0.0; w.len()])).collect();
        for (s, sequence) in SEQUENCES.iter().enumerate() {
            let rows = batch.traj_start[s] as usize..batch.traj_start[s + 1] as usize;
            let alone = Batch::pack(&[*sequence]);
            let logits = &packed_logits[rows.start * config.vocab..rows.end * config.vocab];
            assert_eq!(forward(&config, &params, &alone).logits, logits);
            let records = Records {
                ref_logp: records.ref_logp[rows].to_vec(),
                ref_v1: vec![records.ref_v1[s]],
                reward: vec![records.reward[s]],
                weight: vec![records.weight[s]],
                ..Records::default()
            };
            let step = loss_and_grads(&config, &params, &alone, &records, &settings);
            loss += step.loss;
            for (name, grad) in step.grads {
                let sum = grads.get_mut(&name).unwrap();
                sum.iter_mut().zip(grad).for_each(|(sum, g)| *sum += g);
            }
        }
        assert_close("loss", &[packed.loss], &[loss], 1e-13);
        for (name, grad) in grads {
            assert_close(&name, &packed.grads[&name], &grad, 1e-12);
        }
    }
}

#[test]
fn the_future_is_not_seen() {
    let config = config(4, 2, true, false);
    let params = params(&config);
    let logits =
        |completion: &[u32]| forward(&config, &params, &Batch::pack(&[(&[1, 2], completion)])).logits;
    let (one, other) = (logits(&[3, 4, 5, 6]), logits(&[3, 4, 9, 6]));
    let changed = 3 * config.vocab;
    assert_eq!(one[..changed], other[..changed]);
    assert_ne!(one[changed..], other[changed..]);
}

#[test]
fn training_drives_the_residual_to_zero() {
    let config = config(4, 2, true, false);
    let mut params = params(&config);
    let batch = Batch::pack(&SEQUENCES);
    let records = records(&batch);
    let settings = settings(Tbrm, &batch, &records);
    let adamw = adamw::Settings {
        lr: 0.01,
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        weight_decay: 0.0,
        grad_clip: Some(1.0),
    };
    let mut state = State::default();
    let losses: Vec<f64> = (0..150)
        .map(|_| {
            let step = loss_and_grads(&config, &params, &batch, &records, &settings);
            adamw::step(&mut params, &step.grads, step.loss, &mut state, &adamw);
            step.loss
        })
        .collect();
    assert!(losses[0] > 1.0, "nothing to learn: {}", losses[0]);
    assert!(losses[149] < 1e-3 * losses[0], "from {} to {}", losses[0], losses[149]);
}
