//! One call at a time over a good network: the ladders of RFC 3665, and the crossings.

use super::*;

fn ended(dialog: DialogId, cause: EndCause) -> Vec<Event> {
    vec![Event::Ended { dialog, cause, q850: None }]
}

#[test]
fn a_call_rings_is_answered_and_hung_up_by_the_caller() {
    let mut w = World::new(GOOD, 1);
    let a = w.call();
    assert!(w.ends[0].call_id(a).unwrap().ends_with("@192.0.2.1"));
    w.run_ms(100);
    let b = w.incoming();
    assert_eq!(w.ends[0].call_id(a), w.ends[1].call_id(b));
    w.ends[1].ringing(w.now, b).unwrap();
    w.run_ms(3000);
    assert_eq!(w.take(0), [Event::Provisional { dialog: a, status: 180, sdp: None, reliable: false }]);
    w.ends[1].answer(w.now, b, b"v=0 answer".to_vec()).unwrap();
    w.run_ms(1000);
    assert_eq!(w.take(0), [Event::Answered { dialog: a, sdp: b"v=0 answer".to_vec() }]);
    assert_eq!(w.take(1), [Event::Acked { dialog: b, sdp: None }]);
    w.ends[0].hangup(w.now, a, None).unwrap();
    w.run_ms(100);
    assert_eq!(w.take(0), ended(a, EndCause::HungUp));
    assert_eq!(w.take(1), ended(b, EndCause::Bye));
    assert_eq!(w.ladder(), ">INVITE <180 <200 >ACK >BYE <200");
    assert_eq!(w.ends[0].hangup(w.now, a, None), Err(CommandError::UnknownDialog));
    w.assert_all_gone();
}

#[test]
fn the_callee_hangs_up_with_a_cause() {
    let mut w = World::new(GOOD, 2);
    let (a, b) = w.connected();
    w.ends[1].hangup(w.now, b, Some(16)).unwrap();
    w.run_ms(100);
    assert_eq!(w.take(0), [Event::Ended { dialog: a, cause: EndCause::Bye, q850: Some(16) }]);
    assert_eq!(w.take(1), ended(b, EndCause::HungUp));
    assert_eq!(w.ladder(), "<BYE >200");
    w.assert_all_gone();
}

#[test]
fn a_refused_call_says_status_and_cause() {
    let mut w = World::new(GOOD, 3);
    let a = w.call();
    w.run_ms(100);
    let b = w.incoming();
    w.ends[1].reject(w.now, b, 486, Some(17)).unwrap();
    w.run_ms(100);
    assert_eq!(w.take(0), [Event::Failed { dialog: a, status: 486, reason: "Busy Here".into(), q850: Some(17), retry_after: None }]);
    assert_eq!(w.take(1), ended(b, EndCause::HungUp));
    assert_eq!(w.ladder(), ">INVITE <486 >ACK");
    w.assert_all_gone();
}

#[test]
fn a_cancelled_call_ends_with_487_and_the_tag_of_its_180() {
    let mut w = World::new(GOOD, 4);
    let a = w.call();
    w.run_ms(100);
    let b = w.incoming();
    w.ends[1].ringing(w.now, b).unwrap();
    w.run_ms(100);
    w.take(0);
    w.ends[0].hangup(w.now, a, None).unwrap();
    w.run_ms(100);
    assert_eq!(w.take(0), ended(a, EndCause::HungUp));
    assert_eq!(w.take(1), ended(b, EndCause::Cancelled));
    assert_eq!(w.ladder(), ">INVITE <180 >CANCEL <200 <487 >ACK");
    w.assert_all_gone();
}

#[test]
fn cancel_waits_for_the_first_provisional() {
    let mut w = World::new(GOOD, 5);
    let a = w.call();
    w.ends[0].hangup(w.now, a, None).unwrap();
    w.run_ms(300);
    assert_eq!(w.take(0), ended(a, EndCause::HungUp));
    assert_eq!(w.ladder(), ">INVITE <100 >CANCEL <200 <487 >ACK");
    w.assert_all_gone();
}

