//! The configuration of a directory. Every key stands in `fixtures/config/directory.toml` with a word on it.

use super::api::{AccessLists, AccessTable, Api, ApiTable, Metrics};
use super::enrol::{Enrol, EnrolTable};
use super::enum_dns::{self, EnumDns};
use super::error::{ConfigError, Source};
use super::sip::Sip;
use crate::digest::Algorithm;
use crate::directory::bans::BanPolicy;
use crate::directory::registrar::{AddressConflict, NewKey};
use crate::directory::{Disclosure, NumberPlan, Policy, Ring};
use crate::limits::REGISTRATIONS_MAX;
use crate::number::Number;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// Who may look a number up whose settings do not say; [`Disclosure::Consent`] is a number's own choice.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Lookups {
    /// Anybody who reaches a door.
    Anyone,
    /// Only who has an account.
    Accounts,
}

/// A directory's configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The configuration's name: the file's, without `.toml`.
    pub name: String,
    /// The domain: the realm of all passwords.
    pub domain: String,
    /// Rules of numbers and leases.
    pub policy: Policy,
    /// Where the API listens, and how.
    pub api: Api,
    /// Whom the doors let in.
    pub access: AccessLists,
    /// Where counts are told beside the API.
    pub metrics: Option<Metrics>,
    /// Where SIP listens; none: the directory has no SIP door.
    pub sip: Option<Sip>,
    /// ENUM over DNS; none: the directory has no such door.
    pub enum_dns: Option<EnumDns>,
    /// How long a nonce serves, in seconds.
    pub nonce_lifetime_s: u32,
    /// The hashes that the SIP door's challenges offer, in this order.
    pub hashes: Vec<Algorithm>,
    /// Which terminals may make their accounts themselves; none: no terminal.
    pub enrol: Option<Enrol>,
    /// Who failed to log in too often at the SIP door.
    pub bans: BanPolicy,
    /// Accounts that are read at start, beside those in the state.
    pub accounts_file: Option<PathBuf>,
    /// Where the state lies.
    pub state_dir: PathBuf,
}

