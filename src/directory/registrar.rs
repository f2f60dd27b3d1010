//! The machine of the directory: a request in, a decision out.
//!
//! A [`Decision`] holds the answer and the records that must be on disk before the answer may leave. State in memory is the fold of those
//! records ([`Directory::apply`]), so a restart loses nothing that was acknowledged. Leases run on the monotone clock; the wall clock is
//! written beside them and read only at start, so that a jump of it expires nobody.
//!
//! Who is asking was established before ([`crate::digest`]): `Register::user` is an authenticated name.

mod bind;
mod entitlement;

pub use bind::{Bind, Change, Wish};
use entitlement::Claim;

use super::contact::Binding;
use super::people::{self, People, Person};
use super::plan::NumberPlan;
use super::record::{Account, Capabilities, Instance, Mac, Record, Registration, Reservation, User};
use crate::clock::{Instant, WallMs};
use crate::key::Fingerprint;
use crate::limits::{ACCOUNTS_MAX, EXPIRIES_PER_TURN_MAX, REGISTRATIONS_MAX};
use crate::number::Number;
use crate::sip::Transport;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

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
}

/// A terminal says where it is. The same again renews.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Register {
    /// The authenticated name.
    pub user: User,
    /// The number asked for; `None`: the account's own, else one that the server picks.
    pub wanted: Option<Number>,
    /// Which terminal this is.
    pub instance: Instance,
    /// Where its SIP listens.
    pub contact: SocketAddr,
    /// Over what.
    pub transport: Transport,
    /// The key its gateway proves itself with.
    pub fingerprint: Option<Fingerprint>,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Its address as it sees itself.
    pub private: Option<SocketAddr>,
    /// Its hardware address.
    pub mac: Option<Mac>,
    /// The lease asked for, in seconds.
    pub lease_s: Option<u32>,
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
    /// The operator's change is made.
    Done,
    /// No.
    Refused(Refusal),
}

/// A look-up's result.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// The terminal number.
    pub number: Number,
    /// The full LAN telephone number.
    pub full: Number,
    /// Where its SIP listens.
    pub contact: SocketAddr,
    /// Over what.
    pub transport: Transport,
    /// All contacts, best first, with the seconds each still runs.
    pub contacts: Vec<(Binding, u32)>,
    /// The key to expect there.
    pub fingerprint: Option<Fingerprint>,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Its address behind a NAT.
    pub private: Option<SocketAddr>,
    /// When this knowledge ends, in seconds.
    pub expires_in_s: u32,
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
}

#[derive(Clone, Debug)]
struct Row {
    registration: Registration,
    /// End of the lease; of a row without contact: when the number is forgotten, if ever.
    until: Option<Instant>,
    /// End of each contact's lease.
    ends: Box<[Instant]>,
}

/// The directory's state and rules.
#[derive(Debug)]
pub struct Directory {
    policy: Policy,
    rows: BTreeMap<Number, Row>,
    /// Live contacts: who is where.
    by_contact: BTreeMap<SocketAddr, Vec<Number>>,
    /// Numbers that the server picked: whose they are.
    dynamic_of: BTreeMap<User, BTreeMap<Instance, Number>>,
    /// Rows by deadline.
    due: BTreeSet<(Instant, Number)>,
    reservations: BTreeMap<Number, Reservation>,
    accounts: BTreeMap<User, Account>,
    /// Numbers that are an account's own.
    account_of: BTreeMap<Number, User>,
    people: People,
    registered: usize,
}

impl Directory {
    /// An empty directory.
    pub fn new(policy: Policy) -> Self {
        Directory {
            policy,
            rows: BTreeMap::new(),
            by_contact: BTreeMap::new(),
            dynamic_of: BTreeMap::new(),
            due: BTreeSet::new(),
            reservations: BTreeMap::new(),
            accounts: BTreeMap::new(),
            account_of: BTreeMap::new(),
            people: People::default(),
            registered: 0,
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
            Request::Reserve(reservation) => self.reserve(now, wall, reservation),
            Request::Unreserve(number) => match self.reservations.contains_key(&number) {
                true => self.done(now, wall, vec![Record::Unreserved(number)]),
                false => Decision::refuse(Refusal::NoSuchRow),
            },
            Request::SetAccount(account) => self.set_account(now, wall, account),
            Request::RemoveAccount(user) => self.remove_account(now, wall, &user),
            Request::People(change) => match self.people.decide(change, |n| self.policy.plan.terminal(n)) {
                Ok(record) => self.done(now, wall, vec![record]),
                Err(why) => Decision::refuse(why),
            },
        }
    }

