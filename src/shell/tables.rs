//! The directory's tables as CSV, out and in: registrations, reservations, accounts, people, settings of numbers, other servers.
//!
//! The columns are those of the database, whatever its schema has. Passwords are nowhere, so they are in no file either; their hashes are
//! only where they are asked for, because whoever has a terminal's hash can log in with it. What comes in is checked row by row and as a
//! whole, and all of it counts or none.

use crate::config::directory::Config;
use crate::directory::{NumberPlan, User};
use crate::number::Number;
use crate::shell::directory::DATABASE;
use crate::shell::{csv, passwords, state_folder, store};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};
use std::path::PathBuf;

/// A table that goes out and comes in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Table {
    /// Who is where.
    Registrations,
    /// Numbers that are kept for somebody.
    Reservations,
    /// Terminals' accounts.
    Accounts,
    /// Who may log in to the API.
    People,
    /// Settings of numbers: disclosure, ringing, do-not-disturb, fixed addresses.
    Numbers,
    /// Other servers.
    Servers,
}

impl Table {
    fn name(self) -> &'static str {
        match self {
            Table::Registrations => "whereabouts",
            Table::Reservations => "reservations",
            Table::Accounts => "accounts",
            Table::People => "people",
            Table::Numbers => "numbers",
            Table::Servers => "servers",
        }
    }
    /// What is read: the table, with the journals over it where it has some.
    fn source(self) -> String {
        if self == Table::Registrations { format!("({TOGETHER})") } else { self.name().to_owned() }
    }
}

/// Registrations as they hold: the last word of the journals on each number, else that of their table.
const TOGETHER: &str = "
SELECT number, user, picked_for, keys, contacts FROM whereabouts WHERE number NOT IN (SELECT number FROM journal_a UNION SELECT number FROM journal_b)
UNION ALL
SELECT number, user, picked_for, keys, contacts
FROM (SELECT * FROM journal_a UNION ALL SELECT * FROM journal_b) AS j
JOIN (SELECT number AS said, max(seq) AS last FROM (SELECT number, seq FROM journal_a UNION ALL SELECT number, seq FROM journal_b) GROUP BY number)
  ON j.number = said AND j.seq = last
WHERE user IS NOT NULL";

/// Why a table does not come in, or go out. All are the operator's to mend.
#[derive(Debug)]
pub enum TableError {
    /// The database.
    Store(PathBuf, store::OpenError),
    /// A line of the file.
    Line(usize, String),
    /// The file as a whole.
    Whole(String),
    /// A daemon runs, which would not see it.
    Runs(PathBuf),
}

impl core::fmt::Display for TableError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            TableError::Store(path, e) => write!(f, "{}: {e}", path.display()),
            TableError::Line(line, why) => write!(f, "line {line}: {why}"),
            TableError::Whole(why) => f.write_str(why),
            TableError::Runs(state) => {
                write!(
                    f,
                    "{}: a directory runs on this state and would not see it; stop it first (accounts alone may come meanwhile)",
                    state.display()
                )
            }
        }
    }
}
impl std::error::Error for TableError {}

/// A column of a table.
struct Column {
    name: String,
    kind: String,
    required: bool,
    key: bool,
}

impl Column {
    fn is_secret(&self) -> bool {
        matches!(self.name.as_str(), "password" | "secret") || self.name.starts_with("ha1_")
    }

    /// The value of a field.
    fn value(&self, text: &str) -> Result<Value, String> {
        if text.is_empty() && !self.required {
            return Ok(Value::Null);
        }
        match self.kind.as_str() {
            "INTEGER" => text.parse().map(Value::Integer).map_err(|_| format!("{}: {text:?} is no whole number", self.name)),
            "BLOB" => from_hex(text).map(Value::Blob).ok_or_else(|| format!("{}: it is not in hex", self.name)),
            _ => Ok(Value::Text(text.to_owned())),
        }
    }
}

fn columns(db: &Connection, table: Table) -> Result<Vec<Column>, store::StoreError> {
    let mut statement = db.prepare("SELECT name, type, \"notnull\", pk FROM pragma_table_info(?1)")?;
    let rows = statement.query_map([table.name()], |row| {
        Ok(Column { name: row.get(0)?, kind: row.get(1)?, required: row.get::<_, i64>(2)? != 0, key: row.get::<_, i64>(3)? != 0 })
    })?;
    rows.collect()
}

