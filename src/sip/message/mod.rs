//! SIP messages as they come: the grammar of RFC 3261 s.25, read as RFC 4475 teaches, with what real devices do besides.
//!
//! A [`Message`] is a start line, headers in their order, and a body. Header values are bytes: what we do not know is kept and goes out
//! again as it came. [`Message::parse`] is strict about what this layer must rely on (Via, From, To, Call-ID, CSeq, lengths) and lenient
//! about the rest; a refused message comes back inside the error as far as it could be read, so that the endpoint can still answer 400.
//! Typed views ([`Via`], [`NameAddr`], [`CSeq`], [`Uri`]) are made on demand from the bytes; inside, the same grammar is read without
//! memory of its own (`ViaParts`, `AddrParts`, `UriParts`), which is how a message is checked.
//!
//! Line ends: a lone LF ends a line as CRLF does, in datagrams and on streams alike, so that framing and reading never differ; a CR
//! elsewhere is a space. More than [`crate::limits::SIP_HEADERS_MAX`] lines or [`crate::limits::SIP_HEAD_BYTES_MAX`] bytes before the
//! body are answered 513.

mod address;
mod compare;
mod header;
mod params;
mod parse;
mod tel;
mod uri;
mod via;

pub use address::NameAddr;
pub use header::{Header, Headers, Name, canonical_name};
pub use params::Params;
pub use parse::{ParseError, stream_message_len};
pub use tel::Subscriber;
pub use uri::{Host, Scheme, Uri, unescape};
pub use via::Via;

use core::fmt;

/// What a peer wrote, as text that may stand in a log line or on a terminal: characters that would end the line, command the terminal
/// or turn the reading direction (Unicode UAX #9, explicit formatting) become `?`, as what is no UTF-8 becomes U+FFFD.
pub fn readable(bytes: &[u8]) -> String {
    let harmful = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    String::from_utf8_lossy(bytes).chars().map(|c| if harmful(c) { '?' } else { c }).collect()
}

/// A request method. Unknown ones keep their name (methods are case-sensitive).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
#[allow(missing_docs)]
pub enum Method {
    Invite,
    Ack,
    Bye,
    Cancel,
    Options,
    Register,
    Prack,
    Update,
    Info,
    Refer,
    Subscribe,
    Notify,
    Message,
    Publish,
    /// A method outside RFC 3261, 3262, 3311, 3428, 3515, 3903, 6086 and 6665.
    Other(String),
}

const METHODS: [(Method, &str); 14] = [
    (Method::Invite, "INVITE"),
    (Method::Ack, "ACK"),
    (Method::Bye, "BYE"),
    (Method::Cancel, "CANCEL"),
    (Method::Options, "OPTIONS"),
    (Method::Register, "REGISTER"),
    (Method::Prack, "PRACK"),
    (Method::Update, "UPDATE"),
    (Method::Info, "INFO"),
    (Method::Refer, "REFER"),
    (Method::Subscribe, "SUBSCRIBE"),
    (Method::Notify, "NOTIFY"),
    (Method::Message, "MESSAGE"),
    (Method::Publish, "PUBLISH"),
];

