//! Who is shown credentials in a call: the servers that the account's name led to, in the realms that asked for them at the beginning.

use super::*;
use crate::sip::auth::Login;

const OURS: &str = "Digest realm=\"example.com\", nonce=\"abc\", algorithm=SHA-256, qop=\"auth\"";

/// A call with a password whose server was found at 192.0.2.2 and, should that fail, at 192.0.2.3.
fn call(w: &mut World) -> (DialogId, Message) {
    let id = w.call_with(Login::with_password("3001", "secret"));
    let first = w.sent(0).remove(0).1;
    w.hear(0, addr(2), reply(&first, 407, "p").with("Proxy-Authenticate", OURS).emit());
    let again = w.sent(0).into_iter().find(|(_, m)| m.method() == Some(&Method::Invite)).unwrap().1;
    assert!(shows(&again));
    (id, again)
}

impl World {
    fn call_with(&mut self, login: Login) -> DialogId {
        let call = Invite {
            to: "2001".into(),
            targets: vec![(addr(2).into(), None), (addr(3).into(), None)],
            from: "3001".into(),
            offer: b"v=0".to_vec(),
            login: Some(login),
            ..Invite::default()
        };
        self.ends[0].invite(self.now, call).unwrap()
    }
}

fn shows(m: &Message) -> bool {
    m.headers.count("Authorization") + m.headers.count("Proxy-Authorization") > 0
}

/// The call is answered; the peer wants to be reached by these headers.
fn answered(w: &mut World, headers: &[(&str, &str)]) -> (DialogId, Vec<(Hop, Message)>) {
    let (id, invite) = call(w);
    let mut ok = reply(&invite, 200, "t").with_body("application/sdp", b"v=0 yes".to_vec());
    headers.iter().for_each(|(name, value)| ok.headers.set(name, value.as_bytes()));
    w.hear(0, addr(2), ok.emit());
    let ack = w.sent(0);
    assert_eq!(ack[0].1.method(), Some(&Method::Ack));
    assert!(matches!(w.take(0)[..], [Event::Answered { .. }]));
    (id, ack)
}

/// The response of `tag` to what was sent last, with a challenge.
fn challenge(w: &mut World, from: SocketAddr, asked: &Message, status: u16, challenge: &str) -> Vec<(Hop, Message)> {
    let name = if status == 401 { "WWW-Authenticate" } else { "Proxy-Authenticate" };
    w.hear(0, from, reply(asked, status, "t").with(name, challenge).emit());
    w.sent(0)
}

#[test]
fn every_address_of_the_accounts_server_is_shown_them_in_the_call() {
    // The call goes on through the server's other address: by its Record-Route, or by its Contact alone.
    for headers in
        [&[("Record-Route", "<sip:192.0.2.3;lr>"), ("Contact", "<sip:far@198.51.100.9>")][..], &[("Contact", "<sip:far@192.0.2.3>")]]
    {
        let mut w = World::new(GOOD, 110);
        let (id, ack) = answered(&mut w, headers);
        assert_eq!((ack[0].0.addr, shows(&ack[0].1)), (addr(3), true), "s.22.1");
        w.ends[0].reinvite(w.now, id, b"v=0 more".to_vec()).unwrap();
        let (hop, more) = w.sent(0).remove(0);
        assert_eq!(hop.addr, addr(3));
        assert!(header(&more, "Proxy-Authorization").contains("nc=00000002"), "unasked: {more:?}");
        // It asks again, with a nonce of its own, in the realm that asked at first.
        let sent = challenge(&mut w, addr(3), &more, 407, &OURS.replace("abc", "def"));
        let again = &sent.iter().find(|(_, m)| m.method() == Some(&Method::Invite)).expect("it is answered").1;
        assert!(header(again, "Proxy-Authorization").contains("nonce=\"def\""));
        w.hear(0, addr(3), reply(again, 488, "t").emit());
        w.sent(0);
        w.ends[0].hangup(w.now, id, None).unwrap();
        let (hop, bye) = w.sent(0).remove(0);
        assert_eq!((hop.addr, shows(&bye)), (addr(3), true));
        let sent = challenge(&mut w, addr(3), &bye, 401, OURS);
        assert!(shows(&sent[0].1));
        w.take(0);
        w.assert_all_gone();
    }
}

