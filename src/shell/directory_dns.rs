//! The directory's ENUM door on its sockets. Datagrams have a thread for each address: a batch is taken from the system with one call, answered
//! under one hold of the lock on the machines, and sent with one call. Connections (RFC 7766) are tasks beside those of the other doors; each
//! has one query at a time, so whoever sends many at once waits with the rest in its own socket.

use crate::config::directory::Config;
use crate::config::enum_dns::EnumDns;
use crate::directory::logins::LogGate;
use crate::enum_door::rate::{Pass, Rates};
use crate::enum_door::{Carrier, Door, OUTCOMES, Outcome, Settings};
use crate::limits::{DNS_CONNECTIONS_MAX, DNS_CONNECTIONS_PER_SOURCE_MAX, DNS_LISTENERS_MAX, DNS_QUERY_BYTES_MAX};
use crate::shell::directory::{Shared, StartError};
use crate::shell::log::Seldom;
use crate::shell::sys::batch::{Inbox, Outbox};
use crate::shell::{clock, sys};
use crate::sip::source_of;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How long a thread waits for a datagram before it looks whether the daemon ends.
const LOOK_AROUND: Duration = Duration::from_millis(200);
/// After an error of a socket that is no datagram's: without a pause this would spin.
const AFTER_ERROR: Duration = Duration::from_millis(100);
/// A connection over which nothing is asked for this long is closed (RFC 7766 s.6.2.3: seconds).
const IDLE: Duration = Duration::from_secs(10);
/// From a query's length to its last byte, and as long for its answer.
const MESSAGE: Duration = Duration::from_secs(5);
/// What the system may keep of queries while we are busy: some 1600, as it counts them.
const RECEIVE_BYTES: usize = 1 << 20;

/// What was counted since start.
#[derive(Default)]
pub(super) struct Counters {
    outcomes: [AtomicU64; OUTCOMES],
    /// Datagrams that got no answer because their source has had its due.
    pub held_back: AtomicU64,
    /// Answers that could not leave.
    pub not_sent: AtomicU64,
    /// Connections turned away because there are too many.
    pub turned_away: AtomicU64,
    /// When each thread for datagrams was last at work or looked around, in milliseconds.
    alive_ms: [AtomicU64; DNS_LISTENERS_MAX],
    /// Whose queries made a line of late, by whatever way they came.
    gate: Mutex<LogGate>,
}

impl Counters {
    /// How many queries had this outcome.
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize].load(Ordering::Relaxed)
    }
    /// Queries that got an answer, whatever it was.
    pub fn answered(&self) -> u64 {
        let all: u64 = self.outcomes.iter().map(|n| n.load(Ordering::Relaxed)).sum();
        all - self.of(Outcome::Dropped)
    }
    /// When the threads of so many listeners were all still at work.
    pub fn alive_ms(&self, listeners: usize) -> u64 {
        self.alive_ms.iter().take(listeners).map(|at| at.load(Ordering::Acquire)).min().unwrap_or(u64::MAX)
    }
    /// A line of a source, and of all together, as seldom as the log wants.
    fn tell(&self, source: IpAddr, outcome: Outcome) {
        let passed = self.gate.lock().unwrap_or_else(PoisonError::into_inner).pass(clock::now(), source);
        if let Some(passed_over) = passed {
            let what = if outcome == Outcome::Refused { "refused" } else { "malformed" };
            tracing::warn!("ENUM query {what}: source={source} passed_over={passed_over}");
        }
    }
    fn add(&self, counts: &[u64; OUTCOMES]) {
        for (total, n) in self.outcomes.iter().zip(counts).filter(|(_, n)| **n > 0) {
            total.fetch_add(*n, Ordering::Relaxed);
        }
    }
}

/// Bound sockets.
pub(super) struct Sockets(Vec<(UdpSocket, TcpListener)>);

impl Sockets {
    /// Where they listen: what was asked for, with ports chosen where that said 0.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.0.iter().filter_map(|(udp, _)| udp.local_addr().ok()).collect()
    }
}

