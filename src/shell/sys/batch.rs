//! Many datagrams by one system call: recvmmsg(2) and sendmmsg(2). Under load a datagram's way through the system costs more than what is done
//! with it; a server that takes what is there, and sends its answers together, pays the entry into the kernel once.
//!
//! Nothing here keeps a pointer between calls: the headers that the system wants are built anew from what is owned, 2 kB a call.

#![allow(unsafe_code)] // two system calls that no safe crate offers, and the plain structs that they are told by

use std::io;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};

/// Datagrams of one call. More brings little: at 32 the entry is a thirtieth of each.
pub const BATCH: usize = 32;

/// Datagrams as they came, with room for [`BATCH`] of them.
pub struct Inbox {
    bytes: Vec<u8>,
    size: usize,
    names: [libc::sockaddr_in6; BATCH],
    lengths: [usize; BATCH],
    count: usize,
    taken: usize,
}

impl Default for Inbox {
    /// Without room: [`Inbox::new`] gives some.
    fn default() -> Self {
        Inbox::new(0)
    }
}

impl Inbox {
    /// With room for datagrams of `size` bytes; what is longer is cut off.
    pub fn new(size: usize) -> Inbox {
        Inbox { bytes: vec![0; size * BATCH], size, names: [blank(); BATCH], lengths: [0; BATCH], count: 0, taken: 0 }
    }

    /// Takes what waits in the socket in place of what was here. A blocking socket waits for the first datagram, as long as its time-out lets it.
    pub fn receive(&mut self, socket: &impl AsFd) -> io::Result<usize> {
        (self.count, self.taken) = (0, 0);
        let mut slices = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; BATCH];
        // SAFETY: plain old data, for which zero (no name, no buffers) is a value.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
        let rooms = self.bytes.chunks_exact_mut(self.size.max(1));
        let mut slots = 0;
        for ((room, name), (slice, header)) in rooms.zip(&mut self.names).zip(slices.iter_mut().zip(&mut headers)) {
            *slice = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
            header.msg_hdr.msg_name = std::ptr::from_mut(name).cast();
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
            header.msg_hdr.msg_iov = slice;
            header.msg_hdr.msg_iovlen = 1;
            slots += 1;
        }
        // SAFETY: the first `slots` headers point to a room, a name and a slice each, which are distinct, live through the call and have the
        // lengths that the headers say.
        let n = unsafe {
            libc::recvmmsg(socket.as_fd().as_raw_fd(), headers.as_mut_ptr(), slots, libc::MSG_WAITFORONE as _, std::ptr::null_mut())
        };
        let n = usize::try_from(n).map_err(|_| io::Error::last_os_error())?;
        for (length, header) in self.lengths.iter_mut().zip(&headers).take(n) {
            *length = (header.msg_len as usize).min(self.size);
        }
        self.count = n;
        Ok(n)
    }

    /// The next datagram that was not taken yet, and its sender. One from no internet address is passed over: there are none on such sockets.
    pub fn take(&mut self) -> Option<(SocketAddr, &[u8])> {
        while self.taken < self.count {
            let i = self.taken;
            self.taken += 1;
            if let Some(from) = address(&self.names[i]) {
                return Some((from, &self.bytes[i * self.size..][..self.lengths[i]]));
            }
        }
        None
    }
}

/// Datagrams that leave together.
#[derive(Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    /// Whither, and where its bytes end.
    each: Vec<(SocketAddr, usize)>,
}

impl Outbox {
    /// Writes one more: `write` appends its bytes, or gives false for none after all.
    pub fn push(&mut self, dst: SocketAddr, write: impl FnOnce(&mut Vec<u8>) -> bool) {
        let start = self.bytes.len();
        if write(&mut self.bytes) {
            self.each.push((dst, self.bytes.len()));
        } else {
            self.bytes.truncate(start);
        }
    }

    /// Whether [`Outbox::send`] is due: a batch is together.
    pub fn is_full(&self) -> bool {
        self.each.len() >= BATCH
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.each.is_empty()
    }

