//! Addresses with a display name and parameters: From, To, Contact, Route, Record-Route (RFC 3261 s.20.10 and s.25.1).

use super::{Fault, Uri, is_token, split_outside_quotes};

/// Parameters behind semicolons: a name, and a value if there is one (quotes kept). Names compare without regard to case.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Params(Vec<(Vec<u8>, Option<Vec<u8>>)>);

impl Params {
    /// Reads `;a=b;c`. An empty parameter is a fault.
    pub fn parse(text: &[u8]) -> Result<Params, Fault> {
        let text = text.trim_ascii();
        let mut params = Vec::new();
        if text.is_empty() {
            return Ok(Params(params));
        }
        let Some(text) = text.strip_prefix(b";") else { return Err(Fault::bad("Malformed parameters")) };
        for part in split_outside_quotes(text, b';') {
            let (name, value) = match part.iter().position(|b| *b == b'=') {
                Some(at) => (part[..at].trim_ascii(), Some(part[at + 1..].trim_ascii().to_vec())),
                None => (part, None),
            };
            if name.is_empty() || name.iter().any(|b| b.is_ascii_whitespace() || matches!(b, b',' | b'"')) {
                return Err(Fault::bad("Malformed parameters"));
            }
            params.push((name.to_vec(), value));
        }
        Ok(Params(params))
    }
    /// The value of `name`: empty when it stands there without one.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, v)| match v.as_deref() {
            Some([b'"', inner @ .., b'"']) => inner,
            Some(value) => value,
            None => &[],
        })
    }
    /// Whether `name` stands there at all.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
    /// Sets `name`, in its place if it is there already.
    pub fn set(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        let value = Some(value.into());
        match self.0.iter_mut().find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())) {
            Some((_, v)) => *v = value,
            None => self.0.push((name.as_bytes().to_vec(), value)),
        }
    }
    /// Writes `;a=b;c`.
    pub fn emit(&self, out: &mut Vec<u8>) {
        for (name, value) in &self.0 {
            out.push(b';');
            out.extend_from_slice(name);
            if let Some(value) = value {
                out.push(b'=');
                out.extend_from_slice(value);
            }
        }
    }
}

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

impl NameAddr {
    /// An address in angle brackets without parameters.
    pub fn new(uri: Uri) -> NameAddr {
        NameAddr { display: None, uri, params: Params::default() }
    }

    /// Reads one value of From, To, Contact, Route or Record-Route.
    pub fn parse(value: &[u8]) -> Result<NameAddr, Fault> {
        let value = value.trim_ascii();
        let (display, rest) = match value.first() {
            Some(b'"') => {
                let (display, rest) = quoted(value).ok_or(Fault::bad("Unbalanced quotes in address"))?;
                (Some(display), rest.trim_ascii_start())
            }
            _ => match value.iter().position(|b| *b == b'<') {
                Some(at) => {
                    let name = value[..at].trim_ascii();
                    if !name.iter().all(|b| is_token(*b) || b.is_ascii_whitespace() || *b >= 0x80) {
                        return Err(Fault::bad("Malformed display name"));
                    }
                    ((!name.is_empty()).then(|| name.to_vec()), &value[at..])
                }
                None => {
                    // RFC 3261 s.20.10: without brackets, what follows a semicolon belongs to the header, and `,` and `?` may not stand.
                    let end = value.iter().position(|b| *b == b';').unwrap_or(value.len());
                    if value[..end].iter().any(|b| matches!(b, b',' | b'?')) {
                        return Err(Fault::bad("Address needs angle brackets"));
                    }
                    return Ok(NameAddr {
                        display: None,
                        uri: Uri::parse(value[..end].trim_ascii())?,
                        params: Params::parse(&value[end..])?,
                    });
                }
            },
        };
        let inner = rest.strip_prefix(b"<").ok_or(Fault::bad("Malformed address"))?;
        let end = inner.iter().position(|b| *b == b'>').ok_or(Fault::bad("Unclosed angle bracket in address"))?;
        Ok(NameAddr { display, uri: Uri::parse(&inner[..end])?, params: Params::parse(&inner[end + 1..])? })
    }

    /// The tag parameter; an empty one counts as none.
    pub fn tag(&self) -> Option<&[u8]> {
        self.params.get("tag").filter(|t| !t.is_empty())
    }

    /// The bytes of the value, always with angle brackets.
    pub fn emit(&self) -> Vec<u8> {
        let mut out = Vec::new();
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

/// Reads a quoted string at the start of `text`: its content without escapes, and what follows.
fn quoted(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut content = Vec::new();
    let mut escaped = false;
    for (i, b) in text.iter().enumerate().skip(1) {
        match b {
            _ if escaped => {
                content.push(*b);
                escaped = false;
            }
            b'\\' => escaped = true,
            b'"' => return Some((content, &text[i + 1..])),
            _ => content.push(*b),
        }
    }
    None
}
