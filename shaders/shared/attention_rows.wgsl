// An invocation owns four consecutive rows, in registers, and meets four rows of the other side at a time: a load serves
// four rows, and where the four invocations of a quad share what they load (QUAD), sixteen. All is written out, and nothing
// indexed by a variable: a CPU adapter then keeps none of it in memory.

// Quad i of four rows, a row a column.
alias Rows = array<mat4x4<f32>, QUADS>;

const FOUR = vec4(0u, 1u, 2u, 3u);

// Quad i of the heads that begin at the quads `at`; beyond D it repeats the last.
fn qkv_rows(at: vec4<u32>, i: u32) -> mat4x4<f32> {
    let quad = at + min(i, p.head_size / 4u - 1u);
    return mat4x4(floats(qkv[quad.x]), floats(qkv[quad.y]), floats(qkv[quad.z]), floats(qkv[quad.w]));
}

fn dout_rows(at: vec4<u32>, i: u32) -> mat4x4<f32> {
    let quad = at + min(i, p.head_size / 4u - 1u);
    return mat4x4(floats(dout[quad.x]), floats(dout[quad.y]), floats(dout[quad.z]), floats(dout[quad.w]));
}

fn rows_within_head(i: u32, x: mat4x4<f32>) -> mat4x4<f32> {
    return mat4x4(within_head(i, x[0]), within_head(i, x[1]), within_head(i, x[2]), within_head(i, x[3]));
}

fn own_qkv(at: vec4<u32>) -> Rows {
    var own: Rows;
#repeat i QUADS
    own[$i] = rows_within_head($iu, qkv_rows(at, $iu));
#endrepeat
    return own;
}

fn own_dout(at: vec4<u32>) -> Rows {
    var own: Rows;
#repeat i QUADS
    own[$i] = rows_within_head($iu, dout_rows(at, $iu));
#endrepeat
    return own;
}

// ---- four rows of the other side, first .. first + 3; those beyond `last` repeat it ---------------------------------------

#if QUAD
// Where the head of the row that this invocation loads for its quad begins, in quads.
alias Met = u32;

fn met(first: u32, last: u32, lane: u32, width: u32, col: u32) -> Met {
    return (min(first + lane, last) * width + col) / 4u;
}

fn shared_rows(x: vec4<f32>) -> mat4x4<f32> {
    return mat4x4(quadBroadcast(x, 0u), quadBroadcast(x, 1u), quadBroadcast(x, 2u), quadBroadcast(x, 3u));
}

fn met_qkv(at: Met, i: u32) -> mat4x4<f32> {
    return shared_rows(floats(qkv[at + min(i, p.head_size / 4u - 1u)]));
}

fn met_dout(at: Met, i: u32) -> mat4x4<f32> {
    return shared_rows(floats(dout[at + min(i, p.head_size / 4u - 1u)]));
}

// lse and delta.
fn met_stats(first: u32, last: u32, lane: u32, head: u32) -> array<vec4<f32>, 2> {
    let at = min(first + lane, last) * p.heads + head;
    let x = vec2(lse[at], delta[at]);
    let rows = array(quadBroadcast(x, 0u), quadBroadcast(x, 1u), quadBroadcast(x, 2u), quadBroadcast(x, 3u));
    return array(
        vec4(rows[0].x, rows[1].x, rows[2].x, rows[3].x),
        vec4(rows[0].y, rows[1].y, rows[2].y, rows[3].y),
    );
}
#else
// Where their heads begin, in quads.
alias Met = vec4<u32>;

fn met(first: u32, last: u32, lane: u32, width: u32, col: u32) -> Met {
    return (min(first + FOUR, vec4(last)) * width + col) / 4u;
}

fn met_qkv(at: Met, i: u32) -> mat4x4<f32> {
    return qkv_rows(at, i);
}

fn met_dout(at: Met, i: u32) -> mat4x4<f32> {
    return dout_rows(at, i);
}

// lse and delta.
fn met_stats(first: u32, last: u32, lane: u32, head: u32) -> array<vec4<f32>, 2> {
    let rows = min(first + FOUR, vec4(last));
    return array(lse_of(rows, head), delta_of(rows, head));
}
#endif

// ---- sweeps over the head ---------------------------------------------------------------------------------------------

// Column r: the dot products of own row r with the four rows that are met.
fn qkv_dot(own: ptr<function, Rows>, at: Met) -> mat4x4<f32> {
    var sum = mat4x4<f32>();
#repeat i QUADS
    sum += transpose(met_qkv(at, $iu)) * (*own)[$i];
#endrepeat
    return sum;
}

