//! Header lines in their order. Names compare without regard to case and with their compact forms (RFC 3261 s.7.3.3 and s.20).
//!
//! A message has a dozen headers and is asked for them some thirty times, so a [`Name`] knows which of the usual headers it is: one
//! number to compare, and no memory of its own for the usual spellings.

use super::{is_token, split_outside_quotes};
use core::fmt;
use core::ops::Deref;
use std::borrow::Cow;

/// The headers that are known by number, long form and compact form. Others are as good, only slower.
const USUAL: [(&str, &str); 64] = [
    ("Accept", ""),
    ("Accept-Contact", "a"),
    ("Accept-Encoding", ""),
    ("Accept-Language", ""),
    ("Alert-Info", ""),
    ("Allow", ""),
    ("Allow-Events", "u"),
    ("Authentication-Info", ""),
    ("Authorization", ""),
    ("Call-ID", "i"),
    ("Call-Info", ""),
    ("Contact", "m"),
    ("Content-Disposition", ""),
    ("Content-Encoding", "e"),
    ("Content-Language", ""),
    ("Content-Length", "l"),
    ("Content-Type", "c"),
    ("CSeq", ""),
    ("Date", ""),
    ("Diversion", ""),
    ("Error-Info", ""),
    ("Event", "o"),
    ("Expires", ""),
    ("From", "f"),
    ("History-Info", ""),
    ("Identity", "y"),
    ("Identity-Info", "n"),
    ("In-Reply-To", ""),
    ("Max-Forwards", ""),
    ("MIME-Version", ""),
    ("Min-Expires", ""),
    ("Min-SE", ""),
    ("Organization", ""),
    ("P-Asserted-Identity", ""),
    ("P-Preferred-Identity", ""),
    ("Path", ""),
    ("Privacy", ""),
    ("Proxy-Authenticate", ""),
    ("Proxy-Authorization", ""),
    ("Proxy-Require", ""),
    ("RAck", ""),
    ("Reason", ""),
    ("Record-Route", ""),
    ("Refer-To", "r"),
    ("Referred-By", "b"),
    ("Reject-Contact", "j"),
    ("Remote-Party-ID", ""),
    ("Replaces", ""),
    ("Request-Disposition", "d"),
    ("Require", ""),
    ("Retry-After", ""),
    ("Route", ""),
    ("RSeq", ""),
    ("Server", ""),
    ("Service-Route", ""),
    ("Session-Expires", "x"),
    ("Subject", "s"),
    ("Supported", "k"),
    ("To", "t"),
    ("Unsupported", ""),
    ("User-Agent", ""),
    ("Via", "v"),
    ("Warning", ""),
    ("WWW-Authenticate", ""),
];

/// For each letter, the places of the usual headers that begin with it: `first..first + many`. The table is in alphabetical order.
const BY_LETTER: [(u8, u8); 26] = {
    let mut found = [(0u8, 0u8); 26];
    let mut i = 0;
    while i < USUAL.len() {
        let letter = (USUAL[i].0.as_bytes()[0].to_ascii_lowercase() - b'a') as usize;
        if found[letter].1 == 0 {
            found[letter].0 = i as u8;
        }
        found[letter].1 += 1;
        assert!(found[letter].0 + found[letter].1 == i as u8 + 1, "headers of one letter stand together");
        i += 1;
    }
    found
};

/// For each letter, the place of the header whose compact form it is.
const COMPACT: [Option<u8>; 26] = {
    let mut found = [None; 26];
    let mut i = 0;
    while i < USUAL.len() {
        if let [letter] = USUAL[i].1.as_bytes() {
            found[(*letter - b'a') as usize] = Some(i as u8);
        }
        i += 1;
    }
    found
};

/// Which usual header a name is, in whatever spelling.
pub(super) fn place(name: &[u8]) -> Option<u8> {
    let first = name.first()?.to_ascii_lowercase();
    if !first.is_ascii_lowercase() {
        return None;
    }
    let letter = usize::from(first - b'a');
    if name.len() == 1 {
        return COMPACT[letter];
    }
    let (from, many) = BY_LETTER[letter];
    (from..from + many).find(|i| {
        let long = USUAL[usize::from(*i)].0.as_bytes();
        long.len() == name.len() && (long == name || long.eq_ignore_ascii_case(name))
    })
}

/// The place of a header of the table, for matching on it; fails to compile for another.
pub(super) const fn place_of(long: &str) -> u8 {
    let mut i = 0;
    while i < USUAL.len() {
        let (a, b) = (USUAL[i].0.as_bytes(), long.as_bytes());
        let mut same = a.len() == b.len();
        let mut k = 0;
        while same && k < a.len() {
            same = a[k] == b[k];
            k += 1;
        }
        if same {
            return i as u8;
        }
        i += 1;
    }
    panic!("no usual header")
}

/// The long form of a compact header name; other names unchanged.
pub fn canonical_name(name: &str) -> &str {
    match name.len() {
        1 => place(name.as_bytes()).map_or(name, |i| USUAL[usize::from(i)].0),
        _ => name,
    }
}

/// A header's name as it came.
#[derive(Clone)]
pub struct Name {
    place: Option<u8>,
    spelled: Cow<'static, str>,
}

