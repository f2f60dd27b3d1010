//! A gateway's registration over the API, and the end of registrations. What a contact is granted is the same as by SIP ([`super::bind`]).

use super::bind::{Grant, Granted, callable};
use super::{AddressConflict, Claim, Decision, Directory, Refusal, Response};
use crate::clock::{Instant, WallMs};
use crate::directory::contact::{Facts, uri_of};
use crate::directory::record::{Capabilities, Instance, Mac, Record, User};
use crate::directory::settings::Ring;
use crate::key::Fingerprint;
use crate::number::Number;
use crate::proof::Succession;
use crate::sip::Transport;
use core::fmt;
use std::net::SocketAddr;

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
    /// What stands behind that.
    pub proof: Proof,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Its address behind a NAT, as it sees itself.
    pub private: Option<SocketAddr>,
    /// Its hardware address.
    pub mac: Option<Mac>,
    /// The lease asked for, in seconds.
    pub lease_s: Option<u32>,
    /// Calls that it has now (D-6): each registration says so anew, so that no report that was lost holds for long.
    pub calls: u8,
}

/// What stands behind the key of a registration. The door checks it; signatures are no work for who holds the table.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Proof {
    /// Nothing: it is stated.
    #[default]
    None,
    /// Its gateway signed with it, and these statements, each checked, lead to it from earlier keys.
    Shown(Box<[Succession]>),
    /// [`Directory::stands_proven`] said that it proved it before.
    Stands,
}

/// A number was registered with a key that it never had, or with none though it had one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Alarm {
    /// The number.
    pub number: Number,
    /// Who logged in.
    pub user: User,
    /// From where it wants to be called.
    pub contact: SocketAddr,
    /// The key it showed.
    pub key: Option<Fingerprint>,
    /// Nothing was changed.
    pub refused: bool,
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, user, contact) = (&self.number, &self.user, self.contact);
        write!(f, "alarm: number={number} account={:?} contact={contact} key=", user.as_str())?;
        match self.key {
            Some(key) => write!(f, "{key}")?,
            None => write!(f, "none")?,
        }
        write!(f, " is not one that the number had; refused={}", self.refused)
    }
}

impl Directory {
    pub(super) fn register(&mut self, now: Instant, wall: WallMs, ask: Register) -> Decision {
        if !callable(ask.contact) {
            return Decision::refuse(Refusal::BadContact);
        }
        if ask.fingerprint.is_some_and(|key| self.revocations.has(key)) {
            return Decision::refuse(Refusal::KeyRevoked);
        }
        let claim = Claim { user: &ask.user, wanted: ask.wanted.as_ref(), instance: Some(&ask.instance), mac: ask.mac };
        let (number, dynamic) = match self.entitled(&claim) {
            Ok(found) => found,
            Err(why) => return Decision::refuse(why),
        };
        let renewed = self.rows.get(&number).is_some_and(|row| row.live(now).any(|c| c.binding.instance.as_ref() == Some(&ask.instance)));
        let lease_s = self.lease(ask.lease_s);
        let (proven, successions) = match ask.proof {
            Proof::None => (false, Box::default()),
            Proof::Shown(ref statements) => {
                // Who has a revoked key can name any key as the next.
                let from = statements.iter().rposition(|s| self.revocations.has(s.old())).map_or(0, |i| i + 1);
                (true, statements[from..].into())
            }
            Proof::Stands => match self.proven_before(now, &number, &ask) {
                Some(before) => (true, before.successions().into()),
                None => (false, Box::default()),
            },
        };
        let binding = super::Binding {
            uri: uri_of(&number, ask.contact, ask.transport),
            address: ask.contact,
            transport: ask.transport,
            hidden: false,
            instance: Some(ask.instance.clone()),
            q: 1000,
            lease_s,
            order: (0, 0),
            facts: Some(Box::new(Facts {
                fingerprint: ask.fingerprint,
                proven,
                successions,
                capabilities: ask.capabilities,
                private: ask.private,
                mac: ask.mac,
            })),
        };
        let mut contacts = match self.ring_of(&number) {
            // Who registers last has the number.
            Ring::Newest => Vec::new(),
            Ring::All | Ring::InOrder => self.contacts_of(now, &number, &ask.user),
        };
        contacts.retain(|c| c.binding.instance.as_ref() != Some(&ask.instance));
        contacts.push(self.leased(now, binding));
        match self.grant(now, wall, Grant { claim: &claim, number: &number, dynamic, contacts, newest: Some(ask.contact) }) {
            Ok(Granted { writes, also_here }) => {
                if let Some(row) = self.rows.get_mut(&number) {
                    row.calls = ask.calls;
                }
                let full = self.policy.plan.full(&number);
                Decision { response: Response::Registered { number, full, lease_s, renewed, also_here }, writes }
            }
            Err(why) => Decision::refuse(why),
        }
    }