    /// Sends all, without waiting, and is empty then. What cannot be sent is told to `failed`. An error that an earlier datagram brought home
    /// (`is_old_news`) says nothing of the one at hand, which is tried once more.
    pub fn send(&mut self, socket: &impl AsFd, is_old_news: fn(&io::Error) -> bool, mut failed: impl FnMut(SocketAddr, io::Error)) {
        let (mut done, mut tried_again) = (0, false);
        while done < self.each.len() {
            match self.send_from(socket, done) {
                Ok(sent) => (done, tried_again) = (done + sent.max(1), false),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if !tried_again && is_old_news(&e) => tried_again = true,
                Err(e) => {
                    failed(self.each[done].0, e);
                    (done, tried_again) = (done + 1, false);
                }
            }
        }
        self.bytes.clear();
        self.each.clear();
    }

    /// One call, from datagram `first` on: how many left. The error is that of the first.
    fn send_from(&self, socket: &impl AsFd, first: usize) -> io::Result<usize> {
        let mut names = [blank(); BATCH];
        let mut slices = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; BATCH];
        // SAFETY: plain old data, for which zero (no name, no buffers) is a value.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
        let mut start = if first == 0 { 0 } else { self.each[first - 1].1 };
        let mut count = 0;
        for ((dst, end), ((name, slice), header)) in self.each[first..].iter().zip(names.iter_mut().zip(&mut slices).zip(&mut headers)) {
            let bytes = &self.bytes[start..*end];
            start = *end;
            *slice = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
            header.msg_hdr.msg_namelen = put_address(name, *dst);
            header.msg_hdr.msg_name = std::ptr::from_mut(name).cast();
            header.msg_hdr.msg_iov = slice;
            header.msg_hdr.msg_iovlen = 1;
            count += 1;
        }
        // SAFETY: the first `count` headers point to a name, a slice and bytes that live through the call, with their true lengths; sendmmsg
        // reads the bytes and writes only into the headers.
        let n = unsafe { libc::sendmmsg(socket.as_fd().as_raw_fd(), headers.as_mut_ptr(), count, libc::MSG_DONTWAIT as _) };
        usize::try_from(n).map_err(|_| io::Error::last_os_error())
    }
}

/// Room for an address of either family: sockaddr_in6 is the longer, and both begin with the family.
fn blank() -> libc::sockaddr_in6 {
    // SAFETY: plain old data, for which zero (no family) is a value.
    unsafe { std::mem::zeroed() }
}

