//! Where a number is (C-2, C-9), who has a key, and who may know.

use super::{Directory, Response};
use crate::clock::Instant;
use crate::directory::contact::{Binding, uri_of};
use crate::directory::record::{Capabilities, User};
use crate::directory::rows::Row;
use crate::directory::settings::{Disclosure, Ring};
use crate::key::Fingerprint;
use crate::number::Number;
use crate::sip::Transport;
use std::net::SocketAddr;

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asker<'a> {
    /// Anybody.
    Stranger,
    /// Who proved this account's password.
    Account(&'a User),
    /// Who another directory vouched for; as one with an account.
    Referred,
    /// The operator.
    Operator,
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
    /// Which of them ring.
    pub ring: Ring,
    /// The key to expect at `contact`.
    pub fingerprint: Option<Fingerprint>,
    /// Its gateway proved it here.
    pub proven: bool,
    /// What is there.
    pub capabilities: Capabilities,
    /// Its address behind a NAT.
    pub private: Option<SocketAddr>,
    /// What it is at, where its owner lets that be seen (D-3, D-6).
    pub presence: Option<Presence>,
    /// When this knowledge ends, in seconds.
    pub expires_in_s: u32,
}

/// What a number is at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Presence {
    /// Calls that it has.
    pub calls: u8,
    /// It takes a second one.
    pub call_waiting: bool,
    /// It takes none.
    pub do_not_disturb: bool,
}

impl Presence {
    /// A call would be refused as busy.
    pub fn is_busy(&self) -> bool {
        self.calls > 0 && !self.call_waiting
    }
}

/// A row as the operator sees it.
#[derive(Clone, Debug)]
pub struct Listed<'a> {
    /// The terminal number.
    pub number: &'a Number,
    /// Whose.
    pub user: &'a User,
    /// Live contacts with the seconds each still runs; none: away.
    pub contacts: Vec<(&'a Binding, u32)>,
    /// Picked by the server.
    pub dynamic: bool,
    /// Keys that the number had.
    pub keys: &'a [Fingerprint],
    /// Calls reported.
    pub calls: u8,
}

impl Listed<'_> {
    /// Its best address.
    pub fn contact(&self) -> Option<SocketAddr> {
        self.best().map(|b| b.address)
    }
    /// Its best contact.
    pub fn best(&self) -> Option<&Binding> {
        self.contacts.iter().max_by_key(|(b, left)| (b.q, *left)).map(|(b, _)| *b)
    }
    /// When its last lease ends, in seconds.
    pub fn expires_in_s(&self) -> Option<u32> {
        self.contacts.iter().map(|(_, left)| *left).max()
    }
}

impl Directory {
    /// Where `number` (as dialled) is, whoever asks. Needs no record, so it may be answered at once.
    pub fn lookup(&self, now: Instant, number: &Number) -> Response {
        self.look_up(now, number, Asker::Operator)
    }

    /// Where `number` (as dialled) is, as far as `asker` may know.
    pub fn look_up(&self, now: Instant, number: &Number, asker: Asker<'_>) -> Response {
        let Some(number) = self.policy.plan.terminal(number) else {
            if asker == Asker::Stranger && self.policy.disclosure != Disclosure::Anyone {
                return Response::LogIn;
            }
            return match self.servers.owner(number) {
                Some(server) => Response::Elsewhere(Box::new(server.clone()), number.clone()),
                None => Response::Unknown(number.clone()),
            };
        };
        if let Some(no) = self.may_not_know(&number, asker) {
            return no;
        }
        let settings = self.settings.get(&number);
        let row = self.rows.get(&number);
        let hidden = settings.is_some_and(|s| s.do_not_disturb && !s.presence);
        if hidden && asker != Asker::Operator {
            // Who does not want to be seen is away, as far as others are told.
            return Response::Away(number);
        }
        let contacts = row.map_or_else(Vec::new, |row| self.live(row, now));
        if let Some((best, _)) = contacts.first() {
            let (contact, transport, fingerprint) = (best.address, best.transport, best.fingerprint());
            let proven = best.is_proven();
            let (capabilities, private) = (best.capabilities(), best.private());
            let presence = settings.filter(|s| s.presence).map(|s| Presence {
                calls: row.map_or(0, |row| row.calls),
                call_waiting: s.call_waiting,
                do_not_disturb: s.do_not_disturb,
            });
            return Response::Found(Box::new(Found {
                full: self.policy.plan.full(&number),
                contact,
                transport,
                expires_in_s: contacts.iter().map(|(_, left)| *left).max().unwrap_or(0),
                contacts,
                ring: self.ring_of(&number),
                number,
                fingerprint,
                proven,
                capabilities,
                private,
                presence,
            }));
        }
        if let Some(fixed) = settings.and_then(|s| s.fixed.as_ref()).filter(|f| !f.fingerprint.is_some_and(|key| self.revocations.has(key)))
        {
            // Always there, so the answer is good for as long as a lease would be.
            let lease_s = self.policy.lease_default_s;
            let binding = Binding {
                uri: uri_of(&number, fixed.address, fixed.transport),
                address: fixed.address,
                transport: fixed.transport,
                hidden: false,
                instance: None,
                q: 1000,
                lease_s,
                order: (0, 0),
                facts: None,
            };
            return Response::Found(Box::new(Found {
                full: self.policy.plan.full(&number),
                contact: fixed.address,
                transport: fixed.transport,
                contacts: vec![(binding, lease_s)],
                ring: Ring::Newest,
                number,
                fingerprint: fixed.fingerprint,
                proven: false,
                capabilities: Capabilities { voice: true, ..Capabilities::default() },
                private: None,
                presence: settings.filter(|s| s.presence).map(|s| Presence {
                    calls: 0,
                    call_waiting: s.call_waiting,
                    do_not_disturb: s.do_not_disturb,
                }),
                expires_in_s: lease_s,
            }));
        }
        let known = row.is_some() || settings.is_some() || self.reservations.contains_key(&number) || self.account_of.contains_key(&number);
        if known { Response::Away(number) } else { Response::Unknown(number) }
    }