impl Name {
    /// A name as it stands in a message. `None` if it is no token.
    pub(super) fn parse(bytes: &[u8]) -> Option<Name> {
        let place = place(bytes);
        if let Some(i) = place {
            let (long, compact) = USUAL[usize::from(i)];
            if let Some(usual) = [long, compact].into_iter().find(|u| u.as_bytes() == bytes) {
                return Some(Name { place, spelled: Cow::Borrowed(usual) });
            }
        }
        if bytes.is_empty() || !bytes.iter().all(|b| is_token(*b)) {
            return None;
        }
        let text = core::str::from_utf8(bytes).ok()?;
        Some(Name { place, spelled: Cow::Owned(text.to_owned()) })
    }
    /// The name of a header that we write; what is no token is left out of it, so that no name can make a line of its own.
    fn ours(name: &str) -> Name {
        Name::parse(name.as_bytes()).unwrap_or_else(|| {
            let text: String = name.chars().filter(|c| u8::try_from(*c).is_ok_and(is_token)).collect();
            Name { place: place(text.as_bytes()), spelled: Cow::Owned(text) }
        })
    }
    /// The name as it came.
    pub fn as_str(&self) -> &str {
        &self.spelled
    }
    fn is(&self, wanted: Wanted<'_>) -> bool {
        match wanted {
            Wanted::Usual(i) => self.place == Some(i),
            Wanted::Other(name) => self.place.is_none() && self.spelled.eq_ignore_ascii_case(name),
        }
    }
}

impl Deref for Name {
    type Target = str;
    fn deref(&self) -> &str {
        &self.spelled
    }
}
impl PartialEq for Name {
    fn eq(&self, other: &Name) -> bool {
        self.spelled == other.spelled
    }
}
impl Eq for Name {}
impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.spelled.fmt(f)
    }
}
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.spelled)
    }
}

/// A name that is looked for.
#[derive(Clone, Copy)]
enum Wanted<'a> {
    Usual(u8),
    Other(&'a str),
}

impl<'a> From<&'a str> for Wanted<'a> {
    fn from(name: &'a str) -> Wanted<'a> {
        place(name.as_bytes()).map_or(Wanted::Other(name), Wanted::Usual)
    }
}

/// One header line, unfolded; the value is bytes, trimmed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// The name as it came.
    pub name: Name,
    /// What stands behind the colon.
    pub value: Vec<u8>,
}

impl Header {
    /// Whether this is the header `name`, in whatever spelling.
    pub fn is(&self, name: &str) -> bool {
        self.name.is(name.into())
    }
    /// Which usual header this is.
    pub(super) fn place(&self) -> Option<u8> {
        self.name.place
    }
}

/// The headers of a message, in order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Headers(Vec<Header>);

impl Headers {
    pub(super) fn with_capacity(lines: usize) -> Headers {
        Headers(Vec::with_capacity(lines))
    }
    /// Adds a header at the end. CR and LF in the value become spaces, so that no value can make a header of its own.
    pub fn push(&mut self, name: &str, mut value: Vec<u8>) {
        one_line(&mut value);
        self.add(Name::ours(name), value);
    }
    /// Adds a header whose value has no line end in it.
    pub(super) fn add(&mut self, name: Name, value: Vec<u8>) {
        self.0.push(Header { name, value });
    }
    /// More of the last header: the continuation of a folded line.
    pub(super) fn fold(&mut self, more: &[u8]) -> bool {
        let Some(last) = self.0.last_mut() else { return false };
        if !last.value.is_empty() && !more.is_empty() {
            last.value.push(b' ');
        }
        last.value.extend_from_slice(more);
        one_line(&mut last.value);
        true
    }
    /// Replaces the first header of this name, or adds it.
    pub fn set(&mut self, name: &str, mut value: Vec<u8>) {
        let wanted = name.into();
        match self.0.iter_mut().find(|h| h.name.is(wanted)) {
            Some(h) => {
                one_line(&mut value);
                h.value = value;
            }
            None => self.push(name, value),
        }
    }
    /// Takes away all headers of this name.
    pub fn remove(&mut self, name: &str) {
        let wanted = name.into();
        self.0.retain(|h| !h.name.is(wanted));
    }
    /// All headers in order.
    pub fn iter(&self) -> impl Iterator<Item = &Header> {
        self.0.iter()
    }
    /// The value of the first header of this name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let wanted = name.into();
        self.0.iter().find(|h| h.name.is(wanted)).map(|h| h.value.as_slice())
    }
    /// How many header lines have this name.
    pub fn count(&self, name: &str) -> usize {
        let wanted = name.into();
        self.0.iter().filter(|h| h.name.is(wanted)).count()
    }
    /// All values of this name: several lines and several values in a line are the same thing (RFC 3261 s.7.3.1).
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let wanted = name.into();
        let lines = self.0.iter().filter(move |h| h.name.is(wanted));
        lines.flat_map(|h| split_outside_quotes(&h.value, b',')).filter(|v| !v.is_empty())
    }
    /// How many lines.
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Line ends within a text become spaces.
pub(super) fn one_line(text: &mut [u8]) {
    if text.contains(&b'\r') || text.contains(&b'\n') {
        text.iter_mut().filter(|b| matches!(**b, b'\r' | b'\n')).for_each(|b| *b = b' ');
    }
}
