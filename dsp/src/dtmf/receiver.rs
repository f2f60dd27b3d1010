//! The DTMF receiver: ITU-T Q.24 and better.
//!
//! The front end splits the two groups, so each group carries one tone if a key is pressed. Every millisecond a window of 36 ms is
//! asked: is each group one tone of constant frequency and amplitude (purity), are the frequencies those of a key, do the levels fit
//! (level, twist), and do the two tones make up the signal (share)? Speech fails by purity or share, since its harmonics are many and
//! never still for 36 ms. Dial tone is out of both groups; its power is taken out of the share while it is steady.
//!
//! A digit is on from the half-amplitude point of its rise to that of its fall; breaks below [`BREAK_HOPS`] are bridged.

use crate::dtmf::{COLUMNS_HZ, KEYS, ROWS_HZ};
use crate::front::{self, Bands, DELAY, DELAY_HOPS, HOP, HOPS, Phasor};
use crate::level::power_of;

/// Length of the deciding window, hops (ms). A tone must be on for about 31 ms to fill it, ramps and all.
const WINDOW: usize = 36;
/// Length of the window for early suspicion.
const GLIMPSE: usize = 8;
/// Ends of the window that must carry their share of the energy: this is what refuses tones that are too short.
const EDGE: usize = 5;
/// Energy at an edge against the mean of the window, at the least.
const EDGE_SHARE: f32 = 0.36;
/// Frequency deviation accepted: half-way between the 1.8 % that must pass and the 3.0 % that must not.
const DEVIATION: f32 = 0.024;
/// Coherent energy of a group's tone against all energy of the group. White noise 8 dB under the digit gives 0.94.
const PURITY: f32 = 0.90;
/// Purity that is enough where both frequencies are within [`CLOSE`]: real keypads are, chance seldom is, and a digit under speech
/// needs the room.
const PURITY_CLOSE: f32 = 0.75;
/// Frequency deviation of a keypad in good order.
const CLOSE: f32 = 0.006;
/// How constant the rotation of a group must be over the window to be looked at more closely, and over the glimpse to be suspect.
const CONSTANCY: f32 = 0.65;
/// See [`CONSTANCY`].
const GLIMPSE_CONSTANCY: f32 = 0.95;
/// Frequency deviation of a suspect, and what its tones' groups must have of all power. With these speech is suspect about 75 times
/// an hour; with 0.8, 3.3 % and a half it was 4400 times.
const GLIMPSE_DEVIATION: f32 = 0.026;
/// See [`GLIMPSE_DEVIATION`].
const GLIMPSE_SHARE: f32 = 0.7;
/// Power of the two tones against the power of everything (steady dial tone apart).
const SHARE: f32 = 0.6;
/// The share that is enough for tones as pure as [`PURITY_PERFECT`] and within [`CLOSE`]: under a dial tone that is not steady.
const SHARE_PERFECT: f32 = 0.35;
/// See [`SHARE_PERFECT`].
const PURITY_PERFECT: f32 = 0.96;
/// High tone against low tone, power ratio: -11.5 dB and +7.5 dB, so that -10 and +6 always pass.
const TWIST: core::ops::RangeInclusive<f32> = 0.0708..=5.62;
/// Quietest tone, dBm0.
const LEVEL_MIN_DBM0: f32 = -47.0;
/// Steady means: the dial band's power over four blocks of [`DIAL_BLOCK`] stays within this ratio.
const STEADY: f32 = 1.7;
/// Hops over which a dial tone is measured: the beat of tones 25 Hz apart (Australia, Germany) averages out.
const DIAL_BLOCK: u64 = 40;
/// Coherent average that follows a digit once it is on.
const FOLLOW: usize = 8;
/// A break this long (ms) ends the digit. Q.24 wants 10 ms bridged and 40 ms seen; 20 ms is seen here.
const BREAK_HOPS: u32 = 12;
/// Another key's tone this strong against the digit's own (power), all through the window, makes it no key of any telephone: two people
/// press at once, or two channels were added to one.
const RIVAL: f32 = 0.5;
/// How long a rival is borne, ms. Speech over a held key comes near a nominal frequency now and then, but does not stay.
const RIVAL_HOPS: u32 = 80;
/// Early suspicion is held for this long after its last sign, ms.
const HOLD_HOPS: u32 = 12;

