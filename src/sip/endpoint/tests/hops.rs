//! Ways: transports, what goes where, and what is tried next.

use super::*;

fn call_by(w: &mut World, targets: &[Hop]) -> DialogId {
    let targets = targets.iter().map(|h| (*h, None)).collect();
    let call = Invite { to: "2001".into(), targets, from: "3001".into(), offer: b"v=0".to_vec(), ..Invite::default() };
    w.ends[0].invite(w.now, call).unwrap()
}

fn at(n: u8) -> Hop {
    Hop::udp(addr(n))
}

#[test]
fn a_server_that_refuses_with_503_is_silent_or_gone_is_left_for_the_next() {
    let mut w = World::new(GOOD, 70);
    w.ends[0].config.contacts.push(Hop::tcp(addr(1)));
    let a = call_by(&mut w, &[at(3), at(4), Hop::tcp(addr(5)), at(6)]);
    let mut seen = Vec::new();
    let first = w.sent(0).remove(0);
    seen.push(first.clone());
    w.hear(0, addr(3), reply(&first.1, 503, "t").emit());
    let sent = w.sent(0);
    assert_eq!((sent.len(), sent[1].1.method()), (2, Some(&Method::Ack)), "{sent:?}");
    assert_eq!(sent[1].0, at(3), "the ACK goes where the 503 came from");
    seen.push(sent[0].clone());
    w.now = w.now + ms(32_000);
    w.ends[0].handle_timeout(w.now);
    let sent = w.sent(0);
    seen.push(sent.into_iter().find(|(hop, _)| hop.addr == addr(5)).expect("after 64*T1 the third is asked"));
    w.ends[0].handle_transport_failure(w.now, Hop::tcp(addr(5)));
    seen.push(w.sent(0).remove(0));
    assert_eq!(w.take(0), []);
    let branch = |m: &Message| m.top_via().unwrap().branch().unwrap().to_vec();
    for (hop, m) in &seen[1..] {
        assert_eq!((m.call_id(), header(m, "CSeq"), &m.body), (first.1.call_id(), header(&first.1, "CSeq"), &first.1.body));
        assert_ne!(branch(m), branch(&first.1));
        assert!(header(m, "Via").starts_with(&format!("SIP/2.0/{} ", hop.transport.as_str())));
        assert_eq!(header(m, "Contact").contains("transport=tcp"), hop.transport == Transport::Tcp);
    }
    assert_eq!(seen.iter().map(|(h, _)| *h).collect::<Vec<_>>(), [at(3), at(4), Hop::tcp(addr(5)), at(6)]);
    // The last one refuses: that is the word.
    w.hear(0, addr(6), reply(&seen[3].1, 503, "t").with("Retry-After", "9").emit());
    assert!(matches!(w.take(0)[..], [Event::Failed { dialog, status: 503, retry_after: Some(9), .. }] if dialog == a));
    assert_eq!(w.ends[0].counters().failovers, 3);
    w.assert_all_gone();
}

#[test]
fn without_another_way_silence_is_408_and_a_broken_way_503_at_once() {
    let mut w = World::new(GOOD, 71);
    let a = call_by(&mut w, &[Hop::tcp(addr(3))]);
    w.sent(0);
    w.ends[0].handle_transport_failure(w.now, Hop::tcp(addr(3)));
    assert!(matches!(w.take(0)[..], [Event::Failed { dialog, status: 503, .. }] if dialog == a));
    let b = call_by(&mut w, &[Hop::tcp(addr(3))]);
    w.run_ms(32_000);
    assert_eq!(w.ladder(), ">INVITE", "nothing is repeated over TCP");
    assert!(matches!(w.take(0)[..], [Event::Failed { dialog, status: 408, .. }] if dialog == b));
    // A call that was heard of waits on: its answer may come by another connection.
    let c = call_by(&mut w, &[Hop::tcp(addr(3))]);
    let invite = w.sent(0).remove(0).1;
    w.hear(0, Hop::tcp(addr(3)), reply(&invite, 180, "t").emit());
    w.take(0);
    w.ends[0].handle_transport_failure(w.now, Hop::tcp(addr(3)));
    assert_eq!(w.take(0), []);
    w.hear(0, Hop::tcp(addr(3)), reply(&invite, 486, "t").emit());
    assert!(matches!(w.take(0)[..], [Event::Failed { dialog, status: 486, .. }] if dialog == c));
    w.assert_all_gone();
}

