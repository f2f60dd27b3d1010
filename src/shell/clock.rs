//! The one place that asks the world for time and chance: monotone time for deadlines, wall time for records, and entropy.

use crate::clock::{Instant, WallMs};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A day ahead of zero, so that "an hour ago" exists from the start.
const HEAD_START_US: u64 = 86_400_000_000;

#[expect(clippy::disallowed_methods, reason = "this is the one clock")]
fn start() -> std::time::Instant {
    static START: OnceLock<std::time::Instant> = OnceLock::new();
    *START.get_or_init(std::time::Instant::now)
}

/// Now, on the monotone clock of this process.
pub fn now() -> Instant {
    Instant::from_us(HEAD_START_US + start().elapsed().as_micros() as u64)
}

/// The same moment for timers of std and tokio.
pub fn to_std(at: Instant) -> std::time::Instant {
    start() + Duration::from_micros(at.as_us().saturating_sub(HEAD_START_US))
}

/// Now, for records that people read.
#[expect(clippy::disallowed_methods, reason = "this is the one calendar")]
pub fn wall() -> WallMs {
    WallMs(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64))
}

/// RFC 3339 in UTC with milliseconds, for records and logs.
pub fn rfc3339(wall: WallMs) -> String {
    let format = time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    let at = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(wall.0) * 1_000_000).ok();
    at.and_then(|t| t.format(&format).ok()).unwrap_or_else(|| wall.0.to_string())
}

/// Bytes nobody can guess, from the operating system.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has random bytes once it runs");
    bytes
}

/// 64 bits nobody can guess, to seed the core's generators.
pub fn seed() -> u64 {
    u64::from_le_bytes(random())
}
