//! Two ends of an association, with everything between them that a network and an attacker may do.

use super::fuzz::{certificate, params, speak};
use super::*;
use crate::clock::{Instant, ms};
use std::sync::Arc;

const NOW: Instant = Instant::from_ms(100_000);

struct Pair {
    certificates: [Arc<Certificate>; 2],
    client: Association,
    server: Association,
}

fn pair() -> Pair {
    let certificates = [Arc::new(certificate()), Arc::new(certificate())];
    let expected = |i: usize| Some(Expected::one(certificates[i].fingerprint()));
    let client = Association::new(NOW, params(Role::Client, &certificates[0], expected(1)), &Dimpl);
    let server = Association::new(NOW, params(Role::Server, &certificates[1], expected(0)), &Dimpl);
    Pair { certificates, client, server }
}

fn all(_: usize, _: &mut Vec<u8>) -> bool {
    true
}

fn names(events: &[Event]) -> Vec<&'static str> {
    let name = |e: &Event| match e {
        Event::Connected(_) => "connected",
        Event::Proven => "proven",
        Event::Failed(_) => "failed",
        Event::Closed => "closed",
    };
    events.iter().map(name).collect()
}

fn passes(from: &mut Records, to: &mut Records, payload: &[u8]) -> bool {
    let mut wire = [0; 1500];
    let Some(n) = from.seal(payload, &mut wire) else { return false };
    let mut heard = Vec::new();
    to.open(&wire[..n], &mut |d| heard.push(d.to_vec()));
    heard == [payload]
}

#[test]
fn two_ends_prove_each_other_in_one_round_trip_and_share_keys() {
    let mut p = pair();
    let (flights, events) = speak(NOW, [&mut p.client, &mut p.server], &mut all);
    assert_eq!(events.each_ref().map(|e| names(e)), [["connected", "proven"], ["connected", "proven"]]);
    let Event::Connected(c) = &events[0][0] else { panic!("{events:?}") };
    assert_eq!((c.version, c.peer.fingerprint), ("DTLS 1.3", p.certificates[1].fingerprint()));
    // Client's hello; the server's whole flight, after which the client may speak; the client's end; the acknowledgement of that.
    assert_eq!(flights, 4);
    let keys = [&p.client, &p.server].map(|a| a.srtp().expect("both offered SRTP").clone());
    assert_eq!((keys[0].profile, &keys[0].material), (0x0008, &keys[1].material));
    assert_eq!(keys[0].material.len(), 2 * (32 + 12));
    let (mut a, mut b) = (p.client.take_records().unwrap(), p.server.take_records().unwrap());
    assert!(p.client.take_records().is_none(), "two would use nonces twice");
    for n in [0, 1, 60, 172, 1200] {
        let payload = vec![n as u8; n];
        assert!(passes(&mut a, &mut b, &payload) && passes(&mut b, &mut a, &payload), "{n}");
    }
}

#[test]
fn a_flight_that_is_lost_is_said_again() {
    for lost in 0..7 {
        let mut p = pair();
        let mut count = 0;
        let mut now = NOW;
        let mut proven = [false; 2];
        for _ in 0..40 {
            let (_, events) = speak(now, [&mut p.client, &mut p.server], &mut |_, _| {
                count += 1;
                count != lost + 1
            });
            for (proven, events) in proven.iter_mut().zip(&events) {
                *proven |= names(events).contains(&"proven");
                assert!(!names(events).contains(&"failed"), "{lost}: {events:?}");
            }
            let Some(next) = [&p.client, &p.server].iter().filter_map(|a| a.poll_timeout()).min() else { break };
            now = next.max(now + ms(1));
            p.client.handle_timeout(now);
            p.server.handle_timeout(now);
        }
        assert_eq!(proven, [true, true], "without datagram {lost}");
    }
}

