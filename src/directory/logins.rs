//! Failed log-ins: which of them are worth a line in the log.
//!
//! A source makes one line a minute at most; a line says how many were passed over since the last. All lines together have a rate too: an
//! attacker who varies the source must not fill the disk.

use crate::clock::Instant;
use crate::limits::LOGIN_FAILURES_MAX;
use core::fmt;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Lines of one source are at least this far apart, in milliseconds.
const LINE_OF_SOURCE_MS: u64 = 60_000;
/// Lines that may come at once, and a line regained each second.
const LINES_MAX: u64 = 20;
/// One line is regained in this time, in milliseconds.
const LINE_EVERY_MS: u64 = 1000;

/// A line for the log. Its form is what `fixtures/fail2ban/tipring-directory.conf` reads: keep both alike.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogLine {
    /// From where.
    pub source: IpAddr,
    /// As whom (cut to what a name may have).
    pub user: String,
    /// Failures that made no line since the last line: of this source, or of all.
    pub passed_over: u64,
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "log-in failed: source={} account={:?} passed_over={}", self.source, self.user, self.passed_over)
    }
}

/// The log's line on a registration that was refused to who proved a password.
pub fn registration_refused(source: IpAddr, user: &str, why: &str, passed_over: u64, door: &str) -> String {
    format!("registration refused: source={source} account={user:?} why={why} passed_over={passed_over} door={door}")
}

/// The failures of late.
#[derive(Debug, Default)]
pub struct Failures {
    gate: LogGate,
    total: u64,
}

impl Failures {
    /// A log-in as `user` from `source` failed.
    pub fn failed(&mut self, now: Instant, source: IpAddr, user: &str) -> Option<LogLine> {
        self.total += 1;
        let passed_over = self.gate.pass(now, source)?;
        let user: String = user.chars().filter(char::is_ascii_graphic).take(crate::limits::USER_BYTES_MAX).collect();
        Some(LogLine { source, user, passed_over })
    }

    /// All failures so far.
    pub fn total(&self) -> u64 {
        self.total
    }
}

/// One line a source and minute, and a rate of all lines together.
#[derive(Debug, Default)]
pub struct LogGate {
    sources: BTreeMap<IpAddr, Source>,
    budget_spent_ms: u64,
    passed_over: u64,
}

#[derive(Debug)]
struct Source {
    last_line: Instant,
    passed_over: u64,
}

impl LogGate {
    /// Something happened that `source` is to blame for: if it may make a line now, how many made none since the last.
    pub fn pass(&mut self, now: Instant, source: IpAddr) -> Option<u64> {
        let quiet = |s: &Source| now.ms_since(s.last_line) < LINE_OF_SOURCE_MS;
        if let Some(known) = self.sources.get_mut(&source)
            && quiet(known)
        {
            known.passed_over += 1;
            return None;
        }
        if !self.within_rate(now) {
            self.passed_over += 1;
            return None;
        }
        if self.sources.len() >= LOGIN_FAILURES_MAX {
            self.sources.retain(|_, s| quiet(s));
        }
        let of_source = self.sources.remove(&source).map_or(0, |s| s.passed_over);
        // No room: at the rate of all lines this means a thousand lines in the last minute, which it does not allow.
        if self.sources.len() < LOGIN_FAILURES_MAX {
            self.sources.insert(source, Source { last_line: now, passed_over: 0 });
        }
        Some(of_source + core::mem::take(&mut self.passed_over))
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
    fn a_source_makes_one_line_a_minute_that_says_how_many_were_passed_over() {
        let mut f = Failures::default();
        let source: IpAddr = "10.0.0.9".parse().unwrap();
        let lines: Vec<_> = (0..1000).filter_map(|i| f.failed(Instant::from_ms(i * 10), source, "2001")).collect();
        assert_eq!(lines, vec![LogLine { source, user: "2001".into(), passed_over: 0 }]);
        assert!(f.failed(Instant::from_ms(10_000), source, "2002").is_none(), "another name from the same source");
        assert!(f.failed(Instant::from_ms(10_000), "10.0.0.8".parse().unwrap(), "2001").is_some());
        let later = f.failed(Instant::from_ms(61_000), source, "20\n01\" x").unwrap();
        assert_eq!(later.to_string(), "log-in failed: source=10.0.0.9 account=\"2001\\\"x\" passed_over=1000");
        assert_eq!(f.total(), 1003);
    }

    #[test]
    fn sources_made_up_by_an_attacker_do_not_fill_the_log() {
        let mut f = Failures::default();
        let source = |i: u64| IpAddr::from((i as u32).to_be_bytes());
        let lines = (0..100_000u64).filter(|i| f.failed(Instant::from_ms(i / 10), source(*i), "u").is_some()).count();
        assert!(lines <= 31, "{lines} lines in 10 s");
        assert!(f.gate.sources.len() <= LOGIN_FAILURES_MAX);
    }
}
