//! UDPTL: sequence, redundancy and FEC around IFP packets. Read T.38 clause 9.1 and annexes A and C before changing `repair`.
//!
//! [`parse`] reads one datagram and borrows from it. A [`Receiver`] turns datagrams into IFP packets in order, each once, with lost ones
//! rebuilt where the datagrams allow it. A [`Sender`] does the reverse. What the packets mean is no business of this file.
//!
//! FEC: entry `m` of `n`, in the datagram numbered `s`, is the exclusive-or of `span` packets, `n` apart: `s-span*n+m`, `+n`, ... So the
//! `span*n` packets before `s` are covered, and a burst of up to `n` losses is repaired by the next datagram. Parity does not carry the
//! length: a rebuilt packet may end in zero octets ([`Received::padded`]).

use crate::clock::Instant;
use crate::limits::{IFP_BYTES_MAX, UDPTL_RECOVERY_MAX, UDPTL_WINDOW};
use core::fmt;

/// A datagram, taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Datagram<'a> {
    /// Sequence number of the primary packet.
    pub seq: u16,
    /// The new packet.
    pub primary: &'a [u8],
    /// What repairs older ones.
    pub recovery: Recovery<'a>,
}

/// The `error-recovery` of a datagram.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Recovery<'a> {
    /// Copies of the packets before the primary one, newest first; an empty one stands for nothing.
    Redundancy(heapless::Vec<&'a [u8], UDPTL_RECOVERY_MAX>),
    /// Parity over the packets before the primary one.
    Fec {
        /// Packets in each exclusive-or.
        span: u16,
        /// The exclusive-ors.
        entries: heapless::Vec<&'a [u8], UDPTL_RECOVERY_MAX>,
    },
}

/// Why bytes are no UDPTL datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// It ends in the middle of something.
    Truncated,
    /// A length that PER does not allow or that nothing honest needs (16,384 octets and more come in fragments).
    BadLength,
    /// The primary packet is empty.
    NoPrimary,
    /// A packet longer than the bound in `limits.rs`.
    TooLong,
    /// A FEC span of nothing, or one that no receiver remembers.
    BadSpan,
    /// Octets behind the end.
    TrailingOctets,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::Truncated => "the UDPTL datagram is truncated",
            Error::BadLength => "the UDPTL datagram has a length that PER does not allow",
            Error::NoPrimary => "the UDPTL datagram carries no packet",
            Error::TooLong => "the UDPTL datagram carries a packet longer than we take",
            Error::BadSpan => "the UDPTL datagram has a FEC span that cannot be",
            Error::TrailingOctets => "there are octets behind the UDPTL datagram",
        })
    }
}
impl std::error::Error for Error {}

