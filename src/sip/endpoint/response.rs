//! Responses to what we asked (RFC 3261 s.8.1.3, 13.2.2, 14.1).

use super::*;
use crate::sip::message::{decimal, readable};
use crate::sip::transaction::Heard;

impl Endpoint {
    pub(super) fn handle_response(&mut self, now: Instant, src: Hop, response: Message) {
        let found = response.top_via().ok().and_then(|v| v.branch().map(<[u8]>::to_vec)).zip(response.cseq().ok());
        let id = found.and_then(|(branch, cseq)| self.client_index.get(&(branch, cseq.method)).copied());
        // s.8.1.3.3: more than one Via is a response that lost its way.
        let (Some(id), 1, Some(status)) = (id, response.headers.values("Via").count(), response.status()) else {
            self.counters.stray_responses += 1;
            return;
        };
        let Some(record) = self.clients.get_mut(&id) else { return };
        let heard = match &mut record.machine {
            ClientMachine::Invite(m) => m.handle_response(now, status),
            ClientMachine::Other(m) => m.handle_response(now, status),
        };
        let purpose = record.purpose;
        self.sync_client(id);
        match heard {
            Heard::Absorbed => {}
            Heard::AckAgain => {
                self.send_known_ack(id, &[]);
            }
            // An ACK belongs to the refusal of an INVITE, whatever follows.
            Heard::PassUp if matches!(status, 401 | 407 | 422) && self.ask_again(now, id, status, &response) => {
                if response.cseq().is_ok_and(|c| c.method == Method::Invite) {
                    self.ack_failure(id, &response);
                }
            }
            Heard::PassUp if status == 503 && !in_dialog(purpose) && self.move_on(now, id) => {
                if matches!(purpose, Purpose::Invite(_)) {
                    self.ack_failure(id, &response);
                }
            }
            Heard::PassUp => match purpose {
                Purpose::Invite(dialog) => self.handle_invite_response(now, src, id, dialog, status, &response),
                Purpose::ReInvite(dialog) => self.handle_reinvite_response(now, src, id, dialog, status, &response),
                Purpose::Update(dialog) => self.handle_update_response(now, src, id, dialog, status, &response),
                Purpose::Farewell | Purpose::Prack(_) => {}
                Purpose::Options(options) if status >= 200 => self.events.push_back(Event::OptionsAnswered {
                    options,
                    status,
                    sdp: response.sdp().map(<[u8]>::to_vec),
                    allow: response.headers.values("Allow").map(readable).collect(),
                    server: response.headers.get("Server").map(readable),
                }),
                Purpose::Options(_) => {}
                Purpose::Outside(request) if status >= 200 => {
                    self.events.push_back(Event::Response { request, status, response: Some(Box::new(response)), from: src });
                }
                Purpose::Outside(_) => {}
            },
        }
    }

    fn handle_invite_response(&mut self, now: Instant, src: Hop, tx: u64, id: DialogId, status: u16, response: &Message) {
        match status {
            0..200 => self.handle_provisional(now, src, tx, id, status, response),
            200..300 => self.handle_answer(now, src, tx, id, response),
            _ => {
                self.ack_failure(tx, response);
                let Some(usage) = self.usages.get(&id) else { return };
                let State::Calling { cancelling, .. } = &usage.state else { return };
                let event = if *cancelling == Cancelling::No {
                    let retry_after = retry_after(response);
                    let reason = response.reason_phrase();
                    Event::Failed { dialog: id, status, reason, q850: q850(response), retry_after }
                } else {
                    Event::Ended { dialog: id, cause: usage.giving_up, q850: q850(response) }
                };
                self.end(id, event);
            }
        }
    }

