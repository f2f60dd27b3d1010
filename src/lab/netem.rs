//! A network link in one direction: delay, jitter, loss single and in bursts, duplication and reordering, all by seed.
//!
//! Sans-I/O: what is sent comes out of [`Netem::poll`] when its time has come. Bursts follow Gilbert's two-state model (loss in one
//! state, none in the other), so loss rate and mean burst length can be given directly.

use crate::clock::{Instant, Rng};
use core::time::Duration;
use std::collections::BTreeMap;

/// What the link does to datagrams.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Params {
    /// Fraction of datagrams lost, 0 to 1.
    pub loss: f64,
    /// Mean length of a loss burst in datagrams; 1 makes losses independent.
    pub burst: f64,
    /// Delay of every datagram.
    pub delay: Duration,
    /// Further delay, uniform from nought to this.
    pub jitter: Duration,
    /// Fraction of datagrams that come twice (the second with its own jitter).
    pub duplicate: f64,
    /// Fraction of datagrams that skip the jitter and so overtake others.
    pub reorder: f64,
    /// Chance, per datagram, that the link stops for [`Params::stall`]: what is sent meanwhile arrives in one burst (radio, bufferbloat).
    pub stall_chance: f64,
    /// How long a stall lasts.
    pub stall: Duration,
    /// Jitter may not reorder: a datagram waits for those sent before it, as in a queue.
    pub in_order: bool,
    /// Datagrams on the way at a time; beyond it they are lost, as in a full queue.
    pub queue_max: usize,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            loss: 0.0,
            burst: 1.0,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            duplicate: 0.0,
            reorder: 0.0,
            stall_chance: 0.0,
            stall: Duration::ZERO,
            in_order: false,
            queue_max: 10_000,
        }
    }
}

/// What the link has done so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Handed in.
    pub sent: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Lost because the queue was full.
    pub overflowed: u64,
    /// Sent twice.
    pub duplicated: u64,
}

/// The link.
#[derive(Clone, Debug)]
pub struct Netem<T> {
    params: Params,
    rng: Rng,
    losing: bool,
    flying: BTreeMap<(Instant, u64), T>,
    next: u64,
    last_due: Instant,
    stalled_until: Instant,
    counters: Counters,
}

impl<T: Clone> Netem<T> {
    /// A link with these faults; the same seed and the same calls give the same faults.
    pub fn new(params: Params, seed: u64) -> Self {
        Netem {
            params,
            rng: Rng::new(seed),
            losing: false,
            flying: BTreeMap::new(),
            next: 0,
            last_due: Instant::ZERO,
            stalled_until: Instant::ZERO,
            counters: Counters::default(),
        }
    }

    /// Other faults from here on; what is on its way arrives as it would have.
    pub fn set_params(&mut self, params: Params) {
        self.params = params;
    }

    /// A datagram goes in.
    pub fn send(&mut self, now: Instant, datagram: T) {
        self.counters.sent += 1;
        if self.is_lost() {
            self.counters.lost += 1;
            return;
        }
        if self.rng.chance(self.params.duplicate) {
            self.counters.duplicated += 1;
            self.launch(now, datagram.clone());
        }
        self.launch(now, datagram);
    }

    /// The next datagram that has arrived by `now`, in order of arrival.
    pub fn poll(&mut self, now: Instant) -> Option<T> {
        self.poll_at(now).map(|(_, datagram)| datagram)
    }

    /// As [`Netem::poll`], with the moment of arrival.
    pub fn poll_at(&mut self, now: Instant) -> Option<(Instant, T)> {
        let due = *self.flying.first_key_value()?.0;
        if due.0 > now {
            return None;
        }
        self.flying.remove(&due).map(|datagram| (due.0, datagram))
    }

