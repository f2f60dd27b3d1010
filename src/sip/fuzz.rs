//! Bodies of the fuzz targets in `tests/fuzz`; ordinary tests replay `fixtures/corpus/sip` through them.

use super::auth::Login;
use super::message::{Message, Method, NameAddr, Uri, Via, stream_message_len};
use super::stream::{Broken, Frame, Framer};
use super::{Config, Endpoint, Event, Hop, Invite};
use crate::clock::{Instant, Rng, ms};
use crate::limits::{SIP_HEAD_BYTES_MAX, SIP_HEADERS_MAX};
use core::net::SocketAddr;
use std::collections::BTreeSet;

/// One message: no panic; what is read goes round, also as one of two on a stream; and what is read of its headers goes round too.
pub fn message(bytes: &[u8]) {
    let framed = stream_message_len(bytes);
    let Ok(message) = Message::parse(bytes) else { return };
    if let Some(head) = framed.ok().flatten().and_then(|n| bytes.get(..n))
        && message.headers.count("Content-Length") > 0
    {
        assert_eq!(Message::parse(head).as_ref(), Ok(&message), "framing and reading differ");
    }
    for v in message.headers.values("Via") {
        via(v);
    }
    for name in ["From", "To", "Contact", "Route", "Record-Route"] {
        message.headers.values(name).for_each(address);
    }
    as_read_anew(&message);
    let _ = (message.sdp(), message.max_forwards(), message.content_type());
    message.request_uri().map(|u| u.user_text()).ok();
    // Written anew it may be somewhat longer than it came.
    if bytes.len() > SIP_HEAD_BYTES_MAX / 2 || message.headers.len() == SIP_HEADERS_MAX {
        return;
    }
    let written = message.emit();
    assert_eq!(stream_message_len(&written), Ok(Some(written.len())));
    let two = [b"\r\n\r\n", written.as_slice(), b"OPTIONS sip:a SIP/2.0\r\n"].concat();
    assert_eq!(stream_message_len(&two), Ok(Some(written.len() + 4)));
    let mut again = Message::parse(&written).expect("what was read can be written and read again");
    // Length lines are ours to write: several equal ones become one.
    let mut wanted = message;
    wanted.headers.remove("Content-Length");
    again.headers.remove("Content-Length");
    assert_eq!(again, wanted);
}

/// What the check of the message found and kept is what reading its headers finds, also after they were touched.
fn as_read_anew(message: &Message) {
    let same = |m: &Message| {
        let first = |name| m.headers.values(name).next();
        assert_eq!(m.top_via().ok(), first("Via").and_then(|v| Via::parse(v).ok()));
        let (from, to) = (m.headers.get("From").map(NameAddr::parse), m.headers.get("To").map(NameAddr::parse));
        assert_eq!((m.from().ok(), m.to().ok()), (from.clone().and_then(Result::ok), to.clone().and_then(Result::ok)));
        let tag = |address: &Option<Result<NameAddr, _>>| address.as_ref()?.as_ref().ok()?.tag().map(<[u8]>::to_vec);
        assert_eq!((m.from_tag().map(<[u8]>::to_vec), m.to_tag().map(<[u8]>::to_vec)), (tag(&from), tag(&to)));
        assert_eq!(m.contact(), m.headers.values("Contact").find_map(|v| NameAddr::parse(v).ok()));
    };
    same(message);
    let mut touched = message.clone();
    for name in ["Via", "From", "To", "Contact"] {
        let longer = touched.headers.get(name).map(|v| [v, b";more=1"].concat());
        if let Some(longer) = longer {
            touched.headers.set(name, longer);
            same(&touched);
        }
        touched.headers.push(name, "<sip:another@192.0.2.77>");
        same(&touched);
        touched.headers.remove(name);
        same(&touched);
    }
}

