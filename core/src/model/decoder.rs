//! The Llama decoder: what its forward and backward dispatch, in order.
//!
//! Forward keeps, per layer, the residual stream before both norms, qkv after rotation, the attention's output and
//! log-sum-exp, and gate·up; norms' and SwiGLU's outputs are recomputed in the backward.

use super::batch_io::Inputs;
use super::device::Model;
use super::ids::LayerIds;
use crate::data::batch::Shape;
use crate::gpu::View;
use crate::gpu::kernels::attention::{
    AttentionBwdDelta, AttentionBwdKv, AttentionBwdQ, AttentionFwd, AttentionParams,
};
use crate::gpu::kernels::embed::{EmbedBwdW, EmbedFwd, EmbedParams};
use crate::gpu::kernels::mlp::{MlpBwd, MlpFwd, MlpParams};
use crate::gpu::kernels::norm::{NormBwdW, NormBwdX, NormFwd, NormParams};
use crate::gpu::kernels::rope::{RopeBwd, RopeFwd, RopeParams};
use crate::gpu::kernels::rows::{RowsBwd, RowsFwd, RowsParams};
use crate::gpu::pages::Pages;
use crate::ops::Ops;
use crate::ops::matmul::Addends;

/// What one layer's backward needs of its forward.
struct LayerActs {
    x: View,         // (T, C) before the attention's norm
    attn_rstd: View, // (T)
    qkv: View,       // (T, (H + 2K) * D) rotated
    att: View,       // (T, H * D)
    lse: View,       // (T, H)
    mid: View,       // (T, C) before the MLP's norm
    mlp_rstd: View,  // (T)
    gate_up: View,   // (T, 2F)
}

/// What the backward needs of the forward.
pub(crate) struct Acts {
    layers: Vec<LayerActs>,
    last: View,       // (R, C) completion rows before the final norm
    rstd: View,       // (R)
    pub hidden: View, // (R, C) completion rows after the final norm: what enters the head
}

/// The decoder's dimensions, and what they make of kernels' uniforms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dims {
    pub vocab: usize,    // V
    pub channels: usize, // C
    pub heads: usize,    // H
    pub kv_heads: usize, // K
    pub head_dim: usize, // D
    pub ffn: usize,      // F
    pub eps: f32,
}

impl Dims {
    /// Columns of qkv: (H + 2K) * D.
    pub(crate) fn qkv(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_dim
    }

    /// Columns of the attention's output: H * D.
    pub(crate) fn att(&self) -> usize {
        self.heads * self.head_dim
    }

    pub(crate) fn norm(&self, rows: usize) -> NormParams {
        NormParams { rows: rows as u32, cols: self.channels as u32, eps: self.eps }
    }

    pub(crate) fn rope(&self, rows: usize) -> RopeParams {
        RopeParams {
            positions: rows as u32,
            heads: (self.heads + self.kv_heads) as u32,
            head_dim: self.head_dim as u32,
            stride: self.qkv() as u32,
        }
    }

    pub(crate) fn mlp(&self, rows: usize) -> MlpParams {
        MlpParams { rows: rows as u32, cols: self.ffn as u32 }
    }

    pub(crate) fn attention(&self, tokens: usize) -> AttentionParams {
        AttentionParams {
            tokens: tokens as u32,
            heads: self.heads as u32,
            kv_heads: self.kv_heads as u32,
            head_size: self.head_dim as u32,
            scale: 1.0 / (self.head_dim as f32).sqrt(),
        }
    }

    fn rows(&self, rows: usize) -> RowsParams {
        RowsParams { rows: rows as u32, cols: self.channels as u32 }
    }
}

/// out (T, C) = the embedding's rows of `tokens`.
pub(crate) fn embed_fwd(ops: &mut Ops<'_>, model: &Model, tokens: &View, count: usize, out: &View) {
    for part in &model.weights.matrix(model.ids.embed).parts {
        let p = embed_params(model, count, part.row0, part.rows);
        ops.run(EmbedFwd { p, tokens, w: &part.view, out });
    }
}

