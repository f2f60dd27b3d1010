//! Keys of single calls (D-5): where a terminal cannot agree on one by itself, the directory makes a fresh key when the called side answers, and
//! gives it to both sides over their own authenticated connections. It lies in memory until both had it, [`KEPT_MS`] at most, and nowhere else.

use super::record::User;
use super::registrar::Directory;
use crate::clock::{Instant, ms};
use crate::limits::{CALL_ID_BYTES_MAX, CALL_KEYS_MAX};
use crate::number::Number;
use core::fmt;
use std::collections::BTreeMap;

/// A key waits for so long for both sides, in milliseconds. The 200 and its ACK take a second or two.
pub const KEPT_MS: u64 = 30_000;
/// Octets of one direction: the longest suite's key (32) and salt (14). Shorter suites take theirs from the front.
pub const OCTETS: usize = 46;

/// What SDES calls a crypto suite.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Suite {
    /// Its name.
    pub name: &'static str,
    /// Octets of its master key and salt.
    pub octets: usize,
}

/// The suites that keys are made for (RFC 4568 s.6.2, RFC 7714 s.14.2); the first where none is asked for.
pub const SUITES: [Suite; 3] = [
    Suite { name: "AES_CM_128_HMAC_SHA1_80", octets: 30 },
    Suite { name: "AEAD_AES_128_GCM", octets: 28 },
    Suite { name: "AEAD_AES_256_GCM", octets: 44 },
];

/// Which side of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// Who calls.
    Caller,
    /// Who is called.
    Callee,
}

/// What a side gets.
#[derive(Clone, PartialEq, Eq)]
pub struct CallKey {
    /// The suite.
    pub suite: Suite,
    /// It protects with this.
    pub send: Vec<u8>,
    /// The other side with this.
    pub receive: Vec<u8>,
}
impl fmt::Debug for CallKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallKey({})", self.suite.name)
    }
}

/// Why there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoKey {
    /// The asker has neither number.
    NotYours,
    /// The called side has not answered, or too long ago.
    NotAnswered,
    /// Both sides had it.
    Spent,
    /// The call's name is no Call-ID, or the suite is none that keys are made for.
    Unreadable,
    /// Too many calls wait for theirs.
    Full,
}

/// Two directions of one call.
type Material = [[u8; OCTETS]; 2];

struct Row {
    from: Number,
    to: Number,
    suite: Suite,
    /// What the caller sends with, then the callee; gone when both had it.
    material: Option<Material>,
    had: [bool; 2],
    end: Instant,
}

/// The keys that wait.
#[derive(Default)]
pub struct StationKeys {
    rows: BTreeMap<Box<str>, Row>,
}
impl fmt::Debug for StationKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StationKeys({})", self.rows.len())
    }
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// The SIP Call-ID.
    pub call_id: &'a str,
    /// The calling number, as a terminal number of this directory.
    pub from: Number,
    /// The called one.
    pub to: Number,
    /// Which side asks.
    pub side: Side,
    /// What it wants to encrypt with.
    pub suite: Option<&'a str>,
}

/// Which side of a call from `from` to `to` this user is, by what is registered now; `said` decides where both numbers are the user's.
pub fn side_of(directory: &Directory, now: Instant, user: &User, from: &Number, to: &Number, said: Option<Side>) -> Option<Side> {
    let has = |number: &Number| directory.is_registered_by(now, number, user);
    match (has(from), has(to)) {
        (true, true) => said.or(Some(Side::Callee)),
        (true, false) => Some(Side::Caller),
        (false, true) => Some(Side::Callee),
        (false, false) => None,
    }
    .filter(|side| said.is_none_or(|said| said == *side))
}