#[test]
fn a_cancel_that_crosses_the_200_ends_in_ack_and_bye() {
    let mut w = World::new(GOOD, 6);
    let a = w.call();
    w.run_ms(100);
    let b = w.incoming();
    w.ends[1].answer(w.now, b, b"v=0 answer".to_vec()).unwrap();
    w.ends[0].hangup(w.now, a, None).unwrap();
    w.run_ms(200);
    assert_eq!(w.take(0), ended(a, EndCause::HungUp));
    assert_eq!(w.take(1), [Event::Acked { dialog: b, sdp: None }, Event::Ended { dialog: b, cause: EndCause::Bye, q850: None }]);
    w.assert_all_gone();
}

#[test]
fn nobody_there_is_a_408_after_32_s() {
    let mut w = World::new(Link { loss: 1.0, ..GOOD }, 7);
    let a = w.call();
    w.run_ms(31_999);
    assert_eq!(w.take(0), []);
    assert_eq!(w.ends[0].poll_timeout().unwrap().1, TimerReason { timer: Timer::B, dialog: Some(a) });
    w.run_ms(1);
    assert!(matches!(w.take(0)[..], [Event::Failed { status: 408, .. }]));
    assert_eq!(w.log.len(), 7);
    w.assert_all_gone();
}

#[test]
fn an_answer_nobody_acknowledges_ends_in_bye_after_64_t1() {
    let mut w = World::new(GOOD, 8);
    w.call();
    w.run_ms(300);
    let b = w.incoming();
    w.link.loss = 1.0;
    w.ladder();
    w.ends[1].answer(w.now, b, b"v=0 answer".to_vec()).unwrap();
    w.run_ms(32_000);
    assert_eq!(w.take(1), ended(b, EndCause::NoAck));
    assert!(w.ladder().starts_with("<200 <200 <200 <200 <200 <200 <200 <200 <200 <200 <200 <BYE"));
    w.assert_all_gone();
}

#[test]
fn the_callee_who_hangs_up_before_the_ack_waits_for_it() {
    let mut w = World::new(GOOD, 9);
    let a = w.call();
    w.run_ms(100);
    let b = w.incoming();
    w.ends[1].answer(w.now, b, b"v=0 answer".to_vec()).unwrap();
    w.ends[1].hangup(w.now, b, None).unwrap();
    w.run_ms(200);
    assert_eq!(w.take(0), [Event::Answered { dialog: a, sdp: b"v=0 answer".to_vec() }, ended(a, EndCause::Bye).remove(0)]);
    assert_eq!(w.take(1), ended(b, EndCause::HungUp));
    assert_eq!(w.ladder(), ">INVITE <200 >ACK <BYE >200");
    w.assert_all_gone();
}

#[test]
fn ringing_for_ever_has_an_end_at_both_sides() {
    let mut w = World::new(GOOD, 10);
    let a = w.call();
    w.run_ms(100);
    let b = w.incoming();
    w.ends[1].ringing(w.now, b).unwrap();
    w.run_ms(200_000);
    assert_eq!(w.take(1), ended(b, EndCause::RangTooLong));
    // Told again each minute, lest a proxy loses patience (s.13.3.1.1).
    let heard = w.take(0);
    let [Event::Provisional { .. }, Event::Provisional { .. }, Event::Provisional { .. }, Event::Failed { dialog, status: 480, .. }] =
        heard[..]
    else {
        panic!("{heard:?}")
    };
    assert_eq!(dialog, a);
    w.assert_all_gone();
}

