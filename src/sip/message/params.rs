//! Parameters behind semicolons, of headers and of URIs (RFC 3261 s.25.1: generic-param, uri-parameter).

use super::Fault;

/// `;a=b;c`: a name, and a value if there is one (quotes kept). Names compare without regard to case.
///
/// Kept as the text that it is, without the spaces that may stand around its marks: most are read once, for one of them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Params(Vec<u8>);

const BAD: Fault = Fault::bad("Malformed parameters");

/// What ends a name: spaces, control characters and the marks of what is around it.
const ENDS_NAME: [bool; 256] = ends(b" \t;=,\"<>");
/// What ends a value that is not in quotes.
const ENDS_VALUE: [bool; 256] = ends(b";\"<>");

const fn ends(marks: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 256 {
        table[b] = (b < 0x20 && b != b'\t' as usize) || b == 0x7f;
        b += 1;
    }
    let mut i = 0;
    while i < marks.len() {
        table[marks[i] as usize] = true;
        i += 1;
    }
    table
}

/// Cuts where the table says, or at the end.
fn cut<'a>(text: &'a [u8], table: &[bool; 256]) -> (&'a [u8], &'a [u8]) {
    text.split_at(text.iter().position(|b| table[usize::from(*b)]).unwrap_or(text.len()))
}

/// A name, and a value if there is one.
type Part<'a> = (&'a [u8], Option<&'a [u8]>);

/// Takes the next parameter off `;a=b;c`. An empty one, a space in a name, an open quote or a control character outside quotes is a fault.
fn next<'a>(text: &mut &'a [u8]) -> Result<Option<Part<'a>>, Fault> {
    let rest = text.trim_ascii_start();
    if rest.is_empty() {
        return Ok(None);
    }
    let rest = rest.strip_prefix(b";").ok_or(BAD)?.trim_ascii_start();
    let (name, rest) = cut(rest, &ENDS_NAME);
    let mut rest = rest.trim_ascii_start();
    let mut value = None;
    if let Some(more) = rest.strip_prefix(b"=") {
        let more = more.trim_ascii_start();
        let (said, after) = match more.first() {
            Some(b'"') => more.split_at(closing_quote(more).ok_or(BAD)? + 1),
            _ => cut(more, &ENDS_VALUE),
        };
        value = Some(said.trim_ascii_end());
        rest = after.trim_ascii_start();
    }
    if name.is_empty() || !matches!(rest.first(), None | Some(b';')) {
        return Err(BAD);
    }
    *text = rest;
    Ok(Some((name, value)))
}

/// The parameters of a text that was checked.
fn parts(mut text: &[u8]) -> impl Iterator<Item = Part<'_>> {
    core::iter::from_fn(move || next(&mut text).ok().flatten())
}

/// Where the quoted string at the start of `text` ends.
pub(super) fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        match text.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

impl Params {
    /// Whether this is `;a=b;c`.
    pub(super) fn check(mut text: &[u8]) -> Result<(), Fault> {
        while next(&mut text)?.is_some() {}
        Ok(())
    }
    /// Reads `;a=b;c`. An empty parameter is a fault.
    pub fn parse(mut text: &[u8]) -> Result<Params, Fault> {
        let mut params = Params(Vec::with_capacity(text.len()));
        while let Some((name, value)) = next(&mut text)? {
            params.push(name, value);
        }
        Ok(params)
    }
    /// A copy of what was checked. Only where there are spaces in it, it has to be put together anew without those around the marks.
    pub(super) fn of_checked(text: &[u8]) -> Params {
        if text.iter().any(u8::is_ascii_whitespace) { Params::parse(text).unwrap_or_default() } else { Params(text.to_vec()) }
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
        parts(&self.0)
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
        let quoted = value.first() == Some(&b'"') && closing_quote(&value) == Some(value.len() - 1);
        if !quoted {
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
    let (_, value) = parts(text).find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes()))?;
    Some(match value {
        Some([b'"', inner @ .., b'"']) => inner,
        Some(value) => value,
        None => &[],
    })
}
