//! The headers of digest access, read and written: WWW-Authenticate and Proxy-Authenticate hold challenges, Authorization and
//! Proxy-Authorization hold credentials.

use super::algorithm::{Algorithm, Asked, Ha1, Qop, response};
use crate::limits::{CHALLENGES_MAX, DIGEST_BYTES_MAX};
use core::fmt::Write as _;
use std::borrow::Cow;

/// What a server asks: the value of WWW-Authenticate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Challenge {
    /// Whose passwords.
    pub realm: String,
    /// The server's nonce.
    pub nonce: String,
    /// The hash to use.
    pub algorithm: Algorithm,
    /// [`Qop::Auth`] is offered.
    pub auth: bool,
    /// [`Qop::AuthInt`] is offered. With neither the server is of RFC 2069, and nothing counts how often a nonce is used.
    pub auth_int: bool,
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
    /// What the proof covers; `None` only towards servers of RFC 2069.
    pub qop: Option<Qop>,
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
        let offered = |qop: Qop| p.get("qop").is_some_and(|all| all.split(',').any(|q| Qop::parse(q.trim()) == Some(qop)));
        let (auth, auth_int) = (offered(Qop::Auth), offered(Qop::AuthInt));
        if p.get("qop").is_some() && !auth && !auth_int {
            return Err(Malformed::Unsupported);
        }
        Ok(Challenge {
            realm: p.need("realm")?,
            nonce: p.need("nonce")?,
            algorithm: Algorithm::parse(p.get("algorithm").unwrap_or("MD5")).ok_or(Malformed::Unsupported)?,
            auth,
            auth_int,
            stale: p.get("stale").is_some_and(|s| s.eq_ignore_ascii_case("true")),
            opaque: p.get("opaque").map(str::to_owned),
        })
    }

    /// Reads all challenges of one header value (RFC 7235 clause 4.1 lets several stand in one), in their order. Those of other schemes
    /// and hashes, and those that cannot be read, are passed over; at most [`CHALLENGES_MAX`] are looked at.
    pub fn parse_all(text: &str) -> Vec<Challenge> {
        let mut begins: heapless::Vec<usize, { CHALLENGES_MAX + 1 }> = heapless::Vec::new();
        let (mut at, mut quoted, mut escaped) = (0, false, false);
        for (i, b) in text.bytes().chain([b',']).enumerate() {
            match b {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b',' if !quoted || i == text.len() => {
                    // `Digest realm=..` begins a challenge, `nonce=..` goes on with one.
                    let element = text[at..i].trim();
                    let word = element.find(|c: char| c.is_ascii_whitespace() || c == '=').unwrap_or(element.len());
                    let begins_one = !element.is_empty() && !element[word..].trim_start().starts_with('=');
                    if (begins_one || begins.is_empty()) && begins.push(at).is_err() {
                        break;
                    }
                    at = i + 1;
                }
                _ => {}
            }
        }
        let ends = begins.iter().skip(1).copied().chain([text.len()]);
        begins.iter().zip(ends).take(CHALLENGES_MAX).filter_map(|(from, to)| Challenge::parse(&text[*from..to]).ok()).collect()
    }

    /// The header value.
    pub fn emit(&self) -> String {
        let mut s = String::with_capacity(200);
        let _ = write!(s, "Digest realm={}, nonce={}, algorithm={}", Quoted(&self.realm), Quoted(&self.nonce), self.algorithm.name());
        s.push_str(match (self.auth, self.auth_int) {
            (true, false) => ", qop=\"auth\"",
            (true, true) => ", qop=\"auth,auth-int\"",
            (false, true) => ", qop=\"auth-int\"",
            (false, false) => "",
        });
        if let Some(opaque) = &self.opaque {
            let _ = write!(s, ", opaque={}", Quoted(opaque));
        }
        if self.stale {
            s.push_str(", stale=true");
        }
        s
    }

    /// The qop to answer with: what covers more, only if the client asks for it, else the plainer one. `None`: a server of RFC 2069.
    pub fn qop(&self, cover_body: bool) -> Option<Qop> {
        match (self.auth, self.auth_int) {
            (_, true) if cover_body || !self.auth => Some(Qop::AuthInt),
            (true, _) => Some(Qop::Auth),
            _ => None,
        }
    }

    /// The answer to it. `nc` counts the uses of this nonce from 1; `cnonce` is fresh for each. `None` where `ha1` lacks this hash.
    pub fn answer(&self, user: &str, ha1: &Ha1, asked: &Asked<'_>, qop: Option<Qop>, nc: u32, cnonce: &str) -> Option<Credentials> {
        Some(Credentials {
            username: user.to_owned(),
            realm: self.realm.clone(),
            nonce: self.nonce.clone(),
            uri: asked.uri.to_owned(),
            algorithm: self.algorithm,
            qop,
            nc,
            cnonce: cnonce.to_owned(),
            response: response(self.algorithm, ha1, asked, &self.nonce, qop, nc, cnonce)?,
            opaque: self.opaque.clone(),
        })
    }
}

