//! The directory's rows on disk: SQLite in WAL mode with `synchronous=FULL`, one writer thread, many records a transaction.
//!
//! A record handed in comes back as an acknowledgement once its transaction is on disk. Whatever waits while a commit runs goes into the
//! next one (group commit), so the disk's latency is shared by all who wait. If a commit fails, those who wait are told so, and their
//! records stay in front of the next transaction: memory, which already has them, never has more than disk and backlog together.

mod bindings;
mod people;

use crate::clock::WallMs;
use crate::digest::Ha1;
use crate::directory::{Account, Capabilities, Instance, Mac, Record, Registration, Reservation, User};
use crate::key::Fingerprint;
use crate::limits::{STORE_BATCH, STORE_QUEUE};
use crate::number::Number;
use crate::shell::log::Seldom;
use crate::sip::Transport;
use rusqlite::{Connection, Row, params};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::sync::oneshot;

/// How long a writer waits for another process (an import) that holds the database, in milliseconds.
const BUSY_MS: u64 = 5000;
/// How often an idle writer looks whether another process changed the accounts, in milliseconds.
const LOOK_MS: u64 = 500;

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

/// All rows, as the records that make the state. A row that cannot be read (somebody edited it) is passed over and counted.
pub fn load(db: &Connection, mut each: impl FnMut(Record)) -> Result<u64, StoreError> {
    let mut unreadable = 0;
    let mut take = |record: Option<Record>| match record {
        Some(record) => each(record),
        None => unreadable += 1,
    };
    let mut statement = db.prepare("SELECT user, number, ha1_md5, ha1_sha256, ha1_sha512_256 FROM accounts")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        take(account(row)?.map(Record::Account));
    }
    let mut statement = db.prepare("SELECT number, user, mac FROM reservations")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        take(reservation(row)?.map(Record::Reservation));
    }
    people::load(db, |person| take(person.map(Record::Person)))?;
    let mut statement = db.prepare(
        "SELECT number, user, instance, contact, fingerprint, voice, fax, t38_version, srtp, private, mac, lease_s, expires_ms, dynamic,
                transport, bindings
         FROM registrations",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        take(registration(row)?.map(Record::Registration));
    }
    Ok(unreadable)
}

/// The accounts alone.
pub fn load_accounts(db: &Connection) -> Result<Vec<Account>, StoreError> {
    let mut statement = db.prepare("SELECT user, number, ha1_md5, ha1_sha256, ha1_sha512_256 FROM accounts")?;
    let mut rows = statement.query([])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.extend(account(row)?);
    }
    Ok(out)
}

fn account(row: &Row<'_>) -> Result<Option<Account>, StoreError> {
    let number: Option<String> = row.get(1)?;
    let (md5, sha256, sha512_256): (Vec<u8>, Vec<u8>, Option<Vec<u8>>) = (row.get(2)?, row.get(3)?, row.get(4)?);
    Ok((|| {
        Some(Account {
            user: User::parse(&row.get::<_, String>(0).ok()?).ok()?,
            number: number.map(|n| Number::parse(&n)).transpose().ok()?,
            ha1: Ha1 {
                md5: md5.try_into().ok()?,
                sha256: sha256.try_into().ok()?,
                sha512_256: sha512_256.map(|h| h.try_into()).transpose().ok()?,
            },
        })
    })())
}

fn reservation(row: &Row<'_>) -> Result<Option<Reservation>, StoreError> {
    let (number, user, mac): (String, String, Option<String>) = (row.get(0)?, row.get(1)?, row.get(2)?);
    Ok((|| {
        let mac = mac.map_or(Some(None), |m| Mac::parse(&m).map(Some))?;
        Some(Reservation { number: Number::parse(&number).ok()?, user: User::parse(&user).ok()?, mac })
    })())
}

