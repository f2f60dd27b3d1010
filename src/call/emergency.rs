//! Emergency calls: where they go, how long each place may take, and what makes room for them.
//!
//! The targets of the configuration are tried in their order until one answers. A target is left for the next one when it
//!
//! ```text
//!   refuses, breaks, or answers with nothing that can be heard ---> at once, early media or not
//!   says nothing at all ------------------------------------------> silence_ms (and so for each server of an account)
//!   says 100 Trying and nothing more, or is a port off its hook --> three times that: call set-up through a telephone network takes 10 s
//!   rings and is not answered ------------------------------------> no_answer_ms, counted from the first sign that it rings
//! ```
//! In between the caller hears ringback, never silence: silence makes people hang up. When the list is through, those targets that rang are
//! tried once more: a place that rang exists, and somebody may have come back to it. Those that refused or stayed silent are not, for
//! each costs the caller seconds, and who hears reorder dials again. A target that would follow itself is not taken back and rung anew, and
//! nor is the last one of the second round: it rings on until the caller hangs up, for at an emergency centre the caller has a place in a
//! queue. Should it break off by itself, those that rang are tried again. So a call ends when the caller hangs up, or when no target rings.
//!
//! A target that answered has the call. Whoever hangs up then, it is over.

use super::session::Flow;
use super::{Action, Call, Cause, Direction, End, Gateway, LogLine, State, Wait};
use crate::clock::{Instant, ms};
use crate::id::{AccountId, CallId, PortId};
use crate::line::Command as LineCommand;
use crate::number::Number;
use crate::resolve::{NoRoute, Target};
use crate::sip;
use crate::tick::Command;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Where emergency calls go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EmergencyTarget {
    /// A port of this gateway (an exchange line, or the desk that takes them).
    Port(PortId),
    /// A SIP peer, called with the number as dialled.
    Peer(SocketAddr),
    /// An account at an outside server, called with the number as dialled.
    Account(AccountId),
}

/// Where emergency calls go, and how long a target may take.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EmergencyPlan {
    /// In order. Empty means that such a call ends with reorder and a loud log line.
    pub targets: Vec<EmergencyTarget>,
    /// A target without any sign for so long is left for the next.
    pub silence_ms: u64,
    /// A target that rings is given so long before the next is tried.
    pub no_answer_ms: u64,
}

impl Default for EmergencyPlan {
    /// 4 s hold the repeats of an INVITE over UDP at 0.5, 1.5 and 3.5 s; 40 s are some seven rings of a bell.
    fn default() -> Self {
        EmergencyPlan { targets: Vec::new(), silence_ms: 4_000, no_answer_ms: 40_000 }
    }
}

/// How many times [`EmergencyPlan::silence_ms`] a target has that shows a sign of life but does not ring.
const SET_UP_TIMES: u64 = 3;

/// How far an emergency call has come in the list of targets.
#[derive(Debug, Default)]
pub(super) struct Hunt {
    /// The target that is being tried.
    now_at: Option<usize>,
    /// The first that has not had its turn in this round.
    next: usize,
    second_round: bool,
    /// Targets that rang in vain.
    rang: Vec<usize>,
    /// Other servers of the account that is being tried.
    ways: VecDeque<sip::Target>,
    /// The target had its silence once, and then the time for set-up.
    has_set_up: bool,
    /// There is nobody else: the target rings until the caller hangs up.
    rings_on: bool,
}

impl Hunt {
    /// The first of an account's ways; the others are kept for when it is silent.
    pub(super) fn first_way(&mut self, ways: Vec<sip::Target>) -> Vec<sip::Target> {
        (self.ways, self.has_set_up) = (ways.into(), false);
        self.ways.pop_front().into_iter().collect()
    }
}