/// Binds everything, UDP and TCP to the same ports.
pub(super) fn open(config: &EnumDns) -> Result<Sockets, StartError> {
    let bind = |at: &SocketAddr| -> io::Result<(UdpSocket, TcpListener)> {
        let udp = sys::udp_socket(*at, 0)?;
        udp.set_nonblocking(false)?;
        udp.set_read_timeout(Some(LOOK_AROUND))?;
        // The system may grant less; who misses an answer asks again.
        let _granted = socket2::SockRef::from(&udp).set_recv_buffer_size(RECEIVE_BYTES);
        let at = udp.local_addr()?;
        let tcp = socket2::Socket::new(socket2::Domain::for_address(at), socket2::Type::STREAM, None)?;
        if at.is_ipv6() {
            tcp.set_only_v6(true)?;
        }
        tcp.set_reuse_address(true)?;
        tcp.set_nonblocking(true)?;
        tcp.bind(&at.into())?;
        tcp.listen(128)?;
        Ok((udp, TcpListener::from_std(tcp.into())?))
    };
    config.listen.iter().map(|at| bind(at).map_err(|e| StartError::Listen(*at, e))).collect::<Result<_, _>>().map(Sockets)
}

fn door(config: &Config, dns: &EnumDns) -> Door {
    Door::new(Settings {
        zones: dns.zones.clone(),
        plan: config.policy.plan.clone(),
        ttl_max_s: dns.ttl_max_s,
        ttl_none_s: dns.ttl_none_s,
        allow: dns.allow.clone(),
        addresses: dns.addresses.clone(),
        // A serial is a number of 32 bits that may come round (RFC 1982).
        serial: (clock::wall().0 / 1000) as u32,
    })
}

/// Serves until the daemon stops, and returns when its threads have ended.
pub(super) async fn serve(shared: Arc<Shared>, config: EnumDns, sockets: Sockets, mut stopping: watch::Receiver<bool>) {
    let door = Arc::new(door(&shared.config, &config));
    let seats = Arc::<Seats>::default();
    let mut threads = Vec::new();
    for (i, (udp, tcp)) in sockets.0.into_iter().enumerate() {
        let (shared_there, door_there, stop) = (shared.clone(), door.clone(), stopping.clone());
        shared.dns.alive_ms[i].store(clock::now().as_ms(), Ordering::Release);
        let rates = Rates::new(config.answers_per_s, clock::seed());
        let thread = std::thread::Builder::new().name("dns".into());
        match thread.spawn(move || answer_datagrams(&shared_there, &door_there, &udp, i, rates, &stop)) {
            Ok(thread) => threads.push(thread),
            Err(e) => tracing::error!("ENUM: no thread for datagrams: {e}"),
        }
        tokio::spawn(accept(shared.clone(), door.clone(), tcp, seats.clone(), stopping.clone()));
    }
    // Its only change is to stop.
    let _ended = stopping.changed().await;
    let _joined = tokio::task::spawn_blocking(move || threads.into_iter().for_each(|t| drop(t.join()))).await;
}

fn answer_datagrams(shared: &Shared, door: &Door, socket: &UdpSocket, index: usize, mut rates: Rates, stopping: &watch::Receiver<bool>) {
    let (mut inbox, mut outbox) = (Inbox::new(DNS_QUERY_BYTES_MAX), Outbox::default());
    while !*stopping.borrow() {
        use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
        let received = inbox.receive(socket);
        let now = clock::now();
        shared.dns.alive_ms[index].store(now.as_ms(), Ordering::Release);
        match received {
            Ok(_) => {}
            Err(e) if matches!(e.kind(), WouldBlock | TimedOut | Interrupted) => continue,
            Err(e) => {
                static TOLD: Seldom = Seldom::new();
                if let Some(more) = TOLD.pass() {
                    tracing::warn!("ENUM: {e} ({more} more were not logged)");
                }
                sys::sleep_until(clock::to_std(now + AFTER_ERROR));
                continue;
            }
        }
        let (mut counts, mut held_back, mut worst) = ([0; OUTCOMES], 0, None);
        {
            let machines = shared.machines();
            while let Some((src, bytes)) = inbox.take() {
                if !shared.enum_access.admits(src.ip()) {
                    continue;
                }
                outbox.push(src, |out| {
                    let outcome = match rates.pass(now, src.ip()) {
                        Pass::Answer => door.handle(now, src.ip(), Carrier::Datagram, bytes, &machines.directory, out),
                        Pass::Slip => door.slip(bytes, out),
                        Pass::Nothing => {
                            held_back += 1;
                            return false;
                        }
                    };
                    counts[outcome as usize] += 1;
                    if is_worth_a_line(outcome) {
                        worst = Some((src.ip(), outcome));
                    }
                    outcome != Outcome::Dropped
                });
            }
        }
        let mut not_sent = 0;
        outbox.send(socket, |_| false, |_, _| not_sent += 1);
        shared.dns.add(&counts);
        shared.dns.held_back.fetch_add(held_back, Ordering::Relaxed);
        shared.dns.not_sent.fetch_add(not_sent, Ordering::Relaxed);
        if let Some((source, outcome)) = worst {
            shared.dns.tell(source, outcome);
        }
    }
}

