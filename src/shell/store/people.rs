//! The table of people. Their accounts and numbers stand in one column each, between commas: neither has one in it.

use super::StoreError;
use crate::directory::{Person, Role, User};
use crate::number::Number;
use rusqlite::{Connection, Row, params};

/// A row; `None` if it cannot be read.
pub(super) fn read(row: &Row<'_>) -> Result<Option<Person>, StoreError> {
    let (user, password, role): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let (accounts, numbers): (String, String) = (row.get(3)?, row.get(4)?);
    Ok((|| {
        Some(Person {
            user: User::parse(&user).ok()?,
            password: password.into(),
            role: Role::parse(&role)?,
            accounts: listed(&accounts).map(User::parse).collect::<Result<_, _>>().ok()?,
            numbers: listed(&numbers).map(Number::parse).collect::<Result<_, _>>().ok()?,
        })
    })())
}

fn listed(column: &str) -> impl Iterator<Item = &str> {
    column.split(',').filter(|part| !part.is_empty())
}

/// Writes one row.
pub(super) fn write(db: &Connection, p: &Person) -> Result<usize, StoreError> {
    let accounts: Vec<&str> = p.accounts.iter().map(User::as_str).collect();
    let numbers: Vec<&str> = p.numbers.iter().map(Number::as_str).collect();
    db.prepare_cached("INSERT OR REPLACE INTO people VALUES (?1,?2,?3,?4,?5)")?.execute(params![
        p.user.as_str(),
        &*p.password,
        p.role.as_str(),
        accounts.join(","),
        numbers.join(",")
    ])
}