const RING: usize = 128;

/// What the receiver says. Sample numbers count from the first sample it was given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DigitEvent {
    /// A digit is confirmed.
    Started {
        /// ASCII key.
        digit: u8,
        /// Sample at which the tone began.
        at: u64,
    },
    /// The digit is over.
    Ended {
        /// ASCII key.
        digit: u8,
        /// Sample at which the tone ended.
        at: u64,
        /// Length of the tone.
        duration_ms: u32,
    },
}

/// Events that one frame can bring: two digits would need 40 ms each.
pub const EVENTS_MAX: usize = 4;
/// The events of a frame.
pub type DigitEvents = heapless::Vec<DigitEvent, EVENTS_MAX>;

/// One group of tones: its last 128 ms and the sums over the two windows.
#[derive(Clone, Debug)]
struct Group {
    centre_hz: f32,
    /// Conjugate of the centre's rotation over one hop.
    centre_back: Phasor,
    nominal_hz: &'static [f32; 4],
    /// Band samples.
    y: [Phasor; RING],
    /// Sums of energy and of the rotation from hop to hop, over window and glimpse. In f64 they can run for years without drift.
    energy: f64,
    rotation: (f64, f64),
    glimpse_energy: f64,
    glimpse_rotation: (f64, f64),
}

/// A tone found in a group's window.
#[derive(Clone, Copy, Debug)]
struct Tone {
    index: usize,
    hz: f32,
    /// Relative deviation from the nominal frequency.
    deviation: f32,
    /// Coherent share of the group's energy, 0 to 1.
    purity: f32,
    /// Squared amplitude.
    energy: f32,
}

impl Group {
    fn new(centre_hz: f32, nominal_hz: &'static [f32; 4]) -> Self {
        Group {
            centre_hz,
            centre_back: Phasor::unit(-front::turn_per_hop(centre_hz)),
            nominal_hz,
            y: [Phasor::default(); RING],
            energy: 0.0,
            rotation: (0.0, 0.0),
            glimpse_energy: 0.0,
            glimpse_rotation: (0.0, 0.0),
        }
    }

    fn at(&self, hop: u64) -> Phasor {
        self.y[hop as usize % RING]
    }

    fn rotation_at(&self, hop: u64) -> Phasor {
        Phasor::from_to(self.at(hop.wrapping_sub(1)), self.at(hop))
    }

    fn push(&mut self, hop: u64, y: Phasor) {
        // Leave before overwriting: the ring is longer than the window and one, so all of these are still there.
        for (length, energy, rotation) in
            [(WINDOW, &mut self.energy, &mut self.rotation), (GLIMPSE, &mut self.glimpse_energy, &mut self.glimpse_rotation)]
        {
            let gone = hop.wrapping_sub(length as u64);
            let (a, b) = (self.y[gone.wrapping_sub(1) as usize % RING], self.y[gone as usize % RING]);
            let r = Phasor::from_to(a, b);
            *energy -= f64::from(b.energy());
            rotation.0 -= f64::from(r.re);
            rotation.1 -= f64::from(r.im);
        }
        self.y[hop as usize % RING] = y;
        let (e, r) = (f64::from(y.energy()), self.rotation_at(hop));
        for (energy, rotation) in [(&mut self.energy, &mut self.rotation), (&mut self.glimpse_energy, &mut self.glimpse_rotation)] {
            *energy += e;
            rotation.0 += f64::from(r.re);
            rotation.1 += f64::from(r.im);
        }
    }

    /// Frequency by the mean rotation, if that rotation is constant at least to `constancy` (0 to 1).
    fn frequency(&self, rotation: (f64, f64), energy: f64, constancy: f32) -> Option<f32> {
        let r = Phasor { re: rotation.0 as f32, im: rotation.1 as f32 };
        let least = constancy * (energy as f32).max(1.0);
        if r.energy() < least * least {
            return None;
        }
        // The rotation of the band's centre is taken off, so what is left is unambiguous within 500 Hz of it.
        let off = r.times(self.centre_back).angle();
        Some(self.centre_hz + off * (1000.0 / core::f32::consts::TAU))
    }

