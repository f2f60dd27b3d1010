//! Any sample rate to 8 kHz, for recordings: a polyphase windowed sinc that also keeps out what would fold back into the telephone band.
//!
//! Not for a live line: the delay is a few milliseconds (taken out again here, so times stay true). `resample` follows drifting clocks.

use crate::SAMPLE_RATE_HZ;

/// Sample rates that are taken: below, nothing of a telephone line is left; above, nobody records.
pub const RATES_HZ: core::ops::RangeInclusive<u32> = 2000..=384_000;
/// Zero crossings of the sinc on each side of its middle. With the window below, the transition is 380 Hz wide.
const CROSSINGS: usize = 28;
/// Phases of the table at most; rates that need more (their ratio to 8 kHz has no small denominator) are interpolated between phases.
const PHASES_MAX: u64 = 640;
/// Half-amplitude point as a part of the smaller Nyquist frequency: 3850 Hz. V.17 and V.29 end at 3300 Hz.
const CUTOFF: f64 = 0.9625;
/// Of the Kaiser window: side lobes at -85 dB.
const KAISER_BETA: f64 = 8.3;

/// A converter of one channel.
#[derive(Clone, Debug)]
pub struct RateConverter {
    /// `phases + 1` rows of `taps`.
    table: Vec<f32>,
    taps: usize,
    phases: u64,
    /// The last `taps` inputs twice over, so that any `taps` in a row lie together.
    history: Vec<f32>,
    newest: usize,
    /// Input samples still to take before the next output.
    wanted: u64,
    /// Where the next output lies behind the middle of the history, in `numerator`ths of an input sample.
    phase: u64,
    /// An output sample is `step / numerator` input samples.
    numerator: u64,
    step: u64,
    /// Equal rates: nothing to do.
    through: bool,
}

impl RateConverter {
    /// A converter from `from_hz`; `None` outside [`RATES_HZ`].
    pub fn new(from_hz: u32) -> Option<RateConverter> {
        if !RATES_HZ.contains(&from_hz) {
            return None;
        }
        let divisor = greatest_common_divisor(from_hz, SAMPLE_RATE_HZ);
        let (numerator, step) = (u64::from(SAMPLE_RATE_HZ / divisor), u64::from(from_hz / divisor));
        let through = from_hz == SAMPLE_RATE_HZ;
        let phases = numerator.min(PHASES_MAX);
        // In units of input samples: what comes down is stretched so that the cut lies at the output's Nyquist frequency.
        let stretch = (f64::from(from_hz) / f64::from(SAMPLE_RATE_HZ)).max(1.0);
        let half = (CROSSINGS as f64 * stretch).ceil() as usize;
        let taps = if through { 1 } else { (2 * half).next_multiple_of(8) };
        let table = if through { vec![1.0; 2] } else { table(taps, phases, stretch) };
        // The first output lies on the first input: the middle of the history, half its length later.
        let wanted = if through { 1 } else { taps as u64 / 2 + 1 };
        Some(RateConverter { table, taps, phases, history: vec![0.0; 2 * taps], newest: 0, wanted, phase: 0, numerator, step, through })
    }

    /// Takes all of `input` and appends what it makes to `output`.
    pub fn process(&mut self, input: &[i16], output: &mut Vec<i16>) {
        if self.through {
            output.extend_from_slice(input);
            return;
        }
        for x in input {
            self.push(f32::from(*x));
            self.wanted -= 1;
            while self.wanted == 0 {
                output.push(self.output().round().clamp(-32768.0, 32767.0) as i16);
                self.phase += self.step;
                self.wanted = self.phase / self.numerator;
                self.phase %= self.numerator;
            }
        }
    }

    /// What lies in the history when the recording ends.
    pub fn finish(&mut self, output: &mut Vec<i16>) {
        if !self.through {
            let rest = vec![0; self.taps / 2];
            self.process(&rest, output);
        }
    }

    fn push(&mut self, x: f32) {
        self.newest = (self.newest + 1) % self.taps;
        self.history[self.newest] = x;
        self.history[self.newest + self.taps] = x;
    }

