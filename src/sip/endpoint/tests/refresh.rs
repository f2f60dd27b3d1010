//! Session timers (RFC 4028).

use super::*;

/// A call whose session is to be refreshed every 100 s.
fn short_session(w: &mut World) -> (DialogId, DialogId) {
    w.ends[0].config.session_expires_s = Some(100);
    w.connected()
}

#[test]
fn a_session_is_refreshed_by_update_and_nobody_hears_of_it() {
    let mut w = World::new(GOOD, 60);
    let (a, b) = short_session(&mut w);
    w.run_ms(49_000);
    assert_eq!(w.ladder(), "");
    assert_eq!(w.ends[0].poll_timeout().unwrap().1, TimerReason { timer: Timer::Refresh, dialog: Some(a) });
    w.run_ms(2_000);
    assert_eq!(w.ladder(), ">UPDATE <200");
    w.run_ms(1_000_000);
    assert_eq!((w.take(0), w.take(1)), (vec![], vec![]));
    assert!(w.ends[0].counters().refreshes >= 20 && w.ends[1].counters().refreshes == 0);
    w.ends[1].hangup(w.now, b, None).unwrap();
    w.assert_all_gone();
}

#[test]
fn who_takes_no_update_gets_the_session_as_it_stands_byte_for_byte() {
    let mut w = World::new(GOOD, 61);
    let (a, b) = short_session(&mut w);
    // A fax: the session that stands is the last one agreed, whoever offered it.
    w.ends[1].reinvite(w.now, b, b"v=0 image offer".to_vec()).unwrap();
    w.run_ms(50);
    w.ends[0].answer(w.now, a, b"v=0 image answer".to_vec()).unwrap();
    w.run_ms(50);
    // An offer that was refused leaves no trace.
    w.ends[0].reinvite(w.now, a, b"v=0 refused".to_vec()).unwrap();
    w.run_ms(50);
    w.ends[1].reject(w.now, b, 488, None).unwrap();
    w.run_ms(50);
    w.take(0);
    w.take(1);
    w.ends[0].usages.get_mut(&a).unwrap().allows_update = false;
    w.ladder();
    let due = w.now + ms(50_000);
    while w.ends[0].poll_timeout().is_some_and(|(at, why)| at <= due && why.timer != Timer::Refresh) {
        let at = w.ends[0].poll_timeout().unwrap().0;
        w.run_ms(at.since(w.now).as_millis() as u64);
    }
    let (at, why) = w.ends[0].poll_timeout().unwrap();
    assert_eq!(why.timer, Timer::Refresh);
    w.now = at;
    w.ends[0].handle_timeout(at);
    let sent = w.sent(0);
    let (hop, invite) = &sent[0];
    assert_eq!((invite.method(), invite.sdp()), (Some(&Method::Invite), Some(&b"v=0 image answer"[..])));
    assert_eq!(header(invite, "Session-Expires"), "100;refresher=uac");
    w.hear(1, addr(1), invite.emit());
    w.run_ms(100);
    assert_eq!((hop.addr, w.take(0), w.take(1)), (addr(2), vec![], vec![]));
    assert!(w.ladder().contains("<200 >ACK"));
    w.ends[0].hangup(w.now, a, None).unwrap();
    w.assert_all_gone();
}

#[test]
fn a_session_that_nobody_refreshes_ends_at_both_ends() {
    let mut w = World::new(GOOD, 62);
    let (a, b) = short_session(&mut w);
    w.link.loss = 1.0;
    w.run_ms(60_000);
    assert_eq!((w.take(0), w.take(1)), (vec![], vec![]));
    w.run_ms(41_000);
    // The refresher asked in vain; the other waited until a third of the interval, at most 32 s, was left.
    assert_eq!(w.take(0), [Event::Ended { dialog: a, cause: EndCause::PeerLost, q850: None }]);
    assert_eq!(w.take(1), [Event::Ended { dialog: b, cause: EndCause::Expired, q850: None }]);
    w.assert_all_gone();
}

#[test]
fn an_interval_too_small_for_the_peer_is_asked_for_again_at_its_length() {
    let mut w = World::new(GOOD, 63);
    let a = w.call();
    let first = w.sent(0).remove(0).1;
    assert_eq!(header(&first, "Session-Expires"), "1800");
    w.hear(0, addr(2), reply(&first, 422, "t").with("Min-SE", "3600").emit());
    let sent = w.sent(0);
    let words: Vec<_> = sent.iter().filter_map(|(_, m)| m.method().cloned()).collect();
    assert_eq!(words, [Method::Invite, Method::Ack]);
    let again = &sent[0].1;
    assert_eq!((header(again, "Session-Expires").as_str(), header(again, "Min-SE").as_str()), ("3600", "3600"));
    assert_eq!(again.call_id(), first.call_id());
    assert_eq!(again.cseq().unwrap().number, first.cseq().unwrap().number + 1);
    assert_eq!(again.body, first.body);
    // A second one that asks for no more than that is the end of it.
    w.hear(0, addr(2), reply(again, 422, "t").with("Min-SE", "3600").emit());
    assert!(matches!(w.take(0)[..], [Event::Failed { dialog, status: 422, .. }] if dialog == a));
    w.assert_all_gone();
}

