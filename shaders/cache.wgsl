// The KV cache of generation: one slot a sequence, keys and values of every position so far. Decoding reads it row by
// row; nothing but the cache itself is stored. The order of a row's sums depends on its length alone, so what a
// sequence gets does not depend on the batch it is in.

#variant tile WG=64u
#variant lane LANE WG=8u
#import shared/grid

// Largest head size.
const MAX_D: u32 = 128u;

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

@group(0) @binding(1) var<storage, read> qkv: array<f32>; // (rows, (H + 2K) * D)
@group(0) @binding(2) var<storage, read> slot: array<u32>; // (rows) the sequence's slot
@group(0) @binding(3) var<storage, read> position: array<u32>; // (rows)
@group(0) @binding(4) var<storage, read_write> keys: array<f32>; // (slots, capacity, K * D)
@group(0) @binding(5) var<storage, read_write> values: array<f32>; // (slots, capacity, K * D)
@group(0) @binding(6) var<storage, read_write> out: array<f32>; // (rows, H * D)

// Copies the key and value heads of each row into its slot.
@compute @workgroup_size(WG)
fn cache_write(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let i = group_index(wid, nwg) * WG + lid;
    let width = p.kv_heads * p.head_dim;
    let row = i / width;
    if row >= p.rows || slot[row] == NO_SLOT {
        return;
    }
    let c = i % width;
    let source = row * (p.heads + 2u * p.kv_heads) * p.head_dim + p.heads * p.head_dim + c;
    let dest = (slot[row] * p.capacity + min(position[row], p.capacity - 1u)) * width + c;
    keys[dest] = qkv[source];
    values[dest] = qkv[source + width];
}

// Attention of each row to its slot's positions 0 ..= position. One invocation a (row, head): the softmax runs online.
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
    let width = p.kv_heads * p.head_dim;
    let q0 = (row * (p.heads + 2u * p.kv_heads) + head) * p.head_dim;
    let kv0 = slot[row] * p.capacity * width + head / (p.heads / p.kv_heads) * p.head_dim;
    let scale = 1.0 / sqrt(f32(p.head_dim));
    var acc: array<f32, MAX_D>;
    for (var d = 0u; d < p.head_dim; d++) {
        acc[d] = 0.0;
    }
    var top = -3.4e38;
    var sum = 0.0;
    for (var t = 0u; t <= min(position[row], p.capacity - 1u); t++) {
        var score = 0.0;
        for (var d = 0u; d < p.head_dim; d++) {
            score += qkv[q0 + d] * keys[kv0 + t * width + d];
        }
        score *= scale;
        let higher = max(top, score);
        let keep = exp(top - higher);
        let weight = exp(score - higher);
        top = higher;
        sum = sum * keep + weight;
        for (var d = 0u; d < p.head_dim; d++) {
            acc[d] = acc[d] * keep + weight * values[kv0 + t * width + d];
        }
    }
    for (var d = 0u; d < p.head_dim; d++) {
        out[row * p.heads * p.head_dim + head * p.head_dim + d] = acc[d] / sum;
    }
}
