//! Requests that change no call: OPTIONS of our own (inside a dialog, too), and those that another machine of this room makes and wants answered (a registration).

use super::*;

impl Endpoint {
    /// Asks a peer whether it is there and what it can do.
    pub fn options(&mut self, now: Instant, target: impl Into<Hop>, user: &str) -> Result<OptionsId, LimitReached> {
        if !self.may_ask() {
            self.counters.full += 1;
            return Err(LimitReached);
        }
        let hop: Hop = target.into();
        let uri = Uri::sip(user, hop.addr);
        let mut from = NameAddr::new(Uri::sip("", self.config.contact(hop).addr));
        from.params.set("tag", self.token());
        let request = Message::request(Method::Options, uri.as_bytes())
            .with("Via", "")
            .with("Max-Forwards", "70")
            .with("From", from.emit())
            .with("To", NameAddr::new(uri).emit())
            .with("Call-ID", self.token())
            .with("CSeq", "1 OPTIONS")
            .with("Contact", self.contact(hop))
            .with("Accept", "application/sdp");
        let options = OptionsId(self.next_id());
        self.send_request(now, request, [(hop, None)], Purpose::Options(options), None);
        Ok(options)
    }

    /// Asks the other end of a call that stands what it can do: OPTIONS inside the dialog, which goes where the call goes. The answer, as
    /// `Event::OptionsAnswered`, changes nothing in the dialog whatever it is (RFC 5057). `WrongState` also for a peer whose Allow does not
    /// name OPTIONS: simple ones take fright at what they do not expect.
    pub fn ask(&mut self, now: Instant, id: DialogId) -> Result<OptionsId, CommandError> {
        if !self.may_ask() {
            self.counters.full += 1;
            return Err(CommandError::LimitReached);
        }
        let usage = self.usages.get_mut(&id).ok_or(CommandError::UnknownDialog)?;
        let (State::Confirmed { dialog, closing: false, .. }, true) = (&mut usage.state, usage.allows_options) else {
            return Err(CommandError::WrongState);
        };
        let (request, ways) = dialog.next_request(Method::Options);
        let hop = ways.first().map_or(Hop::udp(self.config.own_addr()), |way| way.0);
        let request = request.with("Contact", self.contact(hop)).with("Accept", "application/sdp");
        let options = OptionsId(self.next_id());
        self.send_request(now, request, ways, Purpose::Options(options), None);
        Ok(options)
    }

    /// How who is reached over `hop` reaches us.
    pub fn contact_uri(&self, user: &str, hop: Hop) -> Uri {
        self.config.contact_uri(user, hop)
    }

    /// Sends a request that belongs to no call: anything but INVITE, ACK and CANCEL, complete but for Via and User-Agent. It goes to the
    /// first of `targets` that answers with something else than 503. Exactly one `Event::Response` with a final status follows;
    /// 408 and 503 without a response are said by this side.
    pub fn request(&mut self, now: Instant, mut request: Message, targets: &[Target]) -> Result<RequestId, LimitReached> {
        debug_assert!(!matches!(request.method(), None | Some(Method::Invite | Method::Ack | Method::Cancel)), "requests of the call side");
        if !self.may_ask() || targets.is_empty() {
            self.counters.full += 1;
            return Err(LimitReached);
        }
        // Via stands on top.
        let headers = core::mem::take(&mut request.headers);
        request.headers.push("Via", Vec::new());
        headers.iter().filter(|h| !h.is("Via")).for_each(|h| request.headers.push(h.name, h.value));
        let id = RequestId(self.next_id());
        self.send_request(now, request, targets.iter().cloned(), Purpose::Outside(id), None);
        Ok(id)
    }
}