#[test]
fn the_far_end_is_never_shown_them_whatever_it_asks() {
    // It has the call come to itself directly: nothing that goes there holds credentials, asked or unasked.
    for headers in [&[("Contact", "<sip:far@198.51.100.9>")][..], &[("Record-Route", "<sip:198.51.100.9;lr>")]] {
        let evil: SocketAddr = "198.51.100.9:5060".parse().unwrap();
        let mut w = World::new(GOOD, 111);
        let (id, ack) = answered(&mut w, headers);
        let mut there = ack;
        w.ends[0].reinvite(w.now, id, b"v=0 more".to_vec()).unwrap();
        there.extend(w.sent(0));
        let more = there.last().unwrap().1.clone();
        // The same realm, a stranger's, and both at once.
        there.extend(challenge(&mut w, evil, &more, 407, OURS));
        assert!(matches!(w.take(0)[..], [Event::ReInviteFailed { status: 407, .. }]));
        w.ends[0].update(w.now, id, b"v=0 more".to_vec()).unwrap_err();
        w.ends[0].hangup(w.now, id, None).unwrap();
        there.extend(w.sent(0));
        let bye = there.last().unwrap().1.clone();
        there.extend(challenge(&mut w, evil, &bye, 401, OURS));
        // The way breaks: what is tried next may be our server again, but nothing that was made for it goes to another.
        w.ends[0].handle_transport_failure(w.now, Hop::udp(evil));
        there.extend(w.sent(0));
        let seen: Vec<_> = there.iter().filter(|(hop, _)| hop.addr == evil).collect();
        assert!(seen.len() >= 3, "{seen:?}");
        assert!(seen.iter().all(|(_, m)| !shows(m)), "{seen:?}");
        w.take(0);
        w.assert_all_gone();
    }
}

#[test]
fn a_realm_that_did_not_ask_for_the_call_is_not_answered_in_it() {
    // The far end's challenge, brought to us by our own server.
    let mut w = World::new(GOOD, 112);
    let (id, _) = answered(&mut w, &[("Record-Route", "<sip:192.0.2.2;lr>"), ("Contact", "<sip:far@198.51.100.9>")]);
    w.ends[0].reinvite(w.now, id, b"v=0 more".to_vec()).unwrap();
    let more = w.sent(0).remove(0).1;
    let theirs = "Digest realm=\"far.example\", nonce=\"chosen\", algorithm=MD5";
    let sent = challenge(&mut w, addr(2), &more, 401, theirs);
    assert!(sent.iter().all(|(_, m)| m.method() == Some(&Method::Ack) && !String::from_utf8_lossy(&m.emit()).contains("chosen")));
    assert!(matches!(w.take(0)[..], [Event::ReInviteFailed { status: 401, .. }]));
    // Beside our server's own it is passed over.
    w.ends[0].reinvite(w.now, id, b"v=0 more".to_vec()).unwrap();
    let more = w.sent(0).remove(0).1;
    let both = reply(&more, 407, "t").with("Proxy-Authenticate", OURS.replace("abc", "ghi")).with("WWW-Authenticate", theirs);
    w.hear(0, addr(2), both.emit());
    let again = w.sent(0).into_iter().find(|(_, m)| m.method() == Some(&Method::Invite)).expect("ours is answered").1;
    assert!(header(&again, "Proxy-Authorization").contains("ghi") && again.headers.count("Authorization") == 0);
    w.hear(0, addr(2), reply(&again, 488, "t").emit());
    w.ends[0].hangup(w.now, id, None).unwrap();
    w.take(0);
    w.assert_all_gone();
}

