//! What strangers may cost: refusals that keep nothing, places and memory that one source cannot take alone, repeats that find their answer.

use super::*;
use crate::limits::SIP_RINGING_PER_SOURCE_MAX;

/// An INVITE from there; `n` tells it from others.
fn invite(n: usize, from: SocketAddr, headers: &str) -> String {
    format!(
        "INVITE sip:2001@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{n}\r\nMax-Forwards: 70\r\nFrom: <sip:9@{from}>;tag={n}\r\n\
         To: <sip:2001@192.0.2.2>\r\nCall-ID: {n}\r\nCSeq: 1 INVITE\r\nContact: <sip:9@{from}>\r\n{headers}\r\n"
    )
}

/// The ACK or CANCEL of that; `to` is the To of what it is for.
fn of_invite(method: &str, n: usize, from: SocketAddr, to: &str) -> String {
    invite(n, from, "").replace("INVITE", method).replace("To: <sip:2001@192.0.2.2>", &format!("To: {to}"))
}

/// Endpoint 1 refuses every call that it is told of. Gives the calls back.
fn refuse_all(w: &mut World, status: u16) -> usize {
    let mut calls = 0;
    while let Some(event) = w.ends[1].poll_event() {
        if let Event::Incoming { dialog, .. } = event {
            w.ends[1].reject(w.now, dialog, status, None).unwrap();
            calls += 1;
        }
    }
    calls
}

#[test]
fn a_refused_call_costs_one_answer_and_leaves_nothing() {
    let mut w = World::new(GOOD, 90);
    // With room for eight, a flood of a thousand that were each kept for 32 s would shut everybody out.
    w.ends[1].config.transactions_max = 16;
    for n in 0..1_000 {
        let from = SocketAddr::from(([198, 51, (n / 250) as u8, (n % 250) as u8], 5060));
        w.hear(1, from, invite(n, from, ""));
        assert_eq!(refuse_all(&mut w, 404), 1, "call {n} was heard");
        let sent = w.sent(1);
        assert_eq!(sent.iter().map(|(hop, m)| (hop.addr, m.status())).collect::<Vec<_>>(), [(from, Some(404))], "one answer, no 100");
        let to = header(&sent[0].1, "To");
        if n % 10 == 0 {
            // The answer was lost: the repeat gets the same tag. The ACK ends nothing, and is no stranger.
            w.hear(1, from, invite(n, from, ""));
            refuse_all(&mut w, 404);
            assert_eq!(header(&w.sent(1)[0].1, "To"), to);
            w.hear(1, from, of_invite("ACK", n, from, &to));
            assert_eq!(w.sent(1), []);
        }
    }
    let end = &mut w.ends[1];
    assert_eq!(end.alive(), Alive { index_entries: 0, ..Alive::default() });
    assert_eq!(end.poll_timeout(), None, "nothing is repeated to who was never there");
    let c = end.counters();
    assert_eq!((c.stray_acks, c.repeated, c.full, c.refused), (0, 0, 0, 1_100));
    // What the ACK of another request is not.
    w.hear(1, addr(9), of_invite("ACK", 7_777, addr(9), "<sip:2001@192.0.2.2>;tag=guessed"));
    assert_eq!(w.ends[1].counters().stray_acks, 1);
    // An honest caller gets through, in the same moment.
    w.connected();
}

#[test]
fn whatever_an_invite_is_refused_for_it_leaves_nothing_and_has_nothing_to_cancel() {
    for (headers, status) in [
        ("Require: x\r\n", 420),
        ("Content-Encoding: gzip\r\n", 415),
        ("Accept: text/plain\r\n", 406),
        ("Supported: timer\r\nSession-Expires: 60\r\n", 422),
        ("", 486),
    ] {
        for hop in [Hop::udp(addr(77)), Hop::tcp(addr(77))] {
            let mut w = World::new(GOOD, 91);
            w.hear(1, hop, invite(1, addr(77), headers));
            refuse_all(&mut w, 486);
            let sent = w.sent(1);
            assert_eq!(sent.iter().map(|(_, m)| m.status()).collect::<Vec<_>>(), [Some(status)]);
            assert!(header(&sent[0].1, "To").contains(";tag="));
            assert_eq!((w.ends[1].alive(), w.ends[1].poll_timeout()), (Alive::default(), None), "{status}");
            w.hear(1, hop, of_invite("CANCEL", 1, addr(77), "<sip:2001@192.0.2.2>"));
            assert_eq!(w.sent(1)[0].1.status(), Some(481));
            assert_eq!(w.ends[1].alive(), Alive::default());
        }
    }
    // A dialog that is not there.
    let mut w = World::new(GOOD, 91);
    w.hear(1, addr(77), invite(1, addr(77), "").replace("To: <sip:2001@192.0.2.2>", "To: <sip:2001@192.0.2.2>;tag=gone"));
    assert_eq!(w.sent(1)[0].1.status(), Some(481));
    assert_eq!((w.ends[1].alive(), w.ends[1].poll_timeout()), (Alive::default(), None));
}

