//! Where a number is reached: one [`Binding`] a terminal. SIP phones make theirs by REGISTER (RFC 3261 s.10), gateways by the API, and a
//! number may have several of both kinds.

use super::record::{Capabilities, Instance, Mac};
use crate::key::Fingerprint;
use crate::number::Number;
use crate::proof::Succession;
use crate::sip::Transport;
use crate::sip::message::Uri;
use std::net::SocketAddr;

/// One contact of a number.
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
    /// The terminal, if it names itself (`+sip.instance`, RFC 5626); those of the API do.
    pub instance: Option<Instance>,
    /// Preference in thousandths (RFC 3261 s.20.10), 1000 at most.
    pub q: u16,
    /// Its lease, in seconds.
    pub lease_s: u32,
    /// Of the REGISTER that made it: a print of its Call-ID, and its CSeq.
    pub order: (u64, u32),
    /// What it said over the API, which SIP has no words for.
    pub facts: Option<Box<Facts>>,
}

/// What a gateway says of itself when it registers by the API.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// The key it proves itself with.
    pub fingerprint: Option<Fingerprint>,
    /// It did: its gateway signed with it when it registered.
    pub proven: bool,
    /// Earlier keys of it, each with its word that the next one follows; the last leads to `fingerprint`. All were checked.
    pub successions: Box<[Succession]>,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Its address behind a NAT, as it sees itself.
    pub private: Option<SocketAddr>,
    /// Its hardware address.
    pub mac: Option<Mac>,
}

impl Binding {
    /// Whether a contact of this URI and terminal is the same one: one terminal has one contact, wherever it is (RFC 5626 s.6); contacts
    /// without a terminal's name compare by their URI (RFC 3261 s.10.2.4).
    pub fn is_same(&self, uri: &str, instance: Option<&Instance>) -> bool {
        match (&self.instance, instance) {
            (Some(mine), Some(other)) => mine == other,
            _ if *self.uri == *uri => true,
            _ => match (Uri::parse(self.uri.as_bytes()), Uri::parse(uri.as_bytes())) {
                (Ok(mine), Ok(other)) => mine.is_equivalent(&other),
                _ => false,
            },
        }
    }

    /// It registered by the API.
    pub fn is_of_the_api(&self) -> bool {
        self.facts.is_some()
    }

    /// The key its gateway proves itself with.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.facts.as_ref().and_then(|f| f.fingerprint)
    }

    /// That key was proven.
    pub fn is_proven(&self) -> bool {
        self.facts.as_ref().is_some_and(|f| f.proven)
    }

    /// What earlier keys said of those that followed them.
    pub fn successions(&self) -> &[Succession] {
        self.facts.as_ref().map_or(&[], |f| &f.successions)
    }

    /// Whether its key is this one, or one that followed it.
    pub fn is_known_by(&self, key: Fingerprint) -> bool {
        self.fingerprint() == Some(key) || self.successions().iter().any(|s| s.old() == key)
    }

    /// What it can do; a phone that registered by SIP can be talked to.
    pub fn capabilities(&self) -> Capabilities {
        self.facts.as_ref().map_or(Capabilities { voice: true, ..Capabilities::default() }, |f| f.capabilities)
    }

    /// Its address behind a NAT: as it said, or as its URI does.
    pub fn private(&self) -> Option<SocketAddr> {
        match &self.facts {
            Some(facts) => facts.private,
            None if self.hidden => Uri::parse(self.uri.as_bytes()).ok().and_then(|u| u.socket_addr()),
            None => None,
        }
    }
}

/// The contact of a terminal that has an address and no URI of its own.
pub fn uri_of(number: &Number, address: SocketAddr, transport: Transport) -> Box<str> {
    let how = match transport {
        Transport::Udp => "",
        Transport::Tcp => ";transport=tcp",
        Transport::Tls => ";transport=tls",
    };
    format!("sip:{number}@{address}{how}").into()
}
