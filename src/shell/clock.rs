//! The one place that asks the world for time and chance.

use crate::clock::{Instant, WallMs};
use std::sync::OnceLock;

/// Now, on the monotone clock of this process.
#[allow(clippy::disallowed_methods)] // this is the one clock
pub fn now() -> Instant {
    static START: OnceLock<std::time::Instant> = OnceLock::new();
    let start = START.get_or_init(std::time::Instant::now);
    // A day ahead of zero, so that "an hour ago" exists from the start.
    Instant::from_us(86_400_000_000 + start.elapsed().as_micros() as u64)
}

/// Now, for records that people read.
#[allow(clippy::disallowed_methods)] // this is the one clock
pub fn wall() -> WallMs {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    WallMs(since.map_or(0, |d| d.as_millis() as i64))
}

/// Bytes nobody can guess, from the operating system.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has random bytes once it runs");
    bytes
}
