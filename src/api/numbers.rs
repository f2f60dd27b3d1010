//! The directory's API about what is wanted of numbers, what they are at, and other directories.

use super::directory::{BadField, ContactJson, transport_word};
use super::keys::SignedJson;
use crate::directory::registrar::Presence;
use crate::directory::{Disclosure, Fixed, Ring, Server, Settings};
use crate::key::Fingerprint;
use crate::number::Number;
use crate::sip::Transport;
use serde::{Deserialize, Serialize};

/// A row of `/v1/servers`. The shared secret goes in and never comes out.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerJson {
    /// The server number.
    pub number: String,
    /// Digits of its terminal numbers.
    pub terminal_digits: u8,
    /// Its SIP door, `HOST`, `HOST:PORT`, with `;transport=..` where it is not UDP.
    pub sip: String,
    /// Its API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// The one certificate that its API shows by HTTPS, as `sha-256 AA:BB:..`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// The secret shared with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// There is a shared secret.
    #[serde(default)]
    pub has_secret: bool,
}

/// A row of `/v1/settings`, and the body that changes one: what is left out is as the directory's policy says.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingsJson {
    /// The number.
    pub number: String,
    /// `anyone`, `accounts` or `consent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disclosure: Option<String>,
    /// `newest`, `all` or `in-order`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ring: Option<String>,
    /// It takes a second call.
    #[serde(default)]
    pub call_waiting: bool,
    /// It takes no call now.
    #[serde(default)]
    pub do_not_disturb: bool,
    /// Askers are told whether it is busy.
    #[serde(default)]
    pub presence: bool,
    /// Where a terminal is that never registers, `ADDRESS:PORT` (the operator).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed: Option<String>,
    /// Over what it is called there: `udp` (where left out), `tcp` or `tls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed_transport: Option<String>,
    /// The key to expect there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed_fingerprint: Option<String>,
}

/// `PUT /v1/registrations/{number}/calls`: how many calls a number has (D-6).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CallsRequest {
    /// Calls now; 0 when the last one ended.
    pub calls: u8,
}

/// `GET /v1/identifiers/{fingerprint}`: where the gateway of this key is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct IdentifierAnswer {
    /// The key that was asked for, `sha-256 AA:BB:..`.
    #[serde(default)]
    pub identifier: String,
    /// Each number registered with the key, or with one that followed it, and where.
    pub contacts: Vec<IdentifierContact>,
    /// The directory's word for it, where the question had a nonce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<SignedJson>,
}

/// One of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct IdentifierContact {
    /// The terminal number.
    pub number: String,
    /// Where.
    #[serde(flatten)]
    pub contact: ContactJson,
}

/// What a number is at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PresenceJson {
    /// A call would be refused as busy.
    pub busy: bool,
    /// It has a call and takes a second.
    pub call_waiting: bool,
    /// It takes no call.
    pub do_not_disturb: bool,
}

impl ServerJson {
    /// The entry as the directory takes it.
    pub fn read(self) -> Result<Server, BadField> {
        let fits = |text: &str| !text.is_empty() && text.len() <= 255 && text.bytes().all(|b| b.is_ascii_graphic());
        if !fits(&self.sip) || self.sip.contains(['<', '>', '"', '@', ',']) {
            return Err(BadField("sip"));
        }
        if self.api.as_ref().is_some_and(|api| !fits(api)) {
            return Err(BadField("api"));
        }
        let fingerprint = match &self.fingerprint {
            // In the clear nothing shows a certificate.
            Some(_) if !self.api.as_ref().is_some_and(|api| api.starts_with("https://")) => {
                return Err(BadField("fingerprint (of an API by https)"));
            }
            Some(text) => Some(Fingerprint::parse(text).ok_or(BadField("fingerprint"))?),
            None => None,
        };
        // Long enough that nobody finds it by trying.
        if self.secret.as_ref().is_some_and(|secret| secret.len() < 16) {
            return Err(BadField("secret (16 characters at least)"));
        }
        Ok(Server {
            number: Number::parse(&self.number).map_err(|_| BadField("number"))?,
            terminal_digits: self.terminal_digits,
            sip: self.sip.into(),
            api: self.api.map(Into::into),
            fingerprint,
            secret: self.secret.map(Into::into),
        })
    }
}
impl From<&Server> for ServerJson {
    fn from(s: &Server) -> Self {
        ServerJson {
            number: s.number.to_string(),
            terminal_digits: s.terminal_digits,
            sip: s.sip.to_string(),
            api: s.api.as_deref().map(str::to_owned),
            fingerprint: s.fingerprint.map(|f| f.to_string()),
            secret: None,
            has_secret: s.secret.is_some(),
        }
    }
}

impl SettingsJson {
    /// The settings as the directory takes them.
    pub fn read(&self) -> Result<Settings, BadField> {
        let fixed = match &self.fixed {
            Some(address) => Some(Fixed {
                address: address.parse().map_err(|_| BadField("fixed"))?,
                transport: match &self.fixed_transport {
                    Some(word) => Transport::parse(word.as_bytes()).ok_or(BadField("fixed_transport"))?,
                    None => Transport::Udp,
                },
                fingerprint: match &self.fixed_fingerprint {
                    Some(text) => Some(Fingerprint::parse(text).ok_or(BadField("fixed_fingerprint"))?),
                    None => None,
                },
            }),
            None => None,
        };
        Ok(Settings {
            number: Number::parse(&self.number).map_err(|_| BadField("number"))?,
            disclosure: match &self.disclosure {
                Some(d) => Some(Disclosure::parse(d).ok_or(BadField("disclosure"))?),
                None => None,
            },
            ring: match &self.ring {
                Some(r) => Some(Ring::parse(r).ok_or(BadField("ring"))?),
                None => None,
            },
            call_waiting: self.call_waiting,
            do_not_disturb: self.do_not_disturb,
            presence: self.presence,
            fixed,
        })
    }
}
impl From<&Settings> for SettingsJson {
    fn from(s: &Settings) -> Self {
        let fixed = s.fixed.as_ref();
        SettingsJson {
            number: s.number.to_string(),
            disclosure: s.disclosure.map(|d| d.word().to_owned()),
            ring: s.ring.map(|r| r.word().to_owned()),
            call_waiting: s.call_waiting,
            do_not_disturb: s.do_not_disturb,
            presence: s.presence,
            fixed: fixed.map(|f| f.address.to_string()),
            fixed_transport: fixed.filter(|f| f.transport != Transport::Udp).map(|f| transport_word(f.transport)),
            fixed_fingerprint: fixed.and_then(|f| f.fingerprint).map(|f| f.to_string()),
        }
    }
}
impl From<Presence> for PresenceJson {
    fn from(p: Presence) -> Self {
        PresenceJson { busy: p.is_busy(), call_waiting: p.calls > 0 && p.call_waiting, do_not_disturb: p.do_not_disturb }
    }
}
