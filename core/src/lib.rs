//! Trains language models by Trajectory Bellman Residual Minimization (TBRM): the model's own logits are
//! Q-values, and one squared Bellman residual per whole completion is the loss. The whole transformer is WGSL
//! compute shaders, driven through wgpu; this crate does no file or network I/O, prints nothing and never blocks.

// Allowed once: `gpu/pipeline_cache.rs` says why.
#![deny(unsafe_code)]

pub mod chat;
pub mod compare;
pub mod data;
pub mod demo;
pub mod error;
pub mod evaluation;
pub mod gpu;
pub mod lab;
pub mod model;
pub mod objective;
pub mod online;
pub mod ops;
pub mod page;
pub mod platform;
pub mod reference;
pub mod reward;
pub mod rng;
pub mod rollout;
pub mod run;
pub mod task;
pub mod theory;
pub mod train;

pub use error::{Error, ErrorKind, Result};
pub use gpu::Gpu;
pub use model::Model;
pub use train::{Event, TrainConfig, Trainer};
