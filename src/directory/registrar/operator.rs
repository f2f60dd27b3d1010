//! What the operator (and the owner of a number) changes: reservations, accounts, settings, other directories.

use super::{Decision, Directory, Refusal, Response};
use crate::clock::{Instant, WallMs};
use crate::directory::record::{Account, Record, Reservation, User};
use crate::directory::servers::Server;
use crate::directory::settings::Settings;
use crate::key::Fingerprint;
use crate::limits::{ACCOUNTS_MAX, NUMBER_DIGITS_MAX, SERVERS_MAX};
use crate::number::Number;

impl Directory {
    pub(super) fn reserve(&mut self, now: Instant, wall: WallMs, mut reservation: Reservation) -> Decision {
        let Some(number) = self.policy.plan.terminal(&reservation.number) else { return Decision::refuse(Refusal::NotOurNumber) };
        if self.reservations.len() >= ACCOUNTS_MAX && !self.reservations.contains_key(&number) {
            return Decision::refuse(Refusal::Full);
        }
        reservation.number = number;
        let mut writes = Vec::new();
        self.hand_over(&reservation.number, &reservation.user, &mut writes);
        writes.push(Record::Reservation(reservation));
        self.done(now, wall, writes)
    }

    pub(super) fn unreserve(&mut self, now: Instant, wall: WallMs, number: &Number) -> Decision {
        match self.policy.plan.terminal(number).filter(|n| self.reservations.contains_key(n)) {
            Some(number) => self.done(now, wall, vec![Record::Unreserved(number)]),
            None => Decision::refuse(Refusal::NoSuchRow),
        }
    }

    pub(super) fn set_account(&mut self, now: Instant, wall: WallMs, mut account: Account) -> Decision {
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
        let mut writes = Vec::new();
        self.hand_over_of_account(&account, &mut writes);
        writes.push(Record::Account(account));
        self.done(now, wall, writes)
    }

    /// What ends when this account is as it says: others' registrations of its number, and its own of the number that it had.
    pub(super) fn hand_over_of_account(&self, account: &Account, writes: &mut Vec<Record>) {
        let before = self.accounts.get(&account.user).and_then(|a| a.number.as_ref());
        if let Some(number) = before.filter(|n| Some(*n) != account.number.as_ref()) {
            if self.rows.get(number).is_some_and(|row| row.user == account.user) {
                writes.push(Record::Forgotten(number.clone()));
            }
            writes.extend(self.settings_of_nobody(number));
        }
        if let Some(number) = &account.number {
            self.hand_over(number, &account.user, writes);
        }
    }

    /// Whoever holds a number without a right to it any more is not called under it any more, and what he wanted of it is forgotten.
    fn hand_over(&self, number: &Number, to: &User, writes: &mut Vec<Record>) {
        let held = self.rows.get(number).is_some_and(|row| row.user != *to);
        if held {
            writes.push(Record::Forgotten(number.clone()));
        }
        if held || self.owner(number).is_some_and(|owner| owner != to) {
            writes.extend(self.settings_of_nobody(number));
        }
    }

    /// What is left of a number's settings when its holder is gone: where the operator said that it is always found.
    pub(super) fn settings_of_nobody(&self, number: &Number) -> Option<Record> {
        let settings = self.settings.get(number)?;
        Some(match &settings.fixed {
            Some(fixed) => Record::Settings(Settings { fixed: Some(fixed.clone()), ..Settings::usual(number.clone()) }),
            None => Record::SettingsRemoved(number.clone()),
        })
    }

    pub(super) fn remove_account(&mut self, now: Instant, wall: WallMs, user: &User) -> Decision {
        if !self.accounts.contains_key(user) {
            return Decision::refuse(Refusal::NoSuchRow);
        }
        let held: Vec<Number> = self.rows.range(..).filter(|row| row.user == *user).map(|row| row.number.clone()).collect();
        let own = self.accounts.get(user).and_then(|a| a.number.clone()).filter(|n| !held.contains(n));
        let mut writes: Vec<Record> = held.iter().cloned().map(Record::Forgotten).collect();
        writes.extend(held.iter().chain(&own).filter_map(|number| self.settings_of_nobody(number)));
        writes.push(Record::AccountRemoved(user.clone()));
        self.done(now, wall, writes)
    }

