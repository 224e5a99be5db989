//! What a run will need, and what decides it: the data it can take, its order, its largest micro-batch.

use super::config::TrainConfig;
use super::engine::{Engine, EngineConfig, MicroBatch};
use super::learner::Learner;
use crate::data::batch::{Batch, Shape, bucket};
use crate::data::trajectory::Trajectory;
use crate::data::{Order, Sets};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;
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
        let logged = Logged::new(config, data)?;
        let rehearsal = gpu.rehearse();
        let model = Model::zeros(&rehearsal, model, positions)?;
        let weight_bytes = model.layout.bytes();
        let params = model.config.param_count();
        let mut learner = Learner::new(&rehearsal, config, model, None, None)?;
        let shape = logged.largest_shape(&learner.engine, config, data)?;
        let live_bytes = learner.reserve(shape)?.layout().peak_live;
        let steps_tokens =
            |step| -> u64 { logged.step(step).0.iter().map(|&i| data[i].tokens.len() as u64).sum() };
        Ok(Estimate {
            params,
            weight_bytes,
            total_bytes: rehearsal.rehearsed_bytes(),
            arena_bytes: learner.engine.arena().bytes(),
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

/// Which completions of logs each step is trained on.
pub(crate) struct Logged {
    sets: Sets,
    pub(super) order: Order, // of the sets
}

impl Logged {
    /// Steps of `config.batch` completions, or as many whole groups or pairs as the batch surely holds.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] names a record that lacks what the objective needs; [`ErrorKind::Config`] where the batch holds
    /// no whole group.
    pub(crate) fn new(config: &TrainConfig, data: &[Trajectory]) -> Result<Logged> {
        if data.is_empty() {
            let help = "give a file with at least one record";
            return Err(Error::new(ErrorKind::Data, "there are no records", help));
        }
        config.objective.check(&config.terms, data)?;
        let sets = Sets::new(config.objective, config.needs().together, data)?;
        let largest = sets.largest();
        if largest > config.batch {
            let what = format!(
                "`batch` is {}, and the largest group has {largest} completions, which {} needs in one step",
                config.batch,
                config.objective.name()
            );
            return Err(Error::new(ErrorKind::Config, what, format!("raise `batch` to {largest}")));
        }
        let order = Order {
            records: sets.len(),
            batch: config.batch / largest,
            shuffle: config.shuffle.then_some(config.seed),
        };
        Ok(Logged { sets, order })
    }

    /// The completions of step `step` (from 0), as places in the data, and the sizes of the sets that they stand in.
    pub(crate) fn step(&self, step: u64) -> (Vec<usize>, Vec<usize>) {
        let sets: Vec<Vec<usize>> =
            self.order.step(step).into_iter().map(|set| self.sets.members(set)).collect();
        (sets.concat(), sets.iter().map(Vec::len).collect())
    }

    /// The micro-batches of step `step`, in order.
    pub(super) fn micro_batches(
        &self,
        engine: &Engine,
        step: u64,
        data: &[Trajectory],
    ) -> Result<Vec<Batch>> {
        let (indices, sizes) = self.step(step);
        let members: Vec<&Trajectory> = indices.iter().map(|&i| &data[i]).collect();
        let batch = |micro: MicroBatch| {
            Batch::new(micro.places.iter().map(|&place| (indices[place], members[place])))
                .with_sets(micro.sizes.iter().copied())
        };
        Ok(engine.micro_batches(&members, &sizes)?.into_iter().map(batch).collect())
    }

    /// The shape that needs most memory among the run's micro-batches.
    pub(super) fn largest_shape(
        &self,
        engine: &Engine,
        config: &TrainConfig,
        data: &[Trajectory],
    ) -> Result<Shape> {
        let mut largest = Shape { tokens: 0, rows: 0, trajectories: 0 };
        let steps = config.steps.min(self.order.steps_in_epochs(1).max(1));
        for step in 0..steps {
            for batch in self.micro_batches(engine, step, data)? {
                let shape = engine.shape(&batch);
                if (shape.tokens, shape.rows) > (largest.tokens, largest.rows) {
                    largest = shape;
                }
            }
        }
        Ok(largest)
    }
}

/// The largest shape that micro-batches of the settings can have, whatever their completions.
pub(crate) fn largest(config: &TrainConfig) -> Shape {
    let tokens = bucket(config.micro_batch_tokens);
    Shape { tokens, rows: tokens, trajectories: engine_config(config).trajectories + 1 }
}
