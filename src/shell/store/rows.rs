//! Records as rows of tables, and back.

use super::{StoreError, people, whereabouts};
use crate::clock::WallMs;
use crate::digest::Ha1;
use crate::directory::revocations::Revocation;
use crate::directory::{Account, Disclosure, Fixed, Instance, Mac, Record, Registration, Reservation, Ring, Server, Settings, User};
use crate::key::Fingerprint;
use crate::number::Number;
use crate::sip::Transport;
use rusqlite::{Connection, OpenFlags, Row, params};
use std::path::Path;

/// All rows of a store, as a directory is filled with them.
#[derive(Default)]
pub struct Loaded {
    /// By name.
    pub accounts: Vec<Account>,
    /// By number, each once.
    pub registrations: Vec<Registration>,
    /// Whatever else there is, and what the journals say over the registrations, in this order.
    pub records: Vec<Record>,
    /// Rows that cannot be read (somebody edited them) and are passed over.
    pub unreadable: u64,
}

/// All rows of the database `path`, which `db` has open: accounts and registrations side by side, for a directory that starts is waited for.
pub fn load_whole(db: &Connection, path: &Path) -> Result<Loaded, StoreError> {
    let beside = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    std::thread::scope(|scope| {
        let registrations = scope.spawn(move || {
            let mut out = Loaded::default();
            let unreadable = each_row(&beside, WHEREABOUTS, registration, |record| match record {
                Record::Registration(r) => out.registrations.push(*r),
                other => out.records.push(other),
            })?;
            Ok::<_, StoreError>(Loaded { unreadable, ..out })
        });
        let mut loaded = Loaded::default();
        loaded.unreadable += each_row(
            db,
            ACCOUNTS,
            |r| Ok(account(r)?.map(Record::Account)),
            |record| {
                if let Record::Account(account) = record {
                    loaded.accounts.push(account);
                }
            },
        )?;
        let others = load_others(db, |record| loaded.records.push(record))?;
        let Loaded { registrations, records, unreadable, .. } = registrations.join().expect("reading rows does not panic")?;
        loaded.unreadable += others + unreadable;
        loaded.registrations = registrations;
        loaded.records.extend(records);
        loaded.unreadable += each_row(db, JOURNALS, registration, |record| loaded.records.push(record))?;
        Ok(loaded)
    })
}

/// All rows, as the records that make the state. A row that cannot be read (somebody edited it) is passed over and counted.
pub fn load(db: &Connection, mut each: impl FnMut(Record)) -> Result<u64, StoreError> {
    let accounts = each_row(db, ACCOUNTS, |r| Ok(account(r)?.map(Record::Account)), &mut each)?;
    let others = load_others(db, &mut each)?;
    let table = each_row(db, WHEREABOUTS, registration, &mut each)?;
    Ok(accounts + others + table + each_row(db, JOURNALS, registration, &mut each)?)
}

/// By name, as a directory's table is.
const ACCOUNTS: &str = "SELECT user, number, ha1_md5, ha1_sha256, ha1_sha512_256 FROM accounts ORDER BY user";
const WHEREABOUTS: &str = "SELECT number, user, picked_for, keys, contacts FROM whereabouts ORDER BY number";
/// They lie over the table.
const JOURNALS: &str = "SELECT number, user, picked_for, keys, contacts
  FROM (SELECT * FROM journal_a UNION ALL SELECT * FROM journal_b) ORDER BY seq";

fn load_others(db: &Connection, mut each: impl FnMut(Record)) -> Result<u64, StoreError> {
    let reservations =
        each_row(db, "SELECT number, user, mac FROM reservations", |r| Ok(reservation(r)?.map(Record::Reservation)), &mut each)?;
    let people = each_row(
        db,
        "SELECT user, password, role, accounts, numbers FROM people",
        |r| Ok(people::read(r)?.map(Record::Person)),
        &mut each,
    )?;
    let columns = "SELECT number, disclosure, ring, call_waiting, do_not_disturb, presence, fixed, fixed_key FROM numbers";
    let numbers = each_row(db, columns, |r| Ok(settings(r)?.map(Record::Settings)), &mut each)?;
    let columns = "SELECT number, terminal_digits, sip, api, secret, fingerprint FROM servers";
    let servers = each_row(db, columns, |r| Ok(server(r)?.map(Record::Server)), &mut each)?;
    let columns = "SELECT key, why, at_ms, serial, good_again FROM revocations";
    let revocations = each_row(db, columns, revocation, &mut each)?;
    Ok(reservations + people + numbers + servers + revocations)
}

