//! Backup and restore of a directory's database.
//!
//! A backup is taken beside the running daemon by SQLite's own backup of one snapshot, so it is consistent and holds nobody up. It is one
//! file, checked, readable for its owner only (it has the hashes of passwords in it), and put in place when it is whole.
//!
//! A restore takes the place of the database while no daemon runs, and only after the file has been checked; what stood there before is
//! kept. The journal of the old database must be gone before the new one lies in its place: SQLite would play it into the new one.

use crate::config::directory::Config;
use crate::shell::directory::DATABASE;
use crate::shell::{state_folder, store};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a snapshot that cannot be had at once is asked for, and how long in between.
const TRIES: usize = 100;
/// See [`TRIES`].
const BETWEEN: Duration = Duration::from_millis(50);
/// Databases that are kept from before restores.
const KEPT_MAX: usize = 100;

/// Why there is no backup, or no restore. All are the operator's to mend.
#[derive(Debug)]
pub enum BackupError {
    /// There is no database.
    Nothing(PathBuf),
    /// A file.
    File(PathBuf, io::Error),
    /// SQLite.
    Store(PathBuf, store::OpenError),
    /// The file is damaged, in SQLite's words.
    Damaged(PathBuf, String),
    /// A daemon runs on the state.
    Runs(PathBuf),
}

impl core::fmt::Display for BackupError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            BackupError::Nothing(path) => write!(f, "{}: there is no database yet", path.display()),
            BackupError::File(path, e) => write!(f, "{}: {e}", path.display()),
            BackupError::Store(path, e) => write!(f, "{}: {e}", path.display()),
            BackupError::Damaged(path, why) => write!(f, "{}: it is damaged: {why}", path.display()),
            BackupError::Runs(state) => write!(f, "{}: a directory runs on this state; stop it first", state.display()),
        }
    }
}
impl std::error::Error for BackupError {}

/// What a database holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    /// Its schema.
    pub schema: usize,
    /// Rows that can be read.
    pub rows: u64,
    /// Rows that cannot.
    pub unreadable: u64,
}

/// Takes a backup of the directory of `config` into `out`, whether the daemon runs or not.
pub fn backup(config: &Config, out: &Path) -> Result<Held, BackupError> {
    let database = config.state_dir.join(DATABASE);
    if !database.exists() {
        return Err(BackupError::Nothing(database));
    }
    let fresh = beside(out, ".new");
    let held = copy(&database, &fresh).and_then(|()| check(&fresh, &config.domain));
    let placed = held.and_then(|held| std::fs::rename(&fresh, out).map(|()| held).map_err(|e| BackupError::File(out.to_owned(), e)));
    if placed.is_err() {
        let _nothing_half_done = std::fs::remove_file(&fresh);
        return placed;
    }
    sync_folder(out)?;
    placed
}

/// Puts `file` in place of the database of `config`. Returns what it holds and where the database from before lies.
pub fn restore(config: &Config, file: &Path) -> Result<(Held, Option<PathBuf>), BackupError> {
    let state = &config.state_dir;
    std::fs::create_dir_all(state).map_err(|e| BackupError::File(state.clone(), e))?;
    let lock = state_folder::lock(state).map_err(|e| BackupError::File(state.clone(), e))?;
    let lock = lock.ok_or_else(|| BackupError::Runs(state.clone()))?;
    check(file, &config.domain)?;
    let database = state.join(DATABASE);
    let fresh = beside(&database, ".restoring");
    let ready = copy(file, &fresh).and_then(|()| check(&fresh, &config.domain));
    let held = ready.inspect_err(|_| drop(std::fs::remove_file(&fresh)))?;
    let before = if database.exists() { Some(put_aside(&database)?) } else { None };
    std::fs::rename(&fresh, &database).map_err(|e| BackupError::File(database.clone(), e))?;
    sync_folder(&database)?;
    drop(lock);
    Ok((held, before))
}

