//! Twin of `shaders/attention.wgsl`: causal grouped-query attention over packed sequences, scale `1 / sqrt(D)`.
//!
//! Token `t` looks at `seq_start[t] ..= t`, so never into another sequence. As in the kernels, the forward keeps
//! only the log-sum-exp of the scaled scores, and the backward recomputes the probabilities from it.

use super::{Heads, dot, logsumexp};

/// Returns `out (T, H*D)` and `lse (T, H)` of `qkv (T, (H+2K)*D)`, whose q and k are already rotated, and
/// `seq_start (T)`: the packed index of the first token of each token's sequence.
pub fn forward(qkv: &[f64], seq_start: &[u32], heads: &Heads) -> (Vec<f64>, Vec<f64>) {
    let d = heads.head_dim;
    let tokens = seq_start.len();
    assert_eq!(qkv.len(), tokens * heads.qkv_width());
    let mut out = vec![0.0; tokens * heads.out_width()];
    let mut lse = vec![0.0; tokens * heads.heads];
    for t in 0..tokens {
        for head in 0..heads.heads {
            let keys = seq_start[t] as usize..t + 1;
            let total = logsumexp(keys.clone().map(|s| score(qkv, heads, head, t, s)));
            let out = &mut out[t * heads.out_width() + heads.q(head)..][..d];
            for s in keys {
                let prob = (score(qkv, heads, head, t, s) - total).exp();
                let value = part(qkv, heads, s, heads.v(head));
                out.iter_mut().zip(value).for_each(|(out, value)| *out += prob * value);
            }
            lse[t * heads.heads + head] = total;
        }
    }
    (out, lse)
}

/// Returns `dqkv (T, (H+2K)*D)` of `dout (T, H*D)`, with [`forward`]'s inputs and outputs.
///
/// `dv[s] = sum_t p[t,s] dout[t]`, `dscore[t,s] = p[t,s] (dout[t].v[s] - dout[t].out[t])`, and from it `dq`, `dk`;
/// the query heads of a group add up in their one kv head.
pub fn backward(
    qkv: &[f64],
    out: &[f64],
    lse: &[f64],
    dout: &[f64],
    seq_start: &[u32],
    heads: &Heads,
) -> Vec<f64> {
    let d = heads.head_dim;
    let scale = 1.0 / (d as f64).sqrt();
    let mut dqkv = vec![0.0; qkv.len()];
    for (t, &start) in seq_start.iter().enumerate() {
        for head in 0..heads.heads {
            let at = t * heads.out_width() + heads.q(head);
            let (out, dout) = (&out[at..][..d], &dout[at..][..d]);
            let q_at = t * heads.qkv_width() + heads.q(head);
            for s in start as usize..=t {
                let k_at = s * heads.qkv_width() + heads.k(head);
                let v_at = s * heads.qkv_width() + heads.v(head);
                let prob = (score(qkv, heads, head, t, s) - lse[t * heads.heads + head]).exp();
                let dscore = prob * (dot(dout, &qkv[v_at..][..d]) - dot(dout, out));
                for i in 0..d {
                    dqkv[q_at + i] += scale * dscore * qkv[k_at + i];
                    dqkv[k_at + i] += scale * dscore * qkv[q_at + i];
                    dqkv[v_at + i] += prob * dout[i];
                }
            }
        }
    }
    dqkv
}

fn score(qkv: &[f64], heads: &Heads, head: usize, t: usize, s: usize) -> f64 {
    let q = part(qkv, heads, t, heads.q(head));
    let k = part(qkv, heads, s, heads.k(head));
    dot(q, k) / (heads.head_dim as f64).sqrt()
}

/// One head's vector: `head_dim` numbers from `offset` in the row of token `t`.
fn part<'a>(qkv: &'a [f64], heads: &Heads, t: usize, offset: usize) -> &'a [f64] {
    &qkv[t * heads.qkv_width() + offset..][..heads.head_dim]
}
