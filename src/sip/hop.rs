//! One hop of a message: over which transport, to or from which address. The connections of TCP and TLS are the shell's; here a peer's
//! end of one is named by its address, so that an answer goes back the way its request came (RFC 3261 s.18.2.2).

use super::message::{Host, Scheme, Uri};
use core::fmt;
use core::net::SocketAddr;
use std::sync::Arc;

/// One way to a server (RFC 3263): the hop, and the domain that a new TLS connection there must prove (RFC 5922 s.7.1). `None`: only a
/// connection that is open already, or a peer known by its address.
pub type Target = (Hop, Option<Arc<str>>);

/// A transport of RFC 3261 s.18.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Transport {
    /// Datagrams: messages are repeated by their transactions.
    #[default]
    Udp,
    /// A stream in the clear.
    Tcp,
    /// A stream over TLS.
    Tls,
}

impl Transport {
    /// The word in Via and in the `transport` parameter of a URI.
    pub fn as_str(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
        }
    }
    /// Reads the word in any case.
    pub fn parse(word: &[u8]) -> Option<Transport> {
        [Transport::Udp, Transport::Tcp, Transport::Tls].into_iter().find(|t| t.as_str().as_bytes().eq_ignore_ascii_case(word))
    }
    /// Whether it delivers or says that it cannot: no repeats of requests, timers D, I, J and K are 0 (s.17).
    pub fn is_reliable(self) -> bool {
        self != Transport::Udp
    }
    /// The port where a URI or Via names none (s.19.1.2).
    pub fn default_port(self) -> u16 {
        match self {
            Transport::Udp | Transport::Tcp => 5060,
            Transport::Tls => 5061,
        }
    }
}

/// Where a message goes, or whence it came.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Hop {
    /// How.
    pub transport: Transport,
    /// The other end.
    pub addr: SocketAddr,
}

impl Hop {
    /// By UDP.
    pub fn udp(addr: SocketAddr) -> Hop {
        Hop { transport: Transport::Udp, addr }
    }
    /// By TCP.
    pub fn tcp(addr: SocketAddr) -> Hop {
        Hop { transport: Transport::Tcp, addr }
    }
    /// By TLS.
    pub fn tls(addr: SocketAddr) -> Hop {
        Hop { transport: Transport::Tls, addr }
    }
    /// Where a URI with an address for its host leads without asking anybody (RFC 3263 s.4.1 and 4.2). `None`: it names a host, or a
    /// transport that we have not.
    pub fn of_uri(uri: &Uri) -> Option<Hop> {
        let Some(Host::Addr(ip)) = uri.host else { return None };
        let named = match uri.params.get("transport") {
            Some(word) => Some(Transport::parse(word)?),
            None => None,
        };
        let transport = match (uri.scheme, named) {
            (Scheme::Sips, _) => Transport::Tls,
            (_, named) => named.unwrap_or_default(),
        };
        Some(Hop { transport, addr: SocketAddr::new(ip, uri.port.unwrap_or(transport.default_port())) })
    }
}

impl From<SocketAddr> for Hop {
    fn from(addr: SocketAddr) -> Hop {
        Hop::udp(addr)
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.transport {
            Transport::Udp => write!(f, "{}", self.addr),
            other => write!(f, "{}/{}", self.addr, other.as_str()),
        }
    }
}
