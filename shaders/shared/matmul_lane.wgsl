// Blocks of products for CPU adapters, in registers, without workgroup memory.

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
