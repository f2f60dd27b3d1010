//! Structured logs on stderr: one line a decision, with the call's id. `TIPRING_LOG` chooses the level (`info`, `tipring=debug`, ...),
//! `TIPRING_LOG_JSON=1` the form.

use std::sync::atomic::{AtomicU64, Ordering};
use tracing_subscriber::EnvFilter;

/// Lines of one kind are at least this far apart, in milliseconds.
const LINE_OF_KIND_MS: u64 = 60_000;

/// Starts logging. Called once, by a daemon.
pub fn start() {
    let filter = EnvFilter::try_from_env("TIPRING_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // A second start (in a test) keeps the first.
    let _already_started = if std::env::var("TIPRING_LOG_JSON").is_ok_and(|v| v == "1") {
        builder.json().try_init()
    } else {
        builder.with_ansi(false).try_init()
    };
}

/// A kind of line that may come again and again, because of others or of a system in trouble: one a minute at most.
pub struct Seldom {
    /// When the next may come, in milliseconds of the clock.
    next_ms: AtomicU64,
    passed_over: AtomicU64,
}

impl Seldom {
    /// For a `static` where the line is made.
    pub const fn new() -> Seldom {
        Seldom { next_ms: AtomicU64::new(0), passed_over: AtomicU64::new(0) }
    }

    /// If it may come now: how many did not since the last.
    pub fn pass(&self) -> Option<u64> {
        self.pass_at(super::clock::now().as_ms())
    }

    fn pass_at(&self, now_ms: u64) -> Option<u64> {
        let next = self.next_ms.load(Ordering::Relaxed);
        let mine =
            now_ms >= next && self.next_ms.compare_exchange(next, now_ms + LINE_OF_KIND_MS, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if !mine {
            self.passed_over.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.passed_over.swap(0, Ordering::Relaxed))
    }
}

impl Default for Seldom {
    fn default() -> Self {
        Seldom::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_comes_again_and_again_is_made_once_a_minute_and_says_how_many_were_not() {
        let line = Seldom::new();
        let made: Vec<(u64, u64)> = (0..200_000).step_by(100).filter_map(|ms| line.pass_at(ms).map(|more| (ms, more))).collect();
        assert_eq!(made, [(0, 0), (60_000, 599), (120_000, 599), (180_000, 599)]);
    }
}
