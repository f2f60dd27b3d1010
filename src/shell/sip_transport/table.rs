//! Which connections are open, under the hop that names each, and how many may be: in all, from one source, and by us.

use crate::clock::Instant;
use crate::limits::{
    SIP_CONNECTIONS_IN_MAX, SIP_CONNECTIONS_OUT_MAX, SIP_CONNECTIONS_PER_SOURCE_MAX, SIP_TOLD_MAX, SIP_WRITES_QUEUED_BYTES_MAX,
    SIP_WRITES_QUEUED_MAX,
};
use crate::sip::{Hop, Transport};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::mpsc;

/// What was counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Connections open now that others opened.
    pub open_in: usize,
    /// Connections open now, or being opened, by us.
    pub open_out: usize,
    /// Connections that others opened, so far.
    pub accepted: u64,
    /// Connections turned away because there were too many in all.
    pub refused_full: u64,
    /// Connections turned away because there were too many from one source.
    pub refused_source: u64,
    /// TLS handshakes that failed.
    pub handshakes_failed: u64,
    /// Connections closed because what came was not SIP or too long.
    pub garbage: u64,
    /// Connections closed because a message, the first message, or anything at all did not come in time.
    pub timed_out: u64,
    /// Keep-alive pings answered.
    pub pings_answered: u64,
    /// STUN requests answered.
    pub stun_answered: u64,
    /// Datagrams that the system did not take.
    pub udp_not_sent: u64,
}

impl From<Counters> for crate::api::gateway::SipTransportCounters {
    fn from(c: Counters) -> Self {
        crate::api::gateway::SipTransportCounters {
            open_in: c.open_in,
            open_out: c.open_out,
            accepted: c.accepted,
            refused: c.refused_full + c.refused_source,
            handshakes_failed: c.handshakes_failed,
            garbage: c.garbage,
            timed_out: c.timed_out,
            keep_alives: c.pings_answered + c.stun_answered,
            udp_not_sent: c.udp_not_sent,
        }
    }
}

/// How often one source may have a line in the log.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Who counts as one source.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Source(IpAddr);

impl Source {
    pub fn of(ip: IpAddr) -> Source {
        Source(crate::sip::source_of(ip))
    }
}

/// Messages for one connection, in order, with a bound on their bytes.
pub struct Queue {
    messages: mpsc::Receiver<Vec<u8>>,
    bytes: Arc<AtomicUsize>,
}

impl Queue {
    /// The next one; `None` when the hop belongs to another connection now.
    pub async fn recv(&mut self) -> Option<Vec<u8>> {
        let message = self.messages.recv().await?;
        self.bytes.fetch_sub(message.len(), Ordering::Relaxed);
        Some(message)
    }
    /// What waits, without waiting.
    pub fn try_recv(&mut self) -> Option<Vec<u8>> {
        let message = self.messages.try_recv().ok()?;
        self.bytes.fetch_sub(message.len(), Ordering::Relaxed);
        Some(message)
    }
    /// Whether it ended with something still to be written.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}

/// What the peer of a TLS connection has proven.
#[derive(Clone, Debug)]
pub enum Proven {
    /// Being connected, to prove this name.
    Asked(Option<Arc<str>>),
    /// This certificate, chained to a root that we trust.
    Certificate(Arc<[u8]>),
    /// Nothing: in the clear, or a client that was not asked, or verification is switched off by configuration.
    Nothing,
    /// We do not ask, by configuration.
    Anything,
}

struct Entry {
    id: u64,
    queue: mpsc::Sender<Vec<u8>>,
    bytes: Arc<AtomicUsize>,
    proven: Proven,
}

#[derive(Default)]
struct Inner {
    entries: HashMap<Hop, Entry>,
    sources: HashMap<Source, usize>,
    /// Further names of open connections (RFC 5923), by connection.
    aliases: HashMap<u64, Hop>,
    last_id: u64,
    counters: Counters,
    full_told: bool,
    /// When a source last had a line in the log.
    told: HashMap<Source, Instant>,
}

/// The table. One lock, held for a look-up.
#[derive(Default)]
pub struct Table(Arc<Mutex<Inner>>);

/// Where a message went.
pub enum Entered {
    /// To an open connection, or one being opened.
    Queued,
    /// Nowhere: the peer does not read, or there are too many connections.
    Full(&'static str),
    /// To a connection that is to be opened now.
    New(Seat, Queue),
}

/// A connection's place in the table; given back when dropped.
pub struct Seat {
    table: Arc<Mutex<Inner>>,
    /// Tells connections of one hop apart.
    id: u64,
    hop: Hop,
    /// Of one that others opened.
    source: Option<Source>,
}

fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    inner.lock().expect("nothing panics while it holds the table")
}

impl Table {
    /// Queues for the open connection of `dst`, or says that one must be opened.
    pub fn enqueue(&self, dst: Hop, name: Option<&str>, bytes: Vec<u8>) -> Entered {
        let mut inner = lock(&self.0);
        let bytes = match inner.entries.get(&dst) {
            Some(entry) if dst.transport != Transport::Tls || may_carry(&entry.proven, name) => {
                if entry.bytes.load(Ordering::Relaxed) + bytes.len() > SIP_WRITES_QUEUED_BYTES_MAX {
                    return Entered::Full("the peer does not read what it is sent");
                }
                let length = bytes.len();
                entry.bytes.fetch_add(length, Ordering::Relaxed);
                match entry.queue.try_send(bytes) {
                    Ok(()) => return Entered::Queued,
                    Err(mpsc::error::TrySendError::Full(_)) => {
                        entry.bytes.fetch_sub(length, Ordering::Relaxed);
                        return Entered::Full("the peer does not read what it is sent");
                    }
                    // It is ending; its seat is about to be given back.
                    Err(mpsc::error::TrySendError::Closed(bytes)) => bytes,
                }
            }
            _ => bytes,
        };
        if inner.counters.open_out >= SIP_CONNECTIONS_OUT_MAX {
            return Entered::Full("too many connections of ours");
        }
        inner.counters.open_out += 1;
        let (seat, queue) = self.seat(&mut inner, dst, None, Proven::Asked(name.map(Arc::from)), Some(bytes));
        Entered::New(seat, queue)
    }

