//! `sip:`, `sips:` and `tel:` URIs (RFC 3261 s.19.1, RFC 3966); any other scheme is kept as it is.

use super::{Fault, Params};
use crate::sip::Transport;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::ops::Range;

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

/// A host where it stands.
#[derive(Clone, Copy)]
pub(super) enum HostPart<'a> {
    Name(&'a str),
    Addr(IpAddr),
}

impl<'a> HostPart<'a> {
    pub(super) fn parse(text: &'a [u8]) -> Option<HostPart<'a>> {
        let first = text.first()?;
        if *first == b'[' {
            let text = core::str::from_utf8(&text[1..]).ok()?;
            return text.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(|a| HostPart::Addr(a.into()));
        }
        if let Some(v4) = ipv4(text) {
            return Some(HostPart::Addr(v4.into()));
        }
        if !text.iter().all(|b| HOST[usize::from(*b)]) {
            return None;
        }
        core::str::from_utf8(text).ok().map(HostPart::Name)
    }
    pub(super) fn own(self) -> Host {
        match self {
            HostPart::Name(name) => Host::Name(name.to_ascii_lowercase()),
            HostPart::Addr(ip) => Host::Addr(ip),
        }
    }
}

/// Four numbers with dots between them, without leading zeros.
fn ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    let (mut octets, mut place, mut digits) = ([0u8; 4], 0, 0);
    for b in text {
        match b {
            b'0'..=b'9' if digits == 0 || octets[place] != 0 => {
                octets[place] = octets[place].checked_mul(10)?.checked_add(b - b'0')?;
                digits += 1;
            }
            b'.' if digits > 0 && place < 3 => (place, digits) = (place + 1, 0),
            _ => return None,
        }
    }
    (place == 3 && digits > 0).then(|| Ipv4Addr::from(octets))
}

impl Host {
    /// Reads a host: name, IPv4 address, or IPv6 address in brackets.
    pub fn parse(text: &[u8]) -> Option<Host> {
        HostPart::parse(text).map(HostPart::own)
    }
}

/// A URI: its bytes, and what they say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Uri {
    raw: Vec<u8>,
    /// Which kind.
    pub scheme: Scheme,
    /// Where the user stands in `raw`.
    user: Option<Range<u32>>,
    /// The host of `sip:` and `sips:`.
    pub host: Option<Host>,
    /// The port, if it is said.
    pub port: Option<u16>,
    /// URI parameters.
    pub params: Params,
    /// Whether a `?headers` part stands there.
    pub has_headers: bool,
}

/// The pieces of a URI where they stand. The parameters are not checked yet.
pub(super) struct UriParts<'a> {
    pub(super) scheme: Scheme,
    user: Option<&'a [u8]>,
    /// Where the user stands, if there is one: behind the scheme.
    user_at: usize,
    host: Option<HostPart<'a>>,
    port: Option<u16>,
    params: &'a [u8],
    pub(super) has_headers: bool,
}

/// What to stop at when a URI is read: what may not stand in one (spaces, control characters, what would close the address around it),
/// and its own marks.
const MARK: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 256 {
        table[b] = matches!(b as u8, 0..=b' ' | 0x7f | b'<' | b'>' | b'"' | b'@' | b'?' | b';');
        b += 1;
    }
    table
};

/// What stands in a host name. Underscores do not, except in the host names of a good many offices.
const HOST: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0u8;
    while b < 0x80 {
        table[b as usize] = b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        b += 1;
    }
    table
};

const BAD: Fault = Fault::bad("Malformed URI");

