// A whole decode step, from the tokens to the logits of what comes next, in one dispatch: for lavapipe, where a dispatch costs
// as much as a small model's product. A workgroup takes its sequences through every phase: it prepares the rows of a product
// (RMSNorm, attention over the cache, or SwiGLU), then multiplies them. Nothing is kept but the cache; what one phase hands to
// the next lies in `scratch`.
//
// No barrier stands between phases, since lavapipe runs a kernel that has one at half the speed; and none has to: of scratch and
// cache an invocation reads only what it wrote itself. The invocations share a product's columns, 4 of every 32 each, and its
// results reach by broadcast those whose rows they are.
//
// Sums run in the order of the kernels that do the same one by one (norm, cache, mlp and matmul, `lane`): to the same bits.
//
// Variants, for subgroups of 8: in `rows` an invocation has SHARE sequences, and multiplies its columns with those of all; in `one`
// the workgroup has one sequence, and every invocation a copy of its rows. Sized by head as those of cache.wgsl. OPTIONAL: what they
// do other kernels do on every device.
#variant one_d32 OPTIONAL VEC4 WIDE UNROLL ONE SHARE=1u WG=8u QUADS=8u AT_ONCE=1u
#variant one_d128 OPTIONAL VEC4 WIDE ONE SHARE=1u WG=8u QUADS=32u AT_ONCE=4u
#variant rows8_d32 OPTIONAL VEC4 WIDE UNROLL SHARE=1u WG=8u QUADS=8u AT_ONCE=1u
#variant rows8_d128 OPTIONAL VEC4 WIDE SHARE=1u WG=8u QUADS=32u AT_ONCE=4u
#variant rows16_d32 OPTIONAL VEC4 WIDE UNROLL SHARE=2u WG=8u QUADS=8u AT_ONCE=1u
#variant rows16_d128 OPTIONAL VEC4 WIDE SHARE=2u WG=8u QUADS=32u AT_ONCE=4u
#variant rows32_d32 OPTIONAL VEC4 WIDE UNROLL SHARE=4u WG=8u QUADS=8u AT_ONCE=1u
#variant rows32_d128 OPTIONAL VEC4 WIDE SHARE=4u WG=8u QUADS=32u AT_ONCE=4u
#import shared/grid
#import shared/quad

// H, K, D, V, C, N and the length of a sum are in numbers, places in arrays and the lengths of their rows in quads of them.
struct StepParams {
    rows: u32, // B
    heads: u32, // H
    kv_heads: u32, // K
    head_dim: u32, // D
    capacity: u32, // positions a slot holds
    values: u32, // where the values begin in cache
    vocab: u32, // V
    channels: u32, // C
    eps: f32,
    embed: u32, // where the embedding begins in weights
    phases: u32, // how many
    x: u32, // where the residual stream begins in scratch
    h: u32, // where what is multiplied does, rows of h_cols
    h_cols: u32,
    wide: u32, // where qkv or gate-and-up does, rows of wide_cols
    wide_cols: u32,
}

// What is prepared, and what it is multiplied by: into (B, N) = or += h(B, K) w(N, K)^T.
struct Phase {
    prepare: u32, // NORM, ATTEND or SWIGLU
    at: u32, // where a norm's weights begin, or a layer's keys in cache
    w: u32, // where w begins in weights
    n: u32,
    k: u32,
    into: u32, // X (+=), QKV_OR_GATE_UP (=) or LOGITS (=)
}

const NORM: u32 = 0u;
const ATTEND: u32 = 1u;
const SWIGLU: u32 = 2u;

const X: u32 = 0u;
const QKV_OR_GATE_UP: u32 = 1u;
const LOGITS: u32 = 2u;

