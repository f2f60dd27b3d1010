//! A gateway's configuration file, as typed and as checked.
//!
//! The raw form mirrors the file and knows no defaults but those written here; [`GatewayConfig::check`] holds the rules that
//! span keys, each answered with the key at fault.

use super::accounts::{self, Account, Route};
use super::api::Metrics;
use super::error::{ConfigError, Source};
use super::security::{Identity, Security};
use super::server::Servers;
use super::sip::Sip;
use crate::call::{EmergencyPlan, EmergencyTarget};
use crate::limits::{CALLS_MAX, ECHO_PLACES_MAX, PORTS_MAX};
use crate::number::{CallerIdCodes, DialString};
use core::ops::RangeInclusive;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewayConfig {
    /// SIP.
    pub sip: Sip,
    /// The local API that `tipring status` and its like speak to.
    pub api: Api,
    /// Where counts are told beside the API.
    pub metrics: Option<Metrics>,
    /// RTP and UDPTL.
    #[serde(default)]
    pub media: Media,
    /// The number directory. Without it the gateway calls its own ports and learned routes only.
    pub directory: Option<Directory>,
    /// Encryption.
    #[serde(default)]
    pub security: Security,
    /// Whom pages may go to.
    #[serde(default)]
    pub identity: Identity,
    /// Dialling and tones.
    #[serde(default)]
    pub line: Line,
    /// Emergency calls.
    #[serde(default)]
    pub emergency: Emergency,
    /// Accounts at outside SIP servers.
    #[serde(default, rename = "account")]
    pub accounts: Vec<Account>,
    /// Which dialled numbers go outside.
    #[serde(default, rename = "route")]
    pub routes: Vec<Route>,
    /// The ports, in board order.
    #[serde(default, rename = "port")]
    pub ports: Vec<Port>,
}

/// `[api]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Api {
    /// HTTP on this address. Its token crosses the connection in the clear, so it must be loopback.
    pub listen: SocketAddr,
}

/// `[media]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Media {
    /// First and last UDP port; each leg takes four (RTP, RTCP, UDPTL, one spare).
    pub ports: [u16; 2],
    /// In order of preference: `PCMU`, `PCMA`.
    pub codecs: Vec<String>,
    /// DSCP of media (RFC 4594: EF).
    pub dscp: u8,
    /// A leg that hears nothing valid for so long ends its call.
    pub watchdog_s: u32,
    /// The largest playout delay the jitter buffer may grow to.
    pub jitter_max_ms: u32,
    /// Offer and accept T.38.
    pub t38: bool,
    /// Largest UDPTL datagram we take.
    pub t38_max_datagram: u16,
    /// Earlier control (T.30 signalling) packets repeated in each UDPTL packet.
    pub t38_redundancy_control: u8,
    /// Earlier image packets repeated in each UDPTL packet.
    pub t38_redundancy_image: u8,
    /// Let fax machines use error correction.
    pub t38_ecm: bool,
}

impl Default for Media {
    fn default() -> Self {
        Media {
            ports: [16384, 16783],
            codecs: vec!["PCMU".into(), "PCMA".into()],
            dscp: 46,
            watchdog_s: 30,
            jitter_max_ms: 200,
            t38: true,
            t38_max_datagram: 400,
            t38_redundancy_control: 3,
            t38_redundancy_image: 2,
            t38_ecm: true,
        }
    }
}

