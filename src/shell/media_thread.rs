//! The media thread: gather, tick, scatter, every 20 ms, on an OS thread of its own.
//!
//! `clock_nanosleep` to absolute times keeps the pace (a tokio interval is 2 ms late at p99). Sockets are drained at the tick: that
//! costs no delay that the jitter buffer would not have cost, and keeps locks and queues out of the media path. Arrival times are
//! the kernel's (`sys::stamps`), so that playout does not have to allow for the wait until the tick.

use super::clock;
use super::sys::stamps;
use crate::clock::{Instant, ms};
use crate::id::LegId;
use crate::limits::{COMMAND_QUEUE, DATAGRAM_BYTES_MAX, DATAGRAMS_FLOOD_MAX, DATAGRAMS_PER_TICK_MAX, EVENT_QUEUE, HANDSHAKES_QUEUED_MAX};
use crate::media::Channel;
use crate::tick::{Board, Command, Event, HandshakeDatagram};
use heapless::spsc::{Consumer, Producer, Queue};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tipring_hw::Port;

/// The three sockets of one leg.
pub struct LegSocketSet {
    /// RTP.
    pub rtp: UdpSocket,
    /// RTCP, one above.
    pub rtcp: UdpSocket,
    /// UDPTL.
    pub udptl: UdpSocket,
}

impl LegSocketSet {
    fn of(&self, channel: Channel) -> &UdpSocket {
        match channel {
            Channel::Rtp => &self.rtp,
            Channel::Rtcp => &self.rtcp,
            Channel::Udptl => &self.udptl,
        }
    }
}

/// Numbers the media thread keeps for `status`. Times are in microseconds.
#[derive(Default)]
pub struct MediaStats {
    /// Turns made.
    pub ticks: AtomicU64,
    /// Turns that were skipped because the thread woke up too late.
    pub ticks_skipped: AtomicU64,
    /// Datagrams for nobody.
    pub stray_datagrams: AtomicU64,
    /// Events lost for a full queue: not zero means a bug.
    pub events_lost: AtomicU64,
    /// Datagrams that could not be sent.
    pub send_errors: AtomicU64,
    /// Histogram of the gateway's own part of a turn (the ports' exchange left out).
    pub tick_us: Histogram,
    /// Histogram of the CPU time of the gateway's own part: what it costs, where `tick_us` is how long it took on a shared machine.
    pub tick_cpu_us: Histogram,
    /// Histogram of the ports' exchange: hardware, or the simulated machines' own work.
    pub exchange_us: Histogram,
    /// Histogram of how late the thread woke up.
    pub late_us: Histogram,
}

/// Buckets of a [`Histogram`]: four to each doubling, up to half a minute.
const BUCKETS: usize = 96;

/// A histogram of microseconds whose buckets are a quarter of a doubling wide, so that what is read from it is at most 25 % too high.
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { buckets: [const { AtomicU64::new(0) }; BUCKETS] }
    }
}

impl Histogram {
    /// Counts one value.
    fn add(&self, us: u64) {
        self.buckets[Self::bucket(us)].fetch_add(1, Ordering::Relaxed);
    }
    /// The top bit and the two below it.
    fn bucket(us: u64) -> usize {
        if us < 4 {
            return us as usize;
        }
        let top = 63 - us.leading_zeros() as usize;
        ((top - 1) * 4 + (us >> (top - 2) & 3) as usize).min(BUCKETS - 1)
    }
    /// The first value beyond a bucket.
    fn edge(bucket: usize) -> u64 {
        if bucket < 4 { bucket as u64 + 1 } else { (bucket as u64 % 4 + 5) << (bucket / 4 - 1) }
    }
    /// The upper edge (in microseconds) of the bucket in which the `q` quantile lies.
    pub fn quantile_us(&self, q: f64) -> u64 {
        let counts: [u64; BUCKETS] = core::array::from_fn(|i| self.buckets[i].load(Ordering::Relaxed));
        let total: u64 = counts.iter().sum();
        let mut seen = 0;
        for (i, n) in counts.iter().enumerate() {
            seen += n;
            if total > 0 && seen as f64 >= q * total as f64 {
                return Self::edge(i);
            }
        }
        0
    }
}

