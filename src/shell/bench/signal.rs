//! Signals to measure with, from a seed: something like speech with the noise of a line under it, and keys pressed meanwhile.
//!
//! Voiced sound is a train of pulses through three resonators that move from syllable to syllable, unvoiced sound is noise through one;
//! syllables and pauses follow each other four times a second. Nobody would understand it, but its spectrum and its level move like a
//! talker's, and that is what detectors, concealment and playout are busy with.

use crate::clock::Rng;
use tipring_dsp::dtmf::{Generator, Sending};
use tipring_dsp::level::amplitude_of;
use tipring_dsp::noise::Gauss;
use tipring_dsp::{FRAME_SAMPLES, Frame, SAMPLE_RATE_HZ, SILENCE};

/// Level of the noise, dBm0.
const NOISE_DBM0: f32 = -55.0;
/// Level of the talker in the middle of a syllable, dBm0.
const TALK_DBM0: f32 = -16.0;

/// A two-pole resonator of unit gain at its centre.
struct Resonator {
    a: f32,
    b: f32,
    gain: f32,
    y: [f32; 2],
}

impl Resonator {
    fn new(hz: f32, width_hz: f32) -> Self {
        let rate = SAMPLE_RATE_HZ as f32;
        let r = (-core::f32::consts::PI * width_hz / rate).exp();
        let turn = core::f32::consts::TAU * hz / rate;
        Resonator { a: 2.0 * r * turn.cos(), b: -r * r, gain: (1.0 - r) * (1.0 + r * r - 2.0 * r * (2.0 * turn).cos()).sqrt(), y: [0.0; 2] }
    }
    fn tune(&mut self, hz: f32, width_hz: f32) {
        let y = self.y;
        *self = Resonator { y, ..Resonator::new(hz, width_hz) };
    }
    fn pass(&mut self, x: f32) -> f32 {
        let y = self.gain * x + self.a * self.y[0] + self.b * self.y[1];
        self.y = [y, self.y[0]];
        y
    }
}

/// Speech-like signal with noise.
pub fn speech(seed: u64, seconds: usize) -> Vec<Frame> {
    let mut rng = Rng::new(seed);
    let mut gauss = Gauss::new(seed ^ 0x5EED);
    let mut tract = [Resonator::new(500.0, 80.0), Resonator::new(1500.0, 110.0), Resonator::new(2500.0, 160.0)];
    let noise = amplitude_of(NOISE_DBM0) / core::f32::consts::SQRT_2;
    let (mut voiced, mut level, mut period, mut in_period, mut left) = (true, 0.0f32, 70.0f32, 0.0f32, 0usize);
    let mut length = 1;
    let mut samples = Vec::with_capacity(seconds * SAMPLE_RATE_HZ as usize);
    for _ in 0..seconds * SAMPLE_RATE_HZ as usize {
        if left == 0 {
            length = 800 + rng.below(2400) as usize;
            left = length;
            voiced = rng.chance(0.7);
            level = if rng.chance(0.2) { 0.0 } else { 0.3 + 0.7 * rng.unit() as f32 };
            period = 40.0 + 60.0 * rng.unit() as f32;
            for (resonator, (low, high)) in tract.iter_mut().zip([(250.0, 800.0), (800.0, 2300.0), (2000.0, 3200.0)]) {
                let hz = low + (high - low) * rng.unit() as f32;
                resonator.tune(hz, 60.0 + hz * 0.04);
            }
        }
        in_period += 1.0;
        let pulse = in_period >= period;
        if pulse {
            in_period -= period;
            period *= 0.99 + 0.02 * rng.unit() as f32;
        }
        let drive = if voiced { f32::from(u8::from(pulse)) * 30.0 } else { gauss.sample() };
        let [low, middle, high] = &mut tract;
        let tone = if voiced { low.pass(drive) + 0.6 * middle.pass(drive) + 0.3 * high.pass(drive) } else { 2.0 * high.pass(drive) };
        let swell = (core::f32::consts::PI * left as f32 / length as f32).sin();
        let y = tone * level * swell * amplitude_of(TALK_DBM0) + noise * gauss.sample();
        samples.push(y.round().clamp(-32768.0, 32767.0) as i16);
        left -= 1;
    }
    samples.chunks_exact(FRAME_SAMPLES).map(|c| c.try_into().expect("chunks have the length of a frame")).collect()
}

/// Speech over which somebody presses a key each second.
pub fn speech_with_digits(seed: u64, seconds: usize) -> Vec<Frame> {
    let mut frames = speech(seed, seconds);
    let mut keys = Generator::new(Sending::default());
    for (n, frame) in frames.iter_mut().enumerate() {
        if n % 50 == 0 {
            // The queue is empty by now: a digit takes 160 ms.
            let _fits = keys.push(b"1234567890*#ABCD"[n / 50 % 16]);
        }
        let mut tone = SILENCE;
        if keys.tx(&mut tone) {
            for (x, t) in frame.iter_mut().zip(tone) {
                *x = (*x / 8).saturating_add(t);
            }
        }
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;
    use tipring_dsp::level::{dbm0_of, mean_square};

    #[test]
    fn the_talker_is_as_loud_as_one_and_never_silent() {
        let frames = speech(1, 20);
        assert_eq!(frames.len(), 1000);
        let levels: Vec<f32> = frames.iter().map(|f| dbm0_of(mean_square(f))).collect();
        let mean = dbm0_of(frames.iter().map(|f| mean_square(f)).sum::<f32>() / frames.len() as f32);
        assert!((-30.0..-12.0).contains(&mean), "{mean} dBm0");
        assert!(levels.iter().all(|l| *l > -60.0), "the noise is always there");
        assert!(levels.iter().filter(|l| **l < -45.0).count() > 20, "there are pauses");
    }

    #[test]
    fn the_same_seed_makes_the_same_signal() {
        assert_eq!(speech(3, 1), speech(3, 1));
        assert_ne!(speech(3, 1), speech(4, 1));
    }

    #[test]
    fn the_keys_are_recognised() {
        let mut watch = tipring_dsp::watch::Watch::new();
        let mut heard = 0;
        for frame in speech_with_digits(5, 16) {
            heard += watch.rx(&frame).iter().filter(|f| matches!(f, tipring_dsp::watch::Finding::DigitStarted { .. })).count();
        }
        assert!(heard >= 12, "{heard} of 16");
    }
}
