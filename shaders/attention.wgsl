// Causal attention with grouped key and value heads over packed sequences, forward and backward, without the (T, T)
// scores: the forward keeps a running maximum and sum (Dao et al. 2022, "FlashAttention"; online softmax, Milakov and
// Gimelshein 2018) and stores lse, from which the backward recomputes the probabilities block by block.
//   fwd        out = softmax(scale q k^T) v over keys seq_start[t] .. t, lse = log sum exp of the scaled scores
//   bwd_delta  delta = sum_d dout out, which is sum over keys of p dp
//   bwd_q      dq =
//   bwd_kv     dk =, dv =, summed over the query heads that share them
// ds = p (dp - delta) with p = exp(scale q k^T - lse), dp = dout v^T; dq = scale ds k, dk = scale ds^T q, dv = p^T dout.
//
// An invocation owns one row (a query, or a key and its value) of one head, in registers, and meets eight rows of the
// other side at a time. A row's blocks begin at its own seq_start, so its bits do not depend on what it is packed with.
//
// Variants are sized by head: D <= 4 QUADS, and D a multiple of 4 except in `any`. `lane` is for CPU adapters; `lane_sg`
// loads one row an invocation and shares it within a subgroup of 8; `tile` stages rows in workgroup memory for GPUs.
#variant lane_any LANE OVER_16 OVER_32 OVER_64 QUADS=32u WORKGROUP=8u
#variant lane_d16 LANE VEC4 QUADS=4u WORKGROUP=8u
#variant lane_d32 LANE VEC4 OVER_16 QUADS=8u WORKGROUP=8u
#variant lane_d64 LANE VEC4 OVER_16 OVER_32 QUADS=16u WORKGROUP=8u
#variant lane_d128 LANE VEC4 OVER_16 OVER_32 OVER_64 QUADS=32u WORKGROUP=8u
#variant lane_sg_d16 SUBGROUP VEC4 QUADS=4u WORKGROUP=8u
#variant lane_sg_d32 SUBGROUP VEC4 OVER_16 QUADS=8u WORKGROUP=8u
#variant lane_sg_d64 SUBGROUP VEC4 OVER_16 OVER_32 QUADS=16u WORKGROUP=8u
#variant lane_sg_d128 SUBGROUP VEC4 OVER_16 OVER_32 OVER_64 QUADS=32u WORKGROUP=8u
#variant tile_any TILE OVER_16 OVER_32 OVER_64 QUADS=32u WORKGROUP=64u STAGED=8u
#variant tile_d32 TILE VEC4 OVER_16 QUADS=8u WORKGROUP=64u STAGED=32u
#variant tile_d64 TILE VEC4 OVER_16 OVER_32 QUADS=16u WORKGROUP=64u STAGED=24u
#variant tile_d128 TILE VEC4 OVER_16 OVER_32 OVER_64 QUADS=32u WORKGROUP=64u STAGED=8u
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
@group(0) @binding(1) var<storage, read> qkv: array<vec4<f32>>; // (T, (H + 2K) D)
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>; // (T, H D)
@group(0) @binding(6) var<storage, read> dout: array<vec4<f32>>; // (T, H D)
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

alias Row = array<vec4<f32>, QUADS>;

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
    return qkv[(row * qkv_width() + col + min(4u * i, p.head_size - 4u)) / 4u];
}

fn out_quad(row: u32, col: u32, i: u32) -> vec4<f32> {
    return out[(row * p.heads * p.head_size + col + min(4u * i, p.head_size - 4u)) / 4u];
}

