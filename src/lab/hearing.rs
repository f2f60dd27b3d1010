//! Was it heard? Speech of our own from a seed, and how far (and how late) a recording is what was said.

use crate::clock::Rng;

/// Something like speech: noise of a voice's band in syllables of about 200 ms, at about -16 dBm0. The same seed says the same.
pub fn speech(seed: u64, samples: usize) -> Vec<i16> {
    let mut rng = Rng::new(seed);
    let (mut low, mut lower, mut loudness, mut target, mut left) = (0.0f64, 0.0f64, 0.0f64, 1.0f64, 0u64);
    let mut said = Vec::with_capacity(samples);
    for _ in 0..samples {
        if left == 0 {
            left = 800 + rng.below(1600);
            target = if rng.chance(0.3) { 0.05 } else { 0.4 + 0.6 * rng.unit() };
        }
        left -= 1;
        loudness += (target - loudness) * 0.005;
        // White noise less what is above about 1500 Hz and below about 150 Hz.
        let white = rng.unit() * 2.0 - 1.0;
        low += (white - low) * 0.6;
        lower += (low - lower) * 0.11;
        said.push(((low - lower) * loudness * 9000.0) as i16);
    }
    said
}

/// How well a recording matches what was said.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Match {
    /// Samples by which the recording is later than what was said (both counted from their first sample).
    pub lag: usize,
    /// Normalised correlation there, 1 for the same up to loudness.
    pub correlation: f64,
}

/// Finds `said` in `heard`, looking at lags up to `lag_max`. What is missing at the end of `heard` counts as silence.
pub fn find(said: &[i16], heard: &[i16], lag_max: usize) -> Match {
    let said_power: f64 = said.iter().map(|s| f64::from(*s).powi(2)).sum();
    let mut best = Match { lag: 0, correlation: 0.0 };
    for lag in 0..=lag_max.min(heard.len()) {
        let part = &heard[lag..heard.len().min(lag + said.len())];
        let (mut product, mut power) = (0.0, 0.0);
        for (s, h) in said.iter().zip(part) {
            product += f64::from(*s) * f64::from(*h);
            power += f64::from(*h).powi(2);
        }
        let correlation = if power > 0.0 && said_power > 0.0 { product / (power * said_power).sqrt() } else { 0.0 };
        if correlation > best.correlation {
            best = Match { lag, correlation };
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_found_where_it_is_and_other_words_are_not() {
        let said = speech(1, 4000);
        let mut heard = vec![0i16; 300];
        heard.extend(said.iter().map(|s| s / 2));
        let found = find(&said, &heard, 1000);
        assert_eq!(found.lag, 300);
        assert!(found.correlation > 0.999);
        assert!(find(&speech(2, 4000), &heard, 1000).correlation < 0.3);
    }
}
