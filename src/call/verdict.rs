//! What the verdict on the peer does to a call: the line is put through and pages may leave, or nothing does and the number is looked for again.

use super::session::Flow;
use super::{Cause, End, Gateway, State, Wait};
use crate::clock::Instant;
use crate::id::CallId;
use crate::identity::{Clearance, Proof, Suspicion, Verdict};
use crate::key::Fingerprint;
use crate::line::Command as LineCommand;
use crate::negotiate::Policy;
use crate::number::Number;
use crate::tick::Command;

impl Gateway {
    /// The peer answered: the time for its proof runs, and what can be judged is.
    pub(super) fn check_peer(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let handshake = call.talk.secrecy.shield.association().is_some();
        call.talk.secrecy.check.answered(now, handshake);
        if call.talk.secrecy.check.wants_statement() {
            self.ask_identifier(now, id);
        }
        self.judge(now, id);
    }

    /// The verdict, and what follows from it.
    pub(super) fn judge(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.state != State::Up {
            return;
        }
        call.talk.secrecy.check.handle_timeout(now);
        match call.talk.secrecy.check.verdict() {
            Verdict::Cleared(clearance) => self.clear(now, id, clearance),
            Verdict::Waiting => {
                if let Some(at) = call.talk.secrecy.check.poll_timeout() {
                    call.timers.set(Wait::Identity, at);
                }
            }
            Verdict::Wrong(why) => self.suspect(now, id, why, true),
            Verdict::NoIdentifier(why) => {
                if call.talk.secrecy.check.holds_voice() || call.talk.fax || call.talk.flow == Flow::T38 {
                    self.suspect(now, id, why, false);
                }
            }
        }
    }

    fn clear(&mut self, now: Instant, id: CallId, clearance: Clearance) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.timers.stop(Wait::Identity);
        if call.talk.secrecy.clearance.replace(clearance) == Some(clearance) {
            return;
        }
        if clearance.by() == Proof::Proven {
            // The proof is of this association: what goes outside of it goes to nobody knows whom.
            call.talk.secrecy.shield.policy = Policy::Required;
        }
        let held = core::mem::take(&mut call.talk.secrecy.held);
        call.record.verified = Some(clearance.by());
        let key = call.record.peer_key;
        let from_us = call.from != End::Peer;
        let (port, flow) = (call.port(), call.talk.flow);
        if let (Some(port), Flow::T38) = (port, flow) {
            self.commands.push_back(Command::Clear(port, clearance));
        }
        if let (true, Some(port)) = (held, port) {
            self.commands.push_back(Command::Line(port, LineCommand::Connect));
        }
        match (clearance.by(), key) {
            (Proof::Proven, Some(key)) => self.log(Some(id), false, format!("the peer holds the key on record, {key}")),
            // the number had no key that anybody knew; from now on it has the one that was shown where the directory led.
            (Proof::Signed, Some(key)) if from_us => self.learn_key(now, id, key),
            _ => {}
        }
        if held {
            self.terminal_answered(now, id);
            self.ask_for_fax(now, id);
        }
    }

    /// Nothing leaves: the wrong machine is there, or one that does not say who it is. What led there is forgotten, and the first server asked
    /// again, once.
    pub(super) fn suspect(&mut self, now: Instant, id: CallId, why: Suspicion, wrong: bool) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.state == State::Closing {
            return;
        }
        let (fax, dialled) = (call.talk.fax || call.talk.flow == Flow::T38, call.dialled.clone());
        let at = call.record.peer.map_or_else(|| "somewhere".into(), |p| p.to_string());
        call.record.suspicion = Some(why.0.clone());
        let what = if fax { "no page was sent" } else { "nothing was sent" };
        self.log(Some(id), true, format!("{dialled} at {at} is not cleared: {why}; {what}"));
        let cause = if wrong { Cause::WrongIdentity(why.0.clone()) } else { Cause::NoIdentity(why.0.clone()) };
        let Some(call) = self.calls.get_mut(&id) else { return };
        let ours = matches!(call.from, End::Port(_)) && call.account.is_none() && !call.emergency;
        let several = self.has_terminals_left(id);
        let Some(call) = self.calls.get_mut(&id) else { return };
        let number = Number::parse(&dialled).ok().filter(|_| ours && !call.asked_again && !several);
        let Some(number) = number else {
            // Another terminal of the number may be the right one.
            return if several { self.leave_this_terminal(now, id, cause) } else { self.close(now, id, cause) };
        };
        call.asked_again = true;
        let from = call.from;
        // Its key is still the number's: where that gateway is now is asked by the key first, then by the number.
        let step = self.resolver.find_again(now, &number);
        self.resolver.forget(&number);
        self.drain_resolver();
        self.leave_target(now, id);
        if let Some(call) = self.calls.get_mut(&id) {
            call.record.answered = None;
            call.answered_at = None;
            call.cause = Some(cause);
        }
        if let End::Port(port) = from {
            self.commands.push_back(Command::Line(port, LineCommand::Ringback));
        }
        self.log(Some(id), true, format!("its learned route is dropped; asking the directory where {dialled} is"));
        self.resolving(now, id, step);
    }

    /// Of several terminals the one that answered is not cleared: the call goes back to the others.
    fn leave_this_terminal(&mut self, now: Instant, id: CallId, cause: Cause) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let (port, flow) = (call.port(), call.talk.flow);
        call.state = State::Alerting;
        (call.record.answered, call.answered_at) = (None, None);
        call.timers.stop(Wait::Identity);
        call.talk.flow_is_over();
        (call.talk.secrecy.clearance, call.talk.secrecy.held) = (None, false);
        (call.talk.secrecy.keyed_by, call.talk.secrecy.keys) = (None, None);
        call.talk.secrecy.shield.forget();
        if let (Some(port), true) = (port, flow != Flow::None) {
            self.commands.push_back(Command::Disconnect(port));
        }
        self.ring_back(id);
        self.terminal_failed(now, id, cause);
    }

    /// The number's key is known now: from the handshake of a peer that the directory led to.
    fn learn_key(&mut self, now: Instant, id: CallId, key: Fingerprint) {
        let wall = self.wall(now);
        let dialled = self.calls.get(&id).and_then(|c| Number::parse(&c.dialled).ok());
        if let Some(dialled) = dialled {
            let _another_is_known_and_stands = self.resolver.learn_identifier(wall, &dialled, &key.to_string());
            self.drain_resolver();
        }
    }
}