/// Makes the two queues between the domains (leaked once a gateway: they live as long as the process) and splits them: what the event
/// domain keeps, and what the media thread takes.
pub fn queues() -> (Producer<'static, Command>, Consumer<'static, Event>, Consumer<'static, HandshakeDatagram>, BoardEnd) {
    let commands: &'static mut Queue<Command, COMMAND_QUEUE> = Box::leak(Box::new(Queue::new()));
    let events: &'static mut Queue<Event, EVENT_QUEUE> = Box::leak(Box::new(Queue::new()));
    let handshakes: &'static mut Queue<HandshakeDatagram, HANDSHAKES_QUEUED_MAX> = Box::leak(Box::new(Queue::new()));
    let (command_in, command_out) = commands.split();
    let (event_in, event_out) = events.split();
    let (handshake_in, handshake_out) = handshakes.split();
    (command_in, event_out, handshake_out, BoardEnd { commands: command_out, events: event_in, handshakes: handshake_in })
}

/// The board's ends of the queues.
pub struct BoardEnd {
    commands: Consumer<'static, Command>,
    events: Producer<'static, Event>,
    handshakes: Producer<'static, HandshakeDatagram>,
}

/// Everything the thread owns.
pub struct MediaThread {
    /// The lines.
    pub board: Board,
    /// The ports, in board order.
    pub ports: Vec<Box<dyn Port>>,
    /// The sockets, in `LegId` order.
    pub sockets: Vec<LegSocketSet>,
    /// The queues.
    pub queues: BoardEnd,
    /// Written to (one byte, never blocking) when events wait.
    pub wake: UnixDatagram,
    /// Shared counters.
    pub stats: Arc<MediaStats>,
    /// Set to end the thread.
    pub stop: Arc<AtomicBool>,
}

impl MediaThread {
    /// Starts the thread.
    pub fn spawn(self) -> std::io::Result<std::thread::JoinHandle<()>> {
        std::thread::Builder::new().name("media".into()).spawn(move || self.run())
    }

    fn run(mut self) {
        if !super::sys::real_time() {
            tracing::info!("the media thread has no real-time priority here (CAP_SYS_NICE or RLIMIT_RTPRIO would give it)");
        }
        let mut next = clock::now();
        let mut held: Option<Event> = None;
        while !self.stop.load(Ordering::Relaxed) {
            next = next + ms(20);
            super::sys::sleep_until(clock::to_std(next));
            let woke = clock::now();
            let late_us = woke.as_us().saturating_sub(next.as_us());
            self.stats.late_us.add(late_us);
            if late_us > 200_000 {
                // The machine stood still. Making up ten turns in a burst would only flood the peers.
                self.stats.ticks_skipped.fetch_add(late_us / 20_000, Ordering::Relaxed);
                next = woke;
            }
            self.turn(&mut held);
        }
    }

