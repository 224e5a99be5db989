// Matrix products in the three layouts of a linear layer, y = x W^T with W as Hugging Face stores it, [out, in]:
//   nt  out(M, N) = a(M, K) w(N, K)^T     forward: a = x, w = W
//   nn  out(M, N) = a(M, K) w(K, N)       dx: a = dy, w = W
//   tn  out(M, N) = a(K, M)^T w(K, N)     dW: a = dy, w = x, K runs over the tokens
// and bias_bwd, the column sums of dy. Each is `=`, or `+=` where p.accumulate is 1.
// No operand is ever transposed or padded in memory: a 4x4 block is loaded along whichever axis is contiguous and turned
// in registers, so that the inner product below is the same for all three.
// Every output is summed over k = 0, 1, ... whatever M and N are: a row's bits do not depend on the rows beside it.
//
// a0, w0 and o0 are the first elements, lda and ldo the lengths of stored rows (w's are as long as they are), so that a
// matrix cut into chunks (an embedding above the binding limit), or a long K, is multiplied chunk by chunk: to the bit
// what it would be in one piece, if chunks of K are multiples of 4. On a CPU tn wants that: K <= 512 keeps what its blocks
// share in the second-level cache.
//
// Variants: `tile` for GPUs (workgroup memory), `lane` for CPU adapters, where a barrier costs more than the arithmetic and a
// load costs four times a multiplication, whence their tall tiles; `lane_sg` shares a's loads within a subgroup of 8,
// `lane_quad` within a quad, for registers of 4 lanes.
// `few` is for the few rows of a decode step, of which the others' blocks would be mostly empty. `lane_few` loads each weight once;
// `lane_one` for a single row. (Not a branch on p.m: lavapipe of Mesa 22 compiles a kernel anew at every dispatch, for the uniforms it
// is given, where that takes away half of the kernel.)
// `wide` loads 64 bits at a time: for lavapipe, as all that needs subgroups of 8.
// `vec4` is 1.5x faster there and needs stored rows (lda, ldo, ldd, and w's own) and offsets that are multiples of 4; where
// N is not, it writes up to 3 floats of the padding behind a row of out.
#variant tile TILE BLOCK_M=64u BLOCK_N=64u BLOCK_K=16u WORKGROUP=256u
#variant tile_vec4 TILE VEC4 BLOCK_M=64u BLOCK_N=64u BLOCK_K=16u WORKGROUP=256u
#variant tile_small TILE BLOCK_M=32u BLOCK_N=32u BLOCK_K=16u WORKGROUP=64u
#variant tile_tall_vec4 TILE TALL VEC4 BLOCK_M=128u BLOCK_N=64u BLOCK_K=16u WORKGROUP=256u
#variant tile_few_vec4 TILE FEW VEC4 BLOCK_M=8u BLOCK_N=32u BLOCK_K=64u WORKGROUP=64u
#variant lane LANE TILE_QUADS=64u BLOCK_M=16u BLOCK_N=128u WORKGROUP=8u
#variant lane_vec4 LANE VEC4 TILE_QUADS=64u BLOCK_M=16u BLOCK_N=128u WORKGROUP=8u
#variant lane_sg SUBGROUP TILE_QUADS=32u BLOCK_M=32u BLOCK_N=32u WORKGROUP=8u
#variant lane_sg_vec4 SUBGROUP VEC4 WIDE TILE_QUADS=32u BLOCK_M=32u BLOCK_N=32u WORKGROUP=8u
#variant lane_quad QUAD SIXTEENS=1u TILE_QUADS=64u BLOCK_M=16u BLOCK_N=64u WORKGROUP=4u
#variant lane_quad_vec4 QUAD VEC4 SIXTEENS=1u TILE_QUADS=64u BLOCK_M=16u BLOCK_N=64u WORKGROUP=4u
#variant lane_quad_tall_vec4 QUAD VEC4 SIXTEENS=2u TILE_QUADS=128u BLOCK_M=32u BLOCK_N=64u WORKGROUP=4u
#variant lane_few_vec4 FEW VEC4 TILE_QUADS=4u BLOCK_M=4u BLOCK_N=32u WORKGROUP=8u
#variant lane_few_wide_vec4 FEW VEC4 WIDE TILE_QUADS=4u BLOCK_M=4u BLOCK_N=32u WORKGROUP=8u
#variant lane_one_vec4 ONE VEC4 TILE_QUADS=1u BLOCK_M=1u BLOCK_N=32u WORKGROUP=8u
#variant lane_one_wide_vec4 ONE VEC4 WIDE TILE_QUADS=1u BLOCK_M=1u BLOCK_N=32u WORKGROUP=8u
#import shared/grid

struct MatmulParams {
    m: u32,
    n: u32,
    k: u32,
    lda: u32,
    ldo: u32,
    a0: u32,
    w0: u32,
    o0: u32,
    // Stored row length of addend: 0 repeats one row, which makes it a bias.
    ldd: u32,
    accumulate: u32,
}

@group(0) @binding(0) var<uniform> p: MatmulParams;