impl Credentials {
    /// Reads a header value, as a server does: without qop there is no nonce count, and so nothing against a replay, so such are not read.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let p = Parameters::parse(text)?;
        if p.get("userhash").is_some_and(|u| u.eq_ignore_ascii_case("true")) {
            return Err(Malformed::Unsupported);
        }
        let qop = p.get("qop").and_then(Qop::parse).ok_or(Malformed::Unsupported)?;
        let nc = p.get("nc").filter(|nc| nc.len() == 8 && nc.bytes().all(|c| c.is_ascii_hexdigit()));
        Ok(Credentials {
            username: p.need("username")?,
            realm: p.need("realm")?,
            nonce: p.need("nonce")?,
            uri: p.need("uri")?,
            algorithm: Algorithm::parse(p.get("algorithm").unwrap_or("MD5")).ok_or(Malformed::Unsupported)?,
            qop: Some(qop),
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
            "Digest username={}, realm={}, nonce={}, uri={}, algorithm={}",
            Quoted(&self.username),
            Quoted(&self.realm),
            Quoted(&self.nonce),
            Quoted(&self.uri),
            self.algorithm.name()
        );
        if let Some(qop) = self.qop {
            let _ = write!(s, ", qop={}, nc={:08x}, cnonce={}", qop.name(), self.nc, Quoted(&self.cnonce));
        }
        let _ = write!(s, ", response=\"{}\"", self.response);
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

/// `name=value` pairs of a Digest header: at most 16 of them. Values are as they stand there unless something in them was escaped.
struct Parameters<'a>(heapless::Vec<(&'a str, Cow<'a, str>), 16>);

impl<'a> Parameters<'a> {
    fn parse(text: &'a str) -> Result<Self, Malformed> {
        if text.len() > DIGEST_BYTES_MAX {
            return Err(Malformed::BadSyntax);
        }
        let text = text.trim_start();
        let (scheme, mut rest) = text.split_once([' ', '\t']).ok_or(Malformed::NotDigest)?;
        if !scheme.eq_ignore_ascii_case("digest") {
            return Err(Malformed::NotDigest);
        }
        let mut found = heapless::Vec::<(&str, Cow<'_, str>), 16>::new();
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',', '\r', '\n']);
            if rest.is_empty() {
                return Ok(Parameters(found));
            }
            let (name, after) = rest.split_once('=').ok_or(Malformed::BadSyntax)?;
            let name = name.trim();
            if name.is_empty() || !name.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_*.".contains(&c)) {
                return Err(Malformed::BadSyntax);
            }
            let (value, left) = value(after.trim_start())?;
            if found.iter().any(|(n, _)| n.eq_ignore_ascii_case(name)) {
                return Err(Malformed::BadSyntax);
            }
            found.push((name, value)).map_err(|_| Malformed::BadSyntax)?;
            rest = left;
        }
    }
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| &**v)
    }
    fn need(&self, name: &'static str) -> Result<String, Malformed> {
        self.get(name).filter(|v| !v.is_empty()).map(str::to_owned).ok_or(Malformed::BadParameter(name))
    }
}

/// A token or a quoted string, and what follows it.
fn value(text: &str) -> Result<(Cow<'_, str>, &str), Malformed> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return Ok((text[..end].into(), &text[end..]));
    };
    let plain = |b: &u8| !matches!(b, b'"' | b'\\' | 0..32 | 127..);
    let end = quoted.bytes().position(|b| !plain(&b)).ok_or(Malformed::BadSyntax)?;
    if quoted.as_bytes()[end] == b'"' {
        return Ok((quoted[..end].into(), &quoted[end + 1..]));
    }
    let mut out = String::from(&quoted[..end]);
    let mut chars = quoted.char_indices().skip(end);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((out.into(), &quoted[at + 1..])),
            '\\' => out.push(chars.next().ok_or(Malformed::BadSyntax)?.1),
            c if c.is_control() => return Err(Malformed::BadSyntax),
            c => out.push(c),
        }
    }
    Err(Malformed::BadSyntax)
}
