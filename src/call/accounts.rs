//! Accounts at outside SIP servers: kept registered, found by name, called through, and called from.
//!
//! ```text
//!   start -> Action::Locate -> handle_located --> Registration (sip::register) --Endpoint::request--> its server
//!   a number that a prefix route names -> within the port's caps? -> INVITE to the account's server, with its login
//!   INVITE for the account's user, from an address of its servers -> the first idle port of the account
//! ```
//! A call leaves only by `call_outside`, which is reached from a prefix route ([`crate::resolve::prefix`]), or for an emergency. The caps of
//! the calling port and of the account stand there; an emergency passes them by, and is not counted.

use super::{Action, Cause, Gateway, LogLine};
use crate::clock::{Instant, ms};
use crate::digest::Prints;
use crate::id::{AccountId, CallId, PortId};
use crate::identity::Expected;
use crate::limits::SERVER_HOPS_MAX;
use crate::negotiate::Policy;
use crate::resolve::prefix::{Outside, Way};
use crate::sip::auth::Login;
use crate::sip::message::{Host, Message, Uri};
use crate::sip::register::{self, Registration, State, address};
use crate::sip::{Hop, Invite, RequestId, Target, Transport};
use std::collections::VecDeque;

/// How often the servers' names are looked up again, in milliseconds; DNS answers are kept by who asks, for as long as they may be.
const LOCATE_MS: u64 = 300_000;
/// The same while a server has no address at all.
const LOCATE_SOON_MS: u64 = 15_000;
const HOUR_MS: u64 = 3_600_000;

/// Whose number the called side sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CallerId {
    /// The account's user.
    #[default]
    Account,
    /// The port's number in From; the account in P-Preferred-Identity (RFC 3325).
    Port,
}

/// One account, from the configuration.
#[derive(Clone, Debug)]
pub struct AccountConfig {
    /// Its name.
    pub name: String,
    /// Its servers as SIP URIs, in the order in which they are tried.
    pub servers: Vec<String>,
    /// An outbound proxy as a SIP URI: everything goes there instead.
    pub proxy: Option<String>,
    /// The domain of its address, and what is called in: `sip:NUMBER@DOMAIN`.
    pub domain: String,
    /// Its user, if it has one.
    pub user: Option<String>,
    /// Its password.
    pub login: Option<Login>,
    /// The lease to register for, in seconds; `None`: no registration.
    pub register_s: Option<u32>,
    /// Whose number the called side sees.
    pub caller_id: CallerId,
    /// Calls through it at a time, both ways together; `None`: no bound of its own.
    pub calls_max: Option<u16>,
    /// Calls out through it begun within an hour, from all ports.
    pub calls_per_hour: Option<u16>,
    /// A fax machine is reached by it, and how (`t38`, `passthrough`; RFC 6913).
    pub fax: Option<&'static str>,
    /// Whether its media are encrypted; `None`: as everywhere.
    pub media: Option<Policy>,
    /// The keys of its media come by DTLS, not in the signalling.
    pub dtls: bool,
}

/// What a port may do outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutsideCaps {
    /// Calls at a time.
    pub at_once: u16,
    /// Calls begun within an hour.
    pub per_hour: u16,
}

impl Default for OutsideCaps {
    fn default() -> Self {
        OutsideCaps { at_once: 1, per_hour: 60 }
    }
}

/// A server whose address is wanted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LocateId {
    /// Of which account.
    pub account: AccountId,
    /// Which of its servers.
    pub server: usize,
}

/// A line for `tipring status`.
#[derive(Clone, Debug)]
pub struct AccountView {
    /// Its name.
    pub name: String,
    /// `sip:USER@DOMAIN`, or the domain alone.
    pub address: String,
    /// trying, registered, refused, failed, leaving, stopped; `not registering`, `no address` where it does not register.
    pub state: &'static str,
    /// The server in use, and the address that it is reached at.
    pub server: Option<String>,
    /// When the lease ends.
    pub expires_at: Option<Instant>,
    /// What went wrong last, while it lasts.
    pub words: Option<String>,
    /// Calls through it now.
    pub calls: usize,
}

struct Account {
    config: AccountConfig,
    registration: Option<Registration>,
    /// The servers (or the proxy alone) and the ways to them.
    servers: Vec<(String, Vec<Target>)>,
    locate_at: Instant,
    /// What was last logged of it.
    told: String,
    /// The calls that went out through it.
    begun: Begun,
}

/// When the outside calls of the last hour began.
#[derive(Debug, Default)]
struct Begun(VecDeque<Instant>);