    fn handle_provisional(&mut self, now: Instant, src: Hop, tx: u64, id: DialogId, status: u16, response: &Message) {
        let Some(record) = self.clients.get(&tx) else { return };
        let Some(usage) = self.usages.get_mut(&id) else { return };
        let State::Calling { cancelling, early, .. } = &mut usage.state else { return };
        if *cancelling == Cancelling::Wanted {
            return self.send_cancel(now, id);
        }
        if status == 100 || *cancelling == Cancelling::Sent {
            return;
        }
        let tag = to_tag(response);
        if early.len() < SIP_FORKS_MAX && !early.iter().any(|e| e.dialog.remote_tag() == tag) {
            let dialog = Dialog::from_response(&record.request, response, record.came_by(src));
            early.push(Early { dialog, rseq: None, sdp: None });
        }
        usage.note_allow(response);
        let rseq = reliable::rseq_of(response).filter(|_| !tag.is_empty());
        if let Some(rseq) = rseq
            && !self.acknowledge_provisional(now, tx, id, &tag, rseq)
        {
            return;
        }
        let sdp = response.sdp().map(<[u8]>::to_vec);
        let Some(usage) = self.usages.get_mut(&id) else { return };
        if let (State::Calling { early, .. }, Some(sdp)) = (&mut usage.state, &sdp) {
            if let Some(fork) = early.iter_mut().find(|e| e.dialog.remote_tag() == tag) {
                fork.sdp = Some(sdp.clone());
            }
            if rseq.is_some() {
                usage.words.answered(Some(sdp));
            }
        }
        self.events.push_back(Event::Provisional { dialog: id, status, sdp, reliable: rseq.is_some() });
    }

    /// A 2xx to an INVITE: the first makes the dialog; its repeats get their ACK again; those of other forks get ACK and BYE (s.13.2.2.4).
    fn handle_answer(&mut self, now: Instant, src: Hop, tx: u64, id: DialogId, response: &Message) {
        let tag = to_tag(response);
        if self.send_known_ack(tx, &tag) {
            return;
        }
        let Some(record) = self.clients.get(&tx) else { return };
        if record.acks.len() >= SIP_FORKS_MAX {
            return;
        }
        let offerless = record.request.body.is_empty();
        let mut dialog = Dialog::from_response(&record.request, response, record.came_by(src));
        let usage = self.usages.get_mut(&id);
        if usage.as_ref().is_some_and(|u| u.ack_due.as_ref().is_some_and(|(_, due)| *due == tag)) {
            // A repeat of the 200 whose offer our side still thinks about.
            return;
        }
        let giving_up = usage.as_ref().map_or(EndCause::HungUp, |u| u.giving_up);
        let (mut early_sdp, mut wanted) = (None, false);
        if let Some(Usage { state: State::Calling { cancelling, early, .. }, .. }) = &usage {
            wanted = *cancelling == Cancelling::No;
            if let Some(fork) = early.iter().find(|e| e.dialog.remote_tag() == tag || e.dialog.remote_tag().is_empty()) {
                dialog.continue_from(&fork.dialog);
                early_sdp.clone_from(&fork.sdp);
            }
        }
        let late = wanted && offerless && response.sdp().is_some();
        match usage {
            Some(usage) if matches!(usage.state, State::Calling { .. }) => {
                if wanted {
                    usage.note_allow(response);
                    if let Some(login) = &mut usage.login {
                        login.accepted(response);
                    }
                    let said = response.sdp().or(early_sdp.as_deref());
                    match late {
                        true => usage.words.asked = said.map_or(0, session::sum),
                        false => usage.words.answered(said.filter(|_| usage.words.offered.is_some())),
                    }
                    // Some peers put the answer only into the 183; s.13.2.1 lets it stand.
                    let sdp = said.map(<[u8]>::to_vec).unwrap_or_default();
                    let ack = dialog.clone();
                    usage.state = State::Confirmed { dialog, ours: None, theirs: None, unacked: None, closing: false };
                    match late {
                        true => usage.ack_due = Some((tx, tag)),
                        false => self.send_ack(tx, &ack, tag, Vec::new()),
                    }
                    self.take_session(now, id, response);
                    return self.events.push_back(Event::Answered { dialog: id, sdp });
                }
                let ack = dialog.clone();
                usage.state = State::Confirmed { dialog, ours: None, theirs: None, unacked: None, closing: true };
                self.send_ack(tx, &ack, tag, Vec::new());
                self.send_bye(now, id);
                self.end(id, Event::Ended { dialog: id, cause: giving_up, q850: None });
            }
            _ => {
                self.send_ack(tx, &dialog, tag, Vec::new());
                let (bye, ways) = dialog.next_request(Method::Bye);
                self.send_request(now, bye, ways, Purpose::Farewell, None);
            }
        }
    }

