//! What the command `tbrm` is made of, apart from the training itself, which is `tbrm-core`'s: the command line, files,
//! progress and reports.

#![forbid(unsafe_code)]

pub mod args;
pub mod cache_dir;
mod collect;
pub mod commands;
pub mod exit;
pub mod interrupt;
pub mod model_dir;
pub mod pipelines;
pub mod progress;
mod rewards;
pub mod serve;
pub mod store;
pub mod tensorboard;
#[cfg(test)]
mod testing;
pub mod tuning;
