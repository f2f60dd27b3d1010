//! Translation at the edge of a leg: what is on the wire, what comes of it, and what is hostile.

use super::super::udptl::{Class, ErrorCorrection, Receiver, Sender};
use super::*;
use crate::clock::ms;
use crate::srtp::{Keys, MasterKey, Profile};
use proptest::prelude::*;

const TERMS: RtpTerms =
    RtpTerms { payload_type: 98, redundancy_pt: Some(97), ssrc: 0x01020304, first_sequence: 0x7FFE, first_timestamp: 1000 };

fn protection(send: u8, receive: u8) -> Protection {
    let profile = Profile::AesCm128HmacSha1_80;
    let key = |n: u8| MasterKey::from_octets(profile, &[n; 30]).unwrap();
    Protection::Srtp(Box::new(Session::new(&Keys::new(profile, key(send), key(receive)).unwrap())))
}

struct Speaker {
    sender: Sender,
    rtp: Rtp,
    now: Instant,
}

impl Speaker {
    fn new(terms: RtpTerms, protection: Protection) -> Speaker {
        let correction = ErrorCorrection::Redundancy { control: 3, image: 2 };
        Speaker { sender: Sender::new(correction, 1000), rtp: Rtp::new(terms, protection), now: Instant::from_ms(500) }
    }
    fn says(&mut self, ifp: &[u8]) -> Vec<u8> {
        let mut datagram = [0; 1000];
        let n = self.sender.emit(ifp, Class::Control, &mut datagram).unwrap();
        self.rtp.begin(self.now);
        self.now = self.now + ms(20);
        self.rtp.seal(&datagram[..n]).unwrap().to_vec()
    }
}

fn hears(rtp: &mut Rtp, receiver: &mut Receiver, wire: &[u8]) -> (Came, Vec<(u16, Vec<u8>)>) {
    let mut got = Vec::new();
    let came = rtp.open(wire, &mut |d| receiver.receive(&udptl::parse(d).expect("what is handed on is UDPTL")));
    while let Some(r) = receiver.pop(Instant::from_ms(1)) {
        got.push((r.missing, r.ifp.to_vec()));
    }
    (came, got)
}

#[test]
fn the_octets_are_those_of_rfc_2198() {
    let mut s = Speaker::new(TERMS, Protection::Clear);
    let head = |pt: u8, sequence: u16, timestamp: u32| {
        [&[0x80, pt][..], &sequence.to_be_bytes(), &timestamp.to_be_bytes(), &[1, 2, 3, 4]].concat()
    };
    assert_eq!(s.says(&[0x06]), [head(98, 0x7FFE, 1000).as_slice(), &[0x06]].concat());
    let one = [0x80 | 98, 160 >> 6, (160 & 63) << 2, 1, 98, 0x06, 0xC0, 0x01];
    assert_eq!(s.says(&[0xC0, 0x01]), [head(97, 0x7FFF, 1160).as_slice(), &one].concat());
    let two = [0x80 | 98, 5, 0, 1, 0x80 | 98, 160 >> 6, (160 & 63) << 2, 2, 98, 0x06, 0xC0, 0x01, 0x02];
    assert_eq!(s.says(&[0x02]), [head(97, 0x8000, 1320).as_slice(), &two].concat());
    // What is older than the header can say (2 s) is left out, and with it all that is older still.
    s.now = s.now + ms(2100);
    assert_eq!(s.says(&[0x04])[1..12], head(98, 0x8001, 1480 + 2100 * 8)[1..]);
}

#[test]
fn what_is_lost_comes_back_in_its_order_and_repeats_say_nothing() {
    for secure in [false, true] {
        let [of_us, of_peer] = if secure { [protection(1, 2), protection(2, 1)] } else { [Protection::Clear, Protection::Clear] };
        let mut s = Speaker::new(TERMS, of_us);
        let (mut rtp, mut receiver, mut got) = (Rtp::new(TERMS, of_peer), Receiver::new(), Vec::new());
        for n in 0..200u8 {
            let wire = s.says(&[0xC0, n, n]);
            // Two of three are lost, after the first has come.
            if n % 3 != 0 {
                continue;
            }
            let (came, more) = hears(&mut rtp, &mut receiver, &wire);
            assert_eq!(came, Came::Payload);
            got.extend(more);
            let again = hears(&mut rtp, &mut receiver, &wire);
            assert_eq!((again.0, again.1.len()), (if secure { Came::Nothing } else { Came::Payload }, 0));
        }
        assert!(got.iter().enumerate().all(|(n, (missing, ifp))| *missing == 0 && ifp[..] == [0xC0, n as u8, n as u8]));
        assert_eq!((got.len(), receiver.stats().by_redundancy, receiver.stats().lost), (199, 132, 0));
    }
}