    fn handle_reinvite_response(&mut self, now: Instant, src: Hop, tx: u64, id: DialogId, status: u16, response: &Message) {
        if status < 200 {
            return;
        }
        if status < 300 {
            let tag = to_tag(response);
            if self.send_known_ack(tx, &tag) {
                return;
            }
            let Some((mut dialog, offerless)) = self.clients.get(&tx).and_then(|r| Some((r.dialog.clone()?, r.request.body.is_empty())))
            else {
                return;
            };
            dialog.refresh_target(response, src);
            let ours = |u: &Usage| matches!(u.state, State::Confirmed { ours: Some(ours), closing: false, .. } if ours == tx);
            if let (true, Some(offer), Some(usage)) = (offerless, response.sdp(), self.usages.get_mut(&id))
                && !usage.refreshing
            {
                if usage.ack_due.as_ref().is_some_and(|(_, due)| *due == tag) {
                    // A repeat of the 200 whose offer our side still thinks about.
                    return;
                }
                if ours(usage) {
                    return self.late_reinvite_answer(now, src, id, (tx, tag), offer.to_vec(), response);
                }
            }
            self.send_ack(tx, &dialog, tag, Vec::new());
            let Some(usage) = self.usages.get_mut(&id) else { return };
            let State::Confirmed { dialog, ours, .. } = &mut usage.state else { return };
            if *ours != Some(tx) {
                return;
            }
            dialog.refresh_target(response, src);
            *ours = None;
            usage.note_allow(response);
            let sdp = response.sdp().map(<[u8]>::to_vec).unwrap_or_default();
            if core::mem::take(&mut usage.refreshing) {
                if !sdp.is_empty() && usage.words.theirs != session::sum(&sdp) {
                    usage.words.theirs = session::sum(&sdp);
                    self.events.push_back(Event::Refreshed { dialog: id, sdp });
                }
            } else {
                usage.words.answered(Some(&sdp).filter(|s| !s.is_empty()).map(Vec::as_slice));
                usage.words.offered = None;
                self.events.push_back(Event::ReInviteAnswered { dialog: id, sdp });
            }
            self.take_session(now, id, response);
            return;
        }
        self.ack_failure(tx, response);
        self.reinvite_failed(now, tx, id, status);
    }

    /// The 200 to a re-INVITE of ours without an offer brings the peer's; its ACK waits for our answer ([`Endpoint::acknowledge`]).
    fn late_reinvite_answer(&mut self, now: Instant, src: Hop, id: DialogId, due: (u64, Vec<u8>), offer: Vec<u8>, response: &Message) {
        let Some(usage) = self.usages.get_mut(&id) else { return };
        if let State::Confirmed { dialog, ours, .. } = &mut usage.state {
            dialog.refresh_target(response, src);
            *ours = None;
        }
        usage.note_allow(response);
        usage.words.asked = session::sum(&offer);
        usage.ack_due = Some(due);
        self.take_session(now, id, response);
        self.events.push_back(Event::ReInviteAnswered { dialog: id, sdp: offer });
    }

    /// A re-INVITE that failed leaves the session as it was, unless the peer does not know us any more (s.12.2.1.2). Silence (408) is the
    /// owner's to judge: some peers never answer an offer that they do not understand, and go on talking.
    pub(super) fn reinvite_failed(&mut self, now: Instant, tx: u64, id: DialogId, status: u16) {
        let Some(usage) = self.usages.get_mut(&id) else { return };
        let State::Confirmed { ours, .. } = &mut usage.state else { return };
        if *ours != Some(tx) {
            return;
        }
        *ours = None;
        if status == 481 {
            self.send_bye(now, id);
            return self.end(id, Event::Ended { dialog: id, cause: EndCause::PeerLost, q850: None });
        }
        if usage.refreshing {
            return self.refresh_failed(now, id, status);
        }
        usage.words.offered = None;
        let retry_in_ms = (status == 491).then(|| self.back_off(id));
        self.events.push_back(Event::ReInviteFailed { dialog: id, status, retry_in_ms });
    }

