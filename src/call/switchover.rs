//! From audio to T.38 and back: offers in the middle of a call, in both directions.
//!
//! The gateway at the *called* machine switches, when it hears that machine's V.21 preamble: only an answering fax machine sends
//! HDLC flags there. CED is a hint (modems and answering machines send it too), CNG alone never switches (the called person may
//! want to hear it). A peer that refuses T.38 leaves the audio as it was, and the leg stops playing games with time (pass-through).
//!
//! ```text
//!  Idle --V.21--> Offered(T38) --200--------------> Over   (T.38, or audio that carries the fax)
//!                   |  ^   \--488, 415, 606, ...--> Over   (pass-through)
//!                   v  | 491, busy: bounded tries
//!                 Later(T38)
//!  an answer that leaves no medium ----> Offered(Audio) --200--> Over; refused: the call ends, nobody could hear anybody
//! ```
//! T.38 is offered once a call. It is accepted from the peer at any time, whatever was heard before.

use super::record::REFUSED_IN_THE_CLEAR;
use super::session::{Flow, Switch, Want, take_answer};
use super::{Cause, End, Gateway, State, Wait};
use crate::clock::{Instant, ms};
use crate::id::{CallId, PortId};
use crate::negotiate::{self, Refusal};
use crate::sdp::offer_answer;
use crate::sip::DialogId;

/// So long a fax may wait for the peer's word on T.38 before its tones are given the steady path of pass-through; T.30 repeats its first
/// signals every 3 s. The word may still come, and counts.
const PATIENCE_MS: u64 = 3_000;
/// When an offer that found the dialog busy is tried again.
const BUSY_MS: u64 = 500;
/// Tries of one offer (491, busy dialog) before it is given up.
const TRIES_MAX: u8 = 8;

impl Gateway {
    /// The machine at `port` sends V.21 flags.
    pub(super) fn fax_answers(&mut self, now: Instant, port: PortId) {
        let Some(id) = self.call_of(port) else { return };
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.talk.fax = true;
        let called = call.to == End::Port(port) && call.from == End::Peer;
        // What a voice may do, pages may not.
        self.judge(now, id);
        let Some(call) = self.calls.get_mut(&id) else { return };
        let audio = matches!(call.talk.flow, Flow::Audio(_));
        if !(audio && call.state == State::Up) {
            return;
        }
        let no_t38 = call.peer_has_no_t38();
        if !called {
            self.csi_is_not_read(id);
            // The offer is the other side's to make. One that has no T.38 makes none.
            if no_t38 && self.calls.get(&id).is_some_and(|c| c.dialog.is_some()) {
                self.as_audio(id, "the peer says that it has no T.38");
            }
            return;
        }
        match call.talk.switch {
            Switch::Offered(_) | Switch::Later(_) => {}
            Switch::Over => self.pass_through(id),
            Switch::Idle => {
                self.log(Some(id), false, format!("V.21 preamble heard on {}: a fax machine answers", self.port_name(port)));
                if self.config.media.t38.is_none() {
                    return self.as_audio(id, "T.38 is switched off here");
                }
                if no_t38 {
                    if let Some(call) = self.calls.get_mut(&id) {
                        call.talk.switch = Switch::Over;
                    }
                    return self.as_audio(id, "the peer says that it has no T.38");
                }
                self.offer_t38(now, id);
                self.drain_sip(now);
            }
        }
    }

    /// The fax goes as audio from the start, for this reason.
    fn as_audio(&mut self, id: CallId, why: &str) {
        self.log(Some(id), false, format!("the fax goes as audio: {why}"));
        self.fax_goes(id, format!("audio: {why}"));
        self.pass_through(id);
    }

