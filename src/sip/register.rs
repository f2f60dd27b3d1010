//! A registration with an outside registrar (RFC 3261 s.10.2, as the user agent), kept for as long as the gateway runs.
//!
//! ```text
//!             set_targets, start                200                  a jittered part of the lease
//!   Trying ------------------------> (walk) ----------> Registered ------------------------------> (walk, from where we are)
//!                                     |  ^                 |   ^
//!   silence, 503, a broken way: next  |  | back-off        |   | 200 there
//!   none left: Failed ----------------+--+                 +---+ probe: the first server again, while we are at a later one
//!   403, wrong password ..: Refused --/   (longer)
//!   our address changed, or a way is there again: (walk) at once, taking back the contact that leads to the old one
//!   any -- shut_down --> Leaving (Expires: 0) -- answered, or tried twice --> Stopped
//! ```
//! One Call-ID for life and a rising CSeq (s.10.2); a lease that the server wants longer (423) is asked for; credentials go along unasked
//! once a challenge is known. It sends nothing: [`Registration::poll_request`] says what goes where, and
//! [`Registration::handle_response`] takes what came of it. A redirection (3xx) is not followed: which servers hear of our password is
//! said by the configuration and nobody else.

use super::auth::{Attempt, Authorizer, Login};
use super::message::{Message, Method, NameAddr, Uri, decimal, readable};
use super::{Hop, Target};
use crate::clock::{Instant, Rng, TimerTable, ms};
use crate::digest::Prints;
use crate::limits::{AUTH_REALMS_MAX, SERVER_HOPS_MAX, SERVICE_ROUTES_MAX};
use core::fmt::Write as _;

/// A server that says nothing for this long is left for the next one, in milliseconds. The last one has its transaction's 32 s.
pub const SILENCE_MS: u64 = 8_000;
/// With the last server the transaction ends first; this is the exit should its word get lost, in milliseconds.
pub const LAST_SILENCE_MS: u64 = 40_000;
/// The wait after all servers failed (RFC 5626 s.4.5: doubled each time, and a random half taken off), in milliseconds.
pub const BACK_OFF_MS: u64 = 10_000;
/// The longest such wait, in milliseconds: a provider that comes back finds everybody within ten minutes.
pub const BACK_OFF_MAX_MS: u64 = 600_000;
/// The wait after a refusal, in milliseconds, doubled each time: to ask more often with a wrong password is to get banned.
pub const REFUSED_MS: u64 = 300_000;
/// The longest such wait, in milliseconds.
pub const REFUSED_MAX_MS: u64 = 3_600_000;
/// How often the first server is tried while we are registered at a later one, in milliseconds; doubled up to [`BACK_OFF_MAX_MS`].
pub const PROBE_MS: u64 = 60_000;
/// A farewell without an answer for this long is tried again, in milliseconds: at shutdown somebody waits.
pub const FAREWELL_MS: u64 = 1_000;
/// Farewells tried. The lease ends by itself anyway.
pub const FAREWELLS_MAX: u8 = 2;
/// The longest lease that is believed, in seconds.
pub const LEASE_S_MAX: u32 = 7 * 86_400;
/// What a failing renewal needs before the lease ends, in milliseconds: a silent server or three, and a challenge.
const RENEW_MARGIN_MS: u64 = 40_000;

/// What is registered.
#[derive(Clone, Debug)]
pub struct Config {
    /// The domain (with a port where it is not the usual one): `sip:DOMAIN` is asked, `sip:USER@DOMAIN` is registered.
    pub domain: String,
    /// The user.
    pub user: String,
    /// The lease to ask for, in seconds.
    pub expires_s: u32,
    /// An outbound proxy, as a value of Route.
    pub route: Option<String>,
    /// A fax machine is reached at this address, and how: `t38`, `passthrough` (RFC 6913).
    pub fax: Option<&'static str>,
    /// Who we are.
    pub login: Option<Login>,
}

/// How it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// No server has answered yet.
    Trying,
    /// The server sends calls here.
    Registered,
    /// The server does not want us. It is asked again after a good while.
    Refused,
    /// No server answers. They are asked again and again.
    Failed,
    /// Taking it back.
    Leaving,
    /// Over.
    Stopped,
}

impl State {
    /// The word of `tipring status`.
    pub fn word(self) -> &'static str {
        match self {
            State::Trying => "trying",
            State::Registered => "registered",
            State::Refused => "refused",
            State::Failed => "failed",
            State::Leaving => "leaving",
            State::Stopped => "stopped",
        }
    }
}

