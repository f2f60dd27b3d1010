//! Samples in, samples and findings out. No threads, no clock (time is the sample count), no allocation after `new()`.
//!
//! Conventions: `tx` fills samples for the line, `rx` takes samples from the line, `fill_in` stands in for samples that were lost.
//! Levels are dBm0 (a full-scale sine is +3.14 dBm0 in mu-law terms; digital milliwatt 0 dBm0). 8000 samples a second.

/// Samples in a frame of 20 ms at 8 kHz.
pub const FRAME_SAMPLES: usize = 160;
/// Samples a second.
pub const SAMPLE_RATE_HZ: u32 = 8000;
/// 20 ms of a line: 160 linear samples at 8 kHz.
pub type Frame = [i16; FRAME_SAMPLES];
/// A frame of silence.
pub const SILENCE: Frame = [0; FRAME_SAMPLES];

pub mod callerid;
pub mod dtmf;
pub mod fax_tone;
pub mod front;
pub mod fsk;
pub mod g711;
pub mod hdlc;
pub mod hum;
pub mod level;
pub mod line_model;
pub mod modem_receiver;
pub mod noise;
pub mod page;
pub mod plc;
pub mod progress;
pub mod rate;
pub mod resample;
#[cfg(feature = "spandsp")]
pub mod spandsp;
pub mod tone;
pub mod tone_plan;
pub mod v21;
pub mod v8;
pub mod watch;
