//! Provisional responses that arrive (RFC 3262), both sides.
//!
//! Ours: a session in a 183 goes out reliably to a caller that supports it, and everything above 100 to one that requires it. One at a
//! time: repeated by `Timer::Reliable` until its PRACK comes; none in 64*T1: the call is refused with 504. An answer that overtakes an
//! open session waits for the PRACK (s.5). The peer's: PRACK for each in its order, repeats and what is out of order are passed over.

use super::request::Refusal;
use super::*;
use crate::limits::SIP_PROVISIONALS_MAX;
use crate::sip::message::decimal;
use crate::sip::transaction::REMIND_MS;

impl Endpoint {
    /// Says 180 Ringing to a caller.
    pub fn ringing(&mut self, now: Instant, id: DialogId) -> Result<(), CommandError> {
        self.provisional(now, id, 180, Vec::new())
    }

    /// Says 183 Session Progress to a caller, with a session for announcements before the answer. Where it arrives reliably it is the
    /// answer to the caller's offer; then what `answer` gives is not said again.
    pub fn progress(&mut self, now: Instant, id: DialogId, sdp: Vec<u8>) -> Result<(), CommandError> {
        self.provisional(now, id, 183, sdp)
    }

    fn provisional(&mut self, now: Instant, id: DialogId, status: u16, sdp: Vec<u8>) -> Result<(), CommandError> {
        let usage = self.usages.get_mut(&id).ok_or(CommandError::UnknownDialog)?;
        let State::Ringing { tx, progress, .. } = &mut usage.state else { return Err(CommandError::WrongState) };
        let tx = *tx;
        if progress.answer.is_some() {
            return Err(CommandError::WrongState);
        }
        if progress.required || (progress.supported && !sdp.is_empty()) {
            if progress.open.is_some() {
                if progress.later.len() >= SIP_PROVISIONALS_MAX {
                    return Err(CommandError::LimitReached);
                }
                progress.later.push_back((status, sdp));
                return Ok(());
            }
            self.send_reliably(now, id, tx, status, sdp);
            return Ok(());
        }
        let mut response = self.response(tx, status).with("Contact", self.contact_for(tx)).with("Allow", ALLOW);
        if !sdp.is_empty() {
            response = response.with_body("application/sdp", sdp);
        }
        self.respond(now, tx, response);
        self.note_said(now, id, status);
        Ok(())
    }

    /// The caller heard something: no 100 is due any more, and a minute begins.
    fn note_said(&mut self, now: Instant, id: DialogId, status: u16) {
        let Some(usage) = self.usages.get_mut(&id) else { return };
        if let State::Ringing { progress, .. } = &mut usage.state {
            progress.said = status;
            usage.timers.stop(Timer::Trying);
            usage.timers.set(Timer::Remind, now + ms(REMIND_MS));
        }
        self.sync_dialog(id);
    }

    /// `Timer::Remind`: what was said last is said again, by a way that the caller takes; a session that is agreed is not.
    pub(super) fn remind(&mut self, now: Instant, id: DialogId) {
        let Some(usage) = self.usages.get_mut(&id) else { return };
        usage.timers.set(Timer::Remind, now + ms(REMIND_MS));
        let State::Ringing { tx, progress, .. } = &usage.state else { return };
        let (tx, said, required) = (*tx, progress.said, progress.required);
        if progress.open.is_some() || progress.answer.is_some() {
            // It is repeated already.
            return;
        }
        if required {
            return self.send_reliably(now, id, tx, said, Vec::new());
        }
        let plain = usage.rseq.0 == 0;
        let last = self.servers.get(&tx).filter(|_| plain).and_then(|r| Some((r.back.to, r.last.clone()?)));
        if let Some((to, bytes)) = last {
            self.counters.repeated += 1;
            return self.transmit(&(to, None), bytes);
        }
        let response = self.response(tx, said).with("Contact", self.contact_for(tx)).with("Allow", ALLOW);
        self.respond(now, tx, response);
    }

    fn send_reliably(&mut self, now: Instant, id: DialogId, tx: u64, status: u16, sdp: Vec<u8>) {
        let first = 1 + self.rng.below(10_000) as u32;
        let offerless = self.servers.get(&tx).is_some_and(|r| r.offerless);
        let mut response = self.response(tx, status).with("Contact", self.contact_for(tx)).with("Allow", ALLOW);
        let Some(usage) = self.usages.get_mut(&id) else { return };
        usage.rseq = if usage.rseq.0 == 0 { (first, first) } else { (usage.rseq.0, usage.rseq.1 + 1) };
        response = response.with("Require", "100rel").with("RSeq", usage.rseq.1.to_string());
        let settled = matches!(&usage.state, State::Ringing { progress, .. } if progress.settled);
        // A session that is agreed is changed by UPDATE, not by saying another one.
        let has_sdp = !sdp.is_empty() && !settled;
        if has_sdp {
            if offerless {
                usage.words.offered = Some(sdp.as_slice().into());
            } else {
                usage.words.answer(&sdp);
            }
            response = response.with_body("application/sdp", sdp);
        }
        let bytes = response.emit();
        usage.timers.set(Timer::Reliable, now + ms(T1_MS));
        usage.timers.set(Timer::PrackWait, now + ms(T1_64_MS));
        if let State::Ringing { progress, .. } = &mut usage.state {
            progress.open = Some(Open { bytes, repeat_ms: T1_MS, sdp: has_sdp });
        }
        self.respond(now, tx, response);
        self.note_said(now, id, status);
    }

