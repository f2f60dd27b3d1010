//! What an audio leg has seen: for the call's record, for metrics, and for the person who asks why it sounded bad.

use super::jitter;
use crate::srtp;

/// What a leg has seen. Counts are since the leg began; the rest is now.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct AudioStats {
    /// RTP packets sent.
    pub sent: u64,
    /// RTP packets of the peer taken.
    pub received: u64,
    /// Packets of the peer that never came.
    pub lost: u64,
    /// Came, in whole or part, after their time.
    pub late: u64,
    /// Came twice.
    pub duplicate: u64,
    /// Came after a later one.
    pub reordered: u64,
    /// Not RTP or RTCP, or of an unknown payload type, or a sequence or time nobody believes.
    pub garbage: u64,
    /// Valid, but from somebody else.
    pub foreign: u64,
    /// Interarrival jitter (RFC 3550).
    pub jitter_ms: f32,
    /// How long a fast packet waits before it is played.
    pub playout_delay_ms: u32,
    /// Round trip by RTCP, once known.
    pub rtt_ms: Option<f32>,
    /// Audio that was made up.
    pub concealed_ms: u64,
    /// Playout adjustments: frames held back, frames dropped, starts over.
    pub playout: jitter::Counters,
    /// The sender's clock against ours.
    pub drift_ppm: f32,
    /// Digits sent as events.
    pub digits_sent: u64,
    /// Digits received as events.
    pub digits_received: u64,
    /// Digits for the line that found its queue full.
    pub digits_overflow: u64,
    /// Lost in all on the way to the peer, by its word.
    pub far_lost: i32,
    /// Lost lately on the way to the peer, by its word, 0 to 1.
    pub far_fraction_lost: f32,
    /// Jitter at the peer, by its word.
    pub far_jitter_ms: f32,
    /// RTCP packets sent and received.
    pub rtcp_sent: u64,
    /// RTCP compound packets of the peer taken.
    pub rtcp_received: u64,
    /// Times the peer's SSRC changed.
    pub ssrc_changes: u64,
    /// Times the peer used our SSRC and we took another.
    pub ssrc_collisions: u64,
    /// Times the peer was found at another address.
    pub address_changes: u64,
    /// The peer said good-bye by RTCP.
    pub far_said_bye: bool,
    /// How packets are protected: the SRTP profile's name.
    pub protected_by: Option<&'static str>,
    /// What SRTP dropped, by reason: these are in no other count.
    pub srtp: srtp::Counts,
    /// Came (or were to be sent) before there were keys.
    pub without_keys: u64,
}
