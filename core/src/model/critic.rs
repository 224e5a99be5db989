//! The critic of ppo: a value head on the model's trunk, and what its objective reads of it. Only a run of ppo has one, and
//! it is no part of the model: a model directory stays what it is.

use std::sync::Arc;

use super::device::Model;
use crate::error::Result;
use crate::gpu::kernels::value::{ValueBwdW, ValueBwdX, ValueFwd, ValueParams};
use crate::gpu::pages::{Layout, Pages};
use crate::gpu::{Gpu, View};
use crate::objective::Critique;
use crate::ops::Ops;

/// Its parameters, in the order of their places.
pub(crate) const PARAMS: [&str; 2] = ["value.weight", "value.bias"];

/// Their places.
const WEIGHT: usize = 0;
const BIAS: usize = 1;

/// A value head, and its arrays of one micro-batch.
pub(crate) struct Critic {
    pub weights: Pages, // (1, C) and (1, 1)
    pub layout: Arc<Layout>,
    pub value: View,     // (R)
    pub dvalue: View,    // (R)
    pub advantage: View, // (R)
    pub old_value: View, // (R)
    pub returns: View,   // (R)
}

impl Critic {
    /// One that says 0, for micro-batches of up to `rows` completion rows.
    ///
    /// # Errors
    /// [`crate::ErrorKind::TooLarge`] when the device has no room.
    pub(crate) fn new(gpu: &Gpu, model: &Model, rows: usize) -> Result<Critic> {
        let channels = model.dims.channels;
        let layout = Arc::new(Layout::new(&[(1, channels), (1, 1)], usize::MAX));
        let array = |name: &str| gpu.storage(&format!("critic.{name}"), rows);
        Ok(Critic {
            weights: Pages::new(gpu, "critic", layout.clone())?,
            layout,
            value: array("value")?,
            dvalue: array("dvalue")?,
            advantage: array("advantage")?,
            old_value: array("old_value")?,
            returns: array("returns")?,
        })
    }

    /// The shapes of [`PARAMS`].
    pub(crate) fn shapes(&self) -> impl Iterator<Item = [usize; 2]> + '_ {
        self.layout.places.iter().map(|place| [place.rows, place.cols])
    }

    /// Writes what the steps on a micro-batch's rows hold constant.
    pub(crate) fn upload(&self, gpu: &Gpu, critique: &Critique) {
        gpu.write(&self.advantage, &critique.advantage);
        gpu.write(&self.old_value, &critique.value);
        gpu.write(&self.returns, &critique.returns);
    }

    /// Records the value of each of `rows` rows of `hidden` (R, C).
    pub(crate) fn forward(&self, ops: &mut Ops<'_>, hidden: &View, rows: usize) {
        let (w, bias) = (self.weights.matrix(WEIGHT), self.weights.matrix(BIAS));
        let p = self.params(rows);
        ops.run(ValueFwd { p, hidden, w: w.whole(), bias: bias.whole(), value: &self.value });
    }

    /// Records the gradient from dvalue: `dhidden` (R, C) and both parameters' `+=`.
    pub(crate) fn backward(
        &self,
        ops: &mut Ops<'_>,
        grads: &Pages,
        hidden: &View,
        dhidden: &View,
        rows: usize,
    ) {
        let (p, dvalue) = (self.params(rows), &self.dvalue);
        let (w, dw, dbias) = (self.weights.matrix(WEIGHT), grads.matrix(WEIGHT), grads.matrix(BIAS));
        ops.run(ValueBwdW { p, hidden, dvalue, dw: dw.whole(), dbias: dbias.whole() });
        ops.run(ValueBwdX { p, w: w.whole(), dvalue, dhidden });
    }

    fn params(&self, rows: usize) -> ValueParams {
        ValueParams { rows: rows as u32, cols: self.layout.places[WEIGHT].cols as u32 }
    }
}
