//! What the peer says in a call: its answers to ours, and how a call from it is answered (incoming.rs lets it in).

use super::incoming::Knock;
use super::session::{Flow, filled, read_some};
use super::{Cause, End, Gateway, State, Wait};
use crate::clock::Instant;
use crate::id::{CallId, PortId};
use crate::line::Command as LineCommand;
use crate::negotiate;
use crate::sdp::offer_answer;
use crate::sip::{self, DialogId};
use crate::tick::Command;

/// What a final refusal of our INVITE means.
pub(super) fn cause_of_failure(status: u16, reason: String, q850: Option<u8>) -> Cause {
    match (status, q850) {
        (408, _) => Cause::PeerSilent,
        // 480 means several things; the Reason header (RFC 3326) says which.
        (480, Some(19)) => Cause::NoAnswer,
        _ => Cause::PeerRefused(status, reason),
    }
}

impl Gateway {
    /// Takes everything the SIP endpoint has to tell.
    pub(super) fn drain_sip(&mut self, now: Instant) {
        while let Some(event) = self.sip.poll_event() {
            self.handle_sip(now, event);
        }
        self.drive_accounts(now);
    }

    fn handle_sip(&mut self, now: Instant, event: sip::Event) {
        let Some(event) = self.branch_event(now, event) else { return };
        match event {
            sip::Event::Incoming { dialog, to_user, from_user, offer, source, identity, .. } => {
                self.incoming(now, Knock::new(dialog, source, to_user, from_user, identity), offer.as_deref());
            }
            sip::Event::Provisional { dialog, status, sdp, reliable } => {
                if let Some(id) = self.call_of_dialog(dialog) {
                    self.provisional(now, id, status, sdp.as_deref(), reliable);
                }
            }
            sip::Event::Answered { dialog, sdp } => match self.call_of_dialog(dialog) {
                Some(id) => self.answered(now, id, filled(&sdp)),
                None => self.hang_up_dialog(now, dialog, 16),
            },
            sip::Event::Failed { dialog, status, reason, q850, .. } => {
                if let Some(id) = self.call_of_dialog(dialog) {
                    self.peer_failed(now, id, cause_of_failure(status, reason, q850));
                }
            }
            sip::Event::ReInvited { dialog, offer } => match self.call_of_dialog(dialog) {
                Some(id) => self.re_invited(now, id, dialog, offer.as_deref()),
                None => self.refuse_dialog(now, dialog, 481, None),
            },
            sip::Event::ReInviteAnswered { dialog, sdp } => {
                if let Some(id) = self.call_of_dialog(dialog) {
                    self.offer_answered(now, id, filled(&sdp));
                }
            }
            sip::Event::ReInviteFailed { dialog, status, retry_in_ms } => {
                if let Some(id) = self.call_of_dialog(dialog) {
                    self.offer_failed(now, id, status, retry_in_ms);
                }
            }
            sip::Event::Ended { dialog, cause, .. } => {
                if let Some(id) = self.call_of_dialog(dialog) {
                    self.dialog_ended(now, id, cause);
                }
            }
            sip::Event::Acked { dialog, sdp } => {
                if let Some(id) = self.call_of_dialog(dialog) {
                    self.acknowledged(now, id, sdp.as_deref());
                }
            }
            sip::Event::ReInviteCancelled { dialog } => {
                if let Some(id) = self.call_of_dialog(dialog) {
                    self.offer_withdrawn(id);
                }
            }
            sip::Event::UpdateOffered { dialog, offer } => match self.call_of_dialog(dialog) {
                Some(id) => self.re_invited(now, id, dialog, Some(&offer)),
                None => self.refuse_dialog(now, dialog, 481, None),
            },
            sip::Event::UpdateAnswered { dialog, sdp } => {
                if let Some(id) = self.call_of_dialog(dialog) {
                    self.offer_answered(now, id, filled(&sdp));
                }
            }
            sip::Event::UpdateFailed { dialog, status, retry_in_ms } => {
                if let Some(id) = self.call_of_dialog(dialog) {
                    self.offer_failed(now, id, status, retry_in_ms);
                }
            }
            sip::Event::Refreshed { dialog, sdp } => {
                if let Some(id) = self.call_of_dialog(dialog) {
                    self.refreshed(now, id, &sdp);
                }
            }
            sip::Event::Dtmf { dialog, digit, ms } => {
                if let Some(id) = self.call_of_dialog(dialog) {
                    self.digit_signalled(id, digit, ms);
                }
            }
            // We send no description before the answer.
            sip::Event::ProgressAcked { .. } => {}
            sip::Event::OptionsAnswered { options, status, sdp, .. } => self.peer_says(now, options, status, sdp.as_deref()),
            sip::Event::Response { request, status, response, .. } => self.request_answered(now, request, status, response.as_deref()),
        }
    }

