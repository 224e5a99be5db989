//! How much of a plan one submit holds. A driver resets a device that is at one submit for too long (Windows after two
//! seconds), and the display of a GPU that is also computing is drawn between submits. How fast a device is shows only
//! when it works: a new plan goes out a command at a time, then in larger parts, as large as the time of its last run
//! allows. A single dispatch cannot be split: the micro-batch and the tiles of the head bound it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::device::Gpu;
use crate::platform::now;

/// Seconds that a submit should take: a frame of a display. It is a mean, since commands differ; the longest submit may
/// take several times as long, and is still far from what a watchdog allows.
const SUBMIT: f64 = 1.0 / 60.0;

/// A part has at most so many times the commands of the one that was measured: these may have been the short ones.
const GROWTH: usize = 8;

/// Of one plan: its commands take about the same time whenever it runs.
#[derive(Debug)]
pub(super) struct Pace(Arc<AtomicUsize>);

impl Default for Pace {
    fn default() -> Pace {
        Pace(Arc::new(AtomicUsize::new(1)))
    }
}

impl Pace {
    /// Commands of one submit at most.
    pub(super) fn part(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// A run of all `commands` begins.
    pub(super) fn begin(&self, commands: usize) -> Run {
        Run { next: self.0.clone(), part: self.part(), commands, began: now() }
    }
}

/// A run that is being submitted.
pub(super) struct Run {
    next: Arc<AtomicUsize>,
    part: usize,
    commands: usize,
    began: f64,
}

impl Run {
    pub(super) fn part(&self) -> usize {
        self.part
    }

    /// All of it is submitted, in parts of `part`: when it is done, the pace follows the time that it took.
    pub(super) fn end(self, gpu: &Gpu, part: usize) {
        let clock = gpu.clock().clone();
        gpu.queue().on_submitted_work_done(move || {
            let seconds = clock.busy(self.began);
            self.next.store(next(part, self.commands, seconds), Ordering::Relaxed);
        });
    }
}

/// The part for a plan of so many `commands` that took so many `seconds` in parts of `part`.
fn next(part: usize, commands: usize, seconds: f64) -> usize {
    let fits = commands as f64 * SUBMIT / seconds;
    // No clock, no change.
    let fits = if fits.is_nan() { part } else { fits as usize };
    fits.min(part.saturating_mul(GROWTH)).min(commands).max(1)
}

/// When a device was last done with a run: what was submitted meanwhile had to wait until then.
#[derive(Clone, Debug, Default)]
pub(super) struct Clock(Arc<AtomicU64>);

impl Clock {
    /// Seconds of work on what was submitted from `began` on, and is done now.
    fn busy(&self, began: f64) -> f64 {
        let done = now();
        let idle = f64::from_bits(self.0.swap(done.to_bits(), Ordering::Relaxed));
        done - began.max(idle)
    }
}

#[cfg(test)]
mod tests {
    use super::next;

    #[test]
    fn a_part_grows_while_it_is_short_and_shrinks_at_once() {
        // 100 commands, 1 ms each.
        assert_eq!([1, 8, 16].map(|part| next(part, 100, 0.1)), [8, 16, 16]);
        // The same on a device that is a hundred times slower, and a thousand times faster.
        assert_eq!(next(16, 100, 10.0), 1);
        assert_eq!([16, 100].map(|part| next(part, 100, 1e-4)), [100, 100]);
    }

    #[test]
    fn a_part_is_never_empty_and_never_more_than_all() {
        assert_eq!(next(1, 7, f64::INFINITY), 1);
        assert_eq!(next(4, 7, 0.0), 7);
        assert_eq!(next(3, 7, f64::NAN), 3);
        assert_eq!(next(1, 0, 0.1), 1);
        assert_eq!(next(usize::MAX, 7, 0.0), 7);
    }
}
