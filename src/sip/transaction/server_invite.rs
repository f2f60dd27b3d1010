//! The INVITE server transaction. Read RFC 3261 s.17.2.1 and RFC 6026 s.8.5 first.
//!
//! ```text
//! Proceeding --300..699--> Completed --ACK--> Confirmed --I--> Terminated
//!     |                        H: no ACK comes
//!     |--2xx--> Accepted --L--> Terminated        (the user repeats the 2xx, not this machine)
//! ```
//! Proceeding has no timer of its own: its user has one (the ring limit).

use super::{Fired, Repeated, T1_64_MS, T1_MS, T2_MS, T4_MS, Timer};
use crate::clock::{Instant, TimerTable, ms};

/// The boxes of figure 7 of RFC 6026.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum State {
    Proceeding,
    Completed,
    Confirmed,
    Accepted,
    Terminated,
}

/// An INVITE that came.
#[derive(Clone, Debug)]
pub struct ServerInvite {
    state: State,
    timers: TimerTable<Timer, 4>,
    repeat_ms: u64,
    reliable: bool,
}

impl ServerInvite {
    /// An INVITE came; over a reliable transport a failure is not repeated (its ACK is still waited for).
    pub fn new(reliable: bool) -> Self {
        let timers = TimerTable::new([Timer::G, Timer::H, Timer::I, Timer::L]);
        ServerInvite { state: State::Proceeding, timers, repeat_ms: T1_MS, reliable }
    }

    /// A response of this status goes out. False if it may not any more: a final one is out already.
    pub fn respond(&mut self, now: Instant, status: u16) -> bool {
        if self.state != State::Proceeding {
            return false;
        }
        match status {
            0..200 => {}
            200..300 => {
                self.state = State::Accepted;
                self.timers.set(Timer::L, now + ms(T1_64_MS));
            }
            _ => {
                self.state = State::Completed;
                if !self.reliable {
                    self.timers.set(Timer::G, now + ms(T1_MS));
                }
                self.timers.set(Timer::H, now + ms(T1_64_MS));
            }
        }
        true
    }

    /// The INVITE came again.
    pub fn handle_repeat(&self) -> Repeated {
        match self.state {
            State::Proceeding | State::Completed => Repeated::AnswerAgain,
            State::Confirmed | State::Accepted | State::Terminated => Repeated::Absorbed,
        }
    }

    /// An ACK came with this transaction's branch. True if it was for the failure, and ends here.
    pub fn handle_ack(&mut self, now: Instant) -> bool {
        match self.state {
            State::Completed => {
                self.state = State::Confirmed;
                self.timers.stop_all();
                self.timers.set(Timer::I, now + ms(if self.reliable { 0 } else { T4_MS }));
                true
            }
            State::Confirmed => true,
            State::Proceeding | State::Accepted | State::Terminated => false,
        }
    }

    /// Takes one due timer.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Fired> {
        match self.timers.take_due(now)? {
            Timer::G => {
                self.repeat_ms = (2 * self.repeat_ms).min(T2_MS);
                self.timers.set(Timer::G, now + ms(self.repeat_ms));
                Some(Fired::Repeat)
            }
            _ => {
                self.state = State::Terminated;
                self.timers.stop_all();
                Some(Fired::Done)
            }
        }
    }

    /// The box it is in.
    pub fn state(&self) -> State {
        self.state
    }
    /// The next deadline.
    pub fn next_timer(&self) -> Option<(Instant, Timer)> {
        self.timers.next()
    }
}