    /// The ACK of a failure, which belongs to the transaction (s.17.1.1.3): its Request-URI, Via and Route.
    fn ack_failure(&mut self, tx: u64, response: &Message) {
        let Some(record) = self.clients.get_mut(&tx) else { return };
        let super::super::message::StartLine::Request { uri, .. } = &record.request.start else { return };
        let mut ack = Message::request(Method::Ack, uri.clone());
        for name in ["Via", "Max-Forwards", "Route", "From", "Call-ID"] {
            for h in record.request.headers.iter().filter(|h| h.is(name)) {
                ack.headers.push(name, h.value);
            }
        }
        ack.headers.push("To", response.headers.get("To").unwrap_or_default());
        let number = record.request.cseq().map_or(0, |c| c.number);
        let message = ack.with("CSeq", format!("{number} ACK"));
        let ack = Ack { tag: Vec::new(), bytes: message.emit(), message, ways: [record.at.clone()].into() };
        record.acks.clear();
        self.keep_ack(tx, ack);
    }

    pub(super) fn send_ack(&mut self, tx: u64, dialog: &Dialog, tag: Vec<u8>, sdp: Vec<u8>) {
        let Some(number) = self.clients.get(&tx).and_then(|r| r.request.cseq().ok()).map(|c| c.number) else { return };
        let (mut message, ways) = dialog.ack(number);
        // s.22.1: an ACK carries the credentials of its INVITE; but not past the server that they are for.
        let asked = self.clients.get(&tx).map(|r| (r.at.0.addr.ip(), r.purpose));
        let shown = asked.is_some_and(|(own, purpose)| {
            let (mut nobody, mut to) = (None, ways.iter().map(|way| way.0.addr.ip()));
            let login = self.login_for(purpose, &mut nobody);
            to.all(|to| login.as_ref().map_or(to == own, |l| l.may_be_shown_to(to)))
        });
        if let Some(record) = self.clients.get(&tx) {
            for h in record.request.headers.iter().filter(|h| shown && send::CREDENTIALS.iter().any(|name| h.is(name))) {
                message.headers.push(h.name, h.value);
            }
        }
        if !sdp.is_empty() {
            message = message.with_body("application/sdp", sdp);
        }
        let mut ack = Ack { tag, message, bytes: Vec::new(), ways: ways.into() };
        self.address_ack(&mut ack);
        self.keep_ack(tx, ack);
    }

    fn keep_ack(&mut self, tx: u64, ack: Ack) {
        if let Some(way) = ack.ways.front() {
            self.transmit(way, ack.bytes.clone());
            if ack.ways.len() > 1 {
                self.client_waits_at(tx, way.0);
            }
        }
        if let Some(record) = self.clients.get_mut(&tx) {
            record.acks.push(ack);
        }
    }

    fn send_known_ack(&mut self, tx: u64, tag: &[u8]) -> bool {
        let known = self.clients.get(&tx).and_then(|r| r.acks.iter().find(|a| a.tag == tag));
        let Some((way, bytes)) = known.and_then(|a| Some((a.ways.front()?.clone(), a.bytes.clone()))) else { return false };
        self.counters.repeated += 1;
        self.transmit(&way, bytes);
        true
    }
}

/// Inside a dialog its other end, or the route to it, has spoken: there is no other to ask.
pub(super) fn in_dialog(purpose: Purpose) -> bool {
    matches!(purpose, Purpose::ReInvite(_) | Purpose::Update(_) | Purpose::Prack(_) | Purpose::Farewell)
}

impl ClientRecord {
    /// The way a response came, with the domain that was proved there.
    fn came_by(&self, src: Hop) -> Target {
        (src, self.at.1.clone().filter(|_| self.at.0 == src))
    }
}

/// Seconds, of Retry-After.
pub(super) fn retry_after(response: &Message) -> Option<u32> {
    let v = response.headers.get("Retry-After")?;
    let end = v.iter().position(|b| !b.is_ascii_digit()).unwrap_or(v.len());
    decimal(&v[..end]).and_then(|n| u32::try_from(n).ok())
}

fn to_tag(message: &Message) -> Vec<u8> {
    message.to().ok().and_then(|t| t.tag().map(<[u8]>::to_vec)).unwrap_or_default()
}

/// The Q.850 cause of a Reason header (RFC 3326).
pub(super) fn q850(message: &Message) -> Option<u8> {
    message.headers.values("Reason").find_map(|v| {
        let at = v.iter().position(|b| *b == b';')?;
        if !v[..at].trim_ascii().eq_ignore_ascii_case(b"Q.850") {
            return None;
        }
        let params = crate::sip::message::Params::parse(&v[at..]).ok()?;
        decimal(params.get("cause")?).and_then(|n| u8::try_from(n).ok()).filter(|n| *n < 128)
    })
}
