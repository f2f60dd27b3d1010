//! Session descriptions: what two ends say about audio and T.38, typed. Read RFC 8866 (lines), RFC 3264 (offer and answer) and
//! T.38 Annex D (fax attributes) before changing it.
//!
//! [`Session::parse`] takes what devices send: any case, any order of attributes, both spellings of each T.38 attribute. What we do not
//! know is kept line by line. [`Session::emit`] writes our own order; `parse(emit(x)) == x`. Who may say what when is in
//! [`offer_answer`]; which lines to take is `negotiate`'s business, not ours.

pub mod build;
mod capability;
pub mod fuzz;
pub mod offer_answer;
mod parse;
mod payload;
mod security;
mod t38;

pub use build::{Audio, Carriage, LineAnswer, Local, NothingInCommon, answer, offer_audio, offer_t38, with_t38};
pub use capability::{Capabilities, Capability};
pub use offer_answer::{Agreed, Negotiation, OfferAnswerError, Side};
pub use parse::SdpError;
pub use payload::{Codec, Payload};
pub use security::{Crypto, Fingerprint, Security, Setup};
pub use t38::{RateManagement, T38, UdpEc};

use crate::limits::{SDP_ATTRIBUTES_MAX, SDP_FORMATS_MAX, SDP_MEDIA_MAX};
use core::net::IpAddr;

/// The `o=` line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    /// User name, `-` for none.
    pub username: String,
    /// Session id: digits by the book, any word in practice.
    pub session_id: String,
    /// Goes up by one with every new description of the session.
    pub version: u64,
    /// Address or host name.
    pub address: String,
}

/// A session description.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// Who made it, and which version it is.
    pub origin: Origin,
    /// The `s=` line.
    pub name: String,
    /// Session-level attributes we do not read, without `a=`.
    pub attributes: Vec<String>,
    /// Session-level security attributes. They hold for each media line without its own.
    pub security: Security,
    /// What else could be done (RFC 3407).
    pub capabilities: Capabilities,
    /// The media lines in their order, which an answer must keep.
    pub media: heapless::Vec<Media, SDP_MEDIA_MAX>,
}

/// What a media line carries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `audio`
    Audio,
    /// `image`, which is T.38 here.
    Image,
    /// Anything else, by its word: refused in an answer, kept in its place.
    Other(String),
}

impl Kind {
    /// Reads a media word in any case.
    pub fn parse(word: &str) -> Kind {
        match word.to_ascii_lowercase().as_str() {
            "audio" => Kind::Audio,
            "image" => Kind::Image,
            _ => Kind::Other(word.into()),
        }
    }
    /// The word as we write it.
    pub fn as_str(&self) -> &str {
        match self {
            Kind::Audio => "audio",
            Kind::Image => "image",
            Kind::Other(word) => word,
        }
    }
}

/// How it is carried.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Proto {
    RtpAvp,
    RtpAvpf,
    RtpSavp,
    RtpSavpf,
    UdpTlsRtpSavp,
    UdpTlsRtpSavpf,
    Udptl,
    UdpTlsUdptl,
    /// Anything else, by its word.
    Other(String),
}

const PROTOS: [(Proto, &str); 8] = [
    (Proto::RtpAvp, "RTP/AVP"),
    (Proto::RtpAvpf, "RTP/AVPF"),
    (Proto::RtpSavp, "RTP/SAVP"),
    (Proto::RtpSavpf, "RTP/SAVPF"),
    (Proto::UdpTlsRtpSavp, "UDP/TLS/RTP/SAVP"),
    (Proto::UdpTlsRtpSavpf, "UDP/TLS/RTP/SAVPF"),
    (Proto::Udptl, "udptl"),
    (Proto::UdpTlsUdptl, "UDP/TLS/UDPTL"),
];

