//! Telephone numbers in URIs: `tel:` (RFC 3966), and the user part of `sip:...;user=phone`, which is the same grammar (RFC 3261 s.19.1.6).

use super::params;
use super::uri::{Scheme, Uri, unescape};

/// A telephone number as a URI says it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subscriber {
    /// Digits (`A` to `D`, `*` and `#` are some) without visual separators, with a `+` in front of a global number.
    pub number: String,
    /// Where a local number is valid: a domain or a global number (`phone-context`).
    pub context: Option<String>,
    /// ISDN subaddress (`isub`).
    pub subaddress: Option<String>,
    /// Extension (`ext`), without visual separators.
    pub extension: Option<String>,
}

/// Takes the visual separators of RFC 3966 s.3 off. `None` where something else than a digit stands.
fn digits(text: &[u8]) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    for (i, b) in text.iter().enumerate() {
        match b.to_ascii_uppercase() {
            b'-' | b'.' | b'(' | b')' => {}
            b @ (b'0'..=b'9' | b'A'..=b'D' | b'*' | b'#') => out.push(char::from(b)),
            b'+' if i == 0 => out.push('+'),
            _ => return None,
        }
    }
    (!out.trim_start_matches('+').is_empty()).then_some(out)
}

impl Uri {
    /// The telephone number that this URI says, if it says one: any `tel:`, or a `sip:` or `sips:` with `user=phone`.
    pub fn subscriber(&self) -> Option<Subscriber> {
        let user = self.user()?;
        let phone = || self.params.get("user").is_some_and(|u| u.eq_ignore_ascii_case(b"phone"));
        let (number, more) = match self.scheme {
            Scheme::Tel => (user, None),
            Scheme::Sip | Scheme::Sips if phone() => {
                let end = user.iter().position(|b| *b == b';').unwrap_or(user.len());
                (&user[..end], Some(&user[end..]))
            }
            _ => return None,
        };
        let get = |name: &str| match more {
            Some(more) => params::find(more, name),
            None => self.params.get(name),
        };
        let text = |name: &str| get(name).map(|v| super::readable(&unescape(v))).filter(|v| !v.is_empty());
        Some(Subscriber {
            number: digits(&unescape(number))?,
            context: text("phone-context").map(|c| c.to_ascii_lowercase()),
            subaddress: text("isub"),
            extension: get("ext").and_then(|v| digits(&unescape(v))),
        })
    }
}

/// RFC 3966 s.4: separators and case do not count, the order of parameters does not, and every parameter must stand in both.
pub(super) fn same(a: &Uri, b: &Uri) -> bool {
    let number = |u: &Uri| {
        let user = unescape(u.user().unwrap_or_default());
        digits(&user).map_or(user, String::into_bytes)
    };
    let params = |u: &Uri| {
        let one = |(name, value): (&[u8], Option<&[u8]>)| {
            let name = name.to_ascii_lowercase();
            let value = unescape(value.unwrap_or_default()).to_ascii_lowercase();
            let number = name == b"ext" || (name == b"phone-context" && value.starts_with(b"+"));
            let value = if number { digits(&value).map_or(value, String::into_bytes) } else { value };
            (name, value)
        };
        let mut all: Vec<_> = u.params.iter().map(one).collect();
        all.sort();
        all
    };
    number(a) == number(b) && params(a) == params(b)
}
