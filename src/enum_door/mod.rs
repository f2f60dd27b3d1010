//! The directory's ENUM door (RFC 6116): where a number is, asked over DNS, so that PBXs which know ENUM, and any resolver's cache in between,
//! look numbers up here. Sans-I/O: the bytes of a query and the directory in, the bytes of an answer out.
//!
//! It is an authoritative name server for zones whose names are numbers, digit by digit from behind: 2001 in the zone `enum.lan.test` is
//! `1.0.0.2.enum.lan.test`. What such a name has is one NAPTR record a contact, best first, which gives the caller a SIP URI to call directly.
//! A record lives in caches as long as its lease at most, and never longer than [`Settings::ttl_max_s`], because a terminal may move before
//! its lease ends.
//!
//! *What is no number.* A number that is somebody's and away is a name without NAPTR (NODATA); one that is nobody's is no name (NXDOMAIN).
//! Names on the way to numbers are names without records (empty non-terminals, RFC 8020): a resolver that walks down label by label
//! (RFC 9156) and is told NXDOMAIN by one of them would never ask for the number. Which names are on the way is read off the number plan,
//! not off the numbers that exist: digits that a number of this directory may begin with are answered NODATA. This is never a false
//! NXDOMAIN, and costs a walker a question that leads nowhere.
//!
//! [`query`] reads, [`zone`] says what a name is, [`answer`] writes; [`rate`] keeps us from being somebody's weapon.

mod answer;
pub mod fuzz;
mod query;
pub mod rate;
pub mod zone;

use crate::clock::Instant;
use crate::directory::registrar::Found;
use crate::directory::{Asker, Directory, NumberPlan, Response, Ring};
use crate::limits::{DNS_ANSWER_BYTES_MAX, DNS_DATAGRAM_BYTES_MAX, DNS_DATAGRAM_BYTES_SMALL};
use crate::sip::Network;
use answer::{Reply, Section};
use core::net::IpAddr;
use query::{Query, Unread};
pub use zone::{Apex, Zone};
use zone::{Below, Meaning};

/// Types of records (RFC 1035 s.3.2.2, RFC 3596, RFC 3403, RFC 6891).
mod kind {
    pub const A: u16 = 1;
    pub const NS: u16 = 2;
    pub const SOA: u16 = 6;
    pub const AAAA: u16 = 28;
    pub const NAPTR: u16 = 35;
    pub const OPT: u16 = 41;
    /// Transfers and other questions that are no types of records: from IXFR to MAILA.
    pub const TRANSFERS: core::ops::RangeInclusive<u16> = 251..=254;
    pub const ANY: u16 = 255;
}

/// Response codes (RFC 1035 s.4.1.1, RFC 6891 s.9).
mod code {
    pub const NOERROR: u16 = 0;
    pub const FORMERR: u16 = 1;
    pub const SERVFAIL: u16 = 2;
    pub const NXDOMAIN: u16 = 3;
    pub const NOTIMP: u16 = 4;
    pub const REFUSED: u16 = 5;
    pub const BADVERS: u16 = 16;
}

/// How long what does not move (the zone's own records) is kept by others, in seconds.
const STANDING_TTL_S: u32 = 3600;

/// What the door is told once.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The zones that we speak for.
    pub zones: Vec<Zone>,
    /// How numbers look here.
    pub plan: NumberPlan,
    /// The longest that an address may be kept by others, in seconds.
    pub ttl_max_s: u32,
    /// How long others keep that there is none (RFC 2308), in seconds.
    pub ttl_none_s: u32,
    /// Who may look up as one who has an account may; all others are told what strangers are.
    pub allow: Vec<Network>,
    /// Where this name server is, as its zones say (RFC 1035: the address of `ns` in each).
    pub addresses: Vec<IpAddr>,
    /// The serial of the zones (RFC 1982). Nothing is transferred, so it is only to differ from one start to the next.
    pub serial: u32,
}

/// What a query comes by, which bounds the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Carrier {
    /// UDP: what does not fit says so, and is asked for again over TCP.
    Datagram,
    /// TCP.
    Stream,
}

/// What came of a query, for the count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// No query, or one that nothing can be said to: nothing was written.
    Dropped,
    /// Records.
    Found,
    /// The name is there, without records of that type: a number that is away, or the way to numbers.
    Empty,
    /// There is no such name.
    Unknown,
    /// Not our zone, not for this source, or a transfer.
    Refused,
    /// It cannot be read, or is no question that we know.
    Malformed,
    /// Told to ask over TCP.
    Truncated,
}

/// How many outcomes there are.
pub const OUTCOMES: usize = 7;

/// The door. It keeps nothing of what is asked.
#[derive(Debug)]
pub struct Door {
    settings: Settings,
}

impl Door {
    /// A door of these settings.
    pub fn new(mut settings: Settings) -> Door {
        // A name belongs to the deepest zone that it lies in.
        settings.zones.sort_by_key(|zone| core::cmp::Reverse(zone.apex.labels()));
        Door { settings }
    }

    /// Answers one query: what is to be sent is appended to `out`.
    pub fn handle(
        &self,
        now: Instant,
        source: IpAddr,
        carrier: Carrier,
        bytes: &[u8],
        directory: &Directory,
        out: &mut Vec<u8>,
    ) -> Outcome {
        let query = match Query::read(bytes) {
            Ok(query) => query,
            Err(unread) => return refuse_to_read(unread, out),
        };
        let mut reply = Reply::open(out, &query);
        let outcome = self.answer(now, source, &query, directory, &mut reply);
        let room = match (carrier, &query.edns) {
            (Carrier::Stream, _) => DNS_ANSWER_BYTES_MAX,
            (Carrier::Datagram, None) => DNS_DATAGRAM_BYTES_SMALL,
            (Carrier::Datagram, Some(edns)) => usize::from(edns.size).clamp(DNS_DATAGRAM_BYTES_SMALL, DNS_DATAGRAM_BYTES_MAX),
        };
        if reply.close(&query, room) { outcome } else { Outcome::Truncated }
    }

