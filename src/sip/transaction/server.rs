//! The server transaction of every request but INVITE and ACK (RFC 3261 s.17.2.2). The endpoint answers these at once, so there is
//! no Proceeding: `Trying --200..699--> Completed --J--> Terminated`.

use super::{Fired, Repeated, T1_64_MS, Timer};
use crate::clock::{Instant, TimerTable, ms};

/// The boxes of figure 8 of RFC 3261 that we use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum State {
    Trying,
    Completed,
    Terminated,
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Server {
    state: State,
    timers: TimerTable<Timer, 1>,
    reliable: bool,
}

impl Server {
    /// A request came at `now`. Should nobody answer it, it is forgotten after 64*T1, as its sender does.
    /// Over a reliable transport it is forgotten once it is answered.
    pub fn new(now: Instant, reliable: bool) -> Self {
        let mut timers = TimerTable::new([Timer::J]);
        timers.set(Timer::J, now + ms(T1_64_MS));
        Server { state: State::Trying, timers, reliable }
    }

    /// A response of this status goes out. False if a final one is out already.
    pub fn respond(&mut self, now: Instant, status: u16) -> bool {
        if self.state != State::Trying {
            return false;
        }
        if status >= 200 {
            self.state = State::Completed;
            self.timers.set(Timer::J, now + ms(if self.reliable { 0 } else { T1_64_MS }));
        }
        true
    }

    /// The request came again.
    pub fn handle_repeat(&self) -> Repeated {
        match self.state {
            State::Completed => Repeated::AnswerAgain,
            State::Trying | State::Terminated => Repeated::Absorbed,
        }
    }

    /// Takes one due timer.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Fired> {
        self.timers.take_due(now)?;
        self.state = State::Terminated;
        Some(Fired::Done)
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
