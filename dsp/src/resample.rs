//! Resampling by a hair: two clocks that both say 8000 Hz differ by parts per million, and the samples between must come from somewhere.
//!
//! A windowed-sinc interpolator of 32 taps in 256 phases, linear between the phases. The table is shared by all and made with the
//! first resampler; the sample path only multiplies and adds.

use std::sync::OnceLock;

/// Taps of the interpolator.
const TAPS: usize = 32;
/// Phases in the table; between them is interpolated linearly, which leaves an error of about -85 dB.
const PHASES: usize = 256;
/// Delay in samples.
pub const DELAY_SAMPLES: usize = TAPS / 2;
/// Largest offset that makes sense between two clocks of 8 kHz; beyond it something else is wrong.
pub const PPM_MAX: f64 = 10_000.0;

type Table = [[f32; TAPS]; PHASES + 1];

fn table() -> &'static Table {
    static TABLE: OnceLock<Box<Table>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut t = Box::new([[0.0; TAPS]; PHASES + 1]);
        for (p, row) in t.iter_mut().enumerate() {
            let mut sum = 0.0;
            let mut exact = [0.0f64; TAPS];
            for (k, e) in exact.iter_mut().enumerate() {
                // Distance from the wanted point, which lies p/PHASES behind tap TAPS/2 - 1.
                let d = k as f64 - (TAPS as f64 / 2.0 - 1.0) - p as f64 / PHASES as f64;
                // Half-amplitude at 3850 Hz: the telephone band ends at 3400.
                let x = core::f64::consts::PI * d * 0.9625;
                let sinc = if x.abs() < 1e-9 { 1.0 } else { x.sin() / x };
                let w = (d / (TAPS as f64 / 2.0)).clamp(-1.0, 1.0);
                // Blackman: -58 dB side lobes of the window, -75 dB of what is interpolated.
                let c = (core::f64::consts::PI * w).cos();
                let c2 = (2.0 * core::f64::consts::PI * w).cos();
                *e = sinc * (0.42 + 0.5 * c + 0.08 * c2);
                sum += *e;
            }
            for (r, e) in row.iter_mut().zip(exact) {
                *r = (e / sum) as f32;
            }
        }
        t
    })
}

/// A fractional resampler.
#[derive(Clone, Debug)]
pub struct Resampler {
    table: &'static Table,
    /// The last `TAPS` inputs twice over, so that any `TAPS` in a row lie together.
    history: [f32; 2 * TAPS],
    newest: usize,
    /// Part of a sample by which the next output lies behind the middle of the history, in 2^-32.
    phase: u64,
    step: u64,
}

const ONE: u64 = 1 << 32;

impl Resampler {
    /// A resampler for an input whose clock runs `ppm` fast against the output's (negative: slow).
    pub fn new(ppm: f64) -> Self {
        let mut r = Resampler { table: table(), history: [0.0; 2 * TAPS], newest: 0, phase: 0, step: ONE };
        r.set_ppm(ppm);
        r
    }

    /// Changes the offset; takes effect without a seam.
    pub fn set_ppm(&mut self, ppm: f64) {
        let ppm = if ppm.is_finite() { ppm.clamp(-PPM_MAX, PPM_MAX) } else { 0.0 };
        self.step = (ONE as f64 * (1.0 + ppm * 1e-6)).round() as u64;
    }

    /// Takes inputs and makes outputs until either slice is used up. Returns how many were taken and made.
    pub fn process(&mut self, input: &[i16], output: &mut [i16]) -> (usize, usize) {
        let (mut taken, mut made) = (0, 0);
        loop {
            while self.phase >= ONE {
                let Some(x) = input.get(taken) else { return (taken, made) };
                self.push(f32::from(*x));
                self.phase -= ONE;
                taken += 1;
            }
            let Some(y) = output.get_mut(made) else { return (taken, made) };
            *y = self.output().round().clamp(-32768.0, 32767.0) as i16;
            self.phase += self.step;
            made += 1;
        }
    }

