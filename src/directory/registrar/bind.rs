//! REGISTER: contacts are added to a number, renewed and taken away (RFC 3261 s.10.3). The rules of who may are the registrar's own.

use super::{AddressConflict, Claim, Decision, Directory, Refusal, Response};
use crate::clock::{Instant, WallMs};
use crate::directory::contact::Binding;
use crate::directory::record::{Capabilities, Instance, Record, Registration, User};
use crate::limits::{BINDINGS_PER_NUMBER_MAX, INSTANCE_BYTES_MAX, REGISTRATIONS_MAX, USER_BYTES_MAX};
use crate::number::Number;
use crate::sip::Transport;
use crate::sip::message::Uri;
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
fn nameless(user: &User) -> Instance {
    Instance::parse(&format!("sip-{user}")).expect("a user's name is printable and shorter than a terminal's may be")
}
const _: () = assert!(USER_BYTES_MAX + 4 <= INSTANCE_BYTES_MAX, "a user's name with a prefix is a terminal's name");

impl Directory {
    pub(super) fn bind(&mut self, now: Instant, wall: WallMs, ask: Bind) -> Decision {
        let wishes = match ask.change {
            Change::Contacts(wishes) => wishes,
            Change::AllGone => return self.unbind_all(now, wall, &ask.user, ask.wanted.as_ref(), ask.order),
        };
        if let Some(min_s) = self.too_brief(&wishes) {
            return Decision::refuse(Refusal::TooBrief { min_s });
        }
        let reachable = |a: SocketAddr| a.port() != 0 && !a.ip().is_unspecified() && !a.ip().is_multicast();
        if wishes.iter().any(|w| w.lease_s != Some(0) && !reachable(w.address)) {
            return Decision::refuse(Refusal::BadContact);
        }
        let instance = wishes.iter().find_map(|w| w.instance.clone()).unwrap_or_else(|| nameless(&ask.user));
        let claim = Claim { user: &ask.user, wanted: ask.wanted.as_ref(), instance: &instance, mac: None };
        let asks_only = wishes.iter().all(|w| w.lease_s == Some(0));
        if asks_only && ask.wanted.is_none() && self.own_number(&claim).is_none() {
            // Nothing to tell and nothing to take away: no number is picked for that.
            return Decision::refuse(Refusal::NotEntitled);
        }
        let (number, dynamic) = match self.entitled(&claim) {
            Ok(found) => found,
            Err(why) => return Decision::refuse(why),
        };
        // A terminal of the API and phones do not share a number: who comes last has it.
        let by_sip = self.rows.get(&number).is_some_and(|row| !row.registration.bindings.is_empty());
        let before = if by_sip { self.live_bindings(now, &number) } else { Vec::new() };
        let stale = |b: &Binding| b.order.0 == ask.order.0 && b.order.1 >= ask.order.1;
        if !wishes.is_empty() && before.iter().any(|(b, _)| stale(b) && wishes.iter().any(|w| b.is_same(&w.uri, w.instance.as_ref()))) {
            return Decision::refuse(Refusal::OutOfOrder);
        }
        if asks_only && wishes.is_empty() {
            return Decision::answer(self.bound(now, number));
        }
        let mut bindings: Vec<Binding> = before.into_iter().map(|(b, _)| b).collect();
        for wish in &wishes {
            bindings.retain(|b| !b.is_same(&wish.uri, wish.instance.as_ref()));
            if wish.lease_s != Some(0) {
                bindings.push(self.granted(wall, wish, ask.order));
            }
        }
        if bindings.len() > BINDINGS_PER_NUMBER_MAX {
            return Decision::refuse(Refusal::TooManyContacts);
        }
        if self.rows.len() >= REGISTRATIONS_MAX && !self.rows.contains_key(&number) {
            return Decision::refuse(Refusal::Full);
        }
        let mut others: Vec<Number> = bindings.iter().flat_map(|b| self.others_at(now, &claim, b.address, &number)).collect();
        others.sort();
        others.dedup();
        if !others.is_empty() && self.policy.address_conflict == AddressConflict::Refuse {
            return Decision::refuse(Refusal::AddressInUse(others));
        }
        let mut writes = Vec::with_capacity(1);
        if self.policy.address_conflict == AddressConflict::Replace {
            writes.extend(others.iter().filter_map(|n| self.erased(n)).map(Record::Registration));
        }
        match self.with_bindings(&number, &ask.user, instance, bindings, dynamic) {
            Some(row) => writes.push(Record::Registration(row)),
            None => return Decision::answer(self.bound(now, number)),
        }
        for record in &writes {
            self.apply(now, wall, record.clone());
        }
        Decision { response: self.bound(now, number), writes }
    }

