//! The user agent: calls made and taken, over transactions and dialogs. Read RFC 3261 s.8, 9, 12 to 15 before changing it.
//!
//! ```text
//! invite -> Calling ----2xx----> Confirmed --BYE (either way)--> gone
//!              |  \--3xx..6xx, no answer--> gone     ^
//!              \--hangup: CANCEL, wait--> gone       |
//! INVITE -> Ringing ----answer-----------------------/ (200 repeated until ACK; none in 64*T1: BYE)
//!              \--reject, CANCEL, BYE, 180 s--> gone
//! ```
//! The contract: after every `handle_*` or command, drain `poll_transmit` and `poll_event`, then wait for `poll_timeout`.
//! A dialog says its last word by `Failed` or `Ended`, once. The transactions under it live on by themselves until their timers end:
//! late 2xx of other forks are acknowledged and hung up there.

mod event;
mod request;
mod response;
mod timeout;

pub use event::*;

use super::dialog::Dialog;
use super::message::{Message, Method, NameAddr, Uri, readable};
use super::transaction::{Client, ClientInvite, Deadlines, Server, ServerInvite, ServerKey, T1_64_MS, T1_MS, TIMER_C_MS, Timer};
use crate::clock::{Instant, Rng, TimerTable, ms};
use crate::limits::{SIP_FORKS_MAX, SIP_TRANSMITS_MAX};
use core::net::SocketAddr;
use std::collections::{BTreeMap, VecDeque};

/// What we take, for Allow.
const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS";
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Owner {
    Client(u64),
    Server(u64),
    Dialog(DialogId),
}

