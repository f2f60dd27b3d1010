use super::*;

/// The times in ms at which `Fired::Repeat` comes, and the time and kind of the end.
fn run(mut next: impl FnMut() -> Option<(Instant, Timer)>, mut fire: impl FnMut(Instant) -> Option<Fired>) -> (Vec<u64>, u64, Fired) {
    let mut repeats = Vec::new();
    loop {
        let (at, _) = next().expect("a live machine has a timer");
        match fire(at) {
            Some(Fired::Repeat) => repeats.push(at.as_ms()),
            Some(end) => return (repeats, at.as_ms(), end),
            None => panic!("the timer was due"),
        }
    }
}

macro_rules! run {
    ($machine:expr) => {{
        let m = core::cell::RefCell::new($machine);
        run(|| m.borrow().next_timer(), |now| m.borrow_mut().handle_timeout(now))
    }};
}

#[test]
fn an_unanswered_invite_is_repeated_six_times_and_given_up_after_64_t1() {
    let (repeats, end, why) = run!(ClientInvite::new(Instant::ZERO, false));
    assert_eq!((repeats, end, why), (vec![500, 1500, 3500, 7500, 15500, 31500], 32_000, Fired::TimedOut));
}

#[test]
fn an_unanswered_bye_is_repeated_ten_times_and_given_up_after_64_t1() {
    let (repeats, end, why) = run!(Client::new(Instant::ZERO, false));
    assert_eq!(repeats, [500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500]);
    assert_eq!((end, why), (32_000, Fired::TimedOut));
}

#[test]
fn a_failure_without_ack_is_repeated_until_timer_h() {
    let mut m = ServerInvite::new(false);
    assert!(m.respond(Instant::ZERO, 100) && m.respond(Instant::ZERO, 486));
    assert!(!m.respond(Instant::ZERO, 200), "one final response only");
    let (repeats, end, why) = run!(m.clone());
    assert_eq!((repeats.len(), end, why), (10, 32_000, Fired::Done));
    assert!(m.handle_ack(Instant::from_ms(100)));
    assert_eq!(m.handle_repeat(), Repeated::Absorbed);
    assert_eq!(run!(m), (vec![], 5_100, Fired::Done));
}

#[test]
fn an_accepted_invite_absorbs_repeats_and_lets_the_ack_through() {
    let mut m = ServerInvite::new(false);
    assert!(m.respond(Instant::ZERO, 200));
    assert_eq!(m.handle_repeat(), Repeated::Absorbed);
    assert!(!m.handle_ack(Instant::ZERO), "the ACK of a 2xx is the user's");
    assert_eq!(run!(m), (vec![], 32_000, Fired::Done));
}

#[test]
fn a_ringing_invite_has_its_exit() {
    let mut m = ClientInvite::new(Instant::ZERO, false);
    assert_eq!(m.handle_response(Instant::from_ms(100), 180), Heard::PassUp);
    assert_eq!(m.next_timer(), Some((Instant::from_ms(180_100), Timer::C)));
    assert_eq!(m.handle_timeout(Instant::from_ms(180_100)), Some(Fired::RangTooLong));
    m.cancel_sent(Instant::from_ms(180_100));
    assert_eq!(m.handle_response(Instant::from_ms(180_200), 180), Heard::PassUp);
    assert_eq!(run!(m), (vec![], 212_100, Fired::TimedOut));
}

#[test]
fn a_failed_invite_acknowledges_repeats_and_an_accepted_one_passes_every_2xx() {
    let mut m = ClientInvite::new(Instant::ZERO, false);
    assert_eq!(m.handle_response(Instant::ZERO, 486), Heard::PassUp);
    assert_eq!(m.handle_response(Instant::ZERO, 486), Heard::AckAgain);
    assert_eq!(m.handle_response(Instant::ZERO, 200), Heard::Absorbed);
    let mut m = ClientInvite::new(Instant::ZERO, false);
    assert_eq!(m.handle_response(Instant::ZERO, 200), Heard::PassUp);
    assert_eq!(m.handle_response(Instant::ZERO, 200), Heard::PassUp);
    assert_eq!(m.handle_response(Instant::ZERO, 486), Heard::Absorbed);
}

#[test]
fn over_a_reliable_transport_nothing_is_repeated_and_the_short_waits_are_none() {
    assert_eq!(run!(ClientInvite::new(Instant::ZERO, true)), (vec![], 32_000, Fired::TimedOut));
    assert_eq!(run!(Client::new(Instant::ZERO, true)), (vec![], 32_000, Fired::TimedOut));
    let mut m = ClientInvite::new(Instant::ZERO, true);
    m.handle_response(Instant::from_ms(5), 486);
    assert_eq!(run!(m), (vec![], 5, Fired::Done), "D");
    let mut m = Client::new(Instant::ZERO, true);
    m.handle_response(Instant::from_ms(5), 200);
    assert_eq!(run!(m), (vec![], 5, Fired::Done), "K");
    let mut m = ServerInvite::new(true);
    m.respond(Instant::ZERO, 486);
    assert_eq!(run!(m.clone()), (vec![], 32_000, Fired::Done), "no G, and H as ever");
    m.handle_ack(Instant::from_ms(5));
    assert_eq!(run!(m), (vec![], 5, Fired::Done), "I");
    let mut m = Server::new(Instant::ZERO, true);
    m.respond(Instant::from_ms(5), 200);
    assert_eq!(run!(m), (vec![], 5, Fired::Done), "J");
}

#[test]
fn a_client_of_rfc_2543_is_told_apart_without_a_branch() {
    let invite = |via: &str, method: &str, to: &str| {
        let text = format!(
            "{method} sip:a@b SIP/2.0\r\nVia: {via}\r\nFrom: <sip:x@y>;tag=1\r\nTo: <sip:a@b>{to}\r\nCall-ID: c\r\nCSeq: 1 {method}\r\n\r\n"
        );
        ServerKey::of(&Message::parse(text.as_bytes()).unwrap()).unwrap()
    };
    assert_eq!(invite("SIP/2.0/UDP h", "INVITE", ""), invite("SIP/2.0/UDP h", "ACK", ";tag=9"));
    assert_ne!(invite("SIP/2.0/UDP h", "INVITE", ""), invite("SIP/2.0/UDP g", "INVITE", ""));
    let new = invite("SIP/2.0/UDP h;branch=z9hG4bKq", "INVITE", "");
    assert_eq!(new.branch, b"z9hG4bKq");
    assert_ne!(new, invite("SIP/2.0/UDP h;branch=z9hG4bKq", "CANCEL", ""));
}
