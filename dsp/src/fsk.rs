//! Frequency-shift keying, received: V.21 (both channels), V.23 and Bell 202. Read V.21, V.23 and, for caller ID, ETSI EN 300 659-1.
//!
//! ```text
//! sample -> correlate one bit's length with mark and with space -> soft value -1..1 -> BitClock (synchronous) or Uart (start-stop)
//! ```
//! Non-coherent: a correlator's energy does not ask for the phase, so clock error and frequency offset cost little. The soft value is a
//! ratio of energies, so the level does not matter.

use core::f32::consts::TAU;

/// Frequencies and rate of a modem.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Spec {
    /// Frequency of 1, Hz.
    pub mark_hz: f32,
    /// Frequency of 0, Hz.
    pub space_hz: f32,
    /// Bits a second.
    pub baud: f32,
}

/// V.21 channel 1, of the calling modem (V.8's CM too).
pub const V21_CHANNEL_1: Spec = Spec { mark_hz: 980.0, space_hz: 1180.0, baud: 300.0 };
/// V.21 channel 2, of the answering modem and of all T.30.
pub const V21_CHANNEL_2: Spec = Spec { mark_hz: 1650.0, space_hz: 1850.0, baud: 300.0 };
/// Bell 202: caller ID in North America.
pub const BELL_202: Spec = Spec { mark_hz: 1200.0, space_hz: 2200.0, baud: 1200.0 };
/// V.23 forward channel, mode 2: caller ID in Europe.
pub const V23: Spec = Spec { mark_hz: 1300.0, space_hz: 2100.0, baud: 1200.0 };

/// Longest bit, in samples: 110 bit/s is the slowest that anybody used.
const WINDOW_MAX: usize = 80;
/// Steps of the sine table: its error, a quarter of a per cent, is far below the noise of any line.
const SINES: usize = 1024;

/// Oscillator by table.
#[derive(Clone, Copy, Debug)]
struct Turn {
    phase: u32,
    step: u32,
}

impl Turn {
    fn new(hz: f32) -> Self {
        Turn { phase: 0, step: (f64::from(hz) / 8000.0 * 4_294_967_296.0) as u32 }
    }
    /// `cos`, `sin` now; then a step on.
    #[inline]
    fn next(&mut self, sines: &[f32; SINES]) -> (f32, f32) {
        let i = (self.phase >> 22) as usize;
        self.phase = self.phase.wrapping_add(self.step);
        (sines[(i + SINES / 4) % SINES], sines[i])
    }
}

/// Samples to soft bits.
#[derive(Clone, Debug)]
pub struct Demodulator {
    sines: Box<[f32; SINES]>,
    mark: Turn,
    space: Turn,
    /// Products of the last bit: mark re, im, space re, im, and the sample's energy.
    ring: Box<[[f32; 5]; WINDOW_MAX]>,
    window: usize,
    at: usize,
    /// Sums over the ring. In double precision, so that what is added and taken out again leaves nothing for days.
    sums: [f64; 5],
    dc: f32,
}

impl Demodulator {
    /// A demodulator that has heard silence.
    pub fn new(spec: Spec) -> Self {
        Demodulator {
            sines: Box::new(core::array::from_fn(|i| (TAU * i as f32 / SINES as f32).sin())),
            mark: Turn::new(spec.mark_hz),
            space: Turn::new(spec.space_hz),
            ring: Box::new([[0.0; 5]; WINDOW_MAX]),
            window: ((8000.0 / spec.baud).round() as usize).clamp(2, WINDOW_MAX),
            at: 0,
            sums: [0.0; 5],
            dc: 0.0,
        }
    }
    /// Takes a sample; the soft value of the bit that ends here: 1 is all mark, -1 all space, 0 silence or neither.
    #[inline]
    pub fn rx(&mut self, sample: i16) -> f32 {
        let x = f32::from(sample);
        self.dc += (x - self.dc) * (1.0 / 256.0);
        let x = x - self.dc;
        let (mc, ms) = self.mark.next(&self.sines);
        let (sc, ss) = self.space.next(&self.sines);
        let new = [x * mc, x * ms, x * sc, x * ss, x * x];
        let old = core::mem::replace(&mut self.ring[self.at], new);
        self.at = if self.at + 1 == self.window { 0 } else { self.at + 1 };
        for i in 0..5 {
            self.sums[i] += f64::from(new[i]) - f64::from(old[i]);
        }
        let (mark, space) = self.energies();
        (mark - space) / (mark + space + self.window as f32)
    }
    fn energies(&self) -> (f32, f32) {
        let [a, b, c, d, _] = self.sums;
        ((a * a + b * b) as f32, (c * c + d * d) as f32)
    }
    /// How much of the signal's power in the last bit is at the two frequencies: near 1 for a carrier, 0.1 to 0.3 for noise and speech.
    pub fn share(&self) -> f32 {
        let (mark, space) = self.energies();
        2.0 * mark.max(space) / (self.window as f32 * self.sums[4].max(self.window as f64) as f32)
    }
    /// The mark correlator's output. It turns by how far the signal's mark is from ours.
    pub fn mark_phasor(&self) -> crate::front::Phasor {
        crate::front::Phasor { re: self.sums[0] as f32, im: self.sums[1] as f32 }
    }
    /// Mean square of the signal over the last bit.
    pub fn power(&self) -> f32 {
        (self.sums[4] / self.window as f64) as f32
    }
}