    /// Tells a source that asks too much to come over TCP, which nobody can do in another's name.
    pub fn slip(&self, bytes: &[u8], out: &mut Vec<u8>) -> Outcome {
        let Ok(query) = Query::read(bytes) else { return Outcome::Dropped };
        Reply::open(out, &query).close(&query, 0);
        Outcome::Truncated
    }

    fn answer(&self, now: Instant, source: IpAddr, query: &Query<'_>, directory: &Directory, reply: &mut Reply<'_>) -> Outcome {
        let s = &self.settings;
        if query.edns.is_some_and(|e| e.version > 0) {
            return reply.code(code::BADVERS, Outcome::Malformed);
        }
        let zone = s.zones.iter().find_map(|zone| Some((zone, query.name.below(&zone.apex)?)));
        let (Some((zone, below)), true) = (zone, query.class == query::INTERNET) else {
            return reply.code(code::REFUSED, Outcome::Refused);
        };
        if kind::TRANSFERS.contains(&query.kind) {
            return reply.code(code::REFUSED, Outcome::Refused);
        }
        reply.speak_for_zone();
        let apex = query.name.place_of(&zone.apex);
        let asked = |kind| query.kind == kind || query.kind == kind::ANY;
        let empty = |reply: &mut Reply<'_>| {
            reply.soa(Section::Authority, apex, s.ttl_none_s, s);
            Outcome::Empty
        };
        let unknown = |reply: &mut Reply<'_>| {
            reply.soa(Section::Authority, apex, s.ttl_none_s, s);
            reply.code(code::NXDOMAIN, Outcome::Unknown)
        };
        match below {
            Below::Apex => {
                let (soa, ns) = (asked(kind::SOA), asked(kind::NS));
                if soa {
                    reply.soa(Section::Answer, apex, STANDING_TTL_S, s);
                }
                if ns {
                    reply.name_server(Section::Answer, apex);
                    reply.addresses(Section::Additional, None, &s.addresses);
                }
                if soa || ns { Outcome::Found } else { empty(reply) }
            }
            Below::NameServer => {
                let fits = |a: &IpAddr| asked(if a.is_ipv4() { kind::A } else { kind::AAAA });
                let fitting: heapless::Vec<IpAddr, { crate::limits::DNS_LISTENERS_MAX }> =
                    s.addresses.iter().copied().filter(fits).take(crate::limits::DNS_LISTENERS_MAX).collect();
                if fitting.is_empty() {
                    return empty(reply);
                }
                reply.addresses(Section::Answer, Some(answer::QUESTION), &fitting);
                Outcome::Found
            }
            Below::Digits(digits) => match zone.meaning(&digits, &s.plan) {
                Meaning::Number { number, beginning } => match directory.look_up(now, &number, self.asker(source)) {
                    Response::Found(found) if asked(kind::NAPTR) && self.contacts(&found, reply) => Outcome::Found,
                    Response::Found(_) | Response::Away(_) => empty(reply),
                    Response::Unknown(_) if beginning => empty(reply),
                    Response::Unknown(_) => unknown(reply),
                    Response::LogIn | Response::Withheld(_) => reply.code(code::REFUSED, Outcome::Refused),
                    // Another directory's numbers stand in its own zone.
                    Response::Elsewhere(..) => unknown(reply),
                    // A look-up has no other answers.
                    _ => reply.code(code::SERVFAIL, Outcome::Malformed),
                },
                Meaning::Beginning => empty(reply),
                Meaning::Nothing => unknown(reply),
            },
            Below::Other => unknown(reply),
        }
    }

    fn asker(&self, source: IpAddr) -> Asker<'static> {
        match self.settings.allow.iter().any(|network| network.contains(source)) {
            true => Asker::Referred,
            false => Asker::Stranger,
        }
    }

    /// One record a contact. All records of a name have one TTL (RFC 2181 s.5.2): that of the contact that ends first. Where they are to ring
    /// one after the other, no two have the same preference: equal ones may be taken in any order (RFC 3403 s.4.1).
    ///
    /// A number that is busy or does not want to be disturbed is told as ever. Caches keep an answer for up to a minute, and would go on to
    /// say busy long after the receiver is down, or free while it is not; the terminal itself answers 486 or 480.
    fn contacts(&self, found: &Found, reply: &mut Reply<'_>) -> bool {
        // What is left is rounded up; a record must not outlive its lease.
        let left = found.contacts.iter().map(|(_, left_s)| left_s.saturating_sub(1)).min();
        let ttl = left.unwrap_or(0).min(self.settings.ttl_max_s);
        let mut next = 0;
        for (binding, _) in &found.contacts {
            let preference = answer::preference(binding).max(next);
            if found.ring == Ring::InOrder {
                next = preference + 1;
            }
            reply.contact(ttl, found.number.as_str(), binding, preference);
        }
        !found.contacts.is_empty()
    }
}

/// What is said to what cannot be read.
fn refuse_to_read(unread: Unread, out: &mut Vec<u8>) -> Outcome {
    let (head, code) = match unread {
        Unread::NoQuery => return Outcome::Dropped,
        Unread::Malformed(head) => (head, code::FORMERR),
        Unread::OtherOperation(head) => (head, code::NOTIMP),
    };
    answer::bare(out, head, code);
    Outcome::Malformed
}

#[cfg(test)]
mod tests;
