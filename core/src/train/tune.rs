//! Chooses kernel variants by measuring the run's own micro-batch on the device: no variant is the fastest everywhere.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::config::TrainConfig;
use super::engine::Engine;
use super::estimate::{Logged, engine_config};
use super::optimizer::Optimizer;
use crate::data::batch::Shape;
use crate::data::trajectory::Trajectory;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::gpu::View;
use crate::gpu::kernels::objective::ObjectiveStep;
use crate::model::Model;
use crate::model::batch_io::Known;
use crate::objective::Objective;
use crate::ops::{Names, Variants};
use crate::platform::now;

/// Runs of which the median counts; one more goes before, which compiles.
const RUNS: usize = 3;

/// The choices that were made before, by [`key`]: a device is measured once for a model's shape.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tuned(BTreeMap<String, Names>);

impl Tuned {
    /// Whether training `model` takes a measurement first.
    pub fn measures(&self, gpu: &Gpu, model: &Model) -> bool {
        // Names of another version's kernels are none.
        !gpu.caps().software && self.0.get(&key(gpu, model)).and_then(Variants::parse).is_none()
    }

    /// The kernels to train `model` with: those of an earlier choice, or as [`tune`] finds them now.
    ///
    /// # Errors
    /// As [`tune`].
    pub async fn variants(
        &mut self,
        gpu: &Gpu,
        config: &TrainConfig,
        model: &Model,
        data: &[Trajectory],
    ) -> Result<Names> {
        let key = key(gpu, model);
        if gpu.caps().software || self.measures(gpu, model) {
            let names = tune(gpu, config, model, data).await?;
            // A software adapter's table is no choice, and may change with the version.
            if !gpu.caps().software {
                self.0.insert(key, names.clone());
            }
            return Ok(names);
        }
        Ok(self.0[&key].clone())
    }
}

/// What decides whether an earlier choice may be used again: the adapter, its driver, and the model's shape.
pub fn key(gpu: &Gpu, model: &Model) -> String {
    let c = &model.config;
    format!(
        "{}; {} layers of {} channels, {} heads of {}, {} kv, ffn {}, vocabulary {}",
        super::checkpoint::device_name(gpu),
        c.num_hidden_layers,
        c.hidden_size,
        c.num_attention_heads,
        c.head_dim,
        c.num_key_value_heads,
        c.intermediate_size,
        c.vocab_size
    )
}

/// The fastest variants for training `model` on `data`, one family after the other, each measured in the whole
/// micro-batch. A software adapter keeps its fixed table.
///
/// # Errors
/// As [`super::Trainer::new`].
pub async fn tune(gpu: &Gpu, config: &TrainConfig, model: &Model, data: &[Trajectory]) -> Result<Names> {
    let head_dim = model.config.head_dim;
    let mut best = Variants::table(gpu.caps(), head_dim);
    if gpu.caps().software {
        return Ok(best.names());
    }
    let mut bench = Bench::new(gpu, config, model, data)?;
    let mut least = bench.seconds(&best).await?;
    for family in Variants::candidates(head_dim) {
        for change in family {
            let mut candidate = best;
            change(&mut candidate);
            if candidate == best {
                continue;
            }
            let seconds = bench.seconds(&candidate).await?;
            if seconds < least {
                (best, least) = (candidate, seconds);
            }
        }
    }
    Ok(best.names())
}

/// One micro-batch of the run's largest shape, run again and again.
struct Bench {
    gpu: Gpu,
    engine: Engine,
    optimizer: Optimizer,
    step: View,
    shape: Shape,
    config: TrainConfig,
}

impl Bench {
    fn new(gpu: &Gpu, config: &TrainConfig, model: &Model, data: &[Trajectory]) -> Result<Bench> {
        // The critic has nothing to choose, and logs cannot feed it.
        let objective = match config.objective {
            Objective::Ppo => Objective::Reinforce,
            other => other,
        };
        let config = &TrainConfig { objective, ..config.clone() };
        let engine = Engine::new(gpu, model.clone(), engine_config(config), None)?;
        let optimizer = Optimizer::new(gpu, &engine.model, None, engine.variants)?;
        let step = gpu.uniform("objective.step", size_of::<ObjectiveStep>() / 4)?;
        gpu.write(
            &step,
            &[ObjectiveStep { inv_weight: 1.0, inv_beta: 1.0, kappa: 1.0, ..Default::default() }],
        );
        let logged = Logged::new(config, data)?;
        let shape = logged.largest_shape(&engine, config, data)?;
        let mut batch = logged.micro_batches(&engine, 0, data)?.swap_remove(0);
        batch.pad_to(shape)?;
        engine.io.upload(gpu, &batch, &Known::nothing(shape));
        Ok(Bench { gpu: gpu.clone(), engine, optimizer, step, shape, config: config.clone() })
    }

    /// Median seconds of the micro-batch with `variants`.
    async fn seconds(&mut self, variants: &Variants) -> Result<f64> {
        self.engine.use_variants(*variants);
        let mut times = Vec::new();
        for _ in 0..=RUNS {
            let start = now();
            let part = self.engine.submit_part();
            let plan = self.engine.train_plan(self.shape, self.config.mix(), &self.step, &self.optimizer)?;
            plan.submit(&self.gpu, part)?;
            // The readback waits for everything before it.
            self.gpu.read::<f32>(&self.engine.io.stats.slice(0, 1)).await?;
            times.push(now() - start);
        }
        times.remove(0);
        times.sort_by(f64::total_cmp);
        Ok(times[times.len() / 2])
    }
}