fn dout_dot(own: ptr<function, Rows>, at: Met) -> mat4x4<f32> {
    var sum = mat4x4<f32>();
#repeat i QUADS
    sum += transpose(met_dout(at, $iu)) * (*own)[$i];
#endrepeat
    return sum;
}

// acc's row r += the sum of the four rows that are met, weighted by column r.
fn qkv_sum(acc: ptr<function, Rows>, by: mat4x4<f32>, at: Met) {
#repeat i QUADS
    (*acc)[$i] += met_qkv(at, $iu) * by;
#endrepeat
}

fn dout_sum(acc: ptr<function, Rows>, by: mat4x4<f32>, at: Met) {
#repeat i QUADS
    (*acc)[$i] += met_dout(at, $iu) * by;
#endrepeat
}

// acc's row r *= by[r].
fn scaled(x: mat4x4<f32>, by: vec4<f32>) -> mat4x4<f32> {
    return mat4x4(x[0] * by[0], x[1] * by[1], x[2] * by[2], x[3] * by[3]);
}

fn scale_rows(acc: ptr<function, Rows>, by: vec4<f32>) {
#repeat i QUADS
    (*acc)[$i] = scaled((*acc)[$i], by);
#endrepeat
}

fn largest(v: vec4<f32>) -> f32 {
    return max(max(v.x, v.y), max(v.z, v.w));
}

// Where heads begin, in quads.
fn in_qkv(rows: vec4<u32>, col: u32) -> vec4<u32> {
    return (rows * qkv_width() + col) / 4u;
}

fn in_out(rows: vec4<u32>, col: u32) -> vec4<u32> {
    return (rows * p.heads * p.head_size + col) / 4u;
}

fn lse_of(rows: vec4<u32>, head: u32) -> vec4<f32> {
    let at = rows * p.heads + head;
    return vec4(lse[at.x], lse[at.y], lse[at.z], lse[at.w]);
}

fn delta_of(rows: vec4<u32>, head: u32) -> vec4<f32> {
    let at = rows * p.heads + head;
    return vec4(delta[at.x], delta[at.y], delta[at.z], delta[at.w]);
}

fn start_of(rows: vec4<u32>) -> vec4<u32> {
    return vec4(seq_start[rows.x], seq_start[rows.y], seq_start[rows.z], seq_start[rows.w]);
}

fn end_of(rows: vec4<u32>) -> vec4<u32> {
    return vec4(seq_end[rows.x], seq_end[rows.y], seq_end[rows.z], seq_end[rows.w]);
}

// ---- entry points -----------------------------------------------------------------------------------------------------

@compute @workgroup_size(WORKGROUP)
fn attention_fwd(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = group_index(wid, nwg);
    let base = group / p.heads * (ROWS * WORKGROUP);
    if (base >= p.tokens) {
        return;
    }
    let head = group % p.heads;
    let kv_head = head / (p.heads / p.kv_heads);
    let token = base + ROWS * lane;
    let rows = min(token + FOUR, vec4(p.tokens - 1u));
    let start = start_of(rows);
    let width = qkv_width();

    var q = own_qkv(in_qkv(rows, q_col(head)));
    var acc = Rows();
    var top = vec4(LOWEST);
    var sum = vec4(0.0);
    // Sequence by sequence, from the last that the workgroup's queries belong to; a query takes part in its own only.
    var last = min(base + ROWS * WORKGROUP, p.tokens) - 1u;
    loop {
        let first = seq_start[last];
        for (var key = first; key <= last; key += 4u) {
            // No query sees the keys beyond the last.
            let keys = key + FOUR;
            var s = qkv_dot(&q, met(key, last, lane, width, k_col(kv_head)));
            var shrink: vec4<f32>;
#repeat r 4
            let seen_$r = vec4(start[$r] == first) & (keys <= vec4(rows[$r]));
            s[$r] = select(vec4(LOWEST), s[$r] * p.scale, seen_$r);
            let top_$r = max(top[$r], largest(s[$r]));
            // Exactly 1 when nothing changes: blocks that a query does not see must leave its bits alone.
            shrink[$r] = select(exp(top[$r] - top_$r), 1.0, top[$r] == top_$r);
            s[$r] = select(vec4(0.0), exp(s[$r] - top_$r), seen_$r);
            top[$r] = top_$r;
            sum[$r] = sum[$r] * shrink[$r] + dot(s[$r], vec4(1.0));
#endrepeat
            scale_rows(&acc, shrink);
            qkv_sum(&acc, s, met(key, last, lane, width, v_col(kv_head)));
        }
        if (first <= base) {
            break;
        }
        last = first - 1u;
    }
#repeat r 4
    if (token + $ru < p.tokens) {
        lse[(token + $ru) * p.heads + head] = top[$r] + log(sum[$r]);
#repeat i QUADS
        store_out(token + $ru, q_col(head), $iu, acc[$i][$r] / sum[$r]);
#endrepeat
    }
#endrepeat
}