#[test]
fn a_call_taken_back_goes_nowhere_else() {
    let mut w = World::new(GOOD, 72);
    let a = call_by(&mut w, &[at(3), at(4)]);
    let invite = w.sent(0).remove(0).1;
    w.ends[0].hangup(w.now, a, None).unwrap();
    w.hear(0, addr(3), reply(&invite, 503, "t").emit());
    assert!(w.sent(0).iter().all(|(hop, _)| hop.addr == addr(3)));
    assert_eq!(w.take(0), [Event::Ended { dialog: a, cause: EndCause::HungUp, q850: None }]);
    w.assert_all_gone();
}

#[test]
fn what_is_too_large_for_a_datagram_goes_by_tcp_and_by_udp_where_there_is_none() {
    let mut w = World::new(GOOD, 73);
    let large =
        Invite { to: "2001".into(), targets: vec![(at(3), None)], from: "3001".into(), offer: vec![b'x'; 1_300], ..Invite::default() };
    // Without a TCP address of ours there is no choice.
    let a = w.ends[0].invite(w.now, large.clone()).unwrap();
    assert_eq!(w.sent(0)[0].0, at(3));
    w.ends[0].config.contacts.push(Hop::tcp(addr(1)));
    let b = w.ends[0].invite(w.now, large).unwrap();
    let (hop, m) = w.sent(0).remove(0);
    assert_eq!(hop, Hop::tcp(addr(3)));
    assert!(header(&m, "Via").starts_with("SIP/2.0/TCP") && header(&m, "Contact").contains("transport=tcp"));
    w.ends[0].handle_transport_failure(w.now, hop);
    let (hop, m) = w.sent(0).remove(0);
    assert_eq!(hop, at(3));
    assert!(header(&m, "Via").starts_with("SIP/2.0/UDP") && !header(&m, "Contact").contains("transport"));
    w.ends[0].handle_transport_failure(w.now, hop);
    let failed: Vec<_> = w.take(0).iter().filter_map(Event::dialog).collect();
    assert_eq!(failed, [a, b], "the first went the same way");
    w.assert_all_gone();
}

#[test]
fn a_whole_call_over_a_connection_stays_on_it() {
    let mut w = World::new(GOOD, 74);
    for n in 0..2 {
        w.ends[n].config.contacts.push(Hop::tcp(addr(n as u8 + 1)));
    }
    let a = call_by(&mut w, &[Hop::tcp(addr(2))]);
    // The connection's own port is not the one its owner listens at.
    let seen = Hop::tcp("192.0.2.1:40001".parse().unwrap());
    let invite = w.sent(0).remove(0).1;
    w.hear(1, seen, invite.emit());
    let Event::Incoming { dialog: b, source, .. } = w.take(1)[0] else { panic!() };
    assert_eq!(source, seen);
    w.outside.clear();
    w.ends[1].answer(w.now, b, b"v=0".to_vec()).unwrap();
    let (hop, ok) = w.sent(1).pop().unwrap();
    assert_eq!(hop, seen, "answered on the connection it came by");
    assert!(header(&ok, "Contact").contains("transport=tcp"));
    // The connection is lost: the repeats go to who the Via says sent the INVITE.
    w.ends[1].handle_transport_failure(w.now, seen);
    assert_eq!(w.sent(1)[0].0, Hop::tcp(addr(1)));
    w.hear(0, Hop::tcp(addr(2)), ok.emit());
    let (hop, ack) = w.sent(0).pop().unwrap();
    assert_eq!((hop, ack.method()), (Hop::tcp(addr(2)), Some(&Method::Ack)));
    w.hear(1, seen, ack.emit());
    w.ends[1].hangup(w.now, b, None).unwrap();
    let sent = w.sent(1);
    assert_eq!((sent[0].0, sent[0].1.method()), (seen, Some(&Method::Bye)), "the connection first");
    w.ends[1].handle_transport_failure(w.now, seen);
    assert_eq!(w.sent(1)[0].0, Hop::tcp(addr(1)), "then a new one to its Contact");
    w.ends[0].hangup(w.now, a, None).unwrap();
    w.assert_all_gone();
}