impl Gateway {
    /// The first target that is neither the caller nor taken by another emergency call, and that there is a way to.
    pub(super) fn place_emergency(&mut self, now: Instant, id: CallId, number: Number) {
        if self.next_target(id).is_some() {
            return self.try_next_target(now, id, number);
        }
        let none = self.config.emergency.targets.is_empty();
        let why = if none {
            "no emergency target is configured"
        } else {
            "every emergency target is the caller itself, has an emergency call already, or cannot be reached"
        };
        self.shout(id, format!("AN EMERGENCY CALL COULD NOT BE PLACED: {why}"));
        self.close(now, id, if none { Cause::NoRoute(NoRoute::Unknown) } else { Cause::Busy });
    }

    /// A log line that no burst of others displaces.
    fn shout(&mut self, id: CallId, words: String) {
        self.actions.push_back(Action::Log(LogLine { call: Some(id), warn: true, words }));
    }

    /// The next target that an emergency call can go to: whether in the second round, and its place in the list.
    fn next_target(&self, id: CallId) -> Option<(bool, usize)> {
        let call = self.calls.get(&id)?;
        let (hunt, count) = (&call.hunt, self.config.emergency.targets.len());
        let this_round = (hunt.next..count).map(|i| (hunt.second_round, i));
        let again = (0..count).map(|i| (true, i)).filter(|_| !hunt.second_round);
        let mut places = this_round.chain(again).filter(|(second, i)| !second || hunt.rang.contains(i));
        places.find(|(_, i)| self.can_take(id, call, &self.config.emergency.targets[*i]))
    }

    fn can_take(&self, id: CallId, call: &Call, target: &EmergencyTarget) -> bool {
        match target {
            EmergencyTarget::Peer(_) => true,
            EmergencyTarget::Account(account) => self.has_way(*account),
            EmergencyTarget::Port(port) => {
                let other = self.call_of(*port).filter(|other| *other != id).and_then(|other| self.calls.get(&other));
                let present = self.ports.get(usize::from(port.0)).is_some_and(|p| p.present);
                present && call.from != End::Port(*port) && other.is_none_or(|c| !c.emergency)
            }
        }
    }

    fn try_next_target(&mut self, now: Instant, id: CallId, number: Number) {
        let (Some((second_round, i)), Some(call)) = (self.next_target(id), self.calls.get_mut(&id)) else { return };
        let rang = core::mem::take(&mut call.hunt.rang);
        call.hunt = Hunt { now_at: Some(i), next: i + 1, second_round, rang, ..Hunt::default() };
        match self.config.emergency.targets[i].clone() {
            EmergencyTarget::Port(port) => self.call_port(now, id, port, "emergency"),
            EmergencyTarget::Peer(contact) => {
                self.call_peer(now, id, Target { number, contact, fingerprint: None, signed: false, learned: false })
            }
            EmergencyTarget::Account(account) => self.call_account(now, id, account, number.as_str(), "emergency"),
        }
    }

    /// We are reached elsewhere now, and the answer of the target would not find us: it is called again from here.
    pub(super) fn call_target_again(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let (Some(i), Ok(number)) = (call.hunt.now_at, Number::parse(&call.dialled)) else { return };
        self.leave_target(now, id);
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.hunt.next = i;
        self.ring_back(id);
        if self.next_target(id).is_some() {
            self.try_next_target(now, id, number);
        } else {
            self.target_failed(now, id, Cause::PeerSilent);
        }
    }

