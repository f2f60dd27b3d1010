//! The CSI of machines behind outside numbers on disk: one JSON object in the state folder, number to CSI, replaced whole and synced like
//! the learned routes beside it.

use crate::number::Number;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The file and what stands in it.
pub struct CsiFile {
    path: PathBuf,
    rows: BTreeMap<String, String>,
}

impl CsiFile {
    /// Reads the file, or starts an empty one. A damaged file is set aside (`.damaged`) and told of, and not fatal: the next fax to each number
    /// is sent and flagged, and what answers is learned.
    pub fn open(state: &Path) -> (CsiFile, Option<String>) {
        let path = state.join("csi.json");
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
        (CsiFile { path, rows }, problem)
    }

    /// What is known. Rows whose number is none are left out.
    pub fn known(&self) -> impl Iterator<Item = (Number, String)> + '_ {
        self.rows.iter().filter_map(|(number, csi)| Number::parse(number).ok().map(|n| (n, csi.clone())))
    }

    /// Keeps or drops one, on disk when this returns.
    pub fn put(&mut self, number: &Number, csi: Option<String>) -> std::io::Result<()> {
        match csi {
            Some(csi) => drop(self.rows.insert(number.to_string(), csi)),
            None => drop(self.rows.remove(number.as_str())),
        }
        let temporary = self.path.with_extension("json.new");
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(&serde_json::to_vec_pretty(&self.rows).map_err(std::io::Error::other)?)?;
        file.sync_all()?;
        std::fs::rename(&temporary, &self.path)?;
        match self.path.parent() {
            Some(folder) => std::fs::File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learned_is_there_after_a_restart_and_a_damaged_file_is_set_aside() {
        let state = std::env::temp_dir().join(format!("tipring-csi-{}", std::process::id()));
        std::fs::create_dir_all(&state).unwrap();
        let number = |n: &str| Number::parse(n).unwrap();
        let (mut file, problem) = CsiFile::open(&state);
        assert_eq!((problem, file.known().count()), (None, 0));
        file.put(&number("05001"), Some("+49 30 \"5001\"".into())).unwrap();
        file.put(&number("05002"), Some("CLINIC".into())).unwrap();
        file.put(&number("05002"), None).unwrap();
        let again: Vec<_> = CsiFile::open(&state).0.known().collect();
        assert_eq!(again, [(number("05001"), "+49 30 \"5001\"".to_owned())]);
        std::fs::write(state.join("csi.json"), "{").unwrap();
        let (file, problem) = CsiFile::open(&state);
        assert!(problem.is_some() && file.known().count() == 0 && state.join("csi.json.damaged").exists());
        std::fs::remove_dir_all(&state).unwrap();
    }
}