#if VEC4
#import shared/quad
@group(0) @binding(1) var<storage, read> a: array<Quad>; // (M, K) or (K, M), rows of lda
@group(0) @binding(2) var<storage, read> w: array<Quad>; // (N, K) or (K, N)
@group(0) @binding(3) var<storage, read> addend: array<Quad>; // (M, N) residual or (N) bias
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>; // (M, N), rows of ldo
#else
@group(0) @binding(1) var<storage, read> a: array<f32>; // (M, K) or (K, M), rows of lda
@group(0) @binding(2) var<storage, read> w: array<f32>; // (N, K) or (K, N)
@group(0) @binding(3) var<storage, read> addend: array<f32>; // (M, N) residual or (N) bias
@group(0) @binding(4) var<storage, read_write> out: array<f32>; // (M, N), rows of ldo
#endif

const NT = 0u;
const NN = 1u;
const TN = 2u;

// ---- four neighbours in a stored row, of which the first `have` are the matrix's -------------------------------------
// What is read beyond them, a row's padding (vec4) or repeats of the last (scalar), reaches no element of out; vec4 may
// write it to out's padding.

#if VEC4
fn a_quad(i: u32, have: u32) -> vec4<f32> {
    return floats(a[i / 4u]);
}

fn w_quad(i: u32, have: u32) -> vec4<f32> {
    return floats(w[i / 4u]);
}

fn addend_quad(i: u32, have: u32) -> vec4<f32> {
    return floats(addend[i / 4u]);
}

fn out_quad(i: u32, have: u32) -> vec4<f32> {
    return out[i / 4u];
}

fn store_quad(i: u32, have: u32, v: vec4<f32>) {
    out[i / 4u] = v;
}
#else
fn a_quad(i: u32, have: u32) -> vec4<f32> {
    let last = have - 1u;
    return vec4(a[i], a[i + min(1u, last)], a[i + min(2u, last)], a[i + min(3u, last)]);
}

fn w_quad(i: u32, have: u32) -> vec4<f32> {
    let last = have - 1u;
    return vec4(w[i], w[i + min(1u, last)], w[i + min(2u, last)], w[i + min(3u, last)]);
}

fn addend_quad(i: u32, have: u32) -> vec4<f32> {
    let last = have - 1u;
    return vec4(addend[i], addend[i + min(1u, last)], addend[i + min(2u, last)], addend[i + min(3u, last)]);
}

fn out_quad(i: u32, have: u32) -> vec4<f32> {
    let last = have - 1u;
    return vec4(out[i], out[i + min(1u, last)], out[i + min(2u, last)], out[i + min(3u, last)]);
}

fn store_quad(i: u32, have: u32, v: vec4<f32>) {
    out[i] = v.x;
    if (have > 1u) {
        out[i + 1u] = v.y;
    }
    if (have > 2u) {
        out[i + 2u] = v.z;
    }
    if (have > 3u) {
        out[i + 3u] = v.w;
    }
}
#endif

// ---- 4x4 blocks -------------------------------------------------------------------------------------------------------
// Indices beyond a matrix are clamped into it: no load leaves the buffer, and what it brings is either zeroed (beyond K)
// or lands in rows and columns that are not stored (beyond M and N).

fn below_k(k: u32, v: vec4<f32>) -> vec4<f32> {
    return select(vec4(0.0), v, vec4(k) + vec4(0u, 1u, 2u, 3u) < vec4(p.k));
}

// Where the block at row `row` of out starts in a: its four rows (nt, nn) or, in x, its column (tn). Fixed while k runs:
// software adapters do not hoist it out of the loop by themselves.
fn a_start(form: u32, row: u32) -> vec4<u32> {
    if (form == TN) {
        return vec4(min(row, (p.m - 1u) / 4u * 4u));
    }
    return p.a0 + min(vec4(row) + vec4(0u, 1u, 2u, 3u), vec4(p.m - 1u)) * p.lda;
}

// Likewise in w, for column `col` of out: four rows (nt) or, in x, a column (nn, tn).
fn w_start(form: u32, col: u32) -> vec4<u32> {
    if (form == NT) {
        return min(vec4(col) + vec4(0u, 1u, 2u, 3u), vec4(p.n - 1u)) * p.k + p.w0;
    }
    return vec4(min(col, (p.n - 1u) / 4u * 4u));
}

// Column i holds the block's row i of a at k .. k + 3, with zeros beyond K.
fn a_block(form: u32, start: vec4<u32>, k: u32) -> mat4x4<f32> {
    var block: mat4x4<f32>;
    if (form == TN) {
        let at = p.a0 + start.x + min(vec4(k) + vec4(0u, 1u, 2u, 3u), vec4(p.k - 1u)) * p.lda;
        let have = p.m - start.x;
        block = transpose(mat4x4(a_quad(at.x, have), a_quad(at.y, have), a_quad(at.z, have), a_quad(at.w, have)));
    } else {
        let at = start + k;
        let have = p.k - k;
        block = mat4x4(a_quad(at.x, have), a_quad(at.y, have), a_quad(at.z, have), a_quad(at.w, have));
    }
    return mat4x4(below_k(k, block[0]), below_k(k, block[1]), below_k(k, block[2]), below_k(k, block[3]));
}

