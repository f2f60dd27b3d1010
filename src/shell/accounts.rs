//! Accounts from files: `number,password` lines into the store, whether the daemon runs or not.
//!
//! The import writes the database itself, in transactions short enough that a running daemon's registrations pass between them; the daemon
//! sees that another process wrote, and reads the accounts again.

use crate::config::directory::Config;
use crate::digest::Ha1;
use crate::directory::{Account, NumberPlan, Record, User};
use crate::number::Number;
use crate::shell::store;
use std::collections::BTreeMap;
use std::path::Path;

/// Accounts a transaction: about 30 ms of the database's lock.
const CHUNK: usize = 5000;

/// The accounts that everybody who has this source has too. They are for loopback only.
const DEMO: &str = include_str!("../../fixtures/config/accounts.csv");

/// Why accounts cannot be imported.
#[derive(Debug)]
pub enum ImportError {
    /// The file cannot be read.
    Unreadable(std::io::Error),
    /// This line is not `number,password`.
    BadLine(usize, &'static str),
    /// This line is an account of the demo, and the directory can be reached from outside.
    DemoAccount(usize),
    /// The account's number is this other account's own.
    Taken(User, Number, User),
    /// The store cannot be used.
    Store(store::OpenError),
}
impl core::fmt::Display for ImportError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            ImportError::Unreadable(e) => write!(f, "{e}"),
            ImportError::BadLine(line, why) => write!(f, "line {line}: {why}"),
            ImportError::DemoAccount(line) => {
                write!(f, "line {line} is an account of the demo, whose password everybody knows; this directory listens beyond loopback")
            }
            ImportError::Taken(user, number, other) => write!(f, "account {user}: its number {number} is the account {other}'s own"),
            ImportError::Store(e) => write!(f, "the store: {e}"),
        }
    }
}
impl std::error::Error for ImportError {}
impl From<store::OpenError> for ImportError {
    fn from(e: store::OpenError) -> Self {
        ImportError::Store(e)
    }
}
impl From<store::StoreError> for ImportError {
    fn from(e: store::StoreError) -> Self {
        ImportError::Store(e.into())
    }
}

/// Reads `number,password` lines; blank lines and lines from `#` on are passed over. All are read before any counts.
pub fn read(text: &str, domain: &str, plan: &NumberPlan, loopback_only: bool) -> Result<Vec<Account>, ImportError> {
    let demo = demo_accounts(domain);
    let mut out = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let line = line.trim_end_matches('\r');
        if line.trim().is_empty() || line.starts_with('#') || (i == 0 && line == "number,password") {
            continue;
        }
        let (user, password) = line.split_once(',').ok_or(ImportError::BadLine(i + 1, "there is no comma"))?;
        let user = User::parse(user.trim()).map_err(|_| ImportError::BadLine(i + 1, "the number is not a name of an account"))?;
        if password.is_empty() {
            return Err(ImportError::BadLine(i + 1, "the password is empty"));
        }
        let account = account(user, None, password, domain, plan);
        if !loopback_only && is_demo(&demo, &account) {
            return Err(ImportError::DemoAccount(i + 1));
        }
        out.push(account);
    }
    Ok(out)
}

/// An account of this password; its own number is `number`, else its name where that is a terminal number.
pub fn account(user: User, number: Option<Number>, password: &str, domain: &str, plan: &NumberPlan) -> Account {
    let ha1 = Ha1::of(user.as_str(), domain, password);
    let by_name = || user.as_str().bytes().all(|c| c.is_ascii_digit()).then(|| Number::parse(user.as_str()).ok()).flatten();
    let number = number.or_else(by_name).and_then(|n| plan.terminal(&n));
    Account { user, number, ha1 }
}

/// The accounts of the demo in this domain.
pub fn demo_accounts(domain: &str) -> Vec<Account> {
    let lines = DEMO.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.split_once(','));
    lines
        .filter_map(|(user, password)| {
            let ha1 = Ha1::of(user, domain, password);
            Some(Account { user: User::parse(user).ok()?, number: Number::parse(user).ok(), ha1 })
        })
        .collect()
}

/// The first account among `accounts` that has a password of the demo.
pub fn known_to_everybody<'a>(accounts: impl IntoIterator<Item = &'a Account>, domain: &str) -> Option<&'a Account> {
    let demo = demo_accounts(domain);
    accounts.into_iter().find(|a| is_demo(&demo, a))
}

/// Whether `account` has its password from the demo. Rows of old schemas lack a hash, so whole rows do not compare.
pub(super) fn is_demo(demo: &[Account], account: &Account) -> bool {
    demo.iter().any(|d| d.user == account.user && d.ha1.same_password(&account.ha1))
}

/// Refuses accounts whose number is another's: who has it is not for a file to change.
pub(super) fn taken<'a>(accounts: &[Account], owner: impl Fn(&Number) -> Option<&'a User>) -> Result<(), ImportError> {
    for account in accounts {
        if let Some(number) = &account.number
            && let Some(other) = owner(number).filter(|o| **o != account.user)
        {
            return Err(ImportError::Taken(account.user.clone(), number.clone(), other.clone()));
        }
    }
    Ok(())
}

/// Imports `file` into the directory of `config`; says how many accounts there were.
pub fn import(config: &Config, file: &Path) -> Result<usize, ImportError> {
    let text = std::fs::read_to_string(file).map_err(ImportError::Unreadable)?;
    let accounts = read(&text, &config.domain, &config.policy.plan, config.loopback_only())?;
    std::fs::create_dir_all(&config.state_dir).map_err(ImportError::Unreadable)?;
    let mut db = store::open(&config.state_dir.join(super::directory::DATABASE))?;
    store::bind_realm(&db, &config.domain)?;
    let owners: BTreeMap<Number, User> = store::load_accounts(&db)?.into_iter().filter_map(|a| Some((a.number?, a.user))).collect();
    taken(&accounts, |number| owners.get(number))?;
    for chunk in accounts.chunks(CHUNK) {
        let transaction = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        for account in chunk {
            store::write(&transaction, &Record::Account(account.clone()))?;
        }
        transaction.commit()?;
    }
    Ok(accounts.len())
}
