//! The media of one call: what was agreed with the peer ([`Talk`]), and the leg on the board that carries it out.
//!
//! Nothing here remembers descriptions by hand: `sdp::Negotiation` holds them, [`Gateway::settle`] reads off what is in force and makes the
//! board do it. So whatever way an exchange came to its end (answered, refused, withdrawn, timed out), the leg follows what both ends
//! hold to. Memory for legs is taken here, in the event domain.

use super::moving::Moving;
use super::secure::Secrecy;
use super::{Cause, End, Gateway, State, record};
use crate::clock::Instant;
use crate::fax::t38::relay::{T38Config, T38Leg};
use crate::fax::t38::rtp::RtpTerms;
use crate::fax::t38::transport::Transport;
use crate::id::{CallId, LegId, PortId};
use crate::identity::{self, Check, Expected};
use crate::line::Command as LineCommand;
use crate::media::leg::AudioLeg;
use crate::negotiate::{self, AudioChoice, Choice, FaxWay, Protection, Refusal, Shield, Situation, T38Choice, T38Path};
use crate::sdp::{Agreed, Negotiation, Session};
use crate::tick::command::{Redirect, Retune};
use crate::tick::{Command, Leg};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

/// What flows between the ends now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Flow {
    None,
    /// Two places of the board joined.
    Patch,
    /// G.711 in RTP; the codec's name.
    Audio(&'static str),
    /// G.711 that carries fax tones: no games with time (the peer refused T.38).
    PassThrough(&'static str),
    T38,
}

/// What we want of the peer by an offer in the middle of the call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Want {
    /// The fax as T.38, so.
    T38(FaxWay),
    /// Audio again, after an answer that left none.
    Audio,
}

/// How far an offer of ours in the middle of the call has come (switchover.rs).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Switch {
    /// Nothing was offered yet.
    Idle,
    /// Offered; the answer is awaited.
    Offered(Want),
    /// To be offered when the timer comes: the dialog was busy, or both sides asked at once.
    Later(Want),
    /// Answered, refused, or overtaken by the peer. T.38 is never offered a second time.
    Over,
}

/// The media of one call.
pub(super) struct Talk {
    /// Who said what in the dialog.
    pub(super) negotiation: Negotiation,
    pub(super) flow: Flow,
    /// The last audio flow, which the record names.
    pub(super) audio_flow: Flow,
    /// The sockets of this call.
    pub(super) leg: Option<LegId>,
    /// Legs on the board, or on their way there and back.
    pub(super) legs_out: u8,
    /// What the leg on the board was made (or retuned) for.
    choice: Option<Choice>,
    /// What is agreed flows as soon as the peer's ACK has proven that it is where it says.
    pub(super) awaits_ack: bool,
    pub(super) switch: Switch,
    /// How far the peer has been told that we are elsewhere now.
    pub(super) moving: Moving,
    /// Tries of the present offer.
    pub(super) tries: u8,
    /// Ways of T.38 that are left to offer should the present one be refused.
    pub(super) fax_ways: VecDeque<FaxWay>,
    /// Keys, and who is there.
    pub(super) secrecy: Secrecy,
    /// A fax machine sits at our end: by the configuration, or because it was heard.
    pub(super) fax: bool,
    /// Early media came in: it is heard in place of our ringback.
    early_heard: bool,
    /// The leg was silent before the answer, which means nothing.
    early_silent: bool,
}

impl Talk {
    /// Nothing agreed, nothing flowing.
    pub(super) fn new(session_id: u64) -> Talk {
        Talk {
            negotiation: Negotiation::new(session_id),
            flow: Flow::None,
            audio_flow: Flow::None,
            leg: None,
            legs_out: 0,
            choice: None,
            awaits_ack: false,
            switch: Switch::Idle,
            moving: Moving::default(),
            tries: 0,
            fax_ways: VecDeque::new(),
            secrecy: Secrecy::new(Shield::none(), Check::new(identity::Policy::default(), Expected::Caller, &[])),
            fax: false,
            early_heard: false,
            early_silent: false,
        }
    }

    /// Whether a fax goes in RTP.
    pub(super) fn is_rtp_fax(&self) -> bool {
        matches!(&self.choice, Some(Choice::T38(t38)) if matches!(t38.path, T38Path::Rtp { .. }))
    }

    /// Where media go now.
    pub(super) fn remote(&self) -> Option<SocketAddr> {
        self.choice.as_ref().map(Choice::remote)
    }

