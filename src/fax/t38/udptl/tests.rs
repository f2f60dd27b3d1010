//! What the UDPTL codec, receiver and sender promise.

use super::*;
use crate::clock::Rng;
use proptest::prelude::*;

const T0: Instant = Instant::ZERO;

fn made(sender: &mut Sender, ifp: &[u8], class: Class) -> Vec<u8> {
    let mut out = [0u8; 4096];
    let n = sender.emit(ifp, class, &mut out).expect("fits");
    out[..n].to_vec()
}

fn drain(r: &mut Receiver, now: Instant) -> Vec<(u16, u16, Vec<u8>)> {
    let mut got = Vec::new();
    while let Some(p) = r.pop(now) {
        // Parity gives zero octets at the end; the packets of these tests never end in one.
        let len = if p.padded { p.ifp.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1) } else { p.ifp.len() };
        got.push((p.seq, p.missing, p.ifp[..len].to_vec()));
    }
    got
}

fn packet(i: u16) -> Vec<u8> {
    let mut p: Vec<u8> = (0..1 + (i % 50)).map(|k| (i.wrapping_mul(31) + k) as u8).collect();
    p.push(0x80 | i as u8);
    p
}

#[test]
fn a_datagram_has_the_octets_of_the_recommendation() {
    let mut s = Sender::new(ErrorCorrection::default(), 1400);
    assert_eq!(made(&mut s, &[0x06], Class::Control), [0, 0, 1, 0x06, 0, 0]);
    assert_eq!(made(&mut s, &[0xC0, 1, 0x20], Class::Control), [0, 1, 3, 0xC0, 1, 0x20, 0, 1, 1, 0x06]);
    let mut f = Sender::new(ErrorCorrection::Fec { span: 2, entries: 1 }, 1400);
    made(&mut f, &[0x06], Class::Control);
    made(&mut f, &[0x01, 0x02], Class::Control);
    assert_eq!(made(&mut f, &[0x00], Class::Control), [0, 2, 1, 0x00, 0x80, 1, 2, 1, 2, 0x07, 0x02]);
}

#[test]
fn malformed_datagrams_are_refused_with_the_reason() {
    let table: &[(&[u8], Error)] = &[
        (&[], Error::Truncated),
        (&[0], Error::Truncated),
        (&[0, 0, 0, 0, 0], Error::NoPrimary),
        (&[0, 0, 5, 1], Error::Truncated),
        (&[0, 0, 0xC1, 1], Error::BadLength),
        (&[0, 0, 1, 6], Error::Truncated),
        (&[0, 0, 1, 6, 0], Error::Truncated),
        (&[0, 0, 1, 6, 0, 2, 1, 1], Error::Truncated),
        (&[0, 0, 1, 6, 0, 0xBF, 0xFF], Error::Truncated),
        (&[0, 0, 1, 6, 0x80, 2, 0, 3, 0], Error::BadSpan),
        (&[0, 0, 1, 6, 0x80, 1, 0, 0], Error::BadSpan),
        (&[0, 0, 1, 6, 0, 0, 9], Error::TrailingOctets),
    ];
    for (octets, error) in table {
        assert_eq!(parse(octets), Err(*error), "{octets:02X?}");
    }
}

#[test]
fn a_datagram_that_comes_twice_is_delivered_once() {
    let mut s = Sender::new(ErrorCorrection::default(), 1400);
    let mut r = Receiver::new();
    let d = made(&mut s, &[6], Class::Control);
    for _ in 0..3 {
        r.receive(&parse(&d).unwrap());
    }
    assert_eq!(drain(&mut r, T0), [(0, 0, vec![6])]);
    r.receive(&parse(&d).unwrap());
    assert_eq!(drain(&mut r, T0), []);
    assert_eq!(r.stats().late, 1);
}

#[test]
fn overtaken_datagrams_are_put_in_order_and_a_gap_is_held_only_for_a_while() {
    let mut s = Sender::new(ErrorCorrection::None, 1400);
    let d: Vec<_> = (0..4).map(|i| made(&mut s, &packet(i), Class::Image)).collect();
    let mut r = Receiver::new();
    for i in [0, 2] {
        r.receive(&parse(&d[i]).unwrap());
    }
    assert_eq!(drain(&mut r, T0).len(), 1);
    r.receive(&parse(&d[1]).unwrap());
    assert_eq!(drain(&mut r, T0).iter().map(|p| p.0).collect::<Vec<_>>(), [1, 2]);
    let mut r = Receiver::new();
    for i in [0, 2] {
        r.receive(&parse(&d[i]).unwrap());
    }
    drain(&mut r, T0);
    assert_eq!(drain(&mut r, Instant::from_ms(HOLD_MS)), [(2, 1, packet(2))]);
    assert_eq!(r.stats().lost, 1);
}

#[test]
fn a_burst_that_arrives_shuffled_is_put_in_order() {
    let mut s = Sender::new(ErrorCorrection::Redundancy { control: 3, image: 2 }, 1400);
    let d: Vec<_> = (0..9).map(|i| made(&mut s, &packet(i), Class::Image)).collect();
    let mut r = Receiver::new();
    let mut got = Vec::new();
    for i in [0, 8, 4, 2, 3, 1, 7, 5, 6] {
        r.receive(&parse(&d[i]).unwrap());
        got.extend(drain(&mut r, T0).iter().map(|p| p.0));
    }
    assert_eq!(got, (0..9).collect::<Vec<_>>());
    assert_eq!(r.stats().lost, 0);
}

