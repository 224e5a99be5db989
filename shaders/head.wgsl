// The head's statistics of each completion row from a tile of logits, and, in place, dloss/dlogits. Probabilities are
// never stored: the backward makes them again from the logits and the row's log-sum-exp. All of kappa * logits.

#variant tile WG=256u ROWS=1u
#variant lane LANE WG=8u ROWS=8u
#import shared/grid
#if LANE
#else
#import shared/reduce
#endif

struct HeadParams {
    rows: u32, // rows of this tile
    vocab: u32, // V
    row0: u32, // the tile's first row among the R completion rows
    kappa: f32, // logit scale
}

@group(0) @binding(0) var<uniform> p: HeadParams;

@group(0) @binding(1) var<storage, read> targets: array<u32>; // (R)
@group(0) @binding(2) var<storage, read> logits: array<f32>; // (rows, V)
@group(0) @binding(3) var<storage, read_write> lse: array<f32>; // (R)
@group(0) @binding(4) var<storage, read_write> chosen: array<f32>; // (R) kappa * the target's logit
@group(0) @binding(5) var<storage, read_write> entropy: array<f32>; // (R) in nats

@group(0) @binding(6) var<storage, read> row_lse: array<f32>; // (R) the forward's lse
@group(0) @binding(7) var<storage, read> a: array<f32>; // (R)
@group(0) @binding(8) var<storage, read> b: array<f32>; // (R)
@group(0) @binding(9) var<storage, read_write> dlogits: array<f32>; // (rows, V) = a * onehot - b * softmax; holds the logits before

// An invocation of the lane variant has a row of its own; of the tile variant, every WG-th column of its workgroup's.
#if LANE
const STEP: u32 = 1u;
fn row_of(group: u32, lid: u32) -> u32 {
    return group * ROWS + lid;
}
fn first_col(lid: u32) -> u32 {
    return 0u;
}
fn all_sum(lid: u32, value: f32) -> f32 {
    return value;
}
fn all_max(lid: u32, value: f32) -> f32 {
    return value;
}
#else
const STEP: u32 = WG;
fn row_of(group: u32, lid: u32) -> u32 {
    return group;
}
fn first_col(lid: u32) -> u32 {
    return lid;
}
fn all_sum(lid: u32, value: f32) -> f32 {
    return reduce_sum(lid, value);
}
fn all_max(lid: u32, value: f32) -> f32 {
    return reduce_max(lid, value);
}
#endif

@compute @workgroup_size(WG)
fn head_stats(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let row = row_of(group_index(wid, nwg), lid);
    if row >= p.rows {
        return;
    }
    let base = row * p.vocab;
    var best = -3.4e38;
    for (var v = first_col(lid); v < p.vocab; v += STEP) {
        best = max(best, p.kappa * logits[base + v]);
    }
    let top = all_max(lid, best);
    var sum = 0.0;
    var dot = 0.0;
    for (var v = first_col(lid); v < p.vocab; v += STEP) {
        let x = p.kappa * logits[base + v] - top;
        let e = exp(x);
        sum += e;
        dot += e * x;
    }
    let total = all_sum(lid, sum);
    let mean = all_sum(lid, dot) / total;
    if first_col(lid) == 0u {
        let r = p.row0 + row;
        lse[r] = top + log(total);
        chosen[r] = p.kappa * logits[base + targets[r]];
        entropy[r] = log(total) - mean;
    }
}

@compute @workgroup_size(WG)
fn head_bwd(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let row = row_of(group_index(wid, nwg), lid);
    if row >= p.rows {
        return;
    }
    let base = row * p.vocab;
    let r = p.row0 + row;
    for (var v = first_col(lid); v < p.vocab; v += STEP) {
        let softmax = exp(p.kappa * dlogits[base + v] - row_lse[r]);
        dlogits[base + v] = select(0.0, a[r], v == targets[r]) - b[r] * softmax;
    }
}
