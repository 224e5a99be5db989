// What an objective makes of per-token statistics: the pair (a, b) of each completion token, from which the head's
// backward makes dloss/dlogits = a * onehot - b * softmax. Logits never come here. One invocation a trajectory, so a
// trajectory's sums run in token order whatever else is in the batch.
//
// logp = chosen - lse; V_h = lse of row h; rho = sum(logp - ref_logp); all of kappa * logits. Every gradient carries
// weight * kappa * inv_weight: kappa because the logits stand in the formulas multiplied by it.
//
// Where b = a (all but tbrm, brm and hybrid) the kernel writes a alone, and a copy makes b of it. Of ppo a second kernel
// makes dloss/dvalue of the critic's values.

#import shared/grid

const WG: u32 = 8u;
// Words of one trajectory in `traj` and in `stats`.
const TRAJ: u32 = 4u;
const STATS: u32 = 14u;

struct ObjectiveParams {
    trajectories: u32, // S
}

// What varies from step to step.
struct ObjectiveStep {
    inv_weight: f32, // 1 / sum of the step's weights, each times its tokens where the objective is a mean over tokens
    inv_beta: f32,
    kappa: f32,
    beta: f32,
    kl: f32, // weight of the KL term
    clip_low: f32,
    clip_high: f32,
    per_completion: u32, // grpo: 1 where each completion's loss is the mean over its tokens
    lambda: f32, // hybrid: the share of tbrm
    tbrm_inv_weight: f32, // hybrid: 1 / sum of the step's weights
    value_coefficient: f32, // ppo: weight of the critic's loss
    value_clip: f32, // ppo: how far a value may move from the old one
}

@group(0) @binding(0) var<uniform> p: ObjectiveParams;
@group(0) @binding(1) var<uniform> step: ObjectiveStep;

@group(0) @binding(2) var<storage, read> traj_start: array<u32>; // (S + 1) first row of each trajectory
@group(0) @binding(3) var<storage, read> traj: array<f32>; // (S, TRAJ): reward, weight, v_ref, signal: what the host makes of the rewards (advantage, V*, +1 or -1 of a pair)
@group(0) @binding(4) var<storage, read> lse: array<f32>; // (R)
@group(0) @binding(5) var<storage, read> chosen: array<f32>; // (R)
@group(0) @binding(6) var<storage, read> ref_logp: array<f32>; // (R)
@group(0) @binding(7) var<storage, read> entropy: array<f32>; // (R)
@group(0) @binding(8) var<storage, read_write> stats: array<f32>; // (S, STATS): logp, rho, v1, entropy (sums), loss (weighted), residual, residual^2 (over the tokens for brm), weight, tokens clipped below and above (grpo, ppo); ppo: the critic's loss (weighted), sums of (logp - old_logp)^2 / 2 and of ratios, tokens whose value was clipped
@group(0) @binding(9) var<storage, read_write> a: array<f32>; // (R)
@group(0) @binding(10) var<storage, read_write> b: array<f32>; // (R)
@group(0) @binding(11) var<storage, read> old_logp: array<f32>; // (R) of the policy that wrote the completion
@group(0) @binding(12) var<storage, read> sets: array<u32>; // (S, 2) first trajectory, and one past the last, of its group or pair

@group(0) @binding(13) var<storage, read> advantages: array<f32>; // (R)
@group(0) @binding(14) var<storage, read> old_value: array<f32>; // (R) by the critic at the time of the rollout
@group(0) @binding(15) var<storage, read> returns: array<f32>; // (R) what the value is to become
@group(0) @binding(16) var<storage, read> value: array<f32>; // (R)
@group(0) @binding(17) var<storage, read_write> dvalue: array<f32>; // (R) =

fn trajectory(wid: vec3<u32>, nwg: vec3<u32>, lid: u32) -> u32 {
    return group_index(wid, nwg) * WG + lid;
}

// a of every row of a trajectory.
fn fill(s: u32, g: f32) {
    for (var r = traj_start[s]; r < traj_start[s + 1u]; r++) {
        a[r] = g;
    }
}

// The statistics behind the sums.
fn report(s: u32, loss: f32, residual: f32) {
    let base = s * STATS;
    stats[base + 4u] = loss;
    stats[base + 5u] = residual;
    stats[base + 6u] = residual * residual;
    stats[base + 7u] = traj[s * TRAJ + 1u];
}

