//! `tipring check`: is the file right, and what would run.

use super::{Daemon, Outcome, config_path, problems};
use crate::config::AnyConfig;
use crate::config::error::ConfigError;
use crate::config::sip::Sip;
use crate::shell::sip_transport;
use serde_json::json;

pub fn run(daemon: &Daemon) -> Outcome {
    let path = match config_path(daemon) {
        Ok(path) => path,
        Err(outcome) => return outcome,
    };
    let config = match crate::config::any(&path) {
        Ok(config) => config,
        Err(found) => return refuse(daemon, &found),
    };
    // What only the TLS library can tell of the files that `[sip]` names.
    let sip = match &config {
        AnyConfig::Gateway(c) => Some(&c.sip),
        AnyConfig::Directory(c) => c.sip.as_ref(),
    };
    let tls = sip.map(|sip| crate::shell::tls::Settings::of(sip, std::path::Path::new(""), &[]));
    let source = crate::config::error::Source::new(&path, std::fs::read_to_string(&path).unwrap_or_default());
    let faults: Vec<_> = tls.iter().flat_map(|t| t.faults()).map(|(key, why)| source.at_key(&format!("sip.{key}"), why)).collect();
    let faults: Vec<_> = faults.into_iter().chain(https_faults(&config, &source)).collect();
    if !faults.is_empty() {
        return refuse(daemon, &faults);
    }
    let mut explained = match &config {
        AnyConfig::Gateway(c) => gateway(c),
        AnyConfig::Directory(c) => vec![
            format!(
                "a directory of domain {}, server number {}, terminal numbers of {} digits",
                c.domain,
                c.policy.plan.server(),
                c.policy.plan.terminal_digits()
            ),
            match &c.sip {
                Some(sip) => format!("SIP on {}, API on {}", sip_words(sip), api_words(c)),
                None => format!("no SIP, API on {}", api_words(c)),
            },
            format!("state in {}", c.state_dir.display()),
        ],
    };
    explained.extend(tls.iter().flat_map(|t| t.warnings()).map(|w| format!("WARNING: {w}")));
    if daemon.json {
        println!("{}", json!({"ok": true, "problems": [], "runs": explained}));
    } else {
        println!("{}: ok", path.display());
        for line in explained {
            println!("  {line}");
        }
    }
    Outcome::Yes
}

/// What only the TLS library can tell of the files that HTTPS is served or believed with.
fn https_faults(config: &AnyConfig, source: &crate::config::error::Source) -> Vec<ConfigError> {
    use crate::shell::tls;
    match config {
        AnyConfig::Directory(c) if c.api.tls_listen.is_some() => {
            let settings = tls::Settings { certificate: c.api.certificate.clone(), ..tls::Settings::default() };
            settings.faults().into_iter().map(|(key, why)| source.at_key(&format!("api.{key}"), why)).collect()
        }
        AnyConfig::Gateway(c) => match c.directory.as_ref().and_then(|d| d.ca.clone()) {
            Some(file) => tls::https::connector(&tls::https::Trust::File(file))
                .err()
                .map(|why| source.at_key("directory.ca", why))
                .into_iter()
                .collect(),
            None => Vec::new(),
        },
        AnyConfig::Directory(_) => Vec::new(),
    }
}

fn refuse(daemon: &Daemon, found: &[ConfigError]) -> Outcome {
    if daemon.json {
        let row = |e: &ConfigError| json!({"file": e.file.display().to_string(), "line": e.line, "key": e.key, "message": e.message});
        println!("{}", json!({"ok": false, "problems": found.iter().map(row).collect::<Vec<_>>()}));
    }
    problems(found)
}

/// Where a directory's API listens.
fn api_words(c: &crate::config::directory::Config) -> String {
    match (&c.api.tls_listen, &c.api.certificate) {
        (None, _) => format!("{} (HTTP)", c.api.listen),
        (Some(tls), Some((file, _))) => format!("{} (HTTP), {tls} (HTTPS, certificate {})", c.api.listen, file.display()),
        (Some(tls), None) => format!("{} (HTTP), {tls} (HTTPS, certificate made by itself)", c.api.listen),
    }
}

