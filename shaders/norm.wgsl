// RMSNorm: out = x * rstd * w with rstd = 1 / sqrt(mean(x^2) + eps). Keeps rstd, one number a row, and recomputes
// the normalised row in the backward.

#variant tile WG=64u ROWS=1u
#variant lane LANE WG=8u ROWS=8u
#import shared/grid
#import shared/row

// Columns of one workgroup of norm_bwd_w.
const COLS: u32 = 8u;

struct NormParams {
    rows: u32, // T
    cols: u32, // C
    eps: f32,
}

@group(0) @binding(0) var<uniform> p: NormParams;

@group(0) @binding(1) var<storage, read> x: array<f32>; // (T, C)
@group(0) @binding(2) var<storage, read> w: array<f32>; // (C)
@group(0) @binding(3) var<storage, read_write> out: array<f32>; // (T, C)
@group(0) @binding(4) var<storage, read_write> rstd: array<f32>; // (T)

@group(0) @binding(5) var<storage, read> dout: array<f32>; // (T, C)
@group(0) @binding(6) var<storage, read> scale: array<f32>; // (T) the forward's rstd
@group(0) @binding(7) var<storage, read_write> dx: array<f32>; // (T, C) += (the residual stream carries the rest)
@group(0) @binding(8) var<storage, read_write> dw: array<f32>; // (C) +=

@compute @workgroup_size(WG)
fn norm_fwd(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let row = row_of(group_index(wid, nwg), lid);
    if row >= p.rows {
        return;
    }
    let base = row * p.cols;
    var sum = 0.0;
    for (var c = part_of(lid); c < p.cols; c += PARTS) {
        sum += x[base + c] * x[base + c];
    }
    let s = 1.0 / sqrt(all_sum(lid, sum) / f32(p.cols) + p.eps);
    for (var c = part_of(lid); c < p.cols; c += PARTS) {
        out[base + c] = x[base + c] * s * w[c];
    }
    if part_of(lid) == 0u {
        rstd[row] = s;
    }
}

@compute @workgroup_size(WG)
fn norm_bwd_x(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let row = row_of(group_index(wid, nwg), lid);
    if row >= p.rows {
        return;
    }
    let base = row * p.cols;
    let s = scale[row];
    var sum = 0.0;
    for (var c = part_of(lid); c < p.cols; c += PARTS) {
        sum += dout[base + c] * w[c] * x[base + c];
    }
    let mean = all_sum(lid, sum) * s * s / f32(p.cols);
    for (var c = part_of(lid); c < p.cols; c += PARTS) {
        dx[base + c] += s * (dout[base + c] * w[c] - x[base + c] * mean);
    }
}

#if LANE
// One column an invocation: neighbours read neighbouring columns.
@compute @workgroup_size(WG)
fn norm_bwd_w(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let c = group_index(wid, nwg) * COLS + lid;
    if c >= p.cols {
        return;
    }
    var sum = 0.0;
    for (var row = 0u; row < p.rows; row++) {
        sum += dout[row * p.cols + c] * x[row * p.cols + c] * scale[row];
    }
    dw[c] += sum;
}
#else
// COLS columns a workgroup; WG / COLS invocations share a column's rows.
@compute @workgroup_size(WG)
fn norm_bwd_w(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let c = group_index(wid, nwg) * COLS + lid % COLS;
    var sum = 0.0;
    if c < p.cols {
        for (var row = lid / COLS; row < p.rows; row += WG / COLS) {
            sum += dout[row * p.cols + c] * x[row * p.cols + c] * scale[row];
        }
    }
    sh_reduce[lid] = sum;
    for (var width = WG / 2u; width >= COLS; width /= 2u) {
        workgroupBarrier();
        if lid < width {
            sh_reduce[lid] += sh_reduce[lid + width];
        }
    }
    if lid < COLS && c < p.cols {
        dw[c] += sh_reduce[lid];
    }
}
#endif
