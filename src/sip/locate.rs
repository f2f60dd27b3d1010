//! Where a SIP URI leads (RFC 3263 s.4): NAPTR, SRV and address records to an ordered list of hops, the next of which is tried when one
//! fails. Sans-I/O: [`Locator`] says what it wants to know, is told, and ends with the list; [`Cache`] remembers what was told for as long
//! as it holds.
//!
//! ```text
//! address, or port said ------------------------------------------.
//! name --NAPTR--> a service we speak --SRV of its replacement--.   |
//!    \--no NAPTR, or transport said--SRV of each transport-----+---+--A, AAAA--> hops
//!                                      \--no SRV: the name itself--'
//! ```
//! Answers come from strangers: everything is bounded (records taken of an answer, targets, hops, questions), a loop cannot happen because
//! there are only these three stages, and what fails counts as absent.

use super::hop::{Hop, Transport};
use super::message::{Host, Scheme, Uri};
use crate::clock::{Instant, Rng, ms};
use crate::limits::{DNS_CACHE_MAX, DNS_RECORDS_MAX, LOCATE_HOPS_MAX, LOCATE_TARGETS_MAX};
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// How long a location may take in all. A call waits for it, and its caller listens to silence.
pub const LOCATE_MS: u64 = 4000;
/// The longest time that an answer is believed, whatever it says: servers move.
const TTL_MAX_S: u32 = 3600;
/// How long "there is none" is believed at most (RFC 2308 s.5 allows hours).
const NEGATIVE_TTL_MAX_S: u32 = 300;
/// The longest name of DNS (RFC 1035 s.2.3.4), in text.
const NAME_BYTES_MAX: usize = 253;

/// What a URI says of the way to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// `sips:`: TLS on every hop, nothing else.
    pub secure: bool,
    /// Name or address; of `maddr` where the URI has that.
    pub host: Host,
    /// The port, if it is said.
    pub port: Option<u16>,
    /// The transport, if it is said.
    pub transport: Option<Transport>,
    /// The domain that a server must prove by TLS: the URI's host, whatever `maddr` says (RFC 5922 s.7.3).
    domain: Option<Arc<str>>,
}

/// Why a URI leads nowhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Nowhere {
    /// It is no `sip:` or `sips:` URI, or its name can be no name of DNS.
    NotAnAddress,
    /// It wants a transport that we do not speak (or `sips:` over UDP).
    Transport,
    /// Its domain has no address, as far as DNS says.
    NoSuchHost,
    /// Its domain says by SRV that it has no such service (RFC 2782: target `.`).
    NoService,
    /// DNS does not answer.
    Silent,
}

impl core::fmt::Display for Nowhere {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Nowhere::NotAnAddress => "is no SIP address",
            Nowhere::Transport => "asks for a transport that is not spoken here",
            Nowhere::NoSuchHost => "has no address in DNS",
            Nowhere::NoService => "offers no SIP, says DNS",
            Nowhere::Silent => "cannot be found: DNS does not answer",
        })
    }
}
impl core::error::Error for Nowhere {}

impl Target {
    /// What a URI says.
    pub fn of(uri: &Uri) -> Result<Target, Nowhere> {
        let secure = match uri.scheme {
            Scheme::Sip => false,
            Scheme::Sips => true,
            Scheme::Tel | Scheme::Other => return Err(Nowhere::NotAnAddress),
        };
        let transport = match uri.params.get("transport") {
            None => None,
            // RFC 3261 s.19.1.1: for sips, `tcp` means TLS over it. `transport=tls` is deprecated and everywhere.
            Some(word) => match (Transport::parse(word).ok_or(Nowhere::Transport)?, secure) {
                (Transport::Udp, true) => return Err(Nowhere::Transport),
                (Transport::Tcp, true) => Some(Transport::Tls),
                (other, _) => Some(other),
            },
        };
        let own = uri.host.clone().ok_or(Nowhere::NotAnAddress)?;
        let host = uri.params.get("maddr").and_then(Host::parse).unwrap_or_else(|| own.clone());
        Target::new(secure, host, uri.port, transport, own)
    }

