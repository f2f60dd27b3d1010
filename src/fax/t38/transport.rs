//! What carries a fax leg's packets: UDPTL in the clear, UDPTL in DTLS (RFC 7345), or RTP (RFC 4612), in the clear or behind SRTP.
//!
//! In DTLS the datagrams go over the leg's RTP socket, so that one association serves voice and fax (`m=image UDP/TLS/UDPTL` takes the
//! voice's place on its 5-tuple, RFC 8842). The records come when the peer is proven, by construction or later, and until then nothing goes
//! out and nothing is taken: there is no way from [`Transport::Dtls`] to the network but through them.

use super::rtp::{Came, Rtp, RtpTerms};
use crate::clock::Instant;
use crate::dtls::{RECORD_OVERHEAD_MAX, Records};
use crate::limits::DATAGRAM_BYTES_MAX;
use crate::media::Protection;
use crate::srtp::{Counts, Session};

/// How a leg's packets travel.
#[derive(Debug, Default)]
pub enum Transport {
    /// UDPTL as it is.
    #[default]
    Udptl,
    /// UDPTL in DTLS.
    Dtls(Dtls),
    /// RTP. Boxed: it is the longest, and most legs are not of it.
    Rtp(Box<Rtp>),
}

/// The record layer of a leg, if it is there yet, and room to seal in.
#[derive(Debug)]
pub struct Dtls {
    records: Option<Box<Records>>,
    sealed: Box<[u8; DATAGRAM_BYTES_MAX + RECORD_OVERHEAD_MAX]>,
}

/// What became of a datagram from the network.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Arrived {
    /// Payloads that were handed on.
    pub payloads: u8,
    /// Something could not be opened: forged, repeated, or before there were keys.
    pub dropped: bool,
    /// It is (also) for the association in the event domain.
    pub for_association: bool,
}

impl Transport {
    /// UDPTL in DTLS, with the records if they are there already.
    pub fn dtls(records: Option<Box<Records>>) -> Transport {
        Transport::Dtls(Dtls { records, sealed: Box::new([0; DATAGRAM_BYTES_MAX + RECORD_OVERHEAD_MAX]) })
    }
    /// RTP, in the clear, or with keys that are there or come later.
    pub fn rtp(terms: RtpTerms, protection: Protection) -> Transport {
        Transport::Rtp(Box::new(Rtp::new(terms, protection)))
    }
    /// Its packets go over the leg's RTP socket, not the one of UDPTL.
    pub const fn shares_rtp_socket(&self) -> bool {
        matches!(self, Transport::Dtls(_) | Transport::Rtp(_))
    }
    /// A repeat of an old packet is no sign of life there: replay protection does not let it through.
    pub const fn hears_no_repeats(&self) -> bool {
        matches!(self, Transport::Rtp(_))
    }
    /// What time it is.
    pub fn begin(&mut self, now: Instant) {
        if let Transport::Rtp(rtp) = self {
            rtp.begin(now);
        }
    }
    /// Takes a session of SRTP, and gives back the box that is not needed: one whose keys were taken over, or this one, if it is not RTP.
    pub fn secure_rtp(&mut self, session: Box<Session>) -> Option<Box<Session>> {
        match self {
            Transport::Rtp(rtp) => rtp.secure(session),
            Transport::Udptl | Transport::Dtls(_) => Some(session),
        }
    }
    /// The SRTP profile's name, and what SRTP dropped.
    pub fn srtp(&self) -> (Option<&'static str>, Counts) {
        match self {
            Transport::Rtp(rtp) => (rtp.protection().name(), rtp.protection().counts()),
            Transport::Udptl | Transport::Dtls(_) => (None, Counts::default()),
        }
    }
    /// It opens DTLS itself: what comes is its, before it is the association's.
    pub const fn holds_records(&self) -> bool {
        matches!(self, Transport::Dtls(Dtls { records: Some(_), .. }))
    }
    /// Takes the records, and gives back what is not needed: the ones before, or these, if it carries no DTLS.
    pub fn secure(&mut self, new: Box<Records>) -> Option<Box<Records>> {
        match self {
            Transport::Dtls(dtls) => dtls.records.replace(new),
            Transport::Udptl | Transport::Rtp(_) => Some(new),
        }
    }
    /// Gives the records back, for the next leg of the same association.
    pub fn take_records(&mut self) -> Option<Box<Records>> {
        match self {
            Transport::Dtls(dtls) => dtls.records.take(),
            Transport::Udptl | Transport::Rtp(_) => None,
        }
    }
    /// Opens what came; `payload` is called with each UDPTL datagram in it.
    pub fn open(&mut self, datagram: &[u8], payload: &mut impl FnMut(&[u8])) -> Arrived {
        let dtls = match self {
            Transport::Dtls(dtls) => dtls,
            Transport::Udptl => {
                payload(datagram);
                return Arrived { payloads: 1, ..Arrived::default() };
            }
            Transport::Rtp(rtp) => {
                let came = rtp.open(datagram, payload);
                return Arrived { payloads: u8::from(came == Came::Payload), dropped: came == Came::Dropped, for_association: false };
            }
        };
        let Some(records) = &mut dtls.records else { return Arrived { dropped: true, for_association: true, ..Arrived::default() } };
        let opened = records.open(datagram, payload);
        // What closes is the association's to know, too.
        Arrived { payloads: opened.data, dropped: opened.dropped > 0, for_association: opened.for_association || opened.closed }
    }
    /// What is to go out for this UDPTL datagram; `None` while (or since) it may not.
    pub fn seal<'a>(&'a mut self, datagram: &'a [u8]) -> Option<&'a [u8]> {
        match self {
            Transport::Udptl => Some(datagram),
            Transport::Dtls(dtls) => {
                let n = dtls.records.as_mut()?.seal(datagram, &mut dtls.sealed[..])?;
                Some(&dtls.sealed[..n])
            }
            Transport::Rtp(rtp) => rtp.seal(datagram),
        }
    }
}
