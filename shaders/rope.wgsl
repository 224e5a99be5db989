// Rotary position embedding, in place on the query and key heads of qkv: the pair (i, i + D/2) turns by
// position * inv_freq[i]. The backward turns the gradient back. Cosines and sines come from a table that the host
// computes in f64, because WGSL promises no accuracy for sin and cos of large arguments.
//
// Variants: `lane` for CPU adapters, where half of a wide group would have no pair of a head, but its cost.
#variant tile WG=32u
#variant lane WG=8u
#import shared/grid

struct RopeParams {
    positions: u32, // T
    heads: u32, // H + K: the heads that turn; the value heads behind them do not
    head_dim: u32, // D
    stride: u32, // words from one row of qkv to the next: (H + 2K) * D
}

@group(0) @binding(0) var<uniform> p: RopeParams;

@group(0) @binding(1) var<storage, read> position: array<u32>; // (T)
@group(0) @binding(2) var<storage, read> table: array<f32>; // (positions, D): D/2 cosines, then D/2 sines
@group(0) @binding(3) var<storage, read_write> qkv: array<f32>; // (T, (H + 2K) * D), its gradient in the backward

// A workgroup has a row, its invocations the pairs of each head in turn.
fn turn(row: u32, lid: u32, sign: f32) {
    if row >= p.positions {
        return;
    }
    let half = p.head_dim / 2u;
    let angles = position[row] * p.head_dim;
    for (var pair = lid; pair < half; pair += WG) {
        let c = table[angles + pair];
        let s = sign * table[angles + half + pair];
        for (var head = 0u; head < p.heads; head++) {
            let at = row * p.stride + head * p.head_dim + pair;
            let a = qkv[at];
            let b = qkv[at + half];
            qkv[at] = a * c - b * s;
            qkv[at + half] = b * c + a * s;
        }
    }
}

@compute @workgroup_size(WG)
fn rope_fwd(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    turn(group_index(wid, nwg), lid, 1.0);
}

@compute @workgroup_size(WG)
fn rope_bwd(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    turn(group_index(wid, nwg), lid, -1.0);
}
