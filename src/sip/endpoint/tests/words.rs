//! What is said beside the session: who calls, digits by INFO, passwords.

use super::*;
use crate::sip::Network;
use crate::sip::auth::Login;

fn invite_with(headers: &str) -> String {
    format!(
        "INVITE sip:2001@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.77;branch=z9hG4bKa\r\nFrom: <sip:9@192.0.2.77>;tag=x\r\n\
         To: <sip:2001@192.0.2.2>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContact: <sip:9@192.0.2.77>\r\n{headers}\r\n"
    )
}

#[test]
fn an_asserted_identity_is_believed_only_of_those_who_are_trusted() {
    let headers = "P-Asserted-Identity: \"Bob\" <sip:5551234@example.com>, <tel:+15551234>\r\nPrivacy: session;id\r\n\
         Diversion: <sip:3003@example.com>;reason=user-busy, <sip:3004@example.com>\r\na: *;+sip.fax=\"t38\"\r\n";
    for trusted in [true, false] {
        let mut w = World::new(GOOD, 80);
        if trusted {
            w.ends[1].config.trusted.push(Network::host(addr(77).ip()));
        }
        w.hear(1, addr(77), invite_with(headers));
        let events = w.take(1);
        let [Event::Incoming { dialog, identity, .. }] = &events[..] else { panic!("{events:?}") };
        let diversion = Some(Diversion { user: "3003".into(), reason: Some("user-busy".into()) });
        let asserted = trusted.then(|| "5551234".to_owned());
        assert_eq!(*identity, Identity { asserted, private: true, diversion, fax: true });
        let dialog = *dialog;
        w.ends[1].hangup(w.now, dialog, None).unwrap();
        w.assert_all_gone();
    }
    let mut w = World::new(GOOD, 81);
    w.hear(1, addr(77), invite_with("Privacy: none\r\n"));
    let Event::Incoming { identity, dialog, .. } = w.take(1).remove(0) else { panic!() };
    assert_eq!(identity, Identity::default());
    w.ends[1].hangup(w.now, dialog, None).unwrap();
    w.assert_all_gone();
}

#[test]
fn who_does_not_want_to_be_shown_is_told_only_to_those_who_are_trusted() {
    // Trusted, anonymous: which headers go out.
    for (trusted, anonymous, asserted) in [(true, true, true), (true, false, true), (false, true, false), (false, false, false)] {
        let mut w = World::new(GOOD, 82);
        w.ends[0].config.t38 = true;
        if trusted {
            w.ends[0].config.trusted.push(Network::host(addr(2).ip()));
        }
        let call = Invite {
            to: "2001".into(),
            targets: vec![(addr(2).into(), None)],
            from: "3001".into(),
            display: Some("Ada".into()),
            asserted: Some("sip:3001@example.com".into()),
            anonymous,
            fax: true,
            ..Invite::default()
        };
        let a = w.ends[0].invite(w.now, call).unwrap();
        let m = w.sent(0).remove(0).1;
        assert_eq!(m.headers.count("P-Asserted-Identity") == 1, asserted);
        assert_eq!(m.headers.count("P-Preferred-Identity") == 1, !trusted && !anonymous);
        assert_eq!((header(&m, "Privacy") == "id", header(&m, "From").contains("anonymous.invalid")), (anonymous, anonymous));
        let shown = String::from_utf8_lossy(&m.emit()).contains("3001@");
        assert!(!anonymous || trusted || !shown, "{m:?}");
        assert_eq!(header(&m, "Accept-Contact"), "*;+sip.fax=\"t38\"");
        assert!(header(&m, "Contact").ends_with(";+sip.fax=\"t38\""));
        w.ends[0].hangup(w.now, a, None).unwrap();
        w.assert_all_gone();
    }
}

#[test]
fn digits_by_info_are_heard_and_other_types_refused() {
    let mut w = World::new(GOOD, 83);
    let (a, b) = w.connected();
    let State::Confirmed { mut dialog, .. } = w.ends[0].usages[&a].state.clone() else { panic!() };
    type Row = (&'static str, &'static str, u16, Option<(char, u32)>);
    let table: &[Row] = &[
        ("application/dtmf-relay", "Signal=5\r\nDuration=200\r\n", 200, Some(('5', 200))),
        ("application/dtmf", "#", 200, Some(('#', 160))),
        ("application/dtmf-relay", "Signal=99", 400, None),
        ("text/plain", "5", 415, None),
        ("", "", 200, None),
    ];
    for (n, (kind, body, status, digit)) in table.iter().enumerate() {
        let mut info = dialog.next_request(Method::Info).0;
        info.headers.set("Via", format!("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKinfo{n}").into_bytes());
        let info = if kind.is_empty() { info } else { info.with_body(kind, body.as_bytes().to_vec()) };
        w.ends[1].handle_datagram(w.now, addr(1), &info.emit());
        let answer = core::iter::from_fn(|| w.ends[1].poll_transmit()).last().unwrap();
        assert_eq!(Message::parse(&answer.bytes).unwrap().status(), Some(*status), "{kind} {body}");
        let heard = core::iter::from_fn(|| w.ends[1].poll_event()).last();
        assert_eq!(heard, digit.map(|(digit, ms)| Event::Dtmf { dialog: b, digit, ms }), "{kind} {body}");
    }
    w.ends[1].hangup(w.now, b, None).unwrap();
    w.assert_all_gone();
}

