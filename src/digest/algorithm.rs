//! The hashes of digest access: H(A1), which is kept in place of a password, and the proof that is made from it.

use md5::Md5;
use sha2::{Digest as _, Sha256, Sha512_256};

/// The hash of a challenge.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Algorithm {
    /// What every SIP device knows.
    Md5,
    /// What RFC 7616 asks for.
    Sha256,
    /// What RFC 7616 has in reserve: SHA-512 cut to 256 bits, with start values of its own (FIPS 180-4).
    Sha512_256,
}

impl Algorithm {
    /// All, best first: the order of challenges.
    pub const ALL: [Algorithm; 3] = [Algorithm::Sha512_256, Algorithm::Sha256, Algorithm::Md5];

    /// The IANA name.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Sha256 => "SHA-256",
            Algorithm::Sha512_256 => "SHA-512-256",
        }
    }
    /// Reads the IANA name in any case. The `-sess` variants are not among ours.
    pub fn parse(text: &str) -> Option<Self> {
        Algorithm::ALL.into_iter().find(|a| a.name().eq_ignore_ascii_case(text))
    }
    /// The hash of `parts` joined by colons, in lower-case hex, appended to `out`.
    fn hash(self, parts: &[&[u8]], out: &mut String) {
        match self {
            Algorithm::Md5 => hash_hex::<Md5>(parts, out),
            Algorithm::Sha256 => hash_hex::<Sha256>(parts, out),
            Algorithm::Sha512_256 => hash_hex::<Sha512_256>(parts, out),
        }
    }
}

fn hash_hex<D: sha2::Digest>(parts: &[&[u8]], out: &mut String) {
    let mut h = D::new();
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            h.update(b":");
        }
        h.update(part);
    }
    push_hex(&h.finalize(), out);
}

pub(super) fn push_hex(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for b in bytes {
        out.push(char::from(DIGITS[usize::from(b >> 4)]));
        out.push(char::from(DIGITS[usize::from(b & 15)]));
    }
}

/// Reads `2 * N` hex digits.
pub fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => b - b'0',
        b'a'..=b'f' => b - b'a' + 10,
        b'A'..=b'F' => b - b'A' + 10,
        _ => 0xff,
    };
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    let mut out = [0; N];
    if pairs.len() != N {
        return None;
    }
    let mut bad = 0;
    for (b, [high, low]) in out.iter_mut().zip(pairs) {
        let (high, low) = (digit(*high), digit(*low));
        bad |= (high | low) & 0xf0;
        *b = high << 4 | low & 15;
    }
    (bad == 0).then_some(out)
}

/// H(A1) = H(user:realm:password) by each algorithm: what a server keeps in place of the password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ha1 {
    /// By MD5.
    pub md5: [u8; 16],
    /// By SHA-256.
    pub sha256: [u8; 32],
    /// By SHA-512-256; `None` for a password that was set before this hash was kept: then it serves only once set anew.
    pub sha512_256: Option<[u8; 32]>,
}

impl Ha1 {
    /// Of nobody: what is compared where there is no account, so that it takes as long.
    pub const NOBODY: Ha1 = Ha1 { md5: [0; 16], sha256: [0; 32], sha512_256: Some([0; 32]) };

    /// Of this user, realm and password.
    pub fn of(user: &str, realm: &str, password: &str) -> Self {
        let a1 = format!("{user}:{realm}:{password}");
        Ha1 {
            md5: Md5::digest(a1.as_bytes()).into(),
            sha256: Sha256::digest(a1.as_bytes()).into(),
            sha512_256: Some(Sha512_256::digest(a1.as_bytes()).into()),
        }
    }
    /// True if both are of one password, as far as both know it.
    pub fn same_password(&self, other: &Ha1) -> bool {
        self.md5 == other.md5 && self.sha256 == other.sha256
    }
    fn hex(&self, algorithm: Algorithm) -> Option<String> {
        let mut out = String::with_capacity(64);
        match algorithm {
            Algorithm::Md5 => push_hex(&self.md5, &mut out),
            Algorithm::Sha256 => push_hex(&self.sha256, &mut out),
            Algorithm::Sha512_256 => push_hex(self.sha512_256.as_ref()?, &mut out),
        }
        Some(out)
    }
}

/// What the proof covers beside password, method and URI.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Qop {
    /// The count of the nonce and the client's nonce.
    Auth,
    /// The body too.
    AuthInt,
}

impl Qop {
    /// The word in the headers.
    pub fn name(self) -> &'static str {
        match self {
            Qop::Auth => "auth",
            Qop::AuthInt => "auth-int",
        }
    }
    /// Reads the word in any case.
    pub fn parse(text: &str) -> Option<Qop> {
        [Qop::Auth, Qop::AuthInt].into_iter().find(|q| q.name().eq_ignore_ascii_case(text))
    }
}

/// A request as its proof sees it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The method, as it stands in the request line.
    pub method: &'a str,
    /// The URI, as it stands in the request line.
    pub uri: &'a str,
    /// The body; only [`Qop::AuthInt`] covers it.
    pub body: &'a [u8],
}

/// The `response` value of RFC 7616 clause 3.4.1; without `qop` that of RFC 2069, for servers of old. `None` where this H(A1) is not kept.
pub fn response(
    algorithm: Algorithm,
    ha1: &Ha1,
    asked: &Asked<'_>,
    nonce: &str,
    qop: Option<Qop>,
    nc: u32,
    cnonce: &str,
) -> Option<String> {
    let ha1 = ha1.hex(algorithm)?;
    let (method, uri) = (asked.method.as_bytes(), asked.uri.as_bytes());
    let mut ha2 = String::with_capacity(64);
    if qop == Some(Qop::AuthInt) {
        let mut body = String::with_capacity(64);
        algorithm.hash(&[asked.body], &mut body);
        algorithm.hash(&[method, uri, body.as_bytes()], &mut ha2);
    } else {
        algorithm.hash(&[method, uri], &mut ha2);
    }
    let mut out = String::with_capacity(64);
    match qop {
        None => algorithm.hash(&[ha1.as_bytes(), nonce.as_bytes(), ha2.as_bytes()], &mut out),
        Some(qop) => {
            let nc = format!("{nc:08x}");
            let parts = [ha1.as_bytes(), nonce.as_bytes(), nc.as_bytes(), cnonce.as_bytes(), qop.name().as_bytes(), ha2.as_bytes()];
            algorithm.hash(&parts, &mut out);
        }
    }
    Some(out)
}
