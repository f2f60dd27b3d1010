//! The ear for image carriers: drives receivers with what the session expects, and hands the session what they hear.
//!
//! Several receivers listen to the same carrier, each a little faster or slower than the recording, since the timing loop of one alone
//! gives up where the clocks of sender and recorder differ by more than 100 ppm; the best page wins, and ECM takes every good frame of
//! any. The level is brought to where the receivers are at home before they hear it.

use super::pages::EARS;
use super::report::Report;
use super::session::{Listen, Session};
use crate::fax::t30::frame::Rate;
use tipring_dsp::Frame;
use tipring_dsp::level::{dbm0_of, mean_square};
use tipring_dsp::modem_receiver::{Modem, ModemReceiver, Output};
use tipring_dsp::resample::Resampler;

/// Samples given to a receiver between two looks at what it says: 5 ms.
const STEP: usize = 40;
/// What the resampler makes of [`STEP`] samples, with room.
const STEP_MAX: usize = STEP + 8;
/// How much slower each ear's clock is made, ppm. The first hears the recording as it is.
const PPM: [f64; EARS] = [0.0, -110.0, 110.0, -260.0, 260.0];
/// The frame that announced a carrier is brought to this level, dBm0.
const LEVEL_DBM0: f32 = -13.0;
/// A carrier is looked for down to this much below the frame that announced it, dB.
const BELOW_DCS_DB: f32 = 16.0;
/// And no less than this above the noise that is heard between the turns, or the detector never sees a carrier begin, dB.
const ABOVE_NOISE_DB: f32 = 6.0;
/// But always this much below the frame that announced it: noise that near to the signal leaves nothing to read, dB.
const BELOW_DCS_LEAST_DB: f32 = 6.0;
/// Frames of 20 ms in which the noise is looked for: 5 s, so that there is the gap between two turns in it.
const NOISE_FRAMES: usize = 256;
/// Hum is taken off a carrier if it is no more than this below the frame that announced the carrier, dB: the receivers do not mind less, and
/// the filter draws out what a slip of the line's clock does to them.
const HUM_BELOW_DCS_DB: f32 = 3.0;
/// Most gain, dB: below that G.711 leaves nothing of a signal.
const GAIN_MAX_DB: f32 = 40.0;
/// Power that lasted this long and was neither V.21 nor a training that could be followed is told, s.
const UNTRAINED_S: f64 = 0.6;

/// One receiver and what it is at.
struct Ear {
    modem: Box<dyn ModemReceiver>,
    clock: Option<Resampler>,
    up: Option<f64>,
    /// V.21 was heard since the carrier came up.
    v21_seen: bool,
    failed: bool,
}

/// All receivers.
pub struct FastEar {
    ears: Vec<Ear>,
    waiting: Option<(Rate, bool)>,
    channel: usize,
    gain: f32,
    /// Levels of the last frames of each channel, dBm0.
    levels: [Recent; 2],
    /// Levels of their hum.
    hum: [Recent; 2],
    /// The carrier is heard without its hum.
    filtered: bool,
}

/// The last [`NOISE_FRAMES`] levels.
#[derive(Clone)]
struct Recent {
    dbm0: [f32; NOISE_FRAMES],
    at: usize,
}

impl Recent {
    const NEW: Recent = Recent { dbm0: [0.0; NOISE_FRAMES], at: 0 };
    fn push(&mut self, dbm0: f32) {
        self.dbm0[self.at] = dbm0;
        self.at = (self.at + 1) % NOISE_FRAMES;
    }
    /// The quietest: what the line sounds like when nobody speaks on it.
    fn noise_dbm0(&self) -> f32 {
        self.dbm0.iter().copied().fold(0.0, f32::min)
    }
}

/// Where a carrier begins, dBm0, after a frame of `dcs` on a line whose noise is `noise`.
fn cutoff(dcs: f32, noise: f32) -> f32 {
    (noise + ABOVE_NOISE_DB).min(dcs - BELOW_DCS_LEAST_DB).max(dcs - BELOW_DCS_DB)
}

