//! When a datagram really arrived: the kernel's receive time (SO_TIMESTAMPNS), for playout.
//!
//! Sockets are read once a tick, up to 20 ms after the arrival; without the kernel's stamp the jitter buffer would have to allow for that.

#![allow(unsafe_code)] // setsockopt for an option that no safe crate offers, and the bytes of the control message it brings

use socket2::{MaybeUninitSlice, MsgHdrMut, SockAddr, SockRef};
use std::io;
use std::mem::MaybeUninit;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

/// Older stamps than this are not believed (a stepped calendar, a suspended machine).
const AGE_MAX_US: u64 = 200_000;
/// Room for one timespec's control message.
const CONTROL_BYTES: usize = 64;

/// Asks the kernel to stamp what arrives on this socket.
pub fn enable(socket: &UdpSocket) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is open (borrowed), and the option's value is the int that the option takes, with its size.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPNS,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Reads one datagram: its length, its sender, and how long ago it arrived, in microseconds (0 if the kernel does not say).
pub fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr, u64)> {
    let mut control = [MaybeUninit::new(0u8); CONTROL_BYTES];
    // As long as the longest: of a longer address than this the kernel would give the beginning only, and an IPv6 sender would be somebody else.
    let mut from = SockAddr::from(SocketAddr::from(([0u16; 8], 0)));
    // SAFETY: initialised bytes are valid as possibly uninitialised ones, and recvmsg only writes initialised bytes into them.
    let room = unsafe { &mut *(std::ptr::from_mut::<[u8]>(buffer) as *mut [MaybeUninit<u8>]) };
    let (n, control_len) = {
        let mut slices = [MaybeUninitSlice::new(room)];
        let mut message = MsgHdrMut::new().with_addr(&mut from).with_buffers(&mut slices).with_control(&mut control);
        let n = SockRef::from(socket).recvmsg(&mut message, 0)?;
        (n, message.control_len().min(CONTROL_BYTES))
    };
    // SAFETY: every byte was initialised with zero above; the kernel overwrote the first `control_len`.
    let control = control.map(|byte| unsafe { byte.assume_init() });
    let src = from.as_socket().ok_or_else(|| io::Error::other("a datagram from no internet address"))?;
    Ok((n, src, stamp_us(&control[..control_len]).map_or(0, age_us)))
}

/// The time in a control message, in microseconds of the calendar.
fn stamp_us(control: &[u8]) -> Option<u64> {
    // struct cmsghdr on 64-bit Linux: length (8), level (4), type (4), then struct timespec (8 + 8).
    let word = |at: usize| control.get(at..at + 8).and_then(|b| b.try_into().ok()).map(i64::from_ne_bytes);
    let half = |at: usize| control.get(at..at + 4).and_then(|b| b.try_into().ok()).map(i32::from_ne_bytes);
    if half(8)? != libc::SOL_SOCKET || half(12)? != libc::SCM_TIMESTAMPNS {
        return None;
    }
    let (seconds, nanos) = (u64::try_from(word(16)?).ok()?, u64::try_from(word(24)?).ok()?);
    seconds.checked_mul(1_000_000)?.checked_add(nanos / 1000)
}

/// How long ago that was.
fn age_us(stamp_us: u64) -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    let now_us = now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1000;
    let age = now_us.saturating_sub(stamp_us);
    if age <= AGE_MAX_US { age } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_that_waited_is_known_to_have_waited() {
        let to = UdpSocket::bind("127.0.0.1:0").expect("loopback has free ports");
        enable(&to).expect("Linux stamps datagrams");
        let from = UdpSocket::bind("127.0.0.1:0").expect("loopback has free ports");
        let address = to.local_addr().expect("it is bound");
        // The kernel switches stamping on from a work queue when the first socket of the machine asks for it: a datagram that is there sooner
        // is stamped when it is read. So the first ones may miss it; one that had its time does not.
        let mut ages_us = Vec::new();
        for _ in 0..20 {
            from.send_to(b"tip", address).expect("loopback takes it");
            super::super::sleep_until(crate::shell::clock::to_std(crate::shell::clock::now() + crate::clock::ms(30)));
            let mut buffer = [0; 16];
            let (n, src, age_us) = receive(&to, &mut buffer).expect("it waits in the socket");
            assert_eq!((&buffer[..n], src), (&b"tip"[..], from.local_addr().expect("it is bound")));
            ages_us.push(age_us);
            if (29_000..AGE_MAX_US).contains(&age_us) {
                return;
            }
        }
        panic!("{ages_us:?} us");
    }

    #[test]
    fn the_sender_is_who_he_is_in_both_families() {
        for loopback in ["127.0.0.1:0", "[::1]:0"] {
            // A machine without IPv6 has nothing to show here.
            let Ok(to) = UdpSocket::bind(loopback) else { continue };
            let from = UdpSocket::bind(loopback).expect("loopback has free ports");
            from.send_to(b"tip", to.local_addr().expect("it is bound")).expect("loopback takes it");
            let (_, src, _) = receive(&to, &mut [0; 16]).expect("it waits in the socket");
            assert_eq!(src, from.local_addr().expect("it is bound"));
        }
    }

    #[test]
    fn nonsense_in_the_control_message_is_no_stamp() {
        assert_eq!(stamp_us(&[]), None);
        assert_eq!(stamp_us(&[0xff; CONTROL_BYTES]), None);
    }
}
