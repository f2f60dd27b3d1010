//! The gateway's side of the directory: one registrant a port, who it is, and the look-ups of its calls.

use super::clock;
use super::directory_client::{ClientError, DirectoryClient, Login, Timeouts};
use super::directory_pin::{Pins, Word};
use super::identity_key::Keyring;
use super::log::Seldom;
use super::state_folder::put;
use super::sys;
use super::tls::https::Trust;
use crate::api::directory::{ElsewhereJson, LookupAnswer};
use crate::api::numbers::PresenceJson;
use crate::clock::Rng;
use crate::config::gateway::GatewayConfig;
use crate::config::server::{Host, Server};
use crate::directory::{Capabilities, Instance, Mac, Proof, Register, User};
use crate::id::PortId;
use crate::key::Fingerprint;
use crate::limits::{BINDINGS_PER_NUMBER_MAX, SERVERS_MAX};
use crate::number::Number;
use crate::registration::{Outcome, Outgoing, Registrant, State};
use crate::resolve::{Answer, NoRoute, Ring};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// A name server that is silent for so long keeps nobody from starting.
const RESOLVE_WITHIN: std::time::Duration = std::time::Duration::from_secs(1);

/// A directory that did not hear how many calls a port has is told again after this.
const REPORT_AGAIN: std::time::Duration = std::time::Duration::from_secs(5);

/// One port at the directory.
pub struct PortRegistration {
    /// Which port.
    pub port: PortId,
    /// The machine that keeps it registered.
    pub registrant: Registrant,
    login: Login,
    /// Calls that the directory was told of.
    told_calls: u8,
    /// A report is under way.
    reports: bool,
}

impl PortRegistration {
    /// What the directory is to hear now that the port has so many calls (D-6): the number, and how many.
    pub fn report(&mut self, calls: u8) -> Option<(Number, u8)> {
        self.registrant.set_calls(calls);
        if self.reports || calls == self.told_calls || !self.registrant.is_registered() {
            return None;
        }
        let number = self.registrant.number()?.clone();
        self.reports = true;
        Some((number, calls))
    }

    /// The report is over: the directory heard of so many calls, or did not hear (`None`). Then every registration says it anew.
    pub fn reported(&mut self, heard: Option<u8>) {
        self.reports = false;
        if let Some(calls) = heard {
            self.told_calls = calls;
        }
    }

    /// How it stands, in words.
    pub fn words(&self) -> String {
        let r = &self.registrant;
        let error = r.last_error().map(|e| format!(": {e}")).unwrap_or_default();
        match (r.state(), r.is_registered()) {
            (State::Stopped, _) => "deregistered".into(),
            (State::Deregistering, _) => "deregistering".into(),
            (_, true) => format!("registered{error}"),
            (State::BackOff, false) => format!("not registered{error}"),
            (State::Idle | State::Registering | State::Registered, false) => "registering".into(),
        }
    }
}

/// Why a look-up came to nothing.
enum Unbelieved {
    /// There was no answer, or it was no.
    Silent(ClientError),
    /// There was one, and not of the directory that we know.
    Forged(String),
}
impl From<ClientError> for Unbelieved {
    fn from(e: ClientError) -> Self {
        Unbelieved::Silent(e)
    }
}

/// Clients by API and pinned key.
type Others = Arc<Mutex<BTreeMap<(String, Option<String>), Arc<DirectoryClient>>>>;

/// The directory as this gateway uses it.
#[derive(Clone)]
pub struct Directory {
    client: Arc<DirectoryClient>,
    /// Who knows where the gateway of a key is, where that is another.
    pub(super) identifiers: Option<Arc<DirectoryClient>>,
    /// Other directories that ours sent us to, by their API as it wrote it, and the certificate that it named.
    others: Others,
    /// The keys that they sign with.
    pub(super) pins: Arc<Pins>,
    /// Whom we believe to be one of them where no certificate was named.
    trust: Trust,
    timeouts: Timeouts,
    /// Look-ups are made in the name of the first port.
    pub(super) login: Option<Login>,
}