fn open(config: &Config) -> Result<Connection, TableError> {
    let path = config.state_dir.join(DATABASE);
    let at = |e: store::OpenError| TableError::Store(path.clone(), e);
    std::fs::create_dir_all(&config.state_dir).map_err(|e| TableError::Whole(format!("{}: {e}", config.state_dir.display())))?;
    let db = store::open(&path).map_err(at)?;
    store::bind_realm(&db, &config.domain).map_err(at)?;
    Ok(db)
}

/// The table as text, its rows by key, and how many there are. One snapshot, whether the daemon runs or not.
pub fn export(config: &Config, table: Table, with_hashes: bool) -> Result<(String, usize), TableError> {
    let db = open(config)?;
    let read = || -> Result<(String, usize), store::StoreError> {
        let columns = columns(&db, table)?;
        let told: Vec<&Column> = columns.iter().filter(|c| with_hashes || !c.is_secret()).collect();
        let names: Vec<String> = told.iter().map(|c| format!("\"{}\"", c.name)).collect();
        let mut out = String::new();
        csv::push(&mut out, told.iter().map(|c| c.name.as_str()));
        let mut statement = db.prepare(&format!("SELECT {} FROM {} ORDER BY 1", names.join(","), table.source()))?;
        let (mut rows, mut count) = (statement.query([])?, 0);
        while let Some(row) = rows.next()? {
            let fields = (0..told.len()).map(|i| row.get_ref(i).map(text_of)).collect::<Result<Vec<_>, _>>()?;
            csv::push(&mut out, fields.iter().map(String::as_str));
            count += 1;
        }
        Ok((out, count))
    };
    read().map_err(|e| TableError::Store(config.state_dir.join(DATABASE), e.into()))
}

