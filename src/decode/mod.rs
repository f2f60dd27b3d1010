//! `tipring decode`: says what happened on a recorded telephone line. This is the ear and the judgement; files are opened by `shell`.
//!
//! ```text
//! samples -> line (digits, tones, V.21, caller ID; one for each channel) -> session (T.30 of both sides) -> verdict -> Report
//!         -> fast (image carriers, as the session expects them)          -> pages
//! T.38    -> t38 (frames, carriers, bytes)                               -> session
//! ```
//! Everything is streamed: memory does not grow with the recording, only with what was found on it, and that is bounded.

mod fast;
pub mod fuzz;
pub mod input;
mod line;
mod network;
mod pages;
pub mod report;
mod rows;
mod session;
mod t38;
#[cfg(test)]
mod tests;
mod verdict;

use crate::fax::t38::ifp::Packet;
use fast::FastEar;
use line::{Heard, Line};
use network::{Network, Sound};
pub use report::{Direction, Report};
use session::{FrameHeard, Session};
use tipring_dsp::hum::HumFilter;
use tipring_dsp::{FRAME_SAMPLES, Frame};

/// Bounds of what is kept of a recording.
pub mod limits {
    /// Digits, tones, frames, trainings, each: a day of faxes makes some 20,000 frames.
    pub const EVENTS_MAX: usize = 50_000;
    /// Warnings.
    pub const WARNINGS_MAX: usize = 500;
    /// Pages: 500 at 0.5 MB.
    pub const PAGES_MAX: usize = 500;
    /// Stretches of talk, and phases.
    pub const TALKS_MAX: usize = 20_000;
    /// Values of the level plot of a channel; beyond that each covers twice the time.
    pub const LEVELS_MAX: usize = 2400;
    /// How far one channel of two may run ahead, samples: a minute.
    pub const AHEAD_MAX: usize = 480_000;
}

/// What is known of a recording before it is heard.
#[derive(Clone, Debug)]
pub struct Options {
    /// 1: both sides mixed (or one side only). 2: channel 0 is the caller, channel 1 the answerer.
    pub channels: usize,
    /// For a single channel: who is heard on it, if that is known (a stream of a capture).
    pub direction: Direction,
}

impl Default for Options {
    fn default() -> Self {
        Options { channels: 1, direction: Direction::Unknown }
    }
}

/// One channel and what of it has not made a frame yet.
struct Channel {
    line: Line,
    hum: HumFilter,
    network: Network,
    sounds: Vec<Sound>,
    waiting: std::collections::VecDeque<i16>,
    direction: Direction,
    levels: Levels,
}

/// Level over time, ever more coarsely.
struct Levels {
    values: Vec<f32>,
    frames_each: u32,
    sum: f64,
    frames: u32,
}

impl Levels {
    fn push(&mut self, mean_square: f32) {
        self.sum += f64::from(mean_square);
        self.frames += 1;
        if self.frames == self.frames_each {
            self.values.push((self.sum / f64::from(self.frames)) as f32);
            (self.sum, self.frames) = (0.0, 0);
            if self.values.len() == limits::LEVELS_MAX {
                self.values = self.values.chunks(2).map(|c| c.iter().sum::<f32>() / c.len() as f32).collect();
                self.frames_each *= 2;
            }
        }
    }
}

/// Listens to a recording.
pub struct Decoder {
    channels: Vec<Channel>,
    session: Session,
    fast: Option<FastEar>,
    t38: [t38::Ear; 2],
    report: Report,
    heard: Vec<Heard>,
    /// Samples of every channel that were heard.
    samples: u64,
    /// Latest time of anything, s.
    latest: f64,
    lagging: bool,
    /// An answer tone was heard.
    answered: bool,
}