@group(0) @binding(0) var<uniform> p: StepParams;
@group(0) @binding(1) var<storage, read> phases: array<Phase>; // (4 layers + 1)
@group(0) @binding(2) var<storage, read> weights: array<Quad>; // all of the model's
@group(0) @binding(3) var<storage, read> table: array<Quad>; // (positions, D): D/2 cosines, then D/2 sines
@group(0) @binding(4) var<storage, read> tokens: array<u32>; // (B)
@group(0) @binding(5) var<storage, read> slot: array<u32>; // (B)
@group(0) @binding(6) var<storage, read> position: array<u32>; // (B)
@group(0) @binding(7) var<storage, read_write> cache: array<Quad>; // (2, layers, slots, K, capacity, D): keys, then values
@group(0) @binding(8) var<storage, read_write> scratch: array<Quad>; // logits (B, V), then x, h and wide of every invocation's rows

fn qkv_at(i: u32) -> Loaded {
    return floats(scratch[i]);
}

fn key_at(i: u32) -> Loaded {
    return floats(cache[i]);
}

fn value_at(i: u32) -> Loaded {
    return floats(cache[p.values + i]);
}

fn keep(i: u32, key: Loaded, value: Loaded) {
    cache[i] = stored(key);
    cache[p.values + i] = stored(value);
}
#import shared/cache_head
#import shared/attend_head

// Sequences of a workgroup.
#if ONE
const SEQUENCES: u32 = 1u;
#else
const SEQUENCES: u32 = WG * SHARE;
#endif

// An invocation's rows of scratch are `own`, own + 1, ... own + SHARE - 1. Which sequence's:
fn sequence_of(own: u32) -> u32 {
#if ONE
    return own / WG;
#else
    return own;
#endif
}

// Whether a row is its sequence's only one, or the first of its copies: it writes what all would.
fn is_first(own: u32) -> bool {
#if ONE
    return own % WG == 0u;
#else
    return true;
#endif
}

fn embed(own: u32) {
    let cols = p.channels / 4u;
    for (var row = own; row < own + SHARE; row++) {
        let token = tokens[min(sequence_of(row), p.rows - 1u)];
        for (var c = 0u; c < cols; c++) {
            scratch[p.x + row * cols + c] = weights[p.embed + token * cols + c];
        }
    }
}

fn norm(w: u32, own: u32) {
    let cols = p.channels / 4u;
    for (var row = own; row < own + SHARE; row++) {
        let x = p.x + row * cols;
        var sum = vec4(0.0);
        for (var c = 0u; c < cols; c++) {
            let x_c = floats(scratch[x + c]);
            sum += x_c * x_c;
        }
        let s = 1.0 / sqrt(dot(sum, vec4(1.0)) / f32(p.channels) + p.eps);
        for (var c = 0u; c < cols; c++) {
            scratch[p.h + row * p.h_cols + c] = stored(floats(scratch[x + c]) * s * floats(weights[w + c]));
        }
    }
}

fn swiglu(cols: u32, own: u32) {
    for (var row = own; row < own + SHARE; row++) {
        let wide = p.wide + row * p.wide_cols;
        for (var c = 0u; c < cols; c++) {
            let g = floats(scratch[wide + c]);
            let sigmoid = 1.0 / (1.0 + exp(-g));
            scratch[p.h + row * p.h_cols + c] = stored(g * sigmoid * floats(scratch[wide + cols + c]));
        }
    }
}

#if ONE
// A head for each invocation, which all the others copy.
fn attend(layer: u32, own: u32, lid: u32) {
    let row = own / WG;
    let size = p.head_dim / 4u;
    for (var first = 0u; first < p.heads; first += WG) {
        var out: Head;
        let at = place(p.wide + own * p.wide_cols, min(first + lid, p.heads - 1u), layer, slot[row], position[row]);
        attend_head(at, first + lid < p.heads && keeps(first + lid), &out);
        for (var d = 0u; d < size; d++) {
#repeat l 8
            let out_$l = subgroupBroadcast(out[d], $lu);
            if first + $lu < p.heads {
                scratch[p.h + own * p.h_cols + (first + $lu) * size + d] = stored(out_$l);
            }
#endrepeat
        }
    }
}
#else
fn attend(layer: u32, own: u32, lid: u32) {
    let size = p.head_dim / 4u;
    for (var i = 0u; i < SHARE * p.heads; i++) {
        let row = own + i / p.heads;
        let head = i % p.heads;
        if row < p.rows && slot[row] != NO_SLOT {
            var out: Head;
            let at = place(p.wide + row * p.wide_cols, head, layer, slot[row], position[row]);
            attend_head(at, keeps(head), &out);
            for (var d = 0u; d < size; d++) {
                scratch[p.h + row * p.h_cols + head * size + d] = stored(out[d]);
            }
        }
    }
}
#endif

