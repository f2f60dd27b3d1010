//! RTCP: sender and receiver reports, SDES CNAME and BYE, both ways, and when to send them. Read RFC 3550 clauses 6.2 to 6.4 and 6.6.
//!
//! A leg has two members and never more, so the interval is computed for two and needs no reconsideration. The NTP fields count
//! the monotone clock (clause 4 allows elapsed time): the core has no wall clock, and round trips need only differences.

use crate::clock::{Instant, Rng};
use core::time::Duration;

/// Bytes of the largest compound packet we send: SR with one block 52, SDES at most 8 + 2 + 64 + 4, BYE 8.
pub const COMPOUND_BYTES_MAX: usize = 160;
/// Bytes of a CNAME we send. A random one (RFC 7022) has 16 to 24.
pub const CNAME_BYTES_MAX: usize = 64;
/// Packets read in one compound packet; real ones have two to four.
const PACKETS_MAX: usize = 16;

const SR: u8 = 200;
const RR: u8 = 201;
const SDES: u8 = 202;
const BYE: u8 = 203;

/// What a sender says of itself in an SR.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SenderInfo {
    /// NTP timestamp, 32.32 seconds.
    pub ntp: u64,
    /// The RTP timestamp of the same moment.
    pub rtp_timestamp: u32,
    /// RTP packets sent.
    pub packets: u32,
    /// Payload bytes sent.
    pub bytes: u32,
}

/// What a receiver says of one source.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReportBlock {
    /// The source it is about.
    pub ssrc: u32,
    /// Lost since the last report, in 256ths.
    pub fraction_lost: u8,
    /// Lost in all, 24 bits signed.
    pub lost: i32,
    /// Highest sequence number with wraps.
    pub highest_extended: u32,
    /// Interarrival jitter in samples.
    pub jitter_samples: u32,
    /// Middle 32 bits of the NTP timestamp of the last SR, or 0.
    pub last_sr: u32,
    /// Delay since that SR in 1/65536 s.
    pub delay_since_last_sr: u32,
}

/// Why a compound packet was not believed; always the sender's fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// A version other than 2, or a length beyond the datagram.
    Framing,
    /// A compound packet must open with SR or RR (clause 6.1).
    FirstIsNoReport,
    /// A block count that does not fit the packet's length.
    Truncated,
    /// More packets in one datagram than anyone sends.
    TooMany,
}

/// A compound packet as far as a leg cares.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Compound {
    /// Who sent it.
    pub from_ssrc: u32,
    /// The SR's sender part, if it was an SR.
    pub sender: Option<SenderInfo>,
    /// The block about the SSRC that was asked for.
    pub about_us: Option<ReportBlock>,
    /// The sender said good-bye.
    pub bye: bool,
    /// It carried a CNAME of this many bytes.
    pub cname_bytes: Option<u8>,
}

impl Compound {
    /// Reads a compound packet, looking for what it says about `our_ssrc`.
    pub fn parse(datagram: &[u8], our_ssrc: u32) -> Result<Compound, Malformed> {
        let mut found = Compound::default();
        let mut rest = datagram;
        let mut count = 0;
        while !rest.is_empty() {
            if count == PACKETS_MAX {
                return Err(Malformed::TooMany);
            }
            let (header, body, next) = split(rest)?;
            if count == 0 && header.kind != SR && header.kind != RR {
                return Err(Malformed::FirstIsNoReport);
            }
            match header.kind {
                SR => found.read_sr(header.count, body, count == 0, our_ssrc)?,
                RR => found.read_rr(header.count, body, count == 0, our_ssrc)?,
                SDES => found.read_sdes(header.count, body),
                BYE => found.read_bye(header.count, body)?,
                // APP, XR, feedback: legal, and nothing to us.
                _ => {}
            }
            rest = next;
            count += 1;
        }
        if count == 0 { Err(Malformed::Framing) } else { Ok(found) }
    }

