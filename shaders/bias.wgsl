// The gradient of a bias: the column sums of its output's gradient. Neighbouring invocations read neighbouring columns;
// the forward is matmul's addend.

#import shared/grid

const WG: u32 = 32u;

struct BiasParams {
    rows: u32, // T
    cols: u32, // N
}

@group(0) @binding(0) var<uniform> p: BiasParams;

@group(0) @binding(1) var<storage, read> dout: array<f32>; // (T, N)
@group(0) @binding(2) var<storage, read_write> dw: array<f32>; // (N) +=

@compute @workgroup_size(WG)
fn bias_bwd(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let c = group_index(wid, nwg) * WG + lid;
    if c >= p.cols {
        return;
    }
    var sum = 0.0;
    for (var row = 0u; row < p.rows; row++) {
        sum += dout[row * p.cols + c];
    }
    dw[c] += sum;
}
