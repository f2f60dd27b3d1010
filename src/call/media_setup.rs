//! From what was negotiated to a leg on the board. Memory for legs is taken here, in the event domain.

use super::{Flow, Gateway};
use crate::clock::Instant;
use crate::fax::t38::relay::{T38Config, T38Leg};
use crate::id::{CallId, PortId};
use crate::media::leg::AudioLeg;
use crate::negotiate::{self, AudioChoice, Choice, Refusal, T38Choice};
use crate::tick::command::Retune;
use crate::tick::{Command, Leg};

impl Gateway {
    /// Reads an answer to our audio offer and joins the leg to the port.
    pub(super) fn connect_audio(&mut self, now: Instant, id: CallId, port: PortId, sdp: &[u8]) -> Result<(), Refusal> {
        match negotiate::read_answer(&self.config.media, sdp)? {
            Choice::Audio(choice) => {
                self.apply_audio(now, id, port, &choice);
                Ok(())
            }
            Choice::T38(choice) => {
                self.put_t38_leg(now, id, port, &choice);
                Ok(())
            }
        }
    }

    /// Audio as agreed: an audio leg that is there goes on under the new terms (or untouched, if nothing changed), else one is made.
    pub(super) fn apply_audio(&mut self, now: Instant, id: CallId, port: PortId, choice: &AudioChoice) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let codec = negotiate::codec_name(choice.law);
        call.flow = match call.flow {
            Flow::Audio(_) => Flow::Audio(codec),
            Flow::PassThrough(_) => Flow::PassThrough(codec),
            Flow::None | Flow::Patch | Flow::T38 => return self.put_audio_leg(now, id, port, choice),
        };
        if call.audio_choice.as_ref() == Some(choice) {
            return;
        }
        call.audio_choice = Some(choice.clone());
        let AudioChoice { law, payload_type, telephone_event_pt, remote_rtp, remote_rtcp, direction } = choice.clone();
        let to = Retune { law, payload_type, telephone_event_pt, remote_rtp, remote_rtcp, direction };
        self.commands.push_back(Command::Retune(port, to));
    }

    fn put_audio_leg(&mut self, _now: Instant, id: CallId, port: PortId, choice: &AudioChoice) {
        let (ssrc, sequence, timestamp) = (self.rng.next_u64() as u32, self.rng.next_u64() as u16, self.rng.next_u64() as u32);
        let config = negotiate::audio_leg(&self.config.media, choice, ssrc, sequence, timestamp);
        let leg = AudioLeg::new(config, self.rng.next_u64());
        if let Some(call) = self.calls.get_mut(&id) {
            call.audio_choice = Some(choice.clone());
        }
        self.put_leg(id, port, Leg::Audio(leg), Flow::Audio(negotiate::codec_name(choice.law)));
    }

    pub(super) fn put_t38_leg(&mut self, now: Instant, id: CallId, port: PortId, choice: &T38Choice) {
        match new_t38_leg(&negotiate::t38_leg(&self.config.media, choice)) {
            Ok(leg) => self.put_leg(id, port, Leg::T38(leg), Flow::T38),
            Err(why) => {
                self.log(Some(id), true, format!("no T.38 relay: {why}"));
                self.close(now, id, super::Cause::LimitReached("T.38 relay"));
            }
        }
    }

    fn put_leg(&mut self, id: CallId, port: PortId, leg: Leg, flow: Flow) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(leg_id) = call.leg else { return };
        call.flow = flow;
        if matches!(flow, Flow::Audio(_)) {
            call.audio_flow = flow;
        }
        call.legs_out += 1;
        self.commands.push_back(Command::Connect { port, leg_id, leg: Box::new(leg) });
    }

    pub(super) fn flow_word(&self, id: CallId) -> &'static str {
        match self.calls.get(&id).map(|c| c.flow) {
            Some(Flow::Audio(codec) | Flow::PassThrough(codec)) => codec,
            Some(Flow::T38) => "T.38",
            Some(Flow::Patch) => "local",
            Some(Flow::None) | None => "media to follow",
        }
    }
}

#[cfg(feature = "spandsp")]
fn new_t38_leg(config: &T38Config) -> Result<T38Leg, String> {
    T38Leg::new(config).map_err(|e| e.to_string())
}

/// Without an engine nothing of T.38 is offered or accepted ([`Gateway::new`] sees to that), so nobody comes here with a choice of it.
#[cfg(not(feature = "spandsp"))]
fn new_t38_leg(_config: &T38Config) -> Result<T38Leg, String> {
    Err("this build has no T.38 engine".into())
}