impl Directory {
    /// The directory of a configuration. The error names the file at fault.
    pub fn of(config: &GatewayConfig, state: &Path, keyring: &Arc<Keyring>) -> Result<Option<Self>, String> {
        let Some(directory) = &config.directory else { return Ok(None) };
        let timeouts = Timeouts { lookup_ms: directory.lookup_timeout_ms, ..Timeouts::default() };
        let login = config.ports.iter().find_map(login_of);
        let trust = match (&directory.ca, directory.fingerprint.as_deref().and_then(Fingerprint::parse)) {
            (_, Some(pinned)) => Trust::Pinned(pinned),
            (Some(file), None) => Trust::File(file.clone()),
            (None, None) => Trust::System,
        };
        let client = DirectoryClient::of(directory.api.all(), &trust, timeouts)?.with_key(keyring.clone());
        let identifiers = directory.identifiers.as_ref().map(|servers| DirectoryClient::of(servers.all(), &trust, timeouts)).transpose()?;
        let identifiers = identifiers.map(Arc::new);
        let pins = Arc::new(Pins::open(state, directory.key.as_deref().and_then(Fingerprint::parse))?);
        // A pin is one certificate's, and no other directory shows that.
        let trust = directory.ca.clone().map_or(Trust::System, Trust::File);
        Ok(Some(Directory { client: Arc::new(client), identifiers, others: Arc::default(), pins, trust, timeouts, login }))
    }

    /// The client of our own directory.
    pub fn client(&self) -> Arc<DirectoryClient> {
        self.client.clone()
    }

    /// A port has an account now; look-ups are made in its name if there was none before.
    pub fn log_in(&mut self, login: &Login) {
        self.login.get_or_insert_with(|| login.clone());
    }

    /// Where is this number? A peer that is seen at `near`, the host that our own NAT shows, is behind the same NAT, and is called where it sees
    /// itself: many NATs do not lead back inside.
    pub async fn look_up(&self, number: &Number, near: Option<IpAddr>) -> Answer {
        self.look_up_saying(number, near).await.0
    }

    /// The same, and what the number is at, where its owner lets that be seen (D-6).
    pub async fn look_up_saying(&self, number: &Number, near: Option<IpAddr>) -> (Answer, Option<PresenceJson>) {
        let (answer, signed) = match self.ask(number).await {
            Ok((answer, word)) => (Ok(answer), word != Word::Unsigned),
            Err(Unbelieved::Silent(e)) => (Err(e), false),
            Err(Unbelieved::Forged(words)) => {
                static TOLD: Seldom = Seldom::new();
                if let Some(more) = TOLD.pass() {
                    tracing::error!("look-up of {number}: {words} ({more} more were not logged)");
                }
                return (Answer::No(NoRoute::Forged), None);
            }
        };
        let presence = match &answer {
            Ok(LookupAnswer::Found(found)) => found.presence,
            _ => None,
        };
        let answer = match answer {
            Ok(LookupAnswer::Found(found)) => match Number::parse(&found.number) {
                Ok(number) => {
                    let seen = |contact: SocketAddr, private: Option<SocketAddr>| {
                        private.filter(|_| near == Some(contact.ip())).unwrap_or(contact)
                    };
                    let ring = match found.ring.as_str() {
                        "all" => Some(Ring::All),
                        "in-order" => Some(Ring::InOrder),
                        _ => None,
                    };
                    match ring {
                        Some(ring) if found.contacts.len() > 1 => {
                            let at = found.contacts.into_iter().map(|c| (seen(c.address, c.private_address), c.fingerprint));
                            Answer::Terminals { number, ring, at: at.take(BINDINGS_PER_NUMBER_MAX).collect(), signed }
                        }
                        _ => {
                            let contact = seen(found.contact, found.private_address);
                            Answer::Found { number, contact, fingerprint: found.fingerprint, signed }
                        }
                    }
                }
                Err(_) => Answer::No(NoRoute::Unknown),
            },
            Ok(LookupAnswer::Away { .. }) => Answer::No(NoRoute::Away),
            Ok(LookupAnswer::Unknown { .. } | LookupAnswer::Elsewhere(_)) => Answer::No(NoRoute::Unknown),
            Err(e) => {
                static TOLD: Seldom = Seldom::new();
                if let Some(more) = TOLD.pass() {
                    tracing::warn!("look-up of {number}: {e} ({more} more were not logged)");
                }
                Answer::No(if matches!(e, ClientError::Refused { status, .. } if status < 500) {
                    NoRoute::Refused
                } else {
                    NoRoute::DirectorySilent
                })
            }
        };
        (answer, presence)
    }