#[test]
fn another_certificate_than_the_expected_one_gets_nothing() {
    let others = Arc::new(certificate());
    for (client_expects, server_expects) in [(true, false), (false, true)] {
        let p = pair();
        let expected =
            |right: bool, i: usize| Some(Expected::one(if right { p.certificates[i].fingerprint() } else { others.fingerprint() }));
        let mut client = Association::new(NOW, params(Role::Client, &p.certificates[0], expected(client_expects, 1)), &Dimpl);
        let mut server = Association::new(NOW, params(Role::Server, &p.certificates[1], expected(server_expects, 0)), &Dimpl);
        let (_, events) = speak(NOW, [&mut client, &mut server], &mut all);
        let wrong = usize::from(client_expects);
        let Some(Event::Failed(why)) = events[wrong].last() else { panic!("{events:?}") };
        assert!(why.contains("another certificate"), "{why}");
        let deceived = [&mut client, &mut server];
        assert_eq!(deceived[wrong].verdict(), Verdict::Refused);
        for (i, a) in deceived.into_iter().enumerate() {
            if i == wrong {
                assert!(a.take_records().is_none() && a.srtp().is_none());
            }
        }
    }
}

#[test]
fn who_refuses_says_so_by_an_alert_that_the_other_end_understands() {
    let p = pair();
    let nobody = Some(Expected::one(crate::key::Fingerprint([7; 32])));
    let mut client =
        Association::new(NOW, params(Role::Client, &p.certificates[0], Some(Expected::one(p.certificates[1].fingerprint()))), &Dimpl);
    let mut server = Association::new(NOW, params(Role::Server, &p.certificates[1], nobody), &Dimpl);
    let (_, events) = speak(NOW, [&mut client, &mut server], &mut all);
    // The client was complete before; the alert under the keys of the records reaches its engine.
    let Some(Event::Failed(why)) = events[0].last() else { panic!("{events:?}") };
    assert!(why.contains("bad_certificate"), "{why}");
}

#[test]
fn nothing_is_given_before_it_is_known_who_was_expected() {
    let p = pair();
    let mut client = Association::new(NOW, params(Role::Client, &p.certificates[0], None), &Dimpl);
    let mut server = Association::new(NOW, params(Role::Server, &p.certificates[1], None), &Dimpl);
    let (_, events) = speak(NOW, [&mut client, &mut server], &mut all);
    assert_eq!(names(&events[1]), ["connected"]);
    assert!(server.take_records().is_none() && server.srtp().is_none());
    server.expect(Expected::one(p.certificates[0].fingerprint()));
    assert_eq!(server.verdict(), Verdict::Proven);
    assert!(matches!(server.poll_event(), Some(Event::Proven)));
    assert!(server.take_records().is_some());
    client.expect(Expected::one(p.certificates[0].fingerprint()));
    assert_eq!(client.verdict(), Verdict::Refused);
    assert!(client.take_records().is_none());
}

#[test]
fn fingerprints_of_the_strongest_hash_count_and_weak_ones_do_not() {
    let certificate = PeerCertificate::new(certificate().der().to_vec());
    let (right, wrong) = (Hash::Sha256.digest(&certificate.der), [9; 32]);
    let stronger = Hash::Sha384.digest(&certificate.der);
    let admits = |lines: &[(&str, &[u8])]| Expected::of(lines.iter().copied()).map(|e| e.admits(&certificate));
    assert_eq!(admits(&[("SHA-256", &right)]), Some(true));
    assert_eq!(admits(&[("sha-256", &wrong), ("sha-256", &right)]), Some(true));
    assert_eq!(admits(&[("sha-256", &wrong)]), Some(false));
    assert_eq!(admits(&[("sha-256", &wrong), ("sha-384", &stronger)]), Some(true));
    assert_eq!(admits(&[("sha-256", &right), ("sha-512", &[1; 64])]), Some(false));
    assert_eq!(admits(&[("sha-1", &[1; 20]), ("md5", &[1; 16])]), None);
    assert_eq!(admits(&[("sha-256", &right[..31])]), None);
}

