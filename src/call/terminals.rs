//! A number with several terminals: which of them ring, and what becomes of those that do not get the call.
//!
//! ```text
//!   in order:  INVITE one --refused, failed, silent, or its share of the ringing is over--> the next --...--> the best failure
//!   all:       INVITE every one -+- the first 200 --> that is the call; the others are cancelled
//!                                +- 6xx -----------> the others are cancelled; nobody is called any more (RFC 3261 s.16.7 step 5)
//!                                +- all failed ----> the best failure (s.16.7 step 6)
//! ```
//! Called at once, each is a [`Branch`] beside the call, with a negotiation of its own about the same sockets; the one that answers becomes
//! the call's dialog, and from there on the call is like any other. A 200 that crosses our CANCEL is acknowledged and hung up by the
//! endpoint. What a branch plays before the answer is not heard: several would speak at once, so the caller hears our ringback.

use super::{Cause, Gateway, State, Wait};
use crate::clock::{Instant, ms};
use crate::id::CallId;
use crate::negotiate;
use crate::number::Number;
use crate::resolve::{self, Ring, Target};
use crate::sdp::Negotiation;
use crate::sip::{self, DialogId};
use std::collections::VecDeque;
use std::net::IpAddr;

/// An INVITE to one of several terminals that are called at once.
struct Branch {
    dialog: DialogId,
    target: Target,
    negotiation: Negotiation,
}

/// How far the terminals of a number have been called. Empty for a number with one.
#[derive(Default)]
pub(super) struct Terminals {
    ring: Option<Ring>,
    /// All of them, should they be called again from another address of ours.
    all: Vec<Target>,
    /// In order: those that have not had their turn.
    waiting: VecDeque<Target>,
    /// At once: those that have neither answered nor failed.
    branches: Vec<Branch>,
    /// The best failure so far.
    best: Option<Cause>,
}

impl Terminals {
    /// In order, each may ring for its share of this time, in milliseconds.
    pub(super) fn share_ms(&self, no_answer_ms: u64) -> u64 {
        match self.ring {
            Some(Ring::InOrder) => no_answer_ms / (self.all.len() as u64).max(1),
            Some(Ring::All) | None => no_answer_ms,
        }
    }

    /// The dialogs of those that have not answered.
    pub(super) fn take_dialogs(&mut self) -> Vec<DialogId> {
        core::mem::take(&mut self.branches).into_iter().map(|b| b.dialog).collect()
    }

    /// Whether several ring at once.
    pub(super) fn ring_together(&self) -> bool {
        !self.branches.is_empty()
    }

    /// The hosts of those that ring.
    pub(super) fn hosts(&self) -> Vec<IpAddr> {
        self.branches.iter().map(|b| b.target.contact.ip()).collect()
    }

    fn note(&mut self, cause: Cause) {
        if self.best.as_ref().is_none_or(|best| rank(&cause) < rank(best)) {
            self.best = Some(cause);
        }
    }
}

/// The response that a failure stands for: refusals have their own; silence counts as 408, as s.16.8 has it.
fn status(cause: &Cause) -> u16 {
    match cause {
        Cause::PeerRefused(status, _) => *status,
        Cause::PeerSilent => 408,
        other => other.sip_status(),
    }
}

/// The smaller, the better (RFC 3261 s.16.7 step 6): 6xx before all, then the lowest class; within 4xx what the caller could mend, then busy,
/// and silence, which says the least, last.
fn rank(cause: &Cause) -> (u16, u8) {
    let status = status(cause);
    let class = if status >= 600 { 0 } else { status / 100 };
    let within = match status {
        401 | 407 | 415 | 420 | 484 => 0,
        486 => 1,
        408 => 3,
        _ => 2,
    };
    (class, within)
}

/// Nobody else is to be asked after that (s.16.7 step 5).
fn is_for_all(cause: &Cause) -> bool {
    matches!(cause, Cause::PeerRefused(600.., _))
}