/// The other half of the two above: who heard that we try, or that it rings, repeats his call no more; so the refusal is repeated for him.
#[test]
fn who_heard_a_first_word_hears_the_refusal_until_it_arrives() {
    for ringing in [false, true] {
        let mut w = World::new(GOOD, 92);
        w.hear(1, addr(77), invite(1, addr(77), ""));
        let Some(Event::Incoming { dialog, .. }) = w.ends[1].poll_event() else { panic!() };
        let first = if ringing { 180 } else { 100 };
        if ringing {
            w.ends[1].ringing(w.now, dialog).unwrap();
        } else {
            let (at, why) = w.ends[1].poll_timeout().unwrap();
            assert_eq!((at, why), (w.now + ms(200), TimerReason { timer: Timer::Trying, dialog: Some(dialog) }));
            w.now = at;
            w.ends[1].handle_timeout(at);
        }
        assert_eq!(w.sent(1).iter().map(|(_, m)| m.status()).collect::<Vec<_>>(), [Some(first)]);
        assert_ne!(w.ends[1].poll_timeout().unwrap().1.timer, Timer::Trying);
        w.ends[1].reject(w.now, dialog, 486, None).unwrap();
        w.run_ms(3_000);
        assert_eq!(w.ladder(), "<486 <486 <486");
        let to = header(&Message::parse(&w.outside[0].bytes).unwrap(), "To");
        w.hear(1, addr(77), of_invite("ACK", 1, addr(77), &to));
        w.run_ms(4_000);
        assert_eq!(w.ladder(), "");
        w.take(1);
        w.assert_all_gone();
    }
}

#[test]
fn one_source_takes_a_part_of_the_places_and_never_all() {
    let of = |host: u64, n: usize| {
        let ip = core::net::Ipv6Addr::from_bits((0x2001_0db8_0000_0010_u128 | u128::from(host)) << 64 | n as u128);
        SocketAddr::from((ip, 5060))
    };
    let mut w = World::new(GOOD, 93);
    for n in 0..SIP_RINGING_PER_SOURCE_MAX + 10 {
        // One host has a whole /64 for its addresses.
        w.hear(1, of(0, n), invite(n, of(0, n), ""));
    }
    assert_eq!(w.ends[1].alive().dialogs, SIP_RINGING_PER_SOURCE_MAX);
    let refused = w.sent(1);
    assert!(refused.iter().all(|(_, m)| m.status() == Some(503) && header(m, "Retry-After") == "5"));
    assert_eq!((refused.len(), w.ends[1].counters().crowded), (10, 10));
    // Another, its neighbour, is heard; so is one whom we trust, however many he brings.
    w.hear(1, of(1, 0), invite(90_000, of(1, 0), ""));
    w.ends[1].config.trusted.push(crate::sip::Network::host(of(0, 5).ip()));
    w.hear(1, of(0, 5), invite(90_001, of(0, 5), ""));
    assert_eq!((w.sent(1), w.ends[1].alive().dialogs), (vec![], SIP_RINGING_PER_SOURCE_MAX + 2));
    // Who is answered or refused makes room.
    let calls: Vec<DialogId> = core::iter::from_fn(|| w.ends[1].poll_event()).filter_map(|e| e.dialog()).collect();
    w.ends[1].answer(w.now, calls[0], b"v=0".to_vec()).unwrap();
    w.ends[1].reject(w.now, calls[1], 486, None).unwrap();
    w.sent(1);
    for n in 0..3 {
        w.hear(1, of(0, 7), invite(91_000 + n, of(0, 7), ""));
    }
    assert_eq!(w.sent(1).iter().map(|(_, m)| m.status()).collect::<Vec<_>>(), [Some(503)]);
    w.run_ms(1_000);
    w.take(1);
    w.assert_all_gone();
}

