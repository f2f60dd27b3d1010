//! The rows of the terminal control table in memory, and what finds them: by number, by address, by key, by deadline.
//!
//! A million terminals are the measure. Rows lie in chunks and are named by their place, so that an index costs four bytes and not another
//! copy of a number; a number with one contact, which nearly all have, keeps it in its row.

use super::contact::Binding;
use super::record::{Instance, User};
use crate::clock::Instant;
use crate::key::Fingerprint;
use crate::number::Number;
use core::sync::atomic::{AtomicU32, Ordering};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Rows of one chunk.
const CHUNK: usize = 256;

/// The place of a row.
pub(super) type Place = u32;

/// A contact, and when its lease ends.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Live {
    pub binding: Binding,
    pub end: Instant,
}

/// The contacts of a number.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) enum Contacts {
    #[default]
    None,
    One(Live),
    Many(Box<[Live]>),
}

impl Contacts {
    pub fn of(mut all: Vec<Live>) -> Contacts {
        match all.len() {
            0 => Contacts::None,
            1 => all.pop().map_or(Contacts::None, Contacts::One),
            _ => Contacts::Many(all.into()),
        }
    }
    pub fn all(&self) -> &[Live] {
        match self {
            Contacts::None => &[],
            Contacts::One(one) => core::slice::from_ref(one),
            Contacts::Many(many) => many,
        }
    }
    pub fn is_none(&self) -> bool {
        matches!(self, Contacts::None)
    }
}

/// One number.
#[derive(Debug)]
pub(super) struct Row {
    pub number: Number,
    pub user: User,
    /// The terminal that the server picked the number for.
    pub picked_for: Option<Instance>,
    pub keys: Box<[Fingerprint]>,
    pub contacts: Contacts,
    /// End of the last lease; of a row without contact: when the number is forgotten, if ever.
    pub until: Option<Instant>,
    /// Calls that its gateway reported (D-6). Nothing on disk: whoever restarts asks nobody whether they still talk.
    pub calls: u8,
}

impl Row {
    /// The contacts whose leases run.
    pub fn live(&self, now: Instant) -> impl Iterator<Item = &Live> {
        self.contacts.all().iter().filter(move |c| c.end > now)
    }
    pub fn is_live(&self, now: Instant) -> bool {
        !self.contacts.is_none() && self.until.is_some_and(|u| u > now)
    }
    /// Where it is reached, each address once.
    fn addresses(&self) -> impl Iterator<Item = Key> {
        let all = self.contacts.all();
        all.iter()
            .enumerate()
            .filter(|(i, c)| all[..*i].iter().all(|b| b.binding.address != c.binding.address))
            .map(|(_, c)| key(c.binding.address))
    }
    /// The keys it is found by, each once: those of its contacts, and those that they followed.
    fn fingerprints(&self) -> impl Iterator<Item = Fingerprint> {
        let all = self.contacts.all();
        let of = |c: &Live| c.binding.fingerprint();
        let now = all.iter().enumerate().filter_map(move |(i, c)| of(c).filter(|f| all[..i].iter().all(|b| of(b) != Some(*f))));
        let statements = || all.iter().flat_map(|c| c.binding.successions());
        now.chain(statements().map(crate::proof::Succession::old))
    }
}

/// An address as the index has it: IPv4 as IPv6 would write it, and the port.
type Key = [u8; 18];

fn key(address: SocketAddr) -> Key {
    let ip: Ipv6Addr = match address.ip() {
        IpAddr::V4(a) => a.to_ipv6_mapped(),
        IpAddr::V6(a) => a,
    };
    let mut key = [0; 18];
    key[..16].copy_from_slice(&ip.octets());
    key[16..].copy_from_slice(&address.port().to_be_bytes());
    key
}

