//! Where the peer of a fax really is: another port than was negotiated, of its host or of the one that its signalling comes from (a NAT in
//! between), without letting strangers in.
//!
//! The same idea as [`crate::media::latch`]; the sequence number of UDPTL stands for the SSRC that UDPTL does not have: who carries on
//! the stream at the place it has reached is the peer. Sixteen bits can be tried out, so no third host is ever followed, whatever it sends.

use crate::clock::Instant;
use crate::limits::UDPTL_WINDOW;
use core::net::{IpAddr, SocketAddr};

/// Datagrams in a row that a new source must send.
const LATCH_DATAGRAMS: u8 = 3;
/// The present source must have been silent this long before another is considered.
const QUIET_MS: u64 = 300;
/// Largest step of sequence numbers that still counts as in a row.
const STEP_MAX: u16 = 4;

#[derive(Clone, Copy, Debug)]
struct Candidate {
    source: SocketAddr,
    seq: u16,
    datagrams: u8,
}

/// Follows the peer's port.
#[derive(Clone, Debug)]
pub(super) struct Latch {
    peer: SocketAddr,
    /// The other host that the peer may send from.
    also_from: Option<IpAddr>,
    heard: Option<Instant>,
    candidate: Option<Candidate>,
}

impl Latch {
    /// Starts with the negotiated address.
    pub(super) const fn new(negotiated: SocketAddr, also_from: Option<IpAddr>) -> Self {
        Latch { peer: negotiated, also_from, heard: None, candidate: None }
    }
    /// The signalling comes from elsewhere now.
    pub(super) fn set_also_from(&mut self, also_from: Option<IpAddr>) {
        self.also_from = also_from;
    }
    /// Whether a source is the peer, or may turn out to be.
    pub(super) fn may_be(&self, source: SocketAddr) -> bool {
        source.ip() == self.peer.ip() || Some(source.ip()) == self.also_from
    }
    /// Where to send.
    pub(super) const fn peer(&self) -> SocketAddr {
        self.peer
    }
    /// A datagram that is valid in itself came from the peer or from who may be it; `newest` is where the stream stands.
    /// True if it may be heard.
    pub(super) fn admit(&mut self, now: Instant, source: SocketAddr, seq: u16, newest: Option<u16>) -> bool {
        if source == self.peer {
            (self.heard, self.candidate) = (Some(now), None);
            return true;
        }
        let quiet = self.heard.is_none_or(|at| now.ms_since(at) >= QUIET_MS);
        let carries_on = newest.is_none_or(|n| seq.wrapping_sub(n) <= UDPTL_WINDOW as u16);
        if !self.may_be(source) || !quiet || !carries_on {
            return false;
        }
        let datagrams = match self.candidate {
            // A repeat says nothing new, for or against.
            Some(c) if c.source == source && c.seq == seq => return false,
            Some(c) if c.source == source && seq.wrapping_sub(c.seq) <= STEP_MAX => c.datagrams + 1,
            Some(_) | None => 1,
        };
        if datagrams < LATCH_DATAGRAMS {
            self.candidate = Some(Candidate { source, seq, datagrams });
            return false;
        }
        *self = Latch { heard: Some(now), ..Latch::new(source, self.also_from) };
        true
    }
}
