//! RTP: the header, and what sequence numbers tell about a source. Read RFC 3550 clause 5.1 and appendix A.1, A.3, A.8.
//!
//! The bytes are rtp-rs's business; when to trust a number is ours: [`Source`] follows one SSRC through wrap, loss, reordering,
//! duplicates and restarts. The order of samples in time is not decided here but in `jitter`, by timestamp.

use crate::clock::Instant;
use rtp_rs::{RtpPacketBuilder, RtpReader};

/// Bytes of the fixed RTP header; we send neither CSRCs nor extensions.
pub const HEADER_BYTES: usize = RtpReader::MIN_HEADER_LEN;
/// Payload type of comfort noise at 8 kHz (RFC 3551 table 4, RFC 3389).
pub const PT_COMFORT_NOISE: u8 = 13;

/// One RTP packet: the fields that a leg uses, and its payload where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet<'a> {
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// The marker: first packet of a talk spurt or of an event.
    pub marker: bool,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp of the first sample, in samples.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// The payload without padding.
    pub payload: &'a [u8],
}

/// The sender's datagram is not RTP version 2, or its lengths contradict each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

/// The packet does not fit the buffer, or its payload type is above 127.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DoesNotFit;

impl<'a> Packet<'a> {
    /// Reads a datagram; header extensions and CSRCs are stepped over.
    pub fn parse(datagram: &'a [u8]) -> Result<Packet<'a>, Malformed> {
        let r = RtpReader::new(datagram).map_err(|_| Malformed)?;
        Ok(Packet {
            payload_type: r.payload_type(),
            marker: r.mark(),
            sequence: r.sequence_number().into(),
            timestamp: r.timestamp(),
            ssrc: r.ssrc(),
            payload: r.payload(),
        })
    }

    /// Writes the packet to the start of `to`; says how many bytes it took.
    pub fn emit(&self, to: &mut [u8]) -> Result<usize, DoesNotFit> {
        RtpPacketBuilder::new()
            .payload_type(self.payload_type)
            .marked(self.marker)
            .sequence(self.sequence.into())
            .timestamp(self.timestamp)
            .ssrc(self.ssrc)
            .payload(self.payload)
            .build_into(to)
            .map_err(|_| DoesNotFit)
    }
}

/// True if the second byte is that of an RTCP packet (RFC 5761 clause 4: types 192 to 223).
pub fn looks_like_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram.get(1), Some(192..=223))
}

/// What a sequence number meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// The next one, or one after a gap.
    InOrder,
    /// Older than the newest, and not seen before.
    Reordered,
    /// Seen before.
    Duplicate,
    /// So far off that it is not believed yet.
    Jump,
    /// The second in a row after a jump: the source started over.
    Restarted,
}

/// Sequence distance forward that is still a loss and not a restart (RFC 3550 A.1).
const MAX_DROPOUT: u16 = 3000;
/// Sequence distance backward that is still reordering (RFC 3550 A.1).
const MAX_MISORDER: u16 = 100;

/// One synchronisation source as the receiver sees it.
#[derive(Clone, Debug)]
pub struct Source {
    ssrc: u32,
    base_extended: u64,
    highest_extended: u64,
    /// Bit n: `highest_extended - n` was seen.
    seen: u128,
    bad_next: Option<u16>,
    received: u64,
    /// Losses of earlier lives of this SSRC, before a restart.
    lost_before: i64,
    expected_prior: u64,
    received_prior: u64,
    transit: Option<i64>,
    /// Interarrival jitter times 16, in samples (RFC 3550 A.8).
    jitter_q4: u32,
}

impl Source {
    /// A source whose first packet had this number; the packet is counted as received.
    pub fn new(ssrc: u32, sequence: u16) -> Self {
        // One wrap above zero, so that a reordered packet from before the first has a number too.
        let extended = 0x1_0000 + u64::from(sequence);
        Source {
            ssrc,
            base_extended: extended,
            highest_extended: extended,
            seen: 1,
            bad_next: None,
            received: 1,
            lost_before: 0,
            expected_prior: 0,
            received_prior: 0,
            transit: None,
            jitter_q4: 0,
        }
    }