#[test]
fn the_refresher_is_chosen_by_who_can_and_who_asks() {
    // What the caller says; what we grant; whether we refresh.
    let table = [
        ("Supported: timer\r\nSession-Expires: 600\r\n", "600;refresher=uac", false),
        ("Supported: timer\r\nSession-Expires: 600;refresher=uas\r\n", "600;refresher=uas", true),
        ("Supported: timer\r\nx: 600;refresher=uac\r\n", "600;refresher=uac", false),
        ("Session-Expires: 600\r\n", "600;refresher=uas", true),
        ("Supported: timer\r\n", "1800;refresher=uas", true),
        ("", "", false),
    ];
    for (headers, want, ours) in table {
        let mut w = World::new(GOOD, 64);
        let text = format!(
            "INVITE sip:2001@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.77;branch=z9hG4bKa\r\nFrom: <sip:9@192.0.2.77>;tag=x\r\n\
             To: <sip:2001@192.0.2.2>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContact: <sip:9@192.0.2.77>\r\n{headers}\r\n"
        );
        w.hear(1, addr(77), text);
        let Event::Incoming { dialog, .. } = w.take(1)[0] else { panic!() };
        w.ends[1].answer(w.now, dialog, b"v=0".to_vec()).unwrap();
        let ok = w.sent(1).pop().unwrap().1;
        assert_eq!(header(&ok, "Session-Expires"), want, "{headers}");
        assert_eq!(header(&ok, "Require") == "timer", want.ends_with("uac"), "{headers}");
        let timers = &w.ends[1].usages[&dialog].timers;
        assert_eq!((timers.get(Timer::Refresh).is_some(), timers.get(Timer::Expiry).is_some()), (ours, !want.is_empty()), "{headers}");
        w.ends[1].hangup(w.now, dialog, None).unwrap();
        w.assert_all_gone();
    }
}

#[test]
fn a_refused_update_is_followed_by_a_reinvite() {
    let mut w = World::new(GOOD, 65);
    let (a, _) = short_session(&mut w);
    let at = w.now + ms(60_000);
    while w.ends[0].poll_timeout().is_some_and(|(_, why)| why.timer != Timer::Refresh) && w.now < at {
        w.run_ms(1_000);
    }
    w.now = w.ends[0].poll_timeout().unwrap().0;
    w.ends[0].handle_timeout(w.now);
    let update = w.sent(0).remove(0).1;
    assert_eq!((update.method(), update.body.len()), (Some(&Method::Update), 0));
    w.hear(0, addr(2), reply(&update, 501, "").emit());
    w.run_ms(100);
    assert!(w.ladder().contains(">INVITE <200 >ACK"), "with the session unchanged, and taken without a word");
    assert_eq!((w.take(0), w.take(1)), (vec![], vec![]));
    w.ends[0].hangup(w.now, a, None).unwrap();
    w.assert_all_gone();
}

/// The peer's refresh repeats its answer. Ours to it may be what we offered then, unless that is no answer: a line that the peer refused.
#[test]
fn a_refresh_is_answered_with_what_we_offered_only_if_that_answers_it() {
    for (image, quiet) in [("", true), ("m=image 4002 udptl t38\r\n", false)] {
        let mut w = World::new(GOOD, 64);
        let offer = format!("v=0\r\nm=audio 4000 RTP/AVP 8 0\r\n{image}");
        let answer = format!("v=0\r\nm=audio 5000 RTP/AVP 8\r\n{}", image.replace("4002", "0"));
        let targets = vec![(addr(2).into(), None)];
        let call = Invite { to: "2001".into(), targets, from: "3001".into(), offer: offer.clone().into(), ..Invite::default() };
        let a = w.ends[0].invite(w.now, call).unwrap();
        w.run_ms(50);
        let Event::Incoming { dialog: b, .. } = w.take(1)[0] else { panic!() };
        w.ends[1].answer(w.now, b, answer.clone().into()).unwrap();
        w.run_ms(50);
        w.take(0);
        w.take(1);
        w.ends[1].reinvite(w.now, b, answer.clone().into()).unwrap();
        w.run_ms(50);
        let heard = w.take(0);
        if quiet {
            assert_eq!(heard, []);
            assert_eq!(w.take(1), [Event::ReInviteAnswered { dialog: b, sdp: offer.into() }]);
        } else {
            assert_eq!(heard, [Event::ReInvited { dialog: a, offer: Some(answer.clone().into()) }]);
            // What our side says to it then is an answer, and can be said again.
            let ours = offer.replace("4002", "0");
            w.ends[0].answer(w.now, a, ours.clone().into()).unwrap();
            w.run_ms(50);
            w.take(0);
            w.take(1);
            w.ends[1].reinvite(w.now, b, answer.into()).unwrap();
            w.run_ms(50);
            assert_eq!((w.take(0), w.take(1)), (vec![], vec![Event::ReInviteAnswered { dialog: b, sdp: ours.into() }]));
        }
        w.ends[0].hangup(w.now, a, None).unwrap();
        w.assert_all_gone();
    }
}
