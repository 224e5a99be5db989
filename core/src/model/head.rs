//! The head over completion rows, in row tiles of logits sized to a byte budget: full (R, V) logits need not exist.
//! Where all rows fit one tile it is kept for the backward, otherwise each tile is computed again.

use super::batch_io::Inputs;
use super::device::Model;
use crate::gpu::buffer::{ALIGN, WORD};
use crate::gpu::kernels::head::{HeadBwd, HeadParams, HeadStats};
use crate::gpu::pages::Pages;
use crate::gpu::{Gpu, View};
use crate::ops::Ops;
use crate::ops::matmul::Addends;

/// Tiles start at multiples of this many rows, which aligns every array of theirs.
const STEP: usize = (ALIGN / WORD) as usize;

/// Bytes of logits that may exist at a time.
pub(crate) const BUDGET: u64 = 64 << 20;

/// The head of one plan.
pub(crate) struct Head<'a> {
    pub model: &'a Model,
    pub io: &'a Inputs,
    pub rows: usize, // R
    pub tile: usize, // rows of one tile
    pub kappa: f32,
}

/// Rows of a tile so that its logits stay within `budget` bytes and one binding.
pub(crate) fn tile_rows(gpu: &Gpu, model: &Model, rows: usize, budget: u64) -> usize {
    let row = model.dims.vocab as u64 * WORD;
    let most = budget.min(gpu.caps().max_binding) / row;
    if rows as u64 <= most { rows } else { (most as usize / STEP * STEP).max(STEP) }
}

impl Head<'_> {
    fn tiles(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (rows, tile) = (self.rows, self.tile.max(1));
        (0..rows).step_by(tile).map(move |row0| (row0, tile.min(rows - row0)))
    }

    fn params(&self, row0: usize, rows: usize) -> HeadParams {
        HeadParams {
            rows: rows as u32,
            vocabulary: self.model.dims.vocab as u32,
            stride: self.model.dims.vocab as u32,
            row0: row0 as u32,
            kappa: self.kappa,
        }
    }

    fn tile_of(&self, hidden: &View, row0: usize, rows: usize) -> View {
        hidden.slice(row0 * self.model.dims.channels, rows * self.model.dims.channels)
    }

    fn logits(&self, ops: &mut Ops<'_>, hidden: &View, row0: usize, rows: usize) -> View {
        let logits = ops.rec.tensor("logits", rows * self.model.dims.vocab);
        let w = self.model.weights.matrix(self.model.ids.head);
        ops.linear_fwd(rows, &self.tile_of(hidden, row0, rows), &w, Addends::default(), &logits);
        logits
    }

    /// Records lse, chosen logit and entropy of every row; returns the logits where one tile holds them all.
    pub(crate) fn forward(&self, ops: &mut Ops<'_>, hidden: &View) -> Option<View> {
        let io = self.io;
        let mut kept = None;
        for (row0, rows) in self.tiles() {
            let logits = self.logits(ops, hidden, row0, rows);
            ops.run(HeadStats {
                p: self.params(row0, rows),
                targets: &io.targets,
                logits: &logits,
                lse: &io.lse,
                chosen: &io.chosen,
                entropy: &io.entropy,
            });
            kept = (rows == self.rows).then_some(logits);
        }
        kept
    }

    /// Records the gradient from (a, b): returns dhidden (R, C); the head weight's `+=`.
    pub(crate) fn backward(
        &self,
        ops: &mut Ops<'_>,
        grads: &Pages,
        hidden: &View,
        kept: Option<View>,
    ) -> View {
        let (io, id) = (self.io, self.model.ids.head);
        let dhidden = ops.rec.tensor("dhidden", self.rows * self.model.dims.channels);
        for (row0, rows) in self.tiles() {
            let dlogits = kept.clone().unwrap_or_else(|| self.logits(ops, hidden, row0, rows));
            ops.run(HeadBwd {
                p: self.params(row0, rows),
                targets: &io.targets,
                lse: &io.lse,
                a: &io.a,
                b: &io.b,
                logits: &dlogits,
            });
            let x = self.tile_of(hidden, row0, rows);
            ops.linear_bwd_w(rows, &dlogits, &x, &grads.matrix(id), None);
            let dx = self.tile_of(&dhidden, row0, rows);
            ops.linear_bwd_x(rows, &dlogits, &self.model.weights.matrix(id), &dx);
        }
        dhidden
    }
}
