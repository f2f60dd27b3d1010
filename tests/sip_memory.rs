//! What a standing call costs the SIP endpoint in memory: ten thousand confirmed dialogs beside each other.

#![allow(missing_docs)]

use std::net::SocketAddr;
use tipring::clock::{Instant, ms};
use tipring::sip::message::Message;
use tipring::sip::{Config, Endpoint, Event, Hop};

const DIALOGS: usize = 10_000;
/// A dialog may take so much, in bytes, its entries in the tables and the allocator's own cost included.
const DIALOG_BYTES_MAX: usize = 4_096;
const SDP: &str = "v=0\r\no=- 3904 3905 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8 0 101\r\n\
    a=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n";

/// Memory of this process that is really there, in bytes. `None` where the system does not say.
fn resident() -> Option<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    statm.split(' ').nth(1)?.parse::<usize>().ok().map(|pages| pages * 4096)
}

fn request(method: &str, n: usize, to_tag: &str, sdp: &str) -> Vec<u8> {
    let tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
    let kind = if sdp.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "{method} sip:9000@192.0.2.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.50:5060;branch=z9hG4bKproxy{n:016x}{method}\r\n\
         Via: SIP/2.0/UDP 192.0.2.9:5060;rport;branch=z9hG4bK{n:016x}{method}\r\nRecord-Route: <sip:192.0.2.50;lr;ftag=ae71>\r\n\
         Max-Forwards: 70\r\nFrom: \"Reception desk\" <sip:2001@example.com>;tag={n:016x}\r\nTo: <sip:9000@example.com>{tag}\r\n\
         Call-ID: {n:016x}-4711@192.0.2.9\r\nCSeq: 1 {method}\r\nContact: <sip:2001@192.0.2.9:5060;ob>\r\n\
         Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, INFO\r\nSupported: 100rel, timer\r\nSession-Expires: 1800\r\n{kind}\
         Content-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    )
    .into_bytes()
}

#[test]
fn ten_thousand_standing_dialogs_take_less_than_4_kb_each() {
    let here = SocketAddr::from(([192, 0, 2, 1], 5060));
    let from = Hop::udp(SocketAddr::from(([192, 0, 2, 50], 5060)));
    let config =
        Config { dialogs_max: 2 * DIALOGS, transactions_max: 4_000, session_expires_s: Some(86_400), ..Config::new(here, "tipring") };
    let mut endpoint = Endpoint::new(config, 1);
    let mut now = Instant::ZERO;
    let mut before = None;
    let mut measured = 0;
    for n in 0..DIALOGS + 500 {
        if n == 500 {
            // The first calls took what is there anyway: tables, the allocator's arenas.
            before = resident();
        }
        measured += usize::from(n >= 500);
        let invite = request("INVITE", n, "", SDP).to_vec();
        // Long sessions: the interval must not end while the clock of the test runs.
        let invite = String::from_utf8(invite).expect("text").replace("Session-Expires: 1800", "Session-Expires: 864000");
        endpoint.handle_message(now, from, invite.as_bytes());
        let Some(Event::Incoming { dialog, .. }) = endpoint.poll_event() else { panic!("call {n} did not come in") };
        endpoint.answer(now, dialog, SDP.into()).expect("it rings");
        let sent: Vec<_> = std::iter::from_fn(|| endpoint.poll_transmit()).collect();
        let ok = Message::parse(&sent.last().expect("the 200").bytes).expect("a message");
        let tag = String::from_utf8_lossy(ok.to_tag().expect("a tag")).into_owned();
        endpoint.handle_message(now, from, &request("ACK", n, &tag, ""));
        while endpoint.poll_event().is_some() {}
        if n % 100 == 99 {
            // The transactions end; the dialogs stay.
            now = now + ms(33_000);
            while endpoint.poll_timeout().is_some_and(|(at, _)| at <= now) {
                endpoint.handle_timeout(now);
            }
        }
    }
    assert_eq!((endpoint.alive().dialogs, endpoint.alive().server_transactions), (DIALOGS + 500, 0));
    let (Some(before), Some(after)) = (before, resident()) else {
        println!("skipped: this system does not say how much memory a process has");
        return;
    };
    let each = after.saturating_sub(before) / measured;
    println!("{measured} dialogs: {each} bytes each");
    assert!(each > 200, "nothing was measured");
    assert!(each <= DIALOG_BYTES_MAX, "{each} bytes a dialog");
}
