//! What comes in by datagram, and requests among it (RFC 3261 s.8.2, 9.2, 12.2.2, 13.3, 14.2, 15.1.2).

use super::stranger::Arrived;
use super::*;
use crate::sip::message::{Fault, ParseError, Scheme};
use crate::sip::transaction::{Repeated, TRYING_MS, server_invite};

/// Seconds until a refused caller may try again.
const RETRY_AFTER_S: &str = "5";

impl Endpoint {
    /// A datagram came by UDP.
    pub fn handle_datagram(&mut self, now: Instant, src: SocketAddr, bytes: &[u8]) {
        self.handle_message(now, Hop::udp(src), bytes);
    }

    /// A message came: a datagram, or one message of a stream.
    pub fn handle_message(&mut self, now: Instant, src: Hop, bytes: &[u8]) {
        if bytes.iter().all(|b| matches!(b, b'\r' | b'\n' | 0)) || is_stun(bytes) {
            self.counters.keep_alives += 1;
            return;
        }
        match Message::parse(bytes) {
            Ok(message) if message.status().is_some() => self.handle_response(now, src, message),
            Ok(message) => self.handle_request(now, src, message, bytes.len()),
            Err(ParseError::Garbage(_)) => self.counters.garbage += 1,
            Err(ParseError::Refused { fault, message }) => {
                self.counters.malformed += 1;
                self.refuse_malformed(src, fault, *message);
            }
        }
    }

    /// Answers what could not be read, without a transaction: each repeat gets the same words.
    fn refuse_malformed(&mut self, src: Hop, fault: Fault, mut request: Message) {
        if request.method() == Some(&Method::Ack) {
            return;
        }
        let back = stamp_via(&mut request, src);
        let mut response = Message::response_to(&request, fault.status, fault.words);
        tag_response(&mut response, b"malformed");
        let bytes = response.with("Server", &self.config.user_agent).emit();
        self.transmit(&(back.to, None), bytes);
    }

    fn handle_request(&mut self, now: Instant, src: Hop, mut request: Message, bytes: usize) {
        let back = stamp_via(&mut request, src);
        let Some(key) = ServerKey::of(&request) else { return };
        // These stand in several tables for as long as the transaction lives: without a bound of their own a count bounds no memory.
        let names = [Some(&key.branch[..]), request.call_id().ok(), request.from_tag(), request.to_tag()];
        if names.iter().flatten().any(|name| name.len() > SIP_NAME_BYTES_MAX) {
            self.counters.malformed += 1;
            return self.refuse_malformed(src, Fault::bad("Branch, Tag Or Call-ID Too Long"), request);
        }
        let method = key.method.clone();
        if request.method() == Some(&Method::Ack) {
            return self.handle_ack(now, &key, &request);
        }
        if let Some(id) = self.server_index.get(&key).copied() {
            return self.repeat_answer(id, back);
        }
        // The tag of its refusal, or of a call that it begins; in a dialog it names one already.
        let tag = if request.to_tag().is_some() { Vec::new() } else { self.tag_for(&key, &request) };
        if method == Method::Invite && self.refuse_again(now, &request, &tag, back.to) {
            return;
        }
        let dialog = request.to_tag().and_then(|tag| self.find_dialog(&request, tag));
        // A call or question from outside any dialog: a re-INVITE of a call that stands is none.
        let new = matches!(method, Method::Invite | Method::Options) && dialog.is_none();
        let full = self.servers.len() >= self.half() || (new && !self.may_be_asked());
        if full || !self.may_hold(new) {
            let counter = if full { &mut self.counters.full } else { &mut self.counters.heavy };
            *counter += 1;
            let mut response = Message::response_to(&request, 503, "Too Many Calls").with("Retry-After", RETRY_AFTER_S);
            tag_response(&mut response, &tag);
            if method == Method::Invite {
                self.turned_away.add(now, &tag, 503);
            }
            self.transmit(&(back.to, None), response.emit());
            return;
        }
        let tx = self.add_server(now, src, Arrived { key, request: &request, bytes, back }, tag);
        let merged = self.is_merged(tx);
        let result = if method == Method::Cancel { Ok(()) } else { check(&request, merged) };
        match result.and_then(|()| self.dispatch(now, src, tx, dialog, &method, &request)) {
            // What waits for our side's word keeps its answer; it is given under the dialog's own tag.
            Ok(()) => {}
            Err(refusal) => {
                let mut response = self.response(tx, refusal.status);
                if let Some((name, value)) = refusal.header {
                    response.headers.push(name, value.into_bytes());
                }
                // In a dialog the number of the request is used up: its repeat must find the answer, not be judged anew.
                match dialog {
                    Some(_) => self.respond(now, tx, response),
                    None => self.refuse_once(now, tx, &response),
                }
            }
        }
    }

