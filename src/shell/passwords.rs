//! Passwords of people: argon2id (RFC 9106), made and checked off the event thread, a few at a time.
//!
//! The parameters are OWASP's for argon2id (19 MiB, two passes, one lane). A hash says its own, so a stronger one of a later version of
//! this program is checked by what it says.

use crate::limits::{PASSWORD_BYTES_MAX, PASSWORDS_HASHED_MAX, PASSWORDS_WAITING_MAX};
use crate::shell::clock;
use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Argon2, Params};
use std::sync::Arc;
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
}

impl Default for Passwords {
    fn default() -> Self {
        Passwords { waiting: Arc::new(Semaphore::new(PASSWORDS_WAITING_MAX)), running: Arc::new(Semaphore::new(PASSWORDS_HASHED_MAX)) }
    }
}

impl Passwords {
    /// A place among those who wait; held until the work is done.
    pub fn place(&self) -> Result<OwnedSemaphorePermit, Busy> {
        self.waiting.clone().try_acquire_owned().map_err(|_| Busy)
    }

    /// The hash of a new password.
    pub async fn hash(&self, password: String) -> Result<Box<str>, Busy> {
        let place = self.place()?;
        self.work(place, move || hash(&password)).await
    }

    /// Whether `password` is that of `phc`; `None`: of nobody, at the same cost.
    pub async fn is(&self, password: String, phc: Option<Box<str>>) -> Result<bool, Busy> {
        let place = self.place()?;
        self.work(place, move || is(&password, phc.as_deref())).await
    }

    async fn work<T: Send + 'static>(&self, place: OwnedSemaphorePermit, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
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
        let held: Vec<_> = (0..PASSWORDS_WAITING_MAX).map(|_| passwords.place().unwrap()).collect();
        assert_eq!(passwords.hash("long enough".into()).await, Err(Busy));
        drop(held);
        let phc = passwords.hash("long enough".into()).await.unwrap();
        assert_eq!(passwords.is("long enough".into(), Some(phc)).await, Ok(true));
    }
}
