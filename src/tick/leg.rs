//! The network side of a line: what a connected port's audio becomes on IP.
//!
//! A leg is built whole in the event domain (that is where memory comes from), handed to the board in a box, and handed back the same
//! way when it is done, so that the tick neither allocates nor frees.

use crate::clock::Instant;
use crate::dtls::Records;
use crate::fax::t38::relay::T38Leg;
use crate::media::{AudioLeg, Channel, LineDigit};
use crate::srtp::Session;
use std::net::SocketAddr;
use tipring_dsp::Frame;

/// One network leg.
#[expect(clippy::large_enum_variant, reason = "legs travel boxed as a whole; one indirection more would cost every tick")]
pub enum Leg {
    /// G.711 in RTP, digits as RFC 4733 events.
    Audio(AudioLeg),
    /// T.38 over UDPTL, in the clear or in DTLS.
    T38(T38Leg),
}

/// The socket of a fax leg.
pub(super) fn fax_channel(leg: &T38Leg) -> Channel {
    if leg.transport().shares_rtp_socket() { Channel::Rtp } else { Channel::Udptl }
}

/// Where a leg puts what it sends.
pub type Out<'a> = &'a mut dyn FnMut(Channel, SocketAddr, &[u8]);

impl Leg {
    /// A datagram that arrived on the leg's socket for `channel`. One that belongs to the other kind of leg (RTP that was under way
    /// when the call went to T.38) is not looked at. Returns whether it is (also) for the DTLS association in the event domain.
    pub fn from_net(&mut self, now: Instant, channel: Channel, src: SocketAddr, datagram: &[u8]) -> bool {
        match self {
            Leg::Audio(leg) if channel != Channel::Udptl => leg.from_net(now, channel, src, datagram),
            Leg::T38(leg) if channel == fax_channel(leg) => return leg.from_net(now, src, datagram),
            Leg::Audio(_) | Leg::T38(_) => {}
        }
        false
    }

    /// Whether it opens DTLS by itself.
    pub fn reads_dtls(&self) -> bool {
        matches!(self, Leg::T38(leg) if leg.transport().holds_records())
    }

    /// One 20 ms turn.
    pub fn tick(&mut self, now: Instant, from_line: &Frame, digit: LineDigit, to_line: &mut Frame, out: Out<'_>) {
        match self {
            Leg::Audio(leg) => leg.tick(now, from_line, digit, to_line, out),
            Leg::T38(leg) => {
                let channel = fax_channel(leg);
                leg.tick(now, from_line, to_line, &mut |to, bytes| out(channel, to, bytes));
            }
        }
    }

    /// Milliseconds since the network last gave this leg something valid.
    pub fn silent_ms(&self, now: Instant) -> u64 {
        match self {
            Leg::Audio(leg) => leg.silent_ms(now),
            Leg::T38(leg) => leg.silent_ms(),
        }
    }

    /// Whether media (not reports) ever came.
    pub fn has_media(&self) -> bool {
        match self {
            Leg::Audio(leg) => leg.has_media(),
            Leg::T38(leg) => leg.has_media(),
        }
    }

    /// The keys of the leg are there, or there are new ones. Gives back the box that is not needed.
    pub fn secure(&mut self, session: Box<Session>) -> Option<Box<Session>> {
        match self {
            Leg::Audio(leg) => leg.secure(session),
            Leg::T38(leg) => leg.secure_rtp(session),
        }
    }

    /// The record layer of a fax in DTLS is there, or there is another. Gives back the box that is not needed.
    pub fn secure_fax(&mut self, records: Box<Records>) -> Option<Box<Records>> {
        match self {
            Leg::T38(leg) => leg.secure(records),
            Leg::Audio(_) => Some(records),
        }
    }

    /// Says goodbye on the wire (RTCP BYE), if the kind of leg has such a word.
    pub fn finish(&mut self, out: Out<'_>) {
        match self {
            Leg::Audio(leg) => leg.finish(out),
            Leg::T38(_) => {}
        }
    }
}