    /// A place for a connection that somebody opened; `None`: there are too many.
    pub fn admit(&self, src: Hop) -> Option<(Seat, Queue)> {
        let mut inner = lock(&self.0);
        let source = Source::of(src.addr.ip());
        if inner.counters.open_in >= SIP_CONNECTIONS_IN_MAX {
            inner.counters.refused_full += 1;
            if !std::mem::replace(&mut inner.full_told, true) {
                tracing::warn!("{SIP_CONNECTIONS_IN_MAX} SIP connections are open: more are turned away");
            }
            return None;
        }
        let from_there = inner.sources.entry(source).or_default();
        if *from_there >= SIP_CONNECTIONS_PER_SOURCE_MAX {
            // Told once for each time that a source fills its share.
            if *from_there == SIP_CONNECTIONS_PER_SOURCE_MAX {
                *from_there += 1;
                tracing::warn!("{SIP_CONNECTIONS_PER_SOURCE_MAX} SIP connections are open from {}: more are turned away", src.addr.ip());
            }
            inner.counters.refused_source += 1;
            return None;
        }
        *from_there += 1;
        inner.counters.open_in += 1;
        inner.counters.accepted += 1;
        Some(self.seat(&mut inner, src, Some(source), Proven::Nothing, None))
    }

    fn seat(&self, inner: &mut Inner, hop: Hop, source: Option<Source>, proven: Proven, first: Option<Vec<u8>>) -> (Seat, Queue) {
        inner.last_id += 1;
        let id = inner.last_id;
        let (queue, messages) = mpsc::channel(SIP_WRITES_QUEUED_MAX);
        let bytes = Arc::new(AtomicUsize::new(first.as_ref().map_or(0, Vec::len)));
        if let Some(first) = first {
            let _there_is_room = queue.try_send(first);
        }
        inner.entries.insert(hop, Entry { id, queue, bytes: bytes.clone(), proven });
        (Seat { table: self.0.clone(), id, hop, source }, Queue { messages, bytes })
    }

    /// What was counted here.
    pub fn counters(&self) -> Counters {
        lock(&self.0).counters
    }

    /// Counts something.
    pub fn count(&self, what: impl FnOnce(&mut Counters)) {
        what(&mut lock(&self.0).counters);
    }

    /// Whether this source may have a line in the log now: one a minute.
    pub fn may_tell(&self, now: Instant, ip: IpAddr) -> bool {
        let told = &mut lock(&self.0).told;
        let source = Source::of(ip);
        if told.get(&source).is_some_and(|at| now.since(*at) < TOLD_EVERY) {
            return false;
        }
        if told.len() >= SIP_TOLD_MAX {
            told.retain(|_, at| now.since(*at) < TOLD_EVERY);
        }
        if told.len() < SIP_TOLD_MAX {
            told.insert(source, now);
            return true;
        }
        false
    }

