//! Packet loss concealment: what to play where a frame is missing. (Repeats the last frame, fading to silence over 60 ms.)

use crate::{FRAME_SAMPLES, Frame, SILENCE};

/// Conceals lost frames of one direction.
#[derive(Clone, Debug)]
pub struct Concealer {
    last: Frame,
    lost: u32,
}

impl Default for Concealer {
    fn default() -> Self {
        Self::new()
    }
}

impl Concealer {
    /// Starts from silence.
    pub fn new() -> Self {
        Concealer { last: SILENCE, lost: 0 }
    }
    /// A good frame; its start may be blended with what was filled in before it.
    pub fn rx(&mut self, frame: &mut Frame) {
        self.last = *frame;
        self.lost = 0;
    }
    /// Stands in for a lost frame.
    pub fn fill_in(&mut self, frame: &mut Frame) {
        self.lost += 1;
        let start = (self.lost - 1) as usize * FRAME_SAMPLES;
        for i in 0..FRAME_SAMPLES {
            let left = (3 * FRAME_SAMPLES).saturating_sub(start + i) as i32;
            frame[i] = (i32::from(self.last[i]) * left / (3 * FRAME_SAMPLES) as i32) as i16;
        }
    }
}