/// Reads rows; how many could not be read.
fn each_row(
    db: &Connection,
    sql: &str,
    read: impl Fn(&Row<'_>) -> Result<Option<Record>, StoreError>,
    mut each: impl FnMut(Record),
) -> Result<u64, StoreError> {
    let mut unreadable = 0;
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        match read(row)? {
            Some(record) => each(record),
            None => unreadable += 1,
        }
    }
    Ok(unreadable)
}

fn revocation(row: &Row<'_>) -> Result<Option<Record>, StoreError> {
    let (key, why, at, serial): (String, String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
    let good_again: bool = row.get(4)?;
    let read = || {
        let (key, serial) = (Fingerprint::parse(&key)?, u64::try_from(serial).ok()?);
        let revoked = Revocation { key, why: why.into(), at: WallMs(at), serial };
        Some(if good_again { Record::Unrevoked(key, serial) } else { Record::Revoked(revoked) })
    };
    Ok(read())
}

/// The accounts alone.
pub fn load_accounts(db: &Connection) -> Result<Vec<Account>, StoreError> {
    let mut out = Vec::new();
    let read = |row: &Row<'_>| Ok(account(row)?.map(Record::Account));
    let _unreadable_were_told_at_start = each_row(db, ACCOUNTS, read, |record| {
        if let Record::Account(account) = record {
            out.push(account);
        }
    })?;
    Ok(out)
}

/// A text where it lies; `None`: NULL.
fn text<'r>(row: &'r Row<'_>, i: usize) -> Result<Option<&'r str>, StoreError> {
    let wrong = |e| StoreError::FromSqlConversionFailure(i, rusqlite::types::Type::Text, Box::new(e));
    row.get_ref(i)?.as_str_or_null().map_err(wrong)
}

fn account(row: &Row<'_>) -> Result<Option<Account>, StoreError> {
    let hash = |i: usize| -> Result<Option<&[u8]>, StoreError> {
        let wrong = |e| StoreError::FromSqlConversionFailure(i, rusqlite::types::Type::Blob, Box::new(e));
        row.get_ref(i)?.as_blob_or_null().map_err(wrong)
    };
    let (user, number) = (text(row, 0)?, text(row, 1)?);
    let (md5, sha256, sha512_256) = (hash(2)?, hash(3)?, hash(4)?);
    Ok((|| {
        Some(Account {
            user: User::parse(user?).ok()?,
            number: number.map(Number::parse).transpose().ok()?,
            ha1: Ha1 {
                md5: md5?.try_into().ok()?,
                sha256: sha256?.try_into().ok()?,
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

fn settings(row: &Row<'_>) -> Result<Option<Settings>, StoreError> {
    let (number, disclosure, ring): (String, Option<String>, Option<String>) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let (call_waiting, do_not_disturb, presence) = (row.get(3)?, row.get(4)?, row.get(5)?);
    let (fixed, key): (Option<String>, Option<String>) = (row.get(6)?, row.get(7)?);
    Ok((|| {
        let fingerprint = key.map_or(Some(None), |k| Fingerprint::parse(&k).map(Some))?;
        let fixed = match &fixed {
            Some(text) => {
                let (address, transport) = text.split_once(' ')?;
                Some(Fixed { address: address.parse().ok()?, transport: Transport::parse(transport.as_bytes())?, fingerprint })
            }
            None => None,
        };
        Some(Settings {
            number: Number::parse(&number).ok()?,
            disclosure: disclosure.map_or(Some(None), |d| Disclosure::parse(&d).map(Some))?,
            ring: ring.map_or(Some(None), |r| Ring::parse(&r).map(Some))?,
            call_waiting,
            do_not_disturb,
            presence,
            fixed,
        })
    })())
}

fn server(row: &Row<'_>) -> Result<Option<Server>, StoreError> {
    let (number, terminal_digits, sip): (String, u8, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let (api, secret, fingerprint): (Option<String>, Option<String>, Option<String>) = (row.get(3)?, row.get(4)?, row.get(5)?);
    Ok((|| {
        // One that cannot be read is not the same as none: nobody is sent there under a weaker trust than was meant.
        let fingerprint = fingerprint.map_or(Some(None), |text| Fingerprint::parse(&text).map(Some))?;
        let number = Number::parse(&number).ok()?;
        Some(Server { number, terminal_digits, sip: sip.into(), api: api.map(Into::into), fingerprint, secret: secret.map(Into::into) })
    })())
}

/// A row of `whereabouts` or of a journal: number, user (none: forgotten), picked_for, keys, contacts.
pub(super) fn registration(row: &Row<'_>) -> Result<Option<Record>, StoreError> {
    let text = |i| text(row, i);
    let (number, user, picked_for, keys, contacts) = (text(0)?, text(1)?, text(2)?, text(3)?, text(4)?);
    Ok((|| {
        let number = Number::parse(number?).ok()?;
        let Some(user) = user else { return Some(Record::Forgotten(number)) };
        Some(Record::Registration(Box::new(Registration {
            number,
            user: User::parse(user).ok()?,
            picked_for: picked_for.map(Instance::parse).transpose().ok()?,
            keys: whereabouts::read_keys(keys?)?,
            contacts: whereabouts::read(contacts?)?,
        })))
    })())
}

/// Writes one record to its table, inside whatever transaction is open.
pub fn write(db: &Connection, record: &Record) -> Result<(), StoreError> {
    match record {
        Record::Registration(r) => db.prepare_cached("INSERT OR REPLACE INTO whereabouts VALUES (?1,?2,?3,?4,?5)")?.execute(params![
            r.number.as_str(),
            r.user.as_str(),
            r.picked_for.as_ref().map(Instance::as_str),
            whereabouts::write_keys(&r.keys),
            whereabouts::write(&r.contacts),
        ])?,
        Record::Forgotten(number) => db.prepare_cached("DELETE FROM whereabouts WHERE number = ?1")?.execute([number.as_str()])?,
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
        Record::Settings(s) => db.prepare_cached("INSERT OR REPLACE INTO numbers VALUES (?1,?2,?3,?4,?5,?6,?7,?8)")?.execute(params![
            s.number.as_str(),
            s.disclosure.map(Disclosure::word),
            s.ring.map(Ring::word),
            s.call_waiting,
            s.do_not_disturb,
            s.presence,
            s.fixed.as_ref().map(|f| format!("{} {}", f.address, f.transport.as_str())),
            s.fixed.as_ref().and_then(|f| f.fingerprint).map(|k| k.to_string()),
        ])?,
        Record::SettingsRemoved(number) => db.prepare_cached("DELETE FROM numbers WHERE number = ?1")?.execute([number.as_str()])?,
        Record::Server(s) => db.prepare_cached("INSERT OR REPLACE INTO servers VALUES (?1,?2,?3,?4,?5,?6)")?.execute(params![
            s.number.as_str(),
            s.terminal_digits,
            &*s.sip,
            s.api.as_deref(),
            s.secret.as_deref(),
            s.fingerprint.map(|f| f.to_string()),
        ])?,
        Record::ServerRemoved(number) => db.prepare_cached("DELETE FROM servers WHERE number = ?1")?.execute([number.as_str()])?,
        Record::Revoked(r) => db.prepare_cached("INSERT OR REPLACE INTO revocations VALUES (?1,?2,?3,?4,0)")?.execute(params![
            r.key.to_string(),
            &*r.why,
            r.at.0,
            r.serial as i64
        ])?,
        Record::Unrevoked(key, serial) => {
            db.prepare_cached("DELETE FROM revocations WHERE good_again = 1 AND serial < ?1")?.execute([*serial as i64])?;
            db.prepare_cached("INSERT OR REPLACE INTO revocations VALUES (?1,'',0,?2,1)")?
                .execute(params![key.to_string(), *serial as i64])?
        }
    };
    Ok(())
}
