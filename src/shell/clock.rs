//! The one clock of the program: monotone time for deadlines, wall time for records.

use crate::clock::{Instant, WallMs};
use std::time::{SystemTime, UNIX_EPOCH};

/// The process's monotone clock; its zero is the moment it was made, plus one hour so that "an hour ago" can be said.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    zero: std::time::Instant,
}

impl Clock {
    /// Starts the clock.
    #[expect(clippy::disallowed_methods, reason = "this is the one place where the monotone clock is read")]
    pub fn start() -> Self {
        Clock { zero: std::time::Instant::now() }
    }
    /// Now, on the monotone clock.
    #[expect(clippy::disallowed_methods, reason = "this is the one place where the monotone clock is read")]
    pub fn now(&self) -> Instant {
        Instant::from_us(3_600_000_000 + std::time::Instant::now().duration_since(self.zero).as_micros() as u64)
    }
    /// The same moment for tokio's timers.
    pub fn to_std(&self, at: Instant) -> std::time::Instant {
        self.zero + std::time::Duration::from_micros(at.as_us().saturating_sub(3_600_000_000))
    }
    /// Now, on the calendar.
    #[expect(clippy::disallowed_methods, reason = "this is the one place where the calendar is read")]
    pub fn wall() -> WallMs {
        WallMs(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64))
    }
}

/// RFC 3339 in UTC with milliseconds, for records and logs.
pub fn rfc3339(wall: WallMs) -> String {
    let format = time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(wall.0) * 1_000_000)
        .ok()
        .and_then(|t| t.format(&format).ok())
        .unwrap_or_else(|| wall.0.to_string())
}

/// 64 bits from the operating system, for seeds. Falls back to the clock where the system has no entropy to give.
pub fn seed() -> u64 {
    getrandom::u64().unwrap_or_else(|_| Clock::wall().0 as u64)
}
