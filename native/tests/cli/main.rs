//! The command, run as a process: what it prints, what it writes, and how it ends.

mod collect;
mod demo;
mod devices;
mod eval;
mod generate;
mod init;
mod lab;
mod logs;
mod openai;
#[cfg(target_os = "linux")]
mod pipelines;
mod score;
mod serve;
mod support;
mod task;