#[derive(Clone, Debug)]
enum ClientMachine {
    Invite(ClientInvite),
    Other(Client),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Purpose {
    Invite(DialogId),
    ReInvite(DialogId),
    /// The answer of a BYE or CANCEL changes nothing.
    Farewell,
    Options(OptionsId),
}

#[derive(Clone, Debug)]
struct ClientRecord {
    machine: ClientMachine,
    purpose: Purpose,
    branch: Vec<u8>,
    request: Message,
    bytes: Vec<u8>,
    dst: SocketAddr,
    /// The dialog of a re-INVITE as it was, for the ACK should the dialog be gone by then.
    dialog: Option<Dialog>,
    /// ACKs by the To tag of the response they are for.
    acks: Vec<(Vec<u8>, Transmit)>,
}

#[derive(Clone, Debug)]
enum ServerMachine {
    Invite(ServerInvite),
    Other(Server),
}

#[derive(Clone, Debug)]
struct ServerRecord {
    machine: ServerMachine,
    key: ServerKey,
    merge: Vec<u8>,
    /// The request without its body, which may be large and is not needed again.
    request: Message,
    /// It held no session description.
    offerless: bool,
    last: Option<Vec<u8>>,
    dst: SocketAddr,
    local_tag: Vec<u8>,
    /// The dialog that an INVITE belongs to.
    dialog: Option<DialogId>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cancelling {
    No,
    /// Hung up before any provisional came: CANCEL must wait for it (s.9.1).
    Wanted,
    Sent,
}

/// A 200 of ours that waits for its ACK.
#[derive(Clone, Debug)]
struct Unacked {
    transmit: Transmit,
    cseq: u32,
    repeat_ms: u64,
    first: bool,
    offered: bool,
}

#[derive(Clone, Debug)]
enum State {
    Calling { tx: u64, cancelling: Cancelling, early: Vec<Dialog>, early_sdp: Option<Vec<u8>> },
    Ringing { tx: u64, dialog: Dialog },
    Confirmed { dialog: Dialog, ours: Option<u64>, theirs: Option<u64>, unacked: Option<Unacked>, closing: bool },
}

/// One INVITE usage (RFC 5057).
#[derive(Clone, Debug)]
struct Usage {
    call_id: Vec<u8>,
    local_tag: Vec<u8>,
    /// We made the Call-ID: the longer back-off after 491 is ours.
    owner: bool,
    state: State,
    timers: TimerTable<Timer, 3>,
    /// Reason to send with the CANCEL or BYE that waits.
    q850: Option<u8>,
    /// Why we take back a call that is not answered yet.
    giving_up: EndCause,
}

/// The user agent machine.
#[derive(Clone, Debug)]
pub struct Endpoint {
    config: Config,
    rng: Rng,
    /// Makes the To tags of answers that are given without keeping state.
    salt: u64,
    last_id: u64,
    clients: BTreeMap<u64, ClientRecord>,
    client_index: BTreeMap<(Vec<u8>, Method), u64>,
    servers: BTreeMap<u64, ServerRecord>,
    server_index: BTreeMap<ServerKey, u64>,
    merge_index: BTreeMap<Vec<u8>, u64>,
    usages: BTreeMap<DialogId, Usage>,
    usage_index: BTreeMap<(Vec<u8>, Vec<u8>), DialogId>,
    /// Usages that a peer's INVITE made.
    inbound: usize,
    deadlines: Deadlines<Owner>,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
    capabilities: Option<Vec<u8>>,
    counters: Counters,
}

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
        let uri = uri.unwrap_or_else(|| Uri::sip(&call.to, call.target));
        let local_tag = self.token();
        let call_id = [self.token(), b"@".to_vec(), self.config.contact.ip().to_string().into_bytes()].concat();
        let mut from = NameAddr::new(Uri::sip(&call.from, self.config.contact));
        from.display = call.display.map(String::into_bytes);
        from.params.set("tag", local_tag.clone());
        let mut request = Message::request(Method::Invite, uri.request_uri())
            .with("Max-Forwards", "70")
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
        let tx = self.send_request(now, request, call.target, Purpose::Invite(id), None);
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
        let mut response = self.response(tx, status).with("Contact", self.contact());
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
        let mut response = self.response(tx, 200).with("Contact", self.contact()).with("Allow", ALLOW);
        let record = self.servers.get(&tx).expect("an unanswered INVITE keeps its transaction");
        let (cseq, dst) = (record.request.cseq().map_or(0, |c| c.number), record.dst);
        let offered = record.offerless;
        if !sdp.is_empty() {
            response = response.with_body("application/sdp", sdp);
        }
        let transmit = Transmit { dst, bytes: response.emit() };
        self.respond(now, tx, response);
        let usage = self.usages.get_mut(&id).expect("looked up above");
        let unacked = Some(Unacked { transmit, cseq, repeat_ms: T1_MS, first, offered });
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
        let usage = self.usages.get_mut(&id).ok_or(CommandError::UnknownDialog)?;
        let (tx, first) = match &mut usage.state {
            State::Ringing { tx, .. } => (*tx, true),
            State::Confirmed { theirs, .. } => (theirs.take().ok_or(CommandError::WrongState)?, false),
            State::Calling { .. } => return Err(CommandError::WrongState),
        };
        usage.timers.stop(Timer::Ring);
        let response = with_q850(self.response(tx, status.clamp(300, 699)), q850);
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
        let (request, dst) = dialog.next_request(Method::Invite);
        let dialog = dialog.clone();
        let mut request = request;
        if !offer.is_empty() {
            request = request.with_body("application/sdp", offer);
        }
        let tx = self.send_request(now, request, dst, Purpose::ReInvite(id), Some(dialog));
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
                        Some(ClientMachine::Invite(m)) if m.state() == super::transaction::client_invite::State::Proceeding);
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

