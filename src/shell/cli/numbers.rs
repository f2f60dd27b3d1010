//! `tipring servers` and `tipring numbers`: other directories, and what is wanted of single numbers.

use super::{Daemon, Outcome, ask};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Subcommand)]
pub(super) enum ServerChange {
    /// All of them
    List,
    /// Make or change an entry
    Add {
        /// Its server number
        number: String,
        /// Digits of its terminal numbers
        terminal_digits: u8,
        /// Its SIP door, HOST, HOST:PORT, with `;transport=tcp` or `tls` where it is not UDP
        sip: String,
        /// Its API, https://HOST:PORT or ADDRESS:PORT
        #[arg(long)]
        api: Option<String>,
        /// The certificate that its API shows by HTTPS, `sha-256 AA:BB:..` (its `tipring status` says it): gateways believe that one alone
        #[arg(long)]
        fingerprint: Option<String>,
        /// A file with the secret shared with it, 16 characters at least: it then answers whom we send
        #[arg(long)]
        secret_file: Option<PathBuf>,
    },
    /// Remove an entry
    Remove {
        /// Its server number
        number: String,
    },
}

pub async fn servers(daemon: &Daemon, wanted: Option<ServerChange>) -> Outcome {
    match wanted {
        None | Some(ServerChange::List) => {
            ask::rows(daemon, "/v1/servers", &["number", "terminal_digits", "sip", "api", "fingerprint", "has_secret"]).await
        }
        Some(ServerChange::Add { number, terminal_digits, sip, api, fingerprint, secret_file }) => {
            let secret = match secret_file.map(|path| std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))) {
                None => None,
                Some(Ok(secret)) => Some(secret.trim().to_owned()),
                Some(Err(words)) => return Outcome::Unusable(words),
            };
            let body = json!({
                "number": number, "terminal_digits": terminal_digits, "sip": sip, "api": api, "fingerprint": fingerprint, "secret": secret
            });
            ask::change(daemon, "POST", "/v1/servers", Some(body)).await
        }
        Some(ServerChange::Remove { number }) => ask::change(daemon, "DELETE", &format!("/v1/servers/{number}"), None).await,
    }
}

#[derive(Subcommand)]
pub(super) enum NumberChange {
    /// All numbers that are not as the directory's policy says
    List,
    /// Change what is said, and leave the rest as it is
    Set {
        /// The number
        number: String,
        #[command(flatten)]
        wanted: Wanted,
    },
    /// As the directory's policy says again
    Reset {
        /// The number
        number: String,
    },
}

#[derive(Args)]
pub(super) struct Wanted {
    /// Who may learn its address: anyone, accounts, consent, or policy
    #[arg(long)]
    disclosure: Option<String>,
    /// Which of several terminals ring: newest, all, in-order, or policy
    #[arg(long)]
    ring: Option<String>,
    /// It takes a second call while it is busy
    #[arg(long)]
    call_waiting: Option<bool>,
    /// It takes no call
    #[arg(long)]
    do_not_disturb: Option<bool>,
    /// Who looks it up is told whether it is busy
    #[arg(long)]
    presence: Option<bool>,
    /// ADDRESS:PORT of a terminal that is always on and never registers, or none
    #[arg(long)]
    fixed: Option<String>,
    /// Over what it is called there: udp, tcp or tls
    #[arg(long, requires = "fixed")]
    fixed_transport: Option<String>,
    /// The key to expect there
    #[arg(long, requires = "fixed")]
    fixed_fingerprint: Option<String>,
}

/// Where a number is found that never registers: there, or nowhere any more.
pub async fn always_on(daemon: &Daemon, number: &str, at: Option<(String, Option<String>, Option<String>)>) -> Outcome {
    let path = format!("/v1/settings/{number}");
    let mut settings = match ask::ask(daemon, "GET", &path, None).await {
        Ok(Value::Object(settings)) => settings,
        Ok(other) => return Outcome::Unusable(format!("the directory answered {other}")),
        Err(outcome) => return outcome,
    };
    let was = ["fixed", "fixed_transport", "fixed_fingerprint"].map(|key| settings.remove(key).is_some()).contains(&true);
    match at {
        Some((contact, transport, fingerprint)) => {
            settings.insert("fixed".into(), contact.into());
            settings.extend(transport.map(|t| ("fixed_transport".to_owned(), t.into())));
            settings.extend(fingerprint.map(|f| ("fixed_fingerprint".to_owned(), f.into())));
        }
        None if !was => return Outcome::Yes,
        None => {}
    }
    ask::change(daemon, "PUT", &path, Some(Value::Object(settings))).await
}

pub async fn numbers(daemon: &Daemon, wanted: Option<NumberChange>) -> Outcome {
    match wanted {
        None | Some(NumberChange::List) => {
            let columns = ["number", "disclosure", "ring", "call_waiting", "do_not_disturb", "presence", "fixed"];
            ask::rows(daemon, "/v1/settings", &columns).await
        }
        Some(NumberChange::Reset { number }) => {
            ask::change(daemon, "PUT", &format!("/v1/settings/{number}"), Some(json!({"number": number}))).await
        }
        Some(NumberChange::Set { number, wanted }) => {
            let mut settings = match ask::ask(daemon, "GET", &format!("/v1/settings/{number}"), None).await {
                Ok(Value::Object(settings)) => settings,
                Ok(other) => return Outcome::Unusable(format!("the directory answered {other}")),
                Err(outcome) => return outcome,
            };
            let unless = |text: Option<String>, word: &str| text.map(|t| if t == word { Value::Null } else { t.into() });
            if wanted.fixed.is_some() {
                // Another place has its own transport and key.
                settings.remove("fixed_transport");
                settings.remove("fixed_fingerprint");
            }
            let said = [
                ("disclosure", unless(wanted.disclosure, "policy")),
                ("ring", unless(wanted.ring, "policy")),
                ("call_waiting", wanted.call_waiting.map(Value::from)),
                ("do_not_disturb", wanted.do_not_disturb.map(Value::from)),
                ("presence", wanted.presence.map(Value::from)),
                ("fixed", unless(wanted.fixed, "none")),
                ("fixed_transport", wanted.fixed_transport.map(Value::from)),
                ("fixed_fingerprint", wanted.fixed_fingerprint.map(Value::from)),
            ];
            for (key, value) in said {
                if let Some(value) = value {
                    settings.insert(key.into(), value);
                }
            }
            ask::change(daemon, "PUT", &format!("/v1/settings/{number}"), Some(Value::Object(settings))).await
        }
    }
}
