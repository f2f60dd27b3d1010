//! The client transaction of every request but INVITE and ACK (RFC 3261 s.17.1.2).
//!
//! `Trying --1xx--> Proceeding --200..699 (either)--> Completed --K--> Terminated`, F from the first two.

use super::{Fired, Heard, T1_64_MS, T1_MS, T2_MS, T4_MS, Timer};
use crate::clock::{Instant, TimerTable, ms};

/// The boxes of figure 6 of RFC 3261.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum State {
    Trying,
    Proceeding,
    Completed,
    Terminated,
}

/// A request on its way.
#[derive(Clone, Debug)]
pub struct Client {
    state: State,
    timers: TimerTable<Timer, 3>,
    repeat_ms: u64,
    reliable: bool,
}

impl Client {
    /// The request was sent at `now`; over a reliable transport it is not repeated, and nothing is waited for behind the answer.
    pub fn new(now: Instant, reliable: bool) -> Self {
        let mut timers = TimerTable::new([Timer::E, Timer::F, Timer::K]);
        if !reliable {
            timers.set(Timer::E, now + ms(T1_MS));
        }
        timers.set(Timer::F, now + ms(T1_64_MS));
        Client { state: State::Trying, timers, repeat_ms: T1_MS, reliable }
    }

    /// A response came.
    pub fn handle_response(&mut self, now: Instant, status: u16) -> Heard {
        match (self.state, status) {
            (State::Trying | State::Proceeding, 0..200) => {
                self.state = State::Proceeding;
                Heard::PassUp
            }
            (State::Trying | State::Proceeding, _) => {
                self.state = State::Completed;
                self.timers.stop_all();
                self.timers.set(Timer::K, now + ms(if self.reliable { 0 } else { T4_MS }));
                Heard::PassUp
            }
            (State::Completed | State::Terminated, _) => Heard::Absorbed,
        }
    }

    /// Takes one due timer.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Fired> {
        match self.timers.take_due(now)? {
            Timer::E => {
                self.repeat_ms = if self.state == State::Proceeding { T2_MS } else { (2 * self.repeat_ms).min(T2_MS) };
                self.timers.set(Timer::E, now + ms(self.repeat_ms));
                Some(Fired::Repeat)
            }
            timer => {
                self.state = State::Terminated;
                self.timers.stop_all();
                Some(if timer == Timer::F { Fired::TimedOut } else { Fired::Done })
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