fn registration(row: &Row<'_>) -> Result<Option<Registration>, StoreError> {
    let (number, user, instance): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let contact: Option<String> = row.get(3)?;
    let fingerprint: Option<Vec<u8>> = row.get(4)?;
    let capabilities = Capabilities { voice: row.get(5)?, fax: row.get(6)?, t38_version: row.get(7)?, srtp: row.get(8)? };
    let (private, mac): (Option<String>, Option<String>) = (row.get(9)?, row.get(10)?);
    let (lease_s, expires, dynamic): (u32, i64, bool) = (row.get(11)?, row.get(12)?, row.get(13)?);
    let (transport, contacts): (Option<String>, Option<String>) = (row.get(14)?, row.get(15)?);
    Ok((|| {
        Some(Registration {
            number: Number::parse(&number).ok()?,
            user: User::parse(&user).ok()?,
            instance: Instance::parse(&instance).ok()?,
            contact: contact.map(|c| c.parse()).transpose().ok()?,
            transport: transport.map_or(Some(Transport::Udp), |t| Transport::parse(t.as_bytes()))?,
            bindings: contacts.map_or(Some(Box::default()), |b| bindings::read(&b))?,
            fingerprint: fingerprint.map(|f| f.try_into().map(Fingerprint)).transpose().ok()?,
            capabilities,
            private: private.map(|p| p.parse()).transpose().ok()?,
            mac: mac.map_or(Some(None), |m| Mac::parse(&m).map(Some))?,
            lease_s,
            expires: WallMs(expires),
            dynamic,
        })
    })())
}

/// Writes one record inside whatever transaction is open.
pub fn write(db: &Connection, record: &Record) -> Result<(), StoreError> {
    match record {
        Record::Registration(r) => db
            .prepare_cached("INSERT OR REPLACE INTO registrations VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16)")?
            .execute(params![
                r.number.as_str(),
                r.user.as_str(),
                r.instance.as_str(),
                r.contact.map(|c| c.to_string()),
                r.fingerprint.as_ref().map(|f| f.0.as_slice()),
                r.capabilities.voice,
                r.capabilities.fax,
                r.capabilities.t38_version,
                r.capabilities.srtp,
                r.private.map(|c| c.to_string()),
                r.mac.map(|m| m.to_string()),
                r.lease_s,
                r.expires.0,
                r.dynamic,
                r.transport.as_str(),
                (!r.bindings.is_empty()).then(|| bindings::write(&r.bindings)),
            ])?,
        Record::Forgotten(number) => db.prepare_cached("DELETE FROM registrations WHERE number = ?1")?.execute([number.as_str()])?,
        Record::Reservation(r) => db.prepare_cached("INSERT OR REPLACE INTO reservations VALUES (?1,?2,?3)")?.execute(params![
            r.number.as_str(),
            r.user.as_str(),
            r.mac.map(|m| m.to_string())
        ])?,
        Record::Unreserved(number) => db.prepare_cached("DELETE FROM reservations WHERE number = ?1")?.execute([number.as_str()])?,
        Record::Account(a) => db.prepare_cached("INSERT OR REPLACE INTO accounts VALUES (?1,?2,?3,?4,?5)")?.execute(params![
            a.user.as_str(),
            a.number.as_ref().map(Number::as_str),
            a.ha1.md5.as_slice(),
            a.ha1.sha256.as_slice(),
            a.ha1.sha512_256.as_ref().map(|h| h.as_slice()),
        ])?,
        Record::AccountRemoved(user) => db.prepare_cached("DELETE FROM accounts WHERE user = ?1")?.execute([user.as_str()])?,
        Record::Person(p) => people::write(db, p)?,
        Record::PersonRemoved(user) => db.prepare_cached("DELETE FROM people WHERE user = ?1")?.execute([user.as_str()])?,
    };
    Ok(())
}

