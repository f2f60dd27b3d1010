//! The machine of the directory: a request in, a decision out.
//!
//! A [`Decision`] holds the answer and the records that must be on disk before the answer may leave. State in memory is the fold of those
//! records ([`Directory::apply`]), so a restart loses nothing that was acknowledged. Leases run on the monotone clock; the wall clock is
//! written beside them and read only at start, so that a jump of it expires nobody.
//!
//! Who is asking was established before ([`crate::digest`]): `Register::user` is an authenticated name.

mod bind;
mod entitlement;
mod lookup;
mod operator;
mod register;

pub use bind::{Bind, Change, Wish};
pub use lookup::{Asker, Found, Listed, Presence};
pub use register::{Alarm, Proof, Register};

use entitlement::Claim;

use super::contact::Binding;
use super::people::{self, People, Person};
use super::plan::NumberPlan;
use super::record::{Account, Instance, Record, Registration, Reservation, User};
use super::revocations::Revocations;
use super::rows::{Contacts, Live, Row, Rows};
use super::servers::{Server, Servers};
use super::settings::{Disclosure, Ring, Settings};
use crate::clock::{Instant, WallMs};
use crate::key::Fingerprint;
use crate::limits::{EXPIRIES_PER_TURN_MAX, REGISTRATIONS_MAX};
use crate::number::Number;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What is done when a contact is already another terminal's (C-4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AddressConflict {
    /// The newcomer is refused until the other's lease ends or it deregisters.
    Refuse,
    /// The newcomer is registered, and told who else is there.
    Report,
    /// The newcomer is registered, and the other's address is erased.
    Replace,
}

/// The rules of one directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// How numbers look.
    pub plan: NumberPlan,
    /// The lease granted when none is asked for, in seconds.
    pub lease_default_s: u32,
    /// The shortest lease granted, in seconds.
    pub lease_min_s: u32,
    /// The longest lease granted, in seconds.
    pub lease_max_s: u32,
    /// What is done when a contact is already another terminal's.
    pub address_conflict: AddressConflict,
    /// The numbers that the server may give by itself (first and last, as terminal numbers); `None`: only reserved numbers register.
    pub dynamic: Option<(Number, Number)>,
    /// How long a number given by the server is kept for a terminal that left, in seconds.
    pub dynamic_kept_s: u32,
    /// Whether two terminals at one host are at one address, whatever their ports. Contacts behind a NAT never are by that alone.
    pub address_is_host: bool,
    /// What is done when a number is registered with a key that it never had.
    pub new_key: NewKey,
    /// Who may learn where a number is, where the number's settings do not say.
    pub disclosure: Disclosure,
    /// Which terminals of a number ring, where its settings do not say.
    pub ring: Ring,
    /// Numbers that are remembered at the most, `limits::REGISTRATIONS_MAX` at most.
    pub numbers_max: usize,
}

impl Policy {
    /// The usual rules for these numbers: an hour's lease, one terminal an address, no dynamic numbers, look-ups for who has an account.
    pub fn new(plan: NumberPlan) -> Policy {
        Policy {
            plan,
            lease_default_s: 3600,
            lease_min_s: 60,
            lease_max_s: 86_400,
            address_conflict: AddressConflict::Refuse,
            dynamic: None,
            dynamic_kept_s: 0,
            address_is_host: false,
            new_key: NewKey::Report,
            disclosure: Disclosure::Accounts,
            ring: Ring::Newest,
            numbers_max: REGISTRATIONS_MAX,
        }
    }
}

/// What is done when a number that had a key is registered with another, or with none: the owner may have a new gateway, or somebody else has
/// the password.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NewKey {
    /// The registration stands, and an alarm is raised.
    Report,
    /// The registration is refused, and an alarm is raised. The operator lets the new key in by forgetting the number's keys.
    Refuse,
}

