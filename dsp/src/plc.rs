//! Packet loss concealment: what was last heard, repeated pitch period by pitch period and faded, instead of a hole.
//!
//! The idea is that of ITU-T G.711 Appendix I, without its 3.75 ms of delay: the seam at the start of a gap is closed by taking the
//! last known offset from the repeated period and letting it die away; the seam at its end is a cross-fade into the true signal.
//! It is for speech. On fax pass-through it stays off: a modem prefers a hole to invention.

use crate::{FRAME_SAMPLES, Frame};

/// Shortest and longest pitch period: 200 and 66 Hz, as in Appendix I.
const PITCH_MIN: usize = 40;
/// See [`PITCH_MIN`].
const PITCH_MAX: usize = 120;
/// Samples compared to find the pitch.
const COMPARED: usize = 160;
/// What must be remembered: the longest period behind the compared samples.
const HISTORY: usize = 2 * PITCH_MAX + COMPARED;
/// Full level for this long, then fading, silent after [`SILENT`].
const FULL: usize = 80;
/// See [`FULL`]: 60 ms.
const SILENT: usize = 480;
/// Cross-fade back into the true signal, samples: 5 ms for one lost frame and 4 ms more for each further 10 ms.
const REJOIN: usize = 40;
/// See [`REJOIN`]. The longest cross-fade.
const REJOIN_MAX: usize = 120;

/// Conceals lost frames of one direction of a call.
#[derive(Clone, Debug)]
pub struct Concealer {
    history: [f32; HISTORY],
    /// The period that is repeated; its end runs smoothly into its beginning.
    period: [f32; PITCH_MAX],
    length: usize,
    at: usize,
    /// Samples made up so far in this gap.
    lost: usize,
    offset: f32,
}

impl Default for Concealer {
    fn default() -> Self {
        Concealer::new()
    }
}

impl Concealer {
    /// A concealer that has heard silence.
    pub fn new() -> Self {
        Concealer { history: [0.0; HISTORY], period: [0.0; PITCH_MAX], length: PITCH_MIN, at: 0, lost: 0, offset: 0.0 }
    }

    /// A frame that came. After a gap its beginning is blended with what was made up.
    pub fn rx(&mut self, frame: &mut Frame) {
        if self.lost > 0 {
            let blend = (REJOIN + (self.lost.saturating_sub(80) / 80) * 32).min(REJOIN_MAX);
            for (n, s) in frame[..blend].iter_mut().enumerate() {
                let real = (n + 1) as f32 / (blend + 1) as f32;
                let made = self.make_up();
                *s = (f32::from(*s) * real + made * (1.0 - real)).round().clamp(-32768.0, 32767.0) as i16;
            }
            self.lost = 0;
        }
        self.remember(frame);
    }

    /// A frame that did not come: fills it.
    pub fn fill_in(&mut self, frame: &mut Frame) {
        if self.lost == 0 {
            self.begin();
        }
        for s in frame.iter_mut() {
            *s = self.make_up().round().clamp(-32768.0, 32767.0) as i16;
        }
        self.remember(frame);
    }

    /// For how many milliseconds in a row samples have been made up.
    pub fn lost_ms(&self) -> u32 {
        (self.lost / 8) as u32
    }

    fn remember(&mut self, frame: &Frame) {
        self.history.copy_within(FRAME_SAMPLES.., 0);
        for (h, s) in self.history[HISTORY - FRAME_SAMPLES..].iter_mut().zip(frame) {
            *h = f32::from(*s);
        }
    }

    fn begin(&mut self) {
        let pitch = self.pitch();
        let overlap = pitch / 4;
        let from = HISTORY - pitch;
        self.period[..pitch].copy_from_slice(&self.history[from..]);
        // The last quarter of the period slides into what came before its beginning, so that the wrap has no step.
        for i in 0..overlap {
            let w = (i + 1) as f32 / (overlap + 1) as f32;
            let end = pitch - overlap + i;
            self.period[end] = self.history[from + end] * (1.0 - w) + self.history[from - overlap + i] * w;
        }
        self.length = pitch;
        self.at = 0;
        // Where the repeated period would have been a sample ago, against where the signal was.
        self.offset = self.history[HISTORY - 1] - self.history[from - 1];
    }

    fn make_up(&mut self) -> f32 {
        let gain = if self.lost < FULL { 1.0 } else { 1.0 - (self.lost - FULL) as f32 / (SILENT - FULL) as f32 }.max(0.0);
        let v = (self.period[self.at] + self.offset) * gain;
        self.offset *= 0.85;
        self.at = (self.at + 1) % self.length;
        self.lost += 1;
        v
    }

