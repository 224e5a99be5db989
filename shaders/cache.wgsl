// The KV cache of generation: one slot a sequence, keys and values of every position so far. Decoding reads it row by
// row; nothing but the cache itself is stored. The order of a row's sums depends on its length alone, so what a
// sequence gets does not depend on the batch it is in.

// Variants are sized by head: D <= 4 QUADS, and D a multiple of 4 where rows are VEC4. With UNROLL a head's loops have a
// constant length, so that it stays in registers, which takes software adapters long to compile where it is large.

#variant tile WG=64u QUADS=32u
#variant tile_d32 VEC4 UNROLL WG=64u QUADS=8u
#variant tile_d64 VEC4 UNROLL WG=64u QUADS=16u
#variant tile_d128 VEC4 UNROLL WG=64u QUADS=32u
#variant lane WG=8u QUADS=32u
#variant lane_d16 VEC4 UNROLL WG=8u QUADS=4u
#variant lane_d32 VEC4 UNROLL WG=8u QUADS=8u
#variant lane_vec4 VEC4 WG=8u QUADS=32u
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

#if VEC4
// What one load brings, and how many numbers that are.
alias Quad = vec4<f32>;
const WIDTH: u32 = 4u;
#else
alias Quad = f32;
const WIDTH: u32 = 1u;
#endif

// Loads of the largest head.
const LOADS: u32 = QUADS * 4u / WIDTH;

#if VEC4
fn inner(a: Quad, b: Quad) -> f32 {
    return dot(a, b);
}
#else
fn inner(a: Quad, b: Quad) -> f32 {
    return a * b;
}
#endif

@group(0) @binding(1) var<storage, read> qkv: array<Quad>; // (rows, (H + 2K) * D)
@group(0) @binding(2) var<storage, read> slot: array<u32>; // (rows) the sequence's slot, or NO_SLOT
@group(0) @binding(3) var<storage, read> position: array<u32>; // (rows)
@group(0) @binding(4) var<storage, read_write> keys: array<Quad>; // (slots, capacity, K * D)
@group(0) @binding(5) var<storage, read_write> values: array<Quad>; // (slots, capacity, K * D)
@group(0) @binding(6) var<storage, read_write> out: array<Quad>; // (rows, H * D)

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
    var q: array<Quad, LOADS>;
    var acc: array<Quad, LOADS>;
    for (var d = 0u; d < loads; d++) {
        q[d] = select(Quad(), scale * qkv[q0 + min(d, size - 1u)], d < size);
        acc[d] = Quad();
    }
    var top = -3.4e38;
    var sum = 0.0;
    for (var t = 0u; t <= last; t += 4u) {
        let at = kv0 + min(t + vec4(0u, 1u, 2u, 3u), vec4(last)) * width;
        var score = vec4(0.0);
        for (var d = 0u; d < loads; d++) {
            let c = min(d, size - 1u);
            score += vec4(
                inner(q[d], keys[at.x + c]),
                inner(q[d], keys[at.y + c]),
                inner(q[d], keys[at.z + c]),
                inner(q[d], keys[at.w + c]),
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
                + (weight.x * values[at.x + c] + weight.y * values[at.y + c])
                + (weight.z * values[at.z + c] + weight.w * values[at.w + c]);
        }
    }
    for (var d = 0u; d < size; d++) {
        out[row * p.heads * size + head * size + d] = acc[d] / sum;
    }
}
