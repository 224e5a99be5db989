//! Packing: the trajectories of one optimizer step as micro-batches of packed token arrays.

use super::trajectory::Trajectory;
use crate::{Error, ErrorKind, Result};

/// A micro-batch: T packed tokens of S trajectories, R of which predict an action.
///
/// Everything is what the shaders bind. Sequences lie one after the other with nothing between them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// (T) token ids.
    pub tokens: Vec<u32>,
    /// (T) position of each token in its sequence.
    pub positions: Vec<u32>,
    /// (T) packed index of the first token of the token's sequence.
    pub seq_start: Vec<u32>,
    /// (T) one past the packed index of the last token of the token's sequence.
    pub seq_end: Vec<u32>,
    /// (R) packed index of the token whose hidden state predicts the action; no index stands twice.
    pub rows: Vec<u32>,
    /// (R) the action.
    pub targets: Vec<u32>,
    /// (R) the trajectory of the row.
    pub traj_of_row: Vec<u32>,
    /// (S + 1) first row of each trajectory, and R.
    pub traj_start: Vec<u32>,
    /// (S) rewards; 0 where the record has none.
    pub rewards: Vec<f32>,
    /// (S) weights.
    pub weights: Vec<f32>,
    /// (S) first trajectory, and one past the last, of the set that each belongs to: its group or pair, or itself.
    pub sets: Vec<[u32; 2]>,
    /// (S of real trajectories) index of each trajectory in the data, where its reference log-probs are found.
    pub indices: Vec<usize>,
    /// (T) the distinct token ids, ascending; the first `num_unique` count.
    pub uniq: Vec<u32>,
    /// (T + 1) where the tokens of each distinct id start in `order`; ranges past `num_unique` are empty, and the
    /// embedding's gradient must leave their rows alone.
    pub uniq_start: Vec<u32>,
    /// (T) packed indices sorted by token id, ties in packed order: the embedding's gradient sums them without atomics.
    pub order: Vec<u32>,
    /// Distinct token ids.
    pub num_unique: usize,
}

/// The sizes of a batch, padding included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// T: packed tokens.
    pub tokens: usize,
    /// R: rows of the head.
    pub rows: usize,
    /// S: trajectories.
    pub trajectories: usize,
}

/// What a set of trajectories takes of a micro-batch, or what a micro-batch has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Packed tokens.
    pub tokens: usize,
    /// Trajectories.
    pub trajectories: usize,
}

/// Distributes sets of trajectories over micro-batches of at most `budget`, by first fit in order. A set is never split;
/// one above the budget is an error. Returns the places in `sets`.
pub fn pack(sets: &[Load], budget: Load) -> Result<Vec<Vec<usize>>> {
    let mut batches: Vec<(Load, Vec<usize>)> = Vec::new();
    for (i, &set) in sets.iter().enumerate() {
        let fits = |used: Load| {
            used.tokens + set.tokens <= budget.tokens
                && used.trajectories + set.trajectories <= budget.trajectories
        };
        if !fits(Load { tokens: 0, trajectories: 0 }) {
            let whose = match set.trajectories {
                1 => "a trajectory".to_owned(),
                n => format!("a set of {n} trajectories that belong together,"),
            };
            let what =
                format!("{whose} of {} tokens does not fit a micro-batch of {}", set.tokens, budget.tokens);
            return Err(Error::new(
                ErrorKind::TooLarge,
                what,
                "raise `micro_batch_tokens`, or lower `max_length`",
            ));
        }
        match batches.iter_mut().find(|(used, _)| fits(*used)) {
            Some((used, members)) => {
                used.tokens += set.tokens;
                used.trajectories += set.trajectories;
                members.push(i);
            }
            None => batches.push((set, vec![i])),
        }
    }
    Ok(batches.into_iter().map(|(_, members)| members).collect())
}

/// `n` rounded up so that few sizes occur: eight steps from a power of two to the next, at most 1/8 more than `n`.
pub fn bucket(n: usize) -> usize {
    n.next_multiple_of(1 << n.max(1).ilog2().saturating_sub(3))
}