/// Takes a datagram apart. More recovery entries than [`UDPTL_RECOVERY_MAX`] are skipped, not refused: the primary packet is good.
pub fn parse(bytes: &[u8]) -> Result<Datagram<'_>, Error> {
    let mut r = Reader { rest: bytes };
    let seq = u16::from_be_bytes([r.octet()?, r.octet()?]);
    let primary = r.open_type()?;
    if primary.is_empty() {
        return Err(Error::NoPrimary);
    }
    // One bit of CHOICE; the seven others are padding, which a careless peer may leave unset.
    let recovery = if r.octet()? & 0x80 == 0 {
        Recovery::Redundancy(r.list()?.0)
    } else {
        // An unconstrained INTEGER: length, then octets. Nothing honest needs two octets of span.
        if r.octet()? != 1 {
            return Err(Error::BadSpan);
        }
        let span = u16::from(r.octet()?);
        let (mut entries, count) = r.list()?;
        if span == 0 || span > 127 {
            return Err(Error::BadSpan);
        }
        if count > entries.len() || usize::from(span) * count >= UDPTL_WINDOW {
            entries.clear();
        }
        Recovery::Fec { span, entries }
    };
    if r.rest.is_empty() { Ok(Datagram { seq, primary, recovery }) } else { Err(Error::TrailingOctets) }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn octet(&mut self) -> Result<u8, Error> {
        let (first, rest) = self.rest.split_first().ok_or(Error::Truncated)?;
        self.rest = rest;
        Ok(*first)
    }
    fn length(&mut self) -> Result<usize, Error> {
        let first = usize::from(self.octet()?);
        match first {
            0..=0x7F => Ok(first),
            0x80..=0xBF => Ok((first & 0x3F) << 8 | usize::from(self.octet()?)),
            _ => Err(Error::BadLength),
        }
    }
    fn open_type(&mut self) -> Result<&'a [u8], Error> {
        let len = self.length()?;
        let (got, rest) = self.rest.split_at_checked(len).ok_or(Error::Truncated)?;
        self.rest = rest;
        if len > IFP_BYTES_MAX { Err(Error::TooLong) } else { Ok(got) }
    }
    /// A list of open types: the first [`UDPTL_RECOVERY_MAX`], and how many there were. Each takes an octet at least, so it ends.
    fn list(&mut self) -> Result<(heapless::Vec<&'a [u8], UDPTL_RECOVERY_MAX>, usize), Error> {
        let count = self.length()?;
        let mut kept = heapless::Vec::new();
        for _ in 0..count {
            let item = self.open_type()?;
            // Full means the rest is older than anything worth repairing.
            let _ = kept.push(item);
        }
        Ok((kept, count))
    }
}

/// A packet as a receiver hands it out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Received<'a> {
    /// Its sequence number.
    pub seq: u16,
    /// How many packets just before it are lost for good.
    pub missing: u16,
    /// True if it was rebuilt from parity and may end in zero octets that are not its own.
    pub padded: bool,
    /// The packet.
    pub ifp: &'a [u8],
}

/// What a receiver counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReceiverStats {
    /// Packets handed out.
    pub delivered: u64,
    /// Packets lost for good.
    pub lost: u64,
    /// Packets that came as a redundant copy before or instead of their own datagram.
    pub by_redundancy: u64,
    /// Packets rebuilt from parity.
    pub by_fec: u64,
    /// Datagrams that came again or after their turn.
    pub late: u64,
    /// Times the sequence jumped so far that counting started anew.
    pub restarts: u64,
}

/// How many packets behind a gap make the receiver give up on it, and how long it waits at most. Time is the measure: a relay says the end
/// of an ECM block (three RCP frames, their FCS and the indicators) in a dozen packets within 20 ms, and a few milliseconds of jitter
/// shuffle all of them. The count only keeps the window from running over.
const HOLD_PACKETS: u16 = UDPTL_WINDOW as u16 / 2;
const HOLD_MS: u64 = 60;
/// A sequence that is further off than this is a new one (a peer restarted, or another stream came to our port).
const JUMP: u16 = 2000;

#[derive(Clone)]
struct Slot {
    seq: u16,
    filled: bool,
    padded: bool,
    len: u16,
    bytes: [u8; IFP_BYTES_MAX],
}

