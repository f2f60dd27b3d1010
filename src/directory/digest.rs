//! Digest access authentication, both sides. Read RFC 7616 clauses 3.3 to 3.5 (and RFC 8760 for SIP) before changing anything here.
//!
//! Neutral of transport: a method, a URI and header values as text; HTTP uses it as SIP REGISTER will. Passwords are not kept: H(A1) is.
//! A nonce is issued without remembering it (it carries its time and a seal); only nonces that were used with the right password take
//! memory, for the window of `nc` values seen. One nonce stands in the challenges of all algorithms and serves any user for its lifetime.

use crate::clock::Instant;
use crate::directory::record::User;
use crate::limits::{DIGEST_BYTES_MAX, NONCE_WINDOW, NONCES_MAX};
use core::fmt::Write as _;
use md5::Md5;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// The hash of a challenge.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Algorithm {
    /// What every SIP device knows.
    Md5,
    /// What RFC 7616 asks for.
    Sha256,
}

impl Algorithm {
    /// All, best first: the order of challenges.
    pub const ALL: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Md5];
    /// The IANA name.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Sha256 => "SHA-256",
        }
    }
    fn parse(text: &str) -> Option<Self> {
        Algorithm::ALL.into_iter().find(|a| a.name().eq_ignore_ascii_case(text))
    }
    /// The hash of `parts` joined by colons, in lower-case hex, appended to `out`.
    fn hash(self, parts: &[&str], out: &mut String) {
        match self {
            Algorithm::Md5 => hash_hex::<Md5>(parts, out),
            Algorithm::Sha256 => hash_hex::<Sha256>(parts, out),
        }
    }
}

fn hash_hex<D: sha2::Digest>(parts: &[&str], out: &mut String) {
    let mut h = D::new();
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            h.update(b":");
        }
        h.update(part.as_bytes());
    }
    push_hex(&h.finalize(), out);
}

fn push_hex(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for b in bytes {
        out.push(char::from(DIGITS[usize::from(b >> 4)]));
        out.push(char::from(DIGITS[usize::from(b & 15)]));
    }
}

fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    let mut out = [0; N];
    for (i, b) in out.iter_mut().enumerate() {
        *b = u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(out)
}

/// H(A1) = H(user:realm:password) by each algorithm: what a server keeps in place of the password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ha1 {
    /// By MD5.
    pub md5: [u8; 16],
    /// By SHA-256.
    pub sha256: [u8; 32],
}

impl Ha1 {
    /// Of this user, realm and password.
    pub fn of(user: &str, realm: &str, password: &str) -> Self {
        let a1 = format!("{user}:{realm}:{password}");
        Ha1 { md5: Md5::digest(a1.as_bytes()).into(), sha256: Sha256::digest(a1.as_bytes()).into() }
    }
    fn hex(&self, algorithm: Algorithm) -> String {
        let mut out = String::with_capacity(64);
        match algorithm {
            Algorithm::Md5 => push_hex(&self.md5, &mut out),
            Algorithm::Sha256 => push_hex(&self.sha256, &mut out),
        }
        out
    }
}

/// The `response` value of RFC 7616 clause 3.4.1 with qop=auth.
pub fn response(algorithm: Algorithm, ha1: &Ha1, method: &str, uri: &str, nonce: &str, nc: u32, cnonce: &str) -> String {
    let mut ha2 = String::with_capacity(64);
    algorithm.hash(&[method, uri], &mut ha2);
    let mut out = String::with_capacity(64);
    algorithm.hash(&[&ha1.hex(algorithm), nonce, &format!("{nc:08x}"), cnonce, "auth", &ha2], &mut out);
    out
}

/// What a server asks: the value of WWW-Authenticate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Challenge {
    /// Whose passwords.
    pub realm: String,
    /// The server's nonce.
    pub nonce: String,
    /// The hash to use.
    pub algorithm: Algorithm,
    /// The password was right, only the nonce is too old: try again without asking anybody.
    pub stale: bool,
    /// Given back as it came.
    pub opaque: Option<String>,
}

/// What a client answers: the value of Authorization.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credentials {
    /// The account.
    pub username: String,
    /// Whose passwords.
    pub realm: String,
    /// The server's nonce.
    pub nonce: String,
    /// What is asked for, as in the request.
    pub uri: String,
    /// The hash used.
    pub algorithm: Algorithm,
    /// How often the nonce was used, this time included.
    pub nc: u32,
    /// The client's nonce.
    pub cnonce: String,
    /// The proof, in hex.
    pub response: String,
    /// From the challenge.
    pub opaque: Option<String>,
}

/// Why a header value cannot be read, or is not one we take. The sender's fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// Not the Digest scheme.
    NotDigest,
    /// Longer than we read, or against the grammar.
    BadSyntax,
    /// A parameter that must be there is not (or twice, or not a value of its kind).
    BadParameter(&'static str),
    /// A hash or a qop that we did not offer.
    Unsupported,
}

