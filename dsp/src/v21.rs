//! The V.21 preamble: HDLC flags on V.21 channel 2, the first thing a fax machine says in bits (T.30 clause 5.3.1).
//!
//! 300 bit/s, 1 is 1650 Hz and 0 is 1850 Hz. A discriminator tells the two apart, a loop finds the middle of the bits, and the flag
//! 0x7E is looked for in the bits. No speech, tone or faster carrier spells three flags in a row at 300 bit/s with most of its power
//! in this band. A modem that speaks V.8bis does: it too sends flags on channel 2, for half a second, before its answer tone; who must
//! tell the two apart reads the frame that follows.

use crate::front::{self, Bands, FAST_HOP, FAST_HOPS, Phasor};
use crate::level::power_of;

/// What is said. Sample numbers count from the first sample.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PreambleEvent {
    /// Flags: they began at about this sample.
    Started {
        /// Sample.
        at: u64,
    },
    /// The V.21 carrier has gone.
    Ended {
        /// Sample.
        at: u64,
    },
}

/// Part of a bit that passes in one output of the band: 300 / 2000.
const BIT_PER_HOP: f32 = 300.0 * FAST_HOP as f32 / 8000.0;
/// How far a transition pulls the clock of the bits.
const PULL: f32 = 0.25;
/// Three flags in a row.
const THREE_FLAGS: u32 = 0x007E_7E7E;
/// Band power against all power, for flags to count and for the carrier to stay.
const SHARE_ON: f32 = 0.6;
/// See [`SHARE_ON`].
const SHARE_OFF: f32 = 0.4;
/// Quietest carrier.
const LEVEL_MIN_DBM0: f32 = -48.0;
/// The carrier is gone after this long without, in outputs of the band: 20 ms.
const GONE: u32 = 40;
/// Samples by which three flags lie in the past when they are seen: their 24 bits, half a bit and the filter.
const LOOK_BACK: u64 = 24 * 80 / 3 + 13 + 20;

/// The detector.
#[derive(Clone, Debug)]
pub struct PreambleDetector {
    last: Phasor,
    centre: Phasor,
    clock: f32,
    bit: bool,
    bits: u32,
    band: f32,
    all: f32,
    power_delay: [f32; 4],
    hop: u64,
    on: bool,
    missing: u32,
    level_min: f32,
}

impl Default for PreambleDetector {
    fn default() -> Self {
        PreambleDetector::new()
    }
}

impl PreambleDetector {
    /// A detector that has heard silence.
    pub fn new() -> Self {
        PreambleDetector {
            last: Phasor::default(),
            centre: Phasor::unit(-core::f32::consts::TAU * front::V21_CENTRE_HZ * FAST_HOP as f32 / 8000.0),
            clock: 0.0,
            bit: true,
            bits: 0,
            band: 0.0,
            all: 0.0,
            power_delay: [0.0; 4],
            hop: 0,
            on: false,
            missing: 0,
            level_min: power_of(LEVEL_MIN_DBM0),
        }
    }

    /// V.21 carrier present since flags were seen?
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// Takes the bands of a frame.
    pub fn rx(&mut self, bands: &Bands, mut tell: impl FnMut(PreambleEvent)) {
        for i in 0..FAST_HOPS {
            let y = bands.fast[i];
            self.measure(y.energy() / 2.0, bands.power[i * FAST_HOP / front::HOP]);
            let turn = Phasor::from_to(self.last, y).times(self.centre);
            self.last = y;
            self.hop += 1;
            let flags = self.bit_clock(turn.im < 0.0);
            let now = self.hop * FAST_HOP as u64;
            let strong = self.band > self.level_min && self.band > SHARE_ON * self.all;
            if flags && strong && !self.on {
                (self.on, self.missing) = (true, 0);
                tell(PreambleEvent::Started { at: now.saturating_sub(LOOK_BACK) });
            }
            let there = self.band > 0.5 * self.level_min && self.band > SHARE_OFF * self.all;
            self.missing = if there { 0 } else { self.missing + 1 };
            if self.on && self.missing >= GONE {
                self.on = false;
                tell(PreambleEvent::Ended { at: now.saturating_sub(u64::from(GONE) * FAST_HOP as u64) });
            }
        }
    }

    /// Power in the band and of everything over some 8 ms, both equally late.
    fn measure(&mut self, band: f32, all: f32) {
        let slot = self.hop as usize % self.power_delay.len();
        let delayed = core::mem::replace(&mut self.power_delay[slot], all);
        self.band += (band - self.band) / 16.0;
        self.all += (delayed - self.all) / 16.0;
    }

    /// One output of the discriminator; true when the bit just read completes three flags.
    fn bit_clock(&mut self, mark: bool) -> bool {
        let before = self.clock;
        self.clock += BIT_PER_HOP;
        if mark != self.bit {
            // A transition is where the clock should read 0 (or 1).
            self.bit = mark;
            let error = if self.clock > 0.5 { self.clock - 1.0 } else { self.clock };
            self.clock -= PULL * error;
        }
        let middle = before < 0.5 && self.clock >= 0.5;
        if self.clock >= 1.0 {
            self.clock -= 1.0;
        }
        if middle {
            self.bits = (self.bits << 1) | u32::from(mark);
        }
        middle && self.bits & 0x00FF_FFFF == THREE_FLAGS
    }
}