impl Slot {
    const EMPTY: Slot = Slot { seq: 0, filled: false, padded: false, len: 0, bytes: [0; IFP_BYTES_MAX] };
    fn octets(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// Datagrams in, packets out, in order and once.
pub struct Receiver {
    window: Box<[Slot; UDPTL_WINDOW]>,
    /// The next packet to hand out, and the newest one seen.
    at: Option<(u16, u16)>,
    gap_since: Option<Instant>,
    stats: ReceiverStats,
}

impl Default for Receiver {
    fn default() -> Self {
        Receiver::new()
    }
}

impl Receiver {
    /// A receiver that takes the first sequence number it sees.
    pub fn new() -> Self {
        Receiver { window: Box::new([const { Slot::EMPTY }; UDPTL_WINDOW]), at: None, gap_since: None, stats: ReceiverStats::default() }
    }
    /// What it counts.
    pub const fn stats(&self) -> ReceiverStats {
        self.stats
    }
    /// The newest sequence number seen, if any.
    pub fn newest(&self) -> Option<u16> {
        self.at.map(|(_, newest)| newest)
    }
    /// Takes a datagram. Call [`Receiver::pop`] until it gives nothing before the next one, or a burst may push packets out.
    pub fn receive(&mut self, datagram: &Datagram<'_>) {
        let seq = datagram.seq;
        let (next, newest) = match self.at {
            Some((next, newest)) if ahead(seq, next) => {
                // Too far ahead to remember what lies between.
                let floor = seq.wrapping_sub(UDPTL_WINDOW as u16 - 1);
                let next = if ahead(floor, next) { self.abandon(next, floor) } else { next };
                (next, if ahead(seq, newest) { seq } else { newest })
            }
            Some((next, _)) if next.wrapping_sub(seq) <= JUMP => {
                self.stats.late += 1;
                return;
            }
            Some(_) => {
                self.stats.restarts += 1;
                self.window.iter_mut().for_each(|s| s.filled = false);
                (seq, seq)
            }
            None => {
                // A stream begins at 0: what its first datagrams carry as copies was lost on the way here, not in an earlier life.
                let copies = match &datagram.recovery {
                    Recovery::Redundancy(list) => list.len().min(usize::from(seq)) as u16,
                    Recovery::Fec { .. } => 0,
                };
                (seq - copies, seq)
            }
        };
        self.at = Some((next, newest));
        self.store(seq, false, datagram.primary);
        match &datagram.recovery {
            Recovery::Redundancy(copies) => self.fill_copies(seq, next, copies),
            Recovery::Fec { span, entries } => self.repair(seq, next, *span, entries),
        }
    }
    /// The next packet whose turn has come.
    pub fn pop(&mut self, now: Instant) -> Option<Received<'_>> {
        let (mut next, newest) = self.at?;
        if next == newest.wrapping_add(1) {
            return None;
        }
        let mut missing = 0u16;
        if !self.has(next) {
            let since = *self.gap_since.get_or_insert(now);
            if newest.wrapping_sub(next) < HOLD_PACKETS && now.ms_since(since) < HOLD_MS {
                return None;
            }
            // The newest one is always there, so this ends.
            while !self.has(next) {
                next = next.wrapping_add(1);
                missing += 1;
            }
            self.stats.lost += u64::from(missing);
        }
        self.gap_since = None;
        self.at = Some((next.wrapping_add(1), newest));
        self.stats.delivered += 1;
        let slot = &self.window[index(next)];
        Some(Received { seq: next, missing, padded: slot.padded, ifp: slot.octets() })
    }
    fn has(&self, seq: u16) -> bool {
        let s = &self.window[index(seq)];
        s.filled && s.seq == seq
    }
    /// Gives up everything from `next` to before `floor`.
    fn abandon(&mut self, next: u16, floor: u16) -> u16 {
        self.stats.lost += u64::from(floor.wrapping_sub(next));
        floor
    }
    fn store(&mut self, seq: u16, padded: bool, bytes: &[u8]) -> bool {
        if self.has(seq) || bytes.is_empty() || bytes.len() > IFP_BYTES_MAX {
            return false;
        }
        let slot = &mut self.window[index(seq)];
        slot.bytes[..bytes.len()].copy_from_slice(bytes);
        (slot.seq, slot.filled, slot.padded, slot.len) = (seq, true, padded, bytes.len() as u16);
        true
    }
    fn fill_copies(&mut self, seq: u16, next: u16, copies: &[&[u8]]) {
        for (i, copy) in copies.iter().enumerate() {
            let older = seq.wrapping_sub(i as u16 + 1);
            if ahead(older, next) && self.store(older, false, copy) {
                self.stats.by_redundancy += 1;
            }
        }
    }
    fn repair(&mut self, seq: u16, next: u16, span: u16, entries: &[&[u8]]) {
        let n = entries.len() as u16;
        for (m, parity) in entries.iter().enumerate() {
            let first = seq.wrapping_sub(span * n).wrapping_add(m as u16);
            let covered = || (0..span).map(move |k| first.wrapping_add(k * n));
            let mut absent = covered().filter(|s| !self.has(*s));
            let (Some(lost), None) = (absent.next(), absent.next()) else { continue };
            if !ahead(lost, next) {
                continue;
            }
            let mut rebuilt = [0u8; IFP_BYTES_MAX];
            rebuilt[..parity.len()].copy_from_slice(parity);
            for s in covered().filter(|s| *s != lost) {
                for (r, b) in rebuilt[..parity.len()].iter_mut().zip(self.window[index(s)].octets()) {
                    *r ^= b;
                }
            }
            if self.store(lost, true, &rebuilt[..parity.len()]) {
                self.stats.by_fec += 1;
            }
        }
    }
}

const fn index(seq: u16) -> usize {
    seq as usize % UDPTL_WINDOW
}

/// `a` is `b` or up to [`JUMP`] packets later.
const fn ahead(a: u16, b: u16) -> bool {
    a.wrapping_sub(b) <= JUMP
}

/// How a sender protects its packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorCorrection {
    /// Nothing (`t38UDPNoEC`).
    None,
    /// Copies of older packets (`t38UDPRedundancy`).
    Redundancy {
        /// With a control packet (indicators, V.21).
        control: u8,
        /// With an image packet.
        image: u8,
    },
    /// Parity (`t38UDPFEC`).
    Fec {
        /// Packets in an exclusive-or.
        span: u8,
        /// Exclusive-ors in a datagram: the longest burst that is repaired.
        entries: u8,
    },
}

