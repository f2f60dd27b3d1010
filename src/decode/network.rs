//! What the exchange and modems do beside fax: call-progress tones of several countries, V.8, and the roar of a data modem.

use super::report::ToneKind;
use tipring_dsp::level::{dbm0_of, mean_square};
use tipring_dsp::progress::{ProgressDetector, ProgressEvent, ProgressTone};
use tipring_dsp::tone_plan::TonePlan;
use tipring_dsp::v8::{self, CallFunction, Menu};
use tipring_dsp::{FRAME_SAMPLES, Frame};

/// Countries whose tones are listened for. Between them they have the pairs of North America and of Britain, 425 Hz of most of Europe,
/// 400 Hz of Japan and 440 Hz of France, so that another country's tone is at least heard as one of the same sound.
const COUNTRIES: [&str; 5] = ["us", "gb", "de", "jp", "fr"];
/// Level that begins a sound, and that ends it, dBm0.
const SOUND_DBM0: f32 = -44.0;
/// See [`SOUND_DBM0`].
const QUIET_DBM0: f32 = -50.0;
/// Sounds whose beginnings are remembered.
const ONSETS: usize = 4;
/// A signal as steady as this for as long as this, after an answer tone and without T.30, is a modem: dB and frames.
const STEADY_DB: f32 = 3.5;
/// See [`STEADY_DB`]: 2 s.
const STEADY_FRAMES: u32 = 100;

/// Words for a modem that is known only by its steadiness.
pub const ROAR: &str = "a steady carrier that is not T.30";

/// Something found. Seconds from the start.
#[derive(Clone, Debug, PartialEq)]
pub struct Sound {
    /// Which.
    pub kind: ToneKind,
    /// Start, s.
    pub t: f64,
    /// Length, s.
    pub seconds: f64,
    /// In words.
    pub text: &'static str,
}

/// Ears of one channel.
pub struct Network {
    progress: Vec<(ProgressDetector, Option<(ToneKind, f64)>)>,
    v8: v8::Receiver,
    onsets: [f64; ONSETS],
    sounding: bool,
    mean_dbm0: f32,
    steady: u32,
    roar: Option<f64>,
    frames: u64,
}

impl Network {
    /// Ears that have heard nothing.
    pub fn new() -> Self {
        Network {
            progress: COUNTRIES.iter().filter_map(|c| TonePlan::of(c)).map(|p| (ProgressDetector::new(p), None)).collect(),
            v8: v8::Receiver::new(),
            onsets: [0.0; ONSETS],
            sounding: false,
            mean_dbm0: -96.0,
            steady: 0,
            roar: None,
            frames: 0,
        }
    }
    /// Takes 20 ms. `answered`: an answer tone was heard and no T.30 since, so that a modem may follow.
    pub fn rx(&mut self, frame: &Frame, answered: bool, out: &mut Vec<Sound>) {
        let now = (self.frames * FRAME_SAMPLES as u64) as f64 / 8000.0;
        self.frames += 1;
        let level = dbm0_of(mean_square(frame));
        if level > SOUND_DBM0 && !self.sounding {
            self.sounding = true;
            self.onsets.rotate_right(1);
            self.onsets[0] = now;
        } else if level < QUIET_DBM0 {
            self.sounding = false;
        }
        let onsets = self.onsets;
        for (detector, tone) in &mut self.progress {
            match detector.rx(frame) {
                Some(ProgressEvent::Started { tone: heard, .. }) => {
                    let (kind, onset) = match heard {
                        ProgressTone::Dial => (ToneKind::Dial, onsets[0]),
                        ProgressTone::Ringback => (ToneKind::Ringback, onsets[1]),
                        ProgressTone::Busy => (ToneKind::Busy, onsets[1]),
                        ProgressTone::Reorder => (ToneKind::Reorder, onsets[1]),
                    };
                    *tone = Some((kind, onset));
                }
                Some(ProgressEvent::Ended { .. }) => tell(tone.take(), now, out),
                None => {}
            }
        }
        self.v8.rx(frame, |menu| out.push(of_menu(menu)));
        self.roars(level, answered, now, out);
    }
    fn roars(&mut self, level: f32, answered: bool, now: f64, out: &mut Vec<Sound>) {
        let alike = level > SOUND_DBM0 && (level - self.mean_dbm0).abs() < STEADY_DB;
        self.mean_dbm0 += (level - self.mean_dbm0) * 0.2;
        if alike && answered {
            self.steady += 1;
            if self.steady == STEADY_FRAMES {
                self.roar = Some(now - f64::from(STEADY_FRAMES) * 0.02);
            }
        } else {
            self.steady = 0;
            if let Some(t) = self.roar.take() {
                out.push(Sound { kind: ToneKind::Modem, t, seconds: now - t, text: ROAR });
            }
        }
    }
    /// The recording is over.
    pub fn finish(&mut self, out: &mut Vec<Sound>) {
        let now = (self.frames * FRAME_SAMPLES as u64) as f64 / 8000.0;
        for (_, tone) in &mut self.progress {
            tell(tone.take(), now, out);
        }
        self.roars(-96.0, false, now, out);
    }
}

fn tell(tone: Option<(ToneKind, f64)>, now: f64, out: &mut Vec<Sound>) {
    if let Some((kind, t)) = tone {
        out.push(Sound { kind, t, seconds: now - t, text: "" });
    }
}

fn of_menu(menu: Menu) -> Sound {
    let text = match (menu.function, menu.joint) {
        (CallFunction::Data, false) => "V.8 CM: data",
        (CallFunction::Data, true) => "V.8 JM: data",
        (CallFunction::FaxFromCaller | CallFunction::FaxToCaller, false) => "V.8 CM: fax with V.34",
        (CallFunction::FaxFromCaller | CallFunction::FaxToCaller, true) => "V.8 JM: fax with V.34",
        (CallFunction::TextTelephone, _) => "V.8: text telephone",
        (CallFunction::Other, _) => "V.8: another kind of call",
    };
    let seconds = 0.3;
    Sound { kind: ToneKind::Modem, t: menu.at as f64 / 8000.0 - seconds, seconds, text }
}

/// Of tones of the same stretch, as several countries' ears have them, the longest; modem signals all.
pub fn merge(mut sounds: Vec<Sound>) -> Vec<Sound> {
    sounds.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    let mut kept: Vec<Sound> = Vec::new();
    for s in sounds {
        let overlaps = |k: &Sound| k.kind != ToneKind::Modem && s.t < k.t + k.seconds && k.t < s.t + s.seconds;
        if s.kind == ToneKind::Modem || !kept.iter().any(overlaps) {
            kept.push(s);
        }
    }
    kept
}
