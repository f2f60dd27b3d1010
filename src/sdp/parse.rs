//! Lines to [`Session`] and back.

use super::{Codec, Direction, Kind, Media, Origin, Payload, Proto, SDP_ATTRIBUTES_MAX, SDP_FORMATS_MAX, SDP_MEDIA_MAX, Session};
use core::fmt;
use core::net::IpAddr;

/// Why a description cannot be used. All of them are the peer's fault, and answered 488 (`BadLine`, `NotText`: 400).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SdpError {
    /// It does not begin with `v=0`.
    NoVersion,
    /// There is no `o=` line, or one without its six words.
    NoOrigin,
    /// This line, counted from 1, cannot be read.
    BadLine(usize),
    /// More media lines than [`SDP_MEDIA_MAX`], attributes than [`SDP_ATTRIBUTES_MAX`] or formats than [`SDP_FORMATS_MAX`].
    TooMany,
}

impl fmt::Display for SdpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SdpError::NoVersion => write!(f, "the session description does not begin with v=0"),
            SdpError::NoOrigin => write!(f, "the session description has no origin"),
            SdpError::BadLine(n) => write!(f, "line {n} of the session description cannot be read"),
            SdpError::TooMany => write!(f, "the session description has more lines than we keep"),
        }
    }
}
impl std::error::Error for SdpError {}

/// Attributes that belong to security and addresses, kept raw for those who read them.
const SECURITY: [&str; 9] = ["crypto", "fingerprint", "setup", "tls-id", "key-mgmt", "ice-ufrag", "ice-pwd", "candidate", "connection"];

/// What the session level says until a media line says otherwise.
#[derive(Default)]
struct Defaults {
    address: Option<IpAddr>,
    direction: Direction,
}

impl Session {
    /// Reads a session description. Bytes that are no UTF-8 become U+FFFD.
    pub fn parse(bytes: &[u8]) -> Result<Session, SdpError> {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.lines().enumerate().map(|(i, line)| (i + 1, line)).filter(|(_, line)| !line.trim().is_empty());
        if lines.next().is_none_or(|(_, line)| line.trim_end() != "v=0") {
            return Err(SdpError::NoVersion);
        }
        let mut defaults = Defaults::default();
        let mut origin = None;
        let mut session = Session {
            origin: Origin { username: String::new(), session_id: String::new(), version: 0, address: String::new() },
            name: "-".into(),
            attributes: Vec::new(),
            security: Vec::new(),
            media: heapless::Vec::new(),
        };
        for (n, line) in lines {
            let (kind, value) = line.split_once('=').ok_or(SdpError::BadLine(n))?;
            let value = value.trim_end();
            let bad = SdpError::BadLine(n);
            match (kind, session.media.last_mut()) {
                ("o", None) => origin = Some(parse_origin(value).ok_or(bad)?),
                ("s", None) => session.name = value.into(),
                ("c", None) => defaults.address = parse_address(value).ok_or(bad)?,
                ("c", Some(media)) => media.address = parse_address(value).ok_or(bad)?,
                ("a", None) => session_attribute(&mut session, &mut defaults, value)?,
                ("a", Some(media)) => media_attribute(media, value)?,
                ("m", _) => {
                    let media = parse_media(value, &defaults).ok_or(bad)??;
                    session.media.push(media).map_err(|_| SdpError::TooMany)?;
                }
                // b=, t=, i=, k=, ... say nothing that we act upon.
                (kind, _) if kind.len() == 1 => {}
                _ => return Err(bad),
            }
        }
        session.origin = origin.ok_or(SdpError::NoOrigin)?;
        Ok(session)
    }

    /// The bytes of the description. The session `c=` is the first line's address; lines with another have their own.
    pub fn emit(&self) -> Vec<u8> {
        let Origin { username, session_id, version, address } = &self.origin;
        let family = if address.contains(':') { "IP6" } else { "IP4" };
        let mut out = format!("v=0\r\no={username} {session_id} {version} IN {family} {address}\r\ns={}\r\n", self.name);
        let common = self.media.iter().find_map(|m| m.address);
        if let Some(address) = common {
            out += &connection(address);
        }
        out += "t=0 0\r\n";
        self.attributes.iter().chain(&self.security).for_each(|a| out += &format!("a={a}\r\n"));
        for media in &self.media {
            emit_media(media, common, &mut out);
        }
        out.into_bytes()
    }
}

fn connection(address: IpAddr) -> String {
    let family = if address.is_ipv6() { "IP6" } else { "IP4" };
    format!("c=IN {family} {address}\r\n")
}

fn parse_origin(value: &str) -> Option<Origin> {
    let words: Vec<&str> = value.split_whitespace().collect();
    let [username, session_id, version, _, _, address] = words[..] else { return None };
    // NTP times and random numbers of more than 64 bits are met here: only their change counts.
    let version = version.bytes().all(|b| b.is_ascii_digit()).then(|| version.parse().unwrap_or(u64::MAX))?;
    Some(Origin { username: username.into(), session_id: session_id.into(), version, address: address.into() })
}

/// `IN IP4 address[/ttl]`: the inner `None` is a host name.
fn parse_address(value: &str) -> Option<Option<IpAddr>> {
    let words: Vec<&str> = value.split_whitespace().collect();
    let [net, _, address] = words[..] else { return None };
    let address = address.split('/').next().unwrap_or_default();
    net.eq_ignore_ascii_case("IN").then(|| address.parse().ok())
}