/// `[directory]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// Its API: `"ADDRESS:PORT"`, `"https://HOST:PORT"`, or a list of them that are asked in turn.
    pub api: Servers,
    /// Who may certify it (PEM), where it is asked by HTTPS; a certificate that stands here itself is believed as it is. Without it whom
    /// the system trusts.
    pub ca: Option<PathBuf>,
    /// The SHA-256 of its certificate (`sha-256 AA:BB:..`), instead of anybody who certifies it.
    pub fingerprint: Option<String>,
    /// The key that it signs its answers with (`sha-256 AA:BB:..`, as `tipring identity` of the directory says); without it that of the first
    /// answer is kept.
    pub key: Option<String>,
    /// Who is asked for the gateway of a known key, where it is another than the directory.
    pub identifiers: Option<Servers>,
    /// How many days a learned route lives that nobody uses.
    #[serde(default = "defaults::routes_days")]
    pub routes_days: u32,
    /// A look-up that takes longer counts as unanswered.
    #[serde(default = "defaults::lookup_timeout_ms")]
    pub lookup_timeout_ms: u64,
    /// The lease asked for; refreshed at about half of it.
    #[serde(default = "defaults::lease_s")]
    pub lease_s: u32,
    /// Ports without number, user and password have the directory make an account for them, and get a number from its pool (C-11).
    #[serde(default)]
    pub enrol: bool,
    /// Where the key stands that the directory wants for that.
    pub enrol_key_file: Option<PathBuf>,
    /// The hardware address that the directory is told, for numbers that are bound to one (C-7); without it that of the interface that the contact
    /// is on.
    pub mac: Option<String>,
    /// A digit map of the numbers that are the directory's before any `[[route]]` is looked at.
    pub numbers: Option<String>,
}

impl Directory {
    fn check(&self, problem: &mut impl FnMut(&str, String)) {
        let given = [("directory.ca", self.ca.is_some()), ("directory.fingerprint", self.fingerprint.is_some())];
        for (key, _) in given.iter().filter(|(_, given)| *given && !self.api.all().iter().any(|s| s.tls)) {
            problem(key, "is about HTTPS, and directory.api has no https://".into());
        }
        if self.enrol && self.api.all().iter().any(super::server::Server::crosses_the_network_in_the_clear) {
            problem("directory.enrol", "a password is told once, and would cross the network in the clear: have an https:// api".into());
        }
        match self.enrol_key_file.as_deref().map(super::enrol::key_in) {
            Some(_) if !self.enrol => problem("directory.enrol_key_file", "stands without enrol = true".into()),
            Some(Err(why)) => problem("directory.enrol_key_file", why),
            Some(Ok(_)) | None => {}
        }
        if let Some(file) = &self.ca
            && let Err(e) = std::fs::File::open(file)
        {
            problem("directory.ca", format!("{}: {e}", file.display()));
        }
        if self.mac.as_deref().is_some_and(|mac| crate::directory::Mac::parse(mac).is_none()) {
            problem("directory.mac", "is not six bytes of hex: 02:00:00:00:00:01".into());
        }
        if !(1..=3650).contains(&self.routes_days) {
            problem("directory.routes_days", format!("{} is not 1 to 3650 days", self.routes_days));
        }
        if self.key.as_deref().is_some_and(|key| crate::key::Fingerprint::parse(key).is_none()) {
            problem("directory.key", "is not sha-256 and 32 bytes of hex: sha-256 AA:BB:..".into());
        }
        match self.fingerprint.as_deref().map(crate::key::Fingerprint::parse) {
            Some(None) => problem("directory.fingerprint", "is not sha-256 and 32 bytes of hex: sha-256 AA:BB:..".into()),
            Some(Some(_)) if self.ca.is_some() => {
                problem("directory.fingerprint", "stands beside directory.ca: one of them says whom to believe".into())
            }
            _ => {}
        }
    }
}