#[test]
fn either_side_changes_the_session_and_a_refusal_leaves_it() {
    let mut w = World::new(GOOD, 11);
    let (a, b) = w.connected();
    w.ends[1].reinvite(w.now, b, b"v=0 t38".to_vec()).unwrap();
    assert_eq!(w.ends[1].reinvite(w.now, b, b"again".to_vec()), Err(CommandError::WrongState));
    w.run_ms(100);
    assert_eq!(w.take(0), [Event::ReInvited { dialog: a, offer: Some(b"v=0 t38".to_vec()) }]);
    w.ends[0].answer(w.now, a, b"v=0 t38 yes".to_vec()).unwrap();
    w.run_ms(100);
    assert_eq!(w.take(1), [Event::ReInviteAnswered { dialog: b, sdp: b"v=0 t38 yes".to_vec() }]);
    assert_eq!(w.take(0), [Event::Acked { dialog: a, sdp: None }]);
    assert_eq!(w.ladder(), "<INVITE >100 >200 <ACK");
    w.ends[0].reinvite(w.now, a, b"v=0 other".to_vec()).unwrap();
    w.run_ms(100);
    w.take(1);
    w.ends[1].reject(w.now, b, 488, None).unwrap();
    w.run_ms(100);
    assert_eq!(w.take(0), [Event::ReInviteFailed { dialog: a, status: 488, retry_in_ms: None }]);
    w.ends[0].hangup(w.now, a, None).unwrap();
    w.run_ms(100);
    assert_eq!(w.take(1), ended(b, EndCause::Bye));
    w.assert_all_gone();
}

#[test]
fn glare_is_491_both_ways_and_the_maker_of_the_call_id_waits_longer() {
    let mut w = World::new(GOOD, 12);
    let (a, b) = w.connected();
    w.ends[0].reinvite(w.now, a, b"v=0 x".to_vec()).unwrap();
    w.ends[1].reinvite(w.now, b, b"v=0 y".to_vec()).unwrap();
    w.run_ms(100);
    let retry = |events: Vec<Event>| match events[..] {
        [Event::ReInviteFailed { status: 491, retry_in_ms: Some(n), .. }] => n,
        _ => panic!("{events:?}"),
    };
    assert!((2100..=4000).contains(&retry(w.take(0))));
    assert!((0..=2000).contains(&retry(w.take(1))));
    w.ends[0].hangup(w.now, a, None).unwrap();
    w.assert_all_gone();
}

#[test]
fn a_reinvite_open_when_the_call_ends_is_closed_with_487() {
    let mut w = World::new(GOOD, 13);
    let (a, b) = w.connected();
    w.ends[0].reinvite(w.now, a, b"v=0 x".to_vec()).unwrap();
    w.run_ms(100);
    w.take(1);
    w.ends[0].hangup(w.now, a, None).unwrap();
    w.run_ms(100);
    assert_eq!(w.take(1), ended(b, EndCause::Bye));
    assert_eq!(w.ladder(), ">INVITE <100 >BYE <200 <487 >ACK");
    w.assert_all_gone();
}

#[test]
fn a_peer_that_lost_the_dialog_ends_it_at_the_next_reinvite() {
    let mut w = World::new(GOOD, 14);
    let (a, _) = w.connected();
    w.ends[1] = Endpoint::new(Config::new(addr(2), "reborn"), 99);
    w.ends[0].reinvite(w.now, a, b"v=0 x".to_vec()).unwrap();
    w.run_ms(100);
    assert_eq!(w.take(0), ended(a, EndCause::PeerLost));
    w.assert_all_gone();
}

