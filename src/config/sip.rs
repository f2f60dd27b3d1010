//! `[sip]`: where a daemon listens for SIP and how its TLS stands, the same words for gateway and directory.

use super::error::{ConfigError, Source};
use crate::limits::{SIP_LISTENERS_MAX, TRUSTED_NETWORKS_MAX};
use crate::sip::Network;
use core::ops::RangeInclusive;
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use std::net::SocketAddr;
use std::path::PathBuf;

/// The session interval asked for where nothing else is said, in seconds (RFC 4028 s.4 recommends it).
const SESSION_EXPIRES_S: u32 = 1_800;
/// Shorter is forbidden (RFC 4028 s.5); longer than a day tells nothing of a dead call.
const SESSION_EXPIRES_RANGE_S: RangeInclusive<u32> = 90..=86_400;

/// `[sip]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sip {
    /// Addresses for UDP and TCP, `"address:port"` or a list of them. The first is the one that peers are told. A wildcard (`0.0.0.0:5060`,
    /// `[::]:5060`) follows the machine: peers are told the address under which it reaches the directory, whatever that is at the time.
    pub listen: Listen,
    /// Addresses for TLS, in the same form; none: no TLS comes in.
    #[serde(default)]
    pub tls_listen: Listen,
    /// DSCP of signalling (RFC 4594: CS3).
    #[serde(default = "dscp")]
    pub dscp: u8,
    /// Our certificate chain (PEM). Without it one is made at the first start and kept in the state.
    pub tls_cert: Option<PathBuf>,
    /// Its key (PEM).
    pub tls_key: Option<PathBuf>,
    /// Who may certify servers that we connect to (PEM); without it whom the system trusts.
    pub tls_ca: Option<PathBuf>,
    /// Who may certify clients (PEM). With it, clients must prove themselves (`tls_verify`).
    pub tls_client_ca: Option<PathBuf>,
    /// Whether clients must show a certificate: `required` (the default where `tls_client_ca` stands) or `off`.
    pub tls_verify: Option<TlsVerify>,
    /// Whether servers must prove the name that we called. `false` lets anybody in between listen and answer in their place.
    #[serde(default = "yes")]
    pub tls_verify_peer: bool,
    /// Peers whose word on who calls is believed, and who are told the number of a caller who withholds it (P-Asserted-Identity,
    /// RFC 3325): `"ADDRESS"` or `"ADDRESS/PREFIX"`. Without it nobody. The gateway's alone.
    pub trusted: Option<Vec<String>>,
    /// The interval of session timers that we ask for (RFC 4028); 0: only where the peer asks. The gateway's alone.
    pub session_expires_s: Option<u32>,
    /// A STUN server beyond our NAT, `"address:port"`: peers out there are told where it sees us. A directory's SIP address (UDP) is one. The
    /// gateway's alone.
    pub stun: Option<SocketAddr>,
    /// Name servers to ask for SIP domains, `"address:port"` or a list; without it those of the system.
    #[serde(default)]
    pub dns: Listen,
}

/// Whether clients must show a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsVerify {
    /// A client without a certificate from `tls_client_ca` is turned away in the handshake.
    Required,
    /// Nobody is asked.
    Off,
}

fn dscp() -> u8 {
    24
}
fn yes() -> bool {
    true
}

/// One address or a list of them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Listen(Vec<SocketAddr>);

