//! The server's side of digest access: issues nonces and checks credentials.
//!
//! A nonce is issued without remembering it: it carries its time, its number and a print of the address it was issued to, under a seal.
//! Only nonces that were used with the right password take memory, for the window of `nc` values seen. One nonce stands in the challenges
//! of all algorithms and serves any user for its lifetime.

use super::algorithm::{Algorithm, Asked, Ha1, from_hex, push_hex, response};
use super::header::{Challenge, Credentials};
use crate::clock::Instant;
use crate::limits::{NONCE_WINDOW, NONCES_MAX};
use core::net::IpAddr;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// What a server finds of credentials.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is the user that it names.
    Is,
    /// The password is right; the nonce is too old, unknown, or was used at this count: challenge again with `stale`.
    Stale,
    /// Wrong.
    Wrong,
}

/// The server's side: issues nonces and checks credentials.
pub struct Authenticator {
    realm: String,
    /// Lives as long as the process.
    seal: Seal,
    issued: u64,
    lifetime_us: u64,
    /// Nonces in use, in the order of issue.
    used: BTreeMap<(u64, u64), Window>,
    /// Nonces issued up to here that are not in `used` were pushed out of it.
    forgotten_to: Option<(u64, u64)>,
}

/// Which `nc` values of a nonce were seen: the highest, and a bit for each of the [`NONCE_WINDOW`] up to it.
#[derive(Clone, Copy, Default)]
pub(super) struct Window {
    highest: u32,
    seen: [u64; (NONCE_WINDOW / 64) as usize],
}

impl Window {
    /// True, and marked, if `nc` is new.
    pub(super) fn take(&mut self, nc: u32) -> bool {
        if nc == 0 {
            return false;
        }
        if nc > self.highest {
            let by = nc - self.highest;
            for n in 1..=by.min(NONCE_WINDOW) {
                self.clear(self.highest.wrapping_add(n));
            }
            if by > NONCE_WINDOW {
                self.seen = [0; (NONCE_WINDOW / 64) as usize];
            }
            self.highest = nc;
        } else if self.highest - nc >= NONCE_WINDOW {
            return false;
        }
        let (word, bit) = Window::place(nc);
        let new = self.seen[word] & bit == 0;
        self.seen[word] |= bit;
        new
    }
    fn clear(&mut self, nc: u32) {
        let (word, bit) = Window::place(nc);
        self.seen[word] &= !bit;
    }
    fn place(nc: u32) -> (usize, u64) {
        let slot = nc % NONCE_WINDOW;
        ((slot / 64) as usize, 1 << (slot % 64))
    }
}

impl Authenticator {
    /// For this realm; `seal` are 32 random bytes from the operating system, `lifetime_s` how long a nonce serves.
    pub fn new(realm: &str, seal: [u8; 32], lifetime_s: u32) -> Self {
        Authenticator {
            realm: realm.to_owned(),
            seal: Seal::new(seal),
            issued: 0,
            lifetime_us: u64::from(lifetime_s) * 1_000_000,
            used: BTreeMap::new(),
            forgotten_to: None,
        }
    }

    /// Whose passwords are checked.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// One challenge an algorithm, best first, all with the same nonce, issued to who asks from `origin`. They offer [`super::Qop::Auth`] alone.
    pub fn challenge(&mut self, now: Instant, stale: bool, origin: IpAddr) -> [Challenge; 3] {
        let nonce = self.fresh_nonce(now, origin);
        Algorithm::ALL.map(|algorithm| Challenge {
            realm: self.realm.clone(),
            nonce: nonce.clone(),
            algorithm,
            auth: true,
            auth_int: false,
            stale,
            opaque: None,
        })
    }

    /// A nonce issued to who asks from `origin`, for challenges that are written by several hashes at once.
    pub fn fresh_nonce(&mut self, now: Instant, origin: IpAddr) -> String {
        self.issued += 1;
        self.nonce(now.as_us(), self.issued, origin)
    }

    /// Checks the credentials of a request. The user's H(A1) comes from `ha1`; for a user without one a made-up one is compared, so that
    /// time does not tell who has an account.
    pub fn check(&mut self, now: Instant, asked: &Asked<'_>, credentials: &Credentials, ha1: impl FnOnce(&str) -> Option<Ha1>) -> Verdict {
        let c = credentials;
        let known = ha1(&c.username);
        let stored = known.unwrap_or(Ha1::NOBODY);
        let expected = response(c.algorithm, &stored, asked, &c.nonce, c.qop, c.nc, &c.cnonce).unwrap_or_default();
        let proven = same(expected.as_bytes(), c.response.to_ascii_lowercase().as_bytes());
        if !proven || expected.is_empty() || known.is_none() || c.qop.is_none() || c.uri != asked.uri || c.realm != self.realm {
            return Verdict::Wrong;
        }
        if self.take(now, &c.nonce, c.nc) { Verdict::Is } else { Verdict::Stale }
    }