    fn read_sr(&mut self, blocks: usize, body: &[u8], first: bool, our_ssrc: u32) -> Result<(), Malformed> {
        if body.len() < 24 + blocks * 24 {
            return Err(Malformed::Truncated);
        }
        let from = u32_at(body, 0);
        if first {
            self.from_ssrc = from;
        }
        if from == self.from_ssrc {
            self.sender = Some(SenderInfo {
                ntp: u64::from(u32_at(body, 4)) << 32 | u64::from(u32_at(body, 8)),
                rtp_timestamp: u32_at(body, 12),
                packets: u32_at(body, 16),
                bytes: u32_at(body, 20),
            });
            self.read_blocks(&body[24..24 + blocks * 24], our_ssrc);
        }
        Ok(())
    }

    fn read_rr(&mut self, blocks: usize, body: &[u8], first: bool, our_ssrc: u32) -> Result<(), Malformed> {
        if body.len() < 4 + blocks * 24 {
            return Err(Malformed::Truncated);
        }
        let from = u32_at(body, 0);
        if first {
            self.from_ssrc = from;
        }
        if from == self.from_ssrc {
            self.read_blocks(&body[4..4 + blocks * 24], our_ssrc);
        }
        Ok(())
    }

    fn read_blocks(&mut self, blocks: &[u8], our_ssrc: u32) {
        for b in blocks.chunks_exact(24) {
            if u32_at(b, 0) == our_ssrc {
                self.about_us = Some(ReportBlock {
                    ssrc: our_ssrc,
                    fraction_lost: b[4],
                    // 24 bits, sign extended.
                    lost: (u32_at(b, 4) << 8) as i32 >> 8,
                    highest_extended: u32_at(b, 8),
                    jitter_samples: u32_at(b, 12),
                    last_sr: u32_at(b, 16),
                    delay_since_last_sr: u32_at(b, 20),
                });
            }
        }
    }

    fn read_sdes(&mut self, chunks: usize, body: &[u8]) {
        // Only the first chunk's first item: RFC 3550 wants CNAME there, and a leg's peer has one source.
        if chunks > 0 && body.len() >= 6 && body[4] == 1 && body.len() >= 6 + usize::from(body[5]) {
            self.cname_bytes = Some(body[5]);
        }
    }

    fn read_bye(&mut self, sources: usize, body: &[u8]) -> Result<(), Malformed> {
        if body.len() < sources * 4 {
            return Err(Malformed::Truncated);
        }
        self.bye |= body[..sources * 4].chunks_exact(4).any(|s| u32_at(s, 0) == self.from_ssrc);
        Ok(())
    }
}

struct Header {
    kind: u8,
    count: usize,
}

fn split(bytes: &[u8]) -> Result<(Header, &[u8], &[u8]), Malformed> {
    if bytes.len() < 4 || bytes[0] >> 6 != 2 {
        return Err(Malformed::Framing);
    }
    let end = 4 * (usize::from(u16::from_be_bytes([bytes[2], bytes[3]])) + 1);
    if end > bytes.len() {
        return Err(Malformed::Framing);
    }
    let mut body = &bytes[4..end];
    if bytes[0] & 0x20 != 0 {
        let padding = usize::from(*body.last().ok_or(Malformed::Framing)?);
        if padding == 0 || padding > body.len() {
            return Err(Malformed::Framing);
        }
        body = &body[..body.len() - padding];
    }
    Ok((Header { kind: bytes[1], count: usize::from(bytes[0] & 31) }, body, &bytes[end..]))
}

/// The caller checked the length.
fn u32_at(b: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}

/// What goes into one compound packet of ours.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Our SSRC.
    pub ssrc: u32,
    /// Present makes it an SR, absent an RR (clause 6.4: sent media since the report before last?).
    pub sender: Option<SenderInfo>,
    /// What we hear of the peer.
    pub block: Option<ReportBlock>,
    /// Our CNAME, at most [`CNAME_BYTES_MAX`]; longer ones are cut.
    pub cname: &'a str,
    /// Adds a BYE.
    pub bye: bool,
}