    /// Takes the number of the next packet of this source.
    pub fn update(&mut self, sequence: u16) -> Arrival {
        let ahead = sequence.wrapping_sub(self.highest_extended as u16);
        if ahead == 0 {
            return Arrival::Duplicate;
        }
        if ahead < MAX_DROPOUT {
            self.bad_next = None;
            self.highest_extended += u64::from(ahead);
            self.seen = if ahead < 128 { self.seen << ahead | 1 } else { 1 };
            self.received += 1;
            return Arrival::InOrder;
        }
        let behind = ahead.wrapping_neg();
        if behind <= MAX_MISORDER {
            let bit = 1u128 << behind;
            if self.seen & bit != 0 {
                return Arrival::Duplicate;
            }
            self.seen |= bit;
            self.base_extended = self.base_extended.min(self.highest_extended - u64::from(behind));
            self.received += 1;
            return Arrival::Reordered;
        }
        if self.bad_next == Some(sequence) {
            self.lost_before = self.lost();
            let (lost, jitter_q4) = (self.lost_before, self.jitter_q4);
            *self = Source { lost_before: lost, jitter_q4, ..Source::new(self.ssrc, sequence) };
            return Arrival::Restarted;
        }
        self.bad_next = Some(sequence.wrapping_add(1));
        Arrival::Jump
    }

    /// Feeds the interarrival jitter (RFC 3550 A.8) with an audio packet's arrival.
    pub fn arrived(&mut self, now: Instant, timestamp: u32) {
        let arrival = (now.as_us() / 125) as u32;
        let transit = i64::from(arrival.wrapping_sub(timestamp) as i32);
        if let Some(before) = self.transit {
            let d = (transit - before).unsigned_abs().min(u64::from(u16::MAX)) as u32;
            self.jitter_q4 = self.jitter_q4 + d - ((self.jitter_q4 + 8) >> 4);
        }
        self.transit = Some(transit);
    }

    /// Forgets the last transit, so that a timestamp jump is not taken for jitter.
    pub fn forget_transit(&mut self) {
        self.transit = None;
    }

    /// Packets expected and never seen so far (negative with duplicates is impossible here: those are not counted).
    pub fn lost(&self) -> i64 {
        self.lost_before + self.expected() as i64 - self.received as i64
    }

    /// The fraction lost since the last call, in 256ths (RFC 3550 A.3).
    pub fn take_fraction_lost(&mut self) -> u8 {
        let expected = self.expected() - self.expected_prior;
        let received = self.received - self.received_prior;
        self.expected_prior = self.expected();
        self.received_prior = self.received;
        if expected == 0 || received >= expected {
            return 0;
        }
        ((expected - received) * 256 / expected).min(255) as u8
    }

    /// The SSRC.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }
    /// Highest sequence number with its count of wraps (the form of a report block).
    pub fn highest_extended(&self) -> u32 {
        (self.highest_extended - 0x1_0000) as u32
    }
    /// Interarrival jitter in samples.
    pub fn jitter_samples(&self) -> u32 {
        self.jitter_q4 >> 4
    }

    fn expected(&self) -> u64 {
        self.highest_extended - self.base_extended + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_emitted_is_parsed_back(pt in 0u8..128, marker: bool, sequence: u16, timestamp: u32, ssrc: u32,
                                          payload in proptest::collection::vec(any::<u8>(), 0..480)) {
            let packet = Packet { payload_type: pt, marker, sequence, timestamp, ssrc, payload: &payload };
            let mut bytes = [0u8; 500];
            let n = packet.emit(&mut bytes).unwrap();
            prop_assert_eq!(Packet::parse(&bytes[..n]), Ok(packet));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Packet::parse(&bytes);
        }
    }

    #[test]
    fn sequence_wraps_without_loss() {
        let mut s = Source::new(1, 65_533);
        for n in [65_534u16, 65_535, 0, 1, 2] {
            assert_eq!(s.update(n), Arrival::InOrder);
        }
        assert_eq!((s.lost(), s.highest_extended()), (0, 0x1_0002));
    }

    #[test]
    fn loss_reorder_duplicate_and_restart_are_told_apart() {
        let mut s = Source::new(1, 10);
        assert_eq!(s.update(13), Arrival::InOrder);
        assert_eq!(s.lost(), 2);
        assert_eq!(s.update(11), Arrival::Reordered);
        assert_eq!(s.update(11), Arrival::Duplicate);
        assert_eq!(s.update(13), Arrival::Duplicate);
        assert_eq!(s.lost(), 1);
        assert_eq!(s.take_fraction_lost(), 64);
        assert_eq!(s.update(40_000), Arrival::Jump);
        assert_eq!(s.update(40_001), Arrival::Restarted);
        assert_eq!(s.update(40_002), Arrival::InOrder);
        assert_eq!(s.lost(), 1, "losses of the first life stay counted");
    }

    #[test]
    fn a_packet_from_before_the_first_is_not_a_negative_loss() {
        let mut s = Source::new(1, 0);
        assert_eq!(s.update(65_535), Arrival::Reordered);
        assert_eq!(s.lost(), 0);
    }

    #[test]
    fn jitter_of_an_even_stream_is_nought() {
        let mut s = Source::new(1, 0);
        for n in 0..100u32 {
            s.arrived(Instant::from_ms(u64::from(n) * 20), 1000 + n * 160);
        }
        assert_eq!(s.jitter_samples(), 0);
    }
}