    fn dispatch(
        &mut self,
        now: Instant,
        src: Hop,
        tx: u64,
        dialog: Option<DialogId>,
        method: &Method,
        request: &Message,
    ) -> Result<(), Refusal> {
        if *method == Method::Cancel {
            return self.handle_cancel(now, tx, request);
        }
        if dialog.is_none() && request.to_tag().is_some() {
            return Err(Refusal::of(481));
        }
        match (method, dialog) {
            (Method::Invite, None) => self.handle_call(now, src, tx, request),
            (Method::Invite, Some(id)) => self.handle_reinvite(now, src, tx, id, request),
            (Method::Bye, Some(id)) => self.handle_bye(now, tx, id, request),
            (Method::Update, Some(id)) => self.handle_update(now, src, tx, id, request),
            (Method::Prack, Some(id)) => self.handle_prack(now, tx, id, request),
            (Method::Info, Some(id)) => self.handle_info(now, tx, id, request),
            (Method::Bye | Method::Update | Method::Prack | Method::Info, None) => Err(Refusal::of(481)),
            (Method::Options, _) => {
                self.answer_options(now, tx);
                self.forget_server(tx);
                Ok(())
            }
            (Method::Other(_), _) => Err(Refusal::of(501)),
            _ => Err(Refusal::with(405, "Allow", ALLOW)),
        }
    }

    /// The usage that a request with a To tag belongs to.
    fn find_dialog(&self, request: &Message, to_tag: &[u8]) -> Option<DialogId> {
        let call_id = request.call_id().ok()?.to_vec();
        let id = *self.usage_index.get(&(call_id, to_tag.to_vec()))?;
        let from_tag = request.from_tag().unwrap_or_default();
        let known = match &self.usages.get(&id)?.state {
            State::Calling { early, .. } => early.iter().any(|e| e.dialog.remote_tag() == from_tag),
            State::Ringing { dialog, .. } | State::Confirmed { dialog, .. } => dialog.remote_tag() == from_tag,
        };
        known.then_some(id)
    }

