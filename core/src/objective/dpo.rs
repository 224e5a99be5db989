//! Direct preference optimization (Rafailov et al., arXiv 2305.18290): per pair -log sigmoid(m), m = beta * (rho of the
//! better - rho of the worse); a = b = -beta * sigmoid(-m) / pairs on the better, + on the worse.

use super::Rows;
use crate::gpu::kernels::objective::{ObjectiveDpo, ObjectiveParams};
use crate::ops::Ops;

/// The paper's and TRL's.
pub(super) const BETA: f64 = 0.1;

/// The better of a pair comes first.
pub(super) fn signs(len: usize) -> Vec<f64> {
    (0..len).map(|i| if i == 0 { 1.0 } else { -1.0 }).collect()
}

pub(super) fn record(ops: &mut Ops<'_>, p: ObjectiveParams, rows: &Rows<'_>) {
    let Rows { step, traj_start, traj, sets, stats, a, .. } = *rows;
    ops.run(ObjectiveDpo { p, step, traj_start, traj, sets, stats, a });
    rows.same(ops);
}