    /// Asks a peer whether it is there and what it can do.
    pub fn options(&mut self, now: Instant, target: SocketAddr, user: &str) -> Result<OptionsId, LimitReached> {
        if !self.may_ask() {
            self.counters.full += 1;
            return Err(LimitReached);
        }
        let uri = Uri::sip(user, target);
        let mut from = NameAddr::new(Uri::sip("", self.config.contact));
        from.params.set("tag", self.token());
        let request = Message::request(Method::Options, uri.as_bytes())
            .with("Max-Forwards", "70")
            .with("From", from.emit())
            .with("To", NameAddr::new(uri).emit())
            .with("Call-ID", self.token())
            .with("CSeq", "1 OPTIONS")
            .with("Accept", "application/sdp");
        let options = OptionsId(self.next_id());
        self.send_request(now, request, target, Purpose::Options(options), None);
        Ok(options)
    }
}

/// What the driver and the logs ask.
impl Endpoint {
    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }
    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
    /// When to call `handle_timeout`, and for whom.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let (at, owner) = self.deadlines.next()?;
        let (timer, dialog) = match owner {
            Owner::Client(id) => {
                let record = self.clients.get(&id)?;
                let dialog = match record.purpose {
                    Purpose::Invite(d) | Purpose::ReInvite(d) => Some(d),
                    Purpose::Farewell | Purpose::Options(_) => None,
                };
                (record.next_timer()?.1, dialog)
            }
            Owner::Server(id) => (self.servers.get(&id)?.next_timer()?.1, None),
            Owner::Dialog(id) => (self.usages.get(&id)?.timers.next()?.1, Some(id)),
        };
        Some((at, TimerReason { timer, dialog }))
    }
    /// The Call-ID of a dialog that lives, for logs.
    pub fn call_id(&self, id: DialogId) -> Option<String> {
        self.usages.get(&id).map(|u| readable(&u.call_id))
    }
    /// What was counted.
    pub fn counters(&self) -> Counters {
        self.counters
    }
    /// What is alive.
    pub fn alive(&self) -> Alive {
        Alive {
            dialogs: self.usages.len(),
            client_transactions: self.clients.len(),
            server_transactions: self.servers.len(),
            index_entries: self.client_index.len()
                + self.server_index.len()
                + self.merge_index.len()
                + self.usage_index.len()
                + self.deadlines.len(),
        }
    }
}

/// Parts that the three ways in share.
impl Endpoint {
    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
    fn token(&mut self) -> Vec<u8> {
        format!("{:016x}", self.rng.next_u64()).into_bytes()
    }
    fn contact(&self) -> Vec<u8> {
        NameAddr::new(Uri::sip("", self.config.contact)).emit()
    }
    /// Transactions that each direction may have: what strangers send never takes the room of what we send.
    fn half(&self) -> usize {
        self.config.transactions_max / 2
    }
    /// New requests of ours leave the last quarter of their half to BYE and CANCEL.
    fn may_ask(&self) -> bool {
        self.clients.len() < self.half() * 3 / 4
    }
    /// New requests of strangers leave the last quarter of their half to those inside dialogs.
    fn may_be_asked(&self) -> bool {
        self.servers.len() < self.half() * 3 / 4
    }
    /// Calls to us leave the last quarter of the dialogs to calls from us.
    fn may_be_called(&self) -> bool {
        self.inbound < self.config.dialogs_max * 3 / 4 && self.usages.len() < self.config.dialogs_max
    }

    fn transmit(&mut self, transmit: Transmit) {
        if self.transmits.len() >= SIP_TRANSMITS_MAX {
            self.counters.transmits_lost += 1;
            return;
        }
        self.counters.sent += 1;
        self.transmits.push_back(transmit);
    }

    fn with_via(&self, request: Message, branch: &[u8]) -> Message {
        let mut via = format!("SIP/2.0/UDP {};rport;branch=", self.config.contact).into_bytes();
        via.extend_from_slice(branch);
        let Message { start, headers, body } = request;
        let mut message = Message { start, headers: Default::default(), body };
        message.headers.push("Via", via);
        headers.iter().for_each(|h| message.headers.push(&h.name, h.value.clone()));
        message
    }

