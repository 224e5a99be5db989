// Causal grouped-query attention over packed sequences, flash-style: the scores never exist as a matrix. Forward keeps
// one log-sum-exp a (row, head); backward makes the probabilities again from it. dq and dk, dv come from kernels of
// their own, so nothing is added atomically. A row attends to seq_start ..= itself.
//
// Variants hold a head of up to MAX_D channels in registers.
#variant lane_d16 MAX_D=16u WG=8u
#variant lane_d32 MAX_D=32u WG=8u
#variant lane_d64 MAX_D=64u WG=8u
#variant lane_d128 MAX_D=128u WG=8u
#variant tile_d32 MAX_D=32u WG=64u
#variant tile_d64 MAX_D=64u WG=64u
#variant tile_d128 MAX_D=128u WG=64u
#import shared/grid

struct AttentionParams {
    t: u32,
    h: u32,
    k: u32,
    d: u32,
}

@group(0) @binding(0) var<uniform> p: AttentionParams;

@group(0) @binding(1) var<storage, read> qkv: array<f32>; // (T, (H + 2K) * D)
@group(0) @binding(2) var<storage, read> seq_start: array<u32>; // (T)
@group(0) @binding(3) var<storage, read_write> out: array<f32>; // (T, H * D)
@group(0) @binding(4) var<storage, read_write> lse: array<f32>; // (T, H)

@group(0) @binding(5) var<storage, read> o: array<f32>; // (T, H * D) the forward's out
@group(0) @binding(6) var<storage, read> dout: array<f32>; // (T, H * D)
@group(0) @binding(7) var<storage, read_write> delta: array<f32>; // (T, H) sum over d of dout * out
@group(0) @binding(8) var<storage, read> seq_end: array<u32>; // (T)
@group(0) @binding(9) var<storage, read> row_lse: array<f32>; // (T, H) the forward's lse
@group(0) @binding(10) var<storage, read> row_delta: array<f32>; // (T, H)
@group(0) @binding(11) var<storage, read_write> dqkv: array<f32>; // (T, (H + 2K) * D) =

fn width() -> u32 {
    return (p.h + 2u * p.k) * p.d;
}

fn q_at(t: u32, head: u32) -> u32 {
    return t * width() + head * p.d;
}

fn k_at(t: u32, kv: u32) -> u32 {
    return t * width() + (p.h + kv) * p.d;
}

fn v_at(t: u32, kv: u32) -> u32 {
    return t * width() + (p.h + p.k + kv) * p.d;
}

@compute @workgroup_size(WG)
fn attention_fwd(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let i = group_index(wid, nwg) * WG + lid;
    if i >= p.t * p.h {
        return;
    }
    let t = i / p.h;
    let head = i % p.h;
    let kv = head / (p.h / p.k);
    let scale = 1.0 / sqrt(f32(p.d));
    var q: array<f32, MAX_D>;
    var acc: array<f32, MAX_D>;
    for (var d = 0u; d < p.d; d++) {
        q[d] = qkv[q_at(t, head) + d] * scale;
        acc[d] = 0.0;
    }
    var top = -3.4e38;
    var sum = 0.0;
    for (var s = seq_start[t]; s <= t; s++) {
        var score = 0.0;
        for (var d = 0u; d < p.d; d++) {
            score += q[d] * qkv[k_at(s, kv) + d];
        }
        let higher = max(top, score);
        let keep = exp(top - higher);
        let weight = exp(score - higher);
        top = higher;
        sum = sum * keep + weight;
        for (var d = 0u; d < p.d; d++) {
            acc[d] = acc[d] * keep + weight * qkv[v_at(s, kv) + d];
        }
    }
    for (var d = 0u; d < p.d; d++) {
        out[i * p.d + d] = acc[d] / sum;
    }
    lse[i] = top + log(sum);
}

@compute @workgroup_size(WG)
fn attention_bwd_delta(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let i = group_index(wid, nwg) * WG + lid;
    if i >= p.t * p.h {
        return;
    }
    var sum = 0.0;
    for (var d = 0u; d < p.d; d++) {
        sum += o[i * p.d + d] * dout[i * p.d + d];
    }
    delta[i] = sum;
}

@compute @workgroup_size(WG)
fn attention_bwd_q(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let i = group_index(wid, nwg) * WG + lid;
    if i >= p.t * p.h {
        return;
    }
    let t = i / p.h;
    let head = i % p.h;
    let kv = head / (p.h / p.k);
    let scale = 1.0 / sqrt(f32(p.d));
    var acc: array<f32, MAX_D>;
    for (var d = 0u; d < p.d; d++) {
        acc[d] = 0.0;
    }
    for (var s = seq_start[t]; s <= t; s++) {
        var score = 0.0;
        var dp = 0.0;
        for (var d = 0u; d < p.d; d++) {
            score += qkv[q_at(t, head) + d] * qkv[k_at(s, kv) + d];
            dp += dout[i * p.d + d] * qkv[v_at(s, kv) + d];
        }
        let ds = exp(score * scale - row_lse[i]) * (dp - row_delta[i]) * scale;
        for (var d = 0u; d < p.d; d++) {
            acc[d] += ds * qkv[k_at(s, kv) + d];
        }
    }
    for (var d = 0u; d < p.d; d++) {
        dqkv[q_at(t, head) + d] = acc[d];
    }
}

@compute @workgroup_size(WG)
fn attention_bwd_kv(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let i = group_index(wid, nwg) * WG + lid;
    if i >= p.t * p.k {
        return;
    }
    let s = i / p.k;
    let kv = i % p.k;
    let group = p.h / p.k;
    let scale = 1.0 / sqrt(f32(p.d));
    var dk: array<f32, MAX_D>;
    var dv: array<f32, MAX_D>;
    for (var d = 0u; d < p.d; d++) {
        dk[d] = 0.0;
        dv[d] = 0.0;
    }
    for (var t = s; t < seq_end[s]; t++) {
        for (var head = kv * group; head < (kv + 1u) * group; head++) {
            let row = t * p.h + head;
            var score = 0.0;
            var dp = 0.0;
            for (var d = 0u; d < p.d; d++) {
                score += qkv[q_at(t, head) + d] * qkv[k_at(s, kv) + d];
                dp += dout[row * p.d + d] * qkv[v_at(s, kv) + d];
            }
            let prob = exp(score * scale - row_lse[row]);
            let ds = prob * (dp - row_delta[row]) * scale;
            for (var d = 0u; d < p.d; d++) {
                dv[d] += prob * dout[row * p.d + d];
                dk[d] += ds * qkv[q_at(t, head) + d];
            }
        }
    }
    for (var d = 0u; d < p.d; d++) {
        dqkv[k_at(s, kv) + d] = dk[d];
        dqkv[v_at(s, kv) + d] = dv[d];
    }
}