impl StationKeys {
    /// The key of a call for one side. `fresh` makes random octets; the called side's asking is what makes a key, for it asks when it answers.
    pub fn ask(&mut self, now: Instant, asked: &Asked<'_>, fresh: impl FnOnce() -> Material) -> Result<CallKey, NoKey> {
        self.rows.retain(|_, row| row.end > now);
        let readable = !asked.call_id.is_empty() && asked.call_id.len() <= CALL_ID_BYTES_MAX;
        if !readable || !asked.call_id.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(NoKey::Unreadable);
        }
        let suite = match asked.suite {
            Some(name) => *SUITES.iter().find(|s| s.name == name).ok_or(NoKey::Unreadable)?,
            None => SUITES[0],
        };
        if !self.rows.contains_key(asked.call_id) {
            if asked.side == Side::Caller {
                return Err(NoKey::NotAnswered);
            }
            if self.rows.len() >= CALL_KEYS_MAX {
                return Err(NoKey::Full);
            }
            let (from, to) = (asked.from.clone(), asked.to.clone());
            let row = Row { from, to, suite, material: Some(fresh()), had: [false; 2], end: now + ms(KEPT_MS) };
            self.rows.insert(asked.call_id.into(), row);
        }
        let row = self.rows.get_mut(asked.call_id).expect("it was there, or was just put in");
        // Another call of the same name is no business of theirs.
        if (&row.from, &row.to) != (&asked.from, &asked.to) {
            return Err(NoKey::NotYours);
        }
        let [caller, callee] = row.material.ok_or(NoKey::Spent)?;
        let (send, receive, mine) = match asked.side {
            Side::Caller => (caller, callee, 0),
            Side::Callee => (callee, caller, 1),
        };
        row.had[mine] = true;
        if row.had == [true; 2] {
            row.material = None;
        }
        let octets = row.suite.octets;
        Ok(CallKey { suite: row.suite, send: send[..octets].to_vec(), receive: receive[..octets].to_vec() })
    }

    /// Keys that wait for a side.
    pub fn waiting(&self) -> usize {
        self.rows.values().filter(|row| row.material.is_some()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(call_id: &str, side: Side) -> Asked<'_> {
        let number = |n| Number::parse(n).expect("digits");
        Asked { call_id, from: number("2001"), to: number("3001"), side, suite: None }
    }
    fn fresh() -> Material {
        [core::array::from_fn(|i| i as u8), core::array::from_fn(|i| 100 + i as u8)]
    }

    #[test]
    fn req_d5_both_sides_get_one_key_mirrored_once_the_called_one_answered() {
        let mut keys = StationKeys::default();
        let mut ask = |at, side| keys.ask(Instant::from_ms(at), &asked("a@b", side), fresh);
        assert_eq!(ask(0, Side::Caller), Err(NoKey::NotAnswered));
        let callee = ask(0, Side::Callee).unwrap();
        assert_eq!(ask(1, Side::Callee), Ok(callee.clone()), "a repeat before the other had it");
        let caller = ask(2, Side::Caller).unwrap();
        assert_eq!((&caller.send, &caller.receive), (&callee.receive, &callee.send));
        assert_eq!((caller.suite.name, caller.send.len()), ("AES_CM_128_HMAC_SHA1_80", 30));
        assert_ne!(caller.send, caller.receive);
        for side in [Side::Caller, Side::Callee] {
            assert_eq!(ask(3, side), Err(NoKey::Spent));
        }
        assert_eq!(keys.waiting(), 0, "what both had is not kept");
    }

    #[test]
    fn req_d5_a_key_waits_for_thirty_seconds_and_the_table_has_an_end() {
        let mut keys = StationKeys::default();
        keys.ask(Instant::ZERO, &asked("a", Side::Callee), fresh).unwrap();
        assert_eq!(keys.ask(Instant::from_ms(KEPT_MS), &asked("a", Side::Caller), fresh), Err(NoKey::NotAnswered));
        for i in 0..CALL_KEYS_MAX {
            keys.ask(Instant::from_ms(KEPT_MS), &asked(&format!("c{i}"), Side::Callee), fresh).unwrap();
        }
        assert_eq!(keys.ask(Instant::from_ms(KEPT_MS), &asked("more", Side::Callee), fresh), Err(NoKey::Full));
        keys.ask(Instant::from_ms(2 * KEPT_MS), &asked("more", Side::Callee), fresh).unwrap();
        assert_eq!(keys.waiting(), 1);
    }

    #[test]
    fn a_key_is_cut_to_its_suite_and_another_call_of_the_same_name_gets_none() {
        let mut keys = StationKeys::default();
        let of = |suite| Asked { suite: Some(suite), ..asked("a", Side::Callee) };
        assert_eq!(keys.ask(Instant::ZERO, &of("NULL"), fresh), Err(NoKey::Unreadable));
        assert_eq!(keys.ask(Instant::ZERO, &of("AEAD_AES_256_GCM"), fresh).unwrap().send.len(), 44);
        let other = Asked { to: Number::parse("3002").unwrap(), ..asked("a", Side::Caller) };
        assert_eq!(keys.ask(Instant::ZERO, &other, fresh), Err(NoKey::NotYours));
        assert_eq!(keys.ask(Instant::ZERO, &asked("", Side::Callee), fresh), Err(NoKey::Unreadable));
        assert!(!format!("{keys:?}").contains("100"));
    }
}