    /// What our directory says of a number, or the one that it sends us to: one step, never a chain, for whom ours names is the number's own.
    /// Both must show the key that they are known by.
    async fn ask(&self, number: &Number) -> Result<(LookupAnswer, Word), Unbelieved> {
        let nonce = Pins::nonce();
        let judge = |answer: &LookupAnswer, server: &str, home: bool| match answer {
            LookupAnswer::Found(found) => self.pins.judge(server, home, &nonce, found),
            LookupAnswer::Elsewhere(elsewhere) => self.pins.judge(server, home, &nonce, elsewhere),
            LookupAnswer::Away { .. } | LookupAnswer::Unknown { .. } => Ok(Word::Unsigned),
        };
        let (answer, server) = self.client.look_up(self.login.as_ref(), number.as_str(), None, Some(&nonce)).await?;
        let first = judge(&answer, &server.to_string(), true).map_err(Unbelieved::Forged)?;
        if let Word::Signed(serial) = first {
            self.client.hear_serial(serial);
        }
        let LookupAnswer::Elsewhere(ElsewhereJson { api: Some(api), fingerprint, referral, .. }) = &answer else {
            return Ok((answer, first));
        };
        let other = self.other(api, fingerprint.as_deref()).map_err(ClientError::Unreachable)?;
        let (answer, server) = other.look_up(None, number.as_str(), referral.as_deref(), Some(&nonce)).await?;
        let then = judge(&answer, &server.to_string(), false).map_err(Unbelieved::Forged)?;
        // Whom an unsigned word sent us to is nobody in particular.
        Ok((answer, if first == Word::Unsigned { first } else { then }))
    }

    /// The client of another directory, as ours wrote its API, and the certificate to be seen there.
    fn other(&self, api: &str, fingerprint: Option<&str>) -> Result<Arc<DirectoryClient>, String> {
        let key = (api.to_owned(), fingerprint.map(str::to_owned));
        let mut others = self.others.lock().expect("no thread panics while it holds the clients");
        if let Some(known) = others.get(&key) {
            return Ok(known.clone());
        }
        let server: Server = api.parse().map_err(|_| format!("the directory sends us to {api:?}, which is no server"))?;
        let trust = self.trust_in_another(&server, fingerprint)?;
        let client = Arc::new(DirectoryClient::of(&[server], &trust, self.timeouts)?);
        if others.len() >= SERVERS_MAX {
            others.clear();
        }
        others.insert(key, client.clone());
        Ok(client)
    }

    /// Whom we believe to be another directory: whoever shows the certificate that ours named, else whom the authorities of ours certify.
    fn trust_in_another(&self, server: &Server, fingerprint: Option<&str>) -> Result<Trust, String> {
        match fingerprint.map(|text| (Fingerprint::parse(text), text)) {
            None => Ok(self.trust.clone()),
            Some((Some(pinned), _)) if server.tls => Ok(Trust::Pinned(pinned)),
            Some((_, text)) => Err(format!("the directory sends us to {server} with the certificate {text:?}, which cannot be seen there")),
        }
    }

    /// A number of ours has so many calls.
    pub async fn report_calls(&self, login: Login, number: Number, calls: u8) -> Option<u8> {
        match self.client.report_calls(&login, number.as_str(), calls).await {
            Ok(()) => Some(calls),
            Err(e) => {
                tracing::debug!("the directory does not hear that {number} has {calls} calls: {e}");
                // Not at once again: whoever cannot hear is not to be shouted at.
                tokio::time::sleep(REPORT_AGAIN).await;
                None
            }
        }
    }

    /// Our address changed, or there is a way again.
    pub fn forget_connections(&self) {
        self.client.forget_connections();
        self.identifiers.iter().for_each(|other| other.forget_connections());
        for other in self.others.lock().expect("no thread panics while it holds the clients").values() {
            other.forget_connections();
        }
    }

    /// Carries out what a registrant asks.
    pub async fn carry_out(&self, login: Login, request: Outgoing) -> (u64, Outcome) {
        (request.serial, self.client.carry_out(&login, &request.ask).await)
    }
}

fn login_of(port: &crate::config::gateway::Port) -> Option<Login> {
    let user = port.user.clone().or_else(|| port.number.clone())?;
    Some(Login { user, password: port.password.clone()? })
}

impl PortRegistration {
    /// The credentials that go with a request.
    pub fn login(&self) -> Login {
        self.login.clone()
    }
}

/// Where the first of these directories is now, as far as its name can be resolved in a moment: the way there says which address is ours.
pub async fn address_of(servers: &crate::config::server::Servers) -> Option<std::net::SocketAddr> {
    let first = servers.all().first()?;
    let asked = match &first.host {
        Host::Address(ip) => return Some(std::net::SocketAddr::new(*ip, first.port)),
        Host::Name(name) => tokio::net::lookup_host((name.as_str(), first.port)),
    };
    tokio::time::timeout(RESOLVE_WITHIN, asked).await.ok()?.ok()?.next()
}