    fn handle_call(&mut self, now: Instant, src: Hop, tx: u64, request: &Message) -> Result<(), Refusal> {
        if !self.may_be_called() {
            self.counters.full += 1;
            return Err(Refusal::with(503, "Retry-After", RETRY_AFTER_S));
        }
        let local_tag = self.servers.get(&tx).map(|r| r.local_tag.clone()).unwrap_or_default();
        let call_id = request.call_id().unwrap_or_default().to_vec();
        if self.usage_index.contains_key(&(call_id.clone(), local_tag.clone())) {
            // Its call stands already: a copy that is older than its transaction.
            return Err(Refusal::of(482));
        }
        let Some(source) = self.may_ring(src) else {
            self.counters.crowded += 1;
            return Err(Refusal::with(503, "Retry-After", RETRY_AFTER_S));
        };
        let id = DialogId(self.next_id());
        let dialog = Dialog::from_request(request, &local_tag, src);
        let from = request.from().ok();
        self.events.push_back(Event::Incoming {
            dialog: id,
            to_user: request.request_uri().map(|u| u.user_text()).unwrap_or_default(),
            from_user: from.as_ref().map(|f| f.uri.user_text()).unwrap_or_default(),
            display: from.and_then(|f| f.display).map(|d| readable(&d)),
            source: src,
            offer: request.sdp().map(<[u8]>::to_vec),
            call_id: readable(&call_id),
            identity: self.identity(src, request),
        });
        let required = session::lists(request, "Require", "100rel");
        let supported = required || session::lists(request, "Supported", "100rel");
        let progress = Box::new(Progress { source: self.rings(source), supported, required, ..Progress::default() });
        self.add_usage(id, call_id, local_tag, false, State::Ringing { tx, dialog, progress });
        if let Some(usage) = self.usages.get_mut(&id) {
            usage.note_allow(request);
            usage.words.asked = request.sdp().map_or(0, session::sum);
            usage.session.least_s = session::LEAST_S;
            usage.timers.set(Timer::Trying, now + ms(TRYING_MS));
            usage.timers.set(Timer::Ring, now + ms(TIMER_C_MS));
        }
        self.sync_dialog(id);
        if let Some(record) = self.servers.get_mut(&tx) {
            record.dialog = Some(id);
        }
        Ok(())
    }

    fn handle_reinvite(&mut self, now: Instant, src: Hop, tx: u64, id: DialogId, request: &Message) -> Result<(), Refusal> {
        let usage = self.usages.get_mut(&id).ok_or(Refusal::of(481))?;
        let (updating, updated) = (usage.update.is_some() || usage.ack_due.is_some(), usage.updated.is_some());
        let State::Confirmed { dialog, ours, theirs, unacked, closing } = &mut usage.state else {
            // Its 200 overtakes ours, or it invites while it rings: later.
            return Err(Refusal::with(500, "Retry-After", "1"));
        };
        if !dialog.take_remote_cseq(request.cseq().map_or(0, |c| c.number)) {
            return Err(Refusal::of(500));
        }
        if theirs.is_some() || updated {
            return Err(Refusal::with(500, "Retry-After", "1"));
        }
        // Our offer is out, or the 200 with our late offer waits for its answer.
        if ours.is_some() || updating || *closing || unacked.as_ref().is_some_and(|u| u.offered) {
            return Err(Refusal::of(491));
        }
        if let Some(unacked) = unacked.take() {
            // The peer goes on, so it has our 200: only its ACK was lost or is late.
            usage.timers.stop(Timer::Answer);
            usage.timers.stop(Timer::AckWait);
            if !unacked.quiet {
                self.events.push_back(Event::Acked { dialog: id, sdp: None });
            }
        }
        dialog.refresh_target(request, src);
        *theirs = Some(tx);
        usage.timers.set(Timer::Ring, now + ms(TIMER_C_MS));
        if let Some(record) = self.servers.get_mut(&tx) {
            record.local_tag.clone_from(&usage.local_tag);
            record.dialog = Some(id);
        }
        usage.note_allow(request);
        if let Some(offer) = request.sdp() {
            if usage.words.is_unchanged(offer) {
                // A refresh (RFC 4028 s.7.4): what stands is said again, and nobody needs to hear of it.
                let same = usage.words.ours.clone().unwrap_or_default().into_vec();
                self.accept_as(now, id, tx, same, false, true);
                return Ok(());
            }
            usage.words.asked = session::sum(offer);
        }
        let trying = self.response(tx, 100);
        self.respond(now, tx, trying);
        self.sync_dialog(id);
        self.events.push_back(Event::ReInvited { dialog: id, offer: request.sdp().map(<[u8]>::to_vec) });
        Ok(())
    }