impl Method {
    /// Reads a method token; `None` if it is not a token.
    pub fn parse(token: &[u8]) -> Option<Method> {
        if token.is_empty() || !token.iter().all(|b| is_token(*b)) {
            return None;
        }
        let text = core::str::from_utf8(token).ok()?;
        Some(METHODS.iter().find(|(_, name)| *name == text).map_or_else(|| Method::Other(text.into()), |(m, _)| m.clone()))
    }
    /// The method as it stands in a message.
    pub fn as_str(&self) -> &str {
        match self {
            Method::Other(name) => name,
            known => METHODS.iter().find(|(m, _)| m == known).map_or("", |(_, name)| name),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The first line of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StartLine {
    /// A request.
    Request {
        /// What is asked.
        method: Method,
        /// The Request-URI as it came; [`Message::request_uri`] reads it.
        uri: Vec<u8>,
    },
    /// A response.
    Response {
        /// 100 to 699.
        status: u16,
        /// The reason phrase, any bytes.
        reason: Vec<u8>,
    },
}

/// One SIP message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Request line or status line.
    pub start: StartLine,
    /// The headers in their order, Content-Length included if it came.
    pub headers: Headers,
    /// The body, cut to Content-Length.
    pub body: Vec<u8>,
}

/// The CSeq header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CSeq {
    /// Sequence number, below 2^31.
    pub number: u32,
    /// Method of the request.
    pub method: Method,
}

impl CSeq {
    /// Reads the value of the header.
    pub fn parse(value: &[u8]) -> Result<CSeq, Fault> {
        let (number, method) = cseq_parts(value)?;
        Ok(CSeq { number, method: Method::parse(method).ok_or(Fault::bad("Malformed CSeq"))? })
    }
}

/// Number and method of a CSeq where they stand.
fn cseq_parts(value: &[u8]) -> Result<(u32, &[u8]), Fault> {
    const BAD: Fault = Fault::bad("Malformed CSeq");
    let space = value.iter().position(u8::is_ascii_whitespace).ok_or(BAD)?;
    let (number, method) = (&value[..space], value[space..].trim_ascii());
    if method.is_empty() || !method.iter().all(|b| is_token(*b)) || !number.iter().all(u8::is_ascii_digit) {
        return Err(BAD);
    }
    let number = decimal(number).filter(|n| *n < 1 << 31).ok_or(Fault::bad("CSeq out of range"))?;
    Ok((number as u32, method))
}

/// Whether this may be a Call-ID: one word without control characters.
fn is_call_id(id: &[u8]) -> bool {
    !id.is_empty() && !id.iter().any(|b| *b <= b' ' || *b == 0x7f)
}

/// What is wrong with a message, as the status that RFC 3261 gives for it and the words of the reason phrase.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Status to answer a request with. A response with a fault is dropped.
    pub status: u16,
    /// What was wrong, fit for a reason phrase.
    pub words: &'static str,
}

impl Fault {
    pub(crate) const fn bad(words: &'static str) -> Fault {
        Fault { status: 400, words }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.words)
    }
}
impl std::error::Error for Fault {}

const FROM: u8 = header::place_of("From");
const TO: u8 = header::place_of("To");
const CALL_ID: u8 = header::place_of("Call-ID");
const CSEQ: u8 = header::place_of("CSeq");
const MAX_FORWARDS: u8 = header::place_of("Max-Forwards");
const CONTENT_TYPE: u8 = header::place_of("Content-Type");
const CONTENT_LENGTH: u8 = header::place_of("Content-Length");

impl Message {
    /// A request with no headers yet.
    pub fn request(method: Method, uri: impl Into<Vec<u8>>) -> Message {
        Message { start: StartLine::Request { method, uri: uri.into() }, headers: Headers::default(), body: Vec::new() }
    }

