//! Passwords of people: argon2id (RFC 9106), made and checked off the event thread, a few at a time.
//!
//! The parameters are OWASP's for argon2id (19 MiB, two passes, one lane). A hash says its own, so a stronger one of a later version of
//! this program is checked by what it says.

use crate::limits::{PASSWORD_BYTES_MAX, PASSWORDS_HASHED_MAX, PASSWORDS_PER_SOURCE_MAX, PASSWORDS_WAITING_MAX};
use crate::shell::clock;
use crate::sip::source_of;
use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Argon2, Params};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Characters of the shortest password that is taken.
pub const PASSWORD_CHARS_MIN: usize = 8;

/// What a password is compared with where there is no such person: a hash of our parameters that no password has, as nobody can make it. So
/// unknown names cost the same work as known ones.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5LWxvZ3MtaW4hIQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Memory that a hash from elsewhere may ask for, in KiB, and its passes and lanes: what it costs us to check it.
const FOREIGN_COST_MAX: (u32, u32, u32) = (65_536, 10, 4);

/// Too many wait: come again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Busy;

/// Where passwords are hashed.
pub struct Passwords {
    waiting: Arc<Semaphore>,
    running: Arc<Semaphore>,
    /// How many places each source has that has one: no more sources than places.
    sources: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
}

/// A place among those who wait. It is free again when this is dropped.
pub struct Place {
    _of_all: OwnedSemaphorePermit,
    source: IpAddr,
    sources: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut sources = self.sources.lock().expect("no thread panics while it counts");
        match sources.get_mut(&self.source) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(sources.remove(&self.source)),
        }
    }
}

impl Default for Passwords {
    fn default() -> Self {
        let (waiting, running) = (Semaphore::new(PASSWORDS_WAITING_MAX), Semaphore::new(PASSWORDS_HASHED_MAX));
        Passwords { waiting: Arc::new(waiting), running: Arc::new(running), sources: Arc::default() }
    }
}

impl Passwords {
    /// A place among those who wait for one who comes from here; held until the work is done.
    pub fn place(&self, from: IpAddr) -> Result<Place, Busy> {
        let source = source_of(from);
        let mut sources = self.sources.lock().expect("no thread panics while it counts");
        if sources.get(&source).is_some_and(|count| *count >= PASSWORDS_PER_SOURCE_MAX) {
            return Err(Busy);
        }
        let of_all = self.waiting.clone().try_acquire_owned().map_err(|_| Busy)?;
        *sources.entry(source).or_default() += 1;
        Ok(Place { _of_all: of_all, source, sources: self.sources.clone() })
    }

    /// The hash of a new password, for one who comes from here.
    pub async fn hash(&self, from: IpAddr, password: String) -> Result<Box<str>, Busy> {
        let place = self.place(from)?;
        self.work(place, move || hash(&password)).await
    }

    /// Whether `password` is that of `phc`; `None`: of nobody, at the same cost.
    pub async fn is(&self, from: IpAddr, password: String, phc: Option<Box<str>>) -> Result<bool, Busy> {
        let place = self.place(from)?;
        self.work(place, move || is(&password, phc.as_deref())).await
    }

    async fn work<T: Send + 'static>(&self, place: Place, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
        let turn = self.running.clone().acquire_owned().await.map_err(|_| Busy)?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            // Whoever gave up waiting does not free a place before its work is done.
            drop((turn, place));
            done
        });
        done.await.map_err(|_| Busy)
    }
}

/// The hash of a password, now.
pub fn hash(password: &str) -> Box<str> {
    let salt = SaltString::encode_b64(&clock::random::<16>()).expect("sixteen bytes are a salt");
    let hashed = Argon2::default().hash_password(password.as_bytes(), &salt).expect("the default parameters are in order");
    hashed.to_string().into()
}

