//! Addresses with a display name and parameters: From, To, Contact, Route, Record-Route (RFC 3261 s.20.10 and s.25.1).

use super::uri::{Span, UriParts};
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
#[derive(Clone, Copy, Debug)]
pub(super) struct AddrParts {
    /// Between its quotes, with its escapes; or tokens.
    display: Option<(Span, bool)>,
    uri: Span,
    parts: UriParts,
    params: Span,
}

impl AddrParts {
    /// Reads an address and everything in it.
    pub(super) fn checked(value: &[u8]) -> Result<AddrParts, Fault> {
        let parts = AddrParts::split(value)?;
        parts.parts.check(parts.uri.of(value))?;
        Params::check(parts.params.of(value))?;
        Ok(parts)
    }

    pub(super) fn split(whole: &[u8]) -> Result<AddrParts, Fault> {
        let before = whole.len() - whole.trim_ascii_start().len();
        let value = whole.trim_ascii();
        // Where what is left to read begins.
        let (display, at) = match value.first() {
            Some(b'"') => {
                let end = params::closing_quote(value).ok_or(Fault::bad("Unbalanced quotes in address"))?;
                let rest = &value[end + 1..];
                (Some((Span::new(1, end), true)), value.len() - rest.trim_ascii_start().len())
            }
            Some(b'<') => (None, 0),
            _ => match value.iter().position(|b| *b == b'<') {
                Some(at) => {
                    let name = value[..at].trim_ascii_end();
                    if !name.iter().all(|b| is_token(*b) || b.is_ascii_whitespace() || *b >= 0x80) {
                        return Err(Fault::bad("Malformed display name"));
                    }
                    ((!name.is_empty()).then(|| (Span::new(0, name.len()), false)), at)
                }
                None => {
                    // RFC 3261 s.20.10: without brackets, what follows a semicolon belongs to the header, and `,` and `?` may not stand.
                    let end = value.iter().position(|b| *b == b';').unwrap_or(value.len());
                    if value[..end].iter().any(|b| matches!(b, b',' | b'?')) {
                        return Err(Fault::bad("Address needs angle brackets"));
                    }
                    let uri = value[..end].trim_ascii();
                    let parts = UriParts::split(uri)?;
                    let (uri, params) = (Span::new(0, uri.len()), Span::new(end, value.len()));
                    return Ok(AddrParts { display: None, uri: uri.later(before), parts, params: params.later(before) });
                }
            },
        };
        if value.get(at) != Some(&b'<') {
            return Err(Fault::bad("Malformed address"));
        }
        let inner = &value[at + 1..];
        let end = inner.iter().position(|b| *b == b'>').ok_or(Fault::bad("Unclosed angle bracket in address"))?;
        let from = before + at + 1;
        Ok(AddrParts {
            display: display.map(|(name, quoted)| (name.later(before), quoted)),
            uri: Span::new(from, from + end),
            parts: UriParts::split(&inner[..end])?,
            params: Span::new(from + end + 1, before + value.len()),
        })
    }

    /// The tag parameter; an empty one counts as none. `value` is what this was read from.
    pub(super) fn tag<'a>(&self, value: &'a [u8]) -> Option<&'a [u8]> {
        params::find(self.params.of(value), "tag").filter(|t| !t.is_empty())
    }

    /// The address with memory of its own; `value` is what it was read from, and checked.
    pub(super) fn own(&self, value: &[u8]) -> NameAddr {
        NameAddr {
            display: self.display.map(|(text, quoted)| if quoted { unquote(text.of(value)) } else { text.of(value).to_vec() }),
            uri: self.parts.own(self.uri.of(value)),
            params: Params::of_checked(self.params.of(value)),
        }
    }
}

impl NameAddr {
    /// An address in angle brackets without parameters.
    pub fn new(uri: Uri) -> NameAddr {
        NameAddr { display: None, uri, params: Params::default() }
    }

    /// Reads one value of From, To, Contact, Route or Record-Route.
    pub fn parse(value: &[u8]) -> Result<NameAddr, Fault> {
        Ok(AddrParts::checked(value)?.own(value))
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
