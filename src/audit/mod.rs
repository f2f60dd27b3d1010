//! The audit trail: what was verified, decided, sent or held back, as lines of JSON of which each holds the SHA-256 of the one before. Whoever
//! changes, removes, adds or moves a line breaks the chain there, and [`verify`] says where. A head, kept beside the lines, says which line is the
//! last, so that lines missing at the end are missed, too.
//!
//! ```text
//!   {"seq":7,"previous":"5f1e..","at":"2026-11-28T19:00:00.000Z","event":"call",..}
//!                        ^ SHA-256 of line 6 without its line end; of line 1: zeros
//! ```
//! This holds against who can write the lines and not the head. Against who can write both, note a head elsewhere: `tipring audit verify --head`.

pub mod verify;

use core::fmt::Write as _;
use sha2::{Digest as _, Sha256};

/// The SHA-256 of a line.
pub type Hash = [u8; 32];

/// Something that is to be remembered. What is unknown, or does not apply, is `None`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Event {
    /// What happened: `call`, `key-made`, `key-rotated`, `key-revoked`, `key-good-again`, `directory-key`, `directory-refused`.
    pub what: &'static str,
    /// The call, by our id.
    pub call: Option<String>,
    /// The number that was called, or that called.
    pub number: Option<String>,
    /// The peer's address.
    pub peer: Option<String>,
    /// The peer's key, or that which the event is about.
    pub key: Option<String>,
    /// By what the peer was verified: `handshake`, `directory`, `stated`, `csi`, `policy`, or `nothing`.
    pub verified_by: Option<String>,
    /// What protected media: a suite, or `none`.
    pub cipher: Option<String>,
    /// What was decided: `cleared`, `suppressed`, `refused`, ...
    pub decision: Option<String>,
    /// What would have been sent, where nothing was.
    pub would_have_sent: Option<String>,
    /// For people.
    pub words: String,
}

impl Event {
    /// An event about a key.
    pub fn of_key(what: &'static str, key: impl core::fmt::Display, words: impl Into<String>) -> Event {
        Event { what, key: Some(key.to_string()), words: words.into(), ..Event::default() }
    }
}

/// Where the chain ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Head {
    /// The last line's number; 0: there is none.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
    /// The next line is being written, and has this hash.
    pub next: Option<Hash>,
}

impl Head {
    /// The head as its file has it: `SEQ HASH`, and the hash of the line that is being written.
    pub fn text(&self) -> String {
        let next = self.next.map(|next| format!(" {}", hex(&next))).unwrap_or_default();
        format!("{} {}{next}\n", self.seq, hex(&self.hash))
    }

    /// The head of such a text.
    pub fn parse(text: &str) -> Option<Head> {
        let mut words = text.split_ascii_whitespace();
        // A number that no trail reaches is nobody's.
        let seq = words.next()?.parse().ok().filter(|seq| *seq < 1 << 62)?;
        let head = Head { seq, hash: unhex(words.next()?)?, next: None };
        match (words.next(), words.next()) {
            (None, _) => Some(head),
            (Some(next), None) => Some(Head { next: Some(unhex(next)?), ..head }),
            (Some(_), Some(_)) => None,
        }
    }

    /// The line, without its end, that follows with this event. `at` is the time, as RFC 3339 writes it.
    pub fn line(&self, at: &str, event: &Event) -> String {
        let mut line = format!("{{\"seq\":{},\"previous\":\"{}\",\"at\":", self.seq + 1, hex(&self.hash));
        quote(&mut line, at);
        line.push_str(",\"event\":");
        quote(&mut line, event.what);
        let fields = [
            ("call", &event.call),
            ("number", &event.number),
            ("peer", &event.peer),
            ("key", &event.key),
            ("verified_by", &event.verified_by),
            ("cipher", &event.cipher),
            ("decision", &event.decision),
            ("would_have_sent", &event.would_have_sent),
        ];
        for (name, value) in fields {
            let _ = write!(line, ",\"{name}\":");
            match value {
                Some(value) => quote(&mut line, value),
                None => line.push_str("null"),
            }
        }
        line.push_str(",\"words\":");
        quote(&mut line, &event.words);
        line.push('}');
        line
    }

    /// The head after this line.
    pub fn after(&self, line: &str) -> Head {
        Head { seq: self.seq + 1, hash: hash(line), next: None }
    }
}

/// The SHA-256 of a line without its end.
pub fn hash(line: &str) -> Hash {
    Sha256::digest(line.as_bytes()).into()
}

/// Text as JSON (RFC 8259 s.7).
fn quote(line: &mut String, text: &str) {
    line.push('"');
    for c in text.chars() {
        match c {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            c if c.is_control() => {
                let _ = write!(line, "\\u{:04x}", u32::from(c));
            }
            c => line.push(c),
        }
    }
    line.push('"');
}

/// Hex of a hash.
pub fn hex(hash: &Hash) -> String {
    hash.iter().fold(String::with_capacity(64), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

/// The hash of its hex, in small letters.
pub fn unhex(text: &str) -> Option<Hash> {
    let digits = text.as_bytes();
    let mut hash = [0; 32];
    let value = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f').then(|| char::from(b).to_digit(16).unwrap_or(0) as u8);
    for (byte, two) in hash.iter_mut().zip(digits.chunks(2)) {
        *byte = match two {
            [high, low] => value(*high)? << 4 | value(*low)?,
            _ => return None,
        };
    }
    (digits.len() == 64).then_some(hash)
}

#[cfg(test)]
mod tests;
