//! Digest for requests of ours, the client's side: what to answer to 401 and 407, and what to send before anybody asks. Read RFC 3261
//! s.22, RFC 7616 s.3 and RFC 8760 before changing it.
//!
//! One [`Authorizer`] belongs to one login at one server (an account's registration, or one call), and remembers the challenges of each
//! realm on the way. One [`Attempt`] is one request with all its repeats: it is what tells a stale nonce from a wrong password.
//!
//! ```text
//! begin -> authorize(request), send --401/407--> challenged --Ok--> authorize(the same request, next CSeq), send
//!                                    |                      \-Err-> give up, in words
//!                                    \--anything else--> accepted (Authentication-Info may bring the next nonce)
//! ```
//! Of several challenges of one realm the strongest that we know is answered; the others, and schemes that are not Digest, are passed
//! over. A server of RFC 2069 (no qop) is answered as it expects. The word itself never leaves this file but as a hash.

use super::message::{Message, readable};
use crate::digest::{Algorithm, Asked, Challenge, Ha1, Prints};
use crate::limits::{AUTH_REALMS_MAX, AUTH_ROUNDS_MAX, CHALLENGES_MAX};
use core::fmt;
use core::net::IpAddr;
use std::sync::Arc;

#[derive(Clone, PartialEq, Eq)]
enum Secret {
    Password(Arc<str>),
    Ha1(Ha1),
}

/// Who we are to an outside server, and the proof of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    user: Arc<str>,
    secret: Secret,
    /// None: any.
    realms: Vec<Arc<str>>,
}

impl Login {
    /// With a password, for whichever realm asks.
    pub fn with_password(user: &str, password: &str) -> Login {
        Login { user: user.into(), secret: Secret::Password(password.into()), realms: Vec::new() }
    }
    /// With H(A1), which is of one realm.
    pub fn with_ha1(user: &str, realm: &str, ha1: Ha1) -> Login {
        Login { user: user.into(), secret: Secret::Ha1(ha1), realms: vec![realm.into()] }
    }
    /// For no other realm than this.
    pub fn only_for(mut self, realm: &str) -> Login {
        self.realms = vec![realm.into()];
        self
    }
    /// For no other realms than these, unless it is said already which; if there are none, still for any.
    pub fn known_in<'a>(mut self, realms: impl IntoIterator<Item = &'a str>) -> Login {
        if self.realms.is_empty() {
            self.realms = realms.into_iter().map(Arc::from).collect();
        }
        self
    }
    /// `None`: not a realm that may ask.
    fn ha1(&self, realm: &str) -> Option<Ha1> {
        if !self.realms.is_empty() && !self.realms.iter().any(|only| **only == *realm) {
            return None;
        }
        Some(match &self.secret {
            Secret::Password(password) => Ha1::of(&self.user, realm, password),
            Secret::Ha1(ha1) => *ha1,
        })
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({}, realms {:?})", self.user, self.realms)
    }
}

/// Who asks: the server a request is for, or a proxy on the way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Asker {
    Server,
    Proxy,
}

impl Asker {
    const ALL: [Asker; 2] = [Asker::Server, Asker::Proxy];
    fn asks_in(self) -> &'static str {
        match self {
            Asker::Server => "WWW-Authenticate",
            Asker::Proxy => "Proxy-Authenticate",
        }
    }
    fn answered_in(self) -> &'static str {
        match self {
            Asker::Server => "Authorization",
            Asker::Proxy => "Proxy-Authorization",
        }
    }
    fn informs_in(self) -> &'static str {
        match self {
            Asker::Server => "Authentication-Info",
            Asker::Proxy => "Proxy-Authentication-Info",
        }
    }
}

#[derive(Clone)]
struct Remembered {
    asker: Asker,
    challenge: Challenge,
    ha1: Ha1,
    /// Uses of the nonce so far.
    nc: u32,
    /// The attempt in which this challenge came.
    answered_in: u64,
}

/// One request with all its repeats.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attempt {
    serial: u64,
    rounds: u8,
}

/// Why a challenge is not answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GiveUp {
    /// No challenge that can be read, of a hash that we know.
    NothingToAnswer,
    /// The realm is none that our password is for.
    OtherRealm(String),
    /// The answer to a fresh challenge was not taken.
    WrongPassword(String),
    /// The server never has enough.
    TooOften,
}