/// What the writer did, for `status`.
#[derive(Default)]
pub struct Written {
    /// Records on disk.
    pub records: AtomicU64,
    /// Transactions they took.
    pub commits: AtomicU64,
    /// Transactions that failed.
    pub failures: AtomicU64,
    /// The last transaction failed; its records wait.
    failing: AtomicBool,
    /// The log has a line on it.
    told: AtomicBool,
    lines: Seldom,
}

impl Written {
    /// Whether the last transaction failed. The writer goes on trying; nothing new is decided meanwhile.
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Acquire)
    }
    fn succeeded(&self, records: usize) {
        self.records.fetch_add(records as u64, Ordering::Relaxed);
        self.commits.fetch_add(1, Ordering::Relaxed);
        if self.failing.swap(false, Ordering::AcqRel) && self.told.swap(false, Ordering::Relaxed) {
            tracing::info!("the store writes again");
        }
    }
    fn failed(&self, waits: bool, why: &StoreError) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.failing.store(waits, Ordering::Release);
        if let Some(more) = self.lines.pass() {
            self.told.store(true, Ordering::Relaxed);
            tracing::error!("the store cannot write, registrations are refused until it can: {why} ({more} more were not logged)");
        }
    }
}

/// The disk refused: the answer that waited for it is "503, try again".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotWritten;

/// Who hears when records are on disk.
type Waiter = Box<dyn FnOnce(Result<(), NotWritten>) + Send>;

struct Job {
    records: Vec<Record>,
    written: Option<Waiter>,
    /// Nothing comes after this one.
    last: bool,
}

/// The writer thread's front.
#[derive(Clone)]
pub struct Writer {
    jobs: mpsc::SyncSender<Job>,
    waiting: Arc<AtomicU64>,
    /// What was done so far.
    pub written: Arc<Written>,
}

impl Writer {
    /// Starts the thread on `db`. `accounts_changed` is called on it when another process wrote (an import), with all accounts; false
    /// asks for the call again later. The thread ends, with all written, after [`Writer::stop`]; the handle says when.
    pub fn start(
        db: Connection,
        accounts_changed: impl FnMut(Vec<Account>) -> bool + Send + 'static,
    ) -> std::io::Result<(Writer, std::thread::JoinHandle<()>)> {
        let (jobs, inbox) = mpsc::sync_channel(STORE_QUEUE);
        let written = Arc::new(Written::default());
        let waiting = Arc::new(AtomicU64::new(0));
        let (w, q) = (written.clone(), waiting.clone());
        let thread = std::thread::Builder::new().name("store".into()).spawn(move || run(&db, &inbox, &w, &q, accounts_changed))?;
        Ok((Writer { jobs, waiting, written }, thread))
    }

    /// True when the next write surely finds a place, and the disk takes writes as far as we know. Ask before a decision is made, under the same lock as [`Writer::submit`].
    pub fn has_room(&self) -> bool {
        self.waiting.load(Ordering::Acquire) < STORE_QUEUE as u64 && !self.written.is_failing()
    }

    /// Hands records over; the receiver hears when they are on disk. The order of calls is the order on disk.
    pub fn submit(&self, records: Vec<Record>) -> oneshot::Receiver<Result<(), NotWritten>> {
        let (tell, hear) = oneshot::channel();
        self.submit_then(records, move |outcome| {
            let _nobody_waits = tell.send(outcome);
        });
        hear
    }

    /// Hands records over; `then` is called on the writer's thread when they are on disk, or are not. It must not wait.
    pub fn submit_then(&self, records: Vec<Record>, then: impl FnOnce(Result<(), NotWritten>) + Send + 'static) {
        self.send(Job { records, written: Some(Box::new(then)), last: false });
    }

    /// Hands records over that nobody waits for.
    pub fn note(&self, records: Vec<Record>) {
        self.send(Job { records, written: None, last: false });
    }

    /// Writes what was handed over and ends the thread. Waits for a place in the queue.
    pub fn stop(&self) {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let _ = self.jobs.send(Job { records: Vec::new(), written: None, last: true });
    }