    /// Inputs that are wanted before `outputs` more can be made.
    pub fn wants(&self, outputs: usize) -> usize {
        if outputs == 0 { 0 } else { ((self.phase + self.step * (outputs as u64 - 1)) >> 32) as usize }
    }

    fn push(&mut self, x: f32) {
        self.newest = (self.newest + 1) % TAPS;
        self.history[self.newest] = x;
        self.history[self.newest + TAPS] = x;
    }

    fn output(&self) -> f32 {
        let scaled = self.phase * PHASES as u64;
        let row = (scaled >> 32) as usize;
        let part = (scaled & (ONE - 1)) as f32 * (1.0 / ONE as f32);
        let x: &[f32; TAPS] =
            self.history[self.newest + 1..=self.newest + TAPS].try_into().expect("the range is TAPS long for every `newest` below TAPS");
        let (a, b) = (&self.table[row], &self.table[row + 1]);
        let mut acc = [0.0f32; 8];
        for k in 0..TAPS / 8 {
            for i in 0..8 {
                let j = k * 8 + i;
                acc[i] += x[j] * (a[j] + (b[j] - a[j]) * part);
            }
        }
        ((acc[0] + acc[4]) + (acc[2] + acc[6])) + ((acc[1] + acc[5]) + (acc[3] + acc[7]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SNR in dB of a sine of `hz` after resampling by `ppm`, against the exact sine at the new rate.
    fn snr(hz: f64, ppm: f64) -> f64 {
        let w = core::f64::consts::TAU * hz / 8000.0;
        let input: Vec<i16> = (0..40_000).map(|n| (20_000.0 * (w * f64::from(n)).sin()).round() as i16).collect();
        let mut out = vec![0; 36_000];
        let (_, made) = Resampler::new(ppm).process(&input, &mut out);
        assert_eq!(made, out.len());
        // Fit amplitude and phase at the expected frequency; what is left is the error.
        let w = w * (1.0 + ppm * 1e-6);
        let part = &out[200..];
        let (mut c, mut s) = (0.0, 0.0);
        for (n, y) in part.iter().enumerate() {
            c += f64::from(*y) * (w * n as f64).cos();
            s += f64::from(*y) * (w * n as f64).sin();
        }
        let (c, s) = (2.0 * c / part.len() as f64, 2.0 * s / part.len() as f64);
        let error: f64 =
            part.iter().enumerate().map(|(n, y)| (f64::from(*y) - c * (w * n as f64).cos() - s * (w * n as f64).sin()).powi(2)).sum();
        10.0 * ((c * c + s * s) / 2.0 * part.len() as f64 / error).log10()
    }

    #[test]
    fn a_tone_keeps_70_db_of_snr_at_any_offset() {
        for ppm in [-300.0, -100.0, -37.0, 0.0, 50.0, 100.0, 300.0, 2000.0] {
            assert!(snr(1000.0, ppm) > 70.0, "1000 Hz, {ppm} ppm: {:.1} dB", snr(1000.0, ppm));
            assert!(snr(3000.0, ppm) > 60.0, "3000 Hz, {ppm} ppm: {:.1} dB", snr(3000.0, ppm));
        }
    }

    #[test]
    fn a_fast_input_is_used_up_faster() {
        for (ppm, want) in [(100.0, 800_080), (-100.0, 799_920), (0.0, 800_000)] {
            let mut r = Resampler::new(ppm);
            let mut taken = 0;
            for _ in 0..5000 {
                let n = r.wants(160);
                let mut out = [0; 160];
                let (t, m) = r.process(&vec![0; n], &mut out);
                assert_eq!((t, m), (n, 160));
                taken += t as i64;
            }
            assert!((taken - want).abs() <= 2, "{ppm}: {taken}");
        }
    }

    #[test]
    fn nonsense_offsets_are_clamped() {
        for ppm in [f64::NAN, f64::INFINITY, -1e9] {
            let mut out = [0; 10];
            assert_eq!(Resampler::new(ppm).process(&[1; 40], &mut out).1, 10);
        }
    }
}
