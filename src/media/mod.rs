//! The voice leg: 20 ms frames of a line on one side, RTP and RTCP on the other.
//!
//! [`leg::AudioLeg`] is the machine, in the tick domain: it takes datagrams as they came and is ticked once a frame. Its parts:
//! [`rtp`] (headers, sequence numbers), [`rtcp`] (reports), [`jitter`] (playout), [`telephone_event`] (digits outside the audio),
//! [`protection`] (SRTP, by the room `srtp`). Read RFC 3550, RFC 3551, RFC 4733 and RFC 3389 first.

pub mod audio_config;
pub mod audio_stats;
pub mod comfort_noise;
pub mod fuzz;
pub mod jitter;
pub mod latch;
pub mod leg;
pub mod protection;
pub mod rtcp;
pub mod rtp;
pub mod telephone_event;

#[cfg(test)]
mod tests;

pub use audio_config::{AudioConfig, Direction};
pub use audio_stats::AudioStats;
pub use leg::AudioLeg;
pub use protection::Protection;
pub use telephone_event::LineDigit;

/// Which of a leg's sockets a datagram belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Channel {
    /// Audio and digits (and RTCP too, if the peer multiplexes: RFC 5761).
    Rtp,
    /// Reports.
    Rtcp,
    /// T.38 over UDPTL.
    Udptl,
}