    /// Whether `nonce` was issued to `origin` and still serves: who shows it has received our answers there, and is who it says it is as
    /// far as addresses go. Where addresses are easily forged, what comes without this proof should count against nobody.
    pub fn issued_to(&self, now: Instant, nonce: &str, origin: IpAddr) -> bool {
        self.open(nonce).is_some_and(|n| n.print == self.print(origin) && n.at <= now.as_us() && now.as_us() - n.at <= self.lifetime_us)
    }

    /// How many nonces take memory.
    pub fn nonces_in_use(&self) -> usize {
        self.used.len()
    }

    /// True if the nonce is ours, young enough, and was not used at this count.
    pub(super) fn take(&mut self, now: Instant, nonce: &str, nc: u32) -> bool {
        let Some(Nonce { at, serial, .. }) = self.open(nonce) else { return false };
        let now = now.as_us();
        if at > now || now - at > self.lifetime_us {
            return false;
        }
        while self.used.first_key_value().is_some_and(|((issued, _), _)| issued.saturating_add(self.lifetime_us) < now) {
            self.used.pop_first();
        }
        if let Some(window) = self.used.get_mut(&(at, serial)) {
            return window.take(nc);
        }
        if self.forgotten_to.is_some_and(|to| (at, serial) <= to) {
            return false;
        }
        if self.used.len() >= NONCES_MAX
            && let Some((oldest, _)) = self.used.pop_first()
        {
            self.forgotten_to = self.forgotten_to.max(Some(oldest));
            if (at, serial) <= oldest {
                return false;
            }
        }
        self.used.entry((at, serial)).or_default().take(nc)
    }

    /// Time and serial number of issue, a print of the address, and a seal over them that only we can make.
    fn nonce(&self, at_us: u64, serial: u64, origin: IpAddr) -> String {
        let mut bytes = [0; 36];
        bytes[..8].copy_from_slice(&at_us.to_be_bytes());
        bytes[8..16].copy_from_slice(&serial.to_be_bytes());
        bytes[16..20].copy_from_slice(&self.print(origin));
        let seal = self.seal.over(&bytes[..20]);
        bytes[20..].copy_from_slice(&seal[..16]);
        let mut out = String::with_capacity(72);
        push_hex(&bytes, &mut out);
        out
    }

    fn open(&self, nonce: &str) -> Option<Nonce> {
        let bytes: [u8; 36] = from_hex(nonce)?;
        let at = u64::from_be_bytes(bytes[..8].try_into().ok()?);
        let serial = u64::from_be_bytes(bytes[8..16].try_into().ok()?);
        let print = bytes[16..20].try_into().ok()?;
        let seal = self.seal.over(&bytes[..20]);
        same(&seal[..16], &bytes[20..]).then_some(Nonce { at, serial, print })
    }

    fn print(&self, origin: IpAddr) -> [u8; 4] {
        let seal = match origin.to_canonical() {
            IpAddr::V4(a) => self.seal.over(&a.octets()),
            IpAddr::V6(a) => self.seal.over(&a.octets()),
        };
        [seal[0], seal[1], seal[2], seal[3]]
    }
}

struct Nonce {
    at: u64,
    serial: u64,
    print: [u8; 4],
}

/// RFC 2104 with SHA-256 for a key of one block at most, both pads hashed beforehand.
struct Seal {
    inner: Sha256,
    outer: Sha256,
}

impl Seal {
    fn new(key: [u8; 32]) -> Seal {
        let pad = |with: u8| Sha256::new().chain_update(core::array::from_fn::<u8, 64, _>(|i| key.get(i).copied().unwrap_or(0) ^ with));
        Seal { inner: pad(0x36), outer: pad(0x5c) }
    }
    fn over(&self, text: &[u8]) -> [u8; 32] {
        let inner = self.inner.clone().chain_update(text).finalize();
        self.outer.clone().chain_update(inner).finalize().into()
    }
}

/// Equality in a time that does not depend on where the first difference is.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && core::hint::black_box(a.iter().zip(b).fold(0u8, |d, (x, y)| core::hint::black_box(d | (x ^ y)))) == 0
}
