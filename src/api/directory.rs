//! The directory's API: registrations, look-ups, reservations, accounts, status.

use super::keys::{ProofJson, SignedJson, SuccessionJson};
use super::numbers::PresenceJson;
use crate::directory::registrar::{Found, Listed, Refusal, Register};
use crate::directory::{Account, Binding, Capabilities, Instance, Mac, Proof, Reservation, Ring, User};
use crate::key::Fingerprint;
use crate::number::Number;
use crate::sip::Transport;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// `POST /v1/registrations`: where a terminal is. The user is who the Digest credentials say.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RegisterRequest {
    /// The number asked for; left out: the account's own, else one the server picks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// Where its SIP listens, `ADDRESS:PORT`.
    pub contact: String,
    /// Over what SIP is reached there: `udp` (where left out), `tcp` or `tls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<String>,
    /// Which terminal this is, the same for ever.
    pub instance: String,
    /// The lease asked for, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_s: Option<u32>,
    /// What it can do.
    #[serde(default)]
    pub capabilities: CapabilitiesJson,
    /// `sha-256 AA:BB:..` of its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Shows that the key is its own; without it a key is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<ProofJson>,
    /// Its address as it sees itself, `ADDRESS:PORT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_address: Option<String>,
    /// Its hardware address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Calls that it has now.
    #[serde(default)]
    pub calls: u8,
}

/// What the equipment behind a number can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CapabilitiesJson {
    /// A person.
    pub voice: bool,
    /// A fax machine.
    pub fax: bool,
    /// The T.38 version.
    pub t38_version: Option<u8>,
    /// SRTP.
    pub srtp: bool,
}

/// The answer to a registration.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RegisterAnswer {
    /// The terminal number.
    pub number: String,
    /// The full LAN telephone number.
    pub lan_number: String,
    /// The lease granted, in seconds.
    pub lease_s: u32,
    /// It was registered already.
    pub renewed: bool,
    /// Other terminals that say they are at the same address.
    pub also_here: Vec<String>,
    /// The key is known to be this gateway's.
    #[serde(default)]
    pub proven: bool,
    /// The serial of the list of revoked keys: if it is not that of the list that the gateway has, it is to ask for it.
    #[serde(default)]
    pub revocations: u64,
}

/// The answer to a deregistration.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeregisterAnswer {
    /// The terminal number.
    pub number: String,
    /// There was an address to erase.
    pub was_registered: bool,
}

/// The answer to a look-up of a number that is somebody's (others get 404 `unknown_number`).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum LookupAnswer {
    /// It is reached there.
    Found(FoundJson),
    /// Its owner is not registered now.
    Away {
        /// The terminal number.
        number: String,
    },
    /// It is nobody's.
    Unknown {
        /// The number as asked.
        number: String,
    },
    /// It is another directory's: ask there.
    Elsewhere(ElsewhereJson),
}

/// Which directory has a number.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ElsewhereJson {
    /// The number as asked.
    pub number: String,
    /// That directory's server number.
    pub server: String,
    /// Its SIP door.
    pub sip: String,
    /// Its API, where it has one.
    pub api: Option<String>,
    /// The certificate that its API shows by HTTPS, as `sha-256 AA:BB:..`, where ours knows it: that one alone is believed there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Proof for that directory that we sent the asker, where it shares a secret with us: the header `Tipring-Referral` of the request there.
    pub referral: Option<String>,
    /// The directory's word for it, where the question had a nonce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<SignedJson>,
}

/// Where a number is reached.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FoundJson {
    /// The terminal number.
    pub number: String,
    /// The full LAN telephone number.
    pub lan_number: String,
    /// Where its SIP listens, `ADDRESS:PORT`; of several contacts the best.
    pub contact: SocketAddr,
    /// Over what: `udp`, `tcp` or `tls`.
    #[serde(default = "udp")]
    pub transport: String,
    /// All contacts, best first.
    #[serde(default)]
    pub contacts: Vec<ContactJson>,
    /// The key to expect there.
    pub fingerprint: Option<String>,
    /// Its gateway proved it here.
    #[serde(default)]
    pub proven: bool,
    /// What it can do.
    pub capabilities: CapabilitiesJson,
    /// Its address behind a NAT.
    pub private_address: Option<SocketAddr>,
    /// Which of the contacts ring: `newest`, `all` or `in-order`.
    #[serde(default = "newest")]
    pub ring: String,
    /// What the number is at, where its owner lets that be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence: Option<PresenceJson>,
    /// When this knowledge ends, in seconds.
    pub expires_in_s: u32,
    /// The directory's word for it, where the question had a nonce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<SignedJson>,
}