    /// The nominal tone next to `hz`, and the relative deviation from it.
    fn nearest(&self, hz: f32) -> (usize, f32) {
        let mut best = (0, f32::MAX);
        for (i, nominal) in self.nominal_hz.iter().enumerate() {
            let d = (hz - nominal).abs() / nominal;
            if d < best.1 {
                best = (i, d);
            }
        }
        best
    }

    fn glimpse(&self) -> Option<usize> {
        let hz = self.frequency(self.glimpse_rotation, self.glimpse_energy, GLIMPSE_CONSTANCY)?;
        let (index, deviation) = self.nearest(hz);
        (deviation < GLIMPSE_DEVIATION).then_some(index)
    }

    /// One pure tone at a nominal frequency all through the window that ends at `hop`?
    fn tone(&self, hop: u64) -> Option<Tone> {
        let coarse_hz = self.frequency(self.rotation, self.energy, CONSTANCY)?;
        // Noise pulls this coarse figure towards the band's centre by some Hz: only what is surely none is refused here.
        if self.nearest(coarse_hz).1 > 2.0 * DEVIATION {
            return None;
        }
        let first = hop + 1 - WINDOW as u64;
        let energies = |from: u64, n: usize| -> f32 { (0..n as u64).map(|i| self.at(from + i).energy()).sum::<f32>() / n as f32 };
        let mean = self.energy as f32 / WINDOW as f32;
        if energies(first, EDGE).min(energies(hop + 1 - EDGE as u64, EDGE)) < EDGE_SHARE * mean {
            return None;
        }
        // Derotate by the coarse frequency; the four quarters then tell what is left of it.
        let back = Phasor::unit(-front::turn_per_hop(coarse_hz));
        let mut turn = Phasor { re: 1.0, im: 0.0 };
        let mut quarters = [Phasor::default(); 4];
        for i in 0..WINDOW {
            let q = &mut quarters[i / (WINDOW / 4)];
            *q = q.plus(self.at(first + i as u64).times(turn));
            turn = turn.times(back);
        }
        let left = Phasor::from_to(quarters[0].plus(quarters[1]), quarters[2].plus(quarters[3])).angle() / (WINDOW / 2) as f32;
        let hz = coarse_hz + left * (1000.0 / core::f32::consts::TAU);
        let (index, deviation) = self.nearest(hz);
        let mut sum = Phasor::default();
        for (q, quarter) in quarters.iter().enumerate() {
            sum = sum.plus(quarter.times(Phasor::unit(-left * (q * WINDOW / 4) as f32)));
        }
        let energy = sum.energy() / (WINDOW * WINDOW) as f32;
        let purity = energy / mean;
        (deviation < DEVIATION && purity > PURITY_CLOSE).then_some(Tone { index, hz, deviation, purity, energy })
    }

    /// Energy of the coherent average of the last [`FOLLOW`] hops at the frequency that turns by `back` (conjugate).
    fn follow(&self, hop: u64, back: Phasor) -> f32 {
        self.coherent(hop, back, FOLLOW)
    }

    fn coherent(&self, hop: u64, back: Phasor, length: usize) -> f32 {
        let (mut sum, mut turn) = (Phasor::default(), Phasor { re: 1.0, im: 0.0 });
        for i in 0..length as u64 {
            sum = sum.plus(self.at(hop + 1 - length as u64 + i).times(turn));
            turn = turn.times(back);
        }
        sum.energy() / (length * length) as f32
    }

    /// A tone of another key, nearly as strong as this one.
    fn has_rival(&self, hop: u64, own: &Tone) -> bool {
        let others = self.nominal_hz.iter().enumerate().filter(|(i, _)| *i != own.index);
        others.map(|(_, hz)| self.coherent(hop, Phasor::unit(-front::turn_per_hop(*hz)), WINDOW)).any(|e| e > RIVAL * own.energy)
    }
}

/// A confirmed digit while it lasts.
#[derive(Clone, Copy, Debug)]
struct On {
    low: Tone,
    high: Tone,
    back: (Phasor, Phasor),
    since: u64,
    /// Sample of the last sign of it.
    last: u64,
    absent_hops: u32,
    rival_hops: u32,
}

impl On {
    fn digit(&self) -> u8 {
        KEYS[self.low.index * 4 + self.high.index]
    }
}