// Column i holds the block's four columns of out in w at k + i; beyond K it repeats w's last, which meets zeros of a.
fn w_block(form: u32, start: vec4<u32>, k: u32) -> mat4x4<f32> {
    if (form == NT) {
        let at = start + k;
        let have = p.k - k;
        return transpose(mat4x4(w_quad(at.x, have), w_quad(at.y, have), w_quad(at.z, have), w_quad(at.w, have)));
    }
    let at = p.w0 + start.x + min(vec4(k) + vec4(0u, 1u, 2u, 3u), vec4(p.k - 1u)) * p.n;
    let have = p.n - start.x;
    return mat4x4(w_quad(at.x, have), w_quad(at.y, have), w_quad(at.z, have), w_quad(at.w, have));
}

// Four neighbours at (row, column) of out.
fn addend_row(at: vec2<u32>) -> vec4<f32> {
    let col = min(at.y, (p.n - 1u) / 4u * 4u);
    return addend_quad(min(at.x, p.m - 1u) * p.ldd + col, p.n - col);
}

fn out_row(at: vec2<u32>) -> vec4<f32> {
    let col = min(at.y, (p.n - 1u) / 4u * 4u);
    return out_quad(p.o0 + min(at.x, p.m - 1u) * p.ldo + col, p.n - col);
}

fn store_row(at: vec2<u32>, v: vec4<f32>) {
    if (all(at < vec2(p.m, p.n))) {
        store_quad(p.o0 + at.x * p.ldo + at.y, p.n - at.y, v);
    }
}

// ---- a workgroup's block of out ---------------------------------------------------------------------------------------
// Place is the block's first row and column and the invocation that asks. Tile is what it accumulates there; each variant defines
// load (tile = out), multiply (tile += the product), add (tile += addend) and
// store (out = tile), and quad_place, where the tile's quad i lies in out.

struct Place {
    row: u32,
    col: u32,
    lane: u32,
}

#if TILE
#import shared/matmul_tile
#else
#import shared/matmul_lane
#endif

fn blocks() -> u32 {
    return ((p.m + BLOCK_M - 1u) / BLOCK_M) * ((p.n + BLOCK_N - 1u) / BLOCK_N);
}

// Which block a group computes, in the order that suits caches. nt, nn: down first, so that what a column of blocks reads
// of w stays while a, whose rows are contiguous, streams past. tn reads both across their rows: the shorter side first.
fn origin_of(form: u32, group: u32, lane: u32) -> Place {
    let down = (p.m + BLOCK_M - 1u) / BLOCK_M;
    let across = (p.n + BLOCK_N - 1u) / BLOCK_N;
    if (form == TN && p.n < p.m) {
        return Place(group / across * BLOCK_M, group % across * BLOCK_N, lane);
    }
    return Place(group % down * BLOCK_M, group / down * BLOCK_N, lane);
}

fn begin(origin: Place) -> Tile {
    var tile = Tile();
    if (p.accumulate == 1u) {
        load(&tile, origin);
    }
    return tile;
}

// ---- entry points: one workgroup for each BLOCK_M x BLOCK_N block of out ----------------------------------------------

@compute @workgroup_size(WORKGROUP)
fn matmul_nt(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = group_index(wid, nwg);
    if (group < blocks()) {
        let origin = origin_of(NT, group, lane);
        var tile = begin(origin);
        multiply(NT, origin, &tile);
        store(&tile, origin);
    }
}

// out = a w^T + addend: a residual (ldd = N) or a bias (ldd = 0).
@compute @workgroup_size(WORKGROUP)
fn matmul_nt_add(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = group_index(wid, nwg);
    if (group < blocks()) {
        let origin = origin_of(NT, group, lane);
        var tile = begin(origin);
        multiply(NT, origin, &tile);
        add(&tile, origin);
        store(&tile, origin);
    }
}

@compute @workgroup_size(WORKGROUP)
fn matmul_nn(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = group_index(wid, nwg);
    if (group < blocks()) {
        let origin = origin_of(NN, group, lane);
        var tile = begin(origin);
        multiply(NN, origin, &tile);
        store(&tile, origin);
    }
}

@compute @workgroup_size(WORKGROUP)
fn matmul_tn(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = group_index(wid, nwg);
    if (group < blocks()) {
        let origin = origin_of(TN, group, lane);
        var tile = begin(origin);
        multiply(TN, origin, &tile);
        store(&tile, origin);
    }
}

// out(N) = or += the column sums of a(M, N), a bias's gradient: one invocation for each 4 columns.
@compute @workgroup_size(WORKGROUP)
fn matmul_bias_bwd(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let col = 4u * (group_index(wid, nwg) * WORKGROUP + lane);
    if (col >= p.n) {
        return;
    }
    let have = p.n - col;
    var sum = vec4(0.0);
    for (var row = 0u; row < p.m; row++) {
        sum += a_quad(p.a0 + row * p.lda + col, have);
    }
    if (p.accumulate == 1u) {
        sum += out_quad(p.o0 + col, have);
    }
    store_quad(p.o0 + col, have, sum);
}
