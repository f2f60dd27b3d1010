//! `tipring decode`: says what happened on a recorded telephone line. This is the ear and the judgement; files are opened by `shell`.
//!
//! ```text
//! samples -> line (digits, tones, V.21, caller ID, fast carriers; one for each channel) -> session (T.30 of both sides) -> Report
//! ```
//! Everything is streamed: memory does not grow with the recording, only with what was found on it, and that is bounded.

pub mod input;
pub mod report;

use crate::fax::t38::ifp::Packet;
pub use report::{Direction, Report};

/// What is known of a recording before it is heard.
#[derive(Clone, Debug)]
pub struct Options {
    /// 1: both sides mixed (or one side only). 2: channel 0 is the caller, channel 1 the answerer.
    pub channels: usize,
    /// For a single channel: who is heard on it, if that is known (a stream of a capture).
    pub direction: Direction,
    /// Least memory for nothing: no image is kept, pages are only counted.
    pub keep_images: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { channels: 1, direction: Direction::Unknown, keep_images: true }
    }
}

/// Listens to a recording.
pub struct Decoder {
    report: Report,
}

impl Decoder {
    /// A listener that has heard nothing.
    pub fn new(_options: Options) -> Decoder {
        Decoder { report: Report::default() }
    }
    /// Hears samples (8000 a second, linear) of channel 0 or 1, as many as there are; the channels need not go in step, but a second's
    /// worth of each by turns keeps what happened on both in order.
    pub fn feed(&mut self, _channel: usize, _samples: &[i16]) {}
    /// A T.38 packet at `t` seconds, after UDPTL has put the order right. For recordings without audio, or beside it.
    pub fn t38(&mut self, _t: f64, _direction: Direction, _packet: &Packet) {}
    /// UDPTL could not recover packets of this side just before `t`.
    pub fn t38_missing(&mut self, _t: f64, _direction: Direction) {}
    /// An RFC 4733 event or a digit of SIP INFO, once for each key press.
    pub fn telephone_event(&mut self, _t: f64, _direction: Direction, _digit: char, _ms: u32) {}
    /// Something the reader of the file wants said.
    pub fn warn(&mut self, text: String) {
        self.report.warnings.push(text);
    }
    /// The recording is over.
    pub fn finish(self) -> Report {
        self.report
    }
}
