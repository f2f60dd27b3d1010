//! A two-wire line between a machine (phone or fax) and a port of the gateway: loss, noise, delay, clock drift, and the hybrid's echo.
//!
//! For the simulator and for tests. The port has a hybrid (two wires to four), so part of what it sends to the line comes back to it at
//! once, dispersed; the machine's own side is taken as matched. Everything is seeded: same line, same samples.

use dasp::ring_buffer::{Bounded, Fixed};

use crate::level::power_of;
use crate::noise::Gauss;
use crate::resample::Resampler;
use crate::{FRAME_SAMPLES, Frame};

/// Longest delay of one direction, samples: 1 s, more than a satellite hop.
pub const DELAY_MAX: usize = 8000;
/// Samples that the elastic store of a drifting line starts with; at 100 ppm it lasts for eight minutes before the line slips.
pub const ELASTIC_SAMPLES: usize = 400;

/// What a line is like.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct LineParams {
    /// Loss from port to machine, dB.
    pub loss_to_machine_db: f32,
    /// Loss from machine to port, dB.
    pub loss_from_machine_db: f32,
    /// Noise at the machine's ear, dBm0; [`f32::NEG_INFINITY`] for none.
    pub noise_to_machine_dbm0: f32,
    /// Noise at the port, dBm0; [`f32::NEG_INFINITY`] for none.
    pub noise_from_machine_dbm0: f32,
    /// Delay of each direction, samples, at most [`DELAY_MAX`].
    pub delay_samples: usize,
    /// By how much the machine's sample clock is fast against the port's, parts per million.
    pub clock_offset_ppm: f64,
    /// Trans-hybrid loss: how far the port's own signal comes back to it below what it sent, dB; [`f32::INFINITY`] for no echo.
    pub trans_hybrid_loss_db: f32,
}

impl LineParams {
    /// A wire: nothing lost, nothing added.
    pub const IDEAL: LineParams = LineParams {
        loss_to_machine_db: 0.0,
        loss_from_machine_db: 0.0,
        noise_to_machine_dbm0: f32::NEG_INFINITY,
        noise_from_machine_dbm0: f32::NEG_INFINITY,
        delay_samples: 0,
        clock_offset_ppm: 0.0,
        trans_hybrid_loss_db: f32::INFINITY,
    };

    /// A short line in a house: 1 dB a direction, a quiet card, a hybrid as it comes out of the factory.
    pub const HOUSE: LineParams = LineParams {
        loss_to_machine_db: 1.0,
        loss_from_machine_db: 1.0,
        noise_to_machine_dbm0: -72.0,
        noise_from_machine_dbm0: -72.0,
        delay_samples: 2,
        clock_offset_ppm: 0.0,
        trans_hybrid_loss_db: 20.0,
    };
}

/// The echo path of a hybrid: a short dispersed response of unit energy (the trans-hybrid loss scales it).
const HYBRID: [f32; 8] = [0.12, 0.55, 0.66, 0.33, -0.12, -0.27, -0.19, -0.09];

/// One direction of the line.
#[derive(Clone, Debug)]
struct Direction {
    gain: f32,
    noise: f32,
    source: Gauss,
    delay: Option<Fixed<Vec<f32>>>,
    drift: Option<Drift>,
}

impl Direction {
    fn new(loss_db: f32, noise_dbm0: f32, delay: usize, ppm: f64, seed: u64) -> Self {
        let delay = delay.min(DELAY_MAX);
        Direction {
            gain: 10f32.powf(-loss_db / 20.0),
            noise: if noise_dbm0.is_finite() { power_of(noise_dbm0).sqrt() } else { 0.0 },
            source: Gauss::new(seed),
            delay: (delay > 0).then(|| Fixed::from(vec![0.0; delay])),
            drift: (ppm != 0.0).then(|| Drift::new(ppm)),
        }
    }

    /// Carries a frame; `echo` is added before the noise.
    fn carry(&mut self, from: &Frame, echo: &[f32; FRAME_SAMPLES], to: &mut Frame) {
        let mut resampled = [0; FRAME_SAMPLES];
        let from = match &mut self.drift {
            Some(drift) => {
                drift.process(from, &mut resampled);
                &resampled
            }
            None => from,
        };
        for n in 0..FRAME_SAMPLES {
            let mut v = f32::from(from[n]) * self.gain;
            if let Some(delay) = &mut self.delay {
                v = delay.push(v);
            }
            v += echo[n];
            if self.noise > 0.0 {
                v += self.noise * self.source.sample();
            }
            to[n] = v.round().clamp(-32768.0, 32767.0) as i16;
        }
    }
}

