//! The user agent: calls made and taken, over transactions and dialogs. Read RFC 3261 s.8, 9, 12 to 15 before changing it.
//!
//! ```text
//! invite -> Calling ----2xx----> Confirmed --BYE (either way)--> gone
//!              |  \--3xx..6xx, no answer--> gone     ^
//!              \--hangup: CANCEL, wait--> gone       |
//! INVITE -> Ringing ----answer-----------------------/ (200 repeated until ACK; none in 64*T1: BYE)
//!              \--reject, CANCEL, BYE, 180 s--> gone
//! ```
//! A call that is refused before anything was said to it leaves nothing here (stranger.rs): what is kept belongs to calls that were taken.
//! The contract: after every `handle_*` or command, drain `poll_transmit` and `poll_event`, then wait for `poll_timeout`.
//! A dialog says its last word by `Failed` or `Ended`, once. The transactions under it live on by themselves until their timers end:
//! late 2xx of other forks are acknowledged and hung up there.

mod again;
mod command;
mod event;
mod identity;
mod info;
mod outside;
mod reliable;
mod request;
mod response;
mod send;
mod session;
mod stranger;
mod table;
mod timeout;
mod update;
mod ways;
mod words;

pub use event::*;

use super::auth::{Attempt, Authorizer};
use super::dialog::Dialog;
use super::message::{Message, Method, NameAddr, Uri, readable};
use super::transaction::{Client, ClientInvite, Deadlines, Server, ServerInvite, ServerKey, T1_64_MS, T1_MS, TIMER_C_MS, Timer};
use crate::clock::{Instant, Rng, TimerTable, ms};
use crate::digest::Prints;
use crate::limits::{SIP_FORKS_MAX, SIP_NAME_BYTES_MAX, SIP_TARGETS_MAX, SIP_TRANSMITS_MAX};
use crate::sip::hop::{Hop, Target, Transport};
use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use stranger::TurnedAway;
use words::{reason_phrase, status_of_q850, tag_response, with_q850};

/// What we take, for Allow.
const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, INFO";
/// The extensions that we take, for Supported.
const SUPPORTED: &str = "100rel, timer";

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
    Update(DialogId),
    Prack(DialogId),
    /// The answer of a BYE or CANCEL changes nothing.
    Farewell,
    Options(OptionsId),
    /// A request that somebody else made (outside.rs).
    Outside(RequestId),
}

#[derive(Clone, Debug)]
struct ClientRecord {
    machine: ClientMachine,
    purpose: Purpose,
    branch: Vec<u8>,
    request: Message,
    bytes: Vec<u8>,
    at: Target,
    /// Where it goes should `at` fail (RFC 3263 s.4.3).
    further: VecDeque<Target>,
    /// Too large for a datagram, it is tried by TCP first; this is where.
    tcp_tried: Option<SocketAddr>,
    /// The dialog of a re-INVITE as it was, for the ACK should the dialog be gone by then.
    dialog: Option<Dialog>,
    acks: Vec<Ack>,
    /// The hops that it is indexed under (ways.rs).
    hops: Vec<Hop>,
    /// What the server asked of it so far (401, 407).
    attempt: Option<Attempt>,
    /// Of a BYE, whose dialog is gone: who we are.
    login: Option<Box<Authorizer>>,
}

/// An ACK of ours, which is sent again with each repeat of its response.
#[derive(Clone, Debug)]
struct Ack {
    /// The To tag of the response that it is for; empty for that of a failure.
    tag: Vec<u8>,
    message: Message,
    bytes: Vec<u8>,
    ways: VecDeque<Target>,
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
    /// Bytes of that, 0 once it is answered for good; and of all that is kept here, as counted in `Endpoint::kept`.
    request_bytes: usize,
    kept: usize,
    /// It held no session description.
    offerless: bool,
    last: Option<Vec<u8>>,
    back: WayBack,
    local_tag: Vec<u8>,
    /// The dialog that an INVITE belongs to.
    dialog: Option<DialogId>,
}

/// Where the responses to a request go (RFC 3261 s.18.2.2, RFC 3581).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct WayBack {
    to: Hop,
    /// Should the connection that the request came on be gone: a new one to who says it sent it.
    otherwise: Option<Hop>,
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
    bytes: Vec<u8>,
    back: WayBack,
    cseq: u32,
    repeat_ms: u64,
    first: bool,
    offered: bool,
    /// It repeats what stood already: nobody needs to hear of its ACK.
    quiet: bool,
}

/// One fork of our call that was heard of (s.12.1.2).
#[derive(Clone, Debug)]
struct Early {
    dialog: Dialog,
    /// Number of its last reliable response (RFC 3262).
    rseq: Option<u32>,
    /// Its last session description.
    sdp: Option<Vec<u8>>,
}

/// A reliable provisional response of ours that waits for its PRACK (RFC 3262).
#[derive(Clone, Debug)]
struct Open {
    bytes: Vec<u8>,
    repeat_ms: u64,
    sdp: bool,
}

