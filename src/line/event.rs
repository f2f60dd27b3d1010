//! What the line tells the call.

use crate::number::DialString;

/// What the line tells the call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Lifted to make a call.
    WentOffHook,
    /// A complete number.
    Dialled {
        /// The keys, without a closing `#`.
        keys: DialString,
        /// It is one of the emergency numbers.
        emergency: bool,
    },
    /// Digits that no row of the digit map begins with, or too many; the caller hears reorder.
    Misdialled(DialString),
    /// Too slow: what was dialled till then (possibly nothing); the caller hears reorder.
    DialTimeout(DialString),
    /// Hook flash while talking.
    Flash,
    /// Hung up. Exactly once for each [`Event::WentOffHook`] or [`Event::Answered`].
    WentOnHook,
    /// Lifted while ringing.
    Answered,
    /// Rang for too long; the line is on hook again.
    RingTimeout,
    /// Cannot ring: not on hook (glare: it was lifted in the same moment), or no device.
    RingRefused,
    /// A dialled call took too long; the caller hears reorder.
    CallTimeout,
    /// Left off hook until the howler was over.
    LockedOut,
    /// The device does not answer; if the line was off hook, [`Event::WentOnHook`] came first.
    PortGone,
    /// The device answers again.
    PortBack,
}
