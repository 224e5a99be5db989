//! Token trees: decision problems small enough to enumerate, with their exact solutions. A prompt is followed by every
//! sequence of `horizon` out of `actions` tokens, and the reward stands at the end.

use crate::data::trajectory::Trajectory;
use crate::train::Scored;

/// A tree. Its trajectories are numbered prompt by prompt, those of a prompt in the lexicographic order of their actions.
#[derive(Clone, Debug)]
pub struct Tree {
    /// Tokens to choose from in each state: the whole vocabulary, so that every sequence is a trajectory.
    pub actions: usize,
    /// Actions of a trajectory.
    pub horizon: usize,
    /// How many prompts.
    pub prompts: usize,
    /// (prompts * actions^horizon) expected rewards.
    pub rewards: Vec<f64>,
}

/// Log-probabilities of everything in a tree.
#[derive(Clone, Debug)]
pub struct Policy {
    /// (trajectories) of the whole trajectory, given its prompt.
    pub logp: Vec<f64>,
    /// (prompts) V_1: the log-sum-exp of the logits that predict the first action.
    pub v1: Vec<f64>,
}

/// pi* of the KL-regularised problem, proportional to ref * exp(R / beta), and its normaliser.
#[derive(Clone, Debug)]
pub struct Solution {
    /// (trajectories) log pi*.
    pub logp: Vec<f64>,
    /// (prompts) log Z.
    pub log_z: Vec<f64>,
    /// What rewards are divided by.
    pub beta: f64,
}

impl Tree {
    /// A tree whose trajectories have the rewards `reward(prompt, actions)`.
    ///
    /// # Panics
    /// When there are more prompts than pairs of tokens that tell them apart.
    pub fn new(
        actions: usize,
        horizon: usize,
        prompts: usize,
        reward: impl Fn(usize, &[u32]) -> f64,
    ) -> Tree {
        assert!(2 * prompts <= actions, "{actions} tokens do not tell {prompts} prompts apart");
        let mut tree = Tree { actions, horizon, prompts, rewards: Vec::new() };
        tree.rewards = (0..tree.len()).map(|i| reward(i / tree.leaves(), &tree.actions_of(i))).collect();
        tree
    }

    /// Trajectories of one prompt.
    pub fn leaves(&self) -> usize {
        self.actions.pow(self.horizon as u32)
    }

    /// Trajectories of all prompts.
    #[expect(clippy::len_without_is_empty, reason = "a tree has at least one trajectory")]
    pub fn len(&self) -> usize {
        self.prompts * self.leaves()
    }

    /// The actions of trajectory `i`.
    pub fn actions_of(&self, i: usize) -> Vec<u32> {
        let mut rest = i % self.leaves();
        let mut actions: Vec<u32> = (0..self.horizon)
            .map(|_| {
                let action = rest % self.actions;
                rest /= self.actions;
                action as u32
            })
            .collect();
        actions.reverse();
        actions
    }

    /// Trajectory `i` as a record with a reward and a weight.
    pub fn record(&self, i: usize, reward: f64, weight: f64) -> Trajectory {
        let prompt = (i / self.leaves()) as u32;
        // Two unlike tokens: a decoder cannot tell a prompt `x` from `x x`, whose attention averages equals.
        let mut tokens = vec![2 * prompt, 2 * prompt + 1];
        tokens.extend(self.actions_of(i));
        Trajectory {
            line: i + 1,
            truncated: true,
            reward: Some(reward),
            weight,
            ..Trajectory::new(2, tokens)
        }
    }

    /// Every trajectory once, with its expected reward.
    pub fn records(&self) -> Vec<Trajectory> {
        (0..self.len()).map(|i| self.record(i, self.rewards[i], 1.0)).collect()
    }

    /// What a model that scored every trajectory of [`Tree::records`] makes of the tree.
    pub(super) fn policy(&self, scored: &[Scored]) -> Policy {
        let sum = |scored: &Scored| scored.logp.iter().map(|&logp| f64::from(logp)).sum();
        Policy {
            logp: scored.iter().map(sum).collect(),
            v1: scored.iter().step_by(self.leaves()).map(|scored| f64::from(scored.v1)).collect(),
        }
    }

    /// The expected reward of a policy with these log-probs `(trajectories)`, the mean over prompts.
    pub(super) fn expected_reward(&self, logp: &[f64]) -> f64 {
        let sum: f64 = logp.iter().zip(&self.rewards).map(|(logp, reward)| logp.exp() * reward).sum();
        sum / self.prompts as f64
    }

