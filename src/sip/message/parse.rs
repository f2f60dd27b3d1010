//! Bytes to [`Message`]. What a refused message is refused for follows RFC 4475; what is let through follows what devices send.

use super::{Fault, Header, Headers, Message, Method, NameAddr, StartLine, decimal, is_token};
use core::fmt;

/// Why bytes are no message that can be worked with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ParseError {
    /// Not SIP at all, or a response that cannot be read: drop it and count it.
    Garbage(&'static str),
    /// A request that can be answered with this fault: the message as far as it was read.
    Refused {
        /// Status and words of the answer.
        fault: Fault,
        /// What could be read.
        message: Box<Message>,
    },
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParseError::Garbage(words) => write!(f, "no SIP message: {words}"),
            ParseError::Refused { fault, .. } => write!(f, "refused: {fault}"),
        }
    }
}
impl std::error::Error for ParseError {}

/// Headers that stand once in a message (RFC 3261 s.20); two of them are two opinions, and we take neither.
const SINGLE: [&str; 6] = ["From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Type"];

impl Message {
    /// Reads one message that fills a datagram. Bytes behind Content-Length are dropped (RFC 3261 s.18.3).
    pub fn parse(bytes: &[u8]) -> Result<Message, ParseError> {
        let mut lines = Lines { rest: bytes };
        let first = loop {
            match lines.next_line() {
                Some([]) => {}
                Some(line) => break line,
                None => return Err(ParseError::Garbage("nothing but line ends")),
            }
        };
        let (start, start_fault) = start_line(first)?;
        let (headers, header_fault) = headers(&mut lines);
        let mut message = Message { start, headers, body: lines.rest.to_vec() };
        let fault = start_fault.or(header_fault).or_else(|| fit_body(&mut message).err()).or_else(|| check(&message).err());
        match fault {
            None => Ok(message),
            Some(fault) if message.method().is_some() => Err(ParseError::Refused { fault, message: Box::new(message) }),
            Some(fault) => Err(ParseError::Garbage(fault.words)),
        }
    }
}

struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Lines<'a> {
    /// The next line without its end; lone LF is taken as an end of line too.
    fn next_line(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let (line, rest) = match self.rest.iter().position(|b| *b == b'\n') {
            Some(at) => (&self.rest[..at], &self.rest[at + 1..]),
            None => (self.rest, &[][..]),
        };
        self.rest = rest;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

fn start_line(line: &[u8]) -> Result<(StartLine, Option<Fault>), ParseError> {
    const NO_REQUEST: ParseError = ParseError::Garbage("the first line is no request and no status line");
    let space = line.iter().position(|b| *b == b' ').ok_or(NO_REQUEST)?;
    let (word, rest) = (&line[..space], &line[space + 1..]);
    if word.len() >= 4 && word[..4].eq_ignore_ascii_case(b"SIP/") {
        if !word.eq_ignore_ascii_case(b"SIP/2.0") {
            return Err(ParseError::Garbage("a response of another SIP version"));
        }
        let end = rest.iter().position(|b| *b == b' ').unwrap_or(rest.len());
        let status = decimal(&rest[..end]).filter(|s| (100..700).contains(s) && end == 3);
        let status = status.ok_or(ParseError::Garbage("the status is not 100 to 699"))? as u16;
        return Ok((StartLine::Response { status, reason: rest.get(end + 1..).unwrap_or_default().to_vec() }, None));
    }
    let method = Method::parse(word).ok_or(NO_REQUEST)?;
    // The version is the last word. RFC 4475 s.3.1.2.11 to 13: more than one space anywhere is answered 400, so the URI keeps them.
    let trimmed = rest.trim_ascii_end();
    let at = trimmed.iter().rposition(|b| *b == b' ').ok_or(NO_REQUEST)?;
    let (uri, version) = (&trimmed[..at], &trimmed[at + 1..]);
    if version.len() < 4 || !version[..4].eq_ignore_ascii_case(b"SIP/") {
        return Err(NO_REQUEST);
    }
    let fault = if !version.eq_ignore_ascii_case(b"SIP/2.0") {
        Some(Fault { status: 505, words: "Version Not Supported" })
    } else if trimmed.len() != rest.len() || uri.iter().any(u8::is_ascii_whitespace) {
        Some(Fault::bad("Malformed Request-Line"))
    } else {
        None
    };
    Ok((StartLine::Request { method, uri: uri.trim_ascii().to_vec() }, fault))
}

fn headers(lines: &mut Lines<'_>) -> (Headers, Option<Fault>) {
    let mut fault = None;
    let mut read: Vec<Header> = Vec::new();
    while let Some(line) = lines.next_line() {
        if line.is_empty() {
            break;
        }
        if matches!(line[0], b' ' | b'\t') {
            // Folding: one space in place of line end and indentation (RFC 3261 s.7.3.1).
            match read.last_mut() {
                Some(last) => {
                    let more = line.trim_ascii();
                    if !last.value.is_empty() && !more.is_empty() {
                        last.value.push(b' ');
                    }
                    last.value.extend_from_slice(more);
                }
                None => fault = Some(Fault::bad("Malformed header")),
            }
            continue;
        }
        let colon = line.iter().position(|b| *b == b':');
        let name = colon.map(|at| line[..at].trim_ascii_end()).filter(|n| !n.is_empty() && n.iter().all(|b| is_token(*b)));
        match (colon, name.and_then(|n| core::str::from_utf8(n).ok())) {
            (Some(at), Some(name)) => read.push(Header { name: name.into(), value: line[at + 1..].trim_ascii().to_vec() }),
            _ => fault = fault.or(Some(Fault::bad("Malformed header"))),
        }
    }
    let mut headers = Headers::default();
    read.into_iter().for_each(|h| headers.push(&h.name, h.value));
    (headers, fault)
}

/// Content-Length as far as it is said and agreed upon.
fn content_length(headers: &Headers) -> Result<Option<usize>, Fault> {
    let mut said = None;
    for h in headers.iter().filter(|h| h.is("Content-Length")) {
        let length = decimal(&h.value).and_then(|n| usize::try_from(n).ok()).ok_or(Fault::bad("Malformed Content-Length"))?;
        if said.is_some_and(|s| s != length) {
            return Err(Fault::bad("Several Content-Lengths"));
        }
        said = Some(length);
    }
    Ok(said)
}

fn fit_body(message: &mut Message) -> Result<(), Fault> {
    match content_length(&message.headers)? {
        None => Ok(()),
        Some(length) if length <= message.body.len() => {
            message.body.truncate(length);
            Ok(())
        }
        Some(_) => Err(Fault::bad("Content-Length larger than the body")),
    }
}

/// What this layer relies on in every message.
fn check(message: &Message) -> Result<(), Fault> {
    if SINGLE.iter().any(|name| message.headers.count(name) > 1) {
        return Err(Fault::bad("A header stands there more than once"));
    }
    message.call_id()?;
    message.from()?;
    message.to()?;
    message.top_via()?;
    let cseq = message.cseq()?;
    if let Some(method) = message.method() {
        if *method != cseq.method {
            return Err(Fault::bad("CSeq names another method"));
        }
        if message.request_uri()?.has_headers {
            return Err(Fault::bad("Headers in the Request-URI"));
        }
        for contact in message.headers.values("Contact").filter(|v| *v != b"*") {
            NameAddr::parse(contact)?;
        }
    }
    Ok(())
}

/// How many bytes of a stream (TCP, TLS) the message at its start takes, once its headers are complete. Content-Length rules there
/// (RFC 3261 s.18.3); without it the body is empty. `Ok(None)`: not complete yet.
pub fn stream_message_len(buffer: &[u8]) -> Result<Option<usize>, Fault> {
    let mut lines = Lines { rest: buffer };
    while lines.rest.starts_with(b"\r\n") || lines.rest.starts_with(b"\n") {
        lines.next_line();
    }
    let head = lines.rest;
    let Some(end) = head.windows(4).position(|w| w == b"\r\n\r\n") else { return Ok(None) };
    let mut lines = Lines { rest: &head[..end + 4] };
    lines.next_line();
    let length = content_length(&headers(&mut lines).0)?.unwrap_or(0);
    let total = (buffer.len() - head.len()).checked_add(end + 4).and_then(|n| n.checked_add(length));
    total.map(Some).ok_or(Fault::bad("Malformed Content-Length"))
}

/// The content of the first part of `body` whose type is `wanted` (RFC 2046 s.5.1, one level).
pub(super) fn multipart_part<'a>(body: &'a [u8], boundary: &[u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let mark = [b"--", boundary].concat();
    let mut rest = &body[find(body, &mark)? + mark.len()..];
    while !rest.starts_with(b"--") {
        let mut lines = Lines { rest };
        lines.next_line();
        let (head, _) = headers(&mut lines);
        let end = find(lines.rest, &mark)?;
        let content = &lines.rest[..end];
        let kind = head.get("Content-Type").unwrap_or_default();
        if kind.len() >= wanted.len() && kind[..wanted.len()].eq_ignore_ascii_case(wanted) {
            // The line end before the boundary belongs to the boundary.
            let content = content.strip_suffix(b"\n").unwrap_or(content);
            return Some(content.strip_suffix(b"\r").unwrap_or(content));
        }
        rest = &lines.rest[end + mark.len()..];
    }
    None
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}