#[test]
fn what_is_kept_of_requests_has_its_measure_in_bytes_too() {
    let mut w = World::new(GOOD, 94);
    w.ends[1].config.kept_bytes_max = 80_000;
    let long = format!("Subject: {}\r\n", "x".repeat(10_000));
    let (mut rang, mut refused) = (Vec::new(), 0);
    for n in 0..20 {
        w.hear(1, addr(77), invite(n, addr(77), &long));
        refused += w.sent(1).iter().filter(|(_, m)| m.status() == Some(503)).count();
        if let Some(Event::Incoming { dialog, .. }) = w.ends[1].poll_event() {
            rang.push(dialog);
        }
        assert!(w.ends[1].alive().kept_bytes < 80_000);
    }
    assert_eq!((rang.len(), refused, w.ends[1].counters().heavy, w.ends[1].counters().full), (6, 14, 14, 0));
    // Small ones find room no more either, until something is settled: its long headers are needed no longer.
    w.hear(1, addr(78), invite(100, addr(78), ""));
    assert_eq!(w.sent(1)[0].1.status(), Some(503));
    for dialog in &rang[..2] {
        w.ends[1].answer(w.now, *dialog, b"v=0".to_vec()).unwrap();
    }
    w.sent(1);
    w.hear(1, addr(78), invite(101, addr(78), ""));
    assert_eq!(w.sent(1), []);
    assert!(matches!(w.ends[1].poll_event(), Some(Event::Incoming { .. })));
    w.run_ms(1_000);
    w.take(1);
    w.assert_all_gone();
}

#[test]
fn a_request_refused_in_its_dialog_is_answered_the_same_when_it_comes_again() {
    let mut w = World::new(GOOD, 95);
    let (a, b) = w.connected();
    let State::Confirmed { mut dialog, .. } = w.ends[0].usages[&a].state.clone() else { panic!() };
    let table = [
        (Method::Info, "text/plain", "", 415),
        (Method::Prack, "", "RAck: 77 1 INVITE", 481),
        (Method::Update, "application/sdp", "Content-Encoding: gzip", 415),
        (Method::Info, "application/dtmf-relay", "Info-Package: x", 469),
    ];
    for (n, (method, kind, more, status)) in table.into_iter().enumerate() {
        let mut m = dialog.next_request(method.clone()).0;
        m.headers.set("Via", format!("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{n}").into_bytes());
        if let Some((name, value)) = more.split_once(": ") {
            m.headers.push(name, value);
        }
        let m = if kind.is_empty() { m } else { m.with_body(kind, b"x".to_vec()) };
        w.hear(1, addr(1), m.emit());
        let first = w.sent(1);
        assert_eq!(first[0].1.status(), Some(status), "{method}");
        // Its number is used up, so a fresh look would say 500.
        w.hear(1, addr(1), m.emit());
        assert_eq!(w.sent(1), first, "{method}");
        // Under another branch it is no repeat but an old number.
        let mut odd = m.clone();
        odd.headers.set("Via", format!("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKold{n}").into_bytes());
        w.hear(1, addr(1), odd.emit());
        assert!(matches!(w.sent(1)[0].1.status(), Some(500 | 415)), "{method}");
    }
    assert_eq!(w.take(1), []);
    w.ends[1].hangup(w.now, b, None).unwrap();
    w.assert_all_gone();
}

#[test]
fn only_a_request_that_is_still_open_makes_another_of_its_kind_a_copy() {
    let mut w = World::new(GOOD, 96);
    let other_way = invite(1, addr(77), "").replace("branch=z9hG4bK1", "branch=z9hG4bK1b");
    w.hear(1, addr(77), invite(1, addr(77), ""));
    let Some(Event::Incoming { dialog, .. }) = w.ends[1].poll_event() else { panic!() };
    w.ends[1].ringing(w.now, dialog).unwrap();
    w.sent(1);
    w.hear(1, addr(78), &other_way);
    assert_eq!(w.sent(1)[0].1.status(), Some(482), "it rings");
    w.ends[1].reject(w.now, dialog, 486, None).unwrap();
    assert_eq!(w.sent(1)[0].1.status(), Some(486));
    assert_eq!(w.ends[1].alive().server_transactions, 1, "it waits for its ACK");
    w.ends[1].poll_event();
    // Its caller tries the next way (RFC 3263 s.4.3): everything but the branch stays.
    w.hear(1, addr(78), invite(1, addr(77), "").replace("branch=z9hG4bK1", "branch=z9hG4bK1d"));
    assert_eq!(w.sent(1), []);
    let Some(Event::Incoming { dialog, .. }) = w.ends[1].poll_event() else { panic!("it is a call of its own") };
    // And that one is what a third is a copy of, when the first is long gone.
    w.run_ms(33_000);
    w.take(1);
    w.outside.clear();
    w.hear(1, addr(79), invite(1, addr(77), "").replace("branch=z9hG4bK1", "branch=z9hG4bK1c"));
    assert_eq!(w.sent(1)[0].1.status(), Some(482));
    w.ends[1].hangup(w.now, dialog, None).unwrap();
    w.assert_all_gone();
}