/// A REGISTER to send, complete but for Via.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// To be given back with the answer; an answer to an older one is passed over.
    pub serial: u64,
    /// The request.
    pub message: Message,
    /// Where it goes.
    pub target: Target,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reason {
    /// Renew, or try again.
    Again,
    /// The request under way is silent.
    Answer,
    LeaseEnds,
    Probe,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Register,
    /// The first server, while another has us.
    Probe,
    Leave,
}

#[derive(Clone, Debug)]
struct Place {
    server: usize,
    target: Target,
}

/// A walk over the servers, at one of them.
#[derive(Clone, Debug)]
struct Walk {
    kind: Kind,
    at: Place,
    /// Where it has been.
    tried: Vec<Hop>,
    /// Named by the answer; 0 until sent.
    serial: u64,
    contact: Option<Uri>,
    attempt: Option<Attempt>,
}

/// Keeps one account registered.
#[derive(Debug)]
pub struct Registration {
    config: Config,
    rng: Rng,
    authorizer: Option<Authorizer>,
    /// The realms that our password was for so far, also where it is not taken now: no other may ask for it in a call meanwhile.
    realms: Vec<String>,
    call_id: String,
    tag: String,
    cseq: u32,
    expires_s: u32,
    /// The ways to each server, in order of preference.
    servers: Vec<(String, Vec<Target>)>,
    started: bool,
    state: State,
    registered_at: Option<Place>,
    until: Option<Instant>,
    walk: Option<Walk>,
    /// The contact that the registrar has of us.
    bound: Option<Uri>,
    serial: u64,
    failures: u32,
    refusals: u32,
    probes: u32,
    farewells: u8,
    service_route: Vec<String>,
    last_words: Option<String>,
    timers: TimerTable<Reason, 4>,
}

/// `sip:USER@DOMAIN`, with what may not stand in a user escaped (RFC 3261 s.25.1).
pub fn address(user: &str, domain: &str) -> String {
    let mut out = String::from("sip:");
    for b in user.bytes() {
        if b.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&b) {
            out.push(char::from(b));
        } else {
            let _ = write!(out, "%{b:02X}");
        }
    }
    if !user.is_empty() {
        out.push('@');
    }
    out + domain
}

impl Registration {
    /// With these servers, none of them located yet. `prints` makes names and spreads requests in time.
    pub fn new(config: Config, servers: Vec<String>, prints: impl Into<Prints>) -> Registration {
        let mut prints = prints.into();
        let authorizer = config.login.clone().map(|login| Authorizer::new(login, prints.fork()));
        Registration {
            authorizer,
            realms: Vec::new(),
            call_id: format!("{:032x}", prints.wide()),
            tag: format!("{:016x}", prints.number()),
            cseq: 0,
            expires_s: config.expires_s,
            servers: servers.into_iter().map(|s| (s, Vec::new())).collect(),
            started: false,
            state: State::Trying,
            registered_at: None,
            until: None,
            walk: None,
            bound: None,
            serial: 0,
            failures: 0,
            refusals: 0,
            probes: 0,
            farewells: 0,
            service_route: Vec::new(),
            last_words: None,
            timers: TimerTable::new([Reason::Again, Reason::Answer, Reason::LeaseEnds, Reason::Probe]),
            rng: prints.rng(),
            config,
        }
    }

    /// Begins, as soon as a server is located.
    pub fn start(&mut self, now: Instant) {
        self.started = true;
        if self.servers.iter().any(|(_, targets)| !targets.is_empty()) {
            self.register(now);
        } else {
            self.timers.set(Reason::Again, now + ms(BACK_OFF_MS));
        }
    }

    /// Where a server is, by its place in the list: after the start, and whenever it was looked up again. An empty answer changes nothing.
    pub fn set_targets(&mut self, now: Instant, server: usize, targets: Vec<Target>) {
        let Some((_, known)) = self.servers.get_mut(server) else { return };
        if targets.is_empty() {
            return;
        }
        let waited = known.is_empty();
        *known = targets;
        known.truncate(SERVER_HOPS_MAX);
        // The server under way is not the last one any more.
        if waited && self.walk.as_ref().is_some_and(|w| w.kind == Kind::Register && w.serial != 0) {
            let patience = self.timers.get(Reason::Answer).map_or(now, |at| at.min(now + ms(SILENCE_MS)));
            self.timers.set(Reason::Answer, patience);
        }
        // Whoever has no server to ask asks the first that is found.
        if waited && self.started && self.walk.is_none() && self.until.is_none() && self.refusals == 0 && self.is_open() {
            self.register(now);
        }
    }