    fn handle_bye(&mut self, now: Instant, tx: u64, id: DialogId, request: &Message) -> Result<(), Refusal> {
        let usage = self.usages.get_mut(&id).ok_or(Refusal::of(481))?;
        let open = match &mut usage.state {
            State::Confirmed { dialog, theirs, .. } => {
                if !dialog.take_remote_cseq(request.cseq().map_or(0, |c| c.number)) {
                    return Err(Refusal::of(500));
                }
                theirs.take()
            }
            State::Ringing { tx, .. } => Some(*tx),
            State::Calling { .. } => None,
        };
        let updated = usage.updated.take();
        let response = self.response(tx, 200);
        self.respond(now, tx, response);
        for open in open.into_iter().chain(updated) {
            let response = self.response(open, 487);
            self.respond(now, open, response);
        }
        // The call we still wait for is ended by its callee: take the INVITE back too.
        self.send_cancel(now, id);
        self.end(id, Event::Ended { dialog: id, cause: EndCause::Bye, q850: response::q850(request) });
        Ok(())
    }

    fn handle_cancel(&mut self, now: Instant, tx: u64, request: &Message) -> Result<(), Refusal> {
        let mut key = ServerKey::of(request).ok_or(Refusal::of(400))?;
        key.method = Method::Invite;
        let invite = self.server_index.get(&key).copied().ok_or(Refusal::of(481))?;
        if let Some(tag) = self.servers.get(&invite).map(|r| r.local_tag.clone())
            && let Some(record) = self.servers.get_mut(&tx)
        {
            record.local_tag = tag;
        }
        let response = self.response(tx, 200);
        self.respond(now, tx, response);
        let open = self.servers.get(&invite).and_then(|r| r.dialog).and_then(|id| match &self.usages.get(&id)?.state {
            State::Ringing { tx, .. } if *tx == invite => Some((id, true)),
            State::Confirmed { theirs: Some(tx), .. } if *tx == invite => Some((id, false)),
            State::Ringing { .. } | State::Confirmed { .. } | State::Calling { .. } => None,
        });
        // A CANCEL behind the final answer changes nothing (s.9.2).
        let Some((id, first)) = open else { return Ok(()) };
        let response = self.response(invite, 487);
        self.respond(now, invite, response);
        if first {
            self.end(id, Event::Ended { dialog: id, cause: EndCause::Cancelled, q850: response::q850(request) });
        } else if let Some(usage) = self.usages.get_mut(&id) {
            if let State::Confirmed { theirs, .. } = &mut usage.state {
                *theirs = None;
            }
            usage.timers.stop(Timer::Ring);
            self.sync_dialog(id);
            self.events.push_back(Event::ReInviteCancelled { dialog: id });
        }
        Ok(())
    }

    fn handle_ack(&mut self, now: Instant, key: &ServerKey, request: &Message) {
        if let Some(id) = self.server_index.get(key).copied()
            && let Some(ServerRecord { machine: ServerMachine::Invite(m), .. }) = self.servers.get_mut(&id)
            && m.state() != server_invite::State::Accepted
        {
            if m.state() == server_invite::State::Proceeding {
                if request.to_tag() == Some(&self.tag_for(key, request)) {
                    self.acked_while_it_rings(now, id);
                }
                return;
            }
            m.handle_ack(now);
            return self.sync_server(id);
        }
        let tag = request.to_tag().unwrap_or_default();
        let number = request.cseq().map_or(0, |c| c.number);
        let found = self.find_dialog(request, tag).filter(
            |id| matches!(self.usages.get(id).map(|u| &u.state), Some(State::Confirmed { unacked: Some(u), .. }) if u.cseq == number),
        );
        let Some(id) = found else {
            // Of a call that was refused and forgotten, it has nothing more to end.
            if tag != self.tag_for(key, request) {
                self.counters.stray_acks += 1;
            }
            return;
        };
        let Some(usage) = self.usages.get_mut(&id) else { return };
        let State::Confirmed { unacked, closing, .. } = &mut usage.state else { return };
        let Some(Unacked { offered, quiet, .. }) = unacked.take() else { return };
        let closing = *closing;
        usage.timers.stop(Timer::Answer);
        usage.timers.stop(Timer::AckWait);
        self.sync_dialog(id);
        if closing {
            self.send_bye(now, id);
            return self.end(id, Event::Ended { dialog: id, cause: EndCause::HungUp, q850: None });
        }
        let sdp = request.sdp().filter(|_| offered).map(<[u8]>::to_vec);
        if let Some(usage) = self.usages.get_mut(&id).filter(|_| offered) {
            usage.words.answered(sdp.as_deref());
            usage.words.offered = None;
        }
        if !quiet {
            self.events.push_back(Event::Acked { dialog: id, sdp });
        }
    }

