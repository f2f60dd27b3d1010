//! The INVITE client transaction. Read RFC 3261 s.17.1.1 and RFC 6026 s.8.4 first.
//!
//! ```text
//! Calling --1xx--> Proceeding --2xx--> Accepted --M--> Terminated
//!    |  \---------------2xx-----------/
//!    |--300..699 (either)--> Completed --D--> Terminated
//!    B: nobody answers   C: it rings too long (ours, so that every state has an exit)
//! ```

use super::{Fired, Heard, T1_64_MS, T1_MS, TIMER_C_MS, Timer};
use crate::clock::{Instant, TimerTable, ms};

/// The boxes of figure 5 of RFC 6026.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum State {
    Calling,
    Proceeding,
    Completed,
    Accepted,
    Terminated,
}

/// An INVITE on its way.
#[derive(Clone, Debug)]
pub struct ClientInvite {
    state: State,
    timers: TimerTable<Timer, 5>,
    repeat_ms: u64,
    cancelled: bool,
    reliable: bool,
}

impl ClientInvite {
    /// The INVITE was sent at `now`; over a reliable transport it is not repeated, and repeats of a failure are not waited for.
    pub fn new(now: Instant, reliable: bool) -> Self {
        let mut timers = TimerTable::new([Timer::A, Timer::B, Timer::C, Timer::D, Timer::M]);
        if !reliable {
            timers.set(Timer::A, now + ms(T1_MS));
        }
        timers.set(Timer::B, now + ms(T1_64_MS));
        ClientInvite { state: State::Calling, timers, repeat_ms: T1_MS, cancelled: false, reliable }
    }

    /// A response came.
    pub fn handle_response(&mut self, now: Instant, status: u16) -> Heard {
        match (self.state, status) {
            (State::Calling | State::Proceeding, 0..200) => {
                self.state = State::Proceeding;
                self.timers.stop(Timer::A);
                self.timers.stop(Timer::B);
                if !self.cancelled {
                    self.timers.set(Timer::C, now + ms(TIMER_C_MS));
                }
                Heard::PassUp
            }
            (State::Calling | State::Proceeding, 200..300) => {
                self.state = State::Accepted;
                self.timers.stop_all();
                self.timers.set(Timer::M, now + ms(T1_64_MS));
                Heard::PassUp
            }
            (State::Calling | State::Proceeding, _) => {
                self.state = State::Completed;
                self.timers.stop_all();
                self.timers.set(Timer::D, now + ms(if self.reliable { 0 } else { T1_64_MS }));
                Heard::PassUp
            }
            (State::Accepted, 200..300) => Heard::PassUp,
            (State::Completed, 300..) => Heard::AckAgain,
            (State::Accepted | State::Completed | State::Terminated, _) => Heard::Absorbed,
        }
    }

    /// A CANCEL went out: a final answer must come within 64*T1 (RFC 3261 s.9.1).
    pub fn cancel_sent(&mut self, now: Instant) {
        self.cancelled = true;
        if matches!(self.state, State::Calling | State::Proceeding) {
            self.timers.set(Timer::C, now + ms(T1_64_MS));
        }
    }

    /// Takes one due timer.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Fired> {
        match self.timers.take_due(now)? {
            Timer::A => {
                self.repeat_ms *= 2;
                self.timers.set(Timer::A, now + ms(self.repeat_ms));
                Some(Fired::Repeat)
            }
            Timer::C if !self.cancelled => Some(Fired::RangTooLong),
            Timer::B | Timer::C => Some(self.terminate(Fired::TimedOut)),
            _ => Some(self.terminate(Fired::Done)),
        }
    }

    fn terminate(&mut self, why: Fired) -> Fired {
        self.state = State::Terminated;
        self.timers.stop_all();
        why
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