    /// `Timer::Reliable`.
    pub(super) fn repeat_provisional(&mut self, now: Instant, id: DialogId) {
        let Some(usage) = self.usages.get_mut(&id) else { return };
        let State::Ringing { tx, progress, .. } = &mut usage.state else { return };
        let Some(open) = &mut progress.open else { return };
        open.repeat_ms *= 2;
        usage.timers.set(Timer::Reliable, now + ms(open.repeat_ms));
        let bytes = open.bytes.clone();
        if let Some(to) = self.servers.get(tx).map(|r| r.back.to) {
            self.counters.repeated += 1;
            self.transmit(&(to, None), bytes);
        }
    }

    /// PRACK came.
    pub(super) fn handle_prack(&mut self, now: Instant, tx: u64, id: DialogId, request: &Message) -> Result<(), Refusal> {
        let (rseq, cseq) = read_rack(request).ok_or(Refusal::of(400))?;
        self.take_number(id, request)?;
        let invite_cseq = |this: &Endpoint, tx: u64| this.servers.get(&tx).and_then(|r| r.request.cseq().ok()).map(|c| c.number);
        let usage = self.usages.get(&id).ok_or(Refusal::of(481))?;
        let known = usage.rseq;
        let open = match &usage.state {
            State::Ringing { tx, progress, .. } if progress.open.is_some() && rseq == known.1 && invite_cseq(self, *tx) == Some(cseq) => {
                *tx
            }
            // Of a response that the answer has overtaken.
            _ if (known.0..=known.1).contains(&rseq) && rseq != 0 => {
                let response = self.response(tx, 200);
                self.respond(now, tx, response);
                return Ok(());
            }
            _ => return Err(Refusal::of(481)),
        };
        let offerless = self.servers.get(&open).is_some_and(|r| r.offerless);
        let usage = self.usages.get_mut(&id).ok_or(Refusal::of(481))?;
        let State::Ringing { progress, .. } = &mut usage.state else { return Err(Refusal::of(481)) };
        let had_sdp = progress.open.take().is_some_and(|o| o.sdp);
        progress.settled |= had_sdp;
        usage.timers.stop(Timer::Reliable);
        usage.timers.stop(Timer::PrackWait);
        let sdp = request.sdp().map(<[u8]>::to_vec);
        let answers = had_sdp && offerless;
        match sdp {
            Some(offer) if !answers && usage.updated.is_none() => {
                usage.words.asked = session::sum(&offer);
                usage.updated = Some(tx);
                usage.timers.set(Timer::UpdateWait, now + ms(update::UPDATE_WAIT_MS));
                self.events.push_back(Event::ProgressAcked { dialog: id, sdp: None });
                self.events.push_back(Event::UpdateOffered { dialog: id, offer });
            }
            sdp => {
                let sdp = sdp.filter(|_| answers);
                usage.words.answered(sdp.as_deref());
                let response = self.response(tx, 200);
                self.respond(now, tx, response);
                self.events.push_back(Event::ProgressAcked { dialog: id, sdp });
            }
        }
        self.go_on_ringing(now, id);
        Ok(())
    }

    /// What waited for a PRACK, or for the answer to the offer in it, goes out now.
    pub(super) fn go_on_ringing(&mut self, now: Instant, id: DialogId) {
        self.sync_dialog(id);
        let Some(usage) = self.usages.get_mut(&id) else { return };
        if usage.updated.is_some() {
            return;
        }
        let State::Ringing { tx, progress, .. } = &mut usage.state else { return };
        let tx = *tx;
        if progress.open.is_some() {
            return;
        }
        if let Some(sdp) = progress.answer.take() {
            self.accept(now, id, tx, sdp, true);
        } else if let Some((status, sdp)) = progress.later.pop_front() {
            self.send_reliably(now, id, tx, status, sdp);
        }
    }

    /// A reliable provisional response to our INVITE: true if it is the next one, and its PRACK is out.
    pub(super) fn acknowledge_provisional(&mut self, now: Instant, tx: u64, id: DialogId, tag: &[u8], rseq: u32) -> bool {
        let cseq = self.clients.get(&tx).and_then(|r| r.request.cseq().ok()).map_or(0, |c| c.number);
        let room = self.clients.len() < self.half();
        let Some(Usage { state: State::Calling { early, .. }, .. }) = self.usages.get_mut(&id) else { return false };
        let Some(fork) = early.iter_mut().find(|e| e.dialog.remote_tag() == tag) else { return false };
        if !room || fork.rseq.is_some_and(|last| rseq != last.wrapping_add(1)) {
            return false;
        }
        fork.rseq = Some(rseq);
        let (prack, ways) = fork.dialog.next_request(Method::Prack);
        let prack = prack.with("RAck", format!("{rseq} {cseq} INVITE"));
        self.send_request(now, prack, ways, Purpose::Prack(id), None);
        true
    }
}

/// RAck: the numbers of the response and of its INVITE.
fn read_rack(request: &Message) -> Option<(u32, u32)> {
    let value = request.headers.get("RAck")?;
    let mut words = value.split(|b| b.is_ascii_whitespace()).filter(|w| !w.is_empty());
    let mut number = || words.next().and_then(decimal).and_then(|n| u32::try_from(n).ok());
    let numbers = (number()?, number()?);
    (words.next() == Some(b"INVITE") && words.next().is_none()).then_some(numbers)
}

/// The number of a response that asks for PRACK.
pub(super) fn rseq_of(response: &Message) -> Option<u32> {
    if !session::lists(response, "Require", "100rel") {
        return None;
    }
    decimal(response.headers.get("RSeq")?).and_then(|n| u32::try_from(n).ok())
}
