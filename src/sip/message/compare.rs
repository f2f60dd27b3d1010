//! When two URIs name the same: RFC 3261 s.19.1.4 for `sip:` and `sips:`, RFC 3966 s.4 for `tel:`. It is no equivalence (with parameters
//! that only one has, A may match B and B match C, and A not C), so this is a method and not `==`.

use super::uri::{Scheme, Uri, escaped, unescape};
use super::{Params, tel};
use std::collections::BTreeMap;

/// A parameter that must stand in both URIs or in neither. `transport` is here because of the examples of s.19.1.4, not its rules.
const MUST_AGREE: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];

impl Uri {
    /// Whether the other URI names the same.
    pub fn is_equivalent(&self, other: &Uri) -> bool {
        if self.scheme != other.scheme {
            return false;
        }
        match self.scheme {
            Scheme::Other => self.as_bytes() == other.as_bytes(),
            Scheme::Tel => tel::same(self, other),
            Scheme::Sip | Scheme::Sips => {
                let user = |u: &Uri| u.user().map(plain);
                let password = |u: &Uri| u.password().map(plain);
                self.host == other.host
                    && self.port == other.port
                    && user(self) == user(other)
                    && password(self) == password(other)
                    && params_agree(&self.params, &other.params)
                    && headers(self) == headers(other)
            }
        }
    }
}

/// Text with the escapes resolved that need none: `%61` is `a`, while `%3B` and `;` say different things.
fn plain(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.first() {
        match escaped(rest) {
            Some(b) if b";/?:@&=+$,%".contains(&b) => {
                out.push(b'%');
                out.extend(rest[1..3].iter().map(u8::to_ascii_uppercase));
                rest = &rest[3..];
            }
            Some(b) => {
                out.push(b);
                rest = &rest[3..];
            }
            None => {
                out.push(*first);
                rest = &rest[1..];
            }
        }
    }
    out
}

/// Parameters compare without regard to case; those in one URI only do not count unless they are of the five.
fn params_agree(a: &Params, b: &Params) -> bool {
    let folded = |text: &[u8]| plain(text).to_ascii_lowercase();
    let all = |params: &Params| {
        let mut map = BTreeMap::new();
        for (name, value) in params.iter() {
            // Of two of a name the first counts.
            map.entry(folded(name)).or_insert_with(|| value.map(folded));
        }
        map
    };
    let (a, b) = (all(a), all(b));
    let must = |name: &Vec<u8>| MUST_AGREE.iter().any(|m| m.as_bytes() == name);
    a.iter().all(|(name, value)| b.get(name).map_or_else(|| !must(name), |theirs| theirs == value))
        && b.keys().all(|name| a.contains_key(name) || !must(name))
}

/// The headers part as a set: a header that only one has makes them different.
fn headers(uri: &Uri) -> Vec<(Vec<u8>, Vec<u8>)> {
    let one = |h: &[u8]| {
        let at = h.iter().position(|b| *b == b'=').unwrap_or(h.len());
        (unescape(&h[..at]).to_ascii_lowercase(), unescape(h.get(at + 1..).unwrap_or_default()))
    };
    let mut all: Vec<_> = uri.headers().into_iter().flat_map(|h| h.split(|b| *b == b'&')).map(one).collect();
    all.sort();
    all
}
