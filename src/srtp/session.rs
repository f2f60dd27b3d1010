//! Both directions of one leg: who sends and who is heard, roll-over counters, replay windows, rekeying, and counts of what was dropped.

use super::master_key::{Keys, MasterKey};
use super::profile::Profile;
use super::transform::{E_BIT, INDEX_BYTES, Kind, RTCP_HEADER_BYTES, Transform};
use super::window::{RTCP_INDEX_MAX, Window, estimate};
use crate::limits::SRTP_SOURCES_MAX;
use core::fmt;
use heapless::Vec;

/// Octets of an RTP header without CSRCs and extension.
const RTP_HEADER_BYTES: usize = 12;

/// Why a packet went no further.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Dropped {
    /// Not RTP or RTCP of version 2, or too short to be protected.
    Malformed,
    /// SRTCP that says it is not encrypted. Ours always is, so it is not the peer's.
    NotEncrypted,
    /// Seen before, or too old to know.
    Replayed,
    /// The tag is wrong: forged, damaged, or under a key that we do not have.
    NotAuthentic,
    /// The key has protected as many packets as it may (2^48 RTP, 2^31 RTCP); or a packet of ours would use key stream a second time.
    Exhausted,
    /// More sources than a session keeps apart.
    TooManySources,
    /// No room for the tag behind the packet.
    NoRoom,
}

/// What was dropped, by reason. Since the session began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// See [`Dropped::Malformed`].
    pub malformed: u64,
    /// See [`Dropped::NotEncrypted`].
    pub not_encrypted: u64,
    /// See [`Dropped::Replayed`].
    pub replayed: u64,
    /// See [`Dropped::NotAuthentic`].
    pub not_authentic: u64,
    /// See [`Dropped::Exhausted`].
    pub exhausted: u64,
    /// See [`Dropped::TooManySources`].
    pub too_many_sources: u64,
    /// See [`Dropped::NoRoom`].
    pub no_room: u64,
    /// Packets that were protected or found authentic.
    pub passed: u64,
    /// Tags computed to check packets: what strangers make us work.
    pub tags_checked: u64,
}

impl core::ops::AddAssign for Counts {
    fn add_assign(&mut self, more: Counts) {
        self.malformed += more.malformed;
        self.not_encrypted += more.not_encrypted;
        self.replayed += more.replayed;
        self.not_authentic += more.not_authentic;
        self.exhausted += more.exhausted;
        self.too_many_sources += more.too_many_sources;
        self.no_room += more.no_room;
        self.passed += more.passed;
        self.tags_checked += more.tags_checked;
    }
}

impl Counts {
    fn count(&mut self, result: Result<usize, Dropped>) -> Result<usize, Dropped> {
        let which = match result {
            Ok(_) => &mut self.passed,
            Err(Dropped::Malformed) => &mut self.malformed,
            Err(Dropped::NotEncrypted) => &mut self.not_encrypted,
            Err(Dropped::Replayed) => &mut self.replayed,
            Err(Dropped::NotAuthentic) => &mut self.not_authentic,
            Err(Dropped::Exhausted) => &mut self.exhausted,
            Err(Dropped::TooManySources) => &mut self.too_many_sources,
            Err(Dropped::NoRoom) => &mut self.no_room,
        };
        *which += 1;
        result
    }
}

/// SRTP and SRTCP of one leg.
pub struct Session {
    keys: Keys,
    sender: Sender,
    receiver: Receiver,
    /// The keys before these, until a packet under these is authentic.
    previous: Option<Receiver>,
    counts: Counts,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("profile", &self.keys.profile()).field("counts", &self.counts).finish_non_exhaustive()
    }
}

impl Session {
    /// A session that has neither sent nor heard anything. Our SSRCs under these keys must not have been used with them before: another
    /// session of the same keys starts its roll-over counters again.
    pub fn new(keys: &Keys) -> Session {
        Session { sender: Sender::new(keys), receiver: Receiver::new(keys), previous: None, counts: Counts::default(), keys: keys.clone() }
    }

    /// Takes what offer and answer say now. A key that stays leaves its direction as it is. With another key the roll-over counters go on
    /// (RFC 3711 clause 3.3.1), and of the peer also packets under the key before are taken until one under the new key is authentic.
    pub fn rekey(&mut self, keys: &Keys) {
        let other_profile = keys.profile() != self.keys.profile();
        if other_profile || keys.send() != self.keys.send() {
            self.sender.rekey(keys);
        }
        if other_profile || keys.receive() != self.keys.receive() {
            let present = core::mem::replace(&mut self.receiver, Receiver::new(keys));
            // A key that never proved itself is not worth keeping for one that did.
            let proven = match self.previous.take() {
                Some(older) if present.latest.is_none() => older,
                _ => present,
            };
            if proven.profile == keys.profile() && proven.key == *keys.receive() {
                // The peer took its new key back. What was heard under the old one is still known.
                self.receiver = proven;
            } else {
                self.receiver.before = proven.latest_index();
                self.previous = Some(proven);
            }
        }
        self.keys = keys.clone();
    }