impl Gateway {
    /// Calls the terminals of a number.
    pub(super) fn call_terminals(&mut self, now: Instant, id: CallId, terminals: resolve::Terminals) {
        let resolve::Terminals { ring, at } = terminals;
        let Some(call) = self.calls.get_mut(&id) else { return };
        // A learned route may be on its way to one of them already.
        let here = call.target.as_ref().filter(|_| call.dialog.is_some()).map(|t| t.contact);
        let known = at.iter().any(|t| Some(t.contact) == here);
        let waiting: VecDeque<Target> = at.iter().filter(|t| Some(t.contact) != here).cloned().collect();
        call.terminals = Terminals { ring: Some(ring), all: at, ..Terminals::default() };
        call.timers.stop(Wait::LearnedRoute);
        if here.is_some() && !known {
            self.leave_dialog(now, id);
        }
        let (how, count) = if ring == Ring::All { ("at once", waiting.len()) } else { ("in order", waiting.len()) };
        self.log(Some(id), false, format!("{} terminals have the number; {how}", count + usize::from(known)));
        match ring {
            Ring::All => {
                if known {
                    self.put_aside(id);
                }
                for target in waiting {
                    self.call_branch(now, id, target);
                }
                self.end_if_nobody_is_left(now, id);
            }
            Ring::InOrder => {
                let Some(call) = self.calls.get_mut(&id) else { return };
                call.terminals.waiting = waiting;
                if known {
                    self.watch_terminal(now, id);
                } else {
                    self.call_next_terminal(now, id);
                }
            }
        }
    }

    fn call_branch(&mut self, now: Instant, id: CallId, target: Target) {
        self.forget_negotiation(id);
        match self.try_peer(now, id, target) {
            Ok(()) => self.put_aside(id),
            Err(why) => {
                if let Some(call) = self.calls.get_mut(&id) {
                    call.terminals.note(why);
                }
            }
        }
    }

    /// The present dialog becomes one of several.
    fn put_aside(&mut self, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if let (Some(dialog), Some(target)) = (call.dialog.take(), call.target.take()) {
            let fresh = Negotiation::new(0);
            let negotiation = core::mem::replace(&mut call.talk.negotiation, fresh);
            call.terminals.branches.push(Branch { dialog, target, negotiation });
        }
    }

    fn end_if_nobody_is_left(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.terminals.branches.is_empty() && call.dialog.is_none() && call.terminals.ring == Some(Ring::All) {
            let best = call.terminals.best.take().unwrap_or(Cause::PeerSilent);
            let cause = self.refined(id, best);
            self.close(now, id, cause);
        }
    }

    /// In order: whose turn it is now. Nobody's: the best failure ends the call.
    fn call_next_terminal(&mut self, now: Instant, id: CallId) {
        while let Some(target) = self.calls.get_mut(&id).and_then(|c| c.terminals.waiting.pop_front()) {
            match self.try_peer(now, id, target) {
                Ok(()) => return self.watch_terminal(now, id),
                Err(why) => {
                    if let Some(call) = self.calls.get_mut(&id) {
                        call.terminals.note(why);
                    }
                }
            }
        }
        let best = self.calls.get_mut(&id).and_then(|c| c.terminals.best.take()).unwrap_or(Cause::PeerSilent);
        let cause = self.refined(id, best);
        self.close(now, id, cause);
    }

    /// A terminal without a sign is soon left for the next; the last one has the time that SIP gives it.
    fn watch_terminal(&mut self, now: Instant, id: CallId) {
        let silence = ms(self.config.emergency.silence_ms);
        if let Some(call) = self.calls.get_mut(&id).filter(|c| !c.terminals.waiting.is_empty() && c.state == State::Inviting) {
            call.timers.set(Wait::Silence, now + silence);
        }
    }

    /// The timer of [`Wait::Silence`]. True if it was set here.
    pub(super) fn terminal_silent(&mut self, now: Instant, id: CallId) -> bool {
        let Some(call) = self.calls.get(&id).filter(|c| c.terminals.ring == Some(Ring::InOrder)) else { return false };
        // One that is heard of has its share.
        if call.state == State::Inviting && !call.dialog.is_some_and(|d| self.sip.is_proceeding(d)) {
            self.terminal_failed(now, id, Cause::PeerSilent);
        }
        true
    }