impl FastEar {
    #[cfg_attr(not(feature = "spandsp"), expect(dead_code, reason = "no image modem is built in without the feature"))]
    /// Receivers that wait for nothing, made by `modem`; `None` if it makes none.
    pub fn new(modem: impl Fn() -> Option<Box<dyn ModemReceiver>>) -> Option<Self> {
        let ear = |ppm: f64| {
            let clock = (ppm != 0.0).then(|| Resampler::new(ppm));
            Some(Ear { modem: modem()?, clock, up: None, v21_seen: false, failed: false })
        };
        let ears: Option<Vec<Ear>> = PPM.into_iter().map(ear).collect();
        Some(FastEar {
            ears: ears?,
            waiting: None,
            channel: 0,
            gain: 1.0,
            levels: [Recent::NEW; 2],
            hum: [Recent::NEW; 2],
            filtered: false,
        })
    }
    /// Takes the level of the next 20 ms of a channel (as they are, and without their hum), as the receivers' detectors have it: of the
    /// differences between samples, in which what is left of mains hum counts for nothing (and 1700 Hz for 2 dB more than its level).
    pub fn level(&mut self, channel: usize, frame: &Frame, clean: &Frame) {
        let (Some(levels), Some(hum)) = (self.levels.get_mut(channel), self.hum.get_mut(channel)) else { return };
        let differences: Frame = core::array::from_fn(|i| clean[i].saturating_sub(clean[i.saturating_sub(1)]));
        levels.push(dbm0_of(mean_square(&differences)) - 2.0);
        hum.push(dbm0_of(mean_square(frame) - mean_square(clean)));
    }
    /// Does as the session says.
    pub fn obey(&mut self, listen: Listen, session: &Session) {
        match listen {
            Listen::Same => {}
            _ if session.in_carrier() => {}
            Listen::Nothing => self.waiting = None,
            Listen::For { channel, rate, short, dbm0 } => {
                self.channel = channel;
                let gain_db = (LEVEL_DBM0 - dbm0).clamp(-10.0, GAIN_MAX_DB);
                self.gain = 10f32.powf(gain_db / 20.0);
                let noise = self.levels.get(channel).map_or(f32::NEG_INFINITY, Recent::noise_dbm0);
                self.filtered = self.hum.get(channel).is_some_and(|hum| hum.noise_dbm0() > dbm0 - HUM_BELOW_DCS_DB);
                for ear in &mut self.ears {
                    ear.modem.set_cutoff_dbm0(cutoff(dbm0, noise) + gain_db);
                }
                self.restart(rate, short);
            }
        }
    }
    fn restart(&mut self, rate: Rate, short: bool) {
        let modem = match rate {
            Rate::V27At2400 | Rate::V27At4800 => Modem::V27ter,
            Rate::V29At7200 | Rate::V29At9600 => Modem::V29,
            Rate::V17At7200 | Rate::V17At9600 | Rate::V17At12000 | Rate::V17At14400 => Modem::V17,
        };
        self.waiting = Some((rate, short));
        for ear in &mut self.ears {
            ear.modem.restart(modem, rate.bps(), short);
            (ear.up, ear.v21_seen, ear.failed) = (None, false, false);
        }
    }
    /// A V.21 carrier has gone on this channel: what comes now may be the training.
    pub fn v21_gone(&mut self, channel: usize, session: &Session) {
        if let Some((rate, short)) = self.waiting
            && channel == self.channel
            && !session.in_carrier()
        {
            self.restart(rate, short);
        }
    }
    /// Hears 20 ms of a channel, as they are and without their hum, that begin at sample `start`.
    pub fn rx(
        &mut self,
        channel: usize,
        (frame, clean): (&Frame, &Frame),
        start: u64,
        v21: bool,
        session: &mut Session,
        report: &mut Report,
    ) {
        if channel != self.channel || self.waiting.is_none() {
            return;
        }
        let gain = self.gain;
        let louder = if self.filtered { clean } else { frame }.map(|s| (f32::from(s) * gain) as i16);
        let mut next = Listen::Same;
        for (number, ear) in self.ears.iter_mut().enumerate() {
            ear.v21_seen |= v21;
            for (i, samples) in louder.chunks(STEP).enumerate() {
                let now = (start as f64 + (i * STEP) as f64) / 8000.0;
                let mut buffer = [0i16; STEP_MAX];
                let samples = match &mut ear.clock {
                    None => samples,
                    Some(clock) => {
                        // The buffer has room for all that so few samples become.
                        let (_, made) = clock.process(samples, &mut buffer);
                        &buffer[..made]
                    }
                };
                let (up, failed, v21_seen) = (&mut ear.up, &mut ear.failed, &mut ear.v21_seen);
                ear.modem.rx(samples, &mut |said| match said {
                    Output::Bit(bit) => session.bit(number, bit),
                    Output::CarrierUp => (*up, *failed, *v21_seen) = (Some(now), false, v21),
                    Output::Trained => session.carrier(number, up.unwrap_or(now)),
                    Output::TrainingFailed => *failed = true,
                    Output::CarrierDown => {
                        let began = up.take();
                        if session.in_carrier() {
                            match session.ear_lost(number, now, report) {
                                Listen::Same => {}
                                listen => next = listen,
                            }
                        } else if number == 0
                            && let Some(t) = began
                            && *failed
                            && !*v21_seen
                            && now - t > UNTRAINED_S
                        {
                            session.not_trained(t, now, report);
                        }
                    }
                });
            }
        }
        self.obey(next, session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_carrier_begins_above_the_noise_and_below_the_frame_that_announced_it() {
        // A clean line, then noise 14 dB and 3 dB under the frame.
        for (noise, want) in [(-96.0, -52.0), (-50.0, -44.0), (-39.0, -42.0)] {
            assert_eq!(cutoff(-36.0, noise), want, "{noise}");
        }
    }
}
