//! What a run will need, and what decides it: the data it can take, its order, its largest micro-batch.

use super::config::TrainConfig;
use super::engine::{Engine, EngineConfig};
use super::optimizer::Optimizer;
use crate::data::Order;
use crate::data::batch::{Batch, Shape};
use crate::data::trajectory::Trajectory;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;
use crate::gpu::kernels::objective::ObjectiveStep;
use crate::model::{Model, ModelConfig};

/// What a run needs, known before anything is allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Estimate {
    /// Parameters.
    pub params: u64,
    /// Bytes of the weights.
    pub weight_bytes: u64,
    /// Bytes of weights, gradients, both moments, activations and batches.
    pub total_bytes: u64,
    /// Bytes of activations and other tensors of a micro-batch.
    pub arena_bytes: u64,
    /// The most bytes of those that are alive at a time.
    pub live_bytes: u64,
    /// Optimizer steps.
    pub steps: u64,
    /// Tokens, prompt and completion, of all steps.
    pub tokens: u64,
    /// The largest micro-batch's shape: tokens, rows.
    pub largest: (usize, usize),
}

impl Estimate {
    /// What a run with `config` on `data` needs; nothing is allocated.
    ///
    /// # Errors
    /// As [`super::Trainer::new`].
    pub fn of_run(
        gpu: &Gpu,
        config: &TrainConfig,
        model: &ModelConfig,
        positions: usize,
        data: &[Trajectory],
    ) -> Result<Estimate> {
        config.check()?;
        check_data(config, data)?;
        let rehearsal = gpu.rehearse();
        let order = order(config, data.len());
        let model = Model::zeros(&rehearsal, model, positions)?;
        let weight_bytes = model.layout.bytes();
        let params = model.config.param_count();
        let mut engine = Engine::new(&rehearsal, model, engine_config(config), None)?;
        let optimizer = Optimizer::new(&rehearsal, &engine.model, engine.variants)?;
        let step = rehearsal.uniform("objective.step", size_of::<ObjectiveStep>() / 4)?;
        let shape = largest_shape(&engine, config, order, data)?;
        let live_bytes =
            engine.train_plan(shape, config.objective, &step, &optimizer.grads)?.layout().peak_live;
        let steps_tokens =
            |step| -> u64 { order.step(step).iter().map(|&i| data[i].tokens.len() as u64).sum() };
        Ok(Estimate {
            params,
            weight_bytes,
            total_bytes: rehearsal.rehearsed_bytes(),
            arena_bytes: engine.arena().bytes(),
            live_bytes,
            steps: config.steps,
            tokens: (0..config.steps).map(steps_tokens).sum(),
            largest: (shape.tokens, shape.rows),
        })
    }

    /// Refuses a run that needs more than `available` bytes.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] says how much it needs, and what to change.
    pub fn check(&self, available: u64) -> Result<()> {
        if self.total_bytes <= available {
            return Ok(());
        }
        // Weights, gradients and two moments stay whatever the micro-batch's size.
        let help = if 4 * self.weight_bytes > available {
            "use a smaller model, or an adapter with more memory"
        } else {
            "lower `micro_batch_tokens`, set long records aside with `max_length` and `skip_invalid`, or use a smaller model"
        };
        let what = format!(
            "training needs {} bytes ({} for weights, gradients and moments of {} parameters), and {available} are \
             available",
            self.total_bytes,
            4 * self.weight_bytes,
            self.params
        );
        Err(Error::new(ErrorKind::TooLarge, what, help))
    }
}

pub(super) fn engine_config(config: &TrainConfig) -> EngineConfig {
    EngineConfig {
        micro_batch_tokens: config.micro_batch_tokens,
        // A trajectory has at least a prompt token and an action.
        trajectories: config.batch.min(config.micro_batch_tokens / 2).max(1),
        logit_scale: config.logit_scale as f32,
        submit_part: None,
    }
}

pub(super) fn order(config: &TrainConfig, records: usize) -> Order {
    Order { records, batch: config.batch, shuffle: config.shuffle.then_some(config.seed) }
}

pub(super) fn check_data(config: &TrainConfig, data: &[Trajectory]) -> Result<()> {
    if data.is_empty() {
        return Err(Error::new(
            ErrorKind::Data,
            "there are no records",
            "give a file with at least one record",
        ));
    }
    let unlabelled = data.iter().find(|t| t.reward.is_none());
    if let (true, Some(bad)) = (config.objective.needs_reward(), unlabelled) {
        let what =
            format!("{}: the record has no reward, which {} needs", bad.place(), config.objective.name());
        return Err(Error::new(ErrorKind::Data, what, "add a reward to it, or train with `objective` sft"));
    }
    Ok(())
}

/// The shape that needs most memory among the run's micro-batches.
pub(super) fn largest_shape(
    engine: &Engine,
    config: &TrainConfig,
    order: Order,
    data: &[Trajectory],
) -> Result<Shape> {
    let mut largest = Shape { tokens: 0, rows: 0, trajectories: 0 };
    let steps = config.steps.min(order.steps_in_epochs(1).max(1));
    for step in 0..steps {
        let members: Vec<&Trajectory> = order.step(step).iter().map(|&i| &data[i]).collect();
        for places in engine.micro_batches(&members)? {
            let shape = engine.shape(&Batch::new(places.iter().map(|&p| (p, members[p]))));
            if (shape.tokens, shape.rows) > (largest.tokens, largest.rows) {
                largest = shape;
            }
        }
    }
    Ok(largest)
}