/// Finds the middle of synchronous bits.
#[derive(Clone, Debug)]
pub struct BitClock {
    step: f32,
    phase: f32,
    last: f32,
}

/// How far a transition pulls the clock: two flags are enough to be in step, noise moves it little.
const PULL: f32 = 0.12;

impl BitClock {
    /// A clock of this many bits a second.
    pub fn new(baud: f32) -> Self {
        BitClock { step: baud / 8000.0, phase: 0.0, last: 0.0 }
    }
    /// Takes a soft value; the bit, if this is the middle of one.
    #[inline]
    pub fn rx(&mut self, soft: f32) -> Option<bool> {
        let before = self.phase;
        self.phase += self.step;
        if (soft > 0.0) != (self.last > 0.0) {
            // Where between the two samples the value went through zero, in bits before now.
            let since = self.step * soft.abs() / (soft.abs() + self.last.abs() + 1e-6);
            let error = self.phase - since;
            let error = if error > 0.5 { error - 1.0 } else { error };
            self.phase -= PULL * error;
        }
        self.last = soft;
        let middle = before < 0.5 && self.phase >= 0.5;
        if self.phase >= 1.0 {
            self.phase -= 1.0;
        }
        middle.then_some(soft > 0.0)
    }
}

/// A character of a start-stop stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Character {
    /// Start bit, eight bits (first is the least significant), stop bit.
    Byte(u8),
    /// A start bit, and no stop bit where one belongs.
    NoStop(u8),
}

/// Takes start-stop characters apart.
#[derive(Clone, Debug)]
pub struct Uart {
    bit: f32,
    last: f32,
    /// Samples until the middle of the next bit, while a character is under way.
    wait: Option<f32>,
    count: u32,
    bits: u32,
}

impl Uart {
    /// Start-stop characters at `baud`, the sender's clock being off by `clock_error` (0.05: 5 % slow).
    pub fn new(baud: f32, clock_error: f32) -> Self {
        Uart { bit: 8000.0 / baud * (1.0 + clock_error), last: 0.0, wait: None, count: 0, bits: 0 }
    }
    /// Takes a soft value.
    #[inline]
    pub fn rx(&mut self, soft: f32) -> Option<Character> {
        let last = core::mem::replace(&mut self.last, soft);
        let Some(wait) = self.wait else {
            if last > 0.0 && soft <= 0.0 {
                let since = soft.abs() / (soft.abs() + last.abs() + 1e-6);
                self.wait = Some(self.bit / 2.0 - since);
                (self.count, self.bits) = (0, 0);
            }
            return None;
        };
        let wait = wait - 1.0;
        if wait > 0.0 {
            self.wait = Some(wait);
            return None;
        }
        // The middle lay `-wait` samples back.
        let value = soft + (soft - last) * wait;
        let mark = value > 0.0;
        self.wait = Some(wait + self.bit);
        self.count += 1;
        match self.count {
            1 if mark => self.wait = None,
            1 => {}
            2..=9 => self.bits |= u32::from(mark) << (self.count - 2),
            _ => {
                self.wait = None;
                let byte = self.bits as u8;
                return Some(if mark { Character::Byte(byte) } else { Character::NoStop(byte) });
            }
        }
        None
    }
    /// True between characters.
    pub fn is_idle(&self) -> bool {
        self.wait.is_none()
    }
}

/// Bits to samples, for tests and simulated exchanges: continuous phase.
#[derive(Clone, Debug)]
pub struct Modulator {
    spec: Spec,
    phase: f64,
    amplitude: f32,
    /// Samples of the bit at hand that are still to come.
    left: f64,
}

