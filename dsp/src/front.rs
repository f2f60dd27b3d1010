//! The shared front end of all detectors: one pass over the samples, and out come complex band signals at 1 kHz (2 kHz for V.21).
//!
//! Each band is a complex FIR of linear phase evaluated only where its output is wanted, so five bands cost about a hundred
//! multiply-adds a sample, all of them in straight vector loops. The two DTMF bands are 40 dB down at 450 Hz and below (dial tone) and
//! in each other's pass band; that is the whole dial-tone filter, and it is always on.

use core::f32::consts::{PI, TAU};

use crate::{FRAME_SAMPLES, Frame};

/// Samples between two outputs of the 1 kHz bands.
pub const HOP: usize = 8;
/// Outputs of the 1 kHz bands in a frame.
pub const HOPS: usize = FRAME_SAMPLES / HOP;
/// Samples between two outputs of the V.21 band.
pub const FAST_HOP: usize = 4;
/// Outputs of the V.21 band in a frame.
pub const FAST_HOPS: usize = FRAME_SAMPLES / FAST_HOP;
/// Taps of the 1 kHz bands: 10 ms. Shorter and the bands overlap; longer and a 20 ms pause fills up.
const TAPS: usize = 80;
/// Taps of the V.21 band: one and a half bits of 3.33 ms, with the window's skirts.
const FAST_TAPS: usize = 40;
/// Delay of the 1 kHz bands, in samples: a band output at a hop describes the signal this long before the end of that hop.
pub const DELAY: usize = TAPS / 2;
/// The same in hops.
pub const DELAY_HOPS: usize = DELAY / HOP;

/// A complex sample of a band. Its magnitude is the peak amplitude of a sine in the pass band.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Phasor {
    /// Real part.
    pub re: f32,
    /// Imaginary part.
    pub im: f32,
}

impl Phasor {
    /// `e^(j angle)`.
    pub fn unit(angle: f32) -> Self {
        Phasor { re: angle.cos(), im: angle.sin() }
    }
    /// Squared magnitude.
    #[inline]
    pub fn energy(self) -> f32 {
        self.re * self.re + self.im * self.im
    }
    /// Angle, -pi to pi.
    pub fn angle(self) -> f32 {
        self.im.atan2(self.re)
    }
    /// Product.
    #[inline]
    pub fn times(self, o: Phasor) -> Phasor {
        Phasor { re: self.re * o.re - self.im * o.im, im: self.re * o.im + self.im * o.re }
    }
    /// Product with the conjugate of `o`: the rotation from `o` to `self`.
    #[inline]
    pub fn from_to(o: Phasor, to: Phasor) -> Phasor {
        Phasor { re: to.re * o.re + to.im * o.im, im: to.im * o.re - to.re * o.im }
    }
    /// Sum.
    #[inline]
    pub fn plus(self, o: Phasor) -> Phasor {
        Phasor { re: self.re + o.re, im: self.im + o.im }
    }
}

/// Centre of the lower DTMF group, Hz.
pub const LOW_CENTRE_HZ: f32 = 821.0;
/// Centre of the upper DTMF group, Hz.
pub const HIGH_CENTRE_HZ: f32 = 1425.0;
/// Centre of the band that hears dial tones (350 to 480 Hz), Hz.
pub const DIAL_CENTRE_HZ: f32 = 410.0;
/// CNG, Hz.
pub const CNG_HZ: f32 = 1100.0;
/// CED and ANSam, Hz.
pub const CED_HZ: f32 = 2100.0;
/// Middle of V.21 channel 2, Hz.
pub const V21_CENTRE_HZ: f32 = 1750.0;

/// Bands at 1 kHz, in the order of [`Bands::slow`].
pub const LOW: usize = 0;
/// See [`LOW`].
pub const HIGH: usize = 1;
/// See [`LOW`].
pub const DIAL: usize = 2;
/// See [`LOW`].
pub const CNG: usize = 3;
/// See [`LOW`].
pub const CED: usize = 4;
const SLOW_BANDS: usize = 5;

