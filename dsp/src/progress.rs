//! Hearing call-progress tones: what a person does who listens whether it rings, is busy, or may be dialled. For simulated phones,
//! and for lines that borrow an exchange (FXO).
//!
//! Every 20 ms the last 40 ms are measured at the frequencies of the country's tones; each tone's on and off times are then held
//! against its cadence. Where two tones share frequencies the cadence decides; a continuous tone is believed after 0.6 s, or longer
//! where another tone of the same sound has a longer burst.

use crate::level::{mean_square, power_of};
use crate::tone::{Cadence, FOREVER_MS, Section};
use crate::tone_plan::TonePlan;
use crate::{FRAME_SAMPLES, Frame};

/// A tone of the exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProgressTone {
    /// Dial.
    Dial,
    /// The far end rings.
    Ringback,
    /// Busy.
    Busy,
    /// Reorder, congestion.
    Reorder,
}

/// A change of what is heard. Samples count from the first one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProgressEvent {
    /// The tone was recognised by the frame that ends at sample `at`.
    Started {
        /// Which.
        tone: ProgressTone,
        /// Sample.
        at: u64,
    },
    /// The tone has stopped, recognised by the frame that ends at sample `at`.
    Ended {
        /// Which.
        tone: ProgressTone,
        /// Sample.
        at: u64,
    },
}

const TONES: [ProgressTone; 4] = [ProgressTone::Dial, ProgressTone::Ringback, ProgressTone::Busy, ProgressTone::Reorder];
/// Samples measured at a time.
const WINDOW: usize = 2 * FRAME_SAMPLES;
/// Different frequencies in a plan's four tones, at most.
const FREQUENCIES_MAX: usize = 12;
/// Completed on and off times that are kept.
const RUNS: usize = 6;
/// Share of the whole power at each single frequency of a tone, and at all together.
const SHARE_EACH: f32 = 0.12;
/// See [`SHARE_EACH`].
const SHARE_ALL: f32 = 0.6;
/// Quietest tone, sum of its frequencies.
const LEVEL_MIN_DBM0: f32 = -43.0;
/// Frequencies close together beat (Japan's ringback at 16 Hz): a dip shorter than this is no pause. The shortest pause is 200 ms.
const DIP_MS: u32 = 60;
/// A continuous tone is believed after this.
const CONTINUOUS_MS: u32 = 600;

/// One tone's on and off times.
#[derive(Clone, Copy, Debug)]
struct Rhythm {
    cadence: Cadence,
    /// Burst of this length is a continuous tone.
    continuous_ms: u32,
    /// Bursts with the right pauses between them that are wanted.
    bursts: usize,
    on: bool,
    run_ms: u32,
    /// Of a run of sound: how long it has not been heard. It counts as pause only after [`DIP_MS`].
    dip_ms: u32,
    /// Lengths of the last completed runs, newest first; the newest is of the opposite kind of `on`.
    past_ms: [u32; RUNS],
}

/// The detector.
#[derive(Clone, Debug)]
pub struct ProgressDetector {
    rhythms: [Rhythm; 4],
    frequencies: heapless::Vec<f32, FREQUENCIES_MAX>,
    window: [f32; WINDOW],
    shape: [f32; WINDOW],
    level_min: f32,
    current: Option<usize>,
    samples: u64,
}