/// All rows.
#[derive(Debug, Default)]
pub(super) struct Rows {
    by_number: BTreeMap<Number, Place>,
    chunks: Vec<Vec<Option<Row>>>,
    free: Vec<Place>,
    by_address: BTreeSet<(Key, Place)>,
    by_key: BTreeSet<(Fingerprint, Place)>,
    /// Numbers that the server picked: whose they are.
    picked: BTreeMap<User, BTreeMap<Instance, Number>>,
    due: BTreeSet<(Instant, Place)>,
    registered: usize,
    /// Where the last one was found: one request looks for its number again and again.
    last: AtomicU32,
}

impl Rows {
    /// All rows at once, by number, each once: what a start finds. The indices are as full as they can be, and nothing is looked for.
    pub fn of(rows: Vec<Row>) -> Rows {
        debug_assert!(rows.is_sorted_by(|a, b| a.number < b.number));
        let place = |i: usize| Place::try_from(i).expect("REGISTRATIONS_MAX rows have places");
        let each = || rows.iter().enumerate().map(|(i, row)| (place(i), row));
        let mut all = Rows {
            by_number: each().map(|(place, row)| (row.number.clone(), place)).collect(),
            by_address: each().flat_map(|(place, row)| row.addresses().map(move |key| (key, place))).collect(),
            by_key: each().flat_map(|(place, row)| row.fingerprints().map(move |key| (key, place))).collect(),
            due: each().filter_map(|(place, row)| row.until.map(|until| (until, place))).collect(),
            registered: rows.iter().filter(|row| !row.contacts.is_none()).count(),
            ..Rows::default()
        };
        for row in &rows {
            if let Some(instance) = &row.picked_for {
                all.picked.entry(row.user.clone()).or_default().insert(instance.clone(), row.number.clone());
            }
        }
        for row in rows {
            let place = all.grow();
            *all.slot(place) = Some(row);
        }
        all
    }
    pub fn len(&self) -> usize {
        self.by_number.len()
    }
    /// Numbers with a contact.
    pub fn registered(&self) -> usize {
        self.registered
    }
    pub fn get(&self, number: &Number) -> Option<&Row> {
        self.place(number).map(|place| self.at(place))
    }
    pub fn contains(&self, number: &Number) -> bool {
        self.place(number).is_some()
    }
    pub fn get_mut(&mut self, number: &Number) -> Option<&mut Row> {
        let place = self.place(number)?;
        self.slot(place).as_mut()
    }
    fn place(&self, number: &Number) -> Option<Place> {
        let last = self.last.load(Ordering::Relaxed);
        let there = self.chunks.get(last as usize / CHUNK).and_then(|c| c.get(last as usize % CHUNK)?.as_ref());
        if there.is_some_and(|row| row.number == *number) {
            return Some(last);
        }
        let place = *self.by_number.get(number)?;
        self.last.store(place, Ordering::Relaxed);
        Some(place)
    }
    /// Rows by number.
    pub fn range(&self, range: impl core::ops::RangeBounds<Number>) -> impl Iterator<Item = &Row> {
        self.by_number.range(range).map(|(_, place)| self.at(*place))
    }
    /// Numbers that are taken, in order.
    pub fn numbers(&self, range: impl core::ops::RangeBounds<Number>) -> impl Iterator<Item = &Number> {
        self.by_number.range(range).map(|(number, _)| number)
    }
    /// Rows with a contact at this address; `any_port`: at this host.
    pub fn at_address(&self, address: SocketAddr, any_port: bool) -> impl Iterator<Item = &Row> {
        let (mut first, mut last) = (key(address), key(address));
        if any_port {
            first[16..].copy_from_slice(&[0; 2]);
            last[16..].copy_from_slice(&[0xff; 2]);
        }
        self.by_address.range((first, 0)..=(last, Place::MAX)).map(|(_, place)| self.at(*place))
    }
    /// Rows with a contact of this key.
    pub fn with_key(&self, fingerprint: Fingerprint) -> impl Iterator<Item = &Row> {
        self.by_key.range((fingerprint, 0)..=(fingerprint, Place::MAX)).map(|(_, place)| self.at(*place))
    }
    /// The number picked for a terminal.
    pub fn picked(&self, user: &User, instance: &Instance) -> Option<&Number> {
        self.picked.get(user)?.get(instance)
    }
    /// Numbers picked for a user's terminals.
    pub fn picked_of(&self, user: &User) -> usize {
        self.picked.get(user).map_or(0, BTreeMap::len)
    }
    /// The next deadline, and whose.
    pub fn first_due(&self) -> Option<(Instant, &Row)> {
        self.due.first().map(|(at, place)| (*at, self.at(*place)))
    }

