// The KV cache of generation: one slot a sequence, keys and values of every position so far. Decoding reads it row by
// row; nothing but the cache itself is stored. The order of a row's sums depends on its length alone, so what a
// sequence gets does not depend on the batch it is in.

// Variants are sized by head: D <= 4 QUADS, and D a multiple of 8 where rows are VEC4. `tile` is for GPUs: a workgroup for
// each head of a row, which shares positions, then channels, among its invocations; one sequence alone would keep H of them
// busy else. `lane` is for CPU adapters: an invocation for each head of a row. With UNROLL a head's loops have a constant
// length, so that it stays in registers, which takes software adapters long to compile where it is large; `wide` loads 64 bits
// at a time, for lavapipe.

#variant tile TILE WG=64u QUADS=32u
#variant tile_vec4_d32 TILE VEC4 WG=64u QUADS=8u
#variant tile_vec4_d64 TILE VEC4 WG=64u QUADS=16u
#variant tile_vec4_d128 TILE VEC4 WG=64u QUADS=32u
#variant lane WG=8u QUADS=32u AT_ONCE=4u
#variant lane_vec4_d16 VEC4 UNROLL WG=8u QUADS=4u AT_ONCE=4u
#variant lane_vec4_d32 VEC4 UNROLL WG=8u QUADS=8u AT_ONCE=4u
#variant lane_vec4_d128 VEC4 WG=8u QUADS=32u AT_ONCE=4u
#variant lane_wide_d16 VEC4 WIDE UNROLL WG=8u QUADS=4u AT_ONCE=1u
#variant lane_wide_d32 VEC4 WIDE UNROLL WG=8u QUADS=8u AT_ONCE=1u
#variant lane_wide_d128 VEC4 WIDE WG=8u QUADS=32u AT_ONCE=4u
#import shared/grid
#if VEC4
#import shared/quad
#else
#import shared/single
#endif

struct CacheParams {
    rows: u32, // query rows: T of a prefill, the batch of a decode step
    heads: u32, // H
    kv_heads: u32, // K
    head_dim: u32, // D
    capacity: u32, // positions a slot holds
}

@group(0) @binding(0) var<uniform> p: CacheParams;

@group(0) @binding(1) var<storage, read> qkv: array<Quad>; // (rows, (H + 2K) * D)
@group(0) @binding(2) var<storage, read> slot: array<u32>; // (rows) the sequence's slot, or NO_SLOT
@group(0) @binding(3) var<storage, read> position: array<u32>; // (rows)
@group(0) @binding(4) var<storage, read_write> keys: array<Quad>; // (slots, K, capacity, D)
@group(0) @binding(5) var<storage, read_write> values: array<Quad>; // (slots, K, capacity, D)
@group(0) @binding(6) var<storage, read_write> out: array<Loaded>; // (rows, H * D)
@group(0) @binding(7) var<storage, read> table: array<Quad>; // (positions, D): D/2 cosines, then D/2 sines

fn qkv_at(i: u32) -> Loaded {
    return floats(qkv[i]);
}

fn key_at(i: u32) -> Loaded {
    return floats(keys[i]);
}

fn value_at(i: u32) -> Loaded {
    return floats(values[i]);
}

fn keep(i: u32, key: Loaded, value: Loaded) {
    keys[i] = stored(key);
    values[i] = stored(value);
}

#import shared/cache_head

fn head_of(row: u32, head: u32) -> Place {
    let width = (p.heads + 2u * p.kv_heads) * p.head_dim / WIDTH;
    return place(row * width, head, 0u, slot[row], position[row]);
}

// Copies the key and value heads of each row, turned already, into its slot.
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
    let size = p.head_dim / WIDTH;
    let head = slot[row] * p.kv_heads + c / size;
    let dest = (head * p.capacity + min(position[row], p.capacity - 1u)) * size + c % size;
    keys[dest] = qkv[source];
    values[dest] = qkv[source + width];
}

// cache_decode: each head of each row as shared/cache_head.wgsl has it.

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

var<workgroup> sh_last: u32;
var<workgroup> sh_q: array<Loaded, LOADS>;
var<workgroup> sh_k: array<Loaded, LOADS>;
var<workgroup> sh_weight: array<f32, CHUNK>;
var<workgroup> sh_part: array<Loaded, WG>;

@compute @workgroup_size(WG)
fn cache_decode(
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
    let at = head_of(row, head);
    // Read by one for all: barriers below depend on it.
    if lid == 0u {
        sh_last = select(at.last, NO_SLOT, slot[row] == NO_SLOT);
    }
    let last = workgroupUniformLoad(&sh_last);
    if last == NO_SLOT {
        return;
    }
    let size = p.head_dim / WIDTH;
    let scale = 1.0 / sqrt(f32(p.head_dim));
    for (var c = lid; c < size; c += WG) {
        let k = turned(at.k, c, last);
        sh_q[c] = scale * turned(at.q, c, last);
        sh_k[c] = k;
        if keeps(head) {
            keep(at.cache + last * size + c, k, qkv_at(at.v + c));
        }
    }
    workgroupBarrier();

    var top = 0.0;
    for (var c = 0u; c < size; c++) {
        top += inner(sh_q[c], sh_k[c]);
    }
    var sum = 1.0;
    var acc: array<Loaded, OWN>;
    for (var own = 0u; own < OWN; own++) {
        let c = lid + own * COLS;
        if lid < COLS && c < size {
            acc[own] = qkv_at(at.v + c);
        }
    }
    for (var first = 0u; first < last; first += CHUNK) {
        let chunk = min(CHUNK, last - first);
        var highest = top;
        for (var i = lid; i < chunk; i += WG) {
            let key = at.cache + (first + i) * size;
            var score = 0.0;
            for (var c = 0u; c < size; c++) {
                score += inner(sh_q[c], key_at(key + c));
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
                    total += sh_weight[i] * value_at(at.cache + (first + i) * size + c);
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
#import shared/attend_head

// Heads of a workgroup, of one row or of several.
const HEADS: u32 = WG;

@compute @workgroup_size(WG)
fn cache_decode(
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
    var own: Head;
    attend_head(head_of(row, head), keeps(head), &own);
    let size = p.head_dim / WIDTH;
    for (var d = 0u; d < size; d++) {
        out[row * p.heads * size + head * size + d] = own[d];
    }
}
#endif
