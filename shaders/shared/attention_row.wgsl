// An invocation owns one row, in registers, and meets eight rows of the other side at a time: for GPUs (TILE stages them in
// workgroup memory), for CPU adapters with subgroups of 8 (SUBGROUP shares a row's loads), and for heads of any size (LANE).

alias Row = array<vec4<f32>, QUADS>;

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
// Written out: a loop over an own row keeps the row in memory, 3x slower on a software adapter. Except in `lane`, where the
// loads of the other rows outweigh that, and written out they take seconds to compile.

fn dot_quad(sum: ptr<function, Eight>, own: vec4<f32>, rows: Block) {
    (*sum).lo += own * rows.lo;
    (*sum).hi += own * rows.hi;
}

fn weigh(rows: Block, by: Eight) -> vec4<f32> {
    return rows.lo * by.lo + rows.hi * by.hi;
}

fn qkv_dot(own: ptr<function, Row>, source: Source, col: u32) -> Eight {
    var sum = Eight();
#if LANE
    for (var i = 0u; i < QUADS; i++) {
        dot_quad(&sum, (*own)[i], qkv_block(source, col, i));
    }
#else
#repeat i QUADS
    dot_quad(&sum, (*own)[$i], qkv_block(source, col, $iu));
#endrepeat
#endif
    return sum;
}

fn dout_dot(own: ptr<function, Row>, source: Source) -> Eight {
    var sum = Eight();
#if LANE
    for (var i = 0u; i < QUADS; i++) {
        dot_quad(&sum, (*own)[i], dout_block(source, i));
    }
#else
#repeat i QUADS
    dot_quad(&sum, (*own)[$i], dout_block(source, $iu));
#endrepeat
#endif
    return sum;
}

// acc = keep acc + the weighted sum.
fn qkv_sum(acc: ptr<function, Row>, keep: f32, by: Eight, source: Source, col: u32) {
#if LANE
    for (var i = 0u; i < QUADS; i++) {
        (*acc)[i] = (*acc)[i] * keep + weigh(qkv_block(source, col, i), by);
    }
#else
#repeat i QUADS
    (*acc)[$i] = (*acc)[$i] * keep + weigh(qkv_block(source, col, $iu), by);
#endrepeat
#endif
}

fn dout_sum(acc: ptr<function, Row>, keep: f32, by: Eight, source: Source) {
#if LANE
    for (var i = 0u; i < QUADS; i++) {
        (*acc)[i] = (*acc)[i] * keep + weigh(dout_block(source, i), by);
    }
#else
#repeat i QUADS
    (*acc)[$i] = (*acc)[$i] * keep + weigh(dout_block(source, $iu), by);
#endrepeat
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
