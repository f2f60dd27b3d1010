//! Whoever started us and wants to know how we are: systemd's notification socket (`sd_notify(3)`). Without one nothing is said.
//!
//! "Ready" is said when the doors are open, "stopping" when the end begins, and in between a sign of life from the daemon's own loop, so
//! that one that hangs is started anew.

use super::clock;
use crate::clock::Instant;
use sd_notify::NotifyState;
use std::time::Duration;

fn say(states: &[NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(states) {
        tracing::warn!("the service manager does not hear us: {e}");
    }
}

/// The doors are open.
pub(super) fn ready(words: &str) {
    say(&[NotifyState::Ready, NotifyState::Status(words)]);
}

/// The end begins.
pub(super) fn stopping() {
    say(&[NotifyState::Stopping]);
}

/// The signs of life that are wanted.
pub(super) struct Watchdog {
    every: Option<Duration>,
    next: Instant,
}

impl Watchdog {
    /// As the service manager wants them; three in the time that it gives.
    pub fn open() -> Watchdog {
        let wanted = std::env::var_os("NOTIFY_SOCKET").and_then(|_| sd_notify::watchdog_enabled());
        Watchdog { every: wanted.map(|within| within / 3), next: clock::now() }
    }
    /// The time between them, where they are wanted; else a long one.
    pub fn every(&self) -> Duration {
        self.every.unwrap_or(Duration::from_secs(3600)).max(Duration::from_millis(10))
    }
    /// When the next is due.
    pub fn due(&self) -> Option<Instant> {
        self.every.map(|_| self.next)
    }
    /// All is well at `now`. Called more often than is wanted.
    pub fn alive(&mut self, now: Instant) {
        if let Some(every) = self.every
            && now >= self.next
        {
            self.next = now + every;
            say(&[NotifyState::Watchdog]);
        }
    }
}