fn embed_params(model: &Model, count: usize, row0: usize, rows: usize) -> EmbedParams {
    EmbedParams {
        positions: count as u32,
        cols: model.dims.channels as u32,
        row0: row0 as u32,
        rows: rows as u32,
    }
}

/// A layer's pieces that training and generation share: everything but attention itself.
pub(crate) struct LayerFwd<'a> {
    pub model: &'a Model,
    pub ids: &'a LayerIds,
    pub count: usize, // T
}

impl LayerFwd<'_> {
    /// qkv = norm(x) Wqkv^T (+ bias), not turned yet.
    pub(crate) fn qkv(&self, ops: &mut Ops<'_>, x: &View, rstd: &View, qkv: &View) {
        let (model, ids, dims) = (self.model, self.ids, &self.model.dims);
        let h = ops.rec.tensor("attn_norm", self.count * dims.channels);
        let w = model.weights.matrix(ids.attn_norm);
        ops.run(NormFwd { p: dims.norm(self.count), x, w: w.whole(), out: &h, rstd });
        let bias = ids.qkv_bias.map(|id| model.weights.matrix(id));
        let add = Addends { bias: bias.as_ref().map(|b| b.whole()), residual: None };
        ops.linear_fwd(self.count, &h, &model.weights.matrix(ids.qkv), add, qkv);
    }

    /// Turns the queries and keys of qkv to their `position`s.
    pub(crate) fn turn(&self, ops: &mut Ops<'_>, position: &View, qkv: &View) {
        let model = self.model;
        ops.run(RopeFwd { p: model.dims.rope(self.count), position, table: &model.rope_table, qkv });
    }

    /// mid = x + att Wo^T (+ bias).
    pub(crate) fn out(&self, ops: &mut Ops<'_>, att: &View, x: &View, mid: &View) {
        let (model, ids) = (self.model, self.ids);
        let bias = ids.o_bias.map(|id| model.weights.matrix(id));
        let add = Addends { bias: bias.as_ref().map(|b| b.whole()), residual: Some(x) };
        ops.linear_fwd(self.count, att, &model.weights.matrix(ids.o), add, mid);
    }

    /// next = mid + swiglu(norm(mid) Wgu^T) Wd^T (+ biases).
    pub(crate) fn mlp(&self, ops: &mut Ops<'_>, mid: &View, rstd: &View, gate_up: &View, next: &View) {
        let (model, ids, dims) = (self.model, self.ids, &self.model.dims);
        let h = ops.rec.tensor("mlp_norm", self.count * dims.channels);
        let w = model.weights.matrix(ids.mlp_norm);
        ops.run(NormFwd { p: dims.norm(self.count), x: mid, w: w.whole(), out: &h, rstd });
        let bias = ids.gate_up_bias.map(|id| model.weights.matrix(id));
        let add = Addends { bias: bias.as_ref().map(|b| b.whole()), residual: None };
        ops.linear_fwd(self.count, &h, &model.weights.matrix(ids.gate_up), add, gate_up);
        let act = ops.rec.tensor("act", self.count * dims.ffn);
        ops.run(MlpFwd { p: dims.mlp(self.count), gate_up, act: &act });
        let bias = ids.down_bias.map(|id| model.weights.matrix(id));
        let add = Addends { bias: bias.as_ref().map(|b| b.whole()), residual: Some(mid) };
        ops.linear_fwd(self.count, &act, &model.weights.matrix(ids.down), add, next);
    }
}