    fn output(&self) -> f32 {
        let scaled = self.phase * self.phases;
        let row = (scaled / self.numerator) as usize;
        let part = (scaled % self.numerator) as f32 / self.numerator as f32;
        let x = &self.history[self.newest + 1..=self.newest + self.taps];
        let (a, rest) = self.table[row * self.taps..].split_at(self.taps);
        let first = dot(x, a);
        if part == 0.0 { first } else { first + part * (dot(x, &rest[..self.taps]) - first) }
    }
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

fn dot(x: &[f32], c: &[f32]) -> f32 {
    let mut acc = [0.0f32; 8];
    for (x, c) in x.chunks_exact(8).zip(c.chunks_exact(8)) {
        for i in 0..8 {
            acc[i] += x[i] * c[i];
        }
    }
    acc.iter().sum()
}

fn table(taps: usize, phases: u64, stretch: f64) -> Vec<f32> {
    let half = taps as f64 / 2.0;
    let window = |d: f64| {
        let r = (d / half).clamp(-1.0, 1.0);
        bessel_i0(KAISER_BETA * (1.0 - r * r).sqrt()) / bessel_i0(KAISER_BETA)
    };
    let mut table = Vec::with_capacity(taps * (phases as usize + 1));
    for p in 0..=phases {
        let exact: Vec<f64> = (0..taps)
            .map(|k| {
                let d = k as f64 - (half - 1.0) - p as f64 / phases as f64;
                let x = core::f64::consts::PI * d * CUTOFF / stretch;
                window(d) * if x.abs() < 1e-9 { 1.0 } else { x.sin() / x }
            })
            .collect();
        let sum: f64 = exact.iter().sum();
        table.extend(exact.iter().map(|e| (e / sum) as f32));
    }
    table
}

/// The modified Bessel function of order nought, by its series.
fn bessel_i0(x: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for k in 1..40 {
        term *= (x / (2.0 * f64::from(k))).powi(2);
        sum += term;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(from_hz: u32, tone_hz: f64, seconds: u32) -> Vec<i16> {
        let w = core::f64::consts::TAU * tone_hz / f64::from(from_hz);
        let input: Vec<i16> = (0..from_hz * seconds).map(|n| (16_000.0 * (w * f64::from(n)).sin()).round() as i16).collect();
        let mut c = RateConverter::new(from_hz).unwrap();
        let mut out = Vec::new();
        input.chunks(777).for_each(|part| c.process(part, &mut out));
        c.finish(&mut out);
        out
    }

    /// SNR in dB against the exact sine, phase included: times must be true.
    fn snr(from_hz: u32, tone_hz: f64) -> f64 {
        let out = converted(from_hz, tone_hz, 1);
        let w = core::f64::consts::TAU * tone_hz / 8000.0;
        let part = 400..out.len() - 400;
        let (mut signal, mut error) = (0.0, 0.0);
        for n in part {
            let want = 16_000.0 * (w * n as f64).sin();
            signal += want * want;
            error += (f64::from(out[n]) - want).powi(2);
        }
        10.0 * (signal / error).log10()
    }

    const RATES: [u32; 12] = [6000, 7350, 8000, 8001, 11_025, 12_000, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000];

    #[test]
    fn tones_of_the_telephone_band_come_through_on_time_and_clean() {
        for rate in RATES {
            for hz in [400.0, 1700.0, 2400.0, 3200.0] {
                if hz < 0.4 * f64::from(rate) {
                    assert!(snr(rate, hz) > 60.0, "{rate} Hz, tone {hz}: {:.1} dB", snr(rate, hz));
                }
            }
        }
    }

    #[test]
    fn what_would_fold_back_is_kept_out() {
        for rate in [11_025, 16_000, 22_050, 44_100, 48_000, 96_000] {
            for hz in [4400.0, 5000.0, 5400.0] {
                let out = converted(rate, hz, 1);
                let rms = (out[400..7000].iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / 6600.0).sqrt();
                assert!(rms < 16_000.0 * 0.7e-3, "{rate} Hz, tone {hz}: rms {rms}");
            }
        }
    }

    #[test]
    fn a_second_stays_a_second() {
        for rate in RATES {
            let made = converted(rate, 1000.0, 3).len() as i64;
            assert!((made - 24_000).abs() <= 1, "{rate}: {made}");
        }
    }

    #[test]
    fn rates_that_cannot_be_are_refused() {
        for rate in [0, 1, 1999, 384_001, u32::MAX] {
            assert!(RateConverter::new(rate).is_none());
        }
    }
}
