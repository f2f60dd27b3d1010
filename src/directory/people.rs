//! People: who looks after the directory and who looks after a number of their own (D-2, D-17). Terminals have accounts; people log in to
//! the API (and to pages that stand on it) with a password of their own, and have a role.
//!
//! What is kept of a password is its argon2id hash as a PHC string, made and checked outside: this room only keeps it. There is no default
//! password; the first admin is made once, while there is none ([`Change::First`]).

use super::record::{Record, User};
use super::registrar::Refusal;
use crate::limits::{PEOPLE_MAX, PERSON_NUMBERS_MAX};
use crate::number::Number;
use core::fmt;
use std::collections::BTreeMap;

/// What a person may.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Role {
    /// Everything that the operator's token may.
    Admin,
    /// See and change what is theirs.
    Member,
}

impl Role {
    /// The role as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::Member => "member",
        }
    }
    /// Reads what [`Role::as_str`] writes.
    pub fn parse(text: &str) -> Option<Role> {
        [Role::Admin, Role::Member].into_iter().find(|r| r.as_str() == text)
    }
}

/// A person: the row of the table of people.
#[derive(Clone, PartialEq, Eq)]
pub struct Person {
    /// The name to log in with.
    pub user: User,
    /// The argon2id hash of the password, as a PHC string.
    pub password: Box<str>,
    /// What this person may.
    pub role: Role,
    /// The terminals' accounts that are this person's.
    pub accounts: Box<[User]>,
    /// Numbers that are this person's beside those of the accounts, as terminal numbers.
    pub numbers: Box<[Number]>,
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Person({} {} accounts {:?} numbers {:?})", self.user, self.role.as_str(), self.accounts, self.numbers)
    }
}

/// What can be asked of the table of people. Who asks was established before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Make or change a person (an admin).
    Set(Person),
    /// Make the first admin; refused once there is one.
    First(Person),
    /// Remove a person (an admin).
    Remove(User),
    /// Set another password, if the present one is still that which was proven.
    Password {
        /// Whose.
        user: User,
        /// The hash that was proven.
        was: Box<str>,
        /// The hash from now on.
        now: Box<str>,
    },
}

/// The table of people.
#[derive(Debug, Default)]
pub struct People {
    by_name: BTreeMap<User, Person>,
    admins: usize,
}