    /// A response to `request` with what RFC 3261 s.8.2.6 copies: Via (all), From, To, Call-ID, CSeq.
    pub fn response_to(request: &Message, status: u16, reason: &str) -> Message {
        let mut headers = Headers::default();
        for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
            for h in request.headers.iter().filter(|h| h.is(name)) {
                headers.push(name, h.value);
            }
        }
        Message { start: StartLine::Response { status, reason: reason.as_bytes().to_vec() }, headers, body: Vec::new() }
    }

    /// Adds a header at the end.
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Message {
        self.headers.push(name, value);
        self
    }

    /// Gives the message a body of this type.
    pub fn with_body(mut self, content_type: &str, body: Vec<u8>) -> Message {
        self.headers.push("Content-Type", content_type);
        self.body = body;
        self
    }

    /// The bytes to send. Content-Length is always ours to say.
    pub fn emit(&self) -> Vec<u8> {
        let head: usize = self.headers.iter().map(|h| h.name.len() + h.value.len() + 4).sum();
        let mut out = Vec::with_capacity(128 + head + self.body.len());
        match &self.start {
            StartLine::Request { method, uri } => {
                out.extend_from_slice(method.as_str().as_bytes());
                out.push(b' ');
                out.extend_from_slice(uri);
                out.extend_from_slice(b" SIP/2.0");
            }
            StartLine::Response { status, reason } => {
                out.extend_from_slice(b"SIP/2.0 ");
                push_decimal(&mut out, usize::from(*status));
                out.push(b' ');
                out.extend_from_slice(reason);
            }
        }
        header::one_line(&mut out);
        out.extend_from_slice(b"\r\n");
        let mut length_said = false;
        for h in self.headers.iter() {
            let is_length = h.place() == Some(CONTENT_LENGTH);
            if is_length && length_said {
                continue;
            }
            out.extend_from_slice(h.name.as_bytes());
            out.extend_from_slice(b": ");
            if is_length {
                length_said = true;
                push_decimal(&mut out, self.body.len());
            } else {
                out.extend_from_slice(h.value);
            }
            out.extend_from_slice(b"\r\n");
        }
        if !length_said {
            out.extend_from_slice(b"Content-Length: ");
            push_decimal(&mut out, self.body.len());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&self.body);
        out
    }

    /// The method of a request.
    pub fn method(&self) -> Option<&Method> {
        match &self.start {
            StartLine::Request { method, .. } => Some(method),
            StartLine::Response { .. } => None,
        }
    }
    /// The status of a response.
    pub fn status(&self) -> Option<u16> {
        match &self.start {
            StartLine::Request { .. } => None,
            StartLine::Response { status, .. } => Some(*status),
        }
    }
    /// The reason phrase of a response, readable.
    pub fn reason_phrase(&self) -> String {
        match &self.start {
            StartLine::Request { .. } => String::new(),
            StartLine::Response { reason, .. } => readable(reason),
        }
    }
    /// The Request-URI, read.
    pub fn request_uri(&self) -> Result<Uri, Fault> {
        match &self.start {
            StartLine::Request { uri, .. } => Uri::parse(uri),
            StartLine::Response { .. } => Err(Fault::bad("No Request-URI")),
        }
    }
    /// The topmost Via.
    pub fn top_via(&self) -> Result<Via, Fault> {
        if let Some((place, parts)) = self.headers.read().via {
            return Ok(parts.own(self.headers.at(place)));
        }
        Via::parse(self.headers.values("Via").next().ok_or(Fault::bad("Missing Via"))?)
    }
    /// The From header.
    pub fn from(&self) -> Result<NameAddr, Fault> {
        let value = self.headers.get_usual(FROM).ok_or(Fault::bad("Missing From"))?;
        self.headers.read().from.map_or_else(|| NameAddr::parse(value), |parts| Ok(parts.own(value)))
    }
    /// The To header.
    pub fn to(&self) -> Result<NameAddr, Fault> {
        let value = self.headers.get_usual(TO).ok_or(Fault::bad("Missing To"))?;
        self.headers.read().to.map_or_else(|| NameAddr::parse(value), |parts| Ok(parts.own(value)))
    }
    /// The tag of From, without making the rest; `None` if there is none, or no From that can be read.
    pub fn from_tag(&self) -> Option<&[u8]> {
        let value = self.headers.get_usual(FROM)?;
        self.headers.read().from.or_else(|| address::AddrParts::split(value).ok())?.tag(value)
    }
    /// The tag of To, likewise.
    pub fn to_tag(&self) -> Option<&[u8]> {
        let value = self.headers.get_usual(TO)?;
        self.headers.read().to.or_else(|| address::AddrParts::split(value).ok())?.tag(value)
    }
    /// Whether To can be read and has no tag yet.
    pub fn lacks_to_tag(&self) -> bool {
        let Some(value) = self.headers.get_usual(TO) else { return false };
        let parts = self.headers.read().to.or_else(|| address::AddrParts::split(value).ok());
        parts.is_some_and(|parts| parts.tag(value).is_none())
    }
    /// The Call-ID, compared byte by byte.
    pub fn call_id(&self) -> Result<&[u8], Fault> {
        let id = self.headers.get_usual(CALL_ID).ok_or(Fault::bad("Missing Call-ID"))?;
        if is_call_id(id) { Ok(id) } else { Err(Fault::bad("Malformed Call-ID")) }
    }
    /// The CSeq header.
    pub fn cseq(&self) -> Result<CSeq, Fault> {
        CSeq::parse(self.headers.get_usual(CSEQ).ok_or(Fault::bad("Missing CSeq"))?)
    }
    /// The first Contact that is an address (not `*`).
    pub fn contact(&self) -> Option<NameAddr> {
        if let Some((place, parts)) = self.headers.read().contact {
            return Some(parts.own(self.headers.at(place)));
        }
        self.headers.values("Contact").find_map(|v| NameAddr::parse(v).ok())
    }
    /// Max-Forwards, if it stands there and is a number.
    pub fn max_forwards(&self) -> Option<u64> {
        decimal(self.headers.get_usual(MAX_FORWARDS)?)
    }
    /// The media type of the body in lower case without parameters (`application/sdp`), if there is one.
    pub fn content_type(&self) -> Option<String> {
        let value = self.headers.get_usual(CONTENT_TYPE)?;
        let end = value.iter().position(|b| *b == b';').unwrap_or(value.len());
        let text: String = String::from_utf8_lossy(&value[..end]).chars().filter(|c| !c.is_whitespace()).collect();
        Some(text.to_ascii_lowercase())
    }
    /// The session description of this message: the body itself, or the first such part of a multipart body.
    pub fn sdp(&self) -> Option<&[u8]> {
        const SDP: &[u8] = b"application/sdp";
        if self.body.is_empty() {
            return None;
        }
        let value = self.headers.get_usual(CONTENT_TYPE)?;
        if parse::media_type_is(value, SDP) {
            return Some(&self.body);
        }
        if !self.content_type()?.starts_with("multipart/") {
            return None;
        }
        let at = value.iter().position(|b| *b == b';')?;
        parse::multipart_part(&self.body, params::find(&value[at..], "boundary")?, SDP)
    }
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let (mut b, marks) = (0u8, b"-.!%*_+`'~");
    while b < 0x80 {
        table[b as usize] = b.is_ascii_alphanumeric();
        b += 1;
    }
    let mut i = 0;
    while i < marks.len() {
        table[marks[i] as usize] = true;
        i += 1;
    }
    table
};

