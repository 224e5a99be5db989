//! A micro-batch in device memory: what the decoder and the objective read, and the per-row results.

use crate::data::batch::{Batch, Shape};
use crate::error::Result;
use crate::gpu::kernels::objective::Variant;
use crate::gpu::{Gpu, View};
use crate::objective::Critique;

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
    pub(crate) old_logp: View,   // (R)
    pub(crate) traj_start: View, // (S + 1)
    pub(crate) traj: View,       // (S, TRAJ): reward, weight, v_ref, signal
    pub(crate) sets: View,       // (S, 2)
    /// Per completion row.
    pub(crate) lse: View, // (R)
    pub(crate) chosen: View,     // (R)
    pub(crate) entropy: View,    // (R)
    pub(crate) a: View,          // (R)
    pub(crate) b: View,          // (R)
    /// Per trajectory.
    pub(crate) stats: View, // (S, STATS)
}

/// What the objective reads of a micro-batch besides the batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Known {
    /// (R) the reference's log-probs.
    pub ref_logp: Vec<f32>,
    /// (R) those of the policy that wrote the completions.
    pub old_logp: Vec<f32>,
    /// (S) what calibration subtracts: the reference's V_1, or 0.
    pub v_ref: Vec<f32>,
    /// (S) see [`crate::objective`].
    pub signal: Vec<f32>,
    /// Of ppo: (R).
    pub critique: Option<Critique>,
}

impl Known {
    /// Zeros: for plans that score.
    pub(crate) fn nothing(shape: Shape) -> Known {
        let (rows, trajectories) = (vec![0.0; shape.rows], vec![0.0; shape.trajectories]);
        Known {
            ref_logp: rows.clone(),
            old_logp: rows,
            v_ref: trajectories.clone(),
            signal: trajectories,
            critique: None,
        }
    }
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
            old_logp: array("old_logp", r)?,
            traj_start: array("traj_start", s + 1)?,
            traj: array("traj", s * Variant::Base.consts().traj as usize)?,
            sets: array("sets", 2 * s)?,
            lse: array("lse", r)?,
            chosen: array("chosen", r)?,
            entropy: array("entropy", r)?,
            a: array("a", r)?,
            b: array("b", r)?,
            stats: array("stats", s * stats_width())?,
        })
    }

    /// Writes `batch`, padded to a plan's shape, and what is known besides of its rows and trajectories.
    pub(crate) fn upload(&self, gpu: &Gpu, batch: &Batch, known: &Known) {
        let Known { ref_logp, old_logp, v_ref, signal, .. } = known;
        gpu.write(&self.tokens, &batch.tokens);
        gpu.write(&self.positions, &batch.positions);
        gpu.write(&self.seq_start, &batch.seq_start);
        gpu.write(&self.seq_end, &batch.seq_end);
        gpu.write(&self.uniq, &batch.uniq);
        gpu.write(&self.uniq_start, &batch.uniq_start);
        gpu.write(&self.order, &batch.order);
        gpu.write(&self.rows, &batch.rows);
        gpu.write(&self.targets, &batch.targets);
        gpu.write(&self.traj_start, &batch.traj_start);
        gpu.write(&self.sets, &batch.sets);
        gpu.write(&self.ref_logp, ref_logp);
        gpu.write(&self.old_logp, old_logp);
        let trajectories = batch.rewards.iter().zip(&batch.weights).zip(v_ref.iter().zip(signal));
        let traj: Vec<[f32; 4]> =
            trajectories.map(|((&reward, &weight), (&v, &signal))| [reward, weight, v, signal]).collect();
        gpu.write(&self.traj, &traj);
    }
}