impl Batch {
    /// Packs trajectories, each with its index in the data, in the order given.
    pub fn new<'a>(trajectories: impl IntoIterator<Item = (usize, &'a Trajectory)>) -> Self {
        let mut batch = Batch { traj_start: vec![0], ..Batch::default() };
        for (index, t) in trajectories {
            let start = batch.tokens.len() as u32;
            let traj = batch.indices.len() as u32;
            batch.push_sequence(&t.tokens);
            for (h, &action) in t.tokens.iter().enumerate().skip(t.prompt_len) {
                batch.push_row(start + h as u32 - 1, action, traj);
            }
            batch.push_trajectory(t.reward.unwrap_or(0.0) as f32, t.weight as f32);
            batch.indices.push(index);
        }
        batch.sort_tokens();
        batch
    }

    /// Says that the trajectories stand in sets of `sizes`, one set after the other; not padded yet.
    ///
    /// # Panics
    /// Where the sizes do not add up to the trajectories.
    pub fn with_sets(mut self, sizes: impl IntoIterator<Item = usize>) -> Self {
        self.sets.clear();
        for size in sizes {
            let first = self.sets.len() as u32;
            self.sets.extend(std::iter::repeat_n([first, first + size as u32], size));
        }
        assert_eq!(self.sets.len(), self.indices.len(), "sets of other trajectories");
        self
    }

    /// The sizes.
    pub fn shape(&self) -> Shape {
        Shape { tokens: self.tokens.len(), rows: self.rows.len(), trajectories: self.weights.len() }
    }

    /// The sizes in buckets, to which [`Batch::pad_to`] can pad: batches of like sizes then share one plan.
    pub fn bucket_shape(&self) -> Shape {
        let Shape { tokens, rows, trajectories } = self.shape();
        let padded_rows = bucket(rows);
        // Padding rows need a trajectory to belong to.
        let owners = trajectories + usize::from(padded_rows > rows);
        Shape { tokens: bucket(tokens), rows: padded_rows, trajectories: bucket(owners) }
    }

    /// Pads every array to `shape`: tokens become sequences of one token 0, rows predict token 0 at packed tokens that
    /// predict nothing else (so that a scatter never meets an index twice) and belong to a trajectory of weight 0.
    ///
    /// Errors where `shape` is smaller than the batch, has fewer tokens than rows, or has padding rows but no padding
    /// trajectory.
    pub fn pad_to(&mut self, shape: Shape) -> Result<()> {
        let old = self.shape();
        let fits =
            shape.tokens >= old.tokens && shape.rows >= old.rows && shape.trajectories >= old.trajectories;
        let owned = shape.rows == old.rows || shape.trajectories > old.trajectories;
        if !fits || !owned || shape.tokens < shape.rows {
            let what = format!("a batch of {old:?} cannot be padded to {shape:?}");
            return Err(Error::new(ErrorKind::TooLarge, what, "use a larger micro-batch"));
        }
        while self.tokens.len() < shape.tokens {
            self.push_sequence(&[0]);
        }
        let mut used = vec![false; shape.tokens];
        self.rows.iter().for_each(|&r| used[r as usize] = true);
        let free = (0..shape.tokens as u32).rev().filter(|&t| !used[t as usize]);
        for row in free.take(shape.rows - old.rows) {
            self.push_row(row, 0, old.trajectories as u32);
        }
        while self.weights.len() < shape.trajectories {
            self.push_trajectory(0.0, 0.0);
        }
        self.sort_tokens();
        Ok(())
    }

    /// (R) values per row, put together from values per trajectory of the data (its reference log-probs), with 0 in
    /// padding rows.
    ///
    /// # Panics
    /// Where a trajectory's values are not as many as its rows.
    pub fn gather_rows<'a>(&self, of_index: impl Fn(usize) -> &'a [f32]) -> Vec<f32> {
        let mut values = vec![0.0; self.rows.len()];
        for (range, &index) in self.traj_start.windows(2).zip(&self.indices) {
            values[range[0] as usize..range[1] as usize].copy_from_slice(of_index(index));
        }
        values
    }

    fn push_sequence(&mut self, tokens: &[u32]) {
        let (start, n) = (self.tokens.len() as u32, tokens.len());
        self.tokens.extend_from_slice(tokens);
        self.positions.extend(0..n as u32);
        self.seq_start.extend(std::iter::repeat_n(start, n));
        self.seq_end.extend(std::iter::repeat_n(start + n as u32, n));
    }

    fn push_row(&mut self, row: u32, target: u32, trajectory: u32) {
        self.rows.push(row);
        self.targets.push(target);
        self.traj_of_row.push(trajectory);
    }

    /// Ends a trajectory after the rows pushed so far.
    fn push_trajectory(&mut self, reward: f32, weight: f32) {
        self.rewards.push(reward);
        let own = self.weights.len() as u32;
        self.sets.push([own, own + 1]);
        self.weights.push(weight);
        self.traj_start.push(self.rows.len() as u32);
    }

    fn sort_tokens(&mut self) {
        let n = self.tokens.len();
        self.order = (0..n as u32).collect();
        self.order.sort_by_key(|&i| self.tokens[i as usize]);
        (self.uniq, self.uniq_start) = (Vec::with_capacity(n), Vec::with_capacity(n + 1));
        for (at, &i) in self.order.iter().enumerate() {
            let token = self.tokens[i as usize];
            if self.uniq.last() != Some(&token) {
                self.uniq.push(token);
                self.uniq_start.push(at as u32);
            }
        }
        self.num_unique = self.uniq.len();
        self.uniq.resize(n, 0);
        self.uniq_start.resize(n + 1, n as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trajectory(tokens: &[u32], prompt_len: usize, reward: f64) -> Trajectory {
        Trajectory { reward: Some(reward), weight: 1.5, ..Trajectory::new(prompt_len, tokens.to_vec()) }
    }

    fn example() -> Batch {
        let (a, b) = (trajectory(&[5, 7, 5, 9], 2, 1.0), trajectory(&[7, 3], 1, -2.0));
        Batch::new([(10, &a), (4, &b)])
    }

    #[test]
    fn packing_is_first_fit_and_never_splits() {
        let load = |(tokens, trajectories)| Load { tokens, trajectories };
        let of = |sets: &[(usize, usize)], budget| {
            pack(&sets.iter().copied().map(load).collect::<Vec<_>>(), load(budget))
        };
        let alone = [(5, 1), (4, 1), (3, 1), (2, 1), (6, 1)];
        assert_eq!(of(&alone, (8, 9)).unwrap(), [vec![0, 2], vec![1, 3], vec![4]]);
        assert_eq!(of(&alone, (80, 2)).unwrap(), [vec![0, 1], vec![2, 3], vec![4]]);
        assert_eq!(of(&[(5, 2), (4, 2), (3, 1)], (9, 3)).unwrap(), [vec![0, 2], vec![1]]);
        assert_eq!(of(&[], (8, 1)).unwrap(), Vec::<Vec<usize>>::new());
        assert!(of(&[(3, 1), (9, 1)], (8, 9)).unwrap_err().what.contains("9 tokens"));
        assert!(of(&[(3, 4)], (8, 3)).unwrap_err().what.contains("a set of 4 trajectories"));
    }

    #[test]
    fn sets_are_ranges_of_trajectories_and_padding_stands_alone() {
        let t = trajectory(&[5, 7, 5, 9], 2, 1.0);
        let mut b = Batch::new((0..3).map(|i| (i, &t)));
        assert_eq!(b.sets, [[0, 1], [1, 2], [2, 3]]);
        b = b.with_sets([1, 2]);
        b.pad_to(Shape { tokens: 16, rows: 8, trajectories: 5 }).unwrap();
        assert_eq!(b.sets, [[0, 1], [1, 3], [1, 3], [3, 4], [4, 5]]);
    }

    #[test]
    fn buckets_waste_an_eighth_at_most_and_are_few() {
        let mut sizes = std::collections::BTreeSet::new();
        for n in 1..5000 {
            let b = bucket(n);
            assert!(b >= n && (b - n) * 8 <= n && bucket(b) == b, "{n} {b}");
            sizes.insert(b);
        }
        assert!(sizes.len() < 100, "{}", sizes.len());
        assert_eq!(bucket(0), 0);
    }

    #[test]
    fn arrays_describe_the_trajectories() {
        let b = example();
        assert_eq!(b.tokens, [5, 7, 5, 9, 7, 3]);
        assert_eq!(b.positions, [0, 1, 2, 3, 0, 1]);
        assert_eq!(b.seq_start, [0, 0, 0, 0, 4, 4]);
        assert_eq!(b.seq_end, [4, 4, 4, 4, 6, 6]);
        assert_eq!((&b.rows[..], &b.targets[..]), (&[1, 2, 4][..], &[5, 9, 3][..]));
        assert_eq!((&b.traj_of_row[..], &b.traj_start[..]), (&[0, 0, 1][..], &[0, 2, 3][..]));
        assert_eq!((&b.rewards[..], &b.weights[..]), (&[1.0, -2.0][..], &[1.5, 1.5][..]));
        assert_eq!(b.order, [5, 0, 2, 1, 4, 3]);
        assert_eq!((&b.uniq[..b.num_unique], &b.uniq_start[..5]), (&[3, 5, 7, 9][..], &[0, 1, 3, 5, 6][..]));
        let refs = |i: usize| if i == 10 { &[0.1, 0.2][..] } else { &[0.3][..] };
        assert_eq!(b.gather_rows(refs), [0.1, 0.2, 0.3]);
    }

    #[test]
    fn padding_keeps_what_was_there_and_changes_nothing_that_counts() {
        let plain = example();
        let mut b = plain.clone();
        let shape = Shape { tokens: 8, rows: 6, trajectories: 4 };
        b.pad_to(shape).unwrap();
        assert_eq!(b.shape(), shape);
        assert_eq!((b.tokens.len(), b.positions.len(), b.seq_start.len(), b.seq_end.len()), (8, 8, 8, 8));
        assert_eq!((b.rows.len(), b.targets.len(), b.traj_of_row.len(), b.traj_start.len()), (6, 6, 6, 5));
        assert_eq!((b.uniq.len(), b.uniq_start.len(), b.order.len()), (8, 9, 8));
        assert_eq!(
            (&b.tokens[..6], &b.rows[..3], &b.traj_start[..3]),
            (&plain.tokens[..], &plain.rows[..], &plain.traj_start[..])
        );
        assert_eq!(
            (&b.tokens[6..], &b.seq_start[6..], &b.seq_end[6..], &b.positions[6..]),
            (&[0, 0][..], &[6, 7][..], &[7, 8][..], &[0, 0][..])
        );
        assert_eq!(b.traj_start[2..], [3, 6, 6]);
        assert_eq!((&b.weights[2..], &b.traj_of_row[3..]), (&[0.0, 0.0][..], &[2, 2, 2][..]));
        let mut rows = b.rows.clone();
        rows.sort_unstable();
        rows.dedup();
        assert_eq!(rows.len(), 6, "a scatter would meet a token twice: {:?}", b.rows);
        assert!(b.uniq_start[b.num_unique..].iter().all(|&s| s == 8));
        assert_eq!(
            b.gather_rows(|i| if i == 10 { &[1.0, 2.0] } else { &[3.0] }),
            [1.0, 2.0, 3.0, 0.0, 0.0, 0.0]
        );
    }

    #[test]
    fn padding_rows_find_free_tokens_even_where_no_token_is_padding() {
        let mut b = example();
        b.pad_to(Shape { tokens: 6, rows: 6, trajectories: 3 }).unwrap();
        assert_eq!(b.rows, [1, 2, 4, 5, 3, 0]);
    }

    #[test]
    fn every_batch_pads_to_its_buckets_and_to_no_less() {
        for n in 1..40 {
            let all: Vec<_> = (0..n).map(|i| trajectory(&vec![i; 2 + i as usize % 7], 1, 0.0)).collect();
            let mut b = Batch::new(all.iter().enumerate());
            let shape = b.bucket_shape();
            b.pad_to(shape).unwrap();
            assert_eq!(b.shape(), shape);
        }
        let less = Shape { tokens: 5, rows: 3, trajectories: 2 };
        assert!(example().pad_to(less).is_err());
        assert!(
            example().pad_to(Shape { tokens: 8, rows: 4, trajectories: 2 }).is_err(),
            "rows without an owner"
        );
        assert!(
            example().pad_to(Shape { tokens: 6, rows: 7, trajectories: 3 }).is_err(),
            "more rows than tokens"
        );
    }
}