/// All that comes out of a stream when it arrives in these pieces.
pub(super) fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Frame>, Option<Broken>) {
    let (mut framer, mut frames) = (Framer::new(), Vec::new());
    for piece in pieces {
        framer.push(piece);
        loop {
            match framer.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(broken) => return (frames, Some(broken)),
            }
        }
    }
    (frames, None)
}

/// A stream: whatever the pieces in which it comes (their sizes are the first bytes), the same messages and keep-alives come out, what is
/// held is bounded, and each message is whole by [`stream_message_len`] too.
pub fn stream(bytes: &[u8]) {
    let (sizes, stream) = bytes.split_at(bytes.len().min(4));
    let whole = read(core::iter::once(stream));
    let (mut rest, mut turn) = (stream, 0);
    let cut = read(core::iter::from_fn(|| {
        let size = 1 + sizes.get(turn % sizes.len().max(1)).map_or(0, |s| usize::from(*s));
        turn += 1;
        let (piece, more) = rest.split_at(size.min(rest.len()));
        rest = more;
        (!piece.is_empty()).then_some(piece)
    }));
    // A head that is too long is told as far as it had come.
    match (&whole.1, &cut.1) {
        (Some(Broken::NoEnd(a)), Some(Broken::NoEnd(b))) => assert!(a.starts_with(b) || b.starts_with(a)),
        (a, b) => assert_eq!(a, b),
    }
    assert_eq!(whole.0, cut.0);
    for frame in &whole.0 {
        if let Frame::Message(message) = frame {
            assert_eq!(stream_message_len(message), Ok(Some(message.len())));
        }
    }
}

/// URIs, addresses and Vias, one a line: what is read goes round, and compares as it should with itself and with what stands in the next line.
pub fn uri(bytes: &[u8]) {
    let mut last: Option<Uri> = None;
    for line in bytes.split(|b| matches!(b, b'\r' | b'\n')).take(8) {
        via(line);
        address(line);
        let Ok(uri) = Uri::parse(line) else { continue };
        assert!(uri.is_equivalent(&uri), "not itself");
        if let Some(last) = &last {
            assert_eq!(uri.is_equivalent(last), last.is_equivalent(&uri), "one-sided");
        }
        let plain = Uri::parse(uri.request_uri()).expect("a URI without its headers is one");
        assert!(!plain.has_headers && plain.scheme == uri.scheme && plain.host == uri.host && plain.params == uri.params);
        let user = uri.user_text();
        assert!(!user.contains(char::is_control));
        let ours = Uri::sip(&user, SocketAddr::from(([192, 0, 2, 1], 5060)));
        assert_eq!(ours.user_text(), user);
        if let Some(subscriber) = uri.subscriber() {
            let digits = subscriber.number.strip_prefix('+').unwrap_or(&subscriber.number);
            assert!(!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit() || b"ABCD*#".contains(&b)));
        }
        let _ = (uri.socket_addr(), uri.transport(), uri.password());
        last = Some(uri);
    }
}

fn address(value: &[u8]) {
    let Ok(address) = NameAddr::parse(value) else { return };
    assert_eq!(NameAddr::parse(&address.emit()).as_ref(), Ok(&address));
    // A tag that we add is the tag that is read.
    let mut tagged = address;
    tagged.params.set("tag", "ours");
    assert_eq!(NameAddr::parse(&tagged.emit()).expect("it stays an address").tag(), Some(&b"ours"[..]));
}

fn via(value: &[u8]) {
    let Ok(mut via) = Via::parse(value) else { return };
    assert_eq!(Via::parse(&via.emit()).as_ref(), Ok(&via));
    let source = SocketAddr::from(([192, 0, 2, 9], 40_000));
    via.stamp(source);
    assert_eq!(via.response_addr(source).ip(), source.ip());
    assert_eq!(Via::parse(&via.emit()).expect("it stays a Via"), via);
}

