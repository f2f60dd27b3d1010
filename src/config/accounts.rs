//! `[[account]]` and `[[route]]`: outside SIP servers, and which dialled numbers may go there. As typed, and the rules for them.
//!
//! An account alone lets nothing out: it is where calls come in from, and the name that a route may use. What leaves is what a
//! `[[route]]` names, and nothing else.

use super::error::{ConfigError, Source};
use super::gateway::GatewayConfig;
use crate::id::AccountId;
use crate::limits::{ACCOUNT_CALLS_PER_HOUR_MAX, ACCOUNT_SERVERS_MAX, CALLS_MAX, OUTSIDE_CALLS_PER_HOUR_MAX, SIP_ACCOUNTS_MAX};
use crate::resolve::prefix::{PrefixRoute, PrefixRoutes, Way};
use crate::sip::message::{Scheme, Uri};
use core::fmt;
use serde::Deserialize;
use std::path::PathBuf;

/// The word that names the calling port's account in a route.
pub const OWN: &str = "own";
/// The shortest lease that may be asked for, in seconds; the longest is a day.
const EXPIRES_S_MIN: u32 = 60;
const EXPIRES_S_MAX: u32 = 86_400;

/// A secret word. Its `Debug` does not say it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// One server, or several in the order in which they are to be tried.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a server, or a list of servers")]
pub enum Servers {
    /// `"sip.example.net"`
    One(String),
    /// `["sip1.example.net", "sip2.example.net"]`
    Several(Vec<String>),
}

impl Servers {
    fn each(&self) -> &[String] {
        match self {
            Servers::One(server) => std::slice::from_ref(server),
            Servers::Several(servers) => servers,
        }
    }
}

/// `transport`
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A stream in the clear.
    Tcp,
    /// A stream over TLS.
    Tls,
}

impl Transport {
    /// The word of the configuration and of a URI's parameter.
    pub fn word(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
        }
    }
}

/// Whose number the called side sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallerId {
    /// The account's user: what most providers insist on.
    #[default]
    Account,
    /// The port's number in From; the account is named in P-Preferred-Identity (RFC 3325).
    Port,
}

/// `[[account]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Its name in routes, ports and logs.
    pub name: String,
    /// `host`, `host:port` or a SIP URI; or a list, tried in order.
    pub server: Servers,
    /// Over what, where the server's URI does not say; without it DNS decides (RFC 3263), and UDP where DNS says nothing.
    pub transport: Option<Transport>,
    /// The domain of its address; else the first server, with its port if it names one.
    pub domain: Option<String>,
    /// The user part of its address: the number or name that the provider gave.
    pub user: Option<String>,
    /// The name for the password, where it is not `user`.
    pub auth_user: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// A file of `user,password` lines to take it from.
    pub password_file: Option<PathBuf>,
    /// The only realm that the password is for. Without it: of a registration, whichever asks; of a call, the realm of the account's
    /// registration, or else the first that asks, for who is called may ask as well.
    pub realm: Option<String>,
    /// Register, so that the server knows where we are.
    #[serde(default = "yes")]
    pub register: bool,
    /// The lease asked for.
    #[serde(default = "expires_s")]
    pub expires_s: u32,
    /// Everything is sent through this server.
    pub outbound_proxy: Option<String>,
    /// Whose number the called side sees.
    #[serde(default)]
    pub caller_id: CallerId,
    /// Calls through it at a time, both ways together: what the provider allows. Without it as many as its ports make. Emergency calls are
    /// neither counted nor refused.
    pub calls_max: Option<u16>,
    /// Calls out through it within an hour, from all ports together. Emergency calls are neither counted nor refused.
    pub calls_per_hour: Option<u16>,
    /// Whether its media are encrypted; without it as `security.media` says.
    pub media: Option<super::security::Media>,
    /// Where their keys come from.
    #[serde(default)]
    pub keys: super::security::Keys,
}

fn yes() -> bool {
    true
}
fn expires_s() -> u32 {
    3600
}

impl Account {
    /// The servers as SIP URIs, in order; those that cannot be read are left out (`check` names them).
    pub fn server_uris(&self) -> Vec<String> {
        self.server.each().iter().filter_map(|s| server_uri(s, self.transport)).collect()
    }
    /// The outbound proxy as a SIP URI.
    pub fn proxy_uri(&self) -> Option<String> {
        self.outbound_proxy.as_ref().and_then(|p| server_uri(p, self.transport))
    }
    /// The domain of its address of record.
    pub fn domain(&self) -> String {
        let place = |uri: &String| uri.split_once(':').and_then(|(_, rest)| rest.split(';').next()).unwrap_or_default().to_owned();
        self.domain.clone().or_else(|| self.server_uris().first().map(place)).unwrap_or_default()
    }
    /// What the password goes with.
    pub fn login_user(&self) -> Option<&str> {
        self.auth_user.as_deref().or(self.user.as_deref())
    }
}

