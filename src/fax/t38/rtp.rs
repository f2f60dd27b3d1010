//! T.38 in RTP (RFC 4612, T.38 clause 9.2), in the clear or behind SRTP: one IFP packet a packet, older ones behind it by RFC 2198 if the
//! peer takes `red`.
//!
//! The leg speaks UDPTL and this file translates at its edge: the sequence number becomes RTP's, the copies become redundant blocks, and
//! back. So order, loss, repeats and bounds of what comes in are the business of [`super::udptl::Receiver`], as ever. A peer without `red`
//! gets the packets that matter several times, as the leg repeats them; a repeat is the same packet octet for octet, since a key stream is
//! never used for two.

use super::udptl::{self, Recovery};
use crate::clock::Instant;
use crate::limits::{DATAGRAM_BYTES_MAX, UDPTL_RECOVERY_MAX, UDPTL_WINDOW};
use crate::media::Protection;
use crate::media::rtp::{Packet, looks_like_rtcp};
use crate::srtp::{OVERHEAD_BYTES_MAX, Session};
use core::fmt;

/// The clock of the payload format.
const SAMPLES_PER_MS: u64 = 8;
/// What RFC 2198's header holds: 14 bits of timestamp, 10 of length.
const OFFSET_MAX: u32 = (1 << 14) - 1;
const BLOCK_BYTES_MAX: usize = (1 << 10) - 1;
/// The leg's number of the first packet that is heard. Behind it there is room for what its copies bring back.
const FIRST_NUMBER: u16 = UDPTL_RECOVERY_MAX as u16;
/// How far the leg's numbers leap when the peer's source changes: so far that the receiver begins anew.
const LEAP: u16 = 4000;

/// What was negotiated for the stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RtpTerms {
    /// Payload type of `t38/8000`.
    pub payload_type: u8,
    /// Payload type of `red/8000` (RFC 2198), if the peer takes it.
    pub redundancy_pt: Option<u8>,
    /// Our SSRC: one that these keys have never protected anything of.
    pub ssrc: u32,
    /// Our first sequence number.
    pub first_sequence: u16,
    /// Our first timestamp.
    pub first_timestamp: u32,
}

/// Whom the packets come from, and how its sequence numbers are counted here.
#[derive(Clone, Copy)]
struct Source {
    ssrc: u32,
    /// The peer's sequence number less ours.
    ahead_by: u16,
    newest: u16,
}

/// A stream of T.38 in RTP, both ways.
pub struct Rtp {
    terms: RtpTerms,
    protection: Protection,
    now: Instant,
    began: Option<Instant>,
    /// Timestamps of the last packets, by the leg's numbers.
    timestamps: [u32; UDPTL_WINDOW],
    /// The leg's number of what lies in `sealed`.
    last: Option<u16>,
    sealed: Box<[u8; DATAGRAM_BYTES_MAX + OVERHEAD_BYTES_MAX]>,
    sealed_len: usize,
    source: Option<Source>,
    /// An SSRC that may replace the source's, and the sequence number that would prove it (RFC 3550 A.1).
    next_source: Option<(u32, u16)>,
    room: Box<[u8; DATAGRAM_BYTES_MAX]>,
    translated: Box<[u8; DATAGRAM_BYTES_MAX]>,
}

impl fmt::Debug for Rtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rtp").field("terms", &self.terms).field("protection", &self.protection).finish_non_exhaustive()
    }
}

/// What became of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Came {
    /// It was handed on as UDPTL.
    Payload,
    /// A repeat, or a report: nothing to do.
    Nothing,
    /// Forged, or nothing that was agreed on.
    Dropped,
}