/// A conversation with an endpoint, chunks behind `\n%%`: `%%t` + decimal ms lets time pass, `%%c` calls, `%%a`, `%%r`, `%%i`, `%%h`
/// answer, ring, re-INVITE and hang up the newest dialog, `%%p`, `%%u`, `%%j` and `%%k` say 183 with a session, UPDATE, refuse and
/// acknowledge; `%%d` calls by two ways with a password, `%%o` without an offer; `%%f` breaks the ways; `%%s` brings a message by TCP,
/// and anything else is a datagram. In it `{tag}`, `{branch}`, `{callid}` and `{cseq}` stand for those of the last request, `{totag}` and
/// `{rseq}` for To tag and RSeq of the last response, that the endpoint sent.
///
/// No panic; bounded tables; one last word a dialog; and with time everything ends. Gives back what happened.
pub fn conversation(bytes: &[u8]) -> Vec<Event> {
    let here = SocketAddr::from(([192, 0, 2, 1], 5060));
    let there = SocketAddr::from(([192, 0, 2, 9], 5060));
    let config = Config { transactions_max: 16, dialogs_max: 4, session_expires_s: Some(600), ..Config::new(here, "tipring") };
    let config = config.also_at(Hop::tcp(here));
    let mut endpoint = Endpoint::new(config, 1);
    let mut now = Instant::ZERO;
    let mut said = Said::default();
    let text = bytes.strip_prefix(b"%%").unwrap_or(bytes);
    let mut chunks = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.windows(3).position(|w| w == b"\n%%") {
        chunks.push(&rest[..at]);
        rest = &rest[at + 3..];
    }
    chunks.push(rest);
    for chunk in chunks.into_iter().take(64) {
        let id = said.newest;
        match chunk.split_first() {
            Some((b't', n)) => {
                let end = now + ms(super::message::decimal(n).unwrap_or(0).min(1_000_000));
                while let Some((at, _)) = endpoint.poll_timeout().filter(|(at, _)| *at <= end) {
                    now = now.max(at);
                    endpoint.handle_timeout(now);
                    said.listen(&mut endpoint);
                }
                now = end;
            }
            Some((way @ (b'c' | b'd' | b'o'), _)) => {
                let mut call = Invite {
                    to: "1".into(),
                    targets: vec![(there.into(), None)],
                    from: "2".into(),
                    offer: b"v=0".to_vec(),
                    ..Invite::default()
                };
                match way {
                    b'd' => {
                        call.targets.insert(0, (Hop::tcp(there), None));
                        call.login = Some(Login::with_password("2", "secret"));
                    }
                    b'o' => call.offer.clear(),
                    _ => {}
                }
                if let Ok(id) = endpoint.invite(now, call) {
                    said.open.insert(id);
                    said.newest = Some(id);
                }
            }
            Some((b'a', _)) => drop(id.map(|id| endpoint.answer(now, id, b"v=0".to_vec()))),
            Some((b'r', _)) => drop(id.map(|id| endpoint.ringing(now, id))),
            Some((b'i', _)) => drop(id.map(|id| endpoint.reinvite(now, id, b"v=0".to_vec()))),
            Some((b'p', _)) => drop(id.map(|id| endpoint.progress(now, id, b"v=0".to_vec()))),
            Some((b'u', _)) => drop(id.map(|id| endpoint.update(now, id, b"v=0".to_vec()))),
            Some((b'j', _)) => drop(id.map(|id| endpoint.reject(now, id, 488, None))),
            Some((b'k', _)) => drop(id.map(|id| endpoint.acknowledge(id, b"v=0".to_vec()))),
            Some((b'f', _)) => [Hop::udp(there), Hop::tcp(there)].into_iter().for_each(|hop| endpoint.handle_transport_failure(now, hop)),
            Some((b's', rest)) => endpoint.handle_message(now, Hop::tcp(there), &said.fill_in(rest.trim_ascii_start())),
            Some((b'h', _)) => drop(id.map(|id| endpoint.hangup(now, id, Some(16)))),
            _ => endpoint.handle_datagram(now, there, &said.fill_in(chunk.trim_ascii_start())),
        }
        said.listen(&mut endpoint);
        let alive = endpoint.alive();
        assert!(alive.dialogs <= 4 && alive.client_transactions + alive.server_transactions <= 16);
    }
    for id in said.open.clone() {
        let _ = endpoint.hangup(now, id, None);
    }
    said.listen(&mut endpoint);
    let mut turns = 0;
    while let Some((at, reason)) = endpoint.poll_timeout() {
        now = now.max(at);
        endpoint.handle_timeout(now);
        said.listen(&mut endpoint);
        turns += 1;
        assert!(turns < 10_000, "spins on {reason:?}");
    }
    assert!(said.open.is_empty(), "a dialog without a last word");
    assert_eq!(endpoint.alive(), Default::default());
    said.events
}

