//! One of a million terminals: when it asks, and nothing else.
//!
//! A [`crate::registration::Registrant`] weighs some 700 bytes with its texts, and a million of them more than the directory under test.
//! This is its timing in 40: the same constants, the same draws of chance, held to the real machine move by move by a test. Beside it
//! stands the SIP phone, which repeats its request (RFC 3261 s.17.1.2.2) and waits by RFC 5626 s.4.5 when nobody answers.

use crate::clock::{Instant, Rng, ms};
use crate::registration::{ANSWER_WITHIN_MS, BACK_OFF_MAX_MS, BACK_OFF_MS, REFUSED_WAIT_MS, State};

/// Timer F (RFC 3261 s.17.1.2.2), 64*T1, in milliseconds: a phone that hears nothing for this long gives up.
pub const TIMER_F_MS: u64 = 32_000;
/// The first wait of a phone that nobody answered (RFC 5626 s.4.5, all flows failed), in milliseconds; it doubles.
const PHONE_BASE_MS: u64 = 30_000;
/// The longest (RFC 5626 s.4.5), in milliseconds.
const PHONE_MAX_MS: u64 = 1_800_000;

/// Whose manners it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Our gateway: asks once, gives up soon, backs off as `Registrant` does.
    Gateway,
    /// A SIP phone: repeats, gives up late, and takes Retry-After to the letter (no jitter of its own: the worst for the server).
    Phone,
}

/// What came of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Registered, for so many seconds.
    Granted(u32),
    /// No, and the same again will be refused again.
    Refused,
    /// Too busy (with Retry-After, in seconds), or nonsense.
    Failed(Option<u32>),
}

/// The timing of one terminal.
#[derive(Clone, Debug)]
pub struct Terminal {
    rng: Rng,
    /// The answer that is due while it asks, else when it asks again: never both.
    next: Option<Instant>,
    until: Option<Instant>,
    serial: u32,
    failures: u8,
    state: State,
    kind: Kind,
}

impl Terminal {
    /// Unplugged.
    pub fn new(kind: Kind, rng: Rng) -> Self {
        Terminal { rng, next: None, until: None, serial: 0, failures: 0, state: State::Idle, kind }
    }
    /// One that has been registered at `now` for `lease_s` seconds.
    pub fn registered(kind: Kind, rng: Rng, now: Instant, lease_s: u32) -> Self {
        let mut terminal = Terminal::new(kind, rng);
        terminal.granted(now, lease_s);
        terminal
    }
    /// Is plugged in. True: it asks.
    pub fn start(&mut self, now: Instant) -> bool {
        let starts = self.state == State::Idle;
        if starts {
            self.ask(now);
        }
        starts
    }
    /// A phone that answers a challenge begins a new transaction, and its Timer F with it; a gateway counts from its first word.
    pub fn answers_challenge(&mut self, now: Instant) {
        if self.kind == Kind::Phone && self.state == State::Registering {
            self.next = Some(now + ms(TIMER_F_MS));
        }
    }
    /// What came of the request `serial`.
    pub fn handle_response(&mut self, now: Instant, serial: u32, outcome: Outcome) {
        if serial != self.serial || self.state != State::Registering {
            return;
        }
        match outcome {
            Outcome::Granted(lease_s) => self.granted(now, lease_s),
            Outcome::Refused => self.back_off(now, Some(REFUSED_WAIT_MS)),
            Outcome::Failed(retry_after_s) => self.back_off(now, retry_after_s.map(|s| (u64::from(s) * 1000).min(BACK_OFF_MAX_MS))),
        }
    }
    /// Time passed. True: it asks (again). `gave_up` counts requests left without an answer.
    pub fn handle_timeout(&mut self, now: Instant, gave_up: &mut u64) -> bool {
        let mut asks = false;
        while self.next.is_some_and(|at| at <= now) {
            asks = self.state != State::Registering;
            if asks {
                self.ask(now);
            } else {
                *gave_up += 1;
                self.back_off(now, None);
            }
        }
        if self.until.is_some_and(|at| at <= now) {
            self.until = None;
        }
        asks
    }
    /// When [`Terminal::handle_timeout`] is wanted.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next.into_iter().chain(self.until).min()
    }
    /// Where it is.
    pub fn state(&self) -> State {
        self.state
    }
    /// True while its lease runs, as far as it knows.
    pub fn is_registered(&self) -> bool {
        self.until.is_some()
    }
    /// The request under way, or the last one.
    pub fn serial(&self) -> u32 {
        self.serial
    }
    /// Failures in a row, 255 at most.
    pub fn failures(&self) -> u8 {
        self.failures
    }
    /// Whose manners it has.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    fn ask(&mut self, now: Instant) {
        self.serial += 1;
        self.state = State::Registering;
        self.next = Some(now + ms(if self.kind == Kind::Phone { TIMER_F_MS } else { ANSWER_WITHIN_MS }));
    }
    fn granted(&mut self, now: Instant, lease_s: u32) {
        let lease_ms = u64::from(lease_s.max(1)) * 1000;
        self.until = Some(now + ms(lease_ms));
        self.next = Some(now + ms(lease_ms * (450 + self.rng.below(101)) / 1000));
        self.failures = 0;
        self.state = State::Registered;
    }
    fn back_off(&mut self, now: Instant, at_least_ms: Option<u64>) {
        let doubled = |base: u64, max: u64| base.saturating_mul(1 << self.failures.min(16)).min(max);
        let wait_ms = match (self.kind, at_least_ms) {
            (Kind::Gateway, _) => {
                let wait_ms = doubled(BACK_OFF_MS, BACK_OFF_MAX_MS).max(at_least_ms.unwrap_or(0));
                wait_ms + self.rng.below(wait_ms / 4 + 1)
            }
            (Kind::Phone, Some(told_ms)) => told_ms.max(1),
            (Kind::Phone, None) => {
                let half_ms = doubled(PHONE_BASE_MS, PHONE_MAX_MS) / 2;
                half_ms + self.rng.below(half_ms + 1)
            }
        };
        self.failures = self.failures.saturating_add(1);
        self.next = Some(now + ms(wait_ms));
        self.state = State::BackOff;
    }
}
