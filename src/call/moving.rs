//! Our own address changes while calls are up (DHCP, a cable in another socket), or the peer's does.
//!
//! Ours: every peer in a call is told by a re-INVITE with our new Contact (target refresh, RFC 3261 s.12.2) and the session as it stands, at
//! the same ports of the new address; the media go on meanwhile. A call that rings at a peer is made again from the new address, for the
//! answer to its INVITE would go to the old one.
//!
//! ```text
//!  Still --readdress--> Due --re-INVITE--> Offered --200--> Still
//!                        ^                    |  \--refused for good--> Still (the peer may have followed the media by itself)
//!                        +--busy, 491, 503, 408: bounded tries
//! ```
//! While there is no address at all nothing happens here: calls live until their own timers end them.
//!
//! The peer's: its re-INVITE is answered like any other (switchover.rs); beyond that, what was learned of its number is corrected.

use super::session::{Want, take_answer};
use super::{End, Gateway, LegSockets, State, Wait};
use crate::clock::{Instant, ms};
use crate::id::CallId;
use crate::negotiate;
use crate::number::Number;
use crate::sip::{Hop, is_inside};
use std::net::{IpAddr, SocketAddr};

/// When a dialog that was busy is tried again, in milliseconds.
const BUSY_MS: u64 = 500;
/// The longest wait after a peer that did not answer, in milliseconds; the first is [`BUSY_MS`], and each is twice the one before.
const AGAIN_MAX_MS: u64 = 4_000;
/// Tries to tell a peer before the call is left to itself.
const TRIES_MAX: u8 = 12;

/// Where peers reach us.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Addresses {
    /// SIP, by each transport and family, the main one first: `sip::Config::contacts`.
    pub contacts: Vec<Hop>,
    /// Media, at the ports of [`LegSockets`](super::LegSockets).
    pub media: IpAddr,
    /// What a NAT makes of the main one, as a STUN server beyond it sees it: peers out there are told this, and its host for media, at our own
    /// ports. (Many NATs keep a port that is free; where one does not, media go to where the peer hears them from.)
    pub outside: Option<SocketAddr>,
}

impl Addresses {
    /// Where the directory has us: what peers out there reach, and, behind a NAT, what those on our own side do.
    pub fn registered(&self) -> Option<(SocketAddr, Option<SocketAddr>)> {
        let own = self.contacts.first()?.addr;
        Some(self.outside.map_or((own, None), |outside| (outside, Some(own))))
    }
}

/// Whether the peer of a call knows where we are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Moving {
    /// It does.
    #[default]
    Still,
    /// It is to be told, after so many tries.
    Due(u8),
    /// It is being told; and, if `again`, we have moved on meanwhile.
    Offered { tries: u8, again: bool },
}

impl Moving {
    /// The peer was told by an answer of ours to its own offer.
    pub(super) fn overtaken(&mut self) {
        if let Moving::Due(_) = self {
            *self = Moving::Still;
        }
    }
}

impl Gateway {
    /// We are reached elsewhere from now on.
    pub fn readdress(&mut self, now: Instant, to: &Addresses) {
        self.sip.set_contacts(to.contacts.clone(), to.outside);
        self.outside = to.outside.map(|o| o.ip());
        let identifier = self.config.security.certificate.as_ref().map(|c| c.fingerprint());
        self.sip.set_capabilities(negotiate::capabilities(&self.config.media, identifier, SocketAddr::new(to.media, 0)));
        for leg in &mut self.config.legs {
            leg.rtp.set_ip(to.media);
            leg.udptl.set_ip(to.media);
        }
        self.account_ways_changed(now, true);
        let ids: Vec<CallId> = self.calls.keys().copied().collect();
        for id in ids {
            self.call_terminals_again(now, id);
            let Some(call) = self.calls.get_mut(&id) else { continue };
            let Some(dialog) = call.dialog else { continue };
            match call.state {
                State::Up => {
                    call.talk.moving = match call.talk.moving {
                        Moving::Offered { tries, .. } => Moving::Offered { tries, again: true },
                        Moving::Still | Moving::Due(_) => Moving::Due(0),
                    };
                    self.say_where(now, id);
                }
                // An INVITE that nobody has heard of yet is repeated from where we are, and answered there.
                State::Inviting | State::Alerting if call.to == End::Peer && self.sip.is_proceeding(dialog) => self.call_again(now, id),
                // Our answer to a call that rings here will say where we are.
                State::Inviting | State::Alerting | State::Resolving | State::Closing => {}
            }
        }
        self.drain_sip(now);
    }

    /// The sockets of a call, as its peer is told of them.
    pub(super) fn sockets_of(&self, id: CallId) -> Option<LegSockets> {
        let call = self.calls.get(&id)?;
        let mut sockets = self.config.legs[usize::from(call.talk.leg?.0)];
        let peer = call.dialog.and_then(|dialog| self.sip.seen_at(dialog)).map(|hop| hop.addr).or(call.record.peer);
        let beyond = peer.is_some_and(|peer| !is_inside(peer.ip()));
        if let Some(outside) = self.outside.filter(|o| beyond && o.is_ipv4() == sockets.rtp.is_ipv4()) {
            sockets.rtp.set_ip(outside);
            sockets.udptl.set_ip(outside);
        }
        Some(sockets)
    }