impl Begun {
    fn has_room(&mut self, now: Instant, per_hour: u16) -> bool {
        while self.0.front().is_some_and(|at| now.ms_since(*at) >= HOUR_MS) {
            self.0.pop_front();
        }
        self.0.len() < usize::from(per_hour)
    }
}

/// All of them, and what the ports have called outside.
pub(super) struct Accounts {
    all: Vec<Account>,
    under_way: Vec<(RequestId, AccountId, u64)>,
    /// The outside calls of each port.
    begun: Vec<Begun>,
    started: bool,
}

impl Account {
    fn new(config: AccountConfig, prints: &mut Prints) -> Account {
        let servers: Vec<String> = config.proxy.as_ref().map_or_else(|| config.servers.clone(), |proxy| vec![proxy.clone()]);
        let registration = config.register_s.zip(config.user.clone()).map(|(expires_s, user)| {
            let route = config.proxy.as_ref().map(|p| route_of(p));
            let login = config.login.clone();
            let wanted = register::Config { domain: config.domain.clone(), user, expires_s, route, fax: config.fax, login };
            Registration::new(wanted, servers.clone(), prints.fork())
        });
        let servers = servers.into_iter().map(|s| (s, Vec::new())).collect();
        Account { config, registration, servers, locate_at: Instant::ZERO, told: String::new(), begun: Begun::default() }
    }

    /// The ways for a call, best first: where we are registered, then the servers in their order.
    fn targets(&self) -> Vec<Target> {
        let registered = self.registration.as_ref().and_then(Registration::target).cloned();
        let mut all: Vec<Target> = registered.into_iter().collect();
        for target in self.servers.iter().flat_map(|(_, targets)| targets) {
            if !all.contains(target) {
                all.push(target.clone());
            }
        }
        all
    }

    /// Route for a call: the outbound proxy, then what the registrar named (RFC 3608).
    fn routes(&self) -> Vec<String> {
        let service = self.registration.as_ref().map(Registration::service_route).unwrap_or_default();
        self.config.proxy.iter().map(|p| route_of(p)).chain(service.iter().cloned()).collect()
    }

    /// Who we are in a call: to the realm that we are registered in, should it be known, and to no other. Who is called may ask as well.
    fn login(&self) -> Option<Login> {
        let realms = self.registration.iter().flat_map(Registration::realms);
        self.config.login.clone().map(|login| login.known_in(realms))
    }

    /// Whether a message from there is from one of its servers.
    fn is_from(&self, source: Hop) -> bool {
        let registered = self.registration.as_ref().and_then(Registration::target);
        registered.into_iter().chain(self.servers.iter().flat_map(|(_, t)| t)).any(|(hop, _)| hop.addr.ip() == source.addr.ip())
    }

    fn state(&self) -> &'static str {
        match &self.registration {
            Some(registration) => registration.state().word(),
            None if self.servers.iter().all(|(_, targets)| targets.is_empty()) => "no address",
            None => "not registering",
        }
    }

    fn server(&self) -> Option<String> {
        match &self.registration {
            Some(r) => r.server().zip(r.target()).map(|(name, (hop, _))| format!("{name} at {hop}")),
            None => self.servers.iter().find_map(|(name, targets)| targets.first().map(|(hop, _)| format!("{name} at {hop}"))),
        }
    }

    fn words(&self) -> String {
        let server = self.server().map(|s| format!(": {s}")).unwrap_or_default();
        let why = self.registration.as_ref().and_then(Registration::last_words).map(|w| format!(": {w}")).unwrap_or_default();
        format!("{}{server}{why}", self.state())
    }
}

/// A value of Route: loose, as every proxy of this century is (RFC 3261 s.16.12).
fn route_of(uri: &str) -> String {
    let loose = uri.split(';').skip(1).any(|p| p.eq_ignore_ascii_case("lr") || p.to_ascii_lowercase().starts_with("lr="));
    format!("<{uri}{}>", if loose { "" } else { ";lr" })
}

impl Accounts {
    pub(super) fn new(configs: Vec<AccountConfig>, ports: usize, prints: &mut Prints) -> Accounts {
        let all = configs.into_iter().map(|config| Account::new(config, prints)).collect();
        Accounts { all, under_way: Vec::new(), begun: (0..ports).map(|_| Begun::default()).collect(), started: false }
    }

    fn get(&self, id: AccountId) -> Option<&Account> {
        self.all.get(usize::from(id.0))
    }

    /// Whether media of an account's calls are encrypted, where it says so.
    pub(super) fn media_policy(&self, id: AccountId) -> Option<Policy> {
        self.get(id).and_then(|a| a.config.media)
    }

