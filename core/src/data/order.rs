//! The order in which records are used: which ones step `s` trains on, as a pure function of seed and step.

use crate::rng::Stream;

/// Keeps the streams of epochs apart from other uses of the seed.
const EPOCH_STREAM: u64 = 0x6570_6f63_6800_0000;

/// How the records of a run are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Records there are; above 0.
    pub records: usize,
    /// Records in one optimizer step; above 0.
    pub batch: usize,
    /// The seed of the permutations, or `None` for file order (`--no-shuffle`).
    pub shuffle: Option<u64>,
}

impl Order {
    /// The records of step `step` (from 0), in the order in which they are used.
    ///
    /// In file order these are records step*batch .. step*batch+batch-1 modulo their number. Otherwise each epoch is a
    /// permutation of its own, and its last step has the records that are left.
    pub fn step(&self, step: u64) -> Vec<usize> {
        let (n, batch) = (self.records as u64, self.batch as u64);
        let Some(seed) = self.shuffle else {
            return (0..batch).map(|i| ((step * batch + i) % n) as usize).collect();
        };
        let first = (step % self.steps_in_epochs(1) * batch) as usize;
        let mut all = permutation(seed, self.epoch(step), self.records);
        all.truncate(first + self.batch);
        all.split_off(first)
    }

    /// The epoch, from 0, in which step `step` begins.
    pub fn epoch(&self, step: u64) -> u64 {
        match self.shuffle {
            None => step * self.batch as u64 / self.records as u64,
            Some(_) => step / self.steps_in_epochs(1),
        }
    }

    /// The steps that `epochs` epochs take; in file order the last may reach into the next.
    pub fn steps_in_epochs(&self, epochs: u64) -> u64 {
        let (n, batch) = (self.records as u64, self.batch as u64);
        match self.shuffle {
            None => (epochs * n).div_ceil(batch),
            Some(_) => epochs * n.div_ceil(batch),
        }
    }
}

/// The permutation of `0..n` for one epoch (Fisher and Yates).
fn permutation(seed: u64, epoch: u64, n: usize) -> Vec<usize> {
    let stream = Stream::new(seed, EPOCH_STREAM.wrapping_add(epoch));
    let mut all: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        all.swap(i, stream.below(i as u64, i as u64 + 1) as usize);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_order_wraps_around() {
        let order = Order { records: 5, batch: 3, shuffle: None };
        assert_eq!(
            (0..3).map(|s| order.step(s)).collect::<Vec<_>>(),
            [vec![0, 1, 2], vec![3, 4, 0], vec![1, 2, 3]]
        );
        assert_eq!((0..4).map(|s| order.epoch(s)).collect::<Vec<_>>(), [0, 0, 1, 1]);
        assert_eq!(order.steps_in_epochs(2), 4);
        assert_eq!(Order { records: 2, batch: 5, shuffle: None }.step(1), [1, 0, 1, 0, 1]);
    }

    #[test]
    fn every_epoch_is_a_permutation_of_its_own() {
        for (records, batch) in [(1, 1), (7, 3), (6, 3), (4, 9), (64, 8)] {
            let order = Order { records, batch, shuffle: Some(11) };
            let steps = order.steps_in_epochs(1);
            let epochs: Vec<Vec<usize>> =
                (0..3).map(|e| (0..steps).flat_map(|s| order.step(e * steps + s)).collect()).collect();
            for epoch in &epochs {
                let mut sorted = epoch.clone();
                sorted.sort_unstable();
                assert_eq!(sorted, (0..records).collect::<Vec<_>>(), "{records} {batch}");
            }
            if records == 64 {
                assert!(epochs[0] != epochs[1] && epochs[1] != epochs[2]);
                assert_ne!(order.step(0), Order { shuffle: Some(12), ..order }.step(0));
            }
            assert_eq!(order.step(steps - 1).len(), records - (steps as usize - 1) * batch);
            assert_eq!((order.epoch(steps - 1), order.epoch(steps)), (0, 1));
        }
    }

    #[test]
    fn all_first_places_are_equally_likely() {
        let mut count = [0; 4];
        (0..4000).for_each(|seed| count[permutation(seed, 0, 4)[0]] += 1);
        // Five standard deviations of a binomial count around 1000.
        assert!(count.iter().all(|&c: &i32| (c - 1000).abs() <= 137), "{count:?}");
    }
}
