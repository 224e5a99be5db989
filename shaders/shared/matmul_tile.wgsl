// Blocks of products for GPUs: what a workgroup shares of a and w is staged in workgroup memory, BLOCK_K long at a time.

// Quads of a stage.
const QUADS_K = BLOCK_K / 4u;
// One quad more than the block holds, so that the four rows a thread writes fall into different banks.
const STRIDE_A = BLOCK_M / 4u + 1u;
const STRIDE_W = BLOCK_N / 4u + 1u;

var<workgroup> shared_a: array<vec4<f32>, BLOCK_K * STRIDE_A>;
var<workgroup> shared_w: array<vec4<f32>, BLOCK_K * STRIDE_W>;

fn load_shared(form: u32, origin: Place, k0: u32) {
    let blocks_a = BLOCK_M / 4u * QUADS_K;
    for (var i = origin.lane; i < blocks_a + BLOCK_N / 4u * QUADS_K; i += WORKGROUP) {
        let of_a = i < blocks_a;
        let j = select(i - blocks_a, i, of_a);
        let quads = select(BLOCK_N, BLOCK_M, of_a) / 4u;
        // Neighbouring invocations walk along the axis that is contiguous in memory.
        let along_k = form == NT || (form == NN && of_a);
        let quad = select(j % quads, j / QUADS_K, along_k);
        let k = 4u * select(j / quads, j % QUADS_K, along_k);
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

#if FEW
// One row by four columns an invocation, and long stages: with few rows there are few workgroups, and their time is that of waiting
// for loads, not of multiplying.
alias Tile = vec4<f32>;

fn accumulate(tile: ptr<function, Tile>, k: u32, row: u32, col: u32) {
    *tile += shared_a[k * STRIDE_A + row / 4u][row % 4u] * shared_w[k * STRIDE_W + col];
}

fn quad_place(origin: Place) -> vec2<u32> {
    return vec2(origin.row + origin.lane / (BLOCK_N / 4u), origin.col + 4u * (origin.lane % (BLOCK_N / 4u)));
}

fn load(tile: ptr<function, Tile>, origin: Place) {
    *tile = out_row(quad_place(origin));
}

fn add(tile: ptr<function, Tile>, origin: Place) {
    *tile += addend_row(quad_place(origin));
}

fn store(tile: ptr<function, Tile>, origin: Place) {
    store_row(quad_place(origin), *tile);
}
#else
struct Tile {
    // Column i is row i of the invocation's quad of rows; in tall tiles r1 lies BLOCK_M / 2 rows below.
    r0: mat4x4<f32>,
    r1: mat4x4<f32>,
}

fn outer(x: vec4<f32>, y: vec4<f32>) -> mat4x4<f32> {
    return mat4x4(x.x * y, x.y * y, x.z * y, x.w * y);
}

fn accumulate(tile: ptr<function, Tile>, k: u32, row: u32, col: u32) {
    let y = shared_w[k * STRIDE_W + col];
    (*tile).r0 += outer(shared_a[k * STRIDE_A + row], y);
#if TALL
    (*tile).r1 += outer(shared_a[k * STRIDE_A + BLOCK_M / 8u + row], y);
#endif
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

// tile += the product: the invocation's row, or quad of rows, of a by its quad of columns.
fn multiply(form: u32, origin: Place, tile: ptr<function, Tile>) {
    let row = origin.lane / (BLOCK_N / 4u);
    let col = origin.lane % (BLOCK_N / 4u);
    for (var k0 = 0u; k0 < p.k; k0 += BLOCK_K) {
        load_shared(form, origin, k0);
        workgroupBarrier();
        for (var k = 0u; k < BLOCK_K; k++) {
            accumulate(tile, k, row, col);
        }
        // The next blocks must not overwrite what a slower invocation still reads.
        workgroupBarrier();
    }
}