@compute @workgroup_size(WG)
fn objective_sums(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let s = trajectory(wid, nwg, lid);
    if s >= p.trajectories {
        return;
    }
    let first = traj_start[s];
    let last = traj_start[s + 1u];
    var logp = 0.0;
    var rho = 0.0;
    var ent = 0.0;
    for (var r = first; r < last; r++) {
        let lp = chosen[r] - lse[r];
        logp += lp;
        rho += lp - ref_logp[r];
        ent += entropy[r];
    }
    let base = s * STATS;
    stats[base] = logp;
    stats[base + 1u] = rho;
    stats[base + 2u] = select(0.0, lse[min(first, arrayLength(&lse) - 1u)], first < last);
    stats[base + 3u] = ent;
}

// P section 1: delta = rho + V_1 - v_ref - R / beta; loss = mean delta^2; the first token enters raw (b = 0).
@compute @workgroup_size(WG)
fn objective_tbrm(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let s = trajectory(wid, nwg, lid);
    if s >= p.trajectories {
        return;
    }
    let base = s * STATS;
    let weight = traj[s * TRAJ + 1u];
    let delta = stats[base + 1u] + stats[base + 2u] - traj[s * TRAJ + 2u] - traj[s * TRAJ] * step.inv_beta;
    let g = 2.0 * delta * weight * step.inv_weight * step.kappa;
    for (var r = traj_start[s]; r < traj_start[s + 1u]; r++) {
        a[r] = g;
        b[r] = select(g, 0.0, r == traj_start[s]);
    }
    report(s, weight * step.inv_weight * delta * delta, delta);
}

// The token-level ablation: delta_h = kappa * logit_h - ref_logp_h - V_{h+1}, the last one - R / beta instead of V.
// Calibration shifts the first value, so that the residuals add up to tbrm's.
@compute @workgroup_size(WG)
fn objective_brm(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let s = trajectory(wid, nwg, lid);
    if s >= p.trajectories {
        return;
    }
    let base = s * STATS;
    let last = traj_start[s + 1u];
    let weight = traj[s * TRAJ + 1u];
    let goal = traj[s * TRAJ] * step.inv_beta;
    var shift = traj[s * TRAJ + 2u];
    var before = 0.0;
    var sum = 0.0;
    var squares = 0.0;
    for (var r = traj_start[s]; r < last; r++) {
        var next = goal;
        if r + 1u < last {
            next = lse[r + 1u];
        }
        let delta = chosen[r] - ref_logp[r] - next - shift;
        shift = 0.0;
        let g = 2.0 * delta * weight * step.inv_weight * step.kappa;
        a[r] = g;
        b[r] = before;
        before = g;
        sum += delta;
        squares += delta * delta;
    }
    stats[base + 4u] = weight * step.inv_weight * squares;
    stats[base + 5u] = sum;
    stats[base + 6u] = squares;
    stats[base + 7u] = weight;
}

// Cross-entropy, the mean over the step's tokens; the residual is reported for comparison only.
@compute @workgroup_size(WG)
fn objective_sft(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let s = trajectory(wid, nwg, lid);
    if s >= p.trajectories {
        return;
    }
    let base = s * STATS;
    let weight = traj[s * TRAJ + 1u];
    let delta = stats[base + 1u] + stats[base + 2u] - traj[s * TRAJ + 2u] - traj[s * TRAJ] * step.inv_beta;
    fill(s, -weight * step.inv_weight * step.kappa);
    report(s, -weight * step.inv_weight * stats[base], delta);
}

// Loss -A logp, A = signal - kl * rho constant: signal is the reward less its baseline.
@compute @workgroup_size(WG)
fn objective_reinforce(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let s = trajectory(wid, nwg, lid);
    if s >= p.trajectories {
        return;
    }
    let share = traj[s * TRAJ + 1u] * step.inv_weight;
    let advantage = traj[s * TRAJ + 3u] - step.kl * stats[s * STATS + 1u];
    fill(s, -advantage * share * step.kappa);
    report(s, -advantage * share * stats[s * STATS], 0.0);
}

