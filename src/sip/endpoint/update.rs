//! UPDATE (RFC 3311), both sides: another session without a new INVITE, before the answer or behind it; and the lightest refresh.

use super::request::Refusal;
use super::*;

/// How long our side may think about an offer in UPDATE or PRACK, in ms: it is settled by machines, and its sender repeats it for 32 s.
pub(super) const UPDATE_WAIT_MS: u64 = 10_000;

impl Endpoint {
    /// Whether the peer said that it takes UPDATE.
    pub fn allows_update(&self, id: DialogId) -> bool {
        self.usages.get(&id).is_some_and(|u| u.allows_update)
    }

    /// Offers the peer another session by UPDATE: in a call that stands, or before its answer once a session was agreed reliably.
    /// `WrongState` also for a peer that takes no UPDATE.
    pub fn update(&mut self, now: Instant, id: DialogId, offer: Vec<u8>) -> Result<(), CommandError> {
        if !self.may_ask() {
            self.counters.full += 1;
            return Err(CommandError::LimitReached);
        }
        let usage = self.usages.get_mut(&id).ok_or(CommandError::UnknownDialog)?;
        if !usage.allows_update || usage.update.is_some() || usage.updated.is_some() || usage.ack_due.is_some() || offer.is_empty() {
            return Err(CommandError::WrongState);
        }
        let dialog = match &mut usage.state {
            State::Confirmed { dialog, ours: None, theirs: None, unacked: None, closing: false } => dialog,
            State::Ringing { dialog, progress, .. } if progress.settled && progress.answer.is_none() && progress.open.is_none() => dialog,
            State::Calling { cancelling: Cancelling::No, early, .. } if usage.words.offered.is_none() => {
                match early.iter_mut().find(|e| e.rseq.is_some() && e.sdp.is_some()) {
                    Some(fork) => &mut fork.dialog,
                    None => return Err(CommandError::WrongState),
                }
            }
            _ => return Err(CommandError::WrongState),
        };
        let (mut request, ways) = dialog.next_request(Method::Update);
        usage.words.offered = Some(offer.as_slice().into());
        if matches!(usage.state, State::Confirmed { .. }) {
            self.ask_session(id, &mut request);
        }
        let request = request.with_body("application/sdp", offer);
        let tx = self.send_request(now, request, ways, Purpose::Update(id), None);
        if let Some(usage) = self.usages.get_mut(&id) {
            usage.update = Some(tx);
        }
        Ok(())
    }

    /// The peer's UPDATE. Without an offer it refreshes the session and its target; an offer that says what stands is answered with what
    /// stands; another one is for our side to decide.
    pub(super) fn handle_update(&mut self, now: Instant, src: Hop, tx: u64, id: DialogId, request: &Message) -> Result<(), Refusal> {
        self.take_number(id, request)?;
        let soon = format!("{}", 1 + self.rng.below(10));
        let offer = request.sdp();
        let usage = self.usages.get_mut(&id).ok_or(Refusal::of(481))?;
        if usage.updated.is_some() {
            return Err(Refusal::with(500, "Retry-After", soon));
        }
        if offer.is_some() {
            // s.5.2: an offer of ours is out: 491; one of theirs is not answered yet: 500.
            let ours = usage.words.offered.is_some() || (usage.update.is_some() && !usage.refreshing);
            let theirs = match &usage.state {
                State::Calling { .. } => false,
                State::Ringing { progress, .. } => !progress.settled,
                State::Confirmed { theirs, .. } => theirs.is_some(),
            };
            if ours || matches!(usage.state, State::Confirmed { closing: true, .. }) {
                return Err(Refusal::of(491));
            }
            if theirs {
                return Err(Refusal::with(500, "Retry-After", soon));
            }
        }
        usage.note_allow(request);
        let from_tag = request.from_tag().unwrap_or_default();
        if let Some(dialog) = usage.dialog_mut(from_tag) {
            dialog.refresh_target(request, src);
        }
        match offer {
            Some(offer) if !usage.words.is_unchanged(offer) => {
                usage.words.asked = session::sum(offer);
                usage.updated = Some(tx);
                usage.timers.set(Timer::UpdateWait, now + ms(UPDATE_WAIT_MS));
                self.sync_dialog(id);
                self.events.push_back(Event::UpdateOffered { dialog: id, offer: offer.to_vec() });
            }
            Some(_) => {
                let same = usage.words.ours.clone().unwrap_or_default().into_vec();
                self.say_yes(now, id, tx, same);
            }
            None => self.say_yes(now, id, tx, Vec::new()),
        }
        Ok(())
    }

