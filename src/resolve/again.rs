//! A learned route that leads to the wrong place, or to nobody: whom the number belongs to is known, only not where that is now. So the gateway of
//! that key is looked for first, and the number is asked after when nobody knows it, or nobody answers.

use super::{Action, Answer, NoRoute, QueryId, Resolver, Step, Waiting};
use crate::clock::{Instant, WallMs, ms};
use crate::limits::LOOKUPS_MAX;
use crate::number::Number;
use std::collections::BTreeSet;

/// How far a question has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asked {
    /// For the gateway of the key that was learned.
    Identifier,
    /// For the number.
    Number,
}

impl Resolver {
    /// Looks for a number again whose learned route proved stale (no answer, or wrong identity): for the gateway of its identifier, then for the
    /// number. One query, one answer, however many are asked. A number of which no identifier was learned is asked after at once.
    pub fn find_again(&mut self, now: Instant, number: &Number) -> Step {
        let known = self.cache.get(number).filter(|route| !route.several);
        let Some((called, fingerprint)) = known.and_then(|route| Some((route.number.clone(), route.fingerprint.clone()?))) else {
            return self.ask_again(now, number);
        };
        if self.waiting.len() >= LOOKUPS_MAX {
            return Step::Done(Err(NoRoute::Overloaded));
        }
        let query = self.wait(now, number, Asked::Identifier);
        self.actions.push(Action::AskIdentifier(query, called, fingerprint));
        Step::Asked(query)
    }

    /// Nobody knows the identifier, or nobody says: the number is asked after, under the same query. The time of an answer is counted anew; it runs
    /// from `since`, when the first question was asked, or its time was up.
    pub(super) fn identifier_is_lost(&mut self, query: QueryId, number: Number, since: Instant) {
        self.actions.push(Action::Ask(query, number.clone()));
        let until = since + ms(self.answer_limit_ms);
        self.waiting.insert(query, Waiting { number, until, asked: Asked::Number });
    }

    /// What of an answer about an identifier decides nothing yet.
    pub(super) fn is_no_place(answer: &Answer) -> bool {
        matches!(answer, Answer::No(_))
    }

    /// The peer said who it is, in a call along this route: that is learned where nothing was known of it. False: another identifier is
    /// known, which stands.
    pub fn learn_identifier(&mut self, wall: WallMs, dialled: &Number, fingerprint: &str) -> bool {
        let Some(route) = self.cache.get(dialled) else { return true };
        match &route.fingerprint {
            Some(known) => known == fingerprint,
            None => {
                let mut route = route.clone();
                (route.fingerprint, route.signed, route.learned_at) = (Some(fingerprint.to_owned()), false, wall);
                self.store(dialled.clone(), route);
                true
            }
        }
    }

    /// These identifiers are worth nothing any more: what was learned under them is dropped, and no answer that names one is taken. How many
    /// routes that were.
    pub fn set_revoked(&mut self, fingerprints: BTreeSet<String>) -> usize {
        self.revoked = fingerprints;
        let all: Vec<String> = self.revoked.iter().cloned().collect();
        all.iter().map(|f| self.forget_identifier(f)).sum()
    }

    /// Whether an identifier is worth nothing.
    pub fn is_revoked(&self, fingerprint: &str) -> bool {
        self.revoked.contains(fingerprint)
    }

    /// An answer without the places whose identifiers are revoked.
    pub(super) fn without_revoked(&self, answer: Answer) -> Answer {
        let bad = |f: &Option<String>| f.as_deref().is_some_and(|f| self.is_revoked(f));
        match answer {
            Answer::Found { fingerprint, .. } if bad(&fingerprint) => Answer::No(NoRoute::Away),
            Answer::Terminals { number, ring, mut at, signed } => {
                at.retain(|(_, fingerprint)| !bad(fingerprint));
                Answer::Terminals { number, ring, at, signed }
            }
            other => other,
        }
    }

    /// Drops what was learned under an identifier. How many routes that were.
    pub fn forget_identifier(&mut self, fingerprint: &str) -> usize {
        let of_key = self.cache.iter().filter(|(_, route)| route.fingerprint.as_deref() == Some(fingerprint));
        let numbers: Vec<Number> = of_key.map(|(number, _)| number.clone()).collect();
        numbers.iter().filter(|number| self.forget(number)).count()
    }
}
