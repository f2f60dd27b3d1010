//! Where the sites of a world are: each has an address of its own, which may change, go, or be taken by another.
//!
//! As in the daemon, the address is one thing and what the gateway knows of it another: the kernel's word of a change is looked at when the
//! burst is over ([`SETTLE_MS`]), and until then the gateway tells peers the old one.

use crate::clock::{Instant, ms};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// From a change of the address until the gateway looks, in milliseconds: what the daemon waits for a burst of news to end.
pub const SETTLE_MS: u64 = 100;

/// Where a site is at first.
pub(super) fn home(site: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, site as u8 + 1))
}

/// Where site `i` takes SIP at first.
pub fn sip_address(site: usize) -> SocketAddr {
    SocketAddr::new(home(site), 5060)
}

/// Where a site is, and where its gateway believes to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The machine's address; `None`: the cable is out.
    pub here: Option<IpAddr>,
    /// What the gateway tells.
    pub told: IpAddr,
    /// What the gateway saw when it last looked.
    seen: Option<IpAddr>,
    look_at: Option<Instant>,
    /// Changes so far.
    pub changes: u32,
}

/// What a look found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// Another address than the one told.
    Moved(IpAddr),
    /// The one told, after there was none.
    Back,
    /// Nothing to do.
    Nothing,
}

impl Place {
    pub fn new(site: usize) -> Place {
        Place { here: Some(home(site)), told: home(site), seen: Some(home(site)), look_at: None, changes: 0 }
    }
    /// The machine's address changes.
    pub fn change(&mut self, now: Instant, to: Option<IpAddr>) {
        if self.here != to {
            self.here = to;
            self.changes += 1;
            self.look_at = Some(now + ms(SETTLE_MS));
        }
    }
    /// A gateway starts, and looks.
    pub fn start(&mut self) {
        (self.seen, self.look_at) = (self.here, None);
        self.told = self.here.unwrap_or(self.told);
    }
    /// When it looks.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.look_at
    }
    /// Looks, if it is time to.
    pub fn look(&mut self, now: Instant) -> Found {
        if self.look_at.is_none_or(|at| at > now) {
            return Found::Nothing;
        }
        self.look_at = None;
        let before = core::mem::replace(&mut self.seen, self.here);
        match self.here {
            Some(here) if here != self.told => {
                self.told = here;
                Found::Moved(here)
            }
            Some(_) if before.is_none() => Found::Back,
            Some(_) | None => Found::Nothing,
        }
    }
}
