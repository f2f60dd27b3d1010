//! How many answers a source gets in a second. Whoever asks in another's name (a forged source address) would have us answer the other; what is
//! beyond the rate goes out as short as the question (asking to come over TCP, which a real source can) every second time, and otherwise not
//! at all.
//!
//! The table has a fixed size and is indexed by a keyed hash: two sources that fall on one place push each other out, which lets both have a little
//! more than their due, and nobody can choose whom to fall on.

use crate::clock::Instant;
use crate::limits::DNS_SOURCES_MAX;
use crate::sip::source_of;
use core::net::IpAddr;

/// What a source may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pass {
    /// An answer.
    Answer,
    /// The word to come over TCP.
    Slip,
    /// Nothing.
    Nothing,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    source: u64,
    second: u64,
    count: u32,
}

/// Answers of this second, by source: an IPv4 address, or an IPv6 /64.
pub struct Rates {
    per_s: u32,
    key: u64,
    slots: Box<[Slot]>,
}

impl Rates {
    /// So many answers a second for each; 0: any number. The key is drawn anew for every start.
    pub fn new(per_s: u32, key: u64) -> Rates {
        Rates { per_s, key, slots: vec![Slot::default(); DNS_SOURCES_MAX].into() }
    }

    /// A query came from there. This machine itself has no rate: the system takes no datagram from outside that says it comes from loopback.
    pub fn pass(&mut self, now: Instant, source: IpAddr) -> Pass {
        if self.per_s == 0 || source.is_loopback() {
            return Pass::Answer;
        }
        let source = match source_of(source) {
            IpAddr::V4(v4) => u64::from(v4.to_bits()),
            IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
        };
        let second = now.as_ms() / 1000;
        let slot = &mut self.slots[(mix(source ^ self.key) % DNS_SOURCES_MAX as u64) as usize];
        if (slot.source, slot.second) != (source, second) {
            *slot = Slot { source, second, count: 0 };
        }
        slot.count = slot.count.saturating_add(1);
        match slot.count.checked_sub(self.per_s) {
            None | Some(0) => Pass::Answer,
            Some(beyond) if beyond % 2 == 1 => Pass::Slip,
            Some(_) => Pass::Nothing,
        }
    }
}

/// Spreads a number over all bits (splitmix64's last steps).
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(rates: &mut Rates, ms: u64, n: usize, source: &str) -> [usize; 3] {
        let mut counts = [0; 3];
        for _ in 0..n {
            counts[rates.pass(Instant::from_ms(ms), source.parse().unwrap()) as usize] += 1;
        }
        counts
    }

    #[test]
    fn beyond_the_rate_every_second_answer_is_a_word_to_come_over_tcp() {
        let mut rates = Rates::new(10, 7);
        assert_eq!(count(&mut rates, 500, 30, "192.0.2.1"), [10, 10, 10]);
        assert_eq!(count(&mut rates, 999, 2, "192.0.2.1"), [0, 1, 1]);
        assert_eq!(count(&mut rates, 999, 10, "192.0.2.2"), [10, 0, 0], "another source has its own");
        assert_eq!(count(&mut rates, 1000, 10, "192.0.2.1"), [10, 0, 0], "a new second");
        assert_eq!(count(&mut rates, 0, 6, "2001:db8::1"), [6, 0, 0]);
        assert_eq!(count(&mut rates, 0, 6, "2001:db8::2:1"), [4, 1, 1], "one /64 is one source");
        assert_eq!(count(&mut rates, 0, 6, "2001:db8:0:1::1"), [6, 0, 0]);
        assert_eq!(count(&mut rates, 0, 100, "127.0.0.1"), [100, 0, 0]);
        assert_eq!(count(&mut Rates::new(0, 7), 0, 100, "192.0.2.1"), [100, 0, 0]);
    }

    #[test]
    fn a_flood_in_many_names_gives_no_source_much_more_than_its_due() {
        let mut rates = Rates::new(10, 1234);
        let victim = "198.51.100.7".parse().unwrap();
        let mut answered = 0;
        for n in 0..100_000u32 {
            rates.pass(Instant::from_ms(0), IpAddr::from(n.to_be_bytes()));
            answered += usize::from(rates.pass(Instant::from_ms(0), victim) == Pass::Answer);
        }
        // Each of a hundred thousand strangers falls on the victim's place with 1 in 16,384.
        assert!(answered <= 200, "{answered} of 100,000");
    }
}