    /// A `host`, `host:port`, `[v6]:port`, or a `sip:` or `sips:` URI, as it stands in a configuration.
    pub fn parse(text: &str) -> Result<Target, Nowhere> {
        let has_scheme = ["sip:", "sips:"].iter().any(|s| text.get(..s.len()).is_some_and(|t| t.eq_ignore_ascii_case(s)));
        let text = if has_scheme { text.to_owned() } else { format!("sip:{text}") };
        Target::of(&Uri::parse(text.as_bytes()).map_err(|_| Nowhere::NotAnAddress)?)
    }

    fn new(secure: bool, host: Host, port: Option<u16>, transport: Option<Transport>, own: Host) -> Result<Target, Nowhere> {
        let is_name = |name: &str| {
            let name = name.trim_end_matches('.');
            name.len() <= NAME_BYTES_MAX && name.split('.').all(|label| (1..=63).contains(&label.len()))
        };
        if matches!(&host, Host::Name(name) if !is_name(name)) {
            return Err(Nowhere::NotAnAddress);
        }
        let domain = match own {
            Host::Name(name) => Some(Arc::from(name.trim_end_matches('.'))),
            Host::Addr(_) => None,
        };
        Ok(Target { secure, host, port, transport, domain })
    }

    /// RFC 3263 s.4.1: where nothing decides, TLS for sips, UDP for sip.
    fn default_transport(&self) -> Transport {
        self.transport.unwrap_or(if self.secure { Transport::Tls } else { Transport::Udp })
    }
}

/// A kind of record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// RFC 3403.
    Naptr,
    /// RFC 2782.
    Srv,
    /// IPv4 address.
    A,
    /// IPv6 address.
    Aaaa,
}

/// Something to ask DNS.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Question {
    /// Fully qualified, without the last dot, lower case.
    pub name: String,
    /// Which records.
    pub kind: Kind,
}

/// A record of an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// Of NAPTR what RFC 3263 reads; those with a regular expression are for others.
    Naptr {
        /// Lower first; may not be skipped.
        order: u16,
        /// Lower first within an order.
        preference: u16,
        /// `s` where an SRV name follows.
        flags: String,
        /// `SIP+D2U`, `SIP+D2T`, `SIPS+D2T`.
        service: String,
        /// The name to ask for SRV.
        replacement: String,
    },
    /// A server.
    Srv {
        /// Lower first.
        priority: u16,
        /// Share of the calls within a priority.
        weight: u16,
        /// Its port.
        port: u16,
        /// Its name; empty (`.`): no such service here.
        target: String,
    },
    /// An address of either family.
    Address(IpAddr),
}

/// What DNS said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// These, for so many seconds. Records of other kinds are passed over.
    Records(Vec<Record>, u32),
    /// There are none (no such name, or none of this kind), for so many seconds.
    None(u32),
    /// It did not answer, or said that it cannot.
    Failed,
}

/// A hop with the domain that it must prove where a TLS connection is opened to it.
pub type Located = super::hop::Target;

/// A name whose addresses are wanted: a server of SRV, or the host itself.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Server {
    transport: Transport,
    name: String,
    port: u16,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Stage {
    Naptr,
    /// SRV of these, in order of preference, with the transport of each; and what came.
    Srv(Vec<(Transport, String, Option<Vec<Record>>)>),
    /// Addresses of these; by name, what came.
    Addresses(Vec<Server>, BTreeMap<String, [Option<Vec<IpAddr>>; 2]>),
    Done(Result<Vec<Located>, Nowhere>),
}

/// The way to one target.
#[derive(Clone, Debug)]
pub struct Locator {
    target: Target,
    /// What we speak, best first where the other side has no preference.
    speaks: Vec<Transport>,
    rng: Rng,
    deadline: Instant,
    stage: Stage,
    asking: VecDeque<Question>,
    /// Some answer failed, so absence proves nothing.
    silent: bool,
    refused: bool,
}

