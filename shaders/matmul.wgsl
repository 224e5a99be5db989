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
// `lane_few` is for the few rows of a decode step, of which the others' blocks would be mostly empty: each weight is loaded once;
// `lane_one` for a single row. (Not a branch on p.m: lavapipe of Mesa 22 compiles a kernel anew at every dispatch, for the uniforms it
// is given, where that takes away half of the kernel.)
// `wide` loads 64 bits at a time: for lavapipe, as all that needs subgroups of 8.
// `vec4` is 1.5x faster there and needs stored rows (lda, ldo, ldd, and w's own) and offsets that are multiples of 4; where
// N is not, it writes up to 3 floats of the padding behind a row of out.
#variant tile TILE BLOCK_M=64u BLOCK_N=64u WORKGROUP=256u
#variant tile_vec4 TILE VEC4 BLOCK_M=64u BLOCK_N=64u WORKGROUP=256u
#variant tile_small TILE BLOCK_M=32u BLOCK_N=32u WORKGROUP=64u
#variant tile_tall_vec4 TILE TALL VEC4 BLOCK_M=128u BLOCK_N=64u WORKGROUP=256u
#variant lane CPU LANE TILE_QUADS=64u BLOCK_M=16u BLOCK_N=128u WORKGROUP=8u
#variant lane_vec4 CPU LANE VEC4 TILE_QUADS=64u BLOCK_M=16u BLOCK_N=128u WORKGROUP=8u
#variant lane_sg CPU SUBGROUP TILE_QUADS=32u BLOCK_M=32u BLOCK_N=32u WORKGROUP=8u
#variant lane_sg_vec4 CPU SUBGROUP VEC4 WIDE TILE_QUADS=32u BLOCK_M=32u BLOCK_N=32u WORKGROUP=8u
#variant lane_quad CPU QUAD SIXTEENS=1u TILE_QUADS=64u BLOCK_M=16u BLOCK_N=64u WORKGROUP=4u
#variant lane_quad_vec4 CPU QUAD VEC4 SIXTEENS=1u TILE_QUADS=64u BLOCK_M=16u BLOCK_N=64u WORKGROUP=4u
#variant lane_quad_tall_vec4 CPU QUAD VEC4 SIXTEENS=2u TILE_QUADS=128u BLOCK_M=32u BLOCK_N=64u WORKGROUP=4u
#variant lane_few_vec4 CPU FEW VEC4 TILE_QUADS=4u BLOCK_M=4u BLOCK_N=32u WORKGROUP=8u
#variant lane_few_wide_vec4 CPU FEW VEC4 WIDE TILE_QUADS=4u BLOCK_M=4u BLOCK_N=32u WORKGROUP=8u
#variant lane_one_vec4 CPU ONE VEC4 TILE_QUADS=1u BLOCK_M=1u BLOCK_N=32u WORKGROUP=8u
#variant lane_one_wide_vec4 CPU ONE VEC4 WIDE TILE_QUADS=1u BLOCK_M=1u BLOCK_N=32u WORKGROUP=8u
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
const BLOCK_K = 16u;
// One quad more than the block holds, so that the four rows a thread writes fall into different banks.
const STRIDE_A = BLOCK_M / 4u + 1u;
const STRIDE_W = BLOCK_N / 4u + 1u;

var<workgroup> shared_a: array<vec4<f32>, BLOCK_K * STRIDE_A>;
var<workgroup> shared_w: array<vec4<f32>, BLOCK_K * STRIDE_W>;

struct Tile {
    // Column i is row i of the invocation's quad of rows; in tall tiles r1 lies BLOCK_M / 2 rows below.
    r0: mat4x4<f32>,
    r1: mat4x4<f32>,
}

fn outer(x: vec4<f32>, y: vec4<f32>) -> mat4x4<f32> {
    return mat4x4(x.x * y, x.y * y, x.z * y, x.w * y);
}

