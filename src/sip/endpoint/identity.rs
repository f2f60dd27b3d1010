//! Who calls, beside From: P-Asserted-Identity and Privacy (RFC 3325, RFC 3323), Diversion (RFC 5806), and the feature tag of fax
//! (RFC 6913). What a peer asserts is believed only if the configuration trusts it.

use super::*;

/// Name and reason of the last diversion of a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diversion {
    /// Whose calls were diverted.
    pub user: String,
    /// Why (`user-busy`, `no-answer`, `unconditional`), if it is said.
    pub reason: Option<String>,
}

/// What a call says of its caller beside From.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Identity {
    /// The number that a trusted peer vouches for.
    pub asserted: Option<String>,
    /// The caller does not want to be shown.
    pub private: bool,
    /// The call was diverted here.
    pub diversion: Option<Diversion>,
    /// The caller asks for a fax machine.
    pub fax: bool,
}

impl Endpoint {
    /// Whether what is there is believed, and told, who calls (RFC 3325).
    pub fn trusts(&self, hop: Hop) -> bool {
        self.config.trusted.iter().any(|network| network.contains(hop.addr.ip()))
    }

    pub(super) fn identity(&self, src: Hop, request: &Message) -> Identity {
        let trusted = self.trusts(src);
        let asserted = request.headers.values("P-Asserted-Identity").find_map(|v| NameAddr::parse(v).ok());
        let privacy = |v: &[u8]| {
            v.split(|b| *b == b';').any(|w| [&b"id"[..], b"user", b"header"].iter().any(|p| w.trim_ascii().eq_ignore_ascii_case(p)))
        };
        let diverted = request.headers.values("Diversion").find_map(|v| NameAddr::parse(v).ok());
        Identity {
            asserted: asserted.filter(|_| trusted).map(|a| a.uri.user_text()),
            private: request.headers.values("Privacy").any(privacy),
            diversion: diverted.map(|d| Diversion { user: d.uri.user_text(), reason: d.params.get("reason").map(readable) }),
            fax: request.headers.values("Accept-Contact").any(names_fax),
        }
    }

    /// Says in an INVITE of ours who calls: nobody, where that is wanted; and what is asserted, to those who are trusted with it.
    pub(super) fn identify(&self, request: &mut Message, asserted: Option<&str>, anonymous: bool, targets: &[Target], fax: bool) {
        if let Some(uri) = asserted.and_then(|a| Uri::parse(a.as_bytes()).ok()) {
            let trusted = targets.iter().all(|t| self.trusts(t.0));
            // Who does not know us is asked to check (RFC 3325 s.9.2), and never told what an anonymous caller hides.
            if trusted || !anonymous {
                let name = if trusted { "P-Asserted-Identity" } else { "P-Preferred-Identity" };
                request.headers.push(name, NameAddr::new(uri).emit());
            }
        }
        if anonymous {
            request.headers.push("Privacy", b"id");
        }
        if fax {
            request.headers.push("Accept-Contact", b"*;+sip.fax=\"t38\"");
        }
    }
}

/// A preference for fax: `*;+sip.fax="t38"`, with or without the plus sign of RFC 3840 s.9.
fn names_fax(value: &[u8]) -> bool {
    value.split(|b| *b == b';').skip(1).any(|p| {
        let name = p.split(|b| *b == b'=').next().unwrap_or_default().trim_ascii();
        name.strip_prefix(b"+").unwrap_or(name).eq_ignore_ascii_case(b"sip.fax")
    })
}