impl Outgoing<'_> {
    /// Writes the compound packet; says how many bytes it took. Always fits.
    pub fn emit(&self, to: &mut [u8; COMPOUND_BYTES_MAX]) -> usize {
        let mut w = Writer { to, at: 0 };
        let blocks = u8::from(self.block.is_some());
        w.packet(blocks, if self.sender.is_some() { SR } else { RR }, |w| {
            w.u32(self.ssrc);
            if let Some(s) = self.sender {
                w.u32((s.ntp >> 32) as u32);
                w.u32(s.ntp as u32);
                w.u32(s.rtp_timestamp);
                w.u32(s.packets);
                w.u32(s.bytes);
            }
            if let Some(b) = self.block {
                w.u32(b.ssrc);
                let lost = b.lost.clamp(-0x80_0000, 0x7F_FFFF) as u32 & 0xFF_FFFF;
                w.u32(u32::from(b.fraction_lost) << 24 | lost);
                w.u32(b.highest_extended);
                w.u32(b.jitter_samples);
                w.u32(b.last_sr);
                w.u32(b.delay_since_last_sr);
            }
        });
        let cname = &self.cname.as_bytes()[..self.cname.len().min(CNAME_BYTES_MAX)];
        w.packet(1, SDES, |w| {
            w.u32(self.ssrc);
            w.bytes(&[1, cname.len() as u8]);
            w.bytes(cname);
            // At least one null ends the chunk; more fill the word (clause 6.5).
            w.bytes(&[0]);
            while w.at % 4 != 0 {
                w.bytes(&[0]);
            }
        });
        if self.bye {
            w.packet(1, BYE, |w| w.u32(self.ssrc));
        }
        w.at
    }
}

struct Writer<'a> {
    to: &'a mut [u8; COMPOUND_BYTES_MAX],
    at: usize,
}

impl Writer<'_> {
    fn packet(&mut self, count: u8, kind: u8, body: impl FnOnce(&mut Self)) {
        let start = self.at;
        self.bytes(&[0x80 | count, kind, 0, 0]);
        body(self);
        let words = ((self.at - start) / 4 - 1) as u16;
        self.to[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
    }
    fn u32(&mut self, v: u32) {
        self.bytes(&v.to_be_bytes());
    }
    fn bytes(&mut self, b: &[u8]) {
        self.to[self.at..self.at + b.len()].copy_from_slice(b);
        self.at += b.len();
    }
}

/// The least interval between reports (clause 6.2), halved before the first.
const INTERVAL_MIN_MS: u64 = 5000;
/// RTCP's share of the session: 5 % of two directions of G.711 with headers, in bytes a second.
const BANDWIDTH_BYTES_S: u64 = 2 * 10_000 / 20;

/// When the next report is due: clause 6.3.1 for two members, randomised by seed.
#[derive(Clone, Debug)]
pub struct Schedule {
    rng: Rng,
    due: Option<Instant>,
    average_bytes: u64,
}

impl Schedule {
    /// Starts with half the interval, counted from the first call of [`Schedule::is_due`].
    pub fn new(rng: Rng) -> Self {
        Schedule { rng, due: None, average_bytes: 120 }
    }
    /// True once, when a report is due; arms the next.
    pub fn is_due(&mut self, now: Instant) -> bool {
        match self.due {
            None => {
                self.due = Some(now + self.interval(INTERVAL_MIN_MS / 2));
                false
            }
            Some(due) if now >= due => {
                self.due = Some(now + self.interval(INTERVAL_MIN_MS));
                true
            }
            Some(_) => false,
        }
    }
    /// Takes the size of a compound packet sent or received, with its UDP and IP headers, into the average.
    pub fn saw(&mut self, bytes: usize) {
        self.average_bytes = (self.average_bytes * 15 + bytes as u64 + 28) / 16;
    }
    fn interval(&mut self, least_ms: u64) -> Duration {
        let fair_ms = 2 * self.average_bytes * 1000 / BANDWIDTH_BYTES_S;
        let base = least_ms.max(fair_ms) as f64;
        // Between a half and one and a half, divided by e - 3/2 (clause 6.3.1, step 5 and 6).
        Duration::from_micros((base * 1000.0 * (0.5 + self.rng.unit()) / 1.21828) as u64)
    }
}

/// The monotone clock as an NTP timestamp; a day ahead so that its middle bits are not nought, which means "none".
pub fn ntp(now: Instant) -> u64 {
    let us = now.as_us() + 86_400_000_000;
    let seconds = us / 1_000_000;
    let fraction = (us % 1_000_000) * (1 << 32) / 1_000_000;
    seconds << 32 | fraction
}

/// The middle 32 bits: units of 1/65536 s.
pub fn ntp_middle(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}

