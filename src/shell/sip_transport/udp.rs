//! SIP over UDP: the sockets, which of them a datagram leaves by, what the network says of datagrams that did not arrive, and STUN.
//!
//! What waits in a socket is read with one call, and given out one by one; what is posted leaves with one call, at the latest when nothing
//! that was read waits any more.

use super::{Incoming, Shared};
use crate::limits::{SIP_BYTES_MAX, SIP_RECEIVE_BYTES, SIP_UDP_PEERS_MAX};
use crate::shell::access::Access;
use crate::shell::sys;
use crate::shell::sys::batch::{Inbox, Outbox};
use crate::sip::Hop;
use crate::stun;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Datagrams that are nobody's business but ours (STUN), and errors, worked off before the rest of the daemon gets its turn.
const OURS_PER_TURN_MAX: usize = 64;

struct One {
    read: Arc<UdpSocket>,
    /// The same socket for writing: a send goes straight to the system, without asking the reactor whether it may.
    write: std::net::UdpSocket,
    local: SocketAddr,
    /// What was posted and has not left.
    posted: Outbox,
}

/// By which socket the peers came that spoke last: half of the places for the newest, half for those before them. A flood from forged sources
/// pushes out who is silent, not who goes on speaking.
#[derive(Default)]
struct CameBy {
    newest: HashMap<SocketAddr, usize>,
    before: HashMap<SocketAddr, usize>,
}

impl CameBy {
    fn get(&self, peer: SocketAddr) -> Option<usize> {
        self.newest.get(&peer).or_else(|| self.before.get(&peer)).copied()
    }
    fn note(&mut self, peer: SocketAddr, socket: usize) {
        if !self.newest.contains_key(&peer) && self.newest.len() >= SIP_UDP_PEERS_MAX / 2 {
            self.before = core::mem::take(&mut self.newest);
        }
        self.newest.insert(peer, socket);
    }
}

/// All UDP sockets.
#[derive(Default)]
pub(super) struct Sockets {
    all: Vec<One>,
    /// By which of them a peer came, where there are several.
    came_by: CameBy,
    access: Arc<Access>,
    next: usize,
    /// What was read and not given out yet, all of socket `inbox_of`.
    inbox: Inbox,
    inbox_of: usize,
    /// Whither something posted could not leave, and why: for the next turn.
    pub failed: Vec<(SocketAddr, String)>,
    pub stun_answered: u64,
    pub not_sent: u64,
}

impl Sockets {
    pub fn bind(&mut self, shared: &Arc<Shared>, at: SocketAddr) -> io::Result<SocketAddr> {
        let write = sys::udp_socket(at, shared.dscp)?;
        // The system may grant less; what does not fit is lost, and repeated by its sender half a second later.
        sys::set_receive_buffer(&write, SIP_RECEIVE_BYTES);
        let local = write.local_addr()?;
        let read = Arc::new(UdpSocket::from_std(write.try_clone()?)?);
        // Without it an unreachable peer is silence, and SIP's own timers deal with that.
        if sys::unreachable::enable(&write).is_ok() {
            tokio::spawn(hear_of_unreachable(shared.clone(), read.clone()));
        }
        self.access = shared.access.clone();
        if self.all.is_empty() {
            self.inbox = Inbox::new(SIP_BYTES_MAX);
        }
        self.all.push(One { read, write, local, posted: Outbox::default() });
        Ok(local)
    }

    /// The socket for a peer: the one it came by; else the first of its family, loopback for loopback if there is one.
    fn pick(&self, dst: SocketAddr) -> Option<usize> {
        if let Some(i) = self.came_by.get(dst).filter(|i| *i < self.all.len()) {
            return Some(i);
        }
        let family = |one: &One| one.local.is_ipv4() == dst.is_ipv4();
        let fits = |one: &One| one.local.ip().is_unspecified() || one.local.ip().is_loopback() == dst.ip().is_loopback();
        self.all.iter().position(|one| family(one) && fits(one)).or_else(|| self.all.iter().position(family))
    }

    /// Sends now, or says why nothing will ever arrive. What the system has no room for at the moment is lost, as on the network.
    pub fn send(&mut self, dst: SocketAddr, bytes: &[u8]) -> Result<(), String> {
        let Some(i) = self.pick(dst) else { return Err(unspoken(dst)) };
        // What was posted before does not arrive after.
        self.flush(i);
        let one = &self.all[i];
        let mut sent = one.write.send_to(bytes, dst);
        if sent.as_ref().is_err_and(is_old_news) {
            sent = one.write.send_to(bytes, dst);
        }
        match sent {
            Ok(_) => Ok(()),
            Err(e) => {
                self.not_sent += 1;
                if is_passing(&e) { Ok(()) } else { Err(e.to_string()) }
            }
        }
    }