#[test]
fn a_handshake_that_nobody_answers_ends_after_ten_seconds() {
    let mut p = pair();
    let mut now = NOW;
    let mut said = 0;
    let why = loop {
        while p.client.poll_transmit().is_some() {
            said += 1;
        }
        if let Some(Event::Failed(why)) = p.client.poll_event() {
            break why;
        }
        now = p.client.poll_timeout().expect("a waiting state has a timer");
        p.client.handle_timeout(now);
    };
    assert!(why.contains("handshake") && (ms(9_000)..=ms(10_000)).contains(&(now - NOW)) && said > 3, "{why} {:?} {said}", now - NOW);
    // Who waits to be spoken to has no deadline before the peer was told, and one from then on.
    assert_eq!(p.server.poll_timeout().filter(|at| *at <= NOW + ms(60_000)), None);
    p.server.peer_told(NOW);
    p.server.handle_timeout(NOW + ms(10_000));
    assert!(matches!(p.server.poll_event(), Some(Event::Failed(_))));
}

#[test]
fn records_that_were_changed_repeated_or_made_up_are_dropped() {
    let mut p = pair();
    speak(NOW, [&mut p.client, &mut p.server], &mut all);
    let (mut a, mut b) = (p.client.take_records().unwrap(), p.server.take_records().unwrap());
    let mut wires: Vec<Vec<u8>> = Vec::new();
    for i in 0..100u8 {
        let mut wire = [0; 100];
        let n = a.seal(&[i; 20], &mut wire).unwrap();
        wires.push(wire[..n].to_vec());
    }
    let mut open = |wire: &[u8]| {
        let mut heard = 0;
        let opened = b.open(wire, &mut |_| heard += 1);
        (heard, opened.dropped)
    };
    for at in 0..wires[0].len() {
        let mut wire = wires[0].clone();
        wire[at] ^= 4;
        assert_eq!(open(&wire).0, 0, "octet {at}");
    }
    assert_eq!(open(&wires[0][..30]), (0, 1));
    assert_eq!(open(&wires[5]), (1, 0));
    assert_eq!(open(&wires[5]), (0, 1), "a repeat");
    assert_eq!(open(&wires[0]), (1, 0), "late");
    assert_eq!(open(&wires[99]), (1, 0));
    assert_eq!(open(&wires[30]), (0, 1), "too late");
    assert_eq!(open(&[wires[97].clone(), wires[98].clone()].concat()), (2, 0));
}

#[test]
fn who_closes_is_heard_and_silent() {
    let mut p = pair();
    speak(NOW, [&mut p.client, &mut p.server], &mut all);
    let (mut a, mut b) = (p.client.take_records().unwrap(), p.server.take_records().unwrap());
    let mut wire = [0; 100];
    let n = a.close(&mut wire).unwrap();
    assert!(b.open(&wire[..n], &mut |_| panic!("no data")).closed);
    assert!(b.is_closed() && a.seal(b"x", &mut wire).is_none() && b.seal(b"x", &mut wire).is_none());
}

#[test]
fn the_end_of_the_handshake_is_said_again_after_the_records_were_taken() {
    // The acknowledgement of the client's end is lost; the client repeats it, and the server's association answers beside the records.
    let mut p = pair();
    let mut count = 0;
    speak(NOW, [&mut p.client, &mut p.server], &mut |from, _| {
        count += usize::from(from == 1);
        // The server's flight is one datagram; what comes after is the acknowledgement.
        from == 0 || count == 1
    });
    let (mut a, mut b) = (p.client.take_records().unwrap(), p.server.take_records().unwrap());
    assert!(passes(&mut b, &mut a, b"early data"));
    let mut now = NOW;
    for _ in 0..20 {
        now = now + ms(250);
        p.client.handle_timeout(now);
        p.server.handle_timeout(now);
        for _ in 0..3 {
            while let Some(d) = p.client.poll_transmit() {
                if b.open(&d, &mut |_| {}).for_association {
                    p.server.handle_datagram(now, &d);
                }
            }
            while let Some(d) = p.server.poll_transmit() {
                if a.open(&d, &mut |_| {}).for_association {
                    p.client.handle_datagram(now, &d);
                }
            }
        }
    }
    assert!(p.client.poll_event().is_none() && p.server.poll_event().is_none());
    assert!(passes(&mut a, &mut b, b"still there") && passes(&mut b, &mut a, b"both ways"));
}

