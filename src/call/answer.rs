//! What the peer says: its INVITE for one of our ports, and its answers to ours.

use super::session::{Flow, Want, filled, read_some};
use super::{Cause, Direction, End, Gateway, State, Wait};
use crate::clock::Instant;
use crate::id::{CallId, PortId};
use crate::line::Command as LineCommand;
use crate::negotiate;
use crate::number::Number;
use crate::sdp::offer_answer;
use crate::sip::{self, DialogId};
use crate::tick::Command;

impl Gateway {
    /// Takes everything the SIP endpoint has to tell.
    pub(super) fn drain_sip(&mut self, now: Instant) {
        while let Some(event) = self.sip.poll_event() {
            self.handle_sip(now, event);
        }
        self.drive_accounts(now);
    }

    fn handle_sip(&mut self, now: Instant, event: sip::Event) {
        match event {
            sip::Event::Incoming { dialog, to_user, from_user, offer, source, identity, .. } => {
                self.incoming(now, dialog, &to_user, from_user, offer, source, identity);
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
                    let cause = match (status, q850) {
                        (408, _) => Cause::PeerSilent,
                        // 480 means several things; the Reason header (RFC 3326) says which.
                        (480, Some(19)) => Cause::NoAnswer,
                        _ => Cause::PeerRefused(status, reason),
                    };
                    self.peer_failed(now, id, cause);
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
            sip::Event::OptionsAnswered { options, status, sdp, .. } => self.peer_says(options, status, sdp.as_deref()),
            sip::Event::Response { request, status, response, .. } => self.request_answered(now, request, status, response.as_deref()),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what an INVITE says, taken apart once")]
    fn incoming(
        &mut self,
        now: Instant,
        dialog: DialogId,
        to: &str,
        from: String,
        offer: Option<Vec<u8>>,
        source: sip::Hop,
        identity: sip::Identity,
    ) {
        let account = self.accounts.called(source, to);
        // A caller who does not want to be shown is not: not to the telephone, not in the record, not in the log.
        let private = identity.private || from.eq_ignore_ascii_case("anonymous");
        let (from, asserted) = if private { (String::new(), None) } else { (from, identity.asserted) };
        let who = if private { "somebody who withholds the number".to_owned() } else { from.clone() };
        let number = Number::parse(to);
        let refuse = |this: &mut Gateway, status: u16, why: &str| {
            this.refuse_dialog(now, dialog, status, None);
            if let Some(unsaid) = this.refusals.pass(now, source.addr.ip()) {
                let more = if unsaid > 0 { format!("; {unsaid} more before it") } else { String::new() };
                this.log(None, false, format!("call from {who} at {source} to {to} refused: {status} {why}{more}"));
            }
        };
        if number.is_err() && account.is_none() {
            return refuse(self, 404, "no such number");
        }
        if self.shutting_down || self.table_full() {
            return refuse(self, 503, "the call table is full");
        }
        if account.is_some_and(|account| !self.has_line(account)) {
            return refuse(self, 486, "the account has all the calls that it may have at a time (calls_max)");
        }
        let port = match account {
            Some(account) => self.port_for(account),
            None => number.as_ref().ok().and_then(|n| self.resolver.port_of(n)),
        };
        let echo = account.is_none() && number.is_ok_and(|n| self.resolver.is_echo(&n));
        if port.is_none() && !echo {
            return refuse(self, 404, "no such number");
        }
        // Settled before anybody's bell rings: an offer we cannot answer is refused at once. An INVITE without an offer gets ours in the 200.
        let read = read_some(offer.as_deref());
        let checked = read.and_then(|offer| {
            offer.as_ref().map_or(Ok(()), |offer| negotiate::check_offer(&self.config.media, offer))?;
            Ok(offer)
        });
        let offer = match checked {
            Ok(offer) => offer,
            Err(why) => {
                self.refuse_offer(now, dialog, why.sip_status(), &why);
                return self.log(None, false, format!("call from {who} at {source} to {to} refused: {} {}", why.sip_status(), why.words()));
            }
        };
        let id = self.new_call(now, End::Peer, End::Peer, Direction::Incoming, from, to.to_owned());
        let call_id = self.sip.call_id(dialog).unwrap_or_default();
        let leg = self.free_legs.pop_front();
        let call = self.calls.get_mut(&id).expect("just inserted");
        call.dialog = Some(dialog);
        call.talk.leg = leg;
        // Who asks for a fax machine (RFC 6913) is one.
        call.talk.fax = identity.fax || port.is_some_and(|p| self.ports.get(usize::from(p.0)).is_some_and(|p| p.fax));
        (call.record.private, call.record.asserted) = (private, asserted);
        call.record.diverted_from = identity.diversion.map(|d| (d.user, d.reason));
        call.record.peer = Some(source.addr);
        call.account = account;
        call.record.account = account.and_then(|a| self.accounts.name(a));
        call.record.sip_call_id = call_id;
        if let Some(offer) = offer {
            let _nothing_was_said_before = call.talk.negotiation.receive_offer(offer);
        }
        if leg.is_none() {
            self.close(now, id, Cause::LimitReached("media sockets"));
            return;
        }
        self.log(Some(id), false, format!("call from {who} at {source} to {to}"));
        match port {
            Some(port) => {
                self.call_port(now, id, port, "");
                if self.calls.get(&id).is_some_and(|c| c.state == State::Alerting) {
                    let _already_gone = self.sip.ringing(now, dialog);
                }
            }
            None => self.call_echo(now, id),
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
    fn answered(&mut self, now: Instant, id: CallId, sdp: Option<&[u8]>) {
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
        self.commands.push_back(Command::Line(port, LineCommand::Connect));
        let codec = self.flow_word(id);
        self.log(Some(id), false, format!("answered, {codec}"));
        self.ask_for_fax(now, id);
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
        let body = if asked { self.answer_offer(id) } else { self.make_offer(id, Want::Audio).ok_or(negotiate::Refusal::NoOffer) };
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
