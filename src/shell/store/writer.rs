//! The writer thread: whatever waits while a commit runs goes into the next one. If a commit fails, those who wait are told so, and their
//! records stay in front of the next transaction: memory, which already has them, never has more than disk and backlog together.

use super::{Journal, StoreError, load_accounts};
use crate::clock::Instant;
use crate::directory::{Account, Record};
use crate::limits::{STORE_BATCH, STORE_QUEUE};
use crate::shell::log::Seldom;
use crate::shell::{clock, sys};
use crate::sip_door::Pending;
use rusqlite::Connection;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::sync::oneshot;

/// How often an idle writer looks whether another process changed the accounts, in milliseconds.
const LOOK_MS: u64 = 500;

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
    /// The journal could not be folded. Nothing waits for that, and the next commit says itself whether the disk takes it.
    fn fold_failed(&self, why: &StoreError) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        if let Some(more) = self.lines.pass() {
            tracing::error!("the store cannot fold its journal, which goes on growing until it can: {why} ({more} more were not logged)");
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
pub enum Waiter {
    /// Nobody.
    Nobody,
    /// This function, on the writer's thread; it must not wait.
    Call(Box<dyn FnOnce(Result<(), NotWritten>) + Send>),
    /// The SIP door: all of a transaction at once ([`Settled`]).
    Sip(Pending),
}

/// SIP's answers that waited for one transaction, and whether it is on disk.
pub type Settled = (Vec<Pending>, bool);

/// Records to write together, and who waits for them.
pub struct Work {
    /// In this order.
    pub records: Vec<Record>,
    /// Who waits.
    pub waiter: Waiter,
}

enum Job {
    Write(Work),
    /// Several, decided on under one lock.
    Many(Vec<Work>),
    /// Nothing comes after this one.
    Last,
}

/// Whether the writer works, as it was found last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Beat {
    /// Its thread took an empty job and gave it back.
    Works,
    /// The disk refused.
    NotWritten,
    /// As many wait as may.
    Full,
    /// It did not answer within [`BEAT_WITHIN_MS`].
    Silent,
}

/// The writer's thread must take and give back an empty job within this time, in milliseconds.
const BEAT_WITHIN_MS: u64 = 2000;
/// What was found holds for so long, in milliseconds: whoever asks meanwhile costs the store nothing.
const BEAT_HOLDS_MS: u64 = 1000;

/// The writer thread's front.
#[derive(Clone)]
pub struct Writer {
    /// Without a bound of its own: whoever is decided on asked for room ([`Writer::has_room`]), and what was not asked for (leases that
    /// end, no more than there are) must not be lost, because memory has it already.
    jobs: mpsc::Sender<Job>,
    waiting: Arc<AtomicU64>,
    settled: Arc<dyn Fn(Settled) + Send + Sync>,
    heard: Arc<tokio::sync::Mutex<Option<(Instant, Beat)>>>,
    /// What was done so far.
    pub written: Arc<Written>,
}

impl Writer {
    /// Starts the thread on `db`. `accounts_changed` is called on it when another process wrote (an import), with all accounts; false
    /// asks for the call again later. `settled` takes SIP's answers. The thread ends, with all written, after [`Writer::stop`]; the handle
    /// says when.
    pub fn start(
        db: Connection,
        accounts_changed: impl FnMut(Vec<Account>) -> bool + Send + 'static,
        settled: impl Fn(Settled) + Send + Sync + 'static,
    ) -> Result<(Writer, std::thread::JoinHandle<()>), StoreError> {
        let journal = Journal::open(&db)?;
        let (jobs, inbox) = mpsc::channel();
        let settled: Arc<dyn Fn(Settled) + Send + Sync> = Arc::new(settled);
        let (written, waiting) = (Arc::new(Written::default()), Arc::new(AtomicU64::new(0)));
        let mut thread = Thread {
            version: data_version(&db),
            db,
            journal,
            backlog: Vec::new(),
            fold_after: None,
            written: written.clone(),
            waiting: waiting.clone(),
            changed: Box::new(accounts_changed),
            settled: settled.clone(),
        };
        let spawned = std::thread::Builder::new().name("store".into()).spawn(move || thread.run(&inbox));
        let handle = spawned.map_err(|e| StoreError::ToSqlConversionFailure(Box::new(e)))?;
        Ok((Writer { jobs, waiting, settled, heard: Arc::default(), written }, handle))
    }

