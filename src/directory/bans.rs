//! Bans: who failed to log in too often is not heard with credentials for a while.
//!
//! Failures are counted by source and account together, so that a stranger who guesses at an account locks out himself and not its owner,
//! and by source alone, so that he does not go through all the names either. A source is an IPv4 address or an IPv6 network of 64 bits,
//! which is what one customer has. Whoever calls [`Bans::failed`] must know that the source is no forgery.

use crate::clock::Instant;
use crate::limits::BANS_MAX;
use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

/// How many failures are too many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BanPolicy {
    /// Failures of one source at one account; 0: there are no bans.
    pub account_failures: u32,
    /// Failures of one source at whatever accounts.
    pub source_failures: u32,
    /// In this time, in seconds.
    pub within_s: u32,
    /// How long a ban lasts, in seconds.
    pub ban_s: u32,
}

impl Default for BanPolicy {
    fn default() -> Self {
        BanPolicy { account_failures: 5, source_failures: 20, within_s: 300, ban_s: 600 }
    }
}

/// A ban that begins; its text is the log's line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ban {
    /// Who.
    pub source: IpAddr,
    /// At this account only.
    pub account: Option<String>,
    /// For how long, in seconds.
    pub seconds: u32,
}

impl fmt::Display for Ban {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.account {
            Some(account) => write!(f, "banned: source={} account={account:?} seconds={}", self.source, self.seconds),
            None => write!(f, "banned: source={} account=all seconds={}", self.source, self.seconds),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Tally {
    since: Instant,
    failures: u32,
    banned_until: Option<Instant>,
}

impl Tally {
    fn is_over(&self, now: Instant, policy: &BanPolicy) -> bool {
        match self.banned_until {
            Some(until) => until <= now,
            None => now - self.since > Duration::from_secs(u64::from(policy.within_s)),
        }
    }
}

/// Failures of late, and the bans that run.
#[derive(Debug)]
pub struct Bans {
    policy: BanPolicy,
    sources: BTreeMap<IpAddr, Tally>,
    accounts: BTreeMap<(IpAddr, Box<str>), Tally>,
}

impl Bans {
    /// Nobody is banned yet.
    pub fn new(policy: BanPolicy) -> Self {
        Bans { policy, sources: BTreeMap::new(), accounts: BTreeMap::new() }
    }

    /// A log-in from `source` at `account` failed; the ban that begins with it, if one does.
    pub fn failed(&mut self, now: Instant, source: IpAddr, account: &str) -> Option<Ban> {
        let policy = self.policy;
        if policy.account_failures == 0 {
            return None;
        }
        let from = network(source);
        let of_source = count(&mut self.sources, from, now, &policy, policy.source_failures);
        let of_account = count(&mut self.accounts, (from, account.into()), now, &policy, policy.account_failures);
        let ban = |account| Some(Ban { source, account, seconds: policy.ban_s });
        match (of_source, of_account) {
            (true, _) => ban(None),
            (false, true) => ban(Some(account.chars().filter(char::is_ascii_graphic).take(crate::limits::USER_BYTES_MAX).collect())),
            (false, false) => None,
        }
    }

    /// The right password came: what failed before was a slip.
    pub fn succeeded(&mut self, source: IpAddr, account: &str) {
        if !self.accounts.is_empty() {
            self.accounts.remove(&(network(source), account.into()));
        }
    }

    /// How long this source is still not heard at this account, in seconds.
    pub fn left_s(&self, now: Instant, source: IpAddr, account: &str) -> Option<u32> {
        if self.sources.is_empty() {
            return None;
        }
        let from = network(source);
        let left = |t: &Tally| t.banned_until.filter(|until| *until > now);
        let until = self.sources.get(&from).and_then(left).max(self.accounts.get(&(from, account.into())).and_then(left))?;
        Some(u32::try_from((until - now).as_millis().div_ceil(1000)).unwrap_or(u32::MAX))
    }