#[test]
fn options_says_what_we_take_and_can() {
    let mut w = World::new(GOOD, 15);
    w.ends[1].set_capabilities(b"v=0 caps".to_vec());
    let id = w.ends[0].options(w.now, addr(2), "2001").unwrap();
    w.run_ms(100);
    match &w.take(0)[..] {
        [Event::OptionsAnswered { options, status: 200, sdp, allow, server }] => {
            assert_eq!((*options, sdp.as_deref(), server.as_deref()), (id, Some(&b"v=0 caps"[..]), Some("tipring")));
            assert_eq!(allow, &["INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "PRACK", "UPDATE", "INFO"]);
        }
        other => panic!("{other:?}"),
    }
    w.link.loss = 1.0;
    w.ends[0].options(w.now, addr(2), "2001").unwrap();
    w.run_ms(32_000);
    assert!(matches!(w.take(0)[..], [Event::OptionsAnswered { status: 408, .. }]));
    w.assert_all_gone();
}

#[test]
fn a_late_offer_is_answered_in_the_ack() {
    let mut w = World::new(GOOD, 16);
    let text = "INVITE sip:2001@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.77:5060;branch=z9hG4bKlate\r\nMax-Forwards: 70\r\n\
         From: <sip:9@192.0.2.77>;tag=x\r\nTo: <sip:2001@192.0.2.2>\r\nCall-ID: late\r\nCSeq: 1 INVITE\r\nContact: <sip:9@192.0.2.77>\r\n\r\n";
    let peer = addr(77);
    w.ends[1].handle_datagram(w.now, peer, text.as_bytes());
    let events = w.take(1);
    let [Event::Incoming { dialog, offer: None, .. }] = events[..] else { panic!("{events:?}") };
    w.ends[1].answer(w.now, dialog, b"v=0 ours".to_vec()).unwrap();
    w.run_ms(50);
    let ok = Message::parse(&w.outside.last().unwrap().bytes).unwrap();
    assert_eq!((ok.status(), ok.sdp()), (Some(200), Some(&b"v=0 ours"[..])));
    let to = String::from_utf8_lossy(ok.headers.get("To").unwrap()).into_owned();
    let ack = text.replace("INVITE", "ACK").replace("z9hG4bKlate", "z9hG4bKack").replace("To: <sip:2001@192.0.2.2>", &format!("To: {to}"));
    let ack = ack.replace("\r\n\r\n", "\r\nContent-Type: application/sdp\r\n\r\nv=0 theirs");
    w.ends[1].handle_datagram(w.now, peer, ack.as_bytes());
    assert_eq!(w.take(1), [Event::Acked { dialog, sdp: Some(b"v=0 theirs".to_vec()) }]);
    w.ends[1].hangup(w.now, dialog, None).unwrap();
    w.assert_all_gone();
}

#[test]
fn of_two_forks_that_answer_the_second_is_acknowledged_and_hung_up() {
    let mut w = World::new(GOOD, 17);
    let a = w.call();
    let invite = Message::parse(&w.ends[0].poll_transmit().unwrap().bytes).unwrap();
    let from_fork = |w: &mut World, n: u8, status: u16| {
        let mut m = Message::response_to(&invite, status, "x").with("Contact", format!("<sip:f@{}>", addr(n)));
        tag_response(&mut m, format!("fork{n}").as_bytes());
        w.ends[0].handle_datagram(w.now, addr(n), &m.with_body("application/sdp", vec![b'0' + n]).emit());
    };
    from_fork(&mut w, 3, 180);
    from_fork(&mut w, 4, 183);
    from_fork(&mut w, 4, 200);
    from_fork(&mut w, 3, 200);
    from_fork(&mut w, 3, 200);
    let events = w.take(0);
    assert!(matches!(&events[2..], [Event::Answered { dialog, sdp }] if *dialog == a && sdp == b"4"), "{events:?}");
    w.run_ms(50);
    let sent: Vec<_> = w.outside.iter().map(|t| (t.dst.addr, String::from_utf8_lossy(&t.bytes[..3]).into_owned())).collect();
    let want = |n, m: &str| (addr(n), m.to_owned());
    assert_eq!(sent, [want(4, "ACK"), want(3, "ACK"), want(3, "BYE"), want(3, "ACK")]);
    w.ends[0].hangup(w.now, a, None).unwrap();
    w.assert_all_gone();
}

/// Requests that are refused, with the status and a header of the answer.
const REFUSED: &[(&str, &str, u16, &str)] = &[
    ("INVITE", "Require: 100rel, x\r\n", 420, "Unsupported: x\r\n"),
    ("INVITE", "Content-Encoding: gzip\r\n", 415, "Accept-Encoding: identity"),
    ("INVITE", "Accept: text/plain\r\n", 406, ""),
    ("INVITE", "Content-Type: text/plain\r\nContent-Length: 1\r\n\r\nx", 415, "Accept: application/sdp"),
    ("REGISTER", "", 405, "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, INFO"),
    ("FLY", "", 501, ""),
    ("BYE", "", 481, ""),
    ("PRACK", "RAck: 1 1 INVITE\r\n", 481, ""),
    ("UPDATE", "", 481, ""),
    ("INFO", "", 481, ""),
    ("INVITE", "Supported: timer\r\nSession-Expires: 89\r\n", 422, "Min-SE: 90"),
    ("CANCEL", "", 481, ""),
];

#[test]
fn what_we_do_not_take_is_refused_with_its_reason() {
    for (method, extra, status, header) in REFUSED {
        let mut w = World::new(GOOD, 18);
        let text = format!(
            "{method} sip:2001@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.77:5060;branch=z9hG4bKa\r\nFrom: <sip:9@192.0.2.77>;tag=x\r\n\
             To: <sip:2001@192.0.2.2>\r\nCall-ID: c\r\nCSeq: 1 {method}\r\n{extra}\r\n"
        );
        w.ends[1].handle_datagram(w.now, addr(77), text.as_bytes());
        w.run_ms(20);
        let answer = String::from_utf8(w.outside.first().unwrap_or_else(|| panic!("{method} {extra}")).bytes.clone()).unwrap();
        assert!(answer.starts_with(&format!("SIP/2.0 {status} ")) && answer.contains(header), "{answer}");
        assert!(answer.contains(";tag="), "{answer}");
        assert_eq!(w.take(1), []);
        w.assert_all_gone();
    }
}

#[test]
fn the_same_request_by_another_way_is_482_and_unknown_schemes_are_416() {
    let mut w = World::new(GOOD, 19);
    w.call();
    let bytes = w.ends[0].poll_transmit().unwrap().bytes;
    let other = String::from_utf8(bytes.clone()).unwrap().replace("branch=z9hG4bK", "branch=z9hG4bKother");
    w.ends[1].handle_datagram(w.now, addr(77), &bytes);
    w.ends[1].handle_datagram(w.now, addr(78), other.as_bytes());
    let odd = other.replace("INVITE sip:", "INVITE odd:").replace("z9hG4bKother", "z9hG4bKodd");
    w.ends[1].handle_datagram(w.now, addr(79), odd.as_bytes());
    w.run_ms(250);
    let answers: Vec<_> = w.outside.iter().map(|t| (t.dst.addr, String::from_utf8_lossy(&t.bytes[8..11]).into_owned())).collect();
    let want = |n, s: &str| (addr(n), s.to_owned());
    assert_eq!(answers, [want(78, "482"), want(79, "416"), want(77, "100")]);
    assert_eq!(w.take(1).len(), 1);
    w.assert_all_gone();
}

#[test]
fn full_tables_refuse_and_say_so() {
    let mut w = World::new(GOOD, 20);
    // Calls that come in get three quarters of the dialogs: one of these two.
    w.ends[1].config.dialogs_max = 2;
    w.ends[0].config.dialogs_max = 2;
    w.call();
    let second = w.call();
    let third = Invite { to: "1".into(), targets: vec![(addr(2).into(), None)], from: "2".into(), ..Invite::default() };
    assert_eq!(w.ends[0].invite(w.now, third), Err(LimitReached));
    w.run_ms(100);
    let failed = w.take(0);
    assert!(matches!(failed[..], [Event::Failed { dialog, status: 503, retry_after: Some(5), .. }] if dialog == second), "{failed:?}");
    w.ends[1].config.transactions_max = 2;
    w.ends[0].config.dialogs_max = 9;
    w.call();
    w.run_ms(100);
    assert!(matches!(w.take(0)[..], [Event::Failed { status: 503, .. }]));
    assert_eq!((w.ends[1].counters().full, w.ends[0].counters().full), (2, 1));
    w.assert_all_gone();
}

#[test]
fn a_flood_of_strangers_neither_grows_the_tables_nor_stops_the_calls_that_stand() {
    let mut w = World::new(GOOD, 24);
    let (a, b) = w.connected();
    w.ends[1].config.transactions_max = 8 * crate::limits::CALLS_MAX;
    let config = w.ends[1].config.clone();
    for n in 0..20_000 {
        let method = ["INVITE", "OPTIONS", "BYE", "REGISTER", "CANCEL", "FLY"][n % 6];
        let text = format!(
            "{method} sip:2001@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.77:5060;branch=z9hG4bK{n}\r\nFrom: <sip:9@192.0.2.77>;tag={n}\r\n\
             To: <sip:2001@192.0.2.2>\r\nCall-ID: {n}\r\nCSeq: 1 {method}\r\n\r\n"
        );
        w.ends[1].handle_datagram(w.now, addr(50 + (n / 6 % 4) as u8), text.as_bytes());
        while w.ends[1].poll_transmit().is_some() {}
    }
    let alive = w.ends[1].alive();
    assert!(alive.server_transactions <= config.transactions_max / 2, "{alive:?}");
    assert!(alive.dialogs <= config.dialogs_max / 4 * 3 + 1 && w.ends[1].counters().full > 0, "{alive:?}");
    w.take(1);
    w.ends[0].hangup(w.now, a, None).unwrap();
    w.run_ms(100);
    assert_eq!(w.take(1), ended(b, EndCause::Bye));
    w.assert_all_gone();
}

/// A call from a stranger, answered by whatever the test wants.
fn stranger(n: usize, from: &str) -> Vec<u8> {
    format!(
        "INVITE sip:2001@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.77:5060;branch=z9hG4bK{n}\r\nFrom: {from};tag={n}\r\n\
         To: <sip:2001@192.0.2.2>\r\nCall-ID: {n}\r\nCSeq: 1 INVITE\r\n\r\n"
    )
    .into_bytes()
}

#[test]
fn a_flood_of_strangers_calls_refused_or_ringing_does_not_keep_us_from_calling() {
    for refuse in [true, false] {
        let mut w = World::new(GOOD, 25);
        w.ends[1].config.transactions_max = 8 * crate::limits::CALLS_MAX;
        let config = w.ends[1].config.clone();
        for n in 0..20_000 {
            w.ends[1].handle_datagram(w.now, addr(50 + (n % 4) as u8), &stranger(n, "<sip:9@192.0.2.77>"));
            while w.ends[1].poll_transmit().is_some() {}
            while let Some(event) = w.ends[1].poll_event() {
                if let (Event::Incoming { dialog, .. }, true) = (event, refuse) {
                    w.ends[1].reject(w.now, dialog, 403, None).unwrap();
                }
            }
        }
        let alive = w.ends[1].alive();
        assert!(alive.server_transactions <= config.transactions_max / 2, "{alive:?}");
        assert_eq!(alive.dialogs, if refuse { 0 } else { config.dialogs_max * 3 / 4 });
        let call = Invite {
            to: "3001".into(),
            targets: vec![(addr(1).into(), None)],
            from: "2001".into(),
            offer: b"v=0 offer".to_vec(),
            ..Invite::default()
        };
        let ours = w.ends[1].invite(w.now, call).expect("room of our own");
        w.run_ms(100);
        let incoming = w.take(0);
        let [Event::Incoming { dialog, .. }] = incoming[..] else { panic!("{incoming:?}") };
        w.ends[0].answer(w.now, dialog, b"v=0 answer".to_vec()).unwrap();
        w.run_ms(100);
        assert!(w.take(1).contains(&Event::Answered { dialog: ours, sdp: b"v=0 answer".to_vec() }));
        // What the peer of the call asks inside it (a fax's re-INVITE) finds room as well.
        w.ends[0].reinvite(w.now, dialog, b"v=0 image".to_vec()).unwrap();
        w.run_ms(100);
        assert!(w.take(1).contains(&Event::ReInvited { dialog: ours, offer: Some(b"v=0 image".to_vec()) }));
        w.ends[1].hangup(w.now, ours, None).unwrap();
        w.assert_all_gone();
    }
}

#[test]
fn what_a_peer_writes_cannot_end_a_log_line_or_command_a_terminal() {
    let mut w = World::new(GOOD, 26);
    let from = "\"Ada\u{1b}]0;x\u{7}\u{202e}\u{9b}2J\" <sip:a%1b[2Jb%0aFAKE@192.0.2.77>";
    w.ends[1].handle_datagram(w.now, addr(77), &stranger(1, from));
    let events = w.take(1);
    let [Event::Incoming { from_user, display, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((from_user.as_str(), display.as_deref()), ("a?[2Jb?FAKE", Some("Ada?]0;x???2J")));
    // The reason phrase of a refusal.
    let ours = w.call();
    w.drain();
    let (_, (_, sent)) = w.flying.pop_last().expect("the INVITE is under way");
    let sent = crate::sip::message::Message::parse(&sent.bytes).unwrap();
    let refusal = crate::sip::message::Message::response_to(&sent, 404, "No\u{1b}[2Jbody").emit();
    w.ends[0].handle_datagram(w.now, addr(2), &refusal);
    let events = w.take(0);
    let [Event::Failed { dialog, reason, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((*dialog, reason.as_str()), (ours, "No?[2Jbody"));
}

#[test]
fn an_announcement_before_the_answer_is_a_183_with_its_session() {
    let mut w = World::new(GOOD, 25);
    let a = w.call();
    w.run_ms(100);
    let b = w.incoming();
    w.ends[1].progress(w.now, b, b"v=0 early".to_vec()).unwrap();
    w.run_ms(100);
    assert_eq!(w.take(0), [Event::Provisional { dialog: a, status: 183, sdp: Some(b"v=0 early".to_vec()), reliable: true }]);
    w.ends[0].hangup(w.now, a, None).unwrap();
    w.assert_all_gone();
}

#[test]
fn keep_alives_and_garbage_are_counted_and_nothing_else() {
    let mut w = World::new(GOOD, 21);
    let stun = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[0; 12]].concat();
    for bytes in [&b"\r\n\r\n"[..], b"", b"\0", &stun, b"hello", b"SIP/2.0 200 OK\r\n\r\n"] {
        w.ends[0].handle_datagram(w.now, addr(77), bytes);
    }
    let c = w.ends[0].counters();
    assert_eq!((c.keep_alives, c.garbage, c.sent), (4, 2, 0));
    w.assert_all_gone();
}

#[test]
fn torture_messages_get_the_answers_of_rfc_4475() {
    let Some(folder) = crate::sip::message::tests::torture_folder() else { return };
    let table: &[(&str, &[&str])] = &[
        ("badinv01", &["400"]),
        ("badvers", &["505"]),
        ("bext01", &["420"]),
        ("invut", &["415"]),
        ("regaut01", &["405"]),
        ("unkscm", &["416"]),
        ("novelsc", &["416"]),
        ("unksm2", &["405"]),
        ("sdp01", &["406"]),
        ("multi01", &["400"]),
        ("mcl01", &["400"]),
        ("insuf", &["400"]),
        ("mismatch01", &["400"]),
        ("zeromf", &["200"]),
        ("badbranch", &["200"]),
        ("intmeth", &["501"]),
        ("esc02", &["501"]),
        ("inv2543", &["100"]),
        ("esc01", &["100"]),
        ("longreq", &["100"]),
        ("bcast", &[]),
        ("bigcode", &[]),
        ("scalarlg", &[]),
        ("unreason", &[]),
    ];
    for (name, want) in table {
        let mut w = World::new(GOOD, 22);
        w.ends[0].handle_datagram(w.now, addr(77), &std::fs::read(folder.join(format!("{name}.dat"))).unwrap());
        w.run_ms(250);
        let got: Vec<_> = w.log.iter().map(|(_, word)| word.as_str()).collect();
        assert_eq!(got, *want, "{name}");
        w.assert_all_gone();
    }
}

#[test]
fn a_second_reader_reads_every_message_of_a_call() {
    let mut w = World::new(GOOD, 23);
    let a = w.call();
    let mut seen = 0;
    for step in 0..400 {
        w.drain();
        for (_, transmit) in w.flying.values() {
            rsip::SipMessage::try_from(transmit.bytes.clone()).unwrap();
            seen += 1;
        }
        let next = w.now + ms(5);
        w.run_ms(0);
        w.now = next;
        w.step(next);
        if step == 20 {
            let b = w.incoming();
            w.ends[1].answer(w.now, b, b"v=0".to_vec()).unwrap();
        }
        if step == 60 {
            w.ends[0].reinvite(w.now, a, b"v=0".to_vec()).unwrap();
        }
        if step == 100 {
            w.ends[0].hangup(w.now, a, Some(16)).unwrap();
        }
    }
    assert!(seen > 10);
    w.assert_all_gone();
}
