//! Which peer of an unconnected UDP socket the network calls unreachable: the kernel's error queue (ip(7), IP_RECVERR), which keeps what an
//! ICMP answer says together with where the datagram was going.

#![allow(unsafe_code)] // setsockopt for an option that no safe crate offers, and recvmsg with its control message

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

/// Room for one `sock_extended_err` with its offender, and what else the kernel may add.
const CONTROL_BYTES: usize = 256;

/// Asks the kernel to keep such answers.
pub fn enable(socket: &std::net::UdpSocket) -> io::Result<()> {
    let (level, option) = match socket.local_addr()? {
        SocketAddr::V4(_) => (libc::SOL_IP, libc::IP_RECVERR),
        SocketAddr::V6(_) => (libc::SOL_IPV6, libc::IPV6_RECVERR),
    };
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is open (borrowed), and the option's value is the int that the option takes, with its size.
    let done =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const on).cast(), size_of::<libc::c_int>() as libc::socklen_t) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The next answer that waits: who cannot be reached, and why. Never blocks.
pub fn next(socket: &impl AsRawFd) -> Option<(SocketAddr, String)> {
    loop {
        let (to, code) = receive(socket)?;
        match code {
            // What means that nobody is there, or nobody can get there. Others (too long, try again) do not.
            libc::ECONNREFUSED | libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EHOSTDOWN | libc::ENOPROTOOPT | libc::EACCES => {
                return Some((to?, io::Error::from_raw_os_error(code).to_string()));
            }
            _ => {}
        }
    }
}

/// One entry of the error queue: whither the datagram went, and the error. `None`: the queue is empty.
fn receive(socket: &impl AsRawFd) -> Option<(Option<SocketAddr>, i32)> {
    #[repr(C, align(8))]
    struct Control([u8; CONTROL_BYTES]);
    let mut control = Control([0; CONTROL_BYTES]);
    // SAFETY: plain old data, for which zero is a value.
    let mut name: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    // The payload of the lost datagram is not looked at.
    let mut byte = 0u8;
    let mut slice = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    // SAFETY: as above.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = (&raw mut name).cast();
    message.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    message.msg_iov = &raw mut slice;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = CONTROL_BYTES as _;
    // SAFETY: every pointer in `message` is to a local that outlives the call, with its true length.
    let n = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT) };
    if n < 0 {
        return None;
    }
    let mut code = 0;
    // SAFETY: the kernel filled `msg_control` up to `msg_controllen`; CMSG_FIRSTHDR and CMSG_NXTHDR stay inside it.
    let mut head = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    while !head.is_null() {
        // SAFETY: `head` points into `control`, which is aligned for cmsghdr.
        let (level, kind) = unsafe { ((*head).cmsg_level, (*head).cmsg_type) };
        if (level, kind) == (libc::SOL_IP, libc::IP_RECVERR) || (level, kind) == (libc::SOL_IPV6, libc::IPV6_RECVERR) {
            // SAFETY: the data of this kind of message is a sock_extended_err; read unaligned.
            let error: libc::sock_extended_err = unsafe { libc::CMSG_DATA(head).cast::<libc::sock_extended_err>().read_unaligned() };
            code = error.ee_errno as i32;
        }
        // SAFETY: as for CMSG_FIRSTHDR.
        head = unsafe { libc::CMSG_NXTHDR(&raw const message, head) };
    }
    Some((address(&name), code))
}

fn address(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that a sockaddr_in lies there, and the storage is large enough and aligned for it.
            let v4 = unsafe { *std::ptr::from_ref(name).cast::<libc::sockaddr_in>() };
            Some(SocketAddr::from((u32::from_be(v4.sin_addr.s_addr).to_be_bytes(), u16::from_be(v4.sin_port))))
        }
        libc::AF_INET6 => {
            // SAFETY: as above, for sockaddr_in6.
            let v6 = unsafe { *std::ptr::from_ref(name).cast::<libc::sockaddr_in6>() };
            let ip = std::net::Ipv6Addr::from(v6.sin6_addr.s6_addr);
            Some(std::net::SocketAddrV6::new(ip, u16::from_be(v6.sin6_port), 0, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[allow(clippy::disallowed_methods)] // waits for the kernel
    fn pause<T>(ms: u64) -> Option<T> {
        std::thread::sleep(std::time::Duration::from_millis(ms));
        None
    }

    #[test]
    fn a_closed_port_is_told_with_its_address() {
        for ip in ["127.0.0.1", "::1"] {
            let Ok(socket) = UdpSocket::bind((ip, 0)) else { continue };
            enable(&socket).expect("the option exists");
            assert!(next(&socket).is_none(), "nothing was sent yet");
            let closed = UdpSocket::bind((ip, 0)).and_then(|s| s.local_addr()).expect("a port");
            socket.send_to(b"x", closed).expect("it leaves");
            // Loopback answers within the call; a bound for slow days.
            let told = (0..100).find_map(|_| next(&socket).or_else(|| pause(20)));
            let (dst, why) = told.expect("ICMP port unreachable came");
            assert_eq!(dst, closed);
            assert!(why.contains("refused"), "{why}");
            assert!(next(&socket).is_none(), "it is told once");
        }
    }
}
