//! A decode step of a small model in one dispatch: the list of what shaders/step.wgsl does.

use super::cache::RowsIn;
use super::device::Model;
use crate::error::Result;
use crate::gpu::buffer::WORD;
use crate::gpu::kernels::step::{Consts, Phase, StepDecode, StepParams, Variant};
use crate::gpu::{Gpu, View};
use crate::ops::{Ops, step};

/// Layers of more weights keep the kernels one by one: one sequence alone would leave threads idle for longer than dispatches cost
/// (docs/benchmarks.md: as long either way at 850,000 weights a layer, a third longer at 2.4 million).
const SMALL_LAYER: usize = 1 << 20;

/// Numbers of a quad.
const QUAD: usize = 4;

const CONSTS: Consts = Variant::OneD32.consts();

/// What a decode step in one dispatch does.
pub(crate) struct Step {
    phases: View, // (4 layers + 1)
    cache: View,  // (2, layers, slots, K, capacity, D)
    capacity: usize,
}

fn quads(words: usize) -> u32 {
    assert!(words.is_multiple_of(QUAD), "{words} words are no quads");
    (words / QUAD) as u32
}

impl Step {
    /// Whether `model` is small, in one page, without biases, and its rows are made of quads.
    pub(crate) fn takes(model: &Model) -> bool {
        let (ids, dims) = (&model.ids, &model.dims);
        let biased = ids
            .layers
            .iter()
            .any(|l| [l.qkv_bias, l.o_bias, l.gate_up_bias, l.down_bias].iter().any(Option::is_some));
        let layer = dims.channels * (dims.qkv() + dims.att() + 3 * dims.ffn);
        // The halves of a head turn together.
        let even =
            [dims.channels, dims.ffn, dims.vocab, dims.head_dim / 2].iter().all(|n| n.is_multiple_of(QUAD));
        !biased && even && layer <= SMALL_LAYER && model.weights.pages.len() == 1
    }

    /// Of `model` over `cache`, all layers' keys, then all layers' values, of slots of `capacity` positions.
    ///
    /// # Errors
    /// [`TooLarge`](crate::ErrorKind::TooLarge) when the device has no room.
    pub(crate) fn new(gpu: &Gpu, model: &Model, cache: View, capacity: usize) -> Result<Step> {
        let dims = &model.dims;
        let layer = cache.len() / (2 * model.ids.layers.len());
        let (c, f) = (dims.channels as u32, dims.ffn as u32);
        let (qkv, att) = (dims.qkv() as u32, dims.att() as u32);
        let Consts { norm, attend, swiglu, x, qkv_or_gate_up, logits, .. } = CONSTS;
        let at = |id| place(model, id);
        let mut phases = Vec::new();
        for (i, ids) in model.ids.layers.iter().enumerate() {
            let keys = quads(i * layer);
            phases.extend([
                Phase {
                    prepare: norm,
                    at: at(ids.attn_norm),
                    w: at(ids.qkv),
                    n: qkv,
                    k: c,
                    into: qkv_or_gate_up,
                },
                Phase { prepare: attend, at: keys, w: at(ids.o), n: c, k: att, into: x },
                Phase {
                    prepare: norm,
                    at: at(ids.mlp_norm),
                    w: at(ids.gate_up),
                    n: 2 * f,
                    k: c,
                    into: qkv_or_gate_up,
                },
                Phase { prepare: swiglu, at: 0, w: at(ids.down), n: c, k: f, into: x },
            ]);
        }
        let (norm_at, w, n) = (at(model.ids.norm), at(model.ids.head), dims.vocab as u32);
        phases.push(Phase { prepare: norm, at: norm_at, w, n, k: c, into: logits });
        Ok(Step { phases: gpu.upload("step.phases", &phases)?, cache, capacity })
    }

    /// Bytes beside the weights and what a plan takes.
    pub(crate) fn bytes(&self) -> u64 {
        self.cache.bytes() + self.phases.bytes()
    }

    /// Records a position of each of `count` sequences: returns the logits (count, V) of what comes next.
    pub(crate) fn record(&self, ops: &mut Ops<'_>, model: &Model, count: usize, rows: &RowsIn) -> View {
        let dims = &model.dims;
        let Consts { sequences, wg, share, .. } = step::variant(count, dims.head_dim).consts();
        let own = count.div_ceil(sequences as usize) * (wg * share) as usize;
        let (h, wide) = (dims.att().max(dims.channels).max(dims.ffn), dims.qkv().max(2 * dims.ffn));
        let logits = count * dims.vocab;
        let at_h = logits + own * dims.channels;
        let at_wide = at_h + own * h;
        let scratch = ops.rec.tensor("step", at_wide + own * wide);
        let p = StepParams {
            rows: count as u32,
            heads: dims.heads as u32,
            kv_heads: dims.kv_heads as u32,
            head_dim: dims.head_dim as u32,
            capacity: self.capacity as u32,
            values: quads(self.cache.len() / 2),
            vocab: dims.vocab as u32,
            channels: dims.channels as u32,
            eps: dims.eps,
            embed: place(model, model.ids.embed),
            phases: (self.phases.bytes() / size_of::<Phase>() as u64) as u32,
            x: quads(logits),
            h: quads(at_h),
            h_cols: quads(h),
            wide: quads(at_wide),
            wide_cols: quads(wide),
        };
        ops.run(StepDecode {
            p,
            phases: &self.phases,
            weights: &model.weights.pages[0],
            table: &model.rope_table,
            tokens: &rows.tokens,
            slot: &rows.slots,
            position: &rows.positions,
            cache: &self.cache,
            scratch: &scratch,
        });
        scratch.slice(0, logits)
    }
}

/// Where parameter `id` begins in the only page, in quads.
fn place(model: &Model, id: usize) -> u32 {
    let (page, all) = (&model.weights.pages[0], model.weights.matrix(id));
    quads(((all.whole().offset - page.offset) / WORD) as usize)
}