    /// When the next datagram arrives.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.flying.first_key_value().map(|(due, _)| due.0)
    }

    /// What the link has done so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn is_lost(&mut self) -> bool {
        let Params { loss, burst, .. } = self.params;
        if loss <= 0.0 || loss >= 1.0 || burst <= 1.0 {
            return self.rng.chance(loss);
        }
        // Gilbert: leaves the bad state with 1/burst, enters it so that its share of the time is the loss rate.
        let leave = 1.0 / burst;
        let enter = (leave * loss / (1.0 - loss)).min(1.0);
        self.losing = if self.losing { !self.rng.chance(leave) } else { self.rng.chance(enter) };
        self.losing
    }

    fn launch(&mut self, now: Instant, datagram: T) {
        if self.flying.len() >= self.params.queue_max {
            self.counters.overflowed += 1;
            return;
        }
        if self.params.stall_chance > 0.0 && now >= self.stalled_until && self.rng.chance(self.params.stall_chance) {
            self.stalled_until = now + self.params.stall;
        }
        let overtakes = self.rng.chance(self.params.reorder);
        let jitter = if overtakes { 0 } else { self.rng.below(self.params.jitter.as_micros() as u64 + 1) };
        let mut due = now.max(self.stalled_until) + self.params.delay + Duration::from_micros(jitter);
        if self.params.in_order && !overtakes {
            due = due.max(self.last_due);
            self.last_due = due;
        }
        self.flying.insert((due, self.next), datagram);
        self.next += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ms;

    fn run(params: Params, seed: u64, n: u64) -> Vec<(u64, u64)> {
        let mut link = Netem::new(params, seed);
        let mut out = Vec::new();
        for i in 0..n {
            let now = Instant::from_ms(i * 20);
            link.send(now, i);
            while let Some((at, d)) = link.poll_at(now) {
                out.push((at.as_us(), d));
            }
        }
        while let Some(at) = link.poll_timeout() {
            out.extend(link.poll(at).map(|d| (at.as_us(), d)));
        }
        out
    }

    #[test]
    fn a_clean_link_only_delays() {
        let out = run(Params { delay: ms(30), ..Params::default() }, 1, 100);
        assert!(out.iter().enumerate().all(|(i, (at, d))| *d == i as u64 && *at == d * 20_000 + 30_000));
    }

    #[test]
    fn loss_and_burst_length_are_as_asked() {
        for burst in [1.0, 4.0] {
            let got: Vec<u64> = run(Params { loss: 0.1, burst, ..Params::default() }, 7, 50_000).iter().map(|d| d.1).collect();
            let rate = 1.0 - got.len() as f64 / 50_000.0;
            let gaps: Vec<u64> = got.windows(2).map(|w| w[1] - w[0] - 1).filter(|g| *g > 0).collect();
            let mean = gaps.iter().sum::<u64>() as f64 / gaps.len() as f64;
            assert!((0.085..0.115).contains(&rate), "{rate}");
            assert!((mean / burst - 1.0).abs() < 0.15, "{mean} for {burst}");
        }
    }

    #[test]
    fn jitter_reorders_unless_told_not_to_and_a_seed_repeats() {
        let p = Params { jitter: ms(80), duplicate: 0.1, ..Params::default() };
        let out = run(p, 3, 500);
        assert_eq!(out, run(p, 3, 500));
        assert_ne!(out, run(p, 4, 500));
        assert!(out.len() > 520);
        assert!(out.windows(2).any(|w| w[1].1 < w[0].1));
        let kept = run(Params { in_order: true, duplicate: 0.0, ..p }, 3, 500);
        assert!(kept.windows(2).all(|w| w[1].1 > w[0].1));
        let stalled = run(Params { stall_chance: 0.02, stall: ms(300), ..Params::default() }, 3, 500);
        assert!(stalled.windows(15).any(|w| w[0].0 == w[14].0), "fifteen at a time after a stall");
        let overtaken = run(Params { reorder: 0.05, duplicate: 0.0, in_order: true, ..p }, 3, 500);
        assert!(overtaken.windows(2).any(|w| w[1].1 < w[0].1));
    }
}