    /// Connections of either kind.
    pub fn open_connections(&self) -> usize {
        let inner = lock(&self.0);
        inner.counters.open_in + inner.counters.open_out
    }
}

/// Whether a request that must reach `name` may go over a TLS connection that has proven so much. What goes to whoever is there (answers,
/// requests to an address) may go over any.
fn may_carry(proven: &Proven, name: Option<&str>) -> bool {
    let Some(name) = name else { return true };
    match proven {
        Proven::Anything => true,
        Proven::Nothing => false,
        Proven::Asked(asked) => asked.as_deref().is_some_and(|a| a.eq_ignore_ascii_case(name)),
        Proven::Certificate(certificate) => crate::shell::tls::certifies(certificate, name),
    }
}

impl Seat {
    /// The handshake is done, with this proof.
    pub fn prove(&self, proven: Proven) {
        let mut inner = lock(&self.table);
        if let Some(entry) = inner.entries.get_mut(&self.hop).filter(|e| e.id == self.id) {
            entry.proven = proven;
        }
    }

    /// Requests to `hop` may go over this connection too (RFC 5923 s.5), unless another stands there.
    pub fn alias(&self, hop: Hop) {
        let mut inner = lock(&self.table);
        if inner.entries.contains_key(&hop) || inner.aliases.contains_key(&self.id) {
            return;
        }
        let Some(own) = inner.entries.get(&self.hop).filter(|e| e.id == self.id) else { return };
        let entry = Entry { id: own.id, queue: own.queue.clone(), bytes: own.bytes.clone(), proven: own.proven.clone() };
        inner.entries.insert(hop, entry);
        inner.aliases.insert(self.id, hop);
    }

