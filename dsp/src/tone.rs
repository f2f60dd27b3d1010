//! Making tones: an exact oscillator, the cadenced multi-tone generator, and the answering tones of fax machines and modems.
//!
//! Phase is a 32-bit accumulator, so a tone that is cut and resumed, or runs for a week, keeps its phase to the bit. CNG and CED are
//! T.30 clause 4; ANSam is V.8 clause 3.2. Which tone means what in which country is [`crate::tone_plan`].

use crate::level::amplitude_of;
use crate::{FRAME_SAMPLES, Frame};

const TABLE_BITS: u32 = 10;
/// One turn of a sine and its first point again, for interpolation. Linear interpolation over 1024 points errs by -106 dB.
static SINE: [f32; (1 << TABLE_BITS) + 1] = {
    let mut t = [0.0f32; (1 << TABLE_BITS) + 1];
    let mut i = 0;
    while i < t.len() {
        let quarter = (1 << TABLE_BITS) / 4;
        // Fold into the first quarter, where nine terms of the series are exact to f32.
        let (turn, sign) = if i < 2 * quarter { (i, 1.0) } else { (i - 2 * quarter, -1.0) };
        let folded = if turn > quarter { 2 * quarter - turn } else { turn };
        let x = folded as f64 * core::f64::consts::TAU / (1 << TABLE_BITS) as f64;
        let (mut sum, mut term, mut k) = (x, x, 1);
        while k < 10 {
            term = -term * x * x / ((2 * k) * (2 * k + 1)) as f64;
            sum += term;
            k += 1;
        }
        t[i] = (sign * sum) as f32;
        i += 1;
    }
    t
};

/// Sine of a phase given in units of 2^-32 turn.
#[inline]
pub fn sine(phase: u32) -> f32 {
    let i = (phase >> (32 - TABLE_BITS)) as usize;
    let part = (phase << TABLE_BITS) as f32 * (1.0 / 4_294_967_296.0);
    SINE[i] + (SINE[i + 1] - SINE[i]) * part
}

/// A sine of constant frequency.
#[derive(Clone, Copy, Debug, Default)]
pub struct Oscillator {
    phase: u32,
    step: u32,
}

impl Oscillator {
    /// An oscillator at `hz` (below 4000) that starts at phase zero.
    pub fn new(hz: f32) -> Self {
        Oscillator { phase: 0, step: (f64::from(hz) / 8000.0 * 4_294_967_296.0).round() as u32 }
    }

    /// The next sample, -1 to 1.
    #[inline]
    pub fn sample(&mut self) -> f32 {
        let v = sine(self.phase);
        self.phase = self.phase.wrapping_add(self.step);
        v
    }

    /// Turns the phase by half a turn.
    pub fn reverse(&mut self) {
        self.phase = self.phase.wrapping_add(1 << 31);
    }
}

/// Frequencies that sound at the same time in one section of a cadence.
pub const TONES_MAX: usize = 4;
/// Sections of a cadence. The longest in use (stutter dial tone: three bursts, then the tone) has seven.
pub const SECTIONS_MAX: usize = 8;
/// A section or cadence without an end.
pub const FOREVER_MS: u32 = u32::MAX;

/// A stretch of a cadence: some tones, or silence, for a time.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Section {
    /// Frequencies in Hz; 0 is none. All zero is silence.
    pub hz: [f32; TONES_MAX],
    /// How long, in ms, or [`FOREVER_MS`].
    pub ms: u32,
}

impl Section {
    /// Silence for `ms`.
    pub const fn off(ms: u32) -> Self {
        Section { hz: [0.0; TONES_MAX], ms }
    }
    /// Tones for `ms`.
    pub const fn on(hz: [f32; TONES_MAX], ms: u32) -> Self {
        Section { hz, ms }
    }
    /// Does anything sound?
    pub fn sounds(&self) -> bool {
        self.hz[0] > 0.0
    }
}

/// A tone with its cadence: the sections, then again from `repeat_from`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Cadence {
    /// The sections in order.
    pub sections: &'static [Section],
    /// The section that follows the last; `sections.len()` or more for "then silence".
    pub repeat_from: usize,
    /// Level of each single frequency, dBm0.
    pub level_dbm0: f32,
}

impl Cadence {
    /// A cadence that repeats as a whole.
    pub const fn cycle(sections: &'static [Section], level_dbm0: f32) -> Self {
        Cadence { sections, repeat_from: 0, level_dbm0 }
    }
    /// A cadence that plays once.
    pub const fn once(sections: &'static [Section], level_dbm0: f32) -> Self {
        Cadence { sections, repeat_from: usize::MAX, level_dbm0 }
    }
}

/// Plays a [`Cadence`].
#[derive(Clone, Debug)]
pub struct ToneGenerator {
    cadence: Cadence,
    amplitude: f32,
    section: usize,
    /// Samples left of the section; `u64::MAX` for ever.
    left: u64,
    voices: [Oscillator; TONES_MAX],
    sounding: usize,
}

impl ToneGenerator {
    /// A generator at the start of `cadence`.
    pub fn new(cadence: &Cadence) -> Self {
        let mut g = ToneGenerator {
            cadence: *cadence,
            amplitude: amplitude_of(cadence.level_dbm0),
            section: 0,
            left: 0,
            voices: [Oscillator::default(); TONES_MAX],
            sounding: 0,
        };
        g.enter(0);
        g
    }

    /// Has a cadence that plays once come to its end?
    pub fn finished(&self) -> bool {
        self.section >= self.cadence.sections.len()
    }

