//! Something to say, made from a seed, and a measure of how much of it arrived.

use crate::clock::Rng;
use tipring_dsp::SAMPLE_RATE_HZ;

/// Vowel-like sound: a gliding pitch with three formants in syllables of changing length and loudness. Nobody understands it, but it is
/// as broad, as uneven and as loud as speech (about -18 dBm0 in its syllables), and two seeds do not resemble each other.
pub fn make(seed: u64, seconds: f64) -> Vec<i16> {
    let mut rng = Rng::new(seed);
    let rate = f64::from(SAMPLE_RATE_HZ);
    let total = (seconds * rate) as usize;
    let mut samples = Vec::with_capacity(total);
    let mut phase = 0.0f64;
    while samples.len() < total {
        let length = (rate * (0.12 + 0.2 * rng.unit())) as usize;
        let (pitch, glide) = (95.0 + 90.0 * rng.unit(), -30.0 + 60.0 * rng.unit());
        let formants = [300.0 + 500.0 * rng.unit(), 900.0 + 1300.0 * rng.unit(), 2300.0 + 900.0 * rng.unit()];
        let loud = 0.5 + 0.5 * rng.unit();
        for n in 0..length.min(total - samples.len()) {
            let t = n as f64 / length as f64;
            let f0 = pitch + glide * t;
            phase += f0 / rate;
            let mut value = 0.0;
            let mut harmonic = 1.0;
            while harmonic * f0 < 3300.0 {
                let f = harmonic * f0;
                let gain: f64 = formants.iter().enumerate().map(|(i, c)| 1.0 / (1.0 + ((f - c) / (60.0 + 40.0 * i as f64)).powi(2))).sum();
                value += gain * (core::f64::consts::TAU * (harmonic * phase).fract()).sin() / harmonic.sqrt();
                harmonic += 1.0;
            }
            let envelope = (core::f64::consts::PI * t).sin().powf(0.6) * loud;
            samples.push((value * envelope * 3500.0).clamp(-30_000.0, 30_000.0) as i16);
        }
        let pause = (rate * 0.09 * rng.unit()) as usize;
        samples.extend(std::iter::repeat_n(0i16, pause.min(total - samples.len())));
    }
    samples
}

/// How much of `said` is in `heard`, and its shift in milliseconds: the normalised correlation at the best shift.
///
/// The shift is found for the whole, then anew for each half second within 100 ms of it: adaptive playout may hold back or drop a frame in
/// the middle of a sentence (RFC 3550 leaves that to the receiver), which nobody hears and one shift for all would call a loss.
pub fn correlate(said: &[i16], heard: &[i16]) -> (f64, f64) {
    const STEP: usize = 4;
    const PIECE: usize = 4000;
    const REACH: usize = 800;
    let thin = |s: &[i16]| -> Vec<f32> { s.chunks(STEP).map(|c| c.iter().map(|v| f32::from(*v)).sum::<f32>() / c.len() as f32).collect() };
    let (said_thin, heard_thin) = (thin(said), thin(heard));
    let coarse = (0..heard_thin.len()).map(|lag| (normalised(&said_thin, &heard_thin, lag), lag)).max_by(|a, b| a.0.total_cmp(&b.0));
    let Some((_, coarse)) = coarse else { return (0.0, 0.0) };
    let full = |s: &[i16]| -> Vec<f32> { s.iter().map(|v| f32::from(*v)).collect() };
    let (said, heard) = (full(said), full(heard));
    let (mut product, mut energy_said, mut energy_heard, mut lag) = (0.0, 0.0, 0.0, coarse * STEP);
    for (i, piece) in said.chunks(PIECE).enumerate() {
        let near = (i * PIECE + lag).saturating_sub(REACH)..=i * PIECE + lag + REACH;
        let found =
            near.map(|at| (sums(piece, heard.get(at..).unwrap_or_default()), at)).max_by(|a, b| likeness(a.0).total_cmp(&likeness(b.0)));
        let Some(((sh, ss, hh), at)) = found else { continue };
        // Silence has no shift of its own.
        lag = if likeness((sh, ss, hh)) > 0.5 { at.saturating_sub(i * PIECE) } else { lag };
        (product, energy_said, energy_heard) = (product + sh, energy_said + ss, energy_heard + hh);
    }
    (likeness((product, energy_said, energy_heard)), (coarse * STEP) as f64 * 1000.0 / f64::from(SAMPLE_RATE_HZ))
}

/// Sum of products, energy of what was said (all of it, also where nothing was heard), and energy of what was heard.
fn sums(said: &[f32], heard: &[f32]) -> (f64, f64, f64) {
    let product = said.iter().zip(heard).map(|(s, h)| f64::from(s * h)).sum();
    let energy = |samples: &[f32]| samples.iter().map(|v| f64::from(v * v)).sum();
    (product, energy(said), energy(&heard[..heard.len().min(said.len())]))
}

fn likeness((product, said, heard): (f64, f64, f64)) -> f64 {
    if said == 0.0 || heard == 0.0 { 0.0 } else { product / (said * heard).sqrt() }
}

fn normalised(said: &[f32], heard: &[f32], lag: usize) -> f64 {
    let overlap = heard.len().saturating_sub(lag).min(said.len());
    // A sliver of overlap proves nothing: the far side has to have heard nearly all.
    if overlap < said.len() * 9 / 10 {
        return 0.0;
    }
    let (mut sh, mut ss, mut hh) = (0.0f64, 0.0f64, 0.0f64);
    for (s, h) in said[..overlap].iter().zip(&heard[lag..lag + overlap]) {
        sh += f64::from(s * h);
        ss += f64::from(s * s);
        hh += f64::from(h * h);
    }
    if ss == 0.0 || hh == 0.0 { 0.0 } else { sh / (ss * hh).sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_voice_is_found_again_and_another_is_not() {
        let said = make(1, 2.0);
        let mut heard = vec![0i16; 1600];
        heard.extend(said.iter().map(|s| s / 2));
        let (r, lag_ms) = correlate(&said, &heard);
        assert!(r > 0.99 && (lag_ms - 200.0).abs() < 1.0, "{r} at {lag_ms} ms");
        // A frame dropped in the middle is a matter of playout, half of the words lost is not.
        let mut shifted = vec![0i16; 1600];
        shifted.extend(&said[..8000]);
        shifted.extend(&said[8160..]);
        assert!(correlate(&said, &shifted).0 > 0.97);
        let mut cut = vec![0i16; 1600];
        cut.extend(said.iter().enumerate().map(|(i, s)| if i % 4000 < 2000 { 0 } else { *s }));
        assert!(correlate(&said, &cut).0 < 0.9);
        let mut other = vec![0i16; 1600];
        other.extend(make(2, 2.0));
        assert!(correlate(&said, &other).0 < 0.5);
    }
}