// The same, the rest of the group being the baseline of kl * rho too.
@compute @workgroup_size(WG)
fn objective_rloo(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let s = trajectory(wid, nwg, lid);
    if s >= p.trajectories {
        return;
    }
    let first = sets[2u * s];
    let last = sets[2u * s + 1u];
    var others = 0.0;
    for (var i = first; i < last; i++) {
        if i != s {
            others += stats[i * STATS + 1u];
        }
    }
    others /= f32(max(last - first, 2u) - 1u);
    let share = traj[s * TRAJ + 1u] * step.inv_weight;
    let advantage = traj[s * TRAJ + 3u] - step.kl * (stats[s * STATS + 1u] - others);
    fill(s, -advantage * share * step.kappa);
    report(s, -advantage * share * stats[s * STATS], 0.0);
}

// min(r A, clip(r) A) = kept * A, and its derivative by logp.
struct Surrogate {
    kept: f32,
    slope: f32,
    below: f32, // 1 where the ratio was clipped below
    above: f32, // and above
}

fn surrogate(ratio: f32, advantage: f32) -> Surrogate {
    // The minimum is the clipped ratio, a constant, on one side only: where the ratio went the advantage's way.
    if advantage < 0.0 && ratio < 1.0 - step.clip_low {
        return Surrogate(1.0 - step.clip_low, 0.0, 1.0, 0.0);
    }
    if advantage > 0.0 && ratio > 1.0 + step.clip_high {
        return Surrogate(1.0 + step.clip_high, 0.0, 0.0, 1.0);
    }
    return Surrogate(ratio, ratio * advantage, 0.0, 0.0);
}

// Per token -min(r A, clip(r) A) + kl * k3, r = exp(logp - old_logp), k3 = exp(ref_logp - logp) - (ref_logp - logp) - 1.
@compute @workgroup_size(WG)
fn objective_grpo(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let s = trajectory(wid, nwg, lid);
    if s >= p.trajectories {
        return;
    }
    let base = s * STATS;
    let first = traj_start[s];
    let last = traj_start[s + 1u];
    let weight = traj[s * TRAJ + 1u];
    let advantage = traj[s * TRAJ + 3u];
    var share = weight * step.inv_weight;
    if step.per_completion != 0u {
        share /= f32(max(last - first, 1u));
    }
    var loss = 0.0;
    var below = 0.0;
    var above = 0.0;
    for (var r = first; r < last; r++) {
        let logp = chosen[r] - lse[r];
        let clipped = surrogate(exp(logp - old_logp[r]), advantage);
        below += clipped.below;
        above += clipped.above;
        var k3 = 0.0;
        var dk3 = 0.0;
        // Without the term there is no reference, and its 0 would overflow.
        if step.kl > 0.0 {
            let gap = ref_logp[r] - logp;
            k3 = exp(gap) - gap - 1.0;
            dk3 = 1.0 - exp(gap);
        }
        loss += step.kl * k3 - clipped.kept * advantage;
        // What overflows in padding must not reach the gradient: infinity times 0 is NaN.
        a[r] = select((step.kl * dk3 - clipped.slope) * share * step.kappa, 0.0, weight == 0.0);
    }
    stats[base + 4u] = select(loss * share, 0.0, weight == 0.0);
    stats[base + 5u] = 0.0;
    stats[base + 6u] = 0.0;
    stats[base + 7u] = weight;
    stats[base + 8u] = below;
    stats[base + 9u] = above;
}

// Of a pair, the better first: -log sigmoid(m), m = beta * (rho of the better - rho of the worse); half of it each.
@compute @workgroup_size(WG)
fn objective_dpo(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let s = trajectory(wid, nwg, lid);
    if s >= p.trajectories {
        return;
    }
    let first = sets[2u * s];
    var g = 0.0;
    var loss = 0.0;
    // Padding has no partner.
    if sets[2u * s + 1u] == first + 2u {
        let margin = step.beta * (stats[first * STATS + 1u] - stats[(first + 1u) * STATS + 1u]);
        let share = traj[s * TRAJ + 1u] * step.inv_weight;
        g = -traj[s * TRAJ + 3u] * step.beta / (1.0 + exp(margin)) * share * step.kappa;
        loss = 0.5 * share * (max(-margin, 0.0) + log(1.0 + exp(-abs(margin))));
    }
    fill(s, g);
    report(s, loss, 0.0);
}

// delta = beta * rho - (R - V*), loss delta^2; V* is the signal.
@compute @workgroup_size(WG)
fn objective_a2po(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let s = trajectory(wid, nwg, lid);
    if s >= p.trajectories {
        return;
    }
    let share = traj[s * TRAJ + 1u] * step.inv_weight;
    let delta = step.beta * stats[s * STATS + 1u] - (traj[s * TRAJ] - traj[s * TRAJ + 3u]);
    fill(s, 2.0 * step.beta * delta * share * step.kappa);
    report(s, delta * delta * share, delta);
}