/// The receiver. Feed it the front end's bands; time is the count of samples fed.
#[derive(Clone, Debug)]
pub struct Receiver {
    low: Group,
    high: Group,
    /// Power of everything, by hop.
    power: [f32; RING],
    power_sum: f64,
    glimpse_power: f64,
    dial_power: f32,
    dial_blocks: [f32; 4],
    /// Power of a dial tone, if there is a steady one.
    dial_tone: f32,
    hop: u64,
    on: Option<On>,
    suspicion_hops: u32,
    level_min: f32,
}

impl Default for Receiver {
    fn default() -> Self {
        Receiver::new()
    }
}

impl Receiver {
    /// A receiver that has heard silence.
    pub fn new() -> Self {
        Receiver {
            low: Group::new(front::LOW_CENTRE_HZ, &ROWS_HZ),
            high: Group::new(front::HIGH_CENTRE_HZ, &COLUMNS_HZ),
            power: [0.0; RING],
            power_sum: 0.0,
            glimpse_power: 0.0,
            dial_power: 0.0,
            dial_blocks: [0.0; 4],
            dial_tone: 0.0,
            // The hops before the first are silence that is there already: no edge cases at the start.
            hop: RING as u64,
            on: None,
            suspicion_hops: 0,
            // Energies are squared amplitudes, twice the power.
            level_min: 2.0 * power_of(LEVEL_MIN_DBM0),
        }
    }

    /// Something that looks like a digit sounds now: true 15 ms after its start, long before it is confirmed; true while it
    /// lasts, and for a few milliseconds after. Speech sets it off now and then; that is what confirming is for.
    pub fn suspect(&self) -> bool {
        self.suspicion_hops > 0 || self.on.is_some()
    }

    /// The confirmed digit that sounds now.
    pub fn digit(&self) -> Option<u8> {
        self.on.map(|on| on.digit())
    }

    /// Takes the bands of a frame.
    pub fn rx(&mut self, bands: &Bands, events: &mut DigitEvents) {
        for i in 0..HOPS {
            self.low.push(self.hop, bands.slow[front::LOW][i]);
            self.high.push(self.hop, bands.slow[front::HIGH][i]);
            self.push_power(bands.power[i], bands.slow[front::DIAL][i].energy() / 2.0);
            self.glimpse();
            self.decide(events);
            self.hop += 1;
        }
    }

    /// Sample in the middle of what the bands say at `hop`.
    fn sample_of(&self, hop: u64) -> u64 {
        ((hop + 1 - RING as u64) * HOP as u64).saturating_sub(DELAY as u64)
    }

    fn push_power(&mut self, power: f32, dial: f32) {
        let back = |n: usize| (self.hop - n as u64) as usize % RING;
        // The whole signal waits for the bands' delay.
        let newest = f64::from(self.power[back(DELAY_HOPS)]);
        self.power_sum += newest - f64::from(self.power[back(DELAY_HOPS + WINDOW)]);
        self.glimpse_power += newest - f64::from(self.power[back(DELAY_HOPS + GLIMPSE)]);
        self.power[back(0)] = power;
        self.dial_power += dial / DIAL_BLOCK as f32;
        if self.hop % DIAL_BLOCK == DIAL_BLOCK - 1 {
            self.dial_blocks.rotate_right(1);
            self.dial_blocks[0] = self.dial_power;
            self.dial_power = 0.0;
            self.dial_tone = self.steady_dial_power();
        }
    }

    fn steady_dial_power(&self) -> f32 {
        let (mut least, mut most) = (f32::MAX, 0.0f32);
        for b in self.dial_blocks {
            least = least.min(b);
            most = most.max(b);
        }
        // The dial filter is some 0.6 dB down at the ends of its band.
        if most < STEADY * least { 1.15 * self.dial_blocks.iter().sum::<f32>() / 4.0 } else { 0.0 }
    }

    fn glimpse(&mut self) {
        self.suspicion_hops = self.suspicion_hops.saturating_sub(1);
        let (low, high) = (self.low.glimpse_energy as f32, self.high.glimpse_energy as f32);
        let floor = self.level_min * GLIMPSE as f32 / 2.0;
        if low < floor || high < floor || high < 0.04 * low || high > 8.0 * low {
            return;
        }
        let all = self.glimpse_power as f32 - self.dial_tone * GLIMPSE as f32;
        if (low + high) / 2.0 > GLIMPSE_SHARE * all && self.low.glimpse().is_some() && self.high.glimpse().is_some() {
            self.suspicion_hops = HOLD_HOPS;
        }
    }

