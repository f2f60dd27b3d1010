//! DTMF: the sixteen digits of ITU-T Q.23 as sound, and the constants that the receiver ([`receiver`]) shares.
//!
//! A digit is written as its ASCII key: `b'0'..=b'9'`, `b'*'`, `b'#'`, `b'A'..=b'D'`.

pub mod receiver;

pub use receiver::{DigitEvent, Receiver};

use crate::level::amplitude_of;
use crate::tone::Oscillator;
use crate::{Frame, SILENCE};

/// The lower group, one per row of the keypad, Hz.
pub const ROWS_HZ: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
/// The upper group, one per column, Hz.
pub const COLUMNS_HZ: [f32; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
/// The keys, row by row.
pub const KEYS: [u8; 16] = *b"123A456B789C*0#D";
/// Digits that wait in a [`Generator`]: a dial string of 40 and a few more.
pub const DIGITS_MAX: usize = 64;

/// Row and column of a key.
pub fn row_and_column(digit: u8) -> Option<(usize, usize)> {
    KEYS.iter().position(|k| *k == digit.to_ascii_uppercase()).map(|i| (i / 4, i % 4))
}

/// How digits are sent.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sending {
    /// Level of the lower tone, dBm0.
    pub low_dbm0: f32,
    /// Level of the upper tone, dBm0. Q.24 networks expect it up to 2 dB above the lower.
    pub high_dbm0: f32,
    /// Length of a digit, ms.
    pub on_ms: u32,
    /// Pause after a digit, ms.
    pub off_ms: u32,
}

impl Default for Sending {
    fn default() -> Self {
        Sending { low_dbm0: -9.0, high_dbm0: -7.0, on_ms: 80, off_ms: 80 }
    }
}

/// Sends queued digits.
#[derive(Clone, Debug)]
pub struct Generator {
    sending: Sending,
    queue: heapless::Deque<u8, DIGITS_MAX>,
    low: Oscillator,
    high: Oscillator,
    on_left: u32,
    off_left: u32,
}

impl Generator {
    /// A generator with nothing to send.
    pub fn new(sending: Sending) -> Self {
        let idle = Oscillator::new(0.0);
        Generator { sending, queue: heapless::Deque::new(), low: idle, high: idle, on_left: 0, off_left: 0 }
    }

    /// Queues one digit; `Err` gives back a key that does not exist or has no room.
    pub fn push(&mut self, digit: u8) -> Result<(), u8> {
        if row_and_column(digit).is_none() {
            return Err(digit);
        }
        self.queue.push_back(digit)
    }

    /// Nothing sounds and nothing waits.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.on_left == 0 && self.off_left == 0
    }

    /// Forgets the queue and falls silent.
    pub fn stop(&mut self) {
        self.queue.clear();
        (self.on_left, self.off_left) = (0, 0);
    }

    /// Fills a frame; returns whether any of it is digit or the pause after it.
    pub fn tx(&mut self, frame: &mut Frame) -> bool {
        *frame = SILENCE;
        if self.is_idle() {
            return false;
        }
        let (low, high) = (amplitude_of(self.sending.low_dbm0), amplitude_of(self.sending.high_dbm0));
        for s in frame.iter_mut() {
            if self.on_left == 0 && self.off_left == 0 && !self.start_next() {
                break;
            }
            if self.on_left > 0 {
                self.on_left -= 1;
                *s = (low * self.low.sample() + high * self.high.sample()).round().clamp(-32768.0, 32767.0) as i16;
            } else {
                self.off_left = self.off_left.saturating_sub(1);
            }
        }
        true
    }

    fn start_next(&mut self) -> bool {
        let Some((row, column)) = self.queue.pop_front().and_then(row_and_column) else { return false };
        self.low = Oscillator::new(ROWS_HZ[row]);
        self.high = Oscillator::new(COLUMNS_HZ[column]);
        self.on_left = self.sending.on_ms.saturating_mul(8);
        self.off_left = self.sending.off_ms.saturating_mul(8);
        true
    }
}
