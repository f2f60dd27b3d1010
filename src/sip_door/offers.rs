//! Which hashes a challenge offers: all, best first. A client passes over a hash that it does not know (RFC 8760 s.2.4), but there are phones
//! that give up instead, and come again later: the same Call-ID, a higher CSeq, and still no credentials. To those MD5 alone is offered.
//! Whoever could bring that about from the path to the phone could as well take the better challenges out of our answer.

use super::{Asked, Door};
use crate::clock::{Instant, ms};
use crate::digest::Algorithm;
use crate::limits::SIP_UNANSWERED_MAX;
use core::time::Duration;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// A challenge not answered for so long was not waited for.
const UNANSWERED: Duration = ms(300_000);
/// A phone that knows MD5 alone is remembered for so long after it was last heard: longer than phones stay silent (an hour's lease at most,
/// as most are made), and not so long that one that was only unlucky stays with MD5 for good.
const REMEMBERED: Duration = ms(7_200_000);

#[derive(Debug)]
struct Phone {
    heard: Instant,
    cseq: u32,
    md5_alone: bool,
}

/// Phones that were challenged and have not answered, and those that answer only MD5.
#[derive(Debug, Default)]
pub(super) struct Offers {
    phones: BTreeMap<u64, Phone>,
    swept: Option<Instant>,
}

impl Offers {
    /// It answered with this hash.
    pub(super) fn answered(&mut self, who: u64, with: Algorithm) {
        if self.phones.get(&who).is_some_and(|p| !p.md5_alone || with != Algorithm::Md5) {
            self.phones.remove(&who);
        }
    }

    /// It is challenged: whether with MD5 alone. `answers`: it showed credentials now.
    pub(super) fn md5_alone(&mut self, now: Instant, who: u64, cseq: u32, answers: bool) -> bool {
        if let Some(phone) = self.phones.get_mut(&who) {
            let gave_up = !answers && cseq > phone.cseq && now - phone.heard < UNANSWERED;
            if phone.md5_alone || gave_up {
                *phone = Phone { heard: now, cseq, md5_alone: true };
                return true;
            }
        }
        if !answers && (self.phones.contains_key(&who) || self.has_room(now)) {
            self.phones.insert(who, Phone { heard: now, cseq, md5_alone: false });
        }
        false
    }

    fn has_room(&mut self, now: Instant) -> bool {
        let full = |phones: &BTreeMap<u64, Phone>| phones.len() >= SIP_UNANSWERED_MAX;
        if full(&self.phones) && self.swept.is_none_or(|at| now - at >= ms(1000)) {
            self.swept = Some(now);
            self.phones.retain(|_, p| now - p.heard < if p.md5_alone { REMEMBERED } else { UNANSWERED });
            if full(&self.phones) {
                // A flood: those that gave up are what is worth keeping.
                self.phones.retain(|_, p| p.md5_alone);
            }
            if full(&self.phones) {
                self.phones.retain(|who, _| who & 1 == 0);
            }
        }
        !full(&self.phones)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.phones.len()
    }
}

impl Door {
    /// What tells one phone's registration from others': a phone keeps its Call-ID (RFC 3261 s.10.2).
    pub(super) fn registrant(&self, asked: &Asked<'_>) -> u64 {
        let mut h = DefaultHasher::new();
        h.write_u64(self.seed);
        asked.src.addr.ip().hash(&mut h);
        for name in ["To", "Call-ID"] {
            h.write_u8(0xff);
            h.write(asked.message.headers.get(name).unwrap_or_default());
        }
        h.finish()
    }
}
