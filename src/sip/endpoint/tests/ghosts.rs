//! Calls whose caller is not there: repeats of what was refused, forged sources, and requests that do not say clearly who sent them.

use super::*;
use crate::limits::SIP_REFUSALS_MAX;

fn invite(n: usize, from: SocketAddr) -> String {
    format!(
        "INVITE sip:2001@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{n}\r\nMax-Forwards: 70\r\nFrom: <sip:9@{from}>;tag={n}\r\n\
         To: <sip:2001@192.0.2.2>\r\nCall-ID: {n}\r\nCSeq: 1 INVITE\r\nContact: <sip:9@{from}>\r\n\r\n"
    )
}

fn of_invite(method: &str, from: SocketAddr, to: &str) -> String {
    invite(1, from).replace("INVITE", method).replace("To: <sip:2001@192.0.2.2>", &format!("To: {to}"))
}

/// A call that is refused; the To of its refusal.
fn refused(w: &mut World) -> String {
    w.hear(1, addr(77), invite(1, addr(77)));
    let Some(Event::Incoming { dialog, .. }) = w.ends[1].poll_event() else { panic!("it is heard") };
    w.ends[1].reject(w.now, dialog, 486, None).unwrap();
    let sent = w.sent(1);
    assert_eq!(sent.iter().map(|(_, m)| m.status()).collect::<Vec<_>>(), [Some(486)]);
    assert!(matches!(w.take(1)[..], [Event::Ended { .. }]));
    header(&sent[0].1, "To")
}

#[test]
fn the_repeat_of_a_refused_call_does_not_ring() {
    let mut w = World::new(GOOD, 201);
    let to = refused(&mut w);
    // It was under way when the refusal went out; and another is so late that the ACK overtakes it.
    for after in [10, 500, 31_000] {
        w.now = w.now + ms(after);
        w.hear(1, addr(77), invite(1, addr(77)));
        let sent = w.sent(1);
        assert_eq!(sent.iter().map(|(hop, m)| (hop.addr, m.status())).collect::<Vec<_>>(), [(addr(77), Some(486))]);
        assert_eq!(header(&sent[0].1, "To"), to);
        assert_eq!(w.take(1), []);
        w.hear(1, addr(77), of_invite("ACK", addr(77), &to));
        assert_eq!((w.ends[1].alive(), w.ends[1].poll_timeout()), (Alive::default(), None));
    }
    assert_eq!(w.ends[1].counters().stray_acks, 0);
    // The same caller's next call is another; and so is one of the same name when nobody can repeat the first any more.
    for text in [invite(2, addr(77)), invite(1, addr(77))] {
        w.hear(1, addr(77), text);
        let Some(Event::Incoming { dialog, .. }) = w.ends[1].poll_event() else { panic!("it is heard") };
        w.ends[1].hangup(w.now, dialog, None).unwrap();
        w.take(1);
        w.now = w.now + ms(32_000);
    }
    w.take(1);
    w.assert_all_gone();
}

#[test]
fn a_call_that_was_turned_away_because_of_the_crowd_stays_so() {
    let mut w = World::new(GOOD, 205);
    w.ends[1].config.transactions_max = 0;
    w.hear(1, addr(77), invite(1, addr(77)));
    w.ends[1].config.transactions_max = 100;
    w.hear(1, addr(77), invite(1, addr(77)));
    assert_eq!(w.sent(1).iter().map(|(_, m)| m.status()).collect::<Vec<_>>(), [Some(503), Some(503)]);
    assert_eq!(w.take(1), []);
    w.hear(1, addr(77), invite(2, addr(77)));
    assert!(matches!(w.take(1)[..], [Event::Incoming { .. }]));
}

#[test]
fn the_ack_of_a_refusal_ends_the_repeat_that_rings_all_the_same() {
    for asks_more in [false, true] {
        let mut w = World::new(GOOD, 204);
        let to = refused(&mut w);
        // So many others were refused meanwhile that this one is forgotten.
        w.ends[1].turned_away = TurnedAway::default();
        w.hear(1, addr(77), invite(1, addr(77)));
        let Some(Event::Incoming { dialog, .. }) = w.ends[1].poll_event() else { panic!("it is judged anew") };
        w.ends[1].ringing(w.now, dialog).unwrap();
        assert_eq!(header(&w.sent(1)[0].1, "To"), to);
        if asks_more {
            let update = of_invite("UPDATE", addr(77), &to).replace("z9hG4bK1", "z9hG4bKu").replace("CSeq: 1", "CSeq: 2");
            w.hear(1, addr(77), format!("{}Content-Type: application/sdp\r\n\r\nv=0 more", update.strip_suffix("\r\n").unwrap()));
            w.sent(1);
            w.take(1);
        }
        // Whoever guesses ends nothing.
        w.hear(1, addr(77), of_invite("ACK", addr(77), "<sip:2001@192.0.2.2>;tag=guessed"));
        assert_eq!((w.take(1), w.ends[1].alive().dialogs), (vec![], 1));
        w.hear(1, addr(77), of_invite("ACK", addr(77), &to));
        assert_eq!(w.take(1), [Event::Ended { dialog, cause: EndCause::Cancelled, q850: None }]);
        w.sent(1);
        w.assert_all_gone();
    }
}