impl Decoder {
    /// A listener that has heard nothing.
    pub fn new(options: Options) -> Decoder {
        let channel = |direction| Channel {
            line: Line::new(),
            hum: HumFilter::new(),
            network: Network::new(),
            sounds: Vec::new(),
            waiting: std::collections::VecDeque::new(),
            direction,
            levels: Levels { values: Vec::new(), frames_each: 1, sum: 0.0, frames: 0 },
        };
        let channels = match options.channels {
            2 => vec![channel(Direction::Caller), channel(Direction::Answerer)],
            _ => vec![channel(options.direction)],
        };
        let mut report = Report::default();
        let fast = image_modems();
        if fast.is_none() {
            report.warn("this build has no receivers of image modems: pages of audio recordings are not read".into());
        }
        Decoder {
            channels,
            session: Session::new(),
            fast,
            t38: Default::default(),
            report,
            heard: Vec::new(),
            samples: 0,
            latest: 0.0,
            lagging: false,
            answered: false,
        }
    }
    /// Hears samples (8000 a second, linear) of channel 0 or 1, as many as there are. What happens on two channels is brought together,
    /// so feed them by turns: a channel that falls behind by more than [`limits::AHEAD_MAX`] is taken to be silent there.
    pub fn feed(&mut self, channel: usize, samples: &[i16]) {
        let Some(c) = self.channels.get_mut(channel) else { return };
        c.waiting.extend(samples);
        loop {
            let least = self.channels.iter().map(|c| c.waiting.len()).min().unwrap_or(0);
            let most = self.channels.iter().map(|c| c.waiting.len()).max().unwrap_or(0);
            let lagging = most > limits::AHEAD_MAX;
            if least < FRAME_SAMPLES && !lagging {
                return;
            }
            if lagging && !self.lagging {
                self.lagging = true;
                let t = self.samples as f64 / 8000.0;
                self.report.warn(format!("one channel has nothing from {t:.1} s on while the other goes on"));
            }
            self.frame();
        }
    }
    /// Hears 20 ms of every channel; what has not come is silence.
    fn frame(&mut self) {
        let start = self.samples;
        self.samples += FRAME_SAMPLES as u64;
        self.latest = self.latest.max(self.samples as f64 / 8000.0);
        for n in 0..self.channels.len() {
            let c = &mut self.channels[n];
            let frame: Frame = core::array::from_fn(|_| c.waiting.pop_front().unwrap_or(0));
            let power = tipring_dsp::level::mean_square(&frame);
            c.levels.push(power);
            // Hum that is louder than the fax must not hide it from the modems.
            let clean = c.hum.rx(&frame);
            if let Some(fast) = &mut self.fast {
                fast.level(n, &frame, &clean);
            }
            // Once fax machines speak, the exchange has done its part and what roars is a page.
            if !self.session.spoken && c.sounds.len() < limits::EVENTS_MAX {
                c.network.rx(&frame, self.answered, &mut c.sounds);
            }
            c.line.rx(&frame, &clean, &mut self.heard);
            let v21 = c.line.v21_present();
            self.tell(n);
            if let Some(fast) = &mut self.fast {
                fast.rx(n, (&frame, &clean), start, v21, &mut self.session, &mut self.report);
            }
        }
    }
    /// Puts what channel `n` heard into the report and to the session.
    fn tell(&mut self, n: usize) {
        let direction = self.channels[n].direction;
        for heard in self.heard.drain(..) {
            match heard {
                Heard::Digit { digit, at, ms } => {
                    let t = at as f64 / 8000.0;
                    add_digit(&mut self.report, report::Digit { t, digit: char::from(digit), ms, direction });
                }
                Heard::Tone { kind, at, ms } => {
                    let t = at as f64 / 8000.0;
                    if matches!(kind, report::ToneKind::Cng | report::ToneKind::Ced | report::ToneKind::Ansam) {
                        self.session.establishing(t);
                    }
                    self.answered |= matches!(kind, report::ToneKind::Ced | report::ToneKind::Ansam);
                    self.report.add_tone(report::Tone { t, kind, ms, direction, text: String::new() });
                }
                Heard::CallerId(m) => self.report.add_caller_id(m.as_ref().into()),
                Heard::Carrier(on, _) => {
                    if !on && let Some(fast) = &mut self.fast {
                        fast.v21_gone(n, &self.session);
                    }
                }
                Heard::Frame { at, end, octets, fcs_ok, dbm0 } => {
                    let (t, end) = (at as f64 / 8000.0, end as f64 / 8000.0);
                    let heard = FrameHeard { t, end, channel: n, direction, octets: &octets, fcs_ok, dbm0 };
                    let listen = self.session.frame(&heard, &mut self.report);
                    if let Some(fast) = &mut self.fast {
                        fast.obey(listen, &self.session);
                    }
                }
            }
        }
    }
    /// A T.38 packet at `t` seconds, after UDPTL has put the order right. For recordings without audio, or beside it.
    pub fn t38(&mut self, t: f64, direction: Direction, packet: &Packet) {
        self.latest = self.latest.max(t);
        let ear = &mut self.t38[usize::from(direction == Direction::Answerer)];
        ear.packet(t, direction, packet, &mut self.session, &mut self.report);
    }
    /// UDPTL could not recover packets of this side just before `t`.
    pub fn t38_missing(&mut self, t: f64, direction: Direction) {
        self.latest = self.latest.max(t);
        self.t38[usize::from(direction == Direction::Answerer)].missing();
    }
    /// An RFC 4733 event or a digit of SIP INFO, once for each key press.
    pub fn telephone_event(&mut self, t: f64, direction: Direction, digit: char, ms: u32) {
        self.latest = self.latest.max(t);
        add_digit(&mut self.report, report::Digit { t, digit, ms, direction });
    }
    /// Something the reader of the file wants said.
    pub fn warn(&mut self, text: String) {
        self.report.warn(text);
    }
    /// The recording is over.
    pub fn finish(mut self) -> Report {
        let rest = self.channels.iter().map(|c| c.waiting.len()).max().unwrap_or(0);
        let seconds = ((self.samples as f64 + rest as f64) / 8000.0).max(self.latest);
        while self.channels.iter().any(|c| !c.waiting.is_empty()) {
            self.frame();
        }
        // Frames and carriers that the end cuts off are heard to their end.
        for _ in 0..5 {
            self.frame();
        }
        for n in 0..self.channels.len() {
            self.channels[n].line.finish(&mut self.heard);
            self.tell(n);
        }
        for (ear, direction) in self.t38.iter_mut().zip([Direction::Caller, Direction::Answerer]) {
            ear.finish(self.latest, direction, &mut self.session, &mut self.report);
        }
        let mut report = self.report;
        for c in &mut self.channels {
            c.network.finish(&mut c.sounds);
            for s in network::merge(core::mem::take(&mut c.sounds)) {
                let ms = (s.seconds * 1000.0) as u32;
                report.add_tone(report::Tone { t: s.t, kind: s.kind, ms, direction: c.direction, text: s.text.into() });
            }
        }
        if self.session.spoken {
            flags_are_no_modem(&mut report);
        } else {
            flags_without_frames(&mut report);
        }
        report.seconds = seconds;
        let record = self.session.finish(seconds, &mut report);
        report.tones.sort_by(|a, b| a.t.total_cmp(&b.t));
        report.digits.sort_by(|a, b| a.t.total_cmp(&b.t));
        report.caller_id.sort_by(|a, b| a.t.total_cmp(&b.t));
        report.training.sort_by(|a, b| a.t.total_cmp(&b.t));
        report.t30.sort_by(|a, b| a.t.total_cmp(&b.t));
        report.level_step = self.channels.iter().map(|c| f64::from(c.levels.frames_each) * 0.02).next().unwrap_or(0.02);
        for (list, c) in report.levels.iter_mut().zip(self.channels) {
            *list = c.levels.values.iter().map(|p| tipring_dsp::level::dbm0_of(*p)).collect();
        }
        verdict::judge(&mut report, record);
        report
    }
}

