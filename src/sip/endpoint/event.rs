//! What goes into the endpoint and what comes out of it.

pub use super::identity::{Diversion, Identity};
use crate::clock::Instant;
use crate::sip::auth::Login;
use crate::sip::hop::{Hop, Target, Transport};
use crate::sip::message::{Message, Uri};
use crate::sip::network::{Network, is_inside};
use core::fmt;
use core::net::SocketAddr;
use std::sync::Arc;

/// An INVITE usage: one call as SIP sees it, from the first INVITE to the end, with all its early dialogs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DialogId(pub u64);

/// An OPTIONS that we sent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OptionsId(pub u64);

/// A request outside any call, sent by [`Endpoint::request`](super::Endpoint::request).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestId(pub u64);

impl fmt::Display for DialogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dialog{}", self.0)
    }
}

/// How the endpoint presents itself, and its bounds.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where peers reach us, by each transport and family of addresses: Via, Contact and the host of From. Not empty; the first is for
    /// who is reached by a transport of which there is none.
    pub contacts: Vec<Hop>,
    /// Under which address peers beyond our NAT reach us by UDP, where there is one: they are told this in place of our own.
    pub outside: Option<SocketAddr>,
    /// User-Agent and Server.
    pub user_agent: String,
    /// T.38 is spoken here: our Contact says so (RFC 6913).
    pub t38: bool,
    /// Peers whose P-Asserted-Identity is believed, and who are told ours (RFC 3325).
    pub trusted: Vec<Network>,
    /// The interval of session timers that we ask for, in s (RFC 4028); `None`: only where the peer asks.
    pub session_expires_s: Option<u32>,
    /// Transactions at a time: one half for what peers ask, the other for what we ask, so that no flood keeps us from calling. Of each
    /// half new calls get three quarters, so that BYE and CANCEL still find room.
    pub transactions_max: usize,
    /// Dialogs at a time. Calls to us get at most three quarters of them.
    pub dialogs_max: usize,
    /// Bytes that what peers asked may hold here until it is forgotten. New calls get three quarters of them.
    pub kept_bytes_max: usize,
}

impl Config {
    /// The bounds of `limits.rs`. Peers reach us by UDP at `contact`; [`Config::also_at`] adds further transports.
    pub fn new(contact: SocketAddr, user_agent: impl Into<String>) -> Config {
        Config {
            contacts: vec![Hop::udp(contact)],
            outside: None,
            user_agent: user_agent.into(),
            t38: false,
            trusted: Vec::new(),
            session_expires_s: Some(1_800),
            transactions_max: crate::limits::SIP_TRANSACTIONS_MAX,
            dialogs_max: crate::limits::SIP_DIALOGS_MAX,
            kept_bytes_max: crate::limits::SIP_KEPT_BYTES_MAX,
        }
    }
    /// One more transport or address at which peers reach us.
    pub fn also_at(mut self, contact: Hop) -> Config {
        self.contacts.push(contact);
        self
    }
    /// Whether peers reach us by this transport.
    pub fn listens(&self, transport: Transport) -> bool {
        self.contacts.iter().any(|c| c.transport == transport)
    }
    /// Where who is reached over `hop` reaches us.
    pub fn contact(&self, hop: Hop) -> Hop {
        if let Some(outside) = self.outside.filter(|o| hop.transport == Transport::Udp && o.is_ipv4() == hop.addr.is_ipv4())
            && !is_inside(hop.addr.ip())
        {
            return Hop::udp(outside);
        }
        let fits = |c: &&Hop| c.transport == hop.transport && c.addr.is_ipv4() == hop.addr.is_ipv4();
        let near = |c: &&Hop| c.transport == hop.transport;
        let found = self.contacts.iter().find(fits).or_else(|| self.contacts.iter().find(near)).or(self.contacts.first());
        found.copied().unwrap_or(Hop::udp(self.own_addr()))
    }
    /// The same as a URI: `sip:user@address`, with the transport unless it is UDP (RFC 3261 s.19.1.2).
    pub fn contact_uri(&self, user: &str, hop: Hop) -> Uri {
        let contact = self.contact(hop);
        let plain = Uri::sip(user, contact.addr);
        match contact.transport {
            Transport::Udp => plain,
            other => {
                let raw = [plain.as_bytes(), b";transport=", other.as_str().to_ascii_lowercase().as_bytes()].concat();
                Uri::parse(&raw).unwrap_or(plain)
            }
        }
    }
    pub(super) fn own_addr(&self) -> SocketAddr {
        self.contacts.first().map_or(SocketAddr::from(([0, 0, 0, 0], 5060)), |c| c.addr)
    }
}