    /// A place that was called does not take the call: that is its end, or, of an emergency call or a number with several terminals, the next
    /// one's turn.
    pub(super) fn target_failed(&mut self, now: Instant, id: CallId, cause: Cause) {
        if self.has_terminals(id) {
            return self.terminal_failed(now, id, cause);
        }
        let Some(call) = self.calls.get_mut(&id) else { return };
        let number = Number::parse(&call.dialled);
        let (true, Ok(number), State::Resolving | State::Inviting | State::Alerting) = (call.emergency, number, call.state) else {
            return self.close(now, id, cause);
        };
        if let (State::Alerting, Some(i)) = (call.state, call.hunt.now_at)
            && !call.hunt.rang.contains(&i)
        {
            call.hunt.rang.push(i);
        }
        // Another server of the account may be alive; one that refused has spoken for all of them.
        let dead = matches!(cause, Cause::PeerSilent | Cause::PeerRefused(500..=599, _)) && call.state == State::Inviting;
        let (account, ways) = (call.account, core::mem::take(&mut call.hunt.ways));
        self.leave_target(now, id);
        let words = cause.words();
        if let (true, Some(account), false) = (dead, account, ways.is_empty()) {
            self.log(Some(id), true, format!("the emergency call failed there: {words}; trying the next server of the account"));
            self.ring_back(id);
            return self.call_account_by(now, id, account, number.as_str(), "emergency", ways.into());
        }
        if self.next_target(id).is_none() {
            self.shout(id, format!("AN EMERGENCY CALL WAS TAKEN BY NOBODY; at the last target: {words}"));
            return self.close(now, id, cause);
        }
        self.log(Some(id), true, format!("the emergency call failed there: {words}; trying the next target"));
        self.ring_back(id);
        self.try_next_target(now, id, number);
    }

    /// All that was done for the present target is undone; the caller is kept.
    pub(super) fn leave_target(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        for wait in [Wait::Answer, Wait::Silence, Wait::LearnedRoute] {
            call.timers.stop(wait);
        }
        let (from, to, dialog) = (call.from, core::mem::replace(&mut call.to, End::Peer), call.dialog.take());
        (call.state, call.target, call.account) = (State::Resolving, None, None);
        (call.record.direction, call.record.peer, call.record.account) = (Direction::Outgoing, None, None);
        call.record.ports.truncate(1);
        if let (true, End::Port(port)) = (call.talk.flow != Flow::None, from) {
            self.commands.push_back(Command::Disconnect(port));
        }
        if let End::Port(port) = to {
            self.commands.push_back(Command::Line(port, LineCommand::StopRinging));
            self.free_place(port, id);
        }
        if let Some(dialog) = dialog {
            self.hang_up_dialog(now, dialog, 16);
        }
        let session_id = self.prints.number() >> 2;
        if let Some(call) = self.calls.get_mut(&id) {
            call.talk.begin_anew(session_id);
        }
    }

    /// A target is being called: how long it may be silent, and how long it may ring.
    pub(super) fn watch_target(&mut self, now: Instant, id: CallId) {
        let plan = &self.config.emergency;
        let (silence, no_answer) = (ms(plan.silence_ms), ms(self.no_answer_ms(id)));
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.timers.set(Wait::Answer, now + no_answer);
        if call.emergency && call.state == State::Inviting {
            call.timers.set(Wait::Silence, now + silence);
        }
    }

    /// The target rings, or says that it will: from now on it has its whole time.
    pub(super) fn target_rings(&mut self, now: Instant, id: CallId) {
        let no_answer = ms(self.no_answer_ms(id));
        let Some(call) = self.calls.get_mut(&id).filter(|c| c.emergency) else { return };
        call.timers.stop(Wait::Silence);
        call.timers.set(Wait::Answer, now + no_answer);
    }

    fn no_answer_ms(&self, id: CallId) -> u64 {
        match self.calls.get(&id) {
            Some(call) if call.emergency => self.config.emergency.no_answer_ms,
            Some(call) => call.terminals.share_ms(self.config.no_answer_ms),
            None => self.config.no_answer_ms,
        }
    }

    /// The timer of [`Wait::Silence`].
    pub(super) fn target_silent(&mut self, now: Instant, id: CallId) {
        if self.terminal_silent(now, id) {
            return;
        }
        let more = ms(self.config.emergency.silence_ms * (SET_UP_TIMES - 1));
        let other = self.next_target(id);
        let Some(call) = self.calls.get_mut(&id) else { return };
        let (cause, alive) = match call.to {
            // The only place there is: whoever sits there may still put the receiver down.
            End::Port(_) if other.is_none() => return,
            End::Port(_) => (Cause::Busy, false),
            End::Peer => (Cause::PeerSilent, call.dialog.is_some_and(|d| self.sip.is_proceeding(d))),
        };
        if alive && !core::mem::replace(&mut call.hunt.has_set_up, true) {
            call.timers.set(Wait::Silence, now + more);
            return;
        }
        self.target_failed(now, id, cause);
    }