    /// We are reached under another address now, or there is a way to the servers again: registers at once. Who was refused waits on, lest
    /// a server that bans be asked too often.
    pub fn way_changed(&mut self, now: Instant, moved: bool) {
        let due = moved || self.until.is_none() || self.walk.is_some();
        if !(self.started && due && self.is_open()) || self.refusals > 0 {
            return;
        }
        // What is under way names the old address, or went into nothing.
        self.walk = None;
        self.failures = 0;
        self.timers.stop(Reason::Answer);
        self.register(now);
    }

    /// Takes the registration back; [`State::Stopped`] follows within [`FAREWELLS_MAX`] times [`FAREWELL_MS`], answer or not.
    pub fn shut_down(&mut self, now: Instant) {
        if !self.is_open() {
            return;
        }
        // A request without an answer may have been granted: taking it back does no harm.
        let under_way = self.walk.take().filter(|w| w.serial != 0 && w.kind == Kind::Register).map(|w| w.at);
        self.timers.stop_all();
        match self.registered_at.clone().filter(|_| self.until.is_some()).or(under_way) {
            Some(at) => {
                self.state = State::Leaving;
                self.begin(Kind::Leave, at);
                self.timers.set(Reason::Answer, now + ms(FAREWELL_MS));
            }
            None => self.stop(),
        }
    }

    /// The REGISTER to send now, once. `contact` says how we are reached by who is reached over a hop.
    pub fn poll_request(&mut self, now: Instant, contact: impl Fn(&str, Hop) -> Uri) -> Option<Outgoing> {
        let is_last = self.next_untried().is_none();
        let walk = self.walk.as_mut().filter(|w| w.serial == 0)?;
        self.serial += 1;
        walk.serial = self.serial;
        self.cseq = (self.cseq + 1) & 0x7fff_ffff;
        let silence = match (walk.kind, is_last) {
            (Kind::Leave, _) => FAREWELL_MS,
            (Kind::Register, true) => LAST_SILENCE_MS,
            (Kind::Register | Kind::Probe, _) => SILENCE_MS,
        };
        let ours = contact(&self.config.user, walk.at.target.0);
        let expires_s = if walk.kind == Kind::Leave { 0 } else { self.expires_s };
        let fax = self.config.fax.map(|how| format!(";+sip.fax=\"{how}\"")).unwrap_or_default();
        let mut message = Message::request(Method::Register, format!("sip:{}", self.config.domain)).with("Max-Forwards", "70");
        if let Some(route) = &self.config.route {
            message = message.with("Route", route);
        }
        let who = address(&self.config.user, &self.config.domain);
        let own =
            |uri: &Uri, expires_s: u32| [b"<", uri.as_bytes(), b">;expires=", expires_s.to_string().as_bytes(), fax.as_bytes()].concat();
        let mut message = message
            .with("From", format!("<{who}>;tag={}", self.tag))
            .with("To", format!("<{who}>"))
            .with("Call-ID", &self.call_id)
            .with("CSeq", format!("{} REGISTER", self.cseq))
            .with("Contact", own(&ours, expires_s));
        if let Some(old) = self.bound.as_ref().filter(|old| **old != ours) {
            // s.10.2.2: without this the server would send calls to where we were, too, until that lease ends.
            message = message.with("Contact", own(old, 0));
        }
        let mut message = message.with("Expires", expires_s.to_string());
        if let Some(authorizer) = &mut self.authorizer {
            walk.attempt.get_or_insert_with(|| authorizer.begin());
            authorizer.authorize(&mut message);
        }
        walk.contact = Some(ours);
        let target = walk.at.target.clone();
        self.timers.set(Reason::Answer, now + ms(silence));
        Some(Outgoing { serial: self.serial, message, target })
    }

