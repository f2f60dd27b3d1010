//! IMA ADPCM as WAV files carry it (format tag 0x11): four bits a sample, in blocks that each start from a whole sample.
//!
//! Read "IMA Recommended Practices for Enhancing Digital Audio Compatibility" 3.0 clause 6, and Microsoft's DVI ADPCM for the blocks: for
//! each channel predictor and step index, then by turns four octets (eight samples, low nibble first) of each channel.

const INDEX_STEP: [i8; 16] = [-1, -1, -1, -1, 2, 4, 6, 8, -1, -1, -1, -1, 2, 4, 6, 8];
const STEPS: [i32; 89] = [
    7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 19, 21, 23, 25, 28, 31, 34, 37, 41, 45, 50, 55, 60, 66, 73, 80, 88, 97, 107, 118, 130, 143, 157,
    173, 190, 209, 230, 253, 279, 307, 337, 371, 408, 449, 494, 544, 598, 658, 724, 796, 876, 963, 1060, 1166, 1282, 1411, 1552, 1707,
    1878, 2066, 2272, 2499, 2749, 3024, 3327, 3660, 4026, 4428, 4871, 5358, 5894, 6484, 7132, 7845, 8630, 9493, 10442, 11487, 12635, 13899,
    15289, 16818, 18500, 20350, 22385, 24623, 27086, 29794, 32767,
];

/// Bytes of the header of one channel in a block.
pub const HEADER_BYTES: usize = 4;

struct Predictor {
    value: i32,
    index: usize,
}

impl Predictor {
    fn new(header: [u8; HEADER_BYTES]) -> Predictor {
        let [low, high, index, _] = header;
        Predictor { value: i32::from(i16::from_le_bytes([low, high])), index: usize::from(index).min(STEPS.len() - 1) }
    }
    fn next(&mut self, nibble: u8) -> i16 {
        let step = STEPS[self.index];
        let mut change = step >> 3;
        for (bit, part) in [(4, step), (2, step >> 1), (1, step >> 2)] {
            change += if nibble & bit != 0 { part } else { 0 };
        }
        self.value = (self.value + if nibble & 8 != 0 { -change } else { change }).clamp(-32768, 32767);
        self.index = self.index.saturating_add_signed(isize::from(INDEX_STEP[usize::from(nibble & 15)])).min(STEPS.len() - 1);
        self.value as i16
    }
}

/// Decodes a block of `channels` (1 or more; the first two are kept, one is doubled); a block that is cut gives what is there.
pub fn decode_block(block: &[u8], channels: usize, out: &mut Vec<[i16; 2]>) {
    let Some((headers, body)) = block.split_at_checked(HEADER_BYTES * channels) else { return };
    let kept = channels.min(2);
    let mut predictors = [Predictor::new([0; 4]), Predictor::new([0; 4])];
    for (p, header) in predictors.iter_mut().zip(headers.chunks_exact(HEADER_BYTES)) {
        *p = Predictor::new(header.first_chunk().copied().unwrap_or_default());
    }
    let double = |s: [i16; 2]| if kept == 1 { [s[0]; 2] } else { s };
    out.push(double([predictors[0].value as i16, predictors[1].value as i16]));
    for group in body.chunks_exact(4 * channels) {
        let mut samples = [[0i16; 2]; 8];
        for (channel, octets) in group.chunks_exact(4).take(kept).enumerate() {
            for (i, octet) in octets.iter().enumerate() {
                samples[2 * i][channel] = predictors[channel].next(octet & 15);
                samples[2 * i + 1][channel] = predictors[channel].next(octet >> 4);
            }
        }
        out.extend(samples.map(double));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_starts_from_its_header_and_steps_by_the_table() {
        // Predictor 100, index 0. Nibble 7: 7 + 3 + 1 + 0 up, index +8. Nibble 15: the same with step 16, down.
        let mut block = vec![100, 0, 0, 0];
        block.extend_from_slice(&[0xF7, 0, 0, 0]);
        let mut out = Vec::new();
        decode_block(&block, 1, &mut out);
        assert_eq!(out.len(), 9);
        assert_eq!((out[0], out[1], out[2]), ([100; 2], [111; 2], [111 - (16 + 8 + 4 + 2); 2]));
    }

    #[test]
    fn cut_and_wild_blocks_stay_in_bounds() {
        for n in 0..64 {
            for channels in 1..4 {
                let mut out = Vec::new();
                decode_block(&vec![0xFF; n], channels, &mut out);
                assert!(out.len() <= 1 + 2 * n);
            }
        }
    }
}