impl Challenge {
    /// Reads one challenge.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let p = Parameters::parse(text)?;
        let qop = p.get("qop").unwrap_or("");
        if !qop.split(',').any(|q| q.trim().eq_ignore_ascii_case("auth")) {
            return Err(Malformed::Unsupported);
        }
        Ok(Challenge {
            realm: p.need("realm")?,
            nonce: p.need("nonce")?,
            algorithm: Algorithm::parse(p.get("algorithm").unwrap_or("MD5")).ok_or(Malformed::Unsupported)?,
            stale: p.get("stale").is_some_and(|s| s.eq_ignore_ascii_case("true")),
            opaque: p.get("opaque").map(str::to_owned),
        })
    }
    /// The header value.
    pub fn emit(&self) -> String {
        let mut s = String::with_capacity(200);
        let _ = write!(
            s,
            "Digest realm={}, nonce={}, algorithm={}, qop=\"auth\"",
            Quoted(&self.realm),
            Quoted(&self.nonce),
            self.algorithm.name()
        );
        if let Some(opaque) = &self.opaque {
            let _ = write!(s, ", opaque={}", Quoted(opaque));
        }
        if self.stale {
            s.push_str(", stale=true");
        }
        s
    }
    /// The answer to it. `nc` counts the uses of this nonce from 1; `cnonce` is fresh for each.
    pub fn answer(&self, user: &str, ha1: &Ha1, method: &str, uri: &str, nc: u32, cnonce: &str) -> Credentials {
        Credentials {
            username: user.to_owned(),
            realm: self.realm.clone(),
            nonce: self.nonce.clone(),
            uri: uri.to_owned(),
            algorithm: self.algorithm,
            nc,
            cnonce: cnonce.to_owned(),
            response: response(self.algorithm, ha1, method, uri, &self.nonce, nc, cnonce),
            opaque: self.opaque.clone(),
        }
    }
}

impl Credentials {
    /// Reads a header value.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let p = Parameters::parse(text)?;
        if p.get("userhash").is_some_and(|u| u.eq_ignore_ascii_case("true")) {
            return Err(Malformed::Unsupported);
        }
        // Without qop there is no nonce count, and so nothing against a replay.
        match p.get("qop") {
            Some(q) if q.eq_ignore_ascii_case("auth") => {}
            _ => return Err(Malformed::Unsupported),
        }
        let nc = p.get("nc").filter(|nc| nc.len() == 8 && nc.bytes().all(|c| c.is_ascii_hexdigit()));
        Ok(Credentials {
            username: p.need("username")?,
            realm: p.need("realm")?,
            nonce: p.need("nonce")?,
            uri: p.need("uri")?,
            algorithm: Algorithm::parse(p.get("algorithm").unwrap_or("MD5")).ok_or(Malformed::Unsupported)?,
            nc: nc.and_then(|nc| u32::from_str_radix(nc, 16).ok()).ok_or(Malformed::BadParameter("nc"))?,
            cnonce: p.need("cnonce")?,
            response: p.need("response")?,
            opaque: p.get("opaque").map(str::to_owned),
        })
    }
    /// The header value.
    pub fn emit(&self) -> String {
        let mut s = String::with_capacity(400);
        let _ = write!(
            s,
            "Digest username={}, realm={}, nonce={}, uri={}, algorithm={}, qop=auth, nc={:08x}, cnonce={}, response=\"{}\"",
            Quoted(&self.username),
            Quoted(&self.realm),
            Quoted(&self.nonce),
            Quoted(&self.uri),
            self.algorithm.name(),
            self.nc,
            Quoted(&self.cnonce),
            self.response
        );
        if let Some(opaque) = &self.opaque {
            let _ = write!(s, ", opaque={}", Quoted(opaque));
        }
        s
    }
}

struct Quoted<'a>(&'a str);
impl core::fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            if matches!(c, '"' | '\\') {
                f.write_char('\\')?;
            }
            f.write_char(c)?;
        }
        f.write_char('"')
    }
}

/// `name=value` pairs of a Digest header: at most 16 of them.
struct Parameters(heapless::Vec<(String, String), 16>);

impl Parameters {
    fn parse(text: &str) -> Result<Self, Malformed> {
        if text.len() > DIGEST_BYTES_MAX {
            return Err(Malformed::BadSyntax);
        }
        let text = text.trim_start();
        let (scheme, mut rest) = text.split_once([' ', '\t']).ok_or(Malformed::NotDigest)?;
        if !scheme.eq_ignore_ascii_case("digest") {
            return Err(Malformed::NotDigest);
        }
        let mut found = heapless::Vec::<(String, String), 16>::new();
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',', '\r', '\n']);
            if rest.is_empty() {
                return Ok(Parameters(found));
            }
            let (name, after) = rest.split_once('=').ok_or(Malformed::BadSyntax)?;
            let name = name.trim().to_ascii_lowercase();
            if name.is_empty() || !name.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_*.".contains(&c)) {
                return Err(Malformed::BadSyntax);
            }
            let (value, left) = value(after.trim_start())?;
            if found.iter().any(|(n, _)| *n == name) {
                return Err(Malformed::BadSyntax);
            }
            found.push((name, value)).map_err(|_| Malformed::BadSyntax)?;
            rest = left;
        }
    }
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
    fn need(&self, name: &'static str) -> Result<String, Malformed> {
        self.get(name).filter(|v| !v.is_empty()).map(str::to_owned).ok_or(Malformed::BadParameter(name))
    }
}