    /// Puts a row in, in place of the one of its number.
    pub fn put(&mut self, row: Row) {
        let place = match self.by_number.get(&row.number) {
            Some(place) => {
                let place = *place;
                let old = self.slot(place).take().expect("an index names rows that are there");
                self.unindex(place, &old, Some(&row));
                self.index(place, &row, Some(&old));
                place
            }
            None => {
                let place = self.free.pop().unwrap_or_else(|| self.grow());
                self.by_number.insert(row.number.clone(), place);
                self.index(place, &row, None);
                place
            }
        };
        *self.slot(place) = Some(row);
    }

    pub fn remove(&mut self, number: &Number) {
        let Some(place) = self.by_number.remove(number) else { return };
        let old = self.slot(place).take().expect("an index names rows that are there");
        self.unindex(place, &old, None);
        self.free.push(place);
    }

    fn at(&self, place: Place) -> &Row {
        let row = self.chunks.get(place as usize / CHUNK).and_then(|c| c.get(place as usize % CHUNK));
        row.and_then(Option::as_ref).expect("an index names rows that are there")
    }
    fn slot(&mut self, place: Place) -> &mut Option<Row> {
        &mut self.chunks[place as usize / CHUNK][place as usize % CHUNK]
    }
    fn grow(&mut self) -> Place {
        if self.chunks.last().is_none_or(|c| c.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let chunks = self.chunks.len();
        let chunk = self.chunks.last_mut().expect("one was just put in");
        chunk.push(None);
        Place::try_from((chunks - 1) * CHUNK + chunk.len() - 1).expect("REGISTRATIONS_MAX rows have places")
    }

    /// Takes out of the indices what `new` will not put in again.
    fn unindex(&mut self, place: Place, old: &Row, new: Option<&Row>) {
        self.registered -= usize::from(!old.contacts.is_none());
        if let Some(until) = old.until
            && new.is_none_or(|n| n.until != old.until)
        {
            self.due.remove(&(until, place));
        }
        if new.is_none_or(|n| !n.addresses().eq(old.addresses())) {
            for address in old.addresses() {
                self.by_address.remove(&(address, place));
            }
        }
        if new.is_none_or(|n| !n.fingerprints().eq(old.fingerprints())) {
            for fingerprint in old.fingerprints() {
                self.by_key.remove(&(fingerprint, place));
            }
        }
        if let Some(instance) = &old.picked_for
            && new.is_none_or(|n| n.picked_for.as_ref() != Some(instance) || n.user != old.user)
            && let Some(of_user) = self.picked.get_mut(&old.user)
        {
            if of_user.get(instance) == Some(&old.number) {
                of_user.remove(instance);
            }
            if of_user.is_empty() {
                self.picked.remove(&old.user);
            }
        }
    }

    fn index(&mut self, place: Place, row: &Row, old: Option<&Row>) {
        self.registered += usize::from(!row.contacts.is_none());
        if let Some(until) = row.until
            && old.is_none_or(|o| o.until != row.until)
        {
            self.due.insert((until, place));
        }
        if old.is_none_or(|o| !row.addresses().eq(o.addresses())) {
            for address in row.addresses() {
                self.by_address.insert((address, place));
            }
        }
        if old.is_none_or(|o| !row.fingerprints().eq(o.fingerprints())) {
            for fingerprint in row.fingerprints() {
                self.by_key.insert((fingerprint, place));
            }
        }
        if let Some(instance) = &row.picked_for {
            self.picked.entry(row.user.clone()).or_default().insert(instance.clone(), row.number.clone());
        }
    }
}
