//! From audio to T.38 and back: re-INVITEs in both directions.
//!
//! The gateway at the *called* machine switches, when it hears that machine's V.21 preamble: only an answering fax machine sends
//! HDLC flags there. CED is a hint (modems and answering machines send it too), CNG alone never switches (the called person may
//! want to hear it). A peer that refuses T.38 leaves the audio as it was, and the leg stops playing games with time (pass-through).

use super::{Cause, End, Flow, Gateway, State, Wait};
use crate::clock::{Instant, ms};
use crate::id::{CallId, PortId};
use crate::negotiate::{self, Choice};
use crate::sip::DialogId;
use crate::tick::Command;

impl Gateway {
    /// The machine at `port` sends V.21 flags.
    pub(super) fn fax_answers(&mut self, now: Instant, port: PortId) {
        let Some(id) = self.call_of(port) else { return };
        let Some(call) = self.calls.get(&id) else { return };
        let called = call.to == End::Port(port) && call.from == End::Peer;
        let audio = matches!(call.flow, Flow::Audio(_));
        if !(called && audio && call.state == State::Up && !call.switching) {
            return;
        }
        self.log(Some(id), false, format!("V.21 preamble heard on {}: a fax machine answers", self.port_name(port)));
        if self.config.media.t38.is_none() {
            self.pass_through(id, port);
            return;
        }
        self.switch_to_t38(now, id);
        self.drain_sip(now);
    }

    /// Offers T.38 in a re-INVITE.
    pub(super) fn switch_to_t38(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let (Some(dialog), Some(leg), State::Up) = (call.dialog, call.leg, call.state) else { return };
        if call.flow == Flow::T38 {
            return;
        }
        call.sdp_version += 1;
        let sockets = self.config.legs[usize::from(leg.0)];
        let Some(offer) = negotiate::t38_offer(&self.config.media, sockets.udptl, call.sdp_session, call.sdp_version) else { return };
        let offer = call.reoffered(offer);
        call.switching = true;
        let sent = self.sip.reinvite(now, dialog, offer.emit());
        if sent.is_ok() {
            call.pending_sdp = Some(offer);
        } else {
            // The peer's own offer is under way: it decides, or its end brings us back here.
            call.timers.set(Wait::Switchover, now + ms(500));
        }
    }

    /// The peer answered our T.38 offer.
    pub(super) fn switch_answered(&mut self, now: Instant, id: CallId, sdp: Option<&[u8]>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.switching = false;
        call.last_sdp = call.pending_sdp.take().or(call.last_sdp.take());
        let Some(port) = call.port() else { return };
        let answer = sdp.ok_or(negotiate::Refusal::NoOffer).and_then(|sdp| negotiate::read_answer(&self.config.media, sdp));
        match answer {
            Ok(Choice::T38(choice)) => {
                self.put_t38_leg(now, id, port, &choice);
                self.log(Some(id), false, format!("T.38 with {}, version {}", choice.remote, choice.version));
            }
            // Answered with audio only: the image line was refused, the session goes on.
            Ok(Choice::Audio(choice)) => {
                self.apply_audio(now, id, port, &choice);
                self.pass_through(id, port);
            }
            Err(why) => {
                self.log(Some(id), false, format!("the peer's answer to T.38 cannot be used ({})", why.words()));
                self.pass_through(id, port);
            }
        }
    }

    /// The peer refused our T.38 offer: the session is as it was before.
    pub(super) fn switch_refused(&mut self, now: Instant, id: CallId, status: u16, retry_in_ms: Option<u64>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.switching = false;
        call.pending_sdp = None;
        let Some(port) = call.port() else { return };
        match retry_in_ms {
            Some(wait) => call.timers.set(Wait::Switchover, now + ms(wait)),
            None if status == 481 || status == 408 => self.close(now, id, Cause::DialogEnded(format!("re-INVITE answered {status}"))),
            None => {
                self.log(Some(id), false, format!("the peer refuses T.38 ({status}); the fax goes on as audio"));
                self.pass_through(id, port);
            }
        }
    }

    fn pass_through(&mut self, id: CallId, port: PortId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if let Flow::Audio(codec) = call.flow {
            call.flow = Flow::PassThrough(codec);
            self.commands.push_back(Command::PassThrough(port));
        }
    }

    /// The peer offers something new in the middle of the call: T.38, hold, another address, or nothing (it wants our offer).
    pub(super) fn re_invited(&mut self, now: Instant, id: CallId, dialog: DialogId, offer: Option<&[u8]>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let (Some(leg), Some(port)) = (call.leg, call.port()) else {
            self.refuse_dialog(now, dialog, 488, None);
            return;
        };
        call.sdp_version += 1;
        let sockets = self.config.legs[usize::from(leg.0)];
        let (session, version, flow) = (call.sdp_session, call.sdp_version, call.flow);
        let settled = match offer {
            Some(offer) => negotiate::answer(&self.config.media, offer, sockets.rtp, sockets.udptl, session, version)
                .map(|(answer, choice)| (call.answer_bytes(answer), Some(choice))),
            None => {
                let t38 = if flow == Flow::T38 { negotiate::t38_offer(&self.config.media, sockets.udptl, session, version) } else { None };
                let offer = t38.unwrap_or_else(|| negotiate::audio_offer(&self.config.media, sockets.rtp, session, version));
                Ok((call.offer_bytes(offer), None))
            }
        };
        match settled {
            Ok((body, choice)) => {
                if self.sip.answer(now, dialog, body).is_err() {
                    return;
                }
                match choice {
                    Some(Choice::T38(choice)) if flow != Flow::T38 => {
                        self.put_t38_leg(now, id, port, &choice);
                        self.log(Some(id), false, format!("the peer switches to T.38 at {}, version {}", choice.remote, choice.version));
                    }
                    Some(Choice::Audio(choice)) => self.apply_audio(now, id, port, &choice),
                    // The same T.38 session refreshed, or our own offer under way.
                    Some(Choice::T38(_)) | None => {}
                }
            }
            Err(why) => {
                self.refuse_dialog(now, dialog, why.sip_status(), None);
                self.log(Some(id), false, format!("the peer's new offer is refused: {}", why.words()));
                if why == negotiate::Refusal::NoT38 {
                    self.pass_through(id, port);
                }
            }
        }
    }

    /// True when this port's call is a fax on T.38, for `status`.
    pub fn is_t38(&self, port: PortId) -> bool {
        self.call_of(port).and_then(|id| self.calls.get(&id)).is_some_and(|c| c.flow == Flow::T38)
    }
}
