//! Answers of a server that keeps no transactions: built from the request alone (RFC 3261 s.8.2.6 and 8.2.7), back the way it came
//! (s.18.2.2, RFC 3581).

use super::{Answer, Asked, Door};
use crate::clock::WallMs;
use crate::sip::message::{Message, StartLine, Via};
use crate::sip::{Hop, Transport};
use std::hash::{DefaultHasher, Hasher as _};

/// An answer being made.
#[derive(Debug)]
pub(super) struct Reply {
    dst: Hop,
    message: Message,
}

impl Reply {
    /// With what every response copies from its request; `tag` is put to a To that has none. A request whose Via cannot be read is answered
    /// to where it came from, with its Via as it is.
    pub(super) fn new(request: &Message, via: Option<&Via>, src: Hop, tag: u64, status: u16, words: &str) -> Reply {
        let start = StartLine::Response { status, reason: words.as_bytes().to_vec() };
        let mut message = Message { start, headers: Default::default(), body: Vec::new() };
        for (i, value) in request.headers.values("Via").enumerate() {
            let value = match via {
                Some(via) if i == 0 => {
                    let mut stamped = via.clone();
                    stamped.stamp(src.addr);
                    stamped.emit()
                }
                _ => value.to_vec(),
            };
            message.headers.push("Via", value);
        }
        for name in ["From", "To", "Call-ID", "CSeq"] {
            let Some(value) = request.headers.get(name) else { continue };
            let mut value = value.to_vec();
            if name == "To" && request.to().is_ok_and(|to| to.tag().is_none()) {
                value.extend_from_slice(format!(";tag={tag:016x}").as_bytes());
            }
            message.headers.push(name, value);
        }
        Reply { dst: via.map_or(src, |via| way_back(via, src)), message }
    }
    /// One more header.
    pub(super) fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Reply {
        self.message = self.message.with(name, value);
        self
    }
    /// The disk did not write: what was granted is taken back.
    pub(super) fn turn_unavailable(&mut self) {
        self.message.start = StartLine::Response { status: 503, reason: b"Service Unavailable".to_vec() };
        for granted in ["Contact", "Date"] {
            self.message.headers.remove(granted);
        }
        self.message.headers.push("Retry-After", b"1");
    }
    pub(super) fn emit(&self) -> Answer {
        Answer { dst: self.dst, bytes: self.message.emit() }
    }
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
        let of = |lane: u8| {
            let mut h = DefaultHasher::new();
            h.write_u64(self.print(lane, asked.message));
            h.write(asked.src.to_string().as_bytes());
            h.write(asked.message.headers.get("Authorization").unwrap_or_default());
            h.finish()
        };
        u128::from(of(2)) << 64 | u128::from(of(3))
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
