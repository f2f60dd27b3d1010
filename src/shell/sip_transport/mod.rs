//! SIP's sockets and connections (RFC 3261 s.18): UDP, TCP and TLS, in and out, IPv4 and IPv6. Used by the gateway and by the directory.
//!
//! The daemon's one loop owns a [`SipTransport`]: [`SipTransport::recv`] brings whole messages and failures, [`SipTransport::send`] never
//! waits. UDP is read and written right there. Each connection is a task of its own (`connection`), entered in one bounded table
//! (`table`) under the [`Hop`] that names it: a message to a hop whose connection is open goes there, whoever opened it; otherwise one
//! is opened. What fails comes back as [`Incoming::Failed`], for `Endpoint::handle_transport_failure`.

mod connection;
mod listener;
mod table;
mod udp;

pub use table::Counters;

use super::access::Access;
use super::tls;
use crate::clock::Rng;
use crate::limits::SIP_MESSAGES_QUEUED_MAX;
use crate::sip::{Hop, Transport};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use table::{Entered, Table};
use tokio::sync::{mpsc, watch};

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Until a connection that we open stands. Well under 64*T1, so that the next server gets its turn.
    pub connect: Duration,
    /// Until a TLS handshake is done.
    pub handshake: Duration,
    /// From the first byte of a message to its last.
    pub message: Duration,
    /// Until a stranger who connected has said something that is a message.
    pub first_message: Duration,
    /// Until a connection over which messages went is closed for silence. Phones that send no keep-alives speak at least when they
    /// register again, which is rarely set above an hour.
    pub idle: Duration,
    /// Until something waiting to be written must have moved on.
    pub write: Duration,
    /// The longest time between our pings on a connection that we opened (RFC 5626 s.4.4.1: the actual one is 80 to 100 % of it).
    pub ping: Duration,
    /// Until a ping is answered.
    pub pong: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            connect: Duration::from_secs(4),
            handshake: Duration::from_secs(6),
            message: Duration::from_secs(10),
            first_message: Duration::from_secs(32),
            idle: Duration::from_secs(3900),
            write: Duration::from_secs(20),
            ping: Duration::from_secs(120),
            pong: Duration::from_secs(10),
        }
    }
}

/// What a transport is opened with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// TLS.
    pub tls_listen: Vec<SocketAddr>,
    /// DSCP of what we send.
    pub dscp: u8,
    /// Certificates and whom to believe.
    pub tls: tls::Settings,
    /// Whom we let in.
    pub access: Arc<Access>,
    /// Times.
    pub patience: Patience,
}

impl Settings {
    /// What `[sip]` says.
    pub fn of(sip: &crate::config::sip::Sip, tls: tls::Settings) -> Settings {
        Settings {
            listen: sip.listen.all().to_vec(),
            tls_listen: sip.tls_listen.all().to_vec(),
            dscp: sip.dscp,
            tls,
            access: Arc::default(),
            patience: Patience::default(),
        }
    }
}

