//! The gateway's side of registration: one [`Registrant`] a number, which keeps it registered for as long as the gateway runs (C-4), and
//! takes it back at the end (C-5).
//!
//! ```text
//!            start                    accepted                 half the lease
//!   Idle ----------> Registering ---------------> Registered ----------------> Registering (the number is still good)
//!                      |    ^                                                    |
//!     failed, no answer|    | back-off over                                      | failed: back-off; the number is good
//!                      v    |                                                    v till its lease ends
//!                     BackOff <--------------------------------------------------+
//!   any -- shut_down --> Deregistering -- confirmed, or tried three times --> Stopped
//! ```
//! It knows no transport: it asks for a request, and is told what came of it.

use crate::clock::{Instant, Rng, TimerTable, ms};
use crate::directory::Register;
use crate::key::Fingerprint;
use crate::number::Number;
use core::time::Duration;
use std::net::SocketAddr;

/// The first wait after a failure, in milliseconds; it doubles up to [`BACK_OFF_MAX_MS`].
pub const BACK_OFF_MS: u64 = 1_000;
/// The longest wait after a failure, in milliseconds: a directory that comes back finds everybody within a minute.
pub const BACK_OFF_MAX_MS: u64 = 60_000;
/// The wait after a refusal that trying again does not mend (wrong password, number taken), in milliseconds. The operator may mend it.
pub const REFUSED_WAIT_MS: u64 = 60_000;
/// A request without an answer for this long has failed, in milliseconds.
pub const ANSWER_WITHIN_MS: u64 = 5_000;
/// A deregistration without an answer for this long is tried again, in milliseconds: at shutdown somebody waits.
pub const FAREWELL_WITHIN_MS: u64 = 1_000;
/// Deregistrations tried at shutdown. The lease ends by itself anyway.
pub const FAREWELLS_MAX: u32 = 3;

/// Where a registrant is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Not started.
    Idle,
    /// A request is under way.
    Registering,
    /// The directory knows us.
    Registered,
    /// The last request failed; the next is timed.
    BackOff,
    /// Taking it back.
    Deregistering,
    /// Over.
    Stopped,
}

/// A request to send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ask {
    /// Register or renew.
    Register(Register),
    /// Take back.
    Deregister {
        /// The number granted.
        number: Number,
        /// Our terminal's name, so that a newer registration of another is left alone.
        instance: crate::directory::Instance,
    },
}

/// A request, with the serial number its answer must name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outgoing {
    /// To be given back with the answer; an answer to an older request is passed over.
    pub serial: u64,
    /// What to ask.
    pub ask: Ask,
}

