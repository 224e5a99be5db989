//! The plans of a training step: one per micro-batch shape, which adds to the gradients, and one for the optimizer.

use std::collections::HashMap;

use crate::error::Result;
use crate::gpu::kernels::adamw::{AdamwNorm, AdamwNormPartial, AdamwParams, AdamwUpdate};
use crate::gpu::{Arena, Gpu, Plan, Recorder, View};
use crate::model::batch_io::{Inputs, Shape};
use crate::model::decoder::{Backward, forward};
use crate::model::device::Model;
use crate::model::head::{self, Head};
use crate::gpu::pages::Pages;
use crate::objective::{Objective, Rows};
use crate::ops::adamw::partials;
use crate::ops::{Ops, Variants};

/// What a plan over micro-batches needs to be recorded.
pub(crate) struct Context<'a> {
    pub gpu: &'a Gpu,
    pub model: &'a Model,
    pub io: &'a Inputs,
    pub variants: Variants,
    pub kappa: f32,
    pub head_budget: u64,
}

impl Context<'_> {
    fn head(&self, rows: usize) -> Head<'_> {
        let tile = head::tile_rows(self.gpu, self.model, rows, self.head_budget);
        Head { model: self.model, io: self.io, rows, tile, kappa: self.kappa }
    }

    /// Forward only: per-row statistics in `io`.
    pub(crate) fn record_score(&self, shape: Shape) -> Recorder {
        let mut rec = Recorder::new("score");
        let mut ops = Ops { rec: &mut rec, variants: self.variants };
        let acts = forward(&mut ops, self.model, self.io, shape);
        self.head(shape.rows).forward(&mut ops, &acts.hidden);
        rec
    }

    /// Forward, objective, backward: every gradient `+=`.
    pub(crate) fn record_train(
        &self,
        shape: Shape,
        objective: Objective,
        step: &View,
        grads: &Pages,
    ) -> Recorder {
        let mut rec = Recorder::new("micro_batch");
        let mut ops = Ops { rec: &mut rec, variants: self.variants };
        let (model, io) = (self.model, self.io);
        let acts = forward(&mut ops, model, io, shape);
        let head = self.head(shape.rows);
        let logits = head.forward(&mut ops, &acts.hidden);
        let rows = Rows {
            step,
            traj_start: &io.traj_start,
            traj: &io.traj,
            ref_logp: &io.ref_logp,
            lse: &io.lse,
            chosen: &io.chosen,
            entropy: &io.entropy,
            stats: &io.stats,
            a: &io.a,
            b: &io.b,
        };
        objective.record(&mut ops, shape.trajectories, &rows);
        let dhidden = head.backward(&mut ops, grads, &acts.hidden, logits);
        Backward { model, grads, io, shape }.record(&mut ops, &acts, &dhidden);
        rec
    }
}

/// Plans by shape, over one arena.
#[derive(Default)]
pub(crate) struct Plans {
    arena: Arena,
    plans: HashMap<Shape, Plan>,
}

impl Plans {
    /// The plan for `shape`, recorded by `record` at its first use.
    pub(crate) fn get(
        &mut self,
        gpu: &Gpu,
        shape: Shape,
        record: impl FnOnce() -> Recorder,
    ) -> Result<&Plan> {
        if !self.plans.contains_key(&shape) {
            let plan = record().finish(gpu, &mut self.arena)?;
            self.plans.insert(shape, plan);
        }
        Ok(&self.plans[&shape])
    }

    /// Bytes behind the plans' tensors.
    pub(crate) fn arena(&self) -> &Arena {
        &self.arena
    }
}

/// What AdamW keeps per parameter.
pub(crate) struct Optimizer {
    pub grads: Pages,
    pub m: Pages,
    pub v: Pages,
    pub norm: View, // (1)
    pub step: View, // the uniform AdamwStep
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
        let step = gpu.uniform("adamw.step", 8)?;
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

    /// The norm, the update, and gradients cleared for the next step.
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }
}
