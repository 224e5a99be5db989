//! The model: its config, its parameters, and how both are read from and written to Hugging Face files.

pub mod config;
pub mod init;
pub mod params;
pub mod rope;
pub mod weights;

pub use config::{ModelConfig, PRESETS, Preset};
pub use params::{ParamKind, ParamSpec, Source};
pub use rope::{Rope, RopeScaling};
