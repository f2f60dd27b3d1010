//! How messages leave: which Via and Contact they carry, by which way a request goes, and what happens when that way fails.
//!
//! A request has an ordered list of ways. A way that says nothing for 64*T1, refuses with 503 or breaks is left for the next, with a new
//! branch and nothing else changed (RFC 3263 s.4.3); inside a dialog only a broken way is left, for its other end has a mind of its own.
//! What is too large for a datagram tries TCP to the same place first (RFC 3261 s.18.1.1).

use super::again::Launch;
use super::*;
use crate::sip::message::StartLine;
use crate::sip::transaction::{client, client_invite, server_invite};

/// Bytes of a request above which it leaves by TCP, where the path's MTU is not known (RFC 3261 s.18.1.1).
const DATAGRAM_REQUEST_MAX: usize = 1_300;

/// The headers that only the server of our account may see.
pub(super) const CREDENTIALS: [&str; 2] = ["Authorization", "Proxy-Authorization"];

impl Endpoint {
    pub(super) fn transmit(&mut self, to: &Target, bytes: Vec<u8>) {
        if self.transmits.len() >= SIP_TRANSMITS_MAX {
            self.counters.transmits_lost += 1;
            return;
        }
        self.counters.sent += 1;
        self.transmits.push_back(Transmit { dst: to.0, server_name: to.1.clone(), bytes });
    }

    /// Two empty lines to where the peer of a dialog that stands is seen by UDP, if that is beyond our NAT.
    pub fn keep_open(&mut self, id: DialogId) {
        let beyond = |hop: &Hop| hop.transport == Transport::Udp && !crate::sip::network::is_inside(hop.addr.ip());
        if let Some(hop) = self.seen_at(id).filter(beyond) {
            self.transmit(&(hop, None), b"\r\n\r\n".to_vec());
        }
    }

    fn via(&self, hop: Hop, branch: &[u8]) -> Vec<u8> {
        let mut via = format!("SIP/2.0/{} {};rport;branch=", hop.transport.as_str(), self.config.contact(hop).addr).into_bytes();
        via.extend_from_slice(branch);
        via
    }

    /// The value of our Contact for who is reached over `hop`.
    pub(super) fn contact(&self, hop: Hop) -> Vec<u8> {
        let mut contact = NameAddr::new(self.config.contact_uri("", hop)).emit();
        if self.config.t38 {
            // RFC 6913: a fax machine may be reached here, by T.38.
            contact.extend_from_slice(b";+sip.fax=\"t38\"");
        }
        contact
    }

    pub(super) fn branch(&mut self) -> Vec<u8> {
        [b"z9hG4bK", self.token().as_slice()].concat()
    }

    /// Sends a request, which holds a Via to be filled in, in a transaction of its own. With our half of the table full to the last place
    /// it goes out once, unguarded (and counted).
    pub(super) fn send_request(
        &mut self,
        now: Instant,
        mut request: Message,
        ways: impl IntoIterator<Item = Target>,
        purpose: Purpose,
        dialog: Option<Dialog>,
    ) -> u64 {
        if matches!(request.method(), Some(Method::Invite | Method::Update)) {
            request.headers.push("Allow", ALLOW);
            if request.headers.count("Supported") == 0 {
                request.headers.push("Supported", SUPPORTED);
            }
        }
        if request.headers.count("User-Agent") == 0 {
            request.headers.push("User-Agent", self.config.user_agent.clone().into_bytes());
        }
        let further: VecDeque<Target> = ways.into_iter().take(SIP_TARGETS_MAX).collect();
        self.launch(now, Launch { request, further, tcp_tried: None, purpose, dialog, attempt: None, login: None })
    }