impl fmt::Display for GiveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GiveUp::NothingToAnswer => write!(f, "the server asks for a password in no way that is known here"),
            GiveUp::OtherRealm(realm) => write!(f, "realm {realm:?} asks for the password, which is not for it"),
            GiveUp::WrongPassword(realm) => write!(f, "wrong user or password for realm {realm:?}"),
            GiveUp::TooOften => write!(f, "the server asks for the password again and again"),
        }
    }
}
impl std::error::Error for GiveUp {}

/// What is remembered for one login.
#[derive(Clone)]
pub struct Authorizer {
    login: Login,
    remembered: Vec<Remembered>,
    /// Of a call: where its server was found. Nobody else in its dialog is shown credentials: the peer's own 401, with a nonce of its
    /// choice, would make us give it what our password can be guessed from.
    hops: Vec<IpAddr>,
    /// One realm only: the first that asks.
    one_realm: bool,
    attempts: u64,
    prints: Prints,
}

impl fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorizer({:?}, {} realms)", self.login, self.remembered.len())
    }
}

impl Authorizer {
    /// For this login; `prints` makes the client's nonces, which everybody who asks is shown.
    pub fn new(login: Login, prints: impl Into<Prints>) -> Authorizer {
        Authorizer { login, remembered: Vec::new(), hops: Vec::new(), one_realm: false, attempts: 0, prints: prints.into() }
    }

    /// For a call with this login, whose server was found at these addresses. Only one realm is answered in it, the first that asks: who is
    /// called may send a challenge as well, by way of our own server, and that of our server comes before it.
    pub fn for_call(login: Login, prints: impl Into<Prints>, hops: impl IntoIterator<Item = IpAddr>) -> Authorizer {
        let mut hops: Vec<IpAddr> = hops.into_iter().collect();
        hops.sort_unstable();
        hops.dedup();
        Authorizer { hops, one_realm: true, ..Authorizer::new(login, prints) }
    }

    /// A new request begins.
    pub fn begin(&mut self) -> Attempt {
        self.attempts += 1;
        Attempt { serial: self.attempts, rounds: 0 }
    }

    /// Puts in the credentials for every realm that has asked so far, in place of those that stand there. Call it once for each sending
    /// that is not a mere repeat: it counts the uses of the nonces. The request line and the body must be what goes out.
    pub fn authorize(&mut self, request: &mut Message) {
        for asker in Asker::ALL {
            request.headers.remove(asker.answered_in());
        }
        let super::message::StartLine::Request { method, uri } = &request.start else { return };
        let (method, uri) = (method.as_str().to_owned(), String::from_utf8_lossy(uri).into_owned());
        for known in &mut self.remembered {
            known.nc = known.nc.saturating_add(1);
            let cnonce = format!("{:032x}", self.prints.wide());
            let asked = Asked { method: &method, uri: &uri, body: &request.body };
            let qop = known.challenge.qop(false);
            if let Some(credentials) = known.challenge.answer(&self.login.user, &known.ha1, &asked, qop, known.nc, &cnonce) {
                request.headers.push(known.asker.answered_in(), credentials.emit().into_bytes());
            }
        }
    }

    /// A 401 or 407 came. `Ok`: send the request again, newly authorized. Challenges of servers and of proxies are both looked at: a
    /// forking proxy brings those of all branches in one response (s.22.3).
    pub fn challenged(&mut self, attempt: &mut Attempt, response: &Message) -> Result<(), GiveUp> {
        self.respond_to(attempt, response, false)
    }

    /// The same inside a call: only the realms that asked before may ask again. A far end may send a challenge as well, by way of our own
    /// server, and its realm is none of ours.
    pub fn challenged_again(&mut self, attempt: &mut Attempt, response: &Message) -> Result<(), GiveUp> {
        self.respond_to(attempt, response, true)
    }

