//! Trains language models by Trajectory Bellman Residual Minimization (TBRM): the model's own logits are
//! Q-values, and one squared Bellman residual per whole completion is the loss. The whole transformer is WGSL
//! compute shaders, driven through wgpu; this crate does no file or network I/O, prints nothing and never blocks.

#![forbid(unsafe_code)]

pub mod data;
pub mod error;
pub mod gpu;
pub mod model;
pub mod reward;
pub mod rng;

pub use error::{Error, ErrorKind, Result};
