//! What an answered call costs the SIP endpoint, the callee's side alone: INVITE read, 200 sent, ACK, BYE and its 200, every
//! event and message taken out, and the timers of the transactions run out 32 s later. No sockets, no media.

use super::Figure;
use super::measure::{Budget, cpu_ns};
use crate::clock::{Instant, Rng, ms};
use crate::sip::message::Message;
use crate::sip::{Config, Endpoint, Event, Hop};
use std::net::SocketAddr;

/// Calls of one turn, all of them alive at a time.
const CALLS: usize = 500;
const ANSWER: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8 101\r\n\
    a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n";

/// A request of the caller in call `n`; `to_tag` as the endpoint gave it.
fn request(method: &str, n: u64, cseq: u32, to_tag: &str, sdp: &str) -> Vec<u8> {
    let tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
    let kind = if sdp.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "{method} sip:9000@192.0.2.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;rport;branch=z9hG4bK{n:016x}{cseq}{method}\r\n\
         Max-Forwards: 70\r\nFrom: \"Line\" <sip:2001@192.0.2.9:5060>;tag={n:016x}\r\nTo: <sip:9000@192.0.2.1:5060>{tag}\r\n\
         Call-ID: {n:016x}@192.0.2.9\r\nCSeq: {cseq} {method}\r\nContact: <sip:2001@192.0.2.9:5060>\r\n\
         Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, INFO\r\nSupported: 100rel, timer\r\nUser-Agent: exchange 7.2\r\n{kind}\
         Content-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    )
    .into_bytes()
}

/// One endpoint that answers every call, and its counters of work.
struct Callee {
    endpoint: Endpoint,
    from: Hop,
    answered: usize,
    ended: usize,
}

impl Callee {
    fn hear(&mut self, now: Instant, bytes: &[u8], sent: &mut Vec<Vec<u8>>) {
        self.endpoint.handle_message(now, self.from, bytes);
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                Event::Incoming { dialog, .. } => self.answered += usize::from(self.endpoint.answer(now, dialog, ANSWER.into()).is_ok()),
                Event::Ended { .. } => self.ended += 1,
                _ => {}
            }
        }
        while let Some(transmit) = self.endpoint.poll_transmit() {
            sent.push(transmit.bytes);
        }
    }
}

/// CPU of one whole call, the best of several turns of many.
pub fn call(budget: &Budget) -> Result<Figure, String> {
    let here = SocketAddr::from(([192, 0, 2, 1], 5060));
    let config = Config { dialogs_max: 4 * CALLS, transactions_max: 16 * CALLS, ..Config::new(here, "tipring") };
    let from = Hop::udp(SocketAddr::from(([192, 0, 2, 9], 5060)));
    let mut callee = Callee { endpoint: Endpoint::new(config, 5), from, answered: 0, ended: 0 };
    let mut rng = Rng::new(3665);
    let (mut now, mut best, mut spent, mut turns) = (Instant::ZERO, f64::INFINITY, 0, 0);
    while turns < 3 || spent < budget.cpu_ns {
        let numbers: Vec<u64> = (0..CALLS).map(|_| rng.next_u64()).collect();
        let invites: Vec<Vec<u8>> = numbers.iter().map(|n| request("INVITE", *n, 1, "", ANSWER)).collect();
        let mut sent = Vec::with_capacity(2 * CALLS);
        let start = cpu_ns();
        for invite in &invites {
            callee.hear(now, invite, &mut sent);
        }
        let mut took = cpu_ns() - start;
        // Not the endpoint's work: the caller reads the answers.
        let read = |bytes: &Vec<u8>| Message::parse(bytes).ok().filter(|m| m.status() == Some(200));
        let tags: Vec<String> =
            sent.iter().filter_map(read).filter_map(|m| m.to_tag().map(|t| String::from_utf8_lossy(t).into_owned())).collect();
        if tags.len() != CALLS {
            return Err(format!("{} of {CALLS} calls were answered", tags.len()));
        }
        let pairs = numbers.iter().zip(&tags);
        let rest: Vec<[Vec<u8>; 2]> = pairs.map(|(n, tag)| [request("ACK", *n, 1, tag, ""), request("BYE", *n, 2, tag, "")]).collect();
        sent.clear();
        let start = cpu_ns();
        for bytes in rest.iter().flatten() {
            callee.hear(now, bytes, &mut sent);
        }
        now = now + ms(40_000);
        while callee.endpoint.poll_timeout().is_some_and(|(at, _)| at <= now) {
            callee.endpoint.handle_timeout(now);
        }
        took += cpu_ns() - start;
        turns += 1;
        if callee.answered != turns * CALLS || callee.ended != turns * CALLS || callee.endpoint.alive() != Default::default() {
            return Err(format!(
                "{} answered, {} ended of {}: {:?}",
                callee.answered,
                callee.ended,
                turns * CALLS,
                callee.endpoint.alive()
            ));
        }
        spent += took;
        best = best.min(took as f64 / CALLS as f64);
    }
    Ok(Figure::Per("call", best))
}
