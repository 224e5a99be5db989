// Draws the next token of each row from softmax(logits / temperature) after top-k and top-p, and moves the row's
// sequence on, all on the device. Beside the token goes its log-prob under softmax(kappa * logits), the policy that is
// trained, whatever was filtered; and of a sequence's first token the log-sum-exp, V_1. Nothing is sorted or stored: both filters are thresholds on the logit, found by
// bisection over its bits, and tokens that tie with the threshold stay in. The draw walks the vocabulary in order.

#variant tile WG=128u ROWS=1u
#variant lane LANE WG=8u ROWS=8u
#import shared/grid
#import shared/random
#import shared/row

struct SampleParams {
    rows: u32, // B
    vocab: u32, // V
    stops: u32, // end-of-sequence tokens
    capacity: u32, // words of one row of out
    temperature: f32, // 0 takes the largest logit, the first of equals
    top_k: u32, // 0 for all
    top_p: f32, // 1 for all
    seed: u32,
    kappa: f32,
}

@group(0) @binding(0) var<uniform> p: SampleParams;

@group(0) @binding(1) var<storage, read> logits: array<f32>; // (B, V)
@group(0) @binding(2) var<storage, read> stop: array<u32>; // (stops)
@group(0) @binding(3) var<storage, read_write> tokens: array<u32>; // (B) the token to go on with
@group(0) @binding(4) var<storage, read_write> position: array<u32>; // (B) its position
@group(0) @binding(5) var<storage, read_write> state: array<u32>; // (B, 4): done, tokens written, limit, random stream
@group(0) @binding(6) var<storage, read_write> out: array<u32>; // (B, capacity)
@group(0) @binding(7) var<storage, read_write> logp: array<f32>; // (B, capacity) of the tokens in out
@group(0) @binding(8) var<storage, read_write> v1: array<f32>; // (B)

// An integer that orders like the number.
fn key(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

// The largest key whose tokens at or above it number at least `want` (mass = false) or weigh at least `want`.
fn threshold(lid: u32, base: u32, first: u32, last: u32, top: f32, floor: u32, want: f32, mass: bool) -> u32 {
    var found = 0u;
    for (var bit = 0x80000000u; bit > 0u; bit >>= 1u) {
        let candidate = found | bit;
        var sum = 0.0;
        for (var v = first; v < last; v++) {
            let k = key(logits[base + v]);
            if k >= candidate && k >= floor {
                sum += select(1.0, exp((logits[base + v] - top) / p.temperature), mass);
            }
        }
        if all_sum(lid, sum) >= want {
            found = candidate;
        }
    }
    return max(found, floor);
}

// The log-sum-exp of kappa * logits.
fn value(lid: u32, base: u32, first: u32, last: u32, top: f32) -> f32 {
    var sum = 0.0;
    for (var v = first; v < last; v++) {
        sum += exp(p.kappa * (logits[base + v] - top));
    }
    return p.kappa * top + log(all_sum(lid, sum));
}

fn write(row: u32, token: u32, lse: f32) {
    let count = state[row * 4u + 1u];
    if state[row * 4u] != 0u || count >= p.capacity {
        return;
    }
    out[row * p.capacity + count] = token;
    logp[row * p.capacity + count] = p.kappa * logits[row * p.vocab + token] - lse;
    if count == 0u {
        v1[row] = lse;
    }
    tokens[row] = token;
    position[row] += 1u;
    state[row * 4u + 1u] = count + 1u;
    var done = count + 1u >= state[row * 4u + 2u];
    for (var i = 0u; i < p.stops; i++) {
        done = done || stop[i] == token;
    }
    state[row * 4u] = select(0u, 1u, done);
}

@compute @workgroup_size(WG)
fn sample_next(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let row = row_of(group_index(wid, nwg), lid);
    if row >= p.rows {
        return;
    }
    let base = row * p.vocab;
    let part = part_of(lid);
    let share = (p.vocab + PARTS - 1u) / PARTS;
    let first = min(part * share, p.vocab);
    let last = min(first + share, p.vocab);

    var best = -3.4e38;
    for (var v = first; v < last; v++) {
        best = max(best, logits[base + v]);
    }
    let top = all_max(lid, best);
    let lse = value(lid, base, first, last, top);
    if p.temperature == 0.0 {
        // Negated, the first index is the largest; below 2^24 an index is exact in f32.
        var index = -16777216.0;
        for (var v = last; v > first; v--) {
            if logits[base + v - 1u] == top {
                index = -f32(v - 1u);
            }
        }
        let winner = all_max(lid, index);
        // Of logits that are not finite none is the largest, and nothing is drawn.
        if part == 0u && u32(-winner) < p.vocab {
            write(row, u32(-winner), lse);
        }
        return;
    }

    var floor = 0u;
    if p.top_k > 0u && p.top_k < p.vocab {
        floor = threshold(lid, base, first, last, top, 0u, f32(p.top_k), false);
    }
    if p.top_p < 1.0 {
        var sum = 0.0;
        for (var v = first; v < last; v++) {
            if key(logits[base + v]) >= floor {
                sum += exp((logits[base + v] - top) / p.temperature);
            }
        }
        floor = threshold(lid, base, first, last, top, floor, p.top_p * all_sum(lid, sum), true);
    }
    var mass = 0.0;
    for (var v = first; v < last; v++) {
        if key(logits[base + v]) >= floor {
            mass += exp((logits[base + v] - top) / p.temperature);
        }
    }
    // Before the barrier: behind it an invocation may already have moved the row's state on.
    let unit = random_unit(p.seed, state[row * 4u + 3u], state[row * 4u + 1u]);
    // The parts' sums, one after the other: where one part ends the next begins, to the bit. A unit below 1 times their
    // total is below the total, so exactly one part contains the goal.
#if LANE
    let start = 0.0;
    let total = mass;
#else
    sh_reduce[lid] = mass;
    workgroupBarrier();
    var start = 0.0;
    var total = 0.0;
    for (var i = 0u; i < PARTS; i++) {
        if i == lid {
            start = total;
        }
        total += sh_reduce[i];
    }
#endif
    let goal = unit * total;
    if goal >= start && goal < start + mass {
        var token = last;
        var sum = start;
        for (var v = first; v < last; v++) {
            if key(logits[base + v]) >= floor {
                sum += exp((logits[base + v] - top) / p.temperature);
                token = v;
                if sum > goal {
                    break;
                }
            }
        }
        write(row, token, lse);
    }
}