impl Proto {
    /// Reads a proto in any case (`UDPTL` is as common as `udptl`).
    pub fn parse(word: &str) -> Proto {
        let known = PROTOS.iter().find(|(_, name)| name.eq_ignore_ascii_case(word));
        known.map_or_else(|| Proto::Other(word.into()), |(proto, _)| proto.clone())
    }
    /// The proto as we write it.
    pub fn as_str(&self) -> &str {
        match self {
            Proto::Other(word) => word,
            known => PROTOS.iter().find(|(p, _)| p == known).map_or("", |(_, name)| name),
        }
    }
    /// Whether keys are needed: SRTP, or anything in DTLS.
    pub fn is_secure(&self) -> bool {
        match self {
            Proto::RtpSavp | Proto::RtpSavpf | Proto::UdpTlsRtpSavp | Proto::UdpTlsRtpSavpf | Proto::UdpTlsUdptl => true,
            Proto::RtpAvp | Proto::RtpAvpf | Proto::Udptl | Proto::Other(_) => false,
        }
    }
    /// Whether formats are RTP payload types.
    pub fn is_rtp(&self) -> bool {
        match self {
            Proto::RtpAvp | Proto::RtpAvpf | Proto::RtpSavp | Proto::RtpSavpf | Proto::UdpTlsRtpSavp | Proto::UdpTlsRtpSavpf => true,
            Proto::Udptl | Proto::UdpTlsUdptl | Proto::Other(_) => false,
        }
    }
}

/// Which way media flows, from the side of who wrote it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub enum Direction {
    #[default]
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Direction {
    const ALL: [(Direction, &'static str); 4] = [
        (Direction::SendRecv, "sendrecv"),
        (Direction::SendOnly, "sendonly"),
        (Direction::RecvOnly, "recvonly"),
        (Direction::Inactive, "inactive"),
    ];
    /// The attribute's word.
    pub fn as_str(self) -> &'static str {
        Direction::ALL[self as usize].1
    }
    fn parse(word: &str) -> Option<Direction> {
        Direction::ALL.iter().find(|(_, name)| name.eq_ignore_ascii_case(word)).map(|(d, _)| *d)
    }
    /// Whether who wrote it sends.
    pub fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }
    /// Whether who wrote it listens.
    pub fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }
    /// From flags.
    pub fn of(sends: bool, receives: bool) -> Direction {
        match (sends, receives) {
            (true, true) => Direction::SendRecv,
            (true, false) => Direction::SendOnly,
            (false, true) => Direction::RecvOnly,
            (false, false) => Direction::Inactive,
        }
    }
    /// The answer to an offered direction by somebody who wants `ours` (RFC 3264 s.6.1).
    pub fn answer(self, ours: Direction) -> Direction {
        Direction::of(self.receives() && ours.sends(), self.sends() && ours.receives())
    }
}

/// One media line with what belongs to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Media {
    /// What.
    pub kind: Kind,
    /// Where; 0: refused or closed.
    pub port: u16,
    /// How.
    pub proto: Proto,
    /// Where to: the line's own `c=` or the session's. `None` if it is a host name, which we do not look up for media.
    pub address: Option<IpAddr>,
    /// Which way.
    pub direction: Direction,
    /// `a=rtcp` (RFC 3605), if it is not the next port.
    pub rtcp_port: Option<u16>,
    /// The address of `a=rtcp`, if it has one of its own.
    pub rtcp_address: Option<IpAddr>,
    /// `a=rtcp-mux` (RFC 5761): RTCP on the RTP port, if both say so.
    pub rtcp_mux: bool,
    /// RTP payload types in the order of preference.
    pub payloads: Vec<Payload>,
    /// Formats of a line that is not RTP, as they stand (`t38`).
    pub formats: Vec<String>,
    /// `a=ptime` in ms.
    pub ptime_ms: Option<u16>,
    /// `a=maxptime` in ms.
    pub maxptime_ms: Option<u16>,
    /// T.38 attributes, where any stand. On an audio line they are capabilities said ahead.
    pub t38: Option<T38>,
    /// `crypto`, `fingerprint`, `setup`, `tls-id`, ICE.
    pub security: Security,
    /// What else could be done on this line (RFC 3407).
    pub capabilities: Capabilities,
    /// Attributes we do not read, raw, without `a=`.
    pub attributes: Vec<String>,
}

