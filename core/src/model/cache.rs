//! The KV cache of generation, and the decoder over it: many packed prompts at once, then one position of every slot.

use super::decoder::{LayerFwd, embed_fwd};
use super::device::Model;
use super::step::Step;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::buffer::{WORD, align_up};
use crate::gpu::kernels::attention::AttentionFwd;
use crate::gpu::kernels::cache::{CacheDecode, CacheParams, CacheWrite, Variant};
use crate::gpu::kernels::norm::NormFwd;
use crate::gpu::{Gpu, View};
use crate::ops::Ops;
use crate::ops::matmul::Addends;

/// The slot of a row that belongs to no sequence: padding.
pub(crate) const NO_SLOT: u32 = Variant::Lane.consts().no_slot;

/// Keys and values of every position so far, for a number of sequences at a time.
pub(crate) struct KvCache {
    keys: Vec<View>,   // per layer: (slots, K, capacity, D)
    values: Vec<View>, // per layer: (slots, K, capacity, D)
    capacity: usize,
    /// A decode step over all of it in one dispatch.
    at_once: Option<Step>,
}

/// What the decoder reads of each of its rows.
pub(crate) struct RowsIn {
    pub tokens: View,    // (rows)
    pub positions: View, // (rows)
    pub slots: View,     // (rows) the sequence's slot, or NO_SLOT
}

impl RowsIn {
    pub(crate) fn new(gpu: &Gpu, label: &str, rows: usize) -> Result<RowsIn> {
        let array = |name: &str| gpu.storage(&format!("{label}.{name}"), rows);
        Ok(RowsIn { tokens: array("tokens")?, positions: array("positions")?, slots: array("slots")? })
    }
}

impl KvCache {
    /// An empty cache of `slots` sequences of up to `capacity` positions; `at_once` asks for decode steps in one dispatch, where
    /// the model and the adapter's limits allow them.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] when a layer's keys exceed what one binding may span, or the device has no room.
    pub(crate) fn new(
        gpu: &Gpu,
        model: &Model,
        slots: usize,
        capacity: usize,
        at_once: bool,
    ) -> Result<KvCache> {
        let dims = &model.dims;
        let slot_bytes = (capacity * dims.kv_heads * dims.head_dim) as u64 * WORD;
        let (bytes, limit) = (slots as u64 * slot_bytes, gpu.caps().max_binding.min(gpu.caps().max_buffer));
        if bytes > limit {
            let help = match limit / slot_bytes {
                0 => "generate fewer tokens, or from shorter prompts".to_owned(),
                fits => format!("generate at most {fits} sequences at a time, or shorter ones"),
            };
            let what = format!(
                "the KV cache of {slots} sequences of {capacity} tokens needs {bytes} bytes in one binding for the keys \
                 of a layer; the adapter allows {limit}"
            );
            return Err(Error::new(ErrorKind::TooLarge, what, help));
        }
        let (count, words) = (model.ids.layers.len(), (bytes / WORD) as usize);
        if at_once && 2 * count as u64 * align_up(bytes) <= limit && Step::takes(model) {
            let stride = (align_up(bytes) / WORD) as usize;
            let whole = gpu.storage("cache", 2 * count * stride)?;
            let layers =
                |first: usize| (first..first + count).map(|i| whole.slice(i * stride, words)).collect();
            let (keys, values) = (layers(0), layers(count));
            let at_once = Some(Step::new(gpu, model, whole, capacity)?);
            return Ok(KvCache { keys, values, capacity, at_once });
        }
        let layers = |name: &str| -> Result<Vec<View>> {
            (0..count).map(|i| gpu.storage(&format!("cache.{i}.{name}"), words)).collect()
        };
        Ok(KvCache { keys: layers("keys")?, values: layers("values")?, capacity, at_once: None })
    }

    /// Bytes of all layers.
    pub(crate) fn bytes(&self) -> u64 {
        let layers = || self.keys.iter().chain(&self.values).map(View::bytes).sum();
        self.at_once.as_ref().map_or_else(layers, Step::bytes)
    }

    fn params(&self, model: &Model, rows: usize) -> CacheParams {
        CacheParams {
            rows: rows as u32,
            heads: model.dims.heads as u32,
            kv_heads: model.dims.kv_heads as u32,
            head_dim: model.dims.head_dim as u32,
            capacity: self.capacity as u32,
        }
    }