fn parse_media(value: &str, defaults: &Defaults) -> Option<Result<Media, SdpError>> {
    let mut words = value.split_whitespace();
    let kind = words.next()?;
    let kind = match kind.to_ascii_lowercase().as_str() {
        "audio" => Kind::Audio,
        "image" => Kind::Image,
        _ => Kind::Other(kind.into()),
    };
    let port = words.next()?.split('/').next()?.parse().ok()?;
    let mut media = Media::new(kind, Proto::parse(words.next()?), port, defaults.address);
    media.direction = defaults.direction;
    for format in words {
        if media.payloads.len() + media.formats.len() >= SDP_FORMATS_MAX {
            return Some(Err(SdpError::TooMany));
        }
        if media.proto.is_rtp() {
            let pt = format.parse::<u8>().ok().filter(|pt| *pt < 128)?;
            if media.payloads.iter().all(|p| p.pt != pt) {
                media.payloads.push(Payload::new(pt, Codec::of_static(pt)));
            }
        } else {
            media.formats.push(format.into());
        }
    }
    Some(Ok(media))
}

fn session_attribute(session: &mut Session, defaults: &mut Defaults, value: &str) -> Result<(), SdpError> {
    if session.attributes.len() + session.security.len() >= SDP_ATTRIBUTES_MAX {
        return Err(SdpError::TooMany);
    }
    let name = value.split(':').next().unwrap_or_default();
    if let Some(direction) = Direction::parse(value) {
        defaults.direction = direction;
    } else if SECURITY.iter().any(|s| s.eq_ignore_ascii_case(name)) {
        session.security.push(value.into());
    } else {
        session.attributes.push(value.into());
    }
    Ok(())
}

fn media_attribute(media: &mut Media, attribute: &str) -> Result<(), SdpError> {
    if media.attributes.len() + media.security.len() >= SDP_ATTRIBUTES_MAX {
        return Err(SdpError::TooMany);
    }
    let (name, value) = match attribute.split_once(':') {
        Some((name, value)) => (name.trim(), Some(value)),
        None => (attribute.trim(), None),
    };
    if !read_attribute(media, name, value) {
        let place = if SECURITY.iter().any(|s| s.eq_ignore_ascii_case(name)) { &mut media.security } else { &mut media.attributes };
        place.push(attribute.into());
    }
    Ok(())
}

fn read_attribute(media: &mut Media, name: &str, value: Option<&str>) -> bool {
    let (lower, text) = (name.to_ascii_lowercase(), value.unwrap_or_default().trim());
    if let (Some(direction), None) = (Direction::parse(name), value) {
        media.direction = direction;
        return true;
    }
    match lower.as_str() {
        "rtpmap" | "fmtp" => {
            let Some((pt, rest)) = text.split_once(char::is_whitespace) else { return false };
            let Ok(pt) = pt.parse::<u8>() else { return false };
            let Some(payload) = media.payloads.iter_mut().find(|p| p.pt == pt) else { return false };
            match (lower.as_str(), rest.trim()) {
                (_, "") => return false,
                ("rtpmap", map) => payload.codec = Codec::parse(map),
                (_, fmtp) => payload.fmtp = Some(fmtp.into()),
            }
            true
        }
        "ptime" => match text.split('.').next().unwrap_or_default().parse() {
            Ok(ms) => {
                media.ptime_ms = Some(ms);
                true
            }
            Err(_) => false,
        },
        "rtcp" => match text.split_whitespace().next().unwrap_or_default().parse() {
            // With an address of its own it stays a raw line.
            Ok(port) if text.split_whitespace().count() == 1 => {
                media.rtcp_port = Some(port);
                true
            }
            _ => false,
        },
        _ if lower.starts_with("t38") => {
            let mut t38 = media.t38.clone().unwrap_or_default();
            let taken = t38.take(name, value);
            if taken {
                media.t38 = Some(t38);
            }
            taken
        }
        _ => false,
    }
}

fn emit_media(media: &Media, common: Option<IpAddr>, out: &mut String) {
    let kind = match &media.kind {
        Kind::Audio => "audio",
        Kind::Image => "image",
        Kind::Other(word) => word,
    };
    *out += &format!("m={kind} {} {}", media.port, media.proto.as_str());
    media.payloads.iter().for_each(|p| *out += &format!(" {}", p.pt));
    media.formats.iter().for_each(|f| *out += &format!(" {f}"));
    *out += "\r\n";
    if let Some(address) = media.address
        && Some(address) != common
    {
        *out += &connection(address);
    }
    let mut put = |line: String| *out += &format!("a={line}\r\n");
    for p in &media.payloads {
        if !p.codec.rtpmap().is_empty() {
            put(format!("rtpmap:{} {}", p.pt, p.codec.rtpmap()));
        }
        if let Some(fmtp) = &p.fmtp {
            put(format!("fmtp:{} {fmtp}", p.pt));
        }
    }
    if let Some(ms) = media.ptime_ms {
        put(format!("ptime:{ms}"));
    }
    if let Some(port) = media.rtcp_port {
        put(format!("rtcp:{port}"));
    }
    if let Some(t38) = &media.t38 {
        t38.lines().into_iter().for_each(&mut put);
    }
    media.security.iter().chain(&media.attributes).cloned().for_each(&mut put);
    // A refused line needs no direction; a T.38 line is always both ways.
    if media.proto.is_rtp() && media.port != 0 || media.direction != Direction::SendRecv {
        put(media.direction.as_str().into());
    }
}

const _: () = assert!(SDP_MEDIA_MAX >= 2, "audio and T.38 stand in one offer");
