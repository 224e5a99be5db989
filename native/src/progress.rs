//! Progress of a long command, on stderr: a bar in a terminal, now and then a plain line elsewhere.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Between two plain lines. A log of a night's run stays readable, and a watched one shows life.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Progress of one piece of work of known length. Clears or ends its line when dropped.
#[derive(Debug)]
pub struct Progress(Shown);

#[derive(Debug)]
enum Shown {
    Nothing,
    Bar(ProgressBar),
    Lines(Lines),
}

impl Progress {
    /// Progress of `what` (`train`, `reference log-probs`), over `total` items, of which `done` were done before (a
    /// resumed run): those do not count towards the speed. `quiet` shows nothing.
    pub fn new(what: &str, total: u64, done: u64, quiet: bool) -> Self {
        Progress(if quiet {
            Shown::Nothing
        } else if stderr().is_terminal() {
            let style = ProgressStyle::with_template("{prefix} {bar:24} {pos}/{len} {msg} {elapsed} < {eta}")
                .expect("a valid template")
                .progress_chars("━╸ ");
            let bar =
                ProgressBar::new(total).with_style(style).with_prefix(what.to_owned()).with_position(done);
            bar.reset_eta();
            Shown::Bar(bar)
        } else {
            Shown::Lines(Lines::new(what, total, done, Instant::now()))
        })
    }

    /// `done` items are done; `message` is what to say beside it: loss, reward, tokens/s.
    pub fn update(&mut self, done: u64, message: &str) {
        match &mut self.0 {
            Shown::Nothing => {}
            Shown::Bar(bar) => {
                bar.set_message(message.to_owned());
                bar.set_position(done);
            }
            Shown::Lines(lines) => {
                if let Some(line) = lines.line(done, message, Instant::now()) {
                    eprintln!("{line}");
                }
            }
        }
    }

    /// Prints a line on stderr without tearing the bar; also with `quiet`, for what must be seen.
    pub fn say(&self, line: &str) {
        match &self.0 {
            Shown::Bar(bar) => bar.suspend(|| eprintln!("{line}")),
            Shown::Nothing | Shown::Lines(_) => eprintln!("{line}"),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Shown::Bar(bar) = &self.0 {
            bar.abandon();
        }
    }
}

/// The message of a training step: what is known of loss, reward and speed.
pub fn step_message(loss: f64, reward: Option<f64>, tokens_per_s: f64) -> String {
    let reward = reward.map_or_else(String::new, |reward| format!(" reward {reward:.3}"));
    format!("loss {loss:.4}{reward} {tokens_per_s:.0} tokens/s")
}

#[derive(Debug)]
struct Lines {
    what: String,
    total: u64,
    done_before: u64,
    start: Instant,
    last: Option<Instant>,
}

impl Lines {
    fn new(what: &str, total: u64, done_before: u64, start: Instant) -> Self {
        Lines { what: what.to_owned(), total, done_before, start, last: None }
    }

    /// The line to print: for the first update, the last, and those that come long enough after the one before.
    fn line(&mut self, done: u64, message: &str, now: Instant) -> Option<String> {
        let finished = done >= self.total;
        if !finished && self.last.is_some_and(|last| now - last < LINE_EVERY) {
            return None;
        }
        self.last = Some(now);
        let elapsed = now - self.start;
        let here = done.saturating_sub(self.done_before);
        let time = if finished {
            format!("took {}", duration(elapsed))
        } else if here == 0 {
            "starting".into()
        } else {
            let left = (self.total - done) as f64 / here as f64;
            format!("{} left", duration(elapsed.mul_f64(left)))
        };
        Some(format!("{} {done}/{} {message} {time}", self.what, self.total))
    }
}

/// `4s`, `3m05s`, `2h00m`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64().round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds:02}s"),
        (hours, minutes, _) => format!("{hours}h{minutes:02}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_lines_are_few_and_know_the_time_left() {
        let start = Instant::now();
        let mut lines = Lines::new("train", 100, 50, start);
        let mut at = |done, seconds| lines.line(done, "loss 1", start + Duration::from_secs(seconds));
        assert_eq!(at(50, 0).unwrap(), "train 50/100 loss 1 starting");
        assert_eq!(at(51, 1), None);
        // Ten steps of this process in 20 seconds: 40 more take 80.
        assert_eq!(at(60, 20).unwrap(), "train 60/100 loss 1 1m20s left");
        assert_eq!(at(99, 21), None);
        assert_eq!(at(100, 22).unwrap(), "train 100/100 loss 1 took 22s");
    }

    #[test]
    fn durations_are_short() {
        let said = |seconds| duration(Duration::from_secs(seconds));
        assert_eq!([said(0), said(59), said(60), said(7205)], ["0s", "59s", "1m00s", "2h00m"]);
    }

    #[test]
    fn a_step_says_what_it_knows() {
        assert_eq!(step_message(0.25, Some(0.5), 1234.4), "loss 0.2500 reward 0.500 1234 tokens/s");
        assert_eq!(step_message(0.25, None, 1.0), "loss 0.2500 1 tokens/s");
    }
}