impl People {
    /// A person.
    pub fn get(&self, user: &str) -> Option<&Person> {
        self.by_name.get(user)
    }
    /// All people, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Person> {
        self.by_name.values()
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }
    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
    /// Whether somebody is an admin.
    pub fn has_admin(&self) -> bool {
        self.admins > 0
    }

    /// The record that a change comes to; `terminal` turns a number as written into one of this server's.
    pub(super) fn decide(&self, change: Change, terminal: impl Fn(&Number) -> Option<Number>) -> Result<Record, Refusal> {
        match change {
            Change::First(_) if self.has_admin() => Err(Refusal::NotEntitled),
            Change::First(person) => self.set(Person { role: Role::Admin, ..person }, terminal),
            Change::Set(person) if person.role != Role::Admin && self.is_last_admin(&person.user) => Err(Refusal::LastAdmin),
            Change::Set(person) => self.set(person, terminal),
            Change::Remove(user) if self.is_last_admin(&user) => Err(Refusal::LastAdmin),
            Change::Remove(user) if self.by_name.contains_key(&user) => Ok(Record::PersonRemoved(user)),
            Change::Remove(_) => Err(Refusal::NoSuchRow),
            Change::Password { user, was, now } => match self.by_name.get(&user) {
                Some(person) if person.password == was => Ok(Record::Person(Person { password: now, ..person.clone() })),
                _ => Err(Refusal::NoSuchRow),
            },
        }
    }

    /// A row without a password keeps that of the person who is there.
    fn set(&self, mut person: Person, terminal: impl Fn(&Number) -> Option<Number>) -> Result<Record, Refusal> {
        if self.by_name.len() >= PEOPLE_MAX && !self.by_name.contains_key(&person.user) {
            return Err(Refusal::Full);
        }
        if person.numbers.len() + person.accounts.len() > PERSON_NUMBERS_MAX {
            return Err(Refusal::TooManyNumbers);
        }
        if person.password.is_empty() {
            person.password = self.by_name.get(&person.user).ok_or(Refusal::NoSuchRow)?.password.clone();
        }
        let numbers: Option<Box<[Number]>> = person.numbers.iter().map(terminal).collect();
        person.numbers = numbers.ok_or(Refusal::NotOurNumber)?;
        Ok(Record::Person(person))
    }

    fn is_last_admin(&self, user: &User) -> bool {
        self.admins == 1 && self.by_name.get(user).is_some_and(|p| p.role == Role::Admin)
    }

    /// Puts a row in.
    pub(super) fn put(&mut self, person: Person) {
        self.take(&person.user);
        self.admins += usize::from(person.role == Role::Admin);
        self.by_name.insert(person.user.clone(), person);
    }

    /// Takes a row out.
    pub(super) fn take(&mut self, user: &User) {
        let gone = self.by_name.remove(user);
        self.admins -= usize::from(gone.is_some_and(|p| p.role == Role::Admin));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(name: &str, role: Role) -> Person {
        let (user, password) = (User::parse(name).unwrap(), "$argon2id$1".into());
        Person { user, password, role, accounts: Box::default(), numbers: Box::default() }
    }
    fn apply(people: &mut People, change: Change) -> Result<(), Refusal> {
        match people.decide(change, |n| (n.as_str().len() == 4).then(|| n.clone()))? {
            Record::Person(p) => people.put(p),
            Record::PersonRemoved(u) => people.take(&u),
            other => panic!("{other:?}"),
        }
        Ok(())
    }

    #[test]
    fn req_d17_the_first_admin_is_made_once_and_the_last_stays() {
        let mut people = People::default();
        assert!(!people.has_admin());
        // Whatever role is asked for, the first is an admin: nobody else could make one.
        apply(&mut people, Change::First(person("ann", Role::Member))).unwrap();
        assert!(people.has_admin());
        assert_eq!(apply(&mut people, Change::First(person("eve", Role::Admin))), Err(Refusal::NotEntitled));
        let ann = User::parse("ann").unwrap();
        assert_eq!(apply(&mut people, Change::Remove(ann.clone())), Err(Refusal::LastAdmin));
        assert_eq!(apply(&mut people, Change::Set(person("ann", Role::Member))), Err(Refusal::LastAdmin));
        apply(&mut people, Change::Set(person("bob", Role::Admin))).unwrap();
        apply(&mut people, Change::Remove(ann.clone())).unwrap();
        assert_eq!(apply(&mut people, Change::Remove(ann)), Err(Refusal::NoSuchRow));
        assert_eq!((people.len(), people.has_admin()), (1, true));
    }

    #[test]
    fn a_password_is_changed_only_from_the_one_that_was_proven_and_numbers_are_this_servers() {
        let mut people = People::default();
        apply(&mut people, Change::Set(person("ann", Role::Member))).unwrap();
        let change = |was: &str| Change::Password { user: User::parse("ann").unwrap(), was: was.into(), now: "$argon2id$2".into() };
        assert_eq!(apply(&mut people, change("$argon2id$0")), Err(Refusal::NoSuchRow));
        apply(&mut people, change("$argon2id$1")).unwrap();
        assert_eq!(&*people.get("ann").unwrap().password, "$argon2id$2");
        let with = |numbers: &[&str]| Person {
            numbers: numbers.iter().map(|n| Number::parse(n).unwrap()).collect(),
            ..person("bob", Role::Member)
        };
        assert_eq!(apply(&mut people, Change::Set(with(&["2001", "77"]))), Err(Refusal::NotOurNumber));
        assert_eq!(apply(&mut people, Change::Set(with(&["2001"; PERSON_NUMBERS_MAX + 1]))), Err(Refusal::TooManyNumbers));
        apply(&mut people, Change::Set(with(&["2001"]))).unwrap();
        assert!(!format!("{:?}", people.get("bob").unwrap()).contains("argon2"), "a hash stands in no log");
    }
}