@compute @workgroup_size(WORKGROUP)
fn attention_bwd_q(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = group_index(wid, nwg);
    let base = group / p.heads * (ROWS * WORKGROUP);
    if (base >= p.tokens) {
        return;
    }
    let head = group % p.heads;
    let kv_head = head / (p.heads / p.kv_heads);
    let token = base + ROWS * lane;
    let rows = min(token + FOUR, vec4(p.tokens - 1u));
    let start = start_of(rows);
    let width = qkv_width();

    var q = own_qkv(in_qkv(rows, q_col(head)));
    var dy = own_dout(in_out(rows, q_col(head)));
    let row_lse = lse_of(rows, head);
    let row_delta = delta_of(rows, head);
    var dq = Rows();
    let last = min(base + ROWS * WORKGROUP, p.tokens) - 1u;
    for (var key = seq_start[base]; key <= last; key += 4u) {
        let keys = key + FOUR;
        let k_at = met(key, last, lane, width, k_col(kv_head));
        let s = qkv_dot(&q, k_at);
        var ds = qkv_dot(&dy, met(key, last, lane, width, v_col(kv_head)));
#repeat r 4
        let seen_$r = (keys >= vec4(start[$r])) & (keys <= vec4(rows[$r]));
        let prob_$r = select(vec4(0.0), exp(s[$r] * p.scale - row_lse[$r]), seen_$r);
        ds[$r] = prob_$r * (ds[$r] - row_delta[$r]) * p.scale;
#endrepeat
        qkv_sum(&dq, ds, k_at);
    }
#repeat r 4
    if (token + $ru < p.tokens) {
#repeat i QUADS
        store_dqkv(token + $ru, q_col(head), $iu, dq[$i][$r]);
#endrepeat
    }
#endrepeat
}

@compute @workgroup_size(WORKGROUP)
fn attention_bwd_kv(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = group_index(wid, nwg);
    let base = group / p.kv_heads * (ROWS * WORKGROUP);
    if (base >= p.tokens) {
        return;
    }
    let kv_head = group % p.kv_heads;
    let shared_by = p.heads / p.kv_heads;
    let token = base + ROWS * lane;
    let rows = min(token + FOUR, vec4(p.tokens - 1u));
    let end = end_of(rows);
    let width = qkv_width();

    var k = own_qkv(in_qkv(rows, k_col(kv_head)));
    var v = own_qkv(in_qkv(rows, v_col(kv_head)));
    var dk = Rows();
    var dv = Rows();
    let last = seq_end[min(base + ROWS * WORKGROUP, p.tokens) - 1u] - 1u;
    for (var head = kv_head * shared_by; head < (kv_head + 1u) * shared_by; head++) {
        for (var query = base; query <= last; query += 4u) {
            let queries = query + FOUR;
            let q_at = met(query, last, lane, width, q_col(head));
            let dout_at = met(query, last, lane, p.heads * p.head_size, q_col(head));
            let query_stats = met_stats(query, last, lane, head);
            var prob = qkv_dot(&k, q_at);
            var ds = dout_dot(&v, dout_at);
#repeat r 4
            let seen_$r = (queries >= vec4(rows[$r])) & (queries < vec4(end[$r]));
            prob[$r] = select(vec4(0.0), exp(prob[$r] * p.scale - query_stats[0]), seen_$r);
            ds[$r] = prob[$r] * (ds[$r] - query_stats[1]) * p.scale;
#endrepeat
            qkv_sum(&dk, ds, q_at);
            dout_sum(&dv, prob, dout_at);
        }
    }
#repeat r 4
    if (token + $ru < p.tokens) {
#repeat i QUADS
        store_dqkv(token + $ru, k_col(kv_head), $iu, dk[$i][$r]);
        store_dqkv(token + $ru, v_col(kv_head), $iu, dv[$i][$r]);
#endrepeat
    }
#endrepeat
}
