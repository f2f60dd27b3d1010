//! The directory's SIP door on its sockets: one loop that owns the transport and the door. A datagram is worked off where it arrives; what
//! waits for the disk comes back from the store's thread by a channel, many at a time.

use crate::config::directory::Config;
use crate::config::sip;
use crate::shell::access::Access;
use crate::shell::clock;
use crate::shell::directory::{Machines, Shared};
use crate::shell::directory_https;
use crate::shell::sip_transport::{self, Incoming, SipTransport};
use crate::shell::store::{Settled, Waiter, Work};
use crate::shell::tls;
use crate::sip_door::{self, Answer, Door, Handled, Rooms};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// How long answers that wait for the disk may still leave when the daemon ends.
const FAREWELL: Duration = Duration::from_secs(3);
/// Settled transactions sent in one go, before the sockets have their turn.
const SETTLED_AT_ONCE: usize = 16;
/// Messages worked off under one lock: half a millisecond for which the other doors wait.
const MESSAGES_AT_ONCE: usize = 64;

/// Binds all SIP sockets of the configuration. The error names the address or file at fault.
pub(super) fn open(config: &Config, sip: &sip::Sip, access: Arc<Access>) -> Result<SipTransport, String> {
    let names = directory_https::names(config);
    let tls = tls::Settings::of(sip, &config.state_dir, &names.iter().map(String::as_str).collect::<Vec<_>>());
    for warning in tls.warnings() {
        tracing::warn!("{warning}");
    }
    SipTransport::open(sip_transport::Settings { access, ..sip_transport::Settings::of(sip, tls) })
}

/// The door of this configuration.
pub(super) fn door(config: &Config, sip: &sip::Sip) -> Door {
    let mut addresses: Vec<_> = sip.addresses().map(|a| a.ip()).collect();
    if addresses.iter().any(|a| a.is_unspecified()) {
        addresses.clear();
    }
    let seed = u64::from_ne_bytes(clock::random());
    Door::new(sip_door::Config { domain: config.domain.clone(), addresses, hashes: config.hashes.clone() }, seed)
}

/// The door with its sockets.
pub(super) struct Sip {
    pub transport: SipTransport,
    pub door: Door,
    /// Answers whose records are on disk, or are not.
    pub settled: mpsc::UnboundedReceiver<Settled>,
}

/// Serves until the daemon stops; then lets what waits for the disk be answered.
pub(super) async fn serve(shared: Arc<Shared>, sip: Sip, mut stopping: watch::Receiver<bool>) {
    let Sip { mut transport, mut door, mut settled } = sip;
    let mut second = tokio::time::interval(Duration::from_secs(1));
    let mut batch = Vec::with_capacity(SETTLED_AT_ONCE);
    let mut answers = Vec::with_capacity(MESSAGES_AT_ONCE);
    loop {
        tokio::select! {
            incoming = transport.recv() => {
                work_off(&shared, &mut door, &mut transport, incoming, &mut answers);
                while let Some(line) = door.poll_log() {
                    tracing::warn!("{line}");
                }
            }
            _ = settled.recv_many(&mut batch, SETTLED_AT_ONCE) => {
                send_settled(&shared, &mut door, &mut transport, &mut batch);
            }
            _ = second.tick() => publish(&shared, &door),
            _ = stopping.changed() => break,
        }
    }
    let last = async {
        while shared.sip_waiting.load(Ordering::Acquire) > 0 && settled.recv_many(&mut batch, SETTLED_AT_ONCE).await > 0 {
            send_settled(&shared, &mut door, &mut transport, &mut batch);
        }
    };
    let _cut_off = tokio::time::timeout(FAREWELL, last).await;
    publish(&shared, &door);
    transport.close().await;
}

/// A message and those that are there behind it, under one lock; their answers leave after it.
fn work_off(shared: &Shared, door: &mut Door, transport: &mut SipTransport, first: Incoming, answers: &mut Vec<Answer>) {
    let (now, wall) = (clock::now(), clock::wall());
    let mut works = Vec::new();
    {
        let mut machines = shared.machines();
        let Machines { directory, authenticator, failures, bans, .. } = &mut *machines;
        let mut rooms = Rooms { directory, authenticator, failures, bans };
        let mut next = Some(first);
        for _ in 0..MESSAGES_AT_ONCE {
            let Some(incoming) = next.take().or_else(|| transport.try_recv()) else { break };
            // Stateless: whoever misses an answer asks again.
            let Incoming::Message { src, bytes } = incoming else { continue };
            let may_write = shared.writer.has_room_for(works.len() + 1);
            match door.handle(now, wall, src, &bytes, &mut rooms, may_write) {
                Handled::Nothing => {}
                Handled::Answer(answer) => answers.push(answer),
                Handled::Write { writes, pending } => works.push(Work { records: writes, waiter: Waiter::Sip(pending) }),
            }
        }
        shared.sip_waiting.fetch_add(works.len(), Ordering::AcqRel);
        // Under the lock: the order on disk is the order of decisions.
        shared.writer.submit_all(works);
        while let Some(alarm) = rooms.directory.poll_alarm() {
            tracing::warn!("{alarm}");
        }
    }
    for Answer { dst, bytes } in answers.drain(..) {
        transport.post(dst, bytes);
    }
    transport.flush();
}

fn send_settled(shared: &Shared, door: &mut Door, transport: &mut SipTransport, batch: &mut Vec<Settled>) {
    let now = clock::now();
    for (pending, on_disk) in batch.drain(..) {
        shared.sip_waiting.fetch_sub(pending.len(), Ordering::AcqRel);
        for pending in pending {
            let Answer { dst, bytes } = door.settled(now, pending, on_disk);
            transport.post(dst, bytes);
        }
    }
    transport.flush();
}

/// What `status` tells.
fn publish(shared: &Shared, door: &Door) {
    let c = door.counters();
    shared.sip_alive_ms.store(clock::now().as_ms(), Ordering::Release);
    shared.sip_answered.store(c.answered, Ordering::Relaxed);
    shared.sip_dropped.store(c.garbage + c.responses, Ordering::Relaxed);
}
