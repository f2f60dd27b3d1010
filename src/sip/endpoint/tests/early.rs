//! Before the answer: reliable provisional responses (RFC 3262), UPDATE (RFC 3311), and offers that come late.

use super::*;

fn ring(w: &mut World) -> (DialogId, DialogId) {
    let a = w.call();
    w.run_ms(100);
    (a, w.incoming())
}

#[test]
fn a_session_in_a_183_arrives_by_prack_and_the_answer_waits_for_it() {
    let mut w = World::new(GOOD, 40);
    let (a, b) = ring(&mut w);
    w.ends[1].progress(w.now, b, b"v=0 early".to_vec()).unwrap();
    w.ends[1].answer(w.now, b, b"v=0 early".to_vec()).unwrap();
    assert_eq!(w.ends[1].answer(w.now, b, b"v=0".to_vec()), Err(CommandError::WrongState), "one answer only");
    w.run_ms(200);
    assert_eq!(w.ladder(), ">INVITE <183 >PRACK <200 <200 >ACK");
    let early = Some(b"v=0 early".to_vec());
    assert_eq!(
        w.take(0),
        [
            Event::Provisional { dialog: a, status: 183, sdp: early, reliable: true },
            Event::Answered { dialog: a, sdp: b"v=0 early".to_vec() }
        ]
    );
    assert_eq!(w.take(1), [Event::ProgressAcked { dialog: b, sdp: None }, Event::Acked { dialog: b, sdp: None }]);
    // The numbers of the early dialog go on in the call: a BYE with an old one would be refused.
    w.ends[0].hangup(w.now, a, None).unwrap();
    w.run_ms(100);
    assert_eq!(w.take(1), [Event::Ended { dialog: b, cause: EndCause::Bye, q850: None }]);
    w.assert_all_gone();
}

#[test]
fn a_183_without_prack_is_repeated_and_ends_in_504() {
    let mut w = World::new(GOOD, 41);
    let (_, b) = ring(&mut w);
    w.run_ms(200);
    w.ladder();
    w.link.loss = 1.0;
    w.ends[1].progress(w.now, b, b"v=0 early".to_vec()).unwrap();
    assert_eq!(w.ends[1].poll_timeout().unwrap().1, TimerReason { timer: Timer::Reliable, dialog: Some(b) });
    w.run_ms(32_000);
    assert_eq!(w.ladder(), "<183 <183 <183 <183 <183 <183 <183 <504");
    assert_eq!(w.take(1), [Event::Ended { dialog: b, cause: EndCause::NoPrack, q850: None }]);
    w.assert_all_gone();
}

#[test]
fn each_reliable_response_gets_one_prack_and_waits_for_that_of_the_one_before() {
    let mut w = World::new(Link { duplicate: 1.0, ..GOOD }, 42);
    let (a, b) = ring(&mut w);
    w.ladder();
    for words in ["one", "two"] {
        w.ends[1].progress(w.now, b, words.into()).unwrap();
    }
    w.ends[1].ringing(w.now, b).unwrap();
    w.run_ms(300);
    let ladder = w.ladder();
    assert_eq!(ladder.matches(">PRACK").count(), 2, "{ladder}");
    let heard: Vec<_> = w.take(0).into_iter().map(|e| matches!(e, Event::Provisional { reliable: true, .. })).collect();
    // The 180 is none that must arrive; each copy of it is heard.
    assert_eq!(heard.iter().filter(|r| **r).count(), 2, "{heard:?}");
    w.ends[0].hangup(w.now, a, None).unwrap();
    w.assert_all_gone();
}

/// An INVITE of a caller who requires 100rel.
const REQUIRES: &str = "INVITE sip:2001@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.77:5060;branch=z9hG4bKrel\r\nMax-Forwards: 0\r\n\
     From: <sip:9@192.0.2.77>;tag=x\r\nTo: <sip:2001@192.0.2.2>\r\nCall-ID: rel\r\nCSeq: 1 INVITE\r\nContact: <sip:9@192.0.2.77>\r\n\
     Allow: INVITE, UPDATE\r\nRequire: 100rel\r\nContent-Type: application/sdp\r\n\r\nv=0 theirs";

fn in_dialog(method: &str, number: u32, to: &str, more: &str) -> String {
    format!(
        "{method} sip:2001@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.77:5060;branch=z9hG4bK{method}{number}\r\n\
         From: <sip:9@192.0.2.77>;tag=x\r\nTo: {to}\r\nCall-ID: rel\r\nCSeq: {number} {method}\r\nContact: <sip:9@192.0.2.77>\r\n{more}\r\n"
    )
}