    fn respond_to(&mut self, attempt: &mut Attempt, response: &Message, known_only: bool) -> Result<(), GiveUp> {
        attempt.rounds = attempt.rounds.saturating_add(1);
        if attempt.rounds > AUTH_ROUNDS_MAX {
            return Err(GiveUp::TooOften);
        }
        let mut answered = false;
        let mut why_not = GiveUp::NothingToAnswer;
        // Should both ask in one response, the proxy is the nearer one.
        let nearest_first = [Asker::Proxy, Asker::Server];
        for asker in if self.one_realm { nearest_first } else { Asker::ALL } {
            let all = challenges(response, asker);
            let mut realms: Vec<&str> = Vec::new();
            for challenge in &all {
                if !realms.contains(&challenge.realm.as_str()) {
                    realms.push(&challenge.realm);
                }
            }
            for realm in realms {
                let closed = known_only || (self.one_realm && !self.remembered.is_empty());
                let strange = closed && !self.remembered.iter().any(|k| k.challenge.realm == realm);
                let Some(ha1) = self.login.ha1(realm).filter(|_| !strange) else {
                    why_not = GiveUp::OtherRealm(readable(realm.as_bytes()));
                    continue;
                };
                let of_realm = |algorithm: Algorithm| all.iter().find(|c| c.realm == realm && c.algorithm == algorithm);
                let known = |c: &&Challenge| c.algorithm != Algorithm::Sha512_256 || ha1.sha512_256.is_some();
                let Some(best) = Algorithm::ALL.into_iter().filter_map(of_realm).find(known) else { continue };
                self.take(asker, best.clone(), ha1, attempt.serial)?;
                answered = true;
            }
        }
        if answered { Ok(()) } else { Err(why_not) }
    }

    fn take(&mut self, asker: Asker, challenge: Challenge, ha1: Ha1, serial: u64) -> Result<(), GiveUp> {
        let known = self.remembered.iter().position(|k| k.asker == asker && k.challenge.realm == challenge.realm);
        if let Some(i) = known {
            // An answer to this very request was not enough. One from memory may be of a nonce that the server has forgotten, and not
            // every server says that it is stale; so the first challenge in an attempt is always answered.
            if self.remembered[i].answered_in == serial && !challenge.stale {
                let realm = readable(challenge.realm.as_bytes());
                // What was remembered is of no use to the next request either.
                self.remembered.remove(i);
                return Err(GiveUp::WrongPassword(realm));
            }
            self.remembered.remove(i);
        } else if self.remembered.len() >= AUTH_REALMS_MAX {
            self.remembered.remove(0);
        }
        self.remembered.push(Remembered { asker, challenge, ha1, nc: 0, answered_in: serial });
        Ok(())
    }

    /// The request was taken. Authentication-Info may bring the nonce for the next one (RFC 7616 s.3.5).
    pub fn accepted(&mut self, response: &Message) {
        for asker in Asker::ALL {
            let next = response.headers.values(asker.informs_in()).find_map(|v| parameter(v, "nextnonce"));
            // Which realm it is about is not said: with one of a kind there is no doubt.
            let mut of_kind = self.remembered.iter_mut().filter(|k| k.asker == asker);
            if let (Some(next), Some(known), None) = (next, of_kind.next(), of_kind.next())
                && known.challenge.nonce != next
            {
                known.challenge.nonce = next;
                known.nc = 0;
            }
        }
    }

    /// The realms that asked so far.
    pub fn realms(&self) -> impl Iterator<Item = &str> {
        self.remembered.iter().map(|k| k.challenge.realm.as_str())
    }

    /// Whether a challenge is remembered, so that the next request to `to` carries credentials unasked.
    pub fn is_primed_for(&self, to: IpAddr) -> bool {
        !self.remembered.is_empty() && self.may_be_shown_to(to)
    }

    /// Whether credentials may go there, unasked or asked.
    pub fn may_be_shown_to(&self, to: IpAddr) -> bool {
        self.hops.binary_search(&to).is_ok()
    }
}

fn challenges(response: &Message, asker: Asker) -> Vec<Challenge> {
    let values = response.headers.iter().filter(|h| h.is(asker.asks_in())).take(CHALLENGES_MAX);
    values.flat_map(|h| Challenge::parse_all(&String::from_utf8_lossy(h.value))).take(CHALLENGES_MAX).collect()
}

/// The value of `name=value` or `name="value"`.
fn parameter(text: &[u8], name: &str) -> Option<String> {
    let text = core::str::from_utf8(text).ok()?;
    let (found, value) = text.split_once('=')?;
    if !found.trim().eq_ignore_ascii_case(name) {
        return None;
    }
    let value = value.trim();
    let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
    let fits = !value.is_empty() && value.len() <= crate::limits::DIGEST_BYTES_MAX && !value.contains(['"', '\\']);
    (fits && !value.chars().any(char::is_control)).then(|| value.to_owned())
}

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;
