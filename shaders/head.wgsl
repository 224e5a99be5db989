// The head's statistics over a tile of logits, rows of p.stride floats of which V count, and its backward in place:
//   stats  lse = log sum exp(kappa z), chosen = kappa z[target], entropy = lse - sum softmax(kappa z) kappa z
//   bwd    dlogits[v] = a [v = target] - b softmax(kappa z)[v]      `=`, over the logits
// Probabilities are never stored: the backward recomputes them from lse. The objective has put kappa into a and b.
//
// The tile holds rows row0 .. row0 + rows - 1 of the per-row arrays. The maximum takes a pass of its own, so that every
// sum is shifted by the final one and nothing is ever rescaled.
//
// Variants: `tile` gives a row to a workgroup, which strides over it and reduces in a tree of a fixed shape; `lane` gives a
// row to an invocation, without barriers. Either way a row's bits depend on the row alone.
#variant tile TILE WORKGROUP=256u ROWS=1u
#variant tile_vec4 TILE VEC4 WORKGROUP=256u ROWS=1u
#variant lane LANE WORKGROUP=8u ROWS=8u
#variant lane_vec4 LANE VEC4 WORKGROUP=8u ROWS=8u
#import shared/grid

struct HeadParams {
    rows: u32,
    vocabulary: u32,
    stride: u32,
    row0: u32,
    kappa: f32,
}

@group(0) @binding(0) var<uniform> p: HeadParams;
#if VEC4
@group(0) @binding(1) var<storage, read_write> logits: array<vec4<f32>>; // (Rtile, V), rows of stride; bwd: dlogits
#else
@group(0) @binding(1) var<storage, read_write> logits: array<f32>; // (Rtile, V), rows of stride; bwd: dlogits
#endif
@group(0) @binding(2) var<storage, read> targets: array<u32>; // (R)
@group(0) @binding(3) var<storage, read_write> lse: array<f32>; // (R)
@group(0) @binding(4) var<storage, read_write> chosen: array<f32>; // (R)
@group(0) @binding(5) var<storage, read_write> entropy: array<f32>; // (R)
@group(0) @binding(6) var<storage, read> a: array<f32>; // (R)
@group(0) @binding(7) var<storage, read> b: array<f32>; // (R)

// Below every logit, and finite: inf - inf is NaN.
const LOWEST = -3.0e38;

#if VEC4
fn load(row: u32, v: u32) -> vec4<f32> {
    return logits[(row * p.stride + v) / 4u];
}

fn load_one(row: u32, v: u32) -> f32 {
    let i = row * p.stride + v;
    return logits[i / 4u][i % 4u];
}

fn store(row: u32, v: u32, x: vec4<f32>) {
    logits[(row * p.stride + v) / 4u] = x;
}
#else
fn load(row: u32, v: u32) -> vec4<f32> {
    let i = row * p.stride + v;
    let last = p.vocabulary - 1u - v;
    return vec4(logits[i], logits[i + min(1u, last)], logits[i + min(2u, last)], logits[i + min(3u, last)]);
}

fn load_one(row: u32, v: u32) -> f32 {
    return logits[row * p.stride + v];
}

fn store(row: u32, v: u32, x: vec4<f32>) {
    for (var c = 0u; c < min(4u, p.vocabulary - v); c++) {
        logits[row * p.stride + v + c] = x[c];
    }
}
#endif

fn counts(v: u32) -> vec4<bool> {
    return v + vec4(0u, 1u, 2u, 3u) < vec4(p.vocabulary);
}

// What an invocation sees of a row: quads first, first + step, ... times 4.
struct Sums {
    // of exp(z - top)
    weight: f32,
    // of exp(z - top) (z - top)
    weighted: f32,
}

fn top_of(row: u32, first: u32, step: u32) -> f32 {
    var top = vec4(LOWEST);
    for (var v = 4u * first; v < p.vocabulary; v += 4u * step) {
        top = max(top, select(vec4(LOWEST), p.kappa * load(row, v), counts(v)));
    }
    return max(max(top.x, top.y), max(top.z, top.w));
}

fn sums_of(row: u32, top: f32, first: u32, step: u32) -> Sums {
    var weight = vec4(0.0);
    var weighted = vec4(0.0);
    for (var v = 4u * first; v < p.vocabulary; v += 4u * step) {
        let z = p.kappa * load(row, v) - top;
        let e = exp(z);
        let here = counts(v);
        weight += select(vec4(0.0), e, here);
        weighted += select(vec4(0.0), e * z, here);
    }
    return Sums(dot(weight, vec4(1.0)), dot(weighted, vec4(1.0)));
}

fn write_stats(row: u32, top: f32, sums: Sums) {
    let r = p.row0 + row;
    let log_weight = log(sums.weight);
    lse[r] = top + log_weight;
    chosen[r] = p.kappa * load_one(row, targets[r]);
    entropy[r] = log_weight - sums.weighted / sums.weight;
}

fn backward(row: u32, first: u32, step: u32) {
    let r = p.row0 + row;
    let row_lse = lse[r];
    let target_v = targets[r];
    let row_a = a[r];
    let row_b = b[r];
    for (var v = 4u * first; v < p.vocabulary; v += 4u * step) {
        let softmax = exp(p.kappa * load(row, v) - row_lse);
        let hit = vec4(target_v) == v + vec4(0u, 1u, 2u, 3u);
        store(row, v, select(vec4(0.0), vec4(row_a), hit) - row_b * softmax);
    }
}

#if TILE
var<workgroup> shared_top: array<f32, WORKGROUP>;
var<workgroup> shared_sums: array<Sums, WORKGROUP>;

// One workgroup a row.
@compute @workgroup_size(WORKGROUP)
fn head_stats(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group_index(wid, nwg);
    if (row >= p.rows) {
        return;
    }
    shared_top[lane] = top_of(row, lane, WORKGROUP);
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) {
            shared_top[lane] = max(shared_top[lane], shared_top[lane + half]);
        }
    }
    workgroupBarrier();
    let top = shared_top[0];
    shared_sums[lane] = sums_of(row, top, lane, WORKGROUP);
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) {
            let x = shared_sums[lane];
            let y = shared_sums[lane + half];
            shared_sums[lane] = Sums(x.weight + y.weight, x.weighted + y.weighted);
        }
    }
    if (lane == 0u) {
        write_stats(row, top, shared_sums[0]);
    }
}

@compute @workgroup_size(WORKGROUP)
fn head_bwd(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group_index(wid, nwg);
    if (row < p.rows) {
        backward(row, lane, WORKGROUP);
    }
}
#else
// One invocation a row.
@compute @workgroup_size(WORKGROUP)
fn head_stats(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group_index(wid, nwg) * WORKGROUP + lane;
    if (row < p.rows) {
        let top = top_of(row, 0u, 1u);
        write_stats(row, top, sums_of(row, top, 0u, 1u));
    }
}

@compute @workgroup_size(WORKGROUP)
fn head_bwd(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group_index(wid, nwg) * WORKGROUP + lane;
    if (row < p.rows) {
        backward(row, 0u, 1u);
    }
}
#endif