    /// What came of the request `serial`. `response` is `None` where this side made the status: nobody answered (408), or no way led
    /// there (503).
    pub fn handle_response(&mut self, now: Instant, serial: u64, status: u16, response: Option<&Message>) {
        let Some(walk) = self.walk.as_mut().filter(|w| w.serial == serial && serial != 0) else { return };
        self.timers.stop(Reason::Answer);
        if let (401 | 407, Some(response)) = (status, response) {
            return self.challenged(now, response);
        }
        if walk.kind == Kind::Leave {
            return self.stop();
        }
        let reason = response.map(Message::reason_phrase).unwrap_or_default();
        match (status, response) {
            (200..300, Some(response)) => self.granted(now, response),
            (423, Some(response)) => match decimal(response.headers.get("Min-Expires").unwrap_or_default()) {
                // s.10.2.8: the server wants it longer.
                Some(wanted) if wanted > u64::from(self.expires_s) && wanted <= u64::from(LEASE_S_MAX) => {
                    self.expires_s = wanted as u32;
                    walk.serial = 0;
                }
                _ => self.refused(now, "423: the server wants a lease that makes no sense".into(), None),
            },
            (408, None) => self.next_place(now, "does not answer".into(), None),
            (_, None) => self.next_place(now, "cannot be reached".into(), None),
            (300..400, Some(response)) => {
                let to = response.contact().map_or_else(String::new, |c| readable(c.uri.as_bytes()));
                self.refused(now, format!("{status} {reason}: sends us to {to}, which the configuration does not name"), None);
            }
            // What another server, or the same one later, may answer otherwise.
            (408 | 480 | 491 | 500..600, Some(response)) => self.next_place(now, format!("says {status} {reason}"), retry_after(response)),
            (_, Some(response)) => self.refused(now, format!("{status} {reason}"), retry_after(response)),
        }
    }

    /// A connection to there broke. What was registered over it is registered again, lest calls be sent into nothing (RFC 5626 s.4.5).
    pub fn handle_transport_failure(&mut self, now: Instant, hop: Hop) {
        let ours = self.registered_at.as_ref().is_some_and(|p| p.target.0 == hop);
        if ours && hop.transport.is_reliable() && self.until.is_some() && self.walk.is_none() && self.is_open() {
            self.timers.set(Reason::Again, now + ms(self.rng.below(1_000)));
        }
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(reason) = self.timers.take_due(now) {
            match reason {
                Reason::Again if self.walk.is_some() => self.timers.set(Reason::Again, now + ms(1_000)),
                Reason::Again => self.register(now),
                Reason::Answer if self.state == State::Leaving => self.farewell_silent(now),
                Reason::Answer => self.next_place(now, "does not answer".into(), None),
                Reason::LeaseEnds => {
                    self.until = None;
                    self.service_route.clear();
                    self.timers.stop(Reason::Probe);
                    self.state = State::Failed;
                }
                Reason::Probe => self.probe(now),
            }
        }
    }