/// What can be asked of the directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// Make or renew a registration.
    Register(Register),
    /// Add, renew or end contacts, or ask for them (SIP REGISTER).
    Bind(Bind),
    /// End one: `user` is authenticated; `instance` given ends only that terminal's.
    Deregister {
        /// The authenticated name.
        user: User,
        /// Which number.
        number: Number,
        /// Only if this terminal holds it.
        instance: Option<Instance>,
    },
    /// Where is this number?
    Lookup {
        /// As dialled: short or full form.
        number: Number,
    },
    /// Where is the gateway of this key, that has (or had) this number?
    Identify {
        /// The number.
        number: Number,
        /// The key.
        key: Fingerprint,
    },
    /// Keep a number for a user (the operator).
    Reserve(Reservation),
    /// Keep it no longer (the operator).
    Unreserve(Number),
    /// Make or change an account (the operator).
    SetAccount(Account),
    /// Remove an account; its registrations end (the operator).
    RemoveAccount(User),
    /// End a registration, whosever it is (the operator).
    Evict(Number),
    /// Make, change or remove a person.
    People(people::Change),
    /// Forget the keys of a number, so that a new one is no surprise (the operator).
    ForgetKeys(Number),
    /// Change a number's settings; `by` is who has the number, `None` the operator, who alone sets [`Settings::fixed`].
    Set {
        /// The authenticated name.
        by: Option<User>,
        /// The settings, whole.
        settings: Settings,
    },
    /// Make or change the entry of another directory (the operator).
    SetServer(Server),
    /// Remove it (the operator).
    RemoveServer(Number),
    /// A key is worth nothing any more (the operator).
    Revoke {
        /// Which.
        key: Fingerprint,
        /// Why, for people.
        why: String,
    },
    /// It is good again (the operator).
    Unrevoke(Fingerprint),
    /// A gateway says how many calls a number has (D-6): 0 when the last one ended.
    Calls {
        /// The authenticated name.
        user: User,
        /// Which number.
        number: Number,
        /// Calls now.
        calls: u8,
    },
}

/// Why a request is refused. Each is the asker's to mend, except the last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The number is not one of this server's.
    NotOurNumber,
    /// The number is kept for, or held by, somebody else.
    NumberTaken,
    /// Nothing gives this user this number.
    NotEntitled,
    /// The number is bound to another hardware address.
    WrongMac,
    /// The contact is already where these numbers live.
    AddressInUse(Vec<Number>),
    /// An address nobody can call: unspecified, multicast, or port 0.
    BadContact,
    /// No number is free.
    NoneFree,
    /// The user has as many numbers of the pool as one may have, those kept for terminals that left included.
    TooManyNumbers,
    /// There is no account or no row of that name.
    NoSuchRow,
    /// Another terminal registered the number since.
    NotThisTerminal,
    /// A bound of `limits.rs` is reached.
    Full,
    /// Nobody would be left to look after the directory.
    LastAdmin,
    /// A lease shorter than is granted.
    TooBrief {
        /// The shortest, in seconds.
        min_s: u32,
    },
    /// A later REGISTER of this phone was here already (RFC 3261 s.10.3).
    OutOfOrder,
    /// More contacts than one number has.
    TooManyContacts,
    /// The number had another key, and a new one is not let in by itself.
    NewKey,
    /// A key is claimed and nothing shows that it is the asker's.
    KeyNotProven,
    /// What is to show that does not.
    KeyFalse,
    /// The operator revoked the key.
    KeyRevoked,
}