    /// Sends a request in a transaction of its own. With our half of the table full to the last place it goes out once, unguarded (and counted).
    fn send_request(&mut self, now: Instant, request: Message, dst: SocketAddr, purpose: Purpose, dialog: Option<Dialog>) -> u64 {
        let branch = [b"z9hG4bK", self.token().as_slice()].concat();
        let mut request = self.with_via(request, &branch);
        if request.method() == Some(&Method::Invite) {
            request.headers.push("Contact", self.contact());
            request.headers.push("Allow", ALLOW.into());
        }
        self.start_client(now, request, branch, dst, purpose, dialog)
    }

    fn start_client(
        &mut self,
        now: Instant,
        mut request: Message,
        branch: Vec<u8>,
        dst: SocketAddr,
        purpose: Purpose,
        dialog: Option<Dialog>,
    ) -> u64 {
        request.headers.push("User-Agent", self.config.user_agent.clone().into_bytes());
        let bytes = request.emit();
        self.transmit(Transmit { dst, bytes: bytes.clone() });
        let id = self.next_id();
        if self.clients.len() >= self.half() {
            self.counters.full += 1;
            return id;
        }
        let method = request.method().expect("a request was built").clone();
        let machine = match method {
            Method::Invite => ClientMachine::Invite(ClientInvite::new(now)),
            _ => ClientMachine::Other(Client::new(now)),
        };
        self.client_index.insert((branch.clone(), method), id);
        self.clients.insert(id, ClientRecord { machine, purpose, branch, request, bytes, dst, dialog, acks: Vec::new() });
        self.sync_client(id);
        id
    }

    fn send_cancel(&mut self, now: Instant, id: DialogId) {
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
        let super::message::StartLine::Request { uri, .. } = &record.request.start else { return };
        let mut cancel = Message::request(Method::Cancel, uri.clone());
        for name in ["Via", "Max-Forwards", "Route", "From", "To", "Call-ID"] {
            for h in record.request.headers.iter().filter(|h| h.is(name)) {
                cancel.headers.push(name, h.value.clone());
            }
        }
        let number = record.request.cseq().map_or(0, |c| c.number);
        let cancel = with_q850(cancel.with("CSeq", format!("{number} CANCEL")), q850);
        let (branch, dst) = (record.branch.clone(), record.dst);
        self.sync_client(tx);
        self.start_client(now, cancel, branch, dst, Purpose::Farewell, None);
    }

    /// Sends the BYE of a confirmed dialog and closes the peer's re-INVITE, should one be open.
    fn send_bye(&mut self, now: Instant, id: DialogId) {
        let Some(usage) = self.usages.get_mut(&id) else { return };
        let q850 = usage.q850;
        let State::Confirmed { dialog, theirs, .. } = &mut usage.state else { return };
        let theirs = theirs.take();
        let (bye, dst) = dialog.next_request(Method::Bye);
        if let Some(tx) = theirs {
            let response = self.response(tx, 487);
            self.respond(now, tx, response);
        }
        self.send_request(now, with_q850(bye, q850), dst, Purpose::Farewell, None);
    }

    /// A response to the request of a server transaction, with our To tag.
    fn response(&self, tx: u64, status: u16) -> Message {
        let record = self.servers.get(&tx).expect("the caller holds a live server transaction");
        let mut response = Message::response_to(&record.request, status, reason_phrase(status));
        if status > 100 {
            tag_response(&mut response, &record.local_tag);
            for h in record.request.headers.iter().filter(|h| h.is("Record-Route") && status < 300) {
                response.headers.push("Record-Route", h.value.clone());
            }
        }
        response.with("Server", &self.config.user_agent)
    }

    fn respond(&mut self, now: Instant, tx: u64, response: Message) {
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
        let dst = record.dst;
        self.transmit(Transmit { dst, bytes });
        self.sync_server(tx);
    }