impl Default for ErrorCorrection {
    fn default() -> Self {
        ErrorCorrection::Redundancy { control: 3, image: 2 }
    }
}

/// What kind of packet is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// An indicator or V.21: slow, and every one matters.
    Control,
    /// Image data.
    Image,
}

/// Packets in, datagrams out.
pub struct Sender {
    window: Box<[Slot; UDPTL_WINDOW]>,
    seq: u16,
    sent: usize,
    correction: ErrorCorrection,
    max_datagram: usize,
}

impl Sender {
    /// A sender that starts at 0 and makes no datagram longer than `max_datagram` octets (the peer's `T38FaxMaxDatagram`).
    pub fn new(correction: ErrorCorrection, max_datagram: usize) -> Self {
        Sender { window: Box::new([const { Slot::EMPTY }; UDPTL_WINDOW]), seq: 0, sent: 0, correction, max_datagram }
    }
    /// The sequence number of the next packet.
    pub const fn next_seq(&self) -> u16 {
        self.seq
    }
    /// The peer takes other datagrams from now on, or wants other protection. What was sent so far still protects.
    pub fn set_terms(&mut self, correction: ErrorCorrection, max_datagram: usize) {
        (self.correction, self.max_datagram) = (correction, max_datagram);
    }
    /// Writes the datagram for a new packet to `out` and says how long it is. Protection is cut down until the datagram is short enough;
    /// `None` if even the bare packet is too long.
    pub fn emit(&mut self, ifp: &[u8], class: Class, out: &mut [u8]) -> Option<usize> {
        let room = self.max_datagram.min(out.len());
        if ifp.is_empty() || ifp.len() > IFP_BYTES_MAX || bare_len(ifp.len()) > room {
            return None;
        }
        let mut w = Writer { out, at: 0 };
        w.put(&self.seq.to_be_bytes());
        w.open_type(ifp);
        match self.correction {
            ErrorCorrection::None => w.put(&[0x00, 0]),
            ErrorCorrection::Redundancy { control, image } => {
                let depth = if class == Class::Control { control } else { image };
                self.put_copies(&mut w, usize::from(depth), room);
            }
            ErrorCorrection::Fec { span, entries } => self.put_parity(&mut w, usize::from(span), usize::from(entries), room),
        }
        let len = w.at;
        self.keep(ifp);
        Some(len)
    }
    fn put_copies(&self, w: &mut Writer<'_>, depth: usize, room: usize) {
        let depth = depth.min(self.sent).min(UDPTL_RECOVERY_MAX);
        w.put(&[0x00, 0]);
        let count_at = w.at - 1;
        for i in 1..=depth {
            let older = self.window[index(self.seq.wrapping_sub(i as u16))].octets();
            if w.at + length_octets(older.len()) + older.len() > room {
                break;
            }
            w.open_type(older);
            w.out[count_at] += 1;
        }
    }
    fn put_parity(&self, w: &mut Writer<'_>, span: usize, entries: usize, room: usize) {
        let known = self.sent.min(UDPTL_WINDOW - 1);
        let mut entries = entries.min(known).min(UDPTL_RECOVERY_MAX);
        loop {
            let span = span.clamp(1, known.checked_div(entries).unwrap_or(127));
            let lens = (0..entries).map(|m| self.covered(span, entries, m).map(|s| usize::from(s.len)).max().unwrap_or(0));
            let need: usize = 4 + lens.map(|l| length_octets(l) + l).sum::<usize>();
            if w.at + need > room && entries > 0 {
                entries -= 1;
                continue;
            }
            if w.at + need > room {
                // Not even the empty FEC header fits: an empty list of copies is two octets shorter.
                return w.put(&[0x00, 0]);
            }
            w.put(&[0x80, 1, span as u8, entries as u8]);
            for m in 0..entries {
                let mut parity = [0u8; IFP_BYTES_MAX];
                let mut len = 0;
                for s in self.covered(span, entries, m) {
                    len = len.max(usize::from(s.len));
                    parity.iter_mut().zip(s.octets()).for_each(|(p, b)| *p ^= b);
                }
                w.open_type(&parity[..len]);
            }
            return;
        }
    }
    fn covered(&self, span: usize, entries: usize, m: usize) -> impl Iterator<Item = &Slot> {
        let first = self.seq.wrapping_sub((span * entries) as u16).wrapping_add(m as u16);
        (0..span).map(move |k| &self.window[index(first.wrapping_add((k * entries) as u16))])
    }
    fn keep(&mut self, ifp: &[u8]) {
        let slot = &mut self.window[index(self.seq)];
        slot.bytes[..ifp.len()].copy_from_slice(ifp);
        (slot.seq, slot.filled, slot.len) = (self.seq, true, ifp.len() as u16);
        self.seq = self.seq.wrapping_add(1);
        self.sent = self.sent.saturating_add(1);
    }
}

