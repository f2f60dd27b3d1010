//! Who may hold which number (C-6 to C-8), and which one a terminal gets that asks for none.

use super::{Directory, Refusal};
use crate::clock::Instant;
use crate::directory::record::{Instance, Mac, User};
use crate::limits::DYNAMIC_NUMBERS_PER_USER_MAX;
use crate::number::Number;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Who wants which number: what the rules of entitlement look at.
pub(super) struct Claim<'a> {
    pub user: &'a User,
    pub wanted: Option<&'a Number>,
    pub instance: &'a Instance,
    pub mac: Option<Mac>,
}

impl Directory {
    /// The number this terminal gets, and whether the server picked it.
    pub(super) fn entitled(&self, ask: &Claim<'_>) -> Result<(Number, bool), Refusal> {
        let Some(wanted) = ask.wanted else {
            return match self.accounts.get(ask.user).and_then(|a| a.number.clone()) {
                Some(own) => self.may_hold(ask, &own).map(|()| (own, false)),
                None => self.pick(ask).map(|n| (n, true)),
            };
        };
        let wanted = self.policy.plan.terminal(wanted).ok_or(Refusal::NotOurNumber)?;
        if self.owner(&wanted).is_some() {
            return self.may_hold(ask, &wanted).map(|()| (wanted, false));
        }
        // A number of the pool may be asked for by name: one's own from before, or one that nobody holds.
        if !self.in_pool(&wanted) {
            return Err(Refusal::NotEntitled);
        }
        match self.rows.get(&wanted) {
            Some(row) if row.registration.user != *ask.user || row.registration.instance != *ask.instance => Err(Refusal::NumberTaken),
            Some(_) => Ok((wanted, true)),
            // One pool number a terminal: it would otherwise empty the pool by asking for each.
            None if self.dynamic_number(ask).is_some() => Err(Refusal::NotEntitled),
            None => self.may_have_another(ask.user).map(|()| (wanted, true)),
        }
    }

    /// Who a number is kept for: by reservation first, else the account whose own it is.
    pub(super) fn owner(&self, number: &Number) -> Option<&User> {
        self.reservations.get(number).map(|r| &r.user).or_else(|| self.account_of.get(number))
    }

    pub(super) fn may_hold(&self, ask: &Claim<'_>, number: &Number) -> Result<(), Refusal> {
        if self.owner(number).is_some_and(|owner| owner != ask.user) {
            return Err(Refusal::NumberTaken);
        }
        match self.reservations.get(number).and_then(|r| r.mac) {
            Some(bound) if ask.mac != Some(bound) => Err(Refusal::WrongMac),
            _ => Ok(()),
        }
    }

    pub(super) fn in_pool(&self, number: &Number) -> bool {
        self.policy.dynamic.as_ref().is_some_and(|(first, last)| first <= number && number <= last)
    }

    /// The number of the pool that this terminal has, or had and is kept.
    pub(super) fn dynamic_number(&self, ask: &Claim<'_>) -> Option<&Number> {
        self.dynamic_of.get(ask.user)?.get(ask.instance)
    }

    pub(super) fn may_have_another(&self, user: &User) -> Result<(), Refusal> {
        let held = self.dynamic_of.get(user).map_or(0, BTreeMap::len);
        if held < DYNAMIC_NUMBERS_PER_USER_MAX { Ok(()) } else { Err(Refusal::TooManyNumbers) }
    }

    /// C-6, dynamic mode: the number this terminal had, else the lowest that is neither reserved nor remembered for another.
    pub(super) fn pick(&self, ask: &Claim<'_>) -> Result<Number, Refusal> {
        if let Some(before) = self.dynamic_number(ask)
            && self.owner(before).is_none()
            && self.in_pool(before)
        {
            return Ok(before.clone());
        }
        let (first, last) = self.policy.dynamic.as_ref().ok_or(Refusal::NotEntitled)?;
        self.may_have_another(ask.user)?;
        let mut candidate = first.clone();
        // Rows come in the order of numbers, so the first gap is found in one walk over the taken ones.
        let mut taken = self.rows.range(first..=last).map(|(n, _)| n).peekable();
        loop {
            while taken.peek().is_some_and(|t| **t < candidate) {
                taken.next();
            }
            if taken.peek() != Some(&&candidate) && self.owner(&candidate).is_none() {
                return Ok(candidate);
            }
            if candidate >= *last {
                return Err(Refusal::NoneFree);
            }
            candidate = next_number(&candidate).ok_or(Refusal::NoneFree)?;
        }
    }

    /// C-4: other terminals that live at the contact. Ports of one gateway share a contact: the same instance, or the same user, is no
    /// conflict.
    pub(super) fn others_at(&self, now: Instant, ask: &Claim<'_>, contact: SocketAddr, number: &Number) -> Vec<Number> {
        let Some(here) = self.by_contact.get(&contact) else { return Vec::new() };
        let foreign = |n: &&Number| {
            *n != number
                && self.rows.get(*n).is_some_and(|row| {
                    row.registration.instance != *ask.instance && row.registration.user != *ask.user && row.until.is_some_and(|u| u > now)
                })
        };
        here.iter().filter(foreign).cloned().collect()
    }
}

/// The number after this one, of the same length.
fn next_number(number: &Number) -> Option<Number> {
    let mut digits = number.as_str().as_bytes().to_vec();
    for d in digits.iter_mut().rev() {
        if *d < b'9' {
            *d += 1;
            return Number::parse(core::str::from_utf8(&digits).ok()?).ok();
        }
        *d = b'0';
    }
    None
}