impl ProgressDetector {
    /// A detector for the tones of a country.
    pub fn new(plan: &TonePlan) -> Self {
        let cadences = [plan.dial, plan.ringback, plan.busy, plan.reorder];
        let mut frequencies = heapless::Vec::new();
        for hz in cadences.iter().flat_map(|c| c.sections).flat_map(|s| s.hz).filter(|hz| *hz > 0.0) {
            if !frequencies.contains(&hz) {
                // Twelve hold every plan's four tones; the test over all plans says so.
                let _ = frequencies.push(hz);
            }
        }
        let longest_burst = cadences
            .iter()
            .flat_map(|c| c.sections)
            .filter(|s| s.sounds() && s.ms != FOREVER_MS && sounds_like(s, &cadences[0].sections[0]))
            .map(|s| s.ms)
            .max()
            .unwrap_or(0);
        let continuous_ms = CONTINUOUS_MS.max(longest_burst + longest_burst / 4 + 60);
        // Spain's reorder begins as its busy does: where a plan has cadences of two bursts in the busy tone's sound, a third tells.
        let composite = cadences.iter().any(|c| c.sections.len() > 2 && sounds_like(&c.sections[0], &cadences[2].sections[0]));
        let bursts = if composite { 3 } else { 2 };
        ProgressDetector {
            rhythms: cadences.map(|cadence| Rhythm { cadence, continuous_ms, bursts, on: false, run_ms: 0, dip_ms: 0, past_ms: [0; RUNS] }),
            frequencies,
            window: [0.0; WINDOW],
            shape: core::array::from_fn(|n| 0.5 - 0.5 * (core::f32::consts::TAU * (n as f32 + 0.5) / WINDOW as f32).cos()),
            level_min: power_of(LEVEL_MIN_DBM0),
            current: None,
            samples: 0,
        }
    }

    /// The tone that is heard.
    pub fn current(&self) -> Option<ProgressTone> {
        self.current.map(|i| TONES[i])
    }

    /// Takes a frame; says what has changed.
    pub fn rx(&mut self, frame: &Frame) -> Option<ProgressEvent> {
        self.samples += FRAME_SAMPLES as u64;
        self.window.copy_within(FRAME_SAMPLES.., 0);
        for (w, s) in self.window[FRAME_SAMPLES..].iter_mut().zip(frame) {
            *w = f32::from(*s);
        }
        let shares = self.shares(mean_square(frame));
        for r in &mut self.rhythms {
            r.step(sounds(&r.cadence, &self.frequencies, &shares));
        }
        let at = self.samples;
        match self.current {
            Some(i) if self.rhythms[i].has_stopped() => {
                self.current = None;
                Some(ProgressEvent::Ended { tone: TONES[i], at })
            }
            Some(_) => None,
            None => {
                let i = self.rhythms.iter().position(Rhythm::fits)?;
                self.current = Some(i);
                Some(ProgressEvent::Started { tone: TONES[i], at })
            }
        }
    }

    /// Share of the window's power at each frequency.
    fn shares(&self, newest_power: f32) -> [f32; FREQUENCIES_MAX] {
        let mut shares = [0.0; FREQUENCIES_MAX];
        let shaped: [f32; WINDOW] = core::array::from_fn(|n| self.window[n] * self.shape[n]);
        let energy: f32 = shaped.iter().map(|v| v * v).sum();
        // A tone that has just stopped still fills half of the window: the newest frame must sound by itself.
        if newest_power < self.level_min || energy < self.level_min {
            return shares;
        }
        // Of a sine A the shaped energy is A^2/2 * 3/8 N and the bin |A/2 * N/2|^2: the share is bin * 3 / N over the energy.
        let scale = 3.0 / WINDOW as f32 / energy;
        for (share, hz) in shares.iter_mut().zip(&self.frequencies) {
            let w = core::f32::consts::TAU * hz / 8000.0;
            let c = 2.0 * w.cos();
            let (mut s1, mut s2) = (0.0f32, 0.0f32);
            for v in shaped {
                (s1, s2) = (v + c * s1 - s2, s1);
            }
            *share = (s1 * s1 + s2 * s2 - c * s1 * s2) * scale;
        }
        shares
    }
}

/// Can 40 ms not tell the two apart? Every frequency of each has one of the other within 40 Hz.
fn sounds_like(a: &Section, b: &Section) -> bool {
    let within = |hz: f32, other: &Section| other.hz.iter().any(|o| *o > 0.0 && (hz - o).abs() < 40.0);
    let all = |a: &Section, b: &Section| a.hz.iter().filter(|hz| **hz > 0.0).all(|hz| within(*hz, b));
    all(a, b) && all(b, a)
}

