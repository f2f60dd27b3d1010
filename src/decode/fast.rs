//! The ear for image carriers: drives a [`ModemReceiver`] with what the session expects, and hands the session what it hears.

use super::report::Report;
use super::session::{Listen, Session};
use crate::fax::t30::frame::Rate;
use tipring_dsp::modem_receiver::{Modem, ModemReceiver, Output};
use tipring_dsp::Frame;

/// Samples given to the modem between two looks at what it says: 5 ms.
const STEP: usize = 40;
/// A carrier is looked for down to this much below the frame that announced it, dB.
const BELOW_DCS_DB: f32 = 16.0;
/// The cutoff stays within these, dBm0.
const CUTOFF_MIN_DBM0: f32 = -45.5;
/// See [`CUTOFF_MIN_DBM0`].
const CUTOFF_MAX_DBM0: f32 = -20.0;
/// Power that lasted this long and was neither V.21 nor a training that could be followed is told, s.
const UNTRAINED_S: f64 = 0.6;

/// The ear.
pub struct FastEar {
    modem: Box<dyn ModemReceiver>,
    waiting: Option<(Rate, bool)>,
    channel: usize,
    up: Option<f64>,
    /// V.21 was heard since the carrier came up.
    v21_seen: bool,
    failed: bool,
}

impl FastEar {
    /// An ear that waits for nothing.
    pub fn new(modem: Box<dyn ModemReceiver>) -> Self {
        FastEar { modem, waiting: None, channel: 0, up: None, v21_seen: false, failed: false }
    }
    /// Does as the session says.
    pub fn obey(&mut self, listen: Listen, session: &Session) {
        match listen {
            Listen::Same => {}
            _ if session.in_carrier() => {}
            Listen::Nothing => self.waiting = None,
            Listen::For { channel, rate, short, dbm0 } => {
                self.channel = channel;
                self.modem.set_cutoff_dbm0((dbm0 - BELOW_DCS_DB).clamp(CUTOFF_MIN_DBM0, CUTOFF_MAX_DBM0));
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
        self.waiting = self.modem.restart(modem, rate.bps(), short).then_some((rate, short));
        (self.up, self.v21_seen, self.failed) = (None, false, false);
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
    /// Hears 20 ms of a channel that begin at sample `start`.
    pub fn rx(&mut self, channel: usize, frame: &Frame, start: u64, v21: bool, session: &mut Session, report: &mut Report) {
        if channel != self.channel || self.waiting.is_none() {
            return;
        }
        self.v21_seen |= v21;
        let mut next = Listen::Same;
        for (i, samples) in frame.chunks(STEP).enumerate() {
            let now = (start as f64 + (i * STEP) as f64) / 8000.0;
            let (up, failed, v21_seen) = (&mut self.up, &mut self.failed, &mut self.v21_seen);
            self.modem.rx(samples, &mut |said| match said {
                Output::Bit(bit) => session.bit(bit),
                Output::CarrierUp => (*up, *failed, *v21_seen) = (Some(now), false, v21),
                Output::Trained => session.carrier(up.unwrap_or(now)),
                Output::TrainingFailed => *failed = true,
                Output::CarrierDown => {
                    let began = up.take();
                    if session.in_carrier() {
                        next = session.carrier_gone(now, report);
                    } else if let Some(t) = began
                        && *failed
                        && !*v21_seen
                        && now - t > UNTRAINED_S
                    {
                        session.not_trained(t, now, report);
                    }
                }
            });
        }
        self.obey(next, session);
    }
}