impl Modulator {
    /// A modulator of this level.
    pub fn new(spec: Spec, level_dbm0: f32) -> Self {
        Modulator { spec, phase: 0.0, amplitude: crate::level::amplitude_of(level_dbm0), left: 0.0 }
    }
    /// One bit, appended to `out`.
    pub fn tx(&mut self, bit: bool, out: &mut Vec<i16>) {
        self.left += 8000.0 / f64::from(self.spec.baud);
        let hz = f64::from(if bit { self.spec.mark_hz } else { self.spec.space_hz });
        while self.left >= 1.0 {
            self.left -= 1.0;
            self.phase = (self.phase + hz / 8000.0).fract();
            out.push((self.amplitude * (core::f64::consts::TAU * self.phase).sin() as f32) as i16);
        }
    }
    /// A start-stop character.
    pub fn tx_byte(&mut self, byte: u8, out: &mut Vec<i16>) {
        self.tx(false, out);
        (0..8).for_each(|i| self.tx(byte >> i & 1 == 1, out));
        self.tx(true, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Gauss;

    fn errors(spec: Spec, level: f32, noise: f32, clock: f32, shift_hz: f32) -> usize {
        let mut chance = Gauss::new(3);
        let bits: Vec<bool> = (0..3000).map(|_| chance.bits() >> 20 & 1 == 1).collect();
        let mut samples = Vec::new();
        let sent = Spec { mark_hz: spec.mark_hz + shift_hz, space_hz: spec.space_hz + shift_hz, baud: spec.baud * (1.0 + clock) };
        let mut m = Modulator::new(sent, level);
        bits.iter().for_each(|b| m.tx(*b, &mut samples));
        m.tx(true, &mut samples);
        let noise = crate::level::power_of(noise).sqrt();
        let (mut d, mut clock) = (Demodulator::new(spec), BitClock::new(spec.baud));
        let got: Vec<bool> = samples.iter().filter_map(|s| clock.rx(d.rx((f32::from(*s) + noise * chance.sample()) as i16))).collect();
        // In step within a few bits: the best of some alignments over what follows.
        (0..6).map(|skip| bits[100..2900].iter().zip(&got[100 + skip - 3..]).filter(|(a, b)| a != b).count()).min().unwrap_or(usize::MAX)
    }

    #[test]
    fn bits_come_through_at_any_level_with_noise_offset_and_a_wrong_clock() {
        for spec in [V21_CHANNEL_1, V21_CHANNEL_2, BELL_202, V23] {
            for (level, noise, clock, shift) in
                [(-10.0, -90.0, 0.0, 0.0), (-40.0, -70.0, 0.0, 0.0), (0.0, -60.0, 0.01, 10.0), (-10.0, -60.0, -0.01, -10.0)]
            {
                assert_eq!(errors(spec, level, noise, clock, shift), 0, "{spec:?} {level} {noise} {clock} {shift}");
            }
        }
        // 8 dB of signal over all noise of the band: V.21 does not care.
        assert_eq!(errors(V21_CHANNEL_2, -10.0, -18.0, 0.0, 0.0), 0);
    }

    #[test]
    fn characters_come_through_a_clock_five_per_cent_off() {
        let mut samples = Vec::new();
        let mut m = Modulator::new(Spec { baud: 1200.0 * 0.95, ..BELL_202 }, -20.0);
        (0..30).for_each(|_| m.tx(true, &mut samples));
        (0..=255).for_each(|b| m.tx_byte(b, &mut samples));
        (0..30).for_each(|_| m.tx(true, &mut samples));
        let (mut d, mut u) = (Demodulator::new(BELL_202), Uart::new(1200.0, 0.05));
        let got: Vec<_> = samples.iter().filter_map(|s| u.rx(d.rx(*s))).collect();
        assert_eq!(got, (0..=255).map(Character::Byte).collect::<Vec<_>>());
    }

    #[test]
    fn a_carrier_has_its_power_at_its_two_frequencies_and_noise_has_not() {
        let mut d = Demodulator::new(V21_CHANNEL_2);
        let mut samples = Vec::new();
        let mut m = Modulator::new(V21_CHANNEL_2, -30.0);
        (0..30).for_each(|i| m.tx(i % 3 == 0, &mut samples));
        let mean = |d: &mut Demodulator, s: &[i16]| s.iter().map(|s| (d.rx(*s), d.share()).1).sum::<f32>() / s.len() as f32;
        assert!(mean(&mut d, &samples[100..]) > 0.7);
        let mut chance = Gauss::new(1);
        let noise: Vec<i16> = (0..4000).map(|_| (1000.0 * chance.sample()) as i16).collect();
        assert!(mean(&mut d, &noise) < 0.3);
    }
}