/// Keeps the old database beside, journal and all; the database itself stays in place until another takes it.
fn put_aside(database: &Path) -> Result<PathBuf, BackupError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |e: io::Error| BackupError::File(path, e)
    };
    // Folds the journal in. A database that cannot even be opened is kept as it lies.
    if let Ok(db) = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_WRITE) {
        let _folded = db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
    }
    let names =
        (1..KEPT_MAX).map(|n| beside(database, &if n == 1 { ".before-restore".to_owned() } else { format!(".before-restore-{n}") }));
    let kept = names.into_iter().find(|name| !name.exists()).ok_or_else(|| {
        BackupError::File(beside(database, ".before-restore"), io::Error::other("too many are kept; remove what is not wanted any more"))
    })?;
    std::fs::hard_link(database, &kept).map_err(at(&kept))?;
    for journal in ["-wal", "-shm"] {
        let lies = beside(database, journal);
        if lies.exists() {
            std::fs::rename(&lies, beside(&kept, journal)).map_err(at(&lies))?;
        }
    }
    sync_folder(database)?;
    Ok(kept)
}

/// A copy of one snapshot, one file, on disk.
fn copy(from: &Path, to: &Path) -> Result<(), BackupError> {
    let in_store = |path: &Path, e: store::StoreError| BackupError::Store(path.to_owned(), e.into());
    let in_file = |e| BackupError::File(to.to_owned(), e);
    let _left_over = std::fs::remove_file(to);
    drop(OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(in_file)?);
    // Not read-only: a database in WAL mode needs its index beside it, and whoever comes first makes it.
    let source = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .or_else(|_| Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_ONLY))
        .map_err(|e| in_store(from, e))?;
    let mut target = Connection::open(to).map_err(|e| in_store(to, e))?;
    {
        let backup = Backup::new(&source, &mut target).map_err(|e| in_store(from, e))?;
        let mut done = false;
        for _ in 0..TRIES {
            // All pages in one step: in WAL mode that is one snapshot, and no writer waits for it.
            if backup.step(-1).map_err(|e| in_store(from, e))? == StepResult::Done {
                done = true;
                break;
            }
            super::sys::sleep_until(super::clock::to_std(super::clock::now() + BETWEEN));
        }
        if !done {
            return Err(BackupError::Damaged(from.to_owned(), "it is locked all the time".into()));
        }
    }
    target.pragma_update(None, "journal_mode", "DELETE").map_err(|e| in_store(to, e))?;
    drop(target);
    File::open(to).and_then(|f| f.sync_all()).map_err(in_file)
}

/// Whether `file` is a whole database of this domain that this program knows.
fn check(file: &Path, domain: &str) -> Result<Held, BackupError> {
    let in_store = |e: store::OpenError| BackupError::Store(file.to_owned(), e);
    let damaged = |why: String| BackupError::Damaged(file.to_owned(), why);
    std::fs::metadata(file).map_err(|e| BackupError::File(file.to_owned(), e))?;
    let db = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(|e| in_store(e.into()))?;
    let said: String = db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(|e| damaged(e.to_string()))?;
    if said != "ok" {
        return Err(damaged(said.split_whitespace().collect::<Vec<_>>().join(" ")));
    }
    let schema = store::schema_of(&db).map_err(in_store)?;
    store::is_of_realm(&db, domain).map_err(in_store)?;
    let (mut rows, mut unreadable) = (0, 0);
    // Older schemas lack columns; the next start brings them.
    if schema == store::SCHEMA {
        unreadable = store::load(&db, |_| rows += 1).map_err(|e| in_store(e.into()))?;
    }
    Ok(Held { schema, rows, unreadable })
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().map(std::ffi::OsStr::to_owned).unwrap_or_default();
    name.push(ending);
    path.with_file_name(name)
}

fn sync_folder(path: &Path) -> Result<(), BackupError> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|f| f.sync_all()).map_err(|e| BackupError::File(folder.to_owned(), e))
}
