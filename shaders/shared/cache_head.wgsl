// What a head of one row does in a decode step: turns its query and key to the row's position, keeps key and value, and attends
// to its slot's positions 0 ..= position. It meets its own position first, as the cache may not have it yet, the others online.
// The root file defines Quad, Loaded, WIDTH and QUADS, p (heads, kv_heads, head_dim, capacity), qkv_at, key_at, value_at and keep.

// The slot of a row that belongs to no sequence: nothing is written for it.
const NO_SLOT: u32 = 0xffffffffu;

// Loads of the largest head.
const LOADS: u32 = QUADS * 4u / WIDTH;

// A head in the registers of an invocation.
alias Head = array<Loaded, LOADS>;

// Where the query, key and value of a row's head begin, where its slot's keys do, and its position.
struct Place {
    q: u32,
    k: u32,
    v: u32,
    cache: u32,
    last: u32,
}

// Of the row of qkv that begins at `start`, and the layer whose keys begin at `layer`.
fn place(start: u32, head: u32, layer: u32, slot: u32, position: u32) -> Place {
    let size = p.head_dim / WIDTH;
    let kv_head = head / (p.heads / p.kv_heads);
    return Place(
        start + head * size,
        start + (p.heads + kv_head) * size,
        start + (p.heads + p.kv_heads + kv_head) * size,
        layer + (slot * p.kv_heads + kv_head) * p.capacity * size,
        min(position, p.capacity - 1u),
    );
}

// Of the query heads that share a key head the first keeps it.
fn keeps(head: u32) -> bool {
    return head % (p.heads / p.kv_heads) == 0u;
}

// Part c of the head that begins at `head`, turned to `at` (shaders/rope.wgsl).
fn turned(head: u32, c: u32, at: u32) -> Loaded {
    let half = p.head_dim / 2u / WIDTH;
    let low = c < half;
    let pair = at * 2u * half + select(c - half, c, low);
    let sine = floats(table[pair + half]);
    let other = qkv_at(head + select(c - half, c + half, low));
    return qkv_at(head + c) * floats(table[pair]) + select(sine, -sine, low) * other;
}
