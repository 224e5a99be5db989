// Token embedding. Forward gathers rows of the table. Backward sums, per distinct token, the gradients of its
// positions: the host sorts the positions by token, so no atomics are needed and the order of the sum is fixed.
// A workgroup has a position, or a distinct token. The table may be split by rows (a large vocabulary): a dispatch
// handles the rows row0 .. row0 + rows.

#import shared/grid

const WG: u32 = 32u;

struct EmbedParams {
    positions: u32, // T
    cols: u32, // C
    row0: u32, // first vocabulary row of this part of the table
    rows: u32, // vocabulary rows of this part
}

@group(0) @binding(0) var<uniform> p: EmbedParams;

@group(0) @binding(1) var<storage, read> tokens: array<u32>; // (T)
@group(0) @binding(2) var<storage, read> w: array<f32>; // (rows, C)
@group(0) @binding(3) var<storage, read_write> out: array<f32>; // (T, C)

@group(0) @binding(4) var<storage, read> uniq: array<u32>; // (T) distinct tokens, ascending; the rest is unused
@group(0) @binding(5) var<storage, read> uniq_start: array<u32>; // (T + 1) where a distinct token's positions start in order
@group(0) @binding(6) var<storage, read> order: array<u32>; // (T) positions sorted by token
@group(0) @binding(7) var<storage, read> dout: array<f32>; // (T, C)
@group(0) @binding(8) var<storage, read_write> dw: array<f32>; // (rows, C) +=

@compute @workgroup_size(WG)
fn embed_fwd(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let t = group_index(wid, nwg);
    if t >= p.positions {
        return;
    }
    let row = tokens[t];
    if row < p.row0 || row >= p.row0 + p.rows {
        return;
    }
    for (var c = lid; c < p.cols; c += WG) {
        out[t * p.cols + c] = w[(row - p.row0) * p.cols + c];
    }
}

@compute @workgroup_size(WG)
fn embed_bwd_w(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let u = group_index(wid, nwg);
    if u >= p.positions {
        return;
    }
    let first = uniq_start[u];
    let last = uniq_start[u + 1u];
    let row = uniq[u];
    if first == last || row < p.row0 || row >= p.row0 + p.rows {
        return;
    }
    for (var c = lid; c < p.cols; c += WG) {
        var sum = 0.0;
        for (var j = first; j < last; j++) {
            sum += dout[order[j] * p.cols + c];
        }
        dw[(row - p.row0) * p.cols + c] += sum;
    }
}
