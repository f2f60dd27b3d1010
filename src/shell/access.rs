//! The firewall in front of the doors (D-17): whom a door lets in is asked before a byte of what he says is read.

use crate::directory::logins::LogGate;
use crate::shell::clock;
use crate::sip::Network;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// One door's list. Shared by all that accept for it.
#[derive(Debug, Default)]
pub struct Access {
    door: &'static str,
    /// `None`: everybody.
    allowed: Option<Vec<Network>>,
    loopback: bool,
    turned_away: AtomicU64,
    lines: Mutex<LogGate>,
}

impl Access {
    /// A door that lets in who is `allowed`; without a list, everybody.
    pub fn new(door: &'static str, allowed: Option<Vec<Network>>) -> Access {
        Access { door, allowed, ..Access::default() }
    }
    /// The same, and this machine itself.
    pub fn with_loopback(self) -> Access {
        Access { loopback: true, ..self }
    }

    /// Whether `source` is let in. Who is not is counted, and makes one line a minute at most.
    pub fn admits(&self, source: IpAddr) -> bool {
        let Some(allowed) = &self.allowed else { return true };
        if allowed.iter().any(|n| n.contains(source)) || self.loopback && source.to_canonical().is_loopback() {
            return true;
        }
        self.turned_away.fetch_add(1, Ordering::Relaxed);
        let mut lines = self.lines.lock().expect("nothing panics while it holds the gate of the log");
        if let Some(more) = lines.pass(clock::now(), source) {
            tracing::warn!("turned away: source={source} door={} passed_over={more}", self.door);
        }
        false
    }

    /// How often somebody was turned away.
    pub fn turned_away(&self) -> u64 {
        self.turned_away.load(Ordering::Relaxed)
    }
}

/// Who has how many connections.
#[derive(Debug)]
pub struct Seats {
    taken: Mutex<HashMap<IpAddr, usize>>,
    per_source: usize,
}

/// A connection's place, given back with it.
#[derive(Debug)]
pub struct Seat(Arc<Seats>, IpAddr);

impl Seats {
    /// So many for each source.
    pub fn new(per_source: usize) -> Arc<Seats> {
        Arc::new(Seats { taken: Mutex::default(), per_source })
    }
    /// A place for `peer`; `None`: its source has as many as it may. This machine itself may have any number.
    pub fn take(self: &Arc<Self>, peer: IpAddr) -> Option<Seat> {
        let source = match peer.to_canonical() {
            IpAddr::V4(v4) => IpAddr::V4(v4),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        };
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_source = taken.entry(source).or_default();
        if *of_source >= self.per_source && !peer.to_canonical().is_loopback() {
            return None;
        }
        *of_source += 1;
        Some(Seat(self.clone(), source))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.1) {
            Some(n) if *n > 1 => *n -= 1,
            _ => drop(taken.remove(&self.1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_does_not_take_all_places() {
        let at = |text: &str| text.parse::<IpAddr>().expect("an address");
        let seats = Seats::new(2);
        let first = [seats.take(at("192.0.2.1")), seats.take(at("::ffff:192.0.2.1"))];
        assert!(first.iter().all(Option::is_some) && seats.take(at("192.0.2.1")).is_none());
        let others = [seats.take(at("192.0.2.2")), seats.take(at("2001:db8::1")), seats.take(at("2001:db8::2"))];
        assert!(others.iter().all(Option::is_some) && seats.take(at("2001:db8::3")).is_none(), "a /64 is one source");
        assert!((0..9).map(|_| seats.take(at("127.0.0.1"))).collect::<Vec<_>>().iter().all(Option::is_some));
        drop(first);
        assert!(seats.take(at("192.0.2.1")).is_some());
        drop(others);
        assert!(seats.taken.lock().expect("the lock").is_empty(), "nobody is remembered");
    }

    #[test]
    fn who_is_on_the_list_is_let_in_and_without_a_list_everybody() {
        let at = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert!(Access::new("sip", None).admits(at("203.0.113.9")));
        let list = Access::new("sip", Some(vec!["192.0.2.0/24".parse().expect("a network")]));
        assert_eq!(
            ["192.0.2.7", "::ffff:192.0.2.7", "192.0.3.7", "2001:db8::1", "127.0.0.1"].map(|a| list.admits(at(a))),
            [true, true, false, false, false]
        );
        assert_eq!(list.turned_away(), 3);
        let api = Access::new("api", Some(vec!["192.0.2.0/24".parse().expect("a network")])).with_loopback();
        assert_eq!(["127.0.0.1", "::1", "192.0.3.7"].map(|a| api.admits(at(a))), [true, true, false]);
    }
}