impl Refusal {
    /// For programs and for the log, the same through every door.
    pub fn word(&self) -> &'static str {
        match self {
            Refusal::NotOurNumber => "not_our_number",
            Refusal::NumberTaken => "number_taken",
            Refusal::NotEntitled => "not_entitled",
            Refusal::WrongMac => "wrong_mac",
            Refusal::AddressInUse(_) => "address_in_use",
            Refusal::BadContact => "bad_contact",
            Refusal::NoneFree => "none_free",
            Refusal::TooManyNumbers => "too_many_numbers",
            Refusal::NoSuchRow => "no_such_row",
            Refusal::NotThisTerminal => "not_this_terminal",
            Refusal::Full => "full",
            Refusal::LastAdmin => "last_admin",
            Refusal::TooBrief { .. } => "too_brief",
            Refusal::OutOfOrder => "out_of_order",
            Refusal::TooManyContacts => "too_many_contacts",
            Refusal::NewKey => "new_key",
            Refusal::KeyNotProven => "key_not_proven",
            Refusal::KeyFalse => "key_false",
            Refusal::KeyRevoked => "key_revoked",
        }
    }
    /// Whether it is a line in the log: what a well-behaved terminal meets on its way, and mends by itself, is none.
    pub fn is_news(&self) -> bool {
        !matches!(self, Refusal::TooBrief { .. } | Refusal::OutOfOrder)
    }
}

/// The answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Response {
    /// C-4: the number and the result.
    Registered {
        /// The terminal number.
        number: Number,
        /// The full LAN telephone number.
        full: Number,
        /// The lease granted, in seconds.
        lease_s: u32,
        /// It was this terminal's before and its lease had not ended.
        renewed: bool,
        /// Other terminals that say they are at the same address (only under `AddressConflict::Report`).
        also_here: Vec<Number>,
    },
    /// The contacts of the number now, best first, with the seconds each still runs.
    Bound {
        /// The terminal number.
        number: Number,
        /// Its contacts.
        contacts: Vec<(Binding, u32)>,
    },
    /// C-5: the address is erased.
    Deregistered {
        /// The terminal number.
        number: Number,
        /// There was an address to erase.
        was_registered: bool,
    },
    /// The number is reached there.
    Found(Box<Found>),
    /// The number is somebody's, who is not registered now.
    Away(Number),
    /// The number is nobody's.
    Unknown(Number),
    /// The number is this other directory's.
    Elsewhere(Box<Server>, Number),
    /// Only who has an account is told.
    LogIn,
    /// Nobody is told before the owner consented to a call.
    Withheld(Number),
    /// The operator's change is made.
    Done,
    /// No.
    Refused(Refusal),
}

/// An answer, and what must be on disk before it leaves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// What to answer.
    pub response: Response,
    /// What to write first, in this order.
    pub writes: Vec<Record>,
}

impl Decision {
    fn refuse(why: Refusal) -> Self {
        Decision { response: Response::Refused(why), writes: Vec::new() }
    }
    fn answer(response: Response) -> Self {
        Decision { response, writes: Vec::new() }
    }
}

/// How many of what.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Numbers with an address now.
    pub registered: usize,
    /// Numbers remembered, registered or not.
    pub remembered: usize,
    /// Reserved numbers.
    pub reservations: usize,
    /// Accounts.
    pub accounts: usize,
    /// Other directories known.
    pub servers: usize,
    /// Alarms raised since start.
    pub alarms: u64,
}

/// The directory's state and rules.
#[derive(Debug)]
pub struct Directory {
    policy: Policy,
    rows: Rows,
    reservations: BTreeMap<Number, Reservation>,
    accounts: BTreeMap<User, Account>,
    /// Numbers that are an account's own.
    account_of: BTreeMap<Number, User>,
    people: People,
    settings: BTreeMap<Number, Settings>,
    servers: Servers,
    revocations: Revocations,
    alarms: VecDeque<Alarm>,
    alarms_raised: u64,
}

impl Directory {
    /// An empty directory.
    pub fn new(policy: Policy) -> Self {
        Directory {
            policy,
            rows: Rows::default(),
            reservations: BTreeMap::new(),
            accounts: BTreeMap::new(),
            account_of: BTreeMap::new(),
            people: People::default(),
            settings: BTreeMap::new(),
            servers: Servers::default(),
            revocations: Revocations::default(),
            alarms: VecDeque::new(),
            alarms_raised: 0,
        }
    }

