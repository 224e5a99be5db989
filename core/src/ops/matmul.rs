//! Linear layers, y = x W^T (+ bias) (+ residual), over weights that may be split by rows.

use super::{Launch, Ops, Variants};
use crate::gpu::View;
use crate::gpu::kernels::copy::{CopyFwd, CopyParams};
use crate::gpu::kernels::matmul::{
    MatmulBiasBwd, MatmulNn, MatmulNt, MatmulNtAdd, MatmulParams, MatmulTn, Variant,
};
use crate::gpu::pages::Matrix;

/// Which kernels multiply: the scalar one takes every size, the vec4 one needs rows that are multiples of 4 words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatmulVariants {
    /// For any size.
    pub scalar: Variant,
    /// For stored rows and offsets that are multiples of 4 words.
    pub vec4: Variant,
    /// The longest sum over tokens in one dispatch: a processor keeps what the blocks share in its cache.
    pub tokens_at_once: usize,
}

/// Workgroups that leave most of a large GPU idle, which has one or two hundred multiprocessors.
const FEW_GROUPS: usize = 256;

impl MatmulVariants {
    /// For a product of stored rows and offsets of these `sizes`.
    fn pick(self, p: &MatmulParams, sizes: [u32; 6]) -> Variant {
        let m = p.m;
        let all = if sizes.iter().all(|size| size.is_multiple_of(4)) { self.vec4 } else { self.scalar };
        let few = Variant::LaneFewVec4.consts().block_m;
        match all {
            // Few rows leave most of a tile empty; a row's sums are the same in all.
            Variant::TileVec4 | Variant::TileTallVec4
                if m <= Variant::TileVec4.consts().block_m && blocks(Variant::TileVec4, p) < FEW_GROUPS =>
            {
                Variant::TileFewVec4
            }
            Variant::LaneSgVec4 if m == 1 => Variant::LaneOneWideVec4,
            Variant::LaneSgVec4 if m <= 2 * few => Variant::LaneFewWideVec4,
            Variant::LaneVec4 | Variant::LaneQuadTallVec4 | Variant::LaneQuadVec4 if m == 1 => {
                Variant::LaneOneVec4
            }
            Variant::LaneVec4 if m <= 2 * few => Variant::LaneFewVec4,
            Variant::LaneQuadTallVec4 | Variant::LaneQuadVec4 if m <= few => Variant::LaneFewVec4,
            Variant::LaneQuadTallVec4 if m <= Variant::LaneQuadVec4.consts().block_m => Variant::LaneQuadVec4,
            all => all,
        }
    }
}

fn blocks(variant: Variant, p: &MatmulParams) -> usize {
    let consts = variant.consts();
    p.m.div_ceil(consts.block_m) as usize * p.n.div_ceil(consts.block_n) as usize
}

impl Launch for MatmulNt<'_> {
    fn launch(&self, variants: &Variants) -> (Variant, usize) {
        let p = &self.p;
        let variant = variants.matmul.pick(p, [p.lda, p.k, p.ldo, p.a0, p.o0, 0]);
        (variant, blocks(variant, p))
    }
}

impl Launch for MatmulNtAdd<'_> {
    fn launch(&self, variants: &Variants) -> (Variant, usize) {
        let p = &self.p;
        let variant = variants.matmul.pick(p, [p.lda, p.k, p.ldo, p.a0, p.o0, p.ldd]);
        (variant, blocks(variant, p))
    }
}

impl Launch for MatmulNn<'_> {
    fn launch(&self, variants: &Variants) -> (Variant, usize) {
        let p = &self.p;
        let variant = variants.matmul.pick(p, [p.lda, p.n, p.ldo, p.a0, p.o0, p.w0]);
        (variant, blocks(variant, p))
    }
}

impl Launch for MatmulTn<'_> {
    fn launch(&self, variants: &Variants) -> (Variant, usize) {
        let p = &self.p;
        let variant = variants.matmul.pick(p, [p.lda, p.n, p.ldo, p.a0, p.o0, p.w0]);
        (variant, blocks(variant, p))
    }
}