    /// The numbers and contacts of the gateway that has this key: its identity does not change, its address may.
    pub fn look_up_key(&self, now: Instant, key: Fingerprint, asker: Asker<'_>) -> Vec<(Number, Binding, u32)> {
        let of_row = |row: &Row| -> Vec<(Number, Binding, u32)> {
            if self.may_not_know(&row.number, asker).is_some() {
                return Vec::new();
            }
            let with_key = self.live(row, now).into_iter().filter(|(b, _)| b.is_known_by(key));
            with_key.map(|(b, left)| (row.number.clone(), b, left)).collect()
        };
        self.rows.with_key(key).flat_map(of_row).take(crate::limits::PORTS_MAX).collect()
    }

    /// The number's contact that has this key, or one that followed it; away, if none has it now.
    pub(super) fn identify(&self, now: Instant, number: &Number, key: Fingerprint) -> Response {
        let Response::Found(mut found) = self.lookup(now, number) else { return Response::Away(number.clone()) };
        found.contacts.retain(|(binding, _)| binding.is_known_by(key));
        match found.contacts.first() {
            Some((best, left)) => {
                (found.contact, found.transport, found.private) = (best.address, best.transport, best.private());
                (found.fingerprint, found.proven, found.expires_in_s) = (best.fingerprint(), best.is_proven(), *left);
                found.ring = Ring::Newest;
                Response::Found(found)
            }
            None => Response::Away(found.number),
        }
    }

    /// Whether this user registered the number, and it is live.
    pub fn is_registered_by(&self, now: Instant, number: &Number, user: &User) -> bool {
        self.rows.get(number).is_some_and(|row| row.user == *user && !self.live(row, now).is_empty())
    }

    /// The number of an account (C-8): on whatever device its user is.
    pub fn number_of(&self, user: &str) -> Option<&Number> {
        self.accounts.get(user)?.number.as_ref()
    }

    /// All remembered registrations by number from `from` on.
    pub fn registrations(&self, now: Instant, from: Option<&Number>) -> impl Iterator<Item = Listed<'_>> {
        let start = from.map_or(core::ops::Bound::Unbounded, |n| core::ops::Bound::Included(n.clone()));
        self.rows.range((start, core::ops::Bound::Unbounded)).map(move |row| Listed {
            number: &row.number,
            user: &row.user,
            contacts: row.live(now).map(|c| (&c.binding, left_s(c.end, now))).collect(),
            dynamic: row.picked_for.is_some(),
            keys: &row.keys,
            calls: row.calls,
        })
    }

    /// The live contacts of a number, best first, with the seconds each still runs.
    pub(super) fn live_bindings(&self, now: Instant, number: &Number) -> Vec<(Binding, u32)> {
        self.rows.get(number).map_or_else(Vec::new, |row| self.live(row, now))
    }

    /// The live contacts of a row, best first. Those of a revoked key are nobody's.
    fn live(&self, row: &Row, now: Instant) -> Vec<(Binding, u32)> {
        let good = |b: &Binding| self.revocations.is_empty() || !b.fingerprint().is_some_and(|key| self.revocations.has(key));
        let live = row.live(now).filter(|c| good(&c.binding)).map(|c| (c.binding.clone(), left_s(c.end, now)));
        let mut live: Vec<(Binding, u32)> = live.collect();
        live.sort_by_key(|(b, left)| core::cmp::Reverse((b.q, *left)));
        live
    }

    fn may_not_know(&self, number: &Number, asker: Asker<'_>) -> Option<Response> {
        let rule = self.settings.get(number).and_then(|s| s.disclosure).unwrap_or(self.policy.disclosure);
        let owns = |user: &User| self.owner(number).or_else(|| self.rows.get(number).map(|row| &row.user)) == Some(user);
        match (rule, asker) {
            (Disclosure::Anyone, _) | (_, Asker::Operator) | (Disclosure::Accounts, Asker::Account(_) | Asker::Referred) => None,
            (Disclosure::Accounts | Disclosure::Consent, Asker::Stranger) => Some(Response::LogIn),
            (Disclosure::Consent, Asker::Account(user)) if owns(user) => None,
            (Disclosure::Consent, Asker::Account(_) | Asker::Referred) => Some(Response::Withheld(number.clone())),
        }
    }
}

/// Seconds until then, begun ones counted.
fn left_s(until: Instant, now: Instant) -> u32 {
    u32::try_from((until - now).as_millis().div_ceil(1000)).unwrap_or(u32::MAX)
}
