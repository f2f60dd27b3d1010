//! `[enum]` of a directory: the zones that it answers for over DNS, and to whom.

use super::error::{ConfigError, Source};
use super::sip::Listen;
use crate::enum_door::{Apex, Zone};
use crate::limits::{DNS_LISTENERS_MAX, DNS_ZONES_MAX, NUMBER_DIGITS_MAX};
use crate::sip::Network;
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};
use toml::Spanned;

/// Who may look up whatever `[lookup]` says, where the configuration does not: this machine. A network is let past the accounts by the
/// operator's word alone, a private one too: guests and terminals without an account are in it.
const ALLOW: [&str; 2] = ["127.0.0.0/8", "::1"];

/// The checked table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EnumDns {
    /// Where DNS listens, UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// What it answers for.
    pub zones: Vec<Zone>,
    /// The longest time that others may keep an address, in seconds.
    pub ttl_max_s: u32,
    /// How long they may keep that there is none, in seconds.
    pub ttl_none_s: u32,
    /// Who may look up in any case.
    pub allow: Vec<Network>,
    /// Datagrams that one source is answered in a second; 0: any number.
    pub answers_per_s: u32,
    /// Where its name server is reached.
    pub addresses: Vec<IpAddr>,
}

/// The table as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    listen: Spanned<Listen>,
    #[serde(default)]
    zone: Vec<ZoneTable>,
    #[serde(default = "ttl_max_s")]
    ttl_max_s: u32,
    #[serde(default = "ttl_none_s")]
    ttl_none_s: u32,
    allow: Option<Spanned<Vec<String>>>,
    #[serde(default = "answers_per_s")]
    answers_per_s: u32,
    addresses: Option<Spanned<Vec<String>>>,
}
fn ttl_max_s() -> u32 {
    60
}
fn ttl_none_s() -> u32 {
    15
}
fn answers_per_s() -> u32 {
    1000
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ZoneTable {
    name: Spanned<String>,
    #[serde(default)]
    strip: String,
    #[serde(default)]
    add: String,
}

impl Table {
    /// Checks the table; `domain` has the zone that is answered for where none is named.
    pub fn check(&self, source: &Source, domain: &str, problems: &mut Vec<ConfigError>) -> EnumDns {
        let mut wrong = |span, key: &str, message: String| problems.push(source.problem(span, key, message));
        let listen = self.listen.get_ref().all().to_vec();
        if listen.is_empty() || listen.len() > DNS_LISTENERS_MAX {
            wrong(self.listen.span(), "enum.listen", format!("{} addresses; 1 to {DNS_LISTENERS_MAX} are possible", listen.len()));
        }
        let mut zones: Vec<Zone> = Vec::new();
        for table in &self.zone {
            let at = |key: &str| format!("enum.zone.{key}");
            for (key, digits) in [("strip", &table.strip), ("add", &table.add)] {
                if digits.len() > NUMBER_DIGITS_MAX || !digits.bytes().all(|c| c.is_ascii_digit()) {
                    wrong(table.name.span(), &at(key), format!("{digits:?} is more than {NUMBER_DIGITS_MAX} digits, or not digits alone"));
                }
            }
            match Apex::parse(table.name.get_ref()) {
                Ok(apex) if zones.iter().any(|z| z.apex == apex) => wrong(table.name.span(), &at("name"), format!("{apex} stands twice")),
                Ok(apex) => zones.push(Zone { apex, strip: table.strip.clone(), add: table.add.clone() }),
                Err(e) => wrong(table.name.span(), &at("name"), format!("{:?} {e}", table.name.get_ref())),
            }
        }
        if self.zone.is_empty() {
            match Apex::parse(&format!("enum.{domain}")) {
                Ok(apex) => zones.push(Zone { apex, strip: String::new(), add: String::new() }),
                Err(e) => wrong(self.listen.span(), "enum", format!("enum.{domain} {e}: name a zone")),
            }
        }
        if self.zone.len() > DNS_ZONES_MAX {
            wrong(self.listen.span(), "enum.zone", format!("{} zones, at most {DNS_ZONES_MAX}", self.zone.len()));
        }
        let mut allow = Vec::new();
        match &self.allow {
            Some(given) => {
                for text in given.get_ref() {
                    match text.parse() {
                        Ok(network) => allow.push(network),
                        Err(e) => wrong(given.span(), "enum.allow", format!("{text:?} {e}")),
                    }
                }
            }
            None => allow.extend(ALLOW.iter().filter_map(|text| text.parse::<Network>().ok())),
        }
        let mut addresses = Vec::new();
        match &self.addresses {
            Some(given) => {
                for text in given.get_ref() {
                    match text.parse::<IpAddr>() {
                        Ok(address) => addresses.push(address),
                        Err(_) => wrong(given.span(), "enum.addresses", format!("{text:?} is no address")),
                    }
                }
                if addresses.len() > DNS_LISTENERS_MAX {
                    wrong(given.span(), "enum.addresses", format!("{} addresses, at most {DNS_LISTENERS_MAX}", addresses.len()));
                }
            }
            None => addresses.extend(listen.iter().map(SocketAddr::ip).filter(|ip| !ip.is_unspecified())),
        }
        let (ttl_max_s, ttl_none_s, answers_per_s) = (self.ttl_max_s, self.ttl_none_s, self.answers_per_s);
        EnumDns { listen, zones, ttl_max_s, ttl_none_s, allow, answers_per_s, addresses }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn read(text: &str) -> Result<EnumDns, String> {
        #[derive(Deserialize)]
        struct File {
            r#enum: Table,
        }
        let source = Source::new(Path::new("lan.toml"), text.into());
        let file: File = source.parse().map_err(|e| e.to_string())?;
        let mut problems = Vec::new();
        let checked = file.r#enum.check(&source, "lan.test", &mut problems);
        if problems.is_empty() { Ok(checked) } else { Err(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")) }
    }

    #[test]
    fn the_zone_is_the_domains_unless_others_are_named() {
        let e = read("[enum]\nlisten = [\"127.0.0.1:53\", \"[::]:53\"]\n").unwrap();
        assert_eq!((e.zones[0].apex.to_string(), e.ttl_max_s, e.allow.len()), ("enum.lan.test.".into(), 60, ALLOW.len()));
        assert_eq!(e.addresses, ["127.0.0.1".parse::<IpAddr>().unwrap()], "a wildcard leads nowhere");
        let two = "[enum]\nlisten = \"127.0.0.1:53\"\nallow = []\n[[enum.zone]]\nname = \"e164.arpa\"\nstrip = \"44\"\n[[enum.zone]]\nname = \"a.test\"\n";
        let e = read(two).unwrap();
        assert_eq!((e.zones.len(), e.zones[0].strip.as_str(), e.allow.len()), (2, "44", 0));
    }

    #[test]
    fn nobody_beyond_this_machine_is_let_past_the_accounts_unless_the_operator_names_them() {
        let may = |e: &EnumDns, source: &str| e.allow.iter().any(|n| n.contains(source.parse().unwrap()));
        let e = read("[enum]\nlisten = \"127.0.0.1:53\"\n").unwrap();
        assert!(may(&e, "127.0.0.1") && may(&e, "127.1.2.3") && may(&e, "::1"));
        for source in ["10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.0.1", "fd00::1", "fe80::1", "203.0.113.5", "2001:db8::1"] {
            assert!(!may(&e, source), "{source}");
        }
        let named = read("[enum]\nlisten = \"127.0.0.1:53\"\nallow = [\"10.0.0.0/8\"]\n").unwrap();
        assert!(may(&named, "10.1.2.3") && !may(&named, "127.0.0.1"), "a list stands in place of the default");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line_and_key() {
        for (more, said) in [
            ("allow = [\"10.0.0.1/8\"]", "lan.toml:3: enum.allow: \"10.0.0.1/8\" names a host"),
            ("addresses = [\"ns.lan.test\"]", "lan.toml:3: enum.addresses: \"ns.lan.test\" is no address"),
            ("[[enum.zone]]\nname = \"a..b\"", "lan.toml:4: enum.zone.name: \"a..b\" is no domain name"),
            ("[[enum.zone]]\nname = \"a\"\nstrip = \"+44\"", "lan.toml:4: enum.zone.strip: \"+44\" is more than"),
            ("[[enum.zone]]\nname = \"a\"\n[[enum.zone]]\nname = \"A.\"", "lan.toml:6: enum.zone.name: a. stands twice"),
            ("ttl = 5", "lan.toml:3: ttl: unknown field"),
        ] {
            let problems = read(&format!("[enum]\nlisten = \"127.0.0.1:53\"\n{more}\n")).unwrap_err();
            assert!(problems.starts_with(said), "{problems}");
        }
        assert!(read("[enum]\nlisten = []\n").unwrap_err().contains("enum.listen: 0 addresses"));
    }
}