    /// 200 to an UPDATE or PRACK.
    pub(super) fn say_yes(&mut self, now: Instant, id: DialogId, tx: u64, sdp: Vec<u8>) {
        let mut response = self.response(tx, 200);
        let update = self.servers.get(&tx).is_some_and(|r| r.request.method() == Some(&Method::Update));
        if update {
            response = response.with("Contact", self.contact_for(tx)).with("Allow", ALLOW).with("Supported", SUPPORTED);
            if matches!(self.usages.get(&id).map(|u| &u.state), Some(State::Confirmed { .. })) {
                self.grant_session(now, id, tx, &mut response);
            }
        }
        if !sdp.is_empty() {
            response = response.with_body("application/sdp", sdp);
        }
        self.respond(now, tx, response);
    }

    /// A response to our UPDATE.
    pub(super) fn handle_update_response(&mut self, now: Instant, src: Hop, tx: u64, id: DialogId, status: u16, response: &Message) {
        if status < 200 {
            return;
        }
        let Some(usage) = self.usages.get_mut(&id) else { return };
        if usage.update != Some(tx) {
            return;
        }
        if status >= 300 {
            let retry_after = response::retry_after(response);
            return self.update_failed(now, tx, id, status, retry_after);
        }
        usage.update = None;
        usage.note_allow(response);
        let to_tag = response.to_tag().unwrap_or_default();
        if let Some(dialog) = usage.dialog_mut(to_tag) {
            dialog.refresh_target(response, src);
        }
        let refreshing = core::mem::take(&mut usage.refreshing);
        let sdp = response.sdp().map(<[u8]>::to_vec);
        let confirmed = matches!(usage.state, State::Confirmed { .. });
        if !refreshing {
            usage.words.answered(sdp.as_deref());
            usage.words.offered = None;
            self.events.push_back(Event::UpdateAnswered { dialog: id, sdp: sdp.unwrap_or_default() });
        }
        if confirmed {
            self.take_session(now, id, response);
        }
    }

    /// Our UPDATE failed: the session is as it was, unless the peer does not know us any more.
    pub(super) fn update_failed(&mut self, now: Instant, tx: u64, id: DialogId, status: u16, retry_after: Option<u32>) {
        let Some(usage) = self.usages.get_mut(&id) else { return };
        if usage.update != Some(tx) {
            return;
        }
        usage.update = None;
        if matches!(status, 408 | 481) && matches!(usage.state, State::Confirmed { .. }) {
            self.send_bye(now, id);
            return self.end(id, Event::Ended { dialog: id, cause: EndCause::PeerLost, q850: None });
        }
        if usage.refreshing {
            return self.refresh_failed(now, id, status);
        }
        usage.words.offered = None;
        if matches!(status, 405 | 501) {
            usage.allows_update = false;
        }
        let retry_in_ms = match (status, retry_after) {
            (491, _) => Some(self.back_off(id)),
            // s.5.3: the peer says when; it has an offer of its own to settle.
            (500, Some(seconds)) => Some(1_000 * u64::from(seconds.min(10))),
            _ => None,
        };
        self.events.push_back(Event::UpdateFailed { dialog: id, status, retry_in_ms });
    }

    /// Takes the number of a request of the peer in its dialog; one that falls back is refused (s.12.2.2).
    pub(super) fn take_number(&mut self, id: DialogId, request: &Message) -> Result<(), Refusal> {
        let from_tag = request.from_tag().unwrap_or_default();
        let number = request.cseq().map_or(0, |c| c.number);
        let dialog = self.usages.get_mut(&id).and_then(|u| u.dialog_mut(from_tag)).ok_or(Refusal::of(481))?;
        if dialog.take_remote_cseq(number) { Ok(()) } else { Err(Refusal::of(500)) }
    }
}

impl Usage {
    /// What the peer says that it takes.
    pub(super) fn note_allow(&mut self, message: &Message) {
        if message.headers.count("Allow") > 0 {
            self.allows_update = message.headers.values("Allow").any(|v| v == b"UPDATE");
            self.allows_options = message.headers.values("Allow").any(|v| v == b"OPTIONS");
        }
    }
}
