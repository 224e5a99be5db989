//! What the plans over micro-batches record, in order.

use crate::data::batch::Shape;
use crate::gpu::{Gpu, Recorder, View};
use crate::model::batch_io::Inputs;
use crate::model::critic::Critic;
use crate::model::decoder::{Backward, forward};
use crate::model::device::Model;
use crate::model::head::{self, Head};
use crate::objective::{Objective, Rows};
use crate::ops::{Ops, Variants};
use crate::train::optimizer::Optimizer;

/// What a plan over micro-batches is recorded from.
pub(crate) struct Recording<'a> {
    pub gpu: &'a Gpu,
    pub model: &'a Model,
    pub io: &'a Inputs,
    /// Of ppo.
    pub critic: Option<&'a Critic>,
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

    /// Forward only: per-row values in the critic.
    pub(crate) fn values(&self, shape: Shape) -> Recorder {
        let mut rec = Recorder::new("values");
        let mut ops = Ops { rec: &mut rec, variants: self.variants };
        let acts = forward(&mut ops, self.model, self.io, shape);
        self.critic.expect("asked of a critic").forward(&mut ops, &acts.hidden, shape.rows);
        rec
    }

    /// Forward, objective (and what a hybrid mixes with), backward: every gradient `+=`.
    pub(crate) fn train(
        &self,
        shape: Shape,
        objective: (Objective, Objective),
        step: &View,
        optimizer: &Optimizer,
    ) -> Recorder {
        let mut rec = Recorder::new("micro_batch");
        let mut ops = Ops { rec: &mut rec, variants: self.variants };
        let (model, io, grads) = (self.model, self.io, &optimizer.grads);
        let acts = forward(&mut ops, model, io, shape);
        let head = self.head(shape.rows);
        let logits = head.forward(&mut ops, &acts.hidden);
        if let Some(critic) = self.critic {
            critic.forward(&mut ops, &acts.hidden, shape.rows);
        }
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
            critic: self.critic,
        };
        let (objective, other) = objective;
        objective.record(other, &mut ops, shape.trajectories, &rows);
        let dhidden = head.backward(&mut ops, grads, &acts.hidden, logits);
        if let (Some(critic), Some(of_critic)) = (self.critic, &optimizer.critic) {
            critic.backward(&mut ops, &of_critic.grads, &acts.hidden, &dhidden, shape.rows);
        }
        Backward { model, grads, io, shape }.record(&mut ops, &acts, &dhidden);
        rec
    }
}
