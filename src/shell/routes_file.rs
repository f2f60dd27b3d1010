//! Learned routes on disk: one JSON file in the state folder, replaced whole and synced, so that a crash leaves the old or
//! the new table, never half of one.

use super::clock::rfc3339;
use crate::clock::WallMs;
use crate::limits::ROUTES_MAX;
use crate::number::Number;
use crate::resolve::cache::{LearnedRoute, RouteCache};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A route learned again, the same as before, so soon after is not written again: each call that asks the directory would cost a sync.
const REFRESH_MS: i64 = 3_600_000;
/// A row without an end lives for so long after it was learned.
const OLD_LIFE_MS: i64 = 30 * 86_400_000;
/// In place of an end: there is none.
const NEVER: i64 = -1;

#[derive(Serialize, Deserialize)]
struct Row {
    number: String,
    contact: String,
    fingerprint: Option<String>,
    #[serde(default)]
    signed: bool,
    learned_ms: i64,
    #[serde(default)]
    several: bool,
    /// 0: written before routes ended; -1: never.
    #[serde(default)]
    expires_ms: i64,
    /// For people; not read back.
    #[serde(default)]
    learned_at: String,
}

/// The file and what stands in it.
pub struct RoutesFile {
    path: PathBuf,
    rows: BTreeMap<String, Row>,
    /// The rows are not on disk as they are here.
    dirty: bool,
}

impl Row {
    fn is_refreshed_by(&self, new: &Row) -> bool {
        let facts = |r: &Row| (r.number.clone(), r.contact.clone(), r.fingerprint.clone(), r.signed, r.several);
        facts(self) == facts(new)
            && (0..REFRESH_MS).contains(&new.expires_ms.saturating_sub(self.expires_ms))
            && (0..REFRESH_MS).contains(&new.learned_ms.saturating_sub(self.learned_ms))
    }
}

impl RoutesFile {
    /// Reads the file, or starts an empty one. A damaged file is set aside (`.damaged`), said so in the error text, and not fatal: routes
    /// are learned again.
    pub fn open(state: &Path) -> (Self, Option<String>) {
        let path = state.join("routes.json");
        let (rows, problem) = match std::fs::read(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => (BTreeMap::new(), None),
            Err(e) => (BTreeMap::new(), Some(format!("{}: {e}", path.display()))),
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(rows) => (rows, None),
                Err(e) => {
                    let aside = path.with_extension("json.damaged");
                    let _kept_if_possible = std::fs::rename(&path, &aside);
                    (BTreeMap::new(), Some(format!("{}: {e}; set aside as {}", path.display(), aside.display())))
                }
            },
        };
        (RoutesFile { path, rows, dirty: false }, problem)
    }

    /// The table for the resolver. Rows that no longer parse are left out.
    pub fn cache(&self) -> RouteCache {
        let mut cache = RouteCache::new(ROUTES_MAX);
        for (dialled, row) in &self.rows {
            let (Ok(dialled), Ok(number), Ok(contact)) = (Number::parse(dialled), Number::parse(&row.number), row.contact.parse()) else {
                continue;
            };
            let (fingerprint, signed) = (row.fingerprint.clone(), row.signed);
            let (learned_at, several) = (WallMs(row.learned_ms), row.several);
            let expires_at = match row.expires_ms {
                NEVER => None,
                0 => Some(WallMs(row.learned_ms.saturating_add(OLD_LIFE_MS))),
                at => Some(WallMs(at)),
            };
            cache.learn(dialled, LearnedRoute { number, contact, fingerprint, signed, learned_at, several, expires_at });
        }
        cache
    }

    /// Stores or drops one route, and writes the file if that changed anything.
    pub fn put(&mut self, dialled: &Number, route: Option<&LearnedRoute>) -> std::io::Result<()> {
        match route {
            Some(r) => {
                let row = Row {
                    number: r.number.to_string(),
                    contact: r.contact.to_string(),
                    fingerprint: r.fingerprint.clone(),
                    signed: r.signed,
                    learned_ms: r.learned_at.0,
                    several: r.several,
                    expires_ms: r.expires_at.map_or(NEVER, |at| at.0),
                    learned_at: rfc3339(r.learned_at),
                };
                if !self.rows.get(dialled.as_str()).is_some_and(|old| old.is_refreshed_by(&row)) {
                    self.rows.insert(dialled.to_string(), row);
                    self.dirty = true;
                }
            }
            None => self.dirty |= self.rows.remove(dialled.as_str()).is_some(),
        }
        if self.dirty {
            self.write()?;
            self.dirty = false;
        }
        Ok(())
    }

    fn write(&self) -> std::io::Result<()> {
        let temporary = self.path.with_extension("json.new");
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(&serde_json::to_vec_pretty(&self.rows).map_err(std::io::Error::other)?)?;
        file.sync_all()?;
        std::fs::rename(&temporary, &self.path)?;
        // The new name is on disk only when the folder is.
        match self.path.parent() {
            Some(folder) => std::fs::File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn a_route_that_did_not_change_is_not_written_again() {
        let state = std::env::temp_dir().join(format!("tipring-routes-{}", std::process::id()));
        std::fs::create_dir_all(&state).unwrap();
        let number = Number::parse("3001").unwrap();
        let route = |contact: &str, ms| LearnedRoute {
            number: number.clone(),
            contact: contact.parse().unwrap(),
            fingerprint: None,
            signed: false,
            learned_at: WallMs(ms),
            several: false,
            expires_at: Some(WallMs(ms + 1)),
        };
        // Each write is a new file under the old name.
        let inode = || std::fs::metadata(state.join("routes.json")).unwrap().ino();
        let (mut file, problem) = RoutesFile::open(&state);
        assert_eq!(problem, None);
        file.put(&Number::parse("3002").unwrap(), None).unwrap();
        assert!(!state.join("routes.json").exists(), "nothing was known and nothing is forgotten");
        file.put(&number, Some(&route("127.0.0.1:5060", 1000))).unwrap();
        let first = inode();
        // The old inode's number may be given again, so a file that is kept open holds it.
        let _kept = std::fs::File::open(state.join("routes.json")).unwrap();
        file.put(&number, Some(&route("127.0.0.1:5060", 2000))).unwrap();
        assert_eq!(inode(), first);
        file.put(&number, Some(&route("127.0.0.1:5061", 3000))).unwrap();
        assert_ne!(inode(), first);
        let learned = RoutesFile::open(&state).0.cache();
        assert_eq!(learned.iter().map(|(_, r)| r.contact.port()).collect::<Vec<_>>(), [5061]);
        file.put(&number, Some(&route("127.0.0.1:5061", 3000 + REFRESH_MS))).unwrap();
        assert_eq!(RoutesFile::open(&state).0.cache().iter().next().unwrap().1.learned_at, WallMs(3000 + REFRESH_MS));
        file.put(&number, None).unwrap();
        assert_eq!(RoutesFile::open(&state).0.cache().iter().count(), 0);
        std::fs::remove_dir_all(&state).unwrap();
    }
}
