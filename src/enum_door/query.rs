//! A query, read (RFC 1035 s.4.1, RFC 6891): its one question, and what it says of its sender's limits.

use super::kind;
use super::zone::{Apex, Below, Digits};

/// The class of the Internet.
pub(super) const INTERNET: u16 = 1;
/// Bytes of a header.
pub(super) const HEADER: usize = 12;
/// Bytes of a name (RFC 1035 s.3.1), its root included.
const NAME_BYTES_MAX: usize = 255;
/// Labels that a name of so many bytes has at most, its root aside.
const LABELS_MAX: usize = 127;
/// Records beside the question that are walked over. An honest query has the OPT record, and at most a signature.
const RECORDS_MAX: u32 = 8;

/// What of a header goes into the answer: the identifier, and the flags as they came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub id: [u8; 2],
    pub flags: u16,
}

/// Why there is no question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unread {
    /// Too short, or an answer: whoever answers those makes two servers talk for ever.
    NoQuery,
    /// A query that cannot be read.
    Malformed(Head),
    /// An operation that is no query.
    OtherOperation(Head),
}

/// What the sender can do beyond RFC 1035 (RFC 6891 s.6.1.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Edns {
    /// The largest datagram that it takes, in bytes.
    pub size: u16,
    /// Of EDNS.
    pub version: u8,
    /// The DO bit (RFC 3225), which comes back as it was.
    pub dnssec_ok: bool,
}

/// The question's name: its labels, lower-case.
pub(super) struct Name {
    bytes: [u8; NAME_BYTES_MAX],
    /// Where each label begins.
    labels: [u8; LABELS_MAX],
    count: usize,
    /// With the root.
    len: usize,
}

pub(super) struct Query<'a> {
    pub head: Head,
    /// As it came: the answer repeats it letter by letter, whose case may be the asker's mark.
    pub question: &'a [u8],
    pub name: Name,
    pub kind: u16,
    pub class: u16,
    pub edns: Option<Edns>,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

impl<'a> Query<'a> {
    pub fn read(bytes: &'a [u8]) -> Result<Query<'a>, Unread> {
        let [a, b, c, d, counts @ ..] = bytes.first_chunk::<HEADER>().ok_or(Unread::NoQuery)?;
        let head = Head { id: [*a, *b], flags: u16::from_be_bytes([*c, *d]) };
        if head.flags & 0x8000 != 0 {
            return Err(Unread::NoQuery);
        }
        if head.flags & 0x7800 != 0 {
            return Err(Unread::OtherOperation(head));
        }
        let [q1, q2, rest @ ..] = counts;
        // One question is what a query has (RFC 9619).
        let records: u32 = rest.chunks_exact(2).map(|c| u32::from(u16::from_be_bytes([c[0], c[1]]))).sum();
        let additional = u32::from(u16::from_be_bytes([rest[4], rest[5]]));
        if [*q1, *q2] != [0, 1] || records > RECORDS_MAX {
            return Err(Unread::Malformed(head));
        }
        Query::question(bytes, head, records, additional).ok_or(Unread::Malformed(head))
    }

    fn question(bytes: &'a [u8], head: Head, records: u32, additional: u32) -> Option<Query<'a>> {
        let name = Name::read(bytes.get(HEADER..)?)?;
        let mut at = HEADER + name.len;
        let (kind, class) = (u16_at(bytes, at)?, u16_at(bytes, at + 2)?);
        at += 4;
        let question = &bytes[HEADER..at];
        let mut edns = None;
        for left in (0..records).rev() {
            let root = bytes.get(at) == Some(&0);
            at = skip_name(bytes, at)?;
            let (of, class, length) = (u16_at(bytes, at)?, u16_at(bytes, at + 2)?, usize::from(u16_at(bytes, at + 8)?));
            let [_, version, flags, _] = bytes.get(at + 4..at + 8)?.try_into().ok()?;
            at += 10 + length;
            if at > bytes.len() {
                return None;
            }
            if of == kind::OPT {
                // At the root, in the last section, and once (RFC 6891 s.6.1.1).
                if !root || left >= additional || edns.is_some() {
                    return None;
                }
                edns = Some(Edns { size: class, version, dnssec_ok: flags & 0x80 != 0 });
            }
        }
        (at == bytes.len()).then_some(Query { head, question, name, kind, class, edns })
    }
}

/// Behind the name at `at`, which may end in a pointer.
fn skip_name(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            n @ 1..=63 => at += 1 + usize::from(n),
            192.. => return Some(at + 2),
            _ => return None,
        }
    }
}

impl Name {
    /// The name at the beginning of `bytes`. A pointer there could only lead into the header.
    fn read(bytes: &[u8]) -> Option<Name> {
        let mut name = Name { bytes: [0; NAME_BYTES_MAX], labels: [0; LABELS_MAX], count: 0, len: 0 };
        loop {
            let length = usize::from(*bytes.get(name.len)?);
            let end = name.len + 1 + length;
            if length > 63 || end > NAME_BYTES_MAX {
                return None;
            }
            for (to, from) in name.bytes[name.len..end].iter_mut().zip(bytes.get(name.len..end)?) {
                // A length is below every letter.
                *to = from.to_ascii_lowercase();
            }
            if length == 0 {
                name.len = end;
                return Some(name);
            }
            // Each has two bytes at least, so this holds; who knows better is heard.
            *name.labels.get_mut(name.count)? = name.len as u8;
            name.count += 1;
            name.len = end;
        }
    }

    /// Where the apex begins, if the name lies in its zone.
    fn apex_at(&self, apex: &Apex) -> Option<usize> {
        let above = self.count.checked_sub(apex.labels())?;
        let at = if apex.labels() == 0 { self.len - 1 } else { usize::from(self.labels[above]) };
        (self.bytes[at..self.len] == *apex.wire()).then_some(at)
    }

    /// What a message of this question points to for the apex. The name must lie in its zone.
    pub fn place_of(&self, apex: &Apex) -> u16 {
        (HEADER + self.apex_at(apex).unwrap_or(0)) as u16
    }

    /// What stands before the apex; `None`: the name lies in another zone.
    pub fn below(&self, apex: &Apex) -> Option<Below> {
        let before = &self.bytes[..self.apex_at(apex)?];
        if before.is_empty() {
            return Some(Below::Apex);
        }
        if before == b"\x02ns" {
            return Some(Below::NameServer);
        }
        let mut digits = Digits::new();
        // From behind: the label next to the zone is the first digit.
        for pair in before.rchunks(2) {
            match pair {
                [1, digit @ b'0'..=b'9'] => match digits.push(char::from(*digit)) {
                    Ok(()) => {}
                    Err(_) => return Some(Below::Other),
                },
                _ => return Some(Below::Other),
            }
        }
        Some(Below::Digits(digits))
    }
}
