//! The revoked keys as a gateway knows them, in `revoked.json` of its state folder: what was heard once holds with the directory down, too.

use super::directory_pin::{Pins, Word};
use super::registrations::Directory;
use super::state_folder::put;
use crate::api::revocations::hex;
use crate::key::Fingerprint;
use crate::limits::REVOCATIONS_MAX;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A list as a directory gave it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Revoked {
    /// Its serial.
    pub serial: u64,
    /// The keys.
    pub keys: Vec<Fingerprint>,
}

#[derive(Default, Serialize, Deserialize)]
struct Rows {
    serial: u64,
    keys: Vec<String>,
}

/// The file.
pub struct RevokedFile {
    path: PathBuf,
    /// What stands in it.
    pub list: Revoked,
}

impl RevokedFile {
    /// Reads the file, or starts an empty one. One that cannot be read is an error: keys in it would be believed again.
    pub fn open(state: &Path) -> Result<RevokedFile, String> {
        let path = state.join("revoked.json");
        let at = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
        let rows: Rows = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| at(&e))?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Rows::default(),
            Err(e) => return Err(at(&e)),
        };
        let list = Revoked { serial: rows.serial, keys: keys_of(&rows.keys).ok_or_else(|| at(&"a key cannot be read"))? };
        Ok(RevokedFile { path, list })
    }

    /// Puts a list in place of the one before.
    pub fn replace(&mut self, list: Revoked) -> Result<(), String> {
        let at = |e: &dyn std::fmt::Display| format!("{}: {e}", self.path.display());
        let rows = Rows { serial: list.serial, keys: list.keys.iter().map(|k| hex(*k)).collect() };
        self.list = list;
        let bytes = serde_json::to_vec_pretty(&rows).map_err(|e| at(&e))?;
        put(&self.path, &bytes, 0o644).map_err(|e| at(&e))
    }
}

fn keys_of(rows: &[String]) -> Option<Vec<Fingerprint>> {
    rows.iter().take(REVOCATIONS_MAX).map(|k| Fingerprint::parse(k)).collect()
}

impl Directory {
    /// The list as our directory has it now, if it shows the key that it is known by. The error is for the log.
    pub async fn revoked(&self) -> Result<Revoked, String> {
        let nonce = Pins::nonce();
        let client = self.client();
        let (answer, server) = client.revoked(self.login.as_ref(), &nonce).await.map_err(|e| e.to_string())?;
        match self.pins.judge(&server.to_string(), true, &nonce, &answer)? {
            Word::Signed(_) => {}
            Word::Unsigned => return Err(format!("{server} does not sign its list of revoked keys")),
        }
        let keys = keys_of(&answer.keys).ok_or_else(|| format!("{server}: a revoked key cannot be read"))?;
        Ok(Revoked { serial: answer.serial, keys })
    }
}
