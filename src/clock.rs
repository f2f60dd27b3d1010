//! Time, as an argument. The core never asks what time it is: the shell (or the simulator) says so.
//!
//! Two units of it: [`Instant`], microseconds on a monotone clock that starts at an arbitrary zero, for everything with a deadline;
//! and [`Tick`], the count of 20 ms frames, for everything that is counted in samples. Wall-clock time exists only in records
//! ([`WallMs`]) and is handed in beside `now` where a record is made.

use core::fmt;
use core::ops::{Add, Sub};
use core::time::Duration;

/// A point on the monotone clock, in microseconds since an arbitrary start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant {
    us: u64,
}

impl Instant {
    /// The zero of the clock.
    pub const ZERO: Instant = Instant { us: 0 };

    /// `us` microseconds after the zero of the clock.
    pub const fn from_us(us: u64) -> Self {
        Instant { us }
    }
    /// `ms` milliseconds after the zero of the clock.
    pub const fn from_ms(ms: u64) -> Self {
        Instant { us: ms * 1000 }
    }
    /// Microseconds since the zero of the clock.
    pub const fn as_us(self) -> u64 {
        self.us
    }
    /// Whole milliseconds since the zero of the clock.
    pub const fn as_ms(self) -> u64 {
        self.us / 1000
    }
    /// The time from `earlier` to `self`, zero if `earlier` is later.
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_micros(self.us.saturating_sub(earlier.us))
    }
    /// Milliseconds from `earlier` to `self`, zero if `earlier` is later.
    pub const fn ms_since(self, earlier: Instant) -> u64 {
        self.us.saturating_sub(earlier.us) / 1000
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, d: Duration) -> Instant {
        Instant { us: self.us.saturating_add(d.as_micros() as u64) }
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;
    fn sub(self, earlier: Instant) -> Duration {
        self.since(earlier)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.us / 1_000_000, self.us % 1_000_000)
    }
}

/// Milliseconds, as the duration that deadlines are made of: `now + ms(500)`.
pub const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// The count of 20 ms frames since the board started: the clock of the tick domain.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Tick(pub u64);

/// Wall-clock time in milliseconds since 1970-01-01T00:00:00Z, for records that people read; never for a deadline.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct WallMs(pub i64);

/// Named timers of a machine: one slot a reason, so the whole set can be printed and the next deadline says who wants it.
///
/// `N` is the number of reasons; `R` maps to a slot by [`Into<usize>`]. Setting an armed timer moves it.
#[derive(Clone, Debug)]
pub struct TimerTable<R, const N: usize> {
    at: [Option<Instant>; N],
    reasons: [R; N],
}

impl<R: Copy + PartialEq, const N: usize> TimerTable<R, N> {
    /// A table of the given reasons, all disarmed. Each reason must appear once.
    pub const fn new(reasons: [R; N]) -> Self {
        TimerTable { at: [None; N], reasons }
    }
    fn slot(&self, reason: R) -> usize {
        self.reasons.iter().position(|r| *r == reason).expect("every reason of the enum stands in the table's constructor")
    }
    /// Arms (or moves) the timer `reason`.
    pub fn set(&mut self, reason: R, at: Instant) {
        let i = self.slot(reason);
        self.at[i] = Some(at);
    }
    /// Disarms the timer `reason`.
    pub fn stop(&mut self, reason: R) {
        let i = self.slot(reason);
        self.at[i] = None;
    }
    /// Disarms all.
    pub fn stop_all(&mut self) {
        self.at = [None; N];
    }
    /// When `reason` is due, if armed.
    pub fn get(&self, reason: R) -> Option<Instant> {
        self.at[self.slot(reason)]
    }
    /// The earliest deadline and its reason.
    pub fn next(&self) -> Option<(Instant, R)> {
        (0..N).filter_map(|i| self.at[i].map(|at| (at, self.reasons[i]))).min_by_key(|(at, _)| *at)
    }
    /// Takes one timer that is due at `now`, earliest first.
    pub fn take_due(&mut self, now: Instant) -> Option<R> {
        let (at, reason) = self.next()?;
        if at > now {
            return None;
        }
        self.stop(reason);
        Some(reason)
    }
}

/// A small deterministic random generator (SplitMix64): the core's only source of chance, seeded from outside.
///
/// It makes tags, branches, jitter and SSRCs in tests and in virtual time. It is not for keys: those come from the operating system.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator for this seed.
    pub const fn new(seed: u64) -> Self {
        Rng(seed)
    }
    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    /// A number in `0..n` (`n > 0`).
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(n.max(1))) >> 64) as u64
    }
    /// A number in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }
    /// A generator of its own, so that two parts do not disturb each other's sequence.
    pub fn fork(&mut self) -> Rng {
        Rng(self.next_u64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, PartialEq, Debug)]
    enum Reason {
        Answer,
        Hangup,
    }

    #[test]
    fn timers_come_due_in_order_and_once() {
        let mut t = TimerTable::new([Reason::Answer, Reason::Hangup]);
        t.set(Reason::Answer, Instant::from_ms(20));
        t.set(Reason::Hangup, Instant::from_ms(10));
        assert_eq!(t.take_due(Instant::from_ms(5)), None);
        assert_eq!(t.next(), Some((Instant::from_ms(10), Reason::Hangup)));
        assert_eq!(t.take_due(Instant::from_ms(30)), Some(Reason::Hangup));
        assert_eq!(t.take_due(Instant::from_ms(30)), Some(Reason::Answer));
        assert_eq!(t.take_due(Instant::from_ms(30)), None);
    }

    #[test]
    fn same_seed_same_sequence() {
        let (mut a, mut b) = (Rng::new(7), Rng::new(7));
        assert!((0..100).all(|_| a.next_u64() == b.next_u64()));
        assert!((0..1000).all(|_| a.below(6) < 6));
    }
}
