//! Bytes to [`Message`]. What a refused message is refused for follows RFC 4475; what is let through follows what devices send.

use super::address::AddrParts;
use super::header::{Headers, Name, Read, one_line, place_of};
use super::uri::UriParts;
use super::via::ViaParts;
use super::{
    CALL_ID, CONTENT_LENGTH, CONTENT_TYPE, CSEQ, FROM, Fault, MAX_FORWARDS, Message, Method, StartLine, TO, cseq_parts, decimal,
    is_call_id, split_outside_quotes,
};
use crate::limits::{SIP_BYTES_MAX, SIP_HEAD_BYTES_MAX, SIP_HEADERS_MAX};
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
        let mut fault = start_fault.or(header_fault);
        let mut body = lines.rest;
        if fault.is_none() {
            fault = fit_body(&headers, &mut body).err();
        }
        let mut message = Message { start, headers, body: body.to_vec() };
        let mut read = Read::default();
        match fault.or_else(|| check(&message, &mut read).err()) {
            None => {
                message.headers.note(read);
                Ok(message)
            }
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
        self.next_line_and_cr().map(|(line, _)| line)
    }

    /// Likewise, and whether a CR stands within the line.
    fn next_line_and_cr(&mut self) -> Option<(&'a [u8], bool)> {
        if self.rest.is_empty() {
            return None;
        }
        let (mut at, mut within) = (0, false);
        let (line, rest) = loop {
            match line_end(&self.rest[at..]).map(|n| at + n) {
                Some(end) if self.rest[end] == b'\n' => break (&self.rest[..end], &self.rest[end + 1..]),
                Some(end) if self.rest[end + 1..].first() == Some(&b'\n') => break (&self.rest[..end], &self.rest[end + 2..]),
                // The CR of a CRLF that is cut there.
                Some(end) if end + 1 == self.rest.len() => break (&self.rest[..end], &[][..]),
                Some(end) => (at, within) = (end + 1, true),
                None => break (self.rest, &[][..]),
            }
        };
        self.rest = rest;
        Some((line, within))
    }
}

/// Where the first CR or LF is, eight bytes at a time: a good part of reading a message is looking for line ends.
fn line_end(text: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let (words, tail) = text.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let (lf, cr) = (word ^ (ONES * b'\n' as u64), word ^ (ONES * b'\r' as u64));
        // The lowest high bit that is set marks the first byte that is zero, that is, the first of them.
        let found = ((lf.wrapping_sub(ONES) & !lf) | (cr.wrapping_sub(ONES) & !cr)) & (ONES << 7);
        if found != 0 {
            return Some(8 * i + found.trailing_zeros() as usize / 8);
        }
    }
    tail.iter().position(|b| matches!(b, b'\r' | b'\n')).map(|at| 8 * words.len() + at)
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
        let mut reason = rest.get(end + 1..).unwrap_or_default().to_vec();
        one_line(&mut reason);
        return Ok((StartLine::Response { status, reason }, None));
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

/// Bytes of header values that are given room at once.
const HEAD_BYTES_USUAL: usize = 1024;
const TOO_LARGE: Fault = Fault { status: 513, words: "Message Too Large" };

fn headers(lines: &mut Lines<'_>) -> (Headers, Option<Fault>) {
    const MALFORMED: Fault = Fault::bad("Malformed header");
    let mut fault = None;
    let mut headers = Headers::with_capacity(16, lines.rest.len().min(HEAD_BYTES_USUAL));
    let all = lines.rest.len();
    let mut last_is_read = false;
    while let Some((line, cr_within)) = lines.next_line_and_cr() {
        if line.is_empty() {
            break;
        }
        if headers.len() >= SIP_HEADERS_MAX || all - lines.rest.len() > SIP_HEAD_BYTES_MAX {
            // What follows is not looked at: neither as headers nor as a body.
            lines.rest = &[];
            return (headers, Some(TOO_LARGE));
        }
        if matches!(line[0], b' ' | b'\t') {
            // Folding: one space in place of line end and indentation (RFC 3261 s.7.3.1).
            if !(last_is_read && headers.fold(line.trim_ascii())) {
                fault = fault.or(Some(MALFORMED));
            }
            continue;
        }
        let read = line.iter().position(|b| *b == b':').and_then(|at| Some((Name::parse(line[..at].trim_ascii_end())?, at)));
        last_is_read = read.is_some();
        match read {
            Some((name, at)) => {
                headers.add(name, line[at + 1..].trim_ascii(), cr_within);
            }
            None => fault = fault.or(Some(MALFORMED)),
        }
    }
    (headers, fault)
}

/// Content-Length as far as it is said and agreed upon.
fn content_length(headers: &Headers) -> Result<Option<usize>, Fault> {
    let mut said = None;
    for h in headers.iter().filter(|h| h.place() == Some(CONTENT_LENGTH)) {
        let length = decimal(h.value).and_then(|n| usize::try_from(n).ok()).ok_or(Fault::bad("Malformed Content-Length"))?;
        if said.is_some_and(|s| s != length) {
            return Err(Fault::bad("Several Content-Lengths"));
        }
        said = Some(length);
    }
    Ok(said)
}

fn fit_body(headers: &Headers, body: &mut &[u8]) -> Result<(), Fault> {
    if let Some(length) = content_length(headers)? {
        *body = body.get(..length).ok_or(Fault::bad("Content-Length larger than the body"))?;
    }
    Ok(())
}

