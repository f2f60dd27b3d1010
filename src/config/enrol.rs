//! `[enrol]` of a directory: who may make an account for a new terminal by itself (C-11). Without the table nobody.

use super::error::{ConfigError, Source};
use crate::limits::{ACCESS_NETWORKS_MAX, ENROLLED_DEFAULT, ENROLLED_MAX};
use crate::sip::Network;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Who may.
#[derive(Clone, Debug)]
pub struct Enrol {
    /// From where; a terminal that comes from elsewhere is refused.
    pub networks: Vec<Network>,
    /// Where the key stands that a terminal must know, too.
    pub key_file: Option<PathBuf>,
    /// Accounts made so, at a time.
    pub max: usize,
}

/// The same, as typed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EnrolTable {
    #[serde(default)]
    networks: Vec<String>,
    key_file: Option<PathBuf>,
    #[serde(default = "enrolled_default")]
    max: usize,
}
fn enrolled_default() -> usize {
    ENROLLED_DEFAULT
}

impl EnrolTable {
    /// The table checked; problems go to `problems`.
    pub(super) fn check(&self, source: &Source, has_pool: bool, problems: &mut Vec<ConfigError>) -> Enrol {
        let mut wrong = |key: &str, message: String| problems.push(source.at_key(key, message));
        if self.networks.len() > ACCESS_NETWORKS_MAX {
            wrong("enrol.networks", format!("{} networks: {ACCESS_NETWORKS_MAX} at most", self.networks.len()));
        }
        if !has_pool {
            wrong("enrol", "needs [dynamic]: a terminal that enrols has no number of its own and gets one from there".into());
        }
        if self.max == 0 || self.max > ENROLLED_MAX {
            wrong("enrol.max", format!("{} is not between 1 and {ENROLLED_MAX}", self.max));
        }
        let mut networks = Vec::new();
        for text in &self.networks {
            match text.parse::<Network>() {
                Ok(network) => networks.push(network),
                Err(why) => wrong("enrol.networks", format!("{text:?} {why}")),
            }
        }
        let beside = source.path().parent().unwrap_or(Path::new("."));
        let key_file = self.key_file.as_ref().map(|file| beside.join(file));
        if let Some(Err(why)) = key_file.as_deref().map(key_in) {
            wrong("enrol.key_file", why);
        }
        Enrol { networks, key_file, max: self.max }
    }
}

/// The key in this file: one line, 16 characters at least, so that nobody finds it by trying.
pub fn key_in(file: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let key = text.trim();
    if key.len() < 16 {
        return Err(format!("{}: a key has 16 characters at least", file.display()));
    }
    Ok(key.to_owned())
}