fn dout_quad(row: u32, col: u32, i: u32) -> vec4<f32> {
    return dout[(row * p.heads * p.head_size + col + min(4u * i, p.head_size - 4u)) / 4u];
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

fn own_qkv(row: u32, col: u32) -> Row {
    var x: Row;
    for (var i = 0u; i < QUADS; i++) {
        x[i] = within_head(i, qkv_quad(row, col, i));
    }
    return x;
}

fn own_dout(row: u32, col: u32) -> Row {
    var x: Row;
    for (var i = 0u; i < QUADS; i++) {
        x[i] = within_head(i, dout_quad(row, col, i));
    }
    return x;
}

// ---- eight rows of the other side -------------------------------------------------------------------------------------
// x is a key (or, in bwd_kv, a query), y its value (or dout). Rows beyond `last` repeat it, and count for nothing.

// Quad i of eight rows: a row a column, so that v * block is eight dot products and block * v their weighted sum.
struct Block {
    lo: mat4x4<f32>,
    hi: mat4x4<f32>,
}

// Eight numbers, one for each of the rows.
struct Eight {
    lo: vec4<f32>,
    hi: vec4<f32>,
}

struct Source {
    chunk: u32,
    row: u32,
    last: u32,
    x_col: u32,
    y_col: u32,
    lane: u32,
}

#if TILE
var<workgroup> staged_x: array<vec4<f32>, STAGED * QUADS>;
var<workgroup> staged_y: array<vec4<f32>, STAGED * QUADS>;
var<workgroup> staged_bound: u32;

fn stage_kv(source: Source) {
    workgroupBarrier();
    for (var i = source.lane; i < STAGED * QUADS; i += WORKGROUP) {
        let row = min(source.chunk + i / QUADS, source.last);
        staged_x[i] = qkv_quad(row, source.x_col, i % QUADS);
        staged_y[i] = qkv_quad(row, source.y_col, i % QUADS);
    }
    workgroupBarrier();
}

fn stage_q_dout(source: Source) {
    workgroupBarrier();
    for (var i = source.lane; i < STAGED * QUADS; i += WORKGROUP) {
        let row = min(source.chunk + i / QUADS, source.last);
        staged_x[i] = qkv_quad(row, source.x_col, i % QUADS);
        staged_y[i] = dout_quad(row, source.y_col, i % QUADS);
    }
    workgroupBarrier();
}

fn staged_x_block(at: u32) -> Block {
    return Block(
        mat4x4(staged_x[at], staged_x[at + QUADS], staged_x[at + 2u * QUADS], staged_x[at + 3u * QUADS]),
        mat4x4(staged_x[at + 4u * QUADS], staged_x[at + 5u * QUADS], staged_x[at + 6u * QUADS], staged_x[at + 7u * QUADS]),
    );
}

fn staged_y_block(at: u32) -> Block {
    return Block(
        mat4x4(staged_y[at], staged_y[at + QUADS], staged_y[at + 2u * QUADS], staged_y[at + 3u * QUADS]),
        mat4x4(staged_y[at + 4u * QUADS], staged_y[at + 5u * QUADS], staged_y[at + 6u * QUADS], staged_y[at + 7u * QUADS]),
    );
}

fn qkv_block(source: Source, col: u32, i: u32) -> Block {
    let at = (source.row - source.chunk) * QUADS + i;
    if (col == source.x_col) {
        return staged_x_block(at);
    }
    return staged_y_block(at);
}

fn dout_block(source: Source, i: u32) -> Block {
    return staged_y_block((source.row - source.chunk) * QUADS + i);
}

// The same number in every invocation: barriers below depend on it.
fn bound(lane: u32, value: u32) -> u32 {
    workgroupBarrier();
    if (lane == 0u) {
        staged_bound = value;
    }
    return workgroupUniformLoad(&staged_bound);
}
#else
const STAGED = 8u;

fn stage_kv(source: Source) {}

fn stage_q_dout(source: Source) {}

fn bound(lane: u32, value: u32) -> u32 {
    return value;
}
#endif

#if LANE
fn qkv_block(source: Source, col: u32, i: u32) -> Block {
    let lo = min(source.row + vec4(0u, 1u, 2u, 3u), vec4(source.last));
    let hi = min(source.row + vec4(4u, 5u, 6u, 7u), vec4(source.last));
    return Block(
        mat4x4(qkv_quad(lo.x, col, i), qkv_quad(lo.y, col, i), qkv_quad(lo.z, col, i), qkv_quad(lo.w, col, i)),
        mat4x4(qkv_quad(hi.x, col, i), qkv_quad(hi.y, col, i), qkv_quad(hi.z, col, i), qkv_quad(hi.w, col, i)),
    );
}

fn dout_block(source: Source, i: u32) -> Block {
    let lo = min(source.row + vec4(0u, 1u, 2u, 3u), vec4(source.last));
    let hi = min(source.row + vec4(4u, 5u, 6u, 7u), vec4(source.last));
    let col = source.y_col;
    return Block(
        mat4x4(dout_quad(lo.x, col, i), dout_quad(lo.y, col, i), dout_quad(lo.z, col, i), dout_quad(lo.w, col, i)),
        mat4x4(dout_quad(hi.x, col, i), dout_quad(hi.y, col, i), dout_quad(hi.z, col, i), dout_quad(hi.w, col, i)),
    );
}
#endif

#if SUBGROUP
fn broadcast(x: vec4<f32>) -> Block {
    return Block(
        mat4x4(subgroupBroadcast(x, 0u), subgroupBroadcast(x, 1u), subgroupBroadcast(x, 2u), subgroupBroadcast(x, 3u)),
        mat4x4(subgroupBroadcast(x, 4u), subgroupBroadcast(x, 5u), subgroupBroadcast(x, 6u), subgroupBroadcast(x, 7u)),
    );
}

fn qkv_block(source: Source, col: u32, i: u32) -> Block {
    return broadcast(qkv_quad(min(source.row + source.lane, source.last), col, i));
}

fn dout_block(source: Source, i: u32) -> Block {
    return broadcast(dout_quad(min(source.row + source.lane, source.last), source.y_col, i));
}
#endif

// ---- sweeps over the head: eight dot products with an own row, or a weighted sum of eight rows into it -----------------
// Written out by flags: a loop over an own row keeps the row in memory, 3x slower on a software adapter. Except in `lane`,
// where the loads of the other rows outweigh that, and written out they take seconds to compile.

fn dot_quad(sum: ptr<function, Eight>, own: vec4<f32>, rows: Block) {
    (*sum).lo += own * rows.lo;
    (*sum).hi += own * rows.hi;
}

fn weigh(rows: Block, by: Eight) -> vec4<f32> {
    return rows.lo * by.lo + rows.hi * by.hi;
}

fn qkv_dot4(sum: ptr<function, Eight>, own: ptr<function, Row>, source: Source, col: u32, i: u32) {
    dot_quad(sum, (*own)[i], qkv_block(source, col, i));
    dot_quad(sum, (*own)[i + 1u], qkv_block(source, col, i + 1u));
    dot_quad(sum, (*own)[i + 2u], qkv_block(source, col, i + 2u));
    dot_quad(sum, (*own)[i + 3u], qkv_block(source, col, i + 3u));
}

fn qkv_dot(own: ptr<function, Row>, source: Source, col: u32) -> Eight {
    var sum = Eight();
#if LANE
    for (var i = 0u; i < QUADS; i++) {
        dot_quad(&sum, (*own)[i], qkv_block(source, col, i));
    }
#else
    qkv_dot4(&sum, own, source, col, 0u);
#if OVER_16
    qkv_dot4(&sum, own, source, col, 4u);
#endif
#if OVER_32
    qkv_dot4(&sum, own, source, col, 8u);
    qkv_dot4(&sum, own, source, col, 12u);
#endif
#if OVER_64
    qkv_dot4(&sum, own, source, col, 16u);
    qkv_dot4(&sum, own, source, col, 20u);
    qkv_dot4(&sum, own, source, col, 24u);
    qkv_dot4(&sum, own, source, col, 28u);
#endif
#endif
    return sum;
}

// acc = keep acc + the weighted sum.
fn qkv_sum4(acc: ptr<function, Row>, keep: f32, by: Eight, source: Source, col: u32, i: u32) {
    (*acc)[i] = (*acc)[i] * keep + weigh(qkv_block(source, col, i), by);
    (*acc)[i + 1u] = (*acc)[i + 1u] * keep + weigh(qkv_block(source, col, i + 1u), by);
    (*acc)[i + 2u] = (*acc)[i + 2u] * keep + weigh(qkv_block(source, col, i + 2u), by);
    (*acc)[i + 3u] = (*acc)[i + 3u] * keep + weigh(qkv_block(source, col, i + 3u), by);
}

fn qkv_sum(acc: ptr<function, Row>, keep: f32, by: Eight, source: Source, col: u32) {
#if LANE
    for (var i = 0u; i < QUADS; i++) {
        (*acc)[i] = (*acc)[i] * keep + weigh(qkv_block(source, col, i), by);
    }
#else
    qkv_sum4(acc, keep, by, source, col, 0u);
#if OVER_16
    qkv_sum4(acc, keep, by, source, col, 4u);
#endif
#if OVER_32
    qkv_sum4(acc, keep, by, source, col, 8u);
    qkv_sum4(acc, keep, by, source, col, 12u);
#endif
#if OVER_64
    qkv_sum4(acc, keep, by, source, col, 16u);
    qkv_sum4(acc, keep, by, source, col, 20u);
    qkv_sum4(acc, keep, by, source, col, 24u);
    qkv_sum4(acc, keep, by, source, col, 28u);
#endif
#endif
}

fn dout_dot4(sum: ptr<function, Eight>, own: ptr<function, Row>, source: Source, i: u32) {
    dot_quad(sum, (*own)[i], dout_block(source, i));
    dot_quad(sum, (*own)[i + 1u], dout_block(source, i + 1u));
    dot_quad(sum, (*own)[i + 2u], dout_block(source, i + 2u));
    dot_quad(sum, (*own)[i + 3u], dout_block(source, i + 3u));
}

fn dout_dot(own: ptr<function, Row>, source: Source) -> Eight {
    var sum = Eight();
#if LANE
    for (var i = 0u; i < QUADS; i++) {
        dot_quad(&sum, (*own)[i], dout_block(source, i));
    }
#else
    dout_dot4(&sum, own, source, 0u);
#if OVER_16
    dout_dot4(&sum, own, source, 4u);
#endif
#if OVER_32
    dout_dot4(&sum, own, source, 8u);
    dout_dot4(&sum, own, source, 12u);
#endif
#if OVER_64
    dout_dot4(&sum, own, source, 16u);
    dout_dot4(&sum, own, source, 20u);
    dout_dot4(&sum, own, source, 24u);
    dout_dot4(&sum, own, source, 28u);
#endif
#endif
    return sum;
}

// acc = keep acc + the weighted sum.
fn dout_sum4(acc: ptr<function, Row>, keep: f32, by: Eight, source: Source, i: u32) {
    (*acc)[i] = (*acc)[i] * keep + weigh(dout_block(source, i), by);
    (*acc)[i + 1u] = (*acc)[i + 1u] * keep + weigh(dout_block(source, i + 1u), by);
    (*acc)[i + 2u] = (*acc)[i + 2u] * keep + weigh(dout_block(source, i + 2u), by);
    (*acc)[i + 3u] = (*acc)[i + 3u] * keep + weigh(dout_block(source, i + 3u), by);
}

fn dout_sum(acc: ptr<function, Row>, keep: f32, by: Eight, source: Source) {
#if LANE
    for (var i = 0u; i < QUADS; i++) {
        (*acc)[i] = (*acc)[i] * keep + weigh(dout_block(source, i), by);
    }
#else
    dout_sum4(acc, keep, by, source, 0u);
#if OVER_16
    dout_sum4(acc, keep, by, source, 4u);
#endif
#if OVER_32
    dout_sum4(acc, keep, by, source, 8u);
    dout_sum4(acc, keep, by, source, 12u);
#endif
#if OVER_64
    dout_sum4(acc, keep, by, source, 16u);
    dout_sum4(acc, keep, by, source, 20u);
    dout_sum4(acc, keep, by, source, 24u);
    dout_sum4(acc, keep, by, source, 28u);
#endif
#endif
}

fn rows_from(first: u32) -> array<vec4<u32>, 2> {
    return array(first + vec4(0u, 1u, 2u, 3u), first + vec4(4u, 5u, 6u, 7u));
}

fn largest(v: Eight) -> f32 {
    let m = max(v.lo, v.hi);
    return max(max(m.x, m.y), max(m.z, m.w));
}

fn total(v: Eight) -> f32 {
    return dot(v.lo + v.hi, vec4(1.0));
}

// ---- forward: one workgroup for each head of WORKGROUP consecutive queries, heads fastest -----------------------------

@compute @workgroup_size(WORKGROUP)
fn attention_fwd(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = group_index(wid, nwg);
    let base = group / p.heads * WORKGROUP;
    if (base >= p.tokens) {
        return;
    }
    let head = group % p.heads;
    let kv_head = head / (p.heads / p.kv_heads);
    let token = base + lane;
    let row = min(token, p.tokens - 1u);
    let start = seq_start[row];

    var q = own_qkv(row, q_col(head));
    var acc = Row();
    var top = LOWEST;
    var sum = 0.0;
    // Sequence by sequence, from the last that the workgroup's queries belong to; a query takes part in its own only.
    var last = min(base + WORKGROUP, p.tokens) - 1u;
    loop {
        let first = bound(lane, seq_start[last]);
        for (var chunk = first; chunk <= last; chunk += STAGED) {
            var source = Source(chunk, chunk, last, k_col(kv_head), v_col(kv_head), lane);
            stage_kv(source);
            for (var j = 0u; j < STAGED; j += 8u) {
                source.row = chunk + j;
                let keys = rows_from(source.row);
                var s = qkv_dot(&q, source, source.x_col);
                let mine = vec4(start == first);
                let seen_lo = mine & (keys[0] <= vec4(row));
                let seen_hi = mine & (keys[1] <= vec4(row));
                s.lo = select(vec4(LOWEST), s.lo * p.scale, seen_lo);
                s.hi = select(vec4(LOWEST), s.hi * p.scale, seen_hi);
                let new_top = max(top, largest(s));
                // Exactly 1 when nothing changes: blocks that a query does not see must leave its bits alone.
                let shrink = select(exp(top - new_top), 1.0, top == new_top);
                let e = Eight(
                    select(vec4(0.0), exp(s.lo - new_top), seen_lo),
                    select(vec4(0.0), exp(s.hi - new_top), seen_hi),
                );
                top = new_top;
                sum = sum * shrink + total(e);
                qkv_sum(&acc, shrink, e, source, source.y_col);
            }
        }
        if (first <= base) {
            break;
        }
        last = first - 1u;
    }
    if (token < p.tokens) {
        lse[token * p.heads + head] = top + log(sum);
        for (var i = 0u; i < QUADS; i++) {
            store_out(token, q_col(head), i, acc[i] / sum);
        }
    }
}

// ---- backward ---------------------------------------------------------------------------------------------------------

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

// The grid of the forward.
@compute @workgroup_size(WORKGROUP)
fn attention_bwd_q(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = group_index(wid, nwg);
    let base = group / p.heads * WORKGROUP;
    if (base >= p.tokens) {
        return;
    }
    let head = group % p.heads;
    let kv_head = head / (p.heads / p.kv_heads);
    let token = base + lane;
    let row = min(token, p.tokens - 1u);
    let start = seq_start[row];

    var q = own_qkv(row, q_col(head));
    var dy = own_dout(row, q_col(head));
    let row_lse = lse[row * p.heads + head];
    let row_delta = delta[row * p.heads + head];
    var dq = Row();
    let last = min(base + WORKGROUP, p.tokens) - 1u;
    let first = bound(lane, seq_start[base]);
    for (var chunk = first; chunk <= last; chunk += STAGED) {
        var source = Source(chunk, chunk, last, k_col(kv_head), v_col(kv_head), lane);
        stage_kv(source);
        for (var j = 0u; j < STAGED; j += 8u) {
            source.row = chunk + j;
            let keys = rows_from(source.row);
            let s = qkv_dot(&q, source, source.x_col);
            let dp = qkv_dot(&dy, source, source.y_col);
            let seen_lo = (keys[0] >= vec4(start)) & (keys[0] <= vec4(row));
            let seen_hi = (keys[1] >= vec4(start)) & (keys[1] <= vec4(row));
            let prob_lo = select(vec4(0.0), exp(s.lo * p.scale - row_lse), seen_lo);
            let prob_hi = select(vec4(0.0), exp(s.hi * p.scale - row_lse), seen_hi);
            let ds = Eight(prob_lo * (dp.lo - row_delta) * p.scale, prob_hi * (dp.hi - row_delta) * p.scale);
            qkv_sum(&dq, 1.0, ds, source, source.x_col);
        }
    }
    if (token < p.tokens) {
        for (var i = 0u; i < QUADS; i++) {
            store_dqkv(token, q_col(head), i, dq[i]);
        }
    }
}

fn of_query(x: vec4<u32>, head: u32) -> vec4<u32> {
    return min(x, vec4(p.tokens - 1u)) * p.heads + head;
}

fn lse_quad(at: vec4<u32>) -> vec4<f32> {
    return vec4(lse[at.x], lse[at.y], lse[at.z], lse[at.w]);
}

fn delta_quad(at: vec4<u32>) -> vec4<f32> {
    return vec4(delta[at.x], delta[at.y], delta[at.z], delta[at.w]);
}

// One workgroup for each kv head of WORKGROUP consecutive keys, kv heads fastest.
@compute @workgroup_size(WORKGROUP)
fn attention_bwd_kv(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = group_index(wid, nwg);
    let base = group / p.kv_heads * WORKGROUP;
    if (base >= p.tokens) {
        return;
    }
    let kv_head = group % p.kv_heads;
    let shared_by = p.heads / p.kv_heads;
    let token = base + lane;
    let row = min(token, p.tokens - 1u);
    let end = seq_end[row];

    var k = own_qkv(row, k_col(kv_head));
    var v = own_qkv(row, v_col(kv_head));
    var dk = Row();
    var dv = Row();
    let last = bound(lane, seq_end[min(base + WORKGROUP, p.tokens) - 1u]) - 1u;
    for (var head = kv_head * shared_by; head < (kv_head + 1u) * shared_by; head++) {
        for (var chunk = base; chunk <= last; chunk += STAGED) {
            var source = Source(chunk, chunk, last, q_col(head), q_col(head), lane);
            stage_q_dout(source);
            for (var j = 0u; j < STAGED; j += 8u) {
                source.row = chunk + j;
                let queries = rows_from(source.row);
                let s = qkv_dot(&k, source, source.x_col);
                let dp = dout_dot(&v, source);
                let lo = of_query(queries[0], head);
                let hi = of_query(queries[1], head);
                let seen_lo = (queries[0] >= vec4(row)) & (queries[0] < vec4(end));
                let seen_hi = (queries[1] >= vec4(row)) & (queries[1] < vec4(end));
                let prob = Eight(
                    select(vec4(0.0), exp(s.lo * p.scale - lse_quad(lo)), seen_lo),
                    select(vec4(0.0), exp(s.hi * p.scale - lse_quad(hi)), seen_hi),
                );
                let ds = Eight(
                    prob.lo * (dp.lo - delta_quad(lo)) * p.scale,
                    prob.hi * (dp.hi - delta_quad(hi)) * p.scale,
                );
                qkv_sum(&dk, 1.0, ds, source, source.x_col);
                dout_sum(&dv, 1.0, prob, source);
            }
        }
    }
    if (token < p.tokens) {
        for (var i = 0u; i < QUADS; i++) {
            store_dqkv(token, k_col(kv_head), i, dk[i]);
            store_dqkv(token, v_col(kv_head), i, dv[i]);
        }
    }
}
