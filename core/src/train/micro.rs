//! What the plans over micro-batches record, in order.

use crate::data::batch::Shape;
use crate::gpu::pages::Pages;
use crate::gpu::{Gpu, Recorder, View};
use crate::model::batch_io::Inputs;
use crate::model::decoder::{Backward, forward};
use crate::model::device::Model;
use crate::model::head::{self, Head};
use crate::objective::{Objective, Rows};
use crate::ops::{Ops, Variants};

/// What a plan over micro-batches is recorded from.
pub(crate) struct Recording<'a> {
    pub gpu: &'a Gpu,
    pub model: &'a Model,
    pub io: &'a Inputs,
    pub variants: Variants,
    pub kappa: f32,
    pub head_budget: u64,
}

impl Recording<'_> {
    fn head(&self, rows: usize) -> Head<'_> {
        let tile = head::tile_rows(self.gpu, self.model, rows, self.head_budget);
        Head { model: self.model, io: self.io, rows, tile, kappa: self.kappa }
    }

    /// Forward only: per-row statistics in `io`.
    pub(crate) fn score(&self, shape: Shape) -> Recorder {
        let mut rec = Recorder::new("score");
        let mut ops = Ops { rec: &mut rec, variants: self.variants };
        let acts = forward(&mut ops, self.model, self.io, shape);
        self.head(shape.rows).forward(&mut ops, &acts.hidden);
        rec
    }

    /// Forward, objective (and what a hybrid mixes with), backward: every gradient `+=`.
    pub(crate) fn train(
        &self,
        shape: Shape,
        objective: (Objective, Objective),
        step: &View,
        grads: &Pages,
    ) -> Recorder {
        let mut rec = Recorder::new("micro_batch");
        let mut ops = Ops { rec: &mut rec, variants: self.variants };
        let (model, io) = (self.model, self.io);
        let acts = forward(&mut ops, model, io, shape);
        let head = self.head(shape.rows);
        let logits = head.forward(&mut ops, &acts.hidden);
        let (a, b) = (io.a.slice(0, shape.rows), io.b.slice(0, shape.rows));
        let rows = Rows {
            step,
            traj_start: &io.traj_start,
            traj: &io.traj,
            sets: &io.sets,
            ref_logp: &io.ref_logp,
            old_logp: &io.old_logp,
            lse: &io.lse,
            chosen: &io.chosen,
            entropy: &io.entropy,
            stats: &io.stats,
            a: &a,
            b: &b,
        };
        let (objective, other) = objective;
        objective.record(other, &mut ops, shape.trajectories, &rows);
        let dhidden = head.backward(&mut ops, grads, &acts.hidden, logits);
        Backward { model, grads, io, shape }.record(&mut ops, &acts, &dhidden);
        rec
    }
}