/// No frame of T.30 was read. Flags of V.8bis look like those of T.30: before the answer tone, with a modem's roar after it, they are
/// V.8bis; after the answer tone a fax machine speaks, and what roars is a page.
fn flags_without_frames(report: &mut Report) {
    use report::ToneKind::{Ansam, Ced, Modem, V21};
    let answer = report.tones.iter().filter(|t| matches!(t.kind, Ced | Ansam)).map(|t| t.t).fold(f64::INFINITY, f64::min);
    if report.tones.iter().any(|t| t.kind == V21 && t.t > answer) {
        report.tones.retain(|t| t.kind != Modem || t.text != network::ROAR);
    } else if report.tones.iter().any(|t| t.kind == Modem) {
        for t in report.tones.iter_mut().filter(|t| t.kind == V21) {
            (t.kind, t.text) = (Modem, "V.8bis".into());
        }
    }
}

/// T.30 was spoken: a long preamble is as steady as a data modem, and is none.
fn flags_are_no_modem(report: &mut Report) {
    use report::ToneKind::{Modem, V21};
    let span = |t: &report::Tone| (t.t, t.t + f64::from(t.ms) / 1000.0);
    let flags: Vec<(f64, f64)> = report.tones.iter().filter(|t| t.kind == V21).map(span).collect();
    report.tones.retain(|t| {
        let (from, to) = span(t);
        t.kind != Modem || t.text != network::ROAR || !flags.iter().any(|f| f.0 < to && from < f.1)
    });
}

/// A digit that is heard on both channels, or in-band and as an event, is one key press.
fn add_digit(report: &mut Report, digit: report::Digit) {
    let again = |d: &report::Digit| d.digit == digit.digit && d.direction != digit.direction && (d.t - digit.t).abs() < 0.06;
    if !report.digits.iter().rev().take(8).any(again) {
        report.add_digit(digit);
    }
}

#[cfg(feature = "spandsp")]
fn image_modems() -> Option<FastEar> {
    use tipring_dsp::modem_receiver::ModemReceiver;
    let modem = || tipring_dsp::spandsp::modems::FaxModems::new().ok().map(|m| Box::new(m) as Box<dyn ModemReceiver>);
    FastEar::new(modem)
}
#[cfg(not(feature = "spandsp"))]
fn image_modems() -> Option<FastEar> {
    None
}
