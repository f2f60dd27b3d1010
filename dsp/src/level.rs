//! Levels: a power meter in dBm0, and whether a line is silent.
//!
//! 0 dBm0 is the digital milliwatt of G.711. A sine that just reaches the largest mu-law code is +3.17 dBm0 by G.711 and +3.14 dBm0
//! for A-law; this crate takes the one figure [`FULL_SCALE_SINE_DBM0`] for a sine of amplitude 32767 in `i16`, under both laws.

use crate::Frame;

/// Level of a sine of amplitude 32767.
#[allow(clippy::approx_constant, reason = "3.14 dB is G.711's figure, not pi")]
pub const FULL_SCALE_SINE_DBM0: f32 = 3.14;
/// Power (mean square of `i16` samples) of 0 dBm0.
pub const MILLIWATT_POWER: f32 = 260_516_780.0;
/// What a meter says of digital silence: below every threshold, and finite.
pub const FLOOR_DBM0: f32 = -96.0;

/// Amplitude (peak, in `i16` units) of one sine at `dbm0`.
pub fn amplitude_of(dbm0: f32) -> f32 {
    32767.0 * 10f32.powf((dbm0 - FULL_SCALE_SINE_DBM0) / 20.0)
}

/// Mean square, in `i16` units squared, of any signal at `dbm0`.
pub fn power_of(dbm0: f32) -> f32 {
    MILLIWATT_POWER * 10f32.powf(dbm0 / 10.0)
}

/// Level in dBm0 of a mean square in `i16` units squared; [`FLOOR_DBM0`] at the least.
pub fn dbm0_of(power: f32) -> f32 {
    (10.0 * (power / MILLIWATT_POWER).max(1e-12).log10()).max(FLOOR_DBM0)
}

/// Mean square of a block; zero if it is empty.
pub fn mean_square(samples: &[i16]) -> f32 {
    if samples.is_empty() {
        return 0.0;
    }
    let sum: u64 = samples.iter().map(|s| (i32::from(*s) * i32::from(*s)) as u64).sum();
    sum as f32 / samples.len() as f32
}

/// A power meter: the mean square over about `1 / weight` frames.
#[derive(Clone, Debug)]
pub struct Meter {
    power: f32,
    weight: f32,
}

impl Meter {
    /// A meter whose memory is about `frames` frames of 20 ms (at least one).
    pub fn new(frames: u32) -> Self {
        Meter { power: 0.0, weight: 1.0 / frames.max(1) as f32 }
    }

    /// Takes a frame from the line.
    pub fn rx(&mut self, frame: &Frame) {
        self.power += (mean_square(frame) - self.power) * self.weight;
    }

    /// The level.
    pub fn dbm0(&self) -> f32 {
        dbm0_of(self.power)
    }
}

/// Says how long a line has been silent: below a threshold, with a frame of hangover built in by counting only whole frames.
#[derive(Clone, Debug)]
pub struct Silence {
    threshold: f32,
    frames: u32,
}

impl Silence {
    /// Silent means below `threshold_dbm0`.
    pub fn new(threshold_dbm0: f32) -> Self {
        Silence { threshold: power_of(threshold_dbm0), frames: 0 }
    }

    /// Takes a frame; returns for how many milliseconds the line has been silent.
    pub fn rx(&mut self, frame: &Frame) -> u32 {
        self.frames = if mean_square(frame) < self.threshold { self.frames.saturating_add(1) } else { 0 };
        self.silent_ms()
    }

    /// For how many milliseconds the line has been silent.
    pub fn silent_ms(&self) -> u32 {
        self.frames.saturating_mul(20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SILENCE;

    fn sine(dbm0: f32) -> Frame {
        core::array::from_fn(|n| (amplitude_of(dbm0) * (core::f32::consts::TAU * 1000.0 * n as f32 / 8000.0).sin()).round() as i16)
    }

    #[test]
    fn a_sine_reads_its_own_level() {
        for level in [FULL_SCALE_SINE_DBM0, 0.0, -10.0, -25.0, -45.0] {
            let mut m = Meter::new(1);
            m.rx(&sine(level));
            assert!((m.dbm0() - level).abs() < 0.1, "{level}: {}", m.dbm0());
        }
        assert!((dbm0_of(power_of(-17.0)) + 17.0).abs() < 1e-3);
    }

    #[test]
    fn silence_is_counted_and_broken_by_sound() {
        let mut s = Silence::new(-50.0);
        assert_eq!((s.rx(&SILENCE), s.rx(&SILENCE), s.rx(&sine(-40.0)), s.rx(&sine(-60.0))), (20, 40, 0, 20));
        let mut m = Meter::new(1);
        m.rx(&SILENCE);
        assert_eq!(m.dbm0(), FLOOR_DBM0);
    }
}
