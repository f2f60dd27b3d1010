//! Lines to [`Session`] and back.

use super::{
    Capabilities, Codec, Direction, Kind, Media, Origin, Payload, Proto, SDP_ATTRIBUTES_MAX, SDP_FORMATS_MAX, SDP_MEDIA_MAX, Security,
    Session, T38,
};
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

/// What the session level says until a media line says otherwise.
#[derive(Default)]
struct Defaults {
    address: Option<IpAddr>,
    direction: Direction,
    /// Some fax servers say what holds for their image line above it.
    t38: Option<T38>,
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
            security: Security::default(),
            capabilities: Capabilities::default(),
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
        let capabilities = self.capabilities.lines();
        self.attributes.iter().cloned().chain(self.security.lines()).chain(capabilities).for_each(|a| out += &format!("a={a}\r\n"));
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
    let kind = Kind::parse(kind);
    let port = words.next()?.split('/').next()?.parse().ok()?;
    let mut media = Media::new(kind, Proto::parse(words.next()?), port, defaults.address);
    media.direction = defaults.direction;
    if media.kind == Kind::Image {
        media.t38.clone_from(&defaults.t38);
    }
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

fn session_attribute(session: &mut Session, defaults: &mut Defaults, attribute: &str) -> Result<(), SdpError> {
    if session.attributes.len() + session.security.len() + session.capabilities.len() >= SDP_ATTRIBUTES_MAX {
        return Err(SdpError::TooMany);
    }
    let (name, value) = named(attribute);
    if let Some(direction) = Direction::parse(attribute.trim()) {
        defaults.direction = direction;
    } else if Security::owns(name) {
        session.security.take(name, value.unwrap_or_default(), attribute);
    } else if name.get(..3).is_some_and(|n| n.eq_ignore_ascii_case("t38")) && take_t38(&mut defaults.t38, name, value) {
    } else if !session.capabilities.take(name, value.unwrap_or_default()) {
        session.attributes.push(attribute.into());
    }
    Ok(())
}

fn named(attribute: &str) -> (&str, Option<&str>) {
    match attribute.split_once(':') {
        Some((name, value)) => (name.trim(), Some(value)),
        None => (attribute.trim(), None),
    }
}

fn take_t38(place: &mut Option<T38>, name: &str, value: Option<&str>) -> bool {
    let mut t38 = place.clone().unwrap_or_default();
    let taken = t38.take(name, value);
    if taken {
        *place = Some(t38);
    }
    taken
}

fn media_attribute(media: &mut Media, attribute: &str) -> Result<(), SdpError> {
    if media.attributes.len() + media.security.len() + media.capabilities.len() >= SDP_ATTRIBUTES_MAX {
        return Err(SdpError::TooMany);
    }
    let (name, value) = named(attribute);
    if Security::owns(name) {
        media.security.take(name, value.unwrap_or_default(), attribute);
    } else if !read_attribute(media, name, value) && !media.capabilities.take(name, value.unwrap_or_default()) {
        media.attributes.push(attribute.into());
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
        "rtpmap" | "fmtp" | "gpmd" => {
            let Some((pt, rest)) = text.split_once(char::is_whitespace) else { return false };
            let Ok(pt) = pt.parse::<u8>() else { return false };
            let Some(payload) = media.payloads.iter_mut().find(|p| p.pt == pt) else { return false };
            match (lower.as_str(), rest.trim()) {
                (_, "") => return false,
                ("rtpmap", map) => payload.codec = Codec::parse(map),
                ("gpmd", gpmd) => payload.gpmd = Some(gpmd.into()),
                (_, fmtp) => payload.fmtp = Some(fmtp.into()),
            }
            true
        }
        "ptime" => set(&mut media.ptime_ms, text.split('.').next().unwrap_or_default().parse().ok()),
        "maxptime" => set(&mut media.maxptime_ms, text.split('.').next().unwrap_or_default().parse().ok()),
        "rtcp-mux" if value.is_none() => {
            media.rtcp_mux = true;
            true
        }
        "rtcp" => {
            let words: Vec<&str> = text.split_whitespace().collect();
            let (port, address) = match words[..] {
                [port] => (port.parse().ok(), Some(None)),
                [port, net, _, address] if net.eq_ignore_ascii_case("IN") => (port.parse().ok(), address.parse().ok().map(Some)),
                _ => (None, None),
            };
            // What cannot be read stays a raw line.
            let (Some(port), Some(address)) = (port, address) else { return false };
            (media.rtcp_port, media.rtcp_address) = (Some(port), address);
            true
        }
        _ if lower.starts_with("t38") => take_t38(&mut media.t38, name, value),
        _ => false,
    }
}

fn set<T>(place: &mut Option<T>, value: Option<T>) -> bool {
    let read = value.is_some();
    if read {
        *place = value;
    }
    read
}

fn emit_media(media: &Media, common: Option<IpAddr>, out: &mut String) {
    *out += &format!("m={} {} {}", media.kind.as_str(), media.port, media.proto.as_str());
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
        if let Some(gpmd) = &p.gpmd {
            put(format!("gpmd:{} {gpmd}", p.pt));
        }
    }
    if let Some(ms) = media.ptime_ms {
        put(format!("ptime:{ms}"));
    }
    if let Some(ms) = media.maxptime_ms {
        put(format!("maxptime:{ms}"));
    }
    if let Some(port) = media.rtcp_port {
        let address = media.rtcp_address.map_or_else(String::new, |a| format!(" IN {} {a}", if a.is_ipv6() { "IP6" } else { "IP4" }));
        put(format!("rtcp:{port}{address}"));
    }
    if media.rtcp_mux {
        put("rtcp-mux".into());
    }
    if let Some(t38) = &media.t38 {
        t38.lines().into_iter().for_each(&mut put);
    }
    media.security.lines().chain(media.capabilities.lines()).chain(media.attributes.iter().cloned()).for_each(&mut put);
    // A refused line needs no direction; a T.38 line is always both ways.
    if media.proto.is_rtp() && media.port != 0 || media.direction != Direction::SendRecv {
        put(media.direction.as_str().into());
    }
}

const _: () = assert!(SDP_MEDIA_MAX >= 2, "audio and T.38 stand in one offer");