#[test]
fn who_is_never_acknowledged_stays_proven_and_data_before_the_acknowledgement_does_no_harm() {
    for early in [false, true] {
        let mut p = pair();
        let mut count = 0;
        // The server's first flight arrives, and nothing after it.
        speak(NOW, [&mut p.client, &mut p.server], &mut |from, _| {
            count += usize::from(from == 1);
            from == 0 || count == 1
        });
        let mut b = p.server.take_records().unwrap();
        let (mut now, mut wire, mut acknowledged) = (NOW, [0; 100], false);
        for _ in 0..400 {
            now = now + ms(50);
            if early {
                let n = b.seal(b"before anybody listens", &mut wire).unwrap();
                p.client.handle_datagram(now, &wire[..n]);
            }
            p.client.handle_timeout(now);
            p.server.handle_timeout(now);
            while let Some(d) = p.client.poll_transmit() {
                assert!(!acknowledged, "it goes on repeating what was acknowledged");
                if early && b.open(&d, &mut |_| {}).for_association {
                    p.server.handle_datagram(now, &d);
                }
            }
            while let Some(d) = p.server.poll_transmit() {
                p.client.handle_datagram(now, &d);
                acknowledged = true;
            }
        }
        assert_eq!((p.client.verdict(), acknowledged), (Verdict::Proven, early));
        assert!(core::iter::from_fn(|| p.client.poll_event()).all(|e| !matches!(e, Event::Failed(_))));
        let mut a = p.client.take_records().unwrap();
        assert!(passes(&mut a, &mut b, b"out") && passes(&mut b, &mut a, b"in"));
    }
}

