//! Noise that says "the line is alive": what RFC 3389 packets ask for, and what replaces a digit that must not be heard in band.
//!
//! White; the spectral coefficients of RFC 3389 are read over, as that RFC allows, since nothing on a telephone line shows them.

use crate::clock::Rng;

/// A generator of white noise at a level.
#[derive(Clone, Debug)]
pub struct Noise {
    rng: Rng,
}

/// Root mean square of a level in dBov (RFC 3389 clause 3.1: 0 to 127 below overload), as a sample value.
pub fn rms_of_dbov(below: u8) -> f32 {
    32768.0 * 10f32.powf(-f32::from(below & 0x7F) / 20.0)
}

/// What stands in for a muted digit: about -62 dBm0, a quiet line.
pub const MUTED_RMS: f32 = 12.0;

impl Noise {
    /// Noise of this seed.
    pub fn new(rng: Rng) -> Self {
        Noise { rng }
    }
    /// Fills `out` at this root mean square. Never louder than -20 dBov, whatever a packet asks for.
    pub fn tx(&mut self, rms: f32, out: &mut [i16]) {
        // A uniform distribution's peak is its rms times the root of three.
        let peak = rms.min(3276.0) * 1.732;
        for four in out.chunks_mut(4) {
            let mut bits = self.rng.next_u64();
            for s in four {
                *s = (f32::from(bits as u16 as i16) / 32768.0 * peak) as i16;
                bits >>= 16;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_what_was_asked_for() {
        let mut noise = Noise::new(Rng::new(1));
        for below in [30u8, 50, 60] {
            let mut out = [0i16; 8000];
            noise.tx(rms_of_dbov(below), &mut out);
            let power = out.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / 8000.0;
            let db = 10.0 * (power / 32768f64.powi(2)).log10();
            assert!((db + f64::from(below)).abs() < 1.0, "{db} for -{below}");
        }
    }
}
