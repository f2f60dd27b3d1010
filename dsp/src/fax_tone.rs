//! Hearing the tones of fax machines and modems: CNG (1100 Hz), and CED and ANSam (2100 Hz) told apart.
//!
//! Read T.30 clause 4 for CNG and CED (2100 Hz +-15), V.8 clause 3.2 and V.25 for the answer tones. Both 2100 Hz tones are the same until their
//! modulation shows: the 15 Hz envelope within 0.2 s, the phase reversals after 0.45 s. So the tone is reported after about 0.23 s
//! as what it looks like, and a CED that turns its phase later is taken back and reported as ANSam.

use crate::front::{self, DELAY, DELAY_HOPS, HOP, Phasor};
use crate::level::power_of;

/// A tone of T.30 or V.8.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaxTone {
    /// Calling tone of a fax machine, 1100 Hz.
    Cng,
    /// Called tone, 2100 Hz, plain.
    Ced,
    /// Answer tone of a V.8 modem: 2100 Hz with 15 Hz AM or phase reversals.
    AnsAm,
}

/// What a tracker says. Sample numbers count from the first sample.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ToneEvent {
    /// The tone is confirmed; it began at sample `at`.
    Started {
        /// Which.
        tone: FaxTone,
        /// First sample.
        at: u64,
    },
    /// The tone is over, or turned out to be another one.
    Ended {
        /// Which.
        tone: FaxTone,
        /// Last sample.
        at: u64,
        /// Its length.
        duration_ms: u32,
    },
}

/// Hops in a block: the step of all decisions.
const BLOCK: usize = 16;
/// Blocks of pure tone before it is believed: 0.24 s. CNG lasts at least 0.425 s; no voice holds a tone that long.
const BELIEVE: u32 = 15;
/// Blocks without it before it is over. ANSam's reversals spoil one or two.
const GONE: u32 = 3;
/// Blocks over which the 15 Hz envelope is measured: three of its cycles.
const ENVELOPE: usize = 13;
/// Depth of AM that makes an ANSam; V.8 says 0.2.
const AM_DEPTH: f32 = 0.1;
/// Tone power against all power.
const SHARE: f32 = 0.6;
/// How constant the rotation is within a block.
const CONSTANCY: f32 = 0.9;
/// Quietest tone.
const LEVEL_MIN_DBM0: f32 = -46.0;
/// A turn of phase over three blocks that is a reversal, radians.
const REVERSED: f32 = 2.3;
/// Blocks between two reversals at the least: 0.35 s of the 0.45.
const REVERSAL_GAP: u32 = 22;

/// Follows one frequency.
#[derive(Clone, Debug)]
pub struct Tracker {
    tolerance_hz: f32,
    answer_tone: bool,
    // The block at hand.
    last: Phasor,
    rotation: Phasor,
    energy: f32,
    power: f32,
    sum: Phasor,
    turn: Phasor,
    back: Phasor,
    power_delay: [f32; DELAY_HOPS],
    hop: u64,
    // The blocks before it.
    amplitudes: [f32; ENVELOPE],
    phases: [f32; 4],
    drift: f32,
    good: u32,
    bad: u32,
    blocks: u32,
    since_reversal: u32,
    start: u64,
    end: u64,
    told: Option<FaxTone>,
    /// Modulation was seen in the block before.
    modulated: bool,
    level_min: f32,
}

impl Tracker {
    /// A tracker of CNG.
    pub fn cng() -> Self {
        Tracker::new(front::CNG_HZ, 42.0, false)
    }

    /// A tracker of CED and ANSam.
    pub fn answer() -> Self {
        Tracker::new(front::CED_HZ, 26.0, true)
    }

    fn new(hz: f32, tolerance_hz: f32, answer_tone: bool) -> Self {
        Tracker {
            tolerance_hz,
            answer_tone,
            last: Phasor::default(),
            rotation: Phasor::default(),
            energy: 0.0,
            power: 0.0,
            sum: Phasor::default(),
            turn: Phasor { re: 1.0, im: 0.0 },
            back: Phasor::unit(-front::turn_per_hop(hz)),
            power_delay: [0.0; DELAY_HOPS],
            hop: 0,
            amplitudes: [0.0; ENVELOPE],
            phases: [0.0; 4],
            drift: 0.0,
            good: 0,
            bad: 0,
            blocks: 0,
            since_reversal: 0,
            start: 0,
            end: 0,
            told: None,
            modulated: false,
            level_min: 2.0 * power_of(LEVEL_MIN_DBM0),
        }
    }

    /// The tone that sounds now.
    pub fn tone(&self) -> Option<FaxTone> {
        self.told
    }

    /// Takes one hop of the band and the (undelayed) power of everything; calls `tell` with what it has to say.
    pub fn rx(&mut self, y: Phasor, power: f32, mut tell: impl FnMut(ToneEvent)) {
        let slot = self.hop as usize % DELAY_HOPS;
        self.power += self.power_delay[slot];
        self.power_delay[slot] = power;
        self.rotation = self.rotation.plus(Phasor::from_to(self.last, y));
        self.last = y;
        self.energy += y.energy();
        self.sum = self.sum.plus(y.times(self.turn));
        self.turn = self.turn.times(self.back);
        self.hop += 1;
        if self.hop.is_multiple_of(BLOCK as u64) {
            self.block(&mut tell);
            (self.rotation, self.sum, self.energy, self.power) = (Phasor::default(), Phasor::default(), 0.0, 0.0);
            // The turn is only as long as one product a hop keeps it: put it back on the unit circle.
            let n = 1.0 / self.turn.energy().sqrt();
            self.turn = Phasor { re: self.turn.re * n, im: self.turn.im * n };
        }
    }