    /// When [`Registration::handle_timeout`] is wanted.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next().map(|(at, _)| at)
    }

    /// How it stands.
    pub fn state(&self) -> State {
        self.state
    }
    /// True while the server sends calls here: also during a renewal that fails, until the lease ends.
    pub fn is_registered(&self) -> bool {
        self.until.is_some()
    }
    /// When the lease ends.
    pub fn registered_until(&self) -> Option<Instant> {
        self.until
    }
    /// The server in use, as configured.
    pub fn server(&self) -> Option<&str> {
        let place = self.registered_at.as_ref().filter(|_| self.until.is_some())?;
        self.servers.get(place.server).map(|(name, _)| name.as_str())
    }
    /// The way to it.
    pub fn target(&self) -> Option<&Target> {
        self.registered_at.as_ref().filter(|_| self.until.is_some()).map(|p| &p.target)
    }
    /// The realms that asked for the password so far.
    pub fn realms(&self) -> impl Iterator<Item = &str> {
        self.realms.iter().map(String::as_str)
    }
    /// What went wrong last, while it lasts.
    pub fn last_words(&self) -> Option<&str> {
        self.last_words.as_deref()
    }
    /// Values of Route for calls of the account (RFC 3608).
    pub fn service_route(&self) -> &[String] {
        &self.service_route
    }

    fn is_open(&self) -> bool {
        !matches!(self.state, State::Leaving | State::Stopped)
    }

    fn begin(&mut self, kind: Kind, at: Place) {
        let tried = vec![at.target.0];
        self.walk = Some(Walk { kind, at, tried, serial: 0, contact: None, attempt: None });
    }

    /// The best place that the walk has not been to.
    fn next_untried(&self) -> Option<Place> {
        let walk = self.walk.as_ref().filter(|w| w.kind != Kind::Leave)?;
        let reach = if walk.kind == Kind::Probe { 1 } else { self.servers.len() };
        let all = self.servers.iter().take(reach).enumerate().flat_map(|(server, (_, targets))| targets.iter().map(move |t| (server, t)));
        let mut fresh = all.filter(|(_, target)| !walk.tried.contains(&target.0));
        fresh.next().map(|(server, target)| Place { server, target: target.clone() })
    }

    /// Starts a walk over all servers: from where we are registered, or from the first.
    fn register(&mut self, now: Instant) {
        if !self.is_open() {
            return;
        }
        let first_of = |(server, (_, targets)): (usize, &(String, Vec<Target>))| {
            targets.first().map(|target| Place { server, target: target.clone() })
        };
        let here = self.registered_at.clone().filter(|_| self.until.is_some());
        match here.or_else(|| self.servers.iter().enumerate().find_map(first_of)) {
            Some(first) => {
                self.timers.stop(Reason::Again);
                self.begin(Kind::Register, first);
            }
            None => {
                self.last_words = Some("no address is known of any server".into());
                self.back_off(now, None);
            }
        }
    }

    fn probe(&mut self, now: Instant) {
        match self.servers.first().and_then(|(_, targets)| targets.first()).cloned() {
            Some(target) if self.walk.is_none() => self.begin(Kind::Probe, Place { server: 0, target }),
            _ => self.timers.set(Reason::Probe, now + ms(1_000 + self.rng.below(1_000))),
        }
    }

    fn challenged(&mut self, now: Instant, response: &Message) {
        let Some(walk) = &mut self.walk else { return };
        let answered = match (&mut self.authorizer, &mut walk.attempt) {
            (Some(authorizer), Some(attempt)) => {
                let answered = authorizer.challenged(attempt, response).map_err(|why| why.to_string());
                for realm in authorizer.realms() {
                    if self.realms.len() < AUTH_REALMS_MAX && !self.realms.iter().any(|known| known == realm) {
                        self.realms.push(realm.to_owned());
                    }
                }
                answered
            }
            _ => Err("the server asks for a password and none is configured".into()),
        };
        match answered {
            // The same server again, with what it asked for.
            Ok(()) => walk.serial = 0,
            Err(_) if walk.kind == Kind::Leave => self.stop(),
            Err(why) => self.refused(now, why, retry_after(response)),
        }
    }

    fn granted(&mut self, now: Instant, response: &Message) {
        let Some(walk) = self.walk.take() else { return };
        if let Some(authorizer) = &mut self.authorizer {
            authorizer.accepted(response);
        }
        let lease_s = lease_s(response, walk.contact.as_ref()).unwrap_or(u64::from(self.expires_s)).min(u64::from(LEASE_S_MAX));
        if lease_s == 0 {
            self.walk = Some(walk);
            return self.refused(now, "the server granted a lease of 0 s".into(), None);
        }
        let routes = response.headers.values("Service-Route").filter(|v| NameAddr::parse(v).is_ok_and(|n| n.uri.host.is_some()));
        self.service_route = routes.take(SERVICE_ROUTES_MAX).map(|v| String::from_utf8_lossy(v).into_owned()).collect();
        let lease_ms = lease_s * 1000;
        self.until = Some(now + ms(lease_ms));
        self.timers.set(Reason::LeaseEnds, now + ms(lease_ms));
        // 80 to 95 % of the lease, but early enough for another server to be tried; half of a short one. Spread, so that the accounts of
        // a gateway, and the gateways of a house after a power cut, do not all come at once.
        let renew_ms = (lease_ms * (800 + self.rng.below(151)) / 1000).min(lease_ms.saturating_sub(RENEW_MARGIN_MS));
        let renew_ms = renew_ms.max(lease_ms * (450 + self.rng.below(101)) / 1000);
        self.timers.set(Reason::Again, now + ms(renew_ms));
        (self.failures, self.refusals) = (0, 0);
        self.last_words = None;
        self.state = State::Registered;
        match (walk.at.server, walk.kind) {
            (0, _) => {
                self.probes = 0;
                self.timers.stop(Reason::Probe);
            }
            (_, _) if self.timers.get(Reason::Probe).is_none() => self.arm_probe(now),
            _ => {}
        }
        self.bound = walk.contact;
        self.registered_at = Some(walk.at);
    }

    fn arm_probe(&mut self, now: Instant) {
        let wait_ms = (PROBE_MS << self.probes.min(8)).min(BACK_OFF_MAX_MS);
        self.timers.set(Reason::Probe, now + ms(wait_ms * (900 + self.rng.below(201)) / 1000));
    }

    /// The server of the walk did not do: the next one, or none is left.
    fn next_place(&mut self, now: Instant, why: String, retry_after_s: Option<u64>) {
        let next = self.next_untried();
        let Some(walk) = &mut self.walk else { return };
        self.timers.stop(Reason::Answer);
        let said = format!("{} ({}) {why}", self.servers.get(walk.at.server).map_or("", |(name, _)| name.as_str()), walk.at.target.0);
        if walk.kind != Kind::Probe {
            self.last_words = Some(said);
        }
        if let Some(next) = next {
            walk.tried.push(next.target.0);
            (walk.at, walk.serial, walk.attempt) = (next, 0, None);
            return;
        }
        let kind = walk.kind;
        self.walk = None;
        if kind == Kind::Probe {
            self.probes = self.probes.saturating_add(1);
            return self.arm_probe(now);
        }
        self.back_off(now, retry_after_s);
    }

    fn back_off(&mut self, now: Instant, retry_after_s: Option<u64>) {
        let wait_ms = (BACK_OFF_MS << self.failures.min(16)).min(BACK_OFF_MAX_MS);
        self.failures = self.failures.saturating_add(1);
        self.fell(State::Failed);
        let at_least = retry_after_s.unwrap_or(0).saturating_mul(1000).min(BACK_OFF_MAX_MS);
        // RFC 5626 s.4.5: between half of it and all of it.
        let wait_ms = (wait_ms * (500 + self.rng.below(501)) / 1000).max(at_least);
        self.timers.set(Reason::Again, now + ms(wait_ms));
    }

    fn refused(&mut self, now: Instant, why: String, retry_after_s: Option<u64>) {
        let Some(walk) = self.walk.take() else { return };
        self.timers.stop(Reason::Answer);
        if walk.kind == Kind::Probe {
            self.probes = self.probes.saturating_add(1);
            return self.arm_probe(now);
        }
        self.last_words = Some(why);
        let wait_ms = (REFUSED_MS << self.refusals.min(8)).min(REFUSED_MAX_MS);
        self.refusals = self.refusals.saturating_add(1);
        // The server does not want us any more: a lease that it gave before is not worth its paper.
        self.until = None;
        self.service_route.clear();
        self.timers.stop(Reason::LeaseEnds);
        self.timers.stop(Reason::Probe);
        self.fell(State::Refused);
        let at_least = retry_after_s.unwrap_or(0).saturating_mul(1000).min(REFUSED_MAX_MS);
        self.timers.set(Reason::Again, now + ms((wait_ms * (900 + self.rng.below(201)) / 1000).max(at_least)));
    }

    /// Not registered, for this reason; a lease that still runs keeps its state.
    fn fell(&mut self, state: State) {
        if self.until.is_none() {
            self.state = state;
        }
    }

    fn farewell_silent(&mut self, now: Instant) {
        self.farewells += 1;
        match self.walk.as_mut() {
            Some(walk) if self.farewells < FAREWELLS_MAX => {
                walk.serial = 0;
                self.timers.set(Reason::Answer, now + ms(FAREWELL_MS));
            }
            _ => self.stop(),
        }
    }

    fn stop(&mut self) {
        self.timers.stop_all();
        (self.walk, self.until, self.registered_at) = (None, None, None);
        self.service_route.clear();
        self.state = State::Stopped;
    }
}

/// The lease of our contact among those of the response (s.10.2.4).
fn lease_s(response: &Message, ours: Option<&Uri>) -> Option<u64> {
    let same = |c: &NameAddr| ours.is_some_and(|o| c.uri.user() == o.user() && c.uri.host == o.host && c.uri.port == o.port);
    let bound = response.headers.values("Contact").filter_map(|v| NameAddr::parse(v).ok()).find(same);
    let of_contact = bound.and_then(|c| c.params.get("expires").and_then(decimal));
    of_contact.or_else(|| decimal(response.headers.get("Expires")?))
}

/// Seconds, of Retry-After, whose comment and parameters are left aside.
fn retry_after(response: &Message) -> Option<u64> {
    let value = response.headers.get("Retry-After")?;
    decimal(&value[..value.iter().position(|b| !b.is_ascii_digit()).unwrap_or(value.len())])
}

#[cfg(test)]
#[path = "register_tests.rs"]
mod tests;