/// Octets of a datagram without protection: sequence, packet, choice and count.
const fn bare_len(ifp: usize) -> usize {
    2 + length_octets(ifp) + ifp + 2
}

const fn length_octets(len: usize) -> usize {
    if len < 0x80 { 1 } else { 2 }
}

/// Writes a datagram as it stands: what arrived by another transport, told in UDPTL. `copies` are newest first, as many as fit in.
pub fn write(seq: u16, primary: &[u8], copies: &[&[u8]], out: &mut [u8]) -> Option<usize> {
    let longest = |octets: &[u8]| octets.len() <= IFP_BYTES_MAX;
    if primary.is_empty() || !longest(primary) || bare_len(primary.len()) > out.len() {
        return None;
    }
    let mut w = Writer { out, at: 0 };
    w.put(&seq.to_be_bytes());
    w.open_type(primary);
    w.put(&[0x00, 0]);
    let count_at = w.at - 1;
    for copy in copies.iter().take(UDPTL_RECOVERY_MAX) {
        if !longest(copy) || w.at + length_octets(copy.len()) + copy.len() > w.out.len() {
            break;
        }
        w.open_type(copy);
        w.out[count_at] += 1;
    }
    Some(w.at)
}

struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    /// The caller has checked the room.
    fn put(&mut self, bytes: &[u8]) {
        self.out[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }
    fn open_type(&mut self, bytes: &[u8]) {
        if bytes.len() < 0x80 {
            self.put(&[bytes.len() as u8]);
        } else {
            self.put(&[0x80 | (bytes.len() >> 8) as u8, bytes.len() as u8]);
        }
        self.put(bytes);
    }
}

#[cfg(test)]
mod tests;
