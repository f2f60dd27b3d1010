//! Header lines in their order. Names compare without regard to case and with their compact forms (RFC 3261 s.7.3.3 and s.20).

use super::split_outside_quotes;

/// One header line, unfolded; the value is bytes, trimmed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// The name as it came.
    pub name: String,
    /// What stands behind the colon.
    pub value: Vec<u8>,
}

impl Header {
    /// Whether this is the header `name` (long form), in whatever spelling.
    pub fn is(&self, name: &str) -> bool {
        canonical_name(&self.name).eq_ignore_ascii_case(name)
    }
}

/// The long form of a compact header name; other names unchanged.
pub fn canonical_name(name: &str) -> &str {
    let [letter] = name.as_bytes() else { return name };
    match letter.to_ascii_lowercase() {
        b'a' => "Accept-Contact",
        b'b' => "Referred-By",
        b'c' => "Content-Type",
        b'd' => "Request-Disposition",
        b'e' => "Content-Encoding",
        b'f' => "From",
        b'i' => "Call-ID",
        b'j' => "Reject-Contact",
        b'k' => "Supported",
        b'l' => "Content-Length",
        b'm' => "Contact",
        b'n' => "Identity-Info",
        b'o' => "Event",
        b'r' => "Refer-To",
        b's' => "Subject",
        b't' => "To",
        b'u' => "Allow-Events",
        b'v' => "Via",
        b'x' => "Session-Expires",
        b'y' => "Identity",
        _ => name,
    }
}

/// The headers of a message, in order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Headers(Vec<Header>);

impl Headers {
    /// Adds a header at the end. CR and LF in the value become spaces, so that no value can make a header of its own.
    pub fn push(&mut self, name: &str, mut value: Vec<u8>) {
        value.iter_mut().filter(|b| matches!(**b, b'\r' | b'\n')).for_each(|b| *b = b' ');
        self.0.push(Header { name: name.into(), value });
    }
    /// Replaces the first header of this name, or adds it.
    pub fn set(&mut self, name: &str, value: Vec<u8>) {
        match self.0.iter_mut().find(|h| h.is(name)) {
            Some(h) => h.value = value,
            None => self.push(name, value),
        }
    }
    /// Takes away all headers of this name.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|h| !h.is(name));
    }
    /// All headers in order.
    pub fn iter(&self) -> impl Iterator<Item = &Header> {
        self.0.iter()
    }
    /// The value of the first header of this name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|h| h.is(name)).map(|h| h.value.as_slice())
    }
    /// How many header lines have this name.
    pub fn count(&self, name: &str) -> usize {
        self.0.iter().filter(|h| h.is(name)).count()
    }
    /// All values of this name: several lines and several values in a line are the same thing (RFC 3261 s.7.3.1).
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(move |h| h.is(name)).flat_map(|h| split_outside_quotes(&h.value, b',')).filter(|v| !v.is_empty())
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