/// What this layer relies on in every message, in one walk over its headers.
fn check(message: &Message, read: &mut Read) -> Result<(), Fault> {
    const VIA: u8 = place_of("Via");
    const CONTACT: u8 = place_of("Contact");
    let is_request = message.method().is_some();
    let mut seen = 0u64;
    for h in message.headers.iter() {
        let Some(place) = h.place() else { continue };
        let again = seen & 1 << place != 0;
        match place {
            // These stand once in a message (RFC 3261 s.20); two of them are two opinions, and we take neither.
            FROM | TO | CALL_ID | CSEQ | MAX_FORWARDS | CONTENT_TYPE if again => {
                return Err(Fault::bad("A header stands there more than once"));
            }
            FROM => read.from = Some(AddrParts::checked(h.value)?),
            TO => read.to = Some(AddrParts::checked(h.value)?),
            CALL_ID if !is_call_id(h.value) => return Err(Fault::bad("Malformed Call-ID")),
            CSEQ => {
                let (_, method) = cseq_parts(h.value)?;
                if message.method().is_some_and(|m| m.as_str().as_bytes() != method) {
                    return Err(Fault::bad("CSeq names another method"));
                }
            }
            // The topmost is ours to read, the others are only given back.
            VIA if !again => match split_outside_quotes(h.value, b',').find(|v| !v.is_empty()) {
                Some(value) => read.via = Some(ViaParts::parse(value)?),
                None => continue,
            },
            CONTACT if is_request => {
                for value in split_outside_quotes(h.value, b',').filter(|v| !v.is_empty() && *v != b"*") {
                    let found = AddrParts::checked(value)?;
                    read.contact.get_or_insert(found);
                }
            }
            _ => {}
        }
        seen |= 1 << place;
    }
    for (place, fault) in [
        (CALL_ID, Fault::bad("Missing Call-ID")),
        (FROM, Fault::bad("Missing From")),
        (TO, Fault::bad("Missing To")),
        (VIA, Fault::bad("Missing Via")),
        (CSEQ, Fault::bad("Missing CSeq")),
    ] {
        if seen & 1 << place == 0 {
            return Err(fault);
        }
    }
    match &message.start {
        StartLine::Request { uri, .. } => {
            let parts = UriParts::split(uri)?;
            parts.check(uri)?;
            if parts.has_headers { Err(Fault::bad("Headers in the Request-URI")) } else { Ok(()) }
        }
        StartLine::Response { .. } => Ok(()),
    }
}

/// How many bytes of a stream (TCP, TLS) the message at its start takes, once its headers are complete; line ends in front of it (the
/// keep-alives of RFC 5626 s.3.5.1) are counted in. Content-Length rules there (RFC 3261 s.18.3); without it the body is empty.
/// `Ok(None)`: not complete yet, and at most [`crate::limits::SIP_HEAD_BYTES_MAX`] long so far. A fault means that nobody can tell where
/// the next message begins: the connection is of no use any more.
pub fn stream_message_len(buffer: &[u8]) -> Result<Option<usize>, Fault> {
    let mut lines = Lines { rest: buffer };
    while lines.rest.starts_with(b"\r\n") || lines.rest.starts_with(b"\n") {
        lines.next_line();
    }
    let head = lines.rest;
    loop {
        let line = lines.next_line();
        let read = head.len() - lines.rest.len();
        if read > SIP_HEAD_BYTES_MAX {
            return Err(TOO_LARGE);
        }
        match line {
            // The end of the line has not come.
            _ if !head[..read].ends_with(b"\n") => return Ok(None),
            Some([]) => break,
            Some(_) => {}
            None => return Ok(None),
        }
    }
    let head = &head[..head.len() - lines.rest.len()];
    let mut lines_of_head = Lines { rest: head };
    lines_of_head.next_line();
    let length = match headers(&mut lines_of_head) {
        (_, Some(TOO_LARGE)) => return Err(TOO_LARGE),
        (headers, _) => content_length(&headers)?.unwrap_or(0),
    };
    if length > SIP_BYTES_MAX {
        return Err(TOO_LARGE);
    }
    Ok(Some(buffer.len() - lines.rest.len() + length))
}

/// Whether a Content-Type is this type (in lower case), parameters aside.
pub(super) fn media_type_is(value: &[u8], wanted: &[u8]) -> bool {
    let end = value.iter().position(|b| *b == b';').unwrap_or(value.len());
    value[..end].iter().filter(|b| !b.is_ascii_whitespace()).map(u8::to_ascii_lowercase).eq(wanted.iter().copied())
}

/// The content of the first part of `body` whose type is `wanted` (RFC 2046 s.5.1, one level).
pub(super) fn multipart_part<'a>(body: &'a [u8], boundary: &[u8], wanted: &[u8]) -> Option<&'a [u8]> {
    // s.5.1.1: at most 70 characters. A longer one would make the search below costly.
    if !(1..=70).contains(&boundary.len()) {
        return None;
    }
    let mark = [b"--", boundary].concat();
    let mut rest = &body[find(body, &mark)? + mark.len()..];
    while !rest.starts_with(b"--") {
        let mut lines = Lines { rest };
        lines.next_line();
        let (head, _) = headers(&mut lines);
        let end = find(lines.rest, &mark)?;
        let content = &lines.rest[..end];
        if media_type_is(head.get("Content-Type").unwrap_or_default(), wanted) {
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
