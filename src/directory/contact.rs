//! Where a number is reached: the contacts that SIP phones register for it (RFC 3261 s.10). A terminal that registers by the API has one
//! address; a number under which several phones registered has one [`Binding`] each.

use super::record::Instance;
use crate::clock::WallMs;
use crate::sip::Transport;
use crate::sip::message::Uri;
use std::net::SocketAddr;

/// One contact of a number, as a REGISTER made it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binding {
    /// The contact's URI, as the phone wrote it, without a headers part.
    pub uri: Box<str>,
    /// Where it is reached: the URI's address, or the source of the REGISTER where that address is worth nothing from here.
    pub address: SocketAddr,
    /// How it is reached.
    pub transport: Transport,
    /// It stands behind a NAT: `address` is not what the URI says.
    pub hidden: bool,
    /// The phone, if it names itself (`+sip.instance`, RFC 5626).
    pub instance: Option<Instance>,
    /// Preference in thousandths (RFC 3261 s.20.10), 1000 at most.
    pub q: u16,
    /// When it ends by the wall clock: read only at start.
    pub expires: WallMs,
    /// Its lease, in seconds.
    pub lease_s: u32,
    /// Of the REGISTER that made it: a print of its Call-ID, and its CSeq.
    pub order: (u64, u32),
}

impl Binding {
    /// Whether a contact of this URI and phone is the same one: one phone has one contact, wherever it is (RFC 5626 s.6); contacts without
    /// a phone's name compare by their URI (RFC 3261 s.10.2.4).
    pub fn is_same(&self, uri: &str, instance: Option<&Instance>) -> bool {
        match (&self.instance, instance) {
            (Some(mine), Some(other)) => mine == other,
            _ => match (Uri::parse(self.uri.as_bytes()), Uri::parse(uri.as_bytes())) {
                (Ok(mine), Ok(other)) => mine.is_equivalent(&other),
                _ => *self.uri == *uri,
            },
        }
    }
}
