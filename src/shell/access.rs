//! The firewall in front of the doors (D-17): whom a door lets in is asked before a byte of what he says is read.

use crate::directory::logins::LogGate;
use crate::shell::clock;
use crate::sip::Network;
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

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

#[cfg(test)]
mod tests {
    use super::*;

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