    /// Fills a frame.
    pub fn tx(&mut self, frame: &mut Frame) {
        let mut n = 0;
        while n < FRAME_SAMPLES {
            let run = self.left.min((FRAME_SAMPLES - n) as u64) as usize;
            for s in &mut frame[n..n + run] {
                let sum: f32 = self.voices[..self.sounding].iter_mut().map(Oscillator::sample).sum();
                *s = (sum * self.amplitude).round().clamp(-32768.0, 32767.0) as i16;
            }
            n += run;
            if self.left != u64::MAX {
                self.left -= run as u64;
            }
            if self.left == 0 {
                let next = self.section + 1;
                self.enter(if next < self.cadence.sections.len() { next } else { self.cadence.repeat_from });
            }
        }
    }

    fn enter(&mut self, section: usize) {
        let before = self.cadence.sections.get(self.section).map_or([0.0; TONES_MAX], |s| s.hz);
        self.section = section;
        let Some(s) = self.cadence.sections.get(section) else {
            (self.sounding, self.left) = (0, u64::MAX);
            return;
        };
        // A tone that sounds on across sections keeps its phase; a new one starts at zero, where there is no click.
        if s.hz != before || section == 0 {
            self.voices = s.hz.map(Oscillator::new);
        }
        self.sounding = s.hz.iter().take_while(|hz| **hz > 0.0).count();
        // A section of no length would never pass: give it one sample.
        self.left = if s.ms == FOREVER_MS { u64::MAX } else { (u64::from(s.ms) * 8).max(1) };
    }
}

/// CNG, the calling tone of a fax machine: 1100 Hz, 0.5 s on, 3 s off (T.30 clause 4).
pub const CNG: Cadence = Cadence::cycle(&[Section::on([1100.0, 0.0, 0.0, 0.0], 500), Section::off(3000)], -11.0);
/// CED, the called station's tone: 2100 Hz for 2.6 to 4 s, then 75 ms of silence (T.30 clause 4).
pub const CED: Cadence = Cadence::once(&[Section::on([2100.0, 0.0, 0.0, 0.0], 3000), Section::off(75)], -11.0);

/// Milliseconds between two phase reversals of ANSam.
pub const ANSAM_REVERSAL_MS: u32 = 450;

/// ANSam: 2100 Hz with phase reversals every 450 ms, amplitude-modulated at 15 Hz to 0.8..1.2 of its mean (V.8 clause 3.2).
#[derive(Clone, Debug)]
pub struct AnsamGenerator {
    carrier: Oscillator,
    modulation: Oscillator,
    amplitude: f32,
    to_reversal: u32,
}

impl AnsamGenerator {
    /// ANSam of the given mean level.
    pub fn new(level_dbm0: f32) -> Self {
        AnsamGenerator {
            carrier: Oscillator::new(2100.0),
            modulation: Oscillator::new(15.0),
            amplitude: amplitude_of(level_dbm0),
            to_reversal: ANSAM_REVERSAL_MS * 8,
        }
    }

    /// Fills a frame.
    pub fn tx(&mut self, frame: &mut Frame) {
        for s in frame {
            if self.to_reversal == 0 {
                self.carrier.reverse();
                self.to_reversal = ANSAM_REVERSAL_MS * 8;
            }
            self.to_reversal -= 1;
            let v = self.amplitude * (1.0 + 0.2 * self.modulation.sample()) * self.carrier.sample();
            *s = v.round().clamp(-32768.0, 32767.0) as i16;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SILENCE;

    #[test]
    fn the_sine_table_is_exact_to_16_bits_and_more() {
        for i in 0..100_000u32 {
            let phase = i.wrapping_mul(42_949_673);
            let want = (f64::from(phase) / 4_294_967_296.0 * core::f64::consts::TAU).sin();
            assert!((f64::from(sine(phase)) - want).abs() < 8e-6);
        }
    }

    #[test]
    fn a_continuous_tone_has_no_seam_between_frames() {
        const C: Cadence = Cadence::cycle(&[Section::on([440.0, 0.0, 0.0, 0.0], FOREVER_MS)], -10.0);
        let mut g = ToneGenerator::new(&C);
        let a = f64::from(amplitude_of(-10.0));
        let mut f = SILENCE;
        for i in 0..500 {
            g.tx(&mut f);
            for n in 0..FRAME_SAMPLES {
                let t = (i * FRAME_SAMPLES + n) as f64;
                assert!((f64::from(f[n]) - a * (core::f64::consts::TAU * 440.0 * t / 8000.0).sin()).abs() < 1.5);
            }
        }
    }

    #[test]
    fn cadences_switch_on_the_exact_sample_and_repeat() {
        const C: Cadence = Cadence::cycle(&[Section::on([500.0, 0.0, 0.0, 0.0], 25), Section::off(15)], 0.0);
        let mut g = ToneGenerator::new(&C);
        let mut all = Vec::new();
        for _ in 0..8 {
            let mut f = SILENCE;
            g.tx(&mut f);
            all.extend_from_slice(&f);
        }
        for (n, s) in all.iter().enumerate() {
            let on = n % 320 < 200;
            assert!(on || *s == 0, "sample {n} sounds in a pause");
            assert!(!on || n % 8 == 0 || *s != 0, "sample {n} is mute in a tone");
        }
    }

    #[test]
    fn a_cadence_played_once_ends_in_silence() {
        let mut g = ToneGenerator::new(&CED);
        let mut f = SILENCE;
        for _ in 0..154 {
            assert!(!g.finished());
            g.tx(&mut f);
        }
        g.tx(&mut f);
        assert!(g.finished() && f == SILENCE);
    }
}