/// `[[route]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Dialled numbers that begin so; empty for all that nothing else names.
    pub prefix: String,
    /// Digits taken off the front.
    #[serde(default)]
    pub strip: usize,
    /// Put in front of the rest.
    #[serde(default)]
    pub add: String,
    /// Through this account, or `own`: that of the calling port.
    pub account: Option<String>,
    /// To this server, which wants no registration and no password.
    pub to: Option<String>,
}

/// `host`, `host:port` or a URI, as a SIP URI with its transport. `None`: it is none of these, or names a user.
fn server_uri(text: &str, transport: Option<Transport>) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let mut uri = if lower.starts_with("sip:") || lower.starts_with("sips:") { text.to_owned() } else { format!("sip:{text}") };
    let parsed = Uri::parse(uri.as_bytes()).ok()?;
    if parsed.user().is_some() || parsed.host.is_none() || parsed.has_headers {
        return None;
    }
    match parsed.params.get("transport") {
        Some(word) if crate::sip::Transport::parse(word).is_none() => return None,
        Some(_) => {}
        None if parsed.scheme == Scheme::Sips => {}
        None => {
            if let Some(transport) = transport {
                uri.push_str(";transport=");
                uri.push_str(transport.word());
            }
        }
    }
    Some(uri)
}

/// What runs as an account: the `[[account]]`s in order, then one for each different `to` of a route.
pub struct Outside<'a> {
    accounts: &'a [Account],
    peers: Vec<&'a str>,
}

impl<'a> Outside<'a> {
    /// Of a configuration.
    pub fn of(config: &'a GatewayConfig) -> Self {
        let mut peers: Vec<&str> = Vec::new();
        for to in config.routes.iter().filter_map(|r| r.to.as_deref()) {
            if !peers.contains(&to) {
                peers.push(to);
            }
        }
        Outside { accounts: &config.accounts, peers }
    }
    /// The place of an account by its name.
    pub fn named(&self, name: &str) -> Option<AccountId> {
        self.accounts.iter().position(|a| a.name == name).map(|i| AccountId(i as u16))
    }
    /// The place of a route's `to`.
    fn peer(&self, to: &str) -> Option<AccountId> {
        self.peers.iter().position(|p| *p == to).map(|i| AccountId((self.accounts.len() + i) as u16))
    }
    /// Servers that are called without an account, as SIP URIs, in the order of their ids, which follow those of the accounts.
    pub fn peers(&self) -> impl Iterator<Item = String> {
        self.peers.iter().filter_map(|to| server_uri(to, None))
    }
    fn way(&self, route: &Route) -> Result<Way, String> {
        match (route.account.as_deref(), route.to.as_deref()) {
            (Some(OWN), None) => Ok(Way::Own),
            (Some(name), None) => self.named(name).map(Way::Account).ok_or_else(|| format!("there is no account {name:?}")),
            (None, Some(to)) if server_uri(to, None).is_none() => {
                Err(format!("{to:?} is no server (host, host:port or a SIP URI without a user)"))
            }
            (None, Some(to)) => self.peer(to).map(Way::Account).ok_or_else(|| format!("{to:?} is no server")),
            (Some(_), Some(_)) => Err("account and to: a route has one way".into()),
            (None, None) => Err("needs an account (or \"own\"), or a server in to".into()),
        }
    }
}

/// The table of prefix routes. Rows with a fault are left out, and named in the list beside it.
pub fn prefix_routes(config: &GatewayConfig) -> (PrefixRoutes, Vec<(usize, String)>) {
    let outside = Outside::of(config);
    let (mut table, mut faults) = (PrefixRoutes::new(), Vec::new());
    for (i, route) in config.routes.iter().enumerate() {
        let added = outside.way(route).and_then(|way| {
            let row = PrefixRoute { prefix: route.prefix.clone(), strip: route.strip, add: route.add.clone(), way };
            table.add(row).map_err(|fault| fault.to_string())
        });
        if let Err(why) = added {
            faults.push((i, why));
        }
    }
    let plan = config.directory.as_ref().and_then(|d| d.numbers.as_deref());
    if let Some(Ok(plan)) = plan.map(|p| crate::digit_map::DigitMap::parse(p, &[])) {
        table.set_plan(plan);
    }
    (table, faults)
}