    /// A session that hears what was recorded: a capture has packets twice and may begin in the middle of a call, so there is no replay
    /// window, and its first packet may have up to two roll-overs behind it. Nothing for live legs.
    pub fn of_recording(keys: &Keys) -> Session {
        let mut session = Session::new(keys);
        session.receiver.is_recording = true;
        session
    }

    /// The keys at present.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }
    /// How packets are protected.
    pub fn profile(&self) -> Profile {
        self.keys.profile()
    }
    /// What was dropped.
    pub fn counts(&self) -> Counts {
        self.counts
    }
    /// Whether a packet of the peer was authentic under the present key.
    pub fn is_proven(&self) -> bool {
        self.receiver.latest.is_some()
    }

    /// Protects the RTP packet in `packet[..length]`; there must be room for the tag behind it. Says the new length.
    pub fn protect_rtp(&mut self, packet: &mut [u8], length: usize) -> Result<usize, Dropped> {
        let result = self.sender.protect_rtp(packet, length);
        self.counts.count(result)
    }

    /// Checks and decrypts an SRTP packet; says how long the RTP packet is. What is refused is left as it came.
    pub fn unprotect_rtp(&mut self, packet: &mut [u8]) -> Result<usize, Dropped> {
        let result = self.unprotect(packet, Receiver::unprotect_rtp);
        self.counts.count(result)
    }

    /// Protects the RTCP packet in `packet[..length]`; there must be room for tag and index behind it. Says the new length.
    pub fn protect_rtcp(&mut self, packet: &mut [u8], length: usize) -> Result<usize, Dropped> {
        let result = self.sender.protect_rtcp(packet, length);
        self.counts.count(result)
    }

    /// Checks and decrypts an SRTCP packet; says how long the RTCP packet is. What is refused is left as it came.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, Dropped> {
        let result = self.unprotect(packet, Receiver::unprotect_rtcp);
        self.counts.count(result)
    }

    fn unprotect(
        &mut self,
        packet: &mut [u8],
        by: fn(&mut Receiver, &mut [u8], &mut u64) -> Result<usize, Dropped>,
    ) -> Result<usize, Dropped> {
        let tags = &mut self.counts.tags_checked;
        let result = by(&mut self.receiver, packet, tags);
        let Some(previous) = &mut self.previous else { return result };
        if result.is_ok() {
            self.previous = None;
            return result;
        }
        let under_previous = by(previous, packet, tags);
        if under_previous.is_ok() {
            self.receiver.before = previous.latest_index();
        }
        match under_previous {
            Ok(_) | Err(Dropped::Replayed) => under_previous,
            Err(_) => result,
        }
    }
}

/// What we send under one key.
struct Sender {
    rtp: Transform,
    rtcp: Transform,
    /// Our SSRCs, and the highest index that each has used.
    streams: Vec<(u32, u64), SRTP_SOURCES_MAX>,
    /// Of the last SRTCP packet. The first has 1: all peers do it so, and what RFC 3711 clause 3.4 says of 0 is met by either.
    rtcp_index: u32,
}

impl Sender {
    fn new(keys: &Keys) -> Sender {
        Sender {
            rtp: Transform::derive(keys.profile(), keys.send(), Kind::Rtp),
            rtcp: Transform::derive(keys.profile(), keys.send(), Kind::Rtcp),
            streams: Vec::new(),
            rtcp_index: 0,
        }
    }

    fn rekey(&mut self, keys: &Keys) {
        self.rtp = Transform::derive(keys.profile(), keys.send(), Kind::Rtp);
        self.rtcp = Transform::derive(keys.profile(), keys.send(), Kind::Rtcp);
        // The SSRC that spoke last is the one that goes on; the others are kept while there is room, for a key that comes back.
        if self.streams.is_full()
            && let Some(last) = self.streams.pop()
        {
            self.streams.clear();
            let _ = self.streams.push(last);
        }
    }

