//! An answer, written (RFC 1035 s.4.1). Names in it are pointers into its question, behind which everything stands.

use super::query::{HEADER, Head, INTERNET, Query};
use super::{STANDING_TTL_S, Settings, code, kind};
use crate::directory::Binding;
use crate::limits::DNS_DATAGRAM_BYTES_MAX;
use crate::sip::Transport;
use core::net::IpAddr;
use std::io::Write as _;

/// Where the question's name begins in a message.
pub(super) const QUESTION: u16 = HEADER as u16;
/// A pointer (RFC 1035 s.4.1.4).
const POINTER: u16 = 0xc000;
/// Flags of an answer (RFC 1035 s.4.1.1).
const IS_ANSWER: u16 = 0x8000;
const AUTHORITATIVE: u16 = 0x0400;
const TRUNCATED: u16 = 0x0200;
/// Of a query's flags those that come back: RD, and CD (RFC 4035 s.3.2.2).
const KEPT: u16 = 0x0110;
/// Bytes of an OPT record without options.
const OPT_BYTES: usize = 11;
/// The order of all NAPTR records (RFC 3403 s.4.1); which is better is said by the preference, as among equal services it should be.
const ORDER: u16 = 100;
/// The preference of the best; every thousandth of `q` below 1 makes it one worse.
const PREFERENCE_BEST: u16 = 10;
/// For secondaries, of which there are none: refresh, retry and expire of the SOA, in seconds.
const SECONDARIES_S: [u32; 3] = [3600, 900, 86_400];

/// Where a record stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Section {
    Answer,
    Authority,
    Additional,
}

/// An answer without a question: to what could not be read.
pub(super) fn bare(out: &mut Vec<u8>, head: Head, code: u16) {
    out.extend_from_slice(&head.id);
    // The operation comes back, too.
    let flags = IS_ANSWER | head.flags & (KEPT | 0x7800) | code;
    out.extend_from_slice(&flags.to_be_bytes());
    out.extend_from_slice(&[0; HEADER - 4]);
}

/// An answer on its way, at the end of a buffer.
pub(super) struct Reply<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    flags: u16,
    code: u16,
    counts: [u16; 3],
}

