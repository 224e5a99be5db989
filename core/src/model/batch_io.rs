//! A micro-batch in device memory: what the decoder and the objective read, and the per-row results.

use crate::data::batch::Batch;
use crate::error::Result;
use crate::gpu::kernels::objective::Variant;
use crate::gpu::{Gpu, View};

/// The shape that a plan is recorded for; a batch is padded up to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shape {
    /// T
    pub tokens: usize,
    /// R
    pub rows: usize,
    /// S
    pub trajectories: usize,
}

impl Shape {
    /// The smallest shape that both fit.
    #[must_use]
    pub fn max(self, other: Shape) -> Shape {
        Shape {
            tokens: self.tokens.max(other.tokens),
            rows: self.rows.max(other.rows),
            trajectories: self.trajectories.max(other.trajectories),
        }
    }
}

/// Arrays of one micro-batch, large enough for every shape; they outlive plans.
pub struct Inputs {
    pub(crate) tokens: View,     // (T)
    pub(crate) positions: View,  // (T)
    pub(crate) seq_start: View,  // (T)
    pub(crate) seq_end: View,    // (T)
    pub(crate) uniq: View,       // (T)
    pub(crate) uniq_start: View, // (T + 1)
    pub(crate) order: View,      // (T)
    pub(crate) rows: View,       // (R)
    pub(crate) targets: View,    // (R)
    pub(crate) ref_logp: View,   // (R)
    pub(crate) traj_start: View, // (S + 1)
    pub(crate) traj: View,       // (S, TRAJ): reward, weight, v_ref, -
    /// Per completion row.
    pub(crate) lse: View, // (R)
    pub(crate) chosen: View,  // (R)
    pub(crate) entropy: View, // (R)
    pub(crate) a: View,       // (R)
    pub(crate) b: View,       // (R)
    /// Per trajectory.
    pub(crate) stats: View, // (S, STATS)
}

/// Words of one trajectory in `stats`.
pub(crate) fn stats_width() -> usize {
    Variant::Base.consts().stats as usize
}

impl Inputs {
    /// Buffers for shapes up to `most`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::TooLarge`] when the device has no room.
    pub fn new(gpu: &Gpu, most: Shape) -> Result<Inputs> {
        let Shape { tokens: t, rows: r, trajectories: s } = most;
        let array = |name: &str, len: usize| gpu.storage(&format!("batch.{name}"), len);
        Ok(Inputs {
            tokens: array("tokens", t)?,
            positions: array("positions", t)?,
            seq_start: array("seq_start", t)?,
            seq_end: array("seq_end", t)?,
            uniq: array("uniq", t)?,
            uniq_start: array("uniq_start", t + 1)?,
            order: array("order", t)?,
            rows: array("rows", r)?,
            targets: array("targets", r)?,
            ref_logp: array("ref_logp", r)?,
            traj_start: array("traj_start", s + 1)?,
            traj: array("traj", s * Variant::Base.consts().traj as usize)?,
            lse: array("lse", r)?,
            chosen: array("chosen", r)?,
            entropy: array("entropy", r)?,
            a: array("a", r)?,
            b: array("b", r)?,
            stats: array("stats", s * stats_width())?,
        })
    }

    /// Writes `batch`, already padded to a plan's shape.
    pub(crate) fn upload(&self, gpu: &Gpu, batch: &Batch) {
        gpu.write(&self.tokens, &batch.tokens);
        gpu.write(&self.positions, &batch.positions);
        gpu.write(&self.seq_start, &batch.seq_start);
        gpu.write(&self.seq_end, &batch.seq_end);
        gpu.write(&self.uniq, &batch.uniq);
        gpu.write(&self.uniq_start, &batch.uniq_start);
        gpu.write(&self.order, &batch.order);
        gpu.write(&self.rows, &batch.rows);
        gpu.write(&self.targets, &batch.targets);
        gpu.write(&self.ref_logp, &batch.ref_logp);
        gpu.write(&self.traj_start, &batch.traj_start);
        gpu.write(&self.traj, &batch.traj);
    }
}