    /// A re-INVITE with our offer.
    fn offer(&mut self, now: Instant, id: CallId, want: Want) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let (Some(dialog), State::Up) = (call.dialog, call.state) else { return };
        if matches!(want, Want::T38(_)) && call.talk.flow == Flow::T38 {
            call.talk.switch = Switch::Over;
            return;
        }
        call.talk.tries += 1;
        if call.talk.tries > TRIES_MAX {
            return self.give_up(now, id, want, "the dialog is never free");
        }
        let sent = self.make_offer(id, want).map(|offer| self.sip.reinvite(now, dialog, offer));
        let Some(call) = self.calls.get_mut(&id) else { return };
        match sent {
            Some(Ok(())) => {
                call.talk.switch = Switch::Offered(want);
                call.timers.set(Wait::Switchover, now + ms(PATIENCE_MS));
                if let Want::T38(way) = want {
                    let why = match call.record.peer_says.as_ref().map(|s| s.can.as_ref().is_some_and(|can| can.t38.is_some())) {
                        Some(true) => "the peer says that it can",
                        Some(false) => "the peer does not say what it can do",
                        None => "before the peer has said what it can do",
                    };
                    self.fax_goes(id, format!("{} offered: {why}", way.words()));
                }
            }
            // The peer's own offer is under way: it decides, or its end brings us back here.
            refused => {
                if refused.is_some() {
                    let _it_never_went_out = call.talk.negotiation.offer_refused();
                }
                call.talk.switch = Switch::Later(want);
                call.timers.set(Wait::Switchover, now + ms(BUSY_MS));
            }
        }
    }

    /// T.38 in the best way that the audio's keys, the peer and the route allow; or none, and the fax goes on as audio under the same keys.
    fn offer_t38(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let said = call.record.peer_says.as_ref().and_then(|s| s.can.as_ref()).is_some_and(|can| can.t38_in_rtp);
        let in_rtp = said || call.talk.negotiation.agreed().is_some_and(|a| negotiate::says_t38_in_rtp(&a.remote));
        call.talk.fax_ways = negotiate::fax_ways(&self.config.media, &call.talk.secrecy.shield, in_rtp).into();
        self.offer_next_way(now, id);
    }

    fn offer_next_way(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        (call.talk.tries, call.talk.switch) = (0, Switch::Over);
        match call.talk.fax_ways.pop_front() {
            Some(way) => self.offer(now, id, Want::T38(way)),
            None => self.as_audio(id, "there is no way to carry T.38 encrypted to this peer"),
        }
    }

    /// The timer of [`Wait::Switchover`].
    pub(super) fn switch_due(&mut self, now: Instant, id: CallId) {
        match self.calls.get(&id).map(|c| c.talk.switch) {
            Some(Switch::Later(want)) => self.offer(now, id, want),
            Some(Switch::Offered(Want::T38(_))) => {
                self.log(Some(id), false, "no word on T.38 yet; the fax goes on as audio meanwhile".into());
                self.pass_through(id);
            }
            Some(Switch::Offered(Want::Audio) | Switch::Idle | Switch::Over) | None => {}
        }
    }

    /// The peer answered our offer in the middle of the call.
    pub(super) fn offer_answered(&mut self, now: Instant, id: CallId, sdp: Option<&[u8]>) {
        if self.move_answered(now, id, sdp) {
            return;
        }
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Switch::Offered(want) = call.talk.switch else { return };
        call.talk.switch = Switch::Over;
        call.timers.stop(Wait::Switchover);
        let taken = take_answer(&mut call.talk.negotiation, sdp);
        let settled = taken.and_then(|()| self.settle(now, id));
        let fax = self.calls.get(&id).is_some_and(|c| c.talk.flow == Flow::T38);
        match (settled, want) {
            // Answered with audio only: the image line was refused, the session goes on.
            (Ok(()), Want::T38(_)) if !fax => {
                self.log(Some(id), false, "the peer takes audio in place of T.38; the fax goes on so".into());
                self.fax_goes(id, "audio: the peer takes it in place of T.38");
                self.pass_through(id);
            }
            (Ok(()), _) => {}
            (Err(why), Want::T38(_)) => {
                // It may believe that there is no audio any more, or something else that we do not know: a new offer says what holds.
                self.log(Some(id), false, format!("the peer's answer to T.38 cannot be used ({}); audio is offered again", why.words()));
                self.fax_goes(id, format!("audio: the peer's answer to T.38 cannot be used ({})", why.words()));
                self.pass_through(id);
                self.bring_audio_back(now, id);
            }
            (Err(why), Want::Audio) => self.give_up(now, id, want, &why.words()),
        }
    }

    /// The peer's view of the session is in doubt, or has no medium in it: audio is offered anew.
    pub(super) fn bring_audio_back(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.talk.tries = 0;
        self.offer(now, id, Want::Audio);
    }

    /// The peer refused our offer, or never answered it: the session is as it was before.
    pub(super) fn offer_failed(&mut self, now: Instant, id: CallId, status: u16, retry_in_ms: Option<u64>) {
        if self.move_failed(now, id, status, retry_in_ms) {
            return;
        }
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Switch::Offered(want) = call.talk.switch else { return };
        let _always_open_here = call.talk.negotiation.offer_refused();
        match retry_in_ms {
            Some(wait) if call.talk.tries < TRIES_MAX => {
                call.talk.switch = Switch::Later(want);
                call.timers.set(Wait::Switchover, now + ms(wait));
            }
            _ => self.give_up(now, id, want, &status.to_string()),
        }
    }

    /// No further try. Without T.38 the fax goes on as audio; without audio there is nothing left.
    fn give_up(&mut self, now: Instant, id: CallId, want: Want, why: &str) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.talk.switch = Switch::Over;
        call.timers.stop(Wait::Switchover);
        match want {
            Want::T38(way) if !call.talk.fax_ways.is_empty() => {
                self.log(Some(id), false, format!("the peer refuses {} ({why})", way.words()));
                self.offer_next_way(now, id);
            }
            Want::T38(_) => {
                self.log(Some(id), false, format!("the peer refuses T.38 ({why}); the fax goes on as audio"));
                self.fax_goes(id, format!("audio: the peer refuses T.38 ({why})"));
                self.pass_through(id);
            }
            Want::Audio => match self.settle(now, id) {
                Ok(()) => self.log(Some(id), false, format!("the peer does not confirm the audio ({why}); it goes on as agreed before")),
                Err(_) => self.close(now, id, Cause::NoCommonMedia),
            },
        }
    }

    /// The peer offers something new in the middle of the call: T.38, hold, another address, or nothing (it wants our offer).
    pub(super) fn re_invited(&mut self, now: Instant, id: CallId, dialog: DialogId, offer: Option<&[u8]>) {
        let before = self.calls.get(&id).map(|c| c.talk.negotiation.clone());
        let settled = match offer {
            Some(offer) => self.take_offer(id, offer).map(|body| (body, true)),
            None => {
                let way = self.calls.get(&id).and_then(|c| c.talk.fax_way());
                let offer = self.make_offer(id, way.map_or(Want::Audio, Want::T38));
                offer.map(|body| (body, false)).ok_or((491, Refusal::NoOffer))
            }
        };
        match settled {
            Ok((body, answered)) => {
                let sent = self.sip.answer(now, dialog, body).is_ok();
                if let (false, Some(call), Some(before)) = (sent, self.calls.get_mut(&id), before) {
                    // Withdrawn in the same moment: nobody saw what we said.
                    call.talk.negotiation = before;
                } else if answered {
                    self.offer_taken(now, id);
                }
            }
            Err((status, why)) => {
                self.refuse_offer(now, dialog, status, &why);
                self.log(Some(id), false, format!("the peer's new offer is refused ({status}): {}", why.words()));
                if why == Refusal::NoT38 {
                    self.pass_through(id);
                }
                // What the peer makes of it, hanging up or going on in encrypted audio, is its own affair; the record tells why.
                if let (Refusal::InTheClear, Some(call)) = (&why, self.calls.get_mut(&id).filter(|c| c.talk.fax)) {
                    call.record.fax_protection = Some(REFUSED_IN_THE_CLEAR);
                }
            }
        }
    }

    /// Our answer to the peer's offer, or the status and reason of the refusal: then all is as it was.
    pub(super) fn take_offer(&mut self, id: CallId, offer: &[u8]) -> Result<Vec<u8>, (u16, Refusal)> {
        let offer = negotiate::read(offer).map_err(|why| (why.sip_status(), why))?;
        let call = self.calls.get_mut(&id).ok_or((481, Refusal::NoOffer))?;
        call.talk.negotiation.receive_offer(offer).map_err(|e| (e.sip_status(), Refusal::NoOffer))?;
        self.answer_offer(id).map_err(|why| {
            if let Some(call) = self.calls.get_mut(&id) {
                let _it_was_open = call.talk.negotiation.refuse_offer();
            }
            (why.sip_status(), why)
        })
    }

    /// An offer of the peer's was answered: what it changed, and what of our own plans it overtook.
    pub(super) fn offer_taken(&mut self, now: Instant, id: CallId) {
        let before = self.calls.get(&id).map(|c| c.talk.flow);
        if let Err(why) = self.settle(now, id) {
            return self.log(Some(id), true, format!("what was agreed cannot be carried out: {}", why.words()));
        }
        self.peer_moved(now, id);
        let Some(call) = self.calls.get_mut(&id) else { return };
        // Our answer said where we are.
        call.talk.moving.overtaken();
        let fax = call.talk.flow == Flow::T38;
        if fax && before != Some(Flow::T38) {
            call.record.fax_choice = Some("T.38: the peer offered it".into());
        }
        let overtaken = matches!(call.talk.switch, Switch::Later(want) if fax || want == Want::Audio);
        if overtaken || fax || before == Some(Flow::T38) {
            // T.38 that the peer switched to, or away from, is not offered again.
            call.talk.switch = Switch::Over;
            call.timers.stop(Wait::Switchover);
        }
    }

    /// The answer to an offer that went out in our 200: it comes in the ACK.
    pub(super) fn late_answer(&mut self, now: Instant, id: CallId, sdp: Option<&[u8]>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let first = call.talk.negotiation.agreed().is_none();
        let taken = take_answer(&mut call.talk.negotiation, sdp);
        if let Err(why) = taken.and_then(|()| self.settle(now, id)) {
            self.log(Some(id), true, format!("the answer in the peer's ACK cannot be used: {}", why.words()));
            if first {
                self.close(now, id, Cause::NoCommonMedia);
            } else {
                self.bring_audio_back(now, id);
            }
        }
    }

    /// The ACK of our 200 came: an offer in it is answered by `sdp`; what an answer in it agreed on begins.
    pub(super) fn acknowledged(&mut self, now: Instant, id: CallId, sdp: Option<&[u8]>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.state != State::Up {
            return;
        }
        let late = call.talk.negotiation.state() == offer_answer::State::Waiting && !matches!(call.talk.switch, Switch::Offered(_));
        let held_back = core::mem::take(&mut call.talk.awaits_ack);
        self.ask_for_fax(now, id);
        if late {
            self.late_answer(now, id, sdp);
        } else if held_back && let Err(why) = self.settle(now, id) {
            self.log(Some(id), true, format!("what was agreed cannot be carried out: {}", why.words()));
        }
    }

    /// The peer took its offer back, or the endpoint gave it up for us: the session is as it was.
    pub(super) fn offer_withdrawn(&mut self, id: CallId) {
        if let Some(call) = self.calls.get_mut(&id) {
            let _it_may_be_answered_already = call.talk.negotiation.refuse_offer();
        }
    }

    /// True when this port's call is a fax on T.38, for `status`.
    pub fn is_t38(&self, port: PortId) -> bool {
        self.call_of(port).and_then(|id| self.calls.get(&id)).is_some_and(|c| c.talk.flow == Flow::T38)
    }
}