/// `[line]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Line {
    /// ISO country code of tones, ringing and (unless given) emergency numbers.
    pub country: String,
    /// When the caller has dialled enough.
    pub digit_map: String,
    /// Off hook without a digit for so long: reorder.
    pub first_digit_ms: u32,
    /// Silence after a digit for so long: dialled, if the map allows.
    pub inter_digit_ms: u32,
    /// A called line rings at most so long.
    pub no_answer_s: u32,
    /// Count dial pulses.
    pub pulse_dialling: bool,
    /// The echo service's number.
    pub echo_number: String,
    /// Calls that the echo service takes at a time. Each needs a leg of the media ports, beside those of the ports.
    pub echo_places: usize,
    /// Dialled in front of a number: it is withheld for this call, whatever the port says. Without it that of the country; `""`: none.
    pub withhold_code: Option<String>,
    /// The same, and the number is shown.
    pub show_code: Option<String>,
    /// A learned route silent for so long makes us ask the directory.
    pub learned_silence_ms: u64,
    /// Calls at a time.
    pub calls_max: usize,
}

impl Default for Line {
    fn default() -> Self {
        Line {
            country: "US".into(),
            digit_map: "[2-8]xxx|9000|x.T".into(),
            first_digit_ms: 15_000,
            inter_digit_ms: 4_000,
            no_answer_s: 120,
            pulse_dialling: true,
            echo_number: "9000".into(),
            echo_places: 8,
            withhold_code: None,
            show_code: None,
            learned_silence_ms: 2_000,
            calls_max: CALLS_MAX,
        }
    }
}

/// `[emergency]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Emergency {
    /// Numbers; empty means those of the country.
    pub numbers: Vec<String>,
    /// `port:NAME` (an exchange line or the desk that takes them), `account:NAME` or `sip:ADDRESS:PORT`.
    pub target: Option<String>,
    /// The same, for calls that `target` does not take: it refuses, is silent, does not answer, has another, or calls itself.
    pub second_target: Option<String>,
    /// A target without any sign for so long is left for the next.
    pub silence_ms: u64,
    /// A target that rings is given so long before the next is tried.
    pub no_answer_s: u64,
}

impl Default for Emergency {
    fn default() -> Self {
        let EmergencyPlan { silence_ms, no_answer_ms, .. } = EmergencyPlan::default();
        Emergency { numbers: Vec::new(), target: None, second_target: None, silence_ms, no_answer_s: no_answer_ms / 1000 }
    }
}

/// Shorter, and a lost datagram passes for a dead server; longer, and the caller has hung up.
const EMERGENCY_SILENCE_MS: RangeInclusive<u64> = 1_000..=10_000;
/// Shorter, and nobody can have reached the receiver.
const EMERGENCY_NO_ANSWER_S: RangeInclusive<u64> = 10..=120;

impl Emergency {
    /// The targets, in order.
    pub fn targets(&self) -> impl Iterator<Item = &str> {
        self.target.iter().chain(&self.second_target).map(String::as_str)
    }
}

/// `[[port]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// Its name in commands and logs.
    pub name: String,
    /// What is plugged in.
    pub kind: PortKind,
    /// The number wanted from the directory; without it the directory picks one.
    pub number: Option<String>,
    /// The account at the directory; defaults to the number.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<String>,
    /// A file of `number,password` lines to take the password from (so that it stands in one place).
    pub password_file: Option<PathBuf>,
    /// Calls to this account ring here, and a route to `own` goes through it.
    pub account: Option<String>,
    /// Calls to outside servers at a time; 0: none. Emergency calls do not count.
    #[serde(default = "defaults::outside_calls_max")]
    pub outside_calls_max: u16,
    /// Calls to outside servers within an hour. Emergency calls do not count.
    #[serde(default = "defaults::outside_calls_per_hour")]
    pub outside_calls_per_hour: u16,
    /// A fax machine is plugged in: the directory and outside servers are told so, and who offers audio and T.38 gets T.38. Without it, what
    /// `kind` says.
    pub fax: Option<bool>,
    /// Calls from it do not show its number (RFC 3323). Emergency calls always do.
    #[serde(default)]
    pub anonymous: bool,
    /// Simulated machines answer after so many rings; 0: never by themselves.
    #[serde(default = "defaults::answer_rings")]
    pub answer_rings: u8,
    /// Simulated fax machines: error correction offered.
    #[serde(default = "defaults::yes")]
    pub ecm: bool,
    /// Simulated fax machines: fastest rate.
    #[serde(default = "defaults::max_bps")]
    pub max_bps: u32,
}