#[test]
fn sequence_numbers_wrap() {
    let mut s = Sender::new(ErrorCorrection::default(), 1400);
    s.seq = 0xFFFD;
    let mut r = Receiver::new();
    let mut got = Vec::new();
    for i in 0..8u16 {
        let d = made(&mut s, &packet(i), Class::Control);
        if i != 3 {
            r.receive(&parse(&d).unwrap());
        }
        got.extend(drain(&mut r, T0));
    }
    assert_eq!(got.iter().map(|p| p.0).collect::<Vec<_>>(), [0xFFFD, 0xFFFE, 0xFFFF, 0, 1, 2, 3, 4]);
    assert_eq!((r.stats().by_redundancy, r.stats().lost), (1, 0));
}

#[test]
fn a_peer_that_restarts_is_followed() {
    let mut r = Receiver::new();
    for seq in [30_000u16, 3] {
        let d = [(seq >> 8) as u8, seq as u8, 1, 6, 0, 0];
        r.receive(&parse(&d).unwrap());
        assert_eq!(drain(&mut r, T0), [(seq, 0, vec![6])]);
    }
    assert_eq!(r.stats().restarts, 1);
}

#[test]
fn no_datagram_is_longer_than_the_peer_takes() {
    for correction in [ErrorCorrection::default(), ErrorCorrection::Fec { span: 3, entries: 4 }, ErrorCorrection::None] {
        for max in [60, 72, 100, 200] {
            let mut s = Sender::new(correction, max);
            for i in 0..100u16 {
                let mut out = [0u8; 1500];
                let n = s.emit(&packet(i), Class::Control, &mut out).expect("the bare packet fits");
                assert!(n <= max, "{correction:?} {n} > {max}");
                assert!(parse(&out[..n]).is_ok());
            }
            assert_eq!(s.emit(&[0; 80], Class::Image, &mut [0u8; 70]), None);
        }
    }
}

#[test]
fn hostile_datagrams_that_once_crashed_an_exchange_are_read_or_refused() {
    let Some(bytes) = crate::fax::t38::fuzz::shared_file("recordings/t38/udptl-hostile-ast-2016-003.pcap") else { return };
    let mut r = Receiver::new();
    let (mut good, mut bad) = (0, 0);
    for (_, payload) in crate::fax::t38::fuzz::udp_payloads_of_pcap(&bytes) {
        crate::fax::t38::fuzz::udptl(payload);
        match parse(payload) {
            Ok(d) => {
                good += 1;
                r.receive(&d);
                drain(&mut r, T0);
            }
            Err(_) => bad += 1,
        }
    }
    println!("hostile capture: {good} datagrams read, {bad} refused");
    assert!(good + bad > 10, "the capture has datagrams");
}

fn survives(correction: ErrorCorrection, lost: &[u16], n: u16) -> (Vec<(u16, u16, Vec<u8>)>, ReceiverStats) {
    let mut s = Sender::new(correction, 1400);
    let mut r = Receiver::new();
    let mut got = Vec::new();
    for i in 0..n {
        let d = made(&mut s, &packet(i), Class::Control);
        if !lost.contains(&i) {
            r.receive(&parse(&d).expect("ours is well formed"));
        }
        got.extend(drain(&mut r, Instant::from_ms(20 * u64::from(i))));
    }
    got.extend(drain(&mut r, Instant::from_ms(20 * u64::from(n) + HOLD_MS)));
    (got, r.stats())
}

#[test]
fn random_loss_beyond_the_promise_is_reported_and_order_is_kept() {
    let mut rng = Rng::new(5);
    for correction in [ErrorCorrection::None, ErrorCorrection::default(), ErrorCorrection::Fec { span: 3, entries: 3 }] {
        let lost: Vec<u16> = (1..399).filter(|_| rng.chance(0.2)).collect();
        let (got, stats) = survives(correction, &lost, 400);
        assert!(got.windows(2).all(|w| w[1].0 == w[0].0 + 1 + w[1].1), "gaps are announced");
        assert!(got.iter().all(|(seq, _, bytes)| *bytes == packet(*seq)), "what arrives is what was sent");
        assert_eq!(got.len() as u64 + stats.lost, 400);
    }
}

proptest! {
    #[test]
    fn fec_repairs_any_burst_it_promises(span in 1u8..5, entries in 1u8..5, at in 24u16..80, burst in 1u16..5) {
        let burst = burst.min(u16::from(entries));
        let lost: Vec<u16> = (at..at + burst).collect();
        let (got, stats) = survives(ErrorCorrection::Fec { span, entries }, &lost, 100);
        prop_assert_eq!(stats.lost, 0);
        prop_assert_eq!(stats.by_fec, u64::from(burst));
        prop_assert!(got.len() == 100 && got.iter().all(|(seq, missing, bytes)| *missing == 0 && *bytes == packet(*seq)));
    }
    #[test]
    fn redundancy_repairs_any_burst_it_promises(depth in 1u8..6, at in 1u16..80) {
        let lost: Vec<u16> = (at..at + u16::from(depth)).collect();
        let (got, stats) = survives(ErrorCorrection::Redundancy { control: depth, image: 0 }, &lost, 100);
        prop_assert_eq!((got.len(), stats.lost, stats.by_redundancy), (100, 0, u64::from(depth)));
    }
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        crate::fax::t38::fuzz::udptl(&bytes);
    }
}