/// Does any section of the cadence sound now?
fn sounds(cadence: &Cadence, frequencies: &[f32], shares: &[f32; FREQUENCIES_MAX]) -> bool {
    let share_of = |hz: f32| frequencies.iter().position(|f| *f == hz).map_or(0.0, |i| shares[i]);
    cadence.sections.iter().filter(|s| s.sounds()).any(|s| {
        let each = s.hz.iter().take_while(|hz| **hz > 0.0).map(|hz| share_of(*hz));
        let (mut sum, mut least) = (0.0, f32::MAX);
        for share in each {
            sum += share;
            least = least.min(share);
        }
        least > SHARE_EACH && sum > SHARE_ALL
    })
}

impl Rhythm {
    fn step(&mut self, on: bool) {
        if self.on && !on {
            self.dip_ms += 20;
            if self.dip_ms >= DIP_MS {
                self.turn(false, self.dip_ms);
            }
        } else if !self.on && on {
            self.turn(true, 20);
        } else {
            self.run_ms = self.run_ms.saturating_add(20 + self.dip_ms);
            self.dip_ms = 0;
        }
    }

    fn turn(&mut self, on: bool, run_ms: u32) {
        self.past_ms.rotate_right(1);
        self.past_ms[0] = self.run_ms;
        (self.on, self.run_ms, self.dip_ms) = (on, run_ms, 0);
    }

    fn is_continuous(&self) -> bool {
        self.cadence.sections.len() == 1
    }

    /// The n-th on or off time of the cadence, counted round.
    fn expected(&self, n: usize) -> u32 {
        self.cadence.sections[n % self.cadence.sections.len()].ms
    }

    fn fits(&self) -> bool {
        if self.has_stopped() {
            return false;
        }
        if self.is_continuous() {
            return self.on && self.run_ms >= self.continuous_ms;
        }
        let pairs = self.cadence.sections.len() / 2;
        // Judged in a pause, where the newest completed run is a burst; a pause too long for the cadence is its end, not a part of it.
        if self.on || pairs == 0 || self.has_stopped() {
            return false;
        }
        if pairs == 1 && self.expected(0) >= 800 {
            // A long burst is enough if the pause after it is longer than what other tones have.
            return near(self.past_ms[0], self.expected(0)) && 10 * self.run_ms >= 6 * self.expected(1);
        }
        // Burst, pause, burst, beginning at any burst of the cadence.
        let runs = 2 * self.bursts - 1;
        (0..pairs).any(|i| (0..runs).all(|k| near(self.past_ms[runs - 1 - k], self.expected(2 * i + k))))
    }

    fn has_stopped(&self) -> bool {
        if self.is_continuous() {
            return !self.on && self.run_ms >= 60;
        }
        let longest = |sounding: bool| self.cadence.sections.iter().filter(|s| s.sounds() == sounding).map(|s| s.ms).max().unwrap_or(0);
        let most = longest(self.on);
        self.run_ms > most + most / 4 + 60
    }
}

