//! What carries a fax leg's packets: UDPTL in the clear, or UDPTL in DTLS (RFC 7345).
//!
//! In DTLS the datagrams go over the leg's RTP socket, so that one association serves voice and fax (`m=image UDP/TLS/UDPTL` takes the
//! voice's place on its 5-tuple, RFC 8842). The records come when the peer is proven, by construction or later, and until then nothing goes
//! out and nothing is taken: there is no way from [`Transport::Dtls`] to the network but through them.

use crate::dtls::{RECORD_OVERHEAD_MAX, Records};
use crate::limits::DATAGRAM_BYTES_MAX;

/// How a leg's packets travel.
#[derive(Debug, Default)]
pub enum Transport {
    /// UDPTL as it is.
    #[default]
    Udptl,
    /// UDPTL in DTLS.
    Dtls(Dtls),
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
    /// Its packets go over the leg's RTP socket, not the one of UDPTL.
    pub const fn shares_rtp_socket(&self) -> bool {
        matches!(self, Transport::Dtls(_))
    }
    /// It opens DTLS itself: what comes is its, before it is the association's.
    pub const fn holds_records(&self) -> bool {
        matches!(self, Transport::Dtls(Dtls { records: Some(_), .. }))
    }
    /// Takes the records, and gives back what is not needed: the ones before, or these, if it carries no DTLS.
    pub fn secure(&mut self, new: Box<Records>) -> Option<Box<Records>> {
        match self {
            Transport::Dtls(dtls) => dtls.records.replace(new),
            Transport::Udptl => Some(new),
        }
    }
    /// Gives the records back, for the next leg of the same association.
    pub fn take_records(&mut self) -> Option<Box<Records>> {
        match self {
            Transport::Dtls(dtls) => dtls.records.take(),
            Transport::Udptl => None,
        }
    }
    /// Opens what came; `payload` is called with each UDPTL datagram in it.
    pub fn open(&mut self, datagram: &[u8], payload: &mut impl FnMut(&[u8])) -> Arrived {
        let Transport::Dtls(dtls) = self else {
            payload(datagram);
            return Arrived { payloads: 1, ..Arrived::default() };
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
        }
    }
}