    /// Both tones of a digit all through the window that ends now?
    fn confirm(&self) -> Option<(Tone, Tone)> {
        let floor = f64::from(self.level_min) * WINDOW as f64;
        let all = self.power_sum as f32 / WINDOW as f32 - self.dial_tone;
        let groups = (self.low.energy + self.high.energy) as f32 / (2 * WINDOW) as f32;
        if self.low.energy < floor || self.high.energy < floor || groups < SHARE_PERFECT * all {
            return None;
        }
        let low = self.low.tone(self.hop)?;
        let high = self.high.tone(self.hop)?;
        let tones = (low.energy + high.energy) / 2.0;
        let purity = low.purity.min(high.purity);
        let close = low.deviation.max(high.deviation) < CLOSE;
        let pure = purity > if close { PURITY_CLOSE } else { PURITY };
        let share = if close && purity > PURITY_PERFECT { SHARE_PERFECT } else { SHARE };
        let fits =
            pure && tones > share * all && low.energy.min(high.energy) > self.level_min && TWIST.contains(&(high.energy / low.energy));
        fits.then_some((low, high))
    }

    fn decide(&mut self, events: &mut DigitEvents) {
        let Some(mut on) = self.on else {
            if let Some((low, high)) = self.confirm() {
                self.start(low, high, 0, events);
            }
            return;
        };
        let heard =
            self.low.follow(self.hop, on.back.0) > 0.25 * on.low.energy && self.high.follow(self.hop, on.back.1) > 0.25 * on.high.energy;
        if heard {
            on.absent_hops = 0;
            // A rival takes its window to come and go: every fourth millisecond is often enough to look.
            if self.hop.is_multiple_of(4) {
                let rival = self.low.has_rival(self.hop, &on.low) || self.high.has_rival(self.hop, &on.high);
                on.rival_hops = if rival { on.rival_hops + 4 } else { 0 };
            }
            if on.rival_hops >= RIVAL_HOPS {
                return self.end(on, events);
            }
            if on.rival_hops > 0 {
                self.on = Some(on);
                return;
            }
            on.last = self.sample_of(self.hop).saturating_sub((FOLLOW - 1) as u64 * HOP as u64 / 2);
            self.on = Some(on);
            return;
        }
        on.absent_hops += 1;
        self.on = Some(on);
        match self.confirm() {
            // The same digit goes on, at another level.
            Some((low, high)) if low.index == on.low.index && high.index == on.high.index => {
                self.on = Some(On { low, high, absent_hops: 0, ..on });
            }
            Some((low, high)) => {
                self.end(on, events);
                self.start(low, high, on.last, events);
            }
            None if on.absent_hops > BREAK_HOPS => self.end(on, events),
            None => {}
        }
    }

    fn start(&mut self, low: Tone, high: Tone, not_before: u64, events: &mut DigitEvents) {
        let sounds = |hop: u64| self.low.at(hop).energy() > 0.25 * low.energy && self.high.at(hop).energy() > 0.25 * high.energy;
        let mut first = self.hop + 1 - WINDOW as u64;
        let oldest = self.hop + 2 - RING as u64;
        while first < self.hop && !sounds(first) {
            first += 1;
        }
        while first > oldest && sounds(first - 1) {
            first -= 1;
        }
        let since = self.sample_of(first).max(not_before);
        let back = (Phasor::unit(-front::turn_per_hop(low.hz)), Phasor::unit(-front::turn_per_hop(high.hz)));
        let on = On { low, high, back, since, last: since, absent_hops: 0, rival_hops: 0 };
        self.on = Some(on);
        // A full list cannot be: two starts in one frame are 28 ms of tone apart.
        let _ = events.push(DigitEvent::Started { digit: on.digit(), at: since });
    }

    fn end(&mut self, on: On, events: &mut DigitEvents) {
        self.on = None;
        let duration_ms = (on.last.saturating_sub(on.since) / 8) as u32;
        let _ = events.push(DigitEvent::Ended { digit: on.digit(), at: on.last, duration_ms });
    }
}

#[cfg(test)]
mod tests;