/// What one frame looks like after the front end.
#[derive(Clone, Debug)]
pub struct Bands {
    /// Per band, per hop of 1 ms.
    pub slow: [[Phasor; HOPS]; SLOW_BANDS],
    /// V.21 channel 2, per 0.5 ms.
    pub fast: [Phasor; FAST_HOPS],
    /// Mean square of the whole signal (DC removed) in each hop, undelayed.
    pub power: [f32; HOPS],
}

#[derive(Clone, Debug)]
struct Filter<const N: usize> {
    re: [f32; N],
    im: [f32; N],
}

impl<const N: usize> Filter<N> {
    /// A low-pass prototype (half-amplitude at `half_width_hz`, zero for the bare window) of the given window, moved to `centre_hz`.
    fn new(centre_hz: f32, half_width_hz: f32, window: impl Fn(f32) -> f32) -> Self {
        let mid = (N as f32 - 1.0) / 2.0;
        let mut h = [0.0; N];
        for (k, v) in h.iter_mut().enumerate() {
            let t = k as f32 - mid;
            let x = TAU * half_width_hz / 8000.0 * t;
            let sinc = if x.abs() < 1e-6 { 1.0 } else { x.sin() / x };
            *v = sinc * window(t / (N as f32 / 2.0));
        }
        let sum: f32 = h.iter().sum();
        let at = |k: usize| TAU * centre_hz / 8000.0 * (k as f32 - mid);
        // Times two: of a real sine only one of its two phasors passes.
        let g = 2.0 / sum;
        Filter { re: core::array::from_fn(|k| g * h[k] * at(k).cos()), im: core::array::from_fn(|k| g * h[k] * at(k).sin()) }
    }

    #[inline]
    fn at(&self, x: &[f32; N]) -> Phasor {
        // Eight partial sums each, so that the compiler may use vectors without reordering a float sum.
        let (mut re, mut im) = ([0.0f32; 8], [0.0f32; 8]);
        for k in 0..N / 8 {
            for i in 0..8 {
                let v = x[k * 8 + i];
                re[i] += v * self.re[k * 8 + i];
                im[i] += v * self.im[k * 8 + i];
            }
        }
        // The taps are applied forward in time, so the phasor of a rising phase comes out conjugated: turn it back.
        Phasor { re: fold(&re), im: -fold(&im) }
    }
}

#[inline]
fn fold(v: &[f32; 8]) -> f32 {
    ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]))
}

fn kaiser(beta: f32) -> impl Fn(f32) -> f32 {
    fn bessel_i0(x: f32) -> f32 {
        let (mut sum, mut term) = (1.0, 1.0);
        for k in 1..24 {
            term *= (x / (2.0 * k as f32)) * (x / (2.0 * k as f32));
            sum += term;
        }
        sum
    }
    move |t| bessel_i0(beta * (1.0 - t * t).max(0.0).sqrt()) / bessel_i0(beta)
}

fn hann(t: f32) -> f32 {
    0.5 + 0.5 * (PI * t).cos()
}

/// The front end of one line.
#[derive(Clone, Debug)]
pub struct FrontEnd {
    slow: [Filter<TAPS>; SLOW_BANDS],
    fast: Filter<FAST_TAPS>,
    /// The last `TAPS` samples and behind them the frame at hand.
    samples: [f32; TAPS + FRAME_SAMPLES],
    last_in: f32,
    last_out: f32,
    bands: Bands,
}

impl Default for FrontEnd {
    fn default() -> Self {
        FrontEnd::new()
    }
}

impl FrontEnd {
    /// A front end that has heard silence so far.
    pub fn new() -> Self {
        FrontEnd {
            slow: [
                Filter::new(LOW_CENTRE_HZ, 248.0, kaiser(3.4)),
                Filter::new(HIGH_CENTRE_HZ, 350.0, kaiser(3.4)),
                Filter::new(DIAL_CENTRE_HZ, 0.0, hann),
                Filter::new(CNG_HZ, 0.0, hann),
                Filter::new(CED_HZ, 0.0, hann),
            ],
            fast: Filter::new(V21_CENTRE_HZ, 0.0, hann),
            samples: [0.0; TAPS + FRAME_SAMPLES],
            last_in: 0.0,
            last_out: 0.0,
            bands: Bands { slow: [[Phasor::default(); HOPS]; SLOW_BANDS], fast: [Phasor::default(); FAST_HOPS], power: [0.0; HOPS] },
        }
    }