    /// An account's name.
    pub(super) fn name(&self, id: AccountId) -> Option<String> {
        self.get(id).map(|a| a.config.name.clone())
    }

    /// The account that an INVITE for this user is for. From anybody but its servers it is for nobody.
    pub(super) fn called(&self, source: Hop, user: &str) -> Option<AccountId> {
        let is_for = |a: &Account| a.config.user.as_deref() == Some(user) && a.is_from(source);
        self.all.iter().position(is_for).map(|i| AccountId(i as u16))
    }

    /// Whether a message from there is from a server of any account.
    pub(super) fn has_server(&self, source: Hop) -> bool {
        self.all.iter().any(|a| a.is_from(source))
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let registrations = self.all.iter().filter_map(|a| a.registration.as_ref()?.poll_timeout());
        let names = self.all.iter().filter(|_| self.started).map(|a| a.locate_at);
        registrations.chain(names).min()
    }
}

impl Gateway {
    /// Looks for the accounts' servers and registers where that is wanted.
    pub fn start_accounts(&mut self, now: Instant) {
        self.accounts.started = true;
        for account in &mut self.accounts.all {
            account.locate_at = now;
            if let Some(registration) = &mut account.registration {
                registration.start(now);
            }
        }
        self.account_timeouts(now);
        self.drive_accounts(now);
    }

    /// Where a server is (RFC 3263), best first. None: its name leads nowhere now, and what was known before stands.
    pub fn handle_located(&mut self, now: Instant, id: LocateId, mut targets: Vec<Target>) {
        targets.truncate(SERVER_HOPS_MAX);
        let Some(account) = self.accounts.all.get_mut(usize::from(id.account.0)) else { return };
        let Some((_, known)) = account.servers.get_mut(id.server) else { return };
        if targets.is_empty() {
            let soon = now + ms(LOCATE_SOON_MS);
            if known.is_empty() {
                account.locate_at = account.locate_at.min(soon);
            }
        } else {
            known.clone_from(&targets);
            if let Some(registration) = &mut account.registration {
                registration.set_targets(now, id.server, targets);
            }
        }
        self.drive_accounts(now);
    }

    /// A way to a peer is broken.
    pub(super) fn account_way_broken(&mut self, now: Instant, hop: Hop) {
        for registration in self.accounts.all.iter_mut().filter_map(|a| a.registration.as_mut()) {
            registration.handle_transport_failure(now, hop);
        }
    }

    /// Our address changed, or there is a way again: who is registered says so, and servers that were not found are looked for.
    pub(super) fn account_ways_changed(&mut self, now: Instant, moved: bool) {
        for account in &mut self.accounts.all {
            if account.servers.iter().any(|(_, targets)| targets.is_empty()) {
                account.locate_at = account.locate_at.min(now);
            }
            if let Some(registration) = &mut account.registration {
                registration.way_changed(now, moved);
            }
        }
        self.account_timeouts(now);
    }

    /// The endpoint has an answer to a request of ours outside calls.
    pub(super) fn request_answered(&mut self, now: Instant, request: RequestId, status: u16, response: Option<&Message>) {
        let Some(i) = self.accounts.under_way.iter().position(|(r, ..)| *r == request) else { return };
        let (_, account, serial) = self.accounts.under_way.swap_remove(i);
        let account = self.accounts.all.get_mut(usize::from(account.0));
        if let Some(registration) = account.and_then(|a| a.registration.as_mut()) {
            registration.handle_response(now, serial, status, response);
        }
    }

    /// Deadlines of registrations and of addresses that grow old.
    pub(super) fn account_timeouts(&mut self, now: Instant) {
        for i in 0..self.accounts.all.len() {
            let account = &mut self.accounts.all[i];
            if let Some(registration) = &mut account.registration {
                registration.handle_timeout(now);
            }
            if !self.accounts.started || account.locate_at > now || self.shutting_down {
                continue;
            }
            account.locate_at = now + ms(LOCATE_MS + self.prints.below(LOCATE_MS / 4));
            for server in 0..account.servers.len() {
                self.locate(now, LocateId { account: AccountId(i as u16), server });
            }
        }
    }

    fn locate(&mut self, now: Instant, id: LocateId) {
        let Some(account) = self.accounts.all.get_mut(usize::from(id.account.0)) else { return };
        let Some((name, _)) = account.servers.get(id.server) else { return };
        let Ok(uri) = Uri::parse(name.as_bytes()) else { return };
        match Hop::of_uri(&uri) {
            // An address needs no look-up. What a TLS server there must prove is the account's domain, or else that address.
            Some(hop) => {
                let domain = Uri::parse(address("", &account.config.domain).as_bytes()).ok().and_then(|u| u.host);
                let name = match domain {
                    Some(Host::Name(name)) if hop.transport == Transport::Tls => Some(name.into()),
                    _ => None,
                };
                self.handle_located(now, id, vec![(hop, name)]);
            }
            None => self.actions.push_back(Action::Locate(id, name.clone())),
        }
    }

