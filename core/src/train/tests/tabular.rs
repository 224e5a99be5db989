//! The optimum of TBRM on a token tree small enough to enumerate (TBRM.md section 4, checks 1 and 2), through the
//! whole transformer on the device, from data of another policy.

use tbrm_testing::{block_on, gpu_test};

use super::{config, gpu};
use crate::data::trajectory::Trajectory;
use crate::model::Model;
use crate::rng::Stream;
use crate::train::trainer::{Start, Trainer};
use crate::train::{Engine, EngineConfig, Event, Reference, Schedule, TrainConfig};

/// Every token may follow every other, so all pairs are all trajectories of length two.
const VOCAB: u32 = 4;
const PROMPTS: u32 = 2;
const BETA: f64 = 0.5;

/// Each trajectory of the tree once: data that no policy near the optimum would produce.
fn tree() -> Vec<Trajectory> {
    let stream = Stream::named(1, "rewards");
    let mut all = Vec::new();
    for prompt in 0..PROMPTS {
        for first in 0..VOCAB {
            for second in 0..VOCAB {
                // Two unlike tokens: a decoder cannot tell a prompt `x` from `x x`, whose attention averages equals.
                let tokens = vec![2 * prompt, 2 * prompt + 1, first, second];
                all.push(Trajectory {
                    line: all.len() + 1,
                    truncated: true,
                    reward: Some(stream.uniform(all.len() as u64)),
                    ..Trajectory::new(2, tokens)
                });
            }
        }
    }
    all
}

gpu_test!(tbrm_reaches_the_optimal_policy_and_log_z_from_off_policy_data);
fn tbrm_reaches_the_optimal_policy_and_log_z_from_off_policy_data() {
    let gpu = gpu();
    let model_config = config([VOCAB as usize, 1, 32, 2, 2, 16, 64], "");
    let data = tree();
    let train = TrainConfig {
        beta: BETA,
        learning_rate: 1e-2,
        schedule: Schedule::Cosine,
        steps: 400,
        batch: data.len(),
        shuffle: false,
        grad_clip: 0.0,
        checkpoint_every: 0,
        ..TrainConfig::default()
    };
    let model = Model::fresh(&gpu, &model_config, 8, 3).unwrap();
    let (eval, key) = (Vec::new(), "tree".to_owned());
    let start = Start { model, data: data.clone(), eval, key, reference: None, variants: None, resume: None };
    let mut trainer = Trainer::new(&gpu, &train, start).unwrap();
    let (mut losses, mut reference) = (Vec::new(), None);
    while let Some(event) = block_on(trainer.next()).unwrap() {
        match event {
            Event::Step(metrics) => losses.push(metrics.loss),
            Event::Reference(bytes) => reference = Reference::from_bytes(&bytes, "tree").unwrap(),
            _ => {}
        }
    }
    let reference = reference.expect("tbrm has a reference");
    assert!(losses[0] > 0.1 && losses[399] < 1e-4, "{} ... {}", losses[0], losses[399]);

    let engine_config = EngineConfig {
        micro_batch_tokens: 128,
        trajectories: data.len(),
        logit_scale: 1.0,
        submit_part: None,
    };
    let mut engine = Engine::new(&gpu, trainer.model().clone(), engine_config, None).unwrap();
    let all: Vec<&Trajectory> = data.iter().collect();
    let scored = block_on(engine.score(&all, |_| {})).unwrap();
    let leaves = (VOCAB * VOCAB) as usize;
    for prompt in 0..PROMPTS as usize {
        let of = prompt * leaves..(prompt + 1) * leaves;
        // Exact: every trajectory of the prompt, weighted by the reference.
        let tilted: Vec<f64> = of
            .clone()
            .map(|i| {
                let logp: f64 = reference.logp[i].iter().map(|&l| f64::from(l)).sum();
                (logp + data[i].reward.unwrap() / BETA).exp()
            })
            .collect();
        let z: f64 = tilted.iter().sum();
        for (i, tilted) in of.zip(tilted) {
            let policy: f64 = scored[i].logp.iter().map(|&l| f64::from(l)).sum::<f64>().exp();
            assert!((policy - tilted / z).abs() <= 5e-3, "trajectory {i}: {policy} against {}", tilted / z);
            let v1 = f64::from(scored[i].v1);
            assert!((v1 - z.ln()).abs() <= 2e-2, "prompt {prompt}: V {v1} against log Z {}", z.ln());
        }
    }
}
