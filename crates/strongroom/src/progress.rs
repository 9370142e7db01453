//! How far a command is: a bar on a terminal, with bytes, rate and time left; elsewhere a line every ten seconds at most.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::{self, Output};
use crate::units::{Period, Size};

/// How often a line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

const KNOWN: &str =
    "{msg} {wide_bar} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";
const UNKNOWN: &str = "{msg} {spinner} {binary_bytes}, {binary_bytes_per_sec}, {elapsed}";

/// The progress of one piece of work, in bytes. Vanishes from the terminal when it is dropped.
pub(crate) struct Progress(Shape);

enum Shape {
    Silent,
    Bar(ProgressBar),
    Lines(Output, Mutex<Lines>),
}

struct Lines {
    what: String,
    total: Option<u64>,
    done: u64,
    began: Instant,
    printed: Instant,
}

impl Progress {
    /// One that nobody sees.
    pub(crate) fn hidden() -> Self {
        Self(Shape::Silent)
    }

    /// Work called `what`, of `total` bytes if that is known, or about that many if it is estimated.
    pub(crate) fn new(output: Output, what: &str, total: Option<u64>) -> Self {
        let total = total.filter(|total| *total > 0);
        if output.form != output::Form::Text {
            return Self(Shape::Silent);
        }
        if !output.terminal {
            let now = Instant::now();
            let what = what.to_owned();
            let lines = Lines {
                what,
                total,
                done: 0,
                began: now,
                printed: now,
            };
            return Self(Shape::Lines(output, Mutex::new(lines)));
        }
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(5));
        let template = if total.is_some() { KNOWN } else { UNKNOWN };
        bar.set_style(ProgressStyle::with_template(template).expect("the templates are right"));
        bar.set_message(what.to_owned());
        Self(Shape::Bar(bar))
    }

    /// Another `bytes` are done.
    pub(crate) fn add(&self, bytes: u64) {
        match &self.0 {
            Shape::Silent => {}
            Shape::Bar(bar) => {
                bar.inc(bytes);
                // The total was an estimate, and too low.
                if bar.length().is_some_and(|total| total < bar.position()) {
                    bar.set_length(bar.position());
                }
            }
            Shape::Lines(output, lines) => {
                let line = lines
                    .lock()
                    .expect("nobody panics with it")
                    .add(bytes, Instant::now());
                if let Some(line) = line {
                    output.note(line);
                }
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Shape::Bar(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

impl Lines {
    /// The line that is due, if one is.
    fn add(&mut self, bytes: u64, now: Instant) -> Option<String> {
        self.done += bytes;
        if now.duration_since(self.printed) < LINE_EVERY {
            return None;
        }
        self.printed = now;
        let elapsed = now.duration_since(self.began).as_secs().max(1);
        let rate = self.done / elapsed;
        let mut line = format!("{}: {}", self.what, Size(self.done));
        if let Some(total) = self.total {
            let _ = write!(line, " of {}", Size(total));
        }
        let _ = write!(line, ", {}/s", Size(rate));
        if let Some(left) = self
            .total
            .and_then(|total| total.checked_sub(self.done)?.checked_div(rate))
        {
            let _ = write!(line, ", {} left", Period::seconds(left));
        }
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_every_ten_seconds_at_most() {
        let began = Instant::now();
        let mut lines = Lines {
            what: "back up prod".into(),
            total: Some(100 << 20),
            done: 0,
            began,
            printed: began,
        };
        let at = |seconds| began + Duration::from_secs(seconds);
        assert_eq!(lines.add(10 << 20, at(9)), None);
        let line = lines.add(10 << 20, at(10)).expect("a line");
        assert_eq!(
            line,
            "back up prod: 20.0 MiB of 100 MiB, 2.00 MiB/s, 40s left"
        );
        assert_eq!(lines.add(1, at(19)), None);
        assert!(lines.add(0, at(20)).is_some());
    }

    #[test]
    fn more_than_was_expected_has_no_time_left() {
        let began = Instant::now();
        let mut lines = Lines {
            what: "x".into(),
            total: Some(10),
            done: 0,
            began,
            printed: began,
        };
        let line = lines
            .add(30, began + Duration::from_secs(10))
            .expect("a line");
        assert_eq!(line, "x: 30 B of 10 B, 3 B/s");
    }
}