    /// No more messages for it: who sends now opens another.
    pub fn leave(&self) {
        let mut inner = lock(&self.table);
        remove(&mut inner, self.hop, self.id);
        if let Some(alias) = inner.aliases.remove(&self.id) {
            remove(&mut inner, alias, self.id);
        }
    }
}

/// Unless the hop belongs to a later connection.
fn remove(inner: &mut Inner, hop: Hop, id: u64) {
    if inner.entries.get(&hop).is_some_and(|e| e.id == id) {
        inner.entries.remove(&hop);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave();
        let mut inner = lock(&self.table);
        let Some(source) = self.source else {
            inner.counters.open_out -= 1;
            return;
        };
        inner.counters.open_in -= 1;
        inner.full_told &= inner.counters.open_in > SIP_CONNECTIONS_IN_MAX / 2;
        if let Some(n) = inner.sources.get_mut(&source) {
            // One above the bound marks that it was told.
            *n = (*n).min(SIP_CONNECTIONS_PER_SOURCE_MAX) - 1;
            if *n == 0 {
                inner.sources.remove(&source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(text: &str) -> Hop {
        Hop::tcp(text.parse().unwrap())
    }

    #[tokio::test]
    async fn a_second_message_takes_the_connection_of_the_first() {
        let table = Table::default();
        let Entered::New(seat, mut queue) = table.enqueue(tcp("10.0.0.1:5060"), None, vec![1]) else { panic!("none is open") };
        assert!(matches!(table.enqueue(tcp("10.0.0.1:5060"), None, vec![2]), Entered::Queued));
        assert_eq!((queue.recv().await, queue.recv().await), (Some(vec![1]), Some(vec![2])));
        drop((seat, queue));
        assert_eq!(table.open_connections(), 0);
        assert!(matches!(table.enqueue(tcp("10.0.0.1:5060"), None, vec![3]), Entered::New(..)), "it is gone");
    }

    #[test]
    fn one_source_cannot_take_all_places_and_gets_them_back() {
        let table = Table::default();
        let from = |i: usize| tcp(&format!("[2001:db8::{i:x}]:5060"));
        let mut seats: Vec<_> = (0..SIP_CONNECTIONS_PER_SOURCE_MAX).map(|i| table.admit(from(i)).expect("there is room")).collect();
        assert!(table.admit(from(9999)).is_none(), "the /64 is one source");
        assert!(table.admit(from(9999)).is_none());
        assert!(table.admit(tcp("10.0.0.1:1")).is_some(), "others get in");
        assert_eq!(table.counters().refused_source, 2);
        seats.pop();
        assert!(table.admit(from(9999)).is_some());
        seats.clear();
        assert_eq!(table.open_connections(), 0);
        let inner = lock(&table.0);
        assert!(inner.sources.is_empty() && inner.entries.is_empty());
    }

    #[test]
    fn one_line_a_source_and_minute_within_bounds() {
        let table = Table::default();
        let ip = |i: u32| IpAddr::V4(i.into());
        let at = |s: u64| Instant::from_ms(s * 1000);
        assert!(table.may_tell(at(0), ip(0)) && !table.may_tell(at(59), ip(0)) && table.may_tell(at(60), ip(0)));
        let lines = (1..5000).filter(|i| table.may_tell(at(60), ip(*i))).count();
        assert_eq!(lines, SIP_TOLD_MAX - 1);
        assert!(table.may_tell(at(120), ip(9999)));
    }

    #[test]
    fn full_is_full_and_ours_are_apart() {
        let table = Table::default();
        let address = |i: usize| tcp(&format!("10.{}.{}.1:5060", i / 256, i % 256));
        let seats: Vec<_> = (0..SIP_CONNECTIONS_IN_MAX).map(|i| table.admit(address(i)).expect("there is room")).collect();
        assert!(table.admit(tcp("11.0.0.1:1")).is_none());
        assert!(matches!(table.enqueue(tcp("11.0.0.1:1"), None, vec![]), Entered::New(..)));
        assert_eq!((table.counters().refused_full, seats.len()), (1, SIP_CONNECTIONS_IN_MAX));
    }

    #[test]
    fn a_peer_that_does_not_read_fills_its_own_queue_only() {
        let table = Table::default();
        let Entered::New(_seat, mut queue) = table.enqueue(tcp("10.0.0.1:5060"), None, vec![0; 60_000]) else { panic!("none is open") };
        let more =
            (0..SIP_WRITES_QUEUED_MAX).filter(|_| matches!(table.enqueue(tcp("10.0.0.1:5060"), None, vec![0; 60_000]), Entered::Queued));
        assert_eq!(more.count(), SIP_WRITES_QUEUED_BYTES_MAX / 60_000 - 1);
        assert!(queue.try_recv().is_some());
        assert!(matches!(table.enqueue(tcp("10.0.0.1:5060"), None, vec![0; 60_000]), Entered::Queued));
    }

    #[test]
    fn a_later_connection_of_the_same_hop_keeps_its_place() {
        let table = Table::default();
        let hop = tcp("10.0.0.1:5060");
        let Entered::New(first, _q1) = table.enqueue(hop, None, vec![1]) else { panic!("none is open") };
        let (second, mut q2) = table.admit(hop).expect("there is room");
        drop(first);
        assert!(matches!(table.enqueue(hop, None, vec![2]), Entered::Queued));
        assert_eq!(q2.try_recv(), Some(vec![2]));
        drop(second);
    }

    #[test]
    fn a_name_goes_only_where_it_was_proven() {
        let table = Table::default();
        let hop = Hop::tls("10.0.0.1:5061".parse().unwrap());
        let Entered::New(seat, _q) = table.enqueue(hop, Some("a.example"), vec![1]) else { panic!("none is open") };
        assert!(matches!(table.enqueue(hop, Some("A.example"), vec![]), Entered::Queued), "being asked for the same");
        let Entered::New(other, _q2) = table.enqueue(hop, Some("b.example"), vec![]) else { panic!("not for that name") };
        other.prove(Proven::Nothing);
        assert!(matches!(table.enqueue(hop, Some("b.example"), vec![]), Entered::New(..)), "it has proven nothing");
        drop((seat, other));
    }

    #[test]
    fn an_alias_lasts_as_long_as_its_connection() {
        let table = Table::default();
        let (seat, mut queue) = table.admit(tcp("10.0.0.1:49152")).expect("there is room");
        seat.alias(tcp("10.0.0.1:5060"));
        seat.alias(tcp("10.0.0.2:5060"));
        assert!(matches!(table.enqueue(tcp("10.0.0.1:5060"), None, vec![7]), Entered::Queued));
        assert_eq!(queue.try_recv(), Some(vec![7]));
        assert!(matches!(table.enqueue(tcp("10.0.0.2:5060"), None, vec![7]), Entered::New(..)), "one alias a connection");
        drop(seat);
        let inner = lock(&table.0);
        assert!(inner.entries.is_empty() && inner.aliases.is_empty());
    }
}
