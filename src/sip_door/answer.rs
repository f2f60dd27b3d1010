//! Answers of a server that keeps no transactions: built from the request alone (RFC 3261 s.8.2.6 and 8.2.7), back the way it came
//! (s.18.2.2, RFC 3581).

use super::{Answer, Asked, Door};
use crate::clock::WallMs;
use crate::sip::message::{Message, Via};
use crate::sip::{Hop, Transport};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// An answer being made, as the bytes that it will be.
#[derive(Debug)]
pub(super) struct Reply {
    dst: Hop,
    bytes: Vec<u8>,
    /// Where the status line ends.
    copied: usize,
    /// Where what is copied from the request ends.
    own: usize,
}

/// Most answers fit: three challenges, or a few contacts.
const USUAL_BYTES: usize = 1024;

impl Reply {
    /// With what every response copies from its request; `tag` is put to a To that has none. A request whose Via cannot be read is answered
    /// to where it came from, with its Via as it is.
    pub(super) fn new(request: &Message, via: Option<&Via>, src: Hop, tag: u64, status: u16, words: &str) -> Reply {
        let mut bytes = Vec::with_capacity(USUAL_BYTES);
        status_line(&mut bytes, status, words);
        let copied = bytes.len();
        for (i, value) in request.headers.values("Via").enumerate() {
            bytes.extend_from_slice(b"Via: ");
            match via {
                Some(via) if i == 0 => via.emit_stamped(src.addr, &mut bytes),
                _ => bytes.extend_from_slice(value),
            }
            bytes.extend_from_slice(b"\r\n");
        }
        for name in ["From", "To", "Call-ID", "CSeq"] {
            let Some(value) = request.headers.get(name) else { continue };
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            if name == "To" && request.lacks_to_tag() {
                bytes.extend_from_slice(b";tag=");
                bytes.extend((0..16).rev().map(|i| b"0123456789abcdef"[(tag >> (4 * i)) as usize & 15]));
            }
            bytes.extend_from_slice(b"\r\n");
        }
        let own = bytes.len();
        Reply { dst: via.map_or(src, |via| way_back(via, src)), bytes, copied, own }
    }
    /// One more header.
    pub(super) fn with(self, name: &str, value: impl AsRef<[u8]>) -> Reply {
        self.with_parts(name, &[value.as_ref()])
    }
    /// One more header, of these parts.
    pub(super) fn with_parts(mut self, name: &str, parts: &[&[u8]]) -> Reply {
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(b": ");
        let from = self.bytes.len();
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        // Nothing that is put in may begin a line of its own.
        for b in &mut self.bytes[from..] {
            if matches!(b, b'\r' | b'\n' | 0) {
                *b = b' ';
            }
        }
        self.bytes.extend_from_slice(b"\r\n");
        self
    }
    /// The disk did not write: what was granted is taken back.
    pub(super) fn turn_unavailable(&mut self) {
        let mut bytes = Vec::with_capacity(USUAL_BYTES);
        status_line(&mut bytes, 503, "Service Unavailable");
        let start = bytes.len();
        bytes.extend_from_slice(&self.bytes[self.copied..self.own]);
        (self.copied, self.own) = (start, bytes.len());
        bytes.extend_from_slice(b"Retry-After: 1\r\n");
        self.bytes = bytes;
    }
    pub(super) fn emit(mut self) -> Answer {
        self.bytes.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        Answer { dst: self.dst, bytes: self.bytes }
    }
}

fn status_line(bytes: &mut Vec<u8>, status: u16, words: &str) {
    bytes.extend_from_slice(b"SIP/2.0 ");
    bytes.extend([status / 100 % 10, status / 10 % 10, status % 10].map(|d| b'0' + d as u8));
    bytes.push(b' ');
    bytes.extend_from_slice(words.as_bytes());
    bytes.extend_from_slice(b"\r\n");
}

/// Where answers to a request go.
pub(super) fn way_back(via: &Via, src: Hop) -> Hop {
    match src.transport {
        Transport::Udp => Hop::udp(via.response_addr(src.addr)),
        Transport::Tcp | Transport::Tls => src,
    }
}

impl Door {
    /// The To tag of all answers to a request and its repeats.
    pub(super) fn tag(&self, request: &Message) -> u64 {
        self.print(1, request)
    }

    /// What tells one request from all others, its own repeats excepted.
    pub(super) fn print_of(&self, asked: &Asked<'_>) -> u128 {
        let mut h = DefaultHasher::new();
        h.write_u64(self.print(2, asked.message));
        asked.src.hash(&mut h);
        h.write(asked.message.headers.get("Authorization").unwrap_or_default());
        let half = h.finish();
        h.write_u8(3);
        u128::from(half) << 64 | u128::from(h.finish())
    }

    fn print(&self, lane: u8, request: &Message) -> u64 {
        let mut h = DefaultHasher::new();
        h.write_u64(self.seed);
        h.write_u8(lane);
        for name in ["Via", "From", "Call-ID", "CSeq"] {
            h.write(request.headers.get(name).unwrap_or_default());
            h.write_u8(0xff);
        }
        h.finish()
    }
}

/// A print of a Call-ID that is the same after a restart: 64 bits of FNV-1a. Nothing hangs on its being hard to meet twice.
pub(super) fn call_print(call_id: &[u8]) -> u64 {
    call_id.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// The Date header (RFC 3261 s.20.17): always GMT.
pub(super) fn date(wall: WallMs) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = wall.0.max(0) / 1000;
    let (days, s) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March end with their leap day, and 400 of them (146,097 days) repeat.
    let since = days + 719_468;
    let (era, day) = (since / 146_097, since % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12;
    let year = era * 400 + year + i64::from(month < 2);
    format!(
        "{}, {of_month:02} {} {year} {:02}:{:02}:{:02} GMT",
        DAYS[(days % 7) as usize],
        MONTHS[month as usize],
        s / 3600,
        s / 60 % 60,
        s % 60
    )
}