fn text_of(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Integer(n) => n.to_string(),
        ValueRef::Real(x) => x.to_string(),
        ValueRef::Text(t) => String::from_utf8_lossy(t).into_owned(),
        ValueRef::Blob(b) => b.iter().map(|b| format!("{b:02x}")).collect(),
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect();
    digits.filter(|d| d.len() % 2 == 0).map(|d| d.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// Reads a table back: rows that are there are changed in the columns that the file has, others are added. Returns how many there were.
pub fn import(config: &Config, table: Table, text: &str) -> Result<usize, TableError> {
    let lock = state_folder::lock(&config.state_dir).unwrap_or_default();
    if lock.is_none() && table != Table::Accounts && config.state_dir.exists() {
        return Err(TableError::Runs(config.state_dir.clone()));
    }
    let mut db = open(config)?;
    let rows = csv::read(text).map_err(|e| TableError::Line(e.line, e.why.into()))?;
    let at = |e: store::StoreError| TableError::Store(config.state_dir.join(DATABASE), e.into());
    let all = columns(&db, table).map_err(at)?;
    let mut rows = rows.into_iter();
    let (_, header) = rows.next().ok_or_else(|| TableError::Whole("the file is empty: its first line names the columns".into()))?;
    let known = |name: &String| {
        all.iter().find(|c| c.name == *name).ok_or_else(|| TableError::Line(1, format!("{name:?} is no column of {}", table.name())))
    };
    let given: Vec<&Column> = header.iter().map(known).collect::<Result<_, _>>()?;
    let key = given.iter().position(|c| c.key).ok_or_else(|| {
        let keys: Vec<&str> = all.iter().filter(|c| c.key).map(|c| c.name.as_str()).collect();
        TableError::Line(1, format!("there is no column {}", keys.join(", ")))
    })?;
    let sql = Sql::of(table, &all, &given, key);
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(at)?;
    if table == Table::Registrations {
        transaction.execute_batch(&fold()).map_err(at)?;
    }
    let unreadable = store::load(&transaction, |_| {}).map_err(at)?;
    let mut count = 0;
    for (line, fields) in rows {
        if fields.len() != given.len() {
            return Err(TableError::Line(line, format!("{} fields, and the first line names {} columns", fields.len(), given.len())));
        }
        let plan = (table != Table::Servers).then_some(&config.policy.plan);
        let values: Result<Vec<Value>, String> = given.iter().zip(&fields).map(|(c, text)| checked(c, text, plan)).collect();
        let values = values.map_err(|why| TableError::Line(line, why))?;
        sql.put(&transaction, &values, key).map_err(|why| TableError::Line(line, why))?;
        count += 1;
    }
    if store::load(&transaction, |_| {}).map_err(at)? > unreadable {
        return Err(TableError::Whole("a row of it has a value that cannot be read; nothing was changed".into()));
    }
    if !config.loopback_only() && table == Table::Accounts {
        let accounts = store::load_accounts(&transaction).map_err(at)?;
        if let Some(known) = super::accounts::known_to_everybody(&accounts, &config.domain) {
            return Err(TableError::Whole(format!(
                "account {} has its password from the demo, which everybody knows; nothing was changed",
                known.user
            )));
        }
    }
    transaction.commit().map_err(at)?;
    Ok(count)
}

/// No daemon runs: what the journals say goes to the table, so that what comes in lies over it.
fn fold() -> String {
    format!(
        "CREATE TEMP TABLE together AS {TOGETHER};
         DELETE FROM whereabouts; INSERT INTO whereabouts SELECT * FROM together; DROP TABLE together;
         DELETE FROM journal_a; DELETE FROM journal_b;"
    )
}

/// The value of a field, if it is one that the column may have; `plan` says which numbers there are, where they are this directory's.
fn checked(column: &Column, text: &str, plan: Option<&NumberPlan>) -> Result<Value, String> {
    let number = |text: &str| {
        let read = Number::parse(text).ok();
        let ours = match plan {
            Some(plan) => read.and_then(|n| plan.terminal(&n)),
            None => read,
        };
        ours.ok_or_else(|| format!("{text:?} is no number of this directory"))
    };
    match column.name.as_str() {
        "number" if !text.is_empty() || column.required => return number(text).map(|n| Value::Text(n.to_string())),
        "user" => drop(User::parse(text).map_err(|e| format!("user {text:?}: {e}"))?),
        "numbers" => text.split(',').filter(|n| !n.is_empty()).try_for_each(|n| number(n).map(drop))?,
        "password" if !passwords::is_usable(text) => return Err("password: it is no argon2id hash that is taken here".into()),
        _ => {}
    }
    column.value(text)
}

/// The statements that put a row.
struct Sql {
    table: Table,
    there: String,
    update: Option<String>,
    insert: String,
    /// What a new row needs and the file does not have.
    missing: Vec<String>,
}

impl Sql {
    fn of(table: Table, all: &[Column], given: &[&Column], key: usize) -> Sql {
        let name = table.name();
        let set: Vec<String> =
            given.iter().enumerate().filter(|(i, _)| *i != key).map(|(i, c)| format!("\"{}\" = ?{}", c.name, i + 1)).collect();
        let names: Vec<String> = given.iter().map(|c| format!("\"{}\"", c.name)).collect();
        let places: Vec<String> = (1..=given.len()).map(|i| format!("?{i}")).collect();
        let by_key = format!("\"{}\" = ?{}", given[key].name, key + 1);
        Sql {
            table,
            there: format!("SELECT 1 FROM {name} WHERE \"{}\" = ?1", given[key].name),
            update: (!set.is_empty()).then(|| format!("UPDATE {name} SET {} WHERE {by_key}", set.join(", "))),
            insert: format!("INSERT INTO {name} ({}) VALUES ({})", names.join(","), places.join(",")),
            missing: all.iter().filter(|c| c.required && !given.iter().any(|g| g.name == c.name)).map(|c| c.name.clone()).collect(),
        }
    }

    fn put(&self, db: &Connection, values: &[Value], key: usize) -> Result<(), String> {
        let in_words = |e: store::StoreError| e.to_string();
        let there =
            db.prepare_cached(&self.there).and_then(|mut s| s.query_row([&values[key]], |_| Ok(())).optional()).map_err(in_words)?;
        let statement = match (there, &self.update) {
            (Some(()), Some(update)) => update,
            (Some(()), None) => return Ok(()),
            (None, _) if !self.missing.is_empty() => {
                let why = if self.table == Table::Accounts || self.table == Table::People { ": export it with --with-hashes" } else { "" };
                return Err(format!("this row is new, and the file has no {}{why}", self.missing.join(", ")));
            }
            (None, _) => &self.insert,
        };
        db.prepare_cached(statement).and_then(|mut s| s.execute(rusqlite::params_from_iter(values))).map(drop).map_err(in_words)
    }
}
