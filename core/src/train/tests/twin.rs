//! Scores, losses, every named gradient, and optimizer steps, against the f64 twins.

use tbrm_testing::{block_on, gpu_test};

use super::{close, config, gpu, model, trajectories, twin_batch, twin_config, twin_params, weights};
use crate::data::batch::Batch;
use crate::data::sets::ranges;
use crate::data::trajectory::Trajectory;
use crate::gpu::kernels::objective::ObjectiveStep;
use crate::gpu::{Gpu, GpuOptions};
use crate::model::ModelConfig;
use crate::model::critic;
use crate::objective;
use crate::objective::{LossType, Objective, Terms, Together};
use crate::reference::adamw;
use crate::reference::decoder::{Params, loss_and_grads};
use crate::reference::objective::{Critique, Records, Settings, weight_sum};
use crate::train::engine::{Engine, EngineConfig, MicroBatch};
use crate::train::estimate::engine_config;
use crate::train::learner::{Example, StepData, known, signals};
use crate::train::metrics::TrajectoryStats;
use crate::train::optimizer::Optimizer;
use crate::train::trainer::{Start, Trainer};
use crate::train::{Calibrate, Event, TrainConfig};

const LENGTHS: [(usize, usize); 6] = [(1, 1), (3, 5), (2, 9), (7, 1), (4, 12), (1, 6)];

/// A reference unlike the model: log-probs and values drawn at random.
fn records(data: &[Trajectory]) -> Records {
    let rows: usize = data.iter().map(Trajectory::num_actions).sum();
    let stream = crate::rng::Stream::named(3, "reference");
    Records {
        ref_logp: (0..rows).map(|i| f64::from(-(stream.uniform(i as u64) as f32) - 2.0)).collect(),
        ref_v1: (0..data.len()).map(|i| f64::from(stream.uniform(1000 + i as u64) as f32)).collect(),
        reward: data.iter().map(|t| f64::from(t.reward.unwrap_or(0.0) as f32)).collect(),
        weight: data.iter().map(|t| f64::from(t.weight as f32)).collect(),
        ..Records::default()
    }
}

struct Case {
    objective: Objective,
    terms: Terms,
    kappa: f64,
    calibrate: bool,
    micro_batch_tokens: usize,
}

/// Sizes of the sets that [`LENGTHS`] stand in.
fn sizes(together: Together) -> Vec<usize> {
    match together {
        Together::Alone => vec![1; 6],
        Together::Pair => vec![2; 3],
        Together::Group => vec![2, 4],
    }
}