/// What came of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Registered.
    Granted {
        /// The number.
        number: Number,
        /// The lease, in seconds.
        lease_s: u32,
    },
    /// Deregistered (or it was not registered).
    Ended,
    /// No, and the same request will be refused again.
    Refused {
        /// Why, for the operator.
        why: String,
    },
    /// No answer, or none that counts: the directory is down, or too busy.
    Failed {
        /// Why, for the operator.
        why: String,
        /// When to try again at the earliest, if the directory said.
        retry_after_s: Option<u32>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reason {
    Answer,
    Again,
    LeaseEnds,
}

/// Keeps one number registered.
#[derive(Debug)]
pub struct Registrant {
    register: Register,
    state: State,
    granted: Option<Number>,
    until: Option<Instant>,
    failures: u32,
    farewells: u32,
    serial: u64,
    last_error: Option<String>,
    outgoing: Option<Outgoing>,
    timers: TimerTable<Reason, 3>,
    rng: Rng,
}

impl Registrant {
    /// For this registration; `rng` spreads its requests in time.
    pub fn new(register: Register, rng: Rng) -> Self {
        Registrant {
            register,
            state: State::Idle,
            granted: None,
            until: None,
            failures: 0,
            farewells: 0,
            serial: 0,
            last_error: None,
            outgoing: None,
            timers: TimerTable::new([Reason::Answer, Reason::Again, Reason::LeaseEnds]),
            rng,
        }
    }

    /// Starts registering.
    pub fn start(&mut self, now: Instant) {
        if self.state == State::Idle {
            self.ask_register(now);
        }
    }

    /// Our address changed (DHCP), or what a NAT makes of it; then `private` is how we see ourselves. Registers again at once.
    pub fn moved(&mut self, now: Instant, contact: SocketAddr, private: Option<SocketAddr>) {
        if self.register.contact == contact && self.register.private == private {
            return;
        }
        (self.register.contact, self.register.private) = (contact, private);
        self.register_anew(now);
    }

    /// What is registered is no longer true.
    fn register_anew(&mut self, now: Instant) {
        match self.state {
            State::Registering | State::Registered | State::BackOff => {
                self.failures = 0;
                self.ask_register(now);
            }
            State::Idle | State::Deregistering | State::Stopped => {}
        }
    }

    /// Our key was replaced. Registers again at once.
    pub fn set_key(&mut self, now: Instant, key: Fingerprint) {
        if self.register.fingerprint.replace(key) == Some(key) {
            return;
        }
        self.register_anew(now);
    }

    /// There is a way to the directory again, under the same address as before (a cable is back in): whoever failed, or asked into nothing,
    /// asks at once. A registration that holds needs nothing.
    pub fn way_is_back(&mut self, now: Instant) {
        if matches!(self.state, State::Registering | State::BackOff) {
            self.failures = 0;
            self.ask_register(now);
        }
    }

    /// How many calls the port has: the next registration says so.
    pub fn set_calls(&mut self, calls: u8) {
        self.register.calls = calls;
        if let Some(Outgoing { ask: Ask::Register(register), .. }) = &mut self.outgoing {
            register.calls = calls;
        }
    }

    /// Takes the registration back. [`State::Stopped`] follows within [`FAREWELLS_MAX`] times [`FAREWELL_WITHIN_MS`], answer or not.
    pub fn shut_down(&mut self, now: Instant) {
        match (self.state, &self.granted, &self.register.wanted) {
            (State::Deregistering | State::Stopped, _, _) => {}
            (State::Idle, _, _) => self.stop(),
            // A request without an answer may have been granted: taking back what was asked for does no harm.
            (_, Some(_), _) | (State::Registering, None, Some(_)) => self.ask_deregister(now),
            (State::Registering | State::Registered | State::BackOff, None, _) => self.stop(),
        }
    }

    /// The request to send, once.
    pub fn poll_request(&mut self) -> Option<Outgoing> {
        self.outgoing.take()
    }

    /// What came of the request `serial`.
    pub fn handle_response(&mut self, now: Instant, serial: u64, outcome: Outcome) {
        if serial != self.serial || !matches!(self.state, State::Registering | State::Deregistering) {
            return;
        }
        self.timers.stop(Reason::Answer);
        match (self.state, outcome) {
            (State::Deregistering, Outcome::Failed { why, .. }) => self.farewell_failed(now, why),
            (State::Deregistering, _) => self.stop(),
            (_, Outcome::Granted { number, lease_s }) => self.granted(now, number, lease_s),
            (_, Outcome::Refused { why }) => self.back_off(now, why, Some(ms(REFUSED_WAIT_MS))),
            (_, Outcome::Failed { why, retry_after_s }) => {
                let at_least = retry_after_s.map(|s| ms(u64::from(s).saturating_mul(1000).min(BACK_OFF_MAX_MS)));
                self.back_off(now, why, at_least);
            }
            (_, Outcome::Ended) => self.back_off(now, "the directory answered another question".into(), None),
        }
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(reason) = self.timers.take_due(now) {
            match reason {
                Reason::Answer if self.state == State::Deregistering => self.farewell_failed(now, "no answer".into()),
                Reason::Answer => self.back_off(now, "no answer".into(), None),
                Reason::Again => self.ask_register(now),
                Reason::LeaseEnds => self.until = None,
            }
        }
    }

    /// When [`Registrant::handle_timeout`] is wanted.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next().map(|(at, _)| at)
    }

    /// Where it is.
    pub fn state(&self) -> State {
        self.state
    }
    /// True while the directory sends calls here: also during a renewal that fails, until the lease ends.
    pub fn is_registered(&self) -> bool {
        self.until.is_some() && self.state != State::Stopped
    }
    /// The number granted last.
    pub fn number(&self) -> Option<&Number> {
        self.granted.as_ref()
    }
    /// When the lease ends.
    pub fn registered_until(&self) -> Option<Instant> {
        self.until
    }
    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }
    /// What the last failure was, while it lasts.
    pub fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    fn granted(&mut self, now: Instant, number: Number, lease_s: u32) {
        let lease_ms = u64::from(lease_s.max(1)) * 1000;
        self.granted = Some(number);
        self.until = Some(now + ms(lease_ms));
        self.timers.set(Reason::LeaseEnds, now + ms(lease_ms));
        // Half the lease, give or take a tenth: the ports of a gateway do not all come at once, and one failure still leaves time.
        let renew_ms = lease_ms * (450 + self.rng.below(101)) / 1000;
        self.timers.set(Reason::Again, now + ms(renew_ms));
        self.failures = 0;
        self.last_error = None;
        self.state = State::Registered;
    }

    fn back_off(&mut self, now: Instant, why: String, at_least: Option<Duration>) {
        let doubled_ms = BACK_OFF_MS.saturating_mul(1 << self.failures.min(16)).min(BACK_OFF_MAX_MS);
        let wait_ms = doubled_ms.max(at_least.map_or(0, |d| d.as_millis() as u64));
        // Between the wait and a quarter more, so that gateways which failed together do not return together.
        let wait_ms = wait_ms + self.rng.below(wait_ms / 4 + 1);
        self.failures = self.failures.saturating_add(1);
        self.last_error = Some(why);
        self.timers.set(Reason::Again, now + ms(wait_ms));
        self.state = State::BackOff;
    }

    fn farewell_failed(&mut self, now: Instant, why: String) {
        self.last_error = Some(why);
        if self.farewells >= FAREWELLS_MAX { self.stop() } else { self.ask_deregister(now) }
    }

    fn stop(&mut self) {
        self.timers.stop_all();
        self.outgoing = None;
        self.until = None;
        self.state = State::Stopped;
    }

    fn ask_register(&mut self, now: Instant) {
        self.send(now, Ask::Register(self.register.clone()), ANSWER_WITHIN_MS);
        self.state = State::Registering;
    }

    fn ask_deregister(&mut self, now: Instant) {
        let Some(number) = self.granted.clone().or_else(|| self.register.wanted.clone()) else { return self.stop() };
        self.farewells += 1;
        self.timers.stop(Reason::LeaseEnds);
        self.send(now, Ask::Deregister { number, instance: self.register.instance.clone() }, FAREWELL_WITHIN_MS);
        self.state = State::Deregistering;
    }

    fn send(&mut self, now: Instant, ask: Ask, within_ms: u64) {
        self.serial += 1;
        self.outgoing = Some(Outgoing { serial: self.serial, ask });
        self.timers.stop(Reason::Again);
        self.timers.set(Reason::Answer, now + ms(within_ms));
    }
}

#[cfg(test)]
#[path = "registration_tests.rs"]
mod tests;
