//! Who may hold which number (C-6 to C-8), and which one a terminal gets that asks for none.

use super::bind::nameless;
use super::{Directory, Refusal};
use crate::clock::Instant;
use crate::directory::contact::Binding;
use crate::directory::record::{Instance, Mac, User};
use crate::directory::rows::Row;
use crate::limits::{DYNAMIC_NUMBERS_PER_USER_MAX, OTHERS_TOLD_MAX};
use crate::number::Number;

/// Who wants which number: what the rules of entitlement look at.
pub(super) struct Claim<'a> {
    pub user: &'a User,
    pub wanted: Option<&'a Number>,
    /// `None`: a phone that gives itself no name. One user's phones are then one terminal.
    pub instance: Option<&'a Instance>,
    pub mac: Option<Mac>,
}

impl Claim<'_> {
    /// Whether the terminal has this name.
    fn is_of(&self, instance: &Instance) -> bool {
        match self.instance {
            Some(own) => own == instance,
            None => nameless(self.user) == *instance,
        }
    }
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
        if let Some(owner) = self.owner(&wanted) {
            return self.may_be_held_by(owner, ask, &wanted).map(|()| (wanted, false));
        }
        // A number of the pool may be asked for by name: one's own from before, or one that nobody holds.
        if !self.in_pool(&wanted) {
            return Err(Refusal::NotEntitled);
        }
        match self.rows.get(&wanted) {
            Some(row) if row.user != *ask.user || row.picked_for.as_ref().is_none_or(|i| !ask.is_of(i)) => Err(Refusal::NumberTaken),
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
        match self.owner(number) {
            Some(owner) => self.may_be_held_by(owner, ask, number),
            None => Ok(()),
        }
    }

    fn may_be_held_by(&self, owner: &User, ask: &Claim<'_>, number: &Number) -> Result<(), Refusal> {
        if owner != ask.user {
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
        match ask.instance {
            Some(instance) => self.rows.picked(ask.user, instance),
            None => self.rows.picked(ask.user, &nameless(ask.user)),
        }
    }

    pub(super) fn may_have_another(&self, user: &User) -> Result<(), Refusal> {
        if self.rows.picked_of(user) < DYNAMIC_NUMBERS_PER_USER_MAX { Ok(()) } else { Err(Refusal::TooManyNumbers) }
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
        let mut taken = self.rows.numbers(first.clone()..=last.clone()).peekable();
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

    /// C-4: numbers of other terminals that live at the contact. Ports of one gateway share a contact: the same terminal, or the same user, is
    /// no conflict. Who stands behind a NAT shares its host's address with others by necessity.
    pub(super) fn others_at(&self, now: Instant, ask: &Claim<'_>, contact: &Binding, number: &Number) -> Vec<Number> {
        let any_port = self.policy.address_is_host && !contact.hidden;
        let there = |b: &Binding| b.address == contact.address || any_port && !b.hidden && b.address.ip() == contact.address.ip();
        let same_terminal = |b: &Binding| b.instance.is_some() && b.instance.as_ref() == ask.instance;
        let foreign = |row: &&Row| {
            row.number != *number && row.user != *ask.user && row.live(now).any(|c| there(&c.binding) && !same_terminal(&c.binding))
        };
        let here = self.rows.at_address(contact.address, any_port);
        here.filter(foreign).map(|row| row.number.clone()).take(OTHERS_TOLD_MAX).collect()
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