    /// A repeat of what is known. Its sender may have moved since the first (DHCP): whoever knows the branch is answered where it is now.
    fn repeat_answer(&mut self, id: u64, back: WayBack) {
        let Some(record) = self.servers.get_mut(&id) else { return };
        if !back.to.transport.is_reliable() && !record.back.to.transport.is_reliable() {
            record.back = back;
        }
        let repeated = match &record.machine {
            ServerMachine::Invite(m) => m.handle_repeat(),
            ServerMachine::Other(m) => m.handle_repeat(),
        };
        if repeated == Repeated::AnswerAgain
            && let Some(bytes) = record.last.clone()
        {
            let to = record.back.to;
            self.counters.repeated += 1;
            self.transmit(&(to, None), bytes);
        }
    }

    fn answer_options(&mut self, now: Instant, tx: u64) {
        let mut response = self.response(tx, 200);
        for (name, value) in [("Allow", ALLOW), ("Accept", "application/sdp"), ("Accept-Encoding", "identity"), ("Supported", SUPPORTED)] {
            response.headers.push(name, value);
        }
        response.headers.push("Contact", self.contact_for(tx));
        if let Some(sdp) = &self.capabilities {
            response = response.with_body("application/sdp", sdp.clone());
        }
        self.respond(now, tx, response);
    }
}

