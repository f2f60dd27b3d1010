//! `tipring identity`: the key of a daemon.

use super::{Daemon, Outcome, ask, config_path, problems};
use crate::api::revocations::hex;
use crate::config::{self, AnyConfig};
use crate::key::Fingerprint;
use crate::shell::directory_pin;
use crate::shell::identity_key::{self, Keyring, shown};
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Subcommand)]
pub(super) enum Change {
    /// The key, and those that it followed
    Show,
    /// A new key in place of this one, which says with its last signature that the new one follows it
    Rotate,
    /// Forget the keys that a gateway knows its directories by: the next answers are believed, whoever signs them
    ForgetDirectory,
    /// A directory's list of revoked keys
    List,
    /// Revoke a gateway's key at a directory: nobody is told of it any more, and gateways that know it forget it
    Revoke {
        /// The key, as `tipring identity` of its gateway or `tipring registrations` shows it
        fingerprint: String,
        /// Why, for whoever reads the list
        #[arg(long, default_value = "")]
        why: String,
    },
    /// Take a revocation back
    Unrevoke {
        /// The key
        fingerprint: String,
    },
}

pub(super) async fn run(daemon: &Daemon, change: Option<Change>) -> Outcome {
    match change {
        None | Some(Change::Show) => match keyring(daemon) {
            Ok(Some(keyring)) => print(daemon, &shown(&keyring)),
            Ok(None) => {
                eprintln!("there is no key yet: the daemon makes it at its first start");
                Outcome::No
            }
            Err(outcome) => outcome,
        },
        Some(Change::Rotate) => rotate(daemon).await,
        Some(Change::List) => match ask::ask(daemon, "GET", "/v1/revocations", None).await {
            Ok(value) => ask::print_rows(daemon, value.get("rows").unwrap_or(&Value::Array(Vec::new())), &["key", "at", "why"]),
            Err(outcome) => outcome,
        },
        Some(Change::Revoke { fingerprint, why }) => {
            ask::change(daemon, "POST", "/v1/revocations", Some(json!({"key": fingerprint, "why": why}))).await
        }
        Some(Change::Unrevoke { fingerprint }) => match Fingerprint::parse(&fingerprint) {
            Some(key) => ask::change(daemon, "DELETE", &format!("/v1/revocations/{}", hex(key)), None).await,
            None => Outcome::Unusable(format!("{fingerprint:?} is no key: sha-256 AA:BB:..")),
        },
        Some(Change::ForgetDirectory) => forget_directory(daemon).await,
    }
}

/// A daemon that runs does it itself, so that it uses the new key at once.
async fn rotate(daemon: &Daemon) -> Outcome {
    if ask::is_running(daemon).await {
        return match ask::ask(daemon, "POST", "/v1/identity/rotate", None).await {
            Ok(value) => print(daemon, &value),
            Err(outcome) => outcome,
        };
    }
    match keyring(daemon) {
        Ok(Some(keyring)) => match keyring.rotate() {
            Ok(_) => print(daemon, &shown(&keyring)),
            Err(words) => Outcome::Unusable(words),
        },
        Ok(None) => {
            eprintln!("there is no key yet: the daemon makes it at its first start");
            Outcome::No
        }
        Err(outcome) => outcome,
    }
}

async fn forget_directory(daemon: &Daemon) -> Outcome {
    if ask::is_running(daemon).await {
        return ask::change(daemon, "DELETE", "/v1/identity/directory", None).await;
    }
    let state = match state_of(daemon) {
        Ok((state, _)) => state,
        Err(outcome) => return outcome,
    };
    let path = state.join(directory_pin::FILE);
    match std::fs::remove_file(&path) {
        Ok(()) => Outcome::Yes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Outcome::Yes,
        Err(e) => Outcome::Unusable(format!("{}: {e}", path.display())),
    }
}

fn keyring(daemon: &Daemon) -> Result<Option<Keyring>, Outcome> {
    let (state, whose) = state_of(daemon)?;
    Keyring::read(&state, whose).map_err(Outcome::Unusable)
}

/// The state folder of a daemon, and the name of its key's files.
pub(super) fn state_of(daemon: &Daemon) -> Result<(PathBuf, &'static str), Outcome> {
    let path = config_path(daemon)?;
    Ok(match config::any(&path).map_err(|found| problems(&found))? {
        AnyConfig::Gateway(_) => (config::state_root().join(config::name(&path)), identity_key::GATEWAY),
        AnyConfig::Directory(c) => (c.state_dir, identity_key::DIRECTORY),
    })
}

fn print(daemon: &Daemon, value: &Value) -> Outcome {
    if daemon.json {
        println!("{value}");
    } else {
        ask::print_tree(value, 0);
    }
    Outcome::Yes
}
