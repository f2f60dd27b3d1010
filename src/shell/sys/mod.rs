//! The operating system's corners that std does not reach: pacing a thread, sockets with a traffic class.

#![allow(unsafe_code)] // `sched_setscheduler` is reached through libc only.

pub mod batch;
pub mod interfaces;
pub mod stamps;
pub mod unreachable;

use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, UdpSocket};

/// Sleeps until `at`; returns at once if it is past. Absolute, so that lateness does not add up.
pub fn sleep_until(at: std::time::Instant) {
    let wait = at.saturating_duration_since(now());
    if wait.is_zero() {
        return;
    }
    // CLOCK_MONOTONIC is what std's Instant reads on Linux; the absolute deadline is rebuilt from it.
    let clock = rustix::thread::ClockId::Monotonic;
    let present = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let nanos = present.tv_nsec as i128 + wait.as_nanos() as i128;
    let deadline =
        rustix::thread::Timespec { tv_sec: present.tv_sec + (nanos / 1_000_000_000) as i64, tv_nsec: (nanos % 1_000_000_000) as _ };
    while rustix::thread::clock_nanosleep_absolute(clock, &deadline) == Err(rustix::io::Errno::INTR) {}
}

/// Asks for real-time scheduling of this thread, so that other work of the machine does not make a turn late. Low among the real-time
/// priorities: a turn is 20 ms, the kernel's own threads are shorter. False where the system does not grant it (no `CAP_SYS_NICE` and
/// no `RLIMIT_RTPRIO`); the thread then runs like any other.
pub fn real_time() -> bool {
    // SAFETY: an all-zero `sched_param` is a valid one (musl's has reserved fields), and the call reads nothing else.
    let mut param: libc::sched_param = unsafe { std::mem::zeroed() };
    param.sched_priority = 10;
    // SAFETY: 0 is the calling thread; `param` lives through the call.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &param) == 0 }
}

/// Gives memory that was freed back to the system, where the C library keeps it otherwise: after a flood there is much of it.
pub fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: `malloc_trim` takes its own locks and touches only what is free.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Lets the system keep so many bytes of what came for a socket while we are busy, beyond its usual bound where we may say so
/// (`CAP_NET_ADMIN`). It may grant less.
pub fn set_receive_buffer(socket: &UdpSocket, bytes: usize) {
    if rustix::net::sockopt::set_socket_recv_buffer_size_force(socket, bytes).is_err() {
        let _granted = socket2::SockRef::from(socket).set_recv_buffer_size(bytes);
    }
}

/// Lets a verb whose reader has gone (`tipring calls | head -1`) end quietly, as other commands do. Not for daemons.
pub fn end_with_the_reader() {
    // SAFETY: the default action is no handler; nothing else in the program looks at SIGPIPE.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// CPU time of the calling thread, in nanoseconds.
pub fn thread_cpu_ns() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

#[expect(clippy::disallowed_methods, reason = "the pacing of the media thread reads the same monotone clock as shell/clock.rs")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// Lets this process have as many descriptors open as the system allows it: the bounds of `limits.rs` are above the usual 1024.
pub fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // What is refused stays as it is; running out is survived where it happens.
    let _as_before = setrlimit(Resource::Nofile, limit);
}

/// Marks what a connection sends, sends it at once, and has the kernel find out whether the other end still lives: probes after two minutes
/// of silence, and an end to data that nobody acknowledges for `unacknowledged`.
pub fn tune_connection(stream: &tokio::net::TcpStream, dscp: u8, unacknowledged: std::time::Duration) {
    let socket = socket2::SockRef::from(stream);
    let tos = u32::from(dscp) << 2;
    let is_v4 = stream.local_addr().is_ok_and(|a| a.is_ipv4());
    // A host that forbids any of this still carries the message.
    let _unmarked = if is_v4 { socket.set_tos_v4(tos) } else { socket.set_tclass_v6(tos) };
    let _delayed = socket.set_tcp_nodelay(true);
    let minute = std::time::Duration::from_secs(60);
    let _unprobed = socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(2 * minute).with_interval(minute / 4).with_retries(4));
    let _patient = socket.set_tcp_user_timeout(Some(unacknowledged));
}

/// A non-blocking UDP socket with this DSCP (RFC 4594: 46 for media, 24 for signalling) and a receive buffer that rides out a late turn.
pub fn udp_socket(at: SocketAddr, dscp: u8) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP))?;
    let tos = u32::from(dscp) << 2;
    // A host that forbids marking still carries the call.
    let _unmarked = if at.is_ipv4() { socket.set_tos_v4(tos) } else { socket.set_tclass_v6(tos) };
    let _default_size = socket.set_recv_buffer_size(256 * 1024);
    if at.is_ipv6() {
        // IPv4 has sockets of its own; mapped addresses would be second names of the same peers.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    Ok(socket.into())
}
