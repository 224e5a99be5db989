// Matrix products in the three layouts of a linear layer, y = x W^T with W as Hugging Face stores it, [out, in]:
//   nt  out(M, N) = a(M, K) w(N, K)^T     forward: a = x, w = W
//   nn  out(M, N) = a(M, K) w(K, N)       dx: a = dy, w = W
//   tn  out(M, N) = a(K, M)^T w(K, N)     dW: a = dy, w = x, K runs over the tokens
// Each is `=`, or `+=` where p.accumulate is 1. No operand is ever transposed or padded in memory: a 4x4 block is loaded
// along whichever axis is contiguous and turned in registers, so that the inner product below is the same for all three.
// Every output is summed over k = 0, 1, ... whatever M and N are: a row's bits do not depend on the rows beside it.
//
// A matrix that is cut into chunks (an embedding above the binding limit, cut by rows) is multiplied chunk by chunk:
// a0 and o0 shift the first element of a and out, lda and ldo are the lengths of their stored rows. w is always whole.
//
// Variants: `tile` for GPUs (workgroup memory), `lane` for CPU adapters, where a barrier costs more than the arithmetic and a
// load costs four times a multiplication, whence their tall tiles; `lane_sg` shares a's loads within a subgroup of 8.
// `vec4` is 1.4x faster and needs stored rows (lda, ldo, ldd, and w's own) and offsets that are multiples of 4.
#variant tile TILE BLOCK_M=64u BLOCK_N=64u WORKGROUP=256u
#variant tile_vec4 TILE VEC4 BLOCK_M=64u BLOCK_N=64u WORKGROUP=256u
#variant tile_small TILE BLOCK_M=32u BLOCK_N=32u WORKGROUP=64u
#variant tile_tall_vec4 TILE TALL VEC4 BLOCK_M=128u BLOCK_N=64u WORKGROUP=256u
#variant lane CPU LANE BLOCK_M=16u BLOCK_N=128u WORKGROUP=8u
#variant lane_vec4 CPU LANE VEC4 BLOCK_M=16u BLOCK_N=128u WORKGROUP=8u
#variant lane_sg CPU SUBGROUP BLOCK_M=32u BLOCK_N=32u WORKGROUP=8u
#variant lane_sg_vec4 CPU SUBGROUP VEC4 BLOCK_M=32u BLOCK_N=32u WORKGROUP=8u
#import shared/grid

struct MatmulParams {
    m: u32,
    n: u32,
    k: u32,
    lda: u32,
    ldo: u32,
    a0: u32,
    o0: u32,
    // Stored row length of addend: 0 repeats one row, which makes it a bias.
    ldd: u32,
    accumulate: u32,
}

@group(0) @binding(0) var<uniform> p: MatmulParams;

#if VEC4
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>; // (M, K) or (K, M), rows of lda
@group(0) @binding(2) var<storage, read> w: array<vec4<f32>>; // (N, K) or (K, N)
@group(0) @binding(3) var<storage, read> addend: array<vec4<f32>>; // (M, N) residual or (N) bias
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
// The rest are whatever the row's padding holds (vec4) or repeats of the last (scalar): callers discard them.

#if VEC4
fn a_quad(i: u32, have: u32) -> vec4<f32> {
    return a[i / 4u];
}

fn w_quad(i: u32, have: u32) -> vec4<f32> {
    return w[i / 4u];
}

fn addend_quad(i: u32, have: u32) -> vec4<f32> {
    return addend[i / 4u];
}

