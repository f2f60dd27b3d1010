//! `sip:`, `sips:` and `tel:` URIs (RFC 3261 s.19.1, RFC 3966); any other scheme is kept as it is.

use super::{Fault, Params};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The scheme of a URI.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// Anything else: known to be a URI, not understood.
    Other,
}

/// A host: a name or an address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Host {
    /// A name to be looked up (lower case).
    Name(String),
    /// An address.
    Addr(IpAddr),
}

impl Host {
    /// Reads a host: name, IPv4 address, or IPv6 address in brackets.
    pub fn parse(text: &[u8]) -> Option<Host> {
        let text = core::str::from_utf8(text).ok()?;
        if let Some(inner) = text.strip_prefix('[') {
            return inner.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(|a| Host::Addr(a.into()));
        }
        if let Ok(v4) = text.parse::<Ipv4Addr>() {
            return Some(Host::Addr(v4.into()));
        }
        // Underscores are no host characters, and stand in the host names of a good many offices.
        let ok = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
        ok.then(|| Host::Name(text.to_ascii_lowercase()))
    }
}

/// A URI: its bytes, and what they say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Uri {
    raw: Vec<u8>,
    /// Which kind.
    pub scheme: Scheme,
    /// The user part (for `tel:` the number), escapes kept, without a password. [`unescape`] reads it.
    pub user: Option<Vec<u8>>,
    /// The host of `sip:` and `sips:`.
    pub host: Option<Host>,
    /// The port, if it is said.
    pub port: Option<u16>,
    /// URI parameters.
    pub params: Params,
    /// Whether a `?headers` part stands there.
    pub has_headers: bool,
}

impl Uri {
    /// `sip:user@addr`; the user is escaped where it must be.
    pub fn sip(user: &str, addr: SocketAddr) -> Uri {
        let mut raw = b"sip:".to_vec();
        escape_user(user.as_bytes(), &mut raw);
        if !user.is_empty() {
            raw.push(b'@');
        }
        raw.extend_from_slice(addr.to_string().as_bytes());
        Uri::parse(&raw).expect("an escaped user and a printed socket address make a URI")
    }

    /// Reads a URI without its angle brackets.
    pub fn parse(raw: &[u8]) -> Result<Uri, Fault> {
        const BAD: Fault = Fault::bad("Malformed URI");
        if raw.iter().any(|b| b.is_ascii_whitespace() || b.is_ascii_control() || matches!(b, b'<' | b'>' | b'"')) {
            return Err(BAD);
        }
        let colon = raw.iter().position(|b| *b == b':').ok_or(BAD)?;
        let (name, rest) = (&raw[..colon], &raw[colon + 1..]);
        if !name.first().is_some_and(u8::is_ascii_alphabetic)
            || !name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        {
            return Err(BAD);
        }
        let scheme = if name.eq_ignore_ascii_case(b"sip") {
            Scheme::Sip
        } else if name.eq_ignore_ascii_case(b"sips") {
            Scheme::Sips
        } else if name.eq_ignore_ascii_case(b"tel") {
            Scheme::Tel
        } else {
            Scheme::Other
        };
        let mut uri = Uri { raw: raw.to_vec(), scheme, user: None, host: None, port: None, params: Params::default(), has_headers: false };
        match scheme {
            Scheme::Other => {}
            Scheme::Tel => {
                let end = rest.iter().position(|b| *b == b';').unwrap_or(rest.len());
                if end == 0 {
                    return Err(BAD);
                }
                uri.user = Some(rest[..end].to_vec());
                uri.params = Params::parse(&rest[end..])?;
            }
            Scheme::Sip | Scheme::Sips => {
                // The user part may hold `;` and `?`, never a bare `@`: what is left of the last one is the user.
                let rest = match rest.iter().rposition(|b| *b == b'@') {
                    Some(at) => {
                        let user = &rest[..at];
                        let end = user.iter().position(|b| *b == b':').unwrap_or(at);
                        uri.user = Some(user[..end].to_vec());
                        &rest[at + 1..]
                    }
                    None => rest,
                };
                let (rest, has_headers) = match rest.iter().position(|b| *b == b'?') {
                    Some(at) => (&rest[..at], true),
                    None => (rest, false),
                };
                uri.has_headers = has_headers;
                let end = rest.iter().position(|b| *b == b';').unwrap_or(rest.len());
                let (host, port) = split_port(&rest[..end]).ok_or(BAD)?;
                uri.host = Some(Host::parse(host).ok_or(BAD)?);
                uri.port = port;
                uri.params = Params::parse(&rest[end..])?;
            }
        }
        Ok(uri)
    }

    /// The URI as it came or was built.
    pub fn as_bytes(&self) -> &[u8] {
        &self.raw
    }
    /// The URI as it may stand in a request line: without a headers part (RFC 3261 s.19.1.1).
    pub fn request_uri(&self) -> &[u8] {
        if !self.has_headers {
            return &self.raw;
        }
        let host = self.raw.iter().rposition(|b| *b == b'@').unwrap_or(0);
        let end = self.raw[host..].iter().position(|b| *b == b'?').map_or(self.raw.len(), |at| host + at);
        &self.raw[..end]
    }
    /// The user part with its escapes resolved, readable.
    pub fn user_text(&self) -> String {
        super::readable(&unescape(self.user.as_deref().unwrap_or_default()))
    }
    /// Where to send, if the host is an address: port 5060 unless said.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self.host {
            Some(Host::Addr(ip)) => Some(SocketAddr::new(ip, self.port.unwrap_or(5060))),
            Some(Host::Name(_)) | None => None,
        }
    }
}

/// Splits `host:port`, minding brackets. `None` if the port is no port.
pub(super) fn split_port(text: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let after_bracket = text.iter().position(|b| *b == b']').map_or(0, |at| at + 1);
    match text[after_bracket..].iter().position(|b| *b == b':') {
        None => Some((text.trim_ascii(), None)),
        Some(at) => {
            let (host, port) = (&text[..after_bracket + at], &text[after_bracket + at + 1..]);
            let port = super::decimal(port).and_then(|p| u16::try_from(p).ok()).filter(|p| *p != 0)?;
            Some((host.trim_ascii(), Some(port)))
        }
    }
}

fn escape_user(user: &[u8], out: &mut Vec<u8>) {
    for b in user {
        if b.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(b) {
            out.push(*b);
        } else {
            out.extend_from_slice(format!("%{b:02X}").as_bytes());
        }
    }
}

/// Resolves `%41` escapes; a `%` that is no escape stays.
pub fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut i = 0;
    while i < text.len() {
        let byte = text
            .get(i + 1..i + 3)
            .and_then(|h| core::str::from_utf8(h).ok())
            .and_then(|h| if h.bytes().all(|b| b.is_ascii_hexdigit()) { u8::from_str_radix(h, 16).ok() } else { None });
        match byte {
            Some(b) if text[i] == b'%' => {
                out.push(b);
                i += 3;
            }
            _ => {
                out.push(text[i]);
                i += 1;
            }
        }
    }
    out
}