/// Records the forward of a packed micro-batch up to the completion rows that enter the head.
pub(crate) fn forward(ops: &mut Ops<'_>, model: &Model, io: &Inputs, shape: Shape) -> Acts {
    let dims = &model.dims;
    let t = shape.tokens;
    let mut x = ops.rec.tensor("x.0", t * dims.channels);
    embed_fwd(ops, model, &io.tokens, t, &x);
    let mut layers = Vec::new();
    for (i, ids) in model.ids.layers.iter().enumerate() {
        let layer = LayerFwd { model, ids, count: t };
        let mut tensor = |name: &str, len: usize| ops.rec.tensor(format!("layers.{i}.{name}"), len);
        let acts = LayerActs {
            x,
            attn_rstd: tensor("attn_rstd", t),
            qkv: tensor("qkv", t * dims.qkv()),
            att: tensor("att", t * dims.att()),
            lse: tensor("lse", t * dims.heads),
            mid: tensor("mid", t * dims.channels),
            mlp_rstd: tensor("mlp_rstd", t),
            gate_up: tensor("gate_up", t * 2 * dims.ffn),
        };
        let next = tensor("x", t * dims.channels);
        layer.qkv(ops, &acts.x, &acts.attn_rstd, &acts.qkv);
        layer.turn(ops, &io.positions, &acts.qkv);
        ops.run(AttentionFwd {
            p: dims.attention(t),
            qkv: &acts.qkv,
            seq_start: &io.seq_start,
            out: &acts.att,
            lse: &acts.lse,
        });
        layer.out(ops, &acts.att, &acts.x, &acts.mid);
        layer.mlp(ops, &acts.mid, &acts.mlp_rstd, &acts.gate_up, &next);
        layers.push(acts);
        x = next;
    }
    let r = shape.rows;
    let last = ops.rec.tensor("last", r * dims.channels);
    let (rstd, hidden) = (ops.rec.tensor("rstd", r), ops.rec.tensor("hidden", r * dims.channels));
    ops.run(RowsFwd { p: dims.rows(r), rows: &io.rows, x: &x, out: &last });
    let w = model.weights.matrix(model.ids.norm);
    ops.run(NormFwd { p: dims.norm(r), x: &last, w: w.whole(), out: &hidden, rstd: &rstd });
    Acts { layers, last, rstd, hidden }
}

/// The backward of a micro-batch; every parameter's gradient `+=`.
pub(crate) struct Backward<'a> {
    pub model: &'a Model,
    pub grads: &'a Pages,
    pub io: &'a Inputs,
    pub shape: Shape,
}

/// One norm, by what its forward kept.
struct NormSite<'a> {
    id: usize,
    count: usize,
    x: &'a View,
    rstd: &'a View,
}