    /// Takes a frame from the line and returns its bands.
    pub fn rx(&mut self, frame: &Frame) -> &Bands {
        self.samples.copy_within(FRAME_SAMPLES.., 0);
        // A first-order high-pass at 38 Hz: DC and mains hum are no part of what a tone is compared with.
        for (x, s) in frame.iter().zip(self.samples[TAPS..].iter_mut()) {
            let x = f32::from(*x);
            self.last_out = x - self.last_in + 0.97 * self.last_out;
            self.last_in = x;
            *s = self.last_out;
        }
        for hop in 0..HOPS {
            let end = TAPS + (hop + 1) * HOP;
            let x: &[f32; TAPS] = self.samples[end - TAPS..end].try_into().expect("the slice is TAPS long by construction");
            for (band, filter) in self.slow.iter().enumerate() {
                self.bands.slow[band][hop] = filter.at(x);
            }
            let sum: f32 = self.samples[end - HOP..end].iter().map(|v| v * v).sum();
            self.bands.power[hop] = sum / HOP as f32;
        }
        for hop in 0..FAST_HOPS {
            let end = TAPS + (hop + 1) * FAST_HOP;
            let x: &[f32; FAST_TAPS] = self.samples[end - FAST_TAPS..end].try_into().expect("the slice is FAST_TAPS long by construction");
            self.bands.fast[hop] = self.fast.at(x);
        }
        &self.bands
    }
}

/// The rotation of a band signal of frequency `hz` over one hop of 1 ms.
pub fn turn_per_hop(hz: f32) -> f32 {
    TAU * hz * HOP as f32 / 8000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(hz: f32, band: usize) -> f32 {
        let mut f = FrontEnd::new();
        let mut out = 0.0;
        for i in 0..3 {
            let frame = core::array::from_fn(|n| (10000.0 * (TAU * hz * (i * 160 + n) as f32 / 8000.0).sin()) as i16);
            let b = f.rx(&frame);
            out = b.slow[band].iter().map(|p| p.energy()).sum::<f32>() / HOPS as f32;
        }
        10.0 * (out / 1e8).log10()
    }

    #[test]
    fn digits_pass_and_dial_tones_and_the_other_group_do_not() {
        for hz in [680.0, 697.0, 770.0, 852.0, 941.0, 960.0] {
            assert!(response(hz, LOW).abs() < 0.6, "{hz}: {}", response(hz, LOW));
            assert!(response(hz, HIGH) < -36.0, "{hz}: {}", response(hz, HIGH));
        }
        for hz in [1185.0, 1209.0, 1336.0, 1477.0, 1633.0, 1665.0] {
            assert!(response(hz, HIGH).abs() < 0.6, "{hz}: {}", response(hz, HIGH));
            assert!(response(hz, LOW) < -36.0, "{hz}: {}", response(hz, LOW));
        }
        for hz in [350.0, 400.0, 425.0, 440.0, 450.0] {
            assert!(response(hz, LOW) < -36.0 && response(hz, HIGH) < -36.0, "{hz}: {}", response(hz, LOW));
        }
    }

    #[test]
    fn the_phase_of_a_band_turns_with_the_frequency() {
        let mut f = FrontEnd::new();
        let frame = |i: usize| core::array::from_fn(|n| (9000.0 * (TAU * 770.0 * (i * 160 + n) as f32 / 8000.0).cos()) as i16);
        f.rx(&frame(0));
        let b = f.rx(&frame(1));
        let turn = Phasor::from_to(b.slow[LOW][10], b.slow[LOW][11]).angle();
        let want = turn_per_hop(770.0);
        assert!(Phasor::unit(turn - want).angle().abs() < 0.02, "{turn} {want}");
    }
}