    pub(super) fn launch(&mut self, now: Instant, launch: Launch) -> u64 {
        let Launch { mut request, mut further, mut tcp_tried, purpose, dialog, attempt, mut login } = launch;
        let branch = self.branch();
        let ours = matches!(request.method(), Some(Method::Invite | Method::Update)) && !matches!(purpose, Purpose::Outside(_));
        // Credentials that were asked for once go along unasked, to the server that they are for, and to nobody else.
        if let (Some(to), Some(login)) = (further.front().map(|way| way.0.addr.ip()), self.login_for(purpose, &mut login)) {
            if login.is_primed_for(to) {
                login.authorize(&mut request);
            } else if !login.may_be_shown_to(to) {
                CREDENTIALS.iter().for_each(|name| request.headers.remove(name));
            }
        }
        let (at, bytes) = loop {
            let Some(at) = further.pop_front() else { return self.next_id() };
            request.headers.set("Via", self.via(at.0, &branch));
            if ours {
                request.headers.set("Contact", self.contact(at.0));
            }
            let bytes = request.emit();
            if self.too_large(at.0, bytes.len()) && tcp_tried != Some(at.0.addr) {
                let tcp = (Hop::tcp(at.0.addr), None);
                tcp_tried = Some(at.0.addr);
                further.push_front(at);
                further.push_front(tcp);
                continue;
            }
            break (at, bytes);
        };
        let launch = Launch { request, further, tcp_tried, purpose, dialog, attempt, login };
        self.start_client(now, branch, bytes, at, launch)
    }

    /// Who we are in the call of a request; `own`: who we are in one whose dialog is gone.
    pub(super) fn login_for<'a>(&'a mut self, purpose: Purpose, own: &'a mut Option<Box<Authorizer>>) -> Option<&'a mut Authorizer> {
        match purpose {
            Purpose::Invite(id) | Purpose::ReInvite(id) | Purpose::Update(id) | Purpose::Prack(id) => {
                self.usages.get_mut(&id).and_then(|u| u.login.as_deref_mut())
            }
            Purpose::Farewell | Purpose::Options(_) | Purpose::Outside(_) => own.as_deref_mut(),
        }
    }

    fn too_large(&self, hop: Hop, bytes: usize) -> bool {
        hop.transport == Transport::Udp && bytes > DATAGRAM_REQUEST_MAX && self.config.listens(Transport::Tcp)
    }

    fn start_client(&mut self, now: Instant, branch: Vec<u8>, bytes: Vec<u8>, at: Target, launch: Launch) -> u64 {
        let Launch { request, further, tcp_tried, purpose, dialog, attempt, login } = launch;
        self.transmit(&at, bytes.clone());
        let id = self.next_id();
        if self.clients.len() >= self.half() {
            self.counters.full += 1;
            return id;
        }
        let method = request.method().expect("a request was built").clone();
        let reliable = at.0.transport.is_reliable();
        let machine = match method {
            Method::Invite => ClientMachine::Invite(ClientInvite::new(now, reliable)),
            _ => ClientMachine::Other(Client::new(now, reliable)),
        };
        self.client_index.insert((branch.clone(), method), id);
        let hop = at.0;
        let (acks, hops) = (Vec::new(), Vec::new());
        let record = ClientRecord { machine, purpose, branch, request, bytes, at, further, tcp_tried, dialog, acks, hops, attempt, login };
        self.clients.insert(id, record);
        self.client_waits_at(id, hop);
        self.sync_client(id);
        id
    }

    /// A way is broken: no connection to it can be made, the one there was is gone, or the network says that nobody is there. What waits
    /// for a first word from there moves on or fails at once, as if by 503 (RFC 3261 s.8.1.3.1). What was heard of already waits on: its
    /// response may come by a new connection (s.18.2.2).
    pub fn handle_transport_failure(&mut self, now: Instant, dst: Hop) {
        self.counters.transport_failures += 1;
        let (clients, servers) = self.waiting_at(dst);
        let silent = |machine: &ClientMachine| match machine {
            ClientMachine::Invite(m) => m.state() == client_invite::State::Calling,
            ClientMachine::Other(m) => m.state() == client::State::Trying,
        };
        for id in clients {
            if !self.clients.get(&id).is_some_and(|r| r.at.0 == dst && silent(&r.machine)) {
                self.ack_moves_on(id, dst);
            } else if self.move_on(now, id) {
                self.forget_client(id);
            } else {
                self.client_failed(now, id, 503);
            }
        }
        if dst.transport.is_reliable() {
            self.answers_move_on(dst, &servers);
        }
    }

