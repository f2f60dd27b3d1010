//! REGISTER: contacts are added to a number, renewed and taken away (RFC 3261 s.10.3). The rules of who may are the registrar's own; what
//! is granted here serves registrations by the API too.

use super::{AddressConflict, Alarm, Claim, Decision, Directory, Live, NewKey, Refusal, Response};
use crate::clock::{Instant, WallMs, ms};
use crate::directory::contact::Binding;
use crate::directory::record::{Instance, Mac, Record, Registration, User};
use crate::directory::settings::Ring;
use crate::key::Fingerprint;
use crate::limits::{ALARMS_MAX, BINDINGS_PER_NUMBER_MAX, INSTANCE_BYTES_MAX, KEYS_PER_NUMBER_MAX, OTHERS_TOLD_MAX, USER_BYTES_MAX};
use crate::number::Number;
use crate::sip::Transport;
use std::net::SocketAddr;

/// A lease asked for that is this long or longer is never too brief (RFC 3261 s.10.3 step 7), in seconds.
const NEVER_TOO_BRIEF_S: u32 = 3600;

/// A REGISTER, read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bind {
    /// The authenticated name.
    pub user: User,
    /// The number whose contacts are meant; `None`: the user's own, else one that the server picks.
    pub wanted: Option<Number>,
    /// What changes.
    pub change: Change,
    /// A print of the Call-ID, and the CSeq.
    pub order: (u64, u32),
}

/// What a REGISTER changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// These contacts; none asks only what there is.
    Contacts(Vec<Wish>),
    /// All are taken away (`Contact: *`).
    AllGone,
}

/// What is asked of one contact.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wish {
    /// Its URI.
    pub uri: Box<str>,
    /// Where it is reached.
    pub address: SocketAddr,
    /// How.
    pub transport: Transport,
    /// `address` is the source of the REGISTER and not what the URI says.
    pub hidden: bool,
    /// The phone.
    pub instance: Option<Instance>,
    /// Preference in thousandths.
    pub q: u16,
    /// The lease asked for, in seconds; 0 takes the contact away.
    pub lease_s: Option<u32>,
}

/// The name of a terminal that gives itself none. One user's phones are then one terminal.
pub(super) fn nameless(user: &User) -> Instance {
    Instance::parse(&format!("sip-{user}")).expect("a user's name is printable and shorter than a terminal's may be")
}
const _: () = assert!(USER_BYTES_MAX + 4 <= INSTANCE_BYTES_MAX, "a user's name with a prefix is a terminal's name");

/// Whether somebody can be called at an address.
pub(super) fn callable(address: SocketAddr) -> bool {
    address.port() != 0 && !address.ip().is_unspecified() && !address.ip().is_multicast()
}

/// The contacts that a number is to have.
pub(super) struct Grant<'a> {
    pub claim: &'a Claim<'a>,
    pub number: &'a Number,
    pub dynamic: bool,
    pub contacts: Vec<Live>,
    /// The address that comes in with this, if one does; what else stands there stood there before.
    pub newest: Option<SocketAddr>,
}

/// They were.
pub(super) struct Granted {
    pub writes: Vec<Record>,
    pub also_here: Vec<Number>,
}