/// The drift between two clocks that exchange equal frames: a store that slowly drains or fills, and slips when it has.
#[derive(Clone, Debug)]
struct Drift {
    resampler: Resampler,
    store: Bounded<Vec<i16>>,
    slips: u32,
}

impl Drift {
    fn new(ppm: f64) -> Self {
        let mut store = Bounded::from(vec![0i16; 2 * ELASTIC_SAMPLES + 2 * FRAME_SAMPLES]);
        for _ in 0..ELASTIC_SAMPLES {
            store.push(0);
        }
        Drift { resampler: Resampler::new(ppm), store, slips: 0 }
    }

    fn process(&mut self, from: &Frame, to: &mut Frame) {
        for s in from {
            self.store.push(*s);
        }
        let wanted = self.resampler.wants(FRAME_SAMPLES);
        if self.store.len() < wanted {
            // Run dry: the line repeats nothing, it pauses, and the store is as at the start.
            self.slips += 1;
            for _ in 0..ELASTIC_SAMPLES {
                self.store.push(0);
            }
        } else if self.store.len() > 2 * ELASTIC_SAMPLES + FRAME_SAMPLES {
            self.slips += 1;
            for _ in 0..ELASTIC_SAMPLES {
                self.store.pop();
            }
        }
        let mut input = [0; FRAME_SAMPLES + 4];
        let wanted = wanted.min(input.len());
        for s in &mut input[..wanted] {
            *s = self.store.pop().unwrap_or(0);
        }
        self.resampler.process(&input[..wanted], to);
    }
}

/// A line. Each call of [`LineModel::exchange`] is 20 ms of it in both directions.
#[derive(Clone, Debug)]
pub struct LineModel {
    to_machine: Direction,
    from_machine: Direction,
    echo_gain: f32,
    /// The end of what the port sent before, for the echo path.
    sent: [f32; HYBRID.len()],
}

impl LineModel {
    /// A line with these properties; all its chance comes from `seed`.
    pub fn new(params: LineParams, seed: u64) -> Self {
        let mut seeds = Gauss::new(seed);
        let unit: f32 = HYBRID.iter().map(|h| h * h).sum::<f32>().sqrt();
        // Seen from the port, a fast machine's samples come too fast; seen from the machine, the port's come too slowly.
        let ppm = params.clock_offset_ppm;
        let seen_by_machine = (1.0 / (1.0 + ppm * 1e-6) - 1.0) * 1e6;
        LineModel {
            to_machine: Direction::new(
                params.loss_to_machine_db,
                params.noise_to_machine_dbm0,
                params.delay_samples,
                seen_by_machine,
                seeds.bits(),
            ),
            from_machine: Direction::new(
                params.loss_from_machine_db,
                params.noise_from_machine_dbm0,
                params.delay_samples,
                ppm,
                seeds.bits(),
            ),
            echo_gain: if params.trans_hybrid_loss_db.is_finite() { 10f32.powf(-params.trans_hybrid_loss_db / 20.0) / unit } else { 0.0 },
            sent: [0.0; HYBRID.len()],
        }
    }

    /// 20 ms: what the port and the machine send, and what each hears.
    pub fn exchange(&mut self, to_line_from_port: &Frame, from_machine: &Frame, to_machine: &mut Frame, from_line_to_port: &mut Frame) {
        let mut echo = [0.0; FRAME_SAMPLES];
        if self.echo_gain > 0.0 {
            for n in 0..FRAME_SAMPLES {
                self.sent.rotate_right(1);
                self.sent[0] = f32::from(to_line_from_port[n]);
                echo[n] = self.echo_gain * self.sent.iter().zip(HYBRID).map(|(s, h)| s * h).sum::<f32>();
            }
        }
        self.to_machine.carry(to_line_from_port, &[0.0; FRAME_SAMPLES], to_machine);
        self.from_machine.carry(from_machine, &echo, from_line_to_port);
    }