    /// Where `number` (as dialled) is. Needs no record, so it may be answered at once.
    pub fn lookup(&self, now: Instant, number: &Number) -> Response {
        let Some(number) = self.policy.plan.terminal(number) else { return Response::Unknown(number.clone()) };
        if let Some(row) = self.rows.get(&number)
            && let (Some(contact), Some(until)) = (row.registration.contact, row.until)
            && until > now
        {
            let r = &row.registration;
            let contacts = self.live_bindings(now, &number);
            return Response::Found(Box::new(Found {
                full: self.policy.plan.full(&number),
                contact: contacts.first().map_or(contact, |(b, _)| b.address),
                transport: contacts.first().map_or(r.transport, |(b, _)| b.transport),
                contacts,
                number,
                fingerprint: r.fingerprint,
                capabilities: r.capabilities,
                private: r.private,
                expires_in_s: u32::try_from((until - now).as_secs()).unwrap_or(u32::MAX),
            }));
        }
        let known = self.rows.contains_key(&number) || self.reservations.contains_key(&number) || self.account_of.contains_key(&number);
        if known { Response::Away(number) } else { Response::Unknown(number) }
    }

    /// Puts one record into the state: at start for every row of the store, in service for every row decided on.
    pub fn apply(&mut self, now: Instant, wall: WallMs, record: Record) {
        match record {
            Record::Registration(registration) => self.apply_registration(now, wall, registration),
            Record::Forgotten(number) => self.take_row(&number),
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
        }
    }

    /// Takes over all accounts as another process (an import) left them on disk: changed and new ones in, missing ones out.
    pub fn replace_accounts(&mut self, now: Instant, wall: WallMs, accounts: Vec<Account>) {
        let kept: BTreeSet<User> = accounts.iter().map(|a| a.user.clone()).collect();
        let gone: Vec<User> = self.accounts.keys().filter(|u| !kept.contains(*u)).cloned().collect();
        for user in gone {
            self.apply(now, wall, Record::AccountRemoved(user));
        }
        for account in accounts {
            if self.accounts.get(&account.user) != Some(&account) {
                self.apply(now, wall, Record::Account(account));
            }
        }
    }

    /// Ends what is due: leases (which writes nothing: the row on disk says when it ends) and kept dynamic numbers (which are forgotten
    /// on disk too). Bounded work; call again when [`Directory::poll_timeout`] is not later than `now`.
    pub fn handle_timeout(&mut self, now: Instant, wall: WallMs) -> Vec<Record> {
        let mut writes = Vec::new();
        for _ in 0..EXPIRIES_PER_TURN_MAX {
            let Some((at, number)) = self.due.first().cloned() else { break };
            if at > now {
                break;
            }
            let row = self.rows.get(&number).expect("every deadline belongs to a row");
            if row.registration.contact.is_some() {
                let mut ended = row.registration.clone();
                ended.contact = None;
                ended.bindings = Box::default();
                self.apply_registration(now, wall, ended);
            } else {
                self.take_row(&number);
                writes.push(Record::Forgotten(number));
            }
        }
        writes
    }

    /// When something ends next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The rules.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }
    /// The account of a user.
    pub fn account(&self, user: &str) -> Option<&Account> {
        self.accounts.get(user)
    }
    /// All accounts, by name.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.accounts.values()
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
    /// All remembered registrations by number from `from` on, with the seconds each still runs (`None`: away).
    pub fn registrations(&self, now: Instant, from: Option<&Number>) -> impl Iterator<Item = (&Registration, Option<u32>)> {
        let start = from.map_or(core::ops::Bound::Unbounded, core::ops::Bound::Included);
        self.rows.range::<Number, _>((start, core::ops::Bound::Unbounded)).map(move |(_, row)| {
            let left = row.until.filter(|u| row.registration.contact.is_some() && *u > now);
            (&row.registration, left.map(|u| u32::try_from((u - now).as_secs()).unwrap_or(u32::MAX)))
        })
    }
    /// How many of what.
    pub fn counts(&self) -> Counts {
        Counts {
            registered: self.registered,
            remembered: self.rows.len(),
            reservations: self.reservations.len(),
            accounts: self.accounts.len(),
        }
    }