/// Within 15 % and a frame and a half.
fn near(ms: u32, expected_ms: u32) -> bool {
    ms.abs_diff(expected_ms) <= expected_ms * 15 / 100 + 30
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Gauss;
    use crate::tone::ToneGenerator;
    use crate::tone_plan::PLANS;

    /// Plays a cadence with noise; returns what was heard first and when (ms).
    fn hear(plan: &TonePlan, cadence: &Cadence, seconds: u32) -> Option<(ProgressTone, u64)> {
        let mut g = ToneGenerator::new(cadence);
        let (mut d, mut noise) = (ProgressDetector::new(plan), Gauss::new(1));
        let mut frame = [0; FRAME_SAMPLES];
        for _ in 0..seconds * 50 {
            g.tx(&mut frame);
            for s in &mut frame {
                *s += (noise.sample() * 60.0) as i16;
            }
            if let Some(ProgressEvent::Started { tone, at }) = d.rx(&frame) {
                return Some((tone, at / 8));
            }
        }
        None
    }

    #[test]
    fn every_tone_of_every_plan_is_recognised_as_what_it_is() {
        for p in &PLANS {
            for (cadence, want) in [
                (p.dial, ProgressTone::Dial),
                (p.ringback, ProgressTone::Ringback),
                (p.busy, ProgressTone::Busy),
                (p.reorder, ProgressTone::Reorder),
            ] {
                let heard = hear(p, &cadence, 14);
                assert_eq!(heard.map(|h| h.0), Some(want), "{} {want:?}: {heard:?}", p.country);
            }
        }
    }

    #[test]
    fn a_dial_tone_that_stops_is_missed_within_a_tenth_of_a_second() {
        let plan = TonePlan::of("US").unwrap();
        let (mut d, mut g) = (ProgressDetector::new(plan), ToneGenerator::new(&plan.dial));
        let mut frame = [0; FRAME_SAMPLES];
        for _ in 0..50 {
            g.tx(&mut frame);
            d.rx(&frame);
        }
        assert_eq!(d.current(), Some(ProgressTone::Dial));
        let ended = (0..5).find_map(|_| d.rx(&[0; FRAME_SAMPLES]));
        assert!(matches!(ended, Some(ProgressEvent::Ended { tone: ProgressTone::Dial, .. })));
        assert_eq!(d.current(), None);
    }

    #[test]
    fn a_tone_that_stops_ends_once_and_does_not_come_back() {
        for p in &PLANS {
            for cadence in [p.dial, p.ringback, p.busy, p.reorder] {
                let (mut d, mut g) = (ProgressDetector::new(p), ToneGenerator::new(&cadence));
                let (mut started, mut ended) = (0, 0);
                for i in 0..1500 {
                    let mut frame = [0; FRAME_SAMPLES];
                    if i < 1000 {
                        g.tx(&mut frame);
                    }
                    match d.rx(&frame) {
                        Some(ProgressEvent::Started { .. }) => started += 1,
                        Some(ProgressEvent::Ended { .. }) => ended += 1,
                        None => {}
                    }
                }
                assert_eq!((started, ended, d.current()), (1, 1, None), "{} {cadence:?}", p.country);
            }
        }
    }

    #[test]
    fn a_tone_that_has_stopped_is_told_once_and_the_next_is_heard() {
        let plan = TonePlan::of("GB").expect("a listed country");
        let mut detector = ProgressDetector::new(plan);
        let mut told = Vec::new();
        let mut listen = |cadence: Option<&Cadence>, seconds: usize| {
            let mut tone = cadence.map(ToneGenerator::new);
            for _ in 0..50 * seconds {
                let mut frame = [0; FRAME_SAMPLES];
                if let Some(tone) = &mut tone {
                    tone.tx(&mut frame);
                }
                told.extend(detector.rx(&frame).map(|e| match e {
                    ProgressEvent::Started { tone, .. } => (tone, true),
                    ProgressEvent::Ended { tone, .. } => (tone, false),
                }));
            }
        };
        listen(Some(&plan.ringback), 9);
        listen(None, 10);
        listen(Some(&plan.reorder), 5);
        assert_eq!(told, [(ProgressTone::Ringback, true), (ProgressTone::Ringback, false), (ProgressTone::Reorder, true)]);
    }

    #[test]
    fn silence_noise_and_digits_are_no_progress_tone() {
        let plan = TonePlan::of("DE").unwrap();
        let (mut d, mut noise) = (ProgressDetector::new(plan), Gauss::new(2));
        let mut dtmf = crate::dtmf::Generator::new(crate::dtmf::Sending::default());
        for i in 0..1000 {
            let mut frame = [0; FRAME_SAMPLES];
            if i > 600 {
                let _ = dtmf.push(b'5');
                dtmf.tx(&mut frame);
            } else if i > 300 {
                frame = core::array::from_fn(|_| (noise.sample() * 1000.0) as i16);
            }
            assert_eq!(d.rx(&frame), None, "frame {i}");
        }
    }
}