fn address(name: &libc::sockaddr_in6) -> Option<SocketAddr> {
    match i32::from(name.sin6_family) {
        libc::AF_INET => {
            // SAFETY: the family says that a sockaddr_in lies there; it is shorter than sockaddr_in6, and needs no wider alignment.
            let v4 = unsafe { *std::ptr::from_ref(name).cast::<libc::sockaddr_in>() };
            Some(SocketAddr::from((u32::from_be(v4.sin_addr.s_addr).to_be_bytes(), u16::from_be(v4.sin_port))))
        }
        libc::AF_INET6 => {
            let ip = Ipv6Addr::from(name.sin6_addr.s6_addr);
            Some(SocketAddrV6::new(ip, u16::from_be(name.sin6_port), 0, name.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// Writes an address, and says how long it is.
fn put_address(name: &mut libc::sockaddr_in6, address: SocketAddr) -> libc::socklen_t {
    match address {
        SocketAddr::V4(v4) => {
            // SAFETY: as in `address`; the whole struct is written.
            let name = unsafe { &mut *std::ptr::from_mut(name).cast::<libc::sockaddr_in>() };
            *name = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_be_bytes(v4.ip().octets()).to_be() },
                sin_zero: [0; 8],
            };
            size_of::<libc::sockaddr_in>() as libc::socklen_t
        }
        SocketAddr::V6(v6) => {
            *name = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            };
            size_of::<libc::sockaddr_in6>() as libc::socklen_t
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    fn never(_: &io::Error) -> bool {
        false
    }

    #[test]
    fn a_hundred_datagrams_of_all_lengths_arrive_whole_and_in_order_in_both_families() {
        for ip in ["127.0.0.1", "::1"] {
            let (Ok(a), Ok(b)) = (UdpSocket::bind((ip, 0)), UdpSocket::bind((ip, 0))) else { continue };
            let (from, to) = (a.local_addr().unwrap(), b.local_addr().unwrap());
            b.set_read_timeout(Some(std::time::Duration::from_secs(2))).unwrap();
            let mut out = Outbox::default();
            let told = |n: usize| vec![n as u8; n % 40 * 30];
            for n in 0..100 {
                out.push(to, |bytes| {
                    bytes.extend_from_slice(&told(n));
                    true
                });
                out.push(to, |bytes| {
                    bytes.extend_from_slice(b"taken back");
                    false
                });
            }
            out.send(&a, never, |dst, e| panic!("{dst}: {e}"));
            assert!(out.is_empty());
            let mut inbox = Inbox::new(2000);
            let (mut n, mut calls) = (0, 0);
            while n < 100 {
                inbox.receive(&b).expect("they are on their way");
                calls += 1;
                while let Some((src, bytes)) = inbox.take() {
                    assert_eq!((src, bytes), (from, told(n).as_slice()), "datagram {n}");
                    n += 1;
                }
            }
            assert!(calls <= 100 / BATCH + 1, "{calls} calls for what was there");
        }
    }

    #[test]
    fn what_is_too_long_is_cut_and_what_cannot_leave_is_told_alone() {
        let (a, b) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        b.set_nonblocking(true).unwrap();
        let mut inbox = Inbox::new(4);
        assert_eq!(inbox.receive(&b).map_err(|e| e.kind()), Err(io::ErrorKind::WouldBlock));
        let to = b.local_addr().unwrap();
        let mut out = Outbox::default();
        let mut push = |dst, bytes: &[u8]| {
            let bytes = bytes.to_vec();
            out.push(dst, |all| {
                all.extend_from_slice(&bytes);
                true
            });
        };
        push(to, b"first");
        push("[::1]:9".parse().unwrap(), b"the other family");
        push(to, b"2nd");
        let mut failed = Vec::new();
        out.send(&a, never, |dst, _| failed.push(dst));
        assert_eq!(failed, ["[::1]:9".parse::<SocketAddr>().unwrap()]);
        assert_eq!(inbox.receive(&b).unwrap(), 2);
        assert_eq!(inbox.take().map(|(_, bytes)| bytes.to_vec()), Some(b"firs".to_vec()));
        assert_eq!(inbox.take().map(|(_, bytes)| bytes.to_vec()), Some(b"2nd".to_vec()));
        assert!(inbox.take().is_none());
    }

    #[test]
    fn an_error_of_an_earlier_datagram_costs_no_later_one() {
        let a = UdpSocket::bind("127.0.0.1:0").unwrap();
        crate::shell::sys::unreachable::enable(&a).expect("the option exists");
        let closed = UdpSocket::bind("127.0.0.1:0").and_then(|s| s.local_addr()).unwrap();
        let b = UdpSocket::bind("127.0.0.1:0").unwrap();
        b.set_read_timeout(Some(std::time::Duration::from_secs(2))).unwrap();
        a.send_to(b"x", closed).unwrap();
        let mut out = Outbox::default();
        out.push(b.local_addr().unwrap(), |bytes| {
            bytes.push(7);
            true
        });
        // Loopback's ICMP answer is there by now, and the next call on the socket is told of it.
        out.send(&a, |e| e.kind() == io::ErrorKind::ConnectionRefused, |dst, e| panic!("{dst}: {e}"));
        assert_eq!(b.recv_from(&mut [0; 8]).unwrap().0, 1);
    }
}
