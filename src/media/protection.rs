//! Whether what a leg says is for everybody on the way, for nobody yet, or for the peer alone.
//!
//! The leg's own code sees packets in the clear: they pass through here on their way in, before anything is made of them (so that the latch,
//! the source and the jitter buffer know authentic packets only), and on their way out, when nothing of them changes any more.

use crate::limits::DATAGRAM_BYTES_MAX;
use crate::srtp::{Counts, Session};

/// How a leg's packets are protected.
#[derive(Debug, Default)]
pub enum Protection {
    /// Not at all.
    #[default]
    Clear,
    /// They will be, by keys that are still being agreed on: until then nothing is said, and what comes in is dropped and counted.
    Awaiting,
    /// SRTP. Boxed, so that keys come and go without memory being taken or given back in the tick.
    Srtp(Box<Session>),
}

impl Protection {
    /// Takes a session's keys, and gives back the box that is not needed (any more): the caller may not be where memory is freed. A session
    /// that is here already goes on under the new keys, with its roll-over counters.
    pub fn secure(&mut self, session: Box<Session>) -> Option<Box<Session>> {
        if let Protection::Srtp(present) = self {
            present.rekey(session.keys());
            return Some(session);
        }
        *self = Protection::Srtp(session);
        None
    }

    /// Not in the clear: protected, or silent.
    pub fn is_wanted(&self) -> bool {
        !matches!(self, Protection::Clear)
    }

    /// The profile's name, for the record.
    pub fn name(&self) -> Option<&'static str> {
        match self {
            Protection::Srtp(session) => Some(session.profile().name()),
            Protection::Clear | Protection::Awaiting => None,
        }
    }

    /// What was dropped, by reason.
    pub fn counts(&self) -> Counts {
        match self {
            Protection::Srtp(session) => session.counts(),
            Protection::Clear | Protection::Awaiting => Counts::default(),
        }
    }

    /// Opens `datagram` into `room`; says its length there. None if it is not the peer's, or nobody's keys are here.
    pub fn open(&mut self, is_rtcp: bool, datagram: &[u8], room: &mut [u8; DATAGRAM_BYTES_MAX]) -> Option<usize> {
        let packet = room.get_mut(..datagram.len())?;
        packet.copy_from_slice(datagram);
        match (self, is_rtcp) {
            (Protection::Clear, _) => Some(datagram.len()),
            (Protection::Awaiting, _) => None,
            (Protection::Srtp(session), false) => session.unprotect_rtp(packet).ok(),
            (Protection::Srtp(session), true) => session.unprotect_rtcp(packet).ok(),
        }
    }

    /// Protects the first `length` octets of `packet`, which has room for [`crate::srtp::OVERHEAD_BYTES_MAX`] more; says the new length.
    /// None: it must not go out.
    pub fn seal(&mut self, is_rtcp: bool, packet: &mut [u8], length: usize) -> Option<usize> {
        match (self, is_rtcp) {
            (Protection::Clear, _) => Some(length),
            (Protection::Awaiting, _) => None,
            (Protection::Srtp(session), false) => session.protect_rtp(packet, length).ok(),
            (Protection::Srtp(session), true) => session.protect_rtcp(packet, length).ok(),
        }
    }
}
