//! Whether lines are a chain, and which of them breaks it.

use super::{Hash, Head, unhex};
use core::fmt;

/// What is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A line is none of ours.
    Unreadable,
    /// The line is not the one that comes next.
    OutOfOrder {
        /// The number that comes next.
        expected: u64,
        /// The number that the line has.
        found: u64,
    },
    /// The line does not hold the hash of the one before it.
    Broken,
    /// Lines are missing at the end.
    Truncated {
        /// The last line, by the head.
        last: u64,
        /// The last that is there.
        found: u64,
    },
    /// The last line is not the one that the head knows.
    LastChanged,
    /// There are lines that the head does not know.
    Added,
    /// Lines, and no head.
    NoHead,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Unreadable => write!(f, "is no line of the audit trail"),
            Fault::OutOfOrder { expected, found } => {
                write!(f, "is line {found} of the trail, and line {expected} comes next: lines were removed, doubled or moved")
            }
            Fault::Broken => {
                write!(f, "does not hold the hash of the line before it: that one was changed, or this one does not belong here")
            }
            Fault::Truncated { last, found } => {
                write!(f, "is the last one, line {found} of the trail; it ends with line {last}: lines were cut off")
            }
            Fault::LastChanged => write!(f, "is the last one, and was changed: the head has another hash of it"),
            Fault::Added => write!(f, "is the last one, and the head knows of none so late: lines were added, or the head is an old one"),
            Fault::NoHead => write!(f, "is the last one, and there is no head that says so"),
        }
    }
}

/// Reads a trail, line by line.
#[derive(Clone, Debug)]
pub struct Verifier {
    head: Head,
    /// The hash of the line before the last.
    before: Hash,
    /// Nothing is known of what stood before the first line.
    open: bool,
    wanted: Option<Hash>,
}

impl Verifier {
    /// For a trail from its first line on.
    pub fn new() -> Verifier {
        Verifier { head: Head::default(), before: [0; 32], open: false, wanted: None }
    }

    /// For one whose lines before this one lie elsewhere.
    pub fn from(seq: u64) -> Verifier {
        let head = Head { seq: seq.saturating_sub(1), ..Head::default() };
        Verifier { head, open: seq > 1, ..Verifier::new() }
    }

    /// The trail is to hold a line of this hash: a head that somebody noted.
    pub fn wanting(mut self, hash: Hash) -> Verifier {
        self.wanted = Some(hash);
        self
    }

    /// One more line, without its end.
    pub fn line(&mut self, line: &str) -> Result<(), Fault> {
        let (seq, previous) = read(line).ok_or(Fault::Unreadable)?;
        if seq != self.head.seq + 1 {
            return Err(Fault::OutOfOrder { expected: self.head.seq + 1, found: seq });
        }
        if previous != self.head.hash && !self.open {
            return Err(Fault::Broken);
        }
        self.open = false;
        self.before = self.head.hash;
        self.head = self.head.after(line);
        if self.wanted == Some(self.head.hash) {
            self.wanted = None;
        }
        Ok(())
    }

    /// The end of the lines. `head` is what was kept beside them.
    pub fn end(&self, head: Option<&Head>) -> Result<(), Fault> {
        let Some(head) = head else {
            return if self.head.seq == 0 { Ok(()) } else { Err(Fault::NoHead) };
        };
        if self.head.seq < head.seq {
            return Err(Fault::Truncated { last: head.seq, found: self.head.seq });
        }
        if self.head.seq == head.seq {
            return if self.head.hash == head.hash { Ok(()) } else { Err(Fault::LastChanged) };
        }
        // The line that was being written when it all stopped.
        let was_under_way = self.head.seq == head.seq + 1 && self.before == head.hash && head.next == Some(self.head.hash);
        if was_under_way { Ok(()) } else { Err(Fault::Added) }
    }

    /// Lines so far; the number of the last.
    pub fn last(&self) -> &Head {
        &self.head
    }

    /// A hash that was wanted did not come.
    pub fn misses(&self) -> bool {
        self.wanted.is_some()
    }
}

impl Default for Verifier {
    fn default() -> Self {
        Verifier::new()
    }
}

/// Number and previous hash of a line.
pub fn read(line: &str) -> Option<(u64, Hash)> {
    let rest = line.strip_prefix("{\"seq\":")?;
    let (seq, rest) = rest.split_once(",\"previous\":\"")?;
    let (previous, rest) = rest.split_once("\",")?;
    let plain = !seq.is_empty() && seq.bytes().all(|b| b.is_ascii_digit()) && rest.ends_with('}');
    Some((seq.parse().ok().filter(|_| plain)?, unhex(previous)?))
}