    /// The NAT would soon forget whom we have spoken to by SIP: the peers of calls that stand hear a sign of life (RFC 5626 s.3.5.1), so that
    /// what they say gets in. Called every 20 to 29 s.
    pub fn keep_open(&mut self) {
        if self.outside.is_some() {
            let dialogs: Vec<_> = self.calls.values().filter(|c| c.state == State::Up).filter_map(|c| c.dialog).collect();
            dialogs.into_iter().for_each(|dialog| self.sip.keep_open(dialog));
        }
    }

    /// There is a way to the network again, under the same address.
    pub fn way_is_back(&mut self, now: Instant) {
        self.account_ways_changed(now, false);
        self.drain_sip(now);
    }

    /// The call that a peer has not answered yet, once more: its answer would go to where we were.
    fn call_again(&mut self, now: Instant, id: CallId) {
        self.log(Some(id), false, "our address changed before the answer; calling again".into());
        let Some(call) = self.calls.get(&id) else { return };
        if call.emergency {
            return self.call_target_again(now, id);
        }
        match (call.target.clone(), call.account, call.outside.clone()) {
            (Some(target), _, _) => {
                self.leave_dialog(now, id);
                self.call_peer(now, id, target);
            }
            (None, Some(account), Some(number)) => {
                self.leave_dialog(now, id);
                self.call_account(now, id, account, &number, "account");
            }
            (None, _, _) => {}
        }
    }

    /// Tells the peer where we are, by the session as it stands.
    pub(super) fn say_where(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Moving::Due(tries) = call.talk.moving else { return };
        let (Some(dialog), State::Up) = (call.dialog, call.state) else { return };
        if tries >= TRIES_MAX {
            return self.move_given_up(id, "the dialog is never free");
        }
        let want = call.talk.fax_way().map_or(Want::Audio, Want::T38);
        let sent = self.make_offer(id, want).map(|offer| self.sip.reinvite(now, dialog, offer));
        let Some(call) = self.calls.get_mut(&id) else { return };
        match sent {
            Some(Ok(())) => call.talk.moving = Moving::Offered { tries, again: false },
            // Something else is under way; should it be the peer's offer, our answer says it already.
            refused => {
                if refused.is_some() {
                    let _it_never_went_out = call.talk.negotiation.offer_refused();
                }
                self.move_later(now, id, tries, BUSY_MS);
            }
        }
    }

    fn move_later(&mut self, now: Instant, id: CallId, tries: u8, wait_ms: u64) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.talk.moving = Moving::Due(tries.saturating_add(1));
            call.timers.set(Wait::Moved, now + ms(wait_ms));
        }
    }

    fn move_given_up(&mut self, id: CallId, why: &str) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.talk.moving = Moving::Still;
        }
        self.log(Some(id), true, format!("the peer does not take our new address ({why}); the call lasts as long as its media do"));
    }

    /// The peer answered an offer of ours. True if it was this one.
    pub(super) fn move_answered(&mut self, now: Instant, id: CallId, sdp: Option<&[u8]>) -> bool {
        let Some(call) = self.calls.get_mut(&id) else { return false };
        let Moving::Offered { again, .. } = call.talk.moving else { return false };
        call.talk.moving = if again { Moving::Due(0) } else { Moving::Still };
        let taken = take_answer(&mut call.talk.negotiation, sdp);
        match taken.and_then(|()| self.settle(now, id)) {
            Ok(()) => self.log(Some(id), false, "the peer knows our new address".into()),
            Err(why) => {
                self.log(
                    Some(id),
                    true,
                    format!("the peer's answer to our new address cannot be used ({}); audio is offered", why.words()),
                );
                self.bring_audio_back(now, id);
            }
        }
        self.say_where(now, id);
        true
    }

    /// The peer refused an offer of ours, or there was no way to it. True if it was this one.
    pub(super) fn move_failed(&mut self, now: Instant, id: CallId, status: u16, retry_in_ms: Option<u64>) -> bool {
        let Some(call) = self.calls.get_mut(&id) else { return false };
        let Moving::Offered { tries, again } = call.talk.moving else { return false };
        let _always_open_here = call.talk.negotiation.offer_refused();
        if again {
            call.talk.moving = Moving::Due(0);
            self.say_where(now, id);
            return true;
        }
        let again_ms = (BUSY_MS << tries.min(8)).min(AGAIN_MAX_MS);
        match (status, retry_in_ms) {
            (_, Some(wait_ms)) => self.move_later(now, id, tries, wait_ms),
            (408 | 480 | 500..=599, None) if tries < TRIES_MAX => self.move_later(now, id, tries, again_ms),
            _ => self.move_given_up(id, &status.to_string()),
        }
        true
    }

    /// The peer's new offer was answered: should it be reached elsewhere now, so is its number (A-8). What is corrected is what led to where
    /// it was, and only where the peer is seen to be where it says.
    pub(super) fn peer_moved(&mut self, now: Instant, id: CallId) {
        let wall = self.wall(now);
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(at) = call.dialog.and_then(|dialog| self.sip.peer_at(dialog)) else { return };
        let Some(target) = call.target.as_mut().filter(|t| t.contact != at.addr && !at.transport.is_reliable()) else { return };
        let from = core::mem::replace(&mut target.contact, at.addr);
        let (number, dialled) = (target.number.clone(), Number::parse(&call.dialled));
        let corrected = dialled.is_ok_and(|dialled| self.resolver.follow(wall, &dialled, from, at.addr));
        self.drain_resolver();
        let route = if corrected { ", and so is its learned route" } else { "" };
        self.log(Some(id), false, format!("{number} has moved to {}{route}", at.addr));
    }
}