fn load_shared(form: u32, origin: Place, k0: u32) {
    for (var i = origin.lane; i < BLOCK_M + BLOCK_N; i += WORKGROUP) {
        let of_a = i < BLOCK_M;
        let j = select(i - BLOCK_M, i, of_a);
        let quads = select(BLOCK_N, BLOCK_M, of_a) / 4u;
        // Neighbouring invocations walk along the axis that is contiguous in memory.
        let along_k = form == NT || (form == NN && of_a);
        let quad = select(j % quads, j / 4u, along_k);
        let k = 4u * select(j / quads, j % 4u, along_k);
        var block = mat4x4<f32>();
        if (of_a) {
            if (k0 + k < p.k) {
                block = transpose(a_block(form, a_start(form, origin.row + 4u * quad), k0 + k));
            }
            for (var r = 0u; r < 4u; r++) {
                shared_a[(k + r) * STRIDE_A + quad] = block[r];
            }
        } else {
            if (k0 + k < p.k) {
                block = w_block(form, w_start(form, origin.col + 4u * quad), k0 + k);
            }
            for (var r = 0u; r < 4u; r++) {
                shared_w[(k + r) * STRIDE_W + quad] = block[r];
            }
        }
    }
}

fn multiply(form: u32, origin: Place, tile: ptr<function, Tile>) {
    let row = origin.lane / (BLOCK_N / 4u);
    let col = origin.lane % (BLOCK_N / 4u);
    for (var k0 = 0u; k0 < p.k; k0 += BLOCK_K) {
        load_shared(form, origin, k0);
        workgroupBarrier();
        for (var k = 0u; k < BLOCK_K; k++) {
            let y = shared_w[k * STRIDE_W + col];
            (*tile).r0 += outer(shared_a[k * STRIDE_A + row], y);
#if TALL
            (*tile).r1 += outer(shared_a[k * STRIDE_A + BLOCK_M / 8u + row], y);
#endif
        }
        // The next blocks must not overwrite what a slower invocation still reads.
        workgroupBarrier();
    }
}

fn quad_place(origin: Place, i: u32) -> vec2<u32> {
    let row = origin.lane / (BLOCK_N / 4u);
    let col = origin.lane % (BLOCK_N / 4u);
    return vec2(origin.row + 4u * row + i % 4u + i / 4u * (BLOCK_M / 2u), origin.col + 4u * col);
}

fn load(tile: ptr<function, Tile>, origin: Place) {
    for (var i = 0u; i < 4u; i++) {
        (*tile).r0[i] = out_row(quad_place(origin, i));
#if TALL
        (*tile).r1[i] = out_row(quad_place(origin, i + 4u));
#endif
    }
}

fn add(tile: ptr<function, Tile>, origin: Place) {
    for (var i = 0u; i < 4u; i++) {
        (*tile).r0[i] += addend_row(quad_place(origin, i));
#if TALL
        (*tile).r1[i] += addend_row(quad_place(origin, i + 4u));
#endif
    }
}

fn store(tile: ptr<function, Tile>, origin: Place) {
    for (var i = 0u; i < 4u; i++) {
        store_row(quad_place(origin, i), (*tile).r0[i]);
#if TALL
        store_row(quad_place(origin, i + 4u), (*tile).r1[i]);
#endif
    }
}
#endif

#if CPU
alias Tile = array<vec4<f32>, TILE_QUADS>;

// Written out below, each quad of the tile by name: software adapters keep an array that a loop indexes in memory.
// tile[first + i] += the k-vectors x[0..3], y[0..3] times w's block.
fn multiply8(tile: ptr<function, Tile>, first: u32, w: mat4x4<f32>, x: mat4x4<f32>, y: mat4x4<f32>) {
    (*tile)[first] += w * x[0];
    (*tile)[first + 1u] += w * x[1];
    (*tile)[first + 2u] += w * x[2];
    (*tile)[first + 3u] += w * x[3];
    (*tile)[first + 4u] += w * y[0];
    (*tile)[first + 5u] += w * y[1];
    (*tile)[first + 6u] += w * y[2];
    (*tile)[first + 7u] += w * y[3];
}