impl Listen {
    /// These addresses.
    pub fn new(addresses: Vec<SocketAddr>) -> Listen {
        Listen(addresses)
    }
    /// All of them, the first first.
    pub fn all(&self) -> &[SocketAddr] {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Listen, D::Error> {
        struct Addresses;
        fn address<E: Error>(text: &str) -> Result<SocketAddr, E> {
            text.parse().map_err(|_| E::custom(format!("{text:?} is not ADDRESS:PORT (IPv6: [ADDRESS]:PORT)")))
        }
        impl<'de> Visitor<'de> for Addresses {
            type Value = Listen;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("ADDRESS:PORT, or a list of them")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Listen, E> {
                Ok(Listen(vec![address(text)?]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Listen, A::Error> {
                let mut all = Vec::new();
                while let Some(text) = list.next_element::<String>()? {
                    all.push(address(&text)?);
                }
                Ok(Listen(all))
            }
        }
        from.deserialize_any(Addresses)
    }
}

impl Sip {
    /// The address that peers are told: the first of `listen`.
    pub fn main(&self) -> SocketAddr {
        *self.listen.0.first().expect("the configuration was checked: there is one")
    }
    /// The first address of TLS, if there is one.
    pub fn main_tls(&self) -> Option<SocketAddr> {
        self.tls_listen.0.first().copied()
    }
    /// Every address that something listens on.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.listen.0.iter().chain(&self.tls_listen.0).copied()
    }
    /// Whom we trust with, and for, the numbers of callers. Faults are left out (`check` names them).
    pub fn trusted_networks(&self) -> Vec<Network> {
        self.trusted.iter().flatten().filter_map(|text| text.parse().ok()).collect()
    }
    /// The session interval to ask for, as the endpoint takes it.
    pub fn session_interval_s(&self) -> Option<u32> {
        Some(self.session_expires_s.unwrap_or(SESSION_EXPIRES_S)).filter(|s| *s > 0)
    }
    /// Whether clients must show a certificate.
    pub fn verifies_clients(&self) -> bool {
        self.tls_verify.map_or(self.tls_client_ca.is_some(), |v| v == TlsVerify::Required)
    }

    /// Rules that span keys. `calls`: it is a gateway's, which makes calls.
    pub fn check(&self, source: &Source, calls: bool) -> Vec<ConfigError> {
        let mut problems = Vec::new();
        let mut problem = |key: &str, message: String| problems.push(source.at_key(key, message));
        if self.listen.0.is_empty() {
            problem("sip.listen", "at least one address is needed".into());
        }
        for (key, list) in [("sip.listen", &self.listen.0), ("sip.tls_listen", &self.tls_listen.0)] {
            if list.len() > SIP_LISTENERS_MAX {
                problem(key, format!("{} addresses, at most {SIP_LISTENERS_MAX}", list.len()));
            }
            if let Some(twice) = list.iter().enumerate().find(|(i, a)| a.port() != 0 && list[..*i].contains(a)) {
                problem(key, format!("{} stands twice", twice.1));
            }
            let same = |a: &SocketAddr, b: &SocketAddr| a.port() == b.port() && a.is_ipv4() == b.is_ipv4() && a != b && a.port() != 0;
            let covered = |a: &&SocketAddr| list.iter().any(|any| any.ip().is_unspecified() && same(any, a));
            if let Some(address) = list.iter().find(covered) {
                problem(key, format!("{address} is covered by the wildcard beside it"));
            }
        }
        if let Some(taken) = self.tls_listen.0.iter().find(|a| a.port() != 0 && self.listen.0.contains(a)) {
            problem("sip.tls_listen", format!("{taken} is taken by sip.listen, whose TCP is in the clear"));
        }
        if self.dscp > 63 {
            problem("sip.dscp", format!("{} is no DSCP (0 to 63)", self.dscp));
        }
        self.check_calls(calls, &mut problem);
        match (&self.tls_cert, &self.tls_key) {
            (Some(_), None) => problem("sip.tls_cert", "needs its tls_key beside it".into()),
            (None, Some(_)) => problem("sip.tls_key", "needs its tls_cert beside it".into()),
            _ => {}
        }
        if self.tls_verify == Some(TlsVerify::Required) && self.tls_client_ca.is_none() {
            problem("sip.tls_verify", "\"required\" needs tls_client_ca: who may certify the clients".into());
        }
        if self.verifies_clients() && self.tls_listen.0.is_empty() {
            problem("sip.tls_client_ca", "without tls_listen there are no TLS clients to verify".into());
        }
        for (key, file) in self.files() {
            if let Err(e) = std::fs::File::open(file) {
                problem(key, format!("{}: {e}", file.display()));
            }
        }
        problems
    }

    /// The keys that are about calls, of which a directory makes none.
    fn check_calls(&self, gateway: bool, problem: &mut impl FnMut(&str, String)) {
        let given = [
            ("sip.trusted", self.trusted.is_some()),
            ("sip.session_expires_s", self.session_expires_s.is_some()),
            ("sip.stun", self.stun.is_some()),
        ];
        if let (Some(stun), Some(main)) = (self.stun, self.listen.0.first())
            && (stun.is_ipv4() != main.is_ipv4() || stun.ip().is_unspecified() || stun.port() == 0)
        {
            problem("sip.stun", format!("{stun}: must be an address and port of the family of the first of sip.listen"));
        }
        for (key, _) in given.iter().filter(|(_, given)| *given && !gateway) {
            problem(key, "is about calls, and a directory makes none: it belongs to the gateways".into());
        }
        let networks = self.trusted.as_deref().unwrap_or_default();
        if networks.len() > TRUSTED_NETWORKS_MAX {
            problem("sip.trusted", format!("{} networks, at most {TRUSTED_NETWORKS_MAX}", networks.len()));
        }
        for text in networks {
            if let Err(why) = text.parse::<Network>() {
                problem("sip.trusted", format!("{text:?} {why}"));
            }
        }
        if let Some(s) = self.session_expires_s.filter(|s| *s != 0 && !SESSION_EXPIRES_RANGE_S.contains(s)) {
            let (least, most) = (SESSION_EXPIRES_RANGE_S.start(), SESSION_EXPIRES_RANGE_S.end());
            problem("sip.session_expires_s", format!("{s}: must be {least} to {most}, or 0 to ask for none (RFC 4028 s.4)"));
        }
    }

    fn files(&self) -> impl Iterator<Item = (&'static str, &PathBuf)> {
        let all = [
            ("sip.tls_cert", &self.tls_cert),
            ("sip.tls_key", &self.tls_key),
            ("sip.tls_ca", &self.tls_ca),
            ("sip.tls_client_ca", &self.tls_client_ca),
        ];
        all.into_iter().filter_map(|(key, file)| file.as_ref().map(|f| (key, f)))
    }

    /// Files are named relative to the configuration. Before [`Sip::check`].
    pub fn take_paths(&mut self, source: &Source) {
        let Some(folder) = source.path().parent() else { return };
        for file in [&mut self.tls_cert, &mut self.tls_key, &mut self.tls_ca, &mut self.tls_client_ca].into_iter().flatten() {
            *file = folder.join(&*file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[derive(Debug, Deserialize)]
    struct File {
        sip: Sip,
    }

    fn problems(text: &str) -> Vec<String> {
        let source = Source::new(Path::new("g.toml"), format!("[sip]\n{text}"));
        match source.parse::<File>() {
            Ok(file) => file.sip.check(&source, true).iter().map(ToString::to_string).collect(),
            Err(e) => vec![e.to_string()],
        }
    }

    #[test]
    fn one_address_or_several_of_either_family() {
        let source =
            Source::new(Path::new("g.toml"), "[sip]\nlisten = [\"127.0.0.1:6160\", \"[::1]:6160\"]\ntls_listen = \"[::1]:6161\"".into());
        let sip = source.parse::<File>().expect("it is right").sip;
        assert_eq!(sip.main(), "127.0.0.1:6160".parse().unwrap());
        assert_eq!(sip.main_tls(), Some("[::1]:6161".parse().unwrap()));
        assert_eq!(sip.addresses().count(), 3);
        assert_eq!(sip.check(&source, true), []);
    }

    #[test]
    fn who_is_trusted_and_how_sessions_are_kept_alive_is_the_gateways_to_say() {
        let text = "[sip]\nlisten = \"127.0.0.1:6160\"\ntrusted = [\"192.0.2.0/24\", \"2001:db8::1\"]\nsession_expires_s = 90\n";
        let source = Source::new(Path::new("g.toml"), text.into());
        let sip = source.parse::<File>().expect("it is right").sip;
        assert_eq!(sip.check(&source, true), []);
        assert_eq!(sip.trusted_networks().iter().map(ToString::to_string).collect::<Vec<_>>(), ["192.0.2.0/24", "2001:db8::1"]);
        assert_eq!(sip.session_interval_s(), Some(90));
        let refused: Vec<String> = sip.check(&source, false).iter().map(ToString::to_string).collect();
        assert!(refused.len() == 2 && refused[0].starts_with("g.toml:3: sip.trusted: is about calls"), "{refused:?}");
        assert!(refused[1].starts_with("g.toml:4: sip.session_expires_s: is about calls"), "{refused:?}");
        for (given, interval) in [("", Some(1_800)), ("session_expires_s = 0", None)] {
            let source = Source::new(Path::new("g.toml"), format!("[sip]\nlisten = \"127.0.0.1:6160\"\n{given}"));
            let sip = source.parse::<File>().expect("it is right").sip;
            assert_eq!((sip.check(&source, true), sip.session_interval_s(), sip.trusted_networks()), (vec![], interval, vec![]));
        }
    }

    #[test]
    fn every_fault_names_its_line() {
        let table: &[(&str, &str)] = &[
            ("listen = \"127.0.0.1\"", "g.toml:2: listen: \"127.0.0.1\" is not ADDRESS:PORT (IPv6: [ADDRESS]:PORT)"),
            ("listen = 5060", "g.toml:2: listen: invalid type: integer `5060`, expected ADDRESS:PORT, or a list of them"),
            ("listen = []", "g.toml:2: sip.listen: at least one address is needed"),
            ("listen = [\"1.2.3.4:1\", \"1.2.3.4:1\"]", "g.toml:2: sip.listen: 1.2.3.4:1 stands twice"),
            (
                "listen = [\"0.0.0.0:5060\", \"[::1]:5060\", \"127.0.0.1:5060\"]",
                "g.toml:2: sip.listen: 127.0.0.1:5060 is covered by the wildcard beside it",
            ),
            (
                "listen = \"1.2.3.4:1\"\ntls_listen = \"1.2.3.4:1\"",
                "g.toml:3: sip.tls_listen: 1.2.3.4:1 is taken by sip.listen, whose TCP is in the clear",
            ),
            ("listen = \"1.2.3.4:1\"\ndscp = 64", "g.toml:3: sip.dscp: 64 is no DSCP (0 to 63)"),
            (
                "listen = \"1.2.3.4:1\"\ntls_verify = \"required\"\ntls_listen = \"1.2.3.4:2\"",
                "g.toml:3: sip.tls_verify: \"required\" needs tls_client_ca: who may certify the clients",
            ),
        ];
        for (text, expected) in table {
            assert_eq!(problems(text), [*expected], "{text}");
        }
        let listen = "listen = \"1.2.3.4:1\"\n";
        for (text, expected) in [
            (
                "trusted = [\"10.0.0.1/8\"]",
                "g.toml:3: sip.trusted: \"10.0.0.1/8\" names a host and a prefix: leave the prefix away, or write 10.0.0.0/8",
            ),
            (
                "stun = \"[2001:db8::1]:5060\"",
                "g.toml:3: sip.stun: [2001:db8::1]:5060: must be an address and port of the family of the first of sip.listen",
            ),
            ("trusted = [\"192.0.2.1\", \"sip.example\"]", "g.toml:3: sip.trusted: \"sip.example\" is neither ADDRESS nor ADDRESS/PREFIX"),
            ("trusted = [\"::/0\"]", "g.toml:3: sip.trusted: \"::/0\" has a prefix that is not 1 to 128 bits long"),
            ("session_expires_s = 89", "g.toml:3: sip.session_expires_s: 89: must be 90 to 86400, or 0 to ask for none (RFC 4028 s.4)"),
            (
                "session_expires_s = 86401",
                "g.toml:3: sip.session_expires_s: 86401: must be 90 to 86400, or 0 to ask for none (RFC 4028 s.4)",
            ),
        ] {
            assert_eq!(problems(&format!("{listen}{text}")), [expected], "{text}");
        }
        let missing = problems("listen = \"1.2.3.4:1\"\ntls_cert = \"/nowhere/c.pem\"");
        assert_eq!(missing.len(), 2, "{missing:?}");
        assert!(missing[0].starts_with("g.toml:3: sip.tls_cert: needs its tls_key") && missing[1].contains("/nowhere/c.pem: No such file"));
    }
}