#[test]
fn who_requires_100rel_hears_every_response_reliably_and_a_strange_rack_is_481() {
    let mut w = World::new(GOOD, 43);
    w.hear(1, addr(77), REQUIRES);
    let events = w.take(1);
    let [Event::Incoming { dialog, .. }] = events[..] else { panic!("{events:?}") };
    w.outside.clear();
    w.ends[1].ringing(w.now, dialog).unwrap();
    let ringing = w.sent(1).pop().unwrap().1;
    assert_eq!((header(&ringing, "Require").as_str(), ringing.status()), ("100rel", Some(180)));
    let (rseq, to) = (header(&ringing, "RSeq").parse::<u32>().unwrap(), header(&ringing, "To"));
    for (n, rack, status) in [(2, format!("{} 1 INVITE", rseq + 1), 481), (3, format!("{rseq} 9 INVITE"), 200), (4, "x".into(), 400)] {
        // A number of the INVITE that is not its own is taken for one of a response already overtaken; it settles nothing.
        w.hear(1, addr(77), in_dialog("PRACK", n, &to, &format!("RAck: {rack}\r\n")));
        assert_eq!(w.sent(1)[0].1.status(), Some(status), "{rack}");
        assert_eq!(w.take(1), []);
    }
    w.hear(1, addr(77), in_dialog("PRACK", 5, &to, &format!("RAck: {rseq} 1 INVITE\r\n")));
    assert_eq!(w.sent(1)[0].1.status(), Some(200));
    assert_eq!(w.take(1), [Event::ProgressAcked { dialog, sdp: None }]);
    w.ends[1].hangup(w.now, dialog, None).unwrap();
    w.assert_all_gone();
}

#[test]
fn an_offer_in_the_prack_is_answered_in_its_200() {
    let mut w = World::new(GOOD, 44);
    w.hear(1, addr(77), REQUIRES);
    let Event::Incoming { dialog, .. } = w.take(1)[0] else { panic!() };
    w.ends[1].progress(w.now, dialog, b"v=0 ours".to_vec()).unwrap();
    let progress = w.sent(1).pop().unwrap().1;
    let (rseq, to) = (header(&progress, "RSeq"), header(&progress, "To"));
    // An UPDATE before the first offer is through (s.5.2): later.
    let sdp = "Content-Type: application/sdp\r\n\r\nv=0 more";
    w.hear(1, addr(77), in_dialog("UPDATE", 2, &to, sdp));
    let refused = w.sent(1).pop().unwrap().1;
    assert_eq!(refused.status(), Some(500));
    assert!((1..=10).contains(&header(&refused, "Retry-After").parse::<u32>().unwrap()));
    w.hear(1, addr(77), in_dialog("PRACK", 3, &to, &format!("RAck: {rseq} 1 INVITE\r\n{sdp}")));
    assert_eq!(w.sent(1).len(), 0, "our side decides");
    let offer = b"v=0 more\r\n".to_vec();
    assert_eq!(w.take(1), [Event::ProgressAcked { dialog, sdp: None }, Event::UpdateOffered { dialog, offer }]);
    // A second offer before the first is answered.
    w.hear(1, addr(77), in_dialog("UPDATE", 4, &to, sdp));
    assert_eq!(w.sent(1)[0].1.status(), Some(500));
    w.ends[1].answer(w.now, dialog, b"v=0 yes".to_vec()).unwrap();
    let yes = w.sent(1).pop().unwrap().1;
    assert_eq!((yes.status(), header(&yes, "CSeq").as_str(), yes.sdp()), (Some(200), "3 PRACK", Some(&b"v=0 yes"[..])));
    // The answer to the call says no session again: it is agreed.
    w.ends[1].answer(w.now, dialog, b"v=0 ours".to_vec()).unwrap();
    let ok = w.sent(1).pop().unwrap().1;
    assert_eq!((ok.status(), ok.sdp()), (Some(200), None));
    w.ends[1].hangup(w.now, dialog, None).unwrap();
    w.assert_all_gone();
}

#[test]
fn either_side_changes_the_session_by_update_before_and_after_the_answer() {
    let mut w = World::new(GOOD, 45);
    let (a, b) = ring(&mut w);
    assert_eq!(w.ends[0].update(w.now, a, b"v=0 x".to_vec()), Err(CommandError::WrongState), "nothing is agreed yet");
    w.ends[1].progress(w.now, b, b"v=0 early".to_vec()).unwrap();
    w.run_ms(100);
    w.take(0);
    w.take(1);
    w.ladder();
    for (from, id) in [(0, a), (1, b)] {
        w.ends[from].update(w.now, id, format!("v=0 by {from}").into()).unwrap();
        w.run_ms(50);
        let other = [b, a][from];
        assert_eq!(w.take(1 - from), [Event::UpdateOffered { dialog: other, offer: format!("v=0 by {from}").into() }]);
        w.ends[1 - from].answer(w.now, other, b"v=0 well".to_vec()).unwrap();
        w.run_ms(50);
        assert_eq!(w.take(from), [Event::UpdateAnswered { dialog: id, sdp: b"v=0 well".to_vec() }]);
    }
    assert_eq!(w.ladder(), ">UPDATE <200 <UPDATE >200");
    w.ends[1].answer(w.now, b, b"v=0 early".to_vec()).unwrap();
    w.run_ms(100);
    w.take(0);
    w.take(1);
    // In the call: refused, then both at once.
    w.ends[0].update(w.now, a, b"v=0 no".to_vec()).unwrap();
    w.run_ms(50);
    w.take(1);
    w.ends[1].reject(w.now, b, 488, None).unwrap();
    w.run_ms(50);
    assert_eq!(w.take(0), [Event::UpdateFailed { dialog: a, status: 488, retry_in_ms: None }]);
    w.ends[0].update(w.now, a, b"v=0 left".to_vec()).unwrap();
    w.ends[1].update(w.now, b, b"v=0 right".to_vec()).unwrap();
    w.run_ms(100);
    let retry = |events: Vec<Event>| match events[..] {
        [Event::UpdateFailed { status: 491, retry_in_ms: Some(n), .. }] => n,
        _ => panic!("{events:?}"),
    };
    assert!((2100..=4000).contains(&retry(w.take(0))));
    assert!((0..=2000).contains(&retry(w.take(1))));
    // UPDATE against re-INVITE: whoever has an offer out refuses the other's.
    w.ends[0].update(w.now, a, b"v=0 left".to_vec()).unwrap();
    w.ends[1].reinvite(w.now, b, b"v=0 right".to_vec()).unwrap();
    w.run_ms(100);
    assert!(matches!(w.take(0)[..], [Event::UpdateFailed { status: 491, .. }]));
    assert!(matches!(w.take(1)[..], [Event::ReInviteFailed { status: 491, .. }]));
    w.ends[0].hangup(w.now, a, None).unwrap();
    w.assert_all_gone();
}