/// Every fault of accounts and routes, and of what ports say about them.
pub fn check(config: &GatewayConfig, source: &Source) -> Vec<ConfigError> {
    let mut problems = Vec::new();
    for (i, account) in config.accounts.iter().enumerate() {
        let mut problem = |key: &str, message: String| problems.push(source.at_key(&format!("account[{i}]{key}"), message));
        if config.accounts[..i].iter().any(|a| a.name == account.name) {
            problem(".name", format!("the name {:?} stands twice", account.name));
        }
        let named = !account.name.is_empty() && account.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !named || account.name == OWN {
            problem(".name", format!("{:?} is no name of an account (letters, digits, - and _; not {OWN:?})", account.name));
        }
        let servers = account.server.each();
        if servers.is_empty() || servers.len() > ACCOUNT_SERVERS_MAX {
            problem(".server", format!("{} servers; 1 to {ACCOUNT_SERVERS_MAX} are possible", servers.len()));
        }
        for server in servers.iter().filter(|s| server_uri(s, account.transport).is_none()) {
            problem(".server", format!("{server:?} is no server (host, host:port or a SIP URI without a user)"));
        }
        if account.outbound_proxy.is_some() && account.proxy_uri().is_none() {
            problem(".outbound_proxy", "is no server (host, host:port or a SIP URI without a user)".into());
        }
        let address = format!("sip:{}", account.domain());
        if !Uri::parse(address.as_bytes()).is_ok_and(|u| u.user().is_none() && u.host.is_some()) {
            problem(".domain", format!("{:?} is no domain", account.domain()));
        }
        if account.user.as_deref().is_some_and(|u| u.is_empty() || u.chars().any(|c| c.is_control() || c == '@' || c.is_whitespace())) {
            problem(".user", "is no user (give it without @ and domain)".into());
        }
        if account.register && account.user.is_none() {
            problem("", "needs a user to register with; or register = false".into());
        }
        if account.login_user().is_none() && (account.password.is_some() || account.password_file.is_some()) {
            problem("", "has a password and no user that it goes with".into());
        }
        if account.password.is_some() && account.password_file.is_some() {
            problem(".password_file", "the password stands twice: here and in password".into());
        }
        for (key, cap, most) in
            [("calls_max", account.calls_max, CALLS_MAX as u16), ("calls_per_hour", account.calls_per_hour, ACCOUNT_CALLS_PER_HOUR_MAX)]
        {
            match cap {
                Some(0) => problem(&format!(".{key}"), "0 would leave the account without a call: take the account out instead".into()),
                Some(n) if n > most => problem(&format!(".{key}"), format!("{n}: at most {most}")),
                Some(_) | None => {}
            }
        }
        if !(EXPIRES_S_MIN..=EXPIRES_S_MAX).contains(&account.expires_s) {
            problem(".expires_s", format!("must be {EXPIRES_S_MIN} to {EXPIRES_S_MAX}"));
        }
    }
    let outside = Outside::of(config);
    let count = config.accounts.len() + outside.peers.len();
    if count > SIP_ACCOUNTS_MAX {
        problems.push(source.at_key("account[0]", format!("{count} accounts and servers; at most {SIP_ACCOUNTS_MAX} are possible")));
    }
    for (i, why) in prefix_routes(config).1 {
        problems.push(source.at_key(&format!("route[{i}]"), why));
    }
    if let Some(plan) = config.directory.as_ref().and_then(|d| d.numbers.as_deref())
        && let Err(why) = crate::digit_map::DigitMap::parse(plan, &[])
    {
        problems.push(source.at_key("directory.numbers", why.to_string()));
    }
    for (i, port) in config.ports.iter().enumerate() {
        if let Some(name) = &port.account
            && outside.named(name).is_none()
        {
            problems.push(source.at_key(&format!("port[{i}].account"), format!("there is no account {name:?}")));
        }
        if port.outside_calls_max > 1 {
            let why = "a port has one call at a time: 1, or 0 for none (calls_max of an account bounds what its ports do together)";
            problems.push(source.at_key(&format!("port[{i}].outside_calls_max"), why));
        }
        if port.outside_calls_per_hour == 0 && port.outside_calls_max > 0 {
            let why = "0 an hour: say outside_calls_max = 0 for a port that may not call outside";
            problems.push(source.at_key(&format!("port[{i}].outside_calls_per_hour"), why));
        }
        if port.outside_calls_per_hour > OUTSIDE_CALLS_PER_HOUR_MAX {
            problems.push(source.at_key(&format!("port[{i}].outside_calls_per_hour"), format!("at most {OUTSIDE_CALLS_PER_HOUR_MAX}")));
        }
    }
    problems
}