fn store_quad(i: u32, have: u32, v: vec4<f32>) {
    let q = i / 4u;
    if (have >= 4u) {
        if (p.accumulate == 1u) {
            out[q] += v;
        } else {
            out[q] = v;
        }
        return;
    }
    // The end of a row: the padding behind it is not ours to write.
    for (var c = 0u; c < have; c++) {
        out[q][c] = v[c] + select(0.0, out[q][c], p.accumulate == 1u);
    }
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

fn store_quad(i: u32, have: u32, v: vec4<f32>) {
    for (var c = 0u; c < min(have, 4u); c++) {
        out[i + c] = v[c] + select(0.0, out[i + c], p.accumulate == 1u);
    }
}
#endif

// ---- 4x4 blocks -------------------------------------------------------------------------------------------------------
// Indices beyond a matrix are clamped into it: no load leaves the buffer, and what it brings is either zeroed (beyond K)
// or lands in rows and columns that are not stored (beyond M and N).

fn below_k(k: u32, v: vec4<f32>) -> vec4<f32> {
    return select(vec4(0.0), v, vec4(k) + vec4(0u, 1u, 2u, 3u) < vec4(p.k));
}

// Column i holds row `row + i` of a at k .. k + 3, with zeros beyond K.
fn a_block(form: u32, row: u32, k: u32) -> mat4x4<f32> {
    if (form == TN) {
        let last = p.k - 1u;
        let at = p.a0 + min(row, (p.m - 1u) / 4u * 4u);
        let have = p.a0 + p.m - at;
        let block = transpose(mat4x4(
            a_quad(at + min(k, last) * p.lda, have),
            a_quad(at + min(k + 1u, last) * p.lda, have),
            a_quad(at + min(k + 2u, last) * p.lda, have),
            a_quad(at + min(k + 3u, last) * p.lda, have),
        ));
        return mat4x4(below_k(k, block[0]), below_k(k, block[1]), below_k(k, block[2]), below_k(k, block[3]));
    }
    let last = p.m - 1u;
    let at = p.a0 + k;
    let have = p.k - k;
    return mat4x4(
        below_k(k, a_quad(at + min(row, last) * p.lda, have)),
        below_k(k, a_quad(at + min(row + 1u, last) * p.lda, have)),
        below_k(k, a_quad(at + min(row + 2u, last) * p.lda, have)),
        below_k(k, a_quad(at + min(row + 3u, last) * p.lda, have)),
    );
}

// Column i holds columns `col .. col + 3` of w (rows, in nt) at k + i. Beyond K it is finite if w is: a's zeros meet it.
fn w_block(form: u32, col: u32, k: u32) -> mat4x4<f32> {
    if (form == NT) {
        let last = p.n - 1u;
        let have = p.k - k;
        return transpose(mat4x4(
            w_quad(min(col, last) * p.k + k, have),
            w_quad(min(col + 1u, last) * p.k + k, have),
            w_quad(min(col + 2u, last) * p.k + k, have),
            w_quad(min(col + 3u, last) * p.k + k, have),
        ));
    }
    let last = p.k - 1u;
    let at = min(col, (p.n - 1u) / 4u * 4u);
    let have = p.n - at;
    return mat4x4(
        w_quad(at + min(k, last) * p.n, have),
        w_quad(at + min(k + 1u, last) * p.n, have),
        w_quad(at + min(k + 2u, last) * p.n, have),
        w_quad(at + min(k + 3u, last) * p.n, have),
    );
}

fn store_row(row: u32, col: u32, v: vec4<f32>) {
    if (row < p.m && col < p.n) {
        store_quad(p.o0 + row * p.ldo + col, p.n - col, v);
    }
}

fn addend_row(row: u32, col: u32) -> vec4<f32> {
    let at = min(col, (p.n - 1u) / 4u * 4u);
    return addend_quad(min(row, p.m - 1u) * p.ldd + at, p.n - at);
}

// ---- a workgroup's block of out ---------------------------------------------------------------------------------------
// Place is an invocation's first row and column of out. Tile is what it accumulates there; each variant defines
// multiply (tile = the product), add (tile += addend) and store (out = or += tile).

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
                block = transpose(a_block(form, origin.row + 4u * quad, k0 + k));
            }
            for (var r = 0u; r < 4u; r++) {
                shared_a[(k + r) * STRIDE_A + quad] = block[r];
            }
        } else {
            if (k0 + k < p.k) {
                block = w_block(form, origin.col + 4u * quad, k0 + k);
            }
            for (var r = 0u; r < 4u; r++) {
                shared_w[(k + r) * STRIDE_W + quad] = block[r];
            }
        }
    }
}

fn multiply(form: u32, origin: Place) -> Tile {
    var tile = Tile();
    let row = origin.lane / (BLOCK_N / 4u);
    let col = origin.lane % (BLOCK_N / 4u);
    for (var k0 = 0u; k0 < p.k; k0 += BLOCK_K) {
        load_shared(form, origin, k0);
        workgroupBarrier();
        for (var k = 0u; k < BLOCK_K; k++) {
            let y = shared_w[k * STRIDE_W + col];
            tile.r0 += outer(shared_a[k * STRIDE_A + row], y);
#if TALL
            tile.r1 += outer(shared_a[k * STRIDE_A + BLOCK_M / 8u + row], y);
#endif
        }
        // The next blocks must not overwrite what a slower invocation still reads.
        workgroupBarrier();
    }
    return tile;
}

fn add4(rows: mat4x4<f32>, row: u32, col: u32) -> mat4x4<f32> {
    return rows + mat4x4(addend_row(row, col), addend_row(row + 1u, col), addend_row(row + 2u, col), addend_row(row + 3u, col));
}

fn store4(rows: mat4x4<f32>, row: u32, col: u32) {
    store_row(row, col, rows[0]);
    store_row(row + 1u, col, rows[1]);
    store_row(row + 2u, col, rows[2]);
    store_row(row + 3u, col, rows[3]);
}