    fn protect_rtp(&mut self, packet: &mut [u8], length: usize) -> Result<usize, Dropped> {
        let clear = packet.get(..length).ok_or(Dropped::NoRoom)?;
        let header = RtpHeader::read(clear).ok_or(Dropped::Malformed)?;
        let whole = packet.get_mut(..length + self.rtp.tag_bytes()).ok_or(Dropped::NoRoom)?;
        let index = match self.streams.iter().position(|(ssrc, _)| *ssrc == header.ssrc) {
            Some(at) => {
                // A second packet with this index would use its key stream twice, and give away the exclusive-or of both.
                let index = estimate(self.streams[at].1, header.sequence).filter(|i| *i > self.streams[at].1).ok_or(Dropped::Exhausted)?;
                // Who speaks stands last.
                self.streams[at].1 = index;
                let last = self.streams.len() - 1;
                self.streams.swap(at, last);
                index
            }
            None => {
                let index = u64::from(header.sequence);
                self.streams.push((header.ssrc, index)).map_err(|_| Dropped::TooManySources)?;
                index
            }
        };
        Ok(self.rtp.seal_rtp(whole, header.bytes, header.ssrc, index))
    }

    fn protect_rtcp(&mut self, packet: &mut [u8], length: usize) -> Result<usize, Dropped> {
        let clear = packet.get(..length).ok_or(Dropped::NoRoom)?;
        let ssrc = rtcp_ssrc(clear).ok_or(Dropped::Malformed)?;
        let whole = packet.get_mut(..length + self.rtcp.tag_bytes() + INDEX_BYTES).ok_or(Dropped::NoRoom)?;
        if u64::from(self.rtcp_index) >= RTCP_INDEX_MAX {
            return Err(Dropped::Exhausted);
        }
        self.rtcp_index += 1;
        Ok(self.rtcp.seal_rtcp(whole, length, ssrc, self.rtcp_index))
    }
}

/// A source of the peer's of which a packet was authentic.
struct Source {
    ssrc: u32,
    rtp: Option<Window>,
    rtcp: Option<Window>,
}

/// What the peer sends under one key.
struct Receiver {
    profile: Profile,
    key: MasterKey,
    rtp: Transform,
    rtcp: Transform,
    sources: Vec<Source, SRTP_SOURCES_MAX>,
    /// The SSRC that was heard last.
    latest: Option<u32>,
    /// Where a source stood under the key before.
    before: Option<(u32, u64)>,
    /// See [`Session::of_recording`].
    is_recording: bool,
}

impl Receiver {
    fn new(keys: &Keys) -> Receiver {
        Receiver {
            profile: keys.profile(),
            key: keys.receive().clone(),
            rtp: Transform::derive(keys.profile(), keys.receive(), Kind::Rtp),
            rtcp: Transform::derive(keys.profile(), keys.receive(), Kind::Rtcp),
            sources: Vec::new(),
            latest: None,
            before: None,
            is_recording: false,
        }
    }

    fn latest_index(&self) -> Option<(u32, u64)> {
        let latest = self.latest?;
        let window = self.sources.iter().find(|s| s.ssrc == latest)?.rtp;
        window.map(|w| (latest, w.highest())).or(self.before)
    }

    fn source(&self, ssrc: u32) -> Option<&Source> {
        self.sources.iter().find(|s| s.ssrc == ssrc)
    }

    fn unprotect_rtp(&mut self, packet: &mut [u8], tags: &mut u64) -> Result<usize, Dropped> {
        let header = RtpHeader::read(packet).ok_or(Dropped::Malformed)?;
        if packet.len() < header.bytes + self.rtp.tag_bytes() {
            return Err(Dropped::Malformed);
        }
        let window = self.source(header.ssrc).and_then(|s| s.rtp);
        let candidates = self.candidates(&header, window)?;
        if !self.is_recording
            && let (Some(w), [Some(index), ..]) = (window, candidates)
            && w.has(index)
        {
            return Err(Dropped::Replayed);
        }
        self.has_place(header.ssrc)?;
        for index in candidates.into_iter().flatten() {
            *tags += 1;
            if let Some(length) = self.rtp.open_rtp(packet, header.bytes, header.ssrc, index) {
                mark(&mut self.authentic(header.ssrc).rtp, index);
                return Ok(length);
            }
        }
        Err(Dropped::NotAuthentic)
    }

