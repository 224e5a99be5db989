//! Everything that a run needs to go on with the same bits.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::config::TrainConfig;
use super::engine::Engine;
use super::optimizer::{OfCritic, Optimizer};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;
use crate::gpu::pages::Pages;
use crate::model::critic::{Critic, PARAMS};
use crate::ops::Names;

/// `state.json`: where the run stood, and what decides its bits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Optimizer steps done.
    pub step: u64,
    /// Completion tokens trained on.
    pub num_tokens: u64,
    /// The evaluation with the lowest held-out loss so far; its step has a checkpoint.
    pub best: Option<Best>,
    /// The run's settings.
    pub config: TrainConfig,
    /// The kernels that ran.
    pub variants: Names,
    /// The adapter and driver that ran them.
    pub device: String,
}

/// The best evaluation of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Optimizer steps done.
    pub step: u64,
    /// The held-out loss; online the mean reward on held-out prompts, negated.
    pub loss: f64,
}

/// A moment of a run.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Where it stood.
    pub state: State,
    /// Bytes of `model.safetensors`.
    pub model: Vec<u8>,
    /// Bytes of `optimizer.safetensors`.
    pub optimizer: Vec<u8>,
    /// Bytes of `reference.safetensors`, where the reference is no longer the initial model's.
    pub reference: Option<Vec<u8>>,
    /// Online: bytes of `rollouts.safetensors`, which the next steps may draw from.
    pub rollouts: Option<Vec<u8>>,
    /// Online: the reference's weights, where they are no longer the initial model's.
    pub reference_model: Option<Vec<u8>>,
    /// Whether the run ends here.
    pub last: bool,
}

impl State {
    /// The text of `state.json`.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`] when a number in it is not finite.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map_err(|e| damaged("state.json", &e.to_string()))
    }

    /// Reads what [`State::to_json`] wrote.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`] when it is something else.
    pub fn parse(json: &[u8]) -> Result<State> {
        serde_json::from_slice(json).map_err(|e| damaged("state.json", &e.to_string()))
    }
}

/// Names the device for the record.
pub fn device_name(gpu: &Gpu) -> String {
    let info = gpu.info();
    format!("{} ({:?}; {} {})", info.name, info.backend, info.driver, info.driver_info)
}

const MOMENTS: [&str; 2] = ["m", "v"];

/// What there is of the critic beside what there is of the model, with the prefixes of the names.
fn of_critic<'a>(
    engine: &'a Engine,
    optimizer: &'a Optimizer,
) -> Option<(&'a Critic, [(&'a str, &'a Pages); 3])> {
    let (Some(critic), Some(OfCritic { m, v, .. })) = (&engine.critic, &optimizer.critic) else {
        return None;
    };
    Some((critic, [("", &critic.weights), ("m.", m), ("v.", v)]))
}

/// Bytes of `optimizer.safetensors`: both moments of every parameter, named `m.NAME` and `v.NAME`; of ppo also the critic,
/// `value.weight` and `value.bias`, and its moments, since a model directory has no place for it.
pub(crate) async fn save_optimizer(gpu: &Gpu, engine: &Engine, optimizer: &Optimizer) -> Result<Vec<u8>> {
    let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> = Vec::new();
    let model = &engine.model;
    for (prefix, pages) in MOMENTS.iter().zip([&optimizer.m, &optimizer.v]) {
        for (spec, data) in model.specs.iter().zip(pages.read(gpu).await?) {
            tensors.push((format!("{prefix}.{}", spec.name), spec.shape.to_vec(), data));
        }
    }
    if let Some((critic, all)) = of_critic(engine, optimizer) {
        for (prefix, pages) in all {
            for ((name, shape), data) in PARAMS.iter().zip(critic.shapes()).zip(pages.read(gpu).await?) {
                tensors.push((format!("{prefix}{name}"), shape.to_vec(), data));
            }
        }
    }
    let views = tensors
        .iter()
        .map(|(name, shape, data)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytemuck::cast_slice(data));
            view.map(|view| (name.as_str(), view))
                .map_err(|e| damaged("optimizer.safetensors", &e.to_string()))
        })
        .collect::<Result<Vec<_>>>()?;
    let metadata = HashMap::from([("format".to_owned(), "tbrm".to_owned())]);
    safetensors::serialize(views, Some(metadata))
        .map_err(|e| damaged("optimizer.safetensors", &e.to_string()))
}

/// Reads what [`save_optimizer`] wrote into the optimizer's moments and the critic.
pub(crate) fn load_optimizer(gpu: &Gpu, engine: &Engine, optimizer: &Optimizer, bytes: &[u8]) -> Result<()> {
    let file =
        SafeTensors::deserialize(bytes).map_err(|e| damaged("optimizer.safetensors", &e.to_string()))?;
    for (prefix, pages) in MOMENTS.iter().zip([&optimizer.m, &optimizer.v]) {
        for (id, spec) in engine.model.specs.iter().enumerate() {
            load_tensor(gpu, &file, &format!("{prefix}.{}", spec.name), &spec.shape, pages, id)?;
        }
    }
    if let Some((critic, all)) = of_critic(engine, optimizer) {
        for (prefix, pages) in all {
            for (id, (name, shape)) in PARAMS.iter().zip(critic.shapes()).enumerate() {
                load_tensor(gpu, &file, &format!("{prefix}{name}"), &shape, pages, id)?;
            }
        }
    }
    Ok(())
}

fn load_tensor(
    gpu: &Gpu,
    file: &SafeTensors<'_>,
    name: &str,
    shape: &[usize],
    pages: &Pages,
    id: usize,
) -> Result<()> {
    let tensor = file.tensor(name).map_err(|e| damaged("optimizer.safetensors", &e.to_string()))?;
    if tensor.dtype() != Dtype::F32 || tensor.shape() != shape {
        return Err(damaged("optimizer.safetensors", &format!("{name} is not f32 of shape {shape:?}")));
    }
    let data: Vec<f32> = bytemuck::pod_collect_to_vec(tensor.data());
    pages.write(gpu, id, &data);
    Ok(())
}

fn damaged(file: &str, why: &str) -> Error {
    let help = "resume from an earlier checkpoint, or start again";
    Error::new(ErrorKind::Checkpoint, format!("{file} is damaged: {why}"), help)
}
