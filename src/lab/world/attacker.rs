//! Somebody in the path: sees every datagram between the sites, and decides what becomes of it.

use crate::clock::Instant;
use std::net::SocketAddr;

/// A datagram on its way: from, to, what.
pub type Passing = (SocketAddr, SocketAddr, Vec<u8>);

/// Whoever sits on the network.
pub trait Attacker {
    /// A datagram passes: what goes on in its place. Nothing (it is dropped), itself, another, or several.
    fn on_datagram(&mut self, now: Instant, passing: Passing, on: &mut Vec<Passing>);
}
