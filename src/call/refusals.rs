//! One log line a source and minute for calls that were refused: a scanner that tries a thousand numbers a second must not fill the disk,
//! and must not hide behind the first line either. Each line says how many went unsaid since the one before.
//!
//! Records of calls that found the line busy (or nothing free) are held the same way: one a source and minute; [`RECORDS_OF_MANY`] of a
//! source that brings the calls of many people, for there each is somebody whom one would like to call back.

use crate::clock::{Instant, ms};
use crate::limits::REFUSED_SOURCES_MAX;
use crate::sip::source_of;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A source is spoken of once in this time, in milliseconds.
const QUIET_MS: u64 = 60_000;

/// Records a minute of calls that were refused to a trunk or a peer gateway: one every two seconds, more than an office misses.
pub(super) const RECORDS_OF_MANY: u32 = 30;

/// What was said of a source.
#[derive(Debug)]
struct Told {
    at: Instant,
    /// Refusals since then, and records of them.
    unsaid: u64,
    records: u32,
}

/// What is to be kept of a refusal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Pass {
    /// `Some`: a line, and how many were passed over in silence since the last line of this source.
    pub(super) line: Option<u64>,
    /// A record.
    pub(super) record: bool,
}

/// Sources that were refused a call in the last minute.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    sources: BTreeMap<IpAddr, Told>,
    /// Refusals of sources for which there was no room.
    crowd: u64,
}

impl Refusals {
    /// A refusal. `records`: how many of this source may be recorded in a minute.
    pub(super) fn pass(&mut self, now: Instant, source: IpAddr, records: u32) -> Pass {
        let source = source_of(source);
        if let Some(told) = self.sources.get_mut(&source) {
            if now - told.at < ms(QUIET_MS) {
                told.unsaid += 1;
                let record = told.records < records;
                told.records += u32::from(record);
                return Pass { line: None, record };
            }
            (told.at, told.records) = (now, 1);
            return Pass { line: Some(core::mem::take(&mut told.unsaid)), record: true };
        }
        if self.sources.len() >= REFUSED_SOURCES_MAX {
            self.sources.retain(|_, told| now - told.at < ms(QUIET_MS));
        }
        if self.sources.len() >= REFUSED_SOURCES_MAX {
            // So many sources at once are an attack, which the counters of `status` tell.
            self.crowd += 1;
            return Pass { line: None, record: false };
        }
        self.sources.insert(source, Told { at: now, unsaid: 0, records: 1 });
        Pass { line: Some(core::mem::take(&mut self.crowd)), record: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scanner_has_one_line_a_minute_and_the_next_one_says_how_many_there_were() {
        let (mut refusals, start) = (Refusals::default(), Instant::from_ms(1_000_000));
        let source = IpAddr::from([192, 0, 2, 7]);
        let lines: Vec<u64> = (0..120_000).filter_map(|n| refusals.pass(start + ms(n), source, 1).line).collect();
        assert_eq!(lines, [0, 59_999]);
        assert_eq!(refusals.pass(start + ms(1), IpAddr::from([192, 0, 2, 8]), 1).line, Some(0), "another has its own");
    }

    #[test]
    fn the_addresses_of_one_ipv6_host_are_one_source() {
        let (mut refusals, now) = (Refusals::default(), Instant::from_ms(1));
        let mut pass = |ip: &str| refusals.pass(now, ip.parse().unwrap(), 1).line;
        assert_eq!((pass("2001:db8::1"), pass("2001:db8::2"), pass("2001:db8:0:1::1")), (Some(0), None, Some(0)));
        assert_eq!((pass("192.0.2.1"), pass("::ffff:192.0.2.1"), pass("192.0.2.2")), (Some(0), None, Some(0)));
    }

    #[test]
    fn sources_without_number_take_bounded_memory_and_lines() {
        let (mut refusals, now) = (Refusals::default(), Instant::from_ms(1));
        let lines = (0..100_000u32).filter(|n| refusals.pass(now, IpAddr::from(n.to_be_bytes()), 1).line.is_some()).count();
        assert_eq!((lines, refusals.sources.len()), (REFUSED_SOURCES_MAX, REFUSED_SOURCES_MAX));
        assert_eq!(refusals.pass(now + ms(QUIET_MS), IpAddr::from([9, 9, 9, 9]), 1).line, Some(100_000 - REFUSED_SOURCES_MAX as u64));
    }
}