    /// Decides on `request`. The decision is already part of the state; it may be told only after its writes are on disk.
    pub fn handle(&mut self, now: Instant, wall: WallMs, request: Request) -> Decision {
        match request {
            Request::Register(register) => self.register(now, wall, register),
            Request::Bind(bind) => self.bind(now, wall, bind),
            Request::Deregister { user, number, instance } => self.deregister(now, wall, Some(&user), &number, instance.as_ref()),
            Request::Evict(number) => self.deregister(now, wall, None, &number, None),
            Request::Lookup { number } => Decision::answer(self.lookup(now, &number)),
            Request::Identify { number, key } => Decision::answer(self.identify(now, &number, key)),
            Request::Reserve(reservation) => self.reserve(now, wall, reservation),
            Request::Unreserve(number) => self.unreserve(now, wall, &number),
            Request::SetAccount(account) => self.set_account(now, wall, account),
            Request::RemoveAccount(user) => self.remove_account(now, wall, &user),
            Request::People(change) => match self.people.decide(change, |n| self.policy.plan.terminal(n)) {
                Ok(record) => self.done(now, wall, vec![record]),
                Err(why) => Decision::refuse(why),
            },
            Request::ForgetKeys(number) => self.forget_keys(now, wall, &number),
            Request::Set { by, settings } => self.set(now, wall, by.as_ref(), settings),
            Request::SetServer(server) => self.set_server(now, wall, server),
            Request::RemoveServer(number) => self.remove_server(now, wall, &number),
            Request::Revoke { key, why } => self.revoke(now, wall, key, &why),
            Request::Unrevoke(key) => self.unrevoke(now, wall, key),
            Request::Calls { user, number, calls } => self.calls(&user, &number, calls),
        }
    }

    /// Puts one record into the state: at start for every row of the store, in service for every row decided on.
    pub fn apply(&mut self, now: Instant, wall: WallMs, record: Record) {
        match record {
            Record::Registration(registration) => self.apply_registration(now, wall, *registration),
            Record::Forgotten(number) => self.rows.remove(&number),
            Record::Reservation(reservation) => {
                self.reservations.insert(reservation.number.clone(), reservation);
            }
            Record::Unreserved(number) => {
                self.reservations.remove(&number);
            }
            Record::Account(account) => {
                self.take_account(&account.user);
                if let Some(number) = &account.number {
                    self.account_of.insert(number.clone(), account.user.clone());
                }
                self.accounts.insert(account.user.clone(), account);
            }
            Record::AccountRemoved(user) => self.take_account(&user),
            Record::Person(person) => self.people.put(person),
            Record::PersonRemoved(user) => self.people.take(&user),
            Record::Settings(settings) => {
                self.settings.insert(settings.number.clone(), settings);
            }
            Record::SettingsRemoved(number) => {
                self.settings.remove(&number);
            }
            Record::Server(server) => self.servers.put(server),
            Record::ServerRemoved(number) => {
                self.servers.remove(&number);
            }
            Record::Revoked(row) => self.revocations.put(row),
            Record::Unrevoked(key, serial) => self.revocations.take(key, serial),
        }
    }

    /// Takes over all accounts as another process (an import) left them on disk: changed and new ones in, missing ones out.
    /// What ends with that is to be written.
    pub fn replace_accounts(&mut self, now: Instant, wall: WallMs, accounts: Vec<Account>) -> Vec<Record> {
        let kept: BTreeSet<User> = accounts.iter().map(|a| a.user.clone()).collect();
        let gone: Vec<User> = self.accounts.keys().filter(|u| !kept.contains(*u)).cloned().collect();
        for user in gone {
            self.apply(now, wall, Record::AccountRemoved(user));
        }
        let mut writes = Vec::new();
        for account in accounts {
            if self.accounts.get(&account.user) != Some(&account) {
                let mut ended = Vec::new();
                self.hand_over_of_account(&account, &mut ended);
                for record in ended {
                    self.apply(now, wall, record.clone());
                    writes.push(record);
                }
                self.apply(now, wall, Record::Account(account));
            }
        }
        writes
    }