/// What is plugged into a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PortKind {
    /// A simulated telephone.
    SimPhone,
    /// A simulated G3 fax machine.
    SimFax,
}

impl Port {
    /// Neither a number nor an account is given: where that is wanted, it enrols.
    pub fn has_no_account(&self) -> bool {
        self.number.is_none() && self.user.is_none() && self.password.is_none() && self.password_file.is_none()
    }
    /// Whether a fax machine is plugged in.
    pub fn is_fax(&self) -> bool {
        self.fax.unwrap_or(self.kind == PortKind::SimFax)
    }
}

impl PortKind {
    /// The word in the configuration.
    pub fn word(self) -> &'static str {
        match self {
            PortKind::SimPhone => "sim-phone",
            PortKind::SimFax => "sim-fax",
        }
    }
}

mod defaults {
    pub fn routes_days() -> u32 {
        30
    }
    pub fn lookup_timeout_ms() -> u64 {
        1500
    }
    pub fn lease_s() -> u32 {
        120
    }
    pub fn answer_rings() -> u8 {
        1
    }
    /// A line has one receiver.
    pub fn outside_calls_max() -> u16 {
        1
    }
    /// A call a minute: no person's use, no fax machine's, and what a stolen line can cost in a night stays bounded.
    pub fn outside_calls_per_hour() -> u16 {
        60
    }
    pub fn max_bps() -> u32 {
        14_400
    }
    pub fn yes() -> bool {
        true
    }
}

impl GatewayConfig {
    /// Legs that the media port range holds.
    pub fn legs(&self) -> usize {
        let [first, last] = self.media.ports;
        (usize::from(last.saturating_sub(first)) + 1) / 4
    }

    /// Legs that are used: two a port (call waiting, a call that takes over), and one an echo place.
    pub fn legs_used(&self) -> usize {
        self.legs().min(2 * self.ports.len() + self.line.echo_places)
    }

