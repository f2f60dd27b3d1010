//! The gateway's own signal, back from the hybrid: what must not be taken for the machine's digits, tones or flags.
//!
//! A digit that we play to a line returns from it 6 to 30 dB weaker, within a few turns. Sent on as the machine's own it would run to and
//! fro between two gateways for ever. So a second [`Watch`] hears what we play, and a finding that is only that, weak enough to be an
//! echo, is dropped. A key that the person presses at the same time is stronger than any echo, and stays.

use crate::media::LineDigit;
use tipring_dsp::Frame;
use tipring_dsp::watch::{FINDINGS_MAX, Finding, Watch};

/// An echo is looked for so many turns after we stopped playing the key: detection lags, and the hybrid's tail is short.
const TURNS: usize = 6;
/// What comes back is at most this share of the power of what we played: no hybrid in use is worse than 6 dB. A key pressed here is not
/// that much weaker than one played, so it is heard also while the same key is being played.
const SHARE_MAX: f32 = 0.25;

/// What was played to one line, and how loud, in the last turns.
pub struct EchoGuard {
    played: Watch,
    /// The key that is or was just played, and turns since it stopped.
    key: Option<(u8, usize)>,
    /// Power of the last frames, newest first.
    played_power: [f32; TURNS],
    heard_power: [f32; 3],
}

impl EchoGuard {
    /// For a line to which nothing was played yet.
    pub fn new() -> Self {
        EchoGuard { played: Watch::new(), key: None, played_power: [0.0; TURNS], heard_power: [0.0; 3] }
    }

    /// Drops from `findings`, made of `heard`, what is the echo of `played`. `digit` is the key that counts as pressed so far.
    pub fn sift(&mut self, played: &Frame, heard: &Frame, digit: LineDigit, findings: &mut heapless::Vec<Finding, FINDINGS_MAX>) {
        self.played.rx(played);
        self.key = match (self.played.digit(), self.key) {
            (Some(key), _) => Some((key, 0)),
            (None, Some((key, turns))) if turns < TURNS => Some((key, turns + 1)),
            (None, _) => None,
        };
        remember(&mut self.played_power, played);
        remember(&mut self.heard_power, heard);
        let weak = loudest(&self.heard_power) < SHARE_MAX * loudest(&self.played_power);
        // The detector of what we play may be a turn behind that of its echo: then it has a suspicion at least.
        let dubious = self.played.digit_suspected();
        let mut pressed = match digit {
            LineDigit::On(key) => Some(key),
            LineDigit::None | LineDigit::Suspected | LineDigit::Ended { .. } => None,
        };
        findings.retain(|finding| match finding {
            Finding::DigitStarted { digit: key, .. } => {
                let is_echo = weak && (dubious || self.key.is_some_and(|(played, _)| played == *key));
                pressed = if is_echo { pressed } else { Some(*key) };
                !is_echo
            }
            // The end of what never began is the end of an echo.
            Finding::DigitEnded { digit: key, .. } => pressed == Some(*key),
            Finding::V21Preamble { .. } => !self.played.v21_present(),
            Finding::ToneStarted { tone, .. } => self.played.tone() != Some(*tone),
            Finding::ToneEnded { .. } | Finding::V21Ended { .. } => true,
        });
    }
}

/// Puts the power of a frame in front.
fn remember<const N: usize>(powers: &mut [f32; N], frame: &Frame) {
    powers.rotate_right(1);
    powers[0] = frame.iter().map(|s| f32::from(*s) * f32::from(*s)).sum();
}

fn loudest(powers: &[f32]) -> f32 {
    powers.iter().fold(0.0, |most, p| most.max(*p))
}
