// The KV cache of generation: one slot a sequence, keys and values of every position so far. Decoding reads it row by
// row; nothing but the cache itself is stored. The order of a row's sums depends on its length alone, so what a
// sequence gets does not depend on the batch it is in.

// Variants are sized by head: D <= 4 QUADS, and D a multiple of 4 where rows are VEC4. `tile` is for GPUs: a workgroup for
// each head of a row, which shares positions, then channels, among its invocations; one sequence alone would keep H of them
// busy else. `lane` is for CPU adapters: an invocation for each head of a row. With UNROLL a head's loops have a constant
// length, so that it stays in registers, which takes software adapters long to compile where it is large; `wide` loads 64 bits
// at a time, for lavapipe.

#variant tile TILE WG=64u QUADS=32u
#variant tile_d32 TILE VEC4 WG=64u QUADS=8u
#variant tile_d64 TILE VEC4 WG=64u QUADS=16u
#variant tile_d128 TILE VEC4 WG=64u QUADS=32u
#variant lane WG=8u QUADS=32u
#variant lane_d16 VEC4 UNROLL WG=8u QUADS=4u
#variant lane_d32 VEC4 UNROLL WG=8u QUADS=8u
#variant lane_vec4 VEC4 WG=8u QUADS=32u
#variant lane_wide_d16 VEC4 WIDE UNROLL WG=8u QUADS=4u
#variant lane_wide_d32 VEC4 WIDE UNROLL WG=8u QUADS=8u
#variant lane_wide VEC4 WIDE WG=8u QUADS=32u
#import shared/grid

// The slot of a padding row: nothing is written for it.
const NO_SLOT: u32 = 0xffffffffu;

struct CacheParams {
    rows: u32, // query rows: T of a prefill, the batch of a decode step
    heads: u32, // H
    kv_heads: u32, // K
    head_dim: u32, // D
    capacity: u32, // positions a slot holds
}

@group(0) @binding(0) var<uniform> p: CacheParams;

// What one load brings, and how many numbers that are.
#if VEC4
#import shared/quad
alias Loaded = vec4<f32>;
const WIDTH: u32 = 4u;
#else
alias Quad = f32;
alias Loaded = f32;
const WIDTH: u32 = 1u;

fn floats(x: Quad) -> Loaded {
    return x;
}
#endif

// Loads of the largest head.
const LOADS: u32 = QUADS * 4u / WIDTH;

#if VEC4
fn inner(a: Loaded, b: Loaded) -> f32 {
    return dot(a, b);
}
#else
fn inner(a: Loaded, b: Loaded) -> f32 {
    return a * b;
}
#endif

@group(0) @binding(1) var<storage, read> qkv: array<Quad>; // (rows, (H + 2K) * D)
@group(0) @binding(2) var<storage, read> slot: array<u32>; // (rows) the sequence's slot, or NO_SLOT
@group(0) @binding(3) var<storage, read> position: array<u32>; // (rows)
@group(0) @binding(4) var<storage, read_write> keys: array<Quad>; // (slots, capacity, K * D)
@group(0) @binding(5) var<storage, read_write> values: array<Quad>; // (slots, capacity, K * D)
@group(0) @binding(6) var<storage, read_write> out: array<Loaded>; // (rows, H * D)

// Copies the key and value heads of each row into its slot.
@compute @workgroup_size(WG)
fn cache_write(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let i = group_index(wid, nwg) * WG + lid;
    let width = p.kv_heads * p.head_dim / WIDTH;
    let row = i / width;
    if row >= p.rows || slot[row] == NO_SLOT {
        return;
    }
    let c = i % width;
    let source = (row * (p.heads + 2u * p.kv_heads) + p.heads) * p.head_dim / WIDTH + c;
    let dest = (slot[row] * p.capacity + min(position[row], p.capacity - 1u)) * width + c;
    keys[dest] = qkv[source];
    values[dest] = qkv[source + width];
}

#if TILE
#import shared/reduce

// Of a row's heads a workgroup has one.
const HEADS: u32 = 1u;

// Positions whose scores are in workgroup memory at a time.
const CHUNK: u32 = 4u * WG;
// The invocations that share a position's values, a load each or OWN of them, and how many positions they take at a time.
const COLS: u32 = min(LOADS, WG);
const OWN: u32 = LOADS / COLS;
const GROUPS: u32 = WG / COLS;

var<workgroup> sh_count: u32;
var<workgroup> sh_q: array<Loaded, LOADS>;
var<workgroup> sh_weight: array<f32, CHUNK>;
var<workgroup> sh_part: array<Loaded, WG>;