    /// Whether this is what a gateway that proved its key registered before: the same account, terminal, contact and key. It need not prove it
    /// again then: most registrations are that, and a signature costs more than all else of them.
    pub fn stands_proven(&self, now: Instant, ask: &Register) -> bool {
        let claim = Claim { user: &ask.user, wanted: ask.wanted.as_ref(), instance: Some(&ask.instance), mac: ask.mac };
        self.own_number(&claim).is_some_and(|number| self.proven_before(now, &number, ask).is_some())
    }

    fn proven_before(&self, now: Instant, number: &Number, ask: &Register) -> Option<&super::Binding> {
        let row = self.rows.get(number).filter(|row| row.user == ask.user)?;
        let same = |b: &super::Binding| {
            b.instance.as_ref() == Some(&ask.instance) && b.address == ask.contact && b.is_proven() && b.fingerprint() == ask.fingerprint
        };
        row.live(now).map(|c| &c.binding).find(|b| same(b))
    }

    pub(super) fn deregister(
        &mut self,
        now: Instant,
        wall: WallMs,
        user: Option<&User>,
        number: &Number,
        instance: Option<&Instance>,
    ) -> Decision {
        let Some(number) = self.policy.plan.terminal(number) else { return Decision::refuse(Refusal::NotOurNumber) };
        let Some(row) = self.rows.get(&number) else {
            // Saying "not registered" only to whom the number belongs tells a stranger nothing.
            return match user.is_none_or(|u| self.owner(&number) == Some(u)) {
                true => Decision::answer(Response::Deregistered { number, was_registered: false }),
                false => Decision::refuse(Refusal::NotEntitled),
            };
        };
        if user.is_some_and(|u| row.user != *u) {
            return Decision::refuse(Refusal::NotEntitled);
        }
        let mut left = Vec::new();
        if let Some(instance) = instance {
            left = row.live(now).cloned().collect();
            let before = left.len();
            left.retain(|c| c.binding.instance.as_ref() != Some(instance));
            if before > 0 && left.len() == before {
                return Decision::refuse(Refusal::NotThisTerminal);
            }
        }
        let was_registered = row.is_live(now);
        let mut writes = Vec::new();
        if was_registered {
            let contacts = left.into_iter().map(|c| (c.binding, super::wall_of(c.end, now, wall))).collect();
            writes.push(Record::Registration(Box::new(Directory::record_of(row, contacts))));
        }
        for record in &writes {
            self.apply(now, wall, record.clone());
        }
        Decision { response: Response::Deregistered { number, was_registered }, writes }
    }

    /// The record that erases the contacts of others at these addresses, under [`AddressConflict::Replace`].
    pub(super) fn erased(&self, number: &Number) -> Option<Record> {
        debug_assert_eq!(self.policy.address_conflict, AddressConflict::Replace);
        let row = self.rows.get(number)?;
        Some(Record::Registration(Box::new(Directory::record_of(row, Vec::new()))))
    }
}