impl Locator {
    /// Sets out. `speaks` are the transports that this side has, in its order of preference.
    pub fn new(now: Instant, target: Target, speaks: &[Transport], rng: Rng) -> Locator {
        let mut locator = Locator {
            target,
            speaks: speaks.to_vec(),
            rng,
            deadline: now + ms(LOCATE_MS),
            stage: Stage::Naptr,
            asking: VecDeque::new(),
            silent: false,
            refused: false,
        };
        locator.begin();
        locator
    }

    fn begin(&mut self) {
        let transport = self.target.default_transport();
        let can = |t: &Transport| !self.target.secure || *t == Transport::Tls;
        let possible: Vec<Transport> = self.speaks.iter().copied().filter(can).collect();
        let decided = self.target.transport.is_some() || self.target.port.is_some() || matches!(self.target.host, Host::Addr(_));
        if possible.is_empty() || (decided && !possible.contains(&transport)) {
            self.stage = Stage::Done(Err(Nowhere::Transport));
            return;
        }
        self.speaks = possible;
        match (&self.target.host, self.target.port) {
            (Host::Addr(ip), port) => {
                let addr = SocketAddr::new(*ip, port.unwrap_or(transport.default_port()));
                let hop = self.located(transport, addr);
                self.stage = Stage::Done(Ok(vec![hop]));
            }
            (Host::Name(name), Some(port)) => {
                let server = Server { transport, name: plain(name), port };
                self.ask_addresses(vec![server]);
            }
            (Host::Name(name), None) => match self.target.transport {
                Some(transport) => {
                    let name = srv_name(transport, name);
                    self.ask_srv(vec![(transport, name)]);
                }
                None => self.asking.push_back(Question { name: plain(name), kind: Kind::Naptr }),
            },
        }
    }

    /// The next thing to ask DNS. All that come out may be asked at once; each must be answered by [`Locator::handle_answer`].
    pub fn poll_question(&mut self) -> Option<Question> {
        self.asking.pop_front()
    }