#if QUAD
// In loops over a copy of the tile: written out, loads and stores would take three times as long to compile as the product.
fn load(tile: ptr<function, Tile>, origin: Place) {
    var quads: Tile;
    for (var i = 0u; i < TILE_QUADS; i++) {
        quads[i] = out_row(quad_place(origin, i));
    }
#repeat i TILE_QUADS
    (*tile)[$i] = quads[$i];
#endrepeat
}

fn add(tile: ptr<function, Tile>, origin: Place) {
    var quads: Tile;
    for (var i = 0u; i < TILE_QUADS; i++) {
        quads[i] = addend_row(quad_place(origin, i));
    }
#repeat i TILE_QUADS
    (*tile)[$i] += quads[$i];
#endrepeat
}

fn store(tile: ptr<function, Tile>, origin: Place) {
    var quads: Tile;
#repeat i TILE_QUADS
    quads[$i] = (*tile)[$i];
#endrepeat
    for (var i = 0u; i < TILE_QUADS; i++) {
        store_row(quad_place(origin, i), quads[i]);
    }
}
#else
fn load(tile: ptr<function, Tile>, origin: Place) {
#repeat i TILE_QUADS
    (*tile)[$i] = out_row(quad_place(origin, $iu));
#endrepeat
}

fn add(tile: ptr<function, Tile>, origin: Place) {
#repeat i TILE_QUADS
    (*tile)[$i] += addend_row(quad_place(origin, $iu));
#endrepeat
}

fn store(tile: ptr<function, Tile>, origin: Place) {
#repeat i TILE_QUADS
    store_row(quad_place(origin, $iu), (*tile)[$i]);
#endrepeat
}
#endif
#endif

#if LANE
// An invocation's 16 rows by 16 columns: for each of four quads of columns, 32 apart, the quads of all rows.
fn quad_place(origin: Place, i: u32) -> vec2<u32> {
    return vec2(origin.row + i % 16u, origin.col + 4u * origin.lane + i / 16u * 32u);
}

fn multiply16(tile: ptr<function, Tile>, first: u32, w: mat4x4<f32>, x: array<mat4x4<f32>, 4>) {
    multiply8(tile, first, w, x[0], x[1]);
    multiply8(tile, first + 8u, w, x[2], x[3]);
}

fn multiply(form: u32, origin: Place, tile: ptr<function, Tile>) {
    let col = origin.col + 4u * origin.lane;
    let a0 = a_start(form, origin.row);
    let a1 = a_start(form, origin.row + 4u);
    let a2 = a_start(form, origin.row + 8u);
    let a3 = a_start(form, origin.row + 12u);
    let w0 = w_start(form, col);
    let w1 = w_start(form, col + 32u);
    let w2 = w_start(form, col + 64u);
    let w3 = w_start(form, col + 96u);
    for (var k = 0u; k < p.k; k += 4u) {
        let x0 = a_block(form, a0, k);
        let x1 = a_block(form, a1, k);
        let x2 = a_block(form, a2, k);
        let x3 = a_block(form, a3, k);
        let x = array(x0, x1, x2, x3);
        multiply16(tile, 0u, w_block(form, w0, k), x);
        multiply16(tile, 16u, w_block(form, w1, k), x);
        multiply16(tile, 32u, w_block(form, w2, k), x);
        multiply16(tile, 48u, w_block(form, w3, k), x);
    }
}
#endif

#if SUBGROUP
// All 32 rows by the invocation's 4 columns. Invocation l loads the block of a at row 4 l and every other one receives it
// by broadcast, so tile[8 i + l] is row 4 l + i. A broadcast's lane must be a literal, hence the list.
fn quad_place(origin: Place, i: u32) -> vec2<u32> {
    return vec2(origin.row + i % 8u * 4u + i / 8u, origin.col + 4u * origin.lane);
}

fn multiply_broadcast(tile: ptr<function, Tile>, first: u32, w: mat4x4<f32>, x: vec4<f32>) {
    multiply8(
        tile,
        first,
        w,
        mat4x4(subgroupBroadcast(x, 0u), subgroupBroadcast(x, 1u), subgroupBroadcast(x, 2u), subgroupBroadcast(x, 3u)),
        mat4x4(subgroupBroadcast(x, 4u), subgroupBroadcast(x, 5u), subgroupBroadcast(x, 6u), subgroupBroadcast(x, 7u)),
    );
}