/// What the endpoint said, for the other side of the conversation to refer to.
#[derive(Default)]
struct Said {
    open: BTreeSet<super::DialogId>,
    newest: Option<super::DialogId>,
    words: [(&'static str, Vec<u8>); 6],
    events: Vec<Event>,
}

impl Said {
    fn listen(&mut self, endpoint: &mut Endpoint) {
        while let Some(event) = endpoint.poll_event() {
            self.events.push(event.clone());
            let Some(id) = event.dialog() else { continue };
            if matches!(event, Event::Incoming { .. }) {
                self.open.insert(id);
                self.newest = Some(id);
            }
            assert!(self.open.contains(&id), "{event:?} after the last word");
            if event.is_last() {
                self.open.remove(&id);
            }
        }
        while let Some(transmit) = endpoint.poll_transmit() {
            let Ok(message) = Message::parse(&transmit.bytes) else {
                // Only the refusal of a malformed request may be malformed: it repeats that request's headers.
                let text = String::from_utf8_lossy(&transmit.bytes);
                assert!(
                    ["400", "505", "513"].iter().any(|s| text.strip_prefix("SIP/2.0 ").is_some_and(|t| t.starts_with(s))),
                    "cannot be read: {text}"
                );
                continue;
            };
            let tag = |a: Result<super::message::NameAddr, _>| a.ok().and_then(|a| a.tag().map(<[u8]>::to_vec)).unwrap_or_default();
            if message.method().is_some_and(|m| *m != Method::Ack) {
                self.words[0] = ("{tag}", tag(message.from()));
                self.words[1] = ("{branch}", message.top_via().ok().and_then(|v| v.branch().map(<[u8]>::to_vec)).unwrap_or_default());
                self.words[2] = ("{callid}", message.call_id().unwrap_or_default().to_vec());
                self.words[3] = ("{cseq}", message.headers.get("CSeq").unwrap_or_default().to_vec());
            } else if message.status().is_some_and(|s| s > 100) {
                self.words[4] = ("{totag}", tag(message.to()));
                if let Some(rseq) = message.headers.get("RSeq") {
                    self.words[5] = ("{rseq}", rseq.to_vec());
                }
            }
        }
    }

    fn fill_in(&self, chunk: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(chunk.len());
        let mut rest = chunk;
        while let Some(first) = rest.first() {
            match self.words.iter().find(|(name, _)| !name.is_empty() && rest.starts_with(name.as_bytes())) {
                Some((name, word)) => {
                    out.extend_from_slice(word);
                    rest = &rest[name.len()..];
                }
                None => {
                    out.push(*first);
                    rest = &rest[1..];
                }
            }
        }
        out
    }
}

/// Breaks `bytes` at a few places, for tests without a fuzzer.
pub fn mutate(bytes: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=rng.below(4) {
        if bytes.is_empty() {
            break;
        }
        let at = rng.below(bytes.len() as u64) as usize;
        let end = (at + 1 + rng.below(80) as usize).min(bytes.len());
        match rng.below(6) {
            0 => bytes[at] = rng.below(256) as u8,
            1 => bytes[at] = b"\r\n;,<>\"%:@ =09"[rng.below(14) as usize],
            2 => bytes.insert(at, b"\r\n;,<>\"%:@ =09"[rng.below(14) as usize]),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => {
                // Whole chunks change places: what comes when is the heart of a conversation.
                let text = bytes.clone();
                let marks: Vec<usize> = (0..text.len()).filter(|i| text[*i..].starts_with(b"\n%%")).collect();
                if marks.len() > 1 {
                    let i = rng.below(marks.len() as u64 - 1) as usize;
                    let piece = &text[marks[i]..marks[i + 1]];
                    let to = marks[rng.below(marks.len() as u64) as usize];
                    bytes.splice(to..to, piece.iter().copied());
                }
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus() -> Vec<(String, Vec<u8>)> {
        files("sip")
    }

    fn files(name: &str) -> Vec<(String, Vec<u8>)> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/corpus").join(name);
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
        files.sort();
        files.iter().map(|p| (p.display().to_string(), std::fs::read(p).unwrap())).collect()
    }

    #[test]
    fn the_corpus_runs_through_both_targets() {
        let files = corpus();
        assert!(files.len() >= 10);
        for (name, bytes) in files {
            println!("{name}");
            message(&bytes);
            conversation(&bytes);
        }
    }

    #[test]
    fn the_corpus_broken_at_random_ends_as_it_must() {
        let mut rng = Rng::new(3261);
        let files = corpus();
        // The corpus grows; the time that this takes does not.
        let times = (4_000 / files.len()).clamp(4, 300);
        for (_, bytes) in files {
            for _ in 0..times {
                let bytes = mutate(&bytes, &mut rng);
                message(&bytes);
                conversation(&bytes);
            }
        }
    }

    #[test]
    fn the_corpus_of_streams_comes_out_the_same_in_any_pieces() {
        let mut rng = Rng::new(5626);
        let files = files("sip_stream");
        assert!(files.len() >= 7);
        for (name, bytes) in files {
            println!("{name}");
            stream(&bytes);
            for _ in 0..200 {
                stream(&mutate(&bytes, &mut rng));
            }
        }
    }

    #[test]
    fn the_corpus_of_uris_goes_round_whole_and_broken() {
        let mut rng = Rng::new(3966);
        let files = files("uri");
        assert!(files.len() >= 5);
        for (name, bytes) in files {
            println!("{name}");
            uri(&bytes);
            for _ in 0..200 {
                uri(&mutate(&bytes, &mut rng));
            }
        }
    }

    #[test]
    fn conversations_of_the_corpus_reach_what_they_are_named_after() {
        let events = |name: &str| {
            let (_, bytes) = corpus().into_iter().find(|(n, _)| n.ends_with(name)).unwrap();
            // The variant's name alone: the rest is asserted elsewhere.
            let name = |e: &Event| format!("{e:?}").split(' ').next().unwrap_or_default().to_owned();
            conversation(&bytes).iter().map(name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(events("conversation-called"), "Incoming Acked ReInvited Acked ReInviteFailed Ended");
        assert_eq!(events("conversation-cancelled"), "Incoming Ended");
        assert_eq!(events("conversation-calling"), "Provisional Provisional Answered ReInviteAnswered ReInvited Acked Ended");
        assert_eq!(events("conversation-early"), "Incoming ProgressAcked Acked UpdateOffered UpdateFailed UpdateAnswered Dtmf Ended");
        assert_eq!(events("conversation-early-offer"), "Incoming ProgressAcked ProgressAcked Acked Ended");
        assert_eq!(events("conversation-ways"), "Failed Provisional UpdateAnswered Ended");
        assert!(events("conversation-without-offer").starts_with("Provisional Answered "));
        assert_eq!(events("conversation-forked"), "Provisional Provisional Answered Ended Failed Ended Failed");
    }
}
