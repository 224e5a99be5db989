// RMSNorm: out = x * rstd * w with rstd = 1 / sqrt(mean(x^2) + eps). Keeps rstd, one number a row, and recomputes
// the normalised row in the backward.

// ROWS and COLS are what a workgroup has of the rows, and of the columns in norm_bwd_w; `vec4` wants C to be a multiple of 4.
#variant tile Element:f32 WIDTH=1u WG=64u ROWS=1u COLS=8u
#variant lane LANE Element:f32 WIDTH=1u WG=8u ROWS=8u COLS=8u
#variant lane_vec4 LANE VEC4 Element:vec4<f32> WIDTH=4u WG=8u ROWS=8u COLS=32u
#import shared/grid
#import shared/row

struct NormParams {
    rows: u32, // T
    cols: u32, // C
    eps: f32,
}

@group(0) @binding(0) var<uniform> p: NormParams;

@group(0) @binding(1) var<storage, read> x: array<Element>; // (T, C)
@group(0) @binding(2) var<storage, read> w: array<Element>; // (C)
@group(0) @binding(3) var<storage, read_write> out: array<Element>; // (T, C)
@group(0) @binding(4) var<storage, read_write> rstd: array<f32>; // (T)

@group(0) @binding(5) var<storage, read> dout: array<Element>; // (T, C)
@group(0) @binding(6) var<storage, read> scale: array<f32>; // (T) the forward's rstd
@group(0) @binding(7) var<storage, read_write> dx: array<Element>; // (T, C) += (the residual stream carries the rest)
@group(0) @binding(8) var<storage, read_write> dw: array<Element>; // (C) +=

fn total(x: Element) -> f32 {
#if VEC4
    return dot(x, vec4(1.0));
#else
    return x;
#endif
}

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
    let cols = p.cols / WIDTH;
    let base = row * cols;
    var sum = Element();
    for (var c = part_of(lid); c < cols; c += PARTS) {
        let x_c = x[base + c];
        sum += x_c * x_c;
    }
    let s = 1.0 / sqrt(all_sum(lid, total(sum)) / f32(p.cols) + p.eps);
    for (var c = part_of(lid); c < cols; c += PARTS) {
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
    let cols = p.cols / WIDTH;
    let base = row * cols;
    let s = scale[row];
    var sum = Element();
    for (var c = part_of(lid); c < cols; c += PARTS) {
        sum += dout[base + c] * w[c] * x[base + c];
    }
    let mean = all_sum(lid, total(sum)) * s * s / f32(p.cols);
    for (var c = part_of(lid); c < cols; c += PARTS) {
        dx[base + c] += s * (dout[base + c] * w[c] - x[base + c] * mean);
    }
}

#if LANE
// One column an invocation, or a quad of them: neighbours read neighbouring columns.
@compute @workgroup_size(WG)
fn norm_bwd_w(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let cols = p.cols / WIDTH;
    let c = group_index(wid, nwg) * WG + lid;
    if c >= cols {
        return;
    }
    var sum = Element();
    for (var row = 0u; row < p.rows; row++) {
        sum += dout[row * cols + c] * x[row * cols + c] * scale[row];
    }
    dw[c] += sum;
}
#else
// WG / COLS invocations share a column's rows.
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