    fn write(&self, ops: &mut Ops<'_>, model: &Model, layer: usize, count: usize, rows: &RowsIn, qkv: &View) {
        ops.run(CacheWrite {
            p: self.params(model, count),
            qkv,
            slot: &rows.slots,
            position: &rows.positions,
            keys: &self.keys[layer],
            values: &self.values[layer],
        });
    }

    /// Records the decoder over `count` packed rows, as far as keys and values need it: no logits come of it.
    pub(crate) fn prefill(
        &self,
        ops: &mut Ops<'_>,
        model: &Model,
        count: usize,
        rows: &RowsIn,
        seq_start: &View,
    ) {
        let dims = &model.dims;
        let mut x = ops.rec.tensor("x.0", count * dims.channels);
        embed_fwd(ops, model, &rows.tokens, count, &x);
        for (i, ids) in model.ids.layers.iter().enumerate() {
            let layer = LayerFwd { model, ids, count };
            let rstd = ops.rec.tensor("rstd", count);
            let qkv = ops.rec.tensor("qkv", count * dims.qkv());
            layer.qkv(ops, &x, &rstd, &qkv);
            layer.turn(ops, &rows.positions, &qkv);
            self.write(ops, model, i, count, rows, &qkv);
            if i + 1 == model.ids.layers.len() {
                return;
            }
            let att = ops.rec.tensor("att", count * dims.att());
            let lse = ops.rec.tensor("lse", count * dims.heads);
            let p = dims.attention(count);
            ops.run(AttentionFwd { p, qkv: &qkv, seq_start, out: &att, lse: &lse });
            x = behind_attention(ops, &layer, &att, &x);
        }
    }

    /// Records one position of each of `count` slots: returns the logits (count, V) of what comes next.
    pub(crate) fn decode(&self, ops: &mut Ops<'_>, model: &Model, count: usize, rows: &RowsIn) -> View {
        if let Some(step) = &self.at_once {
            return step.record(ops, model, count, rows);
        }
        let dims = &model.dims;
        let mut x = ops.rec.tensor("x.0", count * dims.channels);
        embed_fwd(ops, model, &rows.tokens, count, &x);
        for (i, ids) in model.ids.layers.iter().enumerate() {
            let layer = LayerFwd { model, ids, count };
            let rstd = ops.rec.tensor("rstd", count);
            let qkv = ops.rec.tensor("qkv", count * dims.qkv());
            layer.qkv(ops, &x, &rstd, &qkv);
            let att = ops.rec.tensor("att", count * dims.att());
            ops.run(CacheDecode {
                p: self.params(model, count),
                qkv: &qkv,
                table: &model.rope_table,
                slot: &rows.slots,
                position: &rows.positions,
                keys: &self.keys[i],
                values: &self.values[i],
                out: &att,
            });
            x = behind_attention(ops, &layer, &att, &x);
        }
        let (rstd, hidden) = (ops.rec.tensor("rstd", count), ops.rec.tensor("hidden", count * dims.channels));
        let w = model.weights.matrix(model.ids.norm);
        ops.run(NormFwd { p: dims.norm(count), x: &x, w: w.whole(), out: &hidden, rstd: &rstd });
        let logits = ops.rec.tensor("logits", count * dims.vocab);
        let head = model.weights.matrix(model.ids.head);
        ops.linear_fwd(count, &hidden, &head, Addends::default(), &logits);
        logits
    }
}

/// The rest of a layer: returns the next residual stream.
fn behind_attention(ops: &mut Ops<'_>, layer: &LayerFwd<'_>, att: &View, x: &View) -> View {
    let (dims, count) = (&layer.model.dims, layer.count);
    let mid = ops.rec.tensor("mid", count * dims.channels);
    layer.out(ops, att, x, &mid);
    let rstd = ops.rec.tensor("rstd", count);
    let gate_up = ops.rec.tensor("gate_up", count * 2 * dims.ffn);
    let next = ops.rec.tensor("x", count * dims.channels);
    layer.mlp(ops, &mid, &rstd, &gate_up, &next);
    next
}
