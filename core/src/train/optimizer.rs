//! AdamW over the parameter pages, as one recorded plan: the gradient's norm, the update, gradients back to zero.

use std::sync::Arc;

use crate::error::Result;
use crate::gpu::kernels::adamw::{AdamwNorm, AdamwNormPartial, AdamwParams, AdamwStep, AdamwUpdate};
use crate::gpu::pages::{Layout, Pages};
use crate::gpu::{Arena, Gpu, Plan, Recorder, View};
use crate::model::Model;
use crate::model::critic::Critic;
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

/// What AdamW keeps per parameter of the critic.
pub(crate) struct OfCritic {
    pub grads: Pages,
    pub m: Pages,
    pub v: Pages,
}

/// What AdamW keeps per parameter.
pub(crate) struct Optimizer {
    pub grads: Pages,
    pub m: Pages,
    pub v: Pages,
    /// Of ppo.
    pub critic: Option<OfCritic>,
    pub norm: View, // (1)
    step: View,     // the uniform AdamwStep
    plan: Plan,
}

impl Optimizer {
    /// Allocates gradients and moments for `model` and the `critic`, where there is one, zeroed, and records the update:
    /// one norm over both.
    pub(crate) fn new(
        gpu: &Gpu,
        model: &Model,
        critic: Option<&Critic>,
        variants: Variants,
    ) -> Result<Optimizer> {
        let pages = |label: &str, layout: &Arc<Layout>| Pages::new(gpu, label, layout.clone());
        let three = |of: &str, layout: &Arc<Layout>| -> Result<OfCritic> {
            let name = |what: &str| format!("{of}{what}");
            Ok(OfCritic {
                grads: pages(&name("grads"), layout)?,
                m: pages(&name("adamw.m"), layout)?,
                v: pages(&name("adamw.v"), layout)?,
            })
        };
        let OfCritic { grads, m, v } = three("", &model.layout)?;
        let of_critic = critic.map(|critic| three("critic.", &critic.layout)).transpose()?;
        let mut all = vec![(&grads, &model.weights, &m, &v)];
        if let (Some(critic), Some(OfCritic { grads, m, v })) = (critic, &of_critic) {
            all.push((grads, &critic.weights, m, v));
        }
        // Gradient, weights and both moments of every page.
        let pages: Vec<[&View; 4]> = all
            .into_iter()
            .flat_map(|(g, w, m, v)| {
                (0..g.pages.len()).map(move |at| [&g.pages[at], &w.pages[at], &m.pages[at], &v.pages[at]])
            })
            .collect();
        let sums: Vec<usize> = pages.iter().map(|[g, ..]| partials(&variants, g.len())).collect();
        let partial = gpu.storage("adamw.partial", sums.iter().sum())?;
        let norm = gpu.storage("adamw.norm", 1)?;
        let step = gpu.uniform("adamw.step", size_of::<AdamwStep>() / 4)?;
        let mut rec = Recorder::new("adamw");
        let mut ops = Ops { rec: &mut rec, variants };
        let total = sums.iter().sum::<usize>() as u32;
        let mut first = 0;
        for ([g, ..], &sums) in pages.iter().zip(&sums) {
            let p = AdamwParams { count: g.len() as u32, partials: total, first };
            ops.run(AdamwNormPartial { p, g, partial: &partial });
            first += sums as u32;
        }
        let p = AdamwParams { partials: total, ..AdamwParams::default() };
        ops.run(AdamwNorm { p, partial: &partial, norm: &norm });
        for &[g, w, m, v] in &pages {
            let p = AdamwParams { count: g.len() as u32, ..AdamwParams::default() };
            ops.run(AdamwUpdate { p, step: &step, g, norm: &norm, w, m, v });
        }
        for [g, ..] in &pages {
            ops.rec.clear(g);
        }
        let plan = rec.finish(gpu, &mut Arena::default())?;
        Ok(Optimizer { grads, m, v, critic: of_critic, norm, step, plan })
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
