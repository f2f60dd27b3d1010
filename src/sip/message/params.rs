//! Parameters behind semicolons, of headers and of URIs (RFC 3261 s.25.1: generic-param, uri-parameter).

use super::{Fault, split_outside_quotes};

/// `;a=b;c`: a name, and a value if there is one (quotes kept). Names compare without regard to case.
///
/// Kept as the text that it is, without the spaces that may stand around its marks: most are read once, for one of them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Params(Vec<u8>);

const BAD: Fault = Fault::bad("Malformed parameters");

/// Splits one parameter at its `=`.
fn name_and_value(part: &[u8]) -> (&[u8], Option<&[u8]>) {
    match part.iter().position(|b| *b == b'=') {
        Some(at) => (part[..at].trim_ascii(), Some(part[at + 1..].trim_ascii())),
        None => (part, None),
    }
}

/// The parameters of `;a=b;c`, checked: an empty one, a space in a name, an open quote or a control character outside quotes is a fault.
fn parts(text: &[u8]) -> Result<impl Iterator<Item = Result<(&[u8], Option<&[u8]>), Fault>>, Fault> {
    let text = text.trim_ascii();
    let text = if text.is_empty() { None } else { Some(text.strip_prefix(b";").ok_or(BAD)?) };
    Ok(text.into_iter().flat_map(|t| split_outside_quotes(t, b';')).map(|part| {
        let (name, value) = name_and_value(part);
        let strange = |b: &u8| b.is_ascii_whitespace() || b.is_ascii_control() || matches!(b, b',' | b'"' | b'<' | b'>');
        if name.is_empty() || name.iter().any(strange) || value.is_some_and(|v| !is_value(v)) { Err(BAD) } else { Ok((name, value)) }
    }))
}

/// Whether a value has no control character and no open quote.
fn is_value(value: &[u8]) -> bool {
    match value {
        [b'"', inner @ ..] => {
            let mut escaped = false;
            let end = inner.iter().position(|b| match b {
                _ if core::mem::take(&mut escaped) => false,
                b'\\' => {
                    escaped = true;
                    false
                }
                b => *b == b'"',
            });
            end.is_some_and(|at| at + 1 == inner.len())
        }
        _ => !value.iter().any(|b| b.is_ascii_control() && *b != b'\t' || matches!(b, b'"' | b'<' | b'>')),
    }
}

impl Params {
    /// Whether this is `;a=b;c`.
    pub(super) fn check(text: &[u8]) -> Result<(), Fault> {
        parts(text)?.try_for_each(|part| part.map(|_| ()))
    }
    /// Reads `;a=b;c`. An empty parameter is a fault.
    pub fn parse(text: &[u8]) -> Result<Params, Fault> {
        let mut params = Params(Vec::with_capacity(text.len()));
        for part in parts(text)? {
            let (name, value) = part?;
            params.push(name, value);
        }
        Ok(params)
    }
    fn push(&mut self, name: &[u8], value: Option<&[u8]>) {
        self.0.push(b';');
        self.0.extend_from_slice(name);
        if let Some(value) = value {
            self.0.push(b'=');
            self.0.extend_from_slice(value);
        }
    }
    /// All in their order: the name, and the value as it stands there, if one does.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.0.get(1..).into_iter().flat_map(|t| split_outside_quotes(t, b';')).map(name_and_value)
    }
    /// The value of `name` without its quotes: empty when it stands there without one.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        find(&self.0, name)
    }
    /// Whether `name` stands there at all.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// Sets `name`, in its place if it is there already. Line ends and what would open another parameter are left out of the value,
    /// unless it stands in quotes.
    pub fn set(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        let mut value: Vec<u8> = value.into();
        if !(value.first() == Some(&b'"') && is_value(&value)) {
            value.retain(|b| !b.is_ascii_control() && !matches!(b, b';' | b',' | b'"' | b'<' | b'>' | b' '));
        }
        super::header::one_line(&mut value);
        let old = core::mem::take(self);
        let mut set = false;
        for (n, v) in old.iter() {
            let here = !set && n.eq_ignore_ascii_case(name.as_bytes());
            set |= here;
            self.push(n, if here { Some(&value) } else { v });
        }
        if !set {
            self.push(name.as_bytes(), Some(&value));
        }
    }
    /// Takes `name` away.
    pub fn remove(&mut self, name: &str) {
        let old = core::mem::take(self);
        for (n, v) in old.iter().filter(|(n, _)| !n.eq_ignore_ascii_case(name.as_bytes())) {
            self.push(n, v);
        }
    }
    /// Writes `;a=b;c`.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

/// The value of `name` in a text of parameters, without its quotes; empty when it stands there without one.
pub(super) fn find<'a>(text: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let text = text.trim_ascii().strip_prefix(b";")?;
    let (_, value) = split_outside_quotes(text, b';').map(name_and_value).find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes()))?;
    Some(match value {
        Some([b'"', inner @ .., b'"']) => inner,
        Some(value) => value,
        None => &[],
    })
}
