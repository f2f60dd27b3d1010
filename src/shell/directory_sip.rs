//! The directory's SIP door on its sockets: one loop that owns the transport and the door. A datagram is worked off where it arrives; what
//! waits for the disk comes back from the store's thread by a channel, many at a time.

use crate::config::directory::{Config, Lookups};
use crate::config::sip::Sip;
use crate::shell::access::Access;
use crate::shell::clock;
use crate::shell::directory::{Machines, Shared};
use crate::shell::directory_https;
use crate::shell::sip_transport::{self, Incoming, SipTransport};
use crate::shell::tls;
use crate::sip_door::{self, Answer, Door, Handled, Pending, Rooms};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// How long answers that wait for the disk may still leave when the daemon ends.
const FAREWELL: Duration = Duration::from_secs(3);
/// Settled answers sent in one go, before the sockets have their turn.
const SETTLED_AT_ONCE: usize = 256;

/// An answer whose records are on disk, or are not.
type Settled = (Pending, bool);

/// Binds all SIP sockets of the configuration. The error names the address or file at fault.
pub(super) fn open(config: &Config, sip: &Sip, access: Arc<Access>) -> Result<SipTransport, String> {
    let names = directory_https::names(config);
    let tls = tls::Settings::of(sip, &config.state_dir, &names.iter().map(String::as_str).collect::<Vec<_>>());
    for warning in tls.warnings() {
        tracing::warn!("{warning}");
    }
    SipTransport::open(sip_transport::Settings { access, ..sip_transport::Settings::of(sip, tls) })
}

/// The door of this configuration.
pub(super) fn door(config: &Config, sip: &Sip) -> Door {
    let mut addresses: Vec<_> = sip.addresses().map(|a| a.ip()).collect();
    if addresses.iter().any(|a| a.is_unspecified()) {
        addresses.clear();
    }
    let lookups_need_account = config.lookups == Lookups::Accounts;
    let seed = u64::from_ne_bytes(clock::random());
    Door::new(sip_door::Config { domain: config.domain.clone(), addresses, lookups_need_account, hashes: config.hashes.clone() }, seed)
}

/// Serves until the daemon stops; then lets what waits for the disk be answered.
pub(super) async fn serve(shared: Arc<Shared>, mut transport: SipTransport, mut door: Door, mut stopping: watch::Receiver<bool>) {
    // Bounded by the store's own queue: each entry was a place in it.
    let (settle, mut settled) = mpsc::unbounded_channel::<Settled>();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    let mut batch = Vec::with_capacity(SETTLED_AT_ONCE);
    loop {
        tokio::select! {
            incoming = transport.recv() => match incoming {
                Incoming::Message { src, bytes } => {
                    if let Some(Answer { dst, bytes }) = handle(&shared, &mut door, src, &bytes, &settle) {
                        transport.post(dst, bytes);
                    }
                    while let Some(line) = door.poll_log() {
                        tracing::warn!("{line}");
                    }
                }
                // Stateless: whoever misses an answer asks again.
                // It asks nobody.
                Incoming::Stun { .. } | Incoming::Failed { .. } => {}
            },
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

/// One message. The lock on the machines is held for the decision alone.
fn handle(shared: &Shared, door: &mut Door, src: crate::sip::Hop, bytes: &[u8], settle: &mpsc::UnboundedSender<Settled>) -> Option<Answer> {
    let (now, wall) = (clock::now(), clock::wall());
    let mut machines = shared.machines();
    let may_write = shared.writer.has_room();
    let Machines { directory, authenticator, failures, bans, .. } = &mut *machines;
    match door.handle(now, wall, src, bytes, &mut Rooms { directory, authenticator, failures, bans }, may_write) {
        Handled::Nothing => None,
        Handled::Answer(answer) => Some(answer),
        Handled::Write { writes, pending } => {
            shared.sip_waiting.fetch_add(1, Ordering::AcqRel);
            let settle = settle.clone();
            // Under the lock: the order on disk is the order of decisions.
            shared.writer.submit_then(writes, move |outcome| {
                // Nobody listens any more only when the daemon has ended.
                let _ended = settle.send((pending, outcome.is_ok()));
            });
            None
        }
    }
}

fn send_settled(shared: &Shared, door: &mut Door, transport: &mut SipTransport, batch: &mut Vec<Settled>) {
    let now = clock::now();
    for (pending, on_disk) in batch.drain(..) {
        shared.sip_waiting.fetch_sub(1, Ordering::AcqRel);
        let Answer { dst, bytes } = door.settled(now, pending, on_disk);
        transport.post(dst, bytes);
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
