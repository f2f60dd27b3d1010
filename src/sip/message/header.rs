//! Header lines in their order. Names compare without regard to case and with their compact forms (RFC 3261 s.7.3.3 and s.20).
//!
//! A message has a dozen headers and is asked for them some thirty times, so a [`Name`] knows which of the usual headers it is: one
//! number to compare, and no memory of its own for the usual spellings.

use super::address::AddrParts;
use super::uri::Span;
use super::via::ViaParts;
use super::{FROM, TO, is_token, split_outside_quotes};
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

const VIA: u8 = place_of("Via");
const CONTACT: u8 = place_of("Contact");

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
fn place(name: &[u8]) -> Option<u8> {
    usual(name).map(|(place, _)| place)
}

/// Likewise, and the table's own text for it if that is how it is spelled.
fn usual(name: &[u8]) -> Option<(u8, Option<&'static str>)> {
    let first = name.first()?;
    let letter = usize::from(first.to_ascii_lowercase().checked_sub(b'a').filter(|l| *l < 26)?);
    if name.len() == 1 {
        let place = COMPACT[letter]?;
        return Some((place, first.is_ascii_lowercase().then_some(USUAL[usize::from(place)].1)));
    }
    let (from, many) = BY_LETTER[letter];
    let length_fits = (from..from + many).filter(|i| USUAL[usize::from(*i)].0.len() == name.len());
    length_fits.map(|i| (i, USUAL[usize::from(i)].0)).find_map(|(i, long)| {
        if long.as_bytes() == name { Some((i, Some(long))) } else { long.as_bytes().eq_ignore_ascii_case(name).then_some((i, None)) }
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
        let usual = usual(bytes);
        let place = usual.map(|(place, _)| place);
        if let Some((_, Some(text))) = usual {
            return Some(Name { place, spelled: Cow::Borrowed(text) });
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
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header<'a> {
    /// The name as it came.
    pub name: &'a Name,
    /// What stands behind the colon.
    pub value: &'a [u8],
}

impl Header<'_> {
    /// Whether this is the header `name`, in whatever spelling.
    pub fn is(&self, name: &str) -> bool {
        self.name.is(name.into())
    }
    /// Which usual header this is.
    pub(super) fn place(&self) -> Option<u8> {
        self.name.place
    }
}

/// Where a header's value stands in [`Headers::text`].
#[derive(Clone, Debug)]
struct Line {
    name: Name,
    at: u32,
    end: u32,
}

/// The headers of a message, in order. The values share one text, so that a message costs two pieces of memory and not two dozen; what is
/// replaced by something longer stays in it unused until the message is gone.
#[derive(Clone, Default)]
pub struct Headers {
    lines: Vec<Line>,
    text: Vec<u8>,
    read: Read,
}

/// Where the pieces of the addresses stand that every message is asked for, as the check of the message found them; so that nothing is read
/// twice. Each belongs to the first value of its header (where several may stand in a line, with the place of that value in the text), and is
/// forgotten when that header is replaced or taken away; the text of the others stays where it is.
#[derive(Clone, Copy, Default)]
pub(super) struct Read {
    pub(super) via: Option<(Span, ViaParts)>,
    pub(super) from: Option<AddrParts>,
    pub(super) to: Option<AddrParts>,
    pub(super) contact: Option<(Span, AddrParts)>,
}

impl Read {
    fn forget(&mut self, wanted: Wanted<'_>) {
        match wanted {
            Wanted::Usual(VIA) => self.via = None,
            Wanted::Usual(FROM) => self.from = None,
            Wanted::Usual(TO) => self.to = None,
            Wanted::Usual(CONTACT) => self.contact = None,
            Wanted::Usual(_) | Wanted::Other(_) => {}
        }
    }
}

impl Headers {
    pub(super) fn with_capacity(lines: usize, bytes: usize) -> Headers {
        Headers { lines: Vec::with_capacity(lines), text: Vec::with_capacity(bytes), read: Read::default() }
    }
    /// Adds a header at the end. CR and LF in the value become spaces, so that no value can make a header of its own.
    pub fn push(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.add(Name::ours(name), value.as_ref(), true);
    }
    /// Adds a header. `line_ends`: there may be some in the value.
    pub(super) fn add(&mut self, name: Name, value: &[u8], line_ends: bool) {
        let (at, end) = self.keep(value, line_ends);
        self.lines.push(Line { name, at, end });
    }
    /// Puts a value at the end of the text, and says where it is.
    fn keep(&mut self, value: &[u8], line_ends: bool) -> (u32, u32) {
        let at = self.text.len();
        self.text.extend_from_slice(value);
        if line_ends {
            one_line(&mut self.text[at..]);
        }
        (place_in_text(at), place_in_text(self.text.len()))
    }
    fn value(&self, line: &Line) -> &[u8] {
        &self.text[line.at as usize..line.end as usize]
    }
    /// More of the last header: the continuation of a folded line. It is the last that was added, so it ends the text.
    pub(super) fn fold(&mut self, more: &[u8]) -> bool {
        let Some(last) = self.lines.last_mut() else { return false };
        debug_assert_eq!(last.end as usize, self.text.len());
        if last.at != last.end && !more.is_empty() {
            self.text.push(b' ');
        }
        let at = self.text.len();
        self.text.extend_from_slice(more);
        one_line(&mut self.text[at..]);
        last.end = place_in_text(self.text.len());
        true
    }
    /// Replaces the first header of this name, or adds it.
    pub fn set(&mut self, name: &str, value: impl AsRef<[u8]>) {
        let (wanted, value) = (name.into(), value.as_ref());
        let Some(i) = self.lines.iter().position(|h| h.name.is(wanted)) else { return self.push(name, value) };
        self.read.forget(wanted);
        let line = &mut self.lines[i];
        let at = line.at as usize;
        if value.len() <= line.end as usize - at {
            let place = &mut self.text[at..at + value.len()];
            place.copy_from_slice(value);
            one_line(place);
            line.end = place_in_text(at + value.len());
        } else {
            let (at, end) = self.keep(value, true);
            (self.lines[i].at, self.lines[i].end) = (at, end);
        }
    }
    /// Takes away all headers of this name.
    pub fn remove(&mut self, name: &str) {
        let wanted = name.into();
        self.lines.retain(|h| !h.name.is(wanted));
        self.read.forget(wanted);
    }
    /// What was found when the message was checked.
    pub(super) fn read(&self) -> &Read {
        &self.read
    }
    /// Where a part of a value of ours stands.
    pub(super) fn span_of(&self, part: &[u8]) -> Span {
        let at = (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        Span::new(at, at + part.len())
    }
    /// What stands there.
    pub(super) fn at(&self, span: Span) -> &[u8] {
        span.of(&self.text)
    }
    /// Keeps what was found.
    pub(super) fn note(&mut self, read: Read) {
        self.read = read;
    }
    /// All headers in order.
    pub fn iter(&self) -> impl Iterator<Item = Header<'_>> {
        self.lines.iter().map(|line| Header { name: &line.name, value: self.value(line) })
    }
    /// The value of the first header of this name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let wanted = name.into();
        self.lines.iter().find(|h| h.name.is(wanted)).map(|h| self.value(h))
    }
    /// The value of the first usual header of this place.
    pub(super) fn get_usual(&self, place: u8) -> Option<&[u8]> {
        self.lines.iter().find(|h| h.name.place == Some(place)).map(|h| self.value(h))
    }
    /// How many header lines have this name.
    pub fn count(&self, name: &str) -> usize {
        let wanted = name.into();
        self.lines.iter().filter(|h| h.name.is(wanted)).count()
    }
    /// All values of this name: several lines and several values in a line are the same thing (RFC 3261 s.7.3.1).
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let wanted = name.into();
        let lines = self.lines.iter().filter(move |h| h.name.is(wanted));
        lines.flat_map(|h| split_outside_quotes(self.value(h), b',')).filter(|v| !v.is_empty())
    }
    /// How many lines.
    pub fn len(&self) -> usize {
        self.lines.len()
    }
    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

/// Sums of lengths of what fits into memory many times over.
fn place_in_text(at: usize) -> u32 {
    u32::try_from(at).expect("a message is far below 4 GB")
}

impl PartialEq for Headers {
    fn eq(&self, other: &Headers) -> bool {
        self.iter().eq(other.iter())
    }
}
impl Eq for Headers {}
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|h| (h.name.as_str(), String::from_utf8_lossy(h.value)))).finish()
    }
}

/// Line ends within a text become spaces.
pub(super) fn one_line(text: &mut [u8]) {
    if text.contains(&b'\r') || text.contains(&b'\n') {
        text.iter_mut().filter(|b| matches!(**b, b'\r' | b'\n')).for_each(|b| *b = b' ');
    }
}
