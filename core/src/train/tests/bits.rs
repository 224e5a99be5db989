//! The same device, seed and data give the same bits; a resumed run equals the uninterrupted one; the steady state
//! makes no objects.

use tbrm_testing::{block_on, gpu_test};

use super::{config, gpu, model, trajectories, weights};
use crate::gpu::{Gpu, GpuOptions};
use crate::model::{Model, ModelConfig};
use crate::train::trainer::{Start, Trainer};
use crate::train::{Checkpoint, Event, Metrics, Reference, TrainConfig};

fn tiny() -> ModelConfig {
    config([64, 2, 32, 4, 2, 8, 48], r#", "tie_word_embeddings": true"#)
}

fn train_config() -> TrainConfig {
    TrainConfig {
        learning_rate: 1e-3,
        steps: 8,
        batch: 5,
        micro_batch_tokens: 40,
        checkpoint_every: 3,
        reference_reset: 4,
        warmup: 2,
        schedule: crate::train::Schedule::Cosine,
        ..TrainConfig::default()
    }
}

fn start(gpu: &Gpu) -> Start {
    let config = tiny();
    let lengths: Vec<(usize, usize)> = (0..13).map(|i| (1 + i % 4, 1 + (i * 5) % 11)).collect();
    Start {
        model: model(gpu, &config, &weights(&config, 2)),
        data: trajectories(&lengths, config.vocab_size, 3),
        eval: trajectories(&lengths[..4], config.vocab_size, 4),
        key: "key".into(),
        reference: None,
        variants: None,
        resume: None,
    }
}

#[derive(Default)]
struct Run {
    metrics: Vec<Metrics>,
    checkpoints: Vec<Checkpoint>,
    reference: Vec<u8>,
}

/// Runs to the end, or asks to stop after `stop_after` steps' metrics.
fn run(trainer: &mut Trainer, stop_after: Option<usize>) -> Run {
    let mut run = Run::default();
    while let Some(event) = block_on(trainer.next()).unwrap() {
        match event {
            Event::Step(metrics) => run.metrics.push(metrics),
            Event::Checkpoint(checkpoint) => run.checkpoints.push(*checkpoint),
            Event::Reference(bytes) => run.reference = bytes,
            _ => {}
        }
        if Some(run.metrics.len()) == stop_after {
            trainer.stop();
        }
    }
    run
}

/// Everything but the times.
fn untimed(metrics: &[Metrics]) -> Vec<Metrics> {
    metrics.iter().map(|m| Metrics { step_time: 0.0, tokens_per_s: 0.0, ..m.clone() }).collect()
}

gpu_test!(two_runs_give_the_same_bits);
fn two_runs_give_the_same_bits() {
    let gpu = gpu();
    let runs: Vec<Run> =
        (0..2).map(|_| run(&mut Trainer::new(&gpu, &train_config(), start(&gpu)).unwrap(), None)).collect();
    assert_eq!(untimed(&runs[0].metrics), untimed(&runs[1].metrics));
    assert_eq!(runs[0].metrics.len(), 8);
    let last = |run: &Run| run.checkpoints.last().unwrap().clone();
    assert!(last(&runs[0]).last);
    assert_eq!(last(&runs[0]).model, last(&runs[1]).model);
    assert_eq!(last(&runs[0]).optimizer, last(&runs[1]).optimizer);
}

gpu_test!(steps_that_come_back_together_are_the_same);
fn steps_that_come_back_together_are_the_same() {
    let slow = block_on(Gpu::open(&GpuOptions { slow_readbacks: true, ..GpuOptions::default() })).unwrap();
    let config = TrainConfig { steps: 30, checkpoint_every: 7, ..train_config() };
    let [one, other] =
        [&gpu(), &slow].map(|gpu| run(&mut Trainer::new(gpu, &config, start(gpu)).unwrap(), None));
    assert_eq!(untimed(&one.metrics), untimed(&other.metrics));
    assert_eq!(one.metrics.len(), 30);
    assert_eq!(one.reference, other.reference);
    assert!(one.checkpoints.last().unwrap().model == other.checkpoints.last().unwrap().model);
}

gpu_test!(what_a_run_held_is_given_back);
fn what_a_run_held_is_given_back() {
    let gpu = block_on(Gpu::open(&GpuOptions::default())).unwrap();
    let before = gpu.held_bytes();
    let mut trainer = Trainer::new(&gpu, &train_config(), start(&gpu)).unwrap();
    // Not to its end: some steps are on their way.
    while block_on(trainer.next()).unwrap().is_some_and(|event| !matches!(event, Event::Step(_))) {}
    assert!(gpu.held_bytes() > before);
    drop(trainer);
    assert_eq!(gpu.held_bytes(), before);
    gpu.check().unwrap();
}

gpu_test!(a_resumed_run_equals_the_uninterrupted_one);
fn a_resumed_run_equals_the_uninterrupted_one() {
    let gpu = gpu();
    let whole = run(&mut Trainer::new(&gpu, &train_config(), start(&gpu)).unwrap(), None);
    for stop_after in [1, 3, 5] {
        let mut trainer = Trainer::new(&gpu, &train_config(), start(&gpu)).unwrap();
        let before = run(&mut trainer, Some(stop_after));
        let checkpoint = before.checkpoints.last().unwrap();
        let steps = checkpoint.state.step as usize;
        assert!(!checkpoint.last && (stop_after..8).contains(&steps), "stopped after {steps}");
        assert_eq!(before.metrics.len(), steps, "a checkpoint comes after the metrics of all its steps");
        let config = tiny();
        let files = [("model.safetensors", checkpoint.model.as_slice())];
        let reference = checkpoint.reference.as_ref().unwrap_or(&before.reference);
        let resumed = Start {
            model: Model::load(&gpu, &config, 64, &files, None).unwrap(),
            reference: Reference::from_bytes(reference, "key").unwrap(),
            resume: Some((checkpoint.state.clone(), checkpoint.optimizer.clone())),
            ..start(&gpu)
        };
        let after = run(&mut Trainer::new(&gpu, &train_config(), resumed).unwrap(), None);
        let metrics: Vec<Metrics> = before.metrics.iter().chain(&after.metrics).cloned().collect();
        assert_eq!(untimed(&metrics), untimed(&whole.metrics));
        let (a, b) = (after.checkpoints.last().unwrap(), whole.checkpoints.last().unwrap());
        assert!(a.model == b.model && a.optimizer == b.optimizer, "stopped after {steps}: other bits");
    }
}

gpu_test!(other_settings_are_refused);
fn other_settings_are_refused() {
    let gpu = gpu();
    let mut trainer = Trainer::new(&gpu, &train_config(), start(&gpu)).unwrap();
    let before = run(&mut trainer, Some(1));
    let checkpoint = before.checkpoints.last().unwrap();
    let resumed = Start {
        resume: Some((checkpoint.state.clone(), checkpoint.optimizer.clone())),
        reference: Reference::from_bytes(&before.reference, "key").unwrap(),
        ..start(&gpu)
    };
    let other = TrainConfig { beta: 0.06, ..train_config() };
    assert!(Trainer::new(&gpu, &other, resumed).err().expect("beta differs").what.contains("differ"));
}

gpu_test!(the_steady_state_makes_no_objects);
fn the_steady_state_makes_no_objects() {
    let gpu = gpu();
    // Every step has the same four records, so every micro-batch has a shape seen before.
    let train = TrainConfig { steps: 12, batch: 4, shuffle: false, ..train_config() };
    let train = TrainConfig { checkpoint_every: 0, reference_reset: 0, ..train };
    let mut begin = start(&gpu);
    begin.data.truncate(4);
    let mut trainer = Trainer::new(&gpu, &train, begin).unwrap();
    let mut made = Vec::new();
    while let Some(event) = block_on(trainer.next()).unwrap() {
        if matches!(event, Event::Step(_)) {
            made.push(gpu.made());
        }
    }
    assert_eq!(made.len(), 12);
    assert_eq!(made[1], made[9], "steps 2 to 10 made something");
}

gpu_test!(a_loss_that_is_not_finite_stops_and_names_the_trajectory);
fn a_loss_that_is_not_finite_stops_and_names_the_trajectory() {
    let gpu = gpu();
    let mut begin = start(&gpu);
    begin.data[6].reward = Some(3e38);
    let mut trainer = Trainer::new(&gpu, &train_config(), begin).unwrap();
    let error = loop {
        match block_on(trainer.next()) {
            Ok(event) => assert!(event.is_some(), "the run ended well"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind, crate::ErrorKind::NotFinite);
    assert!(error.what.contains("of line 7"), "{}", error.what);
}