impl Rtp {
    /// A stream that has neither sent nor heard anything.
    pub fn new(mut terms: RtpTerms, protection: Protection) -> Rtp {
        if protection.is_wanted() {
            // In the lower half, so that a peer that misses our first packets does not take a roll-over for a beginning.
            terms.first_sequence &= 0x7FFF;
        }
        Rtp {
            terms,
            protection,
            now: Instant::ZERO,
            began: None,
            timestamps: [0; UDPTL_WINDOW],
            last: None,
            sealed: Box::new([0; DATAGRAM_BYTES_MAX + OVERHEAD_BYTES_MAX]),
            sealed_len: 0,
            source: None,
            next_source: None,
            room: Box::new([0; DATAGRAM_BYTES_MAX]),
            translated: Box::new([0; DATAGRAM_BYTES_MAX]),
        }
    }
    /// How its packets are protected.
    pub const fn protection(&self) -> &Protection {
        &self.protection
    }
    /// The keys are there, or there are new ones. Gives back the box that it does not need.
    pub fn secure(&mut self, session: Box<Session>) -> Option<Box<Session>> {
        self.protection.secure(session)
    }
    /// What time it is.
    pub(super) fn begin(&mut self, now: Instant) {
        self.now = now;
        self.began.get_or_insert(now);
    }

    /// The RTP packet for this UDPTL datagram; the one before again, if its number is that one's. None while it must not go out.
    pub(super) fn seal(&mut self, datagram: &[u8]) -> Option<&[u8]> {
        let d = udptl::parse(datagram).ok()?;
        if self.last != Some(d.seq) {
            let mut payload = [0u8; DATAGRAM_BYTES_MAX];
            let timestamp = self.timestamp();
            self.timestamps[index(d.seq)] = timestamp;
            let (payload_type, n) = self.write_payload(&d, timestamp, &mut payload)?;
            let sequence = self.terms.first_sequence.wrapping_add(d.seq);
            let packet = Packet { payload_type, marker: false, sequence, timestamp, ssrc: self.terms.ssrc, payload: &payload[..n] };
            let clear = packet.emit(&mut self.sealed[..]).ok()?;
            (self.last, self.sealed_len) = (None, 0);
            self.sealed_len = self.protection.seal(false, &mut self.sealed[..], clear)?;
            self.last = Some(d.seq);
        }
        Some(&self.sealed[..self.sealed_len])
    }
    fn timestamp(&self) -> u32 {
        let ms = self.began.map_or(0, |began| self.now.ms_since(began));
        self.terms.first_timestamp.wrapping_add((ms * SAMPLES_PER_MS) as u32)
    }
    /// Primary alone, or with redundant blocks before it, the oldest first (RFC 2198 clause 3). Says the payload type and the length.
    fn write_payload(&self, d: &udptl::Datagram<'_>, timestamp: u32, out: &mut [u8]) -> Option<(u8, usize)> {
        let mut copies: heapless::Vec<(u32, &[u8]), UDPTL_RECOVERY_MAX> = heapless::Vec::new();
        if let (Some(_), Recovery::Redundancy(list)) = (self.terms.redundancy_pt, &d.recovery) {
            for (i, copy) in list.iter().enumerate() {
                let offset = timestamp.wrapping_sub(self.timestamps[index(d.seq.wrapping_sub(i as u16 + 1))]);
                // Blocks have no numbers: a gap among them would make the rest others than they are.
                if offset > OFFSET_MAX || copy.len() > BLOCK_BYTES_MAX || copies.push((offset, copy)).is_err() {
                    break;
                }
            }
        }
        let mut w = Writer { out, at: 0 };
        let Some(redundancy_pt) = self.terms.redundancy_pt.filter(|_| !copies.is_empty()) else {
            w.put(d.primary)?;
            return Some((self.terms.payload_type, w.at));
        };
        for (offset, copy) in copies.iter().rev() {
            let word = u32::from(0x80 | self.terms.payload_type) << 24 | offset << 10 | copy.len() as u32;
            w.put(&word.to_be_bytes())?;
        }
        w.put(&[self.terms.payload_type])?;
        for (_, copy) in copies.iter().rev() {
            w.put(copy)?;
        }
        w.put(d.primary)?;
        Some((redundancy_pt, w.at))
    }