    fn send(&self, job: Job) {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        if let Err(mpsc::TrySendError::Full(job) | mpsc::TrySendError::Disconnected(job)) = self.jobs.try_send(job) {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            if let Some(then) = job.written {
                then(Err(NotWritten));
            }
        }
    }
}

fn run(
    db: &Connection,
    inbox: &mpsc::Receiver<Job>,
    written: &Written,
    waiting: &AtomicU64,
    mut changed: impl FnMut(Vec<Account>) -> bool,
) {
    let mut backlog: Vec<Record> = Vec::new();
    let mut version = data_version(db);
    let mut ends = false;
    while !ends {
        let first = match inbox.recv_timeout(Duration::from_millis(LOOK_MS)) {
            Ok(job) => Some(job),
            Err(mpsc::RecvTimeoutError::Timeout) => None,
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        };
        if let Some(first) = first {
            let mut jobs = vec![first];
            while jobs.len() < STORE_BATCH
                && let Ok(job) = inbox.try_recv()
            {
                jobs.push(job);
            }
            waiting.fetch_sub(jobs.len() as u64, Ordering::AcqRel);
            ends = jobs.iter().any(|j| j.last);
            commit(db, jobs, &mut backlog, written);
        } else if !backlog.is_empty() {
            commit(db, Vec::new(), &mut backlog, written);
        }
        let seen = data_version(db);
        if seen != version && !ends {
            match load_accounts(db) {
                Ok(accounts) => {
                    if changed(accounts) {
                        version = seen;
                    }
                }
                Err(e) => tracing::error!("accounts changed on disk and cannot be read: {e}"),
            }
        }
    }
    if !backlog.is_empty() {
        commit(db, Vec::new(), &mut backlog, written);
    }
    if let Err(e) = db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
        tracing::warn!("the journal could not be folded into the database (the next start does it): {e}");
    }
}

/// Changes when another connection has committed, and only then.
fn data_version(db: &Connection) -> i64 {
    db.query_row("PRAGMA data_version", [], |row| row.get(0)).unwrap_or(0)
}

fn commit(db: &Connection, jobs: Vec<Job>, backlog: &mut Vec<Record>, written: &Written) {
    let mut waiters = Vec::with_capacity(jobs.len());
    for job in jobs {
        backlog.extend(job.records);
        waiters.extend(job.written);
    }
    let result = (|| {
        db.execute_batch("BEGIN IMMEDIATE")?;
        for record in backlog.iter() {
            write(db, record)?;
        }
        db.execute_batch("COMMIT")
    })();
    let outcome = match result {
        Ok(()) => {
            written.succeeded(backlog.len());
            backlog.clear();
            Ok(())
        }
        Err(e) => {
            if !db.is_autocommit() {
                let _ = db.execute_batch("ROLLBACK");
            }
            // The backlog holds the last value of each row; more than that would grow with every retry of every terminal.
            compact(backlog);
            written.failed(!backlog.is_empty(), &e);
            Err(NotWritten)
        }
    };
    for then in waiters {
        then(outcome);
    }
}

/// Keeps the last record of each row, in order.
fn compact(backlog: &mut Vec<Record>) {
    let key = |r: &Record| match r {
        Record::Registration(r) => (0u8, r.number.to_string()),
        Record::Forgotten(n) => (0, n.to_string()),
        Record::Reservation(r) => (1, r.number.to_string()),
        Record::Unreserved(n) => (1, n.to_string()),
        Record::Account(a) => (2, a.user.to_string()),
        Record::AccountRemoved(u) => (2, u.to_string()),
        Record::Person(p) => (3, p.user.to_string()),
        Record::PersonRemoved(u) => (3, u.to_string()),
    };
    let mut seen = std::collections::BTreeSet::new();
    backlog.reverse();
    backlog.retain(|r| seen.insert(key(r)));
    backlog.reverse();
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
