//! Messages out of a stream (RFC 3261 s.18.3, s.7.5): what TCP and TLS bring in any pieces comes out as whole messages, and the line ends
//! between them as the keep-alives of RFC 5626 s.4.4.1. Sans-I/O; the connection around it is the shell's.
//!
//! ```text
//! bytes -> push -> next: Message | Ping (answer CRLF) | Pong ... or Broken: nothing behind it can be found any more, close
//! ```

use super::message::stream_message_len;
use crate::limits::SIP_HEAD_BYTES_MAX;

/// What a stream brought.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Frame {
    /// A message, without line ends before it.
    Message(Vec<u8>),
    /// CRLF CRLF between messages: the peer asks whether we live. The answer is one CRLF.
    Ping,
    /// CRLF between messages while one was awaited.
    Pong,
}

/// Why a stream cannot be read on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Broken {
    /// It is not SIP: another protocol, or a shifted one.
    NotSip,
    /// Where the message ends cannot be told, or it is longer than is read. The head as far as it is read, to be answered with what is
    /// wrong with it (400, 513) before the end.
    NoEnd(Vec<u8>),
}

/// The reader of one stream.
#[derive(Clone, Debug, Default)]
pub struct Framer {
    buffer: Vec<u8>,
    /// Bytes at the start of the buffer that are done with.
    taken: usize,
    /// How far behind `taken` the end of the head has been looked for.
    searched: usize,
    /// The first line was seen to be SIP's.
    first_line_read: bool,
    /// Length of the message at the start, once known.
    length: Option<usize>,
    half_ping: bool,
    pong_awaited: bool,
    broken: bool,
}

impl Framer {
    /// A reader at the start of a stream.
    pub fn new() -> Framer {
        Framer::default()
    }

    /// Takes bytes as they came. The caller drains [`Framer::next`] before it pushes more, so at most one message and one read are held.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.taken > 0 {
            self.buffer.drain(..self.taken);
            self.taken = 0;
        }
        if !self.broken {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// We sent a ping: the next single CRLF is its answer.
    pub fn await_pong(&mut self) {
        self.pong_awaited = true;
    }

    /// Whether a message has begun that is not complete.
    pub fn is_inside_message(&self) -> bool {
        self.buffer.len() > self.taken
    }

    /// The next thing that is complete. After an error the stream is at its end.
    #[expect(clippy::should_implement_trait, reason = "it is fallible and goes on after None")]
    pub fn next(&mut self) -> Result<Option<Frame>, Broken> {
        if self.broken {
            return Ok(None);
        }
        let outcome = self.step();
        if outcome.is_err() {
            self.broken = true;
            self.buffer = Vec::new();
            self.taken = 0;
        }
        outcome
    }

    fn step(&mut self) -> Result<Option<Frame>, Broken> {
        while let Some(keep_alive) = self.take_line_end() {
            if let Some(frame) = keep_alive {
                return Ok(Some(frame));
            }
        }
        let rest = &self.buffer[self.taken..];
        if rest.is_empty() {
            // An idle connection holds no memory.
            self.buffer = Vec::new();
            self.taken = 0;
            return Ok(None);
        }
        if rest == b"\r" {
            return Ok(None);
        }
        self.half_ping = false;
        if !self.first_line_read {
            match rest.iter().position(|b| *b == b'\n') {
                Some(end) if end <= SIP_HEAD_BYTES_MAX && is_first_line(&rest[..end]) => self.first_line_read = true,
                None if rest.len() <= SIP_HEAD_BYTES_MAX => return Ok(None),
                _ => return Err(Broken::NotSip),
            }
        }
        let length = match self.length {
            Some(length) => length,
            None => {
                let Some(end) = head_end(rest, self.searched.saturating_sub(2)) else {
                    self.searched = rest.len();
                    return if rest.len() > SIP_HEAD_BYTES_MAX { Err(Broken::NoEnd(rest.to_vec())) } else { Ok(None) };
                };
                let head = &rest[..end];
                match stream_message_len(head) {
                    Ok(Some(length)) => *self.length.insert(length),
                    Ok(None) | Err(_) => return Err(Broken::NoEnd(head.to_vec())),
                }
            }
        };
        if rest.len() < length {
            return Ok(None);
        }
        let message = rest[..length].to_vec();
        self.taken += length;
        (self.searched, self.first_line_read, self.length) = (0, false, None);
        Ok(Some(Frame::Message(message)))
    }

    /// Takes one line end between messages, and says what it meant, if anything.
    fn take_line_end(&mut self) -> Option<Option<Frame>> {
        let rest = &self.buffer[self.taken..];
        if self.searched > 0 || self.first_line_read {
            return None;
        }
        if rest.starts_with(b"\n") {
            self.taken += 1;
            return Some(None);
        }
        if !rest.starts_with(b"\r\n") {
            return None;
        }
        self.taken += 2;
        Some(if self.pong_awaited {
            self.pong_awaited = false;
            Some(Frame::Pong)
        } else if self.half_ping {
            self.half_ping = false;
            Some(Frame::Ping)
        } else {
            self.half_ping = true;
            None
        })
    }
}

/// Where the head ends, behind its empty line, looked for from `from` on. A lone LF is an end of line too, as everywhere.
fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    (from..bytes.len()).filter(|i| bytes[*i] == b'\n').find_map(|i| match &bytes[i + 1..] {
        [b'\n', ..] => Some(i + 2),
        [b'\r', b'\n', ..] => Some(i + 3),
        _ => None,
    })
}

/// A request line or a status line of any SIP version: enough to tell SIP from what else reaches open ports.
fn is_first_line(line: &[u8]) -> bool {
    let sip = |word: &[u8]| word.len() >= 4 && word[..4].eq_ignore_ascii_case(b"SIP/");
    sip(line) || line.trim_ascii_end().rsplit(|b| b.is_ascii_whitespace()).next().is_some_and(sip)
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