    /// Opens what came; `payload` gets it as a UDPTL datagram.
    pub(super) fn open(&mut self, datagram: &[u8], payload: &mut impl FnMut(&[u8])) -> Came {
        if looks_like_rtcp(datagram) {
            return Came::Nothing;
        }
        let replayed = self.protection.counts().replayed;
        let Some(n) = self.protection.open(false, datagram, &mut self.room) else {
            return if self.protection.counts().replayed > replayed { Came::Nothing } else { Came::Dropped };
        };
        match self.translate(n) {
            Some(n) => {
                payload(&self.translated[..n]);
                Came::Payload
            }
            None => Came::Dropped,
        }
    }
    fn translate(&mut self, n: usize) -> Option<usize> {
        let packet = Packet::parse(&self.room[..n]).ok()?;
        let (primary, copies) = match packet.payload_type {
            pt if pt == self.terms.payload_type => (packet.payload, heapless::Vec::new()),
            pt if Some(pt) == self.terms.redundancy_pt => read_blocks(packet.payload, self.terms.payload_type)?,
            _ => return None,
        };
        if primary.is_empty() {
            return None;
        }
        let number = number(&mut self.source, &mut self.next_source, &packet)?;
        udptl::write(number, primary, &copies, &mut self.translated[..])
    }
}

/// The leg's number of a packet, if it is of the source that is followed: the first one heard, or one that another SSRC's second packet in a
/// row proves.
fn number(source: &mut Option<Source>, next_source: &mut Option<(u32, u16)>, packet: &Packet<'_>) -> Option<u16> {
    let (ssrc, sequence) = (packet.ssrc, packet.sequence);
    match source {
        Some(s) if s.ssrc == ssrc => {
            *next_source = None;
            let number = sequence.wrapping_sub(s.ahead_by);
            if number.wrapping_sub(s.newest) < 0x8000 {
                s.newest = number;
            }
            Some(number)
        }
        Some(_) if *next_source != Some((ssrc, sequence)) => {
            *next_source = Some((ssrc, sequence.wrapping_add(1)));
            None
        }
        _ => {
            let number = source.map_or(FIRST_NUMBER, |s| s.newest.wrapping_add(LEAP));
            *source = Some(Source { ssrc, ahead_by: sequence.wrapping_sub(number), newest: number });
            *next_source = None;
            Some(number)
        }
    }
}

/// The primary block of an RFC 2198 payload, and the ones before it, newest first; one of another payload type counts as nothing.
fn read_blocks(payload: &[u8], payload_type: u8) -> Option<(&[u8], heapless::Vec<&[u8], UDPTL_RECOVERY_MAX>)> {
    let mut lengths: heapless::Vec<(bool, usize), UDPTL_RECOVERY_MAX> = heapless::Vec::new();
    let (mut rest, mut skipped) = (payload, 0);
    loop {
        let (first, behind) = rest.split_first()?;
        if first & 0x80 == 0 {
            rest = behind;
            if first & 0x7F != payload_type {
                return None;
            }
            break;
        }
        let (header, behind) = rest.split_at_checked(4)?;
        let length = usize::from(header[2] & 3) << 8 | usize::from(header[3]);
        if lengths.is_full() {
            // More than anybody remembers: the oldest go.
            skipped += lengths.remove(0).1;
        }
        let _ = lengths.push((first & 0x7F == payload_type, length));
        rest = behind;
    }
    rest = rest.get(skipped..)?;
    let mut copies = heapless::Vec::new();
    for (ours, length) in lengths {
        let (block, behind) = rest.split_at_checked(length)?;
        let _ = copies.push(if ours { block } else { &[] });
        rest = behind;
    }
    copies.reverse();
    Some((rest, copies))
}

const fn index(number: u16) -> usize {
    number as usize % UDPTL_WINDOW
}

struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn put(&mut self, octets: &[u8]) -> Option<()> {
        self.out.get_mut(self.at..self.at + octets.len())?.copy_from_slice(octets);
        self.at += octets.len();
        Some(())
    }
}

#[cfg(test)]
mod tests;
