//! Where a number is: INVITE is answered 302 with its contacts, 480 while its owner is away, 404 where it is nobody's; OPTIONS likewise,
//! with 200 for who is there. OPTIONS to the domain itself, or to `ping` there, asks only whether we live.

use super::contact::callable;
use super::register::number_in;
use super::{ALLOW, Asked, Door, Rooms, Served};
use crate::clock::Instant;
use crate::directory::Response;
use crate::number::Number;
use crate::sip::message::{Method, Scheme};

/// The user to ask whether we live.
const PING: &str = "ping";

impl Door {
    pub(super) fn lookup(&mut self, now: Instant, asked: &Asked<'_>, rooms: &mut Rooms<'_>) -> Served {
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
        let mut proven = false;
        if self.config.lookups_need_account {
            match self.login(now, asked, rooms) {
                Ok(_) => proven = true,
                Err(reply) => return Served::of(reply),
            }
        }
        let own = |name: &str| -> Option<Number> { rooms.directory.account(name)?.number.clone() };
        let reply = match number_in(&name).or_else(|| own(&name)).map(|number| rooms.directory.lookup(now, &number)) {
            Some(Response::Found(found)) => {
                let head = match options {
                    true => self.reply(asked, 200, "OK").with("Allow", ALLOW).with("Accept", "application/sdp"),
                    false => self.reply(asked, 302, "Moved Temporarily"),
                };
                found.contacts.iter().fold(head, |reply, (binding, left_s)| reply.with("Contact", callable(binding, *left_s)))
            }
            Some(Response::Away(_)) => self.reply(asked, 480, "Temporarily Unavailable"),
            _ => self.reply(asked, 404, "Not Found"),
        };
        if proven { Served::proven(reply) } else { Served::of(reply) }
    }
}
