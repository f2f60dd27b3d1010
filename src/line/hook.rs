//! The hook: what a loop that opens and closes means. One contact says "I hang up", "flash" and "digit 7"; only time tells them apart.
//!
//! ```text
//!   closed --open--> break --close after  < 10 ms --> bounce, nothing
//!                          --close after 10..120 ms -> dial pulse            (while dialling by pulses)
//!                          --close after flash_min..flash_max -> hook flash  (while the line can use one)
//!                          --still open after the limit ------> hung up
//! ```
//!
//! Dial pulses: 8 to 22 a second with 39 to 67 % break make breaks of 18 to 84 ms and makes of up to 76 ms; digits are 200 ms or more
//! apart (ETSI EN 300 001, TIA-470). Ten pulses are the digit 0.

use crate::clock::{Instant, ms};

/// Contact bounce: shorter breaks are not seen.
const BOUNCE_MAX_MS: u64 = 10;
/// The longest break of a dial pulse. Twice the nominal 60 ms.
pub(super) const PULSE_BREAK_MAX_MS: u64 = 120;
/// After this time closed a digit is over. The longest make within a digit is 76 ms, the shortest pause between digits 200 ms.
pub(super) const PULSE_DIGIT_END_MS: u64 = 150;

/// The contact and the pulses counted so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hook {
    /// The loop is closed, as of the last event.
    closed: bool,
    /// Since when an undecided break lasts.
    open_since: Option<Instant>,
    /// Pulses of the digit being dialled.
    pulses: u8,
}

/// What a break is to be taken for, given what the line is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Meaning {
    /// Dial pulses count.
    pub pulses: bool,
    /// A break of this length, in ms, is a hook flash.
    pub flash_ms: Option<(u64, u64)>,
    /// A break this long, in ms, is a hang-up where no flash is possible.
    pub hang_up_ms: u64,
}

impl Meaning {
    /// How long a break can stay undecided.
    pub(super) fn limit_ms(&self) -> u64 {
        self.flash_ms.map_or(self.hang_up_ms, |(_, max)| max)
    }
}

/// What a closing of the loop turned out to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Closed {
    /// The phone was on hook before: it was lifted.
    Lifted,
    /// A dial pulse; the digit ends when no further pulse comes.
    Pulse,
    /// A hook flash.
    Flash,
    /// Nothing: bounce, or a break of no meaning.
    Nothing,
}

impl Hook {
    pub(super) const fn on_hook() -> Self {
        Hook { closed: false, open_since: None, pulses: 0 }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Pulses were counted whose digit is not over.
    pub(super) fn digit_pending(&self) -> bool {
        self.pulses > 0
    }

    /// The loop opened. Returns when to decide that it was a hang-up; `None` if it was open already.
    pub(super) fn open(&mut self, now: Instant, meaning: Meaning) -> Option<Instant> {
        if !self.closed {
            return None;
        }
        self.closed = false;
        self.open_since = Some(now);
        Some(now + ms(meaning.limit_ms()))
    }

    /// The loop closed.
    pub(super) fn close(&mut self, now: Instant, meaning: Meaning) -> Closed {
        if self.closed {
            return Closed::Nothing;
        }
        self.closed = true;
        let Some(since) = self.open_since.take() else { return Closed::Lifted };
        let break_ms = now.ms_since(since);
        if break_ms < BOUNCE_MAX_MS {
            return Closed::Nothing;
        }
        if meaning.flash_ms.is_some_and(|(min, max)| (min..=max).contains(&break_ms)) {
            return Closed::Flash;
        }
        if meaning.pulses && break_ms <= PULSE_BREAK_MAX_MS {
            self.pulses = self.pulses.saturating_add(1);
            return Closed::Pulse;
        }
        Closed::Nothing
    }

    /// The limit of [`Hook::open`] passed: true if the loop is still open, so the phone was hung up.
    pub(super) fn hung_up(&mut self) -> bool {
        self.pulses = 0;
        self.open_since.take().is_some()
    }

    /// The digit that the pulses make, once they have ended. A train of more than ten is nobody's digit.
    pub(super) fn take_digit(&mut self) -> Option<u8> {
        match core::mem::take(&mut self.pulses) {
            n @ 1..=9 => Some(b'0' + n),
            10 => Some(b'0'),
            0 | 11.. => None,
        }
    }
}