    fn ack_moves_on(&mut self, id: u64, dst: Hop) {
        let mut acks = self.clients.get_mut(&id).map(|r| core::mem::take(&mut r.acks)).unwrap_or_default();
        for ack in &mut acks {
            if ack.ways.len() > 1 && ack.ways.front().is_some_and(|w| w.0 == dst) {
                ack.ways.pop_front();
                self.address_ack(ack);
                if let Some(way) = ack.ways.front() {
                    self.transmit(way, ack.bytes.clone());
                    self.client_waits_at(id, way.0);
                }
            }
        }
        if let Some(record) = self.clients.get_mut(&id) {
            record.acks = acks;
        }
    }

    /// The connection that requests came on is gone: their responses go to who says it sent them (s.18.2.2).
    fn answers_move_on(&mut self, dst: Hop, servers: &[u64]) {
        let mut again = Vec::new();
        for id in servers {
            let Some(record) = self.servers.get_mut(id) else { continue };
            let Some(other) = record.back.otherwise.take() else { continue };
            record.back.to = other;
            self.at_hop.remove(&(dst, Owner::Server(*id)));
            self.at_hop.insert((other, Owner::Server(*id)));
            let waiting = matches!(&record.machine, ServerMachine::Invite(m) if m.state() == server_invite::State::Completed);
            if let (true, Some(bytes)) = (waiting, &record.last) {
                again.push((other, bytes.clone()));
            }
            // The transaction of an answered call lives as long as its 200 is repeated.
            if let Some(usage) = record.dialog.and_then(|id| self.usages.get_mut(&id))
                && let State::Confirmed { unacked: Some(unacked), .. } = &mut usage.state
                && unacked.back.to == dst
                && let Some(other) = unacked.back.otherwise.take()
            {
                unacked.back.to = other;
                again.push((other, unacked.bytes.clone()));
            }
        }
        for (hop, bytes) in again {
            self.counters.repeated += 1;
            self.transmit(&(hop, None), bytes);
        }
    }

    /// A request of ours got no answer (408) or found no way (503).
    pub(super) fn client_failed(&mut self, now: Instant, id: u64, status: u16) {
        let Some(record) = self.clients.get(&id) else { return };
        match record.purpose {
            Purpose::Invite(dialog) => self.call_failed(dialog, status),
            Purpose::ReInvite(dialog) => self.reinvite_failed(now, id, dialog, status),
            Purpose::Update(dialog) => self.update_failed(now, id, dialog, status, None),
            Purpose::Options(options) => {
                self.events.push_back(Event::OptionsAnswered { options, status, sdp: None, allow: Vec::new(), server: None });
            }
            Purpose::Outside(request) => self.events.push_back(Event::Response { request, status, response: None, from: record.at.0 }),
            Purpose::Farewell | Purpose::Prack(_) => {}
        }
        self.forget_client(id);
    }

    fn call_failed(&mut self, id: DialogId, status: u16) {
        let Some(Usage { state: State::Calling { cancelling, .. }, giving_up, .. }) = self.usages.get(&id) else { return };
        let event = match cancelling {
            Cancelling::No => {
                let reason = if status == 408 { "Nobody answers" } else { "No way there" }.into();
                Event::Failed { dialog: id, status, reason, q850: None, retry_after: None }
            }
            Cancelling::Wanted | Cancelling::Sent => Event::Ended { dialog: id, cause: *giving_up, q850: None },
        };
        self.end(id, event);
    }

    pub(super) fn send_cancel(&mut self, now: Instant, id: DialogId) {
        let Some(usage) = self.usages.get_mut(&id) else { return };
        let q850 = usage.q850;
        let State::Calling { tx, cancelling, .. } = &mut usage.state else { return };
        if *cancelling == Cancelling::Sent {
            return;
        }
        *cancelling = Cancelling::Sent;
        let tx = *tx;
        let Some(record) = self.clients.get_mut(&tx) else { return };
        if let ClientMachine::Invite(m) = &mut record.machine {
            m.cancel_sent(now);
        }
        // s.9.1: the same Request-URI, top Via, From, To, Call-ID, Route and CSeq number.
        let StartLine::Request { uri, .. } = &record.request.start else { return };
        let mut cancel = Message::request(Method::Cancel, uri.clone());
        for name in ["Via", "Max-Forwards", "Route", "From", "To", "Call-ID"] {
            for h in record.request.headers.iter().filter(|h| h.is(name)) {
                cancel.headers.push(name, h.value);
            }
        }
        let number = record.request.cseq().map_or(0, |c| c.number);
        let cancel = with_q850(cancel.with("CSeq", format!("{number} CANCEL")), q850).with("User-Agent", &self.config.user_agent);
        let (branch, at, bytes) = (record.branch.clone(), record.at.clone(), cancel.emit());
        let launch = Launch {
            request: cancel,
            further: VecDeque::new(),
            tcp_tried: None,
            purpose: Purpose::Farewell,
            dialog: None,
            attempt: None,
            login: None,
        };
        self.sync_client(tx);
        self.start_client(now, branch, bytes, at, launch);
    }

