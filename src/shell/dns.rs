//! DNS for SIP: carries `sip::locate`'s questions to name servers and its answers back. [`Dns::locate`] is all that a daemon needs: an
//! address, a name or a URI in, an ordered list of hops out.

use super::clock;
use crate::clock::Rng;
use crate::limits::LOOKUPS_MAX;
use crate::sip::locate::{Answer, Cache, Kind, Located, Locator, Nowhere, Question, Record, Target};
use crate::sip::{Transport, locate};
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::{Resolver, TokioResolver};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Until one question counts as unanswered: three of them, one after the other, fit into `locate::LOCATE_MS`.
const QUESTION: Duration = Duration::from_millis(1200);
/// Until a name server is asked again.
const REPEAT: Duration = Duration::from_millis(500);
/// How long "there is none" is believed where the answer does not say.
const NONE_S: u32 = 30;
/// What we speak, in the order in which it is tried where the other side does not mind.
const SPOKEN: [Transport; 3] = [Transport::Udp, Transport::Tcp, Transport::Tls];

/// The way to names. Cheap to clone: all clones share what they learned.
#[derive(Clone)]
pub struct Dns(Arc<Shared>);

struct Shared {
    /// Without one every name is silent; addresses still work.
    resolver: Option<TokioResolver>,
    state: Mutex<State>,
    /// Locations under way.
    places: Semaphore,
    families: Families,
}

struct State {
    cache: Cache,
    rng: Rng,
}

/// Which families of addresses we can reach.
#[derive(Clone, Copy, Debug)]
struct Families {
    v4: bool,
    v6: bool,
}

impl Dns {
    /// With the name servers that `[sip] dns` names, or those of the system; hops only of the families in which `[sip]` listens.
    pub fn of(sip: &crate::config::sip::Sip) -> Dns {
        let families = Families { v4: sip.addresses().any(|a| a.is_ipv4()), v6: sip.addresses().any(|a| a.is_ipv6()) };
        let resolver = resolver(sip.dns.all());
        if let Err(why) = &resolver {
            tracing::warn!("DNS: {why}; names lead nowhere, addresses do");
        }
        let state = State { cache: Cache::default(), rng: Rng::new(clock::seed()) };
        Dns(Arc::new(Shared { resolver: resolver.ok(), state: Mutex::new(state), places: Semaphore::new(LOOKUPS_MAX), families }))
    }

    /// Where this leads: hops in the order in which they are to be tried (RFC 3263 s.4.3), each with the name that a TLS server there must
    /// prove. At most `locate::LOCATE_MS`.
    pub async fn locate(&self, target: Target) -> Result<Vec<Located>, Nowhere> {
        // More at a time than calls there can be: somebody makes us ask.
        let Ok(_place) = self.0.places.try_acquire() else { return Err(Nowhere::Silent) };
        let rng = self.state().rng.fork();
        let mut locator = Locator::new(clock::now(), target, &SPOKEN, rng);
        let mut asked = JoinSet::new();
        loop {
            while let Some(question) = locator.poll_question() {
                let known = self.state().cache.get(clock::now(), &question);
                match (known, &self.0.resolver) {
                    (Some(answer), _) => locator.handle_answer(&question, answer),
                    (None, None) => locator.handle_answer(&question, Answer::Failed),
                    (None, Some(resolver)) => {
                        let resolver = resolver.clone();
                        asked.spawn(async move {
                            let answer = tokio::time::timeout(QUESTION, ask(&resolver, &question)).await.unwrap_or(Answer::Failed);
                            (question, answer)
                        });
                    }
                }
            }
            let Some(deadline) = locator.poll_timeout() else { break };
            tokio::select! {
                Some(Ok((question, answer))) = asked.join_next() => {
                    self.state().cache.put(clock::now(), question.clone(), answer.clone());
                    locator.handle_answer(&question, answer);
                }
                () = tokio::time::sleep_until(tokio::time::Instant::from_std(clock::to_std(deadline))) => locator.handle_timeout(clock::now()),
            }
        }
        let hops = locator.outcome().cloned().unwrap_or(Err(Nowhere::Silent))?;
        let Families { v4, v6 } = self.0.families;
        let reached: Vec<Located> = hops.into_iter().filter(|(hop, _)| if hop.addr.is_ipv4() { v4 } else { v6 }).collect();
        if reached.is_empty() { Err(Nowhere::NoSuchHost) } else { Ok(reached) }
    }

    /// The same for what stands in a configuration: a host, `host:port`, or a SIP URI.
    pub async fn locate_text(&self, text: &str) -> Result<Vec<Located>, Nowhere> {
        self.locate(Target::parse(text)?).await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("nothing panics while it holds the cache")
    }
}

fn resolver(servers: &[SocketAddr]) -> Result<TokioResolver, NetError> {
    let mut builder = match servers {
        [] => TokioResolver::builder_tokio()?,
        servers => {
            let server = |at: &SocketAddr| {
                let both = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                    connection.port = at.port();
                    connection
                });
                NameServerConfig::new(at.ip(), true, both.to_vec())
            };
            let config = ResolverConfig::from_name_servers(servers.iter().map(server).collect());
            Resolver::builder_with_config(config, TokioRuntimeProvider::default())
        }
    };
    let options: &mut ResolverOpts = builder.options_mut();
    options.timeout = REPEAT;
    options.attempts = 2;
    // One memory is enough, and ours has bounds that are tested.
    options.cache_size = 0;
    builder.build()
}

async fn ask(resolver: &TokioResolver, question: &Question) -> Answer {
    let kind = match question.kind {
        Kind::Naptr => RecordType::NAPTR,
        Kind::Srv => RecordType::SRV,
        Kind::A => RecordType::A,
        Kind::Aaaa => RecordType::AAAA,
    };
    // A name with a dot is whole; one without is a host of the search list.
    let name = if question.name.contains('.') { format!("{}.", question.name) } else { question.name.clone() };
    match resolver.lookup(name, kind).await {
        Ok(found) => {
            let ttl = found.answers().iter().map(|r| r.ttl).min().unwrap_or(0);
            Answer::Records(found.answers().iter().filter_map(|r| record(&r.data)).collect(), ttl)
        }
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) => Answer::None(none.negative_ttl.unwrap_or(NONE_S)),
        Err(e) => {
            tracing::debug!("DNS {} {:?}: {e}", question.name, question.kind);
            Answer::Failed
        }
    }
}

fn record(data: &RData) -> Option<Record> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(match data {
        RData::A(ip) => Record::Address(ip.0.into()),
        RData::AAAA(ip) => Record::Address(ip.0.into()),
        RData::SRV(s) => Record::Srv { priority: s.priority, weight: s.weight, port: s.port, target: s.target.to_ascii() },
        RData::NAPTR(n) if n.regexp.is_empty() => Record::Naptr {
            order: n.order,
            preference: n.preference,
            flags: text(&n.flags),
            service: text(&n.services),
            replacement: n.replacement.to_ascii(),
        },
        _ => return None,
    })
}

/// How long a location takes at most.
pub const PATIENCE: Duration = Duration::from_millis(locate::LOCATE_MS);

#[cfg(test)]
#[path = "dns_tests.rs"]
mod tests;