/// Statistics and gradients of one step on the device against the twin's.
fn check_gradients(gpu: &Gpu, config: &ModelConfig, case: &Case) {
    let Case { objective, terms, kappa, calibrate, micro_batch_tokens } = *case;
    let mut data = trajectories(&LENGTHS, config.vocab_size, 5);
    let sizes = sizes(objective.needs(&terms).together);
    if sizes == [2, 2, 2] {
        data.chunks_mut(2).for_each(|pair| pair[1].weight = pair[0].weight);
    }
    let weights = weights(config, 7);
    let beta = 0.3;
    let batch = twin_batch(&data);
    let rows = |i: usize| batch.traj_start[i] as usize..batch.traj_start[i + 1] as usize;
    // The policy that wrote the completions: log-probs of a size that the model's have.
    let stream = crate::rng::Stream::named(4, "behaviour");
    for (i, t) in data.iter_mut().enumerate() {
        t.logps = Some(rows(i).map(|r| -(stream.uniform(r as u64) as f32) - 3.0).collect());
    }
    let mut records = records(&data);
    records.sets = ranges(sizes.iter().copied());
    let drawn = |name: &str, by: f64| -> Vec<f64> {
        let stream = crate::rng::Stream::named(5, name);
        let all = records.ref_logp.len() as u64;
        (0..all).map(|r| f64::from((by * (stream.uniform(r) - 0.5)) as f32)).collect()
    };
    records.critique = Critique {
        advantage: drawn("advantage", 4.0),
        value: drawn("value", 1.0),
        returns: drawn("returns", 2.0),
    };
    records.old_logp = data.iter().flat_map(|t| t.logps.clone().unwrap()).map(f64::from).collect();
    let sum = |objective| weight_sum(objective, &terms, &batch.traj_start, &records.weight);
    let settings = Settings {
        objective,
        terms,
        beta,
        logit_scale: kappa,
        calibrate,
        weight_sum: sum(objective),
        tbrm_weight_sum: sum(Objective::Tbrm),
    };
    let mut params = twin_params(&weights);
    let of_critic = |name: &str, count: u64| -> Vec<f64> {
        let stream = crate::rng::Stream::named(8, name);
        (0..count).map(|i| f64::from((stream.uniform(i) - 0.5) as f32)).collect()
    };
    params.insert("value.weight".into(), of_critic("value.weight", config.hidden_size as u64));
    params.insert("value.bias".into(), of_critic("value.bias", 1));
    let twin = loss_and_grads(&twin_config(config), &params, &batch, &records, &settings);

    let train = TrainConfig {
        objective,
        terms,
        beta,
        logit_scale: kappa,
        batch: data.len(),
        micro_batch_tokens,
        ..TrainConfig::default()
    };
    let engine_config = EngineConfig { submit_part: Some(7), ..engine_config(&train) };
    let mut engine = Engine::new(gpu, model(gpu, config, &weights), engine_config, None).unwrap();
    if objective == Objective::Ppo {
        engine.add_critic().unwrap();
        let critic = engine.critic.as_ref().expect("just added");
        for (id, name) in critic::PARAMS.iter().enumerate() {
            let data: Vec<f32> = params[*name].iter().map(|&x| x as f32).collect();
            critic.weights.write(gpu, id, &data);
        }
    }
    let optimizer = Optimizer::new(gpu, &engine.model, engine.critic.as_ref(), engine.variants).unwrap();
    let step = gpu.uniform("step", size_of::<ObjectiveStep>() / 4).unwrap();
    let weighted = data.iter().map(|t| (t.weight, t.num_actions()));
    gpu.write(&step, &[objective.step(&terms, beta, kappa, weighted)]);
    let ref_logp: Vec<Vec<f32>> =
        (0..data.len()).map(|i| records.ref_logp[rows(i)].iter().map(|&x| x as f32).collect()).collect();
    let narrow = |x: &[f64], i: usize| x[rows(i)].iter().map(|&x| x as f32).collect::<Vec<f32>>();
    let critiques: Vec<objective::Critique> = (0..data.len())
        .map(|i| objective::Critique {
            value: narrow(&records.critique.value, i),
            advantage: narrow(&records.critique.advantage, i),
            returns: narrow(&records.critique.returns, i),
        })
        .collect();
    let example = |(i, trajectory): (usize, _)| Example {
        trajectory,
        ref_logp: ref_logp[i].as_slice(),
        v_ref: if calibrate { records.ref_v1[i] as f32 } else { 0.0 },
        critique: Some(&critiques[i]),
    };
    let given = StepData { examples: data.iter().enumerate().map(example).collect(), sizes };
    let signals = signals(&train, &given);
    let members: Vec<&Trajectory> = data.iter().collect();
    let mut stats = vec![None; data.len()];
    for MicroBatch { places, sizes } in engine.micro_batches(&members, &given.sizes).unwrap() {
        let mut micro = Batch::new(places.iter().map(|&i| (i, &data[i]))).with_sets(sizes);
        let shape = engine.shape(&micro);
        micro.pad_to(shape).unwrap();
        engine.upload(&micro, &known(&micro, &given, &signals));
        let part = engine.submit_part();
        let plan = engine.train_plan(shape, train.mix(), &step, &optimizer).unwrap();
        plan.submit(gpu, part).unwrap();
        let rows = TrajectoryStats::rows(&block_on(gpu.read::<f32>(&engine.io.stats)).unwrap());
        places.iter().zip(rows).for_each(|(&i, row)| stats[i] = Some(row));
    }
    let stats: Vec<TrajectoryStats> =
        stats.into_iter().map(|row| row.expect("every trajectory ran")).collect();
    let column = |of: fn(&TrajectoryStats) -> f64| stats.iter().map(|s| of(s) as f32).collect::<Vec<_>>();
    // f32 sums of tens of terms of size up to ten.
    close("rho", &column(|s| s.rho), &twin.outcome.rho, 1e-4, 1e-5);
    close("v1", &column(|s| s.v1), &twin.outcome.v1, 1e-5, 1e-5);
    close("loss", &column(|s| s.loss), &twin.outcome.loss, 1e-4, 1e-4);
    let mut names: Vec<&str> = engine.model.specs.iter().map(|spec| spec.name.as_str()).collect();
    let mut all = block_on(optimizer.grads.read(gpu)).unwrap();
    if let Some(of_critic) = &optimizer.critic {
        names.extend(critic::PARAMS);
        all.extend(block_on(of_critic.grads.read(gpu)).unwrap());
        let clipped = twin.critic.expect("ppo has a critic").clipped;
        assert!(clipped.iter().any(|&n| n > 0.0), "no value is clipped");
    }
    assert_eq!(names.len(), all.len());
    for (name, got) in names.into_iter().zip(&all) {
        let expected = &twin.grads[name];
        let scale = expected.iter().fold(0.0f64, |m, g| m.max(g.abs()));
        assert!(scale > 0.0, "{name}: a gradient of zeros proves nothing");
        // Relative to the tensor's largest entry: small entries are differences of large terms.
        close(name, got, expected, 2e-4 * scale, 1e-3);
    }
}