impl<'o> Reply<'o> {
    pub fn open(out: &'o mut Vec<u8>, query: &Query<'_>) -> Reply<'o> {
        let start = out.len();
        out.extend_from_slice(&query.head.id);
        out.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        out.extend_from_slice(query.question);
        Reply { out, start, flags: IS_ANSWER | query.head.flags & KEPT, code: code::NOERROR, counts: [0; 3] }
    }

    /// We speak for the zone asked for (AA).
    pub fn speak_for_zone(&mut self) {
        self.flags |= AUTHORITATIVE;
    }

    /// Answers with this code; `outcome` goes through.
    pub fn code<T>(&mut self, code: u16, outcome: T) -> T {
        self.code = code;
        outcome
    }

    /// Whether it fits into `room` bytes. What does not is said to be cut off (TC), and goes without any record: half a set is none.
    pub fn close(mut self, query: &Query<'_>, room: usize) -> bool {
        let opt = if query.edns.is_some() { OPT_BYTES } else { 0 };
        let fits = self.out.len() - self.start + opt <= room;
        if !fits {
            self.out.truncate(self.start + HEADER + query.question.len());
            self.flags |= TRUNCATED;
            self.counts = [0; 3];
        }
        if let Some(edns) = query.edns {
            self.counts[Section::Additional as usize] += 1;
            self.out.push(0);
            for part in [kind::OPT, DNS_DATAGRAM_BYTES_MAX as u16, self.code >> 4 << 8, u16::from(edns.dnssec_ok) << 15, 0] {
                self.out.extend_from_slice(&part.to_be_bytes());
            }
        }
        let head = &mut self.out[self.start..][..HEADER];
        head[2..4].copy_from_slice(&(self.flags | self.code & 15).to_be_bytes());
        for (at, count) in head[6..].chunks_exact_mut(2).zip(self.counts) {
            at.copy_from_slice(&count.to_be_bytes());
        }
        fits
    }

    /// A record of the name at `owner`, its data by `write`.
    fn record(&mut self, section: Section, owner: u16, kind: u16, ttl_s: u32, write: impl FnOnce(&mut Vec<u8>)) {
        self.counts[section as usize] += 1;
        let mut head = [0; 12];
        head[..2].copy_from_slice(&(POINTER | owner).to_be_bytes());
        head[2..4].copy_from_slice(&kind.to_be_bytes());
        head[4..6].copy_from_slice(&INTERNET.to_be_bytes());
        head[6..10].copy_from_slice(&ttl_s.to_be_bytes());
        self.out.extend_from_slice(&head);
        let at = self.out.len();
        write(self.out);
        let length = (self.out.len() - at) as u16;
        self.out[at - 2..at].copy_from_slice(&length.to_be_bytes());
    }

    /// Who speaks for the zone whose name is at `apex`, and how long "there is none" holds (RFC 2308 s.4: the lesser of the record's own
    /// TTL and its last field).
    pub fn soa(&mut self, section: Section, apex: u16, ttl_s: u32, settings: &Settings) {
        self.record(section, apex, kind::SOA, ttl_s, |out| {
            out.extend_from_slice(b"\x02ns");
            out.extend_from_slice(&(POINTER | apex).to_be_bytes());
            out.extend_from_slice(b"\x0ahostmaster");
            out.extend_from_slice(&(POINTER | apex).to_be_bytes());
            out.extend_from_slice(&settings.serial.to_be_bytes());
            for seconds in SECONDARIES_S {
                out.extend_from_slice(&seconds.to_be_bytes());
            }
            out.extend_from_slice(&settings.ttl_none_s.to_be_bytes());
        });
    }

    /// The zone's name server: `ns` in it.
    pub fn name_server(&mut self, section: Section, apex: u16) {
        self.record(section, apex, kind::NS, STANDING_TTL_S, |out| {
            out.extend_from_slice(b"\x02ns");
            out.extend_from_slice(&(POINTER | apex).to_be_bytes());
        });
    }

    /// Where the name at `owner` is; without one, the name that was written last (an NS record's, which ends in five bytes: `ns` and a pointer).
    pub fn addresses(&mut self, section: Section, owner: Option<u16>, addresses: &[IpAddr]) {
        let owner = owner.unwrap_or((self.out.len() - self.start - 5) as u16);
        for address in addresses {
            match address {
                IpAddr::V4(v4) => self.record(section, owner, kind::A, STANDING_TTL_S, |out| out.extend_from_slice(&v4.octets())),
                IpAddr::V6(v6) => self.record(section, owner, kind::AAAA, STANDING_TTL_S, |out| out.extend_from_slice(&v6.octets())),
            }
        }
    }

    /// A contact of the number asked for, as RFC 6116 s.3.4 gives it: a terminal rule whose expression takes the whole number.
    pub fn contact(&mut self, ttl_s: u32, number: &str, binding: &Binding, preference: u16) {
        self.record(Section::Answer, QUESTION, kind::NAPTR, ttl_s, |out| {
            out.extend_from_slice(&ORDER.to_be_bytes());
            out.extend_from_slice(&preference.to_be_bytes());
            out.extend_from_slice(b"\x01u\x07E2U+sip");
            let at = out.len();
            out.extend_from_slice(b"\x00!^.*$!sip:");
            out.extend_from_slice(user(binding).unwrap_or(number).as_bytes());
            // A write into memory does not fail.
            let _written = write!(out, "@{}", binding.address);
            out.extend_from_slice(match binding.transport {
                Transport::Udp => b"!",
                Transport::Tcp => b";transport=tcp!",
                Transport::Tls => b";transport=tls!",
            });
            // 64 bytes of user, 58 of an address at most, and what stands around them.
            out[at] = (out.len() - at - 1) as u8;
            // No name takes the expression's place.
            out.push(0);
        });
    }
}

/// The preference of a contact: the lower, the sooner (RFC 3403 s.4.1).
pub(super) fn preference(binding: &Binding) -> u16 {
    PREFERENCE_BEST + (1000 - binding.q.min(1000))
}

/// Bytes of a contact's user part that are passed on.
const USER_BYTES_MAX: usize = 64;

/// The user part under which a phone registered, if it can stand in an expression as it is: some phones ring for no other.
fn user(binding: &Binding) -> Option<&str> {
    let (scheme, rest) = binding.uri.split_once(':')?;
    let (user, _) = rest.split_once('@')?;
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"-_.~+".contains(&c);
    let fits = (1..=USER_BYTES_MAX).contains(&user.len()) && user.bytes().all(plain);
    (fits && (scheme.eq_ignore_ascii_case("sip") || scheme.eq_ignore_ascii_case("sips"))).then_some(user)
}