/// A call to be made.
#[derive(Clone, Debug, Default)]
pub struct Invite {
    /// The number or user; or a whole `sip:`, `sips:` or `tel:` URI.
    pub to: String,
    /// Where the INVITE is sent, the best first: on 503, silence or a broken way it goes to the next (RFC 3263 s.4.3). Not empty; those
    /// beyond [`SIP_TARGETS_MAX`](crate::limits::SIP_TARGETS_MAX) are not tried.
    pub targets: Vec<Target>,
    /// Values of Route for the INVITE, loose: an outbound proxy, a service route (RFC 3608).
    pub routes: Vec<String>,
    /// Our number; or a whole URI.
    pub from: String,
    /// Our display name.
    pub display: Option<String>,
    /// The session description; empty for a call without one: then `Answered` brings the peer's offer, and `acknowledge` answers it.
    pub offer: Vec<u8>,
    /// The caller is not to be shown: From is anonymous, and Privacy asks the network to keep it (RFC 3323, RFC 3325).
    pub anonymous: bool,
    /// A URI that we vouch for as the caller's (RFC 3325): P-Asserted-Identity to trusted peers, P-Preferred-Identity to others.
    pub asserted: Option<String>,
    /// The call is a fax: a machine is asked for (RFC 6913).
    pub fax: bool,
    /// Who we are, should the server ask (401, 407).
    pub login: Option<Login>,
    /// Further headers.
    pub headers: Vec<(String, String)>,
}

/// A table is full. The caller refuses, counts, and says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitReached;

/// Why a command was not carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CommandError {
    /// No such dialog (any more): its last event is out or on its way.
    UnknownDialog,
    /// The dialog is not where this command makes sense (RFC 3261 s.14.1: one INVITE at a time).
    WrongState,
    /// A table is full.
    LimitReached,
}

impl fmt::Display for LimitReached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "too many SIP transactions or dialogs")
    }
}
impl std::error::Error for LimitReached {}
impl From<LimitReached> for CommandError {
    fn from(_: LimitReached) -> Self {
        CommandError::LimitReached
    }
}
impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommandError::UnknownDialog => write!(f, "no such dialog"),
            CommandError::WrongState => write!(f, "the dialog is in another state"),
            CommandError::LimitReached => LimitReached.fmt(f),
        }
    }
}
impl std::error::Error for CommandError {}

/// A message to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transmit {
    /// How, and to whom. An open connection to there is used.
    pub dst: Hop,
    /// The domain that a *new* TLS connection must prove (RFC 5922). `None`: only what is open, or a peer known by its address.
    pub server_name: Option<Arc<str>>,
    /// The message.
    pub bytes: Vec<u8>,
}

/// Why a dialog is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndCause {
    /// The peer sent BYE.
    Bye,
    /// The peer cancelled its call before it was answered.
    Cancelled,
    /// We hung up, cancelled or rejected.
    HungUp,
    /// The peer never acknowledged our answer.
    NoAck,
    /// The peer does not answer in the dialog any more, or knows nothing of it.
    PeerLost,
    /// It rang too long.
    RangTooLong,
    /// The caller never acknowledged a provisional response that it had to (RFC 3262).
    NoPrack,
    /// The session was not refreshed in its time (RFC 4028).
    Expired,
}

impl fmt::Display for EndCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EndCause::Bye => "the peer hung up (BYE)",
            EndCause::Cancelled => "the caller cancelled (CANCEL)",
            EndCause::HungUp => "we hung up",
            EndCause::NoAck => "the peer never acknowledged the answer (64*T1)",
            EndCause::PeerLost => "the peer does not know the dialog any more or does not answer in it",
            EndCause::RangTooLong => "it rang too long (180 s)",
            EndCause::NoPrack => "the caller never acknowledged the early session (PRACK)",
            EndCause::Expired => "the session was not refreshed in its time",
        })
    }
}

