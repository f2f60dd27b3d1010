//! Where a number is: INVITE is answered 302 with its contacts, 480 while its owner is away, 404 where it is nobody's; OPTIONS likewise,
//! with 200 for who is there. OPTIONS to the domain itself, or to `ping` there, asks only whether we live.

use super::answer::Reply;
use super::contact::callable;
use super::register::number_in;
use super::{ALLOW, Asked, Door, Rooms, Served};
use crate::clock::{Instant, WallMs};
use crate::directory::{Asker, Disclosure, Response, Ring, referral};
use crate::sip::message::{Method, Scheme};

/// The user to ask whether we live.
const PING: &str = "ping";

impl Door {
    pub(super) fn lookup(&mut self, now: Instant, wall: WallMs, asked: &Asked<'_>, rooms: &mut Rooms<'_>) -> Served {
        let options = *asked.method == Method::Options;
        match asked.uri.scheme {
            Scheme::Sip | Scheme::Sips if !self.is_ours(&asked.uri) => return self.plain(asked, 404, "Not This Domain"),
            Scheme::Sip | Scheme::Sips | Scheme::Tel => {}
            Scheme::Other => return self.plain(asked, 416, "Unsupported URI Scheme"),
        }
        let name = asked.uri.user_text();
        if options && (name.is_empty() || name == PING) {
            return Served::of(self.reply(asked, 200, "OK").with("Allow", ALLOW).with("Accept", "application/sdp"));
        }
        let Some(number) = number_in(&name).or_else(|| rooms.directory.number_of(&name).cloned()) else {
            // Names are told apart from nothing only to who may look up at all.
            let anyone = rooms.directory.policy().disclosure == Disclosure::Anyone;
            return match (anyone, self.login(now, asked, rooms)) {
                (true, _) => self.plain(asked, 404, "Not Found"),
                (false, Ok(_)) => Served::proven(self.reply(asked, 404, "Not Found")),
                (false, Err(reply)) => Served::of(reply),
            };
        };
        let referred = asked.uri.params.get(referral::URI_PARAMETER).and_then(|r| core::str::from_utf8(r).ok());
        let referred = referred.is_some_and(|r| referral::is_good(r, &number, wall, |from| rooms.directory.server(from)));
        let asker = if referred { Asker::Referred } else { Asker::Stranger };
        match rooms.directory.look_up(now, &number, asker) {
            Response::LogIn => match self.login(now, asked, rooms) {
                Ok(user) => {
                    let response = rooms.directory.look_up(now, &number, Asker::Account(&user));
                    Served::proven(self.told(wall, asked, rooms, response, true))
                }
                Err(reply) => Served::of(reply),
            },
            response => Served::of(self.told(wall, asked, rooms, response, false)),
        }
    }

    /// `vouched`: the asker has an account here, so that we may vouch for it elsewhere; a stranger, or whom another sent, goes there as one.
    fn told(&self, wall: WallMs, asked: &Asked<'_>, rooms: &Rooms<'_>, response: Response, vouched: bool) -> Reply {
        let options = *asked.method == Method::Options;
        match response {
            Response::Found(found) if found.presence.is_some_and(|p| p.do_not_disturb) => self.reply(asked, 480, "Do Not Disturb"),
            Response::Found(found) if found.presence.is_some_and(|p| p.is_busy()) => self.reply(asked, 486, "Busy Here"),
            Response::Found(found) => {
                let head = match options {
                    true => self.reply(asked, 200, "OK").with("Allow", ALLOW).with("Accept", "application/sdp"),
                    false => self.reply(asked, 302, "Moved Temporarily"),
                };
                // Who calls them all at once does so by equal q, one after the other by falling ones (RFC 3261 s.8.1.3.4, RFC 3261 s.20.10).
                let in_order = found.ring == Ring::InOrder;
                found.contacts.iter().enumerate().fold(head, |reply, (i, (binding, left_s))| {
                    let q = if in_order { binding.q.min(1000).saturating_sub(i as u16) } else { binding.q };
                    reply.with("Contact", callable(binding, q, *left_s))
                })
            }
            Response::Away(_) => self.reply(asked, 480, "Temporarily Unavailable"),
            Response::Elsewhere(server, number) => {
                let signed = || referral::sign(rooms.directory.policy().plan.server(), &server, &number, wall);
                let referral = if vouched { signed() } else { None };
                let referral = referral.map(|r| format!(";{}={r}", referral::URI_PARAMETER)).unwrap_or_default();
                self.reply(asked, 302, "Another Directory's").with("Contact", format!("<sip:{number}@{}{referral}>", server.sip))
            }
            Response::Withheld(_) => self.reply(asked, 403, "Not Told Before Consent"),
            _ => self.reply(asked, 404, "Not Found"),
        }
    }
}