fn newest() -> String {
    Ring::Newest.word().to_owned()
}

/// One contact of a number.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ContactJson {
    /// As the phone wrote it.
    pub uri: String,
    /// Where it is reached: the URI's address, or that in front of its NAT.
    pub address: SocketAddr,
    /// Over what: `udp`, `tcp` or `tls`.
    pub transport: String,
    /// It stands behind a NAT.
    pub behind_nat: bool,
    /// The phone, if it names itself.
    pub instance: Option<String>,
    /// Preference in thousandths.
    pub q: u16,
    /// The key to expect there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Its gateway proved it here.
    #[serde(default)]
    pub proven: bool,
    /// What earlier keys of it said of those that followed them, for who knew those.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub previous: Vec<SuccessionJson>,
    /// Its address as it sees itself, behind its NAT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_address: Option<SocketAddr>,
    /// Seconds left.
    pub expires_in_s: u32,
}

fn udp() -> String {
    transport_word(Transport::Udp)
}

/// The transport as the API writes it.
pub(super) fn transport_word(transport: Transport) -> String {
    transport.as_str().to_ascii_lowercase()
}

/// One row of `GET /v1/registrations`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RegistrationRow {
    /// The terminal number.
    pub number: String,
    /// Whose.
    pub user: String,
    /// Which terminal, if it names itself; of several the best.
    pub instance: Option<String>,
    /// `None`: away.
    pub contact: Option<SocketAddr>,
    /// Over what: `udp`, `tcp` or `tls`.
    #[serde(default = "udp")]
    pub transport: String,
    /// Contacts that phones registered by SIP; 0: by the API.
    #[serde(default)]
    pub sip_contacts: usize,
    /// Contacts of both kinds.
    #[serde(default)]
    pub terminals: usize,
    /// The key; of a number that is away the last it had.
    pub fingerprint: Option<String>,
    /// Its gateway proved it; of a number that is away nobody does.
    #[serde(default)]
    pub proven: bool,
    /// What it can do.
    pub capabilities: CapabilitiesJson,
    /// The hardware address.
    pub mac: Option<String>,
    /// Picked by the server.
    pub dynamic: bool,
    /// Calls that its gateway reported.
    #[serde(default)]
    pub calls: u8,
    /// Seconds left; `None`: away.
    pub expires_in_s: Option<u32>,
}

/// A page of `GET /v1/registrations?from=NUMBER&limit=N`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RegistrationPage {
    /// The rows, by number.
    pub registrations: Vec<RegistrationRow>,
    /// Ask `from` here for the next page; `None`: that was all.
    pub next: Option<String>,
}

/// A row of `/v1/reservations`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReservationJson {
    /// The number kept.
    pub number: String,
    /// For whom.
    pub user: String,
    /// On which device only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
}

/// `POST /v1/accounts`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRequest {
    /// The name to log in with.
    pub user: String,
    /// The password; only its hash is kept.
    pub password: String,
    /// The number that is the account's own; left out: the name, where it is a number of this directory.
    #[serde(default)]
    pub number: Option<String>,
}

/// A row of `GET /v1/accounts`: never anything of the password.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AccountRow {
    /// The name.
    pub user: String,
    /// Its own number.
    pub number: Option<String>,
}

/// `GET /v1/status`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StatusAnswer {
    /// The domain.
    pub domain: String,
    /// The server's management number.
    pub server_number: String,
    /// Digits of a terminal number.
    pub terminal_digits: usize,
    /// Numbers with an address.
    pub registered: usize,
    /// Numbers remembered.
    pub remembered: usize,
    /// Reserved numbers.
    pub reservations: usize,
    /// Accounts.
    pub accounts: usize,
    /// People who may log in.
    #[serde(default)]
    pub people: usize,
    /// Sessions of people that run.
    #[serde(default)]
    pub sessions: usize,
    /// Seconds since start.
    pub uptime_s: u64,
    /// Records written to disk since start.
    pub records_written: u64,
    /// Transactions they took.
    pub commits: u64,
    /// Writes that failed since start.
    pub write_failures: u64,
    /// Other directories known.
    #[serde(default)]
    pub servers: usize,
    /// Alarms since start: numbers registered with a key that they never had.
    #[serde(default)]
    pub alarms: u64,
    /// Failed log-ins since start.
    pub failed_logins: u64,
    /// Sources, and accounts of sources, that are banned now.
    #[serde(default)]
    pub banned: usize,
    /// Datagrams and connections turned away since start by `[access]`.
    #[serde(default)]
    pub turned_away: u64,
    /// The key that answers are signed with, for who pins it.
    #[serde(default)]
    pub identity: Option<String>,
    /// Keys that are revoked.
    #[serde(default)]
    pub revoked: usize,
    /// The certificate of HTTPS, for who pins it.
    #[serde(default)]
    pub tls_fingerprint: Option<String>,
    /// Whether the store `writes`, or `cannot write`.
    #[serde(default)]
    pub store: String,
    /// SIP requests answered since start, by whatever answer.
    #[serde(default)]
    pub sip_answered: u64,
    /// SIP messages dropped since start: no SIP, responses nobody waits for, answers that could not be sent.
    #[serde(default)]
    pub sip_dropped: u64,
    /// ENUM queries answered since start, by whatever answer.
    #[serde(default)]
    pub enum_answered: u64,
    /// Of them, those that gave contacts.
    #[serde(default)]
    pub enum_found: u64,
    /// ENUM queries that got no answer: no queries, or more of one source than it is due.
    #[serde(default)]
    pub enum_dropped: u64,
    /// Connections open now.
    pub connections: usize,
    /// Connections and requests refused because a bound was reached.
    pub refused_full: u64,
}

