//! The key that a gateway knows its directory by: pinned at first contact, or named by the configuration, and followed over rotations by the
//! word of the old key. In `directory-pins.json` of the state folder, one row a server, because those of one list need not share a key.

use super::audit_file::Audit;
use super::clock;
use super::state_folder::put;
use crate::api::keys::{Seal, Signed, successions};
use crate::audit::Event;
use crate::key::Fingerprint;
use crate::limits::{DIRECTORIES_MAX, SERVERS_MAX};
use crate::proof::{self, base64};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

/// The file.
pub const FILE: &str = "directory-pins.json";

#[derive(Clone, Serialize, Deserialize)]
struct Row {
    /// Answers are signed by this one.
    key: String,
    /// The configuration named that one; `key` is it, or follows it.
    #[serde(default)]
    named: Option<String>,
}

/// What is known of directories' keys.
pub struct Pins {
    path: PathBuf,
    named: Option<Fingerprint>,
    rows: Mutex<BTreeMap<String, Row>>,
    audit: OnceLock<Audit>,
    /// A key that was refused, and is remembered as such: once until another one is.
    refused: Mutex<Option<Fingerprint>>,
}

/// How far an answer can be believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Word {
    /// It came unsigned from a directory that never signed: an old one.
    Unsigned,
    /// Signed by the key that the directory is known by; the serial of its list of revoked keys.
    Signed(u64),
}

impl Pins {
    /// Those of a state folder. A file that cannot be read is an error: without it anybody could be the directory.
    pub fn open(state: &Path, named: Option<Fingerprint>) -> Result<Pins, String> {
        let path = state.join(FILE);
        let rows = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| format!("{}: {e}", path.display()))?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(e) => return Err(format!("{}: {e}", path.display())),
        };
        Ok(Pins { path, named, rows: Mutex::new(rows), audit: OnceLock::new(), refused: Mutex::default() })
    }

    /// Where it is remembered that a key was pinned, replaced or refused.
    pub fn audit_to(&self, audit: Audit) {
        let _only_the_first = self.audit.set(audit);
    }

    fn remember(&self, what: &'static str, key: Fingerprint, words: String) {
        if let Some(audit) = self.audit.get() {
            audit.write(Event::of_key(what, key, words));
        }
    }

    /// A nonce for a question.
    pub fn nonce() -> String {
        clock::random::<16>().iter().map(|b| format!("{b:02x}")).collect()
    }

    /// Keys by server.
    pub fn all(&self) -> Vec<(String, String)> {
        self.rows.lock().expect("no thread panics while it holds the pins").iter().map(|(s, r)| (s.clone(), r.key.clone())).collect()
    }

    /// Forgets them all: the next answers are believed again.
    pub fn forget(&self) -> Result<(), String> {
        let mut rows = self.rows.lock().expect("no thread panics while it holds the pins");
        rows.clear();
        self.write(&rows)
    }

    /// What an answer of `server` to the question with `nonce` is worth; `home`: it is one of our own directory, which the configuration may
    /// have named a key of. The error is for the log.
    pub fn judge(&self, server: &str, home: bool, nonce: &str, answer: &impl Signed) -> Result<Word, String> {
        let named = self.named.filter(|_| home);
        let mut rows = self.rows.lock().expect("no thread panics while it holds the pins");
        // A key that the configuration names now holds over one that was learned under another.
        let row = rows.get(server).filter(|row| named.is_none() || row.named.as_deref().and_then(Fingerprint::parse) == named);
        let known = row.and_then(|row| Fingerprint::parse(&row.key)).or(named);
        let Some(signed) = answer.signed() else {
            return match known {
                Some(known) => Err(format!("{server} answers unsigned, and is known by the key {known}")),
                None => Ok(Word::Unsigned),
            };
        };
        let read = base64::decode(&signed.certificate).zip(base64::decode(&signed.signature));
        let (certificate, signature) = read.ok_or_else(|| format!("{server}: its signature cannot be read"))?;
        let seal = Seal { key: Fingerprint::of(&certificate), nonce, revocations: signed.revocations };
        let by = proof::verify(&certificate, &answer.text(&seal), &signature).map_err(|why| format!("{server}: {why}"))?;
        if known != Some(by) || row.is_none() {
            match known {
                Some(known) if known != by => {
                    let led = proof::leads(known, by, &successions(&signed.previous));
                    if led.is_err() {
                        let words = format!(
                            "{server} answers with the key {by}; it is known by {known}, which did not say that this one follows it"
                        );
                        let mut refused = self.refused.lock().expect("no thread panics while it holds a key");
                        if refused.replace(by) != Some(by) {
                            self.remember("directory-refused", by, words.clone());
                        }
                        return Err(words);
                    }
                    self.remember("directory-key", by, format!("{server}: it follows {known}, by its own word"));
                    tracing::warn!("the key of the directory {server} was replaced: {by} follows {known}, by its own word");
                }
                _ => {
                    tracing::info!("the directory {server} is known by the key {by} from now on");
                    self.remember("directory-key", by, format!("{server} is known by it from now on"));
                }
            }
            if rows.len() >= SERVERS_MAX + DIRECTORIES_MAX && !rows.contains_key(server) {
                return Err(format!("{server}: more directories than can be known"));
            }
            rows.insert(server.to_owned(), Row { key: by.to_string(), named: named.map(|n| n.to_string()) });
            self.write(&rows)?;
        }
        Ok(Word::Signed(signed.revocations))
    }

    fn write(&self, rows: &BTreeMap<String, Row>) -> Result<(), String> {
        let at = |e: &dyn std::fmt::Display| format!("{}: {e}", self.path.display());
        let bytes = serde_json::to_vec_pretty(rows).map_err(|e| at(&e))?;
        put(&self.path, &bytes, 0o644).map_err(|e| at(&e))
    }
}

#[cfg(test)]
#[path = "directory_pin_tests.rs"]
mod tests;
