// The critic of ppo: value = bias + hidden w, one row of weights on the normed hidden state that the head reads too.
// Keeps the values alone: the backward reads the hidden state again.
//
// Variants: `tile` gives a row to a workgroup, `lane` a row to an invocation, as in the norm that comes before it.

// ROWS and COLS are what a workgroup has of the rows, and of the columns in value_bwd_w.
#variant tile WG=64u ROWS=1u COLS=8u
#variant lane LANE WG=8u ROWS=8u COLS=8u
#import shared/grid
#import shared/row

struct ValueParams {
    rows: u32, // R
    cols: u32, // C
}

@group(0) @binding(0) var<uniform> p: ValueParams;

@group(0) @binding(1) var<storage, read> hidden: array<f32>; // (R, C)
@group(0) @binding(2) var<storage, read> w: array<f32>; // (C)
@group(0) @binding(3) var<storage, read> bias: array<f32>; // (1)
@group(0) @binding(4) var<storage, read_write> value: array<f32>; // (R) =

@group(0) @binding(5) var<storage, read> dvalue: array<f32>; // (R)
@group(0) @binding(6) var<storage, read_write> dhidden: array<f32>; // (R, C) += (the head has written its part)
@group(0) @binding(7) var<storage, read_write> dw: array<f32>; // (C) +=
@group(0) @binding(8) var<storage, read_write> dbias: array<f32>; // (1) +=

@compute @workgroup_size(WG)
fn value_fwd(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let row = row_of(group_index(wid, nwg), lid);
    if row >= p.rows {
        return;
    }
    var sum = 0.0;
    for (var c = part_of(lid); c < p.cols; c += PARTS) {
        sum += hidden[row * p.cols + c] * w[c];
    }
    let total = all_sum(lid, sum);
    if part_of(lid) == 0u {
        value[row] = total + bias[0];
    }
}

@compute @workgroup_size(WG)
fn value_bwd_x(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let row = row_of(group_index(wid, nwg), lid);
    if row >= p.rows {
        return;
    }
    for (var c = part_of(lid); c < p.cols; c += PARTS) {
        dhidden[row * p.cols + c] += dvalue[row] * w[c];
    }
}

// What a column adds to the gradient of its weight; the column behind the last is the bias, whose input is 1.
fn product(row: u32, c: u32) -> f32 {
    return dvalue[row] * select(1.0, hidden[row * p.cols + min(c, p.cols - 1u)], c < p.cols);
}

fn add(c: u32, sum: f32) {
    if c < p.cols {
        dw[c] += sum;
    } else if c == p.cols {
        dbias[0] += sum;
    }
}

#if LANE
// One column an invocation: neighbours read neighbouring columns.
@compute @workgroup_size(WG)
fn value_bwd_w(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let c = group_index(wid, nwg) * WG + lid;
    var sum = 0.0;
    for (var row = 0u; row < p.rows; row++) {
        sum += product(row, c);
    }
    add(c, sum);
}
#else
// WG / COLS invocations share a column's rows.
@compute @workgroup_size(WG)
fn value_bwd_w(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let c = group_index(wid, nwg) * COLS + lid % COLS;
    var sum = 0.0;
    for (var row = lid / COLS; row < p.rows; row += WG / COLS) {
        sum += product(row, c);
    }
    sh_reduce[lid] = sum;
    for (var width = WG / 2u; width >= COLS; width /= 2u) {
        workgroupBarrier();
        if lid < width {
            sh_reduce[lid] += sh_reduce[lid + width];
        }
    }
    if lid < COLS {
        add(c, sh_reduce[lid]);
    }
}
#endif