    /// True when the next write surely finds a place, and the disk takes writes as far as we know. Ask before a decision is made, under the same lock as [`Writer::submit`].
    pub fn has_room(&self) -> bool {
        self.has_room_for(1)
    }

    /// True when so many surely find one.
    pub fn has_room_for(&self, works: usize) -> bool {
        self.waiting.load(Ordering::Acquire) + works as u64 <= STORE_QUEUE as u64 && !self.written.is_failing()
    }

    /// Hands records over; the receiver hears when they are on disk. The order of calls is the order on disk.
    pub fn submit(&self, records: Vec<Record>) -> oneshot::Receiver<Result<(), NotWritten>> {
        let (tell, hear) = oneshot::channel();
        let waiter = Waiter::Call(Box::new(move |outcome| {
            let _nobody_waits = tell.send(outcome);
        }));
        self.send(Job::Write(Work { records, waiter }), 1);
        hear
    }

    /// Hands over what was decided under one lock, in this order.
    pub fn submit_all(&self, works: Vec<Work>) {
        let count = works.len() as u64;
        if count > 0 {
            self.send(Job::Many(works), count);
        }
    }

    /// Hands records over that nobody waits for.
    pub fn note(&self, records: Vec<Record>) {
        self.send(Job::Write(Work { records, waiter: Waiter::Nobody }), 1);
    }

    /// Whether the writer works. One empty job a second at most, however many ask, and none while there is no room.
    pub async fn beat(&self) -> Beat {
        if self.written.is_failing() {
            return Beat::NotWritten;
        }
        // Whoever comes while the disk is being asked waits for what it says.
        let mut heard = self.heard.lock().await;
        if let Some((at, beat)) = *heard
            && clock::now() - at < Duration::from_millis(BEAT_HOLDS_MS)
        {
            return beat;
        }
        let beat = match self.has_room() {
            // The place is not taken from one who was promised it: beside those the queue takes this one, too.
            true => match tokio::time::timeout(Duration::from_millis(BEAT_WITHIN_MS), self.submit(Vec::new())).await {
                Ok(Ok(Ok(()))) => Beat::Works,
                Ok(_) => Beat::NotWritten,
                Err(_) => Beat::Silent,
            },
            false if self.written.is_failing() => Beat::NotWritten,
            false => Beat::Full,
        };
        *heard = Some((clock::now(), beat));
        beat
    }

    /// Writes what was handed over and ends the thread.
    pub fn stop(&self) {
        let _ = self.jobs.send(Job::Last);
    }

    fn send(&self, job: Job, works: u64) {
        self.waiting.fetch_add(works, Ordering::AcqRel);
        if let Err(mpsc::SendError(job)) = self.jobs.send(job) {
            self.waiting.fetch_sub(works, Ordering::AcqRel);
            let works = match job {
                Job::Write(work) => vec![work],
                Job::Many(works) => works,
                Job::Last => Vec::new(),
            };
            // The thread is gone: nobody waits for what does not come.
            tell(works.into_iter().map(|work| work.waiter), Err(NotWritten), &*self.settled);
        }
    }
}

/// Each hears how it went.
fn tell(waiters: impl IntoIterator<Item = Waiter>, outcome: Result<(), NotWritten>, settled: &dyn Fn(Settled)) {
    let mut of_sip = Vec::new();
    for waiter in waiters {
        match waiter {
            Waiter::Nobody => {}
            Waiter::Call(then) => then(outcome),
            Waiter::Sip(pending) => of_sip.push(pending),
        }
    }
    if !of_sip.is_empty() {
        settled((of_sip, outcome.is_ok()));
    }
}

struct Thread {
    db: Connection,
    journal: Journal,
    backlog: Vec<Record>,
    written: Arc<Written>,
    waiting: Arc<AtomicU64>,
    changed: Box<dyn FnMut(Vec<Account>) -> bool + Send>,
    settled: Arc<dyn Fn(Settled) + Send + Sync>,
    version: i64,
    /// Folding failed; not before then again.
    fold_after: Option<Instant>,
}