// delta = log Z + rho - R / beta, loss delta^2; log Z the group's mean of R / beta - rho, constant.
@compute @workgroup_size(WG)
fn objective_tba(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let s = trajectory(wid, nwg, lid);
    if s >= p.trajectories {
        return;
    }
    let first = sets[2u * s];
    let last = sets[2u * s + 1u];
    var log_z = 0.0;
    for (var i = first; i < last; i++) {
        log_z += traj[i * TRAJ] * step.inv_beta - stats[i * STATS + 1u];
    }
    log_z /= f32(last - first);
    let share = traj[s * TRAJ + 1u] * step.inv_weight;
    let delta = log_z + stats[s * STATS + 1u] - traj[s * TRAJ] * step.inv_beta;
    fill(s, 2.0 * delta * share * step.kappa);
    report(s, delta * delta * share, delta);
}

// lambda * tbrm + (1 - lambda) * what stands in a, b and the loss: another objective's.
@compute @workgroup_size(WG)
fn objective_hybrid(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let s = trajectory(wid, nwg, lid);
    if s >= p.trajectories {
        return;
    }
    let base = s * STATS;
    let share = traj[s * TRAJ + 1u] * step.tbrm_inv_weight;
    let delta = stats[base + 1u] + stats[base + 2u] - traj[s * TRAJ + 2u] - traj[s * TRAJ] * step.inv_beta;
    let g = 2.0 * delta * share * step.kappa;
    for (var r = traj_start[s]; r < traj_start[s + 1u]; r++) {
        a[r] = mix(a[r], g, step.lambda);
        b[r] = mix(b[r], select(g, 0.0, r == traj_start[s]), step.lambda);
    }
    report(s, mix(stats[base + 4u], share * delta * delta, step.lambda), delta);
}

// Per token -min(r A, clip(r) A), r = exp(logp - old_logp), A of each token; the critic's part follows.
@compute @workgroup_size(WG)
fn objective_ppo(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let s = trajectory(wid, nwg, lid);
    if s >= p.trajectories {
        return;
    }
    let base = s * STATS;
    let weight = traj[s * TRAJ + 1u];
    let share = weight * step.inv_weight;
    var loss = 0.0;
    var below = 0.0;
    var above = 0.0;
    var squares = 0.0;
    var ratios = 0.0;
    for (var r = traj_start[s]; r < traj_start[s + 1u]; r++) {
        let gap = chosen[r] - lse[r] - old_logp[r];
        let ratio = exp(gap);
        let clipped = surrogate(ratio, advantages[r]);
        loss -= clipped.kept * advantages[r];
        below += clipped.below;
        above += clipped.above;
        squares += 0.5 * gap * gap;
        ratios += ratio;
        // What overflows in padding must not reach the gradient: infinity times 0 is NaN.
        a[r] = select(-clipped.slope * share * step.kappa, 0.0, weight == 0.0);
    }
    report(s, select(loss * share, 0.0, weight == 0.0), 0.0);
    stats[base + 8u] = below;
    stats[base + 9u] = above;
    stats[base + 11u] = squares;
    stats[base + 12u] = ratios;
}

// Per token 1/2 max((v - G)^2, (v' - G)^2), v' = v within the clip of the old value: added to the loss with its weight.
@compute @workgroup_size(WG)
fn objective_ppo_value(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let s = trajectory(wid, nwg, lid);
    if s >= p.trajectories {
        return;
    }
    let base = s * STATS;
    let share = traj[s * TRAJ + 1u] * step.inv_weight;
    var loss = 0.0;
    var count = 0.0;
    for (var r = traj_start[s]; r < traj_start[s + 1u]; r++) {
        let off = value[r] - returns[r];
        let near = clamp(value[r], old_value[r] - step.value_clip, old_value[r] + step.value_clip) - returns[r];
        // Only beyond the clip is the clipped error the larger, and there it is a constant.
        let clipped = near * near > off * off;
        loss += 0.5 * max(off * off, near * near);
        count += select(0.0, 1.0, clipped);
        dvalue[r] = select(step.value_coefficient * share * off, 0.0, clipped || share == 0.0);
    }
    stats[base + 4u] += step.value_coefficient * share * loss;
    stats[base + 10u] = share * loss;
    stats[base + 13u] = count;
}
