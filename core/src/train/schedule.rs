//! The learning rate of a step.

use serde::{Deserialize, Serialize};

/// How the learning rate moves after its warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// Stays.
    #[default]
    Constant,
    /// Falls to 0 along half a cosine.
    Cosine,
    /// Falls to 0 along a line.
    Linear,
}

impl Schedule {
    /// The factor of the learning rate at `step` (from 0) of `steps`, of which the first `warmup` rise linearly.
    pub fn factor(self, step: u64, steps: u64, warmup: u64) -> f64 {
        if step < warmup {
            return (step + 1) as f64 / warmup as f64;
        }
        let done = (step - warmup) as f64 / steps.saturating_sub(warmup).max(1) as f64;
        match self {
            Schedule::Constant => 1.0,
            Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos()),
            Schedule::Linear => 1.0 - done.min(1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warm_up_rises_to_one_and_then_falls() {
        assert_eq!(Schedule::Linear.factor(0, 10, 4), 0.25);
        assert_eq!(Schedule::Linear.factor(3, 10, 4), 1.0);
        assert_eq!(Schedule::Linear.factor(4, 10, 4), 1.0);
        assert_eq!(Schedule::Linear.factor(7, 10, 4), 0.5);
        assert!((Schedule::Cosine.factor(5, 10, 0) - 0.5).abs() < 1e-12);
        assert_eq!(Schedule::Constant.factor(9, 10, 0), 1.0);
        assert_eq!(Schedule::Linear.factor(10, 10, 10), 1.0);
    }
}