impl Backward<'_> {
    /// Records everything from `dhidden` (R, C), the gradient of what entered the head, down to the embedding.
    pub(crate) fn record(&self, ops: &mut Ops<'_>, acts: &Acts, dhidden: &View) {
        let (model, dims, Shape { tokens: t, rows: r, .. }) = (self.model, &self.model.dims, self.shape);
        let dlast = ops.rec.tensor("dlast", r * dims.channels);
        ops.rec.clear(&dlast);
        let site = NormSite { id: model.ids.norm, count: r, x: &acts.last, rstd: &acts.rstd };
        self.norm(ops, &site, dhidden, &dlast);
        let dx = ops.rec.tensor("dx", t * dims.channels);
        ops.rec.clear(&dx);
        ops.run(RowsBwd { p: dims.rows(r), rows: &self.io.rows, dout: &dlast, dx: &dx });
        for (ids, acts) in model.ids.layers.iter().zip(&acts.layers).rev() {
            self.mlp(ops, ids, acts, &dx);
            self.attention(ops, ids, acts, &dx);
        }
        for part in &self.grads.matrix(model.ids.embed).parts {
            ops.run(EmbedBwdW {
                p: embed_params(model, t, part.row0, part.rows),
                uniq: &self.io.uniq,
                uniq_start: &self.io.uniq_start,
                order: &self.io.order,
                dout: &dx,
                dw: &part.view,
            });
        }
    }

    /// dx `+=` the MLP's part of the gradient.
    fn mlp(&self, ops: &mut Ops<'_>, ids: &LayerIds, acts: &LayerActs, dx: &View) {
        let (model, dims, t) = (self.model, &self.model.dims, self.shape.tokens);
        let act = ops.rec.tensor("act_again", t * dims.ffn);
        ops.run(MlpFwd { p: dims.mlp(t), gate_up: &acts.gate_up, act: &act });
        self.linear_w(ops, ids.down, ids.down_bias, dx, &act);
        let dact = ops.rec.tensor("dact", t * dims.ffn);
        ops.linear_bwd_x(t, dx, &model.weights.matrix(ids.down), &dact);
        let dgate_up = ops.rec.tensor("dgate_up", t * 2 * dims.ffn);
        ops.run(MlpBwd { p: dims.mlp(t), gate_up: &acts.gate_up, dact: &dact, dgate_up: &dgate_up });
        let site = NormSite { id: ids.mlp_norm, count: t, x: &acts.mid, rstd: &acts.mlp_rstd };
        let h = self.norm_again(ops, &site);
        self.linear_w(ops, ids.gate_up, ids.gate_up_bias, &dgate_up, &h);
        let dh = ops.rec.tensor("dh", t * dims.channels);
        ops.linear_bwd_x(t, &dgate_up, &model.weights.matrix(ids.gate_up), &dh);
        self.norm(ops, &site, &dh, dx);
    }

    /// dx `+=` the attention's part of the gradient.
    fn attention(&self, ops: &mut Ops<'_>, ids: &LayerIds, acts: &LayerActs, dx: &View) {
        let (model, dims, io, t) = (self.model, &self.model.dims, self.io, self.shape.tokens);
        self.linear_w(ops, ids.o, ids.o_bias, dx, &acts.att);
        let datt = ops.rec.tensor("datt", t * dims.att());
        ops.linear_bwd_x(t, dx, &model.weights.matrix(ids.o), &datt);
        let (p, qkv, dout) = (dims.attention(t), &acts.qkv, &datt);
        let delta = ops.rec.tensor("delta", t * dims.heads);
        let dqkv = ops.rec.tensor("dqkv", t * dims.qkv());
        let (lse, delta, dqkv) = (&acts.lse, &delta, &dqkv);
        ops.run(AttentionBwdDelta { p, out: &acts.att, dout, delta });
        ops.run(AttentionBwdQ { p, qkv, seq_start: &io.seq_start, dout, lse, delta, dqkv });
        ops.run(AttentionBwdKv { p, qkv, seq_end: &io.seq_end, dout, lse, delta, dqkv });
        ops.run(RopeBwd { p: dims.rope(t), position: &io.positions, table: &model.rope_table, qkv: dqkv });
        let site = NormSite { id: ids.attn_norm, count: t, x: &acts.x, rstd: &acts.attn_rstd };
        let h = self.norm_again(ops, &site);
        self.linear_w(ops, ids.qkv, ids.qkv_bias, dqkv, &h);
        let dh = ops.rec.tensor("dh", t * dims.channels);
        ops.linear_bwd_x(t, dqkv, &model.weights.matrix(ids.qkv), &dh);
        self.norm(ops, &site, &dh, dx);
    }

    /// dx `+=`, dw `+=`.
    fn norm(&self, ops: &mut Ops<'_>, site: &NormSite<'_>, dout: &View, dx: &View) {
        let p = self.model.dims.norm(site.count);
        let (w, dw) = (self.model.weights.matrix(site.id), self.grads.matrix(site.id));
        ops.run(NormBwdW { p, x: site.x, dout, scale: site.rstd, dw: dw.whole() });
        ops.run(NormBwdX { p, x: site.x, w: w.whole(), dout, scale: site.rstd, dx });
    }

    /// The output of a norm once more, for the gradient of the matrix behind it.
    fn norm_again(&self, ops: &mut Ops<'_>, site: &NormSite<'_>) -> View {
        let dims = &self.model.dims;
        let out = ops.rec.tensor("norm_again", site.count * dims.channels);
        let rstd = ops.rec.tensor("rstd_again", site.count);
        let w = self.model.weights.matrix(site.id);
        ops.run(NormFwd { p: dims.norm(site.count), x: site.x, w: w.whole(), out: &out, rstd: &rstd });
        out
    }

    /// The gradient of a linear layer's weight and bias.
    fn linear_w(&self, ops: &mut Ops<'_>, id: usize, bias: Option<usize>, dout: &View, x: &View) {
        let dbias = bias.map(|id| self.grads.matrix(id));
        let dbias = dbias.as_ref().map(|bias| bias.whole());
        ops.linear_bwd_w(self.shape.tokens, dout, x, &self.grads.matrix(id), dbias);
    }
}