/// One registrant for each port (or this one `only`) that has an account, to be started once it is known where peers reach us. `key` is what the
/// gateway proves itself with: its identifier.
pub fn registrants(
    config: &GatewayConfig,
    state: &Path,
    key: Fingerprint,
    contact: SocketAddr,
    only: Option<PortId>,
) -> Result<Vec<PortRegistration>, String> {
    let Some(directory) = &config.directory else { return Ok(Vec::new()) };
    let instance = instance_of(state)?;
    let given = directory.mac.as_deref().and_then(Mac::parse);
    let mac = given.or_else(|| sys::interfaces::hardware_address(contact.ip()));
    let mut rng = Rng::new(clock::seed());
    let mut all = Vec::new();
    for (i, port) in config.ports.iter().enumerate().filter(|(i, _)| only.is_none_or(|p| usize::from(p.0) == *i)) {
        let Some(login) = login_of(port) else { continue };
        let register = Register {
            user: User::parse(&login.user).map_err(|_| format!("{}: {:?} is no account name", port.name, login.user))?,
            wanted: port.number.as_ref().and_then(|n| Number::parse(n).ok()),
            instance: instance.clone(),
            contact,
            transport: crate::sip::Transport::Udp,
            fingerprint: Some(key),
            // Signed when it is sent, over the nonce of that log-in.
            proof: Proof::None,
            capabilities: Capabilities {
                voice: !port.is_fax(),
                fax: port.is_fax(),
                t38_version: config.media.t38.then_some(0),
                srtp: false,
            },
            private: None,
            mac,
            lease_s: Some(directory.lease_s),
            calls: 0,
        };
        let registrant = Registrant::new(register, rng.fork());
        all.push(PortRegistration { port: PortId(i as u16), registrant, login, told_calls: 0, reports: false });
    }
    Ok(all)
}

/// The name of this gateway's terminal, the same after every restart and whatever its key is. A state folder of before there were keys has a
/// secret whose SHA-256 it was made from; numbers and accounts that hang on that name stay where they are.
pub fn instance_of(state: &Path) -> Result<Instance, String> {
    let path = state.join("identity.instance");
    let at = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let name = match std::fs::read_to_string(&path) {
        Ok(name) => name,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let from = match std::fs::read(state.join("identity.secret")) {
                Ok(secret) if secret.len() == 32 => Sha256::digest(&secret).into(),
                Ok(_) | Err(_) => clock::random::<32>(),
            };
            let name: String = from[..8].iter().map(|b| format!("{b:02x}")).collect();
            let name = format!("tipring-{name}\n");
            put(&path, name.as_bytes(), 0o644).map_err(|e| at(&e))?;
            name
        }
        Err(e) => return Err(at(&e)),
    };
    Instance::parse(name.trim()).map_err(|e| at(&e))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory whose home is known by `of_home`, a key of its table.
    fn directory(of_home: &str) -> Directory {
        let text = format!(
            "[sip]\nlisten = \"127.0.0.1:5060\"\n[api]\nlisten = \"127.0.0.1:6090\"\n[directory]\napi = \"https://192.0.2.1:6081\"\n{of_home}\n"
        );
        let config: GatewayConfig = toml::from_str(&text).expect("a configuration");
        let folder = std::env::temp_dir().join(format!("tipring-pins-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let ring = Arc::new(Keyring::open(&folder, super::super::identity_key::GATEWAY).expect("a key"));
        Directory::of(&config, &folder, &ring).expect("it can be used").expect("it has a directory")
    }

    #[test]
    fn req_c3_the_pin_of_our_directory_is_not_that_of_another() {
        let (home, there) = (Fingerprint([1; 32]), Fingerprint([2; 32]));
        let https: Server = "https://192.0.2.2:6081".parse().unwrap();
        let pinned = directory(&format!("fingerprint = \"{home}\""));
        assert_eq!(pinned.trust_in_another(&https, None), Ok(Trust::System));
        assert_eq!(pinned.trust_in_another(&https, Some(&there.to_string())), Ok(Trust::Pinned(there)));
        assert_eq!(directory("").trust_in_another(&https, None), Ok(Trust::System));
        // What cannot be held to is not made less of.
        assert!(pinned.trust_in_another(&https, Some("sha-256 AA")).is_err());
        assert!(pinned.trust_in_another(&"192.0.2.2:6080".parse().unwrap(), Some(&there.to_string())).is_err());
        // Another certificate is another client: what was known of the one does not open the other.
        let of = |f: &Fingerprint| pinned.other("https://192.0.2.2:6081", Some(&f.to_string())).unwrap();
        assert!(Arc::ptr_eq(&of(&there), &of(&there)) && !Arc::ptr_eq(&of(&there), &of(&home)));
    }
}