#[test]
fn an_update_nobody_decides_about_is_refused_and_the_call_goes_on() {
    let mut w = World::new(GOOD, 46);
    let (a, b) = w.connected();
    w.ends[0].update(w.now, a, b"v=0 hm".to_vec()).unwrap();
    w.run_ms(11_000);
    assert!(matches!(w.take(0)[..], [Event::UpdateFailed { status: 488, .. }]));
    assert!(matches!(w.take(1)[..], [Event::UpdateOffered { .. }]));
    assert_eq!(w.ends[1].answer(w.now, b, b"late".to_vec()), Err(CommandError::WrongState));
    w.ends[1].hangup(w.now, b, None).unwrap();
    w.assert_all_gone();
}

#[test]
fn a_call_without_an_offer_answers_that_of_the_200_in_its_ack() {
    let mut w = World::new(GOOD, 47);
    let call = Invite { to: "2001".into(), targets: vec![(addr(2).into(), None)], from: "3001".into(), ..Invite::default() };
    let a = w.ends[0].invite(w.now, call).unwrap();
    w.run_ms(50);
    let Event::Incoming { dialog: b, offer: None, .. } = w.take(1)[0] else { panic!() };
    w.ends[1].answer(w.now, b, b"v=0 their offer".to_vec()).unwrap();
    // The 200 is repeated while our side thinks, and heard once.
    w.run_ms(2_000);
    assert_eq!(w.take(0), [Event::Answered { dialog: a, sdp: b"v=0 their offer".to_vec() }]);
    assert_eq!(w.ends[0].reinvite(w.now, a, b"v=0".to_vec()), Err(CommandError::WrongState));
    w.ends[0].acknowledge(a, b"v=0 our answer".to_vec()).unwrap();
    w.run_ms(100);
    assert_eq!(w.take(1), [Event::Acked { dialog: b, sdp: Some(b"v=0 our answer".to_vec()) }]);
    w.ends[0].hangup(w.now, a, None).unwrap();
    w.run_ms(100);
    assert!(matches!(w.take(1)[..], [Event::Ended { cause: EndCause::Bye, .. }]));
    w.assert_all_gone();
}

#[test]
fn each_fork_keeps_its_own_early_session_and_numbers() {
    let mut w = World::new(GOOD, 48);
    let a = w.call();
    let invite = w.sent(0).remove(0).1;
    let cseq = invite.cseq().unwrap().number;
    for (n, sdp) in [(3, "three"), (4, "four")] {
        let m =
            reply(&invite, 183, &format!("fork{n}")).with("Require", "100rel").with("RSeq", "7").with_body("application/sdp", sdp.into());
        w.hear(0, addr(n), m.emit());
        // Repeated, and a later one out of order: no PRACK.
        w.hear(0, addr(n), m.emit());
        let mut odd = m.clone();
        odd.headers.set("RSeq", b"9");
        w.hear(0, addr(n), odd.emit());
        let pracks = w.sent(0);
        assert_eq!(pracks.len(), 1);
        assert_eq!(header(&pracks[0].1, "RAck"), format!("7 {cseq} INVITE"));
        assert_eq!(pracks[0].1.cseq().unwrap().number, cseq + 1, "each dialog counts for itself");
    }
    assert_eq!(w.take(0).len(), 2);
    // The answer of the first brings no session of its own: what this fork said early stands.
    w.hear(0, addr(3), reply(&invite, 200, "fork3").emit());
    assert_eq!(w.take(0), [Event::Answered { dialog: a, sdp: b"three".to_vec() }]);
    w.sent(0);
    w.ends[0].hangup(w.now, a, None).unwrap();
    assert_eq!(w.sent(0)[0].1.cseq().unwrap().number, cseq + 2);
    w.assert_all_gone();
}