fn multiply(form: u32, origin: Place, tile: ptr<function, Tile>) {
    let a_at = a_start(form, origin.row + 4u * origin.lane);
    let w_at = w_start(form, origin.col + 4u * origin.lane);
    for (var k = 0u; k < p.k; k += 4u) {
        let x = a_block(form, a_at, k);
        let w = w_block(form, w_at, k);
        multiply_broadcast(tile, 0u, w, x[0]);
        multiply_broadcast(tile, 8u, w, x[1]);
        multiply_broadcast(tile, 16u, w, x[2]);
        multiply_broadcast(tile, 24u, w, x[3]);
    }
}
#endif

#if QUAD
// All BLOCK_M rows by 16 of the block's columns, four quads of them 16 apart. For each 16 rows of the block invocation l loads
// the block of a at row 4 l, and the others receive it by broadcast.
fn quad_place(origin: Place, i: u32) -> vec2<u32> {
    return vec2(origin.row + i % BLOCK_M, origin.col + 4u * origin.lane + i / BLOCK_M * 16u);
}

fn multiply(form: u32, origin: Place, tile: ptr<function, Tile>) {
#repeat b SIXTEENS
    let a_at_$b = a_start(form, origin.row + 16u * $bu + 4u * origin.lane);
#endrepeat
#repeat q 4
    let w_at_$q = w_start(form, origin.col + 16u * $qu + 4u * origin.lane);
#endrepeat
    for (var k = 0u; k < p.k; k += 4u) {
#repeat b SIXTEENS
        let x_$b = a_block(form, a_at_$b, k);
#repeat l 4
        let x_$b_$l = mat4x4(
            quadBroadcast(x_$b[0], $lu),
            quadBroadcast(x_$b[1], $lu),
            quadBroadcast(x_$b[2], $lu),
            quadBroadcast(x_$b[3], $lu),
        );
#endrepeat
#endrepeat
#repeat q 4
        let w_$q = w_block(form, w_at_$q, k);
#repeat b SIXTEENS
        multiply8(tile, BLOCK_M * $qu + 16u * $bu, w_$q, x_$b_0, x_$b_1);
        multiply8(tile, BLOCK_M * $qu + 16u * $bu + 8u, w_$q, x_$b_2, x_$b_3);
#endrepeat
#endrepeat
    }
}
#endif

#if FEW
// Four rows by the invocation's 4 columns.
fn quad_place(origin: Place, i: u32) -> vec2<u32> {
    return vec2(origin.row + i, origin.col + 4u * origin.lane);
}

fn multiply(form: u32, origin: Place, tile: ptr<function, Tile>) {
    let a_at = a_start(form, origin.row);
    let w_at = w_start(form, origin.col + 4u * origin.lane);
    for (var k = 0u; k < p.k; k += 4u) {
        let x = a_block(form, a_at, k);
        let w = w_block(form, w_at, k);
#repeat i 4
        (*tile)[$i] += w * x[$i];
#endrepeat
    }
}
#endif

#if ONE
// One row by the invocation's 4 columns: the other three rows of a's block would be half of all loads.
fn quad_place(origin: Place, i: u32) -> vec2<u32> {
    return vec2(origin.row, origin.col + 4u * origin.lane);
}

fn multiply(form: u32, origin: Place, tile: ptr<function, Tile>) {
    let a_at = a_start(form, origin.row);
    let w_at = w_start(form, origin.col + 4u * origin.lane);
    for (var k = 0u; k < p.k; k += 4u) {
        var x: vec4<f32>;
        if (form == TN) {
            x = a_block(form, a_at, k)[origin.row % 4u];
        } else {
            x = below_k(k, a_quad(a_at.x + k, p.k - k));
        }
        (*tile)[0] += w_block(form, w_at, k) * x;
    }
}
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
