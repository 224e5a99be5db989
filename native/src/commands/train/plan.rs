//! What a run will take: memory before anything is allocated, and time.

use std::time::Duration;

use serde_json::{Value, json};
use tbrm_core::train::{Estimate, Reference, Start};
use tbrm_core::{Event, Gpu, Model, TrainConfig, Trainer};

use super::Inputs;
use crate::exit::Failure;
use crate::progress::duration;
use crate::tuning;

/// Steps that a dry run measures, after one that compiles the kernels.
const MEASURED: usize = 3;

/// A forward and a backward pass cost about three forward passes.
const PASSES_OF_A_STEP: f64 = 3.0;

/// The plan as people read it.
pub(super) fn describe(inputs: &Inputs, config: &TrainConfig, estimate: &Estimate) -> String {
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    let (data, eval) = (&inputs.data, &inputs.eval);
    let schedule = serde_json::to_value(config.schedule).unwrap_or_default();
    [
        format!(
            "records    {} ({} set aside, {} held out), the longest {} tokens",
            data.trajectories.len(),
            data.rejected.len() + eval.rejected.len(),
            eval.trajectories.len(),
            inputs.longest()
        ),
        format!(
            "objective  {}, beta {}, logit scale {}",
            config.objective.name(),
            config.beta,
            config.logit_scale
        ),
        format!(
            "steps      {} of {} completions, {} tokens in all; a checkpoint every {}",
            config.steps, config.batch, estimate.tokens, config.checkpoint_every
        ),
        format!(
            "optimizer  AdamW, learning rate {} ({}, warm-up {}), clip {}, decay {}",
            config.learning_rate,
            schedule.as_str().unwrap_or_default(),
            config.warmup,
            config.grad_clip,
            config.weight_decay
        ),
        format!(
            "memory     {}: {} parameters, {} each for weights, gradients and two moments, {} of activations for \
             micro-batches of up to {} tokens",
            mib(estimate.total_bytes),
            estimate.params,
            mib(estimate.weight_bytes),
            mib(estimate.arena_bytes),
            estimate.largest.0
        ),
    ]
    .join("\n")
}

/// Bytes that a run on `gpu` may take, where it is known: a software adapter's memory is the system's.
pub(super) fn available(gpu: &Gpu) -> Option<u64> {
    if !gpu.caps().software {
        return None;
    }
    meminfo(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

fn meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

/// How long a run takes: a few of its steps are measured.
pub(super) struct Forecast {
    tokens_per_s: f64,
    seconds: f64,
}

impl Forecast {
    /// Runs the first steps and forgets them.
    pub(super) fn measure(
        gpu: &Gpu,
        config: &TrainConfig,
        model: Model,
        inputs: Inputs,
        estimate: &Estimate,
    ) -> Result<Forecast, Failure> {
        let lengths: Vec<usize> = inputs.all().map(|t| t.num_actions()).collect();
        let scored: usize = inputs.all().map(|t| t.tokens.len()).sum();
        let variants = Some(tuning::variants(gpu, config, &model, &inputs.data.trajectories)?);
        let start = Start {
            model,
            data: inputs.data.trajectories,
            eval: inputs.eval.trajectories,
            key: String::new(),
            // Its numbers do not change how long a step takes.
            reference: Some(Reference::none(lengths.into_iter())),
            variants,
            resume: None,
        };
        let mut trainer = Trainer::new(gpu, config, start)?;
        let mut speeds = Vec::new();
        while speeds.len() <= MEASURED {
            match pollster::block_on(trainer.next())? {
                Some(Event::Step(metrics)) => speeds.push(metrics.tokens_per_s),
                Some(_) => {}
                None => break,
            }
        }
        if speeds.len() > 1 {
            speeds.remove(0);
        }
        speeds.sort_by(f64::total_cmp);
        let tokens_per_s = speeds[speeds.len() / 2];
        let reference =
            if config.objective.needs_reference() { scored as f64 / PASSES_OF_A_STEP } else { 0.0 };
        Ok(Forecast { tokens_per_s, seconds: (estimate.tokens as f64 + reference) / tokens_per_s })
    }

    /// The forecast as people read it.
    pub(super) fn describe(&self) -> String {
        let time = duration(Duration::from_secs_f64(self.seconds));
        format!("time       about {time}, at {:.0} tokens/s", self.tokens_per_s)
    }

    /// The plan with its forecast, for `--json`.
    pub(super) fn json(&self, config: &TrainConfig, estimate: &Estimate) -> Value {
        json!({
            "config": config,
            "estimate": estimate,
            "tokens_per_s": self.tokens_per_s,
            "seconds": self.seconds,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::meminfo;

    #[test]
    fn available_memory_is_read_in_bytes() {
        let text = "MemTotal:       16384 kB\nMemFree:  1 kB\nMemAvailable:    8192 kB\n";
        assert_eq!(meminfo(text), Some(8 << 20));
        assert_eq!(meminfo("MemTotal: 1 kB\n"), None);
    }
}