// Attention of each row to its slot's positions 0 ..= position. The softmax runs online, a chunk of positions at a time.
@compute @workgroup_size(WG)
fn cache_attend(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let index = group_index(wid, nwg);
    if index >= p.rows * p.heads {
        return;
    }
    let row = index / p.heads;
    let head = index % p.heads;
    // Read by one for all: barriers below depend on it.
    if lid == 0u {
        sh_count = select(min(position[row], p.capacity - 1u) + 1u, 0u, slot[row] == NO_SLOT);
    }
    let count = workgroupUniformLoad(&sh_count);
    if count == 0u {
        return;
    }
    let size = p.head_dim / WIDTH;
    let width = p.kv_heads * size;
    let q0 = (row * (p.heads + 2u * p.kv_heads) + head) * size;
    let kv0 = slot[row] * p.capacity * width + head / (p.heads / p.kv_heads) * size;
    let scale = 1.0 / sqrt(f32(p.head_dim));
    for (var d = lid; d < size; d += WG) {
        sh_q[d] = scale * floats(qkv[q0 + d]);
    }
    workgroupBarrier();

    var acc: array<Loaded, OWN>;
    var top = -3.4e38;
    var sum = 0.0;
    for (var first = 0u; first < count; first += CHUNK) {
        let chunk = min(CHUNK, count - first);
        var highest = top;
        for (var i = lid; i < chunk; i += WG) {
            let at = kv0 + (first + i) * width;
            var score = 0.0;
            for (var d = 0u; d < size; d++) {
                score += inner(sh_q[d], floats(keys[at + d]));
            }
            sh_weight[i] = score;
            highest = max(highest, score);
        }
        let higher = reduce_max(lid, highest);
        let keep = exp(top - higher);
        var part = 0.0;
        for (var i = lid; i < chunk; i += WG) {
            let weight = exp(sh_weight[i] - higher);
            sh_weight[i] = weight;
            part += weight;
        }
        // All weights are there behind the barriers of the reduction.
        sum = sum * keep + reduce_sum(lid, part);
        top = higher;
        for (var own = 0u; own < OWN; own++) {
            let c = lid % COLS + own * COLS;
            if c < size {
                var total = acc[own] * keep;
                for (var i = lid / COLS; i < chunk; i += GROUPS) {
                    total += sh_weight[i] * floats(values[kv0 + (first + i) * width + c]);
                }
                acc[own] = total;
            }
        }
        // The next chunk must not overwrite weights that a slower invocation still reads.
        workgroupBarrier();
    }
    for (var own = 0u; own < OWN; own++) {
        sh_part[lid] = acc[own];
        workgroupBarrier();
        let c = lid + own * COLS;
        if lid < COLS && c < size {
            var total = sh_part[lid];
            for (var group = 1u; group < GROUPS; group++) {
                total += sh_part[lid + group * COLS];
            }
            out[row * p.heads * size + head * size + c] = total / sum;
        }
        workgroupBarrier();
    }
}
#else
// Heads of a workgroup, of one row or of several.
const HEADS: u32 = WG;

// Attention of each row to its slot's positions 0 ..= position. One invocation a (row, head): the softmax runs online, four
// positions at a time, of which those beyond the last repeat it and weigh nothing.
@compute @workgroup_size(WG)
fn cache_attend(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let i = group_index(wid, nwg) * WG + lid;
    if i >= p.rows * p.heads {
        return;
    }
    let row = i / p.heads;
    if slot[row] == NO_SLOT {
        return;
    }
    let head = i % p.heads;
    let size = p.head_dim / WIDTH;
#if UNROLL
    let loads = LOADS;
#else
    let loads = size;
#endif
    let width = p.kv_heads * size;
    let q0 = (row * (p.heads + 2u * p.kv_heads) + head) * size;
    let kv0 = slot[row] * p.capacity * width + head / (p.heads / p.kv_heads) * size;
    let scale = 1.0 / sqrt(f32(p.head_dim));
    let last = min(position[row], p.capacity - 1u);
    var q: array<Loaded, LOADS>;
    var acc: array<Loaded, LOADS>;
    for (var d = 0u; d < loads; d++) {
        q[d] = select(Loaded(), scale * floats(qkv[q0 + min(d, size - 1u)]), d < size);
        acc[d] = Loaded();
    }
    var top = -3.4e38;
    var sum = 0.0;
    for (var t = 0u; t <= last; t += 4u) {
        let at = kv0 + min(t + vec4(0u, 1u, 2u, 3u), vec4(last)) * width;
        var score = vec4(0.0);
        for (var d = 0u; d < loads; d++) {
            let c = min(d, size - 1u);
            score += vec4(
                inner(q[d], floats(keys[at.x + c])),
                inner(q[d], floats(keys[at.y + c])),
                inner(q[d], floats(keys[at.z + c])),
                inner(q[d], floats(keys[at.w + c])),
            );
        }
        let higher = max(max(top, max(score.x, score.y)), max(score.z, score.w));
        let keep = exp(top - higher);
        let weight = select(vec4(0.0), exp(score - higher), t + vec4(0u, 1u, 2u, 3u) <= vec4(last));
        top = higher;
        sum = sum * keep + (weight.x + weight.y + weight.z + weight.w);
        for (var d = 0u; d < loads; d++) {
            let c = min(d, size - 1u);
            acc[d] = acc[d] * keep
                + (weight.x * floats(values[at.x + c]) + weight.y * floats(values[at.y + c]))
                + (weight.z * floats(values[at.z + c]) + weight.w * floats(values[at.w + c]));
        }
    }
    for (var d = 0u; d < size; d++) {
        out[row * p.heads * size + head * size + d] = acc[d] / sum;
    }
}
#endif
