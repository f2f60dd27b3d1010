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
    /// A digit is confirmed (some 35 to 55 ms after it began).
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
    /// A fax or answer tone is confirmed (some 0.23 s after it began).
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

    /// Something that looks like a digit sounds now, confirmed or not: true within 13 to 20 ms of its start (and the frame's end).
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