/// A status, and a header that belongs to it.
pub(super) struct Refusal {
    status: u16,
    header: Option<(&'static str, String)>,
}

impl Refusal {
    pub(super) const fn of(status: u16) -> Refusal {
        Refusal { status, header: None }
    }
    pub(super) fn with(status: u16, name: &'static str, value: impl Into<String>) -> Refusal {
        Refusal { status, header: Some((name, value.into())) }
    }
}

/// The inspections of RFC 3261 s.8.2.1 to 8.2.3, in its order.
fn check(request: &Message, merged: bool) -> Result<(), Refusal> {
    match request.method() {
        Some(Method::Other(_)) => return Err(Refusal::of(501)),
        Some(Method::Invite | Method::Options | Method::Bye | Method::Prack | Method::Update | Method::Info) => {}
        _ => return Err(Refusal::with(405, "Allow", ALLOW)),
    }
    if request.request_uri().is_ok_and(|u| u.scheme == Scheme::Other) {
        return Err(Refusal::of(416));
    }
    if merged && request.to().is_ok_and(|t| t.tag().is_none()) {
        return Err(Refusal::of(482));
    }
    let known = |v: &[u8]| SUPPORTED.split(", ").any(|s| v.eq_ignore_ascii_case(s.as_bytes()));
    let unknown = request.headers.values("Require").filter(|v| !known(v));
    let unsupported: Vec<String> = unknown.map(|v| String::from_utf8_lossy(v).into_owned()).collect();
    if !unsupported.is_empty() {
        return Err(Refusal::with(420, "Unsupported", unsupported.join(", ")));
    }
    if request.headers.get("Content-Encoding").is_some_and(|e| !e.is_empty() && !e.eq_ignore_ascii_case(b"identity")) {
        return Err(Refusal::with(415, "Accept-Encoding", "identity"));
    }
    let invite = request.method() == Some(&Method::Invite);
    let session = matches!(request.method(), Some(Method::Invite | Method::Update | Method::Prack));
    // RFC 4028 s.9: who cannot read 422 is not sent one.
    let short = request.headers.get("Session-Expires").and_then(session::read_expires).is_some_and(|e| e.seconds < session::LEAST_S);
    if short && session && session::lists(request, "Supported", "timer") {
        return Err(Refusal::with(422, "Min-SE", session::LEAST_S.to_string()));
    }
    // Handling=optional bodies (s.20.11) may be of any type; the only one needed is the session description.
    let optional = request
        .headers
        .get("Content-Disposition")
        .is_some_and(|v| String::from_utf8_lossy(v).to_ascii_lowercase().replace(' ', "").contains("handling=optional"));
    if session && !request.body.trim_ascii().is_empty() && request.sdp().is_none() && !optional {
        return Err(Refusal::with(415, "Accept", "application/sdp"));
    }
    let mut accepts = request.headers.values("Accept").peekable();
    if invite && accepts.peek().is_some() {
        let fits = |v: &[u8]| {
            let text = String::from_utf8_lossy(v).to_ascii_lowercase();
            ["application/sdp", "application/*", "*/*"].iter().any(|t| text.trim_start().starts_with(t))
        };
        if !accepts.any(fits) {
            return Err(Refusal::of(406));
        }
    }
    Ok(())
}

/// Call-ID, From tag and CSeq: the same under another branch is the same request by another way (s.8.2.2.2).
pub(super) fn merge_key(request: &Message) -> Vec<u8> {
    let mut key = request.call_id().unwrap_or_default().to_vec();
    key.push(0);
    if let Ok(from) = request.from() {
        key.extend_from_slice(from.tag().unwrap_or_default());
    }
    key.push(0);
    key.extend_from_slice(request.headers.get("CSeq").unwrap_or_default());
    key
}

/// Writes into the top Via where the request came from, and says where its responses go.
fn stamp_via(request: &mut Message, src: Hop) -> WayBack {
    let Ok(mut via) = request.top_via() else { return WayBack { to: src, otherwise: None } };
    if request.headers.get("Via").is_some_and(|v| crate::sip::message::split_outside_quotes(v, b',').next().is_none_or(<[u8]>::is_empty)) {
        // The first value is not the first thing that stands there: what is empty before it goes, so that it is the one that is written.
        let all = request.headers.values("Via").collect::<Vec<_>>().join(&b", "[..]);
        request.headers.remove("Via");
        request.headers.push("Via", all);
    }
    via.stamp(src.addr);
    let mut line = via.emit();
    let rest = request.headers.get("Via").map(|v| crate::sip::message::split_outside_quotes(v, b',').skip(1).collect::<Vec<_>>());
    for other in rest.unwrap_or_default() {
        line.extend_from_slice(b", ");
        line.extend_from_slice(other);
    }
    request.headers.set("Via", line);
    if !src.transport.is_reliable() {
        return WayBack { to: Hop::udp(via.response_addr(src.addr)), otherwise: None };
    }
    // A connection is answered on itself; should it be gone, at the port that the sender gives, at the address it was seen under.
    let listening = SocketAddr::new(src.addr.ip(), via.port.unwrap_or(src.transport.default_port()));
    let otherwise = Hop { transport: src.transport, addr: listening };
    WayBack { to: src, otherwise: Some(otherwise).filter(|o| *o != src) }
}

/// A STUN message (RFC 8489 s.5) on our port: a keep-alive of RFC 5626, or somebody's stray.
fn is_stun(bytes: &[u8]) -> bool {
    bytes.len() >= 20 && bytes[0] < 4 && bytes[4..8] == [0x21, 0x12, 0xa4, 0x42]
}