    fn turn(&mut self, held: &mut Option<Event>) {
        let MediaThread { board, ports, sockets, queues, wake, stats, .. } = self;
        let begin = clock::now();
        board.gather(ports);
        let gathered = clock::now();
        let gathered_cpu_ns = super::sys::thread_cpu_ns();
        stats.exchange_us.add(gathered.as_us() - begin.as_us());
        let errors = &stats.send_errors;
        let mut out = |leg: LegId, channel: Channel, to: SocketAddr, bytes: &[u8]| {
            if let Some(set) = sockets.get(usize::from(leg.0))
                && set.of(channel).send_to(bytes, to).is_err()
            {
                errors.fetch_add(1, Ordering::Relaxed);
            }
        };
        for _ in 0..COMMAND_QUEUE {
            let Some(command) = queues.commands.dequeue() else { break };
            if let Command::Connect { leg_id, .. } = &command
                && !board.leg_in_use(*leg_id)
                && !board.listens(*leg_id)
                && let Some(set) = sockets.get(usize::from(leg_id.0))
            {
                flush(set);
            }
            board.command(gathered, command, ports, &mut out);
        }
        drain(board, sockets, gathered);
        board.tick(gathered, &mut out);
        let mut woken = false;
        while queues.handshakes.ready() {
            let Some(datagram) = board.poll_handshake() else { break };
            woken = true;
            let _there_is_room = queues.handshakes.enqueue(datagram);
        }
        loop {
            let Some(event) = held.take().or_else(|| board.poll_event()) else { break };
            woken = true;
            if let Err(full) = queues.events.enqueue(event) {
                // Back-pressure: kept for the next turn. The board's own queue counts what it cannot hold.
                *held = Some(full);
                break;
            }
        }
        if woken {
            // A full pipe means that the event domain has been woken already.
            let _already_woken = wake.send(&[1]);
        }
        let counters = board.stats();
        stats.ticks.store(counters.ticks, Ordering::Relaxed);
        stats.stray_datagrams.store(counters.stray_datagrams, Ordering::Relaxed);
        stats.events_lost.store(counters.events_lost + counters.port_events_lost, Ordering::Relaxed);
        stats.tick_us.add(clock::now().as_us() - gathered.as_us());
        stats.tick_cpu_us.add((super::sys::thread_cpu_ns() - gathered_cpu_ns) / 1000);
    }
}

/// Takes what arrived: [`DATAGRAMS_PER_TICK_MAX`] a socket, and beyond that [`DATAGRAMS_FLOOD_MAX`] in all, so that a flood on one port
/// neither delays the audio behind it nor takes the others' turn. Of the sockets that no call uses one leg's are looked at each time,
/// so that what strangers send there is counted.
fn drain(board: &mut Board, sockets: &[LegSocketSet], now: Instant) {
    let mut buffer = [0u8; DATAGRAM_BYTES_MAX];
    let mut flood = DATAGRAMS_FLOOD_MAX;
    let idle_turn = board.stats().ticks as usize % sockets.len().max(1);
    for (i, set) in sockets.iter().enumerate() {
        let leg = LegId(i as u16);
        let in_use = board.leg_in_use(leg) || board.listens(leg);
        if i != idle_turn && !in_use {
            continue;
        }
        for channel in [Channel::Rtp, Channel::Rtcp, Channel::Udptl] {
            let mut taken = 0;
            while taken < DATAGRAMS_PER_TICK_MAX || flood > 0 {
                if taken >= DATAGRAMS_PER_TICK_MAX {
                    flood -= 1;
                }
                taken += 1;
                match stamps::receive(set.of(channel), &mut buffer) {
                    Ok((n, src, age_us)) => {
                        let arrived = Instant::from_us(now.as_us().saturating_sub(age_us));
                        board.from_net(arrived, leg, channel, src, &buffer[..n]);
                    }
                    Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                    // An ICMP error of an earlier datagram surfaces here; the next read is fine.
                    Err(_) => {}
                }
            }
        }
    }
}

/// Empties the sockets of a leg that is about to be used again, so that a peer of the last call is not heard in the next.
fn flush(set: &LegSocketSet) {
    let mut buffer = [0u8; DATAGRAM_BYTES_MAX];
    for channel in [Channel::Rtp, Channel::Rtcp, Channel::Udptl] {
        for _ in 0..1000 {
            if set.of(channel).recv_from(&mut buffer).is_err() {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_lies_below_the_edge_of_its_bucket_and_not_below_the_last() {
        for us in (0..10_000).chain((14..24).flat_map(|top| [(1 << top) - 1, 1 << top, (1 << top) + 1])) {
            let bucket = Histogram::bucket(us);
            assert!(us < Histogram::edge(bucket), "{us}");
            assert!(bucket == 0 || us >= Histogram::edge(bucket - 1), "{us}");
        }
        assert_eq!(Histogram::bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_at_most_a_quarter_too_high() {
        let histogram = Histogram::default();
        assert_eq!(histogram.quantile_us(0.5), 0);
        (1..=1000).for_each(|us| histogram.add(us));
        assert_eq!((histogram.quantile_us(0.5), histogram.quantile_us(0.99)), (512, 1024));
    }
}
