//! Who is logged in: bearer tokens of people (RFC 6750), kept in memory and only as their SHA-256. A restart logs everybody out.
//!
//! A session ends by log-out, by silence, after a day whatever happens, and with the password or the person it came from.

use super::record::User;
use crate::clock::Instant;
use crate::limits::{SESSIONS_MAX, SESSIONS_PER_PERSON_MAX};
use core::time::Duration;
use std::collections::BTreeMap;

/// A session that is not used for this long is over, in seconds.
pub const SESSION_IDLE_S: u64 = 1800;
/// No session is longer than this, in seconds.
pub const SESSION_LONGEST_S: u64 = 86_400;

/// What is kept of a token.
pub type TokenPrint = [u8; 32];

#[derive(Debug)]
struct Session {
    user: User,
    since: Instant,
    used: Instant,
}

impl Session {
    fn is_over(&self, now: Instant) -> bool {
        now - self.used >= Duration::from_secs(SESSION_IDLE_S) || now - self.since >= Duration::from_secs(SESSION_LONGEST_S)
    }
}

/// The sessions that run.
#[derive(Debug, Default)]
pub struct Sessions {
    by_print: BTreeMap<TokenPrint, Session>,
}

impl Sessions {
    /// A session begins. Of one person's the longest unused makes room; false: there are too many of all.
    pub fn begin(&mut self, now: Instant, print: TokenPrint, user: &User) -> bool {
        let mine = self.by_print.iter().filter(|(_, s)| s.user == *user);
        let (count, oldest) = mine.fold((0, None), |(n, oldest): (usize, Option<(Instant, TokenPrint)>), (print, s)| {
            (n + 1, oldest.min(Some((s.used, *print))).or(Some((s.used, *print))))
        });
        if count >= SESSIONS_PER_PERSON_MAX
            && let Some((_, print)) = oldest
        {
            self.by_print.remove(&print);
        }
        if self.by_print.len() >= SESSIONS_MAX {
            self.by_print.retain(|_, s| !s.is_over(now));
            if self.by_print.len() >= SESSIONS_MAX {
                return false;
            }
        }
        self.by_print.insert(print, Session { user: user.clone(), since: now, used: now });
        true
    }

    /// Whose this token is.
    pub fn user(&mut self, now: Instant, print: &TokenPrint) -> Option<User> {
        if self.by_print.get(print)?.is_over(now) {
            self.by_print.remove(print);
            return None;
        }
        let session = self.by_print.get_mut(print)?;
        session.used = now;
        Some(session.user.clone())
    }

    /// One session ends. True if there was one.
    pub fn end(&mut self, print: &TokenPrint) -> bool {
        self.by_print.remove(print).is_some()
    }

    /// All sessions of a person end.
    pub fn end_all_of(&mut self, user: &User) {
        self.by_print.retain(|_, s| s.user != *user);
    }

    /// How many run.
    pub fn count(&self) -> usize {
        self.by_print.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Instant {
        Instant::from_ms(s * 1000)
    }
    fn print(n: usize) -> TokenPrint {
        let mut p = [0; 32];
        p[..8].copy_from_slice(&(n as u64).to_be_bytes());
        p
    }
    fn user(name: &str) -> User {
        User::parse(name).unwrap()
    }

    #[test]
    fn a_session_ends_by_silence_after_a_day_by_log_out_and_with_its_person() {
        let mut s = Sessions::default();
        let ann = user("ann");
        assert!(s.begin(at(0), print(1), &ann) && s.begin(at(0), print(2), &user("bob")));
        assert_eq!(s.user(at(SESSION_IDLE_S - 1), &print(1)), Some(ann.clone()));
        assert_eq!(s.user(at(SESSION_IDLE_S), &print(2)), None, "silent for too long");
        assert_eq!(s.user(at(SESSION_IDLE_S), &print(1)), Some(ann.clone()), "used meanwhile");
        assert_eq!(s.user(at(SESSION_IDLE_S), &print(9)), None);
        for t in (0..SESSION_LONGEST_S).step_by(600) {
            s.user(at(t), &print(1));
        }
        assert_eq!(s.user(at(SESSION_LONGEST_S), &print(1)), None, "a day is over");
        assert!(s.begin(at(0), print(3), &ann) && s.end(&print(3)) && !s.end(&print(3)));
        assert!(s.begin(at(0), print(4), &ann));
        s.end_all_of(&ann);
        assert_eq!((s.user(at(1), &print(4)), s.count()), (None, 0));
    }

    #[test]
    fn memory_is_bounded_and_nobody_logs_others_out() {
        let mut s = Sessions::default();
        let ann = user("ann");
        assert!((0..SESSIONS_PER_PERSON_MAX + 1).all(|n| s.begin(at(n as u64), print(n), &ann)));
        assert_eq!((s.count(), s.user(at(20), &print(0)), s.user(at(20), &print(1)).is_some()), (SESSIONS_PER_PERSON_MAX, None, true));
        let many = (0..2 * SESSIONS_MAX).filter(|n| s.begin(at(30), print(1000 + n), &user(&format!("u{n}")))).count();
        assert_eq!((many, s.count()), (SESSIONS_MAX - SESSIONS_PER_PERSON_MAX, SESSIONS_MAX));
        assert!(s.user(at(31), &print(1)).is_some());
        assert!(s.begin(at(31 + SESSION_IDLE_S), print(7), &user("late")), "what is over makes room");
    }
}