fn quad_of(origin: Place) -> Place {
    return Place(
        origin.row + 4u * (origin.lane / (BLOCK_N / 4u)),
        origin.col + 4u * (origin.lane % (BLOCK_N / 4u)),
        origin.lane,
    );
}

fn add(tile: Tile, origin: Place) -> Tile {
    let at = quad_of(origin);
    var sum = tile;
    sum.r0 = add4(tile.r0, at.row, at.col);
#if TALL
    sum.r1 = add4(tile.r1, at.row + BLOCK_M / 2u, at.col);
#endif
    return sum;
}

fn store(tile: Tile, origin: Place) {
    let at = quad_of(origin);
    store4(tile.r0, at.row, at.col);
#if TALL
    store4(tile.r1, at.row + BLOCK_M / 2u, at.col);
#endif
}
#endif

#if CPU
// Eight quads of out. Written out, not looped: software adapters keep an indexed array in memory.
alias Rows = array<vec4<f32>, 8>;

// rows[i] += the k-vectors x[0..3], y[0..3] times w's block.
fn multiply_rows(rows: Rows, w: mat4x4<f32>, x: mat4x4<f32>, y: mat4x4<f32>) -> Rows {
    return Rows(
        rows[0] + w * x[0],
        rows[1] + w * x[1],
        rows[2] + w * x[2],
        rows[3] + w * x[3],
        rows[4] + w * y[0],
        rows[5] + w * y[1],
        rows[6] + w * y[2],
        rows[7] + w * y[3],
    );
}

fn add_rows(rows: Rows, row: u32, step: u32, col: u32) -> Rows {
    return Rows(
        rows[0] + addend_row(row, col),
        rows[1] + addend_row(row + step, col),
        rows[2] + addend_row(row + 2u * step, col),
        rows[3] + addend_row(row + 3u * step, col),
        rows[4] + addend_row(row + 4u * step, col),
        rows[5] + addend_row(row + 5u * step, col),
        rows[6] + addend_row(row + 6u * step, col),
        rows[7] + addend_row(row + 7u * step, col),
    );
}

fn store_rows(rows: Rows, row: u32, step: u32, col: u32) {
    store_row(row, col, rows[0]);
    store_row(row + step, col, rows[1]);
    store_row(row + 2u * step, col, rows[2]);
    store_row(row + 3u * step, col, rows[3]);
    store_row(row + 4u * step, col, rows[4]);
    store_row(row + 5u * step, col, rows[5]);
    store_row(row + 6u * step, col, rows[6]);
    store_row(row + 7u * step, col, rows[7]);
}
#endif

#if LANE
// An invocation's 16 rows, in two halves, by 16 columns, in four quads 32 columns apart.
struct Tile {
    r00: Rows,
    r01: Rows,
    r02: Rows,
    r03: Rows,
    r10: Rows,
    r11: Rows,
    r12: Rows,
    r13: Rows,
}

fn multiply(form: u32, origin: Place) -> Tile {
    var tile = Tile();
    let col = origin.col + 4u * origin.lane;
    for (var k = 0u; k < p.k; k += 4u) {
        let x0 = a_block(form, origin.row, k);
        let x1 = a_block(form, origin.row + 4u, k);
        let x2 = a_block(form, origin.row + 8u, k);
        let x3 = a_block(form, origin.row + 12u, k);
        let w0 = w_block(form, col, k);
        tile.r00 = multiply_rows(tile.r00, w0, x0, x1);
        tile.r10 = multiply_rows(tile.r10, w0, x2, x3);
        let w1 = w_block(form, col + 32u, k);
        tile.r01 = multiply_rows(tile.r01, w1, x0, x1);
        tile.r11 = multiply_rows(tile.r11, w1, x2, x3);
        let w2 = w_block(form, col + 64u, k);
        tile.r02 = multiply_rows(tile.r02, w2, x0, x1);
        tile.r12 = multiply_rows(tile.r12, w2, x2, x3);
        let w3 = w_block(form, col + 96u, k);
        tile.r03 = multiply_rows(tile.r03, w3, x0, x1);
        tile.r13 = multiply_rows(tile.r13, w3, x2, x3);
    }
    return tile;
}

fn add(tile: Tile, origin: Place) -> Tile {
    let row = origin.row;
    let col = origin.col + 4u * origin.lane;
    return Tile(
        add_rows(tile.r00, row, 1u, col),
        add_rows(tile.r01, row, 1u, col + 32u),
        add_rows(tile.r02, row, 1u, col + 64u),
        add_rows(tile.r03, row, 1u, col + 96u),
        add_rows(tile.r10, row + 8u, 1u, col),
        add_rows(tile.r11, row + 8u, 1u, col + 32u),
        add_rows(tile.r12, row + 8u, 1u, col + 64u),
        add_rows(tile.r13, row + 8u, 1u, col + 96u),
    );
}