fn plain() -> ModelConfig {
    config([31, 2, 24, 4, 2, 6, 20], r#", "tie_word_embeddings": true"#)
}

fn biased() -> ModelConfig {
    config([40, 2, 32, 4, 1, 8, 28], r#", "attention_bias": true, "mlp_bias": true, "rope_theta": 500.0"#)
}

fn case(objective: Objective, micro_batch_tokens: usize) -> Case {
    let mixed = Terms { hybrid_with: Objective::Rloo, ..Terms::published(Objective::Rloo, LossType::Grpo) };
    let terms = match objective {
        Objective::Hybrid => mixed,
        _ => Terms::published(objective, LossType::Grpo),
    };
    Case { objective, terms, kappa: 1.0, calibrate: false, micro_batch_tokens }
}

gpu_test!(gradients_of_every_objective_match_the_twin);
fn gradients_of_every_objective_match_the_twin() {
    let gpu = gpu();
    for objective in [Objective::Tbrm, Objective::Brm, Objective::Sft] {
        for config in [plain(), biased()] {
            check_gradients(&gpu, &config, &case(objective, 64));
        }
    }
    // The rest differ in their pair alone: one model, and micro-batches that just hold the largest set.
    for objective in Objective::ALL.into_iter().skip(3) {
        check_gradients(&gpu, &plain(), &case(objective, 44));
    }
    for loss_type in [LossType::Dapo, LossType::DrGrpo] {
        let terms = Terms { loss_length: 12, ..Terms::published(Objective::Grpo, loss_type) };
        check_gradients(&gpu, &plain(), &Case { terms, ..case(Objective::Grpo, 44) });
    }
}

gpu_test!(logit_scale_calibration_and_accumulation_match_the_twin);
fn logit_scale_calibration_and_accumulation_match_the_twin() {
    let gpu = gpu();
    for objective in [Objective::Tbrm, Objective::Brm] {
        check_gradients(&gpu, &plain(), &Case { kappa: 0.6, calibrate: true, ..case(objective, 17) });
    }
}

gpu_test!(split_tensors_match_the_twin_within_the_guaranteed_limits);
fn split_tensors_match_the_twin_within_the_guaranteed_limits() {
    let options =
        GpuOptions { guaranteed_limits: true, binding_limit: Some(64 << 10), ..GpuOptions::default() };
    let gpu = block_on(Gpu::open(&options)).expect("these tests need an adapter");
    let config = config([1331, 1, 32, 2, 2, 16, 200], "");
    let layout = crate::model::device::layout(&gpu, &config);
    assert!(layout.places.iter().any(|place| place.parts.len() > 2), "nothing is split: {layout:?}");
    check_gradients(&gpu, &config, &case(Objective::Tbrm, 17));
}

gpu_test!(ten_steps_match_the_twin);
/// Losses and the final weights of ten optimizer steps, clip and decay included.
fn ten_steps_match_the_twin() {
    let gpu = gpu();
    let config = plain();
    let mut data = trajectories(&LENGTHS, config.vocab_size, 11);
    data.iter_mut().for_each(|t| t.weight = 1.0);
    let start = weights(&config, 7);
    let train = TrainConfig {
        beta: 0.5,
        learning_rate: 3e-3,
        weight_decay: 0.05,
        grad_clip: 5.0,
        calibrate: Calibrate::VRef,
        steps: 10,
        batch: 4,
        shuffle: false,
        micro_batch_tokens: 24,
        checkpoint_every: 0,
        ..TrainConfig::default()
    };
    let begin = Start {
        model: model(&gpu, &config, &start),
        data: data.clone(),
        eval: Vec::new(),
        key: String::new(),
        reference: None,
        variants: None,
        resume: None,
    };
    let mut trainer = Trainer::new(&gpu, &train, begin).unwrap();
    let mut losses = Vec::new();
    while let Some(event) = block_on(trainer.next()).unwrap() {
        if let Event::Step(metrics) = event {
            losses.push((metrics.loss as f32, metrics.grad_norm as f32));
        }
    }
    let (expected, params) = twin_steps(&config, &train, &data, twin_params(&start));
    let (loss, norm): (Vec<f32>, Vec<f32>) = losses.into_iter().unzip();
    let (twin_loss, twin_norm): (Vec<f64>, Vec<f64>) = expected.into_iter().unzip();
    close("loss", &loss, &twin_loss, 1e-4, 2e-3);
    close("grad_norm", &norm, &twin_norm, 1e-4, 2e-3);
    assert!(twin_norm.iter().any(|&n| n > train.grad_clip), "nothing was clipped: {twin_norm:?}");
    let model = trainer.model().clone();
    let after = block_on(model.weights.read(&gpu)).unwrap();
    for (spec, got) in model.specs.iter().zip(&after) {
        // Adam divides by the gradient's own size: where that is rounding noise, a step may differ by its length.
        close(&spec.name, got, &params[&spec.name], 2e-3, 1e-3);
    }
}

fn twin_steps(
    config: &ModelConfig,
    train: &TrainConfig,
    data: &[Trajectory],
    mut params: Params,
) -> (Vec<(f64, f64)>, Params) {
    let twin = twin_config(config);
    let whole = twin_batch(data);
    let blank = records(data);
    let settings = |weight_sum| Settings {
        objective: Objective::Tbrm,
        terms: train.terms,
        beta: train.beta,
        logit_scale: 1.0,
        calibrate: true,
        weight_sum,
        tbrm_weight_sum: weight_sum,
    };
    let first = loss_and_grads(&twin, &params, &whole, &blank, &settings(1.0));
    let logp: Vec<f64> = first.stats.chosen.iter().zip(&first.stats.lse).map(|(c, l)| c - l).collect();
    let v1 = first.outcome.v1;
    let mut state = adamw::State::default();
    let update = adamw::Settings {
        lr: train.learning_rate,
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        weight_decay: train.weight_decay,
        grad_clip: Some(train.grad_clip),
    };
    let losses = (0..train.steps as usize).map(|step| {
        let members: Vec<usize> = (0..train.batch).map(|i| (step * train.batch + i) % data.len()).collect();
        let chosen: Vec<Trajectory> = members.iter().map(|&i| data[i].clone()).collect();
        let rows = |i: usize| whole.traj_start[i] as usize..whole.traj_start[i + 1] as usize;
        let records = Records {
            ref_logp: members.iter().flat_map(|&i| logp[rows(i)].to_vec()).collect(),
            ref_v1: members.iter().map(|&i| v1[i]).collect(),
            reward: members.iter().map(|&i| blank.reward[i]).collect(),
            weight: vec![1.0; members.len()],
            ..Records::default()
        };
        let step =
            loss_and_grads(&twin, &params, &twin_batch(&chosen), &records, &settings(members.len() as f64));
        let applied = adamw::step(&mut params, &step.grads, step.loss, &mut state, &update);
        (step.loss, applied.grad_norm)
    });
    let losses = losses.collect();
    (losses, params)
}
