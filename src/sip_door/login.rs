//! Who is asking: digest credentials in SIP (RFC 3261 s.22, RFC 8760), failures and bans.

#![allow(clippy::result_large_err)] // the error of a check is the answer to send; it is moved once

use super::answer::Reply;
use super::{Asked, Door, Rooms};
use crate::clock::Instant;
use crate::digest::{Algorithm, Asked as Proven, Credentials, Malformed, Verdict};
use crate::directory::User;
use crate::sip::message::{Method, Uri, readable};

impl Door {
    /// The user whose credentials the request carries; else what to answer.
    pub(super) fn login(&mut self, now: Instant, asked: &Asked<'_>, rooms: &mut Rooms<'_>) -> Result<User, Reply> {
        let Some(c) = self.credentials(asked, rooms)? else { return Err(self.challenge(now, asked, rooms, None, false)) };
        self.offers.answered(self.registrant(asked), c.algorithm);
        let source = asked.src.addr.ip();
        if let Some(left_s) = rooms.bans.left_s(now, source, &c.username) {
            self.counters.banned += 1;
            return Err(self.reply(asked, 403, "Too Many Failed Log-Ins").with("Retry-After", left_s.to_string()));
        }
        // A datagram's source is easily forged. Who shows a nonce that was issued there has received our answers there; from anybody else
        // nothing is believed, told, or held against the address.
        if !rooms.authenticator.issued_to(now, &c.nonce, source) {
            return Err(self.challenge(now, asked, rooms, Some(&c), true));
        }
        if !self.names_the_same(&c.uri, &asked.uri) {
            return Err(self.reply(asked, 400, "Digest URI Is Another"));
        }
        let proven = Proven { method: asked.method.as_str(), uri: &c.uri, body: &asked.message.body };
        let directory = &*rooms.directory;
        let account = directory.account(&c.username);
        match rooms.authenticator.check(now, &proven, &c, |_| account.map(|a| a.ha1)) {
            Verdict::Is => {
                rooms.bans.succeeded(source, &c.username);
                account.map(|a| a.user.clone()).ok_or_else(|| self.reply(asked, 403, "Forbidden"))
            }
            Verdict::Stale => Err(self.challenge(now, asked, rooms, Some(&c), true)),
            Verdict::Wrong => {
                if let Some(line) = rooms.failures.failed(now, source, &c.username) {
                    self.log(format!("{line} door=sip"));
                }
                if let Some(ban) = rooms.bans.failed(now, source, &c.username)
                    && self.ban_lines.pass(now, source).is_some()
                {
                    self.log(ban.to_string());
                }
                Err(self.challenge(now, asked, rooms, Some(&c), false))
            }
        }
    }

    /// The credentials for our realm, if there are any that we can use.
    fn credentials(&self, asked: &Asked<'_>, rooms: &Rooms<'_>) -> Result<Option<Credentials>, Reply> {
        let mut malformed = false;
        for header in asked.message.headers.iter().filter(|h| h.is("Authorization")) {
            let text = core::str::from_utf8(header.value).map_err(|_| Malformed::BadSyntax);
            match text.and_then(Credentials::parse) {
                Ok(c) if c.realm == rooms.authenticator.realm() && self.config.hashes.contains(&c.algorithm) => return Ok(Some(c)),
                // Another realm's, another scheme, or a hash or qop that we did not offer: ask for ours.
                Ok(_) | Err(Malformed::NotDigest | Malformed::Unsupported) => {}
                Err(Malformed::BadSyntax | Malformed::BadParameter(_)) => malformed = true,
            }
        }
        if malformed { Err(self.reply(asked, 400, "Malformed Authorization")) } else { Ok(None) }
    }

    /// 401 with a challenge a hash in the configured order (best first unless it says otherwise, RFC 8760 s.2.3), all of one nonce. `answered` are the credentials that do not serve.
    fn challenge(&mut self, now: Instant, asked: &Asked<'_>, rooms: &mut Rooms<'_>, answered: Option<&Credentials>, stale: bool) -> Reply {
        let cseq = asked.message.cseq().map_or(0, |c| c.number);
        let may_md5 = self.config.hashes.contains(&Algorithm::Md5);
        let md5_alone =
            may_md5 && *asked.method == Method::Register && self.offers.md5_alone(now, self.registrant(asked), cseq, answered.is_some());
        let nonce = rooms.authenticator.fresh_nonce(now, asked.src.addr.ip());
        let realm = rooms.authenticator.realm();
        let tail = if stale { &b", qop=\"auth,auth-int\", stale=true"[..] } else { b", qop=\"auth,auth-int\"" };
        let offered = self.config.hashes.iter().filter(|h| !md5_alone || **h == Algorithm::Md5);
        // As `digest::Challenge` writes it; the realm is a domain, so nothing in it wants a backslash.
        let parts = |hash: Algorithm| {
            [b"Digest realm=\"", realm.as_bytes(), b"\", nonce=\"", nonce.as_bytes(), b"\", algorithm=", hash.name().as_bytes(), tail]
        };
        offered.fold(self.reply(asked, 401, "Unauthorized"), |reply, hash| reply.with_parts("WWW-Authenticate", &parts(*hash)))
    }

    /// Whether the URI of the credentials is that of the request. Phones are free with its parameters and port, and some (SIPp) write our
    /// address where the request names our domain.
    fn names_the_same(&self, said: &str, uri: &Uri) -> bool {
        said.as_bytes() == uri.as_bytes()
            || Uri::parse(said.as_bytes()).is_ok_and(|said| {
                let user = |u: &Uri| readable(u.user().unwrap_or_default());
                (said.host == uri.host || self.is_ours(&said) && self.is_ours(uri)) && user(&said) == user(uri)
            })
    }
}
