//! REGISTER (RFC 3261 s.10.3): whose number, which contacts, and the registrar's decision put into SIP.

use super::answer::{Reply, call_print, date};
use super::contact::{self, Contacts};
use super::{Asked, Door, Rooms, Served};
use crate::clock::{Instant, WallMs};
use crate::directory::registrar::{Bind, Change, Refusal};
use crate::directory::{Decision, Request, Response, User};
use crate::number::Number;
use crate::sip::message::{Scheme, Uri};

impl Door {
    pub(super) fn register(&mut self, now: Instant, wall: WallMs, asked: &Asked<'_>, rooms: &mut Rooms<'_>) -> Served {
        if !matches!(asked.uri.scheme, Scheme::Sip | Scheme::Sips) {
            return self.plain(asked, 416, "Unsupported URI Scheme");
        }
        let Ok(to) = asked.message.to() else { return self.plain(asked, 400, "Malformed To") };
        if !matches!(to.uri.scheme, Scheme::Sip | Scheme::Sips) {
            return self.plain(asked, 416, "Unsupported URI Scheme");
        }
        if !self.is_ours(&asked.uri) {
            return self.plain(asked, 404, "Not This Domain");
        }
        let contacts = match contact::read(asked) {
            Ok(contacts) => contacts,
            Err(why) => {
                self.log_noise(now, asked.src, why);
                return self.plain(asked, 400, why);
            }
        };
        let user = match self.login(now, asked, rooms) {
            Ok(user) => user,
            Err(reply) => return Served::of(reply),
        };
        if !self.is_ours(&to.uri) {
            return Served::proven(self.reply(asked, 404, "Not This Domain"));
        }
        let wanted = match address_of_record(&to.uri, &user, rooms) {
            Ok(wanted) => wanted,
            Err((status, words)) => return Served::proven(self.reply(asked, status, words)),
        };
        let cseq = asked.message.cseq().map_or(0, |c| c.number);
        let bind = Bind {
            user: user.clone(),
            wanted,
            change: match contacts {
                Contacts::All => Change::AllGone,
                Contacts::Some(wishes) => Change::Contacts(wishes),
            },
            order: (call_print(asked.message.call_id().unwrap_or_default()), cseq),
        };
        let Decision { response, writes } = rooms.directory.handle(now, wall, Request::Bind(bind));
        let rests = matches!(response, Response::Bound { .. });
        let reply = match response {
            Response::Bound { contacts, .. } => {
                let ok = self.reply(asked, 200, "OK").with("Date", date(wall));
                contacts.iter().fold(ok, |reply, (binding, left_s)| reply.with("Contact", contact::listed(binding, *left_s)))
            }
            Response::Refused(why) => {
                self.log_refusal(now, asked, user.as_str(), why.word(), why.is_news());
                self.refused(asked, &why)
            }
            _ => self.reply(asked, 500, "Server Internal Error"),
        };
        Served { reply, proven: true, rests, writes }
    }

    fn refused(&self, asked: &Asked<'_>, why: &Refusal) -> Reply {
        let no = |status, words: &str| self.reply(asked, status, words);
        match why {
            Refusal::NotOurNumber | Refusal::NoSuchRow => no(404, "Not Found"),
            Refusal::NumberTaken => no(403, "The Number Is Somebody Else's"),
            Refusal::NotEntitled => no(403, "Nothing Gives You This Number"),
            Refusal::WrongMac => no(403, "The Number Is Another Device's"),
            Refusal::NotThisTerminal => no(403, "Another Terminal Has the Number"),
            Refusal::AddressInUse(_) => no(403, "The Contact Is Another Number's"),
            // Keys are the API's.
            Refusal::LastAdmin | Refusal::KeyNotProven | Refusal::KeyFalse | Refusal::KeyRevoked => no(403, "Forbidden"),
            Refusal::TooManyContacts => no(403, "Too Many Contacts"),
            Refusal::TooManyNumbers => no(403, "Too Many Numbers"),
            Refusal::NoneFree => no(403, "No Number Is Free"),
            Refusal::NewKey => no(403, "The Number Had Another Key"),
            Refusal::BadContact => no(400, "Contact Cannot Be Called"),
            Refusal::TooBrief { min_s } => no(423, "Interval Too Brief").with("Min-Expires", min_s.to_string()),
            Refusal::OutOfOrder => no(500, "CSeq Out of Order"),
            Refusal::Full => no(503, "Service Unavailable").with("Retry-After", "60"),
        }
    }
}

/// The number that an address of record means: `None` for the user's own. Somebody else's name is 403, nobody's 404.
fn address_of_record(uri: &Uri, user: &User, rooms: &Rooms<'_>) -> Result<Option<Number>, (u16, &'static str)> {
    let name = uri.user_text();
    if let Some(number) = number_in(&name)
        && rooms.directory.policy().plan.terminal(&number).is_some()
    {
        return Ok(Some(number));
    }
    match rooms.directory.account(&name) {
        _ if name == user.as_str() => Ok(None),
        Some(_) => Err((403, "Forbidden")),
        None => Err((404, "Not Found")),
    }
}

/// The number in a user part; parameters of telephone numbers (RFC 3261 s.19.1.6) do not count here.
pub(super) fn number_in(user: &str) -> Option<Number> {
    Number::parse(user.split(';').next().unwrap_or_default()).ok()
}
