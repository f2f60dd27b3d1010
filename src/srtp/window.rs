//! Which packet a sequence number means, and whether that packet was seen before (RFC 3711 clauses 3.3.1 and 3.3.2).

/// Packet indices that are remembered behind the highest: 2.5 s of 20 ms packets. RFC 3711 asks for 64 at least.
pub const WINDOW_PACKETS: u64 = 128;
/// The largest index of an SRTP packet: a roll-over counter of 32 bits and a sequence number of 16.
pub const RTP_INDEX_MAX: u64 = (1 << 48) - 1;
/// The largest index of an SRTCP packet.
pub const RTCP_INDEX_MAX: u64 = (1 << 31) - 1;

/// The index that `sequence` most likely has when `highest` is the highest index so far (RFC 3711 clause 3.3.1 and appendix A). None beyond the
/// last roll-over, where a key has come to its end. Before the first roll-over there is nothing behind zero: the packet is taken to be ahead.
pub fn estimate(highest: u64, sequence: u16) -> Option<u64> {
    let (roll_over, newest) = (highest >> 16, highest as u16);
    let guess = match newest {
        0..0x8000 if i32::from(sequence) - i32::from(newest) > 0x8000 => roll_over.saturating_sub(1),
        0x8000.. if newest - 0x8000 > sequence => roll_over + 1,
        _ => roll_over,
    };
    let index = guess << 16 | u64::from(sequence);
    (index <= RTP_INDEX_MAX).then_some(index)
}

/// The indices of one source that were authentic: the highest, and a bit each for those before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    highest: u64,
    seen: u128,
}

impl Window {
    /// `index` was the first.
    pub fn new(index: u64) -> Window {
        Window { highest: index, seen: 1 }
    }

    /// The highest index.
    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// True if `index` was seen, or is so old that nobody knows.
    pub fn has(&self, index: u64) -> bool {
        match self.highest.checked_sub(index) {
            None => false,
            Some(age) if age >= WINDOW_PACKETS => true,
            Some(age) => self.seen >> age & 1 == 1,
        }
    }

    /// `index` was authentic.
    pub fn insert(&mut self, index: u64) {
        match index.checked_sub(self.highest) {
            Some(step) => {
                self.seen = if step < WINDOW_PACKETS { self.seen << step | 1 } else { 1 };
                self.highest = index;
            }
            None if self.highest - index < WINDOW_PACKETS => self.seen |= 1 << (self.highest - index),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn a_roll_over_is_found_from_both_sides() {
        let roc = |r: u64, s: u64| r << 16 | s;
        for (highest, sequence, index) in [
            (roc(0, 65_535), 0, Some(roc(1, 0))),
            (roc(1, 0), 65_535, Some(roc(0, 65_535))),
            (roc(1, 3), 65_000, Some(roc(0, 65_000))),
            (roc(0, 3), 65_000, Some(roc(0, 65_000))),
            (roc(0, 40_000), 39_000, Some(roc(0, 39_000))),
            (roc(0, 40_000), 7_231, Some(roc(1, 7_231))),
            (roc(0, 40_000), 7_232, Some(roc(0, 7_232))),
            (roc(7, 100), 32_868, Some(roc(7, 32_868))),
            (roc(7, 100), 32_869, Some(roc(6, 32_869))),
            (roc(0xFFFF_FFFF, 65_535), 0, None),
            (roc(0xFFFF_FFFF, 65_534), 65_535, Some(RTP_INDEX_MAX)),
        ] {
            assert_eq!(estimate(highest, sequence), index, "{highest:x} {sequence}");
        }
    }

    proptest! {
        #[test]
        fn an_index_near_the_highest_is_estimated_rightly(highest in 40_000u64..1 << 40, step in -32_767i64..=32_767) {
            let index = highest.saturating_add_signed(step);
            prop_assert_eq!(estimate(highest, index as u16), Some(index));
        }

        #[test]
        fn a_window_says_what_a_set_would(first in 0u64..400, steps in proptest::collection::vec(-200i64..200, 1..300)) {
            let mut window = Window::new(first);
            let (mut set, mut highest) = (HashSet::from([first]), first);
            for step in steps {
                let index = highest.saturating_add_signed(step);
                let old = highest.saturating_sub(index) >= WINDOW_PACKETS;
                prop_assert_eq!(window.has(index), old || set.contains(&index));
                if !window.has(index) {
                    window.insert(index);
                    set.insert(index);
                    highest = highest.max(index);
                }
                prop_assert_eq!(window.highest(), highest);
            }
        }
    }
}