impl Thread {
    fn run(&mut self, inbox: &mpsc::Receiver<Job>) {
        let mut ends = false;
        while !ends {
            // While there is folding to do, only what is there already goes first.
            let busy = self.backlog.is_empty() && self.may_fold() && self.journal.wants_folding(false);
            let first = match busy {
                true => inbox.try_recv().map_err(|e| e == mpsc::TryRecvError::Disconnected),
                false => inbox.recv_timeout(Duration::from_millis(LOOK_MS)).map_err(|e| e == mpsc::RecvTimeoutError::Disconnected),
            };
            let mut works = Vec::new();
            let mut next = match first {
                Ok(job) => Some(job),
                Err(true) => break,
                Err(false) => None,
            };
            let idle = next.is_none();
            while let Some(job) = next.take() {
                match job {
                    Job::Write(work) => works.push(work),
                    Job::Many(many) => works.extend(many),
                    Job::Last => ends = true,
                }
                if works.len() < STORE_BATCH && !ends {
                    next = inbox.try_recv().ok();
                }
            }
            self.waiting.fetch_sub(works.len() as u64, Ordering::AcqRel);
            if !works.is_empty() || !self.backlog.is_empty() {
                self.commit(works);
            }
            if self.backlog.is_empty() && self.may_fold() && self.journal.wants_folding(idle) {
                self.fold();
            }
            self.look_for_others(ends);
        }
        if !self.backlog.is_empty() {
            self.commit(Vec::new());
        }
        while self.backlog.is_empty() && self.journal.wants_folding(true) && self.fold() {}
        if let Err(e) = self.db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
            tracing::warn!("the journal could not be folded into the database (the next start does it): {e}");
        }
    }

    /// False: not now.
    fn fold(&mut self) -> bool {
        match self.journal.fold(&self.db) {
            Ok(()) => {
                if self.journal.is_folded() {
                    // What a flood took is given back to the system.
                    sys::give_back_memory();
                }
                true
            }
            Err(e) => {
                // What cannot be folded stays in the journal, where it holds as well; a disk that is full is not asked again at once.
                self.written.fold_failed(&e);
                self.fold_after = Some(clock::now() + Duration::from_millis(LOOK_MS));
                false
            }
        }
    }

    fn may_fold(&self) -> bool {
        self.fold_after.is_none_or(|at| at <= clock::now())
    }

    fn look_for_others(&mut self, ends: bool) {
        let seen = data_version(&self.db);
        if seen == self.version || ends {
            return;
        }
        match load_accounts(&self.db) {
            Ok(accounts) => {
                if (self.changed)(accounts) {
                    self.version = seen;
                }
            }
            Err(e) => tracing::error!("accounts changed on disk and cannot be read: {e}"),
        }
    }

    fn commit(&mut self, works: Vec<Work>) {
        let mut waiters = Vec::with_capacity(works.len());
        for work in works {
            self.backlog.extend(work.records);
            waiters.push(work.waiter);
        }
        let (db, journal) = (&self.db, &mut self.journal);
        let result = (|| {
            if self.backlog.is_empty() {
                // They waited for those before them only, and these are on disk.
                return Ok(());
            }
            db.execute_batch("BEGIN IMMEDIATE")?;
            for record in &self.backlog {
                journal.put(db, record)?;
            }
            db.execute_batch("COMMIT")
        })();
        let outcome = match result {
            Ok(()) if self.backlog.is_empty() => Ok(()),
            Ok(()) => {
                self.written.succeeded(self.backlog.len());
                self.journal.committed(self.backlog.drain(..));
                Ok(())
            }
            Err(e) => {
                if !self.db.is_autocommit() {
                    let _ = self.db.execute_batch("ROLLBACK");
                }
                // The backlog holds the last value of each row; more than that would grow with every retry of every terminal.
                compact(&mut self.backlog);
                self.written.failed(!self.backlog.is_empty(), &e);
                Err(NotWritten)
            }
        };
        tell(waiters, outcome, &*self.settled);
    }
}

/// Changes when another connection has committed, and only then.
fn data_version(db: &Connection) -> i64 {
    db.query_row("PRAGMA data_version", [], |row| row.get(0)).unwrap_or(0)
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
        Record::Person(p) => (5, p.user.to_string()),
        Record::PersonRemoved(u) => (5, u.to_string()),
        Record::Settings(s) => (3, s.number.to_string()),
        Record::SettingsRemoved(n) => (3, n.to_string()),
        Record::Server(s) => (4, s.number.to_string()),
        Record::ServerRemoved(n) => (4, n.to_string()),
        Record::Revoked(r) => (6, r.key.to_string()),
        Record::Unrevoked(key, _) => (6, key.to_string()),
    };
    let mut seen = std::collections::BTreeSet::new();
    backlog.reverse();
    backlog.retain(|r| seen.insert(key(r)));
    backlog.reverse();
}
