//! An INVITE from outside: let in, or turned away before anything is kept of it.
//!
//! ```text
//!   a number of ours, an account's user, the echo service? --no--> 404
//!   room in the table and in the account? -------------------no--> 503, 486
//!   an offer that we can answer? ----------------------------no--> 488, or what is wrong with it
//!   the line idle, an echo place free? ----------------------no--> 486, 503
//!   within the share of its source? -------------------------no--> 503
//!   a pair of sockets? --------------------------------------no--> 503
//!   a call; the bell rings
//! ```
//! All of that is settled before anybody's bell rings. Whoever is turned away has one line in the log a source and minute (refusals.rs), and
//! with that line, where a place of ours was called in vain, one record (some more for who brings the calls of many): a caller who finds the
//! line busy is seen, a thousand of them are not written to disk one by one.
//!
//! *The share of a source*: one stranger must not make all bells ring at once. From one network address (an IPv6 /64) at most half of the
//! ports ring (but 8 always may), and half of the echo places are taken. Trusted peers, servers of accounts, gateways that we have called and
//! those that emergencies go to bring the calls of many people: they have no share.

use super::refusals::RECORDS_OF_MANY;
use super::session::read_some;
use super::{Cause, Direction, EmergencyTarget, End, Gateway, State};
use crate::clock::Instant;
use crate::id::{AccountId, CallId, PortId};
use crate::identity::Expected;
use crate::negotiate::{self, Shield};
use crate::number::Number;
use crate::sdp::Session;
use crate::sip::{self, DialogId, Hop};

/// A share is never smaller than this many ports: an office's gateway rings all phones and fax machines of another at once, and is a stranger
/// there until it has been called itself.
const SHARE_LEAST: usize = 8;

/// Who stands at the door, and for whom.
pub(super) struct Knock {
    dialog: DialogId,
    source: Hop,
    to: String,
    /// Empty: withheld.
    from: String,
    identity: sip::Identity,
    /// What may be said of keys to whoever it is.
    shield: Shield,
}

/// Where a call leads.
#[derive(Clone, Copy)]
enum Place {
    Port(PortId),
    Echo,
}

/// Why somebody is turned away.
enum No {
    /// Nothing of ours was called, or we take no calls at all.
    Plain(u16, &'static str),
    Offer(negotiate::Refusal),
    /// The place that was called cannot take the call: its end is a record's.
    Call(Cause, Place),
}

impl Knock {
    pub(super) fn new(dialog: DialogId, source: Hop, to: String, from: String, mut identity: sip::Identity) -> Knock {
        // A caller who does not want to be shown is not: not to the telephone, not in the record, not in the log.
        identity.private |= from.eq_ignore_ascii_case("anonymous");
        let from = if identity.private { String::new() } else { from };
        identity.asserted = identity.asserted.filter(|_| !identity.private);
        Knock { dialog, source, to, from, identity, shield: Shield::none() }
    }

    /// For logs.
    fn words(&self) -> String {
        let who = if self.identity.private { "somebody who withholds the number" } else { &self.from };
        format!("call from {who} at {} to {}", self.source, self.to)
    }
}

impl Gateway {
    /// An INVITE that begins a call.
    pub(super) fn incoming(&mut self, now: Instant, mut knock: Knock, offer: Option<&[u8]>) {
        let account = self.accounts.called(knock.source, &knock.to);
        let policy = account.and_then(|a| self.accounts.media_policy(a)).unwrap_or(self.config.security.media);
        knock.shield = self.shield(policy, knock.source.transport, false);
        match self.admit(&knock, account, offer) {
            Ok((place, offer)) => self.let_in(now, knock, account, place, offer),
            Err(why) => self.turn_away(now, knock, account, why),
        }
    }

    fn admit(&self, knock: &Knock, account: Option<AccountId>, offer: Option<&[u8]>) -> Result<(Place, Option<Session>), No> {
        let number = Number::parse(&knock.to);
        if number.is_err() && account.is_none() {
            return Err(No::Plain(404, "no such number"));
        }
        if self.shutting_down || self.table_full() {
            return Err(No::Plain(503, "the call table is full"));
        }
        if account.is_some_and(|account| !self.has_line(account)) {
            return Err(No::Plain(486, "the account has all the calls that it may have at a time (calls_max)"));
        }
        let port = match account {
            Some(account) => self.port_for(account),
            None => number.as_ref().ok().and_then(|n| self.resolver.port_of(n)),
        };
        let echo = account.is_none() && number.is_ok_and(|n| self.resolver.is_echo(&n));
        let place = match port {
            Some(port) => Place::Port(port),
            None if echo => Place::Echo,
            None => return Err(No::Plain(404, "no such number")),
        };
        // An INVITE without an offer gets ours in the 200.
        let offer = read_some(offer).map_err(No::Offer)?;
        let shield = &knock.shield;
        offer.as_ref().map_or(Ok(()), |offer| negotiate::check_offer(&self.config.media, shield, offer)).map_err(No::Offer)?;
        self.has_room(place, knock.source).map_err(|why| No::Call(why, place))?;
        Ok((place, offer))
    }

