//! A NAT in front of a site (RFC 4787): one mapping an inside socket, whoever it speaks to, and a filter that lets in only whom that socket has
//! spoken to, from the very port. Both are forgotten when nothing goes out for a while.

use super::place::SIP_PORT;
use crate::clock::Instant;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// How a NAT behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NatSpec {
    /// The address it shows.
    pub outside: IpAddr,
    /// A mapping has the port of its socket, as that of most houses does. Else ports are counted up from [`FIRST_PORT`].
    pub keeps_ports: bool,
    /// The port of SIP is forwarded to the site: whoever knows it gets in.
    pub forwards_sip: bool,
    /// After so long without a datagram to the outside it forgets, in milliseconds.
    pub forgets_ms: u64,
}

/// The first port of a NAT that gives its own.
pub const FIRST_PORT: u16 = 61_000;

struct Mapping {
    port: u16,
    /// When something went to whom last.
    spoken: BTreeMap<SocketAddr, Instant>,
}

/// A NAT.
pub(super) struct Nat {
    pub spec: NatSpec,
    mappings: BTreeMap<SocketAddr, Mapping>,
    /// The machine behind it.
    inside: Option<IpAddr>,
    next: u16,
}

impl Nat {
    pub fn new(spec: NatSpec) -> Nat {
        Nat { spec, mappings: BTreeMap::new(), inside: None, next: FIRST_PORT }
    }

    /// It was switched off and on, and its provider gave it another address.
    pub fn restart(&mut self, outside: IpAddr) {
        let next = self.next;
        *self = Nat { next, ..Nat::new(NatSpec { outside, ..self.spec }) };
    }

    fn forget(&mut self, now: Instant) {
        let forgets_ms = self.spec.forgets_ms;
        for mapping in self.mappings.values_mut() {
            mapping.spoken.retain(|_, at| now.ms_since(*at) < forgets_ms);
        }
        self.mappings.retain(|_, mapping| !mapping.spoken.is_empty());
    }

    /// Something goes out: whence it seems to come.
    pub fn out(&mut self, now: Instant, src: SocketAddr, dst: SocketAddr) -> SocketAddr {
        self.forget(now);
        self.inside = Some(src.ip());
        let (keeps, forwards, next) = (self.spec.keeps_ports, self.spec.forwards_sip, &mut self.next);
        let mapping = self.mappings.entry(src).or_insert_with(|| {
            let port = if keeps || (forwards && src.port() == SIP_PORT) { src.port() } else { core::mem::replace(next, *next + 1) };
            Mapping { port, spoken: BTreeMap::new() }
        });
        mapping.spoken.insert(dst, now);
        SocketAddr::new(self.spec.outside, mapping.port)
    }

    /// Something came to `dst`: to which socket it goes.
    pub fn inward(&mut self, now: Instant, src: SocketAddr, dst: SocketAddr) -> Option<SocketAddr> {
        self.forget(now);
        let is_for = |m: &Mapping| m.port == dst.port() && m.spoken.contains_key(&src);
        if self.spec.forwards_sip && dst == SocketAddr::new(self.spec.outside, SIP_PORT) {
            return self.inside.map(|inside| SocketAddr::new(inside, SIP_PORT));
        }
        self.mappings.iter().find(|(_, m)| self.spec.outside == dst.ip() && is_for(m)).map(|(inside, _)| *inside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_spoken_to_gets_in_for_a_while_and_nobody_else() {
        let at = |text: &str| text.parse::<SocketAddr>().expect("a literal address");
        let t = Instant::from_ms;
        let spec = NatSpec { outside: at("198.51.100.7:0").ip(), keeps_ports: false, forwards_sip: false, forgets_ms: 30_000 };
        let mut nat = Nat::new(spec);
        let (inside, peer, seen) = (at("10.0.0.1:5060"), at("192.0.2.1:5060"), at("198.51.100.7:61000"));
        assert_eq!(nat.inward(t(0), peer, seen), None);
        assert_eq!(nat.out(t(0), inside, peer), seen);
        assert_eq!(nat.out(t(10), inside, at("192.0.2.2:9")), seen, "one mapping for all");
        assert_eq!(nat.inward(t(20_000), peer, seen), Some(inside));
        assert_eq!(nat.inward(t(20_000), at("192.0.2.1:5061"), seen), None, "another port of theirs");
        assert_eq!(nat.inward(t(30_001), peer, seen), None, "what comes in keeps nothing open");
        assert_eq!(nat.out(t(50_000), inside, peer).port(), FIRST_PORT + 1, "forgotten, it is another");
        nat.restart(at("198.51.100.8:0").ip());
        assert_eq!(nat.out(t(50_001), inside, peer).ip(), at("198.51.100.8:0").ip());
    }
}