/// A token or a quoted string, and what follows it.
fn value(text: &str) -> Result<(String, &str), Malformed> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return Ok((text[..end].to_owned(), &text[end..]));
    };
    let mut out = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((out, &quoted[at + 1..])),
            '\\' => out.push(chars.next().ok_or(Malformed::BadSyntax)?.1),
            c if c.is_control() => return Err(Malformed::BadSyntax),
            c => out.push(c),
        }
    }
    Err(Malformed::BadSyntax)
}

/// What a server finds of credentials.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is this user.
    Is(User),
    /// The password is right; the nonce is too old, unknown, or was used at this count: challenge again with `stale`.
    Stale,
    /// Wrong.
    Wrong,
}

/// The server's side: issues nonces and checks credentials.
pub struct Authenticator {
    realm: String,
    /// The inner and outer pads of the seal are this key's; it lives as long as the process.
    seal: [u8; 32],
    issued: u64,
    lifetime_us: u64,
    /// Nonces in use, in the order of issue.
    used: BTreeMap<(u64, u64), Window>,
    /// Nonces issued up to here that are not in `used` were pushed out of it.
    forgotten_to: Option<(u64, u64)>,
}

/// Which `nc` values of a nonce were seen: the highest, and a bit for each of the [`NONCE_WINDOW`] up to it.
#[derive(Clone, Copy, Default)]
struct Window {
    highest: u32,
    seen: [u64; (NONCE_WINDOW / 64) as usize],
}

impl Window {
    /// True, and marked, if `nc` is new.
    fn take(&mut self, nc: u32) -> bool {
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
            seal,
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

    /// One challenge an algorithm, best first, all with the same nonce.
    pub fn challenge(&mut self, now: Instant, stale: bool) -> [Challenge; 2] {
        self.issued += 1;
        let nonce = self.nonce(now.as_us(), self.issued);
        Algorithm::ALL.map(|algorithm| Challenge { realm: self.realm.clone(), nonce: nonce.clone(), algorithm, stale, opaque: None })
    }

    /// Checks credentials of a request with `method` for `uri`. The user's H(A1) comes from `ha1`; for a user without one a made-up one
    /// is compared, so that time does not tell who has an account.
    pub fn check(
        &mut self,
        now: Instant,
        method: &str,
        uri: &str,
        credentials: &Credentials,
        ha1: impl FnOnce(&str) -> Option<Ha1>,
    ) -> Verdict {
        let c = credentials;
        let known = ha1(&c.username);
        let stored = known.unwrap_or(Ha1 { md5: [0; 16], sha256: [0; 32] });
        let expected = response(c.algorithm, &stored, method, uri, &c.nonce, c.nc, &c.cnonce);
        let proven = same(expected.as_bytes(), c.response.to_ascii_lowercase().as_bytes());
        if !proven || known.is_none() || c.uri != uri || c.realm != self.realm {
            return Verdict::Wrong;
        }
        let Ok(user) = User::parse(&c.username) else { return Verdict::Wrong };
        if self.take(now, &c.nonce, c.nc) { Verdict::Is(user) } else { Verdict::Stale }
    }

    /// How many nonces take memory.
    pub fn nonces_in_use(&self) -> usize {
        self.used.len()
    }

    /// True if the nonce is ours, young enough, and was not used at this count.
    fn take(&mut self, now: Instant, nonce: &str, nc: u32) -> bool {
        let Some((at, serial)) = self.open(nonce) else { return false };
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

    /// Time and serial number of issue, and a seal over them that only we can make.
    fn nonce(&self, at_us: u64, serial: u64) -> String {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&at_us.to_be_bytes());
        bytes[8..16].copy_from_slice(&serial.to_be_bytes());
        let seal = hmac_sha256(&self.seal, &bytes[..16]);
        bytes[16..].copy_from_slice(&seal[..16]);
        let mut out = String::with_capacity(64);
        push_hex(&bytes, &mut out);
        out
    }

    fn open(&self, nonce: &str) -> Option<(u64, u64)> {
        let bytes: [u8; 32] = from_hex(nonce)?;
        let at = u64::from_be_bytes(bytes[..8].try_into().ok()?);
        let serial = u64::from_be_bytes(bytes[8..16].try_into().ok()?);
        let seal = hmac_sha256(&self.seal, &bytes[..16]);
        same(&seal[..16], &bytes[16..]).then_some((at, serial))
    }
}

/// RFC 2104 with SHA-256, for keys of one block at most.
fn hmac_sha256(key: &[u8; 32], text: &[u8]) -> [u8; 32] {
    let pad = |with: u8| core::array::from_fn::<u8, 64, _>(|i| key.get(i).copied().unwrap_or(0) ^ with);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

/// Equality in a time that does not depend on where the first difference is.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && core::hint::black_box(a.iter().zip(b).fold(0u8, |d, (x, y)| core::hint::black_box(d | (x ^ y)))) == 0
}

#[cfg(test)]
#[path = "digest_tests.rs"]
mod tests;
