//! Any octets, any order, any loss, over any number of roll-overs.

use super::*;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn octets_that_nobody_protected_never_pass(
        profile in 0..4usize,
        packets in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..80)), 1..60),
    ) {
        let (_, mut b) = pair(Profile::ALL[profile]);
        for (is_rtcp, mut packet) in packets {
            let before = packet.clone();
            let result = if is_rtcp { b.unprotect_rtcp(&mut packet) } else { b.unprotect_rtp(&mut packet) };
            prop_assert!(result.is_err());
            prop_assert_eq!(packet, before);
        }
        prop_assert_eq!(b.sources(), 0);
    }

    /// Each packet is lost, late by up to a hundred, or twice; in between the sender leaps, over roll-overs, too. What comes within the
    /// window passes exactly once.
    #[test]
    fn every_packet_within_the_window_passes_exactly_once(
        profile in 0..4usize,
        first in 0u16..0x8000,
        fates in proptest::collection::vec((0..100u64, 0..3usize, prop_oneof![9 => Just(1u64), 1 => 1..20_000u64]), 1..400),
    ) {
        let (mut a, mut b) = pair(Profile::ALL[profile]);
        let mut index = u64::from(first);
        let mut arrivals = Vec::new();
        for (n, (delay, copies, step)) in fates.iter().enumerate() {
            let packet = rtp(SSRC, index as u16, 20);
            let sealed = protect(&mut a, &packet);
            // The first one comes, and in its time: it is what the receiver finds its bearings by.
            let (delay, copies) = if n == 0 { (0, 1) } else { (*delay, *copies) };
            (0..copies as u64).for_each(|c| arrivals.push((n as u64 * 3 + delay + c, index, packet.clone(), sealed.clone())));
            index += step;
        }
        arrivals.sort_by_key(|(at, ..)| *at);
        let (mut passed, mut highest) = (std::collections::HashSet::new(), u64::from(first));
        for (_, index, packet, sealed) in arrivals {
            let result = unprotect(&mut b, &sealed);
            // Beyond half of the sequence numbers nobody can know; and before the first roll-over there is no such doubt.
            let lost_in_time = highest > index + 128;
            if lost_in_time {
                prop_assert!(result.is_err());
            } else if index > highest + 0x7FFF {
                if result.is_ok() {
                    passed.insert(index);
                    highest = index;
                }
            } else if passed.insert(index) {
                prop_assert!(highest > index + 127 || result == Ok(packet), "{index} after {highest}: {result:?}");
                highest = highest.max(index);
            } else {
                prop_assert_eq!(result, Err(Dropped::Replayed));
            }
        }
    }
}

#[test]
fn ten_roll_overs_with_gaps_over_each_of_them() {
    for profile in [Profile::AesCm128HmacSha1_80, Profile::AeadAes128Gcm] {
        let (mut a, mut b) = pair(profile);
        // Steps that hit before and behind each roll-over differently, and once lose the last thousand and the first thousand.
        let mut index = 20_000u64;
        let mut passed = 0;
        while index < 10 << 16 {
            let packet = rtp(SSRC, index as u16, 8);
            let sealed = protect(&mut a, &packet);
            assert_eq!(unprotect(&mut b, &sealed), Ok(packet), "{index}");
            passed += 1;
            let to_end = 0x1_0000 - (index & 0xFFFF);
            index += if to_end < 1000 { to_end + 1000 } else { 97 };
        }
        assert!(passed > 5000 && index >> 16 == 10);
    }
}