    pub(super) fn set(&mut self, now: Instant, wall: WallMs, by: Option<&User>, mut settings: Settings) -> Decision {
        let before = match self.settings_for(by, &settings.number) {
            Ok(before) => before,
            Err(why) => return Decision::refuse(why),
        };
        let number = before.number;
        if by.is_some() {
            // Where a number is called that nothing registered for is the operator's word alone.
            settings.fixed = before.fixed;
        }
        if settings.fixed.as_ref().is_some_and(|f| !super::bind::callable(f.address)) {
            return Decision::refuse(Refusal::BadContact);
        }
        if self.settings.len() >= ACCOUNTS_MAX && !self.settings.contains_key(&number) {
            return Decision::refuse(Refusal::Full);
        }
        settings.number = number.clone();
        let record = if settings == Settings::usual(number.clone()) { Record::SettingsRemoved(number) } else { Record::Settings(settings) };
        self.done(now, wall, vec![record])
    }

    /// The settings of a number, if they are `by`'s to see (`None`: the operator).
    pub fn settings_for(&self, by: Option<&User>, number: &Number) -> Result<Settings, Refusal> {
        let number = self.policy.plan.terminal(number).ok_or(Refusal::NotOurNumber)?;
        let holder = self.owner(&number).or_else(|| self.rows.get(&number).map(|row| &row.user));
        if by.is_some_and(|user| holder != Some(user)) {
            return Err(Refusal::NotEntitled);
        }
        Ok(self.settings.get(&number).cloned().unwrap_or_else(|| Settings::usual(number)))
    }

    pub(super) fn set_server(&mut self, now: Instant, wall: WallMs, server: Server) -> Decision {
        let digits = server.number.as_str().len() + usize::from(server.terminal_digits);
        let ours = *self.policy.plan.server() == server.number && usize::from(server.terminal_digits) == self.policy.plan.terminal_digits();
        if ours || server.terminal_digits == 0 || digits > NUMBER_DIGITS_MAX {
            return Decision::refuse(Refusal::NumberTaken);
        }
        if self.servers.len() >= SERVERS_MAX && self.servers.get(&server.number).is_none() {
            return Decision::refuse(Refusal::Full);
        }
        self.done(now, wall, vec![Record::Server(server)])
    }

    pub(super) fn remove_server(&mut self, now: Instant, wall: WallMs, number: &Number) -> Decision {
        match self.servers.get(number) {
            Some(_) => self.done(now, wall, vec![Record::ServerRemoved(number.clone())]),
            None => Decision::refuse(Refusal::NoSuchRow),
        }
    }

    pub(super) fn forget_keys(&mut self, now: Instant, wall: WallMs, number: &Number) -> Decision {
        let Some(row) = self.policy.plan.terminal(number).and_then(|n| self.rows.get(&n)) else {
            return Decision::refuse(Refusal::NoSuchRow);
        };
        let contacts = row.contacts.all().iter().map(|c| (c.binding.clone(), super::wall_of(c.end, now, wall))).collect();
        let mut record = Directory::record_of(row, contacts);
        record.keys = Box::default();
        self.done(now, wall, vec![Record::Registration(Box::new(record))])
    }

    pub(super) fn revoke(&mut self, now: Instant, wall: WallMs, key: Fingerprint, why: &str) -> Decision {
        match self.revocations.row(key, why, wall) {
            Some(row) => self.done(now, wall, vec![Record::Revoked(row)]),
            None => Decision::refuse(Refusal::Full),
        }
    }

    pub(super) fn unrevoke(&mut self, now: Instant, wall: WallMs, key: Fingerprint) -> Decision {
        let serial = self.revocations.serial() + 1;
        match self.revocations.has(key) {
            true => self.done(now, wall, vec![Record::Unrevoked(key, serial)]),
            false => Decision::refuse(Refusal::NoSuchRow),
        }
    }

    pub(super) fn calls(&mut self, user: &User, number: &Number, calls: u8) -> Decision {
        let Some(number) = self.policy.plan.terminal(number) else { return Decision::refuse(Refusal::NotOurNumber) };
        match self.rows.get_mut(&number) {
            Some(row) if row.user == *user => {
                row.calls = calls;
                Decision::answer(Response::Done)
            }
            Some(_) | None => Decision::refuse(Refusal::NotEntitled),
        }
    }
}
