//! What a recording looks like: power over time and frequency, as a PNG. Bounded: columns double their width as the recording grows.

use std::f32::consts::TAU;

/// Samples of a window: 32 ms, so bins are 31 Hz apart and V.21's two tones (200 Hz) stand clear.
const WINDOW: usize = 256;
/// Rows of the picture: 0 to 4 kHz.
pub const ROWS: usize = WINDOW / 2;
/// Samples from one window to the next.
const HOP: usize = 160;
/// Columns at most; half of it when they are folded.
const COLUMNS_MAX: usize = 2200;
/// Loudest and quietest colour, dB of a bin against full scale.
const TOP_DB: f32 = -15.0;
const RANGE_DB: f32 = 65.0;

/// One channel.
pub struct Spectrogram {
    pending: Vec<f32>,
    /// Windows that one column covers.
    windows: usize,
    /// The column in the making, and its windows so far.
    column: [u8; ROWS],
    count: usize,
    columns: Vec<[u8; ROWS]>,
    taper: Vec<f32>,
    twiddles: Vec<(f32, f32)>,
}

impl Spectrogram {
    pub fn new() -> Spectrogram {
        let taper = (0..WINDOW).map(|n| 0.5 - 0.5 * (TAU * n as f32 / WINDOW as f32).cos()).collect();
        let twiddles = (0..WINDOW / 2).map(|k| (TAU * k as f32 / WINDOW as f32).sin_cos()).map(|(s, c)| (c, -s)).collect();
        Spectrogram {
            pending: Vec::with_capacity(2 * WINDOW),
            windows: 1,
            column: [0; ROWS],
            count: 0,
            columns: Vec::with_capacity(COLUMNS_MAX),
            taper,
            twiddles,
        }
    }

    /// Takes samples.
    pub fn feed(&mut self, samples: &[i16]) {
        for s in samples {
            self.pending.push(f32::from(*s) / 32768.0);
            if self.pending.len() == WINDOW {
                self.window();
                self.pending.drain(..HOP);
            }
        }
    }

    /// Columns so far.
    pub fn columns(&self) -> usize {
        self.columns.len()
    }

    /// Seconds of a column.
    pub fn column_s(&self) -> f64 {
        (self.windows * HOP) as f64 / 8000.0
    }

    /// The picture, frequency upwards.
    pub fn png(&self) -> Vec<u8> {
        let mut file = Vec::new();
        let width = self.columns.len().max(1);
        let mut pixels = Vec::with_capacity(width * ROWS * 3);
        for row in (0..ROWS).rev() {
            for x in 0..width {
                pixels.extend(colour(self.columns.get(x).map_or(0, |c| c[row])));
            }
        }
        let mut encoder = png::Encoder::new(&mut file, width as u32, ROWS as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let written = encoder.write_header().and_then(|mut w| {
            w.write_image_data(&pixels)?;
            w.finish()
        });
        // Writing to memory fails only on a size that does not match, and it does.
        written.map(|()| file).unwrap_or_default()
    }

    fn window(&mut self) {
        let mut x: Vec<(f32, f32)> = self.pending.iter().zip(&self.taper).map(|(x, w)| (x * w, 0.0)).collect();
        self.transform(&mut x);
        for (c, (re, im)) in self.column.iter_mut().zip(&x) {
            // The window halves the amplitude, and half of it lies at negative frequencies: 4 in all.
            let power = (re * re + im * im) * (4.0 / WINDOW as f32).powi(2);
            let db = 10.0 * (power + 1e-12).log10();
            let level = ((db - TOP_DB) / RANGE_DB + 1.0).clamp(0.0, 1.0);
            *c = (*c).max((level * 255.0) as u8);
        }
        self.count += 1;
        if self.count == self.windows {
            self.columns.push(std::mem::replace(&mut self.column, [0; ROWS]));
            self.count = 0;
        }
        if self.columns.len() == COLUMNS_MAX {
            let folded = self.columns.chunks(2).map(|two| std::array::from_fn(|i| two.iter().map(|c| c[i]).max().unwrap_or(0))).collect();
            self.columns = folded;
            self.windows *= 2;
        }
    }

    /// The Fourier transform in place: radix 2, bits reversed first.
    fn transform(&self, x: &mut [(f32, f32)]) {
        let bits = WINDOW.trailing_zeros();
        for i in 0..WINDOW {
            let j = i.reverse_bits() >> (usize::BITS - bits);
            if i < j {
                x.swap(i, j);
            }
        }
        let mut half = 1;
        while half < WINDOW {
            for start in (0..WINDOW).step_by(2 * half) {
                for k in 0..half {
                    let (c, s) = self.twiddles[k * (WINDOW / 2 / half)];
                    let (a, b) = (x[start + k], x[start + k + half]);
                    let turned = (b.0 * c - b.1 * s, b.0 * s + b.1 * c);
                    x[start + k] = (a.0 + turned.0, a.1 + turned.1);
                    x[start + k + half] = (a.0 - turned.0, a.1 - turned.1);
                }
            }
            half *= 2;
        }
    }
}

/// Dark blue through violet and orange to pale yellow: even in lightness, so that grey printers keep it.
fn colour(level: u8) -> [u8; 3] {
    const STOPS: [[f32; 3]; 6] =
        [[6.0, 6.0, 22.0], [58.0, 15.0, 99.0], [136.0, 34.0, 106.0], [214.0, 72.0, 66.0], [248.0, 150.0, 30.0], [252.0, 250.0, 190.0]];
    let at = f32::from(level) / 255.0 * (STOPS.len() - 1) as f32;
    let i = (at as usize).min(STOPS.len() - 2);
    let part = at - i as f32;
    std::array::from_fn(|k| (STOPS[i][k] + part * (STOPS[i + 1][k] - STOPS[i][k])) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_is_a_line_at_its_frequency() {
        let mut s = Spectrogram::new();
        let tone: Vec<i16> = (0..8000).map(|n| (8000.0 * (TAU * 1100.0 / 8000.0 * n as f32).sin()) as i16).collect();
        s.feed(&tone);
        let column = s.columns[20];
        let loudest = (0..ROWS).max_by_key(|r| column[*r]).unwrap();
        assert_eq!(loudest, (1100.0 / 31.25f32).round() as usize);
        assert!(column[loudest] > 200 && column[loudest + 10] < 60);
    }

    #[test]
    fn a_long_recording_has_no_more_columns_than_a_short_one() {
        let mut s = Spectrogram::new();
        for _ in 0..300 {
            s.feed(&[100; 8000]);
        }
        assert!(s.columns() < COLUMNS_MAX && s.column_s() * s.columns() as f64 > 298.0);
    }
}