    /// When [`Locator::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        (!matches!(self.stage, Stage::Done(_))).then_some(self.deadline)
    }

    /// The outcome, once there is one: hops in the order in which they are to be tried.
    pub fn outcome(&self) -> Option<&Result<Vec<Located>, Nowhere>> {
        match &self.stage {
            Stage::Done(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// Time is up: what is known by now is the outcome.
    pub fn handle_timeout(&mut self, now: Instant) {
        if now < self.deadline {
            return;
        }
        self.silent = true;
        self.asking.clear();
        // Each stage at most once more, with what is missing counted as absent; the questions that this makes nobody asks.
        for _ in 0..3 {
            match &mut self.stage {
                Stage::Naptr => self.take_naptr(Vec::new()),
                Stage::Srv(asked) => {
                    for (_, _, came) in asked.iter_mut() {
                        came.get_or_insert_default();
                    }
                    self.take_srv();
                }
                Stage::Addresses(_, came) => {
                    for list in came.values_mut().flatten() {
                        list.get_or_insert_default();
                    }
                    self.take_addresses();
                }
                Stage::Done(_) => break,
            }
        }
        self.asking.clear();
    }

    /// What DNS said. Answers to what was not asked are passed over.
    pub fn handle_answer(&mut self, question: &Question, answer: Answer) {
        let mut records = match answer {
            Answer::Records(records, _) => records,
            Answer::None(_) => Vec::new(),
            Answer::Failed => {
                self.silent = true;
                Vec::new()
            }
        };
        records.truncate(DNS_RECORDS_MAX);
        match (&mut self.stage, question.kind) {
            (Stage::Naptr, Kind::Naptr) => self.take_naptr(records),
            (Stage::Srv(asked), Kind::Srv) => {
                for (_, name, came) in asked.iter_mut().filter(|(_, name, _)| *name == question.name) {
                    debug_assert!(!name.is_empty());
                    came.get_or_insert_with(|| records.clone());
                }
                if asked.iter().all(|(_, _, came)| came.is_some()) {
                    self.take_srv();
                }
            }
            (Stage::Addresses(_, came), kind @ (Kind::A | Kind::Aaaa)) => {
                if let Some(both) = came.get_mut(&question.name) {
                    let wants_v4 = kind == Kind::A;
                    let list = records.iter().filter_map(|r| match r {
                        Record::Address(ip) if ip.is_ipv4() == wants_v4 => Some(*ip),
                        _ => None,
                    });
                    both[usize::from(!wants_v4)].get_or_insert_with(|| list.collect());
                }
                if came.values().flatten().all(Option::is_some) {
                    self.take_addresses();
                }
            }
            _ => {}
        }
    }

    /// s.4.1: the services that both sides speak, in the domain's order.
    fn take_naptr(&mut self, records: Vec<Record>) {
        let mut services: Vec<(u16, u16, Transport, String)> = Vec::new();
        for record in records {
            let Record::Naptr { order, preference, flags, service, replacement } = record else { continue };
            let transport = match service.to_ascii_uppercase().as_str() {
                "SIP+D2U" => Transport::Udp,
                "SIP+D2T" => Transport::Tcp,
                "SIPS+D2T" => Transport::Tls,
                _ => continue,
            };
            let name = plain(&replacement);
            if flags.eq_ignore_ascii_case("s") && self.speaks.contains(&transport) && !name.is_empty() && name.len() <= NAME_BYTES_MAX {
                services.push((order, preference, transport, name));
            }
        }
        services.sort();
        services.dedup_by(|a, b| (a.2, &a.3) == (b.2, &b.3));
        services.truncate(LOCATE_TARGETS_MAX);
        let Host::Name(name) = &self.target.host else { return };
        let asked = match services.is_empty() {
            false => services.into_iter().map(|(_, _, transport, name)| (transport, name)).collect(),
            true => self.speaks.iter().map(|t| (*t, srv_name(*t, name))).collect(),
        };
        self.ask_srv(asked);
    }

    fn ask_srv(&mut self, asked: Vec<(Transport, String)>) {
        let mut names: Vec<&String> = asked.iter().map(|(_, name)| name).collect();
        names.dedup();
        self.asking = names.into_iter().map(|name| Question { name: name.clone(), kind: Kind::Srv }).collect();
        self.stage = Stage::Srv(asked.into_iter().map(|(transport, name)| (transport, name, None)).collect());
    }

    /// s.4.2 and RFC 2782: the servers, by transport, priority and weight.
    fn take_srv(&mut self) {
        let Stage::Srv(asked) = &mut self.stage else { return };
        let asked = std::mem::take(asked);
        let mut servers: Vec<Server> = Vec::new();
        for (transport, _, came) in asked {
            let mut list: Vec<(u16, u16, u16, String)> = Vec::new();
            for record in came.unwrap_or_default() {
                let Record::Srv { priority, weight, port, target } = record else { continue };
                let target = plain(&target);
                if target.is_empty() {
                    self.refused = true;
                } else if port != 0 && target.len() <= NAME_BYTES_MAX {
                    list.push((priority, weight, port, target));
                }
            }
            for (_, _, port, name) in by_weight(list, &mut self.rng) {
                let server = Server { transport, name, port };
                if !servers.contains(&server) {
                    servers.push(server);
                }
            }
        }
        servers.truncate(LOCATE_TARGETS_MAX);
        if servers.is_empty() {
            if self.refused {
                self.stage = Stage::Done(Err(Nowhere::NoService));
                return;
            }
            // No SRV: the name itself, by the default transport and its port.
            let Host::Name(name) = &self.target.host else { return };
            let mut transport = self.target.default_transport();
            if !self.speaks.contains(&transport) {
                transport = self.speaks[0];
            }
            servers.push(Server { transport, name: plain(name), port: transport.default_port() });
        }
        self.ask_addresses(servers);
    }

    fn ask_addresses(&mut self, servers: Vec<Server>) {
        let mut came = BTreeMap::new();
        for server in &servers {
            // Some domains write addresses where names should stand.
            let known = server.name.parse::<IpAddr>().ok();
            came.entry(server.name.clone()).or_insert_with(|| match known {
                Some(ip) => [Some(vec![ip]), Some(Vec::new())],
                None => {
                    self.asking.push_back(Question { name: server.name.clone(), kind: Kind::A });
                    self.asking.push_back(Question { name: server.name.clone(), kind: Kind::Aaaa });
                    [None, None]
                }
            });
        }
        let complete = came.values().flatten().all(Option::is_some);
        self.stage = Stage::Addresses(servers, came);
        if complete {
            self.take_addresses();
        }
    }

    fn take_addresses(&mut self) {
        let Stage::Addresses(servers, came) = &self.stage else { return };
        let mut hops: Vec<Located> = Vec::new();
        for server in servers {
            let both = came.get(&server.name).into_iter().flatten().flatten();
            for ip in both.flatten() {
                let hop = self.located(server.transport, SocketAddr::new(*ip, server.port));
                if !hops.contains(&hop) && hops.len() < LOCATE_HOPS_MAX {
                    hops.push(hop);
                }
            }
        }
        self.stage = Stage::Done(match (hops.is_empty(), self.silent) {
            (false, _) => Ok(hops),
            (true, false) => Err(Nowhere::NoSuchHost),
            (true, true) => Err(Nowhere::Silent),
        });
    }

    fn located(&self, transport: Transport, addr: SocketAddr) -> Located {
        let proof = if transport == Transport::Tls { self.target.domain.clone() } else { None };
        (Hop { transport, addr }, proof)
    }
}

/// RFC 2782: by priority; within one, drawn by weight.
fn by_weight(mut list: Vec<(u16, u16, u16, String)>, rng: &mut Rng) -> Vec<(u16, u16, u16, String)> {
    // Records of one priority with weight 0 first, as the RFC's drawing wants it.
    list.sort();
    let mut out = Vec::with_capacity(list.len());
    while let Some(first) = list.first() {
        let end = list.iter().position(|s| s.0 != first.0).unwrap_or(list.len());
        let sum: u64 = list[..end].iter().map(|s| u64::from(s.1)).sum();
        let drawn = rng.below(sum + 1);
        let mut running = 0;
        let at = list[..end].iter().position(|s| {
            running += u64::from(s.1);
            running >= drawn
        });
        out.push(list.remove(at.expect("the running sum ends at the sum, which no draw exceeds")));
    }
    out
}

fn srv_name(transport: Transport, domain: &str) -> String {
    let service = match transport {
        Transport::Udp => "_sip._udp.",
        Transport::Tcp => "_sip._tcp.",
        Transport::Tls => "_sips._tcp.",
    };
    format!("{service}{}", plain(domain))
}

/// A name as it is compared: lower case, without its last dot.
fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// What DNS said lately.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    known: BTreeMap<Question, (Instant, Answer)>,
}

impl Cache {
    /// What is still believed of this.
    pub fn get(&self, now: Instant, question: &Question) -> Option<Answer> {
        self.known.get(question).filter(|(until, _)| *until > now).map(|(_, answer)| answer.clone())
    }

    /// Remembers an answer for as long as it says, within bounds. A failure is forgotten at once: the next call asks anew.
    pub fn put(&mut self, now: Instant, question: Question, mut answer: Answer) {
        let seconds = match &mut answer {
            Answer::Records(records, ttl) => {
                records.truncate(DNS_RECORDS_MAX);
                (*ttl).min(TTL_MAX_S)
            }
            Answer::None(ttl) => (*ttl).min(NEGATIVE_TTL_MAX_S),
            Answer::Failed => return,
        };
        if seconds == 0 {
            return;
        }
        if self.known.len() >= DNS_CACHE_MAX && !self.known.contains_key(&question) {
            self.known.retain(|_, (until, _)| *until > now);
            if self.known.len() >= DNS_CACHE_MAX {
                // What ends first goes first.
                let first = self.known.iter().min_by_key(|(_, (until, _))| *until).map(|(q, _)| q.clone());
                first.map(|q| self.known.remove(&q));
            }
        }
        self.known.insert(question, (now + Duration::from_secs(u64::from(seconds)), answer));
    }

    /// Answers remembered.
    pub fn len(&self) -> usize {
        self.known.len()
    }
    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

#[cfg(test)]
#[path = "locate_tests.rs"]
mod tests;