/// A character of a token (RFC 3261 s.25.1).
pub(crate) fn is_token(b: u8) -> bool {
    TOKEN[usize::from(b)]
}

/// A decimal number that fits; anything else is `None`.
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    let text = text.trim_ascii();
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    text.iter().try_fold(0u64, |n, b| n.checked_mul(10)?.checked_add(u64::from(b - b'0')))
}

fn push_decimal(out: &mut Vec<u8>, n: usize) {
    if n >= 10 {
        push_decimal(out, n / 10);
    }
    out.push(b'0' + (n % 10) as u8);
}

/// Splits at `separator` where it stands outside quoted strings and angle brackets.
pub(crate) fn split_outside_quotes(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    core::iter::from_fn(move || {
        let text = rest?;
        let end = part_end(text, separator);
        rest = text.get(end + 1..);
        Some(text[..end].trim_ascii())
    })
}

fn part_end(text: &[u8], separator: u8) -> usize {
    let (mut at, mut angle) = (0, false);
    while let Some(skipped) = text.get(at..).and_then(|t| t.iter().position(|b| *b == separator || matches!(b, b'"' | b'<' | b'>'))) {
        at += skipped;
        match text[at] {
            b'"' => match params::closing_quote(&text[at..]) {
                Some(length) => at += length,
                None => return text.len(),
            },
            b'<' => angle = true,
            b'>' => angle = false,
            _ if !angle => return at,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

#[cfg(test)]
pub(crate) mod tests;