    /// How often the clocks have drifted so far apart that a stretch of samples was left out or put in.
    pub fn slips(&self) -> u32 {
        let of = |d: &Direction| d.drift.as_ref().map_or(0, |d| d.slips);
        of(&self.to_machine) + of(&self.from_machine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SILENCE;
    use crate::level::{amplitude_of, dbm0_of, mean_square};

    fn tone(hz: f32, dbm0: f32, frame: usize) -> Frame {
        core::array::from_fn(|n| {
            let t = (frame * FRAME_SAMPLES + n) as f64;
            (f64::from(amplitude_of(dbm0)) * (core::f64::consts::TAU * f64::from(hz) * t / 8000.0).sin()).round() as i16
        })
    }

    /// Runs a second; returns the levels heard by machine and port over its second half.
    fn levels(params: LineParams, port: f32, machine: f32) -> (f32, f32) {
        let mut line = LineModel::new(params, 5);
        let (mut a, mut b) = (0.0, 0.0);
        for i in 0..50 {
            let (mut m, mut p) = (SILENCE, SILENCE);
            let of = |hz, level: f32| if level.is_finite() { tone(hz, level, i) } else { SILENCE };
            line.exchange(&of(1004.0, port), &of(1600.0, machine), &mut m, &mut p);
            if i >= 25 {
                a += mean_square(&m) / 25.0;
                b += mean_square(&p) / 25.0;
            }
        }
        (dbm0_of(a), dbm0_of(b))
    }

    const NONE: f32 = f32::NEG_INFINITY;

    #[test]
    fn loss_noise_and_echo_are_what_was_asked_for() {
        let p = LineParams { loss_to_machine_db: 3.0, loss_from_machine_db: 7.0, ..LineParams::IDEAL };
        let (m, port) = levels(p, -10.0, -10.0);
        assert!((m + 13.0).abs() < 0.1 && (port + 17.0).abs() < 0.1, "{m} {port}");
        let p = LineParams { noise_to_machine_dbm0: -50.0, noise_from_machine_dbm0: -40.0, ..LineParams::IDEAL };
        let (m, port) = levels(p, NONE, NONE);
        assert!((m + 50.0).abs() < 0.3 && (port + 40.0).abs() < 0.3, "{m} {port}");
        let p = LineParams { trans_hybrid_loss_db: 15.0, ..LineParams::IDEAL };
        let (_, port) = levels(p, -10.0, NONE);
        // At 1 kHz the dispersed path is within a few dB of its mean over the band.
        assert!((-30.0..-19.0).contains(&port), "{port}");
    }

    #[test]
    fn an_ideal_line_carries_every_sample_and_a_delay_only_delays() {
        for delay in [0, 1, 200] {
            let mut line = LineModel::new(LineParams { delay_samples: delay, ..LineParams::IDEAL }, 1);
            let mut heard = Vec::new();
            let mut said = vec![0i16; delay];
            for i in 0..5 {
                let f = tone(700.0, -5.0, i);
                said.extend_from_slice(&f);
                let (mut m, mut p) = (SILENCE, SILENCE);
                line.exchange(&SILENCE, &f, &mut m, &mut p);
                heard.extend_from_slice(&p);
                assert_eq!(m, SILENCE);
            }
            assert_eq!(heard, said[..heard.len()]);
        }
    }

    #[test]
    fn a_fast_machine_is_heard_at_a_higher_pitch_and_slips_only_when_the_store_is_through() {
        let mut line = LineModel::new(LineParams { clock_offset_ppm: 200.0, ..LineParams::IDEAL }, 1);
        let mut heard = Vec::new();
        for i in 0..3000 {
            let (mut m, mut p) = (SILENCE, SILENCE);
            line.exchange(&SILENCE, &tone(1000.0, -10.0, i), &mut m, &mut p);
            heard.extend_from_slice(&p);
        }
        assert_eq!(line.slips(), 0);
        // Phase against 1000 Hz gains 0.2 Hz: a turn in 5 s.
        let phase = |from: usize| {
            let (mut re, mut im) = (0.0f64, 0.0f64);
            for n in from..from + 800 {
                let a = core::f64::consts::TAU * 1000.0 * n as f64 / 8000.0;
                re += f64::from(heard[n]) * a.cos();
                im -= f64::from(heard[n]) * a.sin();
            }
            im.atan2(re)
        };
        let turned = (phase(24_000) - phase(16_000)).rem_euclid(core::f64::consts::TAU);
        assert!((turned - 0.2 * core::f64::consts::TAU).abs() < 0.02, "{turned}");
        for i in 0..20_000 {
            let (mut m, mut p) = (SILENCE, SILENCE);
            line.exchange(&SILENCE, &tone(1000.0, -10.0, i), &mut m, &mut p);
        }
        assert!((1..=4).contains(&line.slips()), "{}", line.slips());
    }

    #[test]
    fn the_same_seed_gives_the_same_line() {
        let run = |seed| {
            let mut line = LineModel::new(LineParams { clock_offset_ppm: 50.0, ..LineParams::HOUSE }, seed);
            let (mut m, mut p) = (SILENCE, SILENCE);
            for i in 0..20 {
                line.exchange(&tone(500.0, -10.0, i), &tone(900.0, -10.0, i), &mut m, &mut p);
            }
            (m, p)
        };
        assert_eq!(run(3), run(3));
        assert_ne!(run(3), run(4));
    }
}
