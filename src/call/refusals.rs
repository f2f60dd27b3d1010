//! One log line a source and minute for calls that were refused: a scanner that tries a thousand numbers a second must not fill the disk,
//! and must not hide behind the first line either. Each line says how many went unsaid since the one before.

use crate::clock::{Instant, ms};
use crate::limits::REFUSED_SOURCES_MAX;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A source is spoken of once in this time, in milliseconds.
const QUIET_MS: u64 = 60_000;

/// Sources that were refused a call in the last minute.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    sources: BTreeMap<IpAddr, (Instant, u64)>,
    /// Refusals of sources for which there was no room.
    crowd: u64,
}

impl Refusals {
    /// A refusal: `Some` if it is to be logged, with how many were passed over in silence since the last line of this source.
    pub(super) fn pass(&mut self, now: Instant, source: IpAddr) -> Option<u64> {
        let source = network(source);
        if let Some((told, unsaid)) = self.sources.get_mut(&source) {
            if now - *told < ms(QUIET_MS) {
                *unsaid += 1;
                return None;
            }
            *told = now;
            return Some(core::mem::take(unsaid));
        }
        if self.sources.len() >= REFUSED_SOURCES_MAX {
            self.sources.retain(|_, (told, _)| now - *told < ms(QUIET_MS));
        }
        if self.sources.len() >= REFUSED_SOURCES_MAX {
            // So many sources at once are an attack, which the counters of `status` tell.
            self.crowd += 1;
            return None;
        }
        self.sources.insert(source, (now, 0));
        Some(core::mem::take(&mut self.crowd))
    }
}

/// Who counts as one source: an IPv4 address; the /64 that one IPv6 host may be given whole.
pub(super) fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(a) => IpAddr::V6(core::net::Ipv6Addr::from_bits(a.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scanner_has_one_line_a_minute_and_the_next_one_says_how_many_there_were() {
        let (mut refusals, start) = (Refusals::default(), Instant::from_ms(1_000_000));
        let source = IpAddr::from([192, 0, 2, 7]);
        let lines: Vec<u64> = (0..120_000).filter_map(|n| refusals.pass(start + ms(n), source)).collect();
        assert_eq!(lines, [0, 59_999]);
        assert_eq!(refusals.pass(start + ms(1), IpAddr::from([192, 0, 2, 8])), Some(0), "another has its own");
    }

    #[test]
    fn the_addresses_of_one_ipv6_host_are_one_source() {
        let (mut refusals, now) = (Refusals::default(), Instant::from_ms(1));
        let mut pass = |ip: &str| refusals.pass(now, ip.parse().unwrap());
        assert_eq!((pass("2001:db8::1"), pass("2001:db8::2"), pass("2001:db8:0:1::1")), (Some(0), None, Some(0)));
        assert_eq!((pass("192.0.2.1"), pass("::ffff:192.0.2.1"), pass("192.0.2.2")), (Some(0), None, Some(0)));
    }

    #[test]
    fn sources_without_number_take_bounded_memory_and_lines() {
        let (mut refusals, now) = (Refusals::default(), Instant::from_ms(1));
        let lines = (0..100_000u32).filter(|n| refusals.pass(now, IpAddr::from(n.to_be_bytes())).is_some()).count();
        assert_eq!((lines, refusals.sources.len()), (REFUSED_SOURCES_MAX, REFUSED_SOURCES_MAX));
        assert_eq!(refusals.pass(now + ms(QUIET_MS), IpAddr::from([9, 9, 9, 9])), Some(100_000 - REFUSED_SOURCES_MAX as u64));
    }
}
