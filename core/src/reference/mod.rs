//! Plain-loop f64 twins of every kernel, under the kernels' file names: the definition of what `shaders/` computes.
//!
//! Nothing here is fast or clever: a reader should see at a glance that each function is its formula. Tests hold
//! the twins' backward passes against finite differences, and the kernels against the twins.
//!
//! Arrays are row-major slices with the kernels' layouts; sizes that a length implies are not passed. A gradient
//! that the kernels overwrite (`=`) is returned, one that they accumulate (`+=`) is a `&mut` argument. Functions
//! panic where the lengths of their arguments contradict each other: they are for tests, not for user input.
//!
//! `T` packed tokens, `C` channels, `H` heads, `K` kv heads, `D` head dim, `F` ffn, `V` vocabulary, `L` layers, `R`
//! completion rows, `S` trajectories.

pub mod adamw;
pub mod attention;
pub mod decoder;
pub mod embed;
pub mod frequencies;
pub mod head;
pub mod matmul;
pub mod mlp;
pub mod norm;
pub mod objective;
pub mod rope;
pub mod sample;
pub mod value;

/// The sizes that fix the layout of a fused `qkv` row: `heads` query heads, then `kv_heads` key heads, then
/// `kv_heads` value heads, `head_dim` numbers each. `heads` is a multiple of `kv_heads`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Query heads, H.
    pub heads: usize,
    /// Key and value heads, K: each serves `heads / kv_heads` consecutive query heads.
    pub kv_heads: usize,
    /// Numbers in one head, D; even.
    pub head_dim: usize,
}

impl Heads {
    /// Length of a fused row: `(H + 2K) * D`.
    pub fn qkv_width(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_dim
    }

    /// Length of a row of attention's output: `H * D`.
    pub fn out_width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Where query head `head` starts in a fused row.
    fn q(&self, head: usize) -> usize {
        head * self.head_dim
    }

    /// Where the keys that query head `head` looks at start in a fused row.
    fn k(&self, head: usize) -> usize {
        (self.heads + head * self.kv_heads / self.heads) * self.head_dim
    }

    /// Where the values that query head `head` mixes start in a fused row.
    fn v(&self, head: usize) -> usize {
        self.k(head) + self.kv_heads * self.head_dim
    }
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    assert_eq!(x.len(), y.len());
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

/// `log(sum(exp(x)))`, shifted by the maximum so that it cannot overflow.
fn logsumexp(x: impl Iterator<Item = f64> + Clone) -> f64 {
    let max = x.clone().fold(f64::NEG_INFINITY, f64::max);
    max + x.map(|x| (x - max).exp()).sum::<f64>().ln()
}