// Quad k of four rows of w: column i holds what element i of a row of h meets.
fn w_block(at: vec4<u32>, k: u32) -> mat4x4<f32> {
    return transpose(mat4x4(
        floats(weights[at.x + k]),
        floats(weights[at.y + k]),
        floats(weights[at.z + k]),
        floats(weights[at.w + k]),
    ));
}

// Quad `at` of a product's row.
fn store(phase: Phase, own: u32, at: u32, product: vec4<f32>) {
    if 4u * at >= phase.n {
        return;
    }
    if phase.into == X {
        let x = p.x + own * (p.channels / 4u) + at;
        scratch[x] = stored(product + floats(scratch[x]));
    } else if phase.into == QKV_OR_GATE_UP {
        scratch[p.wide + own * p.wide_cols + at] = stored(product);
    } else if is_first(own) && sequence_of(own) < p.rows {
        scratch[sequence_of(own) * (p.vocab / 4u) + at] = stored(product);
    }
}

fn multiply(phase: Phase, own: u32, lid: u32) {
    let quads = phase.k / 4u;
    for (var col = 0u; col < phase.n; col += 4u * WG) {
        let w = phase.w + min(col + 4u * lid + vec4(0u, 1u, 2u, 3u), vec4(phase.n - 1u)) * quads;
#if ONE
        var product = vec4(0.0);
        for (var k = 0u; k < quads; k++) {
            product += w_block(w, k) * floats(scratch[p.h + own * p.h_cols + k]);
        }
#repeat l 8
        store(phase, own, col / 4u + $lu, subgroupBroadcast(product, $lu));
#endrepeat
#else
        // tile[8 i + l] is row i of invocation l, by this one's columns.
        var tile: array<vec4<f32>, 8u * SHARE>;
#repeat i SHARE
        let h_$i = p.h + (own + $iu) * p.h_cols;
#endrepeat
        for (var k = 0u; k < quads; k++) {
#repeat i SHARE
            let x_$i = floats(scratch[h_$i + k]);
#endrepeat
            let block = w_block(w, k);
#repeat i SHARE
#repeat l 8
            tile[8u * $iu + $lu] += block * subgroupBroadcast(x_$i, $lu);
#endrepeat
#endrepeat
        }
        // Every invocation's columns in turn, those of c, of this one's rows.
#repeat i SHARE
#repeat c 8
        var row_$i_$c: vec4<f32>;
#repeat l 8
        row_$i_$c = select(row_$i_$c, subgroupBroadcast(tile[8u * $iu + $lu], $cu), lid == $lu);
#endrepeat
        store(phase, own + $iu, col / 4u + $cu, row_$i_$c);
#endrepeat
#endrepeat
#endif
    }
}

@compute @workgroup_size(WG)
fn step_decode(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let group = group_index(wid, nwg);
    if group * SEQUENCES >= p.rows {
        return;
    }
#if ONE
    if slot[group] == NO_SLOT {
        return;
    }
#endif
    let own = (group * WG + lid) * SHARE;
    embed(own);
    for (var i = 0u; i < p.phases; i++) {
        let phase = phases[i];
        if phase.prepare == NORM {
            norm(phase.at, own);
        } else if phase.prepare == ATTEND {
            attend(phase.at, own, lid);
        } else {
            swiglu(phase.k / 4u, own);
        }
        multiply(phase, own, lid);
    }
}