#[test]
fn a_copy_that_outlives_the_transaction_does_not_disturb_its_call() {
    let mut w = World::new(GOOD, 97);
    w.hear(1, addr(77), invite(1, addr(77), ""));
    let Some(Event::Incoming { dialog, .. }) = w.ends[1].poll_event() else { panic!() };
    w.ends[1].answer(w.now, dialog, b"v=0".to_vec()).unwrap();
    let to = header(&w.sent(1)[0].1, "To");
    w.hear(1, addr(77), of_invite("ACK", 2, addr(77), &to).replace("Call-ID: 2", "Call-ID: 1").replace(";tag=2\r\nTo", ";tag=1\r\nTo"));
    w.run_ms(33_000);
    assert!(matches!(w.take(1)[..], [Event::Acked { .. }]));
    assert_eq!((w.ends[1].alive().server_transactions, w.ends[1].alive().dialogs), (0, 1));
    w.hear(1, addr(77), invite(1, addr(77), ""));
    assert_eq!(w.sent(1)[0].1.status(), Some(482));
    assert_eq!(w.take(1), []);
    let bye = of_invite("BYE", 1, addr(77), &to).replace("CSeq: 1", "CSeq: 2");
    w.hear(1, addr(77), bye);
    assert_eq!(w.sent(1)[0].1.status(), Some(200), "the call is found");
    w.take(1);
    w.assert_all_gone();
}

/// SplitMix64 goes backwards: who sees one of its numbers knows all that follow. No tag or branch may be one.
#[test]
fn who_has_seen_a_tag_cannot_name_the_next() {
    let gamma = 0x9E37_79B9_7F4A_7C15_u64;
    let unshift = |z: u64, by: u32| core::iter::successors(Some(z), |x| Some(z ^ (x >> by))).nth(3).unwrap();
    let inverse = |n: u64| (0..6).fold(n, |x, _| x.wrapping_mul(2_u64.wrapping_sub(n.wrapping_mul(x))));
    let next = |seen: u64| {
        let z = unshift(seen, 31).wrapping_mul(inverse(0x94D0_49BB_1331_11EB));
        let z = unshift(z, 27).wrapping_mul(inverse(0xBF58_476D_1CE4_E5B9));
        Rng::new(unshift(z, 30)).next_u64()
    };
    // The way back is right: from one number to the next.
    let mut rng = Rng::new(4711);
    let first = rng.next_u64();
    assert_eq!(next(first), rng.next_u64());
    assert_eq!(next(Rng::new(0).next_u64()), Rng::new(gamma).next_u64());
    let mut w = World::new(GOOD, 98);
    let tokens: Vec<u64> = (0..100).map(|_| u64::from_str_radix(core::str::from_utf8(&w.ends[0].token()).unwrap(), 16).unwrap()).collect();
    assert!(tokens.windows(2).all(|two| next(two[0]) != two[1]));
    assert_eq!(tokens.iter().collect::<std::collections::BTreeSet<_>>().len(), 100);
}

#[test]
#[allow(clippy::disallowed_methods)] // What is measured is the machine this runs on.
fn a_way_that_breaks_costs_what_hangs_on_it_however_full_the_table() {
    let mut w = World::new(GOOD, 99);
    let tcp = |n: usize| Hop::tcp(SocketAddr::from(([10, (n >> 16) as u8, (n >> 8) as u8, n as u8], 5060)));
    let ours = 50_000;
    for n in 0..ours {
        w.ends[0].options(w.now, tcp(n % 1_000), "1").unwrap();
        while w.ends[0].poll_transmit().is_some() {}
    }
    // Connections of strangers come and go. To look at all that is alive for each would take seconds here.
    let start = std::time::Instant::now();
    for n in 0..5_000 {
        w.ends[0].handle_transport_failure(w.now, tcp(100_000 + n));
    }
    let took = start.elapsed();
    println!("5,000 broken ways beside {ours} transactions: {took:?}");
    assert!(took < core::time::Duration::from_millis(500), "{took:?}");
    assert_eq!(w.take(0), [], "and nobody else is told");
    w.ends[0].handle_transport_failure(w.now, tcp(7));
    let failed = w.take(0);
    assert_eq!(failed.len(), ours / 1_000);
    assert!(failed.iter().all(|e| matches!(e, Event::OptionsAnswered { status: 503, .. })));
    assert_eq!(w.ends[0].alive().client_transactions, ours - ours / 1_000);
    w.run_ms(33_000);
    while w.ends[0].poll_timeout().is_some_and(|(at, _)| at <= w.now) {
        w.ends[0].handle_timeout(w.now);
    }
    assert_eq!(w.ends[0].alive(), Alive::default());
}

