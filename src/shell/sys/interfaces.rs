//! The addresses of this machine's interfaces, and word of their changes (rtnetlink(7)).

#![allow(unsafe_code)] // `getifaddrs` is reached through libc only

use crate::directory::Mac;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::ffi::CStr;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::net::UnixDatagram;

/// The addresses that others may reach us by: of interfaces that are up and have a carrier, neither loopback nor link-local, in the
/// system's order.
pub fn addresses() -> Vec<IpAddr> {
    let usable = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_uint;
    let mut found = Vec::new();
    each(|_name, flags, ip| {
        let reachable = match ip {
            IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local() && !v4.is_unspecified(),
            IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local() && !v6.is_unspecified(),
        };
        if flags & usable == usable && reachable {
            found.push(ip);
        }
    });
    found
}

/// The hardware address of the interface that has this address; `None`: none has, or it has none (loopback, a tunnel).
pub fn hardware_address(of: IpAddr) -> Option<Mac> {
    let mut name = None;
    each(|interface, _flags, ip| {
        if ip == of && name.is_none() {
            name = Some(interface.to_owned());
        }
    });
    let text = std::fs::read_to_string(format!("/sys/class/net/{}/address", name?.to_str().ok()?)).ok()?;
    Mac::parse(text.trim()).filter(|mac| mac.0 != [0; 6])
}

/// Calls `found` with the name, the flags and an address of an interface, for each address of each.
fn each(mut found: impl FnMut(&CStr, libc::c_uint, IpAddr)) {
    let mut first: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: the call writes the head of a list, which is given back below, or fails and writes nothing.
    if unsafe { libc::getifaddrs(&raw mut first) } != 0 {
        return;
    }
    let mut at = first;
    // SAFETY: the list is the C library's until `freeifaddrs`; each entry is valid, and its `ifa_next` is the next one or null.
    while let Some(entry) = unsafe { at.as_ref() } {
        at = entry.ifa_next;
        if entry.ifa_addr.is_null() || entry.ifa_name.is_null() {
            continue;
        }
        // SAFETY: not null; every address begins with its family, which says how long it is.
        let ip = unsafe {
            match i32::from((*entry.ifa_addr).sa_family) {
                libc::AF_INET => {
                    let v4 = entry.ifa_addr.cast::<libc::sockaddr_in>().read_unaligned();
                    Some(IpAddr::V4(Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr))))
                }
                libc::AF_INET6 => {
                    let v6 = entry.ifa_addr.cast::<libc::sockaddr_in6>().read_unaligned();
                    Some(IpAddr::V6(Ipv6Addr::from(v6.sin6_addr.s6_addr)))
                }
                _ => None,
            }
        };
        // SAFETY: not null, and a C string that lives as long as the list.
        let name = unsafe { CStr::from_ptr(entry.ifa_name) };
        if let Some(ip) = ip {
            found(name, entry.ifa_flags, ip);
        }
    }
    // SAFETY: what `getifaddrs` made, and nothing points into it any more.
    unsafe { libc::freeifaddrs(first) };
}

/// A socket that becomes readable when a link, an address or a route changes. What can be read from it are rtnetlink's messages, one a read,
/// as from any datagram socket; hence its type, the only one of them that is bound to no kind of address.
pub fn news() -> io::Result<UnixDatagram> {
    let groups =
        libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR | libc::RTMGRP_IPV4_ROUTE | libc::RTMGRP_IPV6_ROUTE;
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    // NETLINK_ROUTE is protocol 0.
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    rustix::net::bind(&socket, &SocketAddrNetlink::new(0, groups as u32))?;
    Ok(UnixDatagram::from(socket))
}