impl Config {
    /// True when nobody beyond this machine can reach any listener.
    pub fn loopback_only(&self) -> bool {
        let sip = self.sip.iter().flat_map(Sip::addresses);
        let api = [Some(self.api.listen), self.api.tls_listen].into_iter().flatten();
        let dns = self.enum_dns.iter().flat_map(|e| e.listen.iter().copied());
        api.chain(sip).chain(dns).all(|a| a.ip().is_loopback())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    domain: Spanned<String>,
    server_number: Spanned<String>,
    terminal_digits: Spanned<usize>,
    api: ApiTable,
    sip: Option<Sip>,
    r#enum: Option<enum_dns::Table>,
    #[serde(default)]
    access: AccessTable,
    metrics: Option<Metrics>,
    #[serde(default)]
    registration: RegistrationTable,
    dynamic: Option<Dynamic>,
    enrol: Option<EnrolTable>,
    accounts: Option<AccountsTable>,
    #[serde(default)]
    lookup: LookupTable,
    #[serde(default)]
    bans: BansTable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RegistrationTable {
    lease_default_s: Spanned<u32>,
    lease_min_s: Spanned<u32>,
    lease_max_s: Spanned<u32>,
    address_conflict: Spanned<String>,
    /// What one address is: a `contact` (address and port) or a `host`.
    address_is: Spanned<String>,
    new_key: Spanned<String>,
    ring: Spanned<String>,
    numbers_max: Spanned<usize>,
    nonce_lifetime_s: u32,
    hashes: Spanned<Vec<String>>,
}
impl Default for RegistrationTable {
    fn default() -> Self {
        RegistrationTable {
            lease_default_s: Spanned::new(0..0, 3600),
            lease_min_s: Spanned::new(0..0, 60),
            lease_max_s: Spanned::new(0..0, 86_400),
            address_conflict: Spanned::new(0..0, "refuse".into()),
            address_is: Spanned::new(0..0, "contact".into()),
            new_key: Spanned::new(0..0, "report".into()),
            ring: Spanned::new(0..0, Ring::Newest.word().into()),
            numbers_max: Spanned::new(0..0, REGISTRATIONS_MAX),
            nonce_lifetime_s: 300,
            hashes: Spanned::new(0..0, Algorithm::ALL.iter().map(|a| a.name().to_owned()).collect()),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Dynamic {
    first: Spanned<String>,
    last: Spanned<String>,
    #[serde(default = "kept_s")]
    kept_s: u32,
}
fn kept_s() -> u32 {
    604_800
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountsTable {
    file: Spanned<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LookupTable {
    credentials: Lookups,
}
impl Default for LookupTable {
    fn default() -> Self {
        LookupTable { credentials: Lookups::Accounts }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct BansTable {
    account_failures: u32,
    source_failures: Spanned<u32>,
    within_s: u32,
    ban_s: u32,
}
impl Default for BansTable {
    fn default() -> Self {
        let BanPolicy { account_failures, source_failures, within_s, ban_s } = BanPolicy::default();
        BansTable { account_failures, source_failures: Spanned::new(0..0, source_failures), within_s, ban_s }
    }
}

/// Checks the text of `path`. All problems that stand side by side come together; `state_root` is where configurations keep their state.
pub fn parse(path: &Path, text: String, state_root: &Path) -> Result<Config, Vec<ConfigError>> {
    let source = Source::new(path, text);
    let mut file: File = source.parse().map_err(|e| vec![e])?;
    let mut problems = Vec::new();
    if let Some(sip) = &mut file.sip {
        sip.take_paths(&source);
        problems.extend(sip.check(&source, false));
    }
    let config = check(&source, file, state_root, &mut problems);
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(problems),
    }
}

fn check(source: &Source, file: File, state_root: &Path, problems: &mut Vec<ConfigError>) -> Option<Config> {
    let api = file.api.clone().check(source, file.sip.as_ref(), problems);
    let access = file.access.check(source, problems);
    let enrol = file.enrol.as_ref().map(|table| table.check(source, file.dynamic.is_some(), problems));
    let enum_dns = file.r#enum.as_ref().map(|table| table.check(source, file.domain.get_ref(), problems));
    let mut wrong = |span, key: &str, message: String| problems.push(source.problem(span, key, message));
    let domain = file.domain.get_ref().clone();
    if domain.is_empty() || !domain.bytes().all(|c| c.is_ascii_alphanumeric() || b".-".contains(&c)) {
        wrong(file.domain.span(), "domain", format!("{domain:?} is not a domain name"));
    }
    let number = |text: &Spanned<String>, key: &str, wrong: &mut dyn FnMut(core::ops::Range<usize>, &str, String)| {
        Number::parse(text.get_ref()).map_err(|e| wrong(text.span(), key, e.to_string())).ok()
    };
    let server = number(&file.server_number, "server_number", &mut wrong);
    let plan = server.and_then(|server| {
        NumberPlan::new(server, *file.terminal_digits.get_ref())
            .map_err(|e| wrong(file.terminal_digits.span(), "terminal_digits", format!("with the server number: {e}")))
            .ok()
    });
    let r = &file.registration;
    let (min, max, default) = (*r.lease_min_s.get_ref(), *r.lease_max_s.get_ref(), *r.lease_default_s.get_ref());
    if min == 0 || min > max {
        wrong(r.lease_min_s.span(), "registration.lease_min_s", format!("{min} is 0 or more than lease_max_s ({max})"));
    }
    if default < min || default > max {
        wrong(r.lease_default_s.span(), "registration.lease_default_s", format!("{default} is not between {min} and {max}"));
    }
    let address_conflict = match r.address_conflict.get_ref().as_str() {
        "refuse" => Some(AddressConflict::Refuse),
        "report" => Some(AddressConflict::Report),
        "replace" => Some(AddressConflict::Replace),
        other => {
            wrong(r.address_conflict.span(), "registration.address_conflict", format!("{other:?} is not refuse, report or replace"));
            None
        }
    };
    let address_is_host = match r.address_is.get_ref().as_str() {
        "contact" => false,
        "host" => true,
        other => {
            wrong(r.address_is.span(), "registration.address_is", format!("{other:?} is not contact or host"));
            false
        }
    };
    let new_key = match r.new_key.get_ref().as_str() {
        "report" => NewKey::Report,
        "refuse" => NewKey::Refuse,
        other => {
            wrong(r.new_key.span(), "registration.new_key", format!("{other:?} is not report or refuse"));
            NewKey::Refuse
        }
    };
    let ring = Ring::parse(r.ring.get_ref()).unwrap_or_else(|| {
        wrong(r.ring.span(), "registration.ring", format!("{:?} is not newest, all or in-order", r.ring.get_ref()));
        Ring::Newest
    });
    let numbers_max = *r.numbers_max.get_ref();
    if !(1..=REGISTRATIONS_MAX).contains(&numbers_max) {
        wrong(r.numbers_max.span(), "registration.numbers_max", format!("{numbers_max} is not between 1 and {REGISTRATIONS_MAX}"));
    }
    let mut hashes = Vec::new();
    for name in r.hashes.get_ref() {
        match Algorithm::parse(name) {
            Some(hash) if !hashes.contains(&hash) => hashes.push(hash),
            _ => wrong(
                r.hashes.span(),
                "registration.hashes",
                format!("{name:?} is unknown or stands twice; known are SHA-512-256, SHA-256 and MD5"),
            ),
        }
    }
    if hashes.is_empty() {
        wrong(r.hashes.span(), "registration.hashes", "names no hash: nobody could log in".into());
    }
    if *file.bans.source_failures.get_ref() < file.bans.account_failures {
        wrong(file.bans.source_failures.span(), "bans.source_failures", "is less than account_failures, which are among them".into());
    }
    let mut dynamic = None;
    if let Some(d) = &file.dynamic {
        let first = number(&d.first, "dynamic.first", &mut wrong)?;
        let last = number(&d.last, "dynamic.last", &mut wrong)?;
        let digits = *file.terminal_digits.get_ref();
        if first.as_str().len() != digits || last.as_str().len() != digits || first > last {
            wrong(d.first.span(), "dynamic", format!("{first} to {last} is not a range of {digits}-digit numbers"));
        }
        dynamic = Some((first, last));
    }
    let name = source.path().file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let beside = source.path().parent().unwrap_or(Path::new("."));
    Some(Config {
        state_dir: state_root.join(&name),
        name,
        domain,
        policy: Policy {
            plan: plan?,
            lease_default_s: default,
            lease_min_s: min,
            lease_max_s: max,
            address_conflict: address_conflict?,
            dynamic,
            dynamic_kept_s: file.dynamic.as_ref().map_or(0, |d| d.kept_s),
            address_is_host,
            new_key,
            disclosure: match file.lookup.credentials {
                Lookups::Anyone => Disclosure::Anyone,
                Lookups::Accounts => Disclosure::Accounts,
            },
            ring,
            numbers_max,
        },
        api: api?,
        access,
        metrics: file.metrics,
        sip: file.sip,
        enum_dns,
        enrol,
        nonce_lifetime_s: r.nonce_lifetime_s,
        hashes,
        bans: BanPolicy {
            account_failures: file.bans.account_failures,
            source_failures: *file.bans.source_failures.get_ref(),
            within_s: file.bans.within_s,
            ban_s: file.bans.ban_s,
        },
        accounts_file: file.accounts.map(|a| beside.join(a.file.into_inner())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, Vec<ConfigError>> {
        parse(Path::new("etc/lan.toml"), text.to_owned(), Path::new("state"))
    }
    const GOOD: &str = "domain = \"lan.test\"\nserver_number = \"1\"\nterminal_digits = 4\n[api]\nlisten = \"127.0.0.1:6080\"\n[accounts]\nfile = \"a.csv\"\n";

    #[test]
    fn a_good_file_is_taken_with_its_name_and_places() {
        let c = read(GOOD).unwrap();
        assert_eq!((c.name.as_str(), c.policy.lease_default_s), ("lan", 3600));
        assert_eq!((c.state_dir, c.accounts_file), (PathBuf::from("state/lan"), Some(PathBuf::from("etc/a.csv"))));
    }

    #[test]
    fn problems_are_named_with_file_line_and_key() {
        for (from, to, said) in [
            ("terminal_digits = 4", "terminal_digitz = 4", "etc/lan.toml:3: terminal_digitz: unknown field"),
            ("terminal_digits = 4", "terminal_digits = 40", "etc/lan.toml:3: terminal_digits: "),
            ("\"1\"", "\"x\"", "etc/lan.toml:2: server_number: 'x' is not a digit"),
            ("[accounts]", "[bans]\nsource_failures = 1\n[accounts]", "etc/lan.toml:7: bans.source_failures: is less than"),
            ("127.0.0.1:6080", "localhost", "etc/lan.toml:5: api.listen: is not ADDRESS:PORT"),
            ("[accounts]", "[registration]\naddress_conflict = \"maybe\"\n[accounts]", "etc/lan.toml:7: registration.address_conflict: "),
            (
                "[accounts]",
                "[registration]\nlease_min_s = 90\nlease_default_s = 60\n[accounts]",
                "etc/lan.toml:8: registration.lease_default_s",
            ),
        ] {
            let problems = read(&GOOD.replace(from, to)).unwrap_err();
            assert!(problems[0].to_string().starts_with(said), "{}", problems[0]);
        }
    }
}
