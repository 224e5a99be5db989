// What an objective makes of per-token statistics: the pair (a, b) of each completion token, from which the head's
// backward makes dloss/dlogits = a * onehot - b * softmax. Logits never come here. One invocation a trajectory, so a
// trajectory's sums run in token order whatever else is in the batch.
//
// logp = chosen - lse; V_h = lse of row h; rho = sum(logp - ref_logp); all of kappa * logits.
// `scale` below is weight * kappa / (the step's sum of weights): kappa because the logits stand in the formulas
// multiplied by it.

#import shared/grid

const WG: u32 = 8u;
// Words of one trajectory in `traj` and in `stats`.
const TRAJ: u32 = 4u;
const STATS: u32 = 8u;

struct ObjectiveParams {
    trajectories: u32, // S
}

// What varies from step to step.
struct ObjectiveStep {
    inv_weight: f32, // 1 / sum of the step's weights (for sft: of weight * tokens)
    inv_beta: f32,
    kappa: f32,
}

@group(0) @binding(0) var<uniform> p: ObjectiveParams;
@group(0) @binding(1) var<uniform> step: ObjectiveStep;

@group(0) @binding(2) var<storage, read> traj_start: array<u32>; // (S + 1) first row of each trajectory
@group(0) @binding(3) var<storage, read> traj: array<f32>; // (S, TRAJ): reward, weight, v_ref, -
@group(0) @binding(4) var<storage, read> lse: array<f32>; // (R)
@group(0) @binding(5) var<storage, read> chosen: array<f32>; // (R)
@group(0) @binding(6) var<storage, read> ref_logp: array<f32>; // (R)
@group(0) @binding(7) var<storage, read> entropy: array<f32>; // (R)
@group(0) @binding(8) var<storage, read_write> stats: array<f32>; // (S, STATS): logp, rho, v1, entropy (sums), loss (weighted), residual, residual^2 (over the tokens for brm), weight
@group(0) @binding(9) var<storage, read_write> a: array<f32>; // (R)
@group(0) @binding(10) var<storage, read_write> b: array<f32>; // (R)

fn trajectory(wid: vec3<u32>, nwg: vec3<u32>, lid: u32) -> u32 {
    return group_index(wid, nwg) * WG + lid;
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
    stats[base + 4u] = weight * step.inv_weight * delta * delta;
    stats[base + 5u] = delta;
    stats[base + 6u] = delta * delta;
    stats[base + 7u] = weight;
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
    let g = -weight * step.inv_weight * step.kappa;
    for (var r = traj_start[s]; r < traj_start[s + 1u]; r++) {
        a[r] = g;
        b[r] = g;
    }
    stats[base + 4u] = -weight * step.inv_weight * stats[base];
    stats[base + 5u] = delta;
    stats[base + 6u] = delta * delta;
    stats[base + 7u] = weight;
}