#[test]
fn who_rings_says_so_each_minute_in_the_way_that_its_caller_takes() {
    for (headers, reliable) in [("", false), ("Require: 100rel\r\n", true), ("Supported: 100rel\r\n", false)] {
        let mut w = World::new(GOOD, 100);
        w.hear(1, addr(77), invite(1, addr(77), headers));
        let Some(Event::Incoming { dialog, .. }) = w.ends[1].poll_event() else { panic!() };
        w.ends[1].ringing(w.now, dialog).unwrap();
        let mut heard = Vec::new();
        let end = w.now + ms(179_000);
        loop {
            for (_, m) in w.sent(1) {
                if reliable && m.status() == Some(180) {
                    let to = header(&m, "To");
                    let prack = of_invite("PRACK", 1, addr(77), &to).replace("CSeq: 1", &format!("CSeq: {}", heard.len() + 2));
                    let prack = prack.replace("z9hG4bK1", &format!("z9hG4bKp{}", heard.len()));
                    w.hear(1, addr(77), prack.replace("Max-F", &format!("RAck: {} 1 INVITE\r\nMax-F", header(&m, "RSeq"))));
                }
                if m.status() == Some(180) {
                    heard.push((w.now, header(&m, "Require"), header(&m, "RSeq"), header(&m, "To")));
                }
            }
            let Some((at, _)) = w.ends[1].poll_timeout().filter(|(at, _)| *at <= end) else { break };
            w.now = w.now.max(at);
            w.ends[1].handle_timeout(w.now);
        }
        let gaps: Vec<u64> = heard.windows(2).map(|two| two[1].0.ms_since(two[0].0)).collect();
        assert_eq!(gaps, [60_000, 60_000], "{headers}");
        assert!(heard.iter().all(|h| (h.1 == "100rel") == reliable && h.3 == heard[0].3), "{heard:?}");
        assert!(heard.windows(2).all(|two| (two[0].2 != two[1].2) == reliable), "each reliable one has its own number");
        assert!(matches!(w.ends[1].usages[&dialog].state, State::Ringing { .. }));
        w.ends[1].answer(w.now, dialog, b"v=0".to_vec()).unwrap();
        assert_ne!(w.ends[1].poll_timeout().unwrap().1.timer, Timer::Remind);
        w.run_ms(1_000);
        w.take(1);
        w.assert_all_gone();
    }
}

/// A 183 with a session that was agreed by PRACK is not said again with it.
#[test]
fn a_session_that_is_agreed_is_not_repeated_by_the_reminder() {
    let mut w = World::new(GOOD, 101);
    let a = w.call();
    w.run_ms(100);
    let b = w.incoming();
    w.ends[1].progress(w.now, b, b"v=0 early".to_vec()).unwrap();
    w.run_ms(61_000);
    let heard = w.take(0);
    let early = Some(b"v=0 early".to_vec());
    assert_eq!(
        heard,
        [
            Event::Provisional { dialog: a, status: 183, sdp: early, reliable: true },
            Event::Provisional { dialog: a, status: 183, sdp: None, reliable: false }
        ]
    );
    w.ends[0].hangup(w.now, a, None).unwrap();
    w.assert_all_gone();
}

#[test]
fn an_answer_larger_than_a_datagram_of_the_path_goes_back_by_the_way_of_its_request() {
    let mut w = World::new(GOOD, 102);
    w.ends[1].config.contacts.push(Hop::tcp(addr(2)));
    let caps = b"v=0 caps ".repeat(400);
    w.ends[1].set_capabilities(caps.clone());
    let asked = invite(1, addr(77), "").replace("INVITE", "OPTIONS");
    w.hear(1, Hop::udp(SocketAddr::from(([192, 0, 2, 77], 5060))), asked);
    let sent = w.sent(1);
    let [(hop, answer)] = &sent[..] else { panic!("{sent:?}") };
    // s.18.1.1 is for requests; a response has one way (s.18.2.2).
    assert_eq!((*hop, answer.status(), answer.body == caps), (Hop::udp(addr(77)), Some(200), true));
    assert!(answer.emit().len() > 3_000);
    w.assert_all_gone();
}