    /// Sends soon, together with others: see [`Sockets::flush_all`]. What fails stands in `failed`.
    pub fn post(&mut self, dst: SocketAddr, bytes: &[u8]) {
        let Some(i) = self.pick(dst) else {
            self.failed.push((dst, unspoken(dst)));
            return;
        };
        self.all[i].posted.push(dst, |all| {
            all.extend_from_slice(bytes);
            true
        });
        if self.all[i].posted.is_full() {
            self.flush(i);
        }
    }

    /// Sends what was posted.
    pub fn flush_all(&mut self) {
        for i in 0..self.all.len() {
            self.flush(i);
        }
    }

    fn flush(&mut self, i: usize) {
        let (one, failed, not_sent) = (&mut self.all[i], &mut self.failed, &mut self.not_sent);
        if !one.posted.is_empty() {
            one.posted.send(&one.write, is_old_news, |dst, e| {
                *not_sent += 1;
                if !is_passing(&e) {
                    failed.push((dst, e.to_string()));
                }
            });
        }
    }

    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        let mut ours = 0;
        loop {
            while let Some((src, bytes)) = self.inbox.take() {
                if !self.access.admits(src.ip()) {
                    ours += 1;
                    continue;
                }
                if self.all.len() > 1 {
                    self.came_by.note(src, self.inbox_of);
                }
                if !stun::is_stun(bytes) {
                    return Poll::Ready(Incoming::Message { src: Hop::udp(src), bytes: bytes.to_vec() });
                }
                if stun::is_answer(bytes) {
                    return Poll::Ready(Incoming::Stun { src, bytes: bytes.to_vec() });
                }
                if let Some(answer) = stun::binding_answer(bytes, src) {
                    self.stun_answered += u64::from(self.all[self.inbox_of].write.send_to(&answer, src).is_ok());
                }
                ours += 1;
            }
            self.flush_all();
            if ours >= OURS_PER_TURN_MAX {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.poll_fill(cx, &mut ours).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Reads what waits in the next socket that has something.
    fn poll_fill(&mut self, cx: &mut Context<'_>, errors: &mut usize) -> Poll<()> {
        for turn in 0..self.all.len() {
            let i = (self.next + turn) % self.all.len();
            let socket = &self.all[i].read;
            loop {
                match socket.poll_recv_ready(cx) {
                    Poll::Pending => break,
                    // The reactor is gone, and the daemon with it.
                    Poll::Ready(Err(_)) => break,
                    Poll::Ready(Ok(())) => {}
                }
                let inbox = &mut self.inbox;
                match socket.try_io(Interest::READABLE, || inbox.receive(socket)) {
                    Ok(_) => {
                        (self.inbox_of, self.next) = (i, i + 1);
                        return Poll::Ready(());
                    }
                    // Asks the reactor anew.
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    // What an earlier datagram met; `hear_of_unreachable` knows which.
                    Err(_) => {
                        *errors += 1;
                        if *errors >= OURS_PER_TURN_MAX {
                            cx.waker().wake_by_ref();
                            return Poll::Pending;
                        }
                    }
                }
            }
        }
        Poll::Pending
    }
}

fn unspoken(dst: SocketAddr) -> String {
    format!("nothing here speaks {}", if dst.is_ipv4() { "IPv4" } else { "IPv6" })
}

/// An error that says nothing of the way there: no room just now, or what an earlier datagram met.
fn is_passing(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionRefused)
}

/// Tells of the peers that the network calls unreachable (ICMP), until the daemon stops.
async fn hear_of_unreachable(shared: Arc<Shared>, socket: Arc<UdpSocket>) {
    let mut stop = shared.stop.clone();
    loop {
        let next = socket.async_io(Interest::ERROR, || sys::unreachable::next(&socket).ok_or(io::ErrorKind::WouldBlock.into()));
        let (dst, why) = tokio::select! {
            told = next => match told {
                Ok(told) => told,
                Err(_) => return,
            },
            _ = stop.changed() => return,
        };
        // No room: the timers of SIP find out.
        let _lost = shared.came.try_send(Incoming::Failed { dst: Hop::udp(dst), why });
    }
}

/// An error that an earlier datagram brought home: it says nothing of this one.
fn is_old_news(e: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    matches!(e.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_goes_on_speaking_is_remembered_through_a_flood_and_nobody_for_ever() {
        let peer = |n: usize| SocketAddr::from(([10, (n >> 16) as u8, (n >> 8) as u8, n as u8], 5060));
        let mut came_by = CameBy::default();
        came_by.note(peer(0), 1);
        for n in 1..4 * SIP_UDP_PEERS_MAX {
            came_by.note(peer(n), 0);
            if n % (SIP_UDP_PEERS_MAX / 4) == 0 {
                came_by.note(peer(0), 1);
            }
            assert_eq!(came_by.get(peer(0)), Some(1), "after {n}");
            assert!(came_by.newest.len() + came_by.before.len() <= SIP_UDP_PEERS_MAX);
        }
        assert_eq!((came_by.get(peer(1)), came_by.get(peer(4 * SIP_UDP_PEERS_MAX - 1))), (None, Some(0)));
    }
}