/// Fills in the passwords that stand in files.
pub fn take_passwords(config: &mut GatewayConfig, source: &Source) -> Vec<ConfigError> {
    let mut problems = Vec::new();
    for (i, account) in config.accounts.iter_mut().enumerate() {
        let (Some(file), Some(user)) = (account.password_file.clone(), account.login_user()) else { continue };
        match super::gateway::password_from(source, &file, user) {
            Ok(password) => account.password = Some(Secret(password)),
            Err(why) => problems.push(source.at_key(&format!("account[{i}].password_file"), why)),
        }
    }
    problems
}

/// `tipring check`: what each account, route and port with leave to call outside does.
pub fn explained(config: &GatewayConfig) -> Vec<String> {
    let mut lines: Vec<String> = config.accounts.iter().map(account_words).collect();
    for r in &config.routes {
        let which = if r.prefix.is_empty() { "every number that nothing else names".into() } else { format!("numbers {}...", r.prefix) };
        let how = match (r.strip, r.add.as_str()) {
            (0, "") => "as dialled".to_owned(),
            (0, add) => format!("with {add} in front"),
            (strip, "") => format!("without {}", &r.prefix[..strip.min(r.prefix.len())]),
            (strip, add) => format!("with {add} in place of {}", &r.prefix[..strip.min(r.prefix.len())]),
        };
        let way = match (r.account.as_deref(), r.to.as_deref()) {
            (Some(OWN), _) => "through the account of the calling port".to_owned(),
            (Some(name), _) => format!("through account {name}"),
            (None, to) => format!("to {}", to.unwrap_or("")),
        };
        let plan = config.directory.as_ref().and_then(|d| d.numbers.as_deref());
        let order = match plan {
            Some(plan) => format!("; those of the plan {plan} only if the directory does not know them"),
            None if config.directory.is_some() => "; the directory is not asked for them".into(),
            None => String::new(),
        };
        lines.push(format!("route: {which} go {way}, {how}{order}"));
    }
    if config.routes.is_empty() && !config.accounts.is_empty() {
        lines.push("no route: nothing is called through the accounts".into());
    }
    let outside = |p: &&super::gateway::Port| !config.routes.is_empty() || p.account.is_some();
    lines.extend(config.ports.iter().filter(outside).map(|p| {
        let caps = match (config.routes.is_empty(), p.outside_calls_max) {
            (true, _) => "no outside calls".to_owned(),
            (false, 0) => "no outside calls (outside_calls_max = 0)".to_owned(),
            (false, _) => format!("outside calls: {} an hour", p.outside_calls_per_hour),
        };
        let account = p.account.as_ref().map_or_else(|| "no account of its own".into(), |a| format!("calls to account {a} ring here"));
        format!("port {}: {account}; {caps}", p.name)
    }));
    lines
}

fn account_words(a: &Account) -> String {
    let servers = a.server_uris().join(", then ");
    let through = a.proxy_uri().map(|p| format!(" through {p}")).unwrap_or_default();
    let address = a.user.as_ref().map_or_else(|| "no user".into(), |u| format!("{u}@{}", a.domain()));
    let what = if a.register { format!("registers for {} s", a.expires_s) } else { "does not register".into() };
    let password = if a.password.is_some() || a.password_file.is_some() { "" } else { "; no password" };
    let shows = match a.caller_id {
        CallerId::Account => "its own number",
        CallerId::Port => "the port's number",
    };
    let caps = match (a.calls_max, a.calls_per_hour) {
        (None, None) => String::new(),
        (Some(n), None) => format!("; {n} calls at a time"),
        (None, Some(n)) => format!("; {n} calls out an hour"),
        (Some(n), Some(out)) => format!("; {n} calls at a time, {out} out an hour"),
    };
    format!("account {}: {address} at {servers}{through}; {what}{password}; shows {shows}{caps}", a.name)
}

#[cfg(test)]
#[path = "accounts_tests.rs"]
mod tests;
