//! Everything that is listened for on a line, over one shared front end: digits, fax and answer tones, the V.21 preamble, the level.
//!
//! A [`Watch`] is fed every frame from the line, in every state of the call. It neither allocates nor waits.

use crate::Frame;
use crate::dtmf;
use crate::fax_tone::{self, ToneEvent};
use crate::front::{self, FrontEnd, HOPS};
use crate::level::Meter;
use crate::v21::{PreambleDetector, PreambleEvent};

pub use crate::fax_tone::FaxTone;

/// Findings that one frame can bring: four of digits, three of each tone tracker, two of V.21, and room.
pub const FINDINGS_MAX: usize = 16;

/// Something heard. Samples are counted from the first one that the [`Watch`] was given; a digit is its ASCII key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finding {
    /// A digit is confirmed (40 to 60 ms after it began, the wait for the end of the frame included).
    DigitStarted {
        /// ASCII key.
        digit: u8,
        /// Sample at which the tone began.
        at: u64,
    },
    /// The digit is over.
    DigitEnded {
        /// ASCII key.
        digit: u8,
        /// Sample at which the tone ended.
        at: u64,
        /// Its length.
        duration_ms: u32,
    },
    /// A fax or answer tone is confirmed (about 0.25 s after it began).
    ToneStarted {
        /// Which.
        tone: FaxTone,
        /// Sample at which it began.
        at: u64,
    },
    /// The tone is over; a CED that proves to be ANSam also ends, and the ANSam starts in the same frame.
    ToneEnded {
        /// Which.
        tone: FaxTone,
        /// Sample at which it ended.
        at: u64,
        /// Its length.
        duration_ms: u32,
    },
    /// HDLC flags on V.21 channel 2.
    V21Preamble {
        /// Sample at which the flags began, about.
        at: u64,
    },
    /// The V.21 carrier that carried them has gone.
    V21Ended {
        /// Sample.
        at: u64,
    },
}

/// All detectors of one line.
#[derive(Clone, Debug)]
pub struct Watch {
    front: FrontEnd,
    dtmf: dtmf::Receiver,
    cng: fax_tone::Tracker,
    answer: fax_tone::Tracker,
    v21: PreambleDetector,
    meter: Meter,
    findings: heapless::Vec<Finding, FINDINGS_MAX>,
}

impl Default for Watch {
    fn default() -> Self {
        Watch::new()
    }
}

impl Watch {
    /// A watch that has heard silence.
    pub fn new() -> Self {
        Watch {
            front: FrontEnd::new(),
            dtmf: dtmf::Receiver::new(),
            cng: fax_tone::Tracker::cng(),
            answer: fax_tone::Tracker::answer(),
            v21: PreambleDetector::new(),
            meter: Meter::new(3),
            findings: heapless::Vec::new(),
        }
    }

    /// Takes a frame from the line; returns what was found in it.
    pub fn rx(&mut self, frame: &Frame) -> &[Finding] {
        self.meter.rx(frame);
        let findings = &mut self.findings;
        findings.clear();
        // The bound is the sum of what each detector can say in a frame, so a push does not fail.
        let mut add = |f: Finding| {
            let _ = findings.push(f);
        };
        let bands = self.front.rx(frame);

        let mut digits = dtmf::receiver::DigitEvents::new();
        self.dtmf.rx(bands, &mut digits);
        for d in digits {
            add(match d {
                dtmf::DigitEvent::Started { digit, at } => Finding::DigitStarted { digit, at },
                dtmf::DigitEvent::Ended { digit, at, duration_ms } => Finding::DigitEnded { digit, at, duration_ms },
            });
        }
        for (tracker, band) in [(&mut self.cng, front::CNG), (&mut self.answer, front::CED)] {
            for i in 0..HOPS {
                tracker.rx(bands.slow[band][i], bands.power[i], |e| {
                    add(match e {
                        ToneEvent::Started { tone, at } => Finding::ToneStarted { tone, at },
                        ToneEvent::Ended { tone, at, duration_ms } => Finding::ToneEnded { tone, at, duration_ms },
                    });
                });
            }
        }
        self.v21.rx(bands, |e| {
            add(match e {
                PreambleEvent::Started { at } => Finding::V21Preamble { at },
                PreambleEvent::Ended { at } => Finding::V21Ended { at },
            });
        });
        &self.findings
    }

    /// Something that looks like a digit sounds now, confirmed or not: true in the first frame that ends 15 ms or more after its start.
    pub fn digit_suspected(&self) -> bool {
        self.dtmf.suspect()
    }

    /// The confirmed digit that sounds now.
    pub fn digit(&self) -> Option<u8> {
        self.dtmf.digit()
    }

    /// The fax or answer tone that sounds now.
    pub fn tone(&self) -> Option<FaxTone> {
        self.cng.tone().or(self.answer.tone())
    }

    /// A V.21 carrier that began with flags is present.
    pub fn v21_present(&self) -> bool {
        self.v21.is_on()
    }