#[test]
fn a_request_that_moves_on_from_the_server_leaves_them_behind() {
    // The way to the server breaks, and the far end has made itself seen elsewhere: that is where the request is tried next.
    let evil: SocketAddr = "198.51.100.9:5060".parse().unwrap();
    let mut w = World::new(GOOD, 113);
    let (id, ack) = answered(&mut w, &[("Record-Route", "<sip:192.0.2.3;lr>"), ("Contact", "<sip:far@198.51.100.9>")]);
    let (from, to) = (header(&ack[0].1, "To"), header(&ack[0].1, "From"));
    let hold = format!(
        "INVITE sip:3001@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.9:5060;branch=z9hG4bKhold\r\nMax-Forwards: 70\r\nFrom: {from}\r\n\
         To: {to}\r\nCall-ID: {}\r\nCSeq: 9 INVITE\r\nContact: <sip:far@198.51.100.9>\r\n\
         Content-Type: application/sdp\r\n\r\nv=0 hold",
        header(&ack[0].1, "Call-ID")
    );
    w.hear(0, evil, hold);
    w.ends[0].answer(w.now, id, b"v=0 held".to_vec()).unwrap();
    w.sent(0);
    w.hear(0, evil, format!("{}\r\n", ack_of(&from, &to, &header(&ack[0].1, "Call-ID"))));
    w.ends[0].reinvite(w.now, id, b"v=0 more".to_vec()).unwrap();
    let (hop, more) = w.sent(0).remove(0);
    assert_eq!((hop.addr, shows(&more)), (addr(3), true));
    w.ends[0].handle_transport_failure(w.now, hop);
    let (hop, more) = w.sent(0).into_iter().find(|(_, m)| m.method() == Some(&Method::Invite)).expect("it is tried next");
    assert_eq!((hop.addr, shows(&more)), (evil, false), "{more:?}");
    w.hear(0, evil, reply(&more, 488, "t").emit());
    w.ends[0].hangup(w.now, id, None).unwrap();
    w.take(0);
    w.assert_all_gone();
}

fn ack_of(from: &str, to: &str, call_id: &str) -> String {
    format!(
        "ACK sip:3001@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.9:5060;branch=z9hG4bKacked\r\nMax-Forwards: 70\r\nFrom: {from}\r\n\
         To: {to}\r\nCall-ID: {call_id}\r\nCSeq: 9 ACK\r\n"
    )
}

#[test]
fn one_realm_only_is_answered_in_a_call() {
    let theirs = "Digest realm=\"far.example\", nonce=\"chosen\", algorithm=MD5, qop=\"auth\"";
    // The callee's own challenge, brought by our server after its own: alone, or beside it.
    let mut w = World::new(GOOD, 114);
    let (id, again) = call(&mut w);
    let sent = challenge(&mut w, addr(2), &again, 401, theirs);
    assert!(sent.iter().all(|(_, m)| m.method() == Some(&Method::Ack)), "{sent:?}");
    assert!(matches!(w.take(0)[..], [Event::Failed { dialog, status: 401, .. }] if dialog == id));
    w.assert_all_gone();
    let mut w = World::new(GOOD, 115);
    let (_, again) = call(&mut w);
    let both = reply(&again, 407, "t")
        .with("WWW-Authenticate", theirs)
        .with("Proxy-Authenticate", format!("{}, stale=true", OURS.replace("abc", "def")));
    w.hear(0, addr(2), both.emit());
    let third = w.sent(0).into_iter().find(|(_, m)| m.method() == Some(&Method::Invite)).expect("ours is answered").1;
    assert!(header(&third, "Proxy-Authorization").contains("def") && third.headers.count("Authorization") == 0, "{third:?}");
    // The same challenge is answered where it is the first, or where it is the realm that the configuration names.
    for login in [Login::with_password("3001", "secret"), Login::with_password("3001", "secret").only_for("far.example")] {
        let mut w = World::new(GOOD, 116);
        w.call_with(login);
        let first = w.sent(0).remove(0).1;
        let sent = challenge(&mut w, addr(2), &first, 401, theirs);
        let again = &sent.iter().find(|(_, m)| m.method() == Some(&Method::Invite)).expect("it is answered").1;
        assert!(header(again, "Authorization").contains("chosen"));
    }
    // An account that is registered in a realm answers no other, not even as the first.
    for (known, answered) in [(vec!["example.com"], false), (vec!["far.example"], true), (vec![], true)] {
        let mut w = World::new(GOOD, 117);
        w.call_with(Login::with_password("3001", "secret").known_in(known));
        let first = w.sent(0).remove(0).1;
        let sent = challenge(&mut w, addr(2), &first, 401, theirs);
        assert_eq!(sent.iter().any(|(_, m)| shows(m)), answered);
    }
}