impl Directory {
    pub(super) fn bind(&mut self, now: Instant, wall: WallMs, ask: Bind) -> Decision {
        let wishes = match ask.change {
            Change::Contacts(wishes) => wishes,
            Change::AllGone => return self.unbind_all(now, wall, &ask.user, ask.wanted.as_ref(), ask.order),
        };
        if let Some(min_s) = self.too_brief(&wishes) {
            return Decision::refuse(Refusal::TooBrief { min_s });
        }
        if wishes.iter().any(|w| w.lease_s != Some(0) && !callable(w.address)) {
            return Decision::refuse(Refusal::BadContact);
        }
        let instance = wishes.iter().find_map(|w| w.instance.clone());
        let mac = instance.as_ref().and_then(Mac::in_name);
        let claim = Claim { user: &ask.user, wanted: ask.wanted.as_ref(), instance: instance.as_ref(), mac };
        let asks_only = wishes.iter().all(|w| w.lease_s == Some(0));
        if asks_only && ask.wanted.is_none() && self.own_number(&claim).is_none() {
            // Nothing to tell and nothing to take away: no number is picked for that.
            return Decision::refuse(Refusal::NotEntitled);
        }
        let (number, dynamic) = match self.entitled(&claim) {
            Ok(found) => found,
            Err(why) => return Decision::refuse(why),
        };
        let mut contacts = self.contacts_of(now, &number, &ask.user);
        if self.ring_of(&number) == Ring::Newest {
            // A terminal of the API and phones do not share a number then: who comes last has it.
            contacts.retain(|c| !c.binding.is_of_the_api());
        }
        let same = |b: &Binding| wishes.iter().any(|w| b.is_same(&w.uri, w.instance.as_ref()));
        let stale = |b: &Binding| b.order.0 == ask.order.0 && b.order.1 >= ask.order.1;
        if contacts.iter().any(|c| stale(&c.binding) && same(&c.binding)) {
            return Decision::refuse(Refusal::OutOfOrder);
        }
        if wishes.is_empty() {
            return Decision::answer(self.bound(now, number));
        }
        let mut newest = None;
        for wish in wishes {
            contacts.retain(|c| !c.binding.is_same(&wish.uri, wish.instance.as_ref()));
            if wish.lease_s != Some(0) {
                newest = Some(wish.address);
                let binding = self.granted(wish, ask.order);
                contacts.push(self.leased(now, binding));
            }
        }
        if contacts.is_empty() && self.rows.get(&number).is_none_or(|row| row.contacts.is_none()) {
            return Decision::answer(self.bound(now, number));
        }
        match self.grant(now, wall, Grant { claim: &claim, number: &number, dynamic, contacts, newest }) {
            Ok(Granted { writes, .. }) => Decision { response: self.bound(now, number), writes },
            Err(why) => Decision::refuse(why),
        }
    }

    /// Gives a number these contacts, if the rules about addresses, keys and room let it.
    pub(super) fn grant(&mut self, now: Instant, wall: WallMs, ask: Grant<'_>) -> Result<Granted, Refusal> {
        let Grant { claim, number, dynamic, contacts, newest } = ask;
        if contacts.len() > BINDINGS_PER_NUMBER_MAX {
            return Err(Refusal::TooManyContacts);
        }
        if self.rows.len() >= self.policy.numbers_max && !self.rows.contains(number) {
            return Err(Refusal::Full);
        }
        let others = self.others_of(now, claim, &contacts, number);
        if !others.is_empty() && self.policy.address_conflict == AddressConflict::Refuse {
            return Err(Refusal::AddressInUse(others));
        }
        let keys = self.keys_after(now, claim, number, &contacts, newest)?;
        let mut writes = Vec::with_capacity(1);
        let mut also_here = Vec::new();
        match self.policy.address_conflict {
            AddressConflict::Replace => writes.extend(others.iter().filter_map(|n| self.erased(n))),
            AddressConflict::Report | AddressConflict::Refuse => also_here = others,
        }
        let picked_for = dynamic.then(|| claim.instance.cloned().unwrap_or_else(|| nameless(claim.user)));
        let user = claim.user.clone();
        let contacts = contacts.into_iter().map(|c| (c.binding, super::wall_of(c.end, now, wall))).collect();
        writes.push(Record::Registration(Box::new(Registration { number: number.clone(), user, picked_for, keys, contacts })));
        for record in &writes {
            self.apply(now, wall, record.clone());
        }
        Ok(Granted { writes, also_here })
    }

    /// The keys that the number had, with those of its contacts; an alarm if one of them is new, or missing.
    fn keys_after(
        &mut self,
        now: Instant,
        claim: &Claim<'_>,
        number: &Number,
        contacts: &[Live],
        newest: Option<SocketAddr>,
    ) -> Result<Box<[Fingerprint]>, Refusal> {
        let row = self.rows.get(number);
        let known = row.map_or(&[][..], |row| &row.keys);
        // A key that an earlier one of the number said would follow it is no stranger's; the earlier one is, from then on.
        let mut keys: Vec<Fingerprint> = known.to_vec();
        for binding in contacts.iter().map(|c| &c.binding) {
            let earlier: Vec<Fingerprint> = binding.successions().iter().map(crate::proof::Succession::old).collect();
            if let Some(key) = binding.fingerprint().filter(|key| !keys.contains(key) && keys.iter().any(|k| earlier.contains(k))) {
                keys.retain(|k| !earlier.contains(k));
                keys.push(key);
            }
        }
        let fresh = contacts.iter().filter_map(|c| c.binding.fingerprint()).find(|key| !keys.contains(key));
        // A name is told to everybody who looks the number up; who comes without the key is the same only where it stood without it before.
        let stood_there =
            |c: &Binding, b: &Binding| b.fingerprint().is_none() && b.address == c.address && b.is_same(&c.uri, c.instance.as_ref());
        let was_there = |c: &Live| row.is_some_and(|row| row.live(now).any(|b| stood_there(&c.binding, &b.binding)));
        let keyless = contacts.iter().any(|c| c.binding.fingerprint().is_none() && !was_there(c));
        if !known.is_empty()
            && (fresh.is_some() || keyless)
            && let Some(contact) = newest
        {
            let refused = self.policy.new_key == NewKey::Refuse;
            let alarm = Alarm { number: number.clone(), user: claim.user.clone(), contact, key: fresh, refused };
            self.alarms_raised += 1;
            if self.alarms.len() < ALARMS_MAX {
                self.alarms.push_back(alarm);
            }
            if refused {
                return Err(Refusal::NewKey);
            }
        }
        keys.extend(fresh);
        let too_many = keys.len().saturating_sub(KEYS_PER_NUMBER_MAX);
        keys.drain(..too_many);
        Ok(keys.into())
    }