    /// Level over the last 60 ms or so.
    pub fn level_dbm0(&self) -> f32 {
        self.meter.dbm0()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::amplitude_of;
    use crate::noise::Gauss;
    use crate::tone::{AnsamGenerator, CED, CNG, Cadence, Oscillator, Section, ToneGenerator};

    /// Runs frames through a watch, with noise of the given level.
    fn listen(frames: impl Iterator<Item = Frame>, noise_dbm0: f32) -> Vec<Finding> {
        let (mut w, mut chance) = (Watch::new(), Gauss::new(21));
        let noise = crate::level::power_of(noise_dbm0).sqrt();
        let mut found = Vec::new();
        for mut f in frames {
            for s in &mut f {
                *s = (f32::from(*s) + noise * chance.sample()).clamp(-32768.0, 32767.0) as i16;
            }
            found.extend_from_slice(w.rx(&f));
        }
        found
    }

    fn play(cadence: Cadence, frames: usize) -> impl Iterator<Item = Frame> {
        let mut g = ToneGenerator::new(&cadence);
        (0..frames).map(move |_| {
            let mut f = [0; 160];
            g.tx(&mut f);
            f
        })
    }

    /// V.21 at 300 bit/s, bit by bit.
    fn v21(bits: impl Iterator<Item = bool>, mark_hz: f32, space_hz: f32, level_dbm0: f32, shift_hz: f32) -> Vec<Frame> {
        let mut phase = 0.0f64;
        let mut samples = vec![0i16; 160 * 5];
        let mut end = samples.len() as f64;
        for bit in bits {
            end += 8000.0 / 300.0;
            let hz = f64::from(shift_hz + if bit { mark_hz } else { space_hz });
            while (samples.len() as f64) < end {
                phase += core::f64::consts::TAU * hz / 8000.0;
                samples.push((f64::from(amplitude_of(level_dbm0)) * phase.sin()) as i16);
            }
        }
        samples.resize(samples.len().next_multiple_of(160) + 160 * 10, 0);
        samples.chunks_exact(160).map(|c| c.try_into().unwrap()).collect()
    }

    fn flags(n: usize) -> impl Iterator<Item = bool> {
        (0..8 * n).map(|i| (1..7).contains(&(i % 8)))
    }

    #[test]
    fn cng_and_ced_are_heard_with_their_lengths_down_to_minus_40_dbm0_and_at_10_db_snr() {
        for (level, noise) in [(-11.0, -70.0), (-40.0, -70.0), (-15.0, -25.0), (0.0, -50.0)] {
            let found = listen(play(Cadence { level_dbm0: level, ..CNG }, 400), noise);
            let cng: Vec<_> = found.iter().filter(|f| matches!(f, Finding::ToneStarted { tone: FaxTone::Cng, .. })).collect();
            assert_eq!((cng.len(), found.len()), (3, 6), "{level} {found:?}");
            for f in &found {
                if let Finding::ToneEnded { duration_ms, .. } = f {
                    assert!(duration_ms.abs_diff(500) <= 35, "{f:?}");
                }
            }
            let found = listen(play(Cadence { level_dbm0: level, ..CED }, 200), noise);
            assert!(
                matches!(found[..], [Finding::ToneStarted { tone: FaxTone::Ced, at }, Finding::ToneEnded { tone: FaxTone::Ced, duration_ms, .. }]
                    if at < 320 && duration_ms.abs_diff(3000) <= 35),
                "{level} {found:?}"
            );
        }
    }

    #[test]
    fn tones_beside_cng_and_ced_are_neither() {
        for hz in [1000.0, 1030.0, 1170.0, 1209.0, 2040.0, 2160.0, 2225.0, 1300.0] {
            let sections: &'static [Section] = Box::leak(Box::new([Section::on([hz, 0.0, 0.0, 0.0], 2000), Section::off(100)]));
            assert_eq!(listen(play(Cadence::cycle(sections, -10.0), 200), -60.0), [], "{hz}");
        }
    }

    #[test]
    fn ansam_is_told_from_ced_by_its_modulation_or_its_reversals() {
        let mut g = AnsamGenerator::new(-12.0);
        let frames = (0..200).map(|_| {
            let mut f = [0; 160];
            g.tx(&mut f);
            f
        });
        let found = listen(frames, -50.0);
        assert!(matches!(found[0], Finding::ToneStarted { tone: FaxTone::AnsAm, .. }) && found.len() == 1, "{found:?}");
        // Reversals without AM (an answering modem that disables echo cancellers): CED first, taken back at the first reversal.
        let mut carrier = Oscillator::new(2100.0);
        let frames = (0..200).map(|i| {
            core::array::from_fn(|n| {
                if (i * 160 + n) % 3600 == 3599 {
                    carrier.reverse();
                }
                (8000.0 * carrier.sample()) as i16
            })
        });
        let found = listen(frames, -50.0);
        let tones: Vec<_> =
            found.iter().filter_map(|f| if let Finding::ToneStarted { tone, .. } = f { Some(*tone) } else { None }).collect();
        assert_eq!(tones, [FaxTone::Ced, FaxTone::AnsAm], "{found:?}");
    }

    #[test]
    fn flags_on_v21_channel_2_are_seen_within_150_ms_at_any_level_offset_and_noise() {
        for (level, shift, noise) in
            [(-13.0, 0.0, -70.0), (-40.0, 0.0, -70.0), (-13.0, 12.0, -30.0), (-13.0, -12.0, -30.0), (-3.0, 0.0, -15.0)]
        {
            let frames = v21(flags(40), 1650.0, 1850.0, level, shift);
            let mut w = Watch::new();
            let mut chance = Gauss::new(2);
            let noise = crate::level::power_of(noise).sqrt();
            let (mut seen, mut ended) = (None, None);
            for (i, mut f) in frames.into_iter().enumerate() {
                for s in &mut f {
                    *s = (f32::from(*s) + noise * chance.sample()) as i16;
                }
                for x in w.rx(&f) {
                    match x {
                        Finding::V21Preamble { at } => {
                            assert!(seen.replace((i, *at)).is_none(), "one preamble, one finding");
                        }
                        Finding::V21Ended { at } => ended = Some(*at),
                        other => panic!("{other:?}"),
                    }
                }
            }
            let (frame, at) = seen.expect("flags are found");
            assert!((frame + 1) * 20 - 100 <= 160, "level {level}: seen {} ms after the first flag", (frame + 1) * 20 - 100);
            assert!(at.abs_diff(800) < 400, "{at}");
            assert!(ended.is_some_and(|e| e.abs_diff(800 + 40 * 640 / 3) < 8000 && e > 8000), "{ended:?}");
        }
    }

    #[test]
    fn v21_without_flags_channel_1_and_random_bits_are_no_preamble() {
        let mut chance = Gauss::new(5);
        let random: Vec<bool> = (0..6000).map(|_| chance.bits() & 1 == 1).collect();
        for bits in [vec![true; 1500], vec![false; 1500], (0..3000).map(|i| i % 2 == 0).collect(), random] {
            assert_eq!(listen(v21(bits.into_iter(), 1650.0, 1850.0, -13.0, 0.0).into_iter(), -60.0), []);
        }
        assert_eq!(listen(v21(flags(60), 980.0, 1180.0, -13.0, 0.0).into_iter(), -60.0), []);
    }

    #[test]
    fn noise_of_any_level_is_nothing() {
        for level in [-60.0, -40.0, -20.0, -6.0] {
            assert_eq!(listen((0..3000).map(|_| [0; 160]), level), []);
        }
    }

    #[test]
    fn random_qam_carriers_are_nothing() {
        // V.29 and V.17 at 2400 baud on 1700 and 1800 Hz, V.27ter at 1600 and 1200 baud: random phases, rectangular pulses.
        for (carrier, baud) in [(1700.0, 2400.0), (1800.0, 2400.0), (1800.0, 1600.0), (1800.0, 1200.0)] {
            let mut chance = Gauss::new(8);
            let (mut symbol, mut turn) = (0.0f64, 0.0f64);
            let frames = (0..2500).map(|i| {
                core::array::from_fn(|n| {
                    let t = (i * 160 + n) as f64;
                    symbol += baud / 8000.0;
                    if symbol >= 1.0 {
                        symbol -= 1.0;
                        turn = (chance.bits() % 8) as f64 / 8.0;
                    }
                    (6000.0 * (core::f64::consts::TAU * (carrier * t / 8000.0 + turn)).sin()) as i16
                })
            });
            assert_eq!(listen(frames, -60.0), [], "{carrier} {baud}");
        }
    }

    #[test]
    fn req_k3_a_call_of_digits_comes_out_in_order_and_once() {
        let mut g = crate::dtmf::Generator::new(crate::dtmf::Sending { on_ms: 60, off_ms: 50, ..Default::default() });
        let digits = b"0123456789*#ABCD00118822";
        for d in digits {
            g.push(*d).unwrap();
        }
        assert_eq!((g.push(b'x'), g.is_idle()), (Err(b'x'), false));
        let frames = core::iter::from_fn(|| {
            let mut f = [0; 160];
            g.tx(&mut f).then_some(f)
        });
        let found = listen(frames.chain([[0; 160]; 5]), -50.0);
        let heard: Vec<u8> =
            found.iter().filter_map(|f| if let Finding::DigitStarted { digit, .. } = f { Some(*digit) } else { None }).collect();
        assert_eq!(heard, digits);
        for f in &found {
            if let Finding::DigitEnded { duration_ms, .. } = f {
                assert!(duration_ms.abs_diff(60) <= 4, "{f:?}");
            }
        }
        assert_eq!(found.len(), 2 * digits.len());
    }

    #[test]
    fn any_samples_at_all_are_taken_without_a_panic() {
        let mut chance = Gauss::new(77);
        let mut w = Watch::new();
        for i in 0..2000u64 {
            let kind = (i / 50) % 4;
            let f: Frame = core::array::from_fn(|_| match kind {
                0 => chance.bits() as i16,
                1 => i16::MIN,
                2 => {
                    if chance.bits() & 1 == 0 {
                        i16::MIN
                    } else {
                        i16::MAX
                    }
                }
                _ => 0,
            });
            w.rx(&f);
            assert!(w.level_dbm0().is_finite());
        }
    }
}