const CHALLENGE: &str = "Digest realm=\"example.com\", nonce=\"abc\", algorithm=MD5, qop=\"auth\"";

fn call_with_login(w: &mut World) -> DialogId {
    let call = Invite {
        to: "2001".into(),
        targets: vec![(addr(2).into(), None)],
        from: "3001".into(),
        offer: b"v=0".to_vec(),
        login: Some(Login::with_password("3001", "secret")),
        ..Invite::default()
    };
    w.ends[0].invite(w.now, call).unwrap()
}

#[test]
fn a_server_that_asks_for_the_password_gets_it_in_every_request_of_the_call() {
    let mut w = World::new(GOOD, 84);
    let a = call_with_login(&mut w);
    let first = w.sent(0).remove(0).1;
    w.hear(0, addr(2), reply(&first, 407, "p").with("Proxy-Authenticate", CHALLENGE).emit());
    let sent = w.sent(0);
    let again = sent.iter().find(|(_, m)| m.method() == Some(&Method::Invite)).expect("asked again").1.clone();
    assert!(sent.iter().any(|(_, m)| m.method() == Some(&Method::Ack) && m.cseq().unwrap().number == first.cseq().unwrap().number));
    assert_eq!((again.call_id(), again.from_tag()), (first.call_id(), first.from_tag()));
    assert_eq!(again.cseq().unwrap().number, first.cseq().unwrap().number + 1);
    assert!(header(&again, "Proxy-Authorization").contains("username=\"3001\""));
    w.hear(0, addr(2), reply(&again, 200, "t").with_body("application/sdp", b"v=0 yes".to_vec()).emit());
    let ack = w.sent(0).remove(0).1;
    assert_eq!(header(&ack, "Proxy-Authorization"), header(&again, "Proxy-Authorization"), "s.22.1");
    w.ends[0].reinvite(w.now, a, b"v=0 more".to_vec()).unwrap();
    let more = w.sent(0).remove(0).1;
    assert!(header(&more, "Proxy-Authorization").contains("nc=00000002"), "unasked");
    // Another asks as well, of the BYE, when the call is long forgotten.
    w.hear(0, addr(2), reply(&more, 488, "t").emit());
    w.sent(0);
    w.ends[0].hangup(w.now, a, None).unwrap();
    let bye = w.sent(0).remove(0).1;
    w.hear(0, addr(2), reply(&bye, 401, "t").with("WWW-Authenticate", CHALLENGE).emit());
    let bye_again = w.sent(0).remove(0).1;
    assert_eq!(bye_again.method(), Some(&Method::Bye));
    assert!(header(&bye_again, "Authorization").contains("username=\"3001\""));
    assert_eq!(bye_again.cseq().unwrap().number, bye.cseq().unwrap().number + 1);
    w.take(0);
    w.assert_all_gone();
}

#[test]
fn a_wrong_password_is_said_once_and_no_password_never() {
    let mut w = World::new(GOOD, 85);
    let a = call_with_login(&mut w);
    let first = w.sent(0).remove(0).1;
    w.hear(0, addr(2), reply(&first, 401, "p").with("WWW-Authenticate", CHALLENGE).emit());
    let again = w.sent(0).into_iter().find(|(_, m)| m.method() == Some(&Method::Invite)).unwrap().1;
    w.hear(0, addr(2), reply(&again, 401, "p").with("WWW-Authenticate", CHALLENGE).emit());
    assert!(matches!(w.take(0)[..], [Event::Failed { dialog, status: 401, .. }] if dialog == a));
    assert!(w.sent(0).iter().all(|(_, m)| m.method() == Some(&Method::Ack)));
    let b = w.call();
    let first = w.sent(0).remove(0).1;
    w.hear(0, addr(2), reply(&first, 407, "p").with("Proxy-Authenticate", CHALLENGE).emit());
    assert!(matches!(w.take(0)[..], [Event::Failed { dialog, status: 407, .. }] if dialog == b));
    w.assert_all_gone();
}