    /// Rules that span keys. Every problem is named; an empty list means the file can run.
    pub fn check(&self, source: &Source) -> Vec<ConfigError> {
        let mut problems = self.sip.check(source, true);
        let mut problem = |key: &str, message: String| problems.push(source.at_key(key, message));
        if !self.api.listen.ip().is_loopback() {
            problem("api.listen", "the API is not encrypted, so it must listen on a loopback address".into());
        }
        if let Some(directory) = &self.directory {
            directory.check(&mut problem);
        }
        let [first, last] = self.media.ports;
        if first < 1024 || last < first || first % 2 != 0 {
            problem("media.ports", format!("[{first}, {last}] is no range of unprivileged ports that begins with an even one"));
        }
        // Media is bound on the address of SIP, both UDP. The API's port is TCP and may be any.
        if let Some(sip) = self.sip.listen.all().iter().map(SocketAddr::port).find(|sip| (first..=last).contains(sip)) {
            problem("media.ports", format!("[{first}, {last}] contains the port of sip.listen, {sip}"));
        }
        if self.legs() < self.ports.len() {
            problem(
                "media.ports",
                format!(
                    "{} ports of this gateway need {} UDP ports, the range has room for {} legs",
                    self.ports.len(),
                    4 * self.ports.len(),
                    self.legs()
                ),
            );
        }
        if !(500..=30_000).contains(&self.identity.limit_ms) {
            problem("identity.limit_ms", format!("{} ms is not within 500 and 30000", self.identity.limit_ms));
        }
        if self.security.media == super::security::Media::Required && !self.security.dtls.0 {
            problem(
                "security.dtls",
                "peers of the directory are keyed by DTLS: without it security.media = \"required\" lets no call through".into(),
            );
        }
        for codec in &self.media.codecs {
            if crate::negotiate::law(codec).is_none() {
                problem("media.codecs", format!("{codec:?} is not PCMU or PCMA"));
            }
        }
        if self.media.codecs.is_empty() {
            problem("media.codecs", "at least one codec is needed".into());
        }
        if self.media.dscp > 63 {
            problem("media.dscp", format!("{} is no DSCP (0 to 63)", self.media.dscp));
        }
        if tipring_dsp::tone_plan::TonePlan::of(&self.line.country).is_none() {
            problem("line.country", format!("no tone plan for {:?}", self.line.country));
        }
        if let Err(why) = crate::digit_map::DigitMap::parse(&self.line.digit_map, &self.emergency_numbers()) {
            problem("line.digit_map", why.to_string());
        }
        for (key, code) in [("withhold_code", &self.line.withhold_code), ("show_code", &self.line.show_code)] {
            let code = code.as_deref().filter(|code| !code.is_empty());
            if let Some(code) = code.filter(|code| DialString::parse(code).is_err() || code.len() < 2 || !code.starts_with(['*', '#'])) {
                problem(&format!("line.{key}"), format!("{code:?} is no code: * or # and further keys, so that no number begins like it"));
            }
        }
        let codes = self.caller_id_codes();
        if let (Some(withhold), Some(show)) = (&codes.withhold, &codes.show)
            && (withhold.as_str().starts_with(show.as_str()) || show.as_str().starts_with(withhold.as_str()))
        {
            problem("line.show_code", format!("{show} and {withhold} (line.withhold_code) begin alike"));
        }
        if crate::number::Number::parse(&self.line.echo_number).is_err() && !self.line.echo_number.is_empty() {
            problem("line.echo_number", format!("{:?} is no number", self.line.echo_number));
        }
        if self.line.echo_places > ECHO_PLACES_MAX {
            problem("line.echo_places", format!("must be 0 to {ECHO_PLACES_MAX}"));
        }
        if self.line.calls_max == 0 || self.line.calls_max > CALLS_MAX {
            problem("line.calls_max", format!("must be 1 to {CALLS_MAX}"));
        }
        for number in &self.emergency.numbers {
            if crate::number::Number::parse(number).is_err() {
                problem("emergency.numbers", format!("{number:?} is no number"));
            }
        }
        for target in self.emergency.targets().filter(|t| self.emergency_target(t).is_none()) {
            problem("emergency.target", format!("{target:?} is neither port:NAME of a port here, nor account:NAME, nor sip:ADDRESS:PORT"));
        }
        let e = &self.emergency;
        for (key, value, range) in
            [("silence_ms", e.silence_ms, EMERGENCY_SILENCE_MS), ("no_answer_s", e.no_answer_s, EMERGENCY_NO_ANSWER_S)]
        {
            if !range.contains(&value) {
                problem(&format!("emergency.{key}"), format!("{value}: must be {} to {}", range.start(), range.end()));
            }
        }
        if self.ports.is_empty() || self.ports.len() > PORTS_MAX {
            problem("port", format!("{} ports; 1 to {PORTS_MAX} are possible", self.ports.len()));
        }
        for (i, port) in self.ports.iter().enumerate() {
            let key = format!("port[{i}]");
            if self.ports[..i].iter().any(|p| p.name == port.name) {
                problem(&key, format!("the name {:?} stands twice", port.name));
            }
            if port.name.is_empty() || !port.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
                problem(&key, format!("{:?} is no port name (letters, digits, - and _)", port.name));
            }
            if let Some(number) = &port.number {
                if crate::number::Number::parse(number).is_err() {
                    problem(&key, format!("{number:?} is no number"));
                }
                if self.ports[..i].iter().any(|p| p.number.as_ref() == Some(number)) {
                    problem(&key, format!("the number {number} stands twice"));
                }
            }
            let enrols = self.directory.as_ref().is_some_and(|d| d.enrol) && port.has_no_account();
            if self.directory.is_some() && !enrols && port.user.is_none() && port.number.is_none() {
                problem(&key, "needs a number or a user, to register with".into());
            }
            if self.directory.is_some() && !enrols && port.password.is_none() && port.password_file.is_none() {
                problem(&key, "needs a password or a password_file, to register with".into());
            }
            if !matches!(port.max_bps, 2400 | 4800 | 7200 | 9600 | 12_000 | 14_400) {
                problem(&key, format!("max_bps {} is no G3 rate", port.max_bps));
            }
        }
        problems.extend(accounts::check(self, source));
        problems
    }

    /// Fills in the passwords that stand in `password_file`s (`number,password` lines; the path is relative to the configuration).
    pub fn take_passwords(&mut self, source: &Source) -> Vec<ConfigError> {
        let mut problems = Vec::new();
        for (i, port) in self.ports.iter_mut().enumerate() {
            let Some(file) = &port.password_file else { continue };
            let Some(user) = port.user.clone().or_else(|| port.number.clone()) else { continue };
            match password_from(source, file, &user) {
                Ok(password) => port.password = Some(password),
                Err(why) => problems.push(source.at_key(&format!("port[{i}].password_file"), why)),
            }
        }
        problems.extend(accounts::take_passwords(self, source));
        problems
    }

    /// Where emergency calls go.
    pub fn emergency_plan(&self) -> EmergencyPlan {
        EmergencyPlan {
            targets: self.emergency.targets().filter_map(|t| self.emergency_target(t)).collect(),
            silence_ms: self.emergency.silence_ms,
            no_answer_ms: self.emergency.no_answer_s * 1000,
        }
    }

    /// What `emergency.target` names.
    pub fn emergency_target(&self, target: &str) -> Option<EmergencyTarget> {
        if let Some(name) = target.strip_prefix("port:") {
            let port = self.ports.iter().position(|p| p.name == name)?;
            return Some(EmergencyTarget::Port(crate::id::PortId(port as u16)));
        }
        if let Some(name) = target.strip_prefix("account:") {
            return accounts::Outside::of(self).named(name).map(EmergencyTarget::Account);
        }
        target.strip_prefix("sip:")?.parse().ok().map(EmergencyTarget::Peer)
    }

    /// The codes for showing and withholding the caller's number: the configured ones, or else the country's.
    pub fn caller_id_codes(&self) -> CallerIdCodes {
        let own = crate::digit_map::caller_id_codes(&self.line.country);
        let code = |given: &Option<String>, own| given.as_ref().map_or(own, |code| DialString::parse(code).ok());
        CallerIdCodes { withhold: code(&self.line.withhold_code, own.withhold), show: code(&self.line.show_code, own.show) }
    }

    /// The emergency numbers in force: the configured ones, or else the country's.
    pub fn emergency_numbers(&self) -> Vec<&str> {
        match self.emergency.numbers.as_slice() {
            [] => crate::digit_map::emergency_numbers(&self.line.country).to_vec(),
            own => own.iter().map(String::as_str).collect(),
        }
    }
}

/// The password of `user` in a file that the configuration names; the path is relative to the configuration.
pub(super) fn password_from(source: &Source, file: &Path, user: &str) -> Result<String, String> {
    let path = source.path().parent().map_or_else(|| file.to_owned(), |dir| dir.join(file));
    match std::fs::read_to_string(&path) {
        Ok(text) => password_of(&text, user).ok_or_else(|| format!("{}: no line for {user}", path.display())),
        Err(e) => Err(format!("{}: {e}", path.display())),
    }
}

/// The password of `user` in `number,password` lines; `#` begins a comment line.
fn password_of(text: &str, user: &str) -> Option<String> {
    let rows = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    rows.filter_map(|l| l.split_once(',')).find(|(number, _)| number.trim() == user).map(|(_, password)| password.trim().to_owned())
}
