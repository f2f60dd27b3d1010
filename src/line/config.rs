//! How a line behaves: its country, its digit map, its times.

use super::FailureTone;
use crate::digit_map::DigitMap;
use std::sync::Arc;
use tipring_dsp::tone_plan::TonePlan;

/// How a line behaves.
#[derive(Clone, Debug)]
pub struct LineConfig {
    /// Tones and ring cadence of the country.
    pub tones: &'static TonePlan,
    /// What can be dialled; shared by the lines of a gateway.
    pub digit_map: Arc<DigitMap>,
    /// Every time of the line.
    pub timeouts: Timeouts,
    /// Count dial pulses.
    pub pulse_dialling: bool,
    /// Whether a short break while talking is a hook flash; if not it is nothing.
    pub flash: bool,
    /// What the caller hears when the other side hung up first.
    pub far_end_gone: FailureTone,
    /// Opens the loop for this long when the other side hung up (answering machines and fax machines see it); 0 for never.
    pub disconnect_break_ms: u16,
    /// Reverses the battery while the call is answered (payphones, meters).
    pub answer_reversal: bool,
}

impl LineConfig {
    /// The usual line of a country.
    pub fn new(tones: &'static TonePlan, digit_map: Arc<DigitMap>) -> Self {
        LineConfig {
            tones,
            digit_map,
            timeouts: Timeouts::default(),
            pulse_dialling: true,
            flash: true,
            far_end_gone: FailureTone::Reorder,
            disconnect_break_ms: 0,
            answer_reversal: false,
        }
    }
}

/// Every time of a line, in ms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// Dial tone without a digit.
    pub first_digit_ms: u32,
    /// Between two digits, and after the last where the number could be longer.
    pub inter_digit_ms: u32,
    /// The `T` of the digit map.
    pub short_ms: u32,
    /// A key held this long is no longer waited for.
    pub key_held_max_ms: u32,
    /// Shortest break that is a hook flash.
    pub flash_min_ms: u32,
    /// Longest break that is a hook flash; while talking a hang-up is known only then.
    pub flash_max_ms: u32,
    /// A break this long is a hang-up wherever a flash has no meaning.
    pub hang_up_ms: u32,
    /// How long the loop must stay closed while ringing to be an answer.
    pub ring_trip_ms: u32,
    /// How long the line rings at most.
    pub ringing_max_ms: u32,
    /// How long a dialled call may take to be answered.
    pub await_call_max_ms: u32,
    /// Busy or reorder tone, then the howler.
    pub failure_tone_ms: u32,
    /// The howler, then silence.
    pub howler_ms: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            first_digit_ms: 15_000,
            inter_digit_ms: 4_000,
            short_ms: 2_000,
            key_held_max_ms: 10_000,
            flash_min_ms: 90,
            flash_max_ms: 700,
            hang_up_ms: 200,
            ring_trip_ms: 40,
            ringing_max_ms: 180_000,
            await_call_max_ms: 180_000,
            failure_tone_ms: 20_000,
            howler_ms: 60_000,
        }
    }
}