    fn block(&mut self, tell: &mut impl FnMut(ToneEvent)) {
        let pure = self.is_pure();
        let end_of_block = (self.hop * HOP as u64).saturating_sub(DELAY as u64);
        self.amplitudes.rotate_right(1);
        self.amplitudes[0] = self.sum.energy().sqrt();
        let reversed = (pure || self.good > 0) && self.follow_phase(self.sum.angle(), pure);
        if pure {
            if self.good == 0 {
                self.start = end_of_block.saturating_sub((BLOCK * HOP) as u64);
                (self.blocks, self.since_reversal) = (0, 0);
            }
            self.good += 1;
            self.bad = 0;
            self.end = end_of_block;
        } else {
            self.bad += 1;
            // Before it is believed one bad block is one too many, except in a tone that turns its phase.
            let patience = if self.told.is_some() || self.answer_tone { GONE } else { 1 };
            if self.bad >= patience && self.good > 0 {
                self.finish(tell);
            }
        }
        self.blocks += 1;
        self.judge(reversed, tell);
    }

    fn is_pure(&self) -> bool {
        let off = || self.rotation.times(self.back).angle();
        self.energy > self.level_min * BLOCK as f32
            && self.energy / 2.0 > SHARE * self.power
            && self.rotation.energy() > (CONSTANCY * self.energy) * (CONSTANCY * self.energy)
            && off().abs() * (1000.0 / core::f32::consts::TAU) < self.tolerance_hz
    }

    /// Learns how the phase drifts from block to block; true where it has turned by half a turn.
    fn follow_phase(&mut self, phase: f32, pure: bool) -> bool {
        let wrap = |a: f32| a - core::f32::consts::TAU * (a / core::f32::consts::TAU).round();
        let step = wrap(phase - self.phases[0]);
        let over_three = wrap(phase - self.phases[2] - 3.0 * self.drift);
        self.phases.rotate_right(1);
        self.phases[0] = phase;
        self.since_reversal = self.since_reversal.saturating_add(1);
        if self.good < 2 {
            self.drift = step;
            return false;
        }
        if wrap(step - self.drift).abs() < 0.5 {
            self.drift = wrap(self.drift + 0.25 * wrap(step - self.drift));
        }
        let reversed = self.good > 6 && pure && over_three.abs() > REVERSED && self.since_reversal > 3;
        let real = reversed && (self.since_reversal > REVERSAL_GAP || self.good > REVERSAL_GAP);
        if reversed {
            self.since_reversal = 0;
        }
        real
    }

    fn judge(&mut self, reversed: bool, tell: &mut impl FnMut(ToneEvent)) {
        // The block in which a tone ends looks modulated, so modulation counts once another block of the tone has followed.
        let seen = self.answer_tone && self.good + 1 >= BELIEVE && (reversed || (self.bad == 0 && self.am_depth() > AM_DEPTH));
        let modulated = core::mem::replace(&mut self.modulated, seen) && self.bad == 0;
        if self.good < BELIEVE {
            return;
        }
        match (self.told, modulated) {
            (None, _) => {
                let tone = match (self.answer_tone, modulated) {
                    (false, _) => FaxTone::Cng,
                    (true, false) => FaxTone::Ced,
                    (true, true) => FaxTone::AnsAm,
                };
                self.told = Some(tone);
                tell(ToneEvent::Started { tone, at: self.start });
            }
            (Some(FaxTone::Ced), true) => {
                tell(ToneEvent::Ended { tone: FaxTone::Ced, at: self.end, duration_ms: self.duration_ms() });
                self.told = Some(FaxTone::AnsAm);
                tell(ToneEvent::Started { tone: FaxTone::AnsAm, at: self.start });
            }
            (Some(_), _) => {}
        }
    }

    fn finish(&mut self, tell: &mut impl FnMut(ToneEvent)) {
        if let Some(tone) = self.told.take() {
            tell(ToneEvent::Ended { tone, at: self.end, duration_ms: self.duration_ms() });
        }
        self.good = 0;
    }

    fn duration_ms(&self) -> u32 {
        (self.end.saturating_sub(self.start) / 8) as u32
    }

    /// Depth of the amplitude modulation at 15 Hz over the last blocks.
    fn am_depth(&self) -> f32 {
        let mean = self.amplitudes.iter().sum::<f32>() / ENVELOPE as f32;
        let step = Phasor::unit(core::f32::consts::TAU * 15.0 * BLOCK as f32 / 1000.0);
        let (mut turn, mut sum) = (Phasor { re: 1.0, im: 0.0 }, Phasor::default());
        for a in self.amplitudes {
            sum = sum.plus(Phasor { re: turn.re * (a - mean), im: turn.im * (a - mean) });
            turn = turn.times(step);
        }
        2.0 * sum.energy().sqrt() / (ENVELOPE as f32 * mean.max(1.0))
    }
}
