//! A leg whose UDPTL goes in DTLS: nothing without keys, nothing from who has none, and the records come back.

use super::*;
use crate::dtls::fuzz::{certificate, params, speak};
use crate::dtls::{Association, Dimpl, Expected, Role};
use crate::fax::t38::engine::SpandspEngine;
use std::sync::Arc;
use tipring_dsp::spandsp::t38_gateway::GatewayConfig;

const AT: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 1)), 4000),
    SocketAddr::new(IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 2)), 4000),
];

fn records() -> [Box<Records>; 2] {
    let certificates = [Arc::new(certificate()), Arc::new(certificate())];
    let now = Instant::from_ms(1000);
    let expected = |i: usize| Some(Expected::one(certificates[i].fingerprint()));
    let mut client = Association::new(now, params(Role::Client, &certificates[0], expected(1)), &Dimpl);
    let mut server = Association::new(now, params(Role::Server, &certificates[1], expected(0)), &Dimpl);
    speak(now, [&mut client, &mut server], &mut |_, _| true);
    [client, server].map(|mut a| a.take_records().expect("proven"))
}

fn leg(remote: SocketAddr, records: Option<Box<Records>>) -> T38Leg {
    let engine = SpandspEngine::new(&GatewayConfig::default()).expect("libspandsp makes one");
    T38Leg::with_engine(&T38Config::without_a_call(remote), Box::new(engine)).over(Transport::dtls(records))
}

/// What `leg` sends in so many turns of silence.
fn sent(leg: &mut T38Leg, from_ms: u64, turns: u64) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for turn in 0..turns {
        leg.tick(Instant::from_ms(from_ms + 20 * turn), &SILENCE, &mut SILENCE.clone(), &mut |_, d| out.push(d.to_vec()));
    }
    out
}

#[test]
fn without_keys_nothing_goes_out_and_nothing_is_taken() {
    let [mut peers, ours] = records();
    let mut leg = leg(AT[1], None);
    assert!(sent(&mut leg, 1000, 200).is_empty());
    assert!(leg.stats().withheld > 0 && leg.stats().datagrams_out == 0);
    let mut plain = [0; 400];
    let n = Sender::new(ErrorCorrection::None, 400).emit(&[0], Class::Control, &mut plain).unwrap();
    assert!(leg.from_net(Instant::from_ms(6000), AT[1], &plain[..n]), "it is for the association to look at");
    assert_eq!((leg.stats().datagrams_in, leg.stats().unopened), (0, 1));
    // The keys come: what is sent from then on opens with the peer's, and is UDPTL.
    assert!(leg.secure(ours).is_none());
    let datagrams = sent(&mut leg, 6000, 200);
    assert!(!datagrams.is_empty());
    for datagram in &datagrams {
        assert_eq!(udptl::parse(datagram).ok().map(|d| d.primary.len()).filter(|n| *n == 1), None, "it is no UDPTL from outside");
        let mut inner = Vec::new();
        peers.open(datagram, &mut |d| inner = d.to_vec());
        assert!(udptl::parse(&inner).is_ok());
    }
}

#[test]
fn what_the_peer_did_not_seal_is_dropped_and_a_replaced_record_layer_comes_back() {
    let [mut peers, ours] = records();
    let [mut strangers, other] = records();
    let mut leg = leg(AT[1], Some(ours));
    let (mut plain, mut wire) = ([0; 400], [0; 500]);
    let mut sender = Sender::new(ErrorCorrection::None, 400);
    let n = sender.emit(&[0], Class::Control, &mut plain).unwrap();
    let now = Instant::from_ms(1000);
    leg.from_net(now, AT[1], &plain[..n]);
    let m = strangers.seal(&plain[..n], &mut wire).unwrap();
    leg.from_net(now, AT[1], &wire[..m]);
    assert_eq!((leg.stats().datagrams_in, leg.stats().unopened), (0, 2));
    let m = peers.seal(&plain[..n], &mut wire).unwrap();
    leg.from_net(now, AT[1], &wire[..m]);
    leg.from_net(now, AT[1], &wire[..m]);
    assert_eq!((leg.stats().datagrams_in, leg.stats().unopened), (1, 3), "once, not again");
    leg.from_net(now, AT[0], &wire[..m]);
    assert_eq!(leg.stats().foreign, 1);
    let before = leg.secure(other).expect("the one before comes back");
    assert!(before.dropped() > 0 && leg.take_records().is_some() && leg.take_records().is_none());
    assert!(sent(&mut leg, 2000, 200).is_empty(), "they are gone, and with them the way out");
}