    /// Whether the place can take a call now, and one from there.
    fn has_room(&self, place: Place, source: Hop) -> Result<(), Cause> {
        match place {
            Place::Port(port) => {
                let state = &self.ports[usize::from(port.0)];
                if !state.present {
                    return Err(Cause::DeviceGone);
                }
                if state.call.is_some() || state.off_hook {
                    return Err(Cause::Busy);
                }
                let rings = |id: &CallId| self.calls.get(id).is_some_and(|c| c.state == State::Alerting);
                let ringing = self.ports.iter().filter_map(|p| p.call).filter(rings);
                if self.have_come_from(source, ringing) >= (self.ports.len() / 2).max(SHARE_LEAST) {
                    return Err(Cause::LimitReached("calls of one source that are not answered yet"));
                }
            }
            Place::Echo => {
                if self.service_busy.iter().all(Option::is_some) {
                    return Err(Cause::LimitReached("echo places"));
                }
                let taken = self.service_busy.iter().copied().flatten();
                if self.have_come_from(source, taken) >= self.service_busy.len().div_ceil(2) {
                    return Err(Cause::LimitReached("echo places of one source"));
                }
            }
        }
        if self.free_legs.is_empty() { Err(Cause::LimitReached("media sockets")) } else { Ok(()) }
    }

    /// How many of these calls have come from there. Of who brings the calls of many none is counted.
    fn have_come_from(&self, source: Hop, calls: impl Iterator<Item = CallId>) -> usize {
        if self.brings_many(source) {
            return 0;
        }
        let from = sip::source_of(source.addr.ip());
        let same = |c: &&super::Call| c.from == End::Peer && c.record.peer.is_some_and(|peer| sip::source_of(peer.ip()) == from);
        calls.filter_map(|id| self.calls.get(&id)).filter(same).count()
    }

    fn brings_many(&self, source: Hop) -> bool {
        let ip = source.addr.ip();
        let by_emergencies = |t: &EmergencyTarget| matches!(t, EmergencyTarget::Peer(at) if at.ip() == ip);
        self.sip.trusts(source)
            || self.accounts.has_server(source)
            || self.config.emergency.targets.iter().any(by_emergencies)
            || self.resolver.learned().any(|(_, route)| route.contact.ip() == ip)
            || self.calls.values().any(|c| c.target.as_ref().is_some_and(|t| t.contact.ip() == ip))
    }

    fn let_in(&mut self, now: Instant, knock: Knock, account: Option<AccountId>, place: Place, offer: Option<Session>) {
        let (dialog, words, shield) = (knock.dialog, knock.words(), knock.shield.clone());
        let id = self.call_from_outside(now, knock, account, place);
        self.expect(id, shield, Expected::Caller);
        let leg = self.free_legs.pop_front();
        let call = self.calls.get_mut(&id).expect("just inserted");
        (call.dialog, call.talk.leg) = (Some(dialog), leg);
        if let Some(offer) = offer {
            let _nothing_was_said_before = call.talk.negotiation.receive_offer(offer);
        }
        self.log(Some(id), false, words);
        match place {
            Place::Port(port) => {
                self.call_port(now, id, port, "");
                self.begin_early(now, id);
                if self.calls.get(&id).is_some_and(|c| c.state == State::Alerting) {
                    let _already_gone = self.sip.ringing(now, dialog);
                }
            }
            Place::Echo => self.call_echo(now, id),
        }
    }

    /// A call that came in, with all that is known of its caller.
    fn call_from_outside(&mut self, now: Instant, knock: Knock, account: Option<AccountId>, place: Place) -> CallId {
        let id = self.new_call(now, End::Peer, End::Peer, Direction::Incoming, knock.from, knock.to);
        let call_id = self.sip.call_id(knock.dialog).unwrap_or_default();
        let call = self.calls.get_mut(&id).expect("just inserted");
        let machine = |port: PortId| self.ports.get(usize::from(port.0)).is_some_and(|p| p.fax);
        // Who asks for a fax machine (RFC 6913) is one.
        call.talk.fax = knock.identity.fax || matches!(place, Place::Port(port) if machine(port));
        (call.record.private, call.record.asserted) = (knock.identity.private, knock.identity.asserted);
        call.record.diverted_from = knock.identity.diversion.map(|d| (d.user, d.reason));
        call.record.peer = Some(knock.source.addr);
        call.account = account;
        call.record.account = account.and_then(|a| self.accounts.name(a));
        call.record.sip_call_id = call_id;
        id
    }

    fn turn_away(&mut self, now: Instant, knock: Knock, account: Option<AccountId>, why: No) {
        let (status, said) = match &why {
            No::Plain(status, words) => (*status, (*words).to_owned()),
            No::Offer(why) => (why.sip_status(), why.words()),
            No::Call(cause, _) => (cause.sip_status(), cause.words()),
        };
        let records = if self.brings_many(knock.source) { RECORDS_OF_MANY } else { 1 };
        let pass = self.refusals.pass(now, knock.source.addr.ip(), records);
        let (dialog, words) = (knock.dialog, knock.words());
        // Before the refusal has gone out, for then the Call-ID is forgotten.
        let id = match &why {
            No::Call(cause, place) if pass.record => {
                let id = self.call_from_outside(now, knock, account, *place);
                let name = match place {
                    Place::Port(port) => self.port_name(*port),
                    Place::Echo => "echo".into(),
                };
                let call = self.calls.get_mut(&id).expect("just inserted");
                (call.state, call.cause, call.ended_at) = (State::Closing, Some(cause.clone()), Some(now));
                call.record.ports.push(name);
                Some(id)
            }
            _ => None,
        };
        match &why {
            No::Offer(why) => self.refuse_offer(now, dialog, status, why),
            No::Plain(..) => self.refuse_dialog(now, dialog, status, None),
            No::Call(cause, _) => self.refuse_dialog(now, dialog, status, Some(cause.q850())),
        }
        if let Some(unsaid) = pass.line {
            let more = if unsaid > 0 { format!("; {unsaid} more before it") } else { String::new() };
            self.log(id, false, format!("{words} refused: {status} {said}{more}"));
        }
        if let Some(id) = id {
            self.finish(now, id);
        }
    }
}