    /// Whether other terminals of the number can still take the call.
    pub(super) fn has_terminals_left(&self, id: CallId) -> bool {
        self.calls.get(&id).is_some_and(|c| !c.terminals.branches.is_empty() || !c.terminals.waiting.is_empty())
    }

    /// Whether this is (still) the call of a number with several terminals.
    pub(super) fn has_terminals(&self, id: CallId) -> bool {
        let before = |s| matches!(s, State::Resolving | State::Inviting | State::Alerting);
        self.calls.get(&id).is_some_and(|c| c.terminals.ring.is_some() && before(c.state))
    }

    /// The terminal that the call is at does not take it; or, of all at once, their time is over.
    pub(super) fn terminal_failed(&mut self, now: Instant, id: CallId, cause: Cause) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let (rang, over) = (call.state == State::Alerting, is_for_all(&cause));
        let words = cause.words();
        call.terminals.note(cause.clone());
        match call.terminals.ring {
            Some(Ring::All) => {
                if let Some(dialog) = call.dialog.take() {
                    // It answered with something that is of no use.
                    self.hang_up_dialog(now, dialog, 16);
                    return self.end_if_nobody_is_left(now, id);
                }
                let cause = self.refined(id, cause);
                self.close(now, id, cause);
            }
            Some(Ring::InOrder) | None => {
                self.leave_target(now, id);
                if let Some(call) = self.calls.get_mut(&id).filter(|_| over) {
                    call.terminals.waiting.clear();
                }
                if self.calls.get(&id).is_some_and(|c| !c.terminals.waiting.is_empty()) {
                    self.log(Some(id), false, format!("that terminal failed: {words}; trying the next"));
                    if rang {
                        self.ring_back(id);
                    }
                }
                self.call_next_terminal(now, id);
            }
        }
    }

    /// One of several answered: it is the one to learn (A-1), and the others ring no more.
    pub(super) fn terminal_answered(&mut self, now: Instant, id: CallId) {
        let wall = self.wall(now);
        let Some(call) = self.calls.get_mut(&id).filter(|c| c.terminals.ring.is_some()) else { return };
        let others = call.terminals.take_dialogs();
        let (dialled, target) = (Number::parse(&call.dialled), call.target.clone());
        call.terminals = Terminals::default();
        for dialog in others {
            // s.9.1 and RFC 3326: "Call completed elsewhere" is cause 26.
            self.hang_up_dialog(now, dialog, 26);
        }
        if let (Ok(dialled), Some(target)) = (dialled, target) {
            self.resolver.learn_of_several(wall, dialled, &target);
            self.drain_resolver();
        }
    }

    /// Takes an event of one of several dialogs, or gives it back.
    pub(super) fn branch_event(&mut self, now: Instant, event: sip::Event) -> Option<sip::Event> {
        let dialog = match &event {
            sip::Event::Provisional { dialog, .. }
            | sip::Event::Answered { dialog, .. }
            | sip::Event::Failed { dialog, .. }
            | sip::Event::Ended { dialog, .. }
            | sip::Event::UpdateOffered { dialog, .. } => *dialog,
            _ => return Some(event),
        };
        let of = |c: &super::Call| c.terminals.branches.iter().position(|b| b.dialog == dialog);
        let Some((id, i)) = self.calls.iter().find_map(|(id, c)| Some((*id, of(c)?))) else { return Some(event) };
        match event {
            sip::Event::Provisional { status, sdp, reliable, .. } => self.branch_rings(id, i, status, sdp.as_deref().filter(|_| reliable)),
            sip::Event::Answered { sdp, .. } => self.branch_answers(now, id, i, &sdp),
            sip::Event::Failed { status, reason, q850, .. } => {
                self.branch_fails(now, id, i, super::answer::cause_of_failure(status, reason, q850));
            }
            sip::Event::Ended { cause, .. } => self.branch_fails(now, id, i, Cause::DialogEnded(cause.to_string())),
            // Which of them will talk is not known yet; the session that it has stays (RFC 3311 s.5.2).
            _ => self.refuse_dialog(now, dialog, 488, None),
        }
        None
    }

    fn branch_rings(&mut self, id: CallId, i: usize, status: u16, agreed: Option<&[u8]>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if let Some(Ok(answer)) = agreed.map(negotiate::read) {
            // A reliable one is the answer itself (RFC 3262); what is wrong with it shows when the call is answered.
            let _shows_later = call.terminals.branches[i].negotiation.receive_answer(answer);
        }
        if status > 100 && core::mem::replace(&mut call.state, State::Alerting) == State::Inviting {
            self.ring_back(id);
        }
    }

    fn branch_answers(&mut self, now: Instant, id: CallId, i: usize, sdp: &[u8]) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Branch { dialog, target, negotiation } = call.terminals.branches.remove(i);
        call.record.peer = Some(target.contact);
        (call.dialog, call.target, call.talk.negotiation) = (Some(dialog), Some(target.clone()), negotiation);
        self.expect_this_one(id, &target);
        let sip_call_id = self.sip.call_id(dialog).unwrap_or_default();
        if let Some(call) = self.calls.get_mut(&id) {
            call.record.sip_call_id = sip_call_id;
        }
        self.answered(now, id, super::session::filled(sdp));
    }

    fn branch_fails(&mut self, now: Instant, id: CallId, i: usize, cause: Cause) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let contact = call.terminals.branches.remove(i).target.contact;
        let (words, over) = (cause.words(), is_for_all(&cause));
        call.terminals.note(cause);
        self.log(Some(id), false, format!("the terminal at {contact}: {words}"));
        let others = self.calls.get_mut(&id).filter(|_| over).map(|c| c.terminals.take_dialogs()).unwrap_or_default();
        for dialog in others {
            self.hang_up_dialog(now, dialog, 16);
        }
        self.end_if_nobody_is_left(now, id);
    }

    /// Our address changed while several rang: their answers would go to where we were.
    pub(super) fn call_terminals_again(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(&id).filter(|c| !c.terminals.branches.is_empty()) else { return };
        let (Some(ring), at) = (call.terminals.ring, core::mem::take(&mut call.terminals.all)) else { return };
        for dialog in call.terminals.take_dialogs() {
            self.hang_up_dialog(now, dialog, 16);
        }
        self.log(Some(id), false, "our address changed before the answer; calling again".into());
        self.call_terminals(now, id, resolve::Terminals { ring, at });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16) -> Cause {
        Cause::PeerRefused(status, String::new())
    }

    #[test]
    fn the_best_failure_is_that_of_rfc_3261_16_7() {
        let best = |causes: &[Cause]| {
            let mut terminals = Terminals::default();
            causes.iter().for_each(|c| terminals.note(c.clone()));
            status(terminals.best.as_ref().expect("one was noted"))
        };
        assert_eq!(best(&[refused(503), refused(404), refused(486)]), 486);
        assert_eq!(best(&[refused(486), refused(603), refused(404)]), 603);
        assert_eq!(best(&[refused(500), Cause::PeerSilent]), 408, "the lowest class");
        assert_eq!(best(&[Cause::PeerSilent, refused(480)]), 480, "silence says the least");
        assert_eq!(best(&[refused(486), refused(407)]), 407, "what the caller can mend");
        assert_eq!(best(&[Cause::LimitReached("media sockets"), refused(302)]), 302);
    }

    #[test]
    fn in_order_the_time_to_ring_is_shared() {
        let target = |n| Target {
            number: Number::parse("3001").expect("digits"),
            contact: std::net::SocketAddr::from(([192, 0, 2, n], 5060)),
            fingerprint: None,
            signed: false,
            learned: false,
        };
        let of = |ring, n: u8| Terminals { ring, all: (0..n).map(target).collect(), ..Terminals::default() }.share_ms(60_000);
        assert_eq!((of(Some(Ring::InOrder), 3), of(Some(Ring::All), 3), of(None, 0)), (20_000, 60_000, 60_000));
    }
}
