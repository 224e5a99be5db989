//! Progress of a long command, on stderr: a bar in a terminal, now and then a plain line elsewhere.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tbrm_core::page::duration;

/// Between two plain lines. A log of a night's run stays readable, and a watched one shows life.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Progress of one piece of work of known length. Leaves its last line standing when dropped.
#[derive(Debug)]
pub struct Progress {
    what: String,
    pace: Pace,
    shown: Shown,
}

#[derive(Debug)]
enum Shown {
    Nothing,
    Bar(ProgressBar),
    /// With the time of the last one.
    Lines(Option<Instant>),
}

impl Progress {
    /// Progress of `what` (`train`, `reference log-probs`), over `total` items, of which `done` were done before (a
    /// resumed run): those do not count towards the speed. `quiet` shows nothing.
    pub fn new(what: &str, total: u64, done: u64, quiet: bool) -> Self {
        let shown = if quiet {
            Shown::Nothing
        } else if stderr().is_terminal() {
            let style = ProgressStyle::with_template("{prefix} {bar:24} {pos}/{len} {msg}")
                .expect("a valid template")
                .progress_chars("━╸ ");
            Shown::Bar(
                ProgressBar::new(total).with_style(style).with_prefix(what.to_owned()).with_position(done),
            )
        } else {
            Shown::Lines(None)
        };
        Progress {
            what: what.to_owned(),
            pace: Pace { total, done_before: done, start: Instant::now() },
            shown,
        }
    }

    /// `done` items are done; `message` is what to say beside it: loss, reward, tokens/s.
    pub fn update(&mut self, done: u64, message: &str) {
        let now = Instant::now();
        let time = self.pace.time(done, now);
        match &mut self.shown {
            Shown::Nothing => {}
            Shown::Bar(bar) => {
                bar.set_message(format!("{message} {time}"));
                bar.set_position(done);
            }
            Shown::Lines(last) => {
                if is_due(*last, done >= self.pace.total, now) {
                    *last = Some(now);
                    eprintln!("{} {done}/{} {message} {time}", self.what, self.pace.total);
                }
            }
        }
    }

    /// Prints a line on stderr without tearing the bar; also with `quiet`, for what must be seen.
    pub fn say(&self, line: &str) {
        match &self.shown {
            Shown::Bar(bar) => bar.suspend(|| eprintln!("{line}")),
            Shown::Nothing | Shown::Lines(_) => eprintln!("{line}"),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.abandon();
        }
    }
}

/// The message of a training step: what is known of loss, reward and speed.
pub fn step_message(loss: f64, reward: Option<f64>, tokens_per_s: f64) -> String {
    let reward = reward.map_or_else(String::new, |reward| format!(" reward {reward:.3}"));
    format!("loss {loss:.4}{reward} {tokens_per_s:.0} tokens/s")
}

/// How fast the work goes. (indicatif's own estimate takes a resumed run's earlier steps for fast ones.)
#[derive(Debug)]
struct Pace {
    total: u64,
    done_before: u64,
    start: Instant,
}

impl Pace {
    /// The time left, or the time taken when all is done.
    fn time(&self, done: u64, now: Instant) -> String {
        let elapsed = now - self.start;
        let here = done.saturating_sub(self.done_before);
        if done >= self.total {
            format!("took {}", duration(elapsed.as_secs_f64()))
        } else if here == 0 {
            "starting".into()
        } else {
            let left = (self.total - done) as f64 / here as f64;
            format!("{} left", duration(elapsed.as_secs_f64() * left))
        }
    }
}

/// Whether a plain line is printed: the first, the last, and those that come long enough after the one before.
fn is_due(last: Option<Instant>, finished: bool, now: Instant) -> bool {
    finished || last.is_none_or(|last| now - last >= LINE_EVERY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_counts_this_process_alone() {
        let start = Instant::now();
        let pace = Pace { total: 100, done_before: 50, start };
        let at = |done, seconds| pace.time(done, start + Duration::from_secs(seconds));
        assert_eq!(at(50, 3), "starting");
        // Ten steps of this process in 20 seconds: 40 more take 80.
        assert_eq!(at(60, 20), "1m20s left");
        assert_eq!(at(100, 22), "took 22s");
    }

    #[test]
    fn plain_lines_are_few_and_the_last_is_there() {
        let start = Instant::now();
        assert!(is_due(None, false, start));
        assert!(!is_due(Some(start), false, start + LINE_EVERY / 2));
        assert!(is_due(Some(start), false, start + LINE_EVERY));
        assert!(is_due(Some(start), true, start));
    }

    #[test]
    fn a_step_says_what_it_knows() {
        assert_eq!(step_message(0.25, Some(0.5), 1234.4), "loss 0.2500 reward 0.500 1234 tokens/s");
        assert_eq!(step_message(0.25, None, 1.0), "loss 0.2500 1 tokens/s");
    }
}