impl<'a> UriParts<'a> {
    pub(super) fn split(raw: &'a [u8]) -> Result<UriParts<'a>, Fault> {
        // The user part may hold `;` and `?`, never a bare `@`: what is left of the last one is the user.
        let (mut at, mut semicolon, mut question) = (None, None, None);
        let mut i = 0;
        while let Some(skipped) = raw[i..].iter().position(|b| MARK[usize::from(*b)]) {
            i += skipped;
            match raw[i] {
                b'@' => (at, semicolon, question) = (Some(i), None, None),
                b';' => semicolon = semicolon.or(question.is_none().then_some(i)),
                b'?' => question = question.or(Some(i)),
                _ => return Err(BAD),
            }
            i += 1;
        }
        let colon = raw.iter().position(|b| *b == b':').ok_or(BAD)?;
        let (name, rest) = (&raw[..colon], &raw[colon + 1..]);
        let scheme = if name.eq_ignore_ascii_case(b"sip") {
            Scheme::Sip
        } else if name.eq_ignore_ascii_case(b"sips") {
            Scheme::Sips
        } else if name.eq_ignore_ascii_case(b"tel") {
            Scheme::Tel
        } else if name.first().is_some_and(u8::is_ascii_alphabetic)
            && name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        {
            Scheme::Other
        } else {
            return Err(BAD);
        };
        let mut uri = UriParts { scheme, user: None, user_at: colon + 1, host: None, port: None, params: &[], has_headers: false };
        match scheme {
            Scheme::Other => {}
            Scheme::Tel => {
                let end = rest.iter().position(|b| *b == b';').unwrap_or(rest.len());
                if end == 0 {
                    return Err(BAD);
                }
                uri.user = Some(&rest[..end]);
                uri.params = &rest[end..];
            }
            Scheme::Sip | Scheme::Sips => {
                let host = match at {
                    Some(at) => {
                        let user = raw.get(colon + 1..at).ok_or(BAD)?;
                        let end = user.iter().position(|b| *b == b':').unwrap_or(user.len());
                        uri.user = Some(&user[..end]);
                        at + 1
                    }
                    None => colon + 1,
                };
                uri.has_headers = question.is_some();
                let end = question.unwrap_or(raw.len());
                let host_end = semicolon.unwrap_or(end);
                let (name, port) = split_port(raw.get(host..host_end).ok_or(BAD)?).ok_or(BAD)?;
                uri.host = Some(HostPart::parse(name).ok_or(BAD)?);
                uri.port = port;
                uri.params = &raw[host_end..end];
            }
        }
        Ok(uri)
    }

    pub(super) fn check(&self) -> Result<(), Fault> {
        Params::check(self.params)
    }

    /// The URI with memory of its own; `raw` is what it was read from.
    pub(super) fn own(&self, raw: &[u8]) -> Result<Uri, Fault> {
        Ok(Uri {
            raw: raw.to_vec(),
            scheme: self.scheme,
            user: self.user.and_then(|user| {
                // It stands behind the colon of the scheme, in what this was read from.
                let at = u32::try_from(self.user_at).ok()?;
                Some(at..at + u32::try_from(user.len()).ok()?)
            }),
            host: self.host.map(HostPart::own),
            port: self.port,
            params: Params::parse(self.params)?,
            has_headers: self.has_headers,
        })
    }
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
        UriParts::split(raw)?.own(raw)
    }

    /// The URI as it came or was built.
    pub fn as_bytes(&self) -> &[u8] {
        &self.raw
    }
    /// The URI as it may stand in a request line: without a headers part (RFC 3261 s.19.1.1).
    pub fn request_uri(&self) -> &[u8] {
        &self.raw[..self.raw.len() - self.headers().map_or(0, |h| h.len() + 1)]
    }
    /// What stands behind the `?`.
    pub fn headers(&self) -> Option<&[u8]> {
        if !self.has_headers {
            return None;
        }
        let host = self.raw.iter().rposition(|b| *b == b'@').unwrap_or(0);
        let at = self.raw[host..].iter().position(|b| *b == b'?')?;
        Some(&self.raw[host + at + 1..])
    }
    /// The user part (for `tel:` the number), escapes kept, without a password. [`unescape`] reads it.
    pub fn user(&self) -> Option<&[u8]> {
        let range = self.user.as_ref()?;
        self.raw.get(range.start as usize..range.end as usize)
    }
    /// The password behind the user, which nobody should use (RFC 3261 s.19.1.1) and which tells two URIs apart.
    pub fn password(&self) -> Option<&[u8]> {
        let (Scheme::Sip | Scheme::Sips, Some(user)) = (self.scheme, self.user()) else { return None };
        let colon = self.raw.iter().position(|b| *b == b':')?;
        let at = self.raw.iter().rposition(|b| *b == b'@')?;
        self.raw.get(colon + 1 + user.len() + 1..at)
    }
    /// The user part with its escapes resolved, readable.
    pub fn user_text(&self) -> String {
        super::readable(&unescape(self.user().unwrap_or_default()))
    }
    /// The transport that it asks for: by `transport=`, or TLS for `sips:`. `None`: it does not say, or none that we know.
    pub fn transport(&self) -> Option<Transport> {
        match (self.scheme, self.params.get("transport")) {
            // `sips:` with `transport=tcp` is TLS over TCP (RFC 3261 s.26.2.2).
            (Scheme::Sips, _) => Some(Transport::Tls),
            (Scheme::Sip, Some(word)) => Transport::parse(word),
            _ => None,
        }
    }
    /// The port said, or that of its transport (RFC 3261 s.19.1.2).
    pub fn port_or_default(&self) -> u16 {
        self.port.unwrap_or_else(|| self.transport().unwrap_or_default().default_port())
    }
    /// Where to send, if the host is an address: the default port unless one is said.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self.host {
            Some(Host::Addr(ip)) => Some(SocketAddr::new(ip, self.port_or_default())),
            Some(Host::Name(_)) | None => None,
        }
    }
}

/// Splits `host:port`, minding brackets. `None` if the port is no port.
pub(super) fn split_port(text: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let after_bracket = match text.first() {
        Some(b'[') => text.iter().position(|b| *b == b']').map_or(0, |at| at + 1),
        _ => 0,
    };
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

/// The byte that the escape `%41` at the start of `text` stands for.
pub(super) fn escaped(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else { return None };
    let digit = |b: &u8| char::from(*b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

/// Resolves `%41` escapes; a `%` that is no escape stays.
pub fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.first() {
        let (byte, taken) = escaped(rest).map_or((*first, 1), |b| (b, 3));
        out.push(byte);
        rest = &rest[taken..];
    }
    out
}
