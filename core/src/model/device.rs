//! A model on the device: its configuration, where its parameters lie, and what its kernels need besides them.

use std::sync::Arc;

use super::config::ModelConfig;
use super::decoder::Dims;
use super::ids::Ids;
use super::init::init_param;
use super::params::ParamSpec;
use super::weights;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::buffer::WORD;
use crate::gpu::pages::{Layout, Pages};
use crate::gpu::{Gpu, View};

/// The most channels of a head that the attention kernels hold in registers.
const MAX_HEAD: usize = 128;

/// A decoder whose weights are in device memory.
#[derive(Clone)]
pub struct Model {
    /// What config.json says.
    pub config: ModelConfig,
    /// The parameter table.
    pub specs: Arc<Vec<ParamSpec>>,
    /// Where each parameter lies.
    pub layout: Arc<Layout>,
    /// The weights.
    pub weights: Pages,
    pub(crate) ids: Ids,
    pub(crate) dims: Dims,
    pub(crate) rope_table: View, // (positions, D)
    positions: usize,
}

/// Where the parameters of `config` would lie on `gpu`.
pub fn layout(gpu: &Gpu, config: &ModelConfig) -> Layout {
    let shapes: Vec<_> = config.params().iter().map(|spec| (spec.shape[0], spec.shape[1])).collect();
    Layout::new(&shapes, (gpu.caps().max_binding / WORD) as usize)
}

impl Model {
    /// A model of zeros, for sequences of up to `positions` tokens.
    ///
    /// # Errors
    /// [`crate::ErrorKind::TooLarge`] when the device has no room.
    pub fn zeros(gpu: &Gpu, config: &ModelConfig, positions: usize) -> Result<Model> {
        if config.head_dim > MAX_HEAD {
            return Err(Error::new(
                ErrorKind::Model,
                format!("heads of {} channels are not supported", config.head_dim),
                format!("use a model whose head_dim is at most {MAX_HEAD}"),
            ));
        }
        let layout = Arc::new(layout(gpu, config));
        let specs = config.params();
        let weights = Pages::new(gpu, "weights", layout.clone())?;
        let ids = Ids::new(&specs, config.num_hidden_layers);
        let rope_table = gpu.upload("rope", &rope_table(config, positions))?;
        let dims = Dims {
            vocab: config.vocab_size,
            channels: config.hidden_size,
            heads: config.num_attention_heads,
            kv_heads: config.num_key_value_heads,
            head_dim: config.head_dim,
            ffn: config.intermediate_size,
            eps: config.rms_norm_eps as f32,
        };
        let specs = Arc::new(specs);
        Ok(Model { config: config.clone(), specs, layout, weights, ids, dims, rope_table, positions })
    }

    /// The model that safetensors `files` (name, bytes) hold; `index` is the index of a model in several files.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Model`] names a tensor that is missing, misshapen, damaged or not finite.
    pub fn load(
        gpu: &Gpu,
        config: &ModelConfig,
        positions: usize,
        files: &[(&str, &[u8])],
        index: Option<&str>,
    ) -> Result<Model> {
        let model = Model::zeros(gpu, config, positions)?;
        weights::load(&model.specs, files, index, |id, data| {
            model.weights.write(gpu, id, &data);
            gpu.check()
        })?;
        Ok(model)
    }

    /// A fresh model, drawn from `seed`.
    ///
    /// # Errors
    /// As [`Model::zeros`].
    pub fn fresh(gpu: &Gpu, config: &ModelConfig, positions: usize, seed: u64) -> Result<Model> {
        let model = Model::zeros(gpu, config, positions)?;
        for (id, spec) in model.specs.iter().enumerate() {
            model.weights.write(gpu, id, &init_param(spec, config.initializer_range, seed));
        }
        Ok(model)
    }

    /// The same model with weights of its own, zeros: all else is shared.
    ///
    /// # Errors
    /// As [`Model::zeros`].
    pub(crate) fn with_weights(&self, gpu: &Gpu, label: &str) -> Result<Model> {
        Ok(Model { weights: Pages::new(gpu, label, self.layout.clone())?, ..self.clone() })
    }

    /// The bytes of model.safetensors, in f32 with Hugging Face names.
    ///
    /// # Errors
    /// As [`Gpu::read`].
    pub async fn save(&self, gpu: &Gpu) -> Result<Vec<u8>> {
        let all = self.weights.read(gpu).await?;
        let slices: Vec<&[f32]> = all.iter().map(Vec::as_slice).collect();
        weights::save(&self.specs, &slices)
    }

    /// The longest sequence that the model was opened for, in tokens.
    pub fn positions(&self) -> usize {
        self.positions
    }
}

/// (positions, D): D/2 cosines, then D/2 sines of position * inv_freq, computed in f64.
fn rope_table(config: &ModelConfig, positions: usize) -> Vec<f32> {
    let inv_freq = config.rope.inv_freq(config.head_dim);
    let mut table = Vec::with_capacity(positions * config.head_dim);
    for position in 0..positions {
        let angles = || inv_freq.iter().map(|&f| position as f64 * f64::from(f));
        table.extend(angles().map(|angle| angle.cos() as f32));
        table.extend(angles().map(|angle| angle.sin() as f32));
    }
    table
}