    /// Bans that run.
    pub fn count(&self, now: Instant) -> usize {
        let runs = |t: &&Tally| t.banned_until.is_some_and(|until| until > now);
        self.sources.values().filter(runs).count() + self.accounts.values().filter(runs).count()
    }
}

/// One more failure of `key`. True if this one begins a ban.
fn count<K: Ord + Clone>(tallies: &mut BTreeMap<K, Tally>, key: K, now: Instant, policy: &BanPolicy, most: u32) -> bool {
    if tallies.get(&key).is_some_and(|t| t.is_over(now, policy)) {
        tallies.remove(&key);
    }
    if tallies.len() >= BANS_MAX && !tallies.contains_key(&key) {
        tallies.retain(|_, t| !t.is_over(now, policy));
        // Still full: the count that is furthest from a ban makes room; of bans none does.
        if tallies.len() >= BANS_MAX {
            let least = tallies.iter().filter(|(_, t)| t.banned_until.is_none()).min_by_key(|(_, t)| (t.failures, t.since));
            let Some(least) = least.map(|(k, _)| k.clone()) else { return false };
            tallies.remove(&least);
        }
    }
    let tally = tallies.entry(key).or_insert(Tally { since: now, failures: 0, banned_until: None });
    tally.failures = tally.failures.saturating_add(1);
    if tally.banned_until.is_some() || tally.failures < most {
        return false;
    }
    tally.banned_until = Some(now + Duration::from_secs(u64::from(policy.ban_s)));
    true
}

/// What of an address tells one customer from another.
fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(a) => IpAddr::V4(a),
        IpAddr::V6(a) => {
            let [a, b, c, d, ..] = a.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Instant {
        Instant::from_ms(s * 1000)
    }
    fn source(n: u32) -> IpAddr {
        IpAddr::from(n.to_be_bytes())
    }

    #[test]
    fn a_source_is_banned_from_an_account_and_nobody_else_is() {
        let mut bans = Bans::new(BanPolicy { account_failures: 3, source_failures: 6, within_s: 60, ban_s: 100 });
        let (a, b) = (source(1), source(2));
        assert!(bans.failed(at(0), a, "2001").is_none() && bans.failed(at(1), a, "2001").is_none());
        let ban = bans.failed(at(2), a, "2001").unwrap();
        assert_eq!(ban.to_string(), "banned: source=0.0.0.1 account=\"2001\" seconds=100");
        assert_eq!(bans.left_s(at(3), a, "2001"), Some(99));
        assert_eq!((bans.left_s(at(3), a, "2002"), bans.left_s(at(3), b, "2001")), (None, None), "the owner elsewhere logs in");
        assert!(bans.failed(at(4), a, "2002").is_none() && bans.failed(at(4), a, "2003").is_none());
        assert_eq!(bans.failed(at(5), a, "2004").unwrap().account, None, "the sixth, at whatever account");
        assert_eq!((bans.left_s(at(5), a, "2009"), bans.count(at(5))), (Some(100), 2));
        assert_eq!((bans.left_s(at(105), a, "2001"), bans.count(at(105))), (None, 0), "it ends");
        assert!(bans.failed(at(106), a, "2001").is_none(), "and the count begins anew");
    }

    #[test]
    fn slips_far_apart_or_before_the_right_password_do_not_add_up() {
        let mut bans = Bans::new(BanPolicy { account_failures: 2, source_failures: 100, within_s: 60, ban_s: 100 });
        assert!((0..50).all(|i| bans.failed(at(i * 61), source(1), "2001").is_none()));
        bans.failed(at(10_000), source(1), "2001");
        bans.succeeded(source(1), "2001");
        assert!(bans.failed(at(10_001), source(1), "2001").is_none());
        let mut none = Bans::new(BanPolicy { account_failures: 0, ..BanPolicy::default() });
        assert!((0..100).all(|i| none.failed(at(i), source(1), "2001").is_none()));
    }

    #[test]
    fn a_network_of_ipv6_is_one_source_and_memory_is_bounded() {
        let mut bans = Bans::new(BanPolicy { account_failures: 2, source_failures: 100, within_s: 60, ban_s: 100 });
        let host = |n: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, n, n, n, n));
        bans.failed(at(0), host(1), "2001");
        assert!(bans.failed(at(0), host(2), "2001").is_some());
        assert!(bans.left_s(at(1), host(3), "2001").is_some());
        for n in 0..3 * BANS_MAX as u32 {
            bans.failed(at(1), source(n), "2001");
        }
        assert!(bans.sources.len() <= BANS_MAX && bans.accounts.len() <= BANS_MAX);
        assert!(bans.left_s(at(1), host(3), "2001").is_some(), "a flood of sources frees nobody");
    }
}