    /// The bell of a target cannot ring, for its receiver is off the hook.
    pub(super) fn target_off_hook(&mut self, now: Instant, id: CallId) {
        let set_up = ms(self.config.emergency.silence_ms * SET_UP_TIMES);
        if let Some(call) = self.calls.get_mut(&id) {
            call.timers.set(Wait::Silence, now + set_up);
        }
    }

    /// The timer of [`Wait::Answer`]: it rang, and nobody came.
    pub(super) fn not_answered(&mut self, now: Instant, id: CallId) {
        let no_answer = ms(self.no_answer_ms(id));
        let Some(call) = self.calls.get_mut(&id) else { return };
        if let (true, State::Alerting, Some(i)) = (call.emergency, call.state, call.hunt.now_at) {
            if !call.hunt.rang.contains(&i) {
                call.hunt.rang.push(i);
            }
            let nobody_else = self.next_target(id).is_none_or(|(_, next)| next == i);
            let count = self.config.emergency.targets.len();
            if let Some(call) = self.calls.get_mut(&id)
                && (nobody_else || call.hunt.rings_on)
            {
                // Should it break off after all, those that rang have another turn.
                (call.hunt.rings_on, call.hunt.second_round, call.hunt.next) = (true, false, count);
                call.timers.set(Wait::Answer, now + no_answer);
                // Said again, this also renews how long the caller's line waits.
                self.ring_back(id);
                return self.log(Some(id), true, "nobody answers the emergency call yet; there is no other target, so it rings on".into());
            }
        }
        self.target_failed(now, id, Cause::NoAnswer);
    }

    /// A bell of ours has rung for as long as a line rings: again, unless there is somebody else.
    pub(super) fn bell_worn_out(&mut self, now: Instant, id: CallId, port: PortId) {
        self.not_answered(now, id);
        if self.emergency_waits_for(port) == Some(id) {
            self.commands.push_back(Command::Line(port, LineCommand::Ring { cadence_ms: None }));
        }
    }

    /// An emergency call never finds the table full: the youngest ordinary call goes.
    pub(super) fn make_room_in_table(&mut self, now: Instant) {
        if self.table_full() {
            let victim = self.calls.iter().rev().find(|(_, c)| is_ordinary(c)).map(|(id, _)| *id);
            if let Some(id) = victim {
                self.close(now, id, Cause::Preempted);
            }
        }
    }

    /// Nor the sockets, at whichever of its targets it needs them: a call that is over gives up its own, or else the youngest ordinary one
    /// that has some goes.
    pub(super) fn make_room_for_leg(&mut self, now: Instant) {
        if !self.free_legs.is_empty() {
            return;
        }
        let over = self.calls.iter().find(|(_, c)| c.state == State::Closing && c.talk.leg.is_some());
        let victim = over.or_else(|| self.calls.iter().rev().find(|(_, c)| is_ordinary(c) && c.talk.leg.is_some()));
        let Some(id) = victim.map(|(id, _)| *id) else { return };
        self.close(now, id, Cause::Preempted);
        // Its sockets come back when the board has taken the leg off; the order to do so is queued before any order of this call.
        if let Some(call) = self.calls.get_mut(&id)
            && let Some(leg) = call.talk.leg.take()
        {
            call.talk.legs_out = 0;
            self.free_legs.push_back(leg);
            self.finish(now, id);
        }
    }
}

/// A call that may be taken from those who have it.
fn is_ordinary(call: &Call) -> bool {
    !call.emergency && call.state != State::Closing
}
