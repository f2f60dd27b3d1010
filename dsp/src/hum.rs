//! Takes mains hum off a line: what lies below 180 Hz, by 23 dB or more, and nothing of what modems send.
//!
//! Hum and its third harmonic can be louder than a fax on a long line. No modem minds the hum itself, all filter their band, but whatever
//! compares a band with all of the power takes the line for something else, and a gain that suits the fax would clip the hum. So it is
//! taken out here, in front of the modems and their detectors.
//!
//! Two sections of second order with their zeros between the mains frequencies, 50 and 60 Hz, and between the third harmonics; an inverse
//! Chebyshev filter but for those zeros. From 600 Hz up it is flat within 0.2 dB, with 2 samples of delay at 600 Hz and none at 3000 Hz.

use crate::{FRAME_SAMPLES, Frame, SAMPLE_RATE_HZ};
use core::f64::consts::PI;

/// Zero (Hz), pole (Hz) and quality of each section.
const SECTIONS: [(f64, f64, f64); 2] = [(55.0, 193.8, 0.5814), (165.0, 248.5, 1.8)];

/// A section: y = b0 x + b1 x' + b0 x'' - a1 y' - a2 y''.
#[derive(Clone, Copy, Debug)]
struct Section {
    b0: f64,
    b1: f64,
    a1: f64,
    a2: f64,
    state: [f64; 2],
}

impl Section {
    /// (s^2 + z^2) / (s^2 + p s / q + p^2), by the bilinear transform with zero and pole where they should be.
    fn new((zero_hz, pole_hz, quality): (f64, f64, f64)) -> Self {
        let k = 2.0 * f64::from(SAMPLE_RATE_HZ);
        let warped = |hz: f64| k * (PI * hz / f64::from(SAMPLE_RATE_HZ)).tan();
        let (z, p) = (warped(zero_hz), warped(pole_hz));
        let a0 = k * k + p / quality * k + p * p;
        Section {
            b0: (k * k + z * z) / a0,
            b1: 2.0 * (z * z - k * k) / a0,
            a1: 2.0 * (p * p - k * k) / a0,
            a2: (k * k - p / quality * k + p * p) / a0,
            state: [0.0; 2],
        }
    }
    #[inline]
    fn rx(&mut self, x: f64) -> f64 {
        let y = self.b0 * x + self.state[0];
        self.state[0] = self.b1 * x - self.a1 * y + self.state[1];
        self.state[1] = self.b0 * x - self.a2 * y;
        y
    }
}

/// The filter.
#[derive(Clone, Debug)]
pub struct HumFilter {
    sections: [Section; SECTIONS.len()],
}

impl Default for HumFilter {
    fn default() -> Self {
        HumFilter::new()
    }
}

impl HumFilter {
    /// A filter that has heard silence.
    pub fn new() -> Self {
        HumFilter { sections: SECTIONS.map(Section::new) }
    }
    /// 20 ms without their hum.
    pub fn rx(&mut self, frame: &Frame) -> Frame {
        let mut out = [0; FRAME_SAMPLES];
        for (y, x) in out.iter_mut().zip(frame) {
            let clean = self.sections.iter_mut().fold(f64::from(*x), |x, s| s.rx(x));
            *y = clean.round() as i16;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::mean_square;

    /// Gain at a frequency, dB, once the filter has settled.
    fn gain_db(hz: f64) -> f64 {
        let mut filter = HumFilter::new();
        let sine = |n: usize| (8000.0 * (2.0 * PI * hz * n as f64 / 8000.0).sin()) as i16;
        let (mut before, mut after) = (0.0, 0.0);
        for at in 0..100 {
            let frame: Frame = core::array::from_fn(|i| sine(at * FRAME_SAMPLES + i));
            let out = filter.rx(&frame);
            if at >= 50 {
                before += f64::from(mean_square(&frame));
                after += f64::from(mean_square(&out));
            }
        }
        10.0 * (after / before).log10()
    }

    #[test]
    fn hum_and_ringing_go_and_modems_stay() {
        for hz in [16.7, 25.0, 50.0, 60.0, 100.0, 120.0, 150.0, 180.0] {
            assert!(gain_db(hz) < -23.0, "{hz} Hz: {}", gain_db(hz));
        }
        for hz in [600.0, 980.0, 1650.0, 1850.0, 3000.0, 3400.0] {
            assert!(gain_db(hz).abs() < 0.2, "{hz} Hz: {}", gain_db(hz));
        }
    }

    #[test]
    fn the_loudest_input_is_taken_and_forgotten() {
        let mut filter = HumFilter::new();
        for n in 0..200 {
            filter.rx(&[if n % 3 == 0 { i16::MIN } else { i16::MAX }; FRAME_SAMPLES]);
        }
        for _ in 0..50 {
            filter.rx(&crate::SILENCE);
        }
        assert_eq!(filter.rx(&crate::SILENCE), crate::SILENCE);
    }
}