    /// Ends what is due: leases, and kept dynamic numbers. What ended is to be written, though nobody waits for it: a wall clock that is put
    /// back must not give it new life at the next start. Bounded work; call again when [`Directory::poll_timeout`] is not later than `now`.
    pub fn handle_timeout(&mut self, now: Instant, wall: WallMs) -> Vec<Record> {
        let mut writes = Vec::new();
        for _ in 0..EXPIRIES_PER_TURN_MAX {
            let Some((at, row)) = self.rows.first_due() else { break };
            if at > now {
                break;
            }
            let number = row.number.clone();
            if row.contacts.is_none() {
                self.rows.remove(&number);
                if let Some(record) = self.settings_of_nobody(&number) {
                    self.apply(now, wall, record.clone());
                    writes.push(record);
                }
                writes.push(Record::Forgotten(number));
            } else {
                writes.push(Record::Registration(Box::new(Directory::record_of(row, Vec::new()))));
                let row = self.away(row, at);
                self.rows.put(row);
            }
        }
        writes
    }

    /// When something ends next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.rows.first_due().map(|(at, _)| at)
    }

    /// The next alarm for the operator.
    pub fn poll_alarm(&mut self) -> Option<Alarm> {
        self.alarms.pop_front()
    }

    /// The rules.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }
    /// The account of a user.
    pub fn account(&self, user: &str) -> Option<&Account> {
        self.accounts.get(user)
    }
    /// Whose own a number is.
    pub fn account_of(&self, number: &Number) -> Option<&User> {
        self.account_of.get(number)
    }
    /// All accounts, by name.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.accounts.values()
    }
    /// The accounts from this name on.
    pub fn accounts_from(&self, name: &str) -> impl Iterator<Item = &Account> {
        let from = core::ops::Bound::Included(name);
        self.accounts.range::<str, _>((from, core::ops::Bound::Unbounded)).map(|(_, account)| account)
    }
    /// The table of people.
    pub fn people(&self) -> &People {
        &self.people
    }
    /// The numbers that are a person's: those given to them, and those of their terminals' accounts.
    pub fn numbers_of(&self, person: &Person) -> BTreeSet<Number> {
        let of_accounts = person.accounts.iter().filter_map(|user| self.accounts.get(user)?.number.clone());
        person.numbers.iter().cloned().chain(of_accounts).collect()
    }
    /// All reservations, by number.
    pub fn reservations(&self) -> impl Iterator<Item = &Reservation> {
        self.reservations.values()
    }
    /// The settings of a number, if it has its own.
    pub fn settings(&self, number: &Number) -> Option<&Settings> {
        self.settings.get(number)
    }
    /// All settings, by number.
    pub fn all_settings(&self) -> impl Iterator<Item = &Settings> {
        self.settings.values()
    }
    /// All other directories, by server number.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        self.servers.iter()
    }
    /// Another directory.
    pub fn server(&self, number: &Number) -> Option<&Server> {
        self.servers.get(number)
    }
    /// Keys that are worth nothing.
    pub fn revocations(&self) -> &Revocations {
        &self.revocations
    }
    /// How many of what.
    pub fn counts(&self) -> Counts {
        Counts {
            registered: self.rows.registered(),
            remembered: self.rows.len(),
            reservations: self.reservations.len(),
            accounts: self.accounts.len(),
            servers: self.servers.len(),
            alarms: self.alarms_raised,
        }
    }

    // ---- the fold ----

    /// Fills an empty directory with what its store has: the same as [`Directory::apply`] of each, in less time. Accounts by name and
    /// registrations by number, each once.
    pub fn fill(&mut self, now: Instant, wall: WallMs, accounts: Vec<Account>, registrations: Vec<Registration>) {
        debug_assert!(self.accounts.is_empty() && self.rows.len() == 0);
        self.account_of = accounts.iter().filter_map(|a| Some((a.number.clone()?, a.user.clone()))).collect();
        self.accounts = accounts.into_iter().map(|a| (a.user.clone(), a)).collect();
        self.rows = Rows::of(registrations.into_iter().map(|r| self.row_of(now, wall, r)).collect());
    }

    fn apply_registration(&mut self, now: Instant, wall: WallMs, r: Registration) {
        let row = self.row_of(now, wall, r);
        self.rows.put(row);
    }

    fn row_of(&self, now: Instant, wall: WallMs, r: Registration) -> Row {
        let end = |(binding, expires): (Binding, WallMs)| {
            let end = now + Duration::from_millis(left_ms(expires, wall, binding.lease_s));
            Live { binding, end }
        };
        let contacts: Vec<Live> = r.contacts.into_iter().map(end).collect();
        let until = match (contacts.iter().map(|c| c.end).max(), &r.picked_for) {
            (Some(last), _) => Some(last),
            (None, Some(_)) => Some(now + Duration::from_secs(u64::from(self.policy.dynamic_kept_s))),
            (None, None) => None,
        };
        let calls = if contacts.is_empty() { 0 } else { self.rows.get(&r.number).map_or(0, |row| row.calls) };
        // One text for all that name a user.
        let user = self.accounts.get_key_value(&r.user).map_or(r.user, |(user, _)| user.clone());
        Row { number: r.number, user, picked_for: r.picked_for, keys: r.keys, contacts: Contacts::of(contacts), until, calls }
    }

    /// The row without its contacts, whose last lease ended at `at`.
    fn away(&self, row: &Row, at: Instant) -> Row {
        let kept = Duration::from_secs(u64::from(self.policy.dynamic_kept_s));
        Row {
            number: row.number.clone(),
            user: row.user.clone(),
            picked_for: row.picked_for.clone(),
            keys: row.keys.clone(),
            contacts: Contacts::None,
            until: row.picked_for.is_some().then(|| at + kept),
            calls: 0,
        }
    }

    /// The row as a record, with these contacts.
    fn record_of(row: &Row, contacts: Vec<(Binding, WallMs)>) -> Registration {
        Registration {
            number: row.number.clone(),
            user: row.user.clone(),
            picked_for: row.picked_for.clone(),
            keys: row.keys.clone(),
            contacts: contacts.into(),
        }
    }

    fn take_account(&mut self, user: &User) {
        if let Some(old) = self.accounts.remove(user)
            && let Some(number) = &old.number
            && self.account_of.get(number) == Some(user)
        {
            self.account_of.remove(number);
        }
    }

    /// What holds for a number: which of its terminals ring.
    fn ring_of(&self, number: &Number) -> Ring {
        self.settings.get(number).and_then(|s| s.ring).unwrap_or(self.policy.ring)
    }

    fn done(&mut self, now: Instant, wall: WallMs, writes: Vec<Record>) -> Decision {
        for record in &writes {
            self.apply(now, wall, record.clone());
        }
        Decision { response: Response::Done, writes }
    }
}

/// When a lease that ends at `end` does so by the wall clock.
fn wall_of(end: Instant, now: Instant, wall: WallMs) -> WallMs {
    WallMs(wall.0.saturating_add(end.ms_since(now) as i64))
}

/// What is left of a lease that ends at `expires`, in milliseconds: never more than the lease, whatever the wall clock says, because a
/// machine without a battery starts in 1970.
fn left_ms(expires: WallMs, wall: WallMs, lease_s: u32) -> u64 {
    expires.0.saturating_sub(wall.0).clamp(0, i64::from(lease_s) * 1000) as u64
}

#[cfg(test)]
mod number_tests;
#[cfg(test)]
#[path = "registrar_tests.rs"]
mod tests;
