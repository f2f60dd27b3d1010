//! What the owner of the endpoint asks for.

use super::*;

/// Commands.
impl Endpoint {
    /// An endpoint without calls. `seed` makes its tags, branches and Call-IDs: outside of tests a key of the
    /// operating system.
    pub fn new(config: Config, seed: impl Into<Prints>) -> Endpoint {
        let mut prints = seed.into();
        Endpoint {
            config,
            rng: prints.rng(),
            prints,
            last_id: 0,
            clients: BTreeMap::new(),
            client_index: BTreeMap::new(),
            servers: BTreeMap::new(),
            server_index: BTreeMap::new(),
            merge_index: BTreeMap::new(),
            turned_away: TurnedAway::default(),
            usages: BTreeMap::new(),
            usage_index: BTreeMap::new(),
            inbound: 0,
            ringing_from: BTreeMap::new(),
            kept: 0,
            at_hop: BTreeSet::new(),
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

    /// Peers reach us elsewhere from now on (DHCP, another cable). What goes out says so; a peer in a dialog hears of it by the next
    /// request in it (RFC 3261 s.12.2, target refresh), which is the owner's to send. Not empty. `outside`: beyond our NAT.
    pub fn set_contacts(&mut self, contacts: Vec<Hop>, outside: Option<SocketAddr>) {
        self.config.outside = outside;
        if !contacts.is_empty() {
            self.config.contacts = contacts;
        }
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
        if call.anonymous {
            // RFC 3323 s.4.1.1.3.
            from = NameAddr::new(Uri::parse(b"sip:anonymous@anonymous.invalid").expect("a URI"));
            from.display = Some(b"Anonymous".to_vec());
        }
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
        self.identify(&mut request, call.asserted.as_deref(), call.anonymous, &call.targets, call.fax);
        // Without an offer of ours a reliable 18x would bring one, which nobody here answers in a PRACK.
        request.headers.push("Supported", if call.offer.is_empty() { "timer" } else { SUPPORTED });
        if let Some(seconds) = self.config.session_expires_s {
            request.headers.push("Session-Expires", seconds.max(session::LEAST_S).to_string().into_bytes());
        }
        let offered = (!call.offer.is_empty()).then(|| call.offer.as_slice().into());
        if !call.offer.is_empty() {
            request = request.with_body("application/sdp", call.offer);
        }
        let id = DialogId(self.next_id());
        let hops: Vec<IpAddr> = call.targets.iter().map(|t| t.0.addr.ip()).collect();
        let tx = self.send_request(now, request, call.targets, Purpose::Invite(id), None);
        let state = State::Calling { tx, cancelling: Cancelling::No, early: Vec::new() };
        self.add_usage(id, call_id, local_tag, true, state);
        let prints = self.prints.fork();
        if let Some(usage) = self.usages.get_mut(&id) {
            usage.words.offered = offered;
            usage.session.least_s = session::LEAST_S;
            usage.login = call.login.map(|login| Box::new(Authorizer::for_call(login, prints, hops)));
        }
        Ok(id)
    }

    /// Answers the peer's newest question with this session description: the offer of its UPDATE or PRACK, its re-INVITE, or its call.
    pub fn answer(&mut self, now: Instant, id: DialogId, sdp: Vec<u8>) -> Result<(), CommandError> {
        let usage = self.usages.get_mut(&id).ok_or(CommandError::UnknownDialog)?;
        if let Some(tx) = usage.updated.take() {
            usage.timers.stop(Timer::UpdateWait);
            usage.words.answer(&sdp);
            self.say_yes(now, id, tx, sdp);
            self.go_on_ringing(now, id);
            return Ok(());
        }
        let (tx, first) = match &mut usage.state {
            State::Ringing { progress, .. } if progress.answer.is_some() => return Err(CommandError::WrongState),
            State::Ringing { progress, .. } if progress.open.as_ref().is_some_and(|o| o.sdp) => {
                // RFC 3262 s.5: the session in the 183 must have arrived before the 200 does.
                progress.answer = Some(sdp);
                return Ok(());
            }
            State::Ringing { tx, .. } => (*tx, true),
            State::Confirmed { theirs: Some(tx), .. } => (*tx, false),
            State::Confirmed { .. } | State::Calling { .. } => return Err(CommandError::WrongState),
        };
        self.accept(now, id, tx, sdp, first);
        Ok(())
    }

    /// 200 to an INVITE. It is repeated until its ACK comes.
    pub(super) fn accept(&mut self, now: Instant, id: DialogId, tx: u64, sdp: Vec<u8>, first: bool) {
        self.accept_as(now, id, tx, sdp, first, false);
    }

    pub(super) fn accept_as(&mut self, now: Instant, id: DialogId, tx: u64, sdp: Vec<u8>, first: bool, quiet: bool) {
        let mut response = self.response(tx, 200).with("Contact", self.contact_for(tx)).with("Allow", ALLOW).with("Supported", SUPPORTED);
        let record = self.servers.get(&tx).expect("an unanswered INVITE keeps its transaction");
        let (cseq, back) = (record.request.cseq().map_or(0, |c| c.number), record.back);
        let offerless = record.offerless;
        self.grant_session(now, id, tx, &mut response);
        let Some(usage) = self.usages.get_mut(&id) else { return };
        let settled = matches!(&usage.state, State::Ringing { progress, .. } if progress.settled);
        let offered = offerless && !settled;
        if !sdp.is_empty() && !settled {
            match offered {
                true => usage.words.offered = Some(sdp.as_slice().into()),
                false => usage.words.answer(&sdp),
            }
            response = response.with_body("application/sdp", sdp);
        }
        let bytes = response.emit();
        self.respond(now, tx, response);
        let usage = self.usages.get_mut(&id).expect("looked up above");
        let unacked = Some(Unacked { bytes, back, cseq, repeat_ms: T1_MS, first, offered, quiet });
        for timer in [Timer::Trying, Timer::Remind, Timer::Ring, Timer::Reliable, Timer::PrackWait] {
            usage.timers.stop(timer);
        }
        usage.timers.set(Timer::Answer, now + ms(T1_MS));
        usage.timers.set(Timer::AckWait, now + ms(T1_64_MS));
        match &mut usage.state {
            State::Ringing { dialog, progress, .. } => {
                let (dialog, source) = (dialog.clone(), progress.source);
                usage.state = State::Confirmed { dialog, ours: None, theirs: None, unacked, closing: false };
                self.rings_no_more(source);
            }
            State::Confirmed { theirs, unacked: waiting, .. } => {
                *theirs = None;
                *waiting = unacked;
            }
            State::Calling { .. } => {}
        }
        self.sync_dialog(id);
    }

    /// Refuses the peer's newest question: the offer of its UPDATE or PRACK, or its re-INVITE (the session stays as it was), or its call,
    /// which ends. `status` is 300 to 699.
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
        if let Some(tx) = usage.updated.take() {
            usage.timers.stop(Timer::UpdateWait);
            let response = self.response(tx, status.clamp(300, 699));
            self.respond(now, tx, response);
            self.go_on_ringing(now, id);
            return Ok(());
        }
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
        if first && self.is_unsaid(tx) {
            self.refuse_once(now, tx, &response);
        } else {
            self.respond(now, tx, response);
        }
        if first {
            self.end(id, Event::Ended { dialog: id, cause: EndCause::HungUp, q850: None });
        }
        self.sync_dialog(id);
        Ok(())
    }

    /// Answers the offer in the 200 to a call that we made without one: the ACK goes out with it.
    pub fn acknowledge(&mut self, id: DialogId, sdp: Vec<u8>) -> Result<(), CommandError> {
        let usage = self.usages.get_mut(&id).ok_or(CommandError::UnknownDialog)?;
        let (tx, tag) = usage.ack_due.take().ok_or(CommandError::WrongState)?;
        let State::Confirmed { dialog, .. } = &usage.state else { return Err(CommandError::WrongState) };
        let dialog = dialog.clone();
        if !sdp.is_empty() {
            usage.words.answer(&sdp);
        }
        self.send_ack(tx, &dialog, tag, sdp);
        Ok(())
    }

    /// Offers the peer another session. One INVITE at a time, in either direction.
    pub fn reinvite(&mut self, now: Instant, id: DialogId, offer: Vec<u8>) -> Result<(), CommandError> {
        if !self.may_ask() {
            self.counters.full += 1;
            return Err(CommandError::LimitReached);
        }
        let usage = self.usages.get_mut(&id).ok_or(CommandError::UnknownDialog)?;
        let free = usage.update.is_none() && usage.updated.is_none() && usage.ack_due.is_none();
        let (true, State::Confirmed { dialog, ours: None, theirs: None, unacked: None, closing: false }) = (free, &mut usage.state) else {
            return Err(CommandError::WrongState);
        };
        let (mut request, ways) = dialog.next_request(Method::Invite);
        let dialog = dialog.clone();
        self.ask_session(id, &mut request);
        if let Some(usage) = self.usages.get_mut(&id).filter(|_| !offer.is_empty()) {
            usage.words.offered = Some(offer.as_slice().into());
        }
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
        let open = if matches!(usage.state, State::Ringing { .. }) { usage.updated.take() } else { None };
        if let Some(tx) = open {
            let response = self.response(tx, 487);
            self.respond(now, tx, response);
        }
        let usage = self.usages.get_mut(&id).ok_or(CommandError::UnknownDialog)?;
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
            State::Confirmed { dialog, unacked, closing, .. } => {
                if let Some((tx, tag)) = usage.ack_due.take() {
                    let dialog = dialog.clone();
                    self.send_ack(tx, &dialog, tag, Vec::new());
                    self.send_bye(now, id);
                    self.end(id, Event::Ended { dialog: id, cause: EndCause::HungUp, q850: None });
                    return Ok(());
                }
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
