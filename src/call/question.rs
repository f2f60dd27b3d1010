//! What can the other end carry? Asked over the session (OPTIONS inside the dialog) when a call with a fax machine at our end has come up,
//! seconds before its V.21 preamble could need the answer: no fax ever waits for it.
//!
//! A machine is known by the configuration of its port, because the caller asked for one (RFC 6913), or because it was heard (CNG, CED).
//! Half a second is left to a peer that switches to T.38 by itself, for it has said all that matters; and one whose Allow does not name
//! OPTIONS is not asked.
//! What comes of an answer:
//!
//! ```text
//!   200 with a description that names an image line or T.38 ---> T.38 is offered when the machine answers; the re-INVITE says so
//!   200 with a capability description of audio alone ------------> T.38 is not offered: the fax goes as audio, without the detour of a refusal
//!   200 with audio on a port: the session that runs, not a set --> the peer has not said: T.38 is offered, and it may refuse
//!   200 without one, 405, 481, 501, silence, not here yet ------> the peer has not said: T.38 is offered, and it may refuse
//! ```
//! In doubt T.38 is offered: a refusal costs a tenth of a second, T.38 that was not offered costs pages.
//!
//! Nothing that OPTIONS is answered with ends a call, 481 included: OPTIONS belongs to no usage of the dialog (RFC 5057), and there
//! are servers that know their dialogs by INVITE alone. Whether the peer is gone is told by media, session timer and BYE.

use super::session::{Flow, Switch};
use super::{Call, Gateway, State, Wait};
use crate::clock::{Instant, ms};
use crate::id::{CallId, PortId};
use crate::negotiate::{self, Abilities};
use crate::sip::OptionsId;

/// How long a call stands before the peer is asked, in milliseconds. An answering machine is silent for 200 ms and then sends CED for 2.6 s
/// at least (T.30 s.4.1): the answer has 2 s to come.
const PAUSE_MS: u64 = 500;

/// What a peer answered when it was asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerSays {
    /// SIP's status; 408: nothing came.
    pub status: u16,
    /// What it can do, if it said so.
    pub can: Option<Abilities>,
}

impl PeerSays {
    /// For logs.
    fn words(&self) -> String {
        match &self.can {
            Some(can) => format!("the peer says that it can do {}", can.words()),
            None => format!("the peer does not say what it can do ({})", self.status),
        }
    }
}

/// How far the question has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Question {
    #[default]
    NotAsked,
    /// The answer is awaited.
    Asked(OptionsId),
    /// It is in the record.
    Answered,
}

impl Call {
    /// The peer said what it can do, and T.38 is not among it.
    pub(super) fn peer_has_no_t38(&self) -> bool {
        self.record.peer_says.as_ref().and_then(|s| s.can.as_ref()).is_some_and(|can| can.t38 == Some(false))
    }
}

impl Gateway {
    /// The call stands: if a fax machine is known at our end, the peer will be asked.
    pub(super) fn ask_for_fax(&mut self, now: Instant, id: CallId) {
        if let Some(call) = self.calls.get_mut(&id).filter(|c| c.talk.fax && c.question == Question::NotAsked) {
            call.timers.set(Wait::Question, now + ms(PAUSE_MS));
        }
    }

    /// A tone of a fax machine was heard at `port`.
    pub(super) fn fax_tone(&mut self, now: Instant, port: PortId, words: &str) {
        self.hint(port, words);
        if let Some(id) = self.call_of(port) {
            self.ask_peer(now, id);
            self.drain_sip(now);
        }
    }

    /// The question, unless it was put before, or how the fax goes is settled.
    pub(super) fn ask_peer(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.timers.stop(Wait::Question);
        let open = call.state == State::Up && matches!((call.talk.flow, call.talk.switch), (Flow::Audio(_), Switch::Idle));
        let (Some(dialog), Question::NotAsked, true, true) = (call.dialog, call.question, open, self.config.media.t38.is_some()) else {
            return;
        };
        // Should the endpoint have no room, T.38 is offered without asking, as to any peer that says nothing.
        if let Ok(options) = self.sip.ask(now, dialog) {
            call.question = Question::Asked(options);
        }
    }

    /// Asks for the identifier that the peer states (A-4): it stands in the same answer.
    pub(super) fn ask_identifier(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.timers.stop(Wait::Question);
        if let (Some(dialog), Question::NotAsked) = (call.dialog, call.question)
            && let Ok(options) = self.sip.ask(now, dialog)
        {
            call.question = Question::Asked(options);
        }
    }

    /// The answer, or that there is none.
    pub(super) fn peer_says(&mut self, now: Instant, options: OptionsId, status: u16, sdp: Option<&[u8]>) {
        let Some((&id, call)) = self.calls.iter_mut().find(|(_, c)| c.question == Question::Asked(options)) else { return };
        let can = sdp.filter(|_| status == 200).and_then(negotiate::abilities);
        let says = PeerSays { status, can };
        let words = says.words();
        let stated = says.can.as_ref().and_then(|can| can.identifier);
        (call.question, call.record.peer_says) = (Question::Answered, Some(says));
        let asked_who = call.talk.secrecy.check.wants_statement();
        call.talk.secrecy.check.stated(stated);
        self.log(Some(id), false, words);
        if asked_who {
            self.judge(now, id);
        }
    }

    /// How this call's fax goes, and why: for the record, where the last word stands.
    pub(super) fn fax_goes(&mut self, id: CallId, way: impl Into<String>) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.record.fax_choice = Some(way.into());
        }
    }
}
