//! Who is the peer, and when it is lost: a leg over an engine that says what the test wants.

use super::super::ifp::{Indicator, Packet, Syntax};
use super::*;
use crate::clock::ms;

const PEER: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 2)), 4002);

/// Sends one indicator every second.
struct Calls {
    says: Option<Indicator>,
    heard: usize,
}

impl Engine for Calls {
    fn from_line(&mut self, samples: &[i16]) {
        self.heard += samples.len();
    }
    fn to_line(&mut self, frame: &mut Frame) {
        *frame = SILENCE;
    }
    fn from_net(&mut self, _: Step<'_>) {}
    fn poll(&mut self) -> Option<(Packet, u8)> {
        if self.heard < 8000 {
            return None;
        }
        self.heard = 0;
        self.says.map(|i| (Packet::Indicator(i), 1))
    }
    fn faults(&self) -> u32 {
        0
    }
}

struct Bench {
    leg: T38Leg,
    now: Instant,
    sent_to: Vec<SocketAddr>,
}

impl Bench {
    fn new(source: SourcePolicy, says: Option<Indicator>) -> Self {
        let leg = T38Leg::with_engine(&T38Config { source, ..T38Config::without_a_call(PEER) }, Box::new(Calls { says, heard: 0 }));
        Bench { leg, now: Instant::from_ms(1000), sent_to: Vec::new() }
    }
    fn run_ms(&mut self, n: u64) {
        for _ in 0..n / 20 {
            self.now = self.now + ms(20);
            let to = &mut self.sent_to;
            self.leg.tick(self.now, &SILENCE, &mut { SILENCE }, &mut |address, _| to.push(address));
        }
    }
    /// A valid datagram with this number comes from there.
    fn hears(&mut self, src: SocketAddr, seq: u16) {
        let mut ifp = [0u8; IFP_BYTES_MAX];
        let n = Packet::Indicator(Indicator::Cng).emit(Syntax::Asn1998, &mut ifp).unwrap();
        let mut datagram = [0u8; DATAGRAM_BYTES_MAX];
        let len = Sender::new(ErrorCorrection::None, DATAGRAM_BYTES_MAX).emit(&ifp[..n], Class::Control, &mut datagram).unwrap();
        datagram[..2].copy_from_slice(&seq.to_be_bytes());
        self.leg.from_net(self.now, src, &datagram[..len]);
        self.run_ms(20);
    }
}

fn port(n: u16) -> SocketAddr {
    SocketAddr::new(PEER.ip(), n)
}

#[test]
fn another_port_of_the_peers_host_is_followed_after_three_datagrams_in_a_row() {
    let mut b = Bench::new(SourcePolicy::Latch, Some(Indicator::Ced));
    b.hears(port(9), 0);
    b.hears(port(9), 1);
    assert_eq!((b.leg.remote(), b.leg.stats().foreign, b.leg.stats().datagrams_in), (PEER, 2, 0));
    b.hears(port(9), 2);
    assert_eq!((b.leg.remote(), b.leg.stats().datagrams_in), (port(9), 1));
    b.sent_to.clear();
    b.run_ms(2000);
    assert!(!b.sent_to.is_empty() && b.sent_to.iter().all(|to| *to == port(9)), "{:?}", b.sent_to);
}

#[test]
fn the_host_that_the_signalling_comes_from_is_followed_and_a_third_one_is_not() {
    let (nat, third) = (SocketAddr::from(([198, 51, 100, 7], 61_002)), SocketAddr::from(([198, 51, 100, 66], 61_002)));
    let config = T38Config { also_from: Some(nat.ip()), ..T38Config::without_a_call(PEER) };
    let leg = T38Leg::with_engine(&config, Box::new(Calls { says: Some(Indicator::Ced), heard: 0 }));
    let mut b = Bench { leg, now: Instant::from_ms(1000), sent_to: Vec::new() };
    for seq in 0..20 {
        b.hears(third, seq);
    }
    assert_eq!((b.leg.remote(), b.leg.stats().foreign), (PEER, 20));
    for seq in 0..3 {
        b.hears(nat, seq);
    }
    assert_eq!((b.leg.remote(), b.leg.stats().datagrams_in), (nat, 1));
    // Its next mapping, once the first is silent; and the peer's own host is not forgotten.
    b.run_ms(400);
    for seq in 3..6 {
        b.hears(SocketAddr::new(nat.ip(), 61_400), seq);
    }
    assert_eq!(b.leg.remote().port(), 61_400);
    b.leg.redirect(PEER, None, 400, ErrorCorrection::None);
    b.run_ms(400);
    for seq in 6..20 {
        b.hears(SocketAddr::from(([198, 51, 100, 7], 9)), seq);
    }
    assert_eq!(b.leg.remote().port(), 9, "another port of where it is is still its own host");
}

#[test]
fn a_leg_that_only_listens_says_so_at_once_so_that_a_nat_lets_the_peer_in() {
    let mut b = Bench::new(SourcePolicy::Latch, None);
    b.run_ms(100);
    assert_eq!(b.sent_to, [PEER; 3], "and no more than that");
    b.run_ms(10_000);
    assert!((10..=14).contains(&b.sent_to.len()), "then a sign of life a second: {}", b.sent_to.len());
}

#[test]
fn strangers_never_take_the_fax_by_the_port_alone_nor_while_the_peer_is_heard_nor_out_of_sequence() {
    let stranger = SocketAddr::from(([198, 51, 100, 66], PEER.port()));
    let mut b = Bench::new(SourcePolicy::Latch, Some(Indicator::Ced));
    for seq in 0..100 {
        b.hears(stranger, seq);
    }
    assert_eq!((b.leg.remote(), b.leg.stats().foreign, b.leg.stats().datagrams_in), (PEER, 100, 0));
    // The peer speaks: another port of its host gets no word in, even with the right numbers.
    for seq in 0..50 {
        b.hears(PEER, seq);
        b.hears(port(9), seq + 1);
    }
    assert_eq!((b.leg.remote(), b.leg.stats().datagrams_in), (PEER, 50));
    // The peer is silent: numbers that do not carry on its stream, or are not in a row, count for nothing.
    b.run_ms(1000);
    for n in 0..50 {
        b.hears(port(9), 20_000 + n);
        b.hears(port(10), 60 + n % 2 * 10);
    }
    assert_eq!((b.leg.remote(), b.leg.stats().datagrams_in), (PEER, 50));
    // The negative control: the right numbers in a row do move it.
    for seq in 50..53 {
        b.hears(port(9), seq);
    }
    assert_eq!((b.leg.remote(), b.leg.stats().datagrams_in), (port(9), 51));
}

#[test]
fn the_exact_policy_follows_nobody() {
    let mut b = Bench::new(SourcePolicy::Exact, None);
    for seq in 0..20 {
        b.hears(port(9), seq);
    }
    assert_eq!((b.leg.remote(), b.leg.stats().foreign), (PEER, 20));
}

#[test]
fn a_peer_that_only_listens_to_our_page_is_not_taken_for_dead_and_a_dead_one_is_once_we_are_done() {
    let mut b = Bench::new(SourcePolicy::Latch, Some(Indicator::V27Training2400));
    b.hears(PEER, 0);
    for _ in 0..300 {
        b.run_ms(1000);
        assert!(b.leg.silent_ms() <= 1100, "{}", b.leg.silent_ms());
    }
    // No-signal is nothing to wait for, and neither is nothing at all.
    for says in [Some(Indicator::NoSignal), None] {
        let mut b = Bench::new(SourcePolicy::Latch, says);
        b.hears(PEER, 0);
        b.run_ms(30_000);
        assert!(b.leg.silent_ms() >= 30_000, "{}", b.leg.silent_ms());
    }
}