    // ---- registering ----

    fn register(&mut self, now: Instant, wall: WallMs, ask: Register) -> Decision {
        if ask.contact.port() == 0 || ask.contact.ip().is_unspecified() || ask.contact.ip().is_multicast() {
            return Decision::refuse(Refusal::BadContact);
        }
        let claim = Claim { user: &ask.user, wanted: ask.wanted.as_ref(), instance: &ask.instance, mac: ask.mac };
        let (number, dynamic) = match self.entitled(&claim) {
            Ok(found) => found,
            Err(why) => return Decision::refuse(why),
        };
        let others = self.others_at(now, &claim, ask.contact, &number);
        if !others.is_empty() && self.policy.address_conflict == AddressConflict::Refuse {
            return Decision::refuse(Refusal::AddressInUse(others));
        }
        if self.rows.len() >= REGISTRATIONS_MAX && !self.rows.contains_key(&number) {
            return Decision::refuse(Refusal::Full);
        }
        let renewed = self.rows.get(&number).is_some_and(|row| {
            row.registration.instance == ask.instance && row.registration.contact.is_some() && row.until.is_some_and(|u| u > now)
        });
        let lease_s = ask.lease_s.unwrap_or(self.policy.lease_default_s).clamp(self.policy.lease_min_s, self.policy.lease_max_s);
        let mut writes = Vec::with_capacity(1);
        let mut also_here = Vec::new();
        match self.policy.address_conflict {
            AddressConflict::Replace => writes.extend(others.iter().filter_map(|n| self.erased(n)).map(Record::Registration)),
            AddressConflict::Report | AddressConflict::Refuse => also_here = others,
        }
        writes.push(Record::Registration(Registration {
            number: number.clone(),
            user: ask.user,
            instance: ask.instance,
            contact: Some(ask.contact),
            transport: ask.transport,
            bindings: Box::default(),
            fingerprint: ask.fingerprint,
            capabilities: ask.capabilities,
            private: ask.private,
            mac: ask.mac,
            lease_s,
            expires: WallMs(wall.0.saturating_add(i64::from(lease_s) * 1000)),
            dynamic,
        }));
        for record in &writes {
            self.apply(now, wall, record.clone());
        }
        let full = self.policy.plan.full(&number);
        Decision { response: Response::Registered { number, full, lease_s, renewed, also_here }, writes }
    }

    // ---- leaving ----

    fn deregister(&mut self, now: Instant, wall: WallMs, user: Option<&User>, number: &Number, instance: Option<&Instance>) -> Decision {
        let Some(number) = self.policy.plan.terminal(number) else { return Decision::refuse(Refusal::NotOurNumber) };
        let Some(row) = self.rows.get(&number) else {
            // Saying "not registered" only to whom the number belongs tells a stranger nothing.
            return match user.is_none_or(|u| self.owner(&number) == Some(u)) {
                true => Decision::answer(Response::Deregistered { number, was_registered: false }),
                false => Decision::refuse(Refusal::NotEntitled),
            };
        };
        if user.is_some_and(|u| row.registration.user != *u) {
            return Decision::refuse(Refusal::NotEntitled);
        }
        if instance.is_some_and(|i| row.registration.instance != *i) {
            return Decision::refuse(Refusal::NotThisTerminal);
        }
        let was_registered = row.registration.contact.is_some() && row.until.is_some_and(|u| u > now);
        let erased = self.erased(&number).map(Record::Registration);
        let writes: Vec<Record> = if was_registered { erased.into_iter().collect() } else { Vec::new() };
        for record in &writes {
            self.apply(now, wall, record.clone());
        }
        Decision { response: Response::Deregistered { number, was_registered }, writes }
    }

    /// The row of `number` with its address erased.
    fn erased(&self, number: &Number) -> Option<Registration> {
        let row = self.rows.get(number)?;
        Some(Registration { contact: None, private: None, bindings: Box::default(), ..row.registration.clone() })
    }

    // ---- the operator ----

    fn done(&mut self, now: Instant, wall: WallMs, writes: Vec<Record>) -> Decision {
        for record in &writes {
            self.apply(now, wall, record.clone());
        }
        Decision { response: Response::Done, writes }
    }

