//! Where the peer really is: symmetric RTP (RFC 4961) behind address translation, without letting strangers in.
//!
//! The signalled address counts until it is silent and somebody else sends a few packets in a row of the right payload with the SSRC
//! that is already known (any, if none is). Then media follows. While the present source is heard, nobody else gets a word in.

use crate::clock::Instant;
use core::net::SocketAddr;

/// Packets in a row that a new source must send.
const LATCH_PACKETS: u8 = 3;
/// The present source must have been silent this long before another is considered.
const QUIET_MS: u64 = 300;
/// Largest step of sequence numbers that still counts as in a row.
const STEP_MAX: u16 = 4;

/// What to do with a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission {
    /// From the peer.
    Peer,
    /// From the peer, who has just been found at another address.
    Moved,
    /// From somebody else.
    Foreign,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    source: SocketAddr,
    ssrc: u32,
    sequence: u16,
    packets: u8,
}

/// Follows the peer's address.
#[derive(Clone, Debug)]
pub struct Latch {
    peer: SocketAddr,
    heard: Option<Instant>,
    candidate: Option<Candidate>,
}

impl Latch {
    /// Starts with the signalled address.
    pub fn new(signalled: SocketAddr) -> Self {
        Latch { peer: signalled, heard: None, candidate: None }
    }

    /// Where to send.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// A packet that is valid in itself came from `source`; `known` is the SSRC that the leg follows.
    pub fn admit(&mut self, now: Instant, source: SocketAddr, ssrc: u32, sequence: u16, known: Option<u32>) -> Admission {
        if source == self.peer {
            self.heard = Some(now);
            self.candidate = None;
            return Admission::Peer;
        }
        let quiet = self.heard.is_none_or(|at| now.ms_since(at) >= QUIET_MS);
        if !quiet || known.is_some_and(|k| k != ssrc) {
            return Admission::Foreign;
        }
        let packets = match self.candidate {
            Some(c) if c.source == source && c.ssrc == ssrc && (1..=STEP_MAX).contains(&sequence.wrapping_sub(c.sequence)) => c.packets + 1,
            Some(_) | None => 1,
        };
        if packets < LATCH_PACKETS {
            self.candidate = Some(Candidate { source, ssrc, sequence, packets });
            return Admission::Foreign;
        }
        *self = Latch { heard: Some(now), ..Latch::new(source) };
        Admission::Moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    #[test]
    fn a_new_source_needs_three_packets_in_a_row_and_silence_of_the_old() {
        let mut l = Latch::new(at(1));
        let t = Instant::from_ms;
        assert_eq!(l.admit(t(0), at(1), 7, 1, None), Admission::Peer);
        for n in 0..10 {
            assert_eq!(l.admit(t(n * 20), at(2), 7, n as u16, Some(7)), Admission::Foreign);
        }
        assert_eq!(l.admit(t(400), at(2), 7, 20, Some(7)), Admission::Foreign);
        assert_eq!(l.admit(t(420), at(2), 7, 90, Some(7)), Admission::Foreign, "not in a row");
        assert_eq!(l.admit(t(440), at(2), 7, 91, Some(7)), Admission::Foreign);
        assert_eq!(l.admit(t(460), at(2), 7, 92, Some(7)), Admission::Moved);
        assert_eq!(l.peer(), at(2));
    }

    #[test]
    fn another_ssrc_never_takes_the_leg() {
        let mut l = Latch::new(at(1));
        for n in 0..100 {
            assert_eq!(l.admit(Instant::from_ms(5000 + n * 20), at(2), 8, n as u16, Some(7)), Admission::Foreign);
        }
    }
}
