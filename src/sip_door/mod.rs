//! The directory's SIP door: REGISTER for any phone, look-ups by INVITE (302), OPTIONS. Sans-I/O: bytes in, an answer or a write out.
//!
//! It is a stateless user agent server (RFC 3261 s.8.2.7): no transactions, no dialogs; To tags are prints of the request, so that the
//! answer to a repeat is the answer again. What is remembered are only answers to requests that proved a password ([`repeats`]): their
//! nonce count is spent, so they could not be proven twice. A REGISTER that changes something is answered when its records are on disk:
//! [`Door::handle`] gives [`Handled::Write`], and [`Door::settled`] makes the answer once that is done.
//!
//! [`login`] asks who it is, [`register`] and [`lookup`] speak with the directory, [`contact`] reads where a phone is.

mod answer;
mod contact;
mod login;
mod lookup;
mod offers;
mod register;
mod repeats;

use crate::clock::{Instant, WallMs};
use crate::digest::{Algorithm, Authenticator};
use crate::directory::bans::Bans;
use crate::directory::logins::{Failures, LogGate, registration_refused};
use crate::directory::{Directory, Record};
use crate::limits::LOG_LINES_MAX;
use crate::sip::message::{Host, Message, Method, ParseError, Uri, Via};
use crate::sip::{Hop, Transport};
use answer::Reply;
use core::net::IpAddr;
use offers::Offers;
use repeats::{Kept, Repeats};
use std::collections::VecDeque;

/// The methods that are answered otherwise than by 405 and 501.
const ALLOW: &str = "REGISTER, OPTIONS, INVITE, ACK, CANCEL";

/// What the door is told once.
#[derive(Clone, Debug)]
pub struct Config {
    /// The domain of all addresses here.
    pub domain: String,
    /// Addresses that name this directory as its domain does; none: any (it listens on all).
    pub addresses: Vec<IpAddr>,
    /// The hashes that challenges offer, in this order. Credentials of another are not taken.
    pub hashes: Vec<Algorithm>,
}

/// The machines behind the door, which other doors use too.
pub struct Rooms<'a> {
    /// The numbers.
    pub directory: &'a mut Directory,
    /// The passwords.
    pub authenticator: &'a mut Authenticator,
    /// Failed log-ins.
    pub failures: &'a mut Failures,
    /// And what comes of them.
    pub bans: &'a mut Bans,
}

/// An answer to send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Where to.
    pub dst: Hop,
    /// What.
    pub bytes: Vec<u8>,
}

/// What comes of a message.
#[derive(Debug)]
pub enum Handled {
    /// Nothing to send.
    Nothing,
    /// This, at once.
    Answer(Answer),
    /// These must be on disk first; then [`Door::settled`].
    Write {
        /// What to write, in this order.
        writes: Vec<Record>,
        /// What waits for it.
        pending: Pending,
    },
}

/// An answer that waits for the disk.
#[derive(Debug)]
pub struct Pending {
    key: Option<u128>,
    reply: Box<Reply>,
}

/// What was counted since start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Requests answered.
    pub answered: u64,
    /// Of them, repeats of one answered before.
    pub repeats: u64,
    /// Requests refused as malformed.
    pub malformed: u64,
    /// Requests refused because their source is banned.
    pub banned: u64,
    /// Requests refused because too many writes wait for the disk, or it does not write.
    pub unavailable: u64,
    /// Dropped: not SIP, or too broken to be answered.
    pub garbage: u64,
    /// Dropped: responses, of which we expect none.
    pub responses: u64,
    /// Dropped: an ACK, or a repeat of what waits for the disk. No fault of anybody.
    pub absorbed: u64,
}

/// One request on its way through the door.
struct Asked<'m> {
    message: &'m Message,
    method: &'m Method,
    uri: Uri,
    via: Via,
    src: Hop,
}

/// The door.
pub struct Door {
    config: Config,
    seed: u64,
    repeats: Repeats,
    offers: Offers,
    noise: LogGate,
    refusal_lines: LogGate,
    ban_lines: LogGate,
    lines: VecDeque<String>,
    counters: Counters,
}