    /// The indices that a packet may have, the likeliest first; of a source that is known there is one.
    fn candidates(&self, header: &RtpHeader, window: Option<Window>) -> Result<[Option<u64>; 3], Dropped> {
        let first = u64::from(header.sequence);
        Ok(match (window, self.before) {
            (Some(w), _) => [Some(estimate(w.highest(), header.sequence).ok_or(Dropped::Exhausted)?), None, None],
            // A new source begins with a roll-over counter of 0; one that goes on under another key keeps its own, by the standard: there
            // are peers that begin again.
            (None, Some((ssrc, highest))) if ssrc == header.ssrc => {
                let goes_on = estimate(highest, header.sequence);
                [goes_on, Some(first).filter(|i| Some(*i) != goes_on), None]
            }
            (None, _) if self.is_recording => [Some(first), Some(1 << 16 | first), Some(2 << 16 | first)],
            // A stream that began near its first roll-over while we did not listen yet (early media, before the answer with the key) is beyond
            // it now. Asked of the first packet only.
            (None, _) => {
                let rolled_over = self.latest.is_none() && header.sequence < 0x8000;
                [Some(first), rolled_over.then_some(1 << 16 | first), None]
            }
        })
    }

    fn unprotect_rtcp(&mut self, packet: &mut [u8], tags: &mut u64) -> Result<usize, Dropped> {
        let ssrc = rtcp_ssrc(packet).ok_or(Dropped::Malformed)?;
        if packet.len() < RTCP_HEADER_BYTES + self.rtcp.tag_bytes() + INDEX_BYTES {
            return Err(Dropped::Malformed);
        }
        let word = self.rtcp.rtcp_word(packet);
        if word & E_BIT == 0 {
            return Err(Dropped::NotEncrypted);
        }
        let index = u64::from(word & !E_BIT);
        if self.source(ssrc).and_then(|s| s.rtcp).is_some_and(|w| w.has(index)) {
            return Err(Dropped::Replayed);
        }
        self.has_place(ssrc)?;
        *tags += 1;
        let length = self.rtcp.open_rtcp(packet, ssrc, word).ok_or(Dropped::NotAuthentic)?;
        mark(&mut self.authentic(ssrc).rtcp, index);
        Ok(length)
    }

    fn has_place(&self, ssrc: u32) -> Result<(), Dropped> {
        match self.sources.is_full() && self.source(ssrc).is_none() {
            true => Err(Dropped::TooManySources),
            false => Ok(()),
        }
    }

    /// The place of a source of which a packet was just found authentic.
    fn authentic(&mut self, ssrc: u32) -> &mut Source {
        self.latest = Some(ssrc);
        let at = self.sources.iter().position(|s| s.ssrc == ssrc).unwrap_or_else(|| {
            let _ = self.sources.push(Source { ssrc, rtp: None, rtcp: None });
            self.sources.len() - 1
        });
        &mut self.sources[at]
    }
}

fn mark(window: &mut Option<Window>, index: u64) {
    match window {
        Some(w) => w.insert(index),
        None => *window = Some(Window::new(index)),
    }
}

/// What protection needs to know of an RTP header.
#[derive(Clone, Copy)]
struct RtpHeader {
    ssrc: u32,
    sequence: u16,
    /// With CSRCs and extension: they are not encrypted.
    bytes: usize,
}

impl RtpHeader {
    fn read(packet: &[u8]) -> Option<RtpHeader> {
        if packet.len() < RTP_HEADER_BYTES || packet[0] >> 6 != 2 {
            return None;
        }
        let mut bytes = RTP_HEADER_BYTES + 4 * usize::from(packet[0] & 15);
        if packet[0] & 0x10 != 0 {
            let words = packet.get(bytes + 2..bytes + 4)?;
            bytes += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
        }
        let ssrc = u32::from_be_bytes([packet[8], packet[9], packet[10], packet[11]]);
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        (packet.len() >= bytes).then_some(RtpHeader { ssrc, sequence, bytes })
    }
}

/// The sender's SSRC of what looks like RTCP: version 2, payload types 192 to 223 (RFC 5761 clause 4).
fn rtcp_ssrc(packet: &[u8]) -> Option<u32> {
    if packet.len() < RTCP_HEADER_BYTES || packet[0] >> 6 != 2 || !(192..=223).contains(&packet[1]) {
        return None;
    }
    Some(u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]))
}

/// Where counters stand, set for tests of what takes years.
#[cfg(test)]
impl Session {
    pub(super) fn set_sent(&mut self, ssrc: u32, index: u64) {
        self.sender.streams.retain(|(s, _)| *s != ssrc);
        let _ = self.sender.streams.push((ssrc, index));
    }
    pub(super) fn set_rtcp_sent(&mut self, index: u32) {
        self.sender.rtcp_index = index;
    }
    pub(super) fn set_received(&mut self, ssrc: u32, index: u64) {
        self.receiver.authentic(ssrc).rtp = Some(Window::new(index));
    }
    pub(super) fn sources(&self) -> usize {
        self.receiver.sources.len()
    }
}
