//! RTP payload types and what they carry (RFC 3551 table 4, RFC 4733, RFC 3389).

/// What a payload type carries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Codec {
    /// G.711 mu-law at 8 kHz.
    Pcmu,
    /// G.711 A-law at 8 kHz.
    Pcma,
    /// RFC 4733 events at 8 kHz.
    TelephoneEvent,
    /// RFC 3389 comfort noise at 8 kHz.
    ComfortNoise,
    /// T.38 as an RTP payload (RFC 4612): read, and declined while there is no leg for it.
    RtpT38,
    /// Anything else: the rtpmap as it stands, empty for a static type without one.
    Other(String),
}

/// The rtpmap of redundant payloads (RFC 2198) at the clock of T.38.
pub(super) const RED: &str = "red/8000";

const NAMES: [(Codec, &str); 5] = [
    (Codec::Pcmu, "PCMU/8000"),
    (Codec::Pcma, "PCMA/8000"),
    (Codec::TelephoneEvent, "telephone-event/8000"),
    (Codec::ComfortNoise, "CN/8000"),
    (Codec::RtpT38, "t38/8000"),
];

impl Codec {
    /// Reads an rtpmap value behind the payload type; `/1` for one channel changes nothing.
    pub fn parse(rtpmap: &str) -> Codec {
        let bare = rtpmap.strip_suffix("/1").unwrap_or(rtpmap);
        let known = NAMES.iter().find(|(_, name)| name.eq_ignore_ascii_case(bare));
        known.map_or_else(|| Codec::Other(rtpmap.into()), |(codec, _)| codec.clone())
    }
    /// What a payload type is without an rtpmap.
    pub fn of_static(pt: u8) -> Codec {
        match pt {
            0 => Codec::Pcmu,
            8 => Codec::Pcma,
            13 => Codec::ComfortNoise,
            _ => Codec::Other(String::new()),
        }
    }
    /// The rtpmap value.
    pub fn rtpmap(&self) -> &str {
        match self {
            Codec::Other(rtpmap) => rtpmap,
            known => NAMES.iter().find(|(c, _)| c == known).map_or("", |(_, name)| name),
        }
    }
}

/// One payload type of a media line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Payload {
    /// The type, 0 to 127.
    pub pt: u8,
    /// What it carries.
    pub codec: Codec,
    /// Its fmtp, as it stands (`0-16`).
    pub fmtp: Option<String>,
    /// Its general-purpose media descriptor (V.152 s.7), as it stands (`vbd=yes;ecan=on`).
    pub gpmd: Option<String>,
}

impl Payload {
    /// A payload without fmtp.
    pub fn new(pt: u8, codec: Codec) -> Payload {
        Payload { pt, codec, fmtp: None, gpmd: None }
    }
    /// Telephone events 0 to 16 (16: hook flash).
    pub fn telephone_event(pt: u8) -> Payload {
        Payload { pt, codec: Codec::TelephoneEvent, fmtp: Some("0-16".into()), gpmd: None }
    }
    /// Whether it may carry a modem's or fax machine's tones as they are: voice-band data (V.152).
    pub fn is_vbd(&self) -> bool {
        let yes = |p: &str| {
            p.trim().split_once('=').is_some_and(|(n, v)| n.trim().eq_ignore_ascii_case("vbd") && v.trim().eq_ignore_ascii_case("yes"))
        };
        self.gpmd.as_ref().is_some_and(|g| g.split(';').any(yes))
    }
}