    /// How a fax under way goes, for an offer that says the same again.
    pub(super) fn fax_way(&self) -> Option<FaxWay> {
        match self.choice.as_ref().filter(|_| self.flow == Flow::T38) {
            Some(Choice::T38(choice)) => Some(negotiate::way_of(choice)),
            Some(Choice::Audio(_)) | None => None,
        }
    }

    /// Somebody else is called: nothing is agreed or flows any more. The sockets stay, and legs on their way back are awaited.
    pub(super) fn begin_anew(&mut self, session_id: u64) {
        let fresh = Talk::new(session_id);
        *self = Talk { audio_flow: self.audio_flow, leg: self.leg, legs_out: self.legs_out, fax: self.fax, ..fresh };
    }
}

impl Gateway {
    /// What we would answer to the peer's open offer.
    pub(super) fn draft_answer(&self, id: CallId) -> Result<Session, Refusal> {
        let sockets = self.sockets_of(id).ok_or(Refusal::NothingInCommon)?;
        let call = self.calls.get(&id).ok_or(Refusal::NoOffer)?;
        let negotiation = &call.talk.negotiation;
        let offer = negotiation.open_offer().ok_or(Refusal::NoOffer)?;
        let situation = Situation { before: negotiation.agreed(), fax: call.talk.fax };
        negotiate::answer(&self.config.media, &call.talk.secrecy.shield, offer, situation, sockets.rtp, sockets.udptl)
    }

    /// Our answer to the peer's open offer, as it goes out; its place is [`Gateway::settle`].
    pub(super) fn answer_offer(&mut self, id: CallId) -> Result<Vec<u8>, Refusal> {
        self.name_association(id);
        let draft = self.draft_answer(id)?;
        let call = self.calls.get_mut(&id).ok_or(Refusal::NoOffer)?;
        let answer = call.talk.negotiation.send_answer(draft).map_err(|_| Refusal::NothingInCommon)?;
        Ok(answer.emit())
    }

    /// Our offer, as it goes out: T.38 or audio. `None` while another exchange is open, or without T.38.
    pub(super) fn make_offer(&mut self, id: CallId, want: Want) -> Option<Vec<u8>> {
        let sockets = self.sockets_of(id)?;
        let call = self.calls.get_mut(&id)?;
        let draft = match want {
            Want::T38(way) => negotiate::t38_offer(&self.config.media, &call.talk.secrecy.shield, way, sockets.rtp, sockets.udptl)?,
            Want::Audio => negotiate::audio_offer(&self.config.media, &call.talk.secrecy.shield, sockets.rtp).ok()?,
        };
        call.talk.negotiation.send_offer(draft).ok().map(|offer| offer.emit())
    }

    /// What both sides agreed on is carried out.
    pub(super) fn settle(&mut self, now: Instant, id: CallId) -> Result<(), Refusal> {
        let call = self.calls.get(&id).ok_or(Refusal::NoOffer)?;
        let agreed = call.talk.negotiation.agreed().ok_or(Refusal::NoOffer)?;
        let choice = negotiate::choice(&self.config.media, &call.talk.secrecy.shield, agreed)?;
        let audio = negotiate::audio_proto(agreed);
        self.secure_session(now, id, &choice, audio);
        self.carry_out(now, id, &choice);
        Ok(())
    }

    fn carry_out(&mut self, now: Instant, id: CallId, choice: &Choice) {
        let Some(port) = self.calls.get(&id).and_then(super::Call::port) else { return };
        match choice {
            Choice::Audio(choice) => self.apply_audio(id, port, choice),
            Choice::T38(choice) => self.apply_t38(now, id, port, choice),
        }
    }