impl Launch for MatmulBiasBwd<'_> {
    fn launch(&self, variants: &Variants) -> (Variant, usize) {
        let p = &self.p;
        let variant = variants.matmul.pick(p, [p.lda, p.n, p.a0, p.o0, 0, 0]);
        // An invocation sums four columns.
        (variant, (p.n as usize).div_ceil(4 * variant.consts().workgroup as usize))
    }
}

/// What a linear layer adds to its product.
#[derive(Clone, Copy, Default)]
pub struct Addends<'a> {
    /// (N)
    pub bias: Option<&'a View>,
    /// (M, N)
    pub residual: Option<&'a View>,
}

impl Ops<'_> {
    /// out(M, N) = x(M, K) w(N, K)^T (+ bias) (+ residual).
    pub fn linear_fwd(&mut self, m: usize, x: &View, w: &Matrix, add: Addends<'_>, out: &View) {
        let (n, k) = (w.rows as u32, w.cols as u32);
        if let (Some(_), Some(residual)) = (add.bias, add.residual) {
            self.run(CopyFwd { p: CopyParams { count: (m * w.rows) as u32 }, x: residual, out });
        }
        for part in &w.parts {
            let p = MatmulParams {
                m: m as u32,
                n: part.rows as u32,
                k,
                lda: k,
                ldo: n,
                o0: part.row0 as u32,
                ..MatmulParams::default()
            };
            // A part's columns of a bias or a residual start at the part's first row.
            let behind = |view: &View| view.slice(part.row0, view.len() - part.row0);
            match (add.bias, add.residual) {
                (None, None) => self.run(MatmulNt { p, a: x, w: &part.view, out }),
                (Some(bias), residual) => {
                    let p = MatmulParams { ldd: 0, accumulate: u32::from(residual.is_some()), ..p };
                    self.run(MatmulNtAdd { p, a: x, w: &part.view, addend: &behind(bias), out });
                }
                (None, Some(residual)) => {
                    let p = MatmulParams { ldd: n, ..p };
                    self.run(MatmulNtAdd { p, a: x, w: &part.view, addend: &behind(residual), out });
                }
            }
        }
    }

    /// dx(M, K) = dout(M, N) w(N, K).
    pub fn linear_bwd_x(&mut self, m: usize, dout: &View, w: &Matrix, dx: &View) {
        for (at, part) in w.parts.iter().enumerate() {
            let p = MatmulParams {
                m: m as u32,
                n: w.cols as u32,
                k: part.rows as u32,
                lda: w.rows as u32,
                ldo: w.cols as u32,
                a0: part.row0 as u32,
                accumulate: u32::from(at > 0),
                ..MatmulParams::default()
            };
            self.run(MatmulNn { p, a: dout, w: &part.view, out: dx });
        }
    }

    /// dw(N, K) += dout(M, N)^T x(M, K), and dbias(N) += the column sums of dout.
    pub fn linear_bwd_w(&mut self, m: usize, dout: &View, x: &View, dw: &Matrix, dbias: Option<&View>) {
        for part in &dw.parts {
            for first in (0..m).step_by(self.variants.matmul.tokens_at_once) {
                let p = MatmulParams {
                    m: part.rows as u32,
                    n: dw.cols as u32,
                    k: self.variants.matmul.tokens_at_once.min(m - first) as u32,
                    lda: dw.rows as u32,
                    ldo: dw.cols as u32,
                    a0: (first * dw.rows + part.row0) as u32,
                    w0: (first * dw.cols) as u32,
                    accumulate: 1,
                    ..MatmulParams::default()
                };
                self.run(MatmulTn { p, a: dout, w: x, out: &part.view });
            }
        }
        if let Some(dbias) = dbias {
            let p = MatmulParams {
                m: m as u32,
                n: dw.rows as u32,
                lda: dw.rows as u32,
                accumulate: 1,
                ..MatmulParams::default()
            };
            self.run(MatmulBiasBwd { p, a: dout, out: dbias });
        }
    }
}