/// What was said before the answer to a call that rings here.
#[derive(Clone, Debug, Default)]
struct Progress {
    /// Who counts for it in `Endpoint::ringing_from`.
    source: Option<IpAddr>,
    /// The last status above 100 that was said, to be said again each minute.
    said: u16,
    /// The caller takes reliable provisional responses.
    supported: bool,
    /// It takes no others.
    required: bool,
    open: Option<Open>,
    /// Further ones: only one may be open at a time.
    later: VecDeque<(u16, Vec<u8>)>,
    /// Our answer, which waits for the PRACK of the session in the 183.
    answer: Option<Vec<u8>>,
    /// Offer and answer are through already.
    settled: bool,
}

#[derive(Clone, Debug)]
enum State {
    Calling { tx: u64, cancelling: Cancelling, early: Vec<Early> },
    Ringing { tx: u64, dialog: Dialog, progress: Box<Progress> },
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
    timers: TimerTable<Timer, 10>,
    /// Our UPDATE under way.
    update: Option<u64>,
    /// The peer's UPDATE or PRACK whose offer waits for `answer` or `reject`.
    updated: Option<u64>,
    /// What is under way of ours only keeps the session alive.
    refreshing: bool,
    /// The peer takes UPDATE.
    allows_update: bool,
    /// The peer takes OPTIONS.
    allows_options: bool,
    /// Number of our last reliable response, and of the first; 0: none yet.
    rseq: (u32, u32),
    /// Our 2xx-answered INVITE without offer: transaction and tag of the ACK that waits for our answer.
    ack_due: Option<(u64, Vec<u8>)>,
    words: session::Words,
    session: session::Session,
    login: Option<Box<Authorizer>>,
    /// Reason to send with the CANCEL or BYE that waits.
    q850: Option<u8>,
    /// Why we take back a call that is not answered yet.
    giving_up: EndCause,
}

/// The user agent machine.
#[derive(Clone, Debug)]
pub struct Endpoint {
    config: Config,
    /// For what is no secret: jitter, first numbers.
    rng: Rng,
    /// What tags, branches, Call-IDs and client nonces are.
    prints: Prints,
    last_id: u64,
    clients: BTreeMap<u64, ClientRecord>,
    client_index: BTreeMap<(Vec<u8>, Method), u64>,
    servers: BTreeMap<u64, ServerRecord>,
    server_index: BTreeMap<ServerKey, u64>,
    merge_index: BTreeMap<Vec<u8>, u64>,
    turned_away: TurnedAway,
    usages: BTreeMap<DialogId, Usage>,
    usage_index: BTreeMap<(Vec<u8>, Vec<u8>), DialogId>,
    /// Usages that a peer's INVITE made.
    inbound: usize,
    /// Calls to us that are not answered yet, by their source.
    ringing_from: BTreeMap<IpAddr, usize>,
    /// Bytes that the server transactions hold.
    kept: usize,
    /// What waits at which hop.
    at_hop: BTreeSet<(Hop, Owner)>,
    deadlines: Deadlines<Owner>,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
    capabilities: Option<Vec<u8>>,
    counters: Counters,
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
                    Purpose::Invite(d) | Purpose::ReInvite(d) | Purpose::Update(d) | Purpose::Prack(d) => Some(d),
                    Purpose::Farewell | Purpose::Options(_) | Purpose::Outside(_) => None,
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
    /// Where the peer of a dialog that stands was last seen.
    pub fn seen_at(&self, id: DialogId) -> Option<Hop> {
        match &self.usages.get(&id)?.state {
            State::Confirmed { dialog, .. } => Some(dialog.seen_at()),
            State::Calling { .. } | State::Ringing { .. } => None,
        }
    }
    /// Where the peer of a dialog that stands says it is reached, if it is seen there too.
    pub fn peer_at(&self, id: DialogId) -> Option<Hop> {
        match &self.usages.get(&id)?.state {
            State::Confirmed { dialog, .. } => dialog.seen_target(),
            State::Calling { .. } | State::Ringing { .. } => None,
        }
    }
    /// Whether the call that we make was heard of: at least a 100 came.
    pub fn is_proceeding(&self, id: DialogId) -> bool {
        let Some(State::Calling { tx, .. }) = self.usages.get(&id).map(|u| &u.state) else { return false };
        let machine = self.clients.get(tx).map(|c| &c.machine);
        matches!(machine, Some(ClientMachine::Invite(m)) if m.state() == crate::sip::transaction::client_invite::State::Proceeding)
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
                + self.ringing_from.len()
                + self.at_hop.len()
                + self.deadlines.len(),
            kept_bytes: self.kept,
        }
    }
}

impl Usage {
    /// The dialog with the peer of this tag.
    fn dialog_mut(&mut self, remote_tag: &[u8]) -> Option<&mut Dialog> {
        match &mut self.state {
            State::Calling { early, .. } => early.iter_mut().map(|e| &mut e.dialog).find(|d| d.remote_tag() == remote_tag),
            State::Ringing { dialog, .. } | State::Confirmed { dialog, .. } => Some(dialog).filter(|d| d.remote_tag() == remote_tag),
        }
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

#[cfg(test)]
mod tests;