/// What happened. Each dialog ends with exactly one `Failed` or `Ended`, and nothing of it comes after.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Event {
    /// Somebody calls; `ringing`, `progress`, `answer`, `reject` or `hangup`. Who is refused before anything else was said is answered once
    /// and forgotten; who hears nothing within 200 ms is told 100 Trying.
    Incoming {
        dialog: DialogId,
        to_user: String,
        from_user: String,
        display: Option<String>,
        source: Hop,
        /// `None`: the caller wants our offer in the 200.
        offer: Option<Vec<u8>>,
        call_id: String,
        identity: Identity,
    },
    /// 101 to 199 came. With a session in it this is early media (RFC 3960); if it is `reliable`, the session is agreed.
    Provisional { dialog: DialogId, status: u16, sdp: Option<Vec<u8>>, reliable: bool },
    /// The caller has our 183; `sdp` is the answer if it held our offer.
    ProgressAcked { dialog: DialogId, sdp: Option<Vec<u8>> },
    /// The peer offers another session by UPDATE or PRACK, before the answer or in the call; `answer` or `reject`, at once.
    UpdateOffered { dialog: DialogId, offer: Vec<u8> },
    /// Our UPDATE is answered.
    UpdateAnswered { dialog: DialogId, sdp: Vec<u8> },
    /// Our UPDATE failed; the session is as it was. `retry_in_ms`: when it may be tried again (491, 500).
    UpdateFailed { dialog: DialogId, status: u16, retry_in_ms: Option<u64> },
    /// The peer answered a refresh of the session with another description than it had: take it as its answer.
    Refreshed { dialog: DialogId, sdp: Vec<u8> },
    /// The peer sends a digit in signalling (INFO).
    Dtmf {
        dialog: DialogId,
        /// `0` to `9`, `*`, `#`, `A` to `D`.
        digit: char,
        /// How long it is, in ms.
        ms: u32,
    },
    /// The call we made is answered; the ACK is out, unless we called without an offer. `sdp` is empty if the peer sent none.
    Answered { dialog: DialogId, sdp: Vec<u8> },
    /// The call we made failed. `status` is 408 where nobody answered.
    Failed {
        dialog: DialogId,
        status: u16,
        reason: String,
        /// Q.850 cause of a Reason header (RFC 3326).
        q850: Option<u8>,
        /// Seconds, of Retry-After.
        retry_after: Option<u32>,
    },
    /// The peer wants to change the session; `answer` or `reject`. `offer` is `None` when it wants ours.
    ReInvited { dialog: DialogId, offer: Option<Vec<u8>> },
    /// The peer withdrew its re-INVITE (487 is out); the session is as it was.
    ReInviteCancelled { dialog: DialogId },
    /// Our re-INVITE is answered; the ACK is out, unless it had no offer and `sdp` is one.
    ReInviteAnswered { dialog: DialogId, sdp: Vec<u8> },
    /// Our re-INVITE failed; the session is as it was.
    ReInviteFailed {
        dialog: DialogId,
        status: u16,
        /// For 491: when to try again, in ms (RFC 3261 s.14.1).
        retry_in_ms: Option<u64>,
    },
    /// Our 200 is acknowledged; `sdp` is the answer if the 200 held our offer.
    Acked { dialog: DialogId, sdp: Option<Vec<u8>> },
    /// The dialog is over.
    Ended { dialog: DialogId, cause: EndCause, q850: Option<u8> },
    /// Our OPTIONS is answered (408: nobody answers).
    OptionsAnswered { options: OptionsId, status: u16, sdp: Option<Vec<u8>>, allow: Vec<String>, server: Option<String> },
    /// A request made by [`Endpoint::request`](super::Endpoint::request) is answered for good. `response` is `None` where nobody answered
    /// (408) or no way led there (503).
    Response { request: RequestId, status: u16, response: Option<Box<Message>>, from: Hop },
}

impl Event {
    /// The dialog it is about.
    pub fn dialog(&self) -> Option<DialogId> {
        match self {
            Event::Incoming { dialog, .. }
            | Event::Provisional { dialog, .. }
            | Event::ProgressAcked { dialog, .. }
            | Event::UpdateOffered { dialog, .. }
            | Event::UpdateAnswered { dialog, .. }
            | Event::UpdateFailed { dialog, .. }
            | Event::Refreshed { dialog, .. }
            | Event::Dtmf { dialog, .. }
            | Event::Answered { dialog, .. }
            | Event::Failed { dialog, .. }
            | Event::ReInvited { dialog, .. }
            | Event::ReInviteCancelled { dialog }
            | Event::ReInviteAnswered { dialog, .. }
            | Event::ReInviteFailed { dialog, .. }
            | Event::Acked { dialog, .. }
            | Event::Ended { dialog, .. } => Some(*dialog),
            Event::OptionsAnswered { .. } | Event::Response { .. } => None,
        }
    }
    /// Whether it is the last of its dialog.
    pub fn is_last(&self) -> bool {
        matches!(self, Event::Failed { .. } | Event::Ended { .. })
    }
}

/// Counters of what was not worth an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct Counters {
    /// Datagrams that are no SIP.
    pub garbage: u64,
    /// CRLF and STUN keep-alives.
    pub keep_alives: u64,
    /// Requests answered 4xx or 5xx because of how they are written.
    pub malformed: u64,
    /// Responses to nothing we asked.
    pub stray_responses: u64,
    /// ACKs to nothing we answered.
    pub stray_acks: u64,
    /// Requests refused because a table is full.
    pub full: u64,
    /// Calls refused because so many of their source ring here already.
    pub crowded: u64,
    /// Requests refused because those before them hold all the memory that they may.
    pub heavy: u64,
    /// Requests from outside any dialog that were refused and left nothing behind.
    pub refused: u64,
    /// Datagrams thrown away because nobody took them out.
    pub transmits_lost: u64,
    /// Messages sent, repeats included.
    pub sent: u64,
    /// Repeats among them.
    pub repeated: u64,
    /// Timers fired.
    pub timers: u64,
    /// Requests that went on to their next way.
    pub failovers: u64,
    /// Session refreshes begun.
    pub refreshes: u64,
    /// Ways that broke.
    pub transport_failures: u64,
}

/// What is alive, for tests and metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct Alive {
    pub dialogs: usize,
    pub client_transactions: usize,
    pub server_transactions: usize,
    /// Entries of the look-up tables and deadlines beside the above; zero when those are.
    pub index_entries: usize,
    /// Bytes that the server transactions hold: messages and names.
    pub kept_bytes: usize,
}

/// Who wants to be woken, and for what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimerReason {
    /// The timer.
    pub timer: crate::sip::transaction::Timer,
    /// The dialog, if it is one's.
    pub dialog: Option<DialogId>,
}

/// The next deadline with its reason.
pub type Deadline = (Instant, TimerReason);
