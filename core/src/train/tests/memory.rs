//! What a step needs is known before it is taken, and near what no plan could do without.

use tbrm_testing::gpu_test;

use super::gpu;
use crate::gpu::buffer::WORD;
use crate::model::{PRESETS, Preset};
use crate::objective::Objective;
use crate::train::Estimate;
use crate::train::bench::{Weights, workload};

/// Words per token of a micro-batch that its inputs may take: ids, positions, starts, targets, statistics and the like.
const WORDS_A_TOKEN: u64 = 32;

/// Of the preset's benchmark; nothing is allocated.
fn estimate(preset: &Preset, objective: Objective) -> Estimate {
    let gpu = gpu();
    let weights = Weights::Random(0);
    let (config, start) = workload(&gpu.rehearse(), preset, objective, weights, 3).unwrap();
    Estimate::of_run(&gpu, &config, &start.model.config, preset.tokens, &start.data).unwrap()
}

gpu_test!(a_step_takes_sixteen_bytes_a_parameter_and_its_activations);
fn a_step_takes_sixteen_bytes_a_parameter_and_its_activations() {
    for preset in PRESETS {
        for objective in [Objective::Tbrm, Objective::Sft] {
            let estimate = estimate(&preset, objective);
            let tokens = (preset.tokens * preset.sequences) as u64;
            let bound = 16 * estimate.params + estimate.arena_bytes + WORDS_A_TOKEN * WORD * tokens;
            // Where each parameter begins is aligned.
            let aligned = bound + bound / 100;
            assert!(estimate.total_bytes <= aligned, "{}: {estimate:?}", preset.name);
        }
    }
}

gpu_test!(planned_activations_are_near_the_live_peak);
fn planned_activations_are_near_the_live_peak() {
    for preset in PRESETS {
        for objective in [Objective::Tbrm, Objective::Sft] {
            let estimate = estimate(&preset, objective);
            let ratio = estimate.arena_bytes as f64 / estimate.live_bytes as f64;
            assert!((1.0..=1.25).contains(&ratio), "{}, {}: {ratio}", preset.name, objective.name());
        }
    }
}
