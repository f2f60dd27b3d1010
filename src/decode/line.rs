//! One channel of a recording: digits, tones and V.21 frames as they come.

use super::report::ToneKind;
use tipring_dsp::callerid;
use tipring_dsp::fax_tone::FaxTone;
use tipring_dsp::fsk::{self, BitClock, Demodulator};
use tipring_dsp::hdlc;
use tipring_dsp::level::dbm0_of;
use tipring_dsp::watch::{Finding, Watch};
use tipring_dsp::{FRAME_SAMPLES, Frame};

/// Something heard on a channel. Samples count from the first one.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// A digit, when it is over.
    Digit {
        /// ASCII key.
        digit: u8,
        /// First sample.
        at: u64,
        /// Length, ms.
        ms: u32,
    },
    /// A tone, when it is over.
    Tone {
        /// Which.
        kind: ToneKind,
        /// First sample.
        at: u64,
        /// Length, ms.
        ms: u32,
    },
    /// A caller-ID message.
    CallerId(Box<callerid::Message>),
    /// A V.21 carrier begins (true) or ends.
    Carrier(bool, u64),
    /// An HDLC frame on V.21 channel 2.
    Frame {
        /// First sample, about.
        at: u64,
        /// Last sample.
        end: u64,
        /// Its octets, without FCS.
        octets: Vec<u8>,
        /// The check sequence is right.
        fcs_ok: bool,
        /// Level of the carrier.
        dbm0: f32,
    },
}

/// Samples of a bit at 300 bit/s.
const BIT: f64 = 8000.0 / 300.0;
/// Mean share of power at V.21's frequencies for a carrier to be there, and for it to be gone.
const SHARE_ON: f32 = 0.5;
/// See [`SHARE_ON`].
const SHARE_OFF: f32 = 0.35;
/// Quietest V.21 carrier, mean square: -58 dBm0.
const POWER_MIN: f32 = 410.0;
/// How fast the means of share and power follow, per 8 samples: 15 ms and 60 ms.
const SHARE_GAIN: f32 = 8.0 / 120.0;
/// See [`SHARE_GAIN`].
const POWER_GAIN: f32 = 8.0 / 480.0;

/// V.21 channel 2: carrier, bits, frames.
struct V21 {
    demodulator: Demodulator,
    clock: BitClock,
    hdlc: hdlc::Receiver,
    share: f32,
    power: f32,
    on: bool,
}

impl V21 {
    fn new() -> Self {
        V21 {
            demodulator: Demodulator::new(fsk::V21_CHANNEL_2),
            clock: BitClock::new(fsk::V21_CHANNEL_2.baud),
            hdlc: hdlc::Receiver::new(),
            share: 0.0,
            power: 0.0,
            on: false,
        }
    }
    fn rx(&mut self, frame: &Frame, start: u64, out: &mut Vec<Heard>) {
        for (i, sample) in frame.iter().enumerate() {
            let soft = self.demodulator.rx(*sample);
            let now = start + i as u64;
            if i % 8 == 0 {
                self.share += (self.demodulator.share() - self.share) * SHARE_GAIN;
                self.power += (self.demodulator.power() - self.power) * POWER_GAIN;
                let on = self.power > POWER_MIN && self.share > if self.on { SHARE_OFF } else { SHARE_ON };
                if on != self.on {
                    self.on = on;
                    out.push(Heard::Carrier(on, now));
                }
            }
            let Some(bit) = self.clock.rx(soft) else { continue };
            if let Some(hdlc::Event::Frame { octets, fcs_ok }) = self.hdlc.rx(bit) {
                // Without a carrier, noise makes frames; with a good FCS it does once in a week.
                let plausible = self.on && octets.first() == Some(&0xFF) && octets.len() >= 3;
                if plausible && (fcs_ok || octets.len() > 3) {
                    let bits = (octets.len() + 2) as f64 * 8.0;
                    let at = now.saturating_sub((bits * BIT) as u64);
                    out.push(Heard::Frame { at, end: now, octets: octets.to_vec(), fcs_ok, dbm0: dbm0_of(self.power) });
                }
            }
        }
    }
}

/// One channel.
pub struct Line {
    watch: Watch,
    v21: V21,
    callerid: callerid::Receiver,
    samples: u64,
    tone: Option<(FaxTone, u64)>,
    flags: Option<u64>,
}

impl Line {
    /// A channel on which nothing was heard.
    pub fn new() -> Self {
        Line { watch: Watch::new(), v21: V21::new(), callerid: callerid::Receiver::new(), samples: 0, tone: None, flags: None }
    }
    /// A V.21 carrier is present.
    pub fn v21_present(&self) -> bool {
        self.v21.on
    }
    /// Takes 20 ms, as they are and without their hum; adds what was heard.
    pub fn rx(&mut self, frame: &Frame, clean: &Frame, out: &mut Vec<Heard>) {
        let mut ended = None;
        let findings = self.watch.rx(frame);
        for (i, finding) in findings.iter().enumerate() {
            match *finding {
                Finding::DigitEnded { digit, at, duration_ms } => {
                    out.push(Heard::Digit { digit, at: at.saturating_sub(u64::from(duration_ms) * 8), ms: duration_ms });
                }
                Finding::DigitStarted { .. } => {}
                Finding::ToneStarted { tone, at } => {
                    // A CED that proved to be an ANSam is one tone, with the start of the CED.
                    let at = match self.tone {
                        Some((FaxTone::Ced, start)) if tone == FaxTone::AnsAm => start,
                        _ => at,
                    };
                    self.tone = Some((tone, at));
                }
                Finding::ToneEnded { tone, at, .. } => {
                    let becomes_ansam = tone == FaxTone::Ced
                        && findings[i + 1..].iter().any(|f| matches!(f, Finding::ToneStarted { tone: FaxTone::AnsAm, .. }));
                    if !becomes_ansam && let Some((tone, start)) = self.tone.take() {
                        let kind = match tone {
                            FaxTone::Cng => ToneKind::Cng,
                            FaxTone::Ced => ToneKind::Ced,
                            FaxTone::AnsAm => ToneKind::Ansam,
                        };
                        out.push(Heard::Tone { kind, at: start, ms: (at.saturating_sub(start) / 8) as u32 });
                    }
                }
                Finding::V21Preamble { at } => self.flags = Some(at),
                Finding::V21Ended { at } => ended = Some(at),
            }
        }
        if let Some(at) = ended {
            self.flags_end(at, out);
        }
        self.v21.rx(clean, self.samples, out);
        self.callerid.rx(frame, |m| out.push(Heard::CallerId(Box::new(m))));
        self.samples += FRAME_SAMPLES as u64;
    }
    /// The recording is over: what still sounds ends.
    pub fn finish(&mut self, out: &mut Vec<Heard>) {
        // A digit or tone that is cut off by the end is heard to its end.
        for _ in 0..20 {
            self.rx(&tipring_dsp::SILENCE, &tipring_dsp::SILENCE, out);
        }
        self.flags_end(self.samples, out);
    }
    fn flags_end(&mut self, end: u64, out: &mut Vec<Heard>) {
        if let Some(at) = self.flags.take() {
            out.push(Heard::Tone { kind: ToneKind::V21, at, ms: (end.saturating_sub(at) / 8) as u32 });
        }
    }
}
