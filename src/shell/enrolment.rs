//! A gateway whose ports have no accounts asks its directory for them (C-11; `directory.enrol`), one a port, and keeps what it is told in
//! `enrolled.json` of its state folder: a password is told once. From then on a port is like one with an account in the configuration.
//!
//! A port that is refused, or whose directory is silent, tries again for as long as the gateway runs; meanwhile its state says why.

use super::clock;
use super::directory_client::{ClientError, DirectoryClient, Login};
use super::gateway::Daemon;
use super::registrations::{self, Directory, instance_of};
use super::state_folder;
use crate::api::enrol::EnrolRequest;
use crate::config::enrol::key_in;
use crate::config::gateway::GatewayConfig;
use crate::id::PortId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;

/// The first wait after a directory that does not answer, in milliseconds; it doubles up to [`AGAIN_MAX_MS`].
const AGAIN_MS: u64 = 1_000;
/// The longest; also the wait after a refusal, which the operator may mend.
const AGAIN_MAX_MS: u64 = 60_000;

#[derive(Serialize, Deserialize)]
struct Row {
    user: String,
    password: String,
}

/// The accounts on disk, by port name.
pub struct Enrolled {
    path: PathBuf,
    rows: BTreeMap<String, Row>,
}

impl Enrolled {
    /// Reads them. A damaged file is an error: the passwords in it are told nowhere else.
    pub fn open(state: &Path) -> io::Result<Enrolled> {
        let path = state.join("enrolled.json");
        let rows = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| io::Error::other(format!("{} is damaged: {e}", path.display())))?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(e) => return Err(e),
        };
        Ok(Enrolled { path, rows })
    }

    /// Gives the ports of `config` that have no account the one that they were given before; the others without one are to enrol.
    pub fn fill(&self, config: &mut GatewayConfig) -> Vec<PortId> {
        let mut without = Vec::new();
        if !config.directory.as_ref().is_some_and(|d| d.enrol) {
            return without;
        }
        for (i, port) in config.ports.iter_mut().enumerate().filter(|(_, p)| p.has_no_account()) {
            match self.rows.get(&port.name) {
                Some(row) => (port.user, port.password) = (Some(row.user.clone()), Some(row.password.clone())),
                None => without.push(PortId(i as u16)),
            }
        }
        without
    }

    /// Keeps what a port was told.
    pub fn keep(&mut self, port: &str, login: &Login) -> io::Result<()> {
        self.rows.insert(port.to_owned(), Row { user: login.user.clone(), password: login.password.clone() });
        let bytes = serde_json::to_vec_pretty(&self.rows).map_err(io::Error::other)?;
        state_folder::put(&self.path, &bytes, 0o600)
    }
}

/// What came of a try.
pub type Outcome = Result<Login, String>;

/// A port that enrols.
pub struct Enrolling {
    /// Which.
    pub port: PortId,
    /// Why it has not yet.
    pub words: String,
    ask: EnrolRequest,
}

/// What each of these ports asks. The error names the file at fault.
pub fn all(config: &GatewayConfig, state: &Path, ports: Vec<PortId>) -> Result<Vec<Enrolling>, String> {
    let key = config.directory.as_ref().and_then(|d| d.enrol_key_file.as_deref()).map(key_in).transpose()?;
    let instance = if ports.is_empty() { String::new() } else { instance_of(state)?.to_string() };
    let of = |port: PortId| {
        let name = &config.ports[usize::from(port.0)].name;
        let ask = EnrolRequest { instance: format!("{instance}:{name}"), mac: None, key: key.clone() };
        Enrolling { port, words: "enrolling".into(), ask }
    };
    Ok(ports.into_iter().map(of).collect())
}

impl Enrolling {
    /// Asks until it is told an account; each failure is told too.
    pub fn begin<M: Send + 'static>(&self, directory: Option<&Directory>, to: &mpsc::Sender<M>, message: fn(PortId, Outcome) -> M) {
        let Some(client) = directory.map(Directory::client) else { return };
        let (to, ask, port) = (to.clone(), self.ask.clone(), self.port);
        tokio::spawn(async move {
            let mut wait_ms = AGAIN_MS;
            loop {
                let (outcome, refused) = once(&client, &ask).await;
                let done = outcome.is_ok();
                if to.send(message(port, outcome)).await.is_err() || done {
                    return;
                }
                let ms = if refused { AGAIN_MAX_MS } else { wait_ms };
                wait_ms = (wait_ms * 2).min(AGAIN_MAX_MS);
                // Gateways that failed together do not return together.
                let spread = u64::from(u16::from_be_bytes(clock::random::<2>())) * (ms / 4) / 65_536;
                tokio::time::sleep(Duration::from_millis(ms + spread)).await;
            }
        });
    }
}

impl Daemon {
    /// What came of a port's try to enrol: its account is kept, and it registers like any other.
    pub(super) fn take_enrolment(&mut self, port: PortId, outcome: Outcome) {
        let Some(i) = self.enrolling.iter().position(|e| e.port == port) else { return };
        let name = self.config.ports[usize::from(port.0)].name.clone();
        let login = match outcome {
            Ok(login) => login,
            Err(why) => {
                let words = format!("not enrolled: {why}");
                if self.enrolling[i].words != words {
                    tracing::warn!("{name}: {words}");
                    self.enrolling[i].words = words;
                }
                return;
            }
        };
        if let Err(e) = self.enrolled.keep(&name, &login) {
            // It serves until the next start; by then an operator has to remove the account at the directory.
            tracing::error!("{name}: its account {} is not on disk, and will not be told again: {e}", login.user);
        }
        tracing::info!("{name}: enrolled as {}", login.user);
        self.enrolling.swap_remove(i);
        if let Some(directory) = &mut self.directory {
            directory.log_in(&login);
        }
        let at = &mut self.config.ports[usize::from(port.0)];
        (at.user, at.password) = (Some(login.user), Some(login.password));
        match registrations::registrants(
            &self.config,
            &self.state,
            self.keyring.keys().current.fingerprint(),
            self.told_address,
            Some(port),
        ) {
            Ok(fresh) => {
                let now = clock::now();
                for mut one in fresh {
                    one.registrant.moved(now, self.told_address, self.private_address);
                    if self.here.addresses.is_some() && !self.is_stopping() {
                        one.registrant.start(now);
                    }
                    self.registrants.push(one);
                }
            }
            Err(why) => tracing::error!("{name}: {why}"),
        }
    }
}

async fn once(client: &DirectoryClient, ask: &EnrolRequest) -> (Outcome, bool) {
    match client.enrol(ask).await {
        Ok(told) => (Ok(Login { user: told.user, password: told.password }), false),
        Err(e) => {
            let refused = matches!(&e, ClientError::Refused { status, .. } if *status < 500);
            (Err(e.to_string()), refused)
        }
    }
}
