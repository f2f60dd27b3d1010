//! `[api]`, `[access]` and `[metrics]` of a directory: where its API listens, whom its doors let in, who may read its counts.

use super::error::{ConfigError, Source};
use super::sip::Sip;
use crate::limits::ACCESS_NETWORKS_MAX;
use crate::sip::Network;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;

/// `[api]`, as typed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApiTable {
    listen: String,
    tls_listen: Option<String>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    #[serde(default)]
    plaintext: bool,
    #[serde(default = "connections_max")]
    connections_max: usize,
    #[serde(default = "idle_s")]
    idle_s: u32,
}
fn connections_max() -> usize {
    1024
}
fn idle_s() -> u32 {
    75
}

/// `[api]`, checked.
#[derive(Clone, Debug)]
pub struct Api {
    /// HTTP in the clear: on loopback, unless the operator said otherwise.
    pub listen: SocketAddr,
    /// HTTPS.
    pub tls_listen: Option<SocketAddr>,
    /// Its certificate chain and key (PEM); none: that of `[sip]`, else our own of the state folder.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Connections at a time.
    pub connections_max: usize,
    /// A connection that says nothing for this long is closed, in seconds.
    pub idle_s: u32,
}

/// Whom the doors let in; `None`: everybody.
#[derive(Clone, Debug, Default)]
pub struct AccessLists {
    /// SIP: datagrams and connections.
    pub sip: Option<Vec<Network>>,
    /// ENUM over DNS: datagrams and connections.
    pub enum_dns: Option<Vec<Network>>,
    /// The API. Loopback is always let in: the operator is there.
    pub api: Option<Vec<Network>>,
}

/// `[access]`, as typed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AccessTable {
    sip: Option<Vec<String>>,
    r#enum: Option<Vec<String>>,
    api: Option<Vec<String>>,
}

/// `[metrics]`, as typed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// `/metrics`, `/health` and `/ready` in the clear on this address, for a scraper that is not on this machine. They tell counts, and
    /// nothing of anybody.
    pub listen: SocketAddr,
}

impl ApiTable {
    /// The table checked; problems go to `problems`.
    pub(super) fn check(self, source: &Source, sip: Option<&Sip>, problems: &mut Vec<ConfigError>) -> Option<Api> {
        let before = problems.len();
        let mut wrong = |key: &str, message: String| problems.push(source.at_key(key, message));
        let address = |text: &str, key: &str, wrong: &mut dyn FnMut(&str, String)| {
            text.parse::<SocketAddr>().map_err(|_| wrong(key, "is not ADDRESS:PORT".into())).ok()
        };
        let listen = address(&self.listen, "api.listen", &mut wrong);
        let tls_listen = self.tls_listen.as_deref().map(|text| address(text, "api.tls_listen", &mut wrong));
        if let Some(listen) = listen.filter(|a| !a.ip().is_loopback() && !self.plaintext) {
            let mend = "have tls_listen there, or say plaintext = true";
            wrong(
                "api.listen",
                format!("{listen} can be reached from outside, where everybody on the way reads and changes what is said: {mend}"),
            );
        }
        if let (Some(a), Some(Some(b))) = (listen, tls_listen)
            && a == b
            && a.port() != 0
        {
            wrong("api.tls_listen", format!("{b} is taken by api.listen"));
        }
        let beside = |file: &PathBuf| source.path().parent().map_or_else(|| file.clone(), |folder| folder.join(file));
        match (&self.tls_cert, &self.tls_key) {
            (Some(_), None) => wrong("api.tls_cert", "needs its tls_key beside it".into()),
            (None, Some(_)) => wrong("api.tls_key", "needs its tls_cert beside it".into()),
            _ => {}
        }
        for (key, file) in [("api.tls_cert", &self.tls_cert), ("api.tls_key", &self.tls_key)] {
            if let Some(Err(e)) = file.as_ref().map(|f| std::fs::File::open(beside(f))) {
                wrong(key, format!("{}: {e}", file.as_ref().map(beside).unwrap_or_default().display()));
            }
        }
        let own = self.tls_cert.as_ref().map(beside).zip(self.tls_key.as_ref().map(beside));
        let of_sip = || sip.and_then(|s| s.tls_cert.clone().zip(s.tls_key.clone()));
        if problems.len() > before {
            return None;
        }
        Some(Api {
            listen: listen?,
            tls_listen: tls_listen.flatten(),
            certificate: own.or_else(of_sip),
            connections_max: self.connections_max,
            idle_s: self.idle_s,
        })
    }
}

impl AccessTable {
    /// The lists, checked.
    pub(super) fn check(&self, source: &Source, problems: &mut Vec<ConfigError>) -> AccessLists {
        let mut list = |key: &str, texts: &Option<Vec<String>>| {
            let texts = texts.as_ref()?;
            if texts.is_empty() || texts.len() > ACCESS_NETWORKS_MAX {
                problems.push(
                    source
                        .at_key(key, format!("{} networks: 1 to {ACCESS_NETWORKS_MAX}; without the key everybody is let in", texts.len())),
                );
            }
            let network = |text: &String| match text.parse::<Network>() {
                Ok(network) => Some(network),
                Err(why) => {
                    problems.push(source.at_key(key, format!("{text:?} {why}")));
                    None
                }
            };
            Some(texts.iter().filter_map(network).collect())
        };
        AccessLists { sip: list("access.sip", &self.sip), enum_dns: list("access.enum", &self.r#enum), api: list("access.api", &self.api) }
    }
}
