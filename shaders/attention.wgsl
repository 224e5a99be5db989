// Causal attention with grouped key and value heads over packed sequences, forward and backward, without the (T, T)
// scores: the forward keeps a running maximum and sum (Dao et al. 2022, "FlashAttention"; online softmax, Milakov and
// Gimelshein 2018) and stores lse, from which the backward recomputes the probabilities block by block.
//   fwd        out = softmax(scale q k^T) v over keys seq_start[t] .. t, lse = log sum exp of the scaled scores
//   bwd_delta  delta = sum_d dout out, which is sum over keys of p dp
//   bwd_q      dq =
//   bwd_kv     dk =, dv =, summed over the query heads that share them
// ds = p (dp - delta) with p = exp(scale q k^T - lse), dp = dout v^T; dq = scale ds k, dk = scale ds^T q, dv = p^T dout.
//
// An invocation owns rows (queries, or keys and their values) of one head and meets blocks of rows of the other side. A
// row's blocks begin at its own seq_start, so its bits do not depend on what it is packed with.
//
// Variants are sized by head: D <= 4 QUADS, and D a multiple of 4 except in `any`. `lane` is for CPU adapters, where a load
// costs many times a multiplication: an invocation owns four rows, which share what it loads. `lane_quad` shares it with three
// more invocations where there are subgroups; `lane_sg` is faster where subgroups are 8 wide, one row an invocation; `tile`
// stages rows in workgroup memory for GPUs.
#variant lane_any LANE QUADS=32u ROWS=1u WORKGROUP=8u
#variant lane_d16 FOUR_ROWS VEC4 QUADS=4u ROWS=4u WORKGROUP=8u
#variant lane_d32 FOUR_ROWS VEC4 QUADS=8u ROWS=4u WORKGROUP=8u
#variant lane_d64 FOUR_ROWS VEC4 QUADS=16u ROWS=4u WORKGROUP=8u
#variant lane_d128 LANE VEC4 QUADS=32u ROWS=1u WORKGROUP=8u
#variant lane_quad_d16 FOUR_ROWS QUAD VEC4 QUADS=4u ROWS=4u WORKGROUP=4u
#variant lane_quad_d32 FOUR_ROWS QUAD VEC4 QUADS=8u ROWS=4u WORKGROUP=4u
#variant lane_quad_d64 FOUR_ROWS QUAD VEC4 QUADS=16u ROWS=4u WORKGROUP=4u
#variant lane_sg_d16 SUBGROUP VEC4 WIDE QUADS=4u ROWS=1u WORKGROUP=8u
#variant lane_sg_d32 SUBGROUP VEC4 WIDE QUADS=8u ROWS=1u WORKGROUP=8u
#variant lane_sg_d64 SUBGROUP VEC4 WIDE QUADS=16u ROWS=1u WORKGROUP=8u
#variant lane_sg_d128 SUBGROUP VEC4 WIDE QUADS=32u ROWS=1u WORKGROUP=8u
#variant tile_any TILE QUADS=32u ROWS=1u WORKGROUP=64u STAGED=8u
#variant tile_d32 TILE VEC4 QUADS=8u ROWS=1u WORKGROUP=64u STAGED=32u
#variant tile_d64 TILE VEC4 QUADS=16u ROWS=1u WORKGROUP=64u STAGED=24u
#variant tile_d128 TILE VEC4 QUADS=32u ROWS=1u WORKGROUP=64u STAGED=8u
#import shared/grid