    /// A provisional response with a description: the leg is made, and heard when something comes (RFC 3960 s.3.2).
    /// One that is reliable (RFC 3262) is the answer itself.
    pub(super) fn preview(&mut self, now: Instant, id: CallId, sdp: &[u8], reliable: bool) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let negotiation = &mut call.talk.negotiation;
        let agreed: Option<Agreed> = negotiate::read(sdp).ok().and_then(|answer| match reliable {
            true => negotiation.receive_answer(answer).ok().and_then(|()| negotiation.agreed().cloned()),
            false => negotiation.preview_answer(answer),
        });
        // What cannot be used now is said by the 200 at the latest.
        let shield = &call.talk.secrecy.shield;
        let agreed_proto = agreed.as_ref().and_then(negotiate::audio_proto);
        if let Some(Ok(choice @ Choice::Audio(_))) = agreed.map(|a| negotiate::choice(&self.config.media, shield, &a)) {
            if call.talk.secrecy.check.holds_voice() {
                // Whoever announces something has not said yet who it is.
                return;
            }
            self.secure_session(now, id, &choice, agreed_proto);
            self.carry_out(now, id, &choice);
        }
    }

    /// The first media came. Before the answer that is the peer's own ringback or announcement: it is heard in place of ours.
    pub(super) fn media_arrived(&mut self, port: PortId) {
        let Some(id) = self.call_of(port) else { return };
        let Some(call) = self.calls.get_mut(&id) else { return };
        let early = matches!(call.state, State::Inviting | State::Alerting) && call.from == End::Port(port);
        if early && !call.talk.early_heard {
            call.talk.early_heard = true;
            self.commands.push_back(Command::Line(port, LineCommand::Connect));
            self.log(Some(id), false, "the peer's own tones or announcement are heard before the answer".into());
        }
    }

    /// The peer answered a refresh of the session with another description than before.
    pub(super) fn refreshed(&mut self, now: Instant, id: CallId, sdp: &[u8]) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let taken = negotiate::read(sdp).and_then(|answer| {
            let taken = call.talk.negotiation.receive_refresh(answer);
            taken.map_err(|e| Refusal::Unreadable(e.to_string()))
        });
        if let Err(why) = taken.and_then(|()| self.settle(now, id)) {
            self.log(Some(id), false, format!("the peer's word at a refresh cannot be used: {}", why.words()));
        }
    }

    /// A digit that came by signalling (INFO) is heard on the line like one that came in RTP (RFC 4733).
    pub(super) fn digit_signalled(&mut self, id: CallId, digit: char, duration_ms: u32) {
        let Some(call) = self.calls.get(&id) else { return };
        if let (Some(port), State::Up, Ok(key)) = (call.port(), call.state, u8::try_from(digit)) {
            self.commands.push_back(Command::PlayDigit(port, key, duration_ms.clamp(40, 5_000) as u16));
        }
    }

    /// The called place rings: our ringback, unless the peer's own is heard (RFC 3960 s.3.2).
    pub(super) fn ring_back(&mut self, id: CallId) {
        if let Some(call) = self.calls.get(&id)
            && let (End::Port(port), false) = (call.from, call.talk.early_heard)
        {
            self.commands.push_back(Command::Line(port, LineCommand::Ringback));
        }
    }

    /// Nothing came for so long. A leg may be silent for as long as it rings.
    pub(super) fn leg_silent(&mut self, now: Instant, port: PortId, silent_ms: u64) {
        let Some(id) = self.call_of(port) else { return };
        match self.calls.get_mut(&id) {
            Some(call) if matches!(call.state, State::Inviting | State::Alerting) => call.talk.early_silent = true,
            _ => self.close(now, id, Cause::MediaSilent(silent_ms)),
        }
    }

    /// The answer is here: a leg that was silent while it rang is made anew, so that its watch begins anew.
    pub(super) fn forget_early_silence(&mut self, id: CallId) {
        if let Some(call) = self.calls.get_mut(&id)
            && core::mem::take(&mut call.talk.early_silent)
        {
            (call.talk.flow, call.talk.choice) = (Flow::None, None);
        }
    }

    /// Audio as agreed: an audio leg that is there goes on under the new terms (or untouched, if nothing changed), else one is made.
    fn apply_audio(&mut self, id: CallId, port: PortId, choice: &AudioChoice) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let codec = negotiate::codec_name(choice.law);
        call.talk.flow = match call.talk.flow {
            Flow::Audio(_) => Flow::Audio(codec),
            Flow::PassThrough(_) => Flow::PassThrough(codec),
            Flow::None | Flow::Patch | Flow::T38 => return self.put_audio_leg(id, port, choice),
        };
        let before = match &call.talk.choice {
            Some(Choice::Audio(before)) if before == choice => return,
            Some(Choice::Audio(before)) => Some(before.protection.clone()),
            Some(Choice::T38(_)) | None => None,
        };
        if before.as_ref().is_some_and(|before| core::mem::discriminant(before) != core::mem::discriminant(&choice.protection)) {
            // From the clear to keys, or back: another leg, so that nothing of the one is heard in the other.
            return self.put_audio_leg(id, port, choice);
        }
        call.talk.choice = Some(Choice::Audio(choice.clone()));
        let AudioChoice { law, payload_type, telephone_event_pt, remote_rtp, remote_rtcp, rtcp_mux, direction, .. } = choice.clone();
        let to = Retune { law, payload_type, telephone_event_pt, remote_rtp, remote_rtcp, rtcp_mux, direction };
        self.commands.push_back(Command::Retune(port, to));
        if let (true, Some(keys)) = (before.as_ref() != Some(&choice.protection), sdes_keys(&choice.protection)) {
            // New keys by a re-INVITE (RFC 4568 s.7.1.4); with the same ones the roll-over counters go on, wherever the peer is now.
            self.commands.push_back(Command::Secure(port, Box::new(crate::srtp::Session::new(&keys))));
        }
    }

    fn put_audio_leg(&mut self, id: CallId, port: PortId, choice: &AudioChoice) {
        let (ssrc, sequence, timestamp) = (self.prints.number() as u32, self.prints.number() as u16, self.prints.number() as u32);
        let protection = self.protect(id, &choice.protection);
        let config = negotiate::audio_leg(&self.config.media, choice, protection, ssrc, sequence, timestamp);
        let leg = AudioLeg::new(config, self.prints.number());
        let flow = Flow::Audio(negotiate::codec_name(choice.law));
        self.put_leg(id, port, Leg::Audio(leg), flow, Choice::Audio(choice.clone()));
    }

    /// T.38 as agreed: a fax under way follows its peer to where it moved, else a relay takes over from the audio.
    fn apply_t38(&mut self, now: Instant, id: CallId, port: PortId, choice: &T38Choice) {
        let also_from = self.signalled_from(id);
        let Some(call) = self.calls.get_mut(&id) else { return };
        match &call.talk.choice {
            Some(Choice::T38(before)) if call.talk.flow == Flow::T38 => {
                let moved = before.remote != choice.remote;
                if before != choice {
                    call.talk.choice = Some(Choice::T38(choice.clone()));
                    let T38Choice { remote, max_datagram, error_correction, .. } = *choice;
                    self.commands.push_back(Command::Redirect(port, Redirect { remote, also_from, max_datagram, error_correction }));
                }
                if moved {
                    self.log(Some(id), false, format!("the peer's fax goes on at {}", choice.remote));
                }
            }
            _ => {
                self.put_t38_leg(now, id, port, choice);
                let how = negotiate::way_of(choice).words();
                self.log(Some(id), false, format!("{how} with {}, version {}", choice.remote, choice.version));
            }
        }
    }

    /// The host from which the peer of a call speaks SIP: behind a NAT its media come from there too.
    fn signalled_from(&self, id: CallId) -> Option<IpAddr> {
        self.calls.get(&id)?.dialog.and_then(|dialog| self.sip.seen_at(dialog)).map(|hop| hop.addr.ip())
    }

    fn put_t38_leg(&mut self, now: Instant, id: CallId, port: PortId, choice: &T38Choice) {
        let transport = match (choice.path, &choice.protection) {
            (T38Path::Udptl, Protection::Clear(_)) => Transport::Udptl,
            (T38Path::Udptl, Protection::Sdes(_) | Protection::Dtls(_)) => Transport::dtls(self.take_records(id)),
            (T38Path::Rtp { payload_type, redundancy_pt }, by) => {
                let terms = RtpTerms {
                    payload_type,
                    redundancy_pt,
                    ssrc: self.prints.number() as u32,
                    first_sequence: self.prints.number() as u16,
                    first_timestamp: self.prints.number() as u32,
                };
                Transport::rtp(terms, self.protect(id, by))
            }
        };
        let cleared = self.calls.get(&id).and_then(|c| c.talk.secrecy.clearance);
        let config = T38Config { also_from: self.signalled_from(id), cleared, ..negotiate::t38_leg(&self.config.media, choice) };
        match new_t38_leg(&config, transport) {
            Ok(leg) => self.put_leg(id, port, Leg::T38(leg), Flow::T38, Choice::T38(choice.clone())),
            Err(why) => {
                self.log(Some(id), true, format!("no T.38 relay: {why}"));
                self.close(now, id, Cause::LimitReached("T.38 relay"));
            }
        }
    }

    fn put_leg(&mut self, id: CallId, port: PortId, leg: Leg, flow: Flow, choice: Choice) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(leg_id) = call.talk.leg else { return };
        call.talk.flow = flow;
        call.talk.choice = Some(choice);
        if matches!(flow, Flow::Audio(_)) {
            call.talk.audio_flow = flow;
        }
        call.talk.legs_out += 1;
        self.commands.push_back(Command::Connect { port, leg_id, leg: Box::new(leg) });
    }

    /// The audio leg carries a fax from now on.
    pub(super) fn pass_through(&mut self, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let (Flow::Audio(codec), Some(port)) = (call.talk.flow, call.port()) else { return };
        call.talk.flow = Flow::PassThrough(codec);
        // The record tells that a fax went as audio.
        call.talk.audio_flow = call.talk.flow;
        let vbd = matches!(&call.talk.choice, Some(Choice::Audio(c)) if c.vbd);
        self.commands.push_back(Command::PassThrough(port));
        if vbd {
            self.log(Some(id), false, "the peer carries it as voice-band data too (V.152)".into());
        }
    }

    /// A leg came off the board: its counters go into the record.
    pub(super) fn leg_retired(&mut self, now: Instant, port: PortId, leg_id: LegId, mut leg: Leg) {
        let ours = |c: &super::Call| c.talk.leg == Some(leg_id) && c.talk.legs_out > 0 && c.has(port);
        let Some((&id, call)) = self.calls.iter_mut().find(|(_, c)| ours(c)) else {
            self.log(None, true, format!("{leg_id} of {} came back from no call", self.port_name(port)));
            return;
        };
        let mut records = None;
        match &mut leg {
            Leg::Audio(audio) => {
                if let Flow::Audio(codec) | Flow::PassThrough(codec) = call.talk.audio_flow {
                    let before = call.record.audio.take().map(|(_, stats)| stats);
                    call.record.audio = Some((codec, record::summed(before, audio.stats())));
                    call.record.fax_as_audio |= matches!(call.talk.audio_flow, Flow::PassThrough(_));
                }
            }
            Leg::T38(t38) => {
                call.record.fax = Some(t38.stats());
                records = t38.take_records();
            }
        }
        call.talk.legs_out -= 1;
        let over = call.state == State::Closing && call.talk.legs_out == 0;
        if let Some(records) = records {
            self.records_back(id, records);
        }
        if over {
            self.finish(now, id);
        }
    }

    pub(super) fn flow_word(&self, id: CallId) -> &'static str {
        match self.calls.get(&id).map(|c| c.talk.flow) {
            Some(Flow::Audio(codec) | Flow::PassThrough(codec)) => codec,
            Some(Flow::T38) => "T.38",
            Some(Flow::Patch) => "local",
            Some(Flow::None) | None => "media to follow",
        }
    }

    /// The word for an answer of ours that waits for its ACK.
    pub(super) fn agreed_word(&self, id: CallId) -> &'static str {
        let agreed = self.calls.get(&id).and_then(|c| c.talk.negotiation.agreed());
        let shield = self.calls.get(&id).map(|c| &c.talk.secrecy.shield);
        match agreed.zip(shield).map(|(a, shield)| negotiate::choice(&self.config.media, shield, a)) {
            Some(Ok(Choice::Audio(choice))) => negotiate::codec_name(choice.law),
            Some(Ok(Choice::T38(_))) => "T.38",
            Some(Err(_)) | None => "media to follow",
        }
    }
}

