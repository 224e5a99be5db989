// Picks the rows that predict completion tokens, so that only they enter the head; the backward puts their gradient
// back into a cleared array. No row is picked twice. A workgroup has a row.

#import shared/grid

const WG: u32 = 32u;

struct RowsParams {
    rows: u32, // R
    cols: u32, // C
}

@group(0) @binding(0) var<uniform> p: RowsParams;

@group(0) @binding(1) var<storage, read> rows: array<u32>; // (R)
@group(0) @binding(2) var<storage, read> x: array<f32>; // (T, C)
@group(0) @binding(3) var<storage, read_write> out: array<f32>; // (R, C)

@group(0) @binding(4) var<storage, read> dout: array<f32>; // (R, C)
@group(0) @binding(5) var<storage, read_write> dx: array<f32>; // (T, C) = at the picked rows; cleared before

@compute @workgroup_size(WG)
fn rows_fwd(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let r = group_index(wid, nwg);
    if r >= p.rows {
        return;
    }
    for (var c = lid; c < p.cols; c += WG) {
        out[r * p.cols + c] = x[rows[r] * p.cols + c];
    }
}

@compute @workgroup_size(WG)
fn rows_bwd(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let r = group_index(wid, nwg);
    if r >= p.rows {
        return;
    }
    for (var c = lid; c < p.cols; c += WG) {
        dx[rows[r] * p.cols + c] = dout[r * p.cols + c];
    }
}
