//! The journal of registrations: two tables in turn, one that is appended to and one that is folded into `whereabouts`.

use super::rows::{registration, write};
use super::{StoreError, whereabouts};
use crate::directory::{Instance, Record};
use crate::number::Number;
use rusqlite::{Connection, params};
use std::collections::BTreeMap;

/// Numbers in the journal from which on it is folded. More of them share a page of the table; fewer take less memory and a shorter start.
const FOLD_AT: usize = 16_384;
/// Rows folded in one transaction: some 4 ms, for which those who wait for the disk wait longer.
const FOLD_SLICE: usize = 500;

/// What lies in the journals, by number: the last word on each.
pub struct Journal {
    /// The next row's place in the order of all.
    seq: i64,
    /// Rows go to `journal_b`.
    to_b: bool,
    fresh: BTreeMap<Number, Record>,
    /// What is being folded.
    folding: BTreeMap<Number, Record>,
    /// What goes from the journals when that is done.
    then: Then,
}

/// What a fold leaves behind.
enum Then {
    /// There is no fold.
    Nothing,
    /// The table that is not appended to has no row any more.
    Empty,
    /// Neither table has a row up to this one: the fold of what an earlier process left.
    UpTo(i64),
}

impl Journal {
    /// The journal as a process that ended, in whatever way, left it.
    pub fn open(db: &Connection) -> Result<Journal, StoreError> {
        let mut journal = Journal { seq: 1, to_b: false, fresh: BTreeMap::new(), folding: BTreeMap::new(), then: Then::Nothing };
        let mut statement = db.prepare(
            "SELECT number, user, picked_for, keys, contacts, seq FROM (SELECT * FROM journal_a UNION ALL SELECT * FROM journal_b) ORDER BY seq",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            journal.seq = row.get::<_, i64>(5)? + 1;
            if let Some(record) = registration(row)? {
                insert(&mut journal.folding, record);
            }
            journal.then = Then::UpTo(journal.seq - 1);
        }
        Ok(journal)
    }

    /// Writes one record, inside whatever transaction is open: registrations to the journal, all else to its table.
    pub(super) fn put(&mut self, db: &Connection, record: &Record) -> Result<(), StoreError> {
        let sql = match self.to_b {
            true => "INSERT INTO journal_b VALUES (?1,?2,?3,?4,?5,?6)",
            false => "INSERT INTO journal_a VALUES (?1,?2,?3,?4,?5,?6)",
        };
        match record {
            Record::Registration(r) => {
                let keys = if r.keys.is_empty() { String::new() } else { whereabouts::write_keys(&r.keys) };
                db.prepare_cached(sql)?.execute(params![
                    self.seq,
                    r.number.as_str(),
                    r.user.as_str(),
                    r.picked_for.as_ref().map(Instance::as_str),
                    keys,
                    whereabouts::write(&r.contacts),
                ])?;
            }
            Record::Forgotten(number) => {
                let none: Option<&str> = None;
                db.prepare_cached(sql)?.execute(params![self.seq, number.as_str(), none, none, none, none])?;
            }
            _ => return write(db, record),
        }
        self.seq += 1;
        Ok(())
    }

    /// These are on disk.
    pub(super) fn committed(&mut self, records: impl Iterator<Item = Record>) {
        for record in records {
            insert(&mut self.fresh, record);
        }
    }

    /// Whether a fold should go on, or begin: `idle` when nobody waits.
    pub(super) fn wants_folding(&self, idle: bool) -> bool {
        !matches!(self.then, Then::Nothing) || self.fresh.len() >= FOLD_AT || idle && !self.fresh.is_empty()
    }

    /// Nothing lies in the journals.
    pub(super) fn is_folded(&self) -> bool {
        matches!(self.then, Then::Nothing) && self.fresh.is_empty()
    }

    /// One slice of folding, in a transaction of its own.
    pub(super) fn fold(&mut self, db: &Connection) -> Result<(), StoreError> {
        if matches!(self.then, Then::Nothing) {
            // What is appended from here on goes to the other table; what is in this one holds still.
            self.folding = core::mem::take(&mut self.fresh);
            (self.to_b, self.then) = (!self.to_b, Then::Empty);
        }
        db.execute_batch("BEGIN IMMEDIATE")?;
        let slice = self.folding.iter().take(FOLD_SLICE);
        let written = slice.map(|(number, record)| write(db, record).map(|()| number)).collect::<Result<Vec<_>, _>>();
        let outcome = written.and_then(|written| {
            let last = written.len() == self.folding.len();
            match self.then {
                Then::Empty if last && self.to_b => db.execute_batch("DELETE FROM journal_a")?,
                Then::Empty if last => db.execute_batch("DELETE FROM journal_b")?,
                Then::UpTo(seq) if last => {
                    db.execute("DELETE FROM journal_a WHERE seq <= ?1", [seq])?;
                    db.execute("DELETE FROM journal_b WHERE seq <= ?1", [seq])?;
                }
                Then::Empty | Then::UpTo(_) | Then::Nothing => {}
            }
            db.execute_batch("COMMIT")?;
            Ok((written.last().map(|n| (*n).clone()), last))
        });
        match outcome {
            Ok((upto, last)) => {
                if let Some(upto) = upto {
                    self.folding = self.folding.split_off(&upto);
                    self.folding.remove(&upto);
                }
                if last {
                    self.then = Then::Nothing;
                }
                Ok(())
            }
            Err(e) => {
                if !db.is_autocommit() {
                    let _ = db.execute_batch("ROLLBACK");
                }
                Err(e)
            }
        }
    }
}

/// The last word on a number, if the record is one.
fn insert(words: &mut BTreeMap<Number, Record>, record: Record) {
    let number = match &record {
        Record::Registration(r) => r.number.clone(),
        Record::Forgotten(number) => number.clone(),
        _ => return,
    };
    words.insert(number, record);
}
