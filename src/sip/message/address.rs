//! Addresses with a display name and parameters: From, To, Contact, Route, Record-Route (RFC 3261 s.20.10 and s.25.1).

use super::uri::UriParts;
use super::{Fault, Params, Uri, is_token, params};

/// `"Display" <uri>;params` or `uri;params`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NameAddr {
    /// The display name without its quotes and escapes, any bytes.
    pub display: Option<Vec<u8>>,
    /// The address.
    pub uri: Uri,
    /// Parameters of the header (not of the URI).
    pub params: Params,
}

/// The pieces of an address where they stand. Their parameters are not checked yet.
pub(super) struct AddrParts<'a> {
    /// Between its quotes, with its escapes; or tokens.
    display: Option<(&'a [u8], bool)>,
    uri: &'a [u8],
    parts: UriParts<'a>,
    params: &'a [u8],
}

impl<'a> AddrParts<'a> {
    /// Whether this is an address.
    pub(super) fn check(value: &'a [u8]) -> Result<(), Fault> {
        let parts = AddrParts::split(value)?;
        parts.parts.check()?;
        Params::check(parts.params)
    }

    pub(super) fn split(value: &'a [u8]) -> Result<AddrParts<'a>, Fault> {
        let value = value.trim_ascii();
        let (display, rest) = match value.first() {
            Some(b'"') => {
                let end = params::closing_quote(value).ok_or(Fault::bad("Unbalanced quotes in address"))?;
                (Some((&value[1..end], true)), value[end + 1..].trim_ascii_start())
            }
            Some(b'<') => (None, value),
            _ => match value.iter().position(|b| *b == b'<') {
                Some(at) => {
                    let name = value[..at].trim_ascii();
                    if !name.iter().all(|b| is_token(*b) || b.is_ascii_whitespace() || *b >= 0x80) {
                        return Err(Fault::bad("Malformed display name"));
                    }
                    ((!name.is_empty()).then_some((name, false)), &value[at..])
                }
                None => {
                    // RFC 3261 s.20.10: without brackets, what follows a semicolon belongs to the header, and `,` and `?` may not stand.
                    let end = value.iter().position(|b| *b == b';').unwrap_or(value.len());
                    if value[..end].iter().any(|b| matches!(b, b',' | b'?')) {
                        return Err(Fault::bad("Address needs angle brackets"));
                    }
                    let uri = value[..end].trim_ascii();
                    return Ok(AddrParts { display: None, uri, parts: UriParts::split(uri)?, params: &value[end..] });
                }
            },
        };
        let inner = rest.strip_prefix(b"<").ok_or(Fault::bad("Malformed address"))?;
        let end = inner.iter().position(|b| *b == b'>').ok_or(Fault::bad("Unclosed angle bracket in address"))?;
        let (uri, params) = (&inner[..end], &inner[end + 1..]);
        Ok(AddrParts { display, uri, parts: UriParts::split(uri)?, params })
    }

    /// The tag parameter; an empty one counts as none.
    pub(super) fn tag(&self) -> Option<&'a [u8]> {
        params::find(self.params, "tag").filter(|t| !t.is_empty())
    }
}

impl NameAddr {
    /// An address in angle brackets without parameters.
    pub fn new(uri: Uri) -> NameAddr {
        NameAddr { display: None, uri, params: Params::default() }
    }

    /// Reads one value of From, To, Contact, Route or Record-Route.
    pub fn parse(value: &[u8]) -> Result<NameAddr, Fault> {
        let parts = AddrParts::split(value)?;
        Ok(NameAddr {
            display: parts.display.map(|(text, quoted)| if quoted { unquote(text) } else { text.to_vec() }),
            uri: parts.parts.own(parts.uri)?,
            params: Params::parse(parts.params)?,
        })
    }

    /// The tag parameter; an empty one counts as none.
    pub fn tag(&self) -> Option<&[u8]> {
        self.params.get("tag").filter(|t| !t.is_empty())
    }

    /// The bytes of the value, always with angle brackets.
    pub fn emit(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        if let Some(display) = &self.display {
            out.push(b'"');
            for b in display {
                match b {
                    b'"' | b'\\' => out.extend_from_slice(&[b'\\', *b]),
                    b'\r' | b'\n' => out.push(b' '),
                    _ => out.push(*b),
                }
            }
            out.extend_from_slice(b"\" ");
        }
        out.push(b'<');
        out.extend_from_slice(self.uri.as_bytes());
        out.push(b'>');
        self.params.emit(&mut out);
        out
    }
}

/// The content of a quoted string without its escapes.
fn unquote(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut escaped = false;
    for b in text {
        match b {
            b'\\' if !escaped => escaped = true,
            _ => {
                out.push(*b);
                escaped = false;
            }
        }
    }
    out
}