#[test]
fn the_same_seed_gives_the_same_octets() {
    let run = |seed: u64| {
        let certificates = [1, 2].map(|s| Arc::new(Certificate::for_simulation(s)));
        let expected = |i: usize| Some(Expected::one(certificates[i].fingerprint()));
        let mut client = Association::new(NOW, params(Role::Client, &certificates[0], expected(1)), &SeededForSimulation(seed));
        let mut server = Association::new(NOW, params(Role::Server, &certificates[1], expected(0)), &SeededForSimulation(seed + 1));
        let mut wire = Vec::new();
        let (_, events) = speak(NOW, [&mut client, &mut server], &mut |_, d| {
            wire.push(d.clone());
            true
        });
        assert_eq!(names(&events[0]), ["connected", "proven"], "{events:?}");
        let mut sealed = [0; 100];
        let n = client.take_records().unwrap().seal(b"page", &mut sealed).unwrap();
        wire.push(sealed[..n].to_vec());
        wire
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}

#[test]
fn in_a_simulation_too_only_the_holder_of_the_key_proves_a_certificate() {
    let right = Certificate::for_simulation(2);
    let stolen = Arc::new(Certificate::new(right.der().to_vec(), Certificate::for_simulation(3).key_der().to_vec()));
    let ours = Arc::new(Certificate::for_simulation(1));
    let mut client = Association::new(NOW, params(Role::Client, &ours, Some(Expected::one(right.fingerprint()))), &SeededForSimulation(1));
    let mut thief = Association::new(NOW, params(Role::Server, &stolen, None), &SeededForSimulation(2));
    let (_, events) = speak(NOW, [&mut client, &mut thief], &mut all);
    assert_eq!(names(&events[0]), ["failed"]);
}

/// The corpus made by hand: shapes of each kind of chunk of [`fuzz::association`].
fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    // Chunks: what (bit 0 the sender, bits 1 and 2 the kind), length, octets.
    let pass = |from: u8| vec![from | 2 << 1, 0];
    let whole = [pass(0), pass(1), pass(0), pass(1)].concat();
    let hello = [vec![0u8, 25, 22, 0xFE, 0xFD], vec![0; 8], vec![0, 12, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
    let hello = {
        let mut h = hello;
        h[1] = (h.len() - 2) as u8;
        h
    };
    let alert = |kind: u8| vec![kind, 15, 21, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 2, 40];
    vec![
        ("whole", whole.clone()),
        ("bent_hello", [vec![1 << 1, 4, 1, 2, 3, 4], pass(0), pass(1)].concat()),
        ("bent_flight", [pass(0), vec![1 | 1 << 1 | 2 << 3, 4, 9, 9, 9, 9], pass(1), vec![3 << 1, 20]].concat()),
        ("empty_hellos", hello.repeat(70)),
        ("alert_first", [alert(1), pass(0), pass(1)].concat()),
        ("alert_after", [whole.clone(), alert(0), alert(1)].concat()),
        ("records_after", [whole, vec![0, 30, 0x2F, 0, 1, 0, 25], vec![7; 25], vec![1, 20, 23, 0xFE, 0xFD, 0, 1], vec![0; 15]].concat()),
        ("silence", [3u8 << 1, 200, 0].repeat(3)),
    ]
}

#[test]
fn the_corpus_runs_through_its_target_whole_cut_and_broken() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/corpus/dtls");
    for (name, seed) in seeds() {
        let stored = std::fs::read(folder.join(name)).unwrap_or_else(|_| panic!("{name} is part of the tree"));
        assert_eq!(stored, seed, "{name}");
        fuzz::association(&seed);
        let mut rng = crate::clock::Rng::new(3);
        for _ in 0..6 {
            let mut broken = seed[..rng.below(seed.len() as u64 + 1) as usize].to_vec();
            for _ in 0..3 {
                if !broken.is_empty() {
                    let at = rng.below(broken.len() as u64) as usize;
                    broken[at] ^= rng.next_u64() as u8;
                }
            }
            fuzz::association(&broken);
        }
    }
}

#[test]
fn a_flood_of_beginnings_is_bounded() {
    // Hellos that never become whole, and whole ones without end: what is kept and what is answered stays small.
    let mut p = pair();
    let hello = p.client.poll_transmit().unwrap();
    let (mut answered, mut failed) = (0, 0);
    for i in 0..20_000u32 {
        let mut datagram = hello.clone();
        match i % 3 {
            0 => datagram[17] = i as u8,
            1 => datagram.truncate(60 + i as usize % 900),
            _ => datagram[20] ^= i as u8,
        }
        p.server.handle_datagram(NOW, &datagram);
        while let Some(d) = p.server.poll_transmit() {
            answered += d.len();
        }
        while let Some(e) = p.server.poll_event() {
            failed += usize::from(matches!(e, Event::Failed(_)));
        }
    }
    assert!(failed <= 1 && answered < 40_000, "{failed} {answered}");
}

#[test]
#[ignore = "some minutes of CPU: what the fuzz target does, without its compiler"]
fn many_broken_handshakes() {
    let seeds = seeds();
    for seed in 0..30_000u64 {
        let mut rng = crate::clock::Rng::new(seed);
        let mut input = Vec::new();
        for _ in 0..=rng.below(6) {
            let (_, part) = &seeds[rng.below(seeds.len() as u64) as usize];
            input.extend_from_slice(&part[..rng.below(part.len().min(400) as u64 + 1) as usize]);
        }
        // Whole chunks that bend a datagram under way, and octets that were hit.
        for _ in 0..rng.below(4) {
            let octets: Vec<u8> = (0..rng.below(40)).map(|_| rng.next_u64() as u8 & rng.next_u64() as u8).collect();
            let chunk = [&[(rng.next_u64() as u8 & !6) | 2, octets.len() as u8], &octets[..]].concat();
            let at = rng.below(input.len() as u64 + 1) as usize;
            input.splice(at..at, chunk);
        }
        for _ in 0..rng.below(4) {
            if !input.is_empty() {
                let at = rng.below(input.len() as u64) as usize;
                input[at] ^= rng.next_u64() as u8;
            }
        }
        fuzz::association(&input);
    }
}
