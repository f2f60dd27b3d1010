//! Records as rows of tables, and back.

use super::{StoreError, people, whereabouts};
use crate::digest::Ha1;
use crate::directory::{Account, Disclosure, Fixed, Instance, Mac, Record, Registration, Reservation, Ring, Server, Settings, User};
use crate::key::Fingerprint;
use crate::number::Number;
use crate::sip::Transport;
use rusqlite::{Connection, Row, params};

/// All rows, as the records that make the state. A row that cannot be read (somebody edited it) is passed over and counted.
pub fn load(db: &Connection, mut each: impl FnMut(Record)) -> Result<u64, StoreError> {
    let mut unreadable = 0;
    let mut take = |record: Option<Record>| match record {
        Some(record) => each(record),
        None => unreadable += 1,
    };
    type Read = fn(&Row<'_>) -> Result<Option<Record>, StoreError>;
    let mut every = |sql: &str, read: Read| -> Result<(), StoreError> {
        let mut statement = db.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            take(read(row)?);
        }
        Ok(())
    };
    every("SELECT user, number, ha1_md5, ha1_sha256, ha1_sha512_256 FROM accounts", |r| Ok(account(r)?.map(Record::Account)))?;
    every("SELECT number, user, mac FROM reservations", |r| Ok(reservation(r)?.map(Record::Reservation)))?;
    every("SELECT user, password, role, accounts, numbers FROM people", |r| Ok(people::read(r)?.map(Record::Person)))?;
    every("SELECT number, disclosure, ring, call_waiting, do_not_disturb, presence, fixed, fixed_key FROM numbers", |r| {
        Ok(settings(r)?.map(Record::Settings))
    })?;
    every("SELECT number, terminal_digits, sip, api, secret FROM servers", |r| Ok(server(r)?.map(Record::Server)))?;
    every("SELECT number, user, picked_for, keys, contacts FROM whereabouts", registration)?;
    // The journals lie over the table.
    every(
        "SELECT number, user, picked_for, keys, contacts FROM (SELECT * FROM journal_a UNION ALL SELECT * FROM journal_b) ORDER BY seq",
        registration,
    )?;
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
    let (api, secret): (Option<String>, Option<String>) = (row.get(3)?, row.get(4)?);
    let read = |number| Server { number, terminal_digits, sip: sip.into(), api: api.map(Into::into), secret: secret.map(Into::into) };
    Ok(Number::parse(&number).ok().map(read))
}

/// A row of `whereabouts` or of a journal: number, user (none: forgotten), picked_for, keys, contacts.
pub(super) fn registration(row: &Row<'_>) -> Result<Option<Record>, StoreError> {
    let text = |i: usize| -> Result<Option<&str>, StoreError> {
        row.get_ref(i)?.as_str_or_null().map_err(|e| StoreError::FromSqlConversionFailure(i, rusqlite::types::Type::Text, Box::new(e)))
    };
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
        Record::Server(s) => db.prepare_cached("INSERT OR REPLACE INTO servers VALUES (?1,?2,?3,?4,?5)")?.execute(params![
            s.number.as_str(),
            s.terminal_digits,
            &*s.sip,
            s.api.as_deref(),
            s.secret.as_deref(),
        ])?,
        Record::ServerRemoved(number) => db.prepare_cached("DELETE FROM servers WHERE number = ?1")?.execute([number.as_str()])?,
    };
    Ok(())
}
