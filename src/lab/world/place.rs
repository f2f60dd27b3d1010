//! Where the sites of a world are: each has an address of its own, which may change, go, or be taken by another.
//!
//! As in the daemon, the address is one thing and what the gateway knows of it another: the kernel's word of a change is looked at when the
//! burst is over ([`SETTLE_MS`]), and until then the gateway tells peers the old one.

use super::nat::{Nat, NatSpec};
use crate::call::Addresses;
use crate::clock::{Instant, Rng, ms};
use crate::stun;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// From a change of the address until the gateway looks, in milliseconds: what the daemon waits for a burst of news to end.
pub const SETTLE_MS: u64 = 100;

/// Where the directory answers STUN, as it does on its SIP port.
pub const STUN_SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 53)), 5060);
pub(super) const SIP_PORT: u16 = 5060;

/// Where a site is at first.
pub(super) fn home(site: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, site as u8 + 1))
}

/// Where site `i` takes SIP at first.
pub fn sip_address(site: usize) -> SocketAddr {
    SocketAddr::new(home(site), 5060)
}

/// Where a site is, and where its gateway believes to be.
pub(super) struct Place {
    /// The machine's address; `None`: the cable is out.
    pub here: Option<IpAddr>,
    /// What the gateway tells.
    pub told: IpAddr,
    /// What the gateway saw when it last looked.
    seen: Option<IpAddr>,
    look_at: Option<Instant>,
    deaf: bool,
    pub nat: Option<Nat>,
    /// Asks how we are seen; gone with the gateway.
    stun: Option<stun::Client>,
    /// Changes so far.
    pub changes: u32,
}

/// What a look found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// Another address than the one told.
    Moved,
    /// The one told, after there was none.
    Back,
    /// Nothing to do.
    Nothing,
}

impl Place {
    pub fn new(site: usize, deaf: bool, nat: Option<NatSpec>) -> Place {
        let (here, nat) = (home(site), nat.map(Nat::new));
        Place { here: Some(here), told: here, seen: Some(here), look_at: None, deaf, nat, stun: None, changes: 0 }
    }
    /// The machine's address changes.
    pub fn change(&mut self, now: Instant, to: Option<IpAddr>) {
        if self.here != to {
            self.here = to;
            self.changes += 1;
            self.look_at = Some(now + ms(SETTLE_MS)).filter(|_| !self.deaf);
        }
    }
    /// A gateway starts, and looks.
    pub fn start(&mut self, now: Instant, rng: &mut Rng) {
        self.stun = self.nat.as_ref().map(|_| stun::Client::new(rng.next_u64()));
        if let Some(stun) = &mut self.stun {
            stun.start(now);
        }
        (self.seen, self.look_at) = (self.here, None);
        self.told = self.here.unwrap_or(self.told);
    }
    /// Where others send to: the machine, or the NAT in front of it.
    pub fn reached(&self) -> Option<IpAddr> {
        self.here.map(|here| self.nat.as_ref().map_or(here, |nat| nat.spec.outside))
    }
    /// What the gateway tells.
    pub fn addresses(&self) -> Addresses {
        let mapped = self.stun.as_ref().and_then(stun::Client::mapped);
        let outside = mapped.filter(|seen| seen.ip() != self.told);
        Addresses { contacts: vec![SocketAddr::new(self.told, SIP_PORT).into()], media: self.told, outside }
    }
    /// What goes to [`STUN_SERVER`] from the SIP socket.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.stun.as_mut()?.poll_transmit()
    }
    /// Something came from there. True if the gateway is seen elsewhere than before.
    pub fn handle_stun(&mut self, now: Instant, bytes: &[u8]) -> bool {
        self.stun.as_mut().and_then(|stun| stun.handle_answer(now, bytes)).is_some()
    }
    /// When it looks, or asks.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let stun = self.stun.as_ref().and_then(stun::Client::poll_timeout);
        [self.look_at, stun].into_iter().flatten().min()
    }
    /// Looks, if it is time to.
    pub fn look(&mut self, now: Instant) -> Found {
        if let Some(stun) = &mut self.stun {
            stun.handle_timeout(now);
        }
        if self.look_at.is_none_or(|at| at > now) {
            return Found::Nothing;
        }
        self.look_at = None;
        let before = core::mem::replace(&mut self.seen, self.here);
        if let Some(stun) = self.stun.as_mut().filter(|_| self.here.is_some()) {
            stun.start(now);
        }
        match self.here {
            Some(here) if here != self.told => {
                self.told = here;
                Found::Moved
            }
            Some(_) if before.is_none() => Found::Back,
            Some(_) | None => Found::Nothing,
        }
    }
}