fn is(password: &str, phc: Option<&str>) -> bool {
    let proven = |phc: &str| PasswordHash::new(phc).is_ok_and(|h| Argon2::default().verify_password(password.as_bytes(), &h).is_ok());
    match phc {
        Some(phc) => proven(phc),
        None => {
            let _never = std::hint::black_box(proven(NOBODY));
            false
        }
    }
}

/// Why a password is not taken, if it is not.
pub fn fault(user: &str, password: &str) -> Option<String> {
    if password.chars().count() < PASSWORD_CHARS_MIN {
        return Some(format!("a password has {PASSWORD_CHARS_MIN} characters at least"));
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Some(format!("a password has {PASSWORD_BYTES_MAX} bytes at most"));
    }
    password.eq_ignore_ascii_case(user).then(|| "a password is not the name".into())
}

/// Whether a hash from elsewhere (an import) is one that we would check.
pub fn is_usable(phc: &str) -> bool {
    let Ok(parsed) = PasswordHash::new(phc) else { return false };
    let (memory, passes, lanes) = FOREIGN_COST_MAX;
    let bounded = Params::try_from(&parsed).is_ok_and(|p| p.m_cost() <= memory && p.t_cost() <= passes && p.p_cost() <= lanes);
    parsed.algorithm.as_str() == "argon2id" && parsed.hash.is_some() && parsed.salt.is_some() && bounded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn req_d17_only_the_password_is_the_password_and_nobody_has_one() {
        let phc = hash("correct horse");
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert!(is("correct horse", Some(&phc)) && !is("correct horse!", Some(&phc)) && !is("", Some(&phc)));
        assert_ne!(phc, hash("correct horse"), "a salt of its own");
        assert!(PasswordHash::new(NOBODY).is_ok() && is_usable(NOBODY), "the comparison with nobody is made in full");
        assert!(!is("correct horse", None) && !is("x", Some("no hash")));
    }

    #[test]
    fn weak_passwords_and_costly_hashes_are_refused() {
        for (password, taken) in
            [("1234567", false), ("12345678", true), ("żółwżółw", true), ("Annannann", false), (&*"x".repeat(257), false)]
        {
            assert_eq!(fault("annannann", password).is_none(), taken, "{password}");
        }
        let of = |m: u32| NOBODY.replace("m=19456", &format!("m={m}"));
        assert!(is_usable(&of(65_536)) && !is_usable(&of(65_537)) && !is_usable(&NOBODY.replace("argon2id", "argon2d")) && !is_usable("x"));
    }

    #[tokio::test]
    async fn req_d17_more_than_may_wait_are_told_to_come_again() {
        let passwords = Passwords::default();
        let host = |n: usize| IpAddr::from([192, 0, 2, n as u8]);
        let held: Vec<_> = (0..PASSWORDS_WAITING_MAX).map(|n| passwords.place(host(n)).unwrap()).collect();
        assert_eq!(passwords.hash(host(99), "long enough".into()).await, Err(Busy));
        drop(held);
        let phc = passwords.hash(host(99), "long enough".into()).await.unwrap();
        assert_eq!(passwords.is(host(99), "long enough".into(), Some(phc)).await, Ok(true));
        assert!(passwords.sources.lock().unwrap().is_empty(), "nothing is kept of who is gone");
    }

    #[tokio::test]
    async fn req_d17_one_source_does_not_keep_others_from_logging_in() {
        let passwords = Passwords::default();
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        for (stranger, same, other) in
            [("203.0.113.5", "::ffff:203.0.113.5", "203.0.113.6"), ("2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1")]
        {
            let held: Vec<_> = (0..PASSWORDS_WAITING_MAX).filter_map(|_| passwords.place(at(stranger)).ok()).collect();
            assert_eq!(held.len(), PASSWORDS_PER_SOURCE_MAX);
            assert_eq!(passwords.is(at(same), "x".into(), None).await, Err(Busy));
            assert_eq!(passwords.is(at(other), "x".into(), None).await, Ok(false), "who comes from elsewhere is heard");
            drop(held);
            assert_eq!(passwords.is(at(same), "x".into(), None).await, Ok(false));
        }
    }
}