    /// The exact solution for a reference.
    pub fn solve(&self, reference: &Policy, beta: f64) -> Solution {
        let tilted: Vec<f64> =
            reference.logp.iter().zip(&self.rewards).map(|(logp, reward)| logp + reward / beta).collect();
        let log_z: Vec<f64> = tilted.chunks(self.leaves()).map(log_sum_exp).collect();
        let logp = tilted.iter().enumerate().map(|(i, t)| t - log_z[i / self.leaves()]).collect();
        Solution { logp, log_z, beta }
    }
}

impl Solution {
    /// What `policy` loses of the regularised value, in units of reward: J(pi*) - J(pi) = beta * KL(pi || pi*), the
    /// mean over prompts.
    pub fn gap(&self, policy: &Policy) -> f64 {
        self.beta * self.divergence(policy)
    }

    /// KL(pi || pi*) in nats, the mean over prompts.
    pub fn divergence(&self, policy: &Policy) -> f64 {
        let kl: f64 = policy.logp.iter().zip(&self.logp).map(|(p, q)| p.exp() * (p - q)).sum();
        kl / self.log_z.len() as f64
    }

    /// The largest difference of a trajectory's probability.
    pub fn largest_difference(&self, policy: &Policy) -> f64 {
        largest(policy.logp.iter().zip(&self.logp).map(|(p, q)| p.exp() - q.exp()))
    }

    /// The largest difference between V_1 and log Z.
    pub fn largest_value_error(&self, policy: &Policy) -> f64 {
        largest(policy.v1.iter().zip(&self.log_z).map(|(v1, log_z)| v1 - log_z))
    }
}

/// The largest absolute value; NaN where one is.
pub(super) fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values
        .map(f64::abs)
        .fold(0.0, |most: f64, value| if most.is_nan() || value <= most { most } else { value })
}

/// The logarithm of a sum of exponentials, shifted by the largest.
pub(super) fn log_sum_exp(values: &[f64]) -> f64 {
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    most + values.iter().map(|x| (x - most).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        Tree::new(4, 2, 2, |prompt, actions| prompt as f64 + f64::from(actions[0]) - f64::from(actions[1]))
    }

    #[test]
    fn trajectories_are_numbered_in_lexicographic_order() {
        let tree = tree();
        assert_eq!((tree.leaves(), tree.len()), (16, 32));
        assert_eq!(tree.actions_of(0), [0, 0]);
        assert_eq!(tree.actions_of(1), [0, 1]);
        assert_eq!(tree.actions_of(16 + 6), [1, 2]);
        assert_eq!(tree.record(16 + 6, 0.0, 1.0).tokens, [2, 3, 1, 2]);
        assert_eq!(tree.rewards[16 + 6], 0.0);
    }

    #[test]
    fn the_solution_is_the_tilted_reference() {
        let tree = tree();
        let uniform = Policy { logp: vec![-(16f64.ln()); 32], v1: vec![0.0; 2] };
        let solution = tree.solve(&uniform, 0.5);
        for prompt in 0..2 {
            let of = &solution.logp[16 * prompt..][..16];
            assert!((of.iter().map(|p| p.exp()).sum::<f64>() - 1.0).abs() < 1e-12);
        }
        // Rewards that differ by 1 have probabilities that differ by a factor exp(1 / beta).
        assert!((solution.logp[4] - solution.logp[0] - 2.0).abs() < 1e-12);
        // A prompt's rewards are 1 higher: the same policy, and a log Z that is 1 / beta higher.
        assert!((solution.log_z[1] - solution.log_z[0] - 2.0).abs() < 1e-12);
        let optimal = Policy { logp: solution.logp.clone(), v1: solution.log_z.clone() };
        assert!(solution.gap(&optimal).abs() < 1e-12 && solution.gap(&uniform) > 0.1);
        assert!((solution.divergence(&uniform) - 2.0 * solution.gap(&uniform)).abs() < 1e-12);
        // Uniform actions: the mean over (prompt + first - second).
        assert!((tree.expected_reward(&uniform.logp) - 0.5).abs() < 1e-12);
        assert_eq!(solution.largest_value_error(&optimal), 0.0);
    }

    #[test]
    fn a_policy_that_is_not_finite_has_no_small_difference() {
        assert!(largest([0.0, f64::NAN, 1.0].into_iter()).is_nan());
        assert_eq!(largest([0.5, -2.0, 1.0].into_iter()), 2.0);
        assert!((log_sum_exp(&[1000.0, 1000.0]) - 1000.0 - 2f64.ln()).abs() < 1e-12);
    }
}