    /// Sends the BYE of a confirmed dialog and closes the peer's re-INVITE, should one be open. Its transaction, if it was sent.
    pub(super) fn send_bye(&mut self, now: Instant, id: DialogId) -> Option<u64> {
        let usage = self.usages.get_mut(&id)?;
        let q850 = usage.q850;
        let State::Confirmed { dialog, theirs, .. } = &mut usage.state else { return None };
        let theirs = theirs.take();
        let (bye, ways) = dialog.next_request(Method::Bye);
        // The dialog is about to be forgotten, and the BYE may still be asked who sends it.
        let login = usage.login.take();
        for tx in [theirs, usage.updated.take()].into_iter().flatten() {
            let response = self.response(tx, 487);
            self.respond(now, tx, response);
        }
        let request = with_q850(bye, q850).with("User-Agent", &self.config.user_agent);
        let further = ways.into_iter().collect();
        let purpose = Purpose::Farewell;
        Some(self.launch(now, Launch { request, further, tcp_tried: None, purpose, dialog: None, attempt: None, login }))
    }

    /// Writes Via for the first way of an ACK, and its bytes.
    pub(super) fn address_ack(&mut self, ack: &mut Ack) {
        let branch = self.branch();
        let Some(at) = ack.ways.front().map(|w| w.0) else { return };
        ack.message.headers.set("Via", self.via(at, &branch));
        ack.bytes = ack.message.emit();
        if self.too_large(at, ack.bytes.len()) && ack.ways.len() <= SIP_TARGETS_MAX {
            ack.ways.push_front((Hop::tcp(at.addr), None));
            ack.message.headers.set("Via", self.via(Hop::tcp(at.addr), &branch));
            ack.bytes = ack.message.emit();
        }
    }

    /// A response to the request of a server transaction, with our To tag.
    pub(super) fn response(&self, tx: u64, status: u16) -> Message {
        let record = self.servers.get(&tx).expect("the caller holds a live server transaction");
        let mut response = Message::response_to(&record.request, status, reason_phrase(status));
        if status > 100 {
            tag_response(&mut response, &record.local_tag);
            for h in record.request.headers.iter().filter(|h| h.is("Record-Route") && status < 300) {
                response.headers.push("Record-Route", h.value);
            }
        }
        response.with("Server", &self.config.user_agent)
    }

    /// Our Contact, for who sent the request of this server transaction.
    pub(super) fn contact_for(&self, tx: u64) -> Vec<u8> {
        self.contact(self.servers.get(&tx).map_or(Hop::udp(self.config.own_addr()), |r| r.back.to))
    }

    pub(super) fn respond(&mut self, now: Instant, tx: u64, response: Message) {
        let status = response.status().unwrap_or(500);
        let Some(record) = self.servers.get_mut(&tx) else { return };
        let may = match &mut record.machine {
            ServerMachine::Invite(m) => m.respond(now, status),
            ServerMachine::Other(m) => m.respond(now, status),
        };
        if !may {
            return;
        }
        let bytes = response.emit();
        record.last = Some(bytes.clone());
        if status >= 200 {
            // Nothing is made of the request any more; of a 2xx to an INVITE the dialog keeps the words. A transaction lives on for 32 s.
            record.request = Message::request(record.key.method.clone(), Vec::new());
            record.request_bytes = 0;
            if status < 300 && record.key.method == Method::Invite {
                record.last = None;
            }
        }
        let to = record.back.to;
        self.transmit(&(to, None), bytes);
        self.weigh_server(tx);
        self.sync_server(tx);
    }
}