/// What comes in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Incoming {
    /// A message, whole; the endpoint says whether it is one.
    Message {
        /// Whence. An answer to this hop goes back over the same connection.
        src: Hop,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// The answer to a STUN request of ours, as it came by UDP.
    Stun {
        /// Whence.
        src: SocketAddr,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// Nothing reaches this hop: not connected, or the connection ended, or the network said so.
    Failed {
        /// Whither.
        dst: Hop,
        /// Why, for the log.
        why: String,
    },
}

/// The sockets and connections of one daemon.
pub struct SipTransport {
    udp: udp::Sockets,
    shared: Arc<Shared>,
    came: mpsc::Receiver<Incoming>,
    /// Found out while sending; told at the next [`SipTransport::recv`].
    failed: VecDeque<Incoming>,
    local: Vec<Hop>,
    stop: watch::Sender<bool>,
    gone: watch::Sender<Vec<IpAddr>>,
    streams_first: bool,
}

/// What the tasks of listeners and connections have in common.
struct Shared {
    table: Table,
    access: Arc<Access>,
    came: mpsc::Sender<Incoming>,
    patience: Patience,
    dscp: u8,
    tls: tls::Sides,
    stop: watch::Receiver<bool>,
    /// Addresses that are ours no more: connections from there are dead.
    gone: watch::Receiver<Vec<IpAddr>>,
}

impl SipTransport {
    /// Binds everything and begins to listen. Inside a tokio runtime. The error names the address at fault.
    pub fn open(settings: Settings) -> Result<SipTransport, String> {
        super::sys::raise_descriptor_limit();
        let (came_in, came) = mpsc::channel(SIP_MESSAGES_QUEUED_MAX);
        let (stop, stopping) = watch::channel(false);
        let (gone, going) = watch::channel(Vec::new());
        let tls = tls::Sides::of(&settings.tls, !settings.tls_listen.is_empty())?;
        let shared = Arc::new(Shared {
            table: Table::default(),
            access: settings.access,
            came: came_in,
            patience: settings.patience,
            dscp: settings.dscp,
            tls,
            stop: stopping,
            gone: going,
        });
        if !settings.tls_listen.is_empty() {
            tokio::task::spawn_blocking(tls::warm_up);
        }
        let mut local = Vec::new();
        let mut udp = udp::Sockets::default();
        for address in &settings.listen {
            let bound = udp.bind(&shared, *address).map_err(|e| format!("sip.listen: UDP {address}: {e}"))?;
            local.push(Hop::udp(bound));
            let bound = listener::listen(&shared, Transport::Tcp, bound).map_err(|e| format!("sip.listen: TCP {bound}: {e}"))?;
            local.push(Hop::tcp(bound));
        }
        for address in &settings.tls_listen {
            let bound = listener::listen(&shared, Transport::Tls, *address).map_err(|e| format!("sip.tls_listen {address}: {e}"))?;
            local.push(Hop::tls(bound));
        }
        Ok(SipTransport { udp, shared, came, failed: VecDeque::new(), local, stop, gone, streams_first: false })
    }

    /// Where it listens: what was asked for, with ports chosen where that said 0.
    pub fn local(&self) -> &[Hop] {
        &self.local
    }

    /// Where peers reach us, for `sip::Config::contacts`: the same without wildcards, which lead nowhere.
    pub fn contacts(&self) -> Vec<Hop> {
        self.local.iter().copied().filter(|hop| !hop.addr.ip().is_unspecified()).collect()
    }

    /// These addresses are ours no more. What was connected from there ends, and is told as failed: the system itself would go on trying for
    /// minutes.
    pub fn leave(&self, gone: Vec<IpAddr>) {
        self.gone.send_replace(gone);
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        Counters { stun_answered: self.udp.stun_answered, udp_not_sent: self.udp.not_sent, ..self.shared.table.counters() }
    }

    /// Sends a message. Never waits: what cannot be sent is told by [`Incoming::Failed`] at the next [`SipTransport::recv`].
    ///
    /// `server_name` is the domain that the other end of a *new* TLS connection must prove (RFC 5922); without it, its address.
    pub fn send(&mut self, dst: impl Into<Hop>, server_name: Option<Arc<str>>, bytes: Vec<u8>) {
        let dst = dst.into();
        if dst.transport == Transport::Udp {
            if let Err(why) = self.udp.send(dst.addr, &bytes) {
                self.note_failure(dst, why);
            }
            return;
        }
        match self.shared.table.enqueue(dst, server_name.as_deref(), bytes) {
            Entered::Queued => {}
            Entered::Full(why) => self.note_failure(dst, why.into()),
            Entered::New(seat, queue) => connection::open(self.shared.clone(), seat, queue, dst, server_name),
        }
    }

    /// Sends a message of which many leave together: over UDP with one call, when a batch is full, nothing that was read waits any more, or at
    /// [`SipTransport::flush`]. Otherwise as [`SipTransport::send`].
    pub fn post(&mut self, dst: impl Into<Hop>, bytes: Vec<u8>) {
        let dst = dst.into();
        match dst.transport {
            Transport::Udp => self.udp.post(dst.addr, &bytes),
            Transport::Tcp | Transport::Tls => self.send(dst, None, bytes),
        }
    }

    /// What was posted leaves now.
    pub fn flush(&mut self) {
        self.udp.flush_all();
    }

    /// Once is enough for all that was sent there since the last [`SipTransport::recv`].
    fn note_failure(&mut self, dst: Hop, why: String) {
        if !self.failed.iter().any(|f| matches!(f, Incoming::Failed { dst: told, .. } if *told == dst)) {
            self.failed.push_back(Incoming::Failed { dst, why });
        }
    }

    /// What was posted over UDP and could not leave.
    fn take_failures(&mut self) {
        for (dst, why) in core::mem::take(&mut self.udp.failed) {
            self.note_failure(Hop::udp(dst), why);
        }
    }

    /// The next message or failure. Cancelling it loses nothing.
    pub async fn recv(&mut self) -> Incoming {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// The next message or failure that is there already.
    pub fn try_recv(&mut self) -> Option<Incoming> {
        match self.poll_recv(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(incoming) => Some(incoming),
            // Whoever asked last by `recv` asks again, and then its waker is known.
            Poll::Pending => None,
        }
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        self.take_failures();
        if let Some(failure) = self.failed.pop_front() {
            return Poll::Ready(failure);
        }
        // Turn and turn about: neither a flood of datagrams nor one of streams keeps the other waiting.
        self.streams_first = !self.streams_first;
        if self.streams_first
            && let Poll::Ready(Some(incoming)) = self.came.poll_recv(cx)
        {
            return Poll::Ready(incoming);
        }
        if let Poll::Ready(incoming) = self.udp.poll_recv(cx) {
            return Poll::Ready(incoming);
        }
        self.take_failures();
        if let Some(failure) = self.failed.pop_front() {
            return Poll::Ready(failure);
        }
        match self.came.poll_recv(cx) {
            Poll::Ready(Some(incoming)) => Poll::Ready(incoming),
            // `shared` holds a sender, so the channel never ends before us.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// Stops listening, lets connections write what is queued, closes them. At most a second.
    pub async fn close(mut self) {
        self.flush();
        let _nobody_listens = self.stop.send(true);
        let quiet = async {
            while self.shared.table.open_connections() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let _cut_off = tokio::time::timeout(Duration::from_secs(1), quiet).await;
    }
}

/// Where SIP listens, for people.
pub fn addresses_in_words(sip: &crate::config::sip::Sip) -> String {
    let list = |all: &[SocketAddr]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match sip.tls_listen.all() {
        [] => format!("{} (UDP, TCP)", list(sip.listen.all())),
        tls => format!("{} (UDP, TCP), {} (TLS)", list(sip.listen.all()), list(tls)),
    }
}

/// 80 to 100 % of the longest time between pings (RFC 5626 s.4.4.1).
fn ping_after(patience: &Patience, rng: &mut Rng) -> Duration {
    patience.ping.mul_f64(0.8 + 0.2 * rng.unit())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