/// A field of a request cannot be read: the field's name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadField(pub &'static str);

impl RegisterRequest {
    /// The request as the directory takes it, of the authenticated `user`.
    pub fn read(&self, user: User) -> Result<Register, BadField> {
        let address = |text: &str, field| text.parse::<SocketAddr>().map_err(|_| BadField(field));
        Ok(Register {
            user,
            wanted: self.number.as_deref().map(Number::parse).transpose().map_err(|_| BadField("number"))?,
            instance: Instance::parse(&self.instance).map_err(|_| BadField("instance"))?,
            contact: address(&self.contact, "contact")?,
            transport: match &self.transport {
                Some(word) => Transport::parse(word.as_bytes()).ok_or(BadField("transport"))?,
                None => Transport::Udp,
            },
            fingerprint: match &self.fingerprint {
                Some(text) => Some(Fingerprint::parse(text).ok_or(BadField("fingerprint"))?),
                None => None,
            },
            // The door says, who checked it.
            proof: Proof::None,
            capabilities: self.capabilities.into(),
            private: self.private_address.as_deref().map(|a| address(a, "private_address")).transpose()?,
            mac: match &self.mac {
                Some(text) => Some(Mac::parse(text).ok_or(BadField("mac"))?),
                None => None,
            },
            lease_s: self.lease_s,
            calls: self.calls,
        })
    }
    /// The request as JSON carries it.
    pub fn of(ask: &Register) -> Self {
        RegisterRequest {
            number: ask.wanted.as_ref().map(Number::to_string),
            contact: ask.contact.to_string(),
            transport: (ask.transport != Transport::Udp).then(|| transport_word(ask.transport)),
            instance: ask.instance.to_string(),
            lease_s: ask.lease_s,
            capabilities: ask.capabilities.into(),
            fingerprint: ask.fingerprint.map(|f| f.to_string()),
            proof: None,
            private_address: ask.private.map(|a| a.to_string()),
            mac: ask.mac.map(|m| m.to_string()),
            calls: ask.calls,
        }
    }
}

impl ReservationJson {
    /// The reservation as the directory takes it.
    pub fn read(&self) -> Result<Reservation, BadField> {
        Ok(Reservation {
            number: Number::parse(&self.number).map_err(|_| BadField("number"))?,
            user: User::parse(&self.user).map_err(|_| BadField("user"))?,
            mac: match &self.mac {
                Some(text) => Some(Mac::parse(text).ok_or(BadField("mac"))?),
                None => None,
            },
        })
    }
}

