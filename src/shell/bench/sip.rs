//! What reading SIP costs: INVITEs as gateways and telephones send them, whole, with the five headers that every request is asked for.

use super::Figure;
use super::measure::{Budget, best};
use crate::clock::Rng;
use crate::sip::message::Message;
use std::hint::black_box;

/// Messages of one turn: enough that no branch predictor learns them by heart, few enough for the caches.
const MESSAGES: usize = 64;

/// An INVITE of twelve headers with a session description of audio; all its words that differ from call to call are drawn.
fn invite(rng: &mut Rng) -> Vec<u8> {
    let (from, to) = (2_000_000 + rng.below(1_000_000), 3_000_000 + rng.below(1_000_000));
    let (host, port) = (1 + rng.below(250), 1024 + rng.below(60_000));
    let (branch, tag, call) = (rng.next_u64(), rng.next_u64(), rng.next_u64());
    let session = rng.below(1 << 31);
    let media = 2 * (8_000 + rng.below(10_000));
    let sdp = format!(
        "v=0\r\no=- {session} {session} IN IP4 192.0.2.{host}\r\ns=-\r\nc=IN IP4 192.0.2.{host}\r\nt=0 0\r\nm=audio {media} RTP/AVP 8 0 101\r\n\
         a=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n"
    );
    format!(
        "INVITE sip:{to}@gateway.example.net:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.{host}:{port};rport;branch=z9hG4bK{branch:016x}\r\n\
         Max-Forwards: 70\r\nFrom: \"Line {from}\" <sip:{from}@192.0.2.{host}:{port}>;tag={tag:016x}\r\nTo: <sip:{to}@gateway.example.net:5060>\r\n\
         Call-ID: {call:016x}@192.0.2.{host}\r\nCSeq: {} INVITE\r\nContact: <sip:{from}@192.0.2.{host}:{port};transport=udp>;+sip.fax=\"t38\"\r\n\
         Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, INFO\r\nSupported: 100rel, timer, replaces\r\nUser-Agent: exchange 7.2\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
        1 + rng.below(10_000),
        sdp.len()
    )
    .into_bytes()
}

/// A whole message read, then Via, From, To, CSeq and Contact of it made.
pub fn parse(budget: &Budget) -> Result<Figure, String> {
    let mut rng = Rng::new(3261);
    let messages: Vec<Vec<u8>> = (0..MESSAGES).map(|_| invite(&mut rng)).collect();
    let mut fault = None;
    let ns = best(budget, MESSAGES as u64, || {
        for bytes in &messages {
            let Ok(message) = Message::parse(black_box(bytes)) else {
                fault = Some("a message was not read".to_owned());
                return;
            };
            let typed = (message.top_via(), message.from(), message.to(), message.cseq(), message.contact());
            if !matches!(typed, (Ok(_), Ok(_), Ok(_), Ok(_), Some(_))) || message.headers.len() != 12 {
                fault = Some("a header was not read".to_owned());
            }
            drop(black_box((message, typed)));
        }
    });
    fault.map_or(Ok(Figure::Per("message", ns)), Err)
}