impl Media {
    /// A line with nothing on it.
    pub fn new(kind: Kind, proto: Proto, port: u16, address: Option<IpAddr>) -> Media {
        Media {
            kind,
            port,
            proto,
            address,
            direction: Direction::SendRecv,
            rtcp_port: None,
            rtcp_address: None,
            rtcp_mux: false,
            payloads: Vec::new(),
            formats: Vec::new(),
            ptime_ms: None,
            maxptime_ms: None,
            t38: None,
            security: Security::default(),
            capabilities: Capabilities::default(),
            attributes: Vec::new(),
        }
    }
    /// Whether the line is open.
    pub fn is_open(&self) -> bool {
        self.port != 0
    }
    /// An open T.38 line.
    pub fn is_t38(&self) -> bool {
        self.kind == Kind::Image
            && self.is_open()
            && matches!(self.proto, Proto::Udptl | Proto::UdpTlsUdptl)
            && self.formats.iter().any(|f| f.eq_ignore_ascii_case("t38"))
    }
    /// The payload type of T.38 in RTP (RFC 4612), on an open line that has it.
    pub fn rtp_t38(&self) -> Option<u8> {
        let t38 = |p: &&Payload| p.codec == Codec::RtpT38;
        self.payloads.iter().find(t38).map(|p| p.pt).filter(|_| self.kind == Kind::Audio && self.is_open())
    }
    /// The payload type of redundant payloads at 8 kHz (RFC 2198).
    pub fn redundancy(&self) -> Option<u8> {
        let red = |p: &&Payload| matches!(&p.codec, Codec::Other(name) if name.eq_ignore_ascii_case(payload::RED));
        self.payloads.iter().find(red).map(|p| p.pt)
    }
    /// Whether who wrote it wants to hear us: not on hold, in the way of RFC 3264 or of RFC 2543 (`c=0.0.0.0`).
    pub fn listens(&self) -> bool {
        self.is_open() && self.direction.receives() && !self.address.is_some_and(|a| a.is_unspecified())
    }
    /// Where RTP or UDPTL goes, if the line is open and its address is one.
    pub fn destination(&self) -> Option<core::net::SocketAddr> {
        self.address.filter(|_| self.is_open()).map(|a| core::net::SocketAddr::new(a, self.port))
    }
    /// The first payload that is a voice codec of ours.
    pub fn voice(&self) -> Option<&Payload> {
        self.payloads.iter().find(|p| matches!(p.codec, Codec::Pcmu | Codec::Pcma))
    }
    /// Where RTCP goes: `a=rtcp`, the RTP port if both sides share it, else the next one.
    pub fn rtcp_destination(&self, shared: bool) -> Option<core::net::SocketAddr> {
        let rtp = self.destination()?;
        if shared {
            return Some(rtp);
        }
        let port = self.rtcp_port.unwrap_or(rtp.port().saturating_add(1));
        Some(core::net::SocketAddr::new(self.rtcp_address.unwrap_or(rtp.ip()), port))
    }
    /// The payload type of telephone-event at 8 kHz.
    pub fn telephone_event(&self) -> Option<u8> {
        self.payloads.iter().find(|p| p.codec == Codec::TelephoneEvent).map(|p| p.pt)
    }
}

impl Session {
    /// The first open audio line.
    pub fn audio(&self) -> Option<&Media> {
        self.media.iter().find(|m| m.kind == Kind::Audio && m.is_open() && m.proto.is_rtp())
    }
    /// The first open T.38 line.
    pub fn t38(&self) -> Option<&Media> {
        self.media.iter().find(|m| m.is_t38())
    }
    /// The `a=crypto` lines that hold for a line: its own, then the session's (where RFC 4568 does not want them).
    pub fn crypto_of<'a>(&'a self, media: &'a Media) -> impl Iterator<Item = &'a Crypto> {
        media.security.crypto.iter().chain(&self.security.crypto)
    }
    /// The fingerprints that hold for a line: its own, or else the session's (RFC 8122 s.5).
    pub fn fingerprints_of<'a>(&'a self, media: &'a Media) -> &'a [Fingerprint] {
        if media.security.fingerprints.is_empty() { &self.security.fingerprints } else { &media.security.fingerprints }
    }
    /// Whether a capability set of the session or of a line, or a closed T.38 line (port 0 of an OPTIONS answer), says that T.38 can be done.
    pub fn can_t38(&self) -> bool {
        let on_a_line = |m: &Media| m.capabilities.has_t38() || m.kind == Kind::Image && m.proto == Proto::Udptl && m.t38.is_some();
        self.capabilities.has_t38() || self.media.iter().any(on_a_line)
    }
}

#[cfg(test)]
mod tests;