    /// The live contacts of a number, best first, with the seconds each still runs. A terminal of the API is one of them.
    pub(super) fn live_bindings(&self, now: Instant, number: &Number) -> Vec<(Binding, u32)> {
        let Some(row) = self.rows.get(number) else { return Vec::new() };
        let left = |until: Instant| u32::try_from((until - now).as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
        let r = &row.registration;
        let mut live: Vec<(Binding, u32)> =
            r.bindings.iter().zip(row.ends.iter()).filter(|(_, end)| **end > now).map(|(b, end)| (b.clone(), left(*end))).collect();
        if let (true, Some(address), Some(until)) = (r.bindings.is_empty(), r.contact, row.until.filter(|u| *u > now)) {
            let how = match r.transport {
                Transport::Udp => "",
                Transport::Tcp => ";transport=tcp",
                Transport::Tls => ";transport=tls",
            };
            let uri = format!("sip:{number}@{address}{how}").into();
            let (instance, expires, lease_s) = (Some(r.instance.clone()), r.expires, r.lease_s);
            let api = Binding { uri, address, transport: r.transport, hidden: false, instance, q: 1000, expires, lease_s, order: (0, 0) };
            live.push((api, left(until)));
        }
        live.sort_by_key(|(b, left)| core::cmp::Reverse((b.q, *left)));
        live
    }

    fn unbind_all(&mut self, now: Instant, wall: WallMs, user: &User, wanted: Option<&Number>, order: (u64, u32)) -> Decision {
        let instance = nameless(user);
        let claim = Claim { user, wanted, instance: &instance, mac: None };
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
    fn own_number(&self, claim: &Claim<'_>) -> Option<Number> {
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

    fn granted(&self, wall: WallMs, wish: &Wish, order: (u64, u32)) -> Binding {
        let lease_s = wish.lease_s.unwrap_or(self.policy.lease_default_s).clamp(self.policy.lease_min_s, self.policy.lease_max_s);
        Binding {
            uri: wish.uri.clone(),
            address: wish.address,
            transport: wish.transport,
            hidden: wish.hidden,
            instance: wish.instance.clone(),
            q: wish.q,
            expires: WallMs(wall.0.saturating_add(i64::from(lease_s) * 1000)),
            lease_s,
            order,
        }
    }

    /// The row of `number` with these contacts; `None` when there is nothing to write.
    fn with_bindings(
        &self,
        number: &Number,
        user: &User,
        instance: Instance,
        bindings: Vec<Binding>,
        dynamic: bool,
    ) -> Option<Registration> {
        // The best is the number's address for whoever knows one address only.
        let Some(best) = bindings.iter().max_by_key(|b| (b.q, b.expires.0)) else {
            return self.rows.get(number).filter(|row| row.registration.contact.is_some()).and_then(|_| self.erased(number));
        };
        let own = || Uri::parse(best.uri.as_bytes()).ok().and_then(|u| u.socket_addr());
        Some(Registration {
            number: number.clone(),
            user: user.clone(),
            instance,
            contact: Some(best.address),
            transport: best.transport,
            fingerprint: None,
            capabilities: Capabilities { voice: true, ..Capabilities::default() },
            private: if best.hidden { own() } else { None },
            mac: None,
            lease_s: bindings.iter().map(|b| b.lease_s).max().unwrap_or(0),
            expires: bindings.iter().map(|b| b.expires).max().unwrap_or_default(),
            dynamic,
            bindings: bindings.into(),
        })
    }

    fn bound(&self, now: Instant, number: Number) -> Response {
        Response::Bound { contacts: self.live_bindings(now, &number), number }
    }
}

#[cfg(test)]
#[path = "bind_tests.rs"]
mod tests;