    /// The live contacts of a number that are this user's: those of who had it before do not stay.
    pub(super) fn contacts_of(&self, now: Instant, number: &Number, user: &User) -> Vec<Live> {
        let own = self.rows.get(number).filter(|row| row.user == *user);
        own.map_or_else(Vec::new, |row| row.live(now).cloned().collect())
    }

    /// A contact with its lease from now on.
    pub(super) fn leased(&self, now: Instant, binding: Binding) -> Live {
        let end = now + ms(u64::from(binding.lease_s) * 1000);
        Live { binding, end }
    }

    /// The lease granted to who asks for this one.
    pub(super) fn lease(&self, asked_s: Option<u32>) -> u32 {
        asked_s.unwrap_or(self.policy.lease_default_s).clamp(self.policy.lease_min_s, self.policy.lease_max_s)
    }

    fn others_of(&self, now: Instant, claim: &Claim<'_>, contacts: &[Live], number: &Number) -> Vec<Number> {
        let mut others: Vec<Number> = contacts.iter().flat_map(|c| self.others_at(now, claim, &c.binding, number)).collect();
        others.sort();
        others.dedup();
        others.truncate(OTHERS_TOLD_MAX);
        others
    }

    fn unbind_all(&mut self, now: Instant, wall: WallMs, user: &User, wanted: Option<&Number>, order: (u64, u32)) -> Decision {
        let claim = Claim { user, wanted, instance: None, mac: None };
        let Some(number) = self.own_number(&claim) else { return Decision::refuse(Refusal::NotEntitled) };
        if self.live_bindings(now, &number).iter().any(|(b, _)| b.order.0 == order.0 && b.order.1 >= order.1) {
            return Decision::refuse(Refusal::OutOfOrder);
        }
        let Decision { response, writes } = self.deregister(now, wall, Some(user), &number, None);
        match response {
            Response::Deregistered { .. } => Decision { response: self.bound(now, number), writes },
            _ => Decision { response, writes },
        }
    }

    /// The number meant, without picking one: that asked for, the account's own, or one of the pool that the user has.
    pub(super) fn own_number(&self, claim: &Claim<'_>) -> Option<Number> {
        match claim.wanted {
            Some(wanted) => self.policy.plan.terminal(wanted),
            None => {
                let own = self.accounts.get(claim.user).and_then(|a| a.number.clone());
                own.or_else(|| self.dynamic_number(claim).cloned())
            }
        }
    }

    fn too_brief(&self, wishes: &[Wish]) -> Option<u32> {
        let min_s = self.policy.lease_min_s;
        let brief = |s: u32| s > 0 && s < min_s && s < NEVER_TOO_BRIEF_S;
        wishes.iter().any(|w| w.lease_s.is_some_and(brief)).then_some(min_s)
    }

    fn granted(&self, wish: Wish, order: (u64, u32)) -> Binding {
        Binding {
            uri: wish.uri,
            address: wish.address,
            transport: wish.transport,
            hidden: wish.hidden,
            instance: wish.instance,
            q: wish.q,
            lease_s: self.lease(wish.lease_s),
            order,
            facts: None,
        }
    }

    fn bound(&self, now: Instant, number: Number) -> Response {
        Response::Bound { contacts: self.live_bindings(now, &number), number }
    }
}

#[cfg(test)]
#[path = "bind_tests.rs"]
mod tests;
