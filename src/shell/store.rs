//! The directory's rows on disk: SQLite in WAL mode with `synchronous=FULL`, one writer thread, many records a transaction.
//!
//! A record handed in comes back as an acknowledgement once its transaction is on disk. Whatever waits while a commit runs goes into the
//! next one (group commit, [`writer`]), so the disk's latency is shared by all who wait.
//!
//! Registrations come thousands a second in no order, and each would change a page of its own. They are appended to a journal instead,
//! which costs a few pages a commit, and folded into their table (`whereabouts`) by number later, many a page ([`journal`]). What holds is
//! the table with the journals over it, in the order of `seq`.

mod journal;
mod people;
mod rows;
mod whereabouts;
mod writer;

pub use journal::Journal;
pub use rows::{Loaded, load, load_accounts, load_whole, write};
pub use writer::{Beat, NotWritten, Settled, Waiter, Work, Writer, Written};

use rusqlite::Connection;
use std::path::Path;
use std::time::Duration;

/// How long a writer waits for another process (an import) that holds the database, in milliseconds.
const BUSY_MS: u64 = 5000;

/// The disk's fault, in SQLite's words.
pub type StoreError = rusqlite::Error;

/// Steps from nothing to the present schema. A step is never changed once released; `user_version` counts those taken.
const MIGRATIONS: &[&str] = &[
    "
CREATE TABLE accounts (
  user TEXT PRIMARY KEY, number TEXT, ha1_md5 BLOB NOT NULL, ha1_sha256 BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE reservations (
  number TEXT PRIMARY KEY, user TEXT NOT NULL, mac TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE registrations (
  number TEXT PRIMARY KEY, user TEXT NOT NULL, instance TEXT NOT NULL, contact TEXT, fingerprint BLOB,
  voice INTEGER NOT NULL, fax INTEGER NOT NULL, t38_version INTEGER, srtp INTEGER NOT NULL,
  private TEXT, mac TEXT, lease_s INTEGER NOT NULL, expires_ms INTEGER NOT NULL, dynamic INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE realm (domain TEXT NOT NULL) STRICT;
",
    "
ALTER TABLE accounts ADD COLUMN ha1_sha512_256 BLOB;
",
    "
ALTER TABLE registrations ADD COLUMN transport TEXT;
ALTER TABLE registrations ADD COLUMN bindings TEXT;
",
    "
CREATE TABLE people (
  user TEXT PRIMARY KEY, password TEXT NOT NULL, role TEXT NOT NULL, accounts TEXT NOT NULL, numbers TEXT NOT NULL
) STRICT, WITHOUT ROWID;
",
    "
CREATE TABLE numbers (
  number TEXT PRIMARY KEY, disclosure TEXT, ring TEXT, call_waiting INTEGER NOT NULL, do_not_disturb INTEGER NOT NULL,
  presence INTEGER NOT NULL, fixed TEXT, fixed_key TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE servers (
  number TEXT PRIMARY KEY, terminal_digits INTEGER NOT NULL, sip TEXT NOT NULL, api TEXT, secret TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE whereabouts (
  number TEXT PRIMARY KEY, user TEXT NOT NULL, picked_for TEXT, keys TEXT NOT NULL, contacts TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE journal_a (
  seq INTEGER PRIMARY KEY, number TEXT NOT NULL, user TEXT, picked_for TEXT, keys TEXT, contacts TEXT
) STRICT;
CREATE TABLE journal_b (
  seq INTEGER PRIMARY KEY, number TEXT NOT NULL, user TEXT, picked_for TEXT, keys TEXT, contacts TEXT
) STRICT;
INSERT INTO whereabouts
SELECT number, user, CASE dynamic WHEN 1 THEN instance END, coalesce(lower(hex(fingerprint)), ''),
  CASE
    WHEN contact IS NULL THEN ''
    WHEN bindings IS NULL THEN
      contact || ' ' || coalesce(transport, 'UDP') || ' - 1000 ' || lease_s || ' ' || expires_ms || ' 0 0 ' || instance || ' api'
      || CASE voice WHEN 1 THEN ',voice' ELSE '' END || CASE fax WHEN 1 THEN ',fax' ELSE '' END
      || CASE srtp WHEN 1 THEN ',srtp' ELSE '' END || coalesce(',t38=' || t38_version, '')
      || CASE WHEN fingerprint IS NULL THEN '' ELSE ',key=' || lower(hex(fingerprint)) END || coalesce(',private=' || private, '') || coalesce(',mac=' || mac, '')
      || ' sip:' || number || '@' || contact
      || CASE coalesce(transport, 'UDP') WHEN 'UDP' THEN '' ELSE ';transport=' || lower(transport) END
    ELSE (
      SELECT group_concat(
        json_extract(b.value, '$.address') || ' ' || json_extract(b.value, '$.transport')
        || CASE json_extract(b.value, '$.hidden') WHEN 1 THEN ' nat ' ELSE ' - ' END
        || json_extract(b.value, '$.q') || ' ' || json_extract(b.value, '$.lease_s') || ' ' || json_extract(b.value, '$.expires_ms')
        || ' 0 ' || json_extract(b.value, '$.cseq') || ' ' || coalesce(json_extract(b.value, '$.instance'), '-') || ' - '
        || json_extract(b.value, '$.uri'), char(10))
      FROM json_each(bindings) AS b
    )
  END
FROM registrations;
DROP TABLE registrations;
",
    "
ALTER TABLE servers ADD COLUMN fingerprint TEXT;
",
    // A key that is good again leaves its row until the next one is: the serial of the list never goes back.
    "
CREATE TABLE revocations (
  key TEXT PRIMARY KEY, why TEXT NOT NULL, at_ms INTEGER NOT NULL, serial INTEGER NOT NULL, good_again INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
",
];

/// The present schema.
pub const SCHEMA: usize = MIGRATIONS.len();

/// The schema of a database that is only looked at.
pub fn schema_of(db: &Connection) -> Result<usize, OpenError> {
    let have: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    match usize::try_from(have) {
        Ok(have) if (1..=SCHEMA).contains(&have) => Ok(have),
        Ok(0) => Err(OpenError::NoDirectory),
        have => Err(OpenError::Newer { have: have.unwrap_or(usize::MAX), know: SCHEMA }),
    }
}

/// Whether a database that is only looked at is of this domain. One of no domain yet has no accounts, and is of any.
pub fn is_of_realm(db: &Connection, domain: &str) -> Result<(), OpenError> {
    match db.query_row("SELECT domain FROM realm", [], |row| row.get::<_, String>(0)) {
        Ok(have) if have == domain => Ok(()),
        Ok(have) => Err(OpenError::OtherRealm(have)),
        Err(StoreError::QueryReturnedNoRows) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Opens (or makes) the database `path` and brings its schema up to date. A schema newer than this program is refused.
pub fn open(path: &Path) -> Result<Connection, OpenError> {
    let mut db = Connection::open(path)?;
    db.busy_timeout(Duration::from_millis(BUSY_MS))?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    let transaction = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let have: usize = transaction.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))?.try_into().unwrap_or(usize::MAX);
    if have > MIGRATIONS.len() {
        return Err(OpenError::Newer { have, know: MIGRATIONS.len() });
    }
    for step in &MIGRATIONS[have..] {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", MIGRATIONS.len() as i64)?;
    transaction.commit()?;
    Ok(db)
}

/// Why a database cannot be used.
#[derive(Debug)]
pub enum OpenError {
    /// SQLite says so.
    Sqlite(StoreError),
    /// A newer program made it.
    Newer {
        /// Its schema.
        have: usize,
        /// The last we know.
        know: usize,
    },
    /// It is a database, and not a directory's.
    NoDirectory,
    /// Its passwords' hashes are of another domain.
    OtherRealm(String),
}
impl From<StoreError> for OpenError {
    fn from(e: StoreError) -> Self {
        OpenError::Sqlite(e)
    }
}
impl core::fmt::Display for OpenError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            OpenError::Sqlite(e) => write!(f, "{e}"),
            OpenError::Newer { have, know } => write!(f, "its schema is version {have}, this program knows up to {know}"),
            OpenError::NoDirectory => f.write_str("it is no directory's database"),
            OpenError::OtherRealm(domain) => {
                write!(f, "its accounts are of the domain {domain}: their hashes are worth nothing in another")
            }
        }
    }
}
impl std::error::Error for OpenError {}

/// Binds a database to a domain: hashes of passwords are worth nothing in another.
pub fn bind_realm(db: &Connection, domain: &str) -> Result<(), OpenError> {
    match db.query_row("SELECT domain FROM realm", [], |row| row.get::<_, String>(0)) {
        Ok(have) if have == domain => Ok(()),
        Ok(have) => Err(OpenError::OtherRealm(have)),
        Err(StoreError::QueryReturnedNoRows) => Ok(db.execute("INSERT INTO realm VALUES (?1)", [domain]).map(|_| ())?),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
