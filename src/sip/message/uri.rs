//! `sip:`, `sips:` and `tel:` URIs (RFC 3261 s.19.1, RFC 3966); any other scheme is kept as it is.

use super::{Fault, Params};
use crate::sip::Transport;
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

/// A stretch of the text that something was read from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Span {
    at: u32,
    end: u32,
}

impl Span {
    /// From `at` to `end`, both within one message.
    pub(super) fn new(at: usize, end: usize) -> Span {
        let place = |n| u32::try_from(n).expect("a message is far below 4 GB");
        Span { at: place(at), end: place(end) }
    }
    pub(super) fn of(self, text: &[u8]) -> &[u8] {
        text.get(self.at as usize..self.end as usize).unwrap_or_default()
    }
    pub(super) fn is_empty(self) -> bool {
        self.at == self.end
    }
    /// The same stretch, of a text that begins `by` bytes earlier.
    pub(super) fn later(self, by: usize) -> Span {
        Span::new(self.at as usize + by, self.end as usize + by)
    }
}

/// A host where it stands: a name, or an address.
#[derive(Clone, Copy, Debug)]
pub(super) enum HostPart {
    Name(Span),
    Addr(IpAddr),
}

impl HostPart {
    /// Reads `text[at..end]`.
    pub(super) fn parse(text: &[u8], at: usize, end: usize) -> Option<HostPart> {
        let host = text.get(at..end)?;
        let first = host.first()?;
        if *first == b'[' {
            let text = core::str::from_utf8(&host[1..]).ok()?;
            return text.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(|a| HostPart::Addr(a.into()));
        }
        if first.is_ascii_digit()
            && let Some(v4) = ipv4(host)
        {
            return Some(HostPart::Addr(v4.into()));
        }
        host.iter().all(|b| HOST[usize::from(*b)]).then(|| HostPart::Name(Span::new(at, end)))
    }
    /// With memory of its own; `text` is what it was read from.
    pub(super) fn own(self, text: &[u8]) -> Host {
        match self {
            HostPart::Name(name) => {
                // What stands in a host name is ASCII.
                Host::Name(name.of(text).iter().map(|b| char::from(b.to_ascii_lowercase())).collect())
            }
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
        HostPart::parse(text, 0, text.len()).map(|part| part.own(text))
    }
}

/// A URI: its bytes, and what they say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Uri {
    raw: Vec<u8>,
    /// Which kind.
    pub scheme: Scheme,
    /// Where the user stands in `raw`.
    user: Option<Span>,
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
#[derive(Clone, Copy, Debug)]
pub(super) struct UriParts {
    pub(super) scheme: Scheme,
    user: Option<Span>,
    host: Option<HostPart>,
    port: Option<u16>,
    params: Span,
    pub(super) has_headers: bool,
}

/// What to stop at when a URI is read: what may not stand in one (spaces, control characters, what would close the address around it),
/// and its own marks.
const MARK: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 256 {
        table[b] = matches!(b as u8, 0..=b' ' | 0x7f | b'<' | b'>' | b'"' | b'@' | b'?' | b';' | b':');
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

impl UriParts {
    /// Reads a URI in one walk over its bytes.
    pub(super) fn split(raw: &[u8]) -> Result<UriParts, Fault> {
        // The user part may hold `;`, `?` and `:`, never a bare `@`: what is left of the last one is the user.
        let (mut scheme_end, mut at, mut semicolon, mut question) = (None, None, None, None);
        // The first colon behind that of the scheme; and the last behind the `@` and in front of `;` and `?`.
        let (mut first_colon, mut last_colon) = (None, None);
        for (i, b) in raw.iter().enumerate().filter(|(_, b)| MARK[usize::from(**b)]) {
            match b {
                b':' if scheme_end.is_none() => scheme_end = Some(i),
                b':' => {
                    first_colon = first_colon.or(Some(i));
                    if semicolon.is_none() && question.is_none() {
                        last_colon = Some(i);
                    }
                }
                b'@' => (at, semicolon, question, last_colon) = (Some(i), None, None, None),
                b';' => semicolon = semicolon.or(question.is_none().then_some(i)),
                b'?' => question = question.or(Some(i)),
                _ => return Err(BAD),
            }
        }
        let colon = scheme_end.ok_or(BAD)?;
        let scheme = match &raw[..colon] {
            name if name.eq_ignore_ascii_case(b"sip") => Scheme::Sip,
            name if name.eq_ignore_ascii_case(b"sips") => Scheme::Sips,
            name if name.eq_ignore_ascii_case(b"tel") => Scheme::Tel,
            name if name.first().is_some_and(u8::is_ascii_alphabetic)
                && name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.')) =>
            {
                Scheme::Other
            }
            _ => return Err(BAD),
        };
        let mut uri = UriParts { scheme, user: None, host: None, port: None, params: Span::new(0, 0), has_headers: false };
        match scheme {
            Scheme::Other => {}
            Scheme::Tel => {
                let rest = &raw[colon + 1..];
                let end = colon + 1 + rest.iter().position(|b| *b == b';').unwrap_or(rest.len());
                if end == colon + 1 {
                    return Err(BAD);
                }
                uri.user = Some(Span::new(colon + 1, end));
                uri.params = Span::new(end, raw.len());
            }
            Scheme::Sip | Scheme::Sips => {
                let host = match at {
                    Some(at) if at <= colon => return Err(BAD),
                    Some(at) => {
                        let password = first_colon.filter(|p| *p < at);
                        uri.user = Some(Span::new(colon + 1, password.unwrap_or(at)));
                        at + 1
                    }
                    None => colon + 1,
                };
                uri.has_headers = question.is_some();
                let end = question.unwrap_or(raw.len());
                let host_end = semicolon.unwrap_or(end);
                let (name_end, port) = port_of(raw, host, host_end, last_colon).ok_or(BAD)?;
                uri.host = Some(HostPart::parse(raw, host, name_end).ok_or(BAD)?);
                uri.port = port;
                uri.params = Span::new(host_end, end);
            }
        }
        Ok(uri)
    }

    /// `raw` is what this was read from.
    pub(super) fn check(&self, raw: &[u8]) -> Result<(), Fault> {
        if self.params.is_empty() { Ok(()) } else { Params::check(self.params.of(raw)) }
    }

    /// The URI with memory of its own; `raw` is what it was read from, and checked.
    pub(super) fn own(&self, raw: &[u8]) -> Uri {
        Uri {
            raw: raw.to_vec(),
            scheme: self.scheme,
            user: self.user,
            host: self.host.map(|host| host.own(raw)),
            port: self.port,
            params: Params::of_checked(self.params.of(raw)),
            has_headers: self.has_headers,
        }
    }
}

/// Where the host ends that begins at `host`, and the port behind it, if `last_colon` stands in front of one. `None` if that is no port.
fn port_of(raw: &[u8], host: usize, end: usize, last_colon: Option<usize>) -> Option<(usize, Option<u16>)> {
    if raw.get(host) == Some(&b'[') {
        let (name, port) = split_port(&raw[host..end])?;
        return Some((host + name.len(), port));
    }
    match last_colon {
        None => Some((end, None)),
        Some(colon) => {
            let port = super::decimal(&raw[colon + 1..end]).and_then(|p| u16::try_from(p).ok()).filter(|p| *p != 0)?;
            Some((colon, Some(port)))
        }
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
        let parts = UriParts::split(raw)?;
        parts.check(raw)?;
        Ok(parts.own(raw))
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
        self.user.map(|user| user.of(&self.raw))
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
