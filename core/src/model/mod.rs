//! The model: its config, its parameters, and how both are read from and written to Hugging Face files.

pub mod batch_io;
pub(crate) mod cache;
pub mod config;
pub(crate) mod critic;
pub(crate) mod decoder;
pub mod device;
pub mod fresh;
pub(crate) mod head;
pub mod ids;
pub mod init;
mod keys;
pub mod params;
pub mod presets;
pub mod rope;
mod step;
pub mod weights;

pub use config::ModelConfig;
pub use device::Model;
pub use params::{ParamKind, ParamSpec, Source};
pub use presets::{PRESETS, Preset};
pub use rope::{Rope, RopeScaling};