struct AttentionParams {
    tokens: u32,
    heads: u32,
    kv_heads: u32,
    head_size: u32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> p: AttentionParams;
#if VEC4
#import shared/quad
@group(0) @binding(1) var<storage, read> qkv: array<Quad>; // (T, (H + 2K) D)
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>; // (T, H D)
@group(0) @binding(6) var<storage, read> dout: array<Quad>; // (T, H D)
@group(0) @binding(8) var<storage, read_write> dqkv: array<vec4<f32>>; // (T, (H + 2K) D)
#else
@group(0) @binding(1) var<storage, read> qkv: array<f32>; // (T, (H + 2K) D)
@group(0) @binding(4) var<storage, read_write> out: array<f32>; // (T, H D)
@group(0) @binding(6) var<storage, read> dout: array<f32>; // (T, H D)
@group(0) @binding(8) var<storage, read_write> dqkv: array<f32>; // (T, (H + 2K) D)
#endif
@group(0) @binding(2) var<storage, read> seq_start: array<u32>; // (T)
@group(0) @binding(3) var<storage, read> seq_end: array<u32>; // (T)
@group(0) @binding(5) var<storage, read_write> lse: array<f32>; // (T, H)
@group(0) @binding(7) var<storage, read_write> delta: array<f32>; // (T, H)

// Below every score, and finite: inf - inf is NaN.
const LOWEST = -3.0e38;

// Where the heads lie in a row of qkv.
fn qkv_width() -> u32 {
    return (p.heads + 2u * p.kv_heads) * p.head_size;
}

fn q_col(head: u32) -> u32 {
    return head * p.head_size;
}

fn k_col(kv_head: u32) -> u32 {
    return (p.heads + kv_head) * p.head_size;
}

fn v_col(kv_head: u32) -> u32 {
    return (p.heads + p.kv_heads + kv_head) * p.head_size;
}

// ---- a head's quad i of a row; what lies beyond D repeats elements within it ------------------------------------------

#if VEC4
fn qkv_quad(row: u32, col: u32, i: u32) -> vec4<f32> {
    return floats(qkv[(row * qkv_width() + col + min(4u * i, p.head_size - 4u)) / 4u]);
}

fn out_quad(row: u32, col: u32, i: u32) -> vec4<f32> {
    return out[(row * p.heads * p.head_size + col + min(4u * i, p.head_size - 4u)) / 4u];
}

fn dout_quad(row: u32, col: u32, i: u32) -> vec4<f32> {
    return floats(dout[(row * p.heads * p.head_size + col + min(4u * i, p.head_size - 4u)) / 4u]);
}

fn store_out(row: u32, col: u32, i: u32, v: vec4<f32>) {
    if (4u * i < p.head_size) {
        out[(row * p.heads * p.head_size + col) / 4u + i] = v;
    }
}

fn store_dqkv(row: u32, col: u32, i: u32, v: vec4<f32>) {
    if (4u * i < p.head_size) {
        dqkv[(row * qkv_width() + col) / 4u + i] = v;
    }
}
#else
fn head_index(at: u32, i: u32) -> vec4<u32> {
    return at + min(4u * i + vec4(0u, 1u, 2u, 3u), vec4(p.head_size - 1u));
}

fn qkv_quad(row: u32, col: u32, i: u32) -> vec4<f32> {
    let at = head_index(row * qkv_width() + col, i);
    return vec4(qkv[at.x], qkv[at.y], qkv[at.z], qkv[at.w]);
}

fn out_quad(row: u32, col: u32, i: u32) -> vec4<f32> {
    let at = head_index(row * p.heads * p.head_size + col, i);
    return vec4(out[at.x], out[at.y], out[at.z], out[at.w]);
}

fn dout_quad(row: u32, col: u32, i: u32) -> vec4<f32> {
    let at = head_index(row * p.heads * p.head_size + col, i);
    return vec4(dout[at.x], dout[at.y], dout[at.z], dout[at.w]);
}

fn store_out(row: u32, col: u32, i: u32, v: vec4<f32>) {
    for (var c = 0u; c < 4u; c++) {
        if (4u * i + c < p.head_size) {
            out[row * p.heads * p.head_size + col + 4u * i + c] = v[c];
        }
    }
}

fn store_dqkv(row: u32, col: u32, i: u32, v: vec4<f32>) {
    for (var c = 0u; c < 4u; c++) {
        if (4u * i + c < p.head_size) {
            dqkv[row * qkv_width() + col + 4u * i + c] = v[c];
        }
    }
}
#endif

// Zeroes what lies beyond D: an invocation's own row is masked once, so that products with unmasked rows are right.
fn within_head(i: u32, v: vec4<f32>) -> vec4<f32> {
    return select(vec4(0.0), v, 4u * i + vec4(0u, 1u, 2u, 3u) < vec4(p.head_size));
}

// Entry points but bwd_delta: one workgroup for each head of ROWS * WORKGROUP consecutive tokens, heads fastest.
#if FOUR_ROWS
#import shared/attention_rows
#else
#import shared/attention_row
#endif

// One invocation for each (token, head), heads fastest.
@compute @workgroup_size(WORKGROUP)
fn attention_bwd_delta(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group_index(wid, nwg) * WORKGROUP + lane;
    if (index >= p.tokens * p.heads) {
        return;
    }
    let token = index / p.heads;
    let col = q_col(index % p.heads);
    var sum = 0.0;
    for (var i = 0u; 4u * i < p.head_size; i++) {
        sum += dot(within_head(i, dout_quad(token, col, i)), out_quad(token, col, i));
    }
    delta[index] = sum;
}