#[test]
fn requests_of_others_are_answered_once_whatever_happens() {
    let mut w = World::new(GOOD, 75);
    let register = Message::request(Method::Register, &b"sip:example.com"[..])
        .with("Max-Forwards", "70")
        .with("From", "<sip:7@example.com>;tag=f")
        .with("To", "<sip:7@example.com>")
        .with("Call-ID", "reg")
        .with("CSeq", "5 REGISTER")
        .with("Contact", "<sip:7@192.0.2.1>;expires=600");
    let targets = [(at(3), None), (at(4), None)];
    let one = w.ends[0].request(w.now, register.clone(), &targets).unwrap();
    let m = w.sent(0).remove(0).1;
    assert_eq!(header(&m, "Contact"), "<sip:7@192.0.2.1>;expires=600", "left as it is");
    assert!(m.emit().starts_with(b"REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bK"));
    w.hear(0, addr(3), reply(&m, 503, "t").emit());
    let (hop, m) = w.sent(0).remove(0);
    assert_eq!(hop, at(4));
    w.hear(0, addr(4), reply(&m, 401, "t").emit());
    let events = w.take(0);
    let [Event::Response { request, status: 401, response: Some(_), from }] = events[..] else { panic!("{events:?}") };
    assert_eq!((request, from), (one, at(4)));
    let two = w.ends[0].request(w.now, register, &targets[..1]).unwrap();
    w.run_ms(32_000);
    let events = w.take(0);
    assert!(matches!(events[..], [Event::Response { request, status: 408, response: None, .. }] if request == two), "{events:?}");
    w.assert_all_gone();
}

#[test]
fn req_c10_a_caller_who_moves_before_he_is_answered_is_answered_where_he_is() {
    let mut w = World::new(GOOD, 80);
    w.call();
    let invite = w.sent(0).remove(0).1.emit();
    w.hear(1, addr(1), invite.clone());
    let id = w.take(1).into_iter().find_map(|e| if let Event::Incoming { dialog, .. } = e { Some(dialog) } else { None });
    w.sent(1);
    // The same branch from another address: its sender got a new lease, and repeats what was not answered.
    w.hear(1, addr(7), invite);
    assert!(w.ends[1].ringing(w.now, id.expect("a call")).is_ok());
    let sent = w.sent(1);
    assert!(!sent.is_empty() && sent.iter().all(|(hop, _)| hop.addr == addr(7)), "{sent:?}");
}

#[test]
fn req_c10_who_moved_says_so_in_the_next_request_and_is_followed() {
    let mut w = World::new(GOOD, 81);
    let a = w.call();
    w.run_ms(100);
    let Some(Event::Incoming { dialog: b, .. }) = w.take(1).into_iter().find(|e| matches!(e, Event::Incoming { .. })) else {
        panic!("a call")
    };
    w.ends[1].answer(w.now, b, b"v=0 answer".to_vec()).unwrap();
    w.run_ms(500);
    w.take(0);
    assert_eq!(w.ends[1].peer_at(b), Some(at(1)));
    w.ends[0].set_contacts(vec![at(7)], None);
    w.ends[0].reinvite(w.now, a, b"v=0 offer from elsewhere".to_vec()).unwrap();
    let (_, request) = w.sent(0).remove(0);
    assert!(header(&request, "Contact").contains("192.0.2.7") && header(&request, "Via").contains("192.0.2.7"));
    w.hear(1, addr(7), request.emit());
    assert_eq!(w.ends[1].peer_at(b), Some(at(7)));
    w.ends[1].answer(w.now, b, b"v=0 answer".to_vec()).unwrap();
    assert!(w.sent(1).iter().all(|(hop, _)| hop.addr == addr(7)));
    // No contacts are no contacts.
    w.ends[0].set_contacts(Vec::new(), None);
    assert_eq!(w.ends[0].config.contacts, [at(7)]);
}

#[test]
fn req_c10_peers_beyond_a_nat_are_told_its_address_and_those_inside_ours() {
    let outside: SocketAddr = "198.51.100.7:31000".parse().unwrap();
    let config = Config { outside: Some(outside), ..Config::new("10.0.0.2:5060".parse().unwrap(), "x") };
    let config = config.also_at(Hop::tcp("10.0.0.2:5060".parse().unwrap()));
    let told = |at: &str| config.contact(Hop::udp(at.parse().unwrap())).addr.to_string();
    assert_eq!(told("192.0.2.1:5060"), "198.51.100.7:31000");
    for inside in ["10.0.0.9:5060", "192.168.1.1:5060", "127.0.0.1:5060"] {
        assert_eq!(told(inside), "10.0.0.2:5060", "{inside}");
    }
    assert_eq!(config.contact(Hop::tcp("192.0.2.1:5060".parse().unwrap())).addr.to_string(), "10.0.0.2:5060", "a NAT maps each apart");
    assert_eq!(told("[2001:db8::1]:5060"), "10.0.0.2:5060");
}