fn store(tile: Tile, origin: Place) {
    let row = origin.row;
    let col = origin.col + 4u * origin.lane;
    store_rows(tile.r00, row, 1u, col);
    store_rows(tile.r01, row, 1u, col + 32u);
    store_rows(tile.r02, row, 1u, col + 64u);
    store_rows(tile.r03, row, 1u, col + 96u);
    store_rows(tile.r10, row + 8u, 1u, col);
    store_rows(tile.r11, row + 8u, 1u, col + 32u);
    store_rows(tile.r12, row + 8u, 1u, col + 64u);
    store_rows(tile.r13, row + 8u, 1u, col + 96u);
}
#endif

#if SUBGROUP
// All 32 rows by the invocation's 4 columns: rows i, i + 4, i + 8, ... are in r_i, because invocation l loads the block of
// a at row 4 l and every other one receives it by broadcast. A broadcast's lane must be a literal, hence the lists.
struct Tile {
    r0: Rows,
    r1: Rows,
    r2: Rows,
    r3: Rows,
}

fn multiply_broadcast(rows: Rows, w: mat4x4<f32>, x: vec4<f32>) -> Rows {
    return multiply_rows(
        rows,
        w,
        mat4x4(subgroupBroadcast(x, 0u), subgroupBroadcast(x, 1u), subgroupBroadcast(x, 2u), subgroupBroadcast(x, 3u)),
        mat4x4(subgroupBroadcast(x, 4u), subgroupBroadcast(x, 5u), subgroupBroadcast(x, 6u), subgroupBroadcast(x, 7u)),
    );
}

fn multiply(form: u32, origin: Place) -> Tile {
    var tile = Tile();
    for (var k = 0u; k < p.k; k += 4u) {
        let x = a_block(form, origin.row + 4u * origin.lane, k);
        let w = w_block(form, origin.col + 4u * origin.lane, k);
        tile.r0 = multiply_broadcast(tile.r0, w, x[0]);
        tile.r1 = multiply_broadcast(tile.r1, w, x[1]);
        tile.r2 = multiply_broadcast(tile.r2, w, x[2]);
        tile.r3 = multiply_broadcast(tile.r3, w, x[3]);
    }
    return tile;
}

fn add(tile: Tile, origin: Place) -> Tile {
    let col = origin.col + 4u * origin.lane;
    return Tile(
        add_rows(tile.r0, origin.row, 4u, col),
        add_rows(tile.r1, origin.row + 1u, 4u, col),
        add_rows(tile.r2, origin.row + 2u, 4u, col),
        add_rows(tile.r3, origin.row + 3u, 4u, col),
    );
}

fn store(tile: Tile, origin: Place) {
    let col = origin.col + 4u * origin.lane;
    store_rows(tile.r0, origin.row, 4u, col);
    store_rows(tile.r1, origin.row + 1u, 4u, col);
    store_rows(tile.r2, origin.row + 2u, 4u, col);
    store_rows(tile.r3, origin.row + 3u, 4u, col);
}
#endif

fn origin_of(group: u32, lane: u32) -> Place {
    let across = (p.n + BLOCK_N - 1u) / BLOCK_N;
    return Place(group / across * BLOCK_M, group % across * BLOCK_N, lane);
}

// ---- entry points: one workgroup for each BLOCK_M x BLOCK_N block of out ----------------------------------------------

@compute @workgroup_size(WORKGROUP)
fn matmul_nt(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let origin = origin_of(group_index(wid, nwg), lane);
    if (origin.row < p.m) {
        store(multiply(NT, origin), origin);
    }
}

// out = a w^T + addend: a residual (ldd = N) or a bias (ldd = 0).
@compute @workgroup_size(WORKGROUP)
fn matmul_nt_add(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let origin = origin_of(group_index(wid, nwg), lane);
    if (origin.row < p.m) {
        store(add(multiply(NT, origin), origin), origin);
    }
}

@compute @workgroup_size(WORKGROUP)
fn matmul_nn(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let origin = origin_of(group_index(wid, nwg), lane);
    if (origin.row < p.m) {
        store(multiply(NN, origin), origin);
    }
}

@compute @workgroup_size(WORKGROUP)
fn matmul_tn(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let origin = origin_of(group_index(wid, nwg), lane);
    if (origin.row < p.m) {
        store(multiply(TN, origin), origin);
    }
}
