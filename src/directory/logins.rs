//! Failed log-ins: which of them are worth a line in the log.
//!
//! A burst of failures of one user from one address makes one line, and a second one when the burst is over and another begins, which then
//! says how many were passed over. All lines together have a rate too: an attacker who varies the names must not fill the disk.

use crate::clock::Instant;
use crate::limits::LOGIN_FAILURES_MAX;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Quiet for this long ends a burst, in milliseconds.
const BURST_ENDS_MS: u64 = 60_000;
/// Lines that may come at once, and a line regained each second.
const LINES_MAX: u64 = 20;
/// One line is regained in this time, in milliseconds.
const LINE_EVERY_MS: u64 = 1000;

/// A line for the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogLine {
    /// From where.
    pub source: IpAddr,
    /// As whom (cut to what a name may have).
    pub user: String,
    /// Failures that made no line since the last line: of this source and user, or of all.
    pub passed_over: u64,
}

/// The failures of late.
#[derive(Debug, Default)]
pub struct Failures {
    bursts: BTreeMap<(IpAddr, String), Burst>,
    budget_spent_ms: u64,
    passed_over: u64,
    total: u64,
}

#[derive(Debug)]
struct Burst {
    last: Instant,
    passed_over: u64,
}

impl Failures {
    /// A log-in as `user` from `source` failed.
    pub fn failed(&mut self, now: Instant, source: IpAddr, user: &str) -> Option<LogLine> {
        self.total += 1;
        let user: String = user.chars().filter(char::is_ascii_graphic).take(crate::limits::USER_BYTES_MAX).collect();
        let key = (source, user);
        if let Some(burst) = self.bursts.get_mut(&key) {
            let quiet_ms = now.ms_since(burst.last);
            burst.last = now;
            if quiet_ms < BURST_ENDS_MS {
                burst.passed_over += 1;
                return None;
            }
        } else {
            if self.bursts.len() >= LOGIN_FAILURES_MAX {
                self.bursts.retain(|_, b| now.ms_since(b.last) < BURST_ENDS_MS);
            }
            if self.bursts.len() < LOGIN_FAILURES_MAX {
                self.bursts.insert(key.clone(), Burst { last: now, passed_over: 0 });
            }
        }
        if !self.within_rate(now) {
            self.passed_over += 1;
            return None;
        }
        let of_this = self.bursts.get_mut(&key).map_or(0, |b| core::mem::take(&mut b.passed_over));
        let passed_over = of_this + core::mem::take(&mut self.passed_over);
        Some(LogLine { source: key.0, user: key.1, passed_over })
    }

    /// All failures so far.
    pub fn total(&self) -> u64 {
        self.total
    }

    fn within_rate(&mut self, now: Instant) -> bool {
        // The bucket as a point in time: each line pushes it on, and it may run ahead of `now` by LINES_MAX lines.
        let at = self.budget_spent_ms.max(now.as_ms());
        if at - now.as_ms() >= LINES_MAX * LINE_EVERY_MS {
            return false;
        }
        self.budget_spent_ms = at + LINE_EVERY_MS;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_makes_one_line_and_the_next_one_says_how_many_were_passed_over() {
        let mut f = Failures::default();
        let source: IpAddr = "10.0.0.9".parse().unwrap();
        let lines: Vec<_> = (0..1000).filter_map(|i| f.failed(Instant::from_ms(i * 10), source, "2001")).collect();
        assert_eq!(lines, vec![LogLine { source, user: "2001".into(), passed_over: 0 }]);
        assert!(f.failed(Instant::from_ms(10_000), source, "2002").is_some(), "another user is another burst");
        let later = f.failed(Instant::from_ms(200_000), source, "2001").unwrap();
        assert_eq!((later.passed_over, f.total()), (999, 1002));
    }

    #[test]
    fn names_made_up_by_an_attacker_do_not_fill_the_log() {
        let mut f = Failures::default();
        let source: IpAddr = "10.0.0.9".parse().unwrap();
        let lines = (0..100_000u64).filter(|i| f.failed(Instant::from_ms(i / 10), source, &format!("u{i}\n")).is_some()).count();
        assert!(lines <= 31, "{lines} lines in 10 s");
        assert!(f.bursts.len() <= LOGIN_FAILURES_MAX);
    }
}