/// How far a gateway's directory is believed.
fn directory_words(d: &crate::config::gateway::Directory) -> String {
    let trust = match (&d.ca, &d.fingerprint) {
        (_, Some(_)) => ", by its certificate's fingerprint",
        (Some(_), None) => ", certified by directory.ca",
        (None, None) => "",
    };
    match d.api.all().iter().find(|s| s.crosses_the_network_in_the_clear()) {
        Some(server) => format!("{trust}; WARNING: what is said to {server} can be read and changed on the way: use https://"),
        None => trust.into(),
    }
}

/// Where SIP listens and how its TLS stands.
fn sip_words(sip: &Sip) -> String {
    let certificate = match (&sip.tls_cert, sip.tls_listen.all()) {
        (_, []) => String::new(),
        (Some(file), _) => format!(", certificate {}", file.display()),
        (None, _) => ", certificate made by itself".to_owned(),
    };
    let clients = if sip.verifies_clients() { ", clients must have a certificate" } else { "" };
    format!("{}{certificate}{clients}", sip_transport::addresses_in_words(sip))
}

fn gateway(c: &crate::config::gateway::GatewayConfig) -> Vec<String> {
    let mut lines = vec![
        format!("a gateway: SIP on {}, API on {}", sip_words(&c.sip), c.api.listen),
        format!(
            "media on UDP {} to {}: {} legs; codecs {}; T.38 {}",
            c.media.ports[0],
            c.media.ports[1],
            c.legs(),
            c.media.codecs.join(", "),
            if c.media.t38 { "on" } else { "off" }
        ),
        format!("tones of {}, digit map {}", c.line.country, c.line.digit_map),
        match &c.emergency.target {
            Some(_) => format!(
                "emergency numbers {} go to {}; {} ms of silence, or {} s without an answer, lead on to the next",
                c.emergency_numbers().join(", "),
                c.emergency.targets().collect::<Vec<_>>().join(", then "),
                c.emergency.silence_ms,
                c.emergency.no_answer_s
            ),
            None => format!("WARNING: emergency numbers {} go nowhere: set emergency.target", c.emergency_numbers().join(", ")),
        },
        match &c.directory {
            Some(d) => format!("numbers registered at {}, lease {} s{}", d.api, d.lease_s, directory_words(d)),
            None => "no directory: the numbers below are its own".into(),
        },
    ];
    if c.sip.main().ip().is_unspecified() {
        lines.push("peers are told this machine's address toward the directory, as it is at the time".into());
    }
    if let Some(server) = c.sip.stun {
        lines.push(format!("peers beyond a NAT are told where {server} sees us (STUN)"));
    }
    let trusted: Vec<String> = c.sip.trusted_networks().iter().map(ToString::to_string).collect();
    if !trusted.is_empty() {
        lines.push(format!("believes what {} say of callers, and tells them who calls", trusted.join(", ")));
    }
    lines.push(match c.sip.session_interval_s() {
        Some(s) => format!("sessions refreshed within {s} s"),
        None => "sessions refreshed only where the peer asks for it".into(),
    });
    let codes = c.caller_id_codes();
    let codes = [(&codes.withhold, "withholds"), (&codes.show, "shows")];
    let words =
        codes.iter().filter_map(|(code, does)| code.as_ref().map(|code| format!("{code} in front of a number {does} the caller's")));
    lines.extend(words);
    lines.extend(c.ports.iter().map(|p| {
        let fax = if p.is_fax() { ", a fax machine" } else { "" };
        let anonymous = if p.anonymous { ", its number withheld" } else { "" };
        let number = p.number.as_deref().unwrap_or("given by the directory");
        format!("port {}: {}{fax}, number {number}{anonymous}", p.name, p.kind.word())
    }));
    lines.extend(crate::config::accounts::explained(c));
    lines
}
