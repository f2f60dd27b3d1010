//! What an audio leg is told by offer and answer.

use super::jitter;
use super::protection::Protection;
use super::rtcp::CNAME_BYTES_MAX;
use core::net::SocketAddr;
use heapless::String;
use tipring_dsp::g711::Law;

/// Who sends, seen from here (RFC 3264).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendRecv,
    /// We send, and play nothing.
    SendOnly,
    /// We play, and send nothing.
    RecvOnly,
    /// Neither. RTCP goes on.
    Inactive,
}

impl Direction {
    /// We send media.
    pub fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }
    /// We play media.
    pub fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }
}

/// What offer and answer agreed on. There is one of it: its keys are for one leg.
#[derive(Debug)]
pub struct AudioConfig {
    /// Companding law.
    pub law: Law,
    /// Its payload type, both ways (0 or 8, or dynamic).
    pub payload_type: u8,
    /// Payload type of telephone-event; none leaves digits in the audio.
    pub telephone_event_pt: Option<u8>,
    /// Where the peer wants RTP.
    pub remote_rtp: SocketAddr,
    /// Where the peer wants RTCP.
    pub remote_rtcp: SocketAddr,
    /// RTCP goes over the RTP socket (RFC 5761).
    pub rtcp_mux: bool,
    /// Who sends.
    pub direction: Direction,
    /// Our SSRC.
    pub ssrc: u32,
    /// Our first sequence number.
    pub first_sequence: u16,
    /// Our first timestamp.
    pub first_timestamp: u32,
    /// Our CNAME.
    pub cname: String<CNAME_BYTES_MAX>,
    /// Bounds of the playout delay.
    pub jitter: jitter::Limits,
    /// After this long without media the leg counts as silent ([`AudioLeg::is_silent`]).
    pub watchdog_ms: u32,
    /// Fax over G.711: fixed deep playout that follows the sender's clock by resampling; no concealment, digits untouched.
    pub pass_through: bool,
    /// SRTP, now, later or never.
    pub protection: Protection,
}
