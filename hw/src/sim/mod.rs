//! Simulated machines: a phone and a fax machine at the far end of a two-wire line, behind the same [`Port`](crate::Port) as a card.
//!
//! They are part of the product: the demo, the laboratory and the tests use the same ones. A [`Machine`] hears 20 ms, speaks 20 ms and
//! opens or closes the loop; [`SimPort`] puts the line between it and the gateway. What a person would do at the machine is a
//! [`Control`]; what the machine notices is a [`SimEvent`]. Machines allocate and touch files only when commanded to.

pub mod control;
#[cfg(feature = "spandsp")]
pub mod fax;
pub mod phone;
pub mod port;

pub use control::{Control, ControlError, FaxDirection, FaxReport, Happening, SimEvent};
#[cfg(feature = "spandsp")]
pub use fax::{FaxMachine, FaxSettings};
pub use phone::Phone;
pub use port::SimPort;

use crate::Frame;

/// What the wire does to the machine beside the audio.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wire {
    /// Ringing current is on.
    pub ringing: bool,
    /// The gateway feeds battery.
    pub battery: bool,
    /// The battery is reversed.
    pub reversed: bool,
}

/// The loop was closed or opened by the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HookChange {
    /// Closed (off hook) or opened.
    pub closed: bool,
    /// Offset in the turn, 0 to 19 ms.
    pub at_ms: u8,
}

/// A device at the far end of the wire.
pub trait Machine: Send {
    /// 20 ms: what the machine hears (silence while on hook) and how the wire stands; it fills `speaks` (ignored while on hook).
    fn turn(&mut self, hears: &Frame, wire: Wire, speaks: &mut Frame);
    /// Hook changes of the turn, in order.
    fn poll_hook(&mut self) -> Option<HookChange>;
    /// Whether the loop is closed now.
    fn is_off_hook(&self) -> bool;
    /// What a person does at the machine. Takes effect with the next turn.
    fn control(&mut self, control: Control) -> Result<(), ControlError>;
    /// What the machine noticed, oldest first.
    fn poll_sim(&mut self) -> Option<SimEvent>;
}

/// Counts rings by the current on the wire: bursts closer together than a second are one ring (the double ring of many countries).
#[derive(Clone, Copy, Debug, Default)]
struct Bell {
    rings: u32,
    on: bool,
    quiet_ms: u32,
    since_ring_ms: u32,
}

/// What the bell did in a turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum BellChange {
    Started,
    Stopped,
}

/// A pause longer than this separates two rings.
const RING_GAP_MS: u32 = 900;
/// A pause longer than this: the caller gave up. The longest pause of a cadence in use is 5 s.
const RING_END_MS: u32 = 8000;

impl Bell {
    fn turn(&mut self, current: bool) -> Option<BellChange> {
        self.since_ring_ms = self.since_ring_ms.saturating_add(20);
        if !current {
            self.on = false;
            self.quiet_ms = self.quiet_ms.saturating_add(20);
            if self.rings > 0 && self.quiet_ms >= RING_END_MS {
                *self = Bell::default();
                return Some(BellChange::Stopped);
            }
            return None;
        }
        let new_burst = !self.on;
        let new_ring = new_burst && (self.rings == 0 || self.quiet_ms > RING_GAP_MS);
        self.on = true;
        self.quiet_ms = 0;
        if new_ring {
            self.rings += 1;
            self.since_ring_ms = 0;
            if self.rings == 1 {
                return Some(BellChange::Started);
            }
        }
        None
    }

    /// Has it rung so often that a machine set to `after` rings lifts? It does so half a second into that ring.
    fn answers(&self, after: Option<u8>) -> bool {
        after.is_some_and(|n| self.rings >= u32::from(n.max(1)) && self.since_ring_ms >= 500)
    }
}
