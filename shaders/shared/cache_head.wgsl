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

// By one invocation, four positions at a time, of which those beyond the last repeat it and weigh nothing.
fn attend_head(at: Place, keeps: bool, out: ptr<function, Head>) {
    let size = p.head_dim / WIDTH;
#if UNROLL
    let loads = LOADS;
#else
    let loads = size;
#endif
    let scale = 1.0 / sqrt(f32(p.head_dim));
    var q: Head;
    var acc: Head;
    var top = 0.0;
    for (var d = 0u; d < loads; d++) {
        let c = min(d, size - 1u);
        let k = turned(at.k, c, at.last);
        q[d] = select(Loaded(), scale * turned(at.q, c, at.last), d < size);
        acc[d] = qkv_at(at.v + c);
        top += inner(q[d], k);
        if d < size && keeps {
            keep(at.cache + at.last * size + c, k, acc[d]);
        }
    }
    var sum = 1.0;
    for (var t = 0u; t < at.last; t += 4u) {
        let four = t + vec4(0u, 1u, 2u, 3u);
        let met = at.cache + min(four, vec4(at.last - 1u)) * size;
        var score = vec4(0.0);
        for (var d = 0u; d < loads; d++) {
            let c = min(d, size - 1u);
            score += vec4(
                inner(q[d], key_at(met.x + c)),
                inner(q[d], key_at(met.y + c)),
                inner(q[d], key_at(met.z + c)),
                inner(q[d], key_at(met.w + c)),
            );
        }
        let higher = max(max(top, max(score.x, score.y)), max(score.z, score.w));
        let keep = exp(top - higher);
        let weight = select(vec4(0.0), exp(score - higher), four < vec4(at.last));
        top = higher;
        sum = sum * keep + (weight.x + weight.y + weight.z + weight.w);
        for (var d = 0u; d < loads; d++) {
            let c = min(d, size - 1u);
            acc[d] = acc[d] * keep
                + (weight.x * value_at(met.x + c) + weight.y * value_at(met.y + c))
                + (weight.z * value_at(met.z + c) + weight.w * value_at(met.w + c));
        }
    }
    for (var d = 0u; d < loads; d++) {
        (*out)[d] = acc[d] / sum;
    }
}