#[test]
fn the_first_packets_of_all_come_back_too() {
    let mut s = Speaker::new(TERMS, Protection::Clear);
    let (mut rtp, mut receiver) = (Rtp::new(TERMS, Protection::Clear), Receiver::new());
    let wires: Vec<_> = (0..4u8).map(|n| s.says(&[0xC0, n])).collect();
    let (_, got) = hears(&mut rtp, &mut receiver, &wires[3]);
    assert_eq!(got.into_iter().map(|(_, ifp)| ifp[1]).collect::<Vec<_>>(), [0, 1, 2, 3]);
}

#[test]
fn a_repeat_is_the_same_octets_and_a_packet_that_must_not_go_out_does_not() {
    let mut rtp = Rtp::new(TERMS, protection(1, 2));
    let (mut sender, mut datagram) = (Sender::new(ErrorCorrection::None, 400), [0; 400]);
    let n = sender.emit(&[0x06], Class::Control, &mut datagram).unwrap();
    let first = rtp.seal(&datagram[..n]).unwrap().to_vec();
    assert_eq!(rtp.seal(&datagram[..n]).unwrap(), first);
    assert_eq!(rtp.protection().counts().exhausted, 0);
    let mut silent = Rtp::new(TERMS, Protection::Awaiting);
    assert_eq!(silent.seal(&datagram[..n]), None);
    assert!(
        silent
            .secure(Box::new(Session::new(&{
                let Protection::Srtp(s) = protection(1, 2) else { unreachable!() };
                s.keys().clone()
            })))
            .is_none()
    );
    assert_eq!(silent.seal(&datagram[..n]).unwrap(), first, "it is said as soon as it may be");
}

#[test]
fn another_source_is_followed_from_its_second_packet_in_a_row_on() {
    let mut s = Speaker::new(TERMS, Protection::Clear);
    let (mut rtp, mut receiver) = (Rtp::new(TERMS, Protection::Clear), Receiver::new());
    for n in 0..50 {
        hears(&mut rtp, &mut receiver, &s.says(&[0xC0, n]));
    }
    let mut other = Speaker::new(RtpTerms { ssrc: 9, first_sequence: 7, ..TERMS }, Protection::Clear);
    let mut stranger = Speaker::new(RtpTerms { ssrc: 10, first_sequence: 70, ..TERMS }, Protection::Clear);
    // One of each in between proves nothing.
    for n in 0..10 {
        let wire = if n % 2 == 0 { stranger.says(&[0x02]) } else { s.says(&[0xC0, 60 + n]) };
        let (came, got) = hears(&mut rtp, &mut receiver, &wire);
        assert_eq!((came == Came::Payload, got.len()), (n % 2 == 1, n as usize % 2));
    }
    let heard: Vec<_> = (0..5).map(|n| hears(&mut rtp, &mut receiver, &other.says(&[0xC0, 100 + n])).1.len()).collect();
    assert_eq!(heard, [0, 1, 1, 1, 1], "its first packet is what that costs");
    assert_eq!(receiver.stats().restarts, 1);
}

#[test]
fn blocks_that_lie_are_dropped() {
    let mut rtp = Rtp::new(TERMS, Protection::Clear);
    let mut receiver = Receiver::new();
    let packet = |pt: u8, payload: &[u8]| [&[0x80, pt, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1][..], payload].concat();
    for (pt, payload) in [
        (97, &[][..]),
        (97, &[0x80 | 98]),
        (97, &[0x80 | 98, 0, 0, 5]),
        (97, &[0x80 | 98, 0, 0, 5, 98, 1, 2, 3]),
        (97, &[0x80 | 98, 0, 3, 255, 98, 1, 2, 3]),
        (97, &[98]),
        (97, &[99, 6]),
        (98, &[]),
        (0, &[6; 160]),
    ] {
        assert_eq!(hears(&mut rtp, &mut receiver, &packet(pt, payload)).0, Came::Dropped, "{pt} {payload:?}");
    }
    // Forty blocks of which only the newest are remembered, and blocks of somebody else's payload.
    let many = [[0x80 | 98, 0, 0, 1].repeat(40), vec![98], (0..41).collect()].concat();
    let (came, got) = hears(&mut rtp, &mut receiver, &packet(97, &many));
    assert_eq!((came, got.len(), got[0].1[0], got[16].1[0]), (Came::Payload, 17, 24, 40));
    assert_eq!(hears(&mut rtp, &mut receiver, &[0x80, 200, 0, 1, 0, 0, 0, 1]).0, Came::Nothing);
}

proptest! {
    #[test]
    fn any_octets_do_no_harm(packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..30)) {
        let mut rtp = Rtp::new(TERMS, Protection::Clear);
        let mut receiver = Receiver::new();
        for mut packet in packets {
            if packet.len() > 2 {
                (packet[0], packet[1]) = (0x80 | packet[0] & 0x3F, 97 + (packet[1] & 1));
            }
            hears(&mut rtp, &mut receiver, &packet);
        }
    }
}