/// Round trip in microseconds from a block about us (clause 6.4.1), if it answers an SR and makes sense.
pub fn round_trip_us(now: Instant, block: &ReportBlock) -> Option<u64> {
    if block.last_sr == 0 {
        return None;
    }
    let trip = ntp_middle(ntp(now)).wrapping_sub(block.last_sr).wrapping_sub(block.delay_since_last_sr);
    // A negative trip (clocks of 1/65536 s rounding, or a lie) wraps to a huge one; over a minute is nonsense too.
    if trip > u32::MAX - 655 {
        return Some(0);
    }
    (trip < 60 * 65_536).then(|| u64::from(trip) * 1_000_000 / 65_536)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block() -> impl Strategy<Value = ReportBlock> {
        (any::<u32>(), any::<u8>(), -0x80_0000i32..0x80_0000, any::<u32>(), any::<u32>(), any::<u32>(), any::<u32>()).prop_map(
            |(ssrc, fraction_lost, lost, highest_extended, jitter_samples, last_sr, delay_since_last_sr)| ReportBlock {
                ssrc,
                fraction_lost,
                lost,
                highest_extended,
                jitter_samples,
                last_sr,
                delay_since_last_sr,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_emitted_is_parsed_back(ssrc: u32, ntp: u64, ts: u32, sr: bool, block in proptest::option::of(block()), bye: bool,
                                          cname in "[a-z0-9@.]{0,80}") {
            let sender = sr.then_some(SenderInfo { ntp, rtp_timestamp: ts, packets: 7, bytes: 1120 });
            let mut bytes = [0; COMPOUND_BYTES_MAX];
            let n = Outgoing { ssrc, sender, block, cname: &cname, bye }.emit(&mut bytes);
            prop_assert_eq!(n % 4, 0);
            let back = Compound::parse(&bytes[..n], block.map_or(0, |b| b.ssrc)).unwrap();
            prop_assert_eq!(back, Compound { from_ssrc: ssrc, sender, about_us: block, bye, cname_bytes: Some(cname.len().min(64) as u8) });
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 200u8..208) {
            let _ = Compound::parse(&bytes, 1);
            let mut framed = bytes.clone();
            if framed.len() >= 4 {
                framed[0] = 0x80 | framed[0] & 0x3F;
                framed[1] = kind;
                framed[2..4].copy_from_slice(&((bytes.len() / 4 - 1) as u16).to_be_bytes());
                let _ = Compound::parse(&framed, 1);
            }
        }
    }

    #[test]
    fn short_and_truncated_compounds_are_refused() {
        assert_eq!(Compound::parse(&[], 0), Err(Malformed::Framing));
        assert_eq!(Compound::parse(&[0x80, 201, 0], 0), Err(Malformed::Framing));
        assert_eq!(Compound::parse(&[0x81, 201, 0, 1, 0, 0, 0, 9], 0), Err(Malformed::Truncated));
        assert_eq!(Compound::parse(&[0x81, 203, 0, 1, 0, 0, 0, 9], 0), Err(Malformed::FirstIsNoReport));
        assert_eq!(Compound::parse(&[0x80; 4], 0), Err(Malformed::Framing));
    }

    #[test]
    fn round_trip_leaves_the_peers_own_delay_out() {
        let (sent, back) = (Instant::from_ms(1000), Instant::from_ms(1350));
        let block = ReportBlock { last_sr: ntp_middle(ntp(sent)), delay_since_last_sr: 65_536 / 4, ..ReportBlock::default() };
        let trip = round_trip_us(back, &block).unwrap();
        assert!((99_900..=100_100).contains(&trip), "{trip}");
        assert_eq!(round_trip_us(back, &ReportBlock { last_sr: 5, ..block }), None);
    }

    #[test]
    fn reports_keep_their_interval_and_differ_by_seed() {
        let mut first = Vec::new();
        for seed in 0..50 {
            let mut s = Schedule::new(crate::clock::Rng::new(seed));
            let times: Vec<u64> = (0..3000u64).map(|t| t * 20).filter(|t| s.is_due(Instant::from_ms(*t))).collect();
            assert!((1000..=3100).contains(&times[0]), "{times:?}");
            assert!(times.windows(2).all(|w| (2000..=6200).contains(&(w[1] - w[0]))), "{times:?}");
            first.push(times[0]);
        }
        first.dedup();
        assert!(first.len() > 30);
    }
}