#[test]
fn refusals_are_remembered_within_bounds() {
    let mut kept = TurnedAway::default();
    let (start, name) = (Instant::from_ms(1_000), |n: usize| format!("{n:016x}").into_bytes());
    for n in 0..SIP_REFUSALS_MAX + 10 {
        kept.add(start + ms(n as u64 / 10), &name(n), 404);
    }
    let now = start + ms(SIP_REFUSALS_MAX as u64 / 10);
    assert_eq!(kept.len(), (SIP_REFUSALS_MAX, SIP_REFUSALS_MAX));
    assert_eq!((kept.status(now, &name(9)), kept.status(now, &name(10))), (None, Some(404)), "the oldest go first");
    kept.add(now, &name(10), 486);
    assert_eq!(kept.len(), (SIP_REFUSALS_MAX, SIP_REFUSALS_MAX));
    assert_eq!(kept.status(now + ms(32_001), &name(SIP_REFUSALS_MAX)), None);
    assert_eq!(kept.len(), (0, 0));
}

/// BYEs to there among what was sent to nobody that we run.
fn byes(w: &World) -> usize {
    w.outside.iter().filter(|t| t.bytes.starts_with(b"BYE ")).count()
}

#[test]
fn who_never_showed_that_he_is_there_hears_one_bye() {
    let mut w = World::new(GOOD, 203);
    w.hear(1, addr(77), invite(1, addr(77)).replace("Contact: <sip:9@192.0.2.77:5060>", "Contact: <sip:9@192.0.2.99>"));
    let Some(Event::Incoming { dialog, .. }) = w.ends[1].poll_event() else { panic!() };
    w.ends[1].answer(w.now, dialog, vec![b'x'; 300]).unwrap();
    w.run_ms(80_000);
    assert_eq!(w.take(1), [Event::Ended { dialog, cause: EndCause::NoAck, q850: None }]);
    assert_eq!((w.outside.len(), byes(&w)), (12, 1), "the 200 by its schedule, and one BYE");
    w.assert_all_gone();
    // Who has acknowledged the call is told until he answers.
    let mut w = World::new(GOOD, 203);
    w.hear(1, addr(77), invite(1, addr(77)));
    let Some(Event::Incoming { dialog, .. }) = w.ends[1].poll_event() else { panic!() };
    w.ends[1].answer(w.now, dialog, b"v=0".to_vec()).unwrap();
    let to = header(&w.sent(1)[0].1, "To");
    w.hear(1, addr(77), of_invite("ACK", addr(77), &to).replace("z9hG4bK1", "z9hG4bKa"));
    assert_eq!(w.take(1), [Event::Acked { dialog, sdp: None }]);
    w.ends[1].hangup(w.now, dialog, None).unwrap();
    w.run_ms(80_000);
    assert_eq!(byes(&w), 11);
    w.take(1);
    w.assert_all_gone();
}

#[test]
fn the_via_that_is_read_is_the_one_that_is_written() {
    let asked = invite(1, addr(77)).replace("INVITE", "OPTIONS").replace(";branch", ";rport;branch");
    for (before, more) in
        [("", ""), (",\r\nVia: ", ""), ("\r\nVia: ", ""), (" , ", ""), (",\r\nVia: ,, ", ""), (",\r\nVia: ", ", SIP/2.0/UDP a.test")]
    {
        // Well-formed, and with a fault that is answered 400.
        for (fault, status) in [("Max-Forwards: 70", 200), ("Max-Forwards 70", 400)] {
            let mut w = World::new(GOOD, 202);
            let text = asked.replace("Via: ", &format!("Via: {before}")).replace("z9hG4bK1", &format!("z9hG4bK1{more}"));
            w.hear(1, Hop::udp(SocketAddr::from(([192, 0, 2, 78], 5077))), text.replace("Max-Forwards: 70", fault));
            let sent = w.sent(1);
            assert_eq!(sent.iter().map(|(hop, m)| (hop.addr.port(), m.status())).collect::<Vec<_>>(), [(5077, Some(status))], "{before:?}");
            let vias: Vec<_> = sent[0].1.headers.values("Via").map(String::from_utf8_lossy).collect();
            assert_eq!(vias[0], "SIP/2.0/UDP 192.0.2.77:5060;rport=5077;branch=z9hG4bK1;received=192.0.2.78");
            assert_eq!(vias.len(), if more.is_empty() { 1 } else { 2 }, "{vias:?}");
        }
    }
}
