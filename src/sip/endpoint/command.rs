//! What the owner of the endpoint asks for.

use super::*;

/// Commands.
impl Endpoint {
    /// An endpoint without calls. `seed` makes its tags, branches and Call-IDs: take it from the operating system outside of tests.
    pub fn new(config: Config, seed: u64) -> Endpoint {
        let mut rng = Rng::new(seed);
        Endpoint {
            config,
            salt: rng.next_u64(),
            rng,
            last_id: 0,
            clients: BTreeMap::new(),
            client_index: BTreeMap::new(),
            servers: BTreeMap::new(),
            server_index: BTreeMap::new(),
            merge_index: BTreeMap::new(),
            usages: BTreeMap::new(),
            usage_index: BTreeMap::new(),
            inbound: 0,
            deadlines: Deadlines::default(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            capabilities: None,
            counters: Counters::default(),
        }
    }

    /// The session description that OPTIONS is answered with.
    pub fn set_capabilities(&mut self, sdp: Vec<u8>) {
        self.capabilities = Some(sdp);
    }

    /// Calls somebody.
    pub fn invite(&mut self, now: Instant, call: Invite) -> Result<DialogId, LimitReached> {
        if self.usages.len() >= self.config.dialogs_max || !self.may_ask() {
            self.counters.full += 1;
            return Err(LimitReached);
        }
        let uri = if call.to.contains(':') { Uri::parse(call.to.as_bytes()).ok() } else { None };
        let Some(first) = call.targets.first().map(|t| t.0) else { return Err(LimitReached) };
        let uri = uri.unwrap_or_else(|| Uri::sip(&call.to, first.addr));
        let local_tag = self.token();
        let call_id = [self.token(), b"@".to_vec(), self.config.contact(first).addr.ip().to_string().into_bytes()].concat();
        let from = if call.from.contains(':') { Uri::parse(call.from.as_bytes()).ok() } else { None };
        let mut from = NameAddr::new(from.unwrap_or_else(|| Uri::sip(&call.from, self.config.contact(first).addr)));
        from.display = call.display.map(String::into_bytes);
        from.params.set("tag", local_tag.clone());
        let mut request = Message::request(Method::Invite, uri.request_uri()).with("Via", "").with("Max-Forwards", "70");
        for route in &call.routes {
            request.headers.push("Route", route.clone().into_bytes());
        }
        let mut request = request
            .with("From", from.emit())
            .with("To", NameAddr::new(uri).emit())
            .with("Call-ID", &call_id)
            .with("CSeq", format!("{} INVITE", 1 + self.rng.below(10_000)));
        for (name, value) in &call.headers {
            request.headers.push(name, value.clone().into_bytes());
        }
        if !call.offer.is_empty() {
            request = request.with_body("application/sdp", call.offer);
        }
        let id = DialogId(self.next_id());
        let tx = self.send_request(now, request, call.targets, Purpose::Invite(id), None);
        let state = State::Calling { tx, cancelling: Cancelling::No, early: Vec::new(), early_sdp: None };
        self.add_usage(id, call_id, local_tag, true, state);
        Ok(id)
    }

    /// Says 180 Ringing to a caller.
    pub fn ringing(&mut self, now: Instant, id: DialogId) -> Result<(), CommandError> {
        self.provisional(now, id, 180, Vec::new())
    }

    /// Says 183 Session Progress to a caller, with a session for announcements before the answer.
    pub fn progress(&mut self, now: Instant, id: DialogId, sdp: Vec<u8>) -> Result<(), CommandError> {
        self.provisional(now, id, 183, sdp)
    }

    fn provisional(&mut self, now: Instant, id: DialogId, status: u16, sdp: Vec<u8>) -> Result<(), CommandError> {
        let usage = self.usages.get(&id).ok_or(CommandError::UnknownDialog)?;
        let State::Ringing { tx, .. } = usage.state else { return Err(CommandError::WrongState) };
        let mut response = self.response(tx, status).with("Contact", self.contact_for(tx));
        if !sdp.is_empty() {
            response = response.with_body("application/sdp", sdp);
        }
        self.respond(now, tx, response);
        Ok(())
    }

    /// Answers a call, or the peer's re-INVITE, with this session description.
    pub fn answer(&mut self, now: Instant, id: DialogId, sdp: Vec<u8>) -> Result<(), CommandError> {
        let usage = self.usages.get(&id).ok_or(CommandError::UnknownDialog)?;
        let (tx, first) = match &usage.state {
            State::Ringing { tx, .. } => (*tx, true),
            State::Confirmed { theirs: Some(tx), .. } => (*tx, false),
            State::Confirmed { .. } | State::Calling { .. } => return Err(CommandError::WrongState),
        };
        let mut response = self.response(tx, 200).with("Contact", self.contact_for(tx)).with("Allow", ALLOW);
        let record = self.servers.get(&tx).expect("an unanswered INVITE keeps its transaction");
        let (cseq, back) = (record.request.cseq().map_or(0, |c| c.number), record.back);
        let offered = record.offerless;
        if !sdp.is_empty() {
            response = response.with_body("application/sdp", sdp);
        }
        let bytes = response.emit();
        self.respond(now, tx, response);
        let usage = self.usages.get_mut(&id).expect("looked up above");
        let unacked = Some(Unacked { bytes, back, cseq, repeat_ms: T1_MS, first, offered });
        usage.timers.stop(Timer::Ring);
        usage.timers.set(Timer::Answer, now + ms(T1_MS));
        usage.timers.set(Timer::AckWait, now + ms(T1_64_MS));
        match &mut usage.state {
            State::Ringing { dialog, .. } => {
                let dialog = dialog.clone();
                usage.state = State::Confirmed { dialog, ours: None, theirs: None, unacked, closing: false };
            }
            State::Confirmed { theirs, unacked: waiting, .. } => {
                *theirs = None;
                *waiting = unacked;
            }
            State::Calling { .. } => {}
        }
        self.sync_dialog(id);
        Ok(())
    }

    /// Refuses a call (which ends it) or the peer's re-INVITE (which leaves the session as it was). `status` is 300 to 699.
    pub fn reject(&mut self, now: Instant, id: DialogId, status: u16, q850: Option<u8>) -> Result<(), CommandError> {
        self.reject_saying(now, id, status, q850, None)
    }

    /// The same with a Warning (RFC 3261 s.20.43): its code and words without quotes.
    pub fn reject_saying(
        &mut self,
        now: Instant,
        id: DialogId,
        status: u16,
        q850: Option<u8>,
        warning: Option<(u16, &str)>,
    ) -> Result<(), CommandError> {
        let usage = self.usages.get_mut(&id).ok_or(CommandError::UnknownDialog)?;
        let (tx, first) = match &mut usage.state {
            State::Ringing { tx, .. } => (*tx, true),
            State::Confirmed { theirs, .. } => (theirs.take().ok_or(CommandError::WrongState)?, false),
            State::Calling { .. } => return Err(CommandError::WrongState),
        };
        usage.timers.stop(Timer::Ring);
        let mut response = with_q850(self.response(tx, status.clamp(300, 699)), q850);
        if let Some((code, words)) = warning {
            response = response.with("Warning", format!("{code} {} \"{words}\"", self.config.own_addr()));
        }
        self.respond(now, tx, response);
        if first {
            self.end(id, Event::Ended { dialog: id, cause: EndCause::HungUp, q850: None });
        }
        self.sync_dialog(id);
        Ok(())
    }

    /// Offers the peer another session. One INVITE at a time, in either direction.
    pub fn reinvite(&mut self, now: Instant, id: DialogId, offer: Vec<u8>) -> Result<(), CommandError> {
        if !self.may_ask() {
            self.counters.full += 1;
            return Err(CommandError::LimitReached);
        }
        let usage = self.usages.get_mut(&id).ok_or(CommandError::UnknownDialog)?;
        let State::Confirmed { dialog, ours: None, theirs: None, unacked: None, closing: false } = &mut usage.state else {
            return Err(CommandError::WrongState);
        };
        let (request, ways) = dialog.next_request(Method::Invite);
        let dialog = dialog.clone();
        let mut request = request;
        if !offer.is_empty() {
            request = request.with_body("application/sdp", offer);
        }
        let tx = self.send_request(now, request, ways, Purpose::ReInvite(id), Some(dialog));
        if let Some(Usage { state: State::Confirmed { ours, .. }, .. }) = self.usages.get_mut(&id) {
            *ours = Some(tx);
        }
        Ok(())
    }

    /// Ends a dialog in whatever state it is: CANCEL, BYE or a refusal. `q850` goes along as Reason, and chooses the refusal.
    /// A call that was not answered yet is over when its last response came; `Ended` says so.
    pub fn hangup(&mut self, now: Instant, id: DialogId, q850: Option<u8>) -> Result<(), CommandError> {
        let usage = self.usages.get_mut(&id).ok_or(CommandError::UnknownDialog)?;
        usage.q850 = q850;
        match &mut usage.state {
            State::Ringing { .. } => self.reject(now, id, status_of_q850(q850), q850),
            State::Calling { tx, cancelling, .. } => {
                let tx = *tx;
                if *cancelling == Cancelling::No {
                    *cancelling = Cancelling::Wanted;
                    let proceeding = matches!(self.clients.get(&tx).map(|c| &c.machine),
                        Some(ClientMachine::Invite(m)) if m.state() == crate::sip::transaction::client_invite::State::Proceeding);
                    if proceeding {
                        self.send_cancel(now, id);
                    }
                }
                Ok(())
            }
            State::Confirmed { unacked, closing, .. } => {
                if unacked.as_ref().is_some_and(|u| u.first) {
                    // s.15: the callee may not send BYE before the ACK is here or has failed to come.
                    *closing = true;
                    return Ok(());
                }
                self.send_bye(now, id);
                self.end(id, Event::Ended { dialog: id, cause: EndCause::HungUp, q850: None });
                Ok(())
            }
        }
    }
}