    /// Sends what registrations want to send, and says what changed.
    pub(super) fn drive_accounts(&mut self, now: Instant) {
        for i in 0..self.accounts.all.len() {
            let id = AccountId(i as u16);
            loop {
                let sip = &self.sip;
                let registration = self.accounts.all[i].registration.as_mut();
                let Some(out) = registration.and_then(|r| r.poll_request(now, |user, hop| sip.contact_uri(user, hop))) else { break };
                match self.sip.request(now, out.message, std::slice::from_ref(&out.target)) {
                    Ok(request) => self.accounts.under_way.push((request, id, out.serial)),
                    // Our own table is full: as if the server could not be reached.
                    Err(_) => {
                        if let Some(registration) = &mut self.accounts.all[i].registration {
                            registration.handle_response(now, out.serial, 503, None);
                        }
                    }
                }
            }
            let account = &mut self.accounts.all[i];
            let Some(registration) = &account.registration else { continue };
            let words = account.words();
            if words != account.told && registration.state() != State::Trying {
                let warn = matches!(registration.state(), State::Refused | State::Failed) || registration.last_words().is_some();
                account.told.clone_from(&words);
                let line = LogLine { call: None, warn, words: format!("account {}: {words}", account.config.name) };
                self.log(line.call, line.warn, line.words);
            }
        }
    }

    /// Takes all registrations back.
    pub(super) fn stop_accounts(&mut self, now: Instant) {
        for registration in self.accounts.all.iter_mut().filter_map(|a| a.registration.as_mut()) {
            registration.shut_down(now);
        }
        self.drive_accounts(now);
    }

    /// True when no registration has to be taken back any more.
    pub fn accounts_are_gone(&self) -> bool {
        self.accounts.all.iter().filter_map(|a| a.registration.as_ref()).all(|r| r.state() == State::Stopped)
    }

    /// All accounts, in the order of the configuration.
    pub fn accounts(&self) -> Vec<AccountView> {
        let view = |(i, a): (usize, &Account)| AccountView {
            name: a.config.name.clone(),
            address: address(a.config.user.as_deref().unwrap_or_default(), &a.config.domain),
            state: a.state(),
            server: a.server(),
            expires_at: a.registration.as_ref().and_then(Registration::registered_until),
            words: a.registration.as_ref().and_then(Registration::last_words).map(str::to_owned),
            calls: self.calls.values().filter(|c| c.account == Some(AccountId(i as u16))).count(),
        };
        self.accounts.all.iter().enumerate().map(view).collect()
    }

    /// Whether any server of an account can be reached, as far as is known.
    pub(super) fn has_way(&self, account: AccountId) -> bool {
        self.accounts.get(account).is_some_and(|a| a.servers.iter().any(|(_, targets)| !targets.is_empty()))
    }

    /// The port that a call to an account rings: the first of its ports that is idle, or else the first, which is then busy.
    pub(super) fn port_for(&self, account: AccountId) -> Option<PortId> {
        let of_account = |p: &usize| self.config.ports[*p].account == Some(account);
        let mut ports = (0..self.config.ports.len()).filter(of_account);
        let idle = |p: &usize| self.ports[*p].present && self.ports[*p].call.is_none() && !self.ports[*p].off_hook;
        ports.clone().find(idle).or_else(|| ports.next()).map(|p| PortId(p as u16))
    }

    /// A prefix route names the number: out it goes, if the port may.
    pub(super) fn call_outside(&mut self, now: Instant, id: CallId, port: PortId, outside: &Outside) {
        let account = match outside.way {
            Way::Account(account) => Some(account),
            Way::Own => self.config.ports.get(usize::from(port.0)).and_then(|p| p.account),
        };
        let Some(account) = account else {
            return self.close(now, id, Cause::NotAllowed("the port has no account of its own for this route"));
        };
        if let Err(why) = self.take_outside_place(now, port, account) {
            return self.close(now, id, Cause::NotAllowed(why));
        }
        self.call_account(now, id, account, &outside.number, "account");
    }

    /// INVITE through an account.
    pub(super) fn call_account(&mut self, now: Instant, id: CallId, account: AccountId, number: &str, route: &'static str) {
        let ways = self.accounts.get(account).map(Account::targets).unwrap_or_default();
        self.call_account_by(now, id, account, number, route, ways);
    }