/// SplitMix64 backwards: the state behind a number of it.
fn back(seen: u64) -> u64 {
    let unshift = |z: u64, by: u32| core::iter::successors(Some(z), |x| Some(z ^ (x >> by))).nth(3).unwrap();
    let inverse = |n: u64| (0..6).fold(n, |x, _| x.wrapping_mul(2_u64.wrapping_sub(n.wrapping_mul(x))));
    let z = unshift(seen, 31).wrapping_mul(inverse(0x94D0_49BB_1331_11EB));
    let z = unshift(z, 27).wrapping_mul(inverse(0xBF58_476D_1CE4_E5B9));
    unshift(z, 30)
}

/// Whether `seen`, or a fork that it was drawn from, was drawn from the generator that also made one of `others`, near by.
fn is_of_one_generator(seen: u64, others: &[u64]) -> bool {
    const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;
    let near = |at: u64| {
        (0..500_u64).any(|n| {
            [at.wrapping_add(n.wrapping_mul(GAMMA)), at.wrapping_sub(n.wrapping_mul(GAMMA))]
                .iter()
                .any(|s| others.contains(&Rng::new(*s).next_u64()))
        })
    };
    near(back(seen)) || (1..9).any(|draw| near(back(back(seen).wrapping_sub(GAMMA.wrapping_mul(draw)))))
}

#[test]
fn no_word_that_leaves_us_leads_to_another() {
    // The search finds what there is to find: a sequence, and a sequence behind one of its forks.
    let mut rng = Rng::new(4242);
    let (first, second) = (rng.next_u64(), rng.next_u64());
    let forked = {
        let mut fork = rng.fork();
        fork.next_u64();
        fork.next_u64()
    };
    assert!(is_of_one_generator(first, &[second]) && is_of_one_generator(forked, &[rng.next_u64()]));
    assert!(!is_of_one_generator(first, &[4711]));
    let mut w = World::new(GOOD, 4242);
    let (_, invite) = call(&mut w);
    let hex = |text: &str, behind: &str| -> Vec<u64> {
        let text = text.split(behind).nth(1).unwrap();
        let text = &text[..text.bytes().take_while(u8::is_ascii_hexdigit).count()];
        assert!(text.len() >= 16 && text.len().is_multiple_of(16), "{text}");
        (0..text.len()).step_by(16).map(|at| u64::from_str_radix(&text[at..at + 16], 16).unwrap()).collect()
    };
    let mut words = hex(&header(&invite, "Proxy-Authorization"), "cnonce=\"");
    assert_eq!(words.len(), 2);
    words.extend(hex(&header(&invite, "Via"), "z9hG4bK"));
    words.extend(hex(&header(&invite, "From"), "tag="));
    words.extend(hex(&format!(" {}", header(&invite, "Call-ID")), " "));
    w.call_with(Login::with_password("3001", "secret"));
    let next = w.sent(0).pop().unwrap().1;
    words.extend(hex(&header(&next, "From"), "tag="));
    words.extend(hex(&format!(" {}", header(&next, "Call-ID")), " "));
    // A registration's names, and what its generator is seeded by.
    let config = crate::sip::register::Config {
        domain: "example.com".into(),
        user: "3001".into(),
        expires_s: 600,
        route: None,
        fax: None,
        login: Some(Login::with_password("3001", "secret")),
    };
    let mut registration = crate::sip::register::Registration::new(config, vec!["sip:example.com".into()], 4242);
    registration.set_targets(w.now, 0, vec![(addr(2).into(), None)]);
    registration.start(w.now);
    let register = registration.poll_request(w.now, |user, hop| Uri::sip(user, hop.addr)).expect("it registers").message;
    words.extend(hex(&header(&register, "From"), "tag="));
    words.extend(hex(&format!(" {}", header(&register, "Call-ID")), " "));
    assert_eq!(words.len(), 10);
    for (i, seen) in words.iter().enumerate() {
        let others: Vec<u64> = words.iter().enumerate().filter(|(n, _)| *n != i).map(|(_, w)| *w).collect();
        assert!(!is_of_one_generator(*seen, &others), "word {i}");
    }
}
