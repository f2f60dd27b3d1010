//! G.711: the two laws of the telephone network, sample by sample and by the block.
//!
//! Read ITU-T G.711 tables 1 and 2. The encoders take the segment and the four mantissa bits straight out of the exponent and mantissa
//! of an `f32`: the companding curve *is* a tiny floating-point format. There are no branches and no tables, so a block vectorises.

/// Which companding law.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Law {
    /// Mu-law: North America and Japan; RTP payload type 0 (PCMU).
    #[default]
    Mu,
    /// A-law: the rest of the world; RTP payload type 8 (PCMA).
    A,
}

impl Law {
    /// One linear sample to its octet.
    #[inline]
    pub fn encode(self, sample: i16) -> u8 {
        match self {
            Law::Mu => mu_encode(sample),
            Law::A => a_encode(sample),
        }
    }

    /// One octet to its linear sample.
    #[inline]
    pub fn decode(self, octet: u8) -> i16 {
        self.table()[usize::from(octet)]
    }

    /// The octet that sounds like nothing: what fills a gap in the payload.
    pub const fn silence(self) -> u8 {
        match self {
            Law::Mu => 0xFF,
            Law::A => 0xD5,
        }
    }

    /// Encodes as many samples as both slices hold; returns that number.
    pub fn encode_block(self, samples: &[i16], octets: &mut [u8]) -> usize {
        match self {
            Law::Mu => samples.iter().zip(octets.iter_mut()).for_each(|(s, o)| *o = mu_encode(*s)),
            Law::A => samples.iter().zip(octets.iter_mut()).for_each(|(s, o)| *o = a_encode(*s)),
        }
        samples.len().min(octets.len())
    }

    /// Decodes as many octets as both slices hold; returns that number.
    pub fn decode_block(self, octets: &[u8], samples: &mut [i16]) -> usize {
        let table = self.table();
        octets.iter().zip(samples.iter_mut()).for_each(|(o, s)| *s = table[usize::from(*o)]);
        samples.len().min(octets.len())
    }

    const fn table(self) -> &'static [i16; 256] {
        match self {
            Law::Mu => &MU_DECODE,
            Law::A => &A_DECODE,
        }
    }
}

/// Largest magnitude that mu-law tells apart, on the 16-bit scale; with the bias it just fits 15 bits.
const MU_CLIP: i32 = 32635;
/// The bias that makes every mu-law segment start at a power of two (33 on G.711's 14-bit scale).
const MU_BIAS: i32 = 132;
/// Exponent of 128.0 in an `f32`, shifted up by the four mantissa bits: the first octave of both laws.
const FIRST_OCTAVE: i32 = 134 << 4;

#[inline]
fn octave_and_step(magnitude: i32) -> i32 {
    ((magnitude as f32).to_bits() >> 19) as i32 - FIRST_OCTAVE
}

#[inline]
fn mu_encode(sample: i16) -> u8 {
    let x = i32::from(sample);
    let magnitude = x.abs().min(MU_CLIP) + MU_BIAS;
    let sign = (x >> 31) & 0x80;
    !(octave_and_step(magnitude) | sign) as u8
}

#[inline]
fn a_encode(sample: i16) -> u8 {
    // A-law has no zero: the two innermost steps are 0..15 and -16..-1, so the magnitude of a negative is its complement.
    let magnitude = sample ^ (sample >> 15);
    // Linear up to 256, logarithmic above: each part stands still where the other works, and there is no branch. Both limits are
    // taken in 16 bits, where even the oldest vector units can.
    let linear = magnitude.min(256) >> 4;
    let logarithmic = octave_and_step(i32::from(magnitude.max(256))) as i16 - 16;
    let negative = (sample >> 15) & 0x80;
    ((linear + logarithmic) ^ 0xD5 ^ negative) as u8
}

const fn mu_decode(octet: u8) -> i16 {
    let u = !octet;
    let segment = (u >> 4) & 7;
    let magnitude = ((((u & 15) as i32) << 3) + MU_BIAS) << segment;
    let v = magnitude - MU_BIAS;
    (if u & 0x80 != 0 { -v } else { v }) as i16
}

const fn a_decode(octet: u8) -> i16 {
    let a = octet ^ 0x55;
    let segment = (a >> 4) & 7;
    let step = ((a & 15) as i32) << 4;
    let v = if segment == 0 { step + 8 } else { (step + 264) << (segment - 1) };
    (if a & 0x80 != 0 { v } else { -v }) as i16
}

static MU_DECODE: [i16; 256] = {
    let mut t = [0; 256];
    let mut i = 0;
    while i < 256 {
        t[i] = mu_decode(i as u8);
        i += 1;
    }
    t
};

static A_DECODE: [i16; 256] = {
    let mut t = [0; 256];
    let mut i = 0;
    while i < 256 {
        t[i] = a_decode(i as u8);
        i += 1;
    }
    t
};

#[cfg(test)]
mod tests {
    use super::*;

    /// The encoder as the Recommendation says it: the octet whose decision interval holds the value, searched from the outside.
    fn mu_by_search(x: i16) -> u8 {
        let mag = i32::from(x).abs().min(MU_CLIP) + MU_BIAS;
        let segment = (0..8).rev().find(|s| mag >= 128 << s).unwrap();
        let step = (mag >> (segment + 3)) & 15;
        !((if x < 0 { 0x80 } else { 0 }) | (segment << 4) | step) as u8
    }

    #[test]
    fn every_octet_survives_decode_and_encode() {
        for o in 0..=255u8 {
            assert_eq!(Law::A.encode(Law::A.decode(o)), o);
            // Mu-law has two zeros; both decode to 0 and encode as the positive one.
            let want = if o == 0x7F { 0xFF } else { o };
            assert_eq!(Law::Mu.encode(Law::Mu.decode(o)), want);
        }
    }

    #[test]
    fn every_linear_value_lands_on_the_nearest_octet_of_its_segment() {
        for x in i16::MIN..=i16::MAX {
            assert_eq!(Law::Mu.encode(x), mu_by_search(x), "{x}");
            for law in [Law::Mu, Law::A] {
                let back = i32::from(law.decode(law.encode(x)));
                let step = (i32::from(x).abs() / 16).max(16);
                assert!((back - i32::from(x)).abs() <= step || i32::from(x).abs() > 32000, "{law:?} {x} -> {back}");
            }
        }
    }

    #[test]
    fn anchor_points_of_the_tables() {
        assert_eq!((Law::Mu.decode(0x80), Law::Mu.decode(0x00), Law::Mu.decode(0xFF)), (32124, -32124, 0));
        assert_eq!((Law::A.decode(0xAA), Law::A.decode(0x2A), Law::A.decode(0xD5), Law::A.decode(0x55)), (32256, -32256, 8, -8));
        assert_eq!(Law::A.encode(0), Law::A.silence());
        assert_eq!(Law::Mu.encode(0), Law::Mu.silence());
    }

    #[test]
    fn blocks_stop_at_the_shorter_slice() {
        let mut out = [0u8; 3];
        assert_eq!(Law::Mu.encode_block(&[1, 2, 3, 4, 5], &mut out), 3);
        assert_eq!(Law::A.decode_block(&[0xD5; 2], &mut [0; 9]), 2);
    }
}
