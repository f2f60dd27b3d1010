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

#[derive(Serialize, Deserialize)]
struct Row {
    number: String,
    contact: String,
    fingerprint: Option<String>,
    learned_ms: i64,
    /// For people; not read back.
    #[serde(default)]
    learned_at: String,
}

/// The file and what stands in it.
pub struct RoutesFile {
    path: PathBuf,
    rows: BTreeMap<String, Row>,
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
        (RoutesFile { path, rows }, problem)
    }

    /// The table for the resolver. Rows that no longer parse are left out.
    pub fn cache(&self) -> RouteCache {
        let mut cache = RouteCache::new(ROUTES_MAX);
        for (dialled, row) in &self.rows {
            let (Ok(dialled), Ok(number), Ok(contact)) = (Number::parse(dialled), Number::parse(&row.number), row.contact.parse()) else {
                continue;
            };
            cache
                .learn(dialled, LearnedRoute { number, contact, fingerprint: row.fingerprint.clone(), learned_at: WallMs(row.learned_ms) });
        }
        cache
    }

    /// Stores or drops one route and writes the file.
    pub fn put(&mut self, dialled: &Number, route: Option<&LearnedRoute>) -> std::io::Result<()> {
        match route {
            Some(r) => {
                let row = Row {
                    number: r.number.to_string(),
                    contact: r.contact.to_string(),
                    fingerprint: r.fingerprint.clone(),
                    learned_ms: r.learned_at.0,
                    learned_at: rfc3339(r.learned_at),
                };
                self.rows.insert(dialled.to_string(), row);
            }
            None => {
                self.rows.remove(dialled.as_str());
            }
        }
        let temporary = self.path.with_extension("json.new");
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(&serde_json::to_vec_pretty(&self.rows).map_err(std::io::Error::other)?)?;
        file.sync_all()?;
        std::fs::rename(&temporary, &self.path)
    }
}