    fn add_usage(&mut self, id: DialogId, call_id: Vec<u8>, local_tag: Vec<u8>, owner: bool, state: State) {
        self.usage_index.insert((call_id.clone(), local_tag.clone()), id);
        self.inbound += usize::from(!owner);
        let timers = TimerTable::new([Timer::Ring, Timer::Answer, Timer::AckWait]);
        self.usages.insert(id, Usage { call_id, local_tag, owner, state, timers, q850: None, giving_up: EndCause::HungUp });
    }

    /// Says a dialog's last word and forgets it.
    fn end(&mut self, id: DialogId, event: Event) {
        let Some(usage) = self.usages.remove(&id) else { return };
        self.inbound -= usize::from(!usage.owner);
        self.usage_index.remove(&(usage.call_id, usage.local_tag));
        self.deadlines.set(Owner::Dialog(id), None);
        self.events.push_back(event);
    }

    fn sync_client(&mut self, id: u64) {
        let at = self.clients.get(&id).and_then(ClientRecord::next_timer).map(|t| t.0);
        self.deadlines.set(Owner::Client(id), at);
    }
    fn sync_server(&mut self, id: u64) {
        let at = self.servers.get(&id).and_then(ServerRecord::next_timer).map(|t| t.0);
        self.deadlines.set(Owner::Server(id), at);
    }
    fn sync_dialog(&mut self, id: DialogId) {
        let at = self.usages.get(&id).and_then(|u| u.timers.next()).map(|t| t.0);
        self.deadlines.set(Owner::Dialog(id), at);
    }

    fn forget_client(&mut self, id: u64) {
        if let Some(record) = self.clients.remove(&id) {
            let method = record.request.method().expect("a client transaction holds a request").clone();
            self.client_index.remove(&(record.branch, method));
        }
        self.deadlines.set(Owner::Client(id), None);
    }
    fn forget_server(&mut self, id: u64) {
        if let Some(record) = self.servers.remove(&id) {
            self.server_index.remove(&record.key);
            if self.merge_index.get(&record.merge) == Some(&id) {
                self.merge_index.remove(&record.merge);
            }
        }
        self.deadlines.set(Owner::Server(id), None);
    }
}

impl ClientRecord {
    fn next_timer(&self) -> Option<(Instant, Timer)> {
        match &self.machine {
            ClientMachine::Invite(m) => m.next_timer(),
            ClientMachine::Other(m) => m.next_timer(),
        }
    }
}
impl ServerRecord {
    fn next_timer(&self) -> Option<(Instant, Timer)> {
        match &self.machine {
            ServerMachine::Invite(m) => m.next_timer(),
            ServerMachine::Other(m) => m.next_timer(),
        }
    }
}

fn tag_response(response: &mut Message, tag: &[u8]) {
    if let Ok(mut to) = response.to()
        && to.tag().is_none()
    {
        to.params.set("tag", tag);
        response.headers.set("To", to.emit());
    }
}

fn with_q850(message: Message, q850: Option<u8>) -> Message {
    match q850 {
        Some(cause) => message.with("Reason", format!("Q.850;cause={cause}")),
        None => message,
    }
}

/// The refusal for a Q.850 cause (RFC 3398 s.8.2.6.1).
fn status_of_q850(cause: Option<u8>) -> u16 {
    match cause {
        Some(1..=3) => 404,
        Some(17) => 486,
        Some(18) => 408,
        Some(21 | 22) => 403,
        Some(28) => 484,
        Some(34 | 38 | 41 | 42 | 47) => 503,
        Some(65 | 79 | 88) => 488,
        _ => 480,
    }
}

/// The reason phrase of RFC 3261 s.21 for the statuses we send.
fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        183 => "Session Progress",
        200 => "OK",
        302 => "Moved Temporarily",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        484 => "Address Incomplete",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        491 => "Request Pending",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "Version Not Supported",
        600 => "Busy Everywhere",
        603 => "Decline",
        606 => "Not Acceptable",
        _ => "Refused",
    }
}

#[cfg(test)]
mod tests;