impl From<CapabilitiesJson> for Capabilities {
    fn from(c: CapabilitiesJson) -> Self {
        Capabilities { voice: c.voice, fax: c.fax, t38_version: c.t38_version, srtp: c.srtp }
    }
}
impl From<Capabilities> for CapabilitiesJson {
    fn from(c: Capabilities) -> Self {
        CapabilitiesJson { voice: c.voice, fax: c.fax, t38_version: c.t38_version, srtp: c.srtp }
    }
}
impl From<&Found> for FoundJson {
    fn from(f: &Found) -> Self {
        FoundJson {
            number: f.number.to_string(),
            lan_number: f.full.to_string(),
            contact: f.contact,
            transport: transport_word(f.transport),
            contacts: f.contacts.iter().map(Into::into).collect(),
            fingerprint: f.fingerprint.map(|f| f.to_string()),
            proven: f.proven,
            capabilities: f.capabilities.into(),
            private_address: f.private,
            ring: f.ring.word().to_owned(),
            presence: f.presence.map(Into::into),
            expires_in_s: f.expires_in_s,
            signed: None,
        }
    }
}
impl From<&(Binding, u32)> for ContactJson {
    fn from((b, expires_in_s): &(Binding, u32)) -> Self {
        ContactJson {
            uri: b.uri.to_string(),
            address: b.address,
            transport: transport_word(b.transport),
            behind_nat: b.hidden,
            instance: b.instance.as_ref().map(Instance::to_string),
            q: b.q,
            fingerprint: b.fingerprint().map(|f| f.to_string()),
            proven: b.is_proven(),
            previous: b.successions().iter().map(Into::into).collect(),
            private_address: b.private(),
            expires_in_s: *expires_in_s,
        }
    }
}
impl From<Listed<'_>> for RegistrationRow {
    fn from(r: Listed<'_>) -> Self {
        let best = r.best();
        RegistrationRow {
            number: r.number.to_string(),
            user: r.user.to_string(),
            instance: best.and_then(|b| b.instance.as_ref()).map(Instance::to_string),
            contact: r.contact(),
            transport: transport_word(best.map_or(Transport::Udp, |b| b.transport)),
            sip_contacts: r.contacts.iter().filter(|(b, _)| !b.is_of_the_api()).count(),
            terminals: r.contacts.len(),
            fingerprint: best.and_then(Binding::fingerprint).or(r.keys.last().copied()).map(|f| f.to_string()),
            proven: best.is_some_and(Binding::is_proven),
            capabilities: best.map(Binding::capabilities).unwrap_or_default().into(),
            mac: best.and_then(|b| b.facts.as_ref()?.mac).map(|m| m.to_string()),
            dynamic: r.dynamic,
            calls: r.calls,
            expires_in_s: r.expires_in_s(),
        }
    }
}
impl From<&Reservation> for ReservationJson {
    fn from(r: &Reservation) -> Self {
        ReservationJson { number: r.number.to_string(), user: r.user.to_string(), mac: r.mac.map(|m| m.to_string()) }
    }
}
impl From<&Account> for AccountRow {
    fn from(a: &Account) -> Self {
        AccountRow { user: a.user.to_string(), number: a.number.as_ref().map(Number::to_string) }
    }
}

/// The HTTP status, the code for programs and the words for people of a refusal.
pub fn refusal(why: &Refusal) -> (u16, &'static str, String) {
    let (status, words) = match why {
        Refusal::NotOurNumber => (404, "the number is not one of this server's".to_owned()),
        Refusal::NumberTaken => (403, "the number is kept for or held by somebody else".into()),
        Refusal::NotEntitled => (403, "nothing gives this user this number".into()),
        Refusal::WrongMac => (403, "the number is bound to another hardware address".into()),
        Refusal::AddressInUse(by) => {
            let by: Vec<&str> = by.iter().map(Number::as_str).collect();
            (409, format!("the contact is already registered for {}", by.join(", ")))
        }
        Refusal::BadContact => (400, "the contact is no address that can be called".into()),
        Refusal::NoneFree => (409, "no number is free".into()),
        Refusal::TooManyNumbers => {
            let most = crate::limits::DYNAMIC_NUMBERS_PER_USER_MAX;
            (403, format!("this user holds {most} numbers of the pool, which is the most; those that left are kept for a while"))
        }
        Refusal::NoSuchRow => (404, "there is no such row".into()),
        Refusal::NotThisTerminal => (409, "another terminal registered the number since".into()),
        Refusal::TooBrief { min_s } => (400, format!("the shortest lease is {min_s} s")),
        Refusal::OutOfOrder => (409, "a later request of this terminal was here already".into()),
        Refusal::TooManyContacts => (403, format!("a number has {} contacts at most", crate::limits::BINDINGS_PER_NUMBER_MAX)),
        Refusal::LastAdmin => (409, "nobody would be left to look after the directory: make another admin first".into()),
        Refusal::NewKey => {
            (403, "the number had another key: the operator must forget that before a new one is taken (alarm raised)".into())
        }
        Refusal::KeyNotProven => (403, "a key is taken only with the proof that it is yours".into()),
        Refusal::KeyFalse => (403, "the proof of the key is false: another key signed, or over something else".into()),
        Refusal::KeyRevoked => (403, "the operator of the directory revoked this key: make a new one (tipring identity rotate)".into()),
        Refusal::Full => (503, "the directory is full".into()),
    };
    (status, why.word(), words)
}