impl Door {
    /// A door; `seed` is fresh chance, so that nobody can compute our tags.
    pub fn new(config: Config, seed: u64) -> Door {
        let config = Config { domain: config.domain.to_ascii_lowercase(), ..config };
        Door {
            config,
            seed,
            repeats: Repeats::default(),
            offers: Offers::default(),
            noise: LogGate::default(),
            refusal_lines: LogGate::default(),
            ban_lines: LogGate::default(),
            lines: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// A message came. `may_write`: the store surely takes what [`Handled::Write`] gives.
    pub fn handle(&mut self, now: Instant, wall: WallMs, src: Hop, bytes: &[u8], rooms: &mut Rooms<'_>, may_write: bool) -> Handled {
        let message = match Message::parse(bytes) {
            Ok(message) => message,
            Err(ParseError::Garbage(why)) => {
                self.counters.garbage += 1;
                // Line ends and other small change keep a NAT's door open.
                if bytes.iter().any(|b| !matches!(b, b'\r' | b'\n' | 0)) {
                    self.log_noise(now, src, why);
                }
                return Handled::Nothing;
            }
            Err(ParseError::Refused { fault, message }) => {
                self.log_noise(now, src, fault.words);
                let copied = ["Via", "From", "To", "Call-ID", "CSeq"];
                if message.method() == Some(&Method::Ack) || copied.iter().any(|name| message.headers.get(name).is_none()) {
                    self.counters.garbage += 1;
                    return Handled::Nothing;
                }
                self.counters.malformed += 1;
                let via = message.top_via().ok();
                let reply = Reply::new(&message, via.as_ref(), src, self.tag(&message), fault.status, fault.words);
                return self.send(reply);
            }
        };
        let Some(method) = message.method() else {
            self.counters.responses += 1;
            return Handled::Nothing;
        };
        if *method == Method::Ack {
            self.counters.absorbed += 1;
            return Handled::Nothing;
        }
        let (Ok(uri), Ok(via)) = (message.request_uri(), message.top_via()) else {
            self.counters.garbage += 1;
            return Handled::Nothing;
        };
        let asked = Asked { message: &message, method, uri, via, src };
        self.serve(now, wall, &asked, rooms, may_write)
    }

    /// The writes of a pending answer are on disk (or are not).
    pub fn settled(&mut self, now: Instant, pending: Pending, on_disk: bool) -> Answer {
        let Pending { key, mut reply } = pending;
        if !on_disk {
            self.counters.unavailable += 1;
            reply.turn_unavailable();
        }
        let answer = reply.emit();
        if let Some(key) = key {
            match on_disk {
                true => self.repeats.keep(now, key, Kept::Answered(answer.bytes.clone().into())),
                // A repeat is to be tried again, by whatever nonce.
                false => self.repeats.forget(key),
            }
        }
        self.counters.answered += 1;
        answer
    }

    /// The next line for the log.
    pub fn poll_log(&mut self) -> Option<String> {
        self.lines.pop_front()
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn serve(&mut self, now: Instant, wall: WallMs, asked: &Asked<'_>, rooms: &mut Rooms<'_>, may_write: bool) -> Handled {
        // Only who shows credentials can have spent a nonce; streams repeat nothing.
        let carries = asked.message.headers.get("Authorization").is_some();
        let key = (carries && asked.src.transport == Transport::Udp).then(|| self.print_of(asked));
        if let Some(key) = key {
            match self.repeats.get(key) {
                Some(Kept::Waits) => {
                    self.counters.absorbed += 1;
                    return Handled::Nothing;
                }
                Some(Kept::Answered(bytes)) => {
                    let answer = Answer { dst: answer::way_back(&asked.via, asked.src), bytes: bytes.to_vec() };
                    self.counters.repeats += 1;
                    self.counters.answered += 1;
                    return Handled::Answer(answer);
                }
                None => {}
            }
        }
        let Served { reply, proven, rests, writes } = self.answer_to(now, wall, asked, rooms, carries && !may_write);
        if rests || !writes.is_empty() {
            if let Some(key) = key {
                self.repeats.keep(now, key, Kept::Waits);
            }
            return Handled::Write { writes, pending: Pending { key, reply: Box::new(reply) } };
        }
        let handled = self.send(reply);
        if let (Handled::Answer(answer), Some(key), true) = (&handled, key, proven) {
            self.repeats.keep(now, key, Kept::Answered(answer.bytes.as_slice().into()));
        }
        handled
    }

    fn answer_to(&mut self, now: Instant, wall: WallMs, asked: &Asked<'_>, rooms: &mut Rooms<'_>, full: bool) -> Served {
        let known = match asked.method {
            Method::Register | Method::Options | Method::Invite => true,
            Method::Cancel => return self.plain(asked, 481, "Call/Transaction Does Not Exist"),
            Method::Other(_) => return Served::of(self.reply(asked, 501, "Not Implemented").with("Allow", ALLOW)),
            _ => false,
        };
        if *asked.method != Method::Register && asked.message.to_tag().is_some() {
            // There are no dialogs here that it could belong to.
            return self.plain(asked, 481, "Call/Transaction Does Not Exist");
        }
        if !known {
            return Served::of(self.reply(asked, 405, "Method Not Allowed").with("Allow", ALLOW));
        }
        let required: Vec<&[u8]> = asked.message.headers.values("Require").collect();
        if !required.is_empty() {
            // We have no extension that a client could insist on.
            return Served::of(self.reply(asked, 420, "Bad Extension").with("Unsupported", required.join(&b", "[..])));
        }
        match asked.method {
            Method::Register if full => {
                self.counters.unavailable += 1;
                Served::of(self.reply(asked, 503, "Service Unavailable").with("Retry-After", "1"))
            }
            Method::Register => self.register(now, wall, asked, rooms),
            _ => self.lookup(now, wall, asked, rooms),
        }
    }

    /// Whether a URI names this directory.
    fn is_ours(&self, uri: &Uri) -> bool {
        match &uri.host {
            Some(Host::Name(name)) => *name == self.config.domain,
            Some(Host::Addr(ip)) => self.config.addresses.is_empty() || self.config.addresses.contains(ip),
            None => false,
        }
    }

    fn reply(&self, asked: &Asked<'_>, status: u16, words: &str) -> Reply {
        Reply::new(asked.message, Some(&asked.via), asked.src, self.tag(asked.message), status, words)
    }
    fn plain(&self, asked: &Asked<'_>, status: u16, words: &str) -> Served {
        Served::of(self.reply(asked, status, words))
    }
    fn send(&mut self, reply: Reply) -> Handled {
        self.counters.answered += 1;
        Handled::Answer(reply.emit())
    }

    fn log_noise(&mut self, now: Instant, src: Hop, why: &str) {
        if let Some(more) = self.noise.pass(now, src.addr.ip()) {
            self.log(format!("SIP from {src} is refused or dropped: {why} ({more} more were not logged)"));
        }
    }
    /// Somebody with the right password wants what he may not have: one line a source and minute, as [`registration_refused`] writes it.
    fn log_refusal(&mut self, now: Instant, asked: &Asked<'_>, user: &str, why: &str, is_news: bool) {
        let source = asked.src.addr.ip();
        if is_news && let Some(more) = self.refusal_lines.pass(now, source) {
            self.log(registration_refused(source, user, why, more, "sip"));
        }
    }
    fn log(&mut self, line: String) {
        if self.lines.len() < LOG_LINES_MAX {
            self.lines.push_back(line);
        }
    }
}

/// An answer, and what comes with it.
struct Served {
    reply: Reply,
    /// A password was proven for it.
    proven: bool,
    /// It tells what was decided, perhaps a moment ago: it waits for the disk though it writes nothing itself.
    rests: bool,
    writes: Vec<Record>,
}

impl Served {
    fn of(reply: Reply) -> Served {
        Served { reply, proven: false, rests: false, writes: Vec::new() }
    }
    fn proven(reply: Reply) -> Served {
        Served { reply, proven: true, rests: false, writes: Vec::new() }
    }
}

#[cfg(test)]
pub(crate) mod tests;