fn is_worth_a_line(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Refused | Outcome::Malformed)
}

/// Who has how many connections.
#[derive(Default)]
struct Seats(Mutex<HashMap<IpAddr, usize>>);

/// A connection's place, given back with it.
struct Seat(Arc<Seats>, IpAddr);

impl Seats {
    fn take(self: &Arc<Self>, peer: IpAddr) -> Option<Seat> {
        let source = source_of(peer);
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_source = taken.get(&source).copied().unwrap_or(0);
        if of_source >= DNS_CONNECTIONS_PER_SOURCE_MAX || taken.values().sum::<usize>() >= DNS_CONNECTIONS_MAX {
            return None;
        }
        taken.insert(source, of_source + 1);
        Some(Seat(self.clone(), source))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.1) {
            Some(n) if *n > 1 => *n -= 1,
            _ => drop(taken.remove(&self.1)),
        }
    }
}

async fn accept(shared: Arc<Shared>, door: Arc<Door>, listener: TcpListener, seats: Arc<Seats>, mut stopping: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.changed() => return,
        };
        match accepted {
            Ok((_, peer)) if !shared.enum_access.admits(peer.ip()) => {}
            Ok((stream, peer)) => match seats.take(peer.ip()) {
                Some(seat) => {
                    let (shared, door, mut stopping) = (shared.clone(), door.clone(), stopping.clone());
                    tokio::spawn(async move {
                        tokio::select! {
                            _ = converse(&shared, &door, stream, peer.ip()) => {}
                            _ = stopping.changed() => {}
                        }
                        drop(seat);
                    });
                }
                None => drop(shared.dns.turned_away.fetch_add(1, Ordering::Relaxed)),
            },
            Err(e) => {
                static TOLD: Seldom = Seldom::new();
                if let Some(more) = TOLD.pass() {
                    tracing::warn!("ENUM: accept: {e} ({more} more were not logged)");
                }
                tokio::time::sleep(AFTER_ERROR).await;
            }
        }
    }
}

/// Queries of one connection, one after the other, until it ends, says nothing for a while, or says what is no query.
async fn converse(shared: &Shared, door: &Door, mut stream: TcpStream, peer: IpAddr) -> io::Result<()> {
    let (mut query, mut answer) = (vec![0; DNS_QUERY_BYTES_MAX], Vec::new());
    stream.set_nodelay(true)?;
    loop {
        let length = usize::from(tokio::time::timeout(IDLE, stream.read_u16()).await??);
        let Some(query) = query.get_mut(..length) else { return Ok(()) };
        tokio::time::timeout(MESSAGE, stream.read_exact(query)).await??;
        answer.clear();
        answer.extend_from_slice(&[0, 0]);
        let outcome = door.handle(clock::now(), peer, Carrier::Stream, query, &shared.machines().directory, &mut answer);
        let mut counts = [0; OUTCOMES];
        counts[outcome as usize] = 1;
        shared.dns.add(&counts);
        if is_worth_a_line(outcome) {
            shared.dns.tell(peer, outcome);
        }
        if outcome == Outcome::Dropped {
            return Ok(());
        }
        // No answer is longer: `DNS_ANSWER_BYTES_MAX`.
        let length = (answer.len() - 2) as u16;
        answer[..2].copy_from_slice(&length.to_be_bytes());
        tokio::time::timeout(MESSAGE, stream.write_all(&answer)).await??;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_cannot_take_all_places_and_gives_them_back() {
        let seats = Arc::<Seats>::default();
        let peer = |n: u16| IpAddr::from([10, 0, (n >> 8) as u8, n as u8]);
        let of_one: Vec<Seat> = std::iter::from_fn(|| seats.take(peer(0))).collect();
        assert_eq!(of_one.len(), DNS_CONNECTIONS_PER_SOURCE_MAX);
        let others: Vec<Seat> = (1..10_000).filter_map(|n| seats.take(peer(n))).collect();
        assert_eq!(of_one.len() + others.len(), DNS_CONNECTIONS_MAX);
        drop(of_one);
        assert!(seats.take(peer(0)).is_some());
        drop(others);
        assert!(seats.0.lock().unwrap().is_empty(), "nothing is kept of who has gone");
    }
}
