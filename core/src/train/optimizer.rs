//! AdamW over the parameter pages, as one recorded plan: the gradient's norm, the update, gradients back to zero.

use crate::error::Result;
use crate::gpu::kernels::adamw::{AdamwNorm, AdamwNormPartial, AdamwParams, AdamwStep, AdamwUpdate};
use crate::gpu::pages::Pages;
use crate::gpu::{Arena, Gpu, Plan, Recorder, View};
use crate::model::Model;
use crate::ops::adamw::partials;
use crate::ops::{Ops, Variants};

/// Of the first moment.
const BETA1: f64 = 0.9;
/// Of the second moment.
const BETA2: f64 = 0.999;
/// Keeps the update's denominator from zero.
const EPS: f32 = 1e-8;

/// What varies from step to step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Update {
    /// From 1.
    pub step: u64,
    pub learning_rate: f64,
    pub weight_decay: f64,
    /// 0 for none.
    pub clip: f64,
}

/// What AdamW keeps per parameter.
pub(crate) struct Optimizer {
    pub grads: Pages,
    pub m: Pages,
    pub v: Pages,
    pub norm: View, // (1)
    step: View,     // the uniform AdamwStep
    plan: Plan,
}

impl Optimizer {
    /// Allocates gradients and moments for `model`, zeroed, and records the update.
    pub(crate) fn new(gpu: &Gpu, model: &Model, variants: Variants) -> Result<Optimizer> {
        let pages = |label| Pages::new(gpu, label, model.layout.clone());
        let (grads, m, v) = (pages("grads")?, pages("adamw.m")?, pages("adamw.v")?);
        let counts: Vec<usize> = grads.pages.iter().map(View::len).collect();
        let sums: Vec<usize> = counts.iter().map(|&count| partials(&variants, count)).collect();
        let partial = gpu.storage("adamw.partial", sums.iter().sum())?;
        let norm = gpu.storage("adamw.norm", 1)?;
        let step = gpu.uniform("adamw.step", size_of::<AdamwStep>() / 4)?;
        let mut rec = Recorder::new("adamw");
        let mut ops = Ops { rec: &mut rec, variants };
        let total = sums.iter().sum::<usize>() as u32;
        let mut first = 0;
        for (page, &sums) in grads.pages.iter().zip(&sums) {
            let p = AdamwParams { count: page.len() as u32, partials: total, first };
            ops.run(AdamwNormPartial { p, g: page, partial: &partial });
            first += sums as u32;
        }
        let p = AdamwParams { partials: total, ..AdamwParams::default() };
        ops.run(AdamwNorm { p, partial: &partial, norm: &norm });
        for (at, g) in grads.pages.iter().enumerate() {
            let p = AdamwParams { count: g.len() as u32, ..AdamwParams::default() };
            let (w, m, v) = (&model.weights.pages[at], &m.pages[at], &v.pages[at]);
            ops.run(AdamwUpdate { p, step: &step, g, norm: &norm, w, m, v });
        }
        for page in &grads.pages {
            ops.rec.clear(page);
        }
        let plan = rec.finish(gpu, &mut Arena::default())?;
        Ok(Optimizer { grads, m, v, norm, step, plan })
    }

    /// Sets what the next run of the plan uses.
    pub(crate) fn prepare(&self, gpu: &Gpu, update: &Update) {
        let step = update.step as f64;
        let uniform = AdamwStep {
            learning_rate: update.learning_rate as f32,
            weight_decay: update.weight_decay as f32,
            beta1: BETA1 as f32,
            beta2: BETA2 as f32,
            inv_bias1: (1.0 / (1.0 - BETA1.powf(step))) as f32,
            inv_bias2: (1.0 / (1.0 - BETA2.powf(step))) as f32,
            eps: EPS,
            clip: update.clip as f32,
        };
        gpu.write(&self.step, &[uniform]);
    }

    /// The norm, the update, and gradients cleared for the next step.
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }
}