    /// 18x from the peer. Who is heard until the answer follows RFC 3960: our ringback for a 180, the peer's own media once it comes.
    fn provisional(&mut self, now: Instant, id: CallId, status: u16, sdp: Option<&[u8]>, reliable: bool) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.timers.stop(Wait::LearnedRoute);
        if !matches!(call.state, State::Inviting | State::Alerting) {
            return;
        }
        if status > 100 && core::mem::replace(&mut call.state, State::Alerting) == State::Inviting {
            self.target_rings(now, id);
        }
        if let Some(sdp) = sdp {
            self.preview(now, id, sdp, reliable);
        }
        if status == 180 {
            self.ring_back(id);
        }
    }

    /// 200 to our INVITE.
    pub(super) fn answered(&mut self, now: Instant, id: CallId, sdp: Option<&[u8]>) {
        let wall = self.wall(now);
        let Some(call) = self.calls.get_mut(&id) else { return };
        for wait in [Wait::LearnedRoute, Wait::Answer, Wait::Silence] {
            call.timers.stop(wait);
        }
        call.query = None;
        let End::Port(port) = call.from else { return };
        let taken = read_some(sdp).and_then(|answer| {
            let taken = call.talk.negotiation.receive_final_answer(answer);
            taken.map_err(|e| negotiate::Refusal::Unreadable(e.to_string()))
        });
        self.forget_early_silence(id);
        if let Err(why) = taken.and_then(|()| self.settle(now, id)) {
            self.log(Some(id), true, format!("the peer's answer cannot be used: {}", why.words()));
            return self.target_failed(now, id, Cause::NoCommonMedia);
        }
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.state == State::Closing {
            return;
        }
        call.state = State::Up;
        call.record.answered = Some(wall);
        call.answered_at = Some(now);
        // A number that has a key is put through when whoever answers has shown it: until then the caller hears it ring on.
        let held = call.talk.secrecy.check.holds_voice();
        call.talk.secrecy.held = held;
        let protection = call.record.protection.unwrap_or("in the clear");
        if !held {
            self.commands.push_back(Command::Line(port, LineCommand::Connect));
            self.terminal_answered(now, id);
        }
        let codec = self.flow_word(id);
        self.log(Some(id), false, format!("answered, {codec}, {protection}"));
        if !held {
            self.ask_for_fax(now, id);
        }
        self.check_peer(now, id);
    }

    /// The called line went off hook.
    pub(super) fn line_answered(&mut self, now: Instant, port: PortId) {
        let Some(id) = self.call_of(port) else { return };
        let wall = self.wall(now);
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.state != State::Alerting || call.to != End::Port(port) {
            return;
        }
        call.timers.stop(Wait::Answer);
        call.timers.stop(Wait::Silence);
        call.state = State::Up;
        call.record.answered = Some(wall);
        call.answered_at = Some(now);
        match call.from {
            End::Port(from) => {
                call.talk.flow = Flow::Patch;
                self.commands.push_back(Command::Patch(from, port));
                self.commands.push_back(Command::Line(from, LineCommand::Connect));
                self.commands.push_back(Command::Line(port, LineCommand::Connect));
                self.log(Some(id), false, "answered, local".into());
            }
            End::Peer => self.answer_peer(now, id, port),
        }
    }

    /// Sends the 200 with our answer, or with our offer if the caller made none: then its answer comes in the ACK.
    fn answer_peer(&mut self, now: Instant, id: CallId, port: PortId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(dialog) = call.dialog else { return };
        let asked = call.talk.negotiation.state() == offer_answer::State::Asked;
        let body = if asked { self.answer_offer(id) } else { self.offer_late(id) };
        match body {
            Ok(body) => {
                if self.sip.answer(now, dialog, body).is_err() {
                    // Cancelled in the same moment: the event that says so is on its way.
                    return;
                }
                // Nothing is sent before the ACK: an INVITE with a forged source must not turn us into a hose on somebody else.
                if let Some(call) = self.calls.get_mut(&id) {
                    call.talk.awaits_ack = asked;
                }
                self.commands.push_back(Command::Line(port, LineCommand::Connect));
                let codec = self.agreed_word(id);
                self.log(Some(id), false, format!("answered, {codec}"));
                self.check_peer(now, id);
            }
            Err(why) => {
                self.log(Some(id), true, format!("the peer's offer cannot be answered: {}", why.words()));
                self.close(now, id, Cause::NoCommonMedia);
            }
        }
    }

    /// Hangs up a dialog that may just have ended by itself.
    pub(super) fn hang_up_dialog(&mut self, now: Instant, dialog: DialogId, q850: u8) {
        let _already_gone = self.sip.hangup(now, dialog, Some(q850));
    }

    /// Refuses an INVITE or re-INVITE that may just have been withdrawn.
    pub(super) fn refuse_dialog(&mut self, now: Instant, dialog: DialogId, status: u16, q850: Option<u8>) {
        let _already_gone = self.sip.reject(now, dialog, status, q850);
    }

    /// Refuses an offer, with a Warning that says why where one helps.
    pub(super) fn refuse_offer(&mut self, now: Instant, dialog: DialogId, status: u16, why: &negotiate::Refusal) {
        let words = why.words();
        let warning = why.warning().filter(|_| status == 488).map(|code| (code, words.as_str()));
        let _already_gone = self.sip.reject_saying(now, dialog, status, None, warning);
    }

    fn dialog_ended(&mut self, now: Instant, id: CallId, why: sip::EndCause) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.dialog = None;
        let cause = match (call.state, call.from, why) {
            (State::Up, End::Peer, sip::EndCause::Bye) => Cause::CallerHungUp,
            (State::Up, End::Port(_), sip::EndCause::Bye) => Cause::CalledHungUp,
            (_, End::Peer, sip::EndCause::Cancelled | sip::EndCause::Bye) => Cause::CallerGaveUp,
            _ => Cause::DialogEnded(why.to_string()),
        };
        match call.state {
            State::Inviting | State::Alerting => self.target_failed(now, id, cause),
            State::Resolving | State::Up | State::Closing => self.close(now, id, cause),
        }
    }
}
