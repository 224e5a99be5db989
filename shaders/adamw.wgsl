// The global norm of the gradient, and AdamW with decoupled weight decay. Parameters, gradients and moments lie in
// four buffers of one layout, so a few dispatches update the whole model. Nothing is stored but the two moments.
// When the norm is not finite the update is skipped on the device: the weights stay the last good ones.

#variant tile WG=256u ITEMS=16u
#variant lane LANE WG=8u ITEMS=512u
#import shared/grid
#if LANE
#else
#import shared/reduce
#endif

// Words that one workgroup reads for the norm, and updates.
const BLOCK: u32 = WG * ITEMS;

struct AdamwParams {
    count: u32, // words in this part of the parameters
    partials: u32, // number of partial sums
    first: u32, // index of this part's first partial sum
}

// What varies from step to step.
struct AdamwStep {
    learning_rate: f32,
    weight_decay: f32,
    beta1: f32,
    beta2: f32,
    inv_bias1: f32, // 1 / (1 - beta1^step)
    inv_bias2: f32,
    eps: f32,
    clip: f32, // largest norm; 0 for none
}

@group(0) @binding(0) var<uniform> p: AdamwParams;
@group(0) @binding(1) var<uniform> step: AdamwStep;

@group(0) @binding(2) var<storage, read> g: array<f32>; // (count)
@group(0) @binding(3) var<storage, read_write> partial: array<f32>; // (partials) sums of squares
@group(0) @binding(4) var<storage, read_write> norm: array<f32>; // (1)
@group(0) @binding(5) var<storage, read_write> w: array<f32>; // (count)
@group(0) @binding(6) var<storage, read_write> m: array<f32>; // (count) first moment
@group(0) @binding(7) var<storage, read_write> v: array<f32>; // (count) second moment

#if LANE
// An invocation of its own block: neighbours take neighbouring words, then one of them adds the WG sums up in
// adamw_norm, so every invocation has a partial sum of its own.
const SUMS: u32 = WG;
#else
const SUMS: u32 = 1u;
#endif

@compute @workgroup_size(WG)
fn adamw_norm_partial(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let group = group_index(wid, nwg);
    if group * BLOCK >= p.count {
        return;
    }
    let last = min((group + 1u) * BLOCK, p.count);
    var sum = 0.0;
    for (var i = group * BLOCK + lid; i < last; i += WG) {
        let gi = g[i];
        sum += gi * gi;
    }
#if LANE
    partial[p.first + group * SUMS + lid] = sum;
#else
    let total = reduce_sum(lid, sum);
    if lid == 0u {
        partial[p.first + group] = total;
    }
#endif
}

// One workgroup adds the partial sums of all parts.
@compute @workgroup_size(WG)
fn adamw_norm(@builtin(local_invocation_index) lid: u32) {
#if LANE
    if lid == 0u {
        var sum = 0.0;
        for (var i = 0u; i < p.partials; i++) {
            sum += partial[i];
        }
        norm[0] = sqrt(sum);
    }
#else
    var sum = 0.0;
    for (var i = lid; i < p.partials; i += WG) {
        sum += partial[i];
    }
    let total = reduce_sum(lid, sum);
    if lid == 0u {
        norm[0] = sqrt(total);
    }
#endif
}

// Shader compilers may assume that no value is infinite or NaN, so the bits decide.
fn is_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}

@compute @workgroup_size(WG)
fn adamw_update(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let group = group_index(wid, nwg);
    let size = norm[0];
    if !is_finite(size) {
        return;
    }
    var scale = 1.0;
    if step.clip > 0.0 && size > step.clip {
        scale = step.clip / size;
    }
    let last = min((group + 1u) * BLOCK, p.count);
    for (var i = group * BLOCK + lid; i < last; i += WG) {
        let gi = scale * g[i];
        let mi = step.beta1 * m[i] + (1.0 - step.beta1) * gi;
        let vi = step.beta2 * v[i] + (1.0 - step.beta2) * gi * gi;
        m[i] = mi;
        v[i] = vi;
        let direction = mi * step.inv_bias1 / (sqrt(vi * step.inv_bias2) + step.eps);
        let wi = w[i];
        w[i] = wi - step.learning_rate * (direction + step.weight_decay * wi);
    }
}