fn sdes_keys(protection: &Protection) -> Option<crate::srtp::Keys> {
    match protection {
        Protection::Sdes(sdes) => sdes.keys(),
        Protection::Clear(_) | Protection::Dtls(_) => None,
    }
}

/// An empty body is no session description.
pub(super) fn filled(sdp: &[u8]) -> Option<&[u8]> {
    if sdp.is_empty() { None } else { Some(sdp) }
}

/// Reads a description that may be missing.
pub(super) fn read_some(sdp: Option<&[u8]>) -> Result<Option<Session>, Refusal> {
    sdp.map(negotiate::read).transpose()
}

/// Takes the answer to an offer of ours; an offer without one that can be used is over.
pub(super) fn take_answer(negotiation: &mut Negotiation, sdp: Option<&[u8]>) -> Result<(), Refusal> {
    let taken = match read_some(sdp) {
        Ok(Some(answer)) => negotiation.receive_answer(answer).map_err(|e| Refusal::Unreadable(e.to_string())),
        Ok(None) => Err(Refusal::NoOffer),
        Err(why) => Err(why),
    };
    if taken.is_err() {
        let _it_is_over_without_an_answer = negotiation.offer_refused();
    }
    taken
}

#[cfg(feature = "spandsp")]
fn new_t38_leg(config: &T38Config, transport: Transport) -> Result<T38Leg, String> {
    T38Leg::new(config).map(|leg| leg.over(transport)).map_err(|e| e.to_string())
}

/// Without an engine nothing of T.38 is offered or accepted ([`Gateway::new`] sees to that), so nobody comes here with a choice of it.
#[cfg(not(feature = "spandsp"))]
fn new_t38_leg(_config: &T38Config, _transport: Transport) -> Result<T38Leg, String> {
    Err("this build has no T.38 engine".into())
}
