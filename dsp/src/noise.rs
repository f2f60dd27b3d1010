//! Noise: a seeded Gaussian source, and comfort noise that matches the level of the silence it stands in for (RFC 3389).

use crate::level::{dbm0_of, mean_square, power_of};
use crate::{FRAME_SAMPLES, Frame};

/// A seeded source of Gaussian samples of unit variance.
///
/// The sum of four 16-bit uniforms out of one SplitMix64 step has the right mean and variance and tails to 3.5 sigma; two such sums
/// reach 4.9 sigma, which at line-noise levels is indistinguishable from the real thing and costs no logarithm.
#[derive(Clone, Debug)]
pub struct Gauss(u64);

impl Gauss {
    /// A source for this seed.
    pub const fn new(seed: u64) -> Self {
        Gauss(seed)
    }

    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// The next sample, mean 0, variance 1.
    pub fn sample(&mut self) -> f32 {
        let (a, b) = (self.bits(), self.bits());
        let sum = |w: u64| (w & 0xFFFF) + ((w >> 16) & 0xFFFF) + ((w >> 32) & 0xFFFF) + (w >> 48);
        // Eight uniforms on 0..65536: mean 8 * 32767.5, standard deviation 65536 * sqrt(8 / 12).
        (sum(a) as f32 + sum(b) as f32 - 262_140.0) * (1.0 / 53_509.9)
    }
}

/// Comfort noise: learns the level of the background while nobody speaks and plays noise of that level, slightly low-passed as
/// rooms are.
#[derive(Clone, Debug)]
pub struct ComfortNoise {
    source: Gauss,
    level_dbm0: f32,
    smooth: f32,
}

/// Background above this is not taken for background.
const LOUDEST_BACKGROUND_DBM0: f32 = -40.0;
/// Comfort noise is never quieter than this: an idle line is not a dead line.
const QUIETEST_DBM0: f32 = -70.0;
/// The pole of the low-pass, and the gain that restores the level behind it.
const POLE: f32 = 0.5;

impl ComfortNoise {
    /// Comfort noise that starts at `level_dbm0`.
    pub fn new(level_dbm0: f32, seed: u64) -> Self {
        ComfortNoise { source: Gauss::new(seed), level_dbm0: level_dbm0.clamp(QUIETEST_DBM0, LOUDEST_BACKGROUND_DBM0), smooth: 0.0 }
    }

    /// Sets the level, e.g. from an RFC 3389 noise-level octet (`-octet` dBm0).
    pub fn set_level_dbm0(&mut self, level_dbm0: f32) {
        self.level_dbm0 = level_dbm0.clamp(QUIETEST_DBM0, LOUDEST_BACKGROUND_DBM0);
    }

    /// The level it plays.
    pub fn level_dbm0(&self) -> f32 {
        self.level_dbm0
    }

    /// Learns from a received frame: falls to a quieter one at once, rises by a third of a dB a frame, ignores loud ones.
    pub fn rx(&mut self, frame: &Frame) {
        let heard = dbm0_of(mean_square(frame));
        if heard < LOUDEST_BACKGROUND_DBM0 {
            self.set_level_dbm0(heard.min(self.level_dbm0 + 0.3));
        }
    }

    /// Fills a frame with noise of the learnt level.
    pub fn tx(&mut self, frame: &mut Frame) {
        let gain = (power_of(self.level_dbm0) * (1.0 - POLE * POLE)).sqrt();
        for n in 0..FRAME_SAMPLES {
            self.smooth = POLE * self.smooth + gain * self.source.sample();
            frame[n] = self.smooth.clamp(-32768.0, 32767.0) as i16;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::Meter;

    #[test]
    fn gaussian_samples_have_unit_variance_and_the_right_tails() {
        let mut g = Gauss::new(1);
        let (mut sum, mut square, mut beyond3) = (0.0f64, 0.0f64, 0);
        for _ in 0..200_000 {
            let v = f64::from(g.sample());
            sum += v;
            square += v * v;
            beyond3 += u32::from(v.abs() > 3.0);
        }
        assert!((sum / 2e5).abs() < 0.01 && (square / 2e5 - 1.0).abs() < 0.02);
        // The Gaussian share beyond three sigma is 0.27 %.
        assert!((200..900).contains(&beyond3), "{beyond3}");
    }

    #[test]
    fn comfort_noise_takes_the_level_of_the_background_and_ignores_speech() {
        let mut background = ComfortNoise::new(-55.0, 3);
        let mut cn = ComfortNoise::new(-70.0, 4);
        let mut f = [0; FRAME_SAMPLES];
        for _ in 0..200 {
            background.tx(&mut f);
            cn.rx(&f);
        }
        cn.rx(&[8000; FRAME_SAMPLES]);
        let mut m = Meter::new(20);
        for _ in 0..200 {
            cn.tx(&mut f);
            m.rx(&f);
        }
        assert!((m.dbm0() + 55.5).abs() < 1.5, "{}", m.dbm0());
    }
}