    /// The same by these ways to its servers.
    pub(super) fn call_account_by(
        &mut self,
        now: Instant,
        id: CallId,
        account: AccountId,
        number: &str,
        route: &'static str,
        mut targets: Vec<Target>,
    ) {
        let (Some(call), Some(through)) = (self.calls.get_mut(&id), self.accounts.get(account)) else { return };
        call.account = Some(account);
        call.outside = Some(number.to_owned());
        let name = through.config.name.clone();
        call.record.account = Some(name.clone());
        if targets.is_empty() {
            return self.target_failed(now, id, Cause::NoServer(name));
        }
        if call.emergency {
            // One at a time: the endpoint would give each 32 s (RFC 3263 s.4.3), an emergency has not so long.
            targets = call.hunt.first_way(targets);
        }
        let c = &through.config;
        let ours = c.user.clone().unwrap_or_default();
        let port = if call.caller.is_empty() { "anonymous".to_owned() } else { call.caller.clone() };
        let from = match c.caller_id {
            CallerId::Account if !ours.is_empty() => ours.clone(),
            CallerId::Account | CallerId::Port => port,
        };
        // Nameless, the call is still the account's to those who are trusted with it.
        let vouched = (c.caller_id == CallerId::Port || call.record.private) && !ours.is_empty();
        let invite = Invite {
            to: address(number, &c.domain),
            targets,
            routes: through.routes(),
            from: address(&from, &c.domain),
            asserted: vouched.then(|| address(&ours, &c.domain)),
            anonymous: call.record.private,
            fax: call.talk.fax,
            login: through.login(),
            ..Invite::default()
        };
        let words = format!("calling {number} through account {name}");
        let (policy, dtls, emergency) = (c.media.unwrap_or(self.config.security.media), c.dtls, call.emergency);
        // Help is called as it can be.
        let policy = if emergency && policy == Policy::Required { Policy::Preferred } else { policy };
        // Keys stand in the INVITE whichever way it goes in the end.
        let private = !invite.targets.is_empty() && invite.targets.iter().all(|(hop, _)| hop.transport == Transport::Tls);
        let transport = if private { Transport::Tls } else { Transport::Udp };
        let mut shield = self.shield(policy, transport, false);
        match dtls {
            true => shield.own_keys.clear(),
            // A server of telephony that can do DTLS is told so by `keys = "dtls"`; many break on what they do not know.
            false => shield.dtls = None,
        }
        let number = number.to_owned();
        self.expect(id, shield, if emergency { Expected::ByHand } else { Expected::Foreign });
        self.expect_station(id, number);
        self.send_invite(now, id, invite, route, words);
    }

    /// Whether one more call may go through an account, in whichever direction.
    pub(super) fn has_line(&self, account: AccountId) -> bool {
        let Some(most) = self.accounts.get(account).and_then(|a| a.config.calls_max) else { return true };
        let open = self.calls.values().filter(|c| c.account == Some(account)).filter(ordinary).count();
        open < usize::from(most)
    }

    /// Counts an outside call of a port and an account, if the caps of both allow one more.
    fn take_outside_place(&mut self, now: Instant, port: PortId, account: AccountId) -> Result<(), &'static str> {
        let caps = self.config.ports.get(usize::from(port.0)).map(|p| p.outside).unwrap_or_default();
        let outside = self.calls.values().filter(|c| c.from == super::End::Port(port) && c.account.is_some());
        if outside.filter(ordinary).count() >= usize::from(caps.at_once) {
            return Err("the port has all the outside calls that it may have at a time (outside_calls_max)");
        }
        if !self.has_line(account) {
            return Err("the account has all the calls that it may have at a time (calls_max)");
        }
        let of_port = self.accounts.begun.get_mut(usize::from(port.0));
        let (Some(of_port), Some(through)) = (of_port, self.accounts.all.get_mut(usize::from(account.0))) else { return Ok(()) };
        if !of_port.has_room(now, caps.per_hour) {
            return Err("the port has made all the outside calls that it may make in an hour (outside_calls_per_hour)");
        }
        if let Some(per_hour) = through.config.calls_per_hour {
            if !through.begun.has_room(now, per_hour) {
                return Err("the account has made all the calls that it may make in an hour (calls_per_hour)");
            }
            through.begun.0.push_back(now);
        }
        of_port.0.push_back(now);
        Ok(())
    }
}

/// A call that caps count: no emergency, and not over.
fn ordinary(call: &&super::Call) -> bool {
    !call.emergency && call.state != super::State::Closing
}

#[cfg(test)]
#[path = "accounts_tests.rs"]
mod tests;