    fn reserve(&mut self, now: Instant, wall: WallMs, mut reservation: Reservation) -> Decision {
        let Some(number) = self.policy.plan.terminal(&reservation.number) else { return Decision::refuse(Refusal::NotOurNumber) };
        if self.reservations.len() >= ACCOUNTS_MAX {
            return Decision::refuse(Refusal::Full);
        }
        reservation.number = number;
        let mut writes = Vec::new();
        // Whoever holds the number without a right to it any more is not called under it any more.
        if self.rows.get(&reservation.number).is_some_and(|row| row.registration.user != reservation.user) {
            writes.push(Record::Forgotten(reservation.number.clone()));
        }
        writes.push(Record::Reservation(reservation));
        self.done(now, wall, writes)
    }

    fn set_account(&mut self, now: Instant, wall: WallMs, mut account: Account) -> Decision {
        if self.accounts.len() >= ACCOUNTS_MAX && !self.accounts.contains_key(&account.user) {
            return Decision::refuse(Refusal::Full);
        }
        if let Some(number) = &account.number {
            let Some(number) = self.policy.plan.terminal(number) else { return Decision::refuse(Refusal::NotOurNumber) };
            if self.owner(&number).is_some_and(|owner| *owner != account.user) {
                return Decision::refuse(Refusal::NumberTaken);
            }
            account.number = Some(number);
        }
        self.done(now, wall, vec![Record::Account(account)])
    }

    fn remove_account(&mut self, now: Instant, wall: WallMs, user: &User) -> Decision {
        if !self.accounts.contains_key(user) {
            return Decision::refuse(Refusal::NoSuchRow);
        }
        let held = self.rows.values().filter(|row| row.registration.user == *user).map(|row| row.registration.number.clone());
        let mut writes: Vec<Record> = held.map(Record::Forgotten).collect();
        writes.push(Record::AccountRemoved(user.clone()));
        self.done(now, wall, writes)
    }

    // ---- the fold ----

    fn apply_registration(&mut self, now: Instant, wall: WallMs, registration: Registration) {
        self.take_row(&registration.number);
        let until = match registration.contact {
            Some(_) => Some(now + Duration::from_millis(left_ms(registration.expires, wall, registration.lease_s))),
            None if registration.dynamic => Some(now + Duration::from_secs(u64::from(self.policy.dynamic_kept_s))),
            None => None,
        };
        let number = registration.number.clone();
        for address in addresses(&registration) {
            self.by_contact.entry(address).or_default().push(number.clone());
        }
        self.registered += usize::from(registration.contact.is_some());
        let end = |b: &Binding| now + Duration::from_millis(left_ms(b.expires, wall, b.lease_s));
        let ends = registration.bindings.iter().map(end).collect();
        if registration.dynamic {
            self.dynamic_of.entry(registration.user.clone()).or_default().insert(registration.instance.clone(), number.clone());
        }
        if let Some(until) = until {
            self.due.insert((until, number.clone()));
        }
        self.rows.insert(number, Row { registration, until, ends });
    }

    fn take_row(&mut self, number: &Number) {
        let Some(row) = self.rows.remove(number) else { return };
        if let Some(until) = row.until {
            self.due.remove(&(until, number.clone()));
        }
        self.registered -= usize::from(row.registration.contact.is_some());
        for address in addresses(&row.registration) {
            if let Some(here) = self.by_contact.get_mut(&address) {
                here.retain(|n| n != number);
                if here.is_empty() {
                    self.by_contact.remove(&address);
                }
            }
        }
        if row.registration.dynamic {
            let (user, instance) = (row.registration.user, row.registration.instance);
            if let Some(held) = self.dynamic_of.get_mut(&user) {
                if held.get(&instance) == Some(number) {
                    held.remove(&instance);
                }
                if held.is_empty() {
                    self.dynamic_of.remove(&user);
                }
            }
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
}

/// Where a row is reached, each address once.
fn addresses(r: &Registration) -> BTreeSet<SocketAddr> {
    r.contact.into_iter().chain(r.bindings.iter().map(|b| b.address)).collect()
}

/// What is left of a lease that ends at `expires`, in milliseconds: never more than the lease, whatever the wall clock says, because a
/// machine without a battery starts in 1970.
fn left_ms(expires: WallMs, wall: WallMs, lease_s: u32) -> u64 {
    expires.0.saturating_sub(wall.0).clamp(0, i64::from(lease_s) * 1000) as u64
}

#[cfg(test)]
#[path = "registrar_tests.rs"]
mod tests;