    /// The lag at which the signal is most like itself: every second lag over every second sample, then exactly around the best.
    fn pitch(&self) -> usize {
        let mut best = (f32::MIN, PITCH_MIN);
        for lag in (PITCH_MIN..=PITCH_MAX).step_by(2) {
            best = pick(best, (self.likeness(lag, 2), lag));
        }
        let around = best.1;
        best.0 = f32::MIN;
        for lag in around.saturating_sub(1).max(PITCH_MIN)..=(around + 1).min(PITCH_MAX) {
            best = pick(best, (self.likeness(lag, 1), lag));
        }
        best.1
    }

    fn likeness(&self, lag: usize, stride: usize) -> f32 {
        let (mut cross, mut energy) = (0.0, 1.0);
        for i in (HISTORY - COMPARED..HISTORY).step_by(stride) {
            cross += self.history[i] * self.history[i - lag];
            energy += self.history[i - lag] * self.history[i - lag];
        }
        cross / energy.sqrt()
    }
}

fn pick(a: (f32, usize), b: (f32, usize)) -> (f32, usize) {
    if b.0 > a.0 { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::{amplitude_of, mean_square};
    use crate::noise::Gauss;
    use crate::tone::sine;

    fn phase(hz: f64, n: usize) -> u32 {
        (hz / 8000.0 * 4_294_967_296.0 * n as f64) as u64 as u32
    }

    /// A voiced sound: a pitch that glides and its harmonics under a formant, with breath.
    fn voiced(frames: usize) -> Vec<Frame> {
        let mut chance = Gauss::new(9);
        let mut turn = 0.0f64;
        (0..frames)
            .map(|i| {
                core::array::from_fn(|n| {
                    let t = (i * FRAME_SAMPLES + n) as f64 / 8000.0;
                    turn += (125.0 + 12.0 * (3.0 * t).sin()) / 8000.0;
                    let v: f64 = (1..12)
                        .map(|k| (core::f64::consts::TAU * turn * f64::from(k)).sin() / (1.0 + (f64::from(k) - 4.0).powi(2) / 4.0))
                        .sum();
                    (3000.0 * v + 60.0 * f64::from(chance.sample())) as i16
                })
            })
            .collect()
    }

    fn tone() -> Vec<Frame> {
        (0..50).map(|i| core::array::from_fn(|n| (amplitude_of(-10.0) * sine(phase(440.0, i * FRAME_SAMPLES + n))) as i16)).collect()
    }

    /// Loses every tenth frame. Returns the SNR (dB) over the lost frames and the largest step at a seam against the largest step in
    /// the original.
    fn lose(frames: &[Frame]) -> (f32, f32) {
        let mut c = Concealer::new();
        let (mut signal, mut error) = (0.0, 1e-3);
        let mut all = Vec::new();
        for (i, f) in frames.iter().enumerate() {
            let mut g = *f;
            if i % 10 == 5 {
                c.fill_in(&mut g);
                let d: Frame = core::array::from_fn(|n| g[n].saturating_sub(f[n]));
                signal += mean_square(f);
                error += mean_square(&d);
            } else {
                c.rx(&mut g);
            }
            all.extend_from_slice(&g);
        }
        let step = |s: &[i16]| s.windows(2).map(|w| (i32::from(w[1]) - i32::from(w[0])).abs()).max().unwrap_or(0) as f32;
        (10.0 * (signal / error).log10(), step(&all) / step(&frames.concat()))
    }

    #[test]
    fn a_lost_frame_is_close_to_what_was_lost_and_the_seams_do_not_click() {
        // Silence in its place scores 0 dB, and steps of the whole amplitude.
        let (snr, step) = lose(&voiced(100));
        assert!(snr > 4.0, "voice: {snr:.1} dB");
        assert!(step < 1.3, "voice: step {step:.2}");
        let (snr, step) = lose(&tone());
        assert!(snr > 8.0, "tone: {snr:.1} dB");
        assert!(step < 1.3, "tone: step {step:.2}");
    }

    #[test]
    fn a_long_gap_fades_to_silence_within_60_ms() {
        let mut c = Concealer::new();
        for mut f in voiced(10) {
            c.rx(&mut f);
        }
        let mut levels = Vec::new();
        for _ in 0..5 {
            let mut f = [0; FRAME_SAMPLES];
            c.fill_in(&mut f);
            levels.push(mean_square(&f));
        }
        assert!(levels[0] > levels[1] && levels[1] > levels[2] && levels[3] == 0.0, "{levels:?}");
        assert_eq!(c.lost_ms(), 100);
    }

    #[test]
    fn without_loss_nothing_is_changed() {
        let mut c = Concealer::new();
        for f in voiced(20) {
            let mut g = f;
            c.rx(&mut g);
            assert_eq!(f, g);
        }
    }
}
