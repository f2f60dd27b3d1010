//! Bans: who failed to log in too often is not heard with credentials for a while.
//!
//! Failures are counted by source and account together, so that a stranger who guesses at an account locks out himself and not its owner,
//! and by source alone, so that he does not go through all the names either. A source is an IPv4 address or an IPv6 network of 64 bits,
//! which is what one customer has. Whoever calls [`Bans::failed`] must know that the source is no forgery.

use crate::clock::Instant;
use crate::limits::BANS_MAX;
use crate::sip::source_of;
use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;
use std::net::IpAddr;

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
    sources: Tallies<IpAddr>,
    accounts: Tallies<(IpAddr, Box<str>)>,
}

impl Bans {
    /// Nobody is banned yet.
    pub fn new(policy: BanPolicy) -> Self {
        Bans { policy, sources: Tallies::new(), accounts: Tallies::new() }
    }

    /// A log-in from `source` at `account` failed; the ban that begins with it, if one does.
    pub fn failed(&mut self, now: Instant, source: IpAddr, account: &str) -> Option<Ban> {
        let policy = self.policy;
        if policy.account_failures == 0 {
            return None;
        }
        let from = source_of(source);
        let of_source = self.sources.count(from, now, &policy, policy.source_failures);
        let of_account = self.accounts.count((from, account.into()), now, &policy, policy.account_failures);
        let ban = |account| Some(Ban { source, account, seconds: policy.ban_s });
        match (of_source, of_account) {
            (true, _) => ban(None),
            (false, true) => ban(Some(account.chars().filter(char::is_ascii_graphic).take(crate::limits::USER_BYTES_MAX).collect())),
            (false, false) => None,
        }
    }

    /// The right password came: what failed before was a slip.
    pub fn succeeded(&mut self, source: IpAddr, account: &str) {
        if !self.accounts.by.is_empty() {
            self.accounts.by.remove(&(source_of(source), account.into()));
        }
    }

    /// How long this source is still not heard at this account, in seconds.
    pub fn left_s(&self, now: Instant, source: IpAddr, account: &str) -> Option<u32> {
        if self.sources.by.is_empty() {
            return None;
        }
        let from = source_of(source);
        let left = |t: &Tally| t.banned_until.filter(|until| *until > now);
        let until = self.sources.by.get(&from).and_then(left).max(self.accounts.by.get(&(from, account.into())).and_then(left))?;
        Some(u32::try_from((until - now).as_millis().div_ceil(1000)).unwrap_or(u32::MAX))
    }

    /// Bans that run.
    pub fn count(&self, now: Instant) -> usize {
        let runs = |t: &&Tally| t.banned_until.is_some_and(|until| until > now);
        self.sources.by.values().filter(runs).count() + self.accounts.by.values().filter(runs).count()
    }
}

/// Failures by whatever tells them apart.
#[derive(Debug)]
struct Tallies<K> {
    by: BTreeMap<K, Tally>,
    swept: Option<Instant>,
}

impl<K: Ord + Clone> Tallies<K> {
    fn new() -> Self {
        Tallies { by: BTreeMap::new(), swept: None }
    }

    /// One more failure of `key`. True if this one begins a ban.
    fn count(&mut self, key: K, now: Instant, policy: &BanPolicy, most: u32) -> bool {
        if self.by.get(&key).is_some_and(|t| t.is_over(now, policy)) {
            self.by.remove(&key);
        }
        if self.by.len() >= BANS_MAX && !self.by.contains_key(&key) {
            self.sweep(now, policy);
            if self.by.len() >= BANS_MAX {
                return false;
            }
        }
        let tally = self.by.entry(key).or_insert(Tally { since: now, failures: 0, banned_until: None });
        tally.failures = tally.failures.saturating_add(1);
        if tally.banned_until.is_some() || tally.failures < most {
            return false;
        }
        tally.banned_until = Some(now + Duration::from_secs(u64::from(policy.ban_s)));
        true
    }

    /// Makes room: what is over goes, then the half of the counts that is furthest from a ban; of bans none does. Once a second at most,
    /// so that a flood costs little.
    fn sweep(&mut self, now: Instant, policy: &BanPolicy) {
        if self.swept.is_some_and(|at| now.ms_since(at) < 1000) {
            return;
        }
        self.swept = Some(now);
        self.by.retain(|_, t| !t.is_over(now, policy));
        if self.by.len() < BANS_MAX / 2 {
            return;
        }
        let mut counts: Vec<(u32, Instant)> =
            self.by.values().filter(|t| t.banned_until.is_none()).map(|t| (t.failures, t.since)).collect();
        counts.sort_unstable();
        let mut to_go = counts.len() / 2;
        let Some(bound) = counts.get(to_go).copied() else { return };
        self.by.retain(|_, t| {
            let goes = to_go > 0 && t.banned_until.is_none() && (t.failures, t.since) <= bound;
            to_go -= usize::from(goes);
            !goes
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;

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
            bans.failed(Instant::from_ms(1000 + u64::from(n)), source(n), "2001");
        }
        assert!(bans.sources.by.len() <= BANS_MAX && bans.accounts.by.len() <= BANS_MAX);
        assert!(bans.left_s(at(51), host(3), "2001").is_some(), "a flood of sources frees nobody");
    }
}
