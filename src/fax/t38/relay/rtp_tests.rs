//! A fax through two legs that speak RTP, in the clear and behind SRTP, over a network that loses packets.

use super::tests::{Scene, World};
use super::*;
use crate::fax::t38::rtp::RtpTerms;
use crate::media::Protection;
use crate::srtp::{Keys, MasterKey, Profile};
use std::collections::HashSet;

fn terms(end: u8, red: bool) -> RtpTerms {
    RtpTerms {
        payload_type: 100,
        redundancy_pt: red.then_some(101),
        ssrc: 0x5EED_0000 | u32::from(end),
        // The first packets are just before a roll-over, unless SRTP halves it.
        first_sequence: 0xFFF0 + u16::from(end),
        first_timestamp: 0xFFFF_FF00,
    }
}

fn session(profile: Profile, send: u8, receive: u8) -> Box<Session> {
    let key = |n: u8| MasterKey::from_octets(profile, &[n; 44][..MasterKey::octets_of(profile)]).expect("cut to its length");
    Box::new(Session::new(&Keys::new(profile, key(send), key(receive)).expect("keys of one profile")))
}

fn world(s: &Scene, red: bool, protection: [Protection; 2]) -> World {
    let mut w = World::new(s);
    let [a, b] = w.legs;
    let [of_a, of_b] = protection;
    w.legs = [a.over(Transport::rtp(terms(1, red), of_a)), b.over(Transport::rtp(terms(2, red), of_b))];
    w
}

fn secured(profile: Profile) -> [Protection; 2] {
    [Protection::Srtp(session(profile, 1, 2)), Protection::Srtp(session(profile, 2, 1))]
}

#[test]
fn req_k5_pages_cross_in_rtp_with_loss_whatever_protects_them() {
    let lossy = |name, ecm, seed| Scene { name, ecm, pages: 2, loss: 0.02, jitter_ms: 15, seed, ..Scene::default() };
    let copies = ErrorCorrection::None;
    for (scene, red, protection, name) in [
        (lossy("rtp-red", true, 11), true, [Protection::Clear, Protection::Clear], None),
        (lossy("rtp-red-cm", true, 12), true, secured(Profile::AesCm128HmacSha1_80), Some("AES_CM_128_HMAC_SHA1_80")),
        (lossy("rtp-red-gcm", true, 13), true, secured(Profile::AeadAes256Gcm), Some("AEAD_AES_256_GCM")),
        // Without `red` only what the relay says several times is safe.
        (
            Scene { correction: copies, loss: 0.002, ..lossy("rtp-gcm", true, 14) },
            false,
            secured(Profile::AeadAes128Gcm),
            Some("AEAD_AES_128_GCM"),
        ),
        (
            Scene { correction: copies, loss: 0.0, jitter_ms: 0, ..lossy("rtp", false, 15) },
            false,
            [Protection::Clear, Protection::Clear],
            None,
        ),
    ] {
        let lost = scene.loss > 0.0;
        let mut w = world(&scene, red, protection);
        let (sender, receiver) = w.run();
        assert_eq!((sender.text, sender.pages_sent, receiver.pages_received), ("OK", 2, 2), "{}", scene.name);
        for leg in &w.legs {
            let s = leg.stats();
            assert_eq!(
                (s.protected_by, s.srtp.not_authentic, s.srtp.exhausted, s.garbage, s.foreign, s.unopened),
                (name, 0, 0, 0, 0, 0),
                "{}",
                scene.name
            );
            assert_eq!(s.withheld, 0);
            assert!(leg.silent_ms() <= RTP_KEEPALIVE_MS + 200, "signs of life are heard: {}", leg.silent_ms());
        }
        // The machine that gets the pages is the one behind the second leg.
        let s = w.legs[1].stats();
        assert!(s.datagrams_in > 300 && (!lost || !red || s.received.by_redundancy > 3), "{s:?}");
        let (sent, got) = w.arrived();
        assert!(sent == got, "{}", scene.name);
    }
}

#[test]
fn with_another_key_nothing_crosses_and_with_none_nothing_is_said() {
    let profile = Profile::AesCm128HmacSha1_80;
    let scene = Scene { name: "rtp-wrong", ..Scene::default() };
    let mut w = world(&scene, true, [Protection::Srtp(session(profile, 1, 2)), Protection::Srtp(session(profile, 3, 4))]);
    (0..50 * 40).for_each(|_| w.tick());
    for leg in &w.legs {
        let s = leg.stats();
        assert_eq!((s.datagrams_in, s.record.pages), (0, 0));
        assert!(s.srtp.not_authentic > 10 && s.srtp.not_authentic == s.unopened);
    }
    w.arrived();

    let scene = Scene { name: "rtp-awaits", ..Scene::default() };
    let mut w = world(&scene, true, [Protection::Awaiting, Protection::Awaiting]);
    for _ in 0..50 * 4 {
        w.tick();
        assert!(w.wires.iter().all(|w| w.is_empty()), "something was said without keys");
    }
    assert!(w.legs.iter().any(|l| l.stats().withheld > 0));
    // The keys come, and the call, whose machines have gone on meanwhile, succeeds.
    assert!(w.legs[0].secure_rtp(session(profile, 1, 2)).is_none());
    assert!(w.legs[1].secure_rtp(session(profile, 2, 1)).is_none());
    let (sender, _) = w.run();
    assert_eq!(sender.text, "OK");
    let (sent, got) = w.arrived();
    assert!(sent == got);
}

#[test]
fn the_keys_change_in_the_middle_of_a_page() {
    let scene = Scene { name: "rtp-rekey", ecm: true, ..Scene::default() };
    let mut w = world(&scene, true, secured(Profile::AesCm128HmacSha1_80));
    (0..50 * 15).for_each(|_| w.tick());
    assert!(w.legs[1].secure_rtp(session(Profile::AeadAes128Gcm, 4, 3)).is_some());
    assert!(w.legs[0].secure_rtp(session(Profile::AeadAes128Gcm, 3, 4)).is_some());
    let (sender, _) = w.run();
    assert_eq!((sender.text, w.legs[1].stats().protected_by), ("OK", Some("AEAD_AES_128_GCM")));
    let (sent, got) = w.arrived();
    assert!(sent == got);
}

#[test]
fn every_packet_on_the_wire_is_sealed_and_none_says_the_same_under_another_number() {
    let profile = Profile::AesCm128HmacSha1_80;
    let scene = Scene { name: "rtp-wire", correction: ErrorCorrection::None, ..Scene::default() };
    let mut w = world(&scene, false, secured(profile));
    let mut ears = [session(profile, 0, 1), session(profile, 0, 2)];
    let (mut packets, mut repeats) = (HashSet::new(), 0);
    for _ in 0..50 * 30 {
        w.tick();
        for to in 0..2 {
            for (_, wire) in w.wires[to].iter().filter(|(due, _)| *due == w.now_ms + w.delay_ms) {
                if !packets.insert(wire.clone()) {
                    repeats += 1;
                    continue;
                }
                let mut clear = wire.clone();
                let n = ears[1 - to].unprotect_rtp(&mut clear).expect("every new packet is authentic");
                assert!(clear[1] == 100 && n > 12 && clear[12..n] != wire[12..n]);
            }
        }
    }
    assert!(packets.len() > 200 && repeats > 10, "{} {repeats}", packets.len());
    w.arrived();
}
